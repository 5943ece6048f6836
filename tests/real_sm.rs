//! Stream management (XEP-0198) between slixmpp and real servers, without iqtap and through it: connections are cut
//! without a word and resumed, and every stanza must arrive, in order, once.
//!
//! Alice is cut; Bob talks to her, and his own connection goes to the server directly. What they do next is decided by
//! what has happened, never by the clock.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends where something is not as it must be, and says what it saw"
)]

mod peers;

use peers::{Client, DOMAIN, Iqtap, Login, Make, Need, Seen, Server, Stream, have, items, tests, user};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

/// Injects and drops when a message tells it to, answers requests of the namespace [`LOCAL`].
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/sm.rhai");
const LOCAL: &str = "urn:iqtap:test:local";
const SLOW: &str = "urn:iqtap:test:slow";
/// How many stanzas the script injects at one command.
const DOWN: usize = 3;
const UP: usize = 2;

/// The times at which Alice and Bob talk; each has a batch from both.
const TIMES: [&str; 5] = ["before", "cut 1", "between", "cut 2", "after"];
/// Plain messages in a batch, commands to inject, requests that iqtap answers (Alice's only).
const PLAIN: usize = 10;
const COMMANDS: usize = 2;
const REQUESTS: usize = 10;
/// Messages to be dropped, in each batch.
const ALICE_DROPS: [usize; 5] = [2, 2, 2, 2, 2];
const BOB_DROPS: [usize; 5] = [2, 2, 1, 1, 1];

/// Alice's last words.
const GOODBYE: &str = "alice has nothing more to say";

/// What the issue asks for: 100 injected, 37 dropped (commands are dropped too), 50 answered.
#[test]
fn the_numbers_are_those_of_the_issue() {
    let commands = 2 * TIMES.len() * COMMANDS;
    assert_eq!(commands * (DOWN + UP), 100);
    assert_eq!(commands + ALICE_DROPS.iter().chain(&BOB_DROPS).sum::<usize>(), 37);
    assert_eq!(TIMES.len() * REQUESTS, 50);
}

/// What one of them says at one time: plain messages with all the rest between them.
fn batch(who: &str, time: &str) -> Vec<Value> {
    let at = TIMES.iter().position(|known| *known == time).unwrap();
    let (drops, requests) = if who == "alice" { (ALICE_DROPS[at], REQUESTS) } else { (BOB_DROPS[at], 0) };
    let mut all = Vec::new();
    for n in 0..PLAIN {
        all.push(json!(format!("{who} {time} {n}")));
        if n < requests {
            all.push(json!({ "ask": format!("{time} {n}"), "ns": LOCAL }));
        }
        if n % 5 == 2 && n / 5 < COMMANDS {
            all.push(json!(format!("inject {who} {time} {n}")));
        }
        if n % 4 == 3 && n / 4 < drops {
            all.push(json!(format!("drop {who} {time} {n}")));
        }
    }
    all
}

/// What one of them says while Alice has no connection.
fn away(who: &str, cut: usize) -> Vec<Value> {
    (0..5).map(|n| json!(format!("{who} away {cut} {n}"))).collect()
}

/// The bodies of the messages in a batch.
fn bodies(batch: &[Value]) -> Vec<String> {
    batch.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// The ids of the requests in a batch.
fn requests(batch: &[Value]) -> Vec<&str> {
    batch.iter().filter_map(|item| item["ask"].as_str()).collect()
}

/// All that one of them says, in order.
fn all_bodies(who: &str) -> Vec<String> {
    let mut all = Vec::new();
    for time in TIMES {
        all.extend(bodies(&batch(who, time)));
        if let Some(cut) = time.strip_prefix("cut ") {
            all.extend(bodies(&away(who, cut.parse().unwrap())));
        }
    }
    if who == "alice" {
        all.push(GOODBYE.to_owned());
    }
    all
}

fn wait(body: &str) -> Value {
    json!({ "do": "wait", "as": format!("wait {body}"), "body": body })
}

fn say(to: &str, label: &str, items: &[Value]) -> Value {
    json!({ "do": "say", "as": label, "to": to, "items": items })
}

fn ask_slowly(to: &str, id: &str) -> Value {
    say(to, &format!("ask {id}"), &[json!({ "ask": id, "ns": SLOW, "to": to })])
}

fn answers(of: &[&str]) -> Value {
    json!({ "do": "answers", "as": format!("answers {}", of[0]), "of": of })
}

/// What is done to Alice's connection.
#[derive(Clone, Copy)]
struct Cuts {
    /// What has been resumed the second time is cut once more at once.
    again: bool,
    /// She is cut amidst a stanza.
    torn: bool,
}

/// What Alice does.
fn alices_day(bob: &str, cuts: Cuts) -> Value {
    let talk = |time: &str| {
        let batch = batch("alice", time);
        [say(bob, time, &batch), wait(&format!("bob {time} {}", PLAIN - 1)), answers(&requests(&batch))]
    };
    let mut steps = vec![json!("login"), json!("presence")];
    steps.extend(talk("before"));
    for (cut, how, next) in [(1, "close", "between"), (2, "reset", "after")] {
        let (time, slow) = (format!("cut {cut}"), format!("alice asks {cut}"));
        let batch = batch("alice", &time);
        // A third of them is on its way, a stanza is half written, the rest is too late.
        let (items, rest) = batch.split_at(batch.len() / 3);
        let (torn, lost) = rest.split_at(usize::from(cuts.torn));
        steps.extend([
            ask_slowly(bob, &slow),
            // Most of Bob's batch is still to come.
            json!({ "do": "cut", "as": time, "how": how, "after": format!("bob {time} 3"), "to": bob,
                    "items": items, "torn": torn, "lost": lost }),
            say(bob, &format!("away {cut}"), &away("alice", cut)),
            json!({ "do": "go", "as": format!("go on {cut}") }),
        ]);
        if cuts.again && cut == 2 {
            steps.push(json!({ "do": "resume", "as": "resume in vain", "cut": "reset" }));
        }
        steps.extend([
            json!({ "do": "resume", "as": format!("resume {cut}") }),
            wait(&format!("bob away {cut} 4")),
            answers(&[&[slow.as_str()], &requests(&batch)[..]].concat()),
            json!({ "do": "answer_held", "as": format!("answer {cut}") }),
        ]);
        steps.extend(talk(next));
    }
    // Whatever was injected at Bob's last command has gone to him before this.
    steps.extend([say(bob, GOODBYE, &[json!(GOODBYE)]), json!("settle"), json!("ping")]);
    json!(steps)
}

/// What Bob does.
fn bobs_day(alice: &str) -> Value {
    let talk = |time: &str| [say(alice, time, &batch("bob", time)), wait(&format!("alice {time} {}", PLAIN - 1))];
    let go = |label: String| json!({ "do": "go", "as": label });
    let mut steps = vec![json!("login"), json!("presence"), go("begin".into())];
    steps.extend(talk("before"));
    for (cut, next) in [(1, "between"), (2, "after")] {
        let (time, slow) = (format!("cut {cut}"), format!("bob asks {cut}"));
        steps.extend([
            json!({ "do": "held", "as": format!("asked {cut}") }),
            json!({ "do": "say", "as": time, "to": alice, "items": batch("bob", &time), "pad": 3000 }),
            go(format!("go on {cut}")),
            say(alice, &format!("away {cut}"), &away("bob", cut)),
            json!({ "do": "answer_held", "as": format!("answer {cut}") }),
            ask_slowly(alice, &slow),
            // The server has dealt with all of it once this is answered.
            json!({ "do": "ping", "as": format!("done {cut}") }),
            answers(&[&slow]),
            wait(&format!("alice away {cut} 4")),
        ]);
        steps.extend(talk(next));
    }
    steps.extend([wait(GOODBYE), json!("ping")]);
    json!(steps)
}

/// Alice and Bob and their server.
struct Cast {
    server: Arc<Server>,
    alice: (String, String),
    bob: (String, String),
}

impl Cast {
    /// Two accounts that no other test of this file uses at that server; `None` if something is not installed.
    fn of(make: Make, pair: usize) -> Option<Self> {
        let there = have(&[make.need(), Need::Slixmpp]);
        there.then(|| Self { server: make.shared(), alice: user(2 * pair), bob: user(2 * pair + 1) })
    }

    /// The whole story; Alice is at this port. What both have seen.
    #[track_caller]
    fn play(&self, port: u16, ca: &Path, cuts: Cuts) -> (Seen, Seen) {
        let full = |account: &(String, String)| format!("{}@{DOMAIN}/desk", account.0);
        let (alice_jid, bob_jid) = (full(&self.alice), full(&self.bob));
        let (here, managed) = (json!({ "resource": "desk" }), json!({ "resource": "desk", "sm": true }));
        let login = Login::starttls(self.server.port, &self.bob, &self.server.certs.ca);
        let mut bob = Client::start_with(&login, &here, &bobs_day(&alice_jid));
        bob.reach("presence");
        let login = Login::starttls(port, &self.alice, ca);
        let mut alice = Client::start_with(&login, &managed, &alices_day(&bob_jid, cuts));
        let sm = &alice.reach("login")["sm"];
        assert_eq!(sm["resume"], true, "{sm}");
        alice.reach("presence");
        bob.go();
        for cut in [1, 2] {
            bob.reach(&format!("asked {cut}"));
            // Bob's batch is on its way to Alice from here on; she cuts the connection amidst of it.
            alice.reach(&format!("cut {cut}"));
            bob.go();
            bob.reach(&format!("done {cut}"));
            alice.go();
            assert_eq!(alice.reach(&format!("resume {cut}"))["resumed"], true);
        }
        (alice.rest(), bob.rest())
    }
}

/// Nothing is lost, doubled or out of order; what was said to iqtap stayed there and was obeyed once.
#[track_caller]
fn check_story(alice: &Seen, bob: &Seen, through: bool) {
    for seen in [alice, bob] {
        assert!(seen.received().ends_with("</stream:stream>"), "{}", seen.received());
        assert_eq!(seen.line("end")["complaints"], json!([]));
    }
    for (seen, other, word) in [(alice, "bob", "down "), (bob, "alice", "up ")] {
        let (injected, said): (Vec<_>, Vec<_>) = seen.bodies().into_iter().partition(|body| body.starts_with(word));
        let command = |body: &str| body.starts_with("inject ") || body.starts_with("drop ");
        let expected: Vec<_> = all_bodies(other).into_iter().filter(|body| !(through && command(body))).collect();
        assert_eq!(said, expected, "what {other} said");
        check_injected(injected, if word == "up " { UP } else { DOWN }, word, through);
    }
    let expected = if through { "result" } else { "error" }; // no server knows that namespace
    for time in TIMES {
        let batch = batch("alice", time);
        let mut asked = requests(&batch);
        let slow = time.strip_prefix("cut ").map(|cut| format!("alice asks {cut}"));
        asked.splice(0..0, slow.as_deref());
        let seen = &alice.ok(&format!("answers {}", asked[0]))["answers"];
        for id in asked {
            assert_eq!(seen[id], if id.starts_with("alice") { "result" } else { expected }, "{id}");
            assert_eq!(answers_on_the_wire(alice, id), 1, "answers to {id}");
        }
    }
    for slow in ["bob asks 1", "bob asks 2"] {
        assert_eq!(answers_on_the_wire(bob, slow), 1, "answers to {slow}");
    }
    check_counts(alice);
}

/// What the script made at each command is there once, and what it made at one command is in order.
#[track_caller]
fn check_injected(mut seen: Vec<&str>, each: usize, word: &str, through: bool) {
    let commands = ["alice", "bob"].into_iter().flat_map(all_bodies).filter(|body| body.starts_with("inject "));
    let of_one = |body: String| (1..=each).map(move |n| format!("{word}{} {n}", &body["inject ".len()..]));
    let mut expected: Vec<_> = commands.filter(|_| through).flat_map(of_one).collect();
    let command = |body: &str| body.rsplit_once(' ').unwrap().0.to_owned();
    // Stable sorts: two commands may be obeyed in either order.
    seen.sort_by_key(|body| command(body));
    expected.sort_by_key(|body| command(body));
    assert_eq!(seen, expected, "what was injected");
}

/// How many answers of this id a client received, on all its connections.
fn answers_on_the_wire(seen: &Seen, id: &str) -> usize {
    let answers = |stream: Stream| {
        items(&stream.received).into_iter().filter(|e| e.is_iq("result", id) || e.is_iq("error", id)).count()
    };
    seen.streams().into_iter().map(answers).sum()
}

/// Every connection but the first began with a resumption of the first one's session, and the books are right:
/// slixmpp's count of what it got is ours, and all it sent was acknowledged in the end.
#[track_caller]
fn check_counts(alice: &Seen) {
    let id = alice.ok("login")["sm"]["id"].as_str().unwrap().to_owned();
    let (mut counted, mut resumed) = (0, 0);
    for stream in alice.streams() {
        let mut managed = false;
        for element in items(&stream.received) {
            match element.name.as_str() {
                "enabled" => managed = true,
                "resumed" => {
                    assert_eq!(element.attribute("previd"), Some(&*id), "{}", element.xml);
                    (managed, resumed) = (true, resumed + 1);
                }
                "message" | "presence" | "iq" if managed => counted += 1,
                _ => {}
            }
        }
    }
    assert_eq!(resumed, alice.streams().len() - 1);
    let books = alice.ok("settle");
    assert_eq!((&books["unacked"], &books["acked"]), (&json!(0), &books["sent"]), "{books}");
    // The answer to the ping came after that.
    assert_eq!(books["handled"].as_u64().unwrap() + 1, counted, "{books}");
}

/// The control: without iqtap.
fn directly(make: Make, pair: usize, again: bool) {
    let Some(cast) = Cast::of(make, pair) else { return };
    // COMPAT: Prosody 0.12.3 goes on with the parser of the old connection after a resumption: half a stanza in it
    // spoils the new one. Behind iqtap, which forwards whole stanzas, it never has half of one.
    let torn = !matches!(make, Make::Prosody);
    let (alice, bob) = cast.play(cast.server.port, &cast.server.certs.ca, Cuts { again, torn });
    check_story(&alice, &bob, false);
}

fn through_iqtap(make: Make, pair: usize, again: bool) {
    let Some(cast) = Cast::of(make, pair) else { return };
    let mut iqtap = Iqtap::run(cast.server.port, &["--server-ca", cast.server.ca(), "--json", "--script", SCRIPT]);
    let (alice, bob) = cast.play(iqtap.port, &iqtap.ca(), Cuts { again, torn: true });
    assert!(iqtap.stop().success(), "{}", iqtap.log());
    check_story(&alice, &bob, true);
    assert_eq!(iqtap.findings(), Vec::<String>::new());
    let answered = iqtap.events().into_iter().filter(|event| event["verdict"] == "answered").count();
    assert_eq!(answered, 50, "each request is answered once, however often it comes");
}

/// Where stream management is not offered, the client logs in without, and anew after a cut.
fn stripped(make: Make, pair: usize) {
    let Some(cast) = Cast::of(make, pair) else { return };
    let mut iqtap = Iqtap::run(cast.server.port, &["--server-ca", cast.server.ca(), "--json", "--sm", "strip"]);
    let steps = json!(["login", "presence", "ping", "cut", "resume", { "do": "ping", "as": "ping again" }]);
    let ca = iqtap.ca();
    let login = Login::starttls(iqtap.port, &cast.alice, &ca);
    let seen = Client::start_with(&login, &json!({ "sm": true }), &steps).rest();
    assert!(iqtap.stop().success(), "{}", iqtap.log());
    assert_eq!(seen.ok("login")["sm"], Value::Null);
    assert_eq!(seen.ok("resume")["resumed"], false);
    assert_eq!(seen.ok("ping again")["type"], "result");
    assert_eq!(seen.streams().len(), 2);
    assert!(!seen.received().contains("urn:xmpp:sm:"), "{}", seen.received());
    assert!(!seen.sent().contains("urn:xmpp:sm:"), "{}", seen.sent());
    assert!(seen.received().ends_with("</stream:stream>"), "{}", seen.received());
}

tests! {
    prosody_directly: directly(Make::Prosody, 0, false);
    prosody_directly_and_cut_again_at_once: directly(Make::Prosody, 1, true);
    prosody_through_iqtap: through_iqtap(Make::Prosody, 2, false);
    prosody_through_iqtap_and_cut_again_at_once: through_iqtap(Make::Prosody, 3, true);
    prosody_without_stream_management: stripped(Make::Prosody, 4);
    ejabberd_directly: directly(Make::Ejabberd, 0, false);
    ejabberd_directly_and_cut_again_at_once: directly(Make::Ejabberd, 1, true);
    ejabberd_through_iqtap: through_iqtap(Make::Ejabberd, 2, false);
    ejabberd_through_iqtap_and_cut_again_at_once: through_iqtap(Make::Ejabberd, 3, true);
    ejabberd_without_stream_management: stripped(Make::Ejabberd, 4);
}
