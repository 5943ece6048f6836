//! JSON events: each line is one object, with the documented fields and no others.
#![expect(clippy::unwrap_used, reason = "a test that cannot write to memory has failed")]

mod inspect_support;

use inspect_support::{Screen, finding, latency, stanza};
use iqtap::inspect::PrinterOptions;
use iqtap::rules::{Finding, Rule, Severity};
use iqtap::script::{HookCount, LogLine};
use iqtap::session::{Dir, Fate, FindingCount, IqCount, Note, Origin, Pair, Seen, StanzaInfo, Tally, TlsInfo, What};
use iqtap::xmpp::{Kind, Side, StreamCondition};
use serde_json::{Value, json};

/// The events of some notes of session 1, without the one of its beginning.
fn events(notes: &[Note]) -> Vec<Value> {
    let mut screen = Screen::new(PrinterOptions { json: true, ..PrinterOptions::default() });
    for note in notes {
        screen.note(1, note);
    }
    let text = screen.finish(&Tally::default());
    let mut all: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        all.remove(0),
        json!({"event": "session", "time": "2023-11-14T22:13:20.001000Z", "session": 1, "peer": "203.0.113.9:40000"})
    );
    assert_eq!(all.pop().unwrap()["event"], "total");
    for event in &mut all {
        let event = event.as_object_mut().unwrap();
        assert_eq!(event.remove("session"), Some(json!(1)));
        assert!(event.remove("time").unwrap().as_str().unwrap().starts_with("2023-11-14T22:1"));
    }
    all
}

/// What is between the back quotes of the README's table must be what the code writes.
#[test]
fn the_readme_names_every_event_and_field() {
    let code = include_str!("../src/inspect/json.rs");
    let readme =
        include_str!("../README.md").split_once("## Events for programs").unwrap().1.split("\n## ").next().unwrap();
    let events: Vec<&str> = ["event(\"", "text(\"", "event: \""]
        .into_iter()
        .flat_map(|begin| code.split(begin).skip(1))
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert!(events.len() >= 14, "{events:?}");
    for event in events {
        let row = |line: &str| line.strip_prefix("| ").and_then(|l| l.split('|').next()).unwrap_or("").to_owned();
        assert!(readme.lines().any(|line| row(line).contains(&format!("`{event}`"))), "README has no event `{event}`");
    }
    let fields = [
        "struct Event<'a> {",
        "struct Found<'a> {",
        "struct Summary<'a> {",
        "struct Iqs<'a> {",
        "struct Failed {",
        "struct Hook<'a> {",
        "struct Shadow {",
        "struct Count {",
    ]
    .map(|begin| {
        let body = code.split_once(begin).unwrap().1.split('}').next().unwrap();
        body.lines().filter_map(|line| line.trim().split_once(": ")).map(|(name, _)| name.trim_end_matches('_'))
    });
    for field in fields.into_iter().flatten() {
        assert!(readme.contains(&format!("`{field}`")), "README has no field `{field}`");
    }
}

fn one(note: Note) -> Value {
    let mut all = events(&[note]);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn iq(dir: Dir, edit: impl FnOnce(&mut Seen)) -> Value {
    let some = |text: &str| Some(text.to_owned());
    let info = StanzaInfo {
        kind: some("get"),
        id: some("p1"),
        to: some("example.org"),
        payload: Some(("urn:xmpp:ping".into(), "ping".into())),
        ..StanzaInfo::default()
    };
    let mut note = stanza(Side::Client, dir, What::Stanza(Kind::Iq), info);
    if let Note::Seen(seen) = &mut note {
        edit(seen);
    }
    one(note)
}

#[test]
fn a_stanza_that_passed() {
    assert_eq!(
        iq(Dir::In, |_| {}),
        json!({
            "event": "stanza", "number": 1, "side": "client", "direction": "in", "kind": "iq", "type": "get", "id": "p1",
            "to": "example.org", "ns": "urn:xmpp:ping", "payload": "ping", "bytes": 5, "verdict": "passed", "findings": []
        })
    );
}

#[test]
fn a_stanza_with_a_verdict() {
    let rejected = iq(Dir::In, |s| {
        s.fate = Fate::Rejected("bad-request".into(), "rule 5".into());
        s.findings = vec![Finding { rule: Some(Rule::RequestChild), ..finding("rule5", "two children") }];
    });
    assert_eq!((&rejected["verdict"], &rejected["condition"]), (&json!("rejected"), &json!("bad-request")));
    assert_eq!(rejected["by"], "rule 5");
    assert_eq!(
        rejected["findings"],
        json!([{"rule": 5, "code": "rule5", "severity": "violation", "text": "two children"}])
    );
    for (fate, verdict, by) in [
        (Fate::Rewritten("a.rhai:7".into()), "rewritten", json!("a.rhai:7")),
        (Fate::Dropped("a.rhai:7".into()), "dropped", json!("a.rhai:7")),
        (Fate::Answered("a.rhai:7".into()), "answered", json!("a.rhai:7")),
        (Fate::Handled, "handled", Value::Null),
    ] {
        let event = iq(Dir::In, |s| s.fate = fate);
        assert_eq!((&event["verdict"], &event["by"]), (&json!(verdict), &by));
    }
}

#[test]
fn a_stanza_of_ours() {
    let made = iq(Dir::Out, |s| s.origin = Origin::Made(7, "rule 5".into()));
    assert_eq!((&made["verdict"], &made["answers"], &made["direction"]), (&json!("made"), &json!(7), &json!("out")));
    let injected = iq(Dir::Out, |s| s.origin = Origin::Made(0, "a.rhai:7".into()));
    assert_eq!((&injected["verdict"], injected.get("answers")), (&json!("made"), None));
    let rewritten = iq(Dir::Out, |s| s.origin = Origin::Rewritten(7, "a.rhai:7".into()));
    assert_eq!((&rewritten["verdict"], &rewritten["of"]), (&json!("rewritten"), &json!(7)));
}

#[test]
fn an_answer_tells_what_it_answers_and_after_how_long() {
    let answer = iq(Dir::In, |s| s.pair = Some(Pair { request: 7, micros: 12_345 }));
    assert_eq!((&answer["request"], &answer["latency_seconds"]), (&json!(7), &json!(0.012_345)));
    let resumed = iq(Dir::In, |s| s.pair = Some(Pair { request: 0, micros: 2_000_000 }));
    assert_eq!((resumed.get("request"), &resumed["latency_seconds"]), (None, &json!(2.0)));
    let made = iq(Dir::Out, |s| {
        s.origin = Origin::Made(7, "rule3".into());
        s.pair = Some(Pair { request: 7, micros: 60_000_000 });
    });
    assert_eq!(
        (&made["verdict"], &made["answers"], &made["request"], &made["latency_seconds"]),
        (&json!("made"), &json!(7), &json!(7), &json!(60.0))
    );
}

#[test]
fn tags_stand_with_their_stanza() {
    let tagged = iq(Dir::In, |s| s.tags = vec!["slow".into(), "vcard".into()]);
    assert_eq!(tagged["tags"], json!(["slow", "vcard"]));
}

#[test]
fn figures_of_scripts() {
    let hook = |script: &str, hook, nanos| HookCount {
        script: script.into(),
        hook,
        runs: 4,
        errors: 2,
        skipped: 1,
        nanos,
        slowest: nanos / 2,
        slowest_stanza: if nanos > 0 { "iq set c2s".into() } else { String::new() },
    };
    let hooks = vec![hook("a.rhai", "on_iq", 8_000), hook("--drop", "on_stanza", 40_000), hook("b.rhai", "on_open", 0)];
    let tally = Tally { hooks, shadow: [9, 2], ..Tally::default() };
    let summary = &events(&[Note::Over(Box::new(tally))])[0]["summary"];
    assert_eq!(
        summary["hooks"],
        json!([
            {"script": "--drop", "hook": "on_stanza", "runs": 4, "errors": 2, "skipped": 1, "mean_seconds": 0.000_01,
             "total_seconds": 0.000_04, "slowest_seconds": 0.000_02, "slowest": "iq set c2s"},
            {"script": "a.rhai", "hook": "on_iq", "runs": 4, "errors": 2, "skipped": 1, "mean_seconds": 0.000_002,
             "total_seconds": 0.000_008, "slowest_seconds": 0.000_004, "slowest": "iq set c2s"},
            {"script": "b.rhai", "hook": "on_open", "runs": 4, "errors": 2, "skipped": 1}
        ])
    );
    assert_eq!(summary["shadow"], json!({"shown": 9, "otherwise": 2}));
}

#[test]
fn what_left_as_it_came_has_no_event() {
    let mut note = stanza(Side::Server, Dir::Out, What::Stanza(Kind::Iq), StanzaInfo::default());
    if let Note::Seen(seen) = &mut note {
        seen.origin = Origin::Forwarded(1);
    }
    assert_eq!(events(&[note]), [json!(null); 0]);
}

#[test]
fn everything_else() {
    let tls = TlsInfo { version: "TLSv1.3".into(), cipher: "C".into(), name: Some("n".into()), alpn: None };
    let cases = [
        (
            Note::Tls(Side::Server, tls),
            json!({"event": "tls", "side": "server", "version": "TLSv1.3", "cipher": "C", "name": "n"}),
        ),
        (
            Note::Joined { domain: "d".into(), stripped: vec!["s".into()] },
            json!({"event": "joined", "domain": "d", "stripped": ["s"]}),
        ),
        (Note::Mechanism("PLAIN".into()), json!({"event": "mechanism", "mechanism": "PLAIN"})),
        (Note::Bound("a@b/c".into()), json!({"event": "bound", "jid": "a@b/c"})),
        (Note::Resumed { jid: "a@b/c".into(), session: 3 }, json!({"event": "resumed", "jid": "a@b/c", "was": 3})),
        (Note::Resumed { jid: "a@b/c".into(), session: 0 }, json!({"event": "resumed", "jid": "a@b/c"})),
        (
            Note::Log(LogLine { level: "info", text: "t".into(), script: "s.rhai".into() }),
            json!({"event": "log", "level": "info", "script": "s.rhai", "text": "t"}),
        ),
        (Note::ScriptError("t".into()), json!({"event": "script_error", "text": "t"})),
        (Note::Hint("t".into()), json!({"event": "hint", "text": "t"})),
        (
            Note::StreamError { side: Side::Client, condition: StreamCondition::HostUnknown, text: "t".into() },
            json!({"event": "stream_error", "side": "client", "condition": "host-unknown", "text": "t"}),
        ),
        (
            Note::Finding {
                side: Side::Client,
                id: Some("i".into()),
                number: 4,
                finding: Finding { rule: None, code: "script-loop", severity: Severity::Info, text: "t".into() },
                alone: false,
            },
            json!({"event": "finding", "side": "client", "id": "i", "number": 4,
                   "findings": [{"code": "script-loop", "severity": "info", "text": "t"}]}),
        ),
        (
            Note::Finding { side: Side::Server, id: None, number: 0, finding: finding("rule3", "t"), alone: true },
            json!({"event": "finding", "side": "server",
                   "findings": [{"code": "rule3", "severity": "violation", "text": "t"}]}),
        ),
    ];
    for (note, event) in cases {
        assert_eq!(one(note), event);
    }
}

#[test]
fn a_total_of_nothing_has_no_time() {
    let text = Screen::new(PrinterOptions { json: true, ..PrinterOptions::default() }).finish(&Tally::default());
    let total: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&total["event"], &total["sessions"], total.get("time")), (&json!("total"), &json!(0), None));
}

#[test]
fn the_end() {
    let found = |code, side, count| FindingCount { code, side, count };
    let tally = Tally {
        stanzas: [[1, 2, 3], [4, 5, 6]],
        bytes: [7, 8],
        iqs: vec![
            IqCount {
                ns: "urn:xmpp:ping".into(),
                requests: 9,
                results: 5,
                errors: 3,
                conditions: vec![("forbidden", 1), ("item-not-found", 2)],
                latency: latency([20; 7].into_iter().chain([1_700])),
            },
            IqCount { ns: "urn:example:x".into(), requests: 1, ..IqCount::default() },
        ],
        findings: vec![
            found("rule7", Side::Server, 1),
            found("rule7-3920", Side::Client, 4),
            found("rule5", Side::Server, 2),
            found("rule5", Side::Client, 3),
        ],
        ..Tally::default()
    };
    let all = events(&[Note::Bound("a@b/c".into()), Note::Over(Box::new(tally))]);
    assert_eq!(
        all[1],
        json!({
            "event": "over", "jid": "a@b/c",
            "summary": {
                "duration_seconds": 10.25,
                "stanzas": {
                    "client": {"message": 1, "presence": 2, "iq": 3, "bytes": 7},
                    "server": {"message": 4, "presence": 5, "iq": 6, "bytes": 8}
                },
                "iqs": [
                    {
                        "ns": "urn:xmpp:ping", "requests": 9, "results": 5, "errors": 3, "unanswered": 1,
                        "p50_seconds": 0.000_021, "p99_seconds": 0.001_579,
                        "conditions": [{"condition": "item-not-found", "count": 2}, {"condition": "forbidden", "count": 1}]
                    },
                    {
                        "ns": "urn:example:x", "requests": 1, "results": 0, "errors": 0, "unanswered": 1, "conditions": []
                    }
                ],
                "findings": [
                    {"code": "rule5", "direction": "c2s", "count": 3},
                    {"code": "rule5", "direction": "s2c", "count": 2},
                    {"code": "rule7", "direction": "s2c", "count": 1}
                ],
                "info": [{"code": "rule7-3920", "direction": "c2s", "count": 4}],
                "stopped": 0, "rewritten": 0
            }
        })
    );
}
