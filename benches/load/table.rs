//! The results as Markdown, and how they are put together: ratios are taken in each round, and then their median.

use crate::measure::{Load, Sample};
use crate::options::{IDLE, Options, transport};
use crate::plan::Results;
use crate::proxies::Through;
use std::time::Duration;

/// The least, the one in the middle, the most.
pub(crate) struct Spread {
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Some(Self { min, median: f64::midpoint(low, high), max })
    }
}

impl Results {
    pub(crate) fn samples(&self, tls: bool, load: Load, through: Through) -> Option<&[Sample]> {
        self.samples.get(&(tls, load, through)).map(Vec::as_slice)
    }

    /// How much faster something is than something else, round by round.
    pub(crate) fn ratio(&self, tls: bool, load: Load, what: Through, to: Through) -> Option<Spread> {
        let (what, to) = (self.samples(tls, load, what)?, self.samples(tls, load, to)?);
        Spread::of(what.iter().zip(to).map(|(what, to)| what.rate() / to.rate()).collect())
    }

    /// CPU microseconds of the proxy for each unit, over all rounds.
    pub(crate) fn cpu(&self, tls: bool, load: Load, through: Through) -> Option<f64> {
        let samples = self.samples(tls, load, through)?;
        let cpu: f64 = samples.iter().map(|sample| sample.cpu).sum::<Option<f64>>()?;
        let units: u64 = samples.iter().map(|sample| sample.units).sum();
        Some(cpu * 1e6 / units as f64)
    }

    /// A quantile of how long single things took, in microseconds: the median over the rounds.
    pub(crate) fn quantile(&self, tls: bool, load: Load, through: Through, quantile: f64) -> Option<f64> {
        let of_round = |sample: &Sample| {
            let at = (sample.times.len().checked_sub(1)? as f64 * quantile).round() as usize;
            sample.times.get(at).map(Duration::as_secs_f64)
        };
        let all: Option<Vec<f64>> = self.samples(tls, load, through)?.iter().map(of_round).collect();
        Spread::of(all?).map(|spread| spread.median * 1e6)
    }
}

/// What is shown at a glance: README has it.
pub(crate) fn print_summary(results: &Results) {
    const LOADS: [Load; 5] = [Load::Pipelined, Load::Down, Load::Up, Load::Large, Load::Logins];
    let names = LOADS.map(Load::name).join(" | ");
    println!("| median ratio to direct | {names} | CPU us: IQ and answer | stanza s->c | c->s | KiB, idle |");
    println!("|{}", "---|".repeat(LOADS.len() + 5));
    for (tls, title) in [(false, ""), (true, "TLS: ")] {
        for through in Through::ALL.into_iter().filter(|through| *through != Through::Direct) {
            let ratio = |load| number(results.ratio(tls, load, through, Through::Direct).map(|ratio| ratio.median), 2);
            let cpu = |load| number(results.cpu(tls, load, through), 2);
            let idle = number(results.idle.get(&(tls, through)).map(|idle| idle.each_kib), 1);
            let costs = [Load::Pipelined, Load::Down, Load::Up].map(cpu);
            let cells: Vec<String> = LOADS.into_iter().map(ratio).chain(costs).chain([idle]).collect();
            if cells.iter().any(|cell| !cell.is_empty()) {
                println!("| {title}{} | {} |", through.name(), cells.join(" | "));
            }
        }
    }
    println!();
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(String::new, |value| format!("{value:.digits$}"))
}

pub(crate) fn print(results: &Results, options: &Options) {
    for tls in [false, true] {
        if !results.samples.keys().any(|(of, ..)| *of == tls) {
            continue;
        }
        let title = if tls { "TLS on both legs" } else { "In the clear" };
        println!(
            "| {title} | through | per second | ratio to direct (min, max) | p50 us | p99 us | CPU us per unit | RSS MiB |"
        );
        println!("|---|---|---|---|---|---|---|---|");
        for load in Load::ALL {
            for through in Through::ALL {
                if let Some(row) = row(results, tls, load, through) {
                    println!("{row}");
                }
            }
        }
        println!();
    }
    if !results.idle.is_empty() {
        println!(
            "| {} {IDLE} sessions | through | KiB each | RSS of the process before, MiB | CPU, % of a core |",
            options.idle
        );
        println!("|---|---|---|---|---|");
        for ((tls, through), idle) in &results.idle {
            let (transport, name, base) = (transport(*tls), through.name(), idle.base_kib as f64 / 1024.0);
            println!("| {transport} | {name} | {:.1} | {base:.1} | {:.0} |", idle.each_kib, idle.cpu * 100.0);
        }
        println!();
    }
    for through in &results.missing {
        println!("{} is not on this machine: its rows are missing.\n", through.name());
    }
}

fn row(results: &Results, tls: bool, load: Load, through: Through) -> Option<String> {
    let samples = results.samples(tls, load, through)?;
    let rate = Spread::of(samples.iter().map(Sample::rate).collect())?.median;
    let ratio = results
        .ratio(tls, load, through, Through::Direct)
        .filter(|_| through != Through::Direct && load != Load::Paced)
        .map_or_else(String::new, |ratio| format!("{:.2} ({:.2}, {:.2})", ratio.median, ratio.min, ratio.max));
    let [p50, p99] = [0.5, 0.99].map(|quantile| number(results.quantile(tls, load, through, quantile), 0));
    let cpu = number(results.cpu(tls, load, through), 2);
    let resident = samples.iter().filter_map(|sample| sample.resident_kib).max();
    let resident = number(resident.map(|kib| kib as f64 / 1024.0), 0);
    let (name, unit, through) = (load.name(), load.unit(), through.name());
    Some(format!("| {name} ({unit}) | {through} | {rate:.0} | {ratio} | {p50} | {p99} | {cpu} | {resident} |"))
}
