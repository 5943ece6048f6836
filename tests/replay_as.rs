//! `iqtap replay --as client` and `--as server`, with the built-in server and with each other: no peer from outside.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends where something is not as it must be, and says what it saw"
)]

mod peers;
mod read_support;

use peers::{CLEAR, DOMAIN, Iqtap, Mock, Raw, builtin, play};
use read_support::{CALLER, LISTENER, Wire};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

const OFF: [&str; 3] = ["--json", "--tls", "off"];

/// The requests of the recorded session, by their ids.
const ASKS: [(&str, &str); 4] = [
    ("r1", "<iq type='get' id='r1'><query xmlns='jabber:iq:roster'/></iq>"),
    ("r2", "<iq type='get' id='r2' to='xmpp.test'><query xmlns='jabber:iq:version'/></iq>"),
    ("r3", "<iq type='get' id='r3' to='xmpp.test'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"),
    ("r4", "<iq type='get' id='r4' to='xmpp.test'><never xmlns='urn:heard:of'/></iq>"),
];

/// Juliet's session at the built-in server, recorded by iqtap between them.
fn recorded() -> PathBuf {
    static RECORDED: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let record = || {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("juliet.pcapng");
        let mut iqtap = Iqtap::run(builtin(), &[&CLEAR[..], &["--record", file.to_str().unwrap()]].concat());
        let mut juliet = Raw::login(iqtap.port, "juliet", "whatever");
        for (id, ask) in &ASKS[..2] {
            juliet.ask(id, ask).unwrap();
        }
        juliet.send("<presence id='p'/>").unwrap();
        let jid = juliet.jid.clone();
        juliet.send(&format!("<message to='{jid}' id='m' type='chat'><body>to myself</body></message>")).unwrap();
        while juliet.element().unwrap().name != "message" {}
        for (id, ask) in &ASKS[2..] {
            juliet.ask(id, ask).unwrap();
        }
        drop(juliet);
        assert!(iqtap.stop().success(), "{}", iqtap.log());
        (dir, file)
    };
    RECORDED.get_or_init(record).1.clone()
}

#[test]
fn a_client_finds_the_same_server_the_same() {
    let capture = recorded();
    // Juliet's real password: the server has SCRAM, which is taken before PLAIN.
    let played = play(&capture, builtin(), "juliet@xmpp.test", "secret", &OFF).ends(0).json();
    assert_eq!(played["same"], true, "{played}");
    assert_eq!(played["differences"], json!([]));
    assert_eq!(played["sent"], 6, "{played}");
    assert_eq!(played["requests"]["answered"], 4);
    assert_eq!(played["ended"], json!(null));
    // Somebody else in another domain, whom nobody knows: no roster to speak of.
    let played = play(&capture, builtin(), "juliet@other.test/elsewhere", "secret", &OFF).ends(0).json();
    assert_eq!((&played["same"], &played["jid"]), (&json!(true), &json!("juliet@other.test/elsewhere")), "{played}");
    let wrong = play(&capture, builtin(), "juliet@xmpp.test", "Falsch", &OFF).ends(3);
    assert!(wrong.err.contains("may not log in: not-authorized") && !wrong.err.contains("Falsch"), "{}", wrong.err);
}

/// A conversation that somebody else recorded, after the login.
fn foreign(dir: &Path, stanzas: &[(usize, &str)]) -> PathBuf {
    let mut wire = Wire::open([40_000, 5222]);
    let bind = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>";
    let sasl = "urn:ietf:params:xml:ns:xmpp-sasl";
    wire.send(CALLER, read_support::HEADER);
    wire.send(LISTENER, read_support::ANSWER);
    wire.send(LISTENER, "<stream:features/>");
    wire.send(CALLER, format!("<auth xmlns='{sasl}' mechanism='PLAIN'>AGp1bGlldABzZWNyZXQ=</auth>"));
    wire.send(LISTENER, format!("<success xmlns='{sasl}'/>"));
    wire.send(CALLER, read_support::HEADER);
    wire.send(LISTENER, read_support::ANSWER);
    wire.send(LISTENER, format!("<stream:features>{bind}</stream:features>"));
    wire.send(CALLER, format!("<iq type='set' id='b'>{bind}</iq>"));
    wire.send(
        LISTENER,
        "<iq type='result' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>romeo@d/r</jid></bind></iq>",
    );
    for (from, stanza) in stanzas {
        wire.send(*from, stanza);
    }
    let file = dir.join("foreign.pcap");
    std::fs::write(&file, wire.pcap()).unwrap();
    file
}

#[test]
fn differences_are_told_and_make_the_exit_code() {
    let dir = tempfile::tempdir().unwrap();
    let capture = foreign(
        dir.path(),
        &[
            (CALLER, "<iq type='get' id='1' to='d'><query xmlns='jabber:iq:version'/></iq>"),
            (
                LISTENER,
                "<iq type='result' id='1' from='d'><query xmlns='jabber:iq:version'><name>Other</name></query></iq>",
            ),
            (CALLER, "<iq type='get' id='2' to='d'><ping xmlns='urn:xmpp:ping'/></iq>"),
            (LISTENER, "<iq type='result' id='2' from='d'/>"),
            (LISTENER, "<message from='juliet@d'><body>never again</body></message>"),
            (
                CALLER,
                "<iq type='get' id='3'><query xmlns='jabber:iq:private'><p xmlns='x'><password>[redacted 3 bytes]</password></p></query></iq>",
            ),
            (LISTENER, "<iq type='result' id='3'/>"),
            (CALLER, "<presence/>"),
        ],
    );
    let args = [&OFF[..], &["--timeout", "200ms"]].concat();
    let played = play(&capture, builtin(), "juliet@xmpp.test", "secret", &args).ends(1).json();
    let told: Vec<_> =
        played["differences"].as_array().unwrap().iter().map(|one| (&one["what"], &one["frame"])).collect();
    assert_eq!(told.len(), 3, "{played}");
    assert_eq!((told[0].0, told[1].0, told[2].0), (&json!("different"), &json!("new"), &json!("missing")), "{played}");
    assert!(played["differences"][0]["why"].as_str().unwrap().starts_with("at iq/query"), "{played}");
    assert_eq!((&played["left_out"], &played["sent"]), (&json!(1), &json!(3)), "{played}");
    let text = play(&capture, builtin(), "juliet@xmpp.test", "secret", &args[1..]).ends(1);
    assert!(text.out.starts_with("different (packet "), "{}", text.out);
    assert!(text.err.ends_with("iqtap: 3 differences\n"), "{}", text.err);
}

#[test]
fn many_sessions_are_played_at_once_and_counted() {
    let args = [&OFF[..], &["--sessions", "8"]].concat();
    let played = play(&recorded(), builtin(), "juliet@xmpp.test", "secret", &args).ends(0).json();
    assert_eq!(
        (&played["sessions"], &played["played"], &played["failed"]),
        (&json!(8), &json!(8), &json!([])),
        "{played}"
    );
    assert_eq!(played["requests"]["answered"], 32);
    let [half, most] = ["p50_ms", "p99_ms"].map(|key| played["requests"][key].as_f64().unwrap());
    assert!(half > 0.0 && half <= most, "{played}");
    let failed = play(&recorded(), builtin(), "juliet@xmpp.test", "Falsch", &args).ends(3).json();
    assert_eq!(failed["failed"][0]["count"], 8, "{failed}");
}

#[test]
fn steps_wait_for_somebody() {
    let port = builtin();
    let args = [&OFF[1..], &["--speed", "step"]].concat();
    let nobody = play(&recorded(), port, "juliet@xmpp.test", "secret", &args).ends(1);
    assert!(
        nobody.err.contains("nobody says go any more") && nobody.err.contains("jabber:iq:roster"),
        "{}",
        nobody.err
    );
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("password"), "secret").unwrap();
    std::fs::write(dir.path().join("enters"), "\n\n\n\n\n\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_iqtap"));
    command.args(["replay", "--as", "client", "--jid", "juliet@xmpp.test", "--to", &format!("127.0.0.1:{port}")]);
    command.arg(recorded()).arg("--password-file").arg(dir.path().join("password")).args(args);
    let enters = std::fs::File::open(dir.path().join("enters")).unwrap();
    let output = command.stdin(Stdio::from(enters)).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr).matches("Enter sends it").count(), 6);
}

#[test]
fn a_mock_answers_any_client_as_it_was_recorded() {
    let mut mock = Mock::run(&recorded(), &[]);
    let mut clients = ["somebody", "juliet", "another"].map(|name| Raw::login(mock.port, name, "any"));
    for round in 0..2 {
        for client in &mut clients {
            for (id, ask) in ASKS {
                let id = format!("{id}-{round}");
                let ask = ask.replacen(&ask[ask.find("id=").unwrap()..][..7], &format!("id='{id}'"), 1);
                let answer = client.ask(&id, &ask).unwrap();
                let wanted = match id.get(..2).unwrap() {
                    "r1" => "romeo@xmpp.test",
                    "r2" => "<name>iqtap loopback</name>",
                    "r3" => "category='server'",
                    _ => "service-unavailable",
                };
                assert!(answer.xml.contains(wanted) && answer.xml.contains(&client.jid), "{}", answer.xml);
            }
        }
    }
    for client in &mut clients {
        let jid = client.jid.clone();
        client.send(&format!("<message to='{jid}' id='other' type='chat'><body>to myself</body></message>")).unwrap();
        // The server's echo of a presence came behind this one when it was recorded, and so it does now.
        let mut echo = client.element().unwrap();
        while echo.name == "presence" {
            echo = client.element().unwrap();
        }
        assert!(echo.name == "message" && echo.xml.contains("id='other'") && echo.xml.contains(&jid), "{}", echo.xml);
        let miss = client.ask("x", "<iq type='get' id='x'><odd xmlns='y'/></iq>").unwrap();
        assert!(miss.xml.contains("service-unavailable") && miss.xml.contains("this was not recorded"), "{}", miss.xml);
    }
    assert!(mock.stop().success());
    let last = clients[0].element().unwrap();
    assert!(last.xml.contains("system-shutdown"), "{}", last.xml);
}

#[test]
fn a_played_client_and_a_mock_agree_over_any_tls() {
    for (how, args) in
        [("off", vec![]), ("starttls", vec!["--password", "Geheim"]), ("direct", vec!["--password", "Geheim"])]
    {
        let mock = Mock::run(&recorded(), &[&["--tls", how], &args[..]].concat());
        let ca = mock.ca();
        let believing = ["--json", "--tls", how, "--server-ca", ca.to_str().unwrap()];
        let trust = if how == "off" { &believing[..3] } else { &believing[..] };
        let played = play(&recorded(), mock.port, &format!("who@{DOMAIN}"), "Geheim", trust).ends(0).json();
        assert_eq!(played["same"], true, "{how}: {played}");
        if how != "off" {
            let wrong = play(&recorded(), mock.port, &format!("who@{DOMAIN}"), "Falsch", trust).ends(3);
            assert!(wrong.err.contains("not-authorized"), "{}", wrong.err);
            let doubting = play(&recorded(), mock.port, &format!("who@{DOMAIN}"), "Geheim", &["--tls", how]).ends(3);
            assert!(doubting.err.contains("--server-ca"), "{}", doubting.err);
        }
    }
}

#[test]
fn a_mock_may_leave_misses_unanswered() {
    let dir = tempfile::tempdir().unwrap();
    let other = foreign(
        dir.path(),
        &[(CALLER, "<iq type='get' id='1'><odd xmlns='x'/></iq>"), (LISTENER, "<iq type='result' id='1'/>")],
    );
    for (miss, what) in [("error", "different"), ("wait", "missing")] {
        let mock = Mock::run(&recorded(), &["--miss", miss]);
        let args = [&OFF[..], &["--timeout", "300ms"]].concat();
        let played = play(&other, mock.port, &format!("who@{DOMAIN}"), "x", &args).ends(1).json();
        assert_eq!(played["differences"][0]["what"], what, "{miss}: {played}");
        assert_eq!(played["requests"]["unanswered"], u64::from(miss == "wait"), "{played}");
    }
}

#[test]
fn a_mock_may_ask_a_living_server_what_was_not_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, "secret\n").unwrap();
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (port, lives) in [(builtin(), true), (dead, false)] {
        let to = format!("127.0.0.1:{port}");
        let args = ["--miss", "forward", "--to", &to, "--to-tls", "off", "--jid", "juliet@living.test"];
        let mut mock = Mock::run(&recorded(), &[&args[..], &["--password-file", file.to_str().unwrap()]].concat());
        let mut clients = ["somebody", "another"].map(|name| Raw::login(mock.port, name, "any"));
        for client in &mut clients {
            // What was recorded comes from the recording, and names who was recorded.
            let roster = client.ask("r1", ASKS[0].1).unwrap();
            assert!(roster.xml.contains("romeo@xmpp.test"), "{}", roster.xml);
            // What was not is asked of the server, in its words, and told in those of the client.
            let items = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
            let told = client.ask("d", &format!("<iq type='get' id='d' to='xmpp.test'>{items}</iq>")).unwrap();
            let vcard = "<vCard xmlns='vcard-temp'/>";
            let missing = client.ask("v", &format!("<iq type='get' id='v' to='romeo@xmpp.test'>{vcard}</iq>")).unwrap();
            assert_eq!(told.attribute("type"), Some(if lives { "result" } else { "error" }), "{}", told.xml);
            assert_eq!(
                (told.attribute("from"), told.attribute("to")),
                (Some("xmpp.test"), Some(&*client.jid).filter(|_| lives))
            );
            let why = if lives { "item-not-found" } else { "remote-server-timeout" };
            assert!(missing.xml.contains(why), "{}", missing.xml);
            assert_eq!(missing.attribute("from"), Some("romeo@xmpp.test"));
        }
        assert!(mock.stop().success());
    }
}

#[test]
fn what_cannot_be_played_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let nothing = dir.path().join("nothing.pcap");
    std::fs::write(&nothing, Wire::open([40_000, 5222]).pcap()).unwrap();
    let run = |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_iqtap")).arg("replay").args(args).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (capture, nothing) = (recorded(), nothing.to_str().unwrap().to_owned());
    let capture = capture.to_str().unwrap();
    for (args, why) in [
        (vec!["--as", "client", capture], "--as client needs --to"),
        (vec!["--as", "client", capture, "--script", "/none.rhai"], "--script"),
        (vec!["--as", "client", capture, "--drop", "true"], "--drop, --reject and --modify"),
        (vec![capture, "--speed", "1"], "--as"),
        (vec!["--as", "client", capture, "--to", "a:1", "--jid", "a@b", "--password-file", "/none"], "/none"),
        (vec!["--as", "server", "/none.pcapng"], "/none.pcapng"),
        (vec!["--as", "server", capture, "--miss", "forward"], "--miss forward needs --to"),
        (vec!["--as", "server", &nothing], "holds no session of XMPP"),
        (vec!["--as", "server", capture, "--session", "99"], "it holds no session 99"),
        (vec!["--as", "server", capture, "--listen", "0.0.0.0:0"], "--allow-public"),
        (vec!["--as", "client", capture, "--speed", "fast"], "--speed"),
    ] {
        let (code, said) = run(&args);
        // As everywhere, a capture that is not there is trouble, and no mistake in the words.
        let expected = if args.contains(&"/none.pcapng") { 3 } else { 2 };
        assert_eq!(code, Some(expected), "{args:?}: {said}");
        assert!(said.contains(why), "{args:?}: {said}");
    }
}
