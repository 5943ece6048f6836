//! `iqtap diff`, the real binary: what is the same by meaning, what is told of what is not, and the exit codes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod capture_support;

use capture_support::Tape;
use iqtap::session::{Dir, Note};
use iqtap::xmpp::Side;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// What may be another in another recording of the same.
struct Names {
    id: &'static str,
    stream: &'static str,
    resource: &'static str,
    stamp: &'static str,
    sm: &'static str,
}

const ONE: Names =
    Names { id: "a", stream: "s1", resource: "balcony", stamp: "2026-01-01T00:00:00Z", sm: "[redacted 8 bytes]" };
const OTHER: Names =
    Names { id: "zz", stream: "q-9", resource: "6c1f", stamp: "2026-03-04T05:06:07.89Z", sm: "[redacted 30 bytes]" };

/// One end, and what it sends.
type Line = (char, String);

/// A conversation on the client's leg.
fn conversation(names: &Names) -> Vec<Line> {
    let Names { id, stream, resource, stamp, sm } = names;
    let bind = "urn:ietf:params:xml:ns:xmpp-bind";
    let header = |attributes: &str| {
        format!(
            "<stream:stream {attributes} version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
        )
    };
    let item = |jid: &str| format!("<item jid='{jid}'/>");
    // Nobody promises an order of contacts, or of attributes.
    let (contacts, ask) = if *id == "a" {
        ([item("romeo@example.net"), item("nurse@example.org")].concat(), format!("type='get' id='{id}2'"))
    } else {
        ([item("nurse@example.org"), item("romeo@example.net")].concat(), format!("id='{id}2' type='get'"))
    };
    let mut lines = vec![
        ('C', header("to='example.org'")),
        ('S', header(&format!("from='example.org' id='{stream}'"))),
        ('C', format!("<iq type='set' id='{id}1'><bind xmlns='{bind}'><resource>{resource}</resource></bind></iq>")),
        (
            'S',
            format!(
                "<iq type='result' id='{id}1'><bind xmlns='{bind}'><jid>juliet@example.org/{resource}</jid></bind></iq>"
            ),
        ),
        ('C', "<enable xmlns='urn:xmpp:sm:3'/>".to_owned()),
        ('S', format!("<enabled xmlns='urn:xmpp:sm:3' id='{sm}'/>")),
        ('C', format!("<iq {ask}><query xmlns='jabber:iq:roster'/></iq>")),
        (
            'S',
            format!(
                "<iq type='result' id='{id}2' to='juliet@example.org/{resource}'><query xmlns='jabber:iq:roster'>{contacts}</query></iq>"
            ),
        ),
    ];
    if *id != "a" {
        lines.push(('C', "<r xmlns='urn:xmpp:sm:3'/>".to_owned()));
        lines.push(('S', "<a xmlns='urn:xmpp:sm:3' h='2'/>".to_owned()));
    }
    lines.extend((1..=6).map(|number| {
        ('S', format!("<message from='romeo@example.net/orchard' to='juliet@example.org/{resource}' id='{id}m{number}'><body>word {number}</body><delay xmlns='urn:xmpp:delay' stamp='{stamp}'/></message>"))
    }));
    lines.push(('C', "</stream:stream>".to_owned()));
    lines.push(('S', "</stream:stream>".to_owned()));
    lines
}

fn capture(lines: &[Line]) -> (TempDir, PathBuf) {
    let mut tape = Tape::new();
    for (who, text) in lines {
        let dir = if *who == 'C' { Dir::In } else { Dir::Out };
        tape.item(Side::Client, dir, text.clone());
    }
    tape.note(1, &Note::Over(Box::default()));
    tape.finish()
}

/// Exit code, stdout, stderr.
fn diff(one: &Path, other: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_iqtap"));
    let output = command.arg("diff").args([one, other]).args(arguments).env("NO_COLOR", "1").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[track_caller]
fn says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
}

#[test]
fn names_and_times_may_be_others() {
    let ((_a, one), (_b, other)) = (capture(&conversation(&ONE)), capture(&conversation(&OTHER)));
    let (code, said, error) = diff(&one, &other, &[]);
    assert_eq!((code, error.as_str()), (0, ""), "{said}");
    assert_eq!(said, "session 1 (client leg): all the same (16 items), 2 acknowledgements not compared\n");
    assert_eq!(diff(&one, &one, &[]).0, 0);
}

#[test]
fn one_that_is_missing_is_told_as_missing() {
    let lines = conversation(&ONE);
    let mut fewer = conversation(&OTHER);
    fewer.retain(|(_, text)| !text.contains("word 3"));
    let ((_a, one), (_b, other)) = (capture(&lines), capture(&fewer));
    let (code, said, error) = diff(&one, &other, &[]);
    assert_eq!((code, error.as_str()), (1, "iqtap: 1 difference in 1 of 1 session\n"), "{said}");
    says(&said, &["iqtap->client, packet", &format!("message only in {}", one.display()), "-   <body>word 3</body>"]);
    says(&said, &["session 1 (client leg): 15 items the same, 0 differ, 1 only in the first, 0 only in the second"]);
    let (code, said, _) = diff(&other, &one, &[]);
    assert_eq!(code, 1);
    says(&said, &["+   <body>word 3</body>", "0 only in the first, 1 only in the second"]);
}

#[test]
fn what_differs_is_marked() {
    let changed: Vec<Line> =
        conversation(&OTHER).into_iter().map(|(who, text)| (who, text.replace("word 4", "sword 4"))).collect();
    let ((_a, one), (_b, other)) = (capture(&conversation(&ONE)), capture(&changed));
    let (code, said, _) = diff(&one, &other, &[]);
    assert_eq!(code, 1);
    says(
        &said,
        &["message differs", "- first  + second", "-   <body>word 4</body>", "+   <body>sword 4</body>", "^^^^^^"],
    );
    assert!(!said.contains("- <message"), "names that were only bound differently are told: {said}");
}

#[test]
fn names_once_bound_must_agree() {
    let changed: Vec<Line> = conversation(&OTHER)
        .into_iter()
        .map(|(who, text)| (who, text.replace("'result' id='zz2'", "'result' id='zz7'")))
        .collect();
    let ((_a, one), (_b, other)) = (capture(&conversation(&ONE)), capture(&changed));
    let (code, said, _) = diff(&one, &other, &[]);
    assert_eq!(code, 1);
    says(&said, &["iq result jabber:iq:roster differs", "'a2' stood for 'zz2' before, here for 'zz7'", "id='zz7'"]);
    let elsewhere: Vec<Line> = conversation(&OTHER)
        .into_iter()
        .map(|(who, text)| {
            (who, text.replace("juliet@example.org/6c1f' id='zzm5'", "juliet@example.org/other' id='zzm5'"))
        })
        .collect();
    let (_c, other) = capture(&elsewhere);
    let (code, said, _) = diff(&one, &other, &[]);
    assert_eq!(code, 1);
    says(&said, &["'juliet@example.org/balcony' stood for 'juliet@example.org/6c1f' before"]);
}

#[test]
fn programs_are_told_in_json() {
    let mut fewer = conversation(&OTHER);
    fewer.retain(|(_, text)| !text.contains("word 3"));
    let ((_a, one), (_b, other)) = (capture(&conversation(&ONE)), capture(&fewer));
    let (code, said, _) = diff(&one, &other, &["--json"]);
    assert_eq!(code, 1);
    let lines: Vec<serde_json::Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["kind"], &lines[0]["first"]["way"]), (&"missing".into(), &"iqtap->client".into()));
    assert_eq!((&lines[1]["same"], &lines[1]["different"]), (&15.into(), &1.into()));
}

#[test]
fn sessions_and_legs_are_chosen() {
    let mut tape = Tape::new();
    for (who, text) in conversation(&ONE) {
        tape.item(Side::Client, if who == 'C' { Dir::In } else { Dir::Out }, text);
    }
    tape.note(1, &Note::Over(Box::default()));
    for (who, text) in conversation(&OTHER) {
        let seen = capture_support::seen(Side::Client, if who == 'C' { Dir::In } else { Dir::Out }, 1, text.into());
        tape.note(2, &Note::Seen(Box::new(seen)));
    }
    let ((_a, two), (_b, one)) = (tape.finish(), capture(&conversation(&ONE)));
    let (code, said, error) = diff(&one, &two, &[]);
    assert_eq!((code, error.as_str()), (1, "iqtap: 1 session in one of the captures only\n"));
    says(&said, &[&format!("session 2: only in {}", two.display())]);
    assert_eq!(diff(&one, &two, &["--session", "1:2"]).0, 0);
    assert_eq!(diff(&two, &two, &["--session", "2"]).0, 0);
    let (code, _, error) = diff(&one, &two, &["--session", "2"]);
    assert_eq!(code, 2);
    says(&error, &["the first capture has no session 2; there is none in it"]);
    assert_eq!(diff(&one, &two, &["--session", "1:2", "--leg", "client"]).0, 0);
    assert_eq!(diff(&one, &two, &["--session", "1:2", "--leg", "moon"]).0, 2);
}

#[test]
fn what_cannot_be_read_is_told() {
    let (folder, one) = capture(&conversation(&ONE));
    let bytes = std::fs::read(&one).unwrap();
    let cut = folder.path().join("cut.pcapng");
    std::fs::write(&cut, &bytes[..bytes.len() - 9]).unwrap();
    let (code, said, error) = diff(&one, &cut, &[]);
    assert_eq!(code, 3, "{said}");
    says(&error, &["cut.pcapng: cut off: it ends with", "it was not read as a whole"]);
    let (code, _, error) = diff(&one, &folder.path().join("none"), &[]);
    assert_eq!(code, 3);
    says(&error, &["none: "]);
    let text = folder.path().join("text");
    std::fs::write(&text, "hello").unwrap();
    let (code, _, error) = diff(&text, &one, &[]);
    assert_eq!(code, 3);
    says(&error, &["text: it is neither a capture (pcapng, pcap) nor XML"]);
}
