//! `iqtap redact`, the real binary: what was planted is gone, what happened can still be followed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod capture_support;
mod read_support;

use capture_support::Tape;
use iqtap::capture::read::{Event, Item, Options, Reader};
use iqtap::rules::{Finding, Severity};
use iqtap::session::{Dir, Fate, Note, Pair, Seen, TlsInfo};
use iqtap::xmpp::Side;
use read_support::{CALLER, LISTENER, Wire};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Replaced always.
const SECRETS: [&str; 4] = ["aGVtbGlnaA", "hunter2-Zq9", "sm-id-7Xk", "room-Pass-3"];
/// Addresses, names, and what they are made of.
const NAMES: [&str; 12] = [
    "juliet",
    "capulet.example",
    "the balcony",
    "romeo",
    "montague.lit",
    "orchard",
    "Benvolio",
    "Nurse Angelica",
    "friar",
    "verona",
    "garden-club",
    "203.0.113.9",
];
/// What people wrote.
const TEXTS: [&str; 8] = [
    "O Romeo, Romeo",
    "wherefore art thou",
    "Out of town",
    "A Rose Garden",
    "1595-01-30",
    "it is the east",
    "Kinsfolk",
    "Mantua Street",
];

const HEADER: &str = "<stream:stream to='capulet.example' from='juliet@capulet.example' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
const ANSWER: &str = "<stream:stream from='capulet.example' id='s1' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// What both ends say: `C` the client, `S` the server.
const TALK: &[(char, &str)] = &[
    ('C', HEADER),
    ('S', ANSWER),
    (
        'S',
        "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms></stream:features>",
    ),
    ('C', "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>aGVtbGlnaA==</auth>"),
    ('S', "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"),
    (
        'C',
        "<iq type='set' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>the balcony</resource></bind></iq>",
    ),
    (
        'S',
        "<iq type='result' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>juliet@capulet.example/the balcony</jid></bind></iq>",
    ),
    ('C', "<enable xmlns='urn:xmpp:sm:3' resume='true'/>"),
    ('S', "<enabled xmlns='urn:xmpp:sm:3' id='sm-id-7Xk' resume='true'/>"),
    ('C', "<iq type='get' id='r1'><query xmlns='jabber:iq:roster'/></iq>"),
    (
        'S',
        "<iq type='result' id='r1' to='juliet@capulet.example/the balcony'><query xmlns='jabber:iq:roster'><item jid='romeo@montague.lit' name='Benvolio' subscription='both'><group>Kinsfolk</group></item><item jid='friar@verona.capulet.example' name='Nurse Angelica'/></query></iq>",
    ),
    (
        'C',
        "<presence><show>away</show><status>Out of town</status><priority>5</priority><c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='http://iqtap.example/' ver='QgayPKawpkPSDYmwT/WM94uAlu0='/></presence>",
    ),
    (
        'C',
        "<message to='Romeo@Montague.LIT/orchard' id='m1' type='chat'><body>O Romeo, Romeo, wherefore art thou?</body><nick xmlns='http://jabber.org/protocol/nick'>Benvolio</nick><thread>t-77</thread></message>",
    ),
    (
        'S',
        "<message from='romeo@montague.lit/orchard' to='juliet@capulet.example/the balcony' id='m2' type='chat'><body>ask romeo@montague.lit/orchard, Juliet! or friar; it is the east</body><delay xmlns='urn:xmpp:delay' stamp='2026-01-02T03:04:05Z' from='capulet.example'/></message>",
    ),
    (
        'C',
        "<iq type='set' id='v1'><vCard xmlns='vcard-temp'><FN>Nurse Angelica</FN><BDAY>1595-01-30</BDAY><ADR><STREET>Mantua Street</STREET></ADR><NICKNAME>Benvolio</NICKNAME></vCard></iq>",
    ),
    (
        'S',
        "<iq type='error' id='v1' from='juliet@capulet.example'><error type='cancel' by='capulet.example'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>juliet@capulet.example may not, O Romeo, Romeo</text></error></iq>",
    ),
    (
        'C',
        "<presence to='garden-club@conference.capulet.example/Benvolio'><x xmlns='http://jabber.org/protocol/muc'><password>room-Pass-3</password></x></presence>",
    ),
    (
        'S',
        "<iq type='result' id='d1' from='conference.capulet.example'><query xmlns='http://jabber.org/protocol/disco#items'><item jid='garden-club@conference.capulet.example' name='A Rose Garden' node='/home/capulet.example/juliet'/></query></iq>",
    ),
    (
        'C',
        "<iq type='set' id='f1'><query xmlns='jabber:iq:search'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>jabber:iq:search</value></field><field var='who'><value>juliet@capulet.example</value></field><field var='password'><value>hunter2-Zq9</value></field></x></query></iq>",
    ),
];

/// As our own recorder writes it: both legs, with comments.
fn ours() -> (TempDir, PathBuf) {
    let mut tape = Tape::new();
    let tls =
        TlsInfo { version: "TLSv1.3".into(), cipher: "X".into(), name: Some("capulet.example".into()), alpn: None };
    tape.note(1, &Note::Tls(Side::Server, tls));
    let mut number = 0;
    for (who, text) in TALK {
        let side = if *who == 'C' { Side::Client } else { Side::Server };
        for (side, dir) in [(side, Dir::In), (side.other(), Dir::Out)] {
            number += 1;
            let mut seen: Seen = capture_support::seen(side, dir, number, (*text).into());
            if text.contains("id='v1' from") && dir == Dir::In {
                seen.fate = Fate::Dropped("guard.rhai:7".to_owned());
                seen.pair = Some(Pair { request: 5, micros: 12_345 });
                seen.tags = vec!["about-romeo@montague.lit".to_owned()];
                let text =
                    "an answer to \"v1\" of \"juliet\" from romeo@montague.lit/orchard, not from capulet.example";
                let rule = iqtap::rules::Rule::named("rule4");
                seen.findings =
                    vec![Finding { rule, code: "rule4", severity: Severity::Violation, text: text.to_owned() }];
            }
            tape.note(1, &Note::Seen(Box::new(seen)));
        }
    }
    tape.note(1, &Note::Over(Box::default()));
    tape.finish()
}

/// As tcpdump writes it: on the wire between client and server.
fn theirs() -> Vec<u8> {
    let mut wire = Wire::open([40_000, 5222]);
    for (who, text) in TALK {
        wire.send(if *who == 'C' { CALLER } else { LISTENER }, text);
    }
    wire.close();
    wire.pcap()
}

fn iqtap(arguments: &[&str], folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_iqtap"));
    command.current_dir(folder).args(arguments).env_remove("RUST_LOG").env("NO_COLOR", "1");
    command
}

/// Exit code, stdout, stderr.
fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = iqtap(arguments, folder).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[track_caller]
fn lacks(path: &Path, planted: &[&str]) {
    let file = String::from_utf8_lossy(&fs::read(path).unwrap()).to_lowercase();
    for planted in planted {
        assert!(!file.contains(&planted.to_lowercase()), "{planted:?} is still in {}", path.display());
    }
}

fn items(path: &Path) -> Vec<Item> {
    let events = Reader::new(fs::File::open(path).unwrap(), &Options::default()).unwrap();
    let items: Vec<Item> = events
        .filter_map(|event| match event {
            Event::Item(item) => Some(item),
            Event::Trouble(trouble) => panic_with(&trouble.problem.to_string()),
            _ => None,
        })
        .collect();
    assert!(!items.is_empty());
    items
}

fn panic_with(why: &str) -> Option<Item> {
    assert_eq!(why, "", "the copy is not sound");
    None
}

/// What of an item must be as it was: where and when, which stanza, what became of it.
fn course(item: &Item) -> String {
    let story = item.story().map(|story| {
        let codes: Vec<_> = story.findings.iter().map(|f| (f.code, f.severity)).collect();
        format!("{} {:?} {:?} {:?} {codes:?}", story.number, story.fate, story.origin, story.pair)
    });
    let stanza =
        item.view().map(|view| format!("{} {:?} {:?} {:?}", view.name(), view.id(), view.kind(), view.payload()));
    // What is no stanza may have had a secret for an id.
    let stanza = stanza.filter(|text| !text.starts_with("enabled"));
    format!("{:?} {:?} {:?} {stanza:?} {story:?}", item.way(), item.kind, item.at)
}

#[test]
fn secrets_go_always() {
    let (folder, capture) = ours();
    let before = fs::read(&capture).unwrap();
    let (code, said, error) = run(folder.path(), &["redact", "tape.pcapng", "-o", "copy.pcapng"]);
    assert_eq!((code, error.as_str()), (0, ""));
    assert_eq!(said, format!("copy.pcapng: 2 conversations, {} items: secrets replaced\n", TALK.len() * 2));
    lacks(&folder.path().join("copy.pcapng"), &SECRETS);
    assert_eq!(fs::read(&capture).unwrap(), before, "the capture was touched");
    // What passed the recorder is written just as it was.
    let bytes = |path: &Path| items(path).into_iter().map(|item| item.bytes).collect::<Vec<_>>();
    assert!(bytes(&capture) == bytes(&folder.path().join("copy.pcapng")), "something was changed");
}

#[test]
fn what_never_passed_the_recorder_loses_its_secrets_too() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("dump.pcap"), theirs()).unwrap();
    let (code, said, error) = run(folder.path(), &["redact", "dump.pcap", "-o", "copy.pcapng"]);
    assert_eq!((code, error.as_str()), (0, ""), "{said}");
    let copy = folder.path().join("copy.pcapng");
    lacks(&copy, &SECRETS);
    let courses = |path: &Path| items(path).iter().map(course).collect::<Vec<_>>();
    let before = courses(&folder.path().join("dump.pcap"));
    assert!(courses(&copy) == before, "another course");
    assert_eq!(run(folder.path(), &["diff", "dump.pcap", "copy.pcapng"]).0, 0, "it says another thing");
    assert_eq!(run(folder.path(), &["diff", "dump.pcap", "copy.pcapng", "--leg", "server"]).0, 0);
}

#[test]
fn names_and_texts_go_if_asked_and_the_course_of_things_stays() {
    let (folder, capture) = ours();
    let dump = folder.path().join("dump.pcap");
    fs::write(&dump, theirs()).unwrap();
    for source in [&capture, &dump] {
        let copy = folder.path().join("copy.pcapng");
        let arguments = ["redact", source.to_str().unwrap(), "-o", "copy.pcapng", "--bodies", "--jids"];
        let (code, said, error) = run(folder.path(), &arguments);
        assert_eq!((code, error.as_str()), (0, ""));
        assert!(said.ends_with("secrets, texts and names replaced\n"), "{said}");
        lacks(&copy, &SECRETS);
        lacks(&copy, &NAMES);
        lacks(&copy, &TEXTS);
        let courses = |path: &Path| items(path).iter().map(course).collect::<Vec<_>>();
        assert!(courses(&copy) == courses(source), "another course");
        // What is no name and no text stays.
        let file = String::from_utf8_lossy(&fs::read(&copy).unwrap()).into_owned();
        for kept in ["<show>away</show>", "<thread>t-77</thread>", "2026-01-02T03:04:05Z", "subscription='both'"] {
            assert!(file.contains(kept), "{kept}");
        }
        for kept in ["<value>jabber:iq:search</value>", "node='http://iqtap.example/'", "QgayPKawpkPSDYmwT/WM94uAlu0="]
        {
            assert!(file.contains(kept), "{kept}");
        }
    }
}

#[test]
fn texts_alone_and_names_alone() {
    let (folder, _) = ours();
    let copy = folder.path().join("copy.pcapng");
    assert_eq!(run(folder.path(), &["redact", "tape.pcapng", "-o", "copy.pcapng", "--bodies"]).0, 0);
    lacks(&copy, &["O Romeo, Romeo", "Out of town", "A Rose Garden", "1595-01-30", "Mantua Street", "Kinsfolk"]);
    let file = String::from_utf8_lossy(&fs::read(&copy).unwrap()).into_owned();
    assert!(
        file.contains("to='Romeo@Montague.LIT/orchard'") && file.contains("<jid>juliet@capulet.example/the balcony")
    );
    assert!(file.contains("<value>juliet@capulet.example</value>"));
    assert_eq!(run(folder.path(), &["redact", "tape.pcapng", "-o", "copy.pcapng", "--jids"]).0, 0);
    lacks(&copy, &NAMES);
    let file = String::from_utf8_lossy(&fs::read(&copy).unwrap()).into_owned();
    assert!(file.contains("wherefore art thou?") && file.contains("Out of town"));
}

#[test]
fn the_same_name_is_the_same_everywhere() {
    let (folder, _) = ours();
    let copied = |name: &str, key: &str| {
        let arguments = ["redact", "tape.pcapng", "-o", name, "--jids", "--key", key];
        assert_eq!(run(folder.path(), &arguments).0, 0);
        items(&folder.path().join(name)).into_iter().map(|item| item.bytes).collect::<Vec<_>>()
    };
    let (one, again, other) = (copied("1.pcapng", "k"), copied("2.pcapng", "k"), copied("3.pcapng", "l"));
    assert!(one == again && one != other);
    let text: String = one.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect();
    let between = |start: &str, end: &str| {
        let (_, rest) = text.split_once(start).unwrap();
        rest.split_once(end).unwrap().0.to_owned()
    };
    let romeo = between("<item jid='", "'");
    assert_eq!(between("<message to='", "/"), romeo, "whatever its letters' case");
    assert!(text.contains(&format!("<body>ask {romeo}/")), "in a text: {text}");
    let comments: Vec<String> =
        items(&folder.path().join("1.pcapng")).into_iter().filter_map(|item| item.said.map(String::from)).collect();
    let comment = comments.iter().find(|comment| comment.contains("rule4")).unwrap();
    assert!(comment.contains(&format!("from {romeo}/")) && comment.contains("dropped by guard.rhai:7"), "{comment}");
    let domain = between("<stream:stream to='", "'");
    assert!(text.contains(&format!("from='conference.{domain}'")), "what is below a domain stays there");
    assert!(text.contains(&format!("<jid>{}@{domain}/", between("from='", "@"))));
    let nick = between("<nick xmlns='http://jabber.org/protocol/nick'>", "<");
    assert!(text.contains(&format!("name='{nick}'")) && text.contains(&format!("<NICKNAME>{nick}</NICKNAME>")));
    // Without a key nobody can say beforehand what comes out.
    assert_eq!(run(folder.path(), &["redact", "tape.pcapng", "-o", "4.pcapng", "--jids"]).0, 0);
    assert_eq!(run(folder.path(), &["redact", "tape.pcapng", "-o", "5.pcapng", "--jids"]).0, 0);
    assert_ne!(fs::read(folder.path().join("4.pcapng")).unwrap(), fs::read(folder.path().join("5.pcapng")).unwrap());
}

#[test]
fn what_was_lost_stays_lost_and_what_cannot_be_read_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut wire = Wire::open([40_000, 5222]);
    wire.send(CALLER, HEADER);
    wire.send(LISTENER, ANSWER);
    wire.lose(LISTENER, "<message><body>nobody saw this</body></message>");
    for number in 0..9 {
        wire.send(LISTENER, format!("<message id='m{number}' from='a@b'><body>x</body></message>"));
        wire.send(CALLER, format!("<presence id='p{number}'/>"));
    }
    wire.send(CALLER, "<message><body>sycamore</wrong></message>");
    wire.close();
    fs::write(folder.path().join("dump.pcap"), wire.pcap()).unwrap();
    let (code, said, _) = run(folder.path(), &["redact", "dump.pcap", "-o", "copy.pcapng"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("1 unreadable item left out"), "{said}");
    let copy = fs::read(folder.path().join("copy.pcapng")).unwrap();
    let told = read_support::told(&copy);
    assert!(told.iter().any(|line| line == "S hole 47+0"), "{told:#?}");
    assert!(!String::from_utf8_lossy(&copy).contains("sycamore"), "{told:#?}");
    assert!(told.iter().any(|line| line.contains("<redacted")), "{told:#?}");
    // Joined late, on a port that must be named.
    let mut late = Wire::open([40_000, 6222]);
    late.packets.clear();
    for number in 0..9 {
        late.send(CALLER, format!("<message id='m{number}' to='a@b'><body>x{number}</body></message>"));
    }
    fs::write(folder.path().join("late.pcap"), late.pcap()).unwrap();
    let (code, _, error) = run(folder.path(), &["redact", "late.pcap", "-o", "late.pcapng"]);
    assert_eq!(code, 0);
    assert!(error.contains("no XMPP in the clear was found in it"), "{error}");
    let (code, said, _) =
        run(folder.path(), &["redact", "late.pcap", "-o", "late.pcapng", "--port", "6222", "--bodies"]);
    assert_eq!(code, 0);
    let elements = |name: &str, ports: Vec<u16>| {
        let options = Options { ports, ..Options::default() };
        let file = fs::read(folder.path().join(name)).unwrap();
        read_support::told_with(&file, &options).iter().filter(|line| line.starts_with("C <message")).count()
    };
    assert_eq!(elements("late.pcapng", vec![]), elements("late.pcap", vec![6222]), "{said}");
}

#[test]
fn nothing_else_is_overwritten() {
    let (folder, capture) = ours();
    fs::write(folder.path().join("letter.txt"), "dear nurse").unwrap();
    let (code, _, error) = run(folder.path(), &["redact", "tape.pcapng", "-o", "letter.txt"]);
    assert_eq!(code, 2);
    assert!(error.contains("is no pcapng capture and is left as it is"), "{error}");
    assert_eq!(fs::read_to_string(folder.path().join("letter.txt")).unwrap(), "dear nurse");
    let before = fs::read(&capture).unwrap();
    for output in ["tape.pcapng", "./tape.pcapng"] {
        let (code, _, error) = run(folder.path(), &["redact", "tape.pcapng", "-o", output]);
        assert_eq!(code, 2);
        assert!(error.contains("another file than the capture"), "{error}");
    }
    fs::hard_link(&capture, folder.path().join("twin.pcapng")).unwrap();
    assert_eq!(run(folder.path(), &["redact", "tape.pcapng", "-o", "twin.pcapng"]).0, 2);
    assert_eq!(fs::read(&capture).unwrap(), before);
    let (code, _, error) = run(folder.path(), &["redact", "letter.txt", "-o", "new.pcapng"]);
    assert_eq!(code, 3);
    assert!(error.contains("neither a capture"), "{error}");
    assert!(!folder.path().join("new.pcapng").exists(), "a copy of nothing");
    assert_eq!(run(folder.path(), &["redact", "none.pcapng", "-o", "new.pcapng"]).0, 3);
    assert_eq!(run(folder.path(), &["redact", "tape.pcapng", "-o", "new.pcapng", "--key", ""]).0, 2);
    assert_eq!(run(folder.path(), &["redact", "tape.pcapng"]).0, 2);
}

#[test]
fn stdin_and_damaged_files_are_read_as_far_as_can_be() {
    let (folder, capture) = ours();
    let bytes = fs::read(&capture).unwrap();
    fs::write(folder.path().join("cut.pcapng"), &bytes[..bytes.len() * 2 / 3]).unwrap();
    let (code, said, error) = run(folder.path(), &["redact", "cut.pcapng", "-o", "copy.pcapng", "--jids", "--bodies"]);
    assert_eq!(code, 3, "{said}");
    assert!(error.contains("cut off") && error.contains("not read as a whole"), "{error}");
    assert_eq!(error.matches("cut off").count(), 1, "{error}");
    lacks(&folder.path().join("copy.pcapng"), &NAMES);
    let input = fs::File::open(&capture).unwrap();
    let mut command = iqtap(&["redact", "-", "-o", "piped.pcapng", "--jids", "--key", "k"], folder.path());
    assert!(command.stdin(Stdio::from(input)).stdout(Stdio::null()).status().unwrap().success());
    assert_eq!(run(folder.path(), &["redact", "tape.pcapng", "-o", "named.pcapng", "--jids", "--key", "k"]).0, 0);
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert!(read("piped.pcapng") == read("named.pcapng"));
}

/// Wireshark finds nothing wrong with a copy.
#[test]
fn tshark_reads_a_copy() {
    if Command::new("tshark").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "tshark does not run");
        return;
    }
    let (folder, _) = ours();
    assert_eq!(run(folder.path(), &["redact", "tape.pcapng", "-o", "copy.pcapng", "--jids", "--bodies"]).0, 0);
    let tshark = |arguments: &[&str]| {
        let output = Command::new("tshark")
            .args(["-2", "-r"])
            .arg(folder.path().join("copy.pcapng"))
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(tshark(&["-Y", "_ws.malformed || tcp.analysis.flags"]), "");
    assert_eq!(tshark(&["-Y", "xmpp.iq && xmpp.id == \"r1\"", "-T", "fields", "-e", "xmpp.type"]).lines().count(), 4);
}
