//! The model of requests and answers: random iqs in both directions, with ids that collide, addresses of every kind,
//! answers that are true, late, given twice, forged or missing, and a script in between.
//!
//! * Enforced, each get and set that was sent gets exactly one answer, whoever gives it, with its id and from its address.
//! * Reported, nothing is altered: what goes in comes out, byte by byte.
//! * An answer is never answered; a forged one closes no request.
//! * Where all is lawful, nothing is found.
//!
//! Thousands of histories; `IQTAP_DEEP=1` plays a hundred times as many. `IQ_SEED=n` plays one again.

#[path = "iq_model/book.rs"]
mod book;
#[path = "sm_model/dice.rs"]
mod dice;
#[path = "iq_model/history.rs"]
mod history;
#[path = "iq_model/seat.rs"]
mod seat;
#[path = "sm_model/wire.rs"]
mod wire;

use history::{Plan, play};
use seat::Made;
use std::env;
use std::fmt::Write as _;

/// Plays many histories of one kind; a few failures are told of, the shortest first.
fn prove_all(name: &str, count: u64, plan: impl Fn(u64) -> Plan) {
    let seeds = match env::var("IQ_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..if env::var("IQTAP_DEEP").is_ok_and(|deep| deep == "1") { 100 * count } else { count },
    };
    let mut made: Vec<(Plan, Made)> = Vec::new();
    let mut failures = Vec::new();
    for seed in seeds {
        let plan = plan(seed);
        let like = |other: &Plan| {
            let what = |plan: &Plan| (plan.enforce, plan.scripted, plan.timeout, plan.open);
            what(other) == what(&plan)
        };
        if !made.iter().any(|(other, _)| like(other)) {
            let rules = if plan.enforce { "enforce" } else { "report" };
            made.push((plan, Made::new(rules, plan.timeout, plan.open as u32, plan.scripted)));
        }
        let Some((_, made)) = made.iter().find(|(other, _)| like(other)) else { continue };
        if play(plan, made).1.is_err() {
            let fails = |steps: &usize| play(Plan { steps: *steps, ..plan }, made).1.is_err();
            let steps = (0..plan.steps.min(100)).find(fails).unwrap_or(plan.steps);
            failures.push(report(Plan { steps, ..plan }, made));
        }
        if failures.len() == 5 {
            break;
        }
    }
    failures.sort_by_key(String::len);
    assert!(failures.is_empty(), "{name}: {} histories failed\n{}", failures.len(), failures.concat());
}

fn report(plan: Plan, made: &Made) -> String {
    let (lines, result) = play(plan, made);
    let mut text = String::new();
    let _ = writeln!(text, "\n{plan:?}");
    for line in lines {
        let _ = writeln!(text, "  {line}");
    }
    let _ = writeln!(text, "{}\nIQ_SEED={} plays it again", result.err().unwrap_or_default(), plan.seed);
    text
}

/// The plan of a seed: everything else at random, but the same each time.
fn plan(seed: u64) -> Plan {
    let timeout = [200_000, 1_000_000, 5_000_000][(seed % 3) as usize];
    let (scripted, enforce) = (seed.is_multiple_of(2), (seed / 2).is_multiple_of(2));
    Plan { seed, steps: usize::MAX, enforce, scripted, lawful: false, timeout, open: 1024 }
}

#[test]
fn each_request_gets_its_answer() {
    prove_all("enforced", 1000, |seed| Plan { enforce: true, ..plan(seed) });
}

#[test]
fn reporting_alters_nothing() {
    prove_all("reported", 500, |seed| Plan { enforce: false, ..plan(seed) });
}

#[test]
fn lawful_histories_are_left_in_peace() {
    prove_all("lawful", 500, |seed| Plan { lawful: true, ..plan(seed) });
}

#[test]
fn a_full_table_answers_too() {
    prove_all("full", 300, |seed| Plan { enforce: true, open: 8, ..plan(seed) });
}
