//! What an untouched stanza costs in steady state: no allocation (`design.md` §13), with rules reporting and the ledgers on.
//! And what a hostile peer can make a session keep: no more than ARCHITECTURE.md says.

mod link;

use iqtap::policy::Policy;
use iqtap::rules::{Mode, Modes};
use iqtap::script::{ScriptLimits, ScriptSet};
use iqtap::xmpp::Side;
use link::Link;
use std::path::Path;

impl Link {
    /// What a flood makes the session keep at most, in bytes. Notes are told and forgotten.
    fn kept(&mut self, flood: impl Fn(usize) -> (Side, String), count: usize) -> u64 {
        allocation_counter::measure(|| {
            for number in 0..count {
                let (side, text) = flood(number);
                self.say(side, &text);
                self.out.notes.clear();
            }
        })
        .bytes_max
    }
}

/// What the peers say, many times over. The first rounds may allocate: tables grow to what is used of them.
fn check(sm: bool, round: &[(Side, &str)]) {
    let mut link = Link::open(sm, Policy::default());
    let mut rounds = |count: usize| {
        for _ in 0..count {
            for (side, text) in round {
                link.say(*side, text);
            }
        }
    };
    rounds(100);
    let info = allocation_counter::measure(|| rounds(1000));
    assert_eq!(info.count_total, 0, "{info:?}");
    assert!(link.out.notes.is_empty(), "{:?}", link.out.notes);
}

const TO: &str = "<message from='juliet@example.org/balcony' to='romeo@example.net/orchard' type='chat' id='m1'>\
                  <body>Wherefore art thou, Romeo?</body><request xmlns='urn:xmpp:receipts'/></message>";
const FROM: &str = "<message to='juliet@example.org/balcony' from='romeo@example.net/orchard' type='chat' id='m2'>\
                    <body>Call me but love</body></message>";
const PRESENCE: &str =
    "<presence to='juliet@example.org/balcony' from='romeo@example.net/orchard'><show>away</show></presence>";

#[test]
fn messages_and_presence() {
    check(false, &[(Side::Client, TO), (Side::Server, FROM), (Side::Server, PRESENCE)]);
}

#[test]
fn requests_and_their_answers() {
    check(
        false,
        &[
            (Side::Client, "<iq type='get' id='a-ping-1' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>"),
            (Side::Client, "<iq type='get' id='a-vcard' to='romeo@example.net'><vCard xmlns='vcard-temp'/></iq>"),
            (Side::Server, "<iq type='result' id='a-ping-1' from='example.org' to='juliet@example.org/balcony'/>"),
            (
                Side::Server,
                "<iq type='get' id='v' from='romeo@example.net/orchard'><query xmlns='jabber:iq:version'/></iq>",
            ),
            (Side::Server, "<iq type='result' id='a-vcard' from='romeo@example.net'><vCard xmlns='vcard-temp'/></iq>"),
            (Side::Client, "<iq type='result' id='v' to='romeo@example.net/orchard'/>"),
        ],
    );
}

#[test]
fn the_same_under_stream_management() {
    const ROUNDS: usize = 1100;
    let mut link = Link::open(true, Policy::default());
    let acks: Vec<_> =
        (1..=ROUNDS).map(|h| format!("<r xmlns='urn:xmpp:sm:3'/><a xmlns='urn:xmpp:sm:3' h='{h}'/>")).collect();
    let mut rounds = |acks: &[String]| {
        for ack in acks {
            link.say(Side::Client, TO);
            link.say(Side::Server, FROM);
            link.say(Side::Server, ack);
            link.say(Side::Client, ack);
        }
    };
    rounds(&acks[..100]);
    let info = allocation_counter::measure(|| rounds(&acks[100..]));
    assert_eq!(info.count_total, 0, "{info:?}");
    assert!(link.out.notes.is_empty(), "{:?}", link.out.notes);
}

/// What ARCHITECTURE.md says of the IQ tables, and of the ledgers of stream management.
const IQ_BYTES: u64 = 1_200_000;
const SM_BYTES: u64 = 1_300_000;
/// What passes through meanwhile.
const PASSING_BYTES: u64 = 400_000;

fn enforced() -> Policy {
    Policy { rules: Modes::all(Mode::Enforce), ..Policy::default() }
}

#[test]
fn requests_without_end_are_bounded() {
    for policy in [Policy::default(), enforced()] {
        let mut link = Link::open(false, policy);
        let flood = |number: usize| {
            let long = "x".repeat(number % 2000);
            let ping = "<ping xmlns='urn:xmpp:ping'/>";
            match number % 2 {
                0 => {
                    (Side::Client, format!("<iq type='get' id='{number}{long}' to='a{number}@example.net'>{ping}</iq>"))
                }
                _ => (
                    Side::Server,
                    format!("<iq type='get' id='{number}{long}' from='a@example.net/{long}'>{ping}</iq>"),
                ),
            }
        };
        let kept = link.kept(flood, 20_000);
        assert!(kept < IQ_BYTES + PASSING_BYTES, "{kept}");
        let full = link.session.tally().findings.iter().find(|found| found.code == "iq-table-full");
        assert!(full.is_some_and(|found| found.count > 9_000), "{full:?}");
    }
}

#[test]
fn answers_without_end_leave_nothing() {
    let mut link = Link::open(false, enforced());
    let kept =
        link.kept(|number| (Side::Server, format!("<iq type='result' id='{number}' from='example.org'/>")), 20_000);
    assert!(kept < PASSING_BYTES, "{kept}");
    assert_eq!(link.session.tally().stopped, 20_000);
}

#[test]
fn a_peer_that_never_acknowledges_is_bounded() {
    let mut link = Link::open(true, enforced());
    // One is forwarded, one bounced: each leaves something in both ledgers.
    let flood = |number: usize| match number % 2 {
        0 => (
            Side::Client,
            format!("<message id='{number}' to='romeo@example.net'><body>{}</body></message>", "x".repeat(500)),
        ),
        _ => (
            Side::Client,
            format!(
                "<iq type='get' id='{number}' to='example.org'><a xmlns='{}'/><b xmlns='b'/></iq>",
                "a".repeat(900)
            ),
        ),
    };
    let kept = link.kept(flood, 20_000);
    assert!(kept < SM_BYTES + PASSING_BYTES, "{kept}");
    assert!(link.session.snapshot().is_none(), "it can be resumed no more, and says so");
    link.say(Side::Server, "<a xmlns='urn:xmpp:sm:3' h='5000'/>");
    assert!(!link.session.is_over(), "but it lives: {:?}", link.out.notes);
}

#[test]
fn what_waits_behind_a_held_stanza_is_bounded_however_small_it_is() {
    let hold = "fn on_message(stanza) { return hold(60); }";
    let scripts = ScriptSet::from_text(Path::new("hold.rhai"), hold, ScriptLimits::default()).expect("it compiles");
    let mut link = Link::open(false, Policy { scripts, ..Policy::default() });
    link.say(Side::Client, TO);
    let mut blanks = 0;
    let info = allocation_counter::measure(|| {
        while link.session.wants(Side::Client) && blanks < 300_000 {
            link.say(Side::Client, " ");
            blanks += 1;
        }
    });
    assert!(info.bytes_current < 1 << 20, "{blanks} blanks take {info:?}");
}

#[test]
fn a_session_costs_no_more_than_is_promised() {
    let mut link = Link::open(true, Policy { rules: Modes::all(Mode::Enforce), ..Policy::default() });
    let mut worst = |side: Side, count: usize, id: usize| {
        for n in 0..count {
            let name = if side == Side::Client { "to" } else { "from" };
            let (id, address) = (format!("{n:0id$}"), format!("{n:050}@example.net"));
            // One that is forwarded and not answered, one that is answered here.
            link.say(side, &format!("<iq type='get' id='{id}' {name}='{address}'><ping xmlns='urn:xmpp:ping'/></iq>"));
            link.say(side, &format!("<iq type='get' id='{id}' {name}='{address}'/>"));
            link.out.notes.clear();
        }
    };
    let info = allocation_counter::measure(|| {
        for side in [Side::Client, Side::Server] {
            // No acknowledgement comes: ids as long as the ledgers take, then many short ones.
            worst(side, 1400, 170);
            worst(side, 1400, 6);
        }
    });
    assert!(info.bytes_max < 1_800_000, "{info:?}");
}

#[test]
fn looking_at_a_block_list() {
    let entry = |jid: &str| iqtap::keep::Entry {
        space: "urn:xmpp:blocking".to_owned(),
        name: jid.to_owned(),
        value: bytes::Bytes::new(),
    };
    let blocked = iqtap::answer::Blocked::new(&["a@x.test/r", "y.test/r", "z.test"].map(entry));
    let mut account = iqtap::xmpp::Account::at("example.org", 7);
    account.bind("juliet@example.org/balcony");
    let (mut yes, mut no) = (0, 0);
    let info = allocation_counter::measure(|| {
        for address in ["a@x.test/r", "b@y.test/r", "c@z.test/s", "z.test", "a@x.test", "example.org", "y.test"] {
            *(if blocked.matches(&account, Some(address)) { &mut yes } else { &mut no }) += 1;
        }
    });
    assert_eq!((yes, no, info.count_total), (4, 3, 0));
}
