//! Answers in the server's place, between slixmpp and real servers: what each mode of each namespace promises is seen by
//! the client, kept over a restart and over `kill -9`, and costs the server nothing.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test ends where something is not as it must be, and says what it saw"
)]

mod peers;

use peers::{
    CLEAR, Capture, Client, DOMAIN, Iqtap, Login, Make, Need, Prosody, Raw, Seen, Stage, builtin, check_formed,
    check_pairs, have, tests, text, user,
};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// Everything a client may ask that can be answered in the server's place. `word` stands in what it writes.
fn day(word: &str) -> Value {
    json!([
        "login",
        "ping",
        "version",
        "time",
        "last",
        { "do": "vcard_get", "as": "vcard before" },
        { "do": "vcard_set", "fn": word },
        "vcard_get",
        { "do": "blocked", "as": "blocked before" },
        { "do": "block", "jids": [format!("{word}@{DOMAIN}")] },
        "blocked",
        { "do": "private_get", "as": "private before" },
        { "do": "private_set", "text": word },
        "private_get",
    ])
}

/// What of it is kept.
fn kept() -> Value {
    json!(["login", "vcard_get", "blocked", "private_get"])
}

/// What was written was kept, and is read.
#[track_caller]
fn check_written(seen: &Seen, word: &str) {
    for step in ["ping", "vcard_set", "block", "private_set"] {
        seen.ok(step);
    }
    assert_eq!(seen.ok("blocked before")["jids"], json!([]));
    assert_eq!(seen.ok("private before")["text"], "");
    check_kept(seen, word);
}

#[track_caller]
fn check_kept(seen: &Seen, word: &str) {
    assert_eq!(seen.ok("vcard_get")["fn"], word);
    assert_eq!(seen.ok("blocked")["jids"], json!([format!("{word}@{DOMAIN}")]));
    assert_eq!(seen.ok("private_get")["text"], word);
}

/// What neither of the servers has is answered here.
#[track_caller]
fn check_lacked(seen: &Seen) {
    let time = seen.ok("time");
    assert_eq!(time["tzo"], "+00:00", "{time}");
    let utc = text(&time["utc"]);
    let told: jiff::Timestamp = utc.parse().unwrap();
    let now = jiff::Timestamp::now().as_second();
    assert!(utc.ends_with('Z') && (now - 120..=now).contains(&told.as_second()), "{utc}");
    let ago = seen.ok("last")["ago"].as_u64().unwrap();
    assert!(ago < 120, "{ago}");
}

/// Nothing of the day is known to the server.
#[track_caller]
fn check_nothing_kept(alone: &Seen, word: &str) {
    assert!(!alone.received().contains(word), "{}", alone.received());
    assert_eq!(alone.ok("blocked")["jids"], json!([]));
    assert_eq!(alone.ok("private_get")["text"], "");
}

/// The control: without iqtap the servers do what the tests below take for granted.
fn alone(make: Make, number: usize) {
    if !have(&[make.need(), Need::Slixmpp]) {
        return;
    }
    let (server, account) = (make.shared(), user(number));
    let login = Login::starttls(server.port, &account, &server.certs.ca);
    let seen = Client::start_with(&login, &json!({ "answers": true }), &day("alone")).rest();
    check_written(&seen, "alone");
    check_refused(&seen);
}

/// The server has neither time nor uptime.
#[track_caller]
fn check_refused(seen: &Seen) {
    for step in ["time", "last"] {
        let condition = text(&seen.failed(step)["condition"]).to_owned();
        assert!(["service-unavailable", "feature-not-implemented"].contains(&condition.as_str()), "{condition}");
    }
}

fn forward(make: Make, number: usize) {
    let Some(stage) = Stage::of(make, "forward", number) else { return };
    let seen = stage.inside(&day("forwarded"));
    assert_eq!(seen.ok("version")["name"], stage.name());
    check_written(&seen, "forwarded");
    check_refused(&seen);
    check_kept(&stage.outside(&kept()), "forwarded");
    stage.end();
}

fn local(make: Make, number: usize) {
    let Some(mut stage) = Stage::of(make, "local", number) else { return };
    let seen = stage.inside(&day("answered"));
    assert_eq!(seen.ok("version")["name"], "iqtap");
    assert_eq!(seen.ok("version")["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(seen.failed("vcard before")["condition"], "item-not-found");
    check_written(&seen, "answered");
    check_lacked(&seen);
    check_nothing_kept(&stage.outside(&kept()), "answered");
    stage.restart();
    check_kept(&stage.inside(&kept()), "answered");
    stage.end();
}

fn fallback(make: Make, number: usize) {
    let Some(mut stage) = Stage::of(make, "fallback", number) else { return };
    let seen = stage.inside(&day("fallen"));
    assert_eq!(seen.ok("version")["name"], stage.name());
    check_written(&seen, "fallen");
    check_lacked(&seen);
    check_kept(&stage.outside(&kept()), "fallen");
    stage.restart();
    check_kept(&stage.inside(&kept()), "fallen");
    stage.end();
}

fn deny(make: Make, number: usize, mode: &str, condition: &str) {
    let Some(stage) = Stage::of(make, mode, number) else { return };
    let (steps, seen) = (day("denied"), stage.inside(&day("denied")));
    seen.ok("login");
    for step in &steps.as_array().unwrap()[1..] {
        let step = text(step.get("as").or_else(|| step.get("do")).unwrap_or(step));
        assert_eq!(seen.failed(step)["condition"], condition, "{step}");
    }
    check_nothing_kept(&stage.outside(&kept()), "denied");
    stage.end();
}

/// What is another's stays the server's: their vCard is read from it, and not to be written by anybody here.
fn others(make: Make, number: usize) {
    let Some(stage) = Stage::of(make, "local", number) else { return };
    let (neighbour, _) = user(NEIGHBOUR);
    stage.neighbour(NEIGHBOUR, &json!(["login", { "do": "vcard_set", "fn": "next door" }])).ok("vcard_set");
    let vcard = |label: &str, kind: &str, inside: &str| {
        let child = format!("<vCard xmlns='vcard-temp'>{inside}</vCard>");
        json!({ "do": "iq", "as": label, "type": kind, "to": format!("{neighbour}@{DOMAIN}"), "children": [child] })
    };
    let large = "x".repeat(70_000);
    let seen = stage.inside(&json!([
        "login",
        vcard("theirs", "get", ""),
        vcard("write theirs", "set", "<FN>mine</FN>"),
        { "do": "vcard_set", "as": "too large", "fn": large },
        "vcard_get",
    ]));
    assert!(text(&seen.ok("theirs")["xml"]).contains("next door"), "{}", seen.ok("theirs"));
    assert_eq!(seen.ok("write theirs")["condition"], "forbidden");
    let refused = seen.failed("too large");
    assert_eq!(refused["condition"], "not-acceptable");
    assert!(text(&refused["text"]).contains("more than the 65536 that are kept"), "{refused}");
    assert_eq!(seen.failed("vcard_get")["condition"], "item-not-found");
    let again = stage.neighbour(NEIGHBOUR, &json!(["login", "vcard_get"]));
    assert_eq!(again.ok("vcard_get")["fn"], "next door");
    stage.end();
}

/// Who has a vCard that others read.
const NEIGHBOUR: usize = 15;

/// What the server and the account say of themselves, if the server is not asked.
fn described(make: Make, number: usize) {
    let answers = [
        "disco#info=local",
        "disco#items=local",
        "urn:xmpp:ping=local",
        "vcard=local",
        "urn:xmpp:blocking=fallback",
        "jabber:iq:version=deny",
    ];
    let Some(stage) = Stage::with(make, &answers, number) else { return };
    let account = format!("{}@{DOMAIN}", user(number).0);
    let items = |label: &str, to: &str| {
        let query = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
        json!({ "do": "iq", "as": label, "to": to, "children": [query] })
    };
    let seen = stage.inside(&json!([
        "login",
        { "do": "info", "as": "server" },
        { "do": "info", "as": "account", "to": account },
        { "do": "info", "as": "node", "node": "http://example.org/nothing" },
        items("items", DOMAIN),
    ]));
    let [info, items] = ["info", "items"].map(|what| format!("http://jabber.org/protocol/disco#{what}"));
    let server = seen.ok("server");
    assert_eq!(server["identities"], json!([["server", "im", null]]));
    assert_eq!(server["features"], json!([info, items, "urn:xmpp:blocking", "urn:xmpp:ping", "vcard-temp"]));
    let account = seen.ok("account");
    assert_eq!(account["identities"], json!([["account", "registered", null]]));
    assert_eq!(account["features"], json!([info, items, "vcard-temp"]));
    assert_eq!(seen.failed("node")["condition"], "item-not-found");
    let items = seen.ok("items");
    assert!(items["type"] == "result" && !text(&items["xml"]).contains("<item"), "{items}");
    stage.end();
}

tests! {
    prosody_without_iqtap: alone(Make::Prosody, 5);
    ejabberd_without_iqtap: alone(Make::Ejabberd, 5);
    forwarded_to_prosody: forward(Make::Prosody, 0);
    forwarded_to_ejabberd: forward(Make::Ejabberd, 0);
    answered_before_prosody: local(Make::Prosody, 1);
    answered_before_ejabberd: local(Make::Ejabberd, 1);
    what_prosody_lacks: fallback(Make::Prosody, 2);
    what_ejabberd_lacks: fallback(Make::Ejabberd, 2);
    denied_before_prosody: deny(Make::Prosody, 3, "deny", "feature-not-implemented");
    denied_before_ejabberd: deny(Make::Ejabberd, 3, "deny:not-allowed", "not-allowed");
    what_is_others_before_prosody: others(Make::Prosody, 6);
    what_is_others_before_ejabberd: others(Make::Ejabberd, 6);
    described_before_prosody: described(Make::Prosody, 7);
    described_before_ejabberd: described(Make::Ejabberd, 7);
}

/// How long each of so many pings takes, one after the other: the median.
fn ping(port: u16, account: &(String, String), count: usize) -> Duration {
    let mut client = Raw::login(port, &account.0, &account.1);
    // What else follows a login is over when the server has answered this.
    client.ask("begin", "<iq type='get' id='begin'><query xmlns='jabber:iq:roster'/></iq>").unwrap();
    let mut took: Vec<_> = (0..count)
        .map(|number| {
            let id = format!("ping-{number}");
            let xml = format!("<iq type='get' id='{id}' to='{DOMAIN}'><ping xmlns='urn:xmpp:ping'/></iq>");
            let begun = Instant::now();
            let answer = client.ask(&id, &xml).unwrap();
            let took = begun.elapsed();
            assert!(answer.is_iq("result", &id) && answer.attribute("from") == Some(DOMAIN), "{}", answer.xml);
            took
        })
        .collect();
    took.sort();
    took[took.len() / 2]
}

/// iqtap before Prosody, with pings in this mode.
fn pinged(upstream: u16, mode: &str, record: Option<&Path>) -> Iqtap {
    let answer = format!("urn:xmpp:ping={mode}");
    let record: Vec<_> = record.into_iter().flat_map(|path| ["--record", path.to_str().unwrap()]).collect();
    Iqtap::run(upstream, &[&CLEAR[..], &["--quiet", "--answer", &answer], &record].concat())
}

/// A ping that is answered here takes no longer than the server's: asked through iqtap, and, if iqtap was built for speed,
/// asked without it too.
#[test]
fn a_ping_answered_here_is_fast() {
    const ROUNDS: usize = 10;
    const PINGS: usize = 200;
    if !have(&[Need::Prosody]) {
        return;
    }
    let (server, account) = (Prosody::shared(), user(4));
    let (here, through) = (pinged(server.port, "local", None), pinged(server.port, "forward", None));
    let ports = [here.port, through.port, server.port];
    // In turns, and of each the best round: other things go on on this machine.
    let mut best = [Duration::MAX; 3];
    for _ in 0..ROUNDS {
        for (best, port) in best.iter_mut().zip(ports) {
            *best = ping(port, &account, PINGS).min(*best);
        }
    }
    let [here, through, direct] = best;
    let figures =
        format!("answered here in {here:?}, by the server through iqtap in {through:?}, without in {direct:?}");
    println!("{} pings each, the best median of {ROUNDS} rounds: {figures}", ROUNDS * PINGS);
    assert!(here <= through, "{figures}");
    assert!(here <= direct || cfg!(debug_assertions), "{figures}");
}

/// And the server never hears of it.
#[test]
fn a_ping_answered_here_costs_no_traffic() {
    const PINGS: usize = 50;
    if !have(&[Need::Prosody, Need::Tshark]) {
        return;
    }
    let (server, dir, account) = (Prosody::shared(), tempfile::tempdir().unwrap(), user(4));
    for (mode, upstream) in [("local", 0), ("forward", PINGS)] {
        let path = dir.path().join(format!("{mode}.pcapng"));
        let mut iqtap = pinged(server.port, mode, Some(&path));
        ping(iqtap.port, &account, PINGS);
        assert!(iqtap.stop().success(), "{}", iqtap.log());
        let capture = Capture(&path);
        check_formed(&capture, &[]);
        check_pairs(&capture, &[]);
        let frames = |filter: &str| {
            let numbers = capture.field(filter, "frame.number");
            numbers.iter().map(|number| number.parse().unwrap()).collect::<Vec<u32>>()
        };
        // The server has the address 127.0.0.2 in our captures.
        let pings = "xmpp.iq && xmpp.id contains \"ping-\"";
        assert_eq!(frames(&format!("{pings} && !(ip.addr == 127.0.0.2)")).len(), 2 * PINGS, "{mode}: the client's leg");
        assert_eq!(frames(&format!("{pings} && ip.addr == 127.0.0.2")).len(), 2 * upstream, "{mode}: the server's leg");
        // From the first ping to the last nothing at all went there but pings.
        let all = frames(pings);
        let (first, last) = (all[0], all[all.len() - 1]);
        let there = frames("ip.addr == 127.0.0.2 && tcp.len > 0");
        let between = there.iter().filter(|frame| (first..=last).contains(frame)).count();
        assert_eq!(between, 2 * upstream, "{mode}");
    }
}

/// So many accounts set so many vCards each: a thousand.
const ACCOUNTS: usize = 8;
const SETS: usize = 125;
/// Of them so many at a time, without waiting: more than 64 would be too many for iqtap.
const AHEAD: usize = 32;

/// Of one account's sets, how many have left and how many were acknowledged.
#[derive(Default)]
struct Account {
    sent: AtomicUsize,
    acknowledged: AtomicUsize,
}

impl Account {
    fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }

    fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// Sets its vCards, until its connection is gone.
    fn set_vcards(&self, mut client: Raw) {
        let mut writer = client.writer();
        let (more, wanted) = channel();
        (0..AHEAD).for_each(|_| more.send(()).unwrap());
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for (number, ()) in (1..=SETS).zip(wanted) {
                    let vcard = format!("<vCard xmlns='vcard-temp'><FN>number {number}</FN></vCard>");
                    // Counted first: it may be kept before `write_all` is back.
                    self.sent.store(number, Ordering::SeqCst);
                    if write!(writer, "<iq type='set' id='set-{number}'>{vcard}</iq>").is_err() {
                        return;
                    }
                }
            });
            for number in 1..=SETS {
                let Ok(answer) = client.answer(&format!("set-{number}")) else { break };
                assert_eq!(answer.attribute("type"), Some("result"), "{}", answer.xml);
                self.acknowledged.store(number, Ordering::SeqCst);
                let _ = more.send(());
            }
            drop(more);
        });
    }
}

/// The number of the vCard that an account has; 0 if it has none.
fn vcard_of(port: u16, name: &str) -> usize {
    let mut client = Raw::login(port, name, "NiemandsWort");
    let answer = client.ask("get", "<iq type='get' id='get'><vCard xmlns='vcard-temp'/></iq>").unwrap();
    if answer.attribute("type") == Some("error") {
        assert!(answer.xml.contains("item-not-found"), "{}", answer.xml);
        return 0;
    }
    let number = answer.xml.split_once("<FN>number ").and_then(|(_, rest)| rest.split_once("</FN>")).unwrap().0;
    number.parse().unwrap()
}

/// iqtap is killed amidst a thousand sets. What it has acknowledged is there afterwards: each account has a vCard at least
/// as new as the last one that it was told of, and one that it has sent.
#[test]
fn what_was_acknowledged_outlives_kill_9() {
    let port = builtin();
    for killed_after in [1, 40, 300, 700] {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("kept.redb");
        let flags = ["--quiet", "--answer", "vcard-temp=local", "--store", store.to_str().unwrap()];
        let start = || Iqtap::run(port, &[&CLEAR[..], &flags].concat());
        let accounts: Vec<_> = (0..ACCOUNTS).map(|at| (format!("killed{at}"), Account::default())).collect();
        let sum = |of: fn(&Account) -> usize| accounts.iter().map(|(_, account)| of(account)).sum::<usize>();
        let mut iqtap = start();
        let clients: Vec<_> = accounts.iter().map(|(name, _)| Raw::login(iqtap.port, name, "NiemandsWort")).collect();
        std::thread::scope(|scope| {
            for ((_, account), client) in accounts.iter().zip(clients) {
                scope.spawn(move || account.set_vcards(client));
            }
            let begun = Instant::now();
            while sum(Account::acknowledged) < killed_after {
                assert!(begun.elapsed() < peers::PATIENCE, "{} sets were acknowledged", sum(Account::acknowledged));
                std::thread::sleep(Duration::from_micros(200));
            }
            iqtap.kill();
        });
        let (sent, acknowledged) = (sum(Account::sent), sum(Account::acknowledged));
        assert!(acknowledged < ACCOUNTS * SETS, "it was killed too late");
        assert!(acknowledged < sent, "nothing was under way");
        let mut iqtap = start();
        let mut kept = 0;
        for (name, account) in &accounts {
            let number = vcard_of(iqtap.port, name);
            let (told, sent) = (account.acknowledged(), account.sent());
            assert!((told..=sent).contains(&number), "{name} was told of {told}, has sent {sent} and has {number}");
            kept += number;
        }
        println!("killed after {acknowledged} of {sent} sets were acknowledged; {kept} are there");
        assert!(iqtap.stop().success(), "{}", iqtap.log());
    }
}

/// What scripts ask to be kept is there when iqtap is started again: whether it was asked to end, or killed once it had written.
#[test]
fn what_scripts_keep_outlives_iqtap() {
    let port = builtin();
    let dir = tempfile::tempdir().unwrap();
    let (script, store) = (dir.path().join("count.rhai"), dir.path().join("kept.redb"));
    let code = r#"fn on_message(s) {
        shared.keep("n");
        shared.keep("l");
        shared.push("l", `entry ${shared.incr("n")}.`);
        log(`counted ${shared.n} ${shared.list("l")}`);
    }"#;
    std::fs::write(&script, code).unwrap();
    let flags = ["--script", script.to_str().unwrap(), "--store", store.to_str().unwrap()];
    let start = || Iqtap::run(port, &[&CLEAR[..], &flags].concat());
    let say = |iqtap: &Iqtap| {
        let mut client = Raw::login(iqtap.port, "counter", "NiemandsWort");
        client.send("<message to='nobody@xmpp.test' type='headline'><body>one more</body></message>").unwrap();
        client.ask("done", "<iq type='get' id='done'><ping xmlns='urn:xmpp:ping'/></iq>").unwrap();
    };
    let counted = |count: usize| {
        let list: Vec<_> = (1..=count).map(|number| format!("\"entry {number}.\"")).collect();
        format!("counted {count} [{}]", list.join(", "))
    };
    let mut iqtap = start();
    say(&iqtap);
    say(&iqtap);
    iqtap.prints(&counted(2));
    assert!(iqtap.stop().success(), "{}", iqtap.log());
    let mut iqtap = start();
    say(&iqtap);
    iqtap.prints(&counted(3));
    // When something of the next write has reached the file, the write before that has ended.
    for number in [3, 4] {
        if number == 4 {
            say(&iqtap);
        }
        let (begun, entry) = (Instant::now(), format!("entry {number}."));
        while memchr::memmem::find(&std::fs::read(&store).unwrap(), entry.as_bytes()).is_none() {
            assert!(begun.elapsed() < peers::PATIENCE, "{entry} is not written");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    iqtap.kill();
    let iqtap = start();
    say(&iqtap);
    let found = iqtap.printed(|line| line.find("counted ").map(|at| line[at..].to_owned()));
    assert!([4, 5].map(counted).contains(&found), "{found}");
}
