//! iqtap between programs it did not write: slixmpp as the client, Prosody (or a scripted server that breaks the rules
//! on purpose) behind it, and Wireshark's dissector reading what was recorded.
//!
//! A test whose peers are not installed says so and is skipped; where `CI` is set it fails instead.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test ends where something is not as it must be, and says what it saw"
)]

mod peers;

use peers::{Certs, Client, Encryption, Login, Need, Prosody, Seen, Upstream, have, user};
use serde_json::{Value, json};
use std::path::Path;

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

/// Checks that the day went well, over TLS or not, and that the stream was closed as it should be.
#[track_caller]
fn check_day(seen: &Seen, tls: &str) {
    let login = seen.ok("login");
    assert_eq!(login["tls"].is_null(), tls == "off", "{login}");
    assert!(login["mechanism"].as_str().unwrap().starts_with("SCRAM-"), "{login}");
    assert_eq!(seen.ok("disco")["identities"], json!([["server", "im", "Prosody"]]));
    assert!(seen.ok("disco")["features"].as_u64().unwrap() > 5);
    seen.ok("roster");
    assert_eq!(seen.ok("version")["name"], "Prosody");
    seen.ok("vcard_set");
    assert_eq!(seen.ok("vcard_get")["fn"], FULL_NAME);
    assert_eq!(seen.ok("ping")["type"], "result");
    assert_eq!(seen.ok("message")["from"], login["jid"]);
    seen.ok("presence");
    assert!(seen.received().ends_with("</stream:stream>"), "{}", seen.received());
}

/// The control: without iqtap. If this fails, the others say nothing.
#[test]
fn without_iqtap_the_peers_get_along() {
    if !have(&[Need::Prosody, Need::Slixmpp]) {
        return;
    }
    let prosody = Prosody::shared();
    let (name, password) = user(0);
    for (tls, port) in [("off", prosody.port), ("starttls", prosody.port), ("direct", prosody.tls_port)] {
        let login = Login { port, tls, user: &name, password: &password, ca: &prosody.certs.ca, mechanism: None };
        check_day(&Client::run(&login, &day()), tls);
    }
    let dir = tempfile::tempdir().unwrap();
    let certs = Certs::make(dir.path());
    for (tls, encryption) in [("off", Encryption::Never), ("starttls", Encryption::Starttls(&certs))] {
        let upstream = Upstream::start(&encryption, |_| Vec::new());
        Client::run(&somebody(upstream.port, tls, &certs.ca), &json!(["login"])).ok("login");
    }
}

/// A login at the scripted server, which lets anybody in.
fn somebody<'a>(port: u16, tls: &'a str, ca: &'a Path) -> Login<'a> {
    Login { port, tls, user: "somebody", password: "NiemandsWort", ca, mechanism: None }
}
