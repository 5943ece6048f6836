//! What is told of a capture: as live, by the same rules, by the same ledger; and a book of it that holds.
#![expect(clippy::unwrap_used, reason = "a test that cannot read its own file has failed")]

mod read_support;

use iqtap::capture::Recorder;
use iqtap::capture::read::{Options, Reader};
use iqtap::inspect::{Printer, PrinterOptions};
use iqtap::play;
use iqtap::policy::{ClientTls, Policy, Route, ServerTls};
use iqtap::replay::{Check, Ledger, Playbook, Report, Row, Scansion, Teller, Told};
use iqtap::rules::{Mode, Modes, Severity};
use iqtap::session::{Input, Note, Outbox, Session, Tally, TlsInfo};
use iqtap::xmpp::{Side, Timestamp};
use read_support::{ANSWER, CALLER, HEADER, LISTENER, Packet, Wire};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

const C: Side = Side::Client;
const S: Side = Side::Server;

/// What happens in a session, one thing after another, a tenth of a second between.
fn story() -> Vec<Input<'static>> {
    const HEAD: &[u8] = b"<?xml version='1.0'?><stream:stream to='example.org' version='1.0' xmlns='jabber:client' \
        xmlns:stream='http://etherx.jabber.org/streams'>";
    const SERVER_HEAD: &[u8] = b"<stream:stream from='example.org' id='s1' version='1.0' xmlns='jabber:client' \
        xmlns:stream='http://etherx.jabber.org/streams'>";
    let tls = || TlsInfo { version: "TLSv1.3".into(), cipher: "CIPHER".into(), ..TlsInfo::default() };
    vec![
        Input::Bytes(C, HEAD),
        Input::Bytes(C, b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"),
        Input::TlsUp(C, tls()),
        Input::Bytes(C, HEAD),
        Input::Dialed,
        Input::Bytes(S, SERVER_HEAD),
        Input::Bytes(
            S,
            b"<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism>\
              </mechanisms></stream:features>",
        ),
        Input::Bytes(C, b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldABzZWNyZXQ=</auth>"),
        Input::Bytes(S, b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"),
        Input::Bytes(C, HEAD),
        Input::Bytes(S, SERVER_HEAD),
        Input::Bytes(S, b"<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>"),
        Input::Bytes(C, b"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"),
        Input::Bytes(
            S,
            b"<iq type='result' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>j@example.org/x</jid></bind></iq>",
        ),
        Input::Bytes(C, b"<presence/> <iq type='get' id='p1' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>"),
        Input::Bytes(C, b"<iq type='get' id='two' to='example.org'><a xmlns='b'/><c xmlns='d'/></iq>"),
        Input::Bytes(S, b"<iq type='result' id='p1' from='example.org'/><message id='m'><body>a \"q\"; rule1 violation: $x\r\ny</body></message>"),
        // Nobody asked; then by somebody else than was asked; then by whom was asked, as an error without an <error/>.
        Input::Bytes(S, b"<iq type='result' id='what; rule1 violation: no'/>"),
        Input::Bytes(C, b"<iq type='get' id='v' to='romeo@example.net/o'><query xmlns='jabber:iq:version'/></iq>"),
        Input::Bytes(S, b"<iq type='result' id='v' from='mallory@example.net/o'><query xmlns='jabber:iq:version'/></iq>"),
        Input::Bytes(S, b"<iq type='error' id='v' from='romeo@example.net/o'><query xmlns='jabber:iq:version'/></iq>"),
        Input::Bytes(S, b"<iq type='get' id='s' from='romeo@example.net/o' to='j@example.org/x'><time xmlns='urn:xmpp:time'/></iq>"),
        Input::Bytes(C, b"<iq type='result' id='s' to='romeo@example.net/o'><time xmlns='urn:xmpp:time'/></iq>"),
        Input::Bytes(C, b"<iq type='get' id='never'><query xmlns='jabber:iq:private'/></iq>"),
        Input::Bytes(C, b"</stream:stream>"),
        Input::Bytes(S, b"</stream:stream>"),
        Input::Eof(C),
        Input::Eof(S),
    ]
}

/// Text that was printed.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn printer(json: bool) -> (Printer, Paper) {
    let paper = Paper::default();
    (Printer::new(PrinterOptions { json, ..PrinterOptions::default() }, Box::new(paper.clone())), paper)
}

/// A live session: its capture, what was printed of it, and its notes.
struct Live {
    file: Vec<u8>,
    json: String,
    lines: String,
    notes: Vec<Note>,
    tally: Tally,
}

fn live(mode: Mode) -> Live {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("live.pcapng");
    let mut recorder = Recorder::create(&path, "iqtap").unwrap();
    let ((mut json, json_paper), (mut lines, lines_paper)) = (printer(true), printer(false));
    let route = Route { client_tls: ClientTls::Offer, server_tls: ServerTls::Off, ..Route::default() };
    let policy = Policy { number: 1, rules: Modes::all(mode), ..Policy::default() };
    let mut now = Timestamp(1_700_000_000_000_000);
    let mut session = Session::new(now, Arc::new(route), Arc::new(policy), 4, "192.0.2.1:7", 1);
    let mut out = Outbox { watched: true, ..Outbox::default() };
    let mut notes = Vec::new();
    // The server is called on the plain header already, and once more behind TLS.
    let mut inputs = story();
    inputs.insert(1, Input::Dialed);
    for (at, text) in [
        (
            2,
            &b"<stream:stream from='example.org' id='s0' version='1.0' xmlns='jabber:client' \
        xmlns:stream='http://etherx.jabber.org/streams'>"[..],
        ),
        (
            3,
            b"<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
        <mechanism>PLAIN</mechanism></mechanisms></stream:features>",
        ),
    ] {
        inputs.insert(at, Input::Bytes(S, text));
    }
    for input in inputs {
        now = Timestamp(now.0 + 100_000);
        session.handle(now, input, &mut out);
        out.to.iter_mut().for_each(|to| to.clear());
        out.acts.clear();
        for note in out.notes.drain(..) {
            recorder.note(4, "192.0.2.1:7", now, &note).unwrap();
            json.note(4, "192.0.2.1:7", now, &note).unwrap();
            lines.note(4, "192.0.2.1:7", now, &note).unwrap();
            notes.push(note);
        }
    }
    assert!(session.is_over());
    recorder.finish().unwrap();
    let tally = session.tally().clone();
    json.finish(&tally).unwrap();
    lines.finish(&tally).unwrap();
    let file = std::fs::read(path).unwrap();
    Live { file, json: json_paper.text(), lines: lines_paper.text(), notes, tally }
}

fn told(file: &[u8]) -> (Vec<Told>, Tally) {
    let mut teller = Teller::new(Policy::default());
    let mut all = Vec::new();
    for event in Reader::new(file, &Options::default()).unwrap() {
        teller.event(&event, &mut |told| all.push(told));
    }
    (all, teller.finish())
}

fn shown(file: &[u8], json: bool) -> String {
    let (mut printer, paper) = printer(json);
    let (all, tally) = told(file);
    for Told { session, peer, at, note } in all {
        printer.note(session, &peer, at, &note).unwrap();
    }
    printer.finish(&tally).unwrap();
    paper.text()
}

fn check(file: &[u8], policy: Policy) -> (Vec<String>, Report) {
    let mut check = Check::new(policy, Severity::Info);
    let mut found = Vec::new();
    for event in Reader::new(file, &Options::default()).unwrap() {
        check.event(&event, &mut |told| match told.note {
            Note::Finding { side, number, finding, alone, .. } => {
                found.push(format!("{side:?} {} #{number}{}", finding.code, if alone { " alone" } else { "" }));
            }
            Note::Hint(text) => found.push(text),
            _ => {}
        });
    }
    (found, check.finish())
}

fn rows(file: &[u8], all: bool) -> Vec<Row> {
    let mut ledger = Ledger::new(all);
    let mut rows = Vec::new();
    for event in Reader::new(file, &Options::default()).unwrap() {
        ledger.event(&event, &mut |row| rows.push(row));
    }
    ledger.finish(&mut |row| rows.push(row));
    rows
}

/// What a recording cannot tell: hints, which features were stripped, and when just a handshake was done.
fn without_the_untold(text: &str) -> Vec<String> {
    let untold = ["\"stripped\":", "\"event\":\"hint\"", "hint: ", "joined to", "TLSv1.3"];
    text.lines().filter(|line| !untold.iter().any(|part| line.contains(part))).map(str::to_owned).collect()
}

#[test]
fn a_capture_is_shown_as_the_session_was() {
    for mode in [Mode::Off, Mode::Report, Mode::Enforce] {
        let live = live(mode);
        assert_eq!(without_the_untold(&shown(&live.file, true)), without_the_untold(&live.json), "{mode:?}");
        assert_eq!(without_the_untold(&shown(&live.file, false)), without_the_untold(&live.lines), "{mode:?}");
        let (notes, tally) = told(&live.file);
        assert_eq!(tally, live.tally, "{mode:?}");
        assert!(notes.iter().any(|told| matches!(&told.note, Note::Joined { domain, .. } if domain == "example.org")));
    }
}

#[test]
fn checking_finds_what_was_found_live() {
    // Whatever was done about it then: what the peers sent is the same.
    for mode in [Mode::Report, Mode::Enforce, Mode::Off] {
        let live = live(mode);
        let (found, report) = check(&live.file, Policy::default());
        let expected: Vec<_> =
            ["Client rule5", "Server rule4", "Server iq-spoof", "Server rule7"].map(str::to_owned).to_vec();
        let codes: Vec<String> = found.iter().map(|found| found.split(" #").next().unwrap().to_owned()).collect();
        assert_eq!(codes, expected, "{mode:?}");
        assert_eq!((report.found, report.stanzas), (4, live.tally.stanzas.iter().flatten().sum::<u64>()), "{mode:?}");
        assert_eq!(report.tally.stanzas, live.tally.stanzas, "{mode:?}");
        assert_eq!(report.tally.bytes, live.tally.bytes, "{mode:?}");
        if mode == Mode::Report {
            let told_live: Vec<_> = live
                .notes
                .iter()
                .filter_map(|note| match note {
                    Note::Finding { side, number, finding, .. } => Some(format!("{side:?} {} #{number}", finding.code)),
                    _ => None,
                })
                .collect();
            assert_eq!(found, told_live);
            assert_eq!(report.tally, live.tally);
        }
    }
    let (found, report) = check(&live(Mode::Report).file, Policy { rules: Modes::all(Mode::Off), ..Policy::default() });
    assert_eq!((found.len(), report.found), (0, 0));
}

#[test]
fn the_ledger_says_who_answered_whom() {
    let text = |row: &Row| {
        let answer = row.answer.as_ref().map_or_else(
            || "none".to_owned(),
            |a| format!("{} after {} ms by {}", a.condition.as_deref().unwrap_or("result"), a.micros / 1000, a.by),
        );
        format!(
            "{:?} {} -> {}: {}",
            row.leg,
            row.from.as_deref().unwrap_or("-"),
            row.to.as_deref().unwrap_or("-"),
            answer
        )
    };
    let told: Vec<_> = rows(&live(Mode::Enforce).file, false).iter().map(text).collect();
    let expected = [
        "Some(Client) - -> -: result after 100 ms by server",
        "Some(Client) j@example.org/x -> example.org: result after 200 ms by server",
        "Some(Client) j@example.org/x -> example.org: bad-request after 0 ms by iqtap (rule5)",
        "Some(Client) j@example.org/x -> romeo@example.net/o: undefined-condition after 200 ms by server, changed by rule7",
        "Some(Server) romeo@example.net/o -> j@example.org/x: result after 100 ms by client",
        "Some(Client) j@example.org/x -> -: none",
    ];
    assert_eq!(told, expected);
    // On both legs: all but the one that was answered here.
    assert_eq!(rows(&live(Mode::Enforce).file, true).len(), 6 + 5);
}

/// A conversation in the clear that somebody else has recorded: logged in by a mechanism that iqtap would not let pass.
fn foreign() -> Wire {
    let mut wire = Wire::open([40_000, 5299]);
    let head = HEADER.replace("to='d'", "to='example.org' version='1.0'");
    let answer = ANSWER.replace("from='d'", "from='example.org' version='1.0'");
    wire.send(CALLER, &head);
    wire.send(LISTENER, &answer);
    wire.send(LISTENER, "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-1-PLUS</mechanism></mechanisms></stream:features>");
    wire.send(CALLER, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1-PLUS'>eA==</auth>");
    wire.send(LISTENER, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
    wire.send(CALLER, &head);
    wire.send(LISTENER, &answer);
    wire.send(LISTENER, "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>");
    wire.send(CALLER, "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
    wire.send(LISTENER, "<iq type='result' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>j@example.org/x</jid></bind></iq>");
    wire
}

#[test]
fn a_recording_of_somebody_elses_is_judged_as_if_iqtap_had_been_there() {
    let mut wire = foreign();
    wire.send(CALLER, "<iq type='get' id='1' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>");
    wire.send(LISTENER, "<iq type='result' id='1' from='Example.ORG'/>");
    wire.send(CALLER, "<iq type='get' id='2'/>");
    wire.send(CALLER, "<iq type='get' id='3'><ping xmlns='urn:xmpp:ping'/></iq>");
    wire.send(LISTENER, "<iq type='set' id='push' from='mallory@example.net'><query xmlns='jabber:iq:roster'/></iq>");
    wire.send(LISTENER, "<message from='mallory@example.net'><received xmlns='urn:xmpp:carbons:2'/></message>");
    wire.at += 90_000_000;
    wire.send(LISTENER, "<iq type='result' id='4'/>");
    wire.close();
    let (found, report) = check(&wire.pcap(), Policy::default());
    assert_eq!(
        found,
        [
            "Client rule5 #13",
            "Server push-spoof #15",
            "Server carbon-spoof #16",
            "Server rule3 #13 alone",
            "Server rule3 #14 alone",
            "Server rule4 #17",
        ]
    );
    assert_eq!(report.found, 6);
    let text = shown(&wire.pcap(), false);
    for words in
        ["joined to example.org", "bound to j@example.org/x", "SCRAM-SHA-1-PLUS", "└ rule 5:", "passed  1.00 ms"]
    {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
}

#[test]
fn where_something_is_missing_nobody_is_blamed_for_it() {
    let mut wire = foreign();
    wire.send(CALLER, "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>");
    wire.lose(
        LISTENER,
        "<iq type='result' id='1'/><iq type='get' id='s' from='example.org'><ping xmlns='urn:xmpp:ping'/></iq>",
    );
    wire.send(LISTENER, "<message/>");
    for _ in 0..40 {
        wire.send(CALLER, "<r xmlns='urn:xmpp:sm:3'/>");
    }
    // It answers what was lost; and breaks what can be seen all the same.
    wire.send(CALLER, "<iq type='result' id='s' to='example.org'/>");
    wire.send(CALLER, "<iq type='get'><ping xmlns='urn:xmpp:ping'/></iq>");
    wire.at += 200_000_000;
    wire.send(CALLER, "<presence/>");
    // By now all is known again.
    wire.send(CALLER, "<iq type='result' id='t' to='example.org'/>");
    wire.close();
    let (found, _) = check(&wire.pcap(), Policy::default());
    let told: Vec<_> = found.iter().map(|found| found.split(" #").next().unwrap()).collect();
    let bytes = "101 bytes of the listener were not recorded";
    assert_eq!(told, [bytes, "Client rule1", "Server rule3", "Client rule4"], "{found:?}");
}

#[test]
fn a_conversation_joined_late_is_not_blamed_for_what_came_before() {
    let mut wire = Wire::open([40_000, 5222]);
    wire.packets.clear();
    wire.send(LISTENER, "<iq type='result' id='before' from='example.org' to='j@example.org/x'/>");
    wire.send(CALLER, "<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>");
    wire.send(LISTENER, "<iq type='result' id='1' from='j@example.org' to='j@example.org/x'/>");
    wire.send(LISTENER, "<iq type='set' id='push' from='mallory@example.net' to='j@example.org/x'><query xmlns='jabber:iq:roster'/></iq>");
    wire.send(CALLER, "<iq type='get' id='2'/>");
    let (found, report) = check(&wire.pcap(), Policy::default());
    assert_eq!(found, ["Server push-spoof #4", "Client rule5 #5"]);
    assert_eq!(report.tally.stanzas, [[0, 0, 2], [0, 0, 3]]);
    assert_eq!(
        report.tally.iqs.iter().map(|iq| iq.ns.as_str()).collect::<Vec<_>>(),
        ["urn:xmpp:ping", "jabber:iq:roster", ""]
    );
    let rows = rows(&wire.pcap(), false);
    let answered: Vec<_> = rows.iter().map(|row| (row.id.as_deref().unwrap(), row.answer.is_some())).collect();
    assert_eq!(answered, [("1", true), ("push", false), ("2", false)]);
}

#[test]
fn stanzas_without_a_stream_are_checked_for_what_they_show() {
    let text = "<iq type='get' id='1'><a xmlns='x'/><b xmlns='x'/></iq>\n<iq type='result' id='nobody'/>\n<iq type='get' id='1'/>";
    let (found, report) = check(text.as_bytes(), Policy::default());
    assert_eq!(found, ["Client rule5 #1", "Client rule5 #5"]);
    assert_eq!(report.stanzas, 3);
    let mut check = Check::new(Policy::default(), Severity::Violation);
    let server = Options { sender: S, ..Options::default() };
    Reader::new(text.as_bytes(), &server).unwrap().for_each(|event| check.event(&event, &mut |_| {}));
    let report = check.finish();
    assert_eq!(report.tally.stanzas, [[0, 0, 0], [0, 0, 3]]);
    assert_eq!(report.tally.findings.iter().map(|f| (f.code, f.side, f.count)).collect::<Vec<_>>(), [("rule5", S, 2)]);
}

fn book(file: &[u8]) -> String {
    let mut book = Playbook::new(None);
    Reader::new(file, &Options::default()).unwrap().for_each(|event| book.event(&event).unwrap());
    book.finish("it.pcapng").unwrap()
}

#[test]
fn a_book_of_a_session_holds() {
    let mut wire = foreign();
    wire.send(CALLER, "<iq type='get' id='1' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq><presence/> ");
    wire.send(CALLER, "<message to='a@b'><body>5 $ \\ * and\n two lines\t</body></message>");
    wire.at += 61_500_000;
    wire.send(LISTENER, "<iq type='result' id='1' from='example.org'/>");
    wire.send(
        LISTENER,
        "<x:iq xmlns:x='jabber:client' type='get' id='&#10;' from='a@b'><p xmlns='q' a='&#x9;$$'/></x:iq>",
    );
    wire.send(CALLER, "<iq type='get'/>");
    wire.send(CALLER, "</stream:stream>");
    wire.send(LISTENER, "</stream:stream>");
    wire.close();
    let books = [book(&wire.pcap()), book(&live(Mode::Report).file), book(&live(Mode::Enforce).file)];
    for text in &books {
        let read = play::book(text).unwrap_or_else(|why| panic!("{why}\n{text}"));
        let proved = play::prove(&read, Path::new("it.play"), &[1, 2, 3]);
        assert!(proved.is_ok(), "{proved:?}\n{text}");
    }
    for (text, words) in [
        (&books[0], "finding S rule3"),
        (&books[0], "wait 61"),
        (&books[1], "finding S iq-spoof"),
        (&books[2], "policy rules = \"enforce\""),
        (&books[2], "to C: <iq"),
    ] {
        assert!(text.contains(words), "{words} is not in\n{text}");
    }
    // It is a test: something else coming out breaks it.
    let other = books[2].replacen("policy rules = \"enforce\"", "policy rules = \"report\"", 1);
    assert!(play::prove(&play::book(&other).unwrap(), Path::new("it.play"), &[]).is_err());
}

#[test]
fn a_script_for_scansion_has_both_sides_of_each_client() {
    let mut script = Scansion::new(None);
    Reader::new(&live(Mode::Enforce).file[..], &Options::default())
        .unwrap()
        .for_each(|event| script.event(&event).unwrap());
    let text = script.finish("it.pcapng").unwrap();
    let expected = "# it.pcapng\n\n[Client] J\n\tjid: j@example.org\n\tpassword: password\n\tresource: x\n\n-----\n\nJ connects\n\n\
                    J sends:\n\t<presence/>\n\nJ sends:\n\t<iq type='get' id='p1' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>\n";
    assert!(text.starts_with(expected), "{text}");
    assert!(text.contains("J receives:\n\t<iq type='result' id='p1' from='example.org'/>\n"), "{text}");
    assert!(text.contains("to=\"${J's full JID}\""), "{text}");
    assert!(text.ends_with("\nJ disconnects\n"), "{text}");
    assert!(!text.contains("starttls") && !text.contains("<auth"), "{text}");
}

#[test]
fn what_cannot_be_a_book_is_said() {
    let why = |wire: &Wire| {
        let mut book = Playbook::new(None);
        Reader::new(&wire.pcap()[..], &Options::default()).unwrap().for_each(|event| book.event(&event).unwrap());
        book.finish("it.pcapng").unwrap_err()
    };
    let mut nobody = Wire::open([40_000, 5299]);
    nobody.send(CALLER, HEADER);
    assert!(why(&nobody).contains("nothing to play"));
    let mut two = foreign();
    two.send(CALLER, "<presence/>");
    let mut second = two.clone();
    for Packet { data, .. } in &mut second.packets {
        // Another port of the caller.
        let place = if data[20..22] == 40_000_u16.to_be_bytes() { 20..22 } else { 22..24 };
        data[place].copy_from_slice(&40_001_u16.to_be_bytes());
    }
    two.packets.append(&mut second.packets);
    assert!(why(&two).contains("choose one with --session"));
}
