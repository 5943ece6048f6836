//! The scanner against expat (through Python) and rxml, and against xml-rs for what it lets through.
//!
//! What the scanner accepts, all must accept with the same tree. What it refuses and another accepts must be in
//! [`allowed::ALLOWED`], with a reason. `IQTAP_DEEP=1` runs a hundred times as many documents; `IQTAP_SEED=n` begins elsewhere.

#[path = "xml/allowed.rs"]
mod allowed;
#[path = "xml/generate.rs"]
mod generate;
#[path = "xml/oracles.rs"]
mod oracles;
mod xml;

use allowed::{Who, allowed, for_rxml};
use generate::{Dice, document, mutate};
use iqtap::xml::{Fault, Limits};
use oracles::{Expat, Seen, ours, rxml};
use std::collections::BTreeMap;
use xml::{Outcome, show, whole};

struct Judge {
    accepted: usize,
    counts: BTreeMap<String, usize>,
    wrong: Vec<String>,
}

impl Judge {
    fn hear(&mut self, document: &[u8], who: Who, name: &str, outcome: &Outcome, ours: Option<&str>, other: &Seen) {
        match (ours, other) {
            (Some(ours), Ok(other)) if ours == other => {}
            (Some(ours), Ok(other)) => {
                self.wrong.push(format!("{name} sees another tree in {}\n{ours:?}\n{other:?}", show(document)));
            }
            (Some(_), Err(why)) => {
                self.wrong.push(format!("the scanner accepts, {name} refuses ({why}): {}", show(document)));
            }
            (None, Err(_)) => {}
            (None, Ok(_)) if allowed(outcome, who) => {
                let (fault, why, _) = outcome.refused.unwrap_or((Fault::Limit, "", 0));
                *self.counts.entry(format!("{fault:?}, {why}, accepted by {name}")).or_default() += 1;
            }
            (None, Ok(_)) => {
                let refused = outcome.refused;
                self.wrong.push(format!("the scanner refuses ({refused:?}), {name} accepts: {}", show(document)));
            }
        }
    }
}

#[test]
fn three_parsers() {
    let deep = std::env::var("IQTAP_DEEP").is_ok_and(|v| v == "1");
    let first = std::env::var("IQTAP_SEED").ok().and_then(|v| v.parse::<u64>().ok()).unwrap_or(1);
    let mut expat = match Expat::start() {
        Ok(expat) => Some(expat),
        Err(why) if std::env::var("CI").is_ok_and(|v| v == "true") => panic!("expat must be here in CI: {why}"),
        Err(why) => {
            println!("SKIPPED: the comparison with expat, because {why}");
            None
        }
    };
    let mut judge = Judge { accepted: 0, counts: BTreeMap::new(), wrong: Vec::new() };
    let batches = if deep { 1600 } else { 16 };
    for batch in 0..batches {
        let seeds = first + batch * 500..first + (batch + 1) * 500;
        println!("seeds {seeds:?}");
        let documents: Vec<Vec<u8>> = seeds
            .map(|seed| {
                let mut dice = Dice::new(seed);
                let mut document = document(&mut dice);
                if seed % 3 != 0 {
                    mutate(&mut dice, &mut document);
                }
                document
            })
            .collect();
        compare(&mut judge, expat.as_mut(), &documents);
        let wrong = &judge.wrong;
        assert!(
            wrong.is_empty(),
            "{} wrong, such as\n{}",
            wrong.len(),
            wrong.iter().take(12).cloned().collect::<Vec<_>>().join("\n")
        );
    }
    println!("{} accepted; refused by the scanner only:", judge.accepted);
    for (what, n) in &judge.counts {
        println!("{n:7}  {what}");
    }
    assert!(judge.accepted > 1000, "the generator makes too few good documents: {}", judge.accepted);
}

/// Every character of the basic plane as first and as second character of a name. Only with `IQTAP_DEEP=1`.
#[test]
fn every_name_character() {
    let deep = std::env::var("IQTAP_DEEP").is_ok_and(|v| v == "1");
    let Some(mut expat) = Expat::start().ok().filter(|_| deep) else { return };
    let mut judge = Judge { accepted: 0, counts: BTreeMap::new(), wrong: Vec::new() };
    let all: Vec<Vec<u8>> = ('\u{1}'..='\u{FFFD}')
        .flat_map(|c| {
            let inside = |element: String| format!("{}{element}</stream:stream>", xml::HEADER).into_bytes();
            [inside(format!("<{c}/>")), inside(format!("<a {c}=''/>")), inside(format!("<a{c}/>"))]
        })
        .collect();
    for documents in all.chunks(1000) {
        compare(&mut judge, Some(&mut expat), documents);
    }
    let wrong = &judge.wrong;
    assert!(
        wrong.is_empty(),
        "{} wrong, such as\n{}",
        wrong.len(),
        wrong.iter().take(12).cloned().collect::<Vec<_>>().join("\n")
    );
    println!("{} accepted; {:?}", judge.accepted, judge.counts);
}

fn compare(judge: &mut Judge, expat: Option<&mut Expat>, documents: &[Vec<u8>]) {
    let slices: Vec<&[u8]> = documents.iter().map(Vec::as_slice).collect();
    let by_expat = expat.map(|e| e.see(&slices));
    for (i, document) in documents.iter().enumerate() {
        let outcome = whole(Limits::AFTER_LOGIN, document);
        let ours = ours(&outcome).unwrap_or_else(|why| {
            judge.wrong.push(format!("{why}: {}", show(document)));
            None
        });
        judge.accepted += usize::from(ours.is_some());
        if let Some(seen) = by_expat.as_ref().and_then(|all| all.get(i)) {
            judge.hear(document, Who::Expat, "expat", &outcome, ours.as_deref(), seen);
        }
        judge.hear(document, Who::Rxml, "rxml", &outcome, ours.as_deref(), &rxml(&for_rxml(document, ours.is_some())));
    }
}
