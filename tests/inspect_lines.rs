//! Golden text: what people see of a session, with the time zone fixed.
#![expect(clippy::unwrap_used, reason = "a test that cannot write to memory has failed")]

mod inspect_support;

use inspect_support::{Paper, Screen, finding, latency, stanza};
use iqtap::inspect::{NotReloaded, Printer, PrinterOptions};
use iqtap::rules::{Finding, Severity};
use iqtap::script::{Filter, HookCount, LogLine, ScriptLimits};
use iqtap::session::{Dir, Fate, FindingCount, IqCount, Note, Origin, Pair, Seen, StanzaInfo, Tally, TlsInfo, What};
use iqtap::xmpp::{Kind, Side, StreamCondition, Timestamp};
use jiff::tz::{self, TimeZone};
use std::path::PathBuf;
use std::sync::Arc;

fn options() -> PrinterOptions {
    PrinterOptions { zone: TimeZone::fixed(tz::offset(1)), ..PrinterOptions::default() }
}

fn info(kind: &str, id: &str, from: &str, to: &str, payload: (&str, &str)) -> StanzaInfo {
    let some = |text: &str| Some(text.to_owned()).filter(|t| !t.is_empty());
    StanzaInfo {
        kind: some(kind),
        id: some(id),
        from: some(from),
        to: some(to),
        payload: Some((payload.0.to_owned(), payload.1.to_owned())).filter(|p| !p.1.is_empty()),
        condition: None,
    }
}

fn tally() -> Tally {
    let iq = |ns: &str, requests, results, errors| IqCount {
        ns: ns.to_owned(),
        requests,
        results,
        errors,
        ..IqCount::default()
    };
    let found = |code, side, count| FindingCount { code, side, count };
    let (c, s) = (Side::Client, Side::Server);
    Tally {
        stanzas: [[2, 1, 14], [1204, 7, 14]],
        bytes: [4_210, 1_500_000],
        iqs: vec![
            IqCount {
                latency: latency([12_000; 9].into_iter().chain([450, 21_000, 1_700_000])),
                ..iq("urn:xmpp:ping", 13, 12, 0)
            },
            IqCount {
                conditions: vec![("service-unavailable", 1), ("item-not-found", 3), ("feature-not-implemented", 1)],
                latency: latency([450_000; 6]),
                ..iq("vcard-temp", 6, 1, 5)
            },
            iq("urn:example:x", 1, 0, 0),
            IqCount {
                latency: latency([75_000_000]),
                ..iq("http://a.namespace.example/that/is/longer/than/its/place#in-the-table", 1, 1, 0)
            },
            iq("", 1, 0, 1),
        ],
        findings: vec![found("rule7-3920", s, 1), found("rule5", s, 1), found("rule5", c, 2), found("rule3", s, 1)],
        stopped: 2,
        rewritten: 1,
        ..Tally::default()
    }
}

/// A session with a bit of everything.
fn notes() -> Vec<Note> {
    let (c, s, iq) = (Side::Client, Side::Server, What::Stanza(Kind::Iq));
    let tls = TlsInfo {
        version: "TLSv1.3".into(),
        cipher: "TLS13_AES_128_GCM_SHA256".into(),
        name: Some("example.org".into()),
        alpn: None,
    };
    let me = "juliet@example.org/balcony";
    let ping = ("urn:xmpp:ping", "ping");
    let rule5 = "an iq of type get must have exactly one child element; this one has 2";
    let rule3 = "no answer within 60 s";
    let after = |micros| move |seen: &mut Seen| seen.pair = Some(Pair { request: 9, micros });
    vec![
        Note::Tls(c, tls.clone()),
        Note::Tls(s, TlsInfo { name: None, alpn: Some("xmpp-client".into()), ..tls }),
        Note::Joined { domain: "example.org".into(), stripped: vec!["starttls".into(), "SCRAM-SHA-1-PLUS".into()] },
        Note::Hint("the client says y: switch channel binding off".into()),
        Note::Mechanism("SCRAM-SHA-1".into()),
        Note::Bound(me.into()),
        Note::Resumed { jid: me.into(), session: 0 },
        Note::Resumed { jid: me.into(), session: 2 },
        stanza(c, Dir::In, iq, info("get", "p1", "", "example.org", ping)),
        seen(stanza(s, Dir::In, iq, info("result", "p1", "example.org", me, ("", ""))), after(12_345)),
        seen(
            stanza(
                s,
                Dir::In,
                iq,
                StanzaInfo {
                    condition: Some("item-not-found".into()),
                    ..info("error", "v1", "", me, ("vcard-temp", "vCard"))
                },
            ),
            after(345_678),
        ),
        stanza(
            c,
            Dir::In,
            What::Stanza(Kind::Presence),
            info("", "", "", "", ("http://jabber.org/protocol/caps", "c")),
        ),
        stanza(
            c,
            Dir::In,
            What::Stanza(Kind::Message),
            info(
                "chat",
                "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
                me,
                "romeo@montague.example/orchard-of-a-long-name",
                ("jabber:client", "body"),
            ),
        ),
        seen(
            stanza(c, Dir::In, iq, info("get", "d1", "", "", ("http://jabber.org/protocol/disco#info", "query"))),
            |s| {
                s.fate = Fate::Rejected("bad-request".into(), "rule5".into());
                s.findings = vec![
                    finding("rule5", rule5),
                    Finding { severity: Severity::Info, ..finding("rule7-3920", "should echo the request") },
                ];
            },
        ),
        Note::Finding { side: c, id: Some("d1".into()), number: 1, finding: finding("rule5", rule5), alone: false },
        seen(stanza(c, Dir::Out, iq, info("error", "d1", "", me, ("", ""))), |s| {
            s.origin = Origin::Made(1, "rule5".into())
        }),
        Note::Finding { side: s, id: Some("t1".into()), number: 9, finding: finding("rule3", rule3), alone: true },
        Note::Finding { side: c, id: None, number: 0, finding: finding("sm-bad-ack", "no number"), alone: true },
        seen(stanza(c, Dir::Out, iq, info("error", "t1", "", me, ("", ""))), |s| {
            s.origin = Origin::Made(9, "rule3".into());
            after(60_000_000)(s);
        }),
        seen(
            stanza(c, Dir::In, iq, info("set", "a1", "", "", ("urn:example:a-namespace-nobody-has-heard-of", "x"))),
            |s| {
                s.fate = Fate::Rewritten("alias.rhai:7".into());
            },
        ),
        seen(stanza(s, Dir::Out, iq, info("set", "a1", "", "", ("urn:example:y", "y"))), |s| {
            s.origin = Origin::Rewritten(1, "alias.rhai:7".into())
        }),
        seen(stanza(s, Dir::Out, iq, info("set", "not", "", "shown", ("", ""))), |s| s.origin = Origin::Forwarded(1)),
        stanza(c, Dir::In, What::Other, StanzaInfo::default()),
        stanza(c, Dir::In, What::Space, StanzaInfo::default()),
        Note::Log(LogLine { level: "info", text: "hello".into(), script: "alias.rhai".into() }),
        Note::ScriptError("alias.rhai:9:3: no such function".into()),
        Note::StreamError { side: c, condition: StreamCondition::PolicyViolation, text: "stanza too long".into() },
        Note::Over(Box::new(tally())),
    ]
}

#[test]
fn a_total_is_for_those_who_have_not_read_it_yet() {
    let totals = |sessions: u64, over: bool| {
        let mut screen = Screen::new(options());
        for session in 1..=sessions {
            screen.note(session, &Note::Mechanism("PLAIN".into()));
            if over {
                screen.note(session, &Note::Over(Box::new(tally())));
            }
        }
        screen.finish(&tally()).matches("total: ").count()
    };
    assert_eq!([totals(0, true), totals(1, true), totals(1, false), totals(2, true)], [0, 0, 1, 1]);
}

fn seen(mut note: Note, edit: impl FnOnce(&mut Seen)) -> Note {
    if let Note::Seen(seen) = &mut note {
        edit(seen);
    }
    note
}

fn shown(options: PrinterOptions) -> String {
    let mut screen = Screen::new(options);
    for note in notes() {
        screen.note(3, &note);
    }
    screen.finish(&tally())
}

#[test]
fn a_session_as_people_see_it() {
    let text = shown(options());
    let golden = include_str!("inspect_support/session.txt");
    assert!(text == golden, "now it reads:\n{text}\ninstead of:\n{golden}");
}

#[test]
fn a_session_for_those_who_want_quiet() {
    let text = shown(PrinterOptions { quiet: true, ..options() });
    let told: Vec<_> = text.lines().take_while(|line| !line.starts_with("total")).map(|line| &line[19..]).collect();
    assert_eq!(
        told,
        [
            "───  hint: the client says y: switch channel binding off",
            "C──  rule 5: an iq of type get must have exactly one child element; this one has 2 from the client id=d1",
            "──S  rule 3: no answer within 60 s (server, id=t1)",
            "C──  sm-bad-ack: no number (client)",
            "───  script failed: alias.rhai:9:3: no such function",
            "C──  stream error to the client: policy-violation: stanza too long",
        ]
    );
    assert!(text.contains("total: 1 session in 4 min 36 s\n"));
}

#[test]
fn colours_change_nothing_but_colours() {
    let text = shown(PrinterOptions { color: true, ..options() });
    assert!(text.contains("\x1b[31mrejected bad-request by rule 5\x1b[0m"), "{text}");
    assert!(text.contains("\x1b[33mrewritten by alias.rhai:7\x1b[0m"), "{text}");
    assert_eq!(anstream::adapter::strip_str(&text).to_string(), shown(options()));
}

#[test]
fn lines_are_as_wide_as_told() {
    for columns in [120, 140, 160, 200] {
        let text = shown(PrinterOptions { columns, ..options() });
        // The verdict has room for one word and a latency; names of scripts are beyond the layout.
        let answers: Vec<_> = text.lines().filter(|line| line.contains("  passed  ")).collect();
        assert_eq!(answers.len(), 2, "{text}");
        for line in text.lines().filter(|line| line.ends_with("  passed")).chain(answers) {
            assert!(line.chars().count() <= columns, "{} in {columns}: {line}", line.chars().count());
        }
        let verdicts: Vec<_> =
            text.lines().filter(|line| line.ends_with("  passed")).map(|line| line.chars().count()).collect();
        assert!(verdicts.iter().all(|&n| n == verdicts[0]), "not aligned: {text}");
    }
    shown(PrinterOptions { columns: 0, ..options() });
}

#[test]
fn tables_fit_a_screen() {
    let text = shown(options());
    for line in text.lines().filter(|line| line.starts_with("     ")) {
        assert!(line.chars().count() <= 120, "{line}");
        assert!(!line.ends_with(' '), "{line:?}");
    }
}

#[test]
fn tags_stand_behind_the_verdict_in_its_style() {
    let tagged = |fate: Fate| {
        seen(stanza(Side::Client, Dir::In, What::Stanza(Kind::Iq), info("get", "p1", "", "", ("", ""))), |s| {
            (s.fate, s.tags) = (fate, vec!["slow".into(), "vcard".into()]);
            s.pair = Some(Pair { request: 9, micros: 12_345 });
        })
    };
    let mut screen = Screen::new(PrinterOptions { color: true, ..options() });
    screen.note(1, &tagged(Fate::Passed));
    screen.note(1, &tagged(Fate::Dropped("a.rhai:7".into())));
    let text = screen.finish(&Tally::default());
    assert!(text.contains("passed #slow #vcard\u{1b}[0m\u{1b}[2m  12.3 ms"), "{text:?}");
    assert!(text.contains("\u{1b}[31mdropped by a.rhai:7 #slow #vcard\u{1b}[0m"), "{text:?}");
}

#[test]
fn figures_of_scripts_stand_at_the_end() {
    let hook = |script: &str, hook, runs, nanos, slowest| HookCount {
        script: script.into(),
        hook,
        runs,
        nanos,
        slowest,
        slowest_stanza: if slowest > 0 { "iq set id=v1 {vcard-temp}vCard c2s".into() } else { String::new() },
        ..HookCount::default()
    };
    let hooks = vec![
        hook("a-script-with-a-very-long-name-indeed.rhai", "on_presence", 0, 0, 0),
        HookCount { errors: 2, skipped: 1, ..hook("vcard.rhai", "on_iq", 14, 87_000, 21_500) },
        hook("--drop", "on_stanza", 3, 4_000_000, 3_900_000),
    ];
    let tally = Tally { stanzas: [[1, 0, 0], [0; 3]], hooks, shadow: [28, 2], ..Tally::default() };
    let lines = |tally: &Tally| {
        let mut screen = Screen::new(options());
        screen.note(1, &Note::Over(Box::new(tally.clone())));
        screen.finish(tally)
    };
    let text = lines(&tally);
    let (_, figures) = text.split_once("hooks  ").unwrap();
    let figures: Vec<_> = figures.lines().skip(1).map(str::trim_start).collect();
    assert_eq!(
        figures,
        [
            "--drop on_stanza                           3         0         0     1.33 ms   4.00 ms   3.90 ms",
            "slowest: iq set id=v1 {vcard-temp}vCard c2s",
            "vcard.rhai on_iq                          14         2         1      6.2 us     87 us     21 us",
            "slowest: iq set id=v1 {vcard-temp}vCard c2s",
            "a-script-with-a-very-… on_presence         0         0         0           -         -         -",
            "shadow: 2 of 28 stanzas decided otherwise",
        ],
        "{text}"
    );
    assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
    // Those of a session without stanzas too; and nothing without scripts.
    assert!(lines(&Tally { stanzas: [[0; 3]; 2], ..tally }).contains("--drop on_stanza"));
    let without = lines(&Tally { stanzas: [[1, 0, 0], [0; 3]], ..Tally::default() });
    assert!(!without.contains("hooks") && !without.contains("shadow"), "{without}");
}

fn bytes(note: Note, bytes: &'static str) -> Note {
    seen(note, |seen| seen.bytes = bytes.into())
}

/// What is printed of some notes with a filter.
fn filtered(filter: &str, options: PrinterOptions, notes: &[Note]) -> String {
    let filter = Filter::new(filter, ScriptLimits::default()).unwrap();
    let mut screen = Screen::new(PrinterOptions { filter: Some(Arc::new(filter)), ..options });
    notes.iter().for_each(|note| screen.note(1, note));
    screen.finish(&Tally::default())
}

#[test]
fn a_filter_shows_some_stanzas_with_what_was_found_in_them() {
    let (c, iq, message) = (Side::Client, What::Stanza(Kind::Iq), What::Stanza(Kind::Message));
    let broken = |number: u64, id: &str, bytes_: &'static str| {
        let item = stanza(c, Dir::In, iq, info("get", id, "", "", ("", "")));
        let item = seen(bytes(item, bytes_), |s| {
            (s.number, s.findings) = (number, vec![finding("rule5", "no child")]);
        });
        let found = finding("rule5", "no child");
        [item, Note::Finding { side: c, id: Some(id.into()), number, finding: found, alone: false }]
    };
    let mut notes = vec![Note::Bound("juliet@example.org/balcony".into())];
    notes.extend(broken(1, "one", "<iq type='get' id='one'/>"));
    notes.extend(broken(2, "two", "<iq type='get' id='two'/>"));
    notes.push(bytes(stanza(c, Dir::In, message, info("", "three", "", "", ("", ""))), "<message id='three'/>"));
    let made = stanza(c, Dir::Out, iq, info("error", "two", "", "", ("", "")));
    notes.push(seen(bytes(made, "<iq type='error' id='two'/>"), |s| s.origin = Origin::Made(2, "rule5".into())));
    let rule3 = finding("rule3", "no answer");
    notes.push(Note::Finding { side: Side::Server, id: Some("one".into()), number: 1, finding: rule3, alone: true });
    let text = filtered("stanza.id == \"two\"", options(), &notes);
    assert!(text.contains("bound to juliet") && text.contains("made by rule 5"), "{text}");
    assert_eq!([text.matches("id=two").count(), text.matches("no child").count()], [2, 1], "{text}");
    assert!(!text.contains("three") && text.matches("one").count() == 1, "{text}");
    assert!(text.contains("rule 3: no answer (server, id=one)"), "{text}");
    // What goes to the client comes from the server.
    let text = filtered("stanza.direction == \"s2c\"", options(), &notes);
    assert_eq!([text.matches("id=two").count(), text.matches("no child").count()], [1, 0], "{text}");
    // Machines and those who want quiet have findings on lines of their own: they go with their stanzas.
    for (json, quiet) in [(true, false), (false, true), (true, true)] {
        let text = filtered("stanza.id == \"two\"", PrinterOptions { json, quiet, ..options() }, &notes);
        let lines: Vec<_> = text.lines().filter(|line| !line.contains("total")).collect();
        let with = |word: &str| lines.iter().filter(|line| line.contains(word)).count();
        assert_eq!(with("no child"), if json && !quiet { 2 } else { 1 }, "{text}");
        assert_eq!([with("one"), with("no answer")], [1, 1], "{text}");
    }
}

#[test]
fn a_filter_reads_each_stream_under_its_own_header() {
    let c = Side::Client;
    let header = "<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams' xmlns='jabber:client' \
                  xmlns:s='jabber:client' xmlns:x='urn:example:x' to='example.org' version='1.0'>";
    let prefixed = |session| {
        let item = stanza(c, Dir::In, What::Stanza(Kind::Iq), info("get", "p", "", "", ("", "")));
        (session, bytes(item, "<s:iq type='get' id='p'><x:query/></s:iq>"))
    };
    let opened = bytes(stanza(c, Dir::In, What::Header, StanzaInfo::default()), header);
    let plain = stanza(c, Dir::In, What::Stanza(Kind::Iq), info("get", "q", "", "", ("", "")));
    let plain = bytes(plain, "<iq type='get' id='q'><query xmlns='urn:example:x'/></iq>");
    let shown = |filter: &str| {
        let filter = Filter::new(filter, ScriptLimits::default()).unwrap();
        let mut screen = Screen::new(PrinterOptions { filter: Some(Arc::new(filter)), ..options() });
        let notes =
            [(1, opened.clone()), prefixed(1), (1, plain.clone()), (2, plain.clone()), prefixed(3), (3, plain.clone())];
        notes.iter().for_each(|(session, note)| screen.note(*session, note));
        screen.finish(&Tally::default()).matches("iq/get").count()
    };
    // The one whose header was missed cannot be read, so it is shown.
    assert_eq!([shown("stanza.ns == \"urn:example:x\""), shown("stanza.ns != \"urn:example:x\"")], [5, 1]);
}

#[test]
fn a_filter_that_fails_shows_the_stanza_and_says_so_once() {
    let item = bytes(
        stanza(Side::Client, Dir::In, What::Stanza(Kind::Iq), info("get", "p1", "", "", ("", ""))),
        "<iq type='get' id='p1'/>",
    );
    let text = filtered("stanza.tpye == 1", options(), &[item.clone(), item.clone(), item]);
    assert_eq!(
        [text.matches("id=p1").count(), text.matches("script failed: --filter: 'stanza.tpye").count()],
        [3, 1],
        "{text}"
    );
}

#[test]
fn a_late_answer_is_no_violation() {
    for code in ["late-answer", "duplicate-id", "push-odd", "sm-not-enabled", "rule7-3920", "script-loop"] {
        let found = FindingCount { code, side: Side::Server, count: 1 };
        let tally = Tally { findings: vec![found], ..Tally::default() };
        let mut screen = Screen::new(options());
        screen.note(1, &Note::Over(Box::new(tally)));
        let text = screen.finish(&Tally::default());
        assert!(text.contains("worth knowing") && !text.contains("findings"), "{text}");
    }
}

#[test]
fn what_is_too_wide_takes_from_the_next_column() {
    let mut screen = Screen::new(options());
    let (c, message) = (Side::Client, What::Stanza(Kind::Message));
    screen.note(1, &stanza(c, Dir::In, message, info("groupchat", "m1", "", "room@muc", ("jabber:client", "body"))));
    screen.note(1, &stanza(c, Dir::In, message, info("chat", "m1", "", "room@muc", ("jabber:client", "body"))));
    let text = screen.finish(&Tally::default());
    let lines: Vec<_> = text.lines().filter(|line| line.ends_with("passed")).collect();
    assert_eq!(lines[0].chars().position(|c| c == '→'), lines[1].chars().position(|c| c == '→'));
    let body = |line: &str| line.chars().collect::<String>().find("body");
    assert_eq!(body(lines[0]), body(lines[1]));
}

/// What a peer may put anywhere: escape sequences, C1, line breaks, direction overrides.
const HOSTILE: &str = "\x1b[2J\u{9b}31m\r\n\0\x07\x7f\u{85}\u{2028}\u{202e}evil\u{2066}";

#[test]
fn nothing_a_peer_chose_reaches_the_terminal_as_it_is() {
    let (c, s) = (Side::Client, Side::Server);
    let text = || HOSTILE.to_owned();
    let what = info(HOSTILE, HOSTILE, HOSTILE, HOSTILE, (HOSTILE, HOSTILE));
    let tls = TlsInfo { version: text(), cipher: text(), name: Some(text()), alpn: Some(text()) };
    let counts = Tally {
        stanzas: [[1, 0, 0], [0, 0, 0]],
        iqs: vec![IqCount { ns: text(), requests: 1, ..IqCount::default() }],
        ..Tally::default()
    };
    let all = vec![
        Note::Tls(c, tls),
        Note::Joined { domain: text(), stripped: vec![text()] },
        Note::Mechanism(text()),
        Note::Bound(text()),
        stanza(s, Dir::In, What::Stanza(Kind::Iq), StanzaInfo { condition: Some(text()), ..what }),
        seen(stanza(c, Dir::In, What::Stanza(Kind::Iq), StanzaInfo::default()), |s| {
            s.fate = Fate::Rejected(text(), text());
            s.findings = vec![finding("rule5", HOSTILE)];
        }),
        Note::Finding { side: c, id: Some(text()), number: 1, finding: finding("rule5", HOSTILE), alone: false },
        Note::Finding { side: c, id: Some(text()), number: 1, finding: finding("rule3", HOSTILE), alone: true },
        Note::Resumed { jid: text(), session: 1 },
        Note::Log(LogLine { level: "info", text: text(), script: text() }),
        Note::ScriptError(text()),
        Note::Hint(text()),
        Note::StreamError { side: c, condition: StreamCondition::BadFormat, text: text() },
        Note::Over(Box::new(counts.clone())),
    ];
    for (quiet, json) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut screen = Screen::new(PrinterOptions { quiet, json, ..options() });
        for note in &all {
            screen.note(1, note);
        }
        let shown = screen.finish(&counts);
        let bad = shown
            .chars()
            .find(|&c| (c.is_control() && c != '\n') || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'));
        assert_eq!(bad, None, "in {shown:?}");
    }
}

#[test]
fn a_reload_is_no_sessions_and_only_failures_are_warnings() {
    let printed = |options: PrinterOptions| {
        let paper = Paper::default();
        let mut printer = Printer::new(options, Box::new(paper.clone()));
        let [before, now] = [1_700_000_000_001_000, 1_700_000_010_001_000].map(Timestamp);
        let files = ["a.rhai", "b\u{1b}[2J.rhai"].map(PathBuf::from);
        printer.reloaded(before, &files, 2, &[]).unwrap();
        printer.reloaded(before, &[], 3, &["listen", "record"]).unwrap();
        let why = NotReloaded { path: &files[0], line: 2, column: 13, reason: "no\nway", policy: 3, since: before };
        printer.not_reloaded(now, why).unwrap();
        printer.not_reloaded(now, NotReloaded { line: 0, column: 0, ..why }).unwrap();
        paper.text()
    };
    let failures = "\
        23:13:30.001  ────────  not reloaded: a.rhai:2:13: no\\u{a}way; the version of 23:13:20 stays in force (policy 3)\n\
        23:13:30.001  ────────  not reloaded: a.rhai: no\\u{a}way; the version of 23:13:20 stays in force (policy 3)\n";
    let successes = "\
        23:13:20.001  ────────  reloaded: a.rhai, b\\u{1b}[2J.rhai (policy 2)\n\
        23:13:20.001  ────────  reloaded: no file (policy 3); taken over when iqtap is started again: listen, record\n";
    assert_eq!(printed(options()), format!("{successes}{failures}"));
    assert_eq!(printed(PrinterOptions { quiet: true, ..options() }), failures);
    let json = printed(PrinterOptions { json: true, ..options() });
    let lines: Vec<&str> = json.lines().collect();
    assert_eq!(lines.len(), 4);
    assert_eq!(
        lines[0],
        r#"{"event":"reloaded","time":"2023-11-14T22:13:20.001000Z","files":["a.rhai","b\u001b[2J.rhai"],"policy":2}"#
    );
    assert_eq!(
        lines[3],
        r#"{"event":"reload_failed","time":"2023-11-14T22:13:30.001000Z","path":"a.rhai","text":"no\nway","policy":3,"since":"2023-11-14T22:13:20.001000Z"}"#
    );
}

#[test]
fn who_is_not_let_in_and_what_is_held_is_told_and_counted() {
    let printed = |options: PrinterOptions| {
        let paper = Paper::default();
        let mut printer = Printer::new(options, Box::new(paper.clone()));
        let now = Timestamp(1_700_000_000_001_000);
        let [four, six] = ["192.0.2.7", "2001:db8::1"].map(|address| address.parse().unwrap());
        printer.refused(now, 1, 1, four, "limits.connections.total").unwrap();
        printer.refused(now, 16, 17, six, "limits.memory").unwrap();
        printer.memory(now, 1_100_000_000, Some(1_000_000_000)).unwrap();
        printer.memory(now, 800_000_000, None).unwrap();
        printer.finish(&Tally::default()).unwrap();
        paper.text()
    };
    assert_eq!(
        printed(options()),
        "23:13:20.001  ────────  1 connection was not let in (limits.connections.total), from 192.0.2.7\n\
         23:13:20.001  ────────  16 connections were not let in (limits.memory), the last one from 2001:db8::1\n\
         23:13:20.001  ────────  the sessions hold 1.1 GB, more than 1.0 GB (limits.memory): nobody is let in, those that hold most wait, then are cut\n\
         23:13:20.001  ────────  the sessions hold 800.0 MB: all is well again\n\
         connections not let in: 17\n"
    );
    let json = printed(PrinterOptions { json: true, ..options() });
    let lines: Vec<&str> = json.lines().collect();
    assert_eq!(
        lines[1],
        r#"{"event":"refused","time":"2023-11-14T22:13:20.001000Z","refused":16,"limit":"limits.memory","peer":"2001:db8::1"}"#
    );
    assert_eq!(
        lines[2],
        r#"{"event":"memory_full","time":"2023-11-14T22:13:20.001000Z","held":1100000000,"most":1000000000}"#
    );
    assert!(lines[4].starts_with(r#"{"event":"total","sessions":0,"refused":17,"summary":"#), "{}", lines[4]);
}
