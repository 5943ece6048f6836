//! The model of stream management: a client and a server that keep to XEP-0198, the proxy between them, and a world that
//! loses whatever is on its way. Every stanza must arrive once and in order, whatever a script makes must arrive once, and
//! nobody may ever be told that something was handled that was not.
//!
//! Most histories keep the client's words in order: what it says on a connection that it has left reaches the proxy before what
//! it says on the next, or never. In the late ones nothing is certain: a `<resume/>` may still be on its way on one
//! connection while the session goes on on another, and take it from there.
//!
//! Thousands of random histories; `IQTAP_DEEP=1` plays 100,000. A failure names its seed and is told from its beginning;
//! `SM_SEED=n` plays that one again.

#[path = "sm_model/client.rs"]
mod client;
#[path = "sm_model/counters.rs"]
mod counters;
#[path = "sm_model/dice.rs"]
mod dice;
#[path = "sm_model/end.rs"]
mod end;
#[path = "sm_model/fate.rs"]
mod fate;
#[path = "sm_model/history.rs"]
mod history;
#[path = "sm_model/ledger.rs"]
mod ledger;
#[path = "sm_model/link.rs"]
mod link;
#[path = "sm_model/middle.rs"]
mod middle;
#[path = "sm_model/proxy.rs"]
mod proxy;
#[path = "sm_model/server.rs"]
mod server;
#[path = "sm_model/toy.rs"]
mod toy;
#[path = "sm_model/truth.rs"]
mod truth;
#[path = "sm_model/wire.rs"]
mod wire;

use history::{Counts, Plan, play};
use iqtap::xmpp::Side;
use middle::{Middle, Spoil, Through};
use proxy::{Made, Proxy};
use std::env;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use toy::Toy;

/// The seeds to play: the one asked for, or as many as the profile has.
fn seeds(ordinary: u64, deep: u64) -> std::ops::Range<u64> {
    if let Some(seed) = env::var("SM_SEED").ok().and_then(|seed| seed.parse().ok()) {
        return seed..seed + 1;
    }
    0..if env::var("IQTAP_DEEP").is_ok_and(|deep| deep == "1") { deep } else { ordinary }
}

/// Plays a history; the error is its shortest beginning that fails already, in words.
fn prove<M: Middle>(plan: Plan, middle: impl Fn() -> M) -> Result<Counts, String> {
    let (story, result) = play(plan, middle());
    if result.is_ok() {
        return Ok(story.counts);
    }
    let fails = |steps: usize| play(Plan { steps, ..plan }, middle()).1.is_err();
    let steps = (0..plan.steps.min(300)).find(|steps| fails(*steps)).unwrap_or(plan.steps);
    let (story, result) = play(Plan { steps, told: true, ..plan }, middle());
    let mut text = String::new();
    let _ = writeln!(text, "\nseed {}, {steps} steps:", plan.seed);
    for line in &story.lines {
        let _ = writeln!(text, "  {line}");
    }
    let _ = writeln!(text, "{}\nSM_SEED={} plays it again", result.err().unwrap_or_default(), plan.seed);
    Err(text)
}

/// Plays many; a few failures are told of, the shortest first.
fn prove_all<M: Middle>(name: &str, seeds: std::ops::Range<u64>, late: bool, middle: impl Fn(u64) -> M) {
    let (mut failures, mut sum, count) = (Vec::new(), Counts::default(), seeds.end - seeds.start);
    for seed in seeds {
        match prove(Plan { seed, steps: usize::MAX, late, told: false }, || middle(seed)) {
            Ok(counts) => sum.add(counts),
            Err(text) => failures.push(text),
        }
        if failures.len() == 5 {
            break;
        }
    }
    failures.sort_by_key(String::len);
    // Straight to standard error: counts are worth reading when all is well, too.
    let _ = writeln!(io::stderr(), "{name}: {count} histories, {sum:?}");
    assert!(failures.is_empty(), "{name}: {} histories failed\n{}", failures.len(), failures.concat());
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.stanzas += other.stanzas;
        self.cuts += other.cuts;
        self.connections += other.connections;
        self.resumptions += other.resumptions;
        self.sessions += other.sessions;
        self.script_runs += other.script_runs;
        self.late += other.late;
    }
}

#[test]
fn endpoints_understand_each_other() {
    prove_all("nothing between", seeds(200, 20_000), false, |_| Through::default());
    prove_all("nothing between, late resumptions", seeds(200, 20_000), true, |_| Through::default());
}

/// What is asked of iqtap can be done: here by as little code as possible.
#[test]
fn a_toy_can_do_it() {
    prove_all("the toy", seeds(200, 20_000), false, |_| Toy::default());
    prove_all("the toy, late resumptions", seeds(200, 20_000), true, |_| Toy::default());
}

#[test]
fn what_goes_wrong_is_caught() {
    for (spoil, why) in [
        (Spoil::HighAck(Side::Client), "should catch: claims for the Client"),
        (Spoil::HighAck(Side::Server), "should catch: claims for the Server"),
        (Spoil::LowAck(Side::Client), "should catch: told"),
        (Spoil::Lose, "should catch: was due"),
        (Spoil::Repeat, "should catch: has arrived before"),
        (Spoil::Swap, "should catch: was due"),
        (Spoil::Forget(Side::Client), "should catch: backwards"),
        (Spoil::Forget(Side::Server), "should catch: has arrived before"),
        (Spoil::NoAck, "should catch: told"),
    ] {
        let why = why.trim_start_matches("should catch: ");
        let plan = |seed| Plan { seed, steps: usize::MAX, late: false, told: false };
        let told: Vec<_> = (0..60).filter_map(|seed| play(plan(seed), Through::spoilt(spoil)).1.err()).collect();
        assert!(told.iter().any(|told| told.contains(why)), "{spoil:?}, '{why}': {told:#?}");
    }
}

#[test]
fn every_stanza_once_and_in_order() {
    let made = [Made::new("report"), Made::new("enforce")];
    prove_all("iqtap", seeds(1500, 100_000), false, |seed| Proxy::new(&made[seed as usize % 2], false));
}

#[test]
fn resumptions_may_come_late() {
    let made = [Made::new("report"), Made::new("enforce")];
    prove_all("iqtap, late resumptions", seeds(500, 20_000), true, |seed| Proxy::new(&made[seed as usize % 2], true));
}
