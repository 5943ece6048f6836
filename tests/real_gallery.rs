//! The gallery between slixmpp and a real Prosody: what each script of `scripts/` shows is seen by the clients.
//!
//! One Prosody for all; each script has an iqtap of its own, and its clients a resource of its name.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends where something is not as it must be, and says what it saw"
)]

mod peers;

use peers::{Client, DOMAIN, Iqtap, Login, Need, Prosody, Seen, Server, have, user};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

const SLOW: &str = "urn:iqtap:test:slow";
const STATES: &str = "http://jabber.org/protocol/chatstates";
const VERSION: &str = "<query xmlns='jabber:iq:version'/>";

/// Accounts: who is behind iqtap, and whom they talk to. What a test leaves at the server, the next may see: those who
/// leave something have accounts of their own.
const ALICE: usize = 0;
const BOB: usize = 1;

/// A script between a client and Prosody.
struct Stage {
    server: Arc<Server>,
    iqtap: Iqtap,
    script: &'static str,
    _dir: TempDir,
}

impl Stage {
    /// With its constants set for this place: texts of the script, and what stands there instead. `None`: a peer is missing.
    fn of(script: &'static str, constants: &[(&str, &str)], more: &[&str]) -> Option<Self> {
        if !have(&[Need::Prosody, Need::Slixmpp]) {
            return None;
        }
        let file = format!("{script}.rhai");
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(&file);
        let mut text = std::fs::read_to_string(&path).unwrap();
        for (there, here) in constants {
            assert!(text.contains(there), "{script} does not say {there}");
            text = text.replace(there, here);
        }
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join(file);
        std::fs::write(&copy, text).unwrap();
        let list = path.with_extension("txt");
        if list.exists() {
            std::fs::copy(&list, copy.with_extension("txt")).unwrap();
        }
        let server = Prosody::shared();
        let flags = ["--server-ca", server.ca(), "--script", copy.to_str().unwrap()];
        let iqtap = Iqtap::run(server.port, &[&flags[..], more].concat());
        Some(Self { server, iqtap, script, _dir: dir })
    }

    /// A client behind iqtap.
    fn inside(&self, number: usize, steps: &Value) -> Client {
        self.client(self.iqtap.port, &self.iqtap.ca(), number, None, steps)
    }

    /// A client at the server itself.
    fn outside(&self, number: usize, steps: &Value) -> Client {
        self.client(self.server.port, &self.server.certs.ca, number, None, steps)
    }

    fn client(&self, port: u16, ca: &Path, number: usize, mechanism: Option<&str>, steps: &Value) -> Client {
        let account = user(number);
        let login = Login { mechanism, ..Login::starttls(port, &account, ca) };
        Client::start_with(&login, &json!({ "resource": self.script }), steps)
    }

    /// Its full JID.
    fn jid(&self, number: usize) -> String {
        format!("{}/{}", bare(number), self.script)
    }

    /// Ends iqtap; what it has printed. No script may have failed.
    #[track_caller]
    fn end(mut self) -> String {
        assert!(self.iqtap.stop().success(), "{}", self.iqtap.log());
        let log = self.iqtap.log();
        assert!(!log.contains("script error"), "{log}");
        log
    }
}

fn bare(number: usize) -> String {
    format!("{}@{DOMAIN}", user(number).0)
}

fn say(to: &str, body: &str) -> Value {
    json!({ "do": "say", "as": body, "to": to, "items": [body] })
}

fn wait(body: &str) -> Value {
    json!({ "do": "wait", "as": format!("wait {body}"), "body": body })
}

fn raw(xml: String) -> Value {
    json!({ "do": "raw", "xml": xml })
}

fn roster_set(number: usize, contact: &str) -> Value {
    let item = format!("<query xmlns='jabber:iq:roster'><item jid='{contact}'/></query>");
    json!({ "do": "iq", "as": "add", "type": "set", "to": bare(number), "children": [item] })
}

fn roster_get(number: usize) -> Value {
    json!({ "do": "iq", "as": "list", "to": bare(number), "children": ["<query xmlns='jabber:iq:roster'/>"] })
}

/// From whom a message came.
#[track_caller]
fn sender(seen: &Seen, body: &str) -> String {
    let messages = seen.line("end")["messages"].as_array().unwrap();
    let message = messages.iter().find(|message| message[2] == body);
    message.unwrap_or_else(|| panic!("no {body} in {messages:?}"))[0].as_str().unwrap().to_owned()
}

#[test]
fn vcard_read_only() {
    let Some(stage) = Stage::of("vcard-read-only", &[], &[]) else { return };
    stage.outside(2, &json!(["login", { "do": "vcard_set", "fn": "Juliet" }])).rest().ok("vcard_set");
    let seen = stage.inside(2, &json!(["login", { "do": "vcard_set", "fn": "Romeo" }, "vcard_get"])).rest();
    let refused = seen.failed("vcard_set");
    assert_eq!((&refused["error"], &refused["condition"]), (&json!("IqError"), &json!("not-allowed")), "{refused}");
    assert_eq!(refused["text"], "vCards are read-only here");
    assert_eq!(seen.ok("vcard_get")["fn"], "Juliet");
    assert!(stage.end().contains("refused a vCard of "));
}

#[test]
fn roster_read_only() {
    let Some(stage) = Stage::of("roster-read-only", &[], &[]) else { return };
    let seen = stage.inside(3, &json!(["login", roster_set(3, "friend@xmpp.test"), roster_get(3)])).rest();
    assert_eq!(seen.ok("add")["condition"], "not-allowed");
    let list = seen.ok("list");
    assert!(list["type"] == "result" && !list["xml"].as_str().unwrap().contains("friend"), "{list}");
    stage.end();
}

#[test]
fn block_namespaces() {
    let blocked = [(r#""jabber:iq:last""#, r#""jabber:iq:version""#)];
    let Some(stage) = Stage::of("block-namespaces", &blocked, &[]) else { return };
    let seen = stage.inside(ALICE, &json!(["login", "version", "ping"])).rest();
    assert_eq!(seen.failed("version")["condition"], "service-unavailable");
    seen.ok("ping");
    assert!(stage.end().contains("c2s: refused a get of jabber:iq:version"));
}

#[test]
fn hide_client_version() {
    let Some(stage) = Stage::of("hide-client-version", &[], &[]) else { return };
    let mut alice = stage.inside(ALICE, &json!(["login", "version", "go"]));
    alice.reach("version");
    let ask = json!({ "do": "iq", "to": stage.jid(ALICE), "children": [VERSION] });
    let answer = stage.outside(BOB, &json!(["login", ask])).rest().ok("iq").clone();
    alice.go();
    let alice = alice.rest();
    assert_eq!(
        (&answer["type"], answer["xml"].as_str().unwrap().contains(">a client<")),
        (&json!("result"), true),
        "{answer}"
    );
    assert_eq!(alice.received().matches("jabber:iq:version").count(), 1, "only the answer to its own question");
    stage.end();
}

#[test]
fn strip_typing_notifications() {
    let Some(stage) = Stage::of("strip-typing-notifications", &[], &[]) else { return };
    let (alice_jid, bob_jid) = (stage.jid(ALICE), stage.jid(BOB));
    let typing = |to: &str| raw(format!("<message type='chat' to='{to}'><composing xmlns='{STATES}'/></message>"));
    let words = |to: &str, body: &str| {
        raw(format!("<message type='chat' to='{to}'><body>{body}</body><active xmlns='{STATES}'/></message>"))
    };
    // What Bob sends himself shows that the server lets it through.
    let bobs =
        json!(["login", "go", wait("ho"), typing(&bob_jid), typing(&alice_jid), words(&alice_jid, "hi"), "ping"]);
    let mut bob = stage.outside(BOB, &bobs);
    bob.reach("login");
    let alices = json!(["login", typing(&bob_jid), words(&bob_jid, "ho"), wait("hi")]);
    let mut alice = stage.inside(ALICE, &alices);
    alice.reach("login");
    bob.go();
    let (alice, bob) = (alice.rest(), bob.rest());
    bob.ok("wait ho");
    alice.ok("wait hi");
    assert_eq!((alice.sent().matches(STATES).count(), bob.received().matches(STATES).count()), (2, 1));
    assert_eq!((bob.sent().matches(STATES).count(), alice.received().matches(STATES).count()), (3, 0));
    stage.end();
}

#[test]
fn rewrite_domain() {
    let Some(stage) = Stage::of("rewrite-domain", &[(r#""localhost""#, r#""xmpp.test""#)], &[]) else { return };
    let seen_as = |number: usize| stage.jid(number).replace(DOMAIN, "example.org");
    let mut bob = stage.outside(BOB, &json!(["login", wait("ho"), say(&stage.jid(4), "hi"), "go"]));
    bob.reach("login");
    let ask = json!({ "do": "iq", "as": "ask", "to": seen_as(BOB), "children": [VERSION] });
    let friend = "friend@example.org";
    let steps =
        json!(["login", say(&seen_as(BOB), "ho"), wait("hi"), ask, roster_set(4, friend), roster_get(4), "disco"]);
    let alice = stage.inside(4, &steps).rest();
    bob.go();
    let bob = bob.rest();
    assert_eq!((sender(&bob, "ho"), sender(&alice, "hi")), (stage.jid(4), seen_as(BOB)));
    let answer = alice.ok("ask");
    assert!(answer["type"] == "result" && answer["xml"].as_str().unwrap().contains(&seen_as(BOB)), "{answer}");
    alice.ok("add");
    alice.ok("disco");
    assert!(alice.ok("list")["xml"].as_str().unwrap().contains(friend));
    let at_server = stage.outside(4, &json!(["login", roster_get(4)])).rest().ok("list")["xml"].to_string();
    assert!(at_server.contains("friend@xmpp.test") && !at_server.contains(friend), "{at_server}");
    stage.end();
}

#[test]
fn mirror_to_auditor() {
    let auditor = bare(5);
    let Some(stage) = Stage::of("mirror-to-auditor", &[("auditor@example.org", &auditor)], &[]) else { return };
    let mut auditor = stage.outside(5, &json!(["login", "presence", wait("that is all")]));
    auditor.reach("presence");
    let mut bob = stage.outside(BOB, &json!(["login", wait("psst"), say(&stage.jid(ALICE), "what?")]));
    bob.reach("login");
    let alice = json!(["login", say(&stage.jid(BOB), "psst"), wait("what?"), say(&bare(5), "that is all"), "ping"]);
    let alice = stage.inside(ALICE, &alice).rest();
    let (auditor, bob) = (auditor.rest(), bob.rest());
    alice.ok("ping");
    assert_eq!((bob.bodies(), alice.bodies()), (vec!["psst"], vec!["what?"]));
    let got = auditor.received();
    assert_eq!(got.matches("urn:xmpp:forward:0").count(), 2, "{got}");
    assert!(got.contains(">psst<") && got.contains(">what?<"), "{got}");
    stage.end();
}

#[test]
fn inject_maintenance_message() {
    let Some(stage) = Stage::of("inject-maintenance-message", &[], &[]) else { return };
    let text = "The server goes down for maintenance tonight, from 22:00 to 22:30.";
    let seen = stage.inside(ALICE, &json!(["login", wait(text), "ping"])).rest();
    seen.ok("ping");
    assert_eq!((sender(&seen, text), seen.bodies().len()), (DOMAIN.to_owned(), 1));
    stage.end();
}

#[test]
fn slow_server() {
    let constants = [("jabber:iq:roster", "jabber:iq:version"), ("SECONDS = 3", "SECONDS = 1.5")];
    let Some(stage) = Stage::of("slow-server", &constants, &[]) else { return };
    let seen = stage.inside(ALICE, &json!(["login", "version", "ping"])).rest();
    let seconds = seen.ok("version")["seconds"].as_f64().unwrap();
    assert!((1.5..10.0).contains(&seconds), "{seconds}");
    seen.ok("ping");
    stage.end();
}

#[test]
fn redact_body_in_logs() {
    let Some(stage) = Stage::of("redact-body-in-logs", &[], &[]) else { return };
    let seen = stage.inside(ALICE, &json!(["login", { "do": "message", "body": "Rosenkavalier" }])).rest();
    seen.ok("message");
    let log = stage.end();
    assert_eq!(log.matches("<body>[13 characters]</body>").count(), 2, "{log}");
    assert!(!log.contains("Rosenkavalier"), "{log}");
}

#[test]
fn readdress_alias() {
    let person = bare(BOB);
    let Some(stage) = Stage::of("readdress-alias", &[("romeo@example.net", &person)], &[]) else { return };
    let alias = format!("team@{DOMAIN}/{}", stage.script);
    let mut bob = stage.outside(BOB, &json!(["login", wait("anybody?"), say(&stage.jid(ALICE), "me"), "go"]));
    bob.reach("login");
    let ask = json!({ "do": "iq", "to": alias, "children": [VERSION] });
    let alice = stage.inside(ALICE, &json!(["login", say(&alias, "anybody?"), wait("me"), ask])).rest();
    bob.go();
    bob.rest().ok("wait anybody?");
    assert_eq!((sender(&alice, "me"), &alice.ok("iq")["type"]), (alias, &json!("result")));
    assert!(!alice.received().contains(&person), "{}", alice.received());
    stage.end();
}

#[test]
fn quarantine_links_from_strangers() {
    let Some(stage) = Stage::of("quarantine-links-from-strangers", &[], &[]) else { return };
    let (own, stranger, contact) = (6, 7, 8);
    stage.outside(own, &json!(["login", roster_set(own, &bare(contact))])).rest().ok("add");
    let (bad, good) = ("see https://example.net/bad", "see https://example.net/good");
    let notice = format!(
        "{}, whom you do not know, has sent a link. Write /release to yourself to see it (1 held back).",
        bare(stranger)
    );
    // The answer to the ping comes behind the list, which the script has asked for.
    let steps = json!(["login", "ping", wait(&notice), wait(good), "go", say(&bare(own), "/release"), wait(bad)]);
    let mut alice = stage.inside(own, &steps);
    alice.reach("ping");
    let to = stage.jid(own);
    stage.outside(stranger, &json!(["login", say(&to, bad), "ping"])).rest().ok("ping");
    stage.outside(contact, &json!(["login", say(&to, good), "ping"])).rest().ok("ping");
    alice.reach(&format!("wait {good}"));
    alice.go();
    let seen = alice.rest();
    assert_eq!(seen.bodies(), [notice.as_str(), good, bad]);
    assert_eq!(sender(&seen, bad), stage.jid(stranger));
    stage.end();
}

#[test]
fn only_scram() {
    let Some(stage) = Stage::of("only-scram", &[], &[]) else { return };
    let (port, ca) = (stage.iqtap.port, stage.iqtap.ca());
    let with = |mechanism| stage.client(port, &ca, ALICE, mechanism, &json!(["login", "ping"])).rest();
    assert!(with(None).ok("login")["mechanism"].as_str().unwrap().starts_with("SCRAM-"));
    let refused = with(Some("PLAIN"));
    refused.failed("login");
    assert!(!refused.received().contains("PLAIN") && refused.received().contains("SCRAM-"), "{}", refused.received());
    stage.end();
}

#[test]
fn tag_slow_answers() {
    let Some(stage) = Stage::of("tag-slow-answers", &[], &[]) else { return };
    let mut bob = stage.outside(BOB, &json!(["login", "held", "go", "answer_held", "ping"]));
    bob.reach("login");
    let ask = json!({ "ask": "question", "ns": SLOW, "to": stage.jid(BOB) });
    let steps = json!(["login", "version", { "do": "say", "items": [ask] }, { "do": "answers", "of": ["question"] }]);
    let alice = stage.inside(ALICE, &steps);
    bob.reach("held");
    std::thread::sleep(Duration::from_millis(1200));
    bob.go();
    bob.rest().ok("ping");
    let mut alice = alice;
    alice.rest().ok("answers");
    assert!(stage.end().contains(&format!("{SLOW}: slow")));
}

#[test]
fn which_clients() {
    let Some(stage) = Stage::of("which-clients", &[], &[]) else { return };
    let mut alice = stage.inside(ALICE, &json!(["login", "ping", "go"]));
    alice.reach("ping");
    stage.iqtap.prints(&format!("{} is ", stage.jid(ALICE)));
    alice.go();
    alice.rest();
    assert!(stage.end().to_lowercase().contains("slixmpp"));
}

#[test]
fn circuit_breaker() {
    let constants = [("MOST_UNANSWERED = 2", "MOST_UNANSWERED = 1")];
    let Some(stage) = Stage::of("circuit-breaker", &constants, &["--iq-timeout", "1s"]) else { return };
    let mut bob = stage.outside(BOB, &json!(["login", "held", "go"]));
    bob.reach("login");
    let ask = json!({ "ask": "question", "ns": SLOW, "to": stage.jid(BOB) });
    let again = json!({ "do": "iq", "to": stage.jid(BOB), "children": [VERSION] });
    let mut alice = stage.inside(ALICE, &json!(["login", { "do": "say", "items": [ask] }, "go", again, "version"]));
    alice.reach("say");
    stage.iqtap.prints("rule3");
    alice.go();
    let alice = alice.rest();
    bob.go();
    let refused = alice.ok("iq");
    assert_eq!((&refused["condition"], &refused["error_type"]), (&json!("remote-server-timeout"), &json!("wait")));
    alice.ok("version");
    assert!(!bob.rest().received().contains("jabber:iq:version"));
    stage.end();
}

#[test]
fn rate_limit_per_contact() {
    let constants = [("AT_ONCE = 5", "AT_ONCE = 2"), ("A_SECOND = 0.5", "A_SECOND = 0.001")];
    let Some(stage) = Stage::of("rate-limit-per-contact", &constants, &[]) else { return };
    let mut bob = stage.outside(BOB, &json!(["login", "go", "ping"]));
    bob.reach("login");
    let items = json!({ "do": "say", "to": stage.jid(BOB), "items": ["one", "two", "three"] });
    let alice = stage.inside(ALICE, &json!(["login", items, wait("three"), "ping"])).rest();
    bob.go();
    assert_eq!(bob.rest().bodies(), ["one", "two"]);
    let refused = alice.line("end")["messages"].clone();
    assert_eq!(refused, json!([[stage.jid(BOB), "error", "three"]]));
    assert!(alice.received().contains("<resource-constraint "), "{}", alice.received());
    stage.end();
}

#[test]
fn auto_reply_vacation() {
    let Some(stage) = Stage::of("auto-reply-vacation", &[], &[]) else { return };
    let text = "I am on vacation until the 1st, and read this when I am back.";
    let (alice_jid, bob_jid) = (stage.jid(ALICE), stage.jid(BOB));
    let mut alice = stage.inside(ALICE, &json!(["login", wait("hello?"), say(&bob_jid, "bye"), "ping"]));
    alice.reach("login");
    let steps = json!(["login", say(&alice_jid, "hi"), wait(text), say(&alice_jid, "hello?"), wait("bye")]);
    let bob = stage.outside(BOB, &steps).rest();
    let alice = alice.rest();
    assert_eq!((alice.bodies(), bob.bodies()), (vec!["hi", "hello?"], vec![text, "bye"]));
    assert_eq!(sender(&bob, text), alice_jid);
    stage.end();
}

#[test]
fn deny_subscription_spam() {
    let Some(stage) = Stage::of("deny-subscription-spam", &[], &[]) else { return };
    let (own, spammer, friend) = (9, 10, 11);
    // The answer to the ping comes behind the list, which the script has asked for.
    let done = [spammer, friend].map(|number| say(&stage.jid(number), "bye"));
    let mut alice = stage.inside(
        own,
        &json!(["login", "ping", "presence", wait("that is all"), done[0], "go", wait("so is this"), done[1], "disco"]),
    );
    alice.reach("presence");
    let asks = |status: &str| {
        raw(format!("<presence type='subscribe' to='{}'><status>{status}</status></presence>", bare(own)))
    };
    let steps = |status: &str, end: &str| {
        json!(["login", "roster", "presence", asks(status), say(&stage.jid(own), end), wait("bye")])
    };
    let spammer = stage.outside(spammer, &steps("see https://example.net/", "that is all")).rest();
    alice.go();
    let friend = stage.outside(friend, &steps("it is I", "so is this")).rest();
    let alice = alice.rest();
    alice.ok("disco");
    assert!(spammer.received().contains("unsubscribed"), "{}", spammer.received());
    assert!(!friend.received().contains("unsubscribed"), "{}", friend.received());
    assert!(!alice.received().contains("https://example.net/"), "{}", alice.received());
    assert!(alice.received().contains("it is I"), "{}", alice.received());
    stage.end();
}

/// The time of day in UTC, so many hours from now.
fn in_hours(hours: u64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let minutes = (now / 60 + hours * 60) % (24 * 60);
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

#[test]
fn quiet_hours() {
    let (text, until) = (format!("asleep until {}", in_hours(2)), in_hours(2));
    let constants = [("22:00", in_hours(22)), ("07:00", until), ("Europe/Berlin", "UTC".to_owned())];
    let constants = constants.each_ref().map(|(there, here)| (*there, here.as_str()));
    let Some(stage) = Stage::of("quiet-hours", &constants, &[]) else { return };
    let (alice_jid, bob_jid) = (stage.jid(ALICE), stage.jid(BOB));
    let mut alice = stage.inside(ALICE, &json!(["login", "go", say(&bob_jid, "good night"), "ping"]));
    alice.reach("login");
    let mut bob = stage.outside(BOB, &json!(["login", say(&alice_jid, "hello?"), wait("hello?"), wait("good night")]));
    bob.reach("wait hello?");
    alice.go();
    let (alice, bob) = (alice.rest(), bob.rest());
    let got = bob.line("end")["messages"].clone();
    assert_eq!(got, json!([[alice_jid, "error", "hello?"], [alice_jid, "chat", "good night"]]));
    assert!(bob.received().contains(&text) && alice.bodies().is_empty(), "{}", bob.received());
    stage.end();
}
