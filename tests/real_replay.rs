//! A day of slixmpp at Prosody, recorded by iqtap between them, and then each of the two alone with what was recorded of the other.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends where something is not as it must be, and says what it saw"
)]

mod peers;

use peers::{
    CLEAR, Capture, Client, DOMAIN, Iqtap, Login, Make, Mock, Need, Seen, Server, check_book, check_readable,
    check_replays, have, play, user,
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const FULL_NAME: &str = "Jülïet & <Câpulet> 珠麗";

/// What a client does in a day.
fn day() -> Value {
    json!([
        "login",
        "disco",
        "roster",
        "version",
        { "do": "vcard_set", "fn": FULL_NAME },
        "vcard_get",
        "ping",
        { "do": "message", "body": "Ein Gruß an mich" },
        "presence",
    ])
}

#[track_caller]
fn check_day(seen: &Seen) {
    assert_eq!(seen.ok("disco")["identities"], json!([["server", "im", "Prosody"]]));
    seen.ok("roster");
    assert_eq!(seen.ok("version")["name"], "Prosody");
    seen.ok("vcard_set");
    assert_eq!(seen.ok("vcard_get")["fn"], FULL_NAME);
    assert_eq!(seen.ok("ping")["type"], "result");
    assert_eq!(seen.ok("message")["from"], seen.ok("login")["jid"]);
    seen.ok("presence");
}

/// The day of the account of this number, at a server of its own.
fn recorded(number: usize, sm: bool) -> (TempDir, PathBuf) {
    let (server, dir) = (Server::start(Make::Prosody), tempfile::tempdir().unwrap());
    let file = dir.path().join("day.pcapng");
    let flags = ["--client-tls", "off", "--server-ca", server.ca(), "--record", file.to_str().unwrap()];
    let mut iqtap = Iqtap::run(server.port, &flags);
    let account = user(number);
    let login = clear(iqtap.port, &account);
    let seen = Client::start_with(&login, &json!({ "sm": sm, "resource": "day" }), &day()).rest();
    check_day(&seen);
    assert!(iqtap.stop().success(), "{}", iqtap.log());
    if have(&[Need::Tshark]) {
        check_readable(&Capture(&file), &[&seen]);
    }
    check_book(&Capture(&file), "1");
    check_replays(&Capture(&file), &[]);
    (dir, file)
}

fn clear(port: u16, (name, password): &(String, String)) -> Login<'_> {
    Login { port, tls: "off", user: name, password, ca: Path::new("/nowhere"), mechanism: None }
}

#[test]
fn a_fresh_prosody_shows_no_difference_that_matters() {
    if !have(&[Need::Prosody, Need::Slixmpp]) {
        return;
    }
    for sm in [false, true] {
        let (_dir, capture) = recorded(1, sm);
        let fresh = Server::start(Make::Prosody);
        let (name, password) = user(1);
        let args = ["--json", "--server-ca", fresh.ca()];
        let jid = format!("{name}@{DOMAIN}");
        let played = play(&capture, fresh.port, &jid, &password, &args).ends(0);
        let told = played.json();
        assert_eq!((&told["same"], &told["jid"]), (&json!(true), &json!(format!("{jid}/day"))), "{told}");
        assert!(told["requests"]["answered"].as_u64().unwrap() >= 6, "{told}");
        assert!(!played.out.contains(&password) && !played.err.contains(&password));
        // Another account, over TLS from the first byte: its own name stands for the recorded one.
        let (name, password) = user(2);
        let args = ["--json", "--tls", "direct", "--server-ca", fresh.ca()];
        let told = play(&capture, fresh.tls_port, &format!("{name}@{DOMAIN}"), &password, &args).ends(0).json();
        assert_eq!(told["same"], true, "{told}");
        // The first again: its vCard is there already, which matters to nobody. Then many of it.
        let args = ["--json", "--server-ca", fresh.ca(), "--sessions", "5"];
        let told = play(&capture, fresh.port, &format!("{name}@{DOMAIN}"), &password, &args).ends(0).json();
        assert_eq!((&told["played"], &told["differing"]), (&json!(5), &json!(0)), "{told}");
    }
}

#[test]
fn a_difference_that_matters_is_seen() {
    if !have(&[Need::Prosody, Need::Slixmpp]) {
        return;
    }
    let (_dir, capture) = recorded(3, false);
    let fresh = Server::start(Make::Prosody);
    let (name, password) = user(3);
    // What iqtap says of itself is not what Prosody said.
    let mut between =
        Iqtap::run(fresh.port, &[&CLEAR[..], &["--answer", "version=local", "--answer", "ping=deny"]].concat());
    let args = ["--json", "--tls", "off"];
    let told = play(&capture, between.port, &format!("{name}@{DOMAIN}"), &password, &args).ends(1).json();
    let why: Vec<_> = told["differences"].as_array().unwrap().iter().map(|one| one["why"].as_str().unwrap()).collect();
    // Nor is what is denied there any more, in the list of features and in deed.
    assert_eq!(why.len(), 3, "{told}");
    assert!(why[0].starts_with("at iq/query: <feature var='urn:xmpp:ping'/> is missing"), "{told}");
    assert!(why[1].starts_with("at iq/query/name: the text 'Prosody' was recorded"), "{told}");
    assert!(why[2].starts_with("at iq: attribute type: 'result' was recorded, 'error' came"), "{told}");
    assert_eq!(told["requests"]["errors"], 1, "{told}");
    assert!(between.stop().success(), "{}", between.log());
}

#[test]
fn slixmpp_has_the_same_day_with_no_server_at_all() {
    if !have(&[Need::Prosody, Need::Slixmpp]) {
        return;
    }
    let (_dir, capture) = recorded(4, false);
    let mut mock = Mock::run(&capture, &[]);
    let anybody = ("somebody".to_owned(), "NiemandsWort".to_owned());
    let login = Login { mechanism: Some("PLAIN"), ..clear(mock.port, &anybody) };
    check_day(&Client::start_with(&login, &json!({}), &day()).rest());
    // The same account as recorded, twice at once.
    let account = user(4);
    let more = json!({ "resource": "day" });
    let mut clients = [0, 1].map(|_| Client::start_with(&clear(mock.port, &account), &more, &day()));
    clients.iter_mut().for_each(|client| check_day(&client.rest()));
    assert!(mock.stop().success());
    // By SCRAM, over STARTTLS.
    let mock = Mock::run(&capture, &["--tls", "starttls", "--password", &account.1]);
    let ca = mock.ca();
    let seen = Client::start_with(&Login::starttls(mock.port, &account, &ca), &more, &day()).rest();
    check_day(&seen);
    assert!(seen.ok("login")["mechanism"].as_str().unwrap().starts_with("SCRAM-SHA-"), "{}", seen.ok("login"));
    let wrong = (account.0, "Falsch".to_owned());
    let login = Login { mechanism: Some("SCRAM-SHA-256"), ..Login::starttls(mock.port, &wrong, &ca) };
    Client::start_with(&login, &more, &day()).rest().failed("login");
}

/// A sample of ours is a server for whoever has none.
#[test]
fn slixmpp_has_a_sample_for_its_server() {
    if !have(&[Need::Slixmpp]) {
        return;
    }
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/prosody-login.pcapng");
    let mut mock = Mock::run(&sample, &[]);
    let anybody = ("somebody".to_owned(), "NiemandsWort".to_owned());
    let login = Login { mechanism: Some("PLAIN"), ..clear(mock.port, &anybody) };
    let steps = json!(["login", "disco", "roster", "vcard_get", "ping"]);
    let seen = Client::start_with(&login, &json!({}), &steps).rest();
    assert_eq!(seen.ok("disco")["identities"], json!([["server", "im", "Prosody"]]));
    for step in ["roster", "vcard_get", "ping"] {
        seen.ok(step);
    }
    assert!(mock.stop().success());
}
