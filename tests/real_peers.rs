//! iqtap between programs it did not write: slixmpp as the client, Prosody (or a scripted server that breaks the rules
//! on purpose) behind it, and Wireshark's dissector reading what was recorded.
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

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use peers::{Capture, Certs, Client, Element, Encryption, Iqtap, Login, Need, Prosody, Seen, Upstream};
use peers::{
    DOMAIN, check_book, check_no_secret, check_readable, check_replays, free_port, have, items, lawful, run, user,
};
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
        { "do": "message", "as": "long message", "body": "Öfter mal was Längeres. ".repeat(4000) },
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
    seen.ok("long message");
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

/// One way of TLS on the client's leg, one on the server's: the day must pass as without iqtap, and be in the file.
fn combination(number: usize, client_tls: &str, server_tls: &str) {
    if !have(&[Need::Prosody, Need::Slixmpp, Need::Tshark]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let record = dir.path().join("day.pcapng");
    let prosody = Prosody::shared();
    let offer = if client_tls == "starttls" { "require" } else { client_tls };
    let port = if server_tls == "direct" { prosody.tls_port } else { prosody.port };
    let ca = prosody.certs.ca.to_str().unwrap();
    let flags = ["--client-tls", offer, "--server-tls", server_tls, "--server-ca", ca, "--record"];
    let mut iqtap = Iqtap::run(port, &[&flags[..], &[record.to_str().unwrap()]].concat());
    let (name, password) = user(number);
    let own_ca = iqtap.ca();
    let login =
        Login { port: iqtap.port, tls: client_tls, user: &name, password: &password, ca: &own_ca, mechanism: None };
    let seen = Client::run(&login, &day());
    check_day(&seen, client_tls);
    assert!(iqtap.stop().success(), "{}", iqtap.log());
    check_readable(&Capture(&record), &[&seen]);
    check_book(&Capture(&record), "1");
    let (code, out, err) = run(&["check", record.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{out}\n{err}");
    check_replays(&Capture(&record), &[]);
    check_no_secret(&Capture(&record), &iqtap.log(), &name, &password, &[&seen]);
}

/// The same day, recorded in files that follow one another: each is read by itself, and together they hold all of it.
#[test]
fn a_day_in_files_that_follow_one_another() {
    if !have(&[Need::Prosody, Need::Slixmpp, Need::Tshark]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("captures/");
    let prosody = Prosody::shared();
    let flags = ["--client-tls", "require", "--server-ca", prosody.certs.ca.to_str().unwrap(), "--record-size", "10kB"];
    let mut iqtap = Iqtap::run(prosody.port, &[&flags[..], &["--record", folder.to_str().unwrap()]].concat());
    let (name, password) = user(3);
    let ca = iqtap.ca();
    let login = Login { port: iqtap.port, tls: "starttls", user: &name, password: &password, ca: &ca, mechanism: None };
    let seen = Client::run(&login, &day());
    check_day(&seen, "starttls");
    assert!(iqtap.stop().success(), "{}", iqtap.log());
    let mut ids = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "pcapng"));
    assert!(files.len() >= 4, "{files:?}");
    for path in &files {
        let capture = Capture(path);
        check_readable(&capture, &[]);
        ids.extend(capture.field("xmpp.iq", "xmpp.id"));
        if capture.contains(name.as_bytes()) {
            check_no_secret(&capture, &iqtap.log(), &name, &password, &[&seen]);
        }
    }
    for iq in [seen.sent(), seen.received()].into_iter().flat_map(items).filter(|item| item.name == "iq") {
        let id = iq.attribute("id").unwrap_or_default();
        assert!(ids.iter().any(|line| line.split(',').any(|shown| shown == id)), "in no file: {}", iq.xml);
    }
}

macro_rules! combinations {
    ($($test:ident: $number:literal, $client:literal, $server:literal;)*) => {
        $(#[test]
        fn $test() {
            combination($number, $client, $server);
        })*
    };
}

combinations! {
    a_day_with_no_tls_at_all: 1, "off", "off";
    a_day_with_no_tls_then_starttls: 2, "off", "starttls";
    a_day_with_no_tls_then_direct_tls: 3, "off", "direct";
    a_day_with_starttls_then_no_tls: 4, "starttls", "off";
    a_day_with_starttls_on_both_legs: 5, "starttls", "starttls";
    a_day_with_starttls_then_direct_tls: 6, "starttls", "direct";
    a_day_with_direct_tls_then_no_tls: 7, "direct", "off";
    a_day_with_direct_tls_then_starttls: 8, "direct", "starttls";
    a_day_with_direct_tls_on_both_legs: 9, "direct", "direct";
}

const PING: &str = "<ping xmlns='urn:xmpp:ping'/>";
const VERSION: &str = "<query xmlns='jabber:iq:version'/>";

/// From the gallery: vCards may be read, not written.
const READ_ONLY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/vcard-read-only.rhai");

/// Tells the server's version a little differently.
const REWRITE: &str = include_str!("peers/version.rhai");

/// The main job: slixmpp at a real server, over STARTTLS on both legs; its IQs are checked, one is rejected by a rule,
/// one by a script, one rewritten, and all of it is recorded in a file that Wireshark reads and that holds no secret.
#[test]
fn the_main_job() {
    if !have(&[Need::Prosody, Need::Slixmpp, Need::Tshark]) {
        return;
    }
    let prosody = Prosody::shared();
    let dir = tempfile::tempdir().unwrap();
    let (script, record) = (dir.path().join("version.rhai"), dir.path().join("job.pcapng"));
    std::fs::write(&script, REWRITE).unwrap();
    let flags = ["--server-ca", prosody.certs.ca.to_str().unwrap(), "--rules", "enforce"];
    let files = ["--script", READ_ONLY, "--script", script.to_str().unwrap(), "--record", record.to_str().unwrap()];
    let mut iqtap = Iqtap::run(prosody.port, &[&flags[..], &files].concat());
    let (name, password) = user(10);
    let (port, ca) = (iqtap.port, iqtap.ca());
    let login = |mechanism| Login { port, tls: "starttls", user: &name, password: &password, ca: &ca, mechanism };
    let two_children = json!({ "do": "iq", "as": "two children", "children": [PING, VERSION] });
    let steps = json!([
        "login", "disco", "roster", "version", { "do": "vcard_set", "fn": FULL_NAME }, "vcard_get", "ping",
        { "do": "message", "body": "Ein Gruß an mich" }, two_children,
    ]);
    let scram = Client::run(&login(None), &steps);
    let plain = Client::run(&login(Some("PLAIN")), &json!(["login", "ping"]));
    assert!(iqtap.stop().success(), "{}", iqtap.log());

    for step in ["login", "disco", "roster", "ping", "message"] {
        scram.ok(step);
    }
    assert_eq!(plain.ok("login")["mechanism"], "PLAIN");
    let refused = scram.failed("vcard_set");
    assert_eq!(refused["error"], "IqError", "{refused}");
    assert_eq!(refused["condition"], "not-allowed", "{refused}");
    assert_eq!(refused["text"], "vCards are read-only here", "{refused}");
    // Prosody answers item-not-found or an empty vCard, as nothing was ever written.
    assert_ne!(scram.line("vcard_get")["fn"], FULL_NAME, "a vCard was written all the same");
    assert_eq!(scram.ok("two children")["condition"], "bad-request");
    let version = scram.ok("version");
    assert_eq!(version["name"], "Prosody, seen through iqtap", "{version}");

    let capture = Capture(&record);
    check_readable(&capture, &[&scram, &plain]);
    check_replays(&capture, &[&["--rules", "enforce"], &files[..4]].concat());
    let comments = capture.field("xmpp.iq", "frame.comment");
    let told = |what: &[&str]| comments.iter().any(|comment| what.iter().all(|part| comment.contains(part)));
    assert!(told(&["rejected bad-request", "rule5"]), "{comments:#?}");
    assert!(told(&["rejected not-allowed", "vcard-read-only.rhai"]), "{comments:#?}");
    assert!(told(&["rewritten", "version.rhai"]), "{comments:#?}");
    let frames_of = |id: &Value| comments_of(&capture, id.as_str().unwrap());
    let refused = frames_of(&scram.ok("two children")["id"]);
    assert_eq!(refused.len(), 2, "on the client's leg only: the request and the error: {refused:#?}");
    check_no_secret(&capture, &iqtap.log(), &name, &password, &[&scram, &plain]);
}

/// What stands beside the packets of one IQ.
fn comments_of(capture: &Capture<'_>, id: &str) -> Vec<String> {
    capture.field(&format!("xmpp.iq && xmpp.id == \"{id}\""), "frame.comment")
}

/// Answers every request; asks two questions of its own if told to.
fn obliging(element: &Element) -> Vec<String> {
    if element.name == "message" {
        let ask = |id| format!("<iq type='get' id='{id}' from='{DOMAIN}'><query xmlns='urn:iqtap:test:slow'/></iq>");
        return ["r6", "r7"].map(ask).into();
    }
    match (element.attribute("type"), element.attribute("id")) {
        (Some("get" | "set"), Some(id)) => vec![format!("<iq type='result' id='{id}' from='{DOMAIN}'/>")],
        _ => Vec::new(),
    }
}

/// Each broken IQ from the client gets its error, which slixmpp reports as that condition, and never reaches the server.
#[test]
fn broken_iqs_from_the_client_stop_here() {
    if !have(&[Need::Slixmpp]) {
        return;
    }
    let upstream = Upstream::start(&Encryption::Never, obliging);
    let flags = ["--client-tls", "off", "--server-tls", "off", "--rules", "enforce"];
    let iqtap = Iqtap::run(upstream.port, &flags);
    let raw = |label: &str, xml: &str| json!({ "do": "raw", "as": label, "xml": xml });
    let seen = Client::run(
        &somebody(iqtap.port, "off", &iqtap.ca()),
        &json!([
            "login",
            { "do": "iq", "as": "no id", "wire": { "id": null }, "children": [PING] },
            { "do": "iq", "as": "no type", "wire": { "type": null }, "children": [PING] },
            { "do": "iq", "as": "type subscribe", "wire": { "type": "subscribe" }, "children": [PING] },
            { "do": "iq", "as": "type GET", "wire": { "type": "GET" }, "children": [PING] },
            { "do": "iq", "as": "no child", "children": [] },
            { "do": "iq", "as": "no child, set", "type": "set", "children": [] },
            { "do": "iq", "as": "two children", "children": [PING, VERSION] },
            { "do": "iq", "as": "two children, full JID", "to": "romeo@xmpp.test/orchard", "children": [PING, VERSION] },
            raw("result without id", "<iq type='result' to='romeo@xmpp.test/orchard'/>"),
            raw("error without id", "<iq type='error' to='romeo@xmpp.test/orchard'><error type='cancel'>\
                <gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"),
            // Asked for, or they would go no further for that reason alone.
            { "do": "say", "to": DOMAIN, "items": ["ask"] },
            { "do": "held", "count": 2 },
            raw("result with two children", &format!("<iq type='result' id='r6' to='xmpp.test'>{PING}{VERSION}</iq>")),
            raw("error without error", &format!("<iq type='error' id='r7' to='xmpp.test'>{PING}</iq>")),
            { "do": "iq", "as": "good", "children": [VERSION] },
        ]),
    );
    seen.ok("login");
    for step in ["no id", "no type", "type subscribe", "type GET", "no child", "no child, set", "two children"] {
        let line = seen.ok(step);
        assert_eq!((&line["condition"], &line["error_type"]), (&json!("bad-request"), &json!("modify")), "{line}");
    }
    assert_eq!(seen.ok("two children, full JID")["condition"], "bad-request");
    assert_eq!(seen.ok("good")["type"], "result");

    // What the server got: all of it lawful, and of the broken ones only the answers it had asked for, mended.
    let heard: Vec<_> = upstream.heard().into_iter().filter(|element| element.name == "iq").collect();
    for iq in &heard {
        assert!(lawful(iq), "the server got {}", iq.xml);
    }
    let answers = heard.iter().filter(|iq| matches!(iq.attribute("type"), Some("result" | "error")));
    let [two, bare] = answers.collect::<Vec<_>>()[..] else { panic!("the server got {heard:?}") };
    assert!(two.is_iq("error", "r6") && two.xml.contains("undefined-condition"), "{}", two.xml);
    assert!(bare.is_iq("error", "r7") && bare.xml.contains("undefined-condition"), "{}", bare.xml);
    assert!(!two.has("urn:xmpp:ping") && bare.has("urn:xmpp:ping"), "{heard:?}");
    let requests = heard.iter().filter(|iq| matches!(iq.attribute("type"), Some("get" | "set")));
    let payloads: Vec<_> = requests.flat_map(|iq| &iq.children).map(|(_, ns)| ns.as_str()).collect();
    let login = ["urn:ietf:params:xml:ns:xmpp-bind", "urn:ietf:params:xml:ns:xmpp-session"];
    let after_login: Vec<_> = payloads.into_iter().filter(|ns| !login.contains(ns)).collect();
    assert_eq!(after_login, ["jabber:iq:version"], "only the good one got there");
}

/// Says every broken IQ when it is asked to, then answers.
fn unruly(element: &Element) -> Vec<String> {
    let (Some("get"), Some(id)) = (element.attribute("type"), element.attribute("id")) else { return Vec::new() };
    let from = format!("from='{DOMAIN}'");
    if element.has("urn:iqtap:test:two") {
        return vec![format!("<iq type='result' id='{id}' {from}>{PING}{VERSION}</iq>")];
    }
    if element.has("urn:iqtap:test:bare") {
        return vec![format!("<iq type='error' id='{id}' {from}>{PING}</iq>")];
    }
    vec![
        format!("<iq type='get' id='good' {from}>{PING}</iq>"),
        format!("<iq type='get' {from}>{PING}</iq>"),
        format!("<iq id='no-type' {from}>{PING}</iq>"),
        format!("<iq type='subscribe' id='odd-type' {from}>{PING}</iq>"),
        format!("<iq type='get' id='no-child' {from}/>"),
        format!("<iq type='set' id='two-children' {from}>{PING}{VERSION}</iq>"),
        format!("<iq type='result' {from}/>"),
        format!("<iq type='error' {from}><error type='cancel'/></iq>"),
        format!("<iq type='result' id='unasked-two' {from}>{PING}{VERSION}</iq>"),
        format!("<iq type='error' id='unasked-bare' {from}>{PING}</iq>"),
        format!("<iq type='result' id='{id}' {from}/>"),
    ]
}

/// The same the other way: no broken IQ from the server reaches the client, which learns of a broken answer as an error.
#[test]
fn broken_iqs_from_the_server_stop_here() {
    if !have(&[Need::Slixmpp]) {
        return;
    }
    let upstream = Upstream::start(&Encryption::Never, unruly);
    let flags = ["--client-tls", "off", "--server-tls", "off", "--rules", "enforce"];
    let iqtap = Iqtap::run(upstream.port, &flags);
    let seen = Client::run(
        &somebody(iqtap.port, "off", &iqtap.ca()),
        &json!([
            "login",
            { "do": "iq", "as": "two", "children": ["<go xmlns='urn:iqtap:test:two'/>"] },
            { "do": "iq", "as": "bare", "children": ["<go xmlns='urn:iqtap:test:bare'/>"] },
            { "do": "iq", "as": "all", "children": ["<go xmlns='urn:iqtap:test:all'/>"] },
            // Once more, so that the server has heard what iqtap and the client said to the first.
            { "do": "iq", "as": "again", "children": ["<go xmlns='urn:iqtap:test:two'/>"] },
        ]),
    );
    seen.ok("login");
    for step in ["two", "bare", "again"] {
        assert_eq!(seen.ok(step)["condition"], "undefined-condition");
    }
    assert_eq!(seen.ok("all")["type"], "result");
    let mut ids = Vec::new();
    for iq in items(seen.received()).into_iter().filter(|element| element.name == "iq") {
        assert!(lawful(&iq), "the client got {}", iq.xml);
        ids.extend(iq.attribute("id").map(str::to_owned));
    }
    assert!(ids.iter().any(|id| id == "good"), "a request that breaks nothing does reach the client");
    for id in ["no-type", "odd-type", "no-child", "two-children"] {
        assert!(!ids.iter().any(|seen| seen == id), "{id} reached the client");
    }

    let heard = upstream.heard();
    assert!(heard.iter().any(|element| element.is_iq("result", "good")), "the client answered the good one");
    for id in ["", "no-type", "odd-type", "no-child", "two-children"] {
        let mut answers = heard.iter().filter(|element| element.attribute("id") == Some(id));
        let answer = answers.next().unwrap_or_else(|| panic!("the server was not told about {id:?}"));
        assert!(answer.is_iq("error", id) && answer.xml.contains("<bad-request "), "{}", answer.xml);
        assert_eq!(answer.attribute("from"), None, "iqtap speaks as the client, who has no from: {}", answer.xml);
        assert!(answers.next().is_none(), "{id:?} was answered twice");
    }
}

/// Where TLS is offered, every kind of client gets in; where it is required, both kinds of TLS do.
#[test]
fn one_port_takes_several_kinds_of_client() {
    if !have(&[Need::Slixmpp]) {
        return;
    }
    for (offer, kinds) in [("offer", &["off", "starttls", "direct"][..]), ("require", &["starttls", "direct"])] {
        let upstream = Upstream::start(&Encryption::Never, obliging);
        let iqtap = Iqtap::run(upstream.port, &["--client-tls", offer, "--server-tls", "off"]);
        for tls in kinds {
            let seen = Client::run(&somebody(iqtap.port, tls, &iqtap.ca()), &json!(["login", "ping"]));
            assert_eq!(seen.ok("login")["tls"].is_null(), *tls == "off", "{offer}, {tls}");
            seen.ok("ping");
        }
    }
}

/// A wrong password is refused by the server, in every mechanism slixmpp tries, and the client is told so.
#[test]
fn a_wrong_password_gets_the_servers_answer() {
    if !have(&[Need::Prosody, Need::Slixmpp]) {
        return;
    }
    let prosody = Prosody::shared();
    let dir = tempfile::tempdir().unwrap();
    let record = dir.path().join("refused.pcapng");
    let ca = prosody.certs.ca.to_str().unwrap();
    let mut iqtap = Iqtap::run(prosody.port, &["--server-ca", ca, "--record", record.to_str().unwrap()]);
    let own_ca = iqtap.ca();
    let (name, password) = (user(12).0, "FalschesWort");
    let login = Login { port: iqtap.port, tls: "starttls", user: &name, password, ca: &own_ca, mechanism: None };
    let seen = Client::run(&login, &json!(["login"]));
    assert!(iqtap.stop().success(), "{}", iqtap.log());
    let line = seen.failed("login");
    assert!(line["error"].as_str().unwrap().contains("failed_all_auth"), "{line}");
    assert_eq!(line["attempted"], "PLAIN", "the last one tried: {line}");
    assert!(items(seen.received()).iter().any(|e| e.name == "failure" && e.xml.contains("<not-authorized")));
    let capture = Capture(&record);
    assert!(capture.contains(b"not-authorized"), "the refusal is in the file");
    for secret in [password.to_owned(), STANDARD.encode(format!("\0{name}\0{password}"))] {
        assert!(!capture.contains(secret.as_bytes()), "{secret}");
    }
}

/// A login that must come to nothing: the client is told by a stream error and never asked for a password.
fn refused(upstream_port: u16, flags: &[&str]) {
    let iqtap = Iqtap::run(upstream_port, flags);
    let seen = Client::run(&somebody(iqtap.port, "starttls", &iqtap.ca()), &json!(["login"]));
    let line = seen.failed("login");
    assert_eq!(line["stream_error"], "remote-connection-failed", "{line}");
    assert!(line["attempted"].is_null(), "{line}");
    assert!(!seen.sent().contains("<auth"), "{}", seen.sent());
}

#[test]
fn a_server_with_a_wrong_certificate_gets_no_credentials() {
    if !have(&[Need::Slixmpp]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let right = Certs::make(&dir.path().join("right"));
    let wrong_name = Certs::for_name(&dir.path().join("name"), "other.test");
    let wrong_authority = Certs::make(&dir.path().join("authority"));
    for (certs, trusted) in [(&wrong_name, &wrong_name.ca), (&wrong_authority, &right.ca)] {
        let upstream = Upstream::start(&Encryption::Starttls(certs), obliging);
        refused(upstream.port, &["--server-ca", trusted.to_str().unwrap()]);
        let heard: Vec<_> = upstream.heard().into_iter().map(|element| element.name).collect();
        assert_eq!(heard, ["starttls"], "nothing more is said to such a server");
    }
    // The control: the same with the right certificate.
    let upstream = Upstream::start(&Encryption::Starttls(&right), obliging);
    let iqtap = Iqtap::run(upstream.port, &["--server-ca", right.ca.to_str().unwrap()]);
    Client::run(&somebody(iqtap.port, "starttls", &iqtap.ca()), &json!(["login"])).ok("login");
}

#[test]
fn an_unreachable_server_is_told_as_such() {
    if have(&[Need::Slixmpp]) {
        refused(free_port(), &[]);
    }
}

#[test]
fn a_server_without_starttls_gets_no_credentials() {
    if !have(&[Need::Slixmpp]) {
        return;
    }
    let upstream = Upstream::start(&Encryption::Never, obliging);
    refused(upstream.port, &["--server-tls", "starttls"]);
    assert!(upstream.heard().is_empty(), "{:?}", upstream.heard());
}

/// Told to end, iqtap says goodbye to its sessions, and what it recorded is whole.
#[test]
fn the_end_by_signal_leaves_a_whole_capture() {
    if !have(&[Need::Prosody, Need::Slixmpp, Need::Tshark]) {
        return;
    }
    let prosody = Prosody::shared();
    let dir = tempfile::tempdir().unwrap();
    let record = dir.path().join("cut.pcapng");
    let ca = prosody.certs.ca.to_str().unwrap();
    let mut iqtap = Iqtap::run(prosody.port, &["--server-ca", ca, "--record", record.to_str().unwrap()]);
    let (name, password) = user(11);
    let own_ca = iqtap.ca();
    let login =
        Login { port: iqtap.port, tls: "starttls", user: &name, password: &password, ca: &own_ca, mechanism: None };
    let mut client = Client::start(&login, &json!(["login", "ping", "wait_end"]));
    client.next().ok();
    client.next().ok();
    assert!(iqtap.stop().success(), "{}", iqtap.log());
    let seen = client.rest();
    assert_eq!(seen.ok("wait_end")["stream_error"], "system-shutdown");
    assert!(seen.received().ends_with("</stream:stream>"), "{}", seen.received());

    let capture = Capture(&record);
    check_readable(&capture, &[&seen]);
    check_replays(&capture, &[]);
    let frames = capture.field("frame", "frame.number");
    assert_eq!(frames.len(), frames.last().unwrap().parse::<usize>().unwrap());
    assert!(capture.contains(b"system-shutdown"), "the goodbye is in the file");
}
