//! What was counted, as small tables.
//!
//! Takes a [`Tally`], gives lines. Must not count anything itself.

use super::{escape, findings, side_name};
use crate::rules::Severity;
use crate::session::Tally;
use crate::xmpp::{Side, ns};
use std::fmt::Write;

/// The widest name of a row.
const NAME: usize = 44;

/// The tables of a tally: stanzas by sender and kind, IQ requests by namespace, findings by code. Empty ones are left out.
pub(super) fn table(out: &mut String, tally: &Tally, indent: &str) {
    let stanzas = tally.stanzas.iter().flatten().any(|&n| n > 0);
    if !stanzas && tally.iqs.is_empty() && tally.findings.is_empty() {
        let _ = writeln!(out, "{indent}no stanza came in");
        return;
    }
    let name = |ns: &str| match ns::short(ns) {
        _ if ns.is_empty() => "(no payload)".to_owned(),
        Some(short) if short != ns => {
            format!("{short} ({})", escape::escaped(ns, NAME.saturating_sub(short.len() + 3)))
        }
        _ => escape::escaped(ns, NAME),
    };
    let names: Vec<String> = tally.iqs.iter().map(|iq| name(&iq.ns)).collect();
    let width = names.iter().map(|n| n.chars().count()).max().unwrap_or(0).max("from the client".len());

    let _ = writeln!(
        out,
        "{indent}{:<width$}  {:>8}  {:>8}  {:>8}  {:>9}",
        "stanzas", "messages", "presence", "iqs", "bytes"
    );
    for side in [Side::Client, Side::Server] {
        let [messages, presences, iqs] = tally.stanzas[side.index()];
        let from = format!("from the {}", side_name(side));
        let size = bytes(tally.bytes[side.index()]);
        let _ = writeln!(out, "{indent}{from:<width$}  {messages:>8}  {presences:>8}  {iqs:>8}  {size:>9}");
    }
    if !tally.iqs.is_empty() {
        let _ = writeln!(out, "{indent}{:<width$}  {:>8}  {:>8}  {:>8}", "iq requests", "count", "results", "errors");
    }
    for (iq, name) in tally.iqs.iter().zip(&names) {
        let (count, results, errors) = (iq.requests, iq.results, iq.errors);
        let _ = writeln!(out, "{indent}{name:<width$}  {count:>8}  {results:>8}  {errors:>8}");
    }
    for (title, severity) in [("findings", Severity::Violation), ("worth knowing", Severity::Info)] {
        let mut counts = findings(tally, severity).peekable();
        if counts.peek().is_some() {
            let _ = writeln!(out, "{indent}{title:<width$}  {:>8}", "count");
        }
        for (code, count) in counts {
            let _ = writeln!(out, "{indent}{code:<width$}  {count:>8}");
        }
    }
    if tally.stopped > 0 || tally.rewritten > 0 {
        let _ = writeln!(out, "{indent}not forwarded: {}; rewritten: {}", tally.stopped, tally.rewritten);
    }
}

/// `0.345 s`, `12.3 s`, `1 min 14 s`, `2 h 3 min`
pub(super) fn duration(micros: u64) -> String {
    let seconds = micros / 1_000_000;
    match seconds {
        0 => format!("0.{:03} s", micros / 1000),
        1..60 => format!("{seconds}.{} s", micros / 100_000 % 10),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// `912 B`, `4.2 kB`, `1.0 MB`
fn bytes(count: u64) -> String {
    match count {
        0..1000 => format!("{count} B"),
        1000..1_000_000 => format!("{}.{} kB", count / 1000, count / 100 % 10),
        1_000_000..1_000_000_000 => format!("{}.{} MB", count / 1_000_000, count / 100_000 % 10),
        _ => format!("{}.{} GB", count / 1_000_000_000, count / 100_000_000 % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_read_well() {
        let cases = [(0, "0.000 s"), (345_678, "0.345 s"), (12_340_000, "12.3 s"), (74_000_000, "1 min 14 s")];
        for (micros, text) in cases {
            assert_eq!(duration(micros), text);
        }
        assert_eq!(duration(7_380_000_000), "2 h 3 min");
        for (count, text) in [(999, "999 B"), (4_200, "4.2 kB"), (1_000_000, "1.0 MB"), (12_345_678_901, "12.3 GB")] {
            assert_eq!(bytes(count), text);
        }
    }
}
