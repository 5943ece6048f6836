//! What people look at: a line per stanza with its verdict, JSON for machines, a summary at the end.
//!
//! Takes the notes of any number of sessions; gives text to a writer. Must not let a peer's bytes through unescaped (see
//! `escape`), know a socket or a task, or read a clock: time comes with each note.
//!
//! For machines, `json` writes one object per line; its fields stand in the [`json`] module's documentation.

mod escape;
pub mod json;
mod line;
mod sieve;
mod summary;

use crate::rules::Severity;
use crate::script::{Filter, HookCount};
use crate::session::{Dir, Fate, FindingCount, IqCount, Note, Origin, Seen, Tally, What};
use crate::xmpp::{Side, Timestamp};
use jiff::tz::TimeZone;

pub use sieve::{Sieve, Sieved};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How to print.
#[derive(Clone, Debug)]
pub struct PrinterOptions {
    /// One JSON object per line instead of text for people.
    pub json: bool,
    /// Whether to colour text. A writer of anstream takes the colours out again where nobody could see them.
    pub color: bool,
    /// Only what somebody should know: findings, hints, errors, the total. No line per stanza.
    pub quiet: bool,
    /// The zone of printed times; JSON is always in UTC.
    pub zone: TimeZone,
    /// How wide a stanza's line should be at most, as far as it can.
    pub columns: usize,
    /// Which stanzas are shown; all, if there is none. What was found in one that is not shown is not shown either.
    pub filter: Option<Arc<Filter>>,
}

impl Default for PrinterOptions {
    fn default() -> Self {
        Self { json: false, color: false, quiet: false, zone: TimeZone::UTC, columns: 120, filter: None }
    }
}

/// Why a new version of something is not in force, and what is instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotReloaded<'a> {
    /// The file at fault.
    pub path: &'a Path,
    /// Line, from 1; 0 if none.
    pub line: usize,
    /// Column, from 1; 0 if none.
    pub column: usize,
    /// What is wrong.
    pub reason: &'a str,
    /// The number of the policy that stays in force.
    pub policy: u64,
    /// Since when it is.
    pub since: Timestamp,
}

/// Prints notes as they come. Each note is written whole, in one write.
pub struct Printer {
    out: Box<dyn Write + Send>,
    options: PrinterOptions,
    seats: BTreeMap<u64, Seat>,
    /// Sessions seen so far.
    sessions: u64,
    /// Connections not let in, as far as that was told.
    refused: u64,
    /// Whether a session's own counts were due.
    told: bool,
    /// The first and the last time seen.
    span: Option<(Timestamp, Timestamp)>,
    sieve: Option<Sieve>,
    /// The text of one note.
    text: String,
}

/// What is known of a living session.
#[derive(Debug)]
struct Seat {
    since: Timestamp,
    peer: String,
    domain: Option<String>,
    jid: Option<String>,
    /// The item that was filtered out last.
    hidden: u64,
}

impl Printer {
    /// A printer on a writer.
    #[must_use]
    pub fn new(options: PrinterOptions, out: Box<dyn Write + Send>) -> Self {
        let sieve = options.filter.clone().map(Sieve::new);
        Self {
            out,
            options,
            seats: BTreeMap::new(),
            sessions: 0,
            refused: 0,
            told: false,
            span: None,
            sieve,
            text: String::new(),
        }
    }

    /// Prints one note of a session, if it is to be shown. The first note of a session also says that it began.
    ///
    /// # Errors
    /// If the writer fails.
    pub fn note(&mut self, session: u64, peer: &str, at: Timestamp, note: &Note) -> io::Result<()> {
        if matches!(note, Note::Happened(_)) {
            return Ok(()); // for captures
        }
        self.span = Some((self.span.map_or(at, |(first, _)| first), at));
        self.text.clear();
        let Self { seats, options, text, sessions, sieve, .. } = self;
        let seat = seats.entry(session).or_insert_with(|| {
            *sessions += 1;
            let seat = Seat { since: at, peer: peer.to_owned(), domain: None, jid: None, hidden: 0 };
            let place = Place { options, session, at, seat: &seat };
            match options {
                PrinterOptions { quiet: true, .. } => {}
                PrinterOptions { json: true, .. } => json::began(text, place),
                _ => line::began(text, place),
            }
            seat
        });
        let known = is_known(note, seat);
        match note {
            Note::Joined { domain, .. } => seat.domain = Some(domain.clone()),
            Note::Bound(jid) | Note::Resumed { jid, .. } => seat.jid = Some(jid.clone()),
            _ => {}
        }
        let sieved = sieve.as_mut().map_or(Sieved::Shown, |sieve| sift(sieve, session, seat, note));
        let place = Place { options, session, at, seat };
        let mut show =
            |note: &Note| if options.json { json::note(text, place, note) } else { line::note(text, place, note) };
        let shown = !matches!(sieved, Sieved::Hidden);
        if let Sieved::Failed(why) = sieved {
            show(&Note::ScriptError(format!("{why} (where it fails, the stanza is shown; this is not told again)")));
        }
        if shown && is_shown(note, options) && (options.json || !known) {
            show(note);
        }
        if matches!(note, Note::Over(_)) {
            self.told = true;
            seats.remove(&session);
            sieve.iter_mut().for_each(|sieve| sieve.forget(session));
        }
        self.out.write_all(self.text.as_bytes())
    }

    /// Prints that a new version of these scripts is in force; nothing if only warnings are wanted.
    ///
    /// # Errors
    /// If the writer fails.
    pub fn reloaded(&mut self, at: Timestamp, files: &[PathBuf], policy: u64, restart: &[&str]) -> io::Result<()> {
        self.text.clear();
        match self.options {
            PrinterOptions { quiet: true, .. } => {}
            PrinterOptions { json: true, .. } => json::reloaded(&mut self.text, at, files, policy, restart),
            _ => line::reloaded(&mut self.text, &self.options, at, files, policy, restart),
        }
        self.out.write_all(self.text.as_bytes())
    }

    /// Prints that a new version of the scripts cannot be used.
    ///
    /// # Errors
    /// If the writer fails.
    pub fn not_reloaded(&mut self, at: Timestamp, why: NotReloaded<'_>) -> io::Result<()> {
        self.text.clear();
        if self.options.json {
            json::not_reloaded(&mut self.text, at, why);
        } else {
            line::not_reloaded(&mut self.text, &self.options, at, why);
        }
        self.out.write_all(self.text.as_bytes())
    }

    /// Prints that the store fails: why, for people.
    ///
    /// # Errors
    /// If the writer fails.
    pub fn store_failed(&mut self, at: Timestamp, why: &str) -> io::Result<()> {
        self.text.clear();
        if self.options.json {
            json::store_failed(&mut self.text, at, why);
        } else {
            line::store_failed(&mut self.text, &self.options, at, why);
        }
        self.out.write_all(self.text.as_bytes())
    }

    /// Prints that the store works again.
    ///
    /// # Errors
    /// If the writer fails.
    pub fn store_works(&mut self, at: Timestamp) -> io::Result<()> {
        self.text.clear();
        if self.options.json {
            json::store_works(&mut self.text, at);
        } else {
            line::store_works(&mut self.text, &self.options, at);
        }
        self.out.write_all(self.text.as_bytes())
    }

    /// Prints that connections were not let in: how many since this was told last, how many in all; where the last one came from, and
    /// which limit it ran into.
    ///
    /// # Errors
    /// If the writer fails.
    pub fn refused(&mut self, at: Timestamp, count: u64, total: u64, last: IpAddr, limit: &str) -> io::Result<()> {
        self.text.clear();
        self.refused = total;
        if self.options.json {
            json::refused(&mut self.text, at, count, &last.to_string(), limit);
        } else {
            line::refused(&mut self.text, &self.options, at, count, last, limit);
        }
        self.out.write_all(self.text.as_bytes())
    }

    /// Prints that the sessions hold so many bytes, which is more than they may (`most`), or not any more.
    ///
    /// # Errors
    /// If the writer fails.
    pub fn memory(&mut self, at: Timestamp, held: usize, most: Option<usize>) -> io::Result<()> {
        self.text.clear();
        if self.options.json {
            json::memory(&mut self.text, at, held, most);
        } else {
            line::memory(&mut self.text, &self.options, at, held, most);
        }
        self.out.write_all(self.text.as_bytes())
    }

    /// Prints the total of all sessions and flushes. People who have read the one session's counts get no total.
    ///
    /// # Errors
    /// If the writer fails.
    pub fn finish(&mut self, total: &Tally) -> io::Result<()> {
        self.text.clear();
        let (first, last) = self.span.unwrap_or_default();
        let micros = last.0.saturating_sub(first.0);
        if self.options.json {
            let last = self.span.map(|(_, last)| last);
            json::total(&mut self.text, last, [self.sessions, self.refused], micros, total);
        } else if self.sessions > 1 || (self.sessions == 1 && (self.options.quiet || !self.told)) {
            line::total(&mut self.text, &self.options, self.sessions, micros, total);
        }
        if !self.options.json && self.refused > 0 {
            line::all_refused(&mut self.text, &self.options, self.refused);
        }
        self.out.write_all(self.text.as_bytes())?;
        self.out.flush()
    }

    /// Flushes the writer.
    ///
    /// # Errors
    /// If the writer fails.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl fmt::Debug for Printer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Printer").field("options", &self.options).field("seats", &self.seats).finish_non_exhaustive()
    }
}

/// Where and when a note was made, and how to print it.
#[derive(Clone, Copy, Debug)]
struct Place<'a> {
    options: &'a PrinterOptions,
    session: u64,
    at: Timestamp,
    seat: &'a Seat,
}

impl Place<'_> {
    /// Since the session began, in microseconds.
    fn age(&self) -> u64 {
        self.at.0.saturating_sub(self.seat.since.0)
    }
}

/// Whether a note is shown. A finding on an item stands below the item's own line; as a line of its own it is shown to
/// those who see no items (`quiet`), to machines, and to all if no item bears it.
fn is_shown(note: &Note, options: &PrinterOptions) -> bool {
    match note {
        Note::Seen(seen) => !options.quiet && item_is_shown(seen),
        Note::Finding { alone, .. } => *alone || options.quiet || options.json,
        Note::Log(log) => !options.quiet || matches!(log.level, "error" | "warn"),
        Note::ScriptError(_) | Note::Hint(_) | Note::StreamError { .. } => true,
        Note::Tls(..) | Note::Joined { .. } | Note::Mechanism(_) => !options.quiet,
        Note::Bound(_) | Note::Resumed { .. } | Note::Over(_) => !options.quiet,
        Note::Happened(_) => false,
    }
}

/// What a filter says of a note: a finding goes where its item went, just before it.
fn sift(sieve: &mut Sieve, session: u64, seat: &mut Seat, note: &Note) -> Sieved {
    match note {
        // What leaves as it came in is never shown.
        Note::Seen(seen) if item_is_shown(seen) || seen.what == What::Header => {
            let sieved = sieve.sift(session, seen);
            if matches!(sieved, Sieved::Hidden) {
                seat.hidden = seen.number;
            }
            sieved
        }
        Note::Finding { number, alone: false, .. } if *number > 0 && *number == seat.hidden => Sieved::Hidden,
        _ => Sieved::Shown,
    }
}

/// Whether people have read it already: streams are joined again after each restart.
fn is_known(note: &Note, seat: &Seat) -> bool {
    matches!(note, Note::Joined { domain, stripped } if stripped.is_empty() && seat.domain.as_ref() == Some(domain))
}

/// What came in, and what left otherwise than it came in; of what is no stanza, only what was found fault with.
fn item_is_shown(seen: &Seen) -> bool {
    let stanza = matches!(seen.what, What::Stanza(_));
    match seen.dir {
        Dir::In => stanza || !seen.findings.is_empty() || matches!(seen.fate, Fate::Dropped(_) | Fate::Rejected(..)),
        Dir::Out => stanza && matches!(seen.origin, Origin::Made(..) | Origin::Rewritten(..)),
    }
}

/// How often what was found, by code and who is at fault, in the order of codes. A [`Tally`] does not know how bad a code is.
fn findings(tally: &Tally, severity: Severity) -> Vec<FindingCount> {
    let of_severity = |found: &&FindingCount| severity_of(found.code) == severity;
    let mut counts: Vec<_> = tally.findings.iter().filter(of_severity).cloned().collect();
    counts.sort_unstable_by_key(|found| (found.code, found.side));
    counts
}

/// Errors by condition, the most frequent first.
fn conditions(iq: &IqCount) -> Vec<(&'static str, u64)> {
    let mut counts = iq.conditions.clone();
    counts.sort_unstable_by_key(|(condition, count)| (Reverse(*count), *condition));
    counts
}

/// The hooks, those first that took the most time.
fn hooks(tally: &Tally) -> Vec<&HookCount> {
    let mut hooks: Vec<_> = tally.hooks.iter().collect();
    hooks.sort_by_key(|hook| Reverse(hook.nanos));
    hooks
}

/// Codes of what is worth knowing and breaks nothing: what RFC 3920 alone asked for, a script that answers answers, an answer
/// that came too late, an id used twice, a roster push from where only some servers send it, acks before they were agreed on.
const INFO: [&str; 6] = ["duplicate-id", "late-answer", "push-odd", "rule7-3920", "script-loop", "sm-not-enabled"];

fn severity_of(code: &str) -> Severity {
    if INFO.contains(&code) { Severity::Info } else { Severity::Violation }
}

/// The name of a side, for people and machines.
const fn side_name(side: Side) -> &'static str {
    match side {
        Side::Client => "client",
        Side::Server => "server",
    }
}

/// The way from a side to the other, as scripts and the configuration call it.
const fn direction(sender: Side) -> &'static str {
    match sender {
        Side::Client => "c2s",
        Side::Server => "s2c",
    }
}
