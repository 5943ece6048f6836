//! Blocking in the server's place (XEP-0191): slixmpp blocks somebody before a server that blocks nobody, and before servers that
//! would. He is heard no more, told that nobody is there, over restarts of iqtap and `kill -9`, until he is unblocked.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends where something is not as it must be, and says what it saw"
)]

mod peers;

use peers::{
    CLEAR, Client, DOMAIN, Iqtap, Make, Need, Seen, Stage, builtin, go, have, pushes, raw, refused, sees, somebody,
    text, user,
};
use serde_json::{Value, json};
use std::path::PathBuf;

// What each of the lovers is called, and where.
const JULIET: &str = "juliet@xmpp.test";
const BALCONY: &str = "juliet@xmpp.test/balcony";
const ROMEO: &str = "romeo@xmpp.test";
const ORCHARD: &str = "romeo@xmpp.test/orchard";
/// Somebody else who is blocked.
const PARIS: &str = "paris@verona.test";

const UNAVAILABLE: &str = "{urn:ietf:params:xml:ns:xmpp-stanzas}service-unavailable";
const UNACCEPTABLE: [&str; 2] =
    ["{urn:ietf:params:xml:ns:xmpp-stanzas}not-acceptable", "{urn:xmpp:blocking:errors}blocked"];

fn block(jids: &[&str]) -> Value {
    json!({ "do": "block", "jids": jids })
}

fn version_of(label: &str, to: &str) -> Value {
    json!({ "do": "iq", "as": label, "to": to, "children": ["<query xmlns='jabber:iq:version'/>"] })
}

/// Messages, presence and a request of Romeo's to Juliet; each says `word`.
fn romeo_tries(word: &str) -> Vec<Value> {
    let full = format!("<message to='{BALCONY}' id='{word}-full' type='chat'><body>{word} full</body></message>");
    let bare = format!("<message to='{JULIET}' id='{word}-bare' type='chat'><body>{word} bare</body></message>");
    let directed = format!("<presence to='{BALCONY}' id='{word}-directed'><status>{word} directed</status></presence>");
    let all = format!("<presence id='{word}-all'><status>{word} all</status></presence>");
    let attempts = [("full", full), ("bare", bare), ("directed", directed), ("all", all)];
    let mut steps: Vec<_> = attempts.iter().map(|(what, xml)| raw(&format!("{word} {what}"), xml)).collect();
    steps.push(version_of(&format!("{word} iq"), BALCONY));
    steps
}

/// The same, and he is told that there is nobody, by whom he has asked under its full name.
fn romeo_tries_in_vain(word: &str) -> Vec<Value> {
    let mut steps = romeo_tries(word);
    steps.push(refused(&format!("{word}-full")));
    steps
}

/// What Juliet sees if Romeo comes through: the last of it.
fn all_of(word: &str) -> [Value; 3] {
    [sees(&format!("{word} full")), sees(&format!("{word} directed")), sees(&format!("{word} all"))]
}

#[track_caller]
fn nobody_is_there(romeo: &Seen, word: &str) {
    let iq = romeo.ok(&format!("{word} iq"));
    assert_eq!((&iq["condition"], &iq["error_type"]), (&json!("service-unavailable"), &json!("cancel")), "{iq}");
    let error = romeo.ok(&format!("refused {word}-full"));
    assert_eq!((&error["type"], &error["conditions"]), (&json!("cancel"), &json!([UNAVAILABLE])), "{error}");
    assert_eq!(error["from"], BALCONY, "{error}");
    // An error to a message to the account would have shown him which resource is there; the iq has come after it.
    assert!(!romeo.received().contains(&format!("{word}-bare")), "{}", romeo.received());
}

/// Nothing that says this word was received.
#[track_caller]
fn silent(seen: &Seen, word: &str) {
    for said in [format!("{word} "), format!("{word}-")] {
        assert!(!seen.received().contains(&said), "{said:?} is in {}", seen.received());
    }
}

/// What the nurse says to Juliet's resources, so that what was said before must have come.
fn marker(word: &str) -> [Value; 2] {
    ["balcony", "chamber"].map(|resource| {
        let message = format!("<message to='{JULIET}/{resource}'><body>marker {word}</body></message>");
        raw(&format!("marker {word} {resource}"), &message)
    })
}

/// The built-in server, and iqtap before it.
struct Verona {
    port: u16,
    store: PathBuf,
    _dir: tempfile::TempDir,
}

impl Verona {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { port: builtin(), store: dir.path().join("kept.redb"), _dir: dir }
    }

    fn iqtap(&self) -> Iqtap {
        let flags = ["--answer", "urn:xmpp:blocking=fallback", "--store", self.store.to_str().unwrap()];
        Iqtap::run(self.port, &[&CLEAR[..], &flags].concat())
    }
}

/// In front of a server that blocks nobody: a contact is blocked and is not heard of any more, other resources are told,
/// and it is so whatever becomes of iqtap, until all are unblocked.
#[test]
fn blocking_where_the_server_has_none() {
    if !have(&[Need::Slixmpp]) {
        return;
    }
    let verona = Verona::new();
    let mut steps = vec![json!("login"), json!("presence")];
    for word in ["first", "second", "third"] {
        steps.push(go(word));
        steps.extend(romeo_tries_in_vain(word));
    }
    steps.push(go("fourth"));
    steps.extend(romeo_tries("fourth"));
    steps.push(go("last"));
    let mut romeo = somebody(verona.port, "romeo", "orchard", &json!(steps));
    let mut steps = vec![json!("login"), json!("presence")];
    for word in ["first", "second", "third", "fourth"] {
        steps.push(go(word));
        steps.extend(marker(word));
    }
    steps.push(go("last"));
    let mut nurse = somebody(verona.port, "nurse", "hall", &json!(steps));
    romeo.reach("presence");
    nurse.reach("presence");

    let mut iqtap = verona.iqtap();
    he_is_blocked(&iqtap, &mut romeo, &mut nurse);
    assert!(iqtap.stop().success(), "{}", iqtap.log());
    let mut iqtap = verona.iqtap();
    he_is_blocked_still(&iqtap, &mut romeo, &mut nurse, "second");
    iqtap.kill();
    let mut iqtap = verona.iqtap();
    he_is_blocked_still(&iqtap, &mut romeo, &mut nurse, "third");
    assert!(iqtap.stop().success(), "{}", iqtap.log());
    let mut iqtap = verona.iqtap();
    he_is_unblocked(&iqtap, &mut romeo, &mut nurse);
    romeo.go();
    nurse.go();
    let (romeo, _) = (romeo.rest(), nurse.rest());
    assert!(iqtap.stop().success(), "{}", iqtap.log());

    for word in ["first", "second", "third"] {
        nobody_is_there(&romeo, word);
    }
    assert_eq!(romeo.ok("fourth iq")["type"], "result", "she answers again");
    assert!(!romeo.received().contains("out message") && !romeo.received().contains("out presence"));
    assert!(!romeo.received().contains("out-"), "{}", romeo.received());
}

/// Juliet blocks him. What he sends does not arrive, what she sends him does not leave.
fn he_is_blocked(iqtap: &Iqtap, romeo: &mut Client, nurse: &mut Client) {
    let mut balcony = somebody(
        iqtap.port,
        "juliet",
        "balcony",
        &json!([
            "login",
            "presence",
            "blocked",
            go("others"),
            block(&[ROMEO, PARIS]),
            pushes(1),
            { "do": "blocked", "as": "blocked after" },
            raw("say", &format!("<message to='{ORCHARD}' id='out-m'><body>out message</body></message>")),
            refused("out-m"),
            raw("greet", &format!("<presence to='{ORCHARD}' id='out-p'><status>out presence</status></presence>")),
            refused("out-p"),
            version_of("out iq", ORCHARD),
            sees("marker first"),
        ]),
    );
    assert_eq!(balcony.reach("blocked")["jids"], json!([]));
    let steps = json!(["login", "presence", "blocked", pushes(1), sees("marker first")]);
    let mut chamber = somebody(iqtap.port, "juliet", "chamber", &steps);
    chamber.reach("blocked");
    // She has never asked for the list, and is not told.
    let mut garden = somebody(iqtap.port, "juliet", "garden", &json!(["login", go("last"), "ping", pushes(0)]));
    garden.reach("login");
    balcony.go();
    balcony.reach("out iq");
    chamber.reach("pushes 1");
    romeo.go();
    romeo.reach("refused first-full");
    nurse.go();
    let (balcony, chamber) = (balcony.rest(), chamber.rest());
    garden.go();
    let garden = garden.rest();

    let push = json!([["block", PARIS, ROMEO]]);
    assert_eq!((&balcony.ok("pushes 1")["pushes"], &chamber.ok("pushes 1")["pushes"]), (&push, &push));
    assert_eq!(garden.ok("pushes 0")["pushes"], json!([]));
    garden.ok("ping");
    assert_eq!(balcony.ok("blocked after")["jids"], json!([PARIS, ROMEO]));
    for id in ["out-m", "out-p"] {
        let error = balcony.ok(&format!("refused {id}"));
        assert_eq!((&error["from"], &error["conditions"]), (&json!(ORCHARD), &json!(UNACCEPTABLE)), "{error}");
        assert_eq!(error["type"], "cancel", "{error}");
    }
    let iq = balcony.ok("out iq");
    assert_eq!((&iq["condition"], &iq["error_type"]), (&json!("not-acceptable"), &json!("cancel")), "{iq}");
    assert!(text(&iq["xml"]).contains("urn:xmpp:blocking:errors"), "{iq}");
    for seen in [&balcony, &chamber] {
        seen.ok("sees marker first");
        silent(seen, "first");
    }
}

/// iqtap was started again: he is blocked before she has asked for anything, and his presence does not greet her.
fn he_is_blocked_still(iqtap: &Iqtap, romeo: &mut Client, nurse: &mut Client, word: &str) {
    let steps = json!(["login", "presence", sees(&format!("marker {word}")), "blocked"]);
    let mut balcony = somebody(iqtap.port, "juliet", "balcony", &steps);
    balcony.reach("presence");
    romeo.go();
    romeo.reach(&format!("refused {word}-full"));
    nurse.go();
    let balcony = balcony.rest();
    balcony.ok(&format!("sees marker {word}"));
    assert_eq!(balcony.ok("blocked")["jids"], json!([PARIS, ROMEO]));
    // What he was when she came, and what he has tried since.
    for word in ["first", "second", "third"] {
        silent(&balcony, word);
    }
}

/// All are unblocked, and he is heard.
fn he_is_unblocked(iqtap: &Iqtap, romeo: &mut Client, nurse: &mut Client) {
    let mut steps = vec![json!("login"), json!("presence"), json!("blocked"), go("others")];
    steps.extend([json!("unblock_all"), pushes(1)]);
    steps.extend(all_of("fourth"));
    steps.extend([sees("marker fourth"), json!({ "do": "blocked", "as": "blocked after" })]);
    let mut balcony = somebody(iqtap.port, "juliet", "balcony", &json!(steps));
    balcony.reach("blocked");
    let steps = json!(["login", "presence", "blocked", pushes(1), sees("marker fourth")]);
    let mut chamber = somebody(iqtap.port, "juliet", "chamber", &steps);
    chamber.reach("blocked");
    balcony.go();
    balcony.reach("pushes 1");
    chamber.reach("pushes 1");
    romeo.go();
    romeo.reach("fourth iq");
    nurse.go();
    let (balcony, chamber) = (balcony.rest(), chamber.rest());
    let push = json!([["unblock"]]);
    assert_eq!((&balcony.ok("pushes 1")["pushes"], &chamber.ok("pushes 1")["pushes"]), (&push, &push));
    for word in ["sees fourth full", "sees fourth directed", "sees fourth all", "sees marker fourth"] {
        balcony.ok(word);
    }
    assert_eq!(balcony.ok("blocked after")["jids"], json!([]));
}

/// The control: without iqtap nobody is blocked there, and what the test above calls silence is none.
#[test]
fn without_iqtap_the_built_in_server_blocks_nobody() {
    if !have(&[Need::Slixmpp]) {
        return;
    }
    let port = builtin();
    let mut steps = vec![json!("login"), json!("presence"), block(&[ROMEO])];
    steps.extend(all_of("first"));
    steps.push(go("last"));
    let mut juliet = somebody(port, "juliet", "balcony", &json!(steps));
    juliet.reach("presence");
    let mut steps = vec![json!("login"), json!("presence")];
    steps.extend(romeo_tries("first"));
    let romeo = somebody(port, "romeo", "orchard", &json!(steps)).rest();
    juliet.go();
    let juliet = juliet.rest();
    assert_eq!(juliet.failed("block")["condition"], "feature-not-implemented");
    for word in ["sees first full", "sees first directed", "sees first all"] {
        juliet.ok(word);
    }
    assert_eq!(romeo.ok("first iq")["type"], "result");
}

/// Who is blocked and may see her presence sees her go; who is unblocked sees her as she is (XEP-0191 §3.3, §3.4).
#[test]
fn the_blocked_see_her_go_and_the_unblocked_see_her_come() {
    if !have(&[Need::Slixmpp]) {
        return;
    }
    let verona = Verona::new();
    let mut iqtap = verona.iqtap();
    let heard =
        |label: &str, like: &Value, count: usize| json!({ "do": "heard", "as": label, "like": like, "count": count });
    let here = json!({ "from": BALCONY, "type": "available", "status": "here" });
    let gone = json!({ "from": BALCONY, "type": "unavailable" });
    let steps =
        ["login".into(), "presence".into(), heard("here", &here, 1), heard("gone", &gone, 1), heard("back", &here, 2)];
    let mut romeo = somebody(verona.port, "romeo", "orchard", &json!(steps));
    romeo.reach("presence");
    let here = raw("here", "<presence><status>here</status></presence>");
    let unblock = json!({ "do": "unblock", "jids": [ROMEO] });
    let steps =
        json!(["login", "roster", "presence", here, go("seen"), block(&[ROMEO]), go("gone"), unblock, go("last")]);
    let mut balcony = somebody(iqtap.port, "juliet", "balcony", &steps);
    romeo.reach("here");
    balcony.go();
    romeo.reach("gone");
    balcony.go();
    romeo.reach("back");
    balcony.go();
    let balcony = balcony.rest();
    balcony.ok("block");
    balcony.ok("unblock");
    assert!(iqtap.stop().success(), "{}", iqtap.log());
}

/// Before servers that could block, in each mode: who has asked for the list is told of its changes, the blocked are not heard,
/// and what is sent to them is refused.
fn before(make: Make, mode: &str, number: usize) {
    let Some(stage) = Stage::with(make, &[&format!("urn:xmpp:blocking={mode}")], number) else { return };
    let [full, them] =
        [(number, "/iqtap"), (number + 1, "")].map(|(number, rest)| format!("{}@{DOMAIN}{rest}", user(number).0));
    let say = |word: &str| format!("<message to='{full}' id='{word}' type='chat'><body>{word} said</body></message>");
    let ask = json!({ "do": "iq", "as": "asked", "to": full, "children": ["<ping xmlns='urn:xmpp:ping'/>"] });
    let steps = json!([
        "login",
        go("blocked"),
        raw("say before", &say("before")),
        ask,
        go("free"),
        raw("say after", &say("after")),
        go("last")
    ]);
    let mut theirs = stage.start_neighbour(number + 1, &steps);
    theirs.reach("login");
    let steps = json!([
        "login",
        "presence",
        "blocked",
        block(&[&them]),
        pushes(1),
        raw("say", &format!("<message to='{them}' id='out' type='chat'><body>out</body></message>")),
        refused("out"),
        go("tried"),
        { "do": "unblock", "jids": [them] },
        pushes(2),
        sees("after said"),
        { "do": "blocked", "as": "blocked after" },
    ]);
    let mut mine = stage.start(&json!({ "resource": "iqtap" }), &steps);
    mine.reach("refused out");
    theirs.go();
    theirs.reach("asked");
    mine.go();
    mine.reach("pushes 2");
    theirs.go();
    theirs.reach("say after");
    let mine = mine.rest();
    theirs.go();
    let theirs = theirs.rest();
    mine.ok("sees after said");
    assert_eq!(mine.ok("pushes 2")["pushes"], json!([["block", them], ["unblock", them]]));
    assert_eq!(mine.ok("blocked after")["jids"], json!([]));
    assert!(!mine.received().contains("before said"), "{}", mine.received());
    assert_eq!(theirs.ok("asked")["condition"], "service-unavailable");
    let refused = mine.ok("refused out");
    let conditions = refused["conditions"].as_array().unwrap();
    assert!(conditions.contains(&json!(UNACCEPTABLE[0])), "{refused}");
    if mode == "local" {
        assert_eq!(refused["conditions"], json!(UNACCEPTABLE), "{refused}"); // ejabberd 23.01 leaves one out
    }
    stage.end();
}

macro_rules! modes {
    ($($test:ident: $make:ident $mode:literal $number:literal;)*) => {
        $(#[test]
        fn $test() {
            before(Make::$make, $mode, $number);
        })*
    };
}

modes! {
    forwarded_to_prosody: Prosody "forward" 0;
    forwarded_to_ejabberd: Ejabberd "forward" 0;
    blocked_before_prosody: Prosody "local" 2;
    blocked_before_ejabberd: Ejabberd "local" 2;
    prosody_blocks_itself: Prosody "fallback" 4;
    ejabberd_blocks_itself: Ejabberd "fallback" 4;
}
