//! What is measured through what, and in which order: all that is compared stands in one round, and rounds follow one another, so that a
//! machine that changes its pace changes it for all.

use crate::Outcome;
use crate::measure::{Idle, Load, Measure, Sample};
use crate::options::{IDLE, Options};
use crate::proxies::{Proxy, Through};
use crate::server::Addresses;
use crate::wire::Files;
use std::collections::BTreeMap;

const ALWAYS: [Through; 4] = [Through::Direct, Through::Relay, Through::Haproxy, Through::Report];

/// What is measured beside that in the clear.
const BESIDE: [(Through, &[Load]); 5] = [
    (Through::Enforce, &[Load::Pipelined]),
    (Through::Elsewhere, &[Load::Pipelined]),
    (Through::Record, &[Load::Pipelined, Load::Down, Load::Up]),
    (Through::Answer, &[Load::Pipelined, Load::Single]),
    (Through::Workers, &[Load::Pipelined, Load::Down, Load::Up, Load::Logins]),
];

/// In the clear or with TLS on both legs, what, through what.
pub(crate) type Cell = (bool, Load, Through);

/// All that was measured.
#[derive(Default)]
pub(crate) struct Results {
    /// One sample for each round.
    pub(crate) samples: BTreeMap<Cell, Vec<Sample>>,
    /// With TLS or without, through what.
    pub(crate) idle: BTreeMap<(bool, Through), Idle>,
    /// What is not there on this machine.
    pub(crate) missing: Vec<Through>,
}

/// Everything that `options` wants, in the order of one round.
fn cells(options: &Options) -> Vec<Cell> {
    let mut cells = Vec::new();
    for tls in [false, true] {
        for load in Load::ALL {
            let beside = BESIDE.iter().filter(|(_, loads)| !tls && loads.contains(&load)).map(|(through, _)| *through);
            for through in ALWAYS.into_iter().chain(beside) {
                if options.wants(tls, load.name(), through) {
                    cells.push((tls, load, through));
                }
            }
        }
    }
    cells
}

pub(crate) async fn run(measure: &Measure, options: &Options, server: Addresses, files: &Files) -> Outcome<Results> {
    let (mut results, cells) = (Results::default(), cells(options));
    let mut proxies = BTreeMap::new();
    for (tls, _, through) in &cells {
        if proxies.contains_key(&(*tls, *through)) || results.missing.contains(through) {
            continue;
        }
        match Proxy::start(*through, *tls, server, files)? {
            Some(proxy) => drop(proxies.insert((*tls, *through), proxy)),
            None => results.missing.push(*through),
        }
    }
    for round in 0..options.rounds {
        eprintln!("round {} of {}", round + 1, options.rounds);
        for cell in &cells {
            let (tls, load, through) = *cell;
            let Some(proxy) = proxies.get(&(tls, through)) else { continue };
            let sample = measure.sample(load, proxy, tls).await;
            let sample = sample.map_err(|why| format!("{}, {}: {why}", load.name(), through.name()))?;
            results.samples.entry(*cell).or_default().push(sample);
        }
    }
    drop(proxies);
    for tls in [false, true] {
        for through in [Through::Relay, Through::Haproxy, Through::Report] {
            if !options.wants(tls, IDLE, through) || results.missing.contains(&through) {
                continue;
            }
            eprintln!("{} idle sessions, {}", options.idle, through.name());
            // A process of its own, that nothing has happened to yet.
            if let Some(proxy) = Proxy::start(through, tls, server, files)? {
                let idle = measure.idle(options.idle, &proxy, tls).await?;
                results.idle.insert((tls, through), idle);
            }
        }
    }
    Ok(results)
}
