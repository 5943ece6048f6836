//! Scripts without a file, in the shadow, and what is shown of them, between slixmpp and Prosody.
//!
//! A test whose peers are not installed says so and is skipped; where `CI` is set it fails instead.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends where something is not as it must be, and says what it saw"
)]

mod peers;

use peers::{Client, Iqtap, Login, Need, Prosody, have, user};
use serde_json::json;

#[test]
fn a_client_and_a_server_with_scripts_of_one_line_between_them() {
    if !have(&[Need::Prosody, Need::Slixmpp]) {
        return;
    }
    let prosody = Prosody::shared();
    let dir = tempfile::tempdir().unwrap();
    let shadow = dir.path().join("shadow.rhai");
    std::fs::write(&shadow, "fn on_iq(iq) { if iq.ns == \"urn:xmpp:ping\" { return drop(); } }").unwrap();
    let flags = [
        ["--server-ca", prosody.certs.ca.to_str().unwrap()],
        ["--reject", "stanza.ns == \"vcard-temp\" && stanza.type == \"set\"=not-allowed"],
        ["--modify", "stanza.kind == \"message\"=tag(\"said\"); stanza.append(\"<seen xmlns='urn:example:seen'/>\")"],
        ["--drop", "stanza.direction == \"c2s\" && stanza.kind == \"presence\""],
        ["--shadow", shadow.to_str().unwrap()],
        ["--filter", "stanza.kind == \"message\""],
    ];
    let mut iqtap = Iqtap::run(prosody.port, &flags.concat());
    let (name, password) = user(11);
    let (port, ca) = (iqtap.port, iqtap.ca());
    let login = Login { port, tls: "starttls", user: &name, password: &password, ca: &ca, mechanism: None };
    let steps = json!(["login", { "do": "vcard_set", "fn": "Nobody" }, "ping", { "do": "message", "body": "hello" }]);
    let seen = Client::run(&login, &steps);
    assert!(iqtap.stop().success(), "{}", iqtap.log());
    assert_eq!(seen.failed("vcard_set")["condition"], "not-allowed");
    assert_eq!(seen.ok("ping")["type"], "result", "the shadow drops nothing");
    seen.ok("message");
    assert!(seen.received().contains("urn:example:seen"), "{}", seen.received());
    let log = iqtap.log();
    for words in [
        "rewritten by --modify #said",
        "drop it (shadow.rhai:1), where the live scripts pass it",
        "--reject on_stanza ",
    ] {
        assert!(log.contains(words), "{words:?} is not in\n{log}");
    }
    assert!(!log.contains("iq/set") && !log.contains("iq/get"), "{log}");
}
