//! Golden text: what people see of a session, with the time zone fixed.
#![expect(clippy::unwrap_used, reason = "a test that cannot write to memory has failed")]

mod inspect_support;

use inspect_support::{Screen, finding, stanza};
use iqtap::inspect::PrinterOptions;
use iqtap::script::LogLine;
use iqtap::session::tally::IqCount;
use iqtap::session::{Dir, Fate, Note, Origin, Seen, StanzaInfo, Tally, TlsInfo, What};
use iqtap::xmpp::{Kind, Side, StreamCondition};
use jiff::tz::{self, TimeZone};

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
    let iq = |ns: &str, requests, results, errors| IqCount { ns: ns.to_owned(), requests, results, errors };
    Tally {
        stanzas: [[2, 1, 14], [1204, 7, 14]],
        bytes: [4_210, 1_500_000],
        iqs: vec![iq("urn:xmpp:ping", 12, 12, 0), iq("vcard-temp", 1, 0, 1), iq("urn:example:x", 1, 0, 0)],
        findings: vec![("rule5", 2), ("rule7-3920", 1)],
        stopped: 2,
        rewritten: 1,
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
    vec![
        Note::Tls(c, tls.clone()),
        Note::Tls(s, TlsInfo { name: None, alpn: Some("xmpp-client".into()), ..tls }),
        Note::Joined { domain: "example.org".into(), stripped: vec!["starttls".into(), "SCRAM-SHA-1-PLUS".into()] },
        Note::Hint("the client says y: switch channel binding off".into()),
        Note::Mechanism("SCRAM-SHA-1".into()),
        Note::Bound(me.into()),
        stanza(c, Dir::In, iq, info("get", "p1", "", "example.org", ping)),
        stanza(s, Dir::In, iq, info("result", "p1", "example.org", me, ("", ""))),
        stanza(
            s,
            Dir::In,
            iq,
            StanzaInfo {
                condition: Some("item-not-found".into()),
                ..info("error", "v1", "", me, ("vcard-temp", "vCard"))
            },
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
                s.fate = Fate::Rejected("bad-request".into(), "rule 5".into());
                s.findings = vec![finding("rule5", rule5), finding("rule7-3920", "should echo the request")];
            },
        ),
        Note::Finding { side: c, id: Some("d1".into()), number: 1, finding: finding("rule5", rule5) },
        seen(stanza(c, Dir::Out, iq, info("error", "d1", "", me, ("", ""))), |s| {
            s.origin = Origin::Made(1, "rule 5".into())
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

fn seen(mut note: Note, edit: impl FnOnce(&mut Seen)) -> Note {
    if let Note::Seen(seen) = &mut note {
        edit(seen);
    }
    note
}

#[test]
fn a_session_as_people_see_it() {
    let mut screen = Screen::new(options());
    for note in notes() {
        screen.note(3, &note);
    }
    let text = screen.finish(&tally());
    println!("{text}");
}
