//! The answers to IQs between slixmpp and real servers: those that never come, those that come too late, and those
//! that somebody else forges; and an ordinary day, with which no fault must be found.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends where something is not as it must be, and says what it saw"
)]

mod peers;

use peers::{
    Client, DOMAIN, Element, Encryption, Iqtap, Login, Make, Need, Seen, Server, Upstream, have, items, tests, user,
};
use serde_json::{Value, json};
use std::path::Path;

const SLOW: &str = "urn:iqtap:test:slow";
const VERSION: &str = "<query xmlns='jabber:iq:version'/>";

/// Says what it is told to by the body of a message, and nothing else.
fn obedient(element: &Element) -> Vec<String> {
    let message = |body: &str| format!("<message from='{DOMAIN}'><body>{body}</body></message>");
    let told = |order: &str| element.name == "message" && element.xml.contains(&format!("<body>{order}</body>"));
    if told("answer late") {
        vec![format!("<iq type='result' id='late' from='{DOMAIN}'>{VERSION}</iq>"), message("answered")]
    } else if told("ask") {
        vec![format!("<iq type='get' id='asked' from='{DOMAIN}'><query xmlns='{SLOW}'/></iq>")]
    } else if told("speak") {
        vec![message("spoken")]
    } else {
        Vec::new()
    }
}

fn order(body: &str) -> Value {
    json!({ "do": "say", "as": body, "to": DOMAIN, "items": [body] })
}

fn wait(body: &str) -> Value {
    json!({ "do": "wait", "as": format!("wait {body}"), "body": body })
}

/// The client of the scripted server, which lets anybody in.
fn somebody(port: u16, steps: &Value) -> Client {
    let (user, password) = ("somebody", "NiemandsWort");
    Client::start(&Login { port, tls: "off", user, password, ca: Path::new("/nowhere"), mechanism: None }, steps)
}

/// iqtap before the scripted server, out of patience after two seconds.
fn impatient(upstream: &Upstream, rules: &str) -> Iqtap {
    let patience = ["--iq-timeout", "2s", "--rules", rules, "--json"];
    Iqtap::run(upstream.port, &[&["--client-tls", "off", "--server-tls", "off"][..], &patience].concat())
}

/// The IQs of one id.
fn of_id(elements: Vec<Element>, id: &str) -> Vec<Element> {
    elements.into_iter().filter(|element| element.name == "iq" && element.attribute("id") == Some(id)).collect()
}

fn received(seen: &Seen, id: &str) -> Vec<Element> {
    of_id(items(seen.received()), id)
}

/// The control: the scripted server is as silent, and as obedient, as the tests below want it.
#[test]
fn a_silent_server_without_iqtap() {
    if !have(&[Need::Slixmpp]) {
        return;
    }
    let upstream = Upstream::start(&Encryption::Never, obedient);
    let steps = json!([
        "login",
        { "do": "say", "items": [{ "ask": "late", "ns": SLOW }] },
        order("ask"), "held", "answer_held",
        order("answer late"), wait("answered"),
        { "do": "answers", "of": ["late"] },
    ]);
    let seen = somebody(upstream.port, &steps).rest();
    assert_eq!(seen.ok("answers")["answers"]["late"], "result");
    assert!(of_id(upstream.heard(), "asked")[1..].is_empty(), "{:?}", upstream.heard());
}

/// Rule 3, enforced: who asked in vain is told so in time, and the answer that comes after all is kept from them.
#[test]
fn a_server_that_never_answers() {
    if !have(&[Need::Slixmpp]) {
        return;
    }
    let upstream = Upstream::start(&Encryption::Never, obedient);
    let mut iqtap = impatient(&upstream, "enforce");
    let steps = json!([
        "login",
        { "do": "iq", "id": "late", "children": [VERSION] },
        order("answer late"), wait("answered"),
    ]);
    let seen = somebody(iqtap.port, &steps).rest();
    seen.ok("wait answered");
    assert!(iqtap.stop().success(), "{}", iqtap.log());
    let line = seen.ok("iq");
    assert_eq!((&line["condition"], &line["error_type"]), (&json!("remote-server-timeout"), &json!("wait")), "{line}");
    let seconds = line["seconds"].as_f64().unwrap();
    assert!((1.9..4.0).contains(&seconds), "{line}");
    let answers = received(&seen, "late");
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(answers[0].is_iq("error", "late") && answers[0].xml.contains("iqtap.invalid"), "{answers:?}");
    assert_eq!(answers[0].attribute("from"), Some(DOMAIN), "{answers:?}");
    assert_eq!(iqtap.findings(), ["violation rule3 server", "info late-answer server"]);
}

/// Rule 3, reported: the late answer arrives.
#[test]
fn a_server_that_answers_late() {
    if !have(&[Need::Slixmpp]) {
        return;
    }
    let upstream = Upstream::start(&Encryption::Never, obedient);
    let mut iqtap = impatient(&upstream, "report");
    let steps = json!([
        "login",
        { "do": "say", "items": [{ "ask": "late", "ns": SLOW }] },
        "go", order("answer late"),
        { "do": "answers", "of": ["late"] },
    ]);
    let mut client = somebody(iqtap.port, &steps);
    client.reach("say");
    iqtap.prints("rule3");
    client.go();
    let seen = client.rest();
    assert_eq!(seen.ok("answers")["answers"]["late"], "result");
    assert!(iqtap.stop().success(), "{}", iqtap.log());
    assert_eq!(received(&seen, "late").len(), 1);
    assert_eq!(iqtap.findings(), ["violation rule3 server", "info late-answer server"]);
}

/// The same the other way: the client owes the answer.
#[test]
fn a_client_that_answers_late() {
    if !have(&[Need::Slixmpp]) {
        return;
    }
    let upstream = Upstream::start(&Encryption::Never, obedient);
    let mut iqtap = impatient(&upstream, "enforce");
    let steps = json!(["login", order("ask"), "held", "go", "answer_held", order("speak"), wait("spoken")]);
    let mut client = somebody(iqtap.port, &steps);
    client.reach("held");
    iqtap.prints("rule3");
    client.go();
    client.rest().ok("wait spoken");
    assert!(iqtap.stop().success(), "{}", iqtap.log());
    let heard = of_id(upstream.heard(), "asked");
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].is_iq("error", "asked") && heard[0].xml.contains("<remote-server-timeout "), "{heard:?}");
    assert_eq!(iqtap.findings(), ["violation rule3 client", "info late-answer client"]);
}

/// What stands between Alice and the server.
#[derive(Clone, Copy, PartialEq)]
enum Between {
    /// The control.
    Nothing,
    /// iqtap with `--rules` so.
    Rules(&'static str),
}

impl Between {
    /// iqtap, if there is one.
    fn start(self, server: &Server) -> Option<Iqtap> {
        let Self::Rules(rules) = self else { return None };
        Some(Iqtap::run(server.port, &["--server-ca", server.ca(), "--json", "--rules", rules]))
    }
}

/// Ends iqtap, if there is one, and holds it to what it must have found.
#[track_caller]
fn check_findings(iqtap: Option<Iqtap>, expected: &[&str]) {
    if let Some(mut iqtap) = iqtap {
        assert!(iqtap.stop().success(), "{}", iqtap.log());
        assert_eq!(iqtap.findings(), expected);
    }
}

/// Starts a client at a real server, or at iqtap before it.
fn start(server: &Server, iqtap: Option<&Iqtap>, account: &(String, String), more: &Value, steps: &Value) -> Client {
    let (port, ca) = iqtap.map_or_else(|| (server.port, server.certs.ca.clone()), |iqtap| (iqtap.port, iqtap.ca()));
    Client::start_with(&Login::starttls(port, account, &ca), more, steps)
}

/// What Mallory sends Alice: an answer to what she has asked Carol, a push that nobody's server made, and a copy of
/// words that Carol never said. Then a message, behind which none of these can come any more.
fn mallorys_day(alice: &str, carol: &str) -> Value {
    let evil = "<query xmlns='jabber:iq:roster'><item jid='evil@xmpp.test' subscription='both'/></query>";
    let words =
        format!("<message xmlns='jabber:client' from='{carol}' to='{alice}'><body>I owe Mallory</body></message>");
    let copy = format!("<forwarded xmlns='urn:xmpp:forward:0'>{words}</forwarded>");
    let carbon =
        format!("<message type='chat' to='{alice}'><received xmlns='urn:xmpp:carbons:2'>{copy}</received></message>");
    let raw = |label: &str, xml: String| json!({ "do": "raw", "as": label, "xml": xml });
    json!([
        "login", "presence", "go",
        raw("answer", format!("<iq type='result' id='question' to='{alice}'><query xmlns='{SLOW}'/></iq>")),
        { "do": "iq", "as": "push", "type": "set", "id": "push", "to": alice, "children": [evil] },
        raw("carbon", carbon),
        { "do": "say", "to": alice, "items": ["that is all"] },
        "ping",
    ])
}

/// Alice has asked Carol, Mallory answers first. `first`: the first of the three accounts.
fn forgeries(make: Make, first: usize, between: Between) {
    if !have(&[make.need(), Need::Slixmpp]) {
        return;
    }
    let server = make.shared();
    let [alice, carol, mallory] = [first, first + 1, first + 2].map(user);
    let [alice_jid, carol_jid, mallory_jid] =
        [&alice, &carol, &mallory].map(|account| format!("{}@{DOMAIN}/desk", account.0));
    let iqtap = between.start(&server);
    let desk = json!({ "resource": "desk" });
    let mut carol =
        start(&server, None, &carol, &desk, &json!(["login", "presence", "held", "go", "answer_held", "ping"]));
    let mut mallory = start(&server, None, &mallory, &desk, &mallorys_day(&alice_jid, &carol_jid));
    carol.reach("presence");
    mallory.reach("presence");
    let steps = json!([
        "login", "presence",
        { "do": "say", "items": [{ "ask": "question", "ns": SLOW, "to": carol_jid }] },
        wait("that is all"),
        { "do": "answers", "of": ["question"] },
        "settle", "ping",
    ]);
    let mut alice = start(&server, iqtap.as_ref(), &alice, &json!({ "resource": "desk", "sm": true }), &steps);
    carol.reach("held");
    mallory.go();
    alice.reach("wait that is all");
    carol.go();
    let (alice, carol, mallory) = (alice.rest(), carol.rest(), mallory.rest());
    carol.ok("ping");
    alice.ok("ping");
    assert_eq!(alice.ok("answers")["answers"]["question"], "result");
    // From slixmpp, or from iqtap in its place.
    assert_eq!(mallory.ok("push")["condition"], "service-unavailable");
    let delivered = usize::from(between != Between::Rules("enforce"));
    let from = |jid: &str| received(&alice, "question").iter().filter(|e| e.attribute("from") == Some(jid)).count();
    assert_eq!((from(&carol_jid), from(&mallory_jid)), (1, delivered));
    assert_eq!(received(&alice, "push").len(), delivered);
    assert_eq!(alice.received().matches("I owe Mallory").count(), delivered);
    assert!(alice.received().ends_with("</stream:stream>"), "{}", alice.received());
    let mut found = vec!["violation iq-spoof server", "violation push-spoof server", "violation carbon-spoof server"];
    if delivered == 1 {
        // slixmpp refuses the push, without what it refuses.
        found.insert(2, "info rule7-3920 client");
    }
    check_findings(iqtap, &found);
}

/// What a client does in a day: nothing that anybody could find fault with.
fn ordinary_day(make: Make, number: usize, between: Between) {
    if !have(&[make.need(), Need::Slixmpp]) {
        return;
    }
    let server = make.shared();
    let iqtap = between.start(&server);
    let steps = json!([
        "login", "presence", "disco", "roster", "version",
        { "do": "vcard_set", "fn": "Juliet Capulet" }, "vcard_get", "ping",
        { "do": "message", "body": "Ein Gruß an mich" }, "settle",
    ]);
    let seen = start(&server, iqtap.as_ref(), &user(number), &json!({ "sm": true }), &steps).rest();
    for step in ["disco", "roster", "version", "vcard_set", "ping", "message", "settle"] {
        seen.ok(step);
    }
    assert_eq!(seen.ok("vcard_get")["fn"], "Juliet Capulet");
    assert!(seen.received().ends_with("</stream:stream>"), "{}", seen.received());
    check_findings(iqtap, &[]);
    assert_eq!(seen.ok("login")["sm"]["resume"], true, "stream management is on");
}

tests! {
    prosody_forgeries_without_iqtap: forgeries(Make::Prosody, 0, Between::Nothing);
    prosody_forgeries_are_reported: forgeries(Make::Prosody, 3, Between::Rules("report"));
    prosody_forgeries_are_stopped: forgeries(Make::Prosody, 6, Between::Rules("enforce"));
    prosody_day_without_iqtap: ordinary_day(Make::Prosody, 9, Between::Nothing);
    prosody_day_reported: ordinary_day(Make::Prosody, 10, Between::Rules("report"));
    prosody_day_enforced: ordinary_day(Make::Prosody, 11, Between::Rules("enforce"));
    ejabberd_forgeries_without_iqtap: forgeries(Make::Ejabberd, 0, Between::Nothing);
    ejabberd_forgeries_are_reported: forgeries(Make::Ejabberd, 3, Between::Rules("report"));
    ejabberd_forgeries_are_stopped: forgeries(Make::Ejabberd, 6, Between::Rules("enforce"));
    ejabberd_day_without_iqtap: ordinary_day(Make::Ejabberd, 9, Between::Nothing);
    ejabberd_day_reported: ordinary_day(Make::Ejabberd, 10, Between::Rules("report"));
    ejabberd_day_enforced: ordinary_day(Make::Ejabberd, 11, Between::Rules("enforce"));
}
