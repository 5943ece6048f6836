//! What has come of a replay, for people and for programs.

use super::super::{Failure, print};
use crate::net::printable;
use crate::replay::rerun::{Cause, Difference, Kind, Outcome, Replayed, Said, fate, origin};
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::fmt::Write;

/// So much of a stanza is shown to people.
const SHOWN_CHARS: usize = 1000;

/// How it is told.
pub(super) struct Telling<'a> {
    /// The capture.
    pub(super) name: &'a str,
    pub(super) json: bool,
    /// Whether a store was named.
    pub(super) with_store: bool,
}

impl Telling<'_> {
    /// Tells of every difference, and of all in all.
    pub(super) fn all(&self, replayed: &Replayed) {
        for outcome in &replayed.sessions {
            let mut text = String::new();
            for difference in &outcome.differences {
                if self.json {
                    let _ = writeln!(text, "{}", machine(outcome, difference)); // writing to a string cannot fail
                } else {
                    self.person(&mut text, outcome, difference);
                }
            }
            match &outcome.spoilt {
                Some(why) if self.json => {
                    let (section, session) = (outcome.section, outcome.number);
                    let event = json!({"event": "not_replayed", "section": section, "session": session, "why": why});
                    let _ = writeln!(text, "{event}");
                }
                Some(why) => {
                    let why = printable(why);
                    let _ = writeln!(text, "session {} cannot be replayed: {why}", outcome.number);
                }
                None => {}
            }
            print::out(&text);
        }
        print::out(&if self.json { summary_line(replayed) } else { self.summary(replayed) });
    }

    /// The exit code, and why it is none of success.
    pub(super) fn verdict(&self, replayed: &Replayed, damaged: bool) -> Result<(), Failure> {
        let sessions = &replayed.sessions;
        let differ = sessions.iter().filter(|outcome| !outcome.differences.is_empty()).count();
        let spoilt = sessions.iter().filter(|outcome| outcome.spoilt.is_some()).count();
        let name = self.name;
        if differ > 0 {
            let all: usize = sessions.iter().map(|outcome| outcome.differences.len()).sum();
            let message =
                format!("{name}: {} in {}", print::counted(all, "difference"), print::counted(differ, "session"));
            return Err(Failure { code: 1, message });
        }
        if spoilt > 0 {
            return Err(Failure::runtime(format!("{name}: {} cannot be replayed", print::counted(spoilt, "session"))));
        }
        if damaged {
            return Err(Failure::runtime(format!("{name}: it is damaged; what could be read was replayed")));
        }
        Ok(())
    }

    fn person(&self, text: &mut String, outcome: &Outcome, difference: &Difference) {
        let who = outcome.jid.as_ref().map_or_else(String::new, |jid| format!(" ({})", printable(jid)));
        let kind = match difference.kind {
            Kind::Missing => "does not come any more",
            Kind::Added => "comes in addition",
            Kind::Changed => "is another one",
            Kind::Moved => "comes in another order",
        };
        let at = clock(difference);
        let packet = if difference.frame > 0 { format!(", packet {}", difference.frame) } else { String::new() };
        let (number, to) = (outcome.number, difference.to.name());
        let mut line = |line: String| {
            let _ = writeln!(text, "{line}"); // writing to a string cannot fail
        };
        line(format!("session {number}{who}, {at}{packet}, to the {to}: {kind}"));
        if let Some(Cause { number, bytes, recorded, now }) = &difference.cause {
            let now = now.as_ref().map_or_else(|| "it does not come to that".to_owned(), fate);
            let became = if fate(recorded) == now { now } else { format!("{} then, {now} now", fate(recorded)) };
            line(format!("  came in   {}  (#{number}, {})", shown(bytes), printable(&became)));
        }
        for (when, said) in [("recorded", &difference.recorded), ("now     ", &difference.now)] {
            match said {
                Some(Said { bytes, origin: by }) => {
                    line(format!("  {when}  {}  ({})", shown(bytes), printable(&origin(by))));
                }
                None => line(format!("  {when}  nothing")),
            }
        }
        if difference.stored && !self.with_store {
            line("  it comes of what is kept, and nothing is kept here: name what was, by --store".to_owned());
        } else if difference.stored {
            line("  it comes of what is kept".to_owned());
        }
    }

    fn summary(&self, replayed: &Replayed) -> String {
        let played: Vec<_> = replayed.sessions.iter().filter(|outcome| outcome.spoilt.is_none()).collect();
        let sum = |what: fn(&Outcome) -> usize| played.iter().map(|outcome| what(outcome)).sum::<usize>();
        let (ins, outs) = (sum(|outcome| outcome.ins), sum(|outcome| outcome.outs));
        let differences = sum(|outcome| outcome.differences.len());
        let verdict = match differences {
            0 => "the same is sent".to_owned(),
            _ => print::counted(differences, "difference"),
        };
        let sessions = print::counted(played.len(), "session");
        let mut text = format!("{sessions}: {} came in, {} were sent: {verdict}", print::counted(ins, "item"), outs);
        let renamed = sum(|outcome| outcome.renamed);
        if renamed > 0 {
            let _ = write!(text, ", but for {} that iqtap makes up", print::counted(renamed, "id"));
        }
        text.push('\n');
        let stored = sum(|outcome| outcome.stored);
        if stored > 0 {
            let of =
                if self.with_store { "of a copy of the store" } else { "of a store that is empty at first (--store)" };
            let _ = writeln!(text, "{} of what is sent now comes {of}", print::counted(stored, "item"));
        }
        text
    }
}

fn summary_line(replayed: &Replayed) -> String {
    let sum = |what: fn(&Outcome) -> usize| replayed.sessions.iter().map(what).sum::<usize>();
    let event = json!({
        "event": "summary",
        "sessions": replayed.sessions.len(),
        "not_replayed": sum(|outcome| usize::from(outcome.spoilt.is_some())),
        "in": sum(|outcome| outcome.ins),
        "out": sum(|outcome| outcome.outs),
        "differences": sum(|outcome| outcome.differences.len()),
        "renamed_ids": sum(|outcome| outcome.renamed),
        "from_store": sum(|outcome| outcome.stored),
    });
    format!("{event}\n")
}

fn machine(outcome: &Outcome, difference: &Difference) -> Value {
    let said = |said: &Option<Said>| {
        said.as_ref().map(|Said { bytes, origin: by }| json!({"xml": String::from_utf8_lossy(bytes), "by": origin(by)}))
    };
    let cause = difference.cause.as_ref().map(|cause| {
        json!({
            "number": cause.number,
            "xml": String::from_utf8_lossy(&cause.bytes),
            "recorded": fate(&cause.recorded),
            "now": cause.now.as_ref().map(fate),
        })
    });
    let kind = match difference.kind {
        Kind::Missing => "missing",
        Kind::Added => "added",
        Kind::Changed => "changed",
        Kind::Moved => "moved",
    };
    json!({
        "event": "difference",
        "kind": kind,
        "section": outcome.section,
        "session": outcome.number,
        "jid": outcome.jid,
        "time": time(difference).map(|time| time.to_string()),
        "packet": difference.frame,
        "to": difference.to.name(),
        "cause": cause,
        "recorded": said(&difference.recorded),
        "now": said(&difference.now),
        "from_store": difference.stored,
    })
}

fn time(difference: &Difference) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_microsecond(i64::try_from(difference.at.0).ok()?).ok()
}

fn clock(difference: &Difference) -> String {
    let zoned = time(difference).map(|time| time.to_zoned(TimeZone::system()));
    zoned.map_or_else(String::new, |zoned| zoned.strftime("%H:%M:%S%.3f").to_string())
}

fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut shown: String = printable(&text).chars().take(SHOWN_CHARS).collect();
    if text.chars().count() > SHOWN_CHARS {
        shown.push('…');
    }
    shown
}
