//! What was counted, as small tables.
//!
//! Takes a [`Tally`], gives lines: those of hooks and of the shadow only if there were any. Must not count anything itself.
//!
//! ```text
//! stanzas               messages  presence       iqs      bytes
//! from the client              2         1        14     4.2 kB
//! from the server           1204         7        14     1.5 MB
//! iq requests              count   results    errors  unanswered       p50       p99
//! ping (urn:xmpp:ping)        12        12         0           0     12 ms     21 ms
//! vcard-temp                   2         0         1           1    350 ms    350 ms
//!   item-not-found                                 1
//! findings                   c2s       s2c
//! rule3                        0         1
//! hooks                         runs    errors   skipped        mean     total   slowest
//! vcard-read-only.rhai on_iq      14         0         0      6.2 us     87 us     21 us
//!   slowest: iq set id=v1 {vcard-temp}vCard c2s
//! shadow: 2 of 28 stanzas decided otherwise
//! ```

use super::{conditions, direction, escape, findings, hooks, side_name};
use crate::rules::Severity;
use crate::script::HookCount;
use crate::session::Tally;
use crate::xmpp::{Side, ns};
use std::fmt::{Display, Write};

/// The widest name of a row: with the columns and a session's indent it fits into 120 columns.
const NAME: usize = 34;
/// Before the name of what belongs to the row above.
const BELOW: &str = "  ";
/// The widest name of a stanza below its hook.
const SLOWEST: usize = 80;
/// Where there is no latency.
const NONE: &str = "-";

/// The tables of a tally: stanzas by sender and kind, IQ requests by namespace, findings by code. Empty ones are left out.
pub(super) fn table(out: &mut String, tally: &Tally, indent: &str) {
    let came = tally.stanzas.iter().flatten().any(|&n| n > 0);
    if !came && tally.iqs.is_empty() && tally.findings.is_empty() {
        let _ = writeln!(out, "{indent}no stanza came in");
        Sheet { out, indent, width: widest(tally) }.hooks(tally);
        return;
    }
    let mut sheet = Sheet { out, indent, width: widest(tally) };
    sheet.stanzas(tally);
    sheet.iqs(tally);
    for (title, severity) in [("findings", Severity::Violation), ("worth knowing", Severity::Info)] {
        sheet.findings(tally, title, severity);
    }
    if tally.stopped > 0 || tally.rewritten > 0 {
        let _ = writeln!(sheet.out, "{indent}not forwarded: {}; rewritten: {}", tally.stopped, tally.rewritten);
    }
    sheet.hooks(tally);
    let [shown, otherwise] = tally.shadow;
    if shown > 0 {
        let _ = writeln!(out, "{indent}shadow: {otherwise} of {shown} stanzas decided otherwise");
    }
}

/// How wide the first column of all tables must be.
fn widest(tally: &Tally) -> usize {
    let conditions = tally.iqs.iter().flat_map(|iq| &iq.conditions).map(|(condition, _)| BELOW.len() + condition.len());
    let codes = tally.findings.iter().map(|found| found.code.len());
    let names = tally.iqs.iter().map(|iq| name(&iq.ns).chars().count());
    let hooks = tally.hooks.iter().map(|hook| hook_name(hook).chars().count());
    names.chain(conditions).chain(codes).chain(hooks).max().unwrap_or(0).max("from the client".len())
}

/// Tables, one below the other.
struct Sheet<'a> {
    out: &'a mut String,
    indent: &'a str,
    /// Of the first column.
    width: usize,
}

impl Sheet<'_> {
    fn stanzas(&mut self, tally: &Tally) {
        self.row("stanzas", [(8, &"messages"), (8, &"presence"), (8, &"iqs"), (9, &"bytes")]);
        for side in [Side::Client, Side::Server] {
            let [messages, presences, iqs] = &tally.stanzas[side.index()];
            let size = bytes(tally.bytes[side.index()]);
            let from = format!("from the {}", side_name(side));
            self.row(&from, [(8, messages), (8, presences), (8, iqs), (9, &size)]);
        }
    }

    fn iqs(&mut self, tally: &Tally) {
        if tally.iqs.is_empty() {
            return;
        }
        let titles = [&"count" as &dyn Display, &"results", &"errors", &"unanswered", &"p50", &"p99"];
        self.iq_row("iq requests", titles);
        for iq in &tally.iqs {
            let [p50, p99] = [0.5, 0.99].map(|q| iq.latency.quantile(q).map_or_else(|| NONE.to_owned(), about));
            self.iq_row(&name(&iq.ns), [&iq.requests, &iq.results, &iq.errors, &iq.unanswered(), &p50, &p99]);
            for (condition, count) in conditions(iq) {
                self.row(&format!("{BELOW}{condition}"), [(8, &""), (8, &""), (8, &count)]);
            }
        }
    }

    fn iq_row(&mut self, name: &str, [count, results, errors, unanswered, p50, p99]: [&dyn Display; 6]) {
        self.row(name, [(8, count), (8, results), (8, errors), (10, unanswered), (8, p50), (8, p99)]);
    }

    fn findings(&mut self, tally: &Tally, title: &str, severity: Severity) {
        let found = findings(tally, severity);
        if found.is_empty() {
            return;
        }
        let sides = [Side::Client, Side::Server];
        let [c2s, s2c] = sides.map(direction);
        self.row(title, [(8, &c2s), (8, &s2c)]);
        for same in found.chunk_by(|one, next| one.code == next.code) {
            let count = |side| same.iter().filter(|found| found.side == side).map(|found| found.count).sum::<u64>();
            let [c2s, s2c] = sides.map(count);
            self.row(same.first().map_or("", |found| found.code), [(8, &c2s), (8, &s2c)]);
        }
    }

    fn hooks(&mut self, tally: &Tally) {
        let counts = hooks(tally);
        if counts.is_empty() {
            return;
        }
        let titles = [&"runs" as &dyn Display, &"errors", &"skipped", &"mean", &"total", &"slowest"];
        self.iq_row("hooks", titles);
        for hook in counts {
            let time = |nanos| if hook.nanos == 0 { NONE.to_owned() } else { short_time(nanos) };
            let mean = time(hook.nanos / hook.runs.max(1));
            let [total, slowest] = [hook.nanos, hook.slowest].map(time);
            self.iq_row(&hook_name(hook), [&hook.runs, &hook.errors, &hook.skipped, &mean, &total, &slowest]);
            if !hook.slowest_stanza.is_empty() {
                let what = escape::escaped(&hook.slowest_stanza, SLOWEST);
                let _ = writeln!(self.out, "{}{BELOW}slowest: {what}", self.indent);
            }
        }
    }

    /// A name, then cells flush right, each at least so wide.
    fn row<const N: usize>(&mut self, name: &str, cells: [(usize, &dyn Display); N]) {
        let _ = write!(self.out, "{}{name:<width$}", self.indent, width = self.width);
        for (width, cell) in cells {
            let _ = write!(self.out, "  {cell:>width$}");
        }
        self.out.push('\n');
    }
}

/// A namespace as people call it. Of one that nobody has named, the end tells more than the beginning.
fn name(ns: &str) -> String {
    let length = ns.chars().count();
    match ns::short(ns) {
        _ if ns.is_empty() => "(no payload)".to_owned(),
        Some(short) if short != ns => {
            format!("{short} ({})", escape::escaped(ns, NAME.saturating_sub(short.len() + 3)))
        }
        _ if length > NAME => {
            let tail: String = ns.chars().skip(length - (NAME - 1)).collect();
            format!("…{}", escape::escaped(&tail, NAME - 1))
        }
        _ => escape::escaped(ns, NAME),
    }
}

/// `vcard-read-only.rhai on_iq`; the hook's name is never cut.
fn hook_name(count: &HookCount) -> String {
    let room = NAME.saturating_sub(count.hook.chars().count() + 1);
    format!("{} {}", escape::escaped(&count.script, room), count.hook)
}

/// `850 ns`, `6.2 us`, `62 us`, `620 us`, `6.2 ms`; longer times as a [`latency`].
fn short_time(nanos: u64) -> String {
    match nanos {
        0..1_000 => format!("{nanos} ns"),
        1_000..10_000 => format!("{}.{} us", nanos / 1000, nanos / 100 % 10),
        10_000..1_000_000 => format!("{} us", nanos / 1000),
        _ => latency(nanos / 1000),
    }
}

/// A latency that is right in its first two digits at best: `0.42 ms`, `4.2 ms`, `42 ms`, `420 ms`, `4.2 s`, `42 s`.
fn about(micros: u64) -> String {
    let last = 10_u64.pow(micros.checked_ilog10().unwrap_or(0).saturating_sub(1));
    match (micros + last / 2) / last * last {
        micros @ 0..1_000 => format!("0.{:02} ms", (micros + 5) / 10),
        micros @ 1_000..10_000 => format!("{}.{} ms", micros / 1000, micros / 100 % 10),
        micros @ 10_000..1_000_000 => format!("{} ms", micros / 1000),
        micros @ 1_000_000..10_000_000 => format!("{}.{} s", micros / 1_000_000, micros / 100_000 % 10),
        micros @ 10_000_000..100_000_000 => format!("{} s", micros / 1_000_000),
        micros => duration(micros),
    }
}

/// `0.42 ms`, `12.3 ms`, `345 ms`, `1.23 s`, `12.3 s`; from 100 seconds on as a [`duration`].
pub(super) fn latency(micros: u64) -> String {
    let (number, unit) = if micros < 1_000_000 { (micros, "ms") } else { (micros / 1000, "s") };
    let (whole, rest) = (number / 1000, number % 1000);
    match (whole, unit) {
        (0..10, _) => format!("{whole}.{:02} {unit}", rest / 10),
        (10..100, _) => format!("{whole}.{} {unit}", rest / 100),
        (_, "ms") => format!("{whole} ms"),
        _ => duration(micros),
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
pub(super) fn bytes(count: u64) -> String {
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
    fn latencies_have_three_digits() {
        let cases = [
            (0, "0.00 ms"),
            (423, "0.42 ms"),
            (9_999, "9.99 ms"),
            (12_345, "12.3 ms"),
            (345_678, "345 ms"),
            (1_234_567, "1.23 s"),
            (60_000_000, "60.0 s"),
            (134_000_000, "2 min 14 s"),
        ];
        for (micros, text) in cases {
            assert_eq!(latency(micros), text);
        }
    }

    #[test]
    fn times_of_hooks_are_short() {
        let cases = [
            (0, "0 ns"),
            (999, "999 ns"),
            (6_260, "6.2 us"),
            (62_600, "62 us"),
            (999_999, "999 us"),
            (6_260_000, "6.26 ms"),
            (2_000_000_000, "2.00 s"),
        ];
        for (nanos, text) in cases {
            assert_eq!(short_time(nanos), text);
        }
    }

    #[test]
    fn what_is_known_to_ten_per_cent_has_two_digits() {
        let cases = [
            (0, "0.00 ms"),
            (17, "0.02 ms"),
            (424, "0.42 ms"),
            (996, "1.0 ms"),
            (4_250, "4.3 ms"),
            (12_600, "13 ms"),
            (479_000, "480 ms"),
            (996_000, "1.0 s"),
            (1_610_000, "1.6 s"),
            (73_100_000, "73 s"),
            (134_000_000, "2 min 10 s"),
        ];
        for (micros, text) in cases {
            assert_eq!(about(micros), text);
        }
    }

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
