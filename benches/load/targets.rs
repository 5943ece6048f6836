//! What iqtap is to reach, what it has reached in this run, and whether that is enough.

use crate::measure::Load;
use crate::plan::Results;
use crate::proxies::Through;

const PLAIN: bool = false;
const TLS: bool = true;

/// A figure that has to be so much, at least or at most.
struct Target {
    what: &'static str,
    bound: Bound,
    measured: fn(&Results) -> Option<f64>,
}

enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

use Bound::{AtLeast, AtMost};

const TARGETS: &[Target] = &[
    Target {
        what: "pipelined IQs, to the relay",
        bound: AtLeast(0.95),
        measured: |r| relay(r, PLAIN, Load::Pipelined, Through::Report),
    },
    Target {
        what: "pipelined IQs, CPU us per round trip",
        bound: AtMost(1.3),
        measured: |r| r.cpu(PLAIN, Load::Pipelined, Through::Report),
    },
    Target {
        what: "flood s->c, to the relay",
        bound: AtLeast(0.90),
        measured: |r| relay(r, PLAIN, Load::Down, Through::Report),
    },
    Target {
        what: "flood c->s, to the relay",
        bound: AtLeast(0.80),
        measured: |r| relay(r, PLAIN, Load::Up, Through::Report),
    },
    Target {
        what: "flood s->c, CPU us per stanza",
        bound: AtMost(0.60),
        measured: |r| r.cpu(PLAIN, Load::Down, Through::Report),
    },
    Target {
        what: "flood c->s, CPU us per stanza",
        bound: AtMost(0.60),
        measured: |r| r.cpu(PLAIN, Load::Up, Through::Report),
    },
    Target {
        what: "20 KB stanzas, to the relay",
        bound: AtLeast(2.0),
        measured: |r| relay(r, PLAIN, Load::Large, Through::Report),
    },
    Target {
        what: "one at a time, median us behind the relay's",
        bound: AtMost(10.0),
        measured: |r| behind(r, Load::Single),
    },
    Target { what: "paced, median us behind the relay's", bound: AtMost(10.0), measured: |r| behind(r, Load::Paced) },
    Target {
        what: "logins, to the relay",
        bound: AtLeast(0.95),
        measured: |r| relay(r, PLAIN, Load::Logins, Through::Report),
    },
    Target {
        what: "logins, p99 ms (no stall of 40)",
        bound: AtMost(40.0),
        measured: |r| Some(r.quantile(PLAIN, Load::Logins, Through::Report, 0.99)? / 1e3),
    },
    Target {
        what: "a hook with four tests on every IQ, to the relay",
        bound: AtLeast(0.50),
        measured: |r| relay(r, PLAIN, Load::Pipelined, Through::Enforce),
    },
    Target {
        what: "a hook for another namespace, to iqtap without",
        bound: AtLeast(0.99),
        measured: |r| ratio(r, Load::Pipelined, Through::Elsewhere, Through::Report),
    },
    Target {
        what: "recording IQs, CPU us more per stanza",
        bound: AtMost(0.3),
        measured: |r| Some(recording(r, Load::Pipelined)? / 2.0),
    },
    Target {
        what: "recording a flood s->c, CPU us more per stanza",
        bound: AtMost(0.3),
        measured: |r| recording(r, Load::Down),
    },
    Target {
        what: "recording a flood c->s, CPU us more per stanza",
        bound: AtMost(0.3),
        measured: |r| recording(r, Load::Up),
    },
    Target {
        what: "pings answered here, to the server direct",
        bound: AtLeast(1.0),
        measured: |r| ratio(r, Load::Pipelined, Through::Answer, Through::Direct),
    },
    Target {
        what: "the same one at a time",
        bound: AtLeast(1.0),
        measured: |r| ratio(r, Load::Single, Through::Answer, Through::Direct),
    },
    Target { what: "TLS: pipelined IQs, to HAProxy", bound: AtLeast(1.0), measured: |r| haproxy(r, Load::Pipelined) },
    Target { what: "TLS: flood s->c, to HAProxy", bound: AtLeast(1.0), measured: |r| haproxy(r, Load::Down) },
    Target { what: "TLS: flood c->s, to HAProxy", bound: AtLeast(1.0), measured: |r| haproxy(r, Load::Up) },
    Target { what: "TLS: logins, to HAProxy", bound: AtLeast(1.0), measured: |r| haproxy(r, Load::Logins) },
    Target {
        what: "TLS: flood s->c, CPU us more per stanza",
        bound: AtMost(0.25),
        measured: |r| dearer(r, Load::Down),
    },
    Target { what: "TLS: flood c->s, CPU us more per stanza", bound: AtMost(0.25), measured: |r| dearer(r, Load::Up) },
    Target {
        what: "an idle session, KiB",
        bound: AtMost(6.0),
        measured: |r| Some(r.idle.get(&(PLAIN, Through::Report))?.each_kib),
    },
    Target {
        what: "an idle session with TLS on both legs, KiB",
        bound: AtMost(20.0),
        measured: |r| Some(r.idle.get(&(TLS, Through::Report))?.each_kib),
    },
    Target {
        what: "RSS of the process without sessions, MiB",
        bound: AtMost(16.0),
        measured: |r| Some(r.idle.get(&(PLAIN, Through::Report))?.base_kib as f64 / 1024.0),
    },
];

pub(crate) fn print(results: &Results) {
    println!("| target | | measured | |\n|---|---|---|---|");
    for Target { what, bound, measured } in TARGETS {
        let Some(measured) = measured(results) else { continue };
        let (words, met) = match bound {
            AtLeast(bound) => (format!("at least {bound:.2}"), measured >= *bound),
            AtMost(bound) => (format!("at most {bound:.2}"), measured <= *bound),
        };
        println!("| {what} | {words} | {measured:.2} | {} |", if met { "met" } else { "**missed**" });
    }
    let gains = [Load::Pipelined, Load::Down, Load::Up, Load::Logins];
    let words = gains.iter().filter_map(|load| {
        let gain = ratio(results, *load, Through::Workers, Through::Report)?;
        Some(format!("{} {gain:.2}", load.name()))
    });
    let words: Vec<String> = words.collect();
    if !words.is_empty() {
        println!("\nTwo worker threads, to one: {}.", words.join(", "));
    }
}

fn relay(results: &Results, tls: bool, load: Load, through: Through) -> Option<f64> {
    Some(results.ratio(tls, load, through, Through::Relay)?.median)
}

fn ratio(results: &Results, load: Load, what: Through, to: Through) -> Option<f64> {
    Some(results.ratio(PLAIN, load, what, to)?.median)
}

fn haproxy(results: &Results, load: Load) -> Option<f64> {
    Some(results.ratio(TLS, load, Through::Report, Through::Haproxy)?.median)
}

/// By how much the median is later than the relay's.
fn behind(results: &Results, load: Load) -> Option<f64> {
    let median = |through| results.quantile(PLAIN, load, through, 0.5);
    Some(median(Through::Report)? - median(Through::Relay)?)
}

/// What recording costs.
fn recording(results: &Results, load: Load) -> Option<f64> {
    Some(results.cpu(PLAIN, load, Through::Record)? - results.cpu(PLAIN, load, Through::Report)?)
}

/// What TLS costs.
fn dearer(results: &Results, load: Load) -> Option<f64> {
    Some(results.cpu(TLS, load, Through::Report)? - results.cpu(PLAIN, load, Through::Report)?)
}
