//! What playing came to, in words and as JSON.

use super::{Failure, Played};
use crate::cli::print;
use crate::net::printable;
use crate::replay::agents::{Difference, Report};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// One session, for people.
pub(super) fn text(played: &Played) -> String {
    let report = &played.report;
    let mut out = String::new();
    let mut line = |text: String| {
        let _ = writeln!(out, "{text}"); // writing to a string cannot fail
    };
    for Difference { what, why, frame, recorded, live, .. } in &report.differences {
        let frame = frame.map(|frame| format!(" (packet {frame})")).unwrap_or_default();
        line(format!("{}{frame}: {}", what.name(), printable(why)));
        for (whose, stanza) in [("recorded", recorded), ("live", live)] {
            stanza.iter().for_each(|stanza| line(format!("  {whose:<9} {}", printable(stanza))));
        }
    }
    if report.more > 0 {
        line(format!("and {}", print::counted(report.more, "more difference")));
    }
    line(format!(
        "{}: {} sent, {} came, {} as recorded",
        printable(&played.jid),
        print::counted(report.sent, "stanza"),
        report.came,
        report.same
    ));
    if report.left_out > 0 {
        line(format!("{} not sent: a secret in them was replaced when they were recorded", report.left_out));
    }
    if report.unsent > 0 {
        line(format!("{} not sent: it was over before", report.unsent));
    }
    line(answers(report));
    out
}

/// One session, for programs.
pub(super) fn json(session: u64, played: &Played) -> String {
    let report = &played.report;
    let difference = |one: &Difference| {
        json!({
            "what": one.what.name(), "why": one.why, "frame": one.frame, "recorded": one.recorded, "live": one.live,
        })
    };
    let value = json!({
        "session": session, "jid": played.jid, "same": is_same(played), "ended": played.ended,
        "sent": report.sent, "came": report.came, "as_recorded": report.same, "left_out": report.left_out,
        "unsent": report.unsent, "requests": requests(report),
        "differences": report.differences.iter().map(difference).collect::<Vec<_>>(), "more_differences": report.more,
    });
    format!("{value}\n")
}

fn is_same(played: &Played) -> bool {
    played.ended.is_none() && played.report.is_same()
}

/// The exit code, and the last word.
pub(super) fn verdict(played: &Played) -> Result<(), Failure> {
    if let Some(why) = &played.ended {
        return Err(Failure { code: 1, message: format!("it ended before all was played: {why}") });
    }
    match played.report.differences.len() as u64 + played.report.more {
        0 => Ok(()),
        1 => Err(Failure { code: 1, message: "1 difference".to_owned() }),
        count => Err(Failure { code: 1, message: format!("{count} differences") }),
    }
}

/// How requests fared.
fn answers(report: &Report) -> String {
    let Report { latency, unanswered, errors, .. } = report;
    let times = match (latency.quantile(0.5), latency.quantile(0.99)) {
        (Some(half), Some(most)) => format!(" (p50 {} ms, p99 {} ms)", millis(half), millis(most)),
        _ => String::new(),
    };
    format!(
        "requests: {} answered{times}, {unanswered} not, {errors} with an error in place of a result",
        latency.count()
    )
}

fn requests(report: &Report) -> Value {
    let quantile = |q: f64| report.latency.quantile(q).map(|micros| micros as f64 / 1000.0);
    json!({
        "answered": report.latency.count(), "unanswered": report.unanswered, "errors": report.errors,
        "p50_ms": quantile(0.5), "p99_ms": quantile(0.99),
    })
}

fn millis(micros: u64) -> String {
    format!("{}.{:03}", micros / 1000, micros % 1000)
}

/// Many sessions.
#[derive(Debug, Default)]
pub(super) struct Total {
    sessions: u64,
    /// Why those that failed did, and how many.
    failed: BTreeMap<String, u64>,
    /// Those of whose requests one had another answer, or none.
    differing: u64,
    /// All numbers together.
    sum: Report,
}

impl Total {
    /// Another session. What others' sessions make of each other (their presence, most of all) is no difference here; answers are.
    pub(super) fn add(&mut self, played: Result<Played, String>) {
        self.sessions += 1;
        let Played { report, ended, .. } = match played {
            Ok(played) => played,
            Err(why) => return *self.failed.entry(why).or_default() += 1,
        };
        if let Some(why) = ended {
            *self.failed.entry(why).or_default() += 1;
        }
        self.differing += u64::from(report.differences.iter().any(|difference| difference.answer));
        let sum = &mut self.sum;
        for (sum, one) in [
            (&mut sum.sent, report.sent),
            (&mut sum.came, report.came),
            (&mut sum.same, report.same),
            (&mut sum.left_out, report.left_out),
            (&mut sum.unsent, report.unsent),
            (&mut sum.unanswered, report.unanswered),
            (&mut sum.errors, report.errors),
        ] {
            *sum += one;
        }
        sum.latency.add(&report.latency);
    }

    fn failures(&self) -> u64 {
        self.failed.values().sum()
    }

    pub(super) fn text(&self) -> String {
        let failed = self.failures();
        let mut out = format!("{} sessions: {} played, {failed} failed\n", self.sessions, self.sessions - failed);
        for (why, count) in &self.failed {
            let _ = writeln!(out, "  {count} times: {}", printable(why));
        }
        let _ = writeln!(
            out,
            "{} sent, {} came, {} as recorded",
            print::counted(self.sum.sent, "stanza"),
            self.sum.came,
            self.sum.same
        );
        let _ = writeln!(out, "{}", answers(&self.sum));
        let _ = writeln!(out, "sessions with an answer other than recorded: {}", self.differing);
        out
    }

    pub(super) fn json(&self) -> String {
        let failed = self.failed.iter().map(|(why, count)| json!({ "why": why, "count": count })).collect::<Vec<_>>();
        let value = json!({
            "sessions": self.sessions, "played": self.sessions - self.failures(), "failed": failed,
            "sent": self.sum.sent, "came": self.sum.came, "as_recorded": self.sum.same, "unsent": self.sum.unsent,
            "left_out": self.sum.left_out, "requests": requests(&self.sum), "differing": self.differing,
        });
        format!("{value}\n")
    }

    /// 3 if nobody could play, 1 if not all did as recorded.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        let failed = self.failures();
        if failed == self.sessions {
            return Err(Failure::runtime("no session could be played"));
        }
        if failed + self.differing == 0 {
            return Ok(());
        }
        let message = format!("{failed} sessions failed, {} had another answer than recorded", self.differing);
        Err(Failure { code: 1, message })
    }
}
