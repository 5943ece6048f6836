//! `iqtap script run FILE --on CAPTURE`, the real binary: today's scripts over yesterday's traffic.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod capture_support;
mod read_support;

use iqtap::capture::Recorder;
use iqtap::session::{Dir, Fate, Note, Origin, TlsInfo};
use iqtap::xmpp::{Side, Timestamp};
use read_support::{CALLER, LISTENER, Wire};
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

const JID: &str = "juliet@example.org/balcony";
const START: u64 = 1_700_000_000_000_000;

/// A recording under way: times are seconds from its beginning.
struct Past {
    recorder: Recorder,
    numbers: [u64; 4],
}

impl Past {
    fn new(folder: &Path) -> Self {
        let recorder = Recorder::create(&folder.join("past.pcapng"), "iqtap 0.0.0-test").unwrap();
        Self { recorder, numbers: [0; 4] }
    }

    fn item(&mut self, session: u64, at: u64, way: (Side, Dir), text: &str, fate: Fate, origin: Option<Origin>) -> u64 {
        self.numbers[session as usize] += 1;
        let number = self.numbers[session as usize];
        let mut seen = capture_support::seen(way.0, way.1, number, text.to_owned().into());
        (seen.fate, seen.origin) = (fate, origin.unwrap_or(seen.origin));
        self.note(session, at, &Note::Seen(Box::new(seen)));
        number
    }

    fn note(&mut self, session: u64, at: u64, note: &Note) {
        self.recorder.note(session, "203.0.113.9:40000", Timestamp(START + at * 1_000_000), note).unwrap();
    }

    /// Something comes in; gives its number.
    fn came(&mut self, session: u64, at: u64, side: Side, text: &str, fate: Fate) -> u64 {
        let passes = fate == Fate::Passed;
        let number = self.item(session, at, (side, Dir::In), text, fate, None);
        if passes {
            self.item(session, at, (side.other(), Dir::Out), text, Fate::Passed, Some(Origin::Forwarded(number)));
        }
        number
    }

    fn login(&mut self, session: u64, at: u64) {
        let bind = "urn:ietf:params:xml:ns:xmpp-bind";
        let header = |attributes: &str| {
            format!(
                "<stream:stream {attributes} version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
            )
        };
        let (c, s) = (Side::Client, Side::Server);
        self.came(session, at, c, &header("to='example.org'"), Fate::Passed);
        self.came(session, at, s, &header("from='example.org' id='1'"), Fate::Passed);
        self.came(
            session,
            at,
            c,
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>biws</auth>",
            Fate::Passed,
        );
        self.came(session, at, s, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", Fate::Passed);
        self.came(session, at, c, &header("to='example.org'"), Fate::Passed);
        self.came(session, at, s, &header("from='example.org' id='2'"), Fate::Passed);
        self.came(
            session,
            at,
            s,
            &format!("<stream:features><bind xmlns='{bind}'/><sm xmlns='urn:xmpp:sm:3'/></stream:features>"),
            Fate::Passed,
        );
        self.came(session, at, c, &format!("<iq type='set' id='b'><bind xmlns='{bind}'/></iq>"), Fate::Passed);
        self.came(
            session,
            at,
            s,
            &format!("<iq type='result' id='b'><bind xmlns='{bind}'><jid>{JID}</jid></bind></iq>"),
            Fate::Passed,
        );
        self.came(session, at, c, "<enable xmlns='urn:xmpp:sm:3' resume='true'/>", Fate::Passed);
        self.came(session, at, s, "<enabled xmlns='urn:xmpp:sm:3' resume='true' id='the-id'/>", Fate::Passed);
    }

    fn message(&mut self, session: u64, at: u64, body: &str, fate: Fate) -> u64 {
        let text = format!("<message id='m{at}' to='romeo@example.net'><body>{body}</body></message>");
        self.came(session, at, Side::Client, &text, fate)
    }

    fn finish(self) {
        self.recorder.finish().unwrap();
    }
}

/// Exit code, stdout, stderr.
fn run(folder: &Path, script: &str, arguments: &[&str]) -> (i32, String, String) {
    fs::write(folder.join("today.rhai"), script).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_iqtap"));
    command.current_dir(folder).args(["script", "run", "today.rhai"]).args(arguments);
    if !arguments.contains(&"--on") {
        command.args(["--on", "past.pcapng"]);
    }
    let output = command.env_remove("RUST_LOG").env("NO_COLOR", "1").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[track_caller]
fn says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in\n{said}");
    }
}

/// Five messages; the third was dropped by a script, the fourth rewritten.
fn five() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut past = Past::new(folder.path());
    past.login(1, 0);
    past.message(1, 1, "one", Fate::Passed);
    past.message(1, 2, "two", Fate::Passed);
    past.message(1, 3, "three", Fate::Dropped("old.rhai:1".to_owned()));
    let by = "old.rhai:2".to_owned();
    let number = past.message(1, 4, "four", Fate::Rewritten(by.clone()));
    let text = "<message id='m4' to='romeo@example.net'><body>FOUR</body></message>";
    past.item(1, 4, (Side::Server, Dir::Out), text, Fate::Passed, Some(Origin::Rewritten(number, by)));
    past.message(1, 100, "five", Fate::Passed);
    past.note(1, 101, &Note::Over(Box::default()));
    past.finish();
    folder
}

const SAME: &str = "fn on_message(stanza) {
    let body = stanza.text(\"body\");
    if body == \"three\" { return drop(); }
    if body == \"four\" { stanza.set_text(\"body\", \"FOUR\"); }
    pass()
}";

#[test]
fn the_same_scripts_decide_the_same() {
    let folder = five();
    let (code, said, error) = run(folder.path(), SAME, &[]);
    assert_eq!((code, error.as_str()), (0, ""), "{said}");
    says(&said, &["today.rhai on_message: 5 runs", "1 session, 5 stanzas: all became what they became then"]);
}

#[test]
fn what_is_decided_otherwise_is_told() {
    let folder = five();
    let (code, said, error) = run(folder.path(), &SAME.replace("three", "two"), &[]);
    assert_eq!((code, error.as_str()), (1, "iqtap: something else becomes of 2 stanzas\n"), "{said}");
    says(&said, &["message from the client\n    then passed\n    now  dropped by today.rhai:1"]);
    says(
        &said,
        &["    then dropped by old.rhai:1\n    now  passed", "2 otherwise (1 dropped -> passed, 1 passed -> dropped)"],
    );
    let (code, said, _) = run(folder.path(), &SAME.replace("FOUR", "4"), &[]);
    assert_eq!(code, 1);
    says(&said, &["- left then  + leaves now", "<body>FOUR</body>", "<body>4</body>", "1 rewritten -> rewritten"]);
    let (code, said, _) = run(folder.path(), &SAME.replace("three", "two"), &["--json"]);
    assert_eq!(code, 1);
    let lines: Vec<serde_json::Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        (lines.len(), &lines[0]["now"]["verdict"], &lines[1]["then"]["by"]),
        (3, &"dropped".into(), &"old.rhai:1".into())
    );
    assert_eq!((&lines[2]["stanzas"], &lines[2]["otherwise"]), (&5.into(), &2.into()));
}

#[test]
fn scripts_know_the_session_and_the_recorded_clock() {
    let folder = tempfile::tempdir().unwrap();
    let mut past = Past::new(folder.path());
    let tls = TlsInfo { version: "TLSv1.3".into(), cipher: "X".into(), ..TlsInfo::default() };
    past.note(1, 0, &Note::Tls(Side::Server, tls));
    past.login(1, 0);
    past.message(1, 1, "one", Fate::Passed);
    past.message(1, 60, "two", Fate::Passed);
    past.finish();
    let script = "fn on_bind(session) {
    state.begun = true;
    log(`${session.jid} ${session.domain} ${session.mechanism} ${session.tls} ${session.server_tls} ${session.peer}`);
    after(30, \"late\");
}
fn late(session) { state.late = true; log(\"thirty seconds\"); }
fn on_message(stanza, session) {
    if state.begun != true { return reject(\"conflict\"); }
    if state.late == true { return drop(); }
    pass()
}";
    let (code, said, _) = run(folder.path(), script, &[]);
    assert_eq!(code, 1, "{said}");
    says(&said, &["juliet@example.org/balcony example.org SCRAM-SHA-1 false true 203.0.113.9:40000", "thirty seconds"]);
    says(&said, &["1 otherwise (1 passed -> dropped)"]);
}

#[test]
fn a_resumed_session_goes_on_as_itself_and_acknowledgements_do_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let mut past = Past::new(folder.path());
    past.login(1, 0);
    past.message(1, 1, "one", Fate::Passed);
    past.came(1, 2, Side::Server, "<a xmlns='urn:xmpp:sm:3' h='1'/>", Fate::Passed);
    past.note(1, 3, &Note::Over(Box::default()));
    let header = "<stream:stream to='example.org' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
    past.came(2, 5, Side::Client, header, Fate::Passed);
    past.came(2, 5, Side::Server, &header.replace("to=", "id='3' from="), Fate::Passed);
    past.came(2, 5, Side::Client, "<resume xmlns='urn:xmpp:sm:3' previd='the-id' h='0'/>", Fate::Passed);
    past.came(2, 5, Side::Server, "<resumed xmlns='urn:xmpp:sm:3' previd='the-id' h='1'/>", Fate::Passed);
    past.message(2, 6, "two", Fate::Passed);
    past.finish();
    let script = "fn on_message(stanza) {
    state.count = (state.count ?? 0) + 1;
    if state.count == 2 { return drop(); }
    pass()
}";
    let (code, said, _) = run(folder.path(), script, &[]);
    assert_eq!(code, 1, "{said}");
    says(&said, &["session 2, packet", "now  dropped by today.rhai:1", "1 session, 2 stanzas: 1 otherwise"]);
    let (code, _, error) = run(folder.path(), script, &["--session", "7"]);
    assert_eq!((code, error.as_str()), (2, "iqtap: past.pcapng has no session 7\n"));
}

#[test]
fn scripts_share_and_fail_as_live() {
    let folder = tempfile::tempdir().unwrap();
    let mut past = Past::new(folder.path());
    past.login(1, 0);
    past.login(2, 1);
    past.message(1, 2, "one", Fate::Passed);
    past.message(2, 3, "two", Fate::Passed);
    past.message(1, 4, "boom", Fate::Passed);
    past.finish();
    let script = "fn on_message(stanza) {
    if stanza.text(\"body\") == \"boom\" { throw \"so it goes\"; }
    let seen = shared.get(\"seen\") ?? 0;
    shared.set(\"seen\", seen + 1);
    if seen == 1 { return reject(\"not-allowed\"); }
    pass()
}";
    let (code, said, error) = run(folder.path(), script, &[]);
    assert_eq!(code, 1, "{said}");
    says(
        &said,
        &[
            "so it goes",
            "today.rhai on_message: 3 runs, 1 error",
            "2 sessions, 3 stanzas: 1 otherwise (1 passed -> rejected)",
        ],
    );
    says(&error, &["something else becomes of 1 stanza, scripts failed once"]);
    fs::write(folder.path().join("iqtap.toml"), "on_script_error = 'drop'\n").unwrap();
    let (_, said, _) = run(folder.path(), script, &["--config", "iqtap.toml"]);
    says(&said, &["now  dropped by script error"]);
}

#[test]
fn an_answer_comes_only_if_its_request_has_arrived() {
    let folder = tempfile::tempdir().unwrap();
    let mut past = Past::new(folder.path());
    past.login(1, 0);
    past.came(1, 1, Side::Client, "<iq type='get' id='v'><vCard xmlns='vcard-temp'/></iq>", Fate::Passed);
    past.came(1, 2, Side::Server, "<iq type='result' id='v'><vCard xmlns='vcard-temp'/></iq>", Fate::Passed);
    // What a rule did then, it does now.
    past.came(
        1,
        3,
        Side::Client,
        "<iq type='nonsense' id='x'><ping xmlns='urn:xmpp:ping'/></iq>",
        Fate::Rejected("bad-request".into(), "rule2".into()),
    );
    past.came(
        1,
        4,
        Side::Client,
        "<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>",
        Fate::Answered("answer urn:xmpp:ping".into()),
    );
    past.finish();
    let (code, said, _) = run(
        folder.path(),
        "fn on_iq(iq) { if iq.payload_ns == \"vcard-temp\" { return reject(\"forbidden\"); } pass() }",
        &[],
    );
    assert_eq!(code, 1, "{said}");
    says(
        &said,
        &["1 session, 3 stanzas: 1 otherwise (1 passed -> rejected)", "1 answers to requests that reach nobody"],
    );
    says(&said, &["1 answered by iqtap itself then"]);
}

#[test]
fn somebody_elses_recording_has_passed_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let bind = "urn:ietf:params:xml:ns:xmpp-bind";
    let mut wire = Wire::open([40_000, 5222]);
    wire.send(CALLER, read_support::HEADER);
    wire.send(LISTENER, read_support::ANSWER);
    wire.send(CALLER, format!("<iq type='set' id='b'><bind xmlns='{bind}'/></iq>"));
    wire.send(LISTENER, format!("<iq type='result' id='b'><bind xmlns='{bind}'><jid>{JID}</jid></bind></iq>"));
    wire.send(CALLER, "<message id='1'><body>one</body></message>");
    wire.send(LISTENER, "<message id='2'><body>three</body></message>");
    wire.close();
    fs::write(folder.path().join("dump.pcap"), wire.pcap()).unwrap();
    let (code, said, _) = run(folder.path(), SAME, &["--on", "dump.pcap"]);
    assert_eq!(code, 1, "{said}");
    says(
        &said,
        &["session 1, packet 9: message from the server", "then passed", "now  dropped", "2 stanzas: 1 otherwise"],
    );
    let (code, said, _) = run(folder.path(), "fn on_message(m) { pass() }", &["--on", "dump.pcap"]);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn what_cannot_be_is_refused() {
    let folder = five();
    let (code, _, error) = run(folder.path(), "fn on_message(stanza) {", &[]);
    assert_eq!(code, 2);
    says(&error, &["today.rhai:1:"]);
    let (code, _, error) = run(folder.path(), SAME, &["--on", "none.pcapng"]);
    assert_eq!(code, 3);
    says(&error, &["none.pcapng"]);
    let bytes = fs::read(folder.path().join("past.pcapng")).unwrap();
    fs::write(folder.path().join("cut.pcapng"), &bytes[..bytes.len() - 5]).unwrap();
    let (code, said, error) = run(folder.path(), SAME, &["--on", "cut.pcapng"]);
    assert_eq!(code, 3, "{said}");
    says(&error, &["cut off", "it was not read as a whole"]);
}
