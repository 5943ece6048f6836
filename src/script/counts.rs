//! What is counted of a hook in one session, and the breaker that suspends it when it fails again and again.
//!
//! Takes how each run went, gives figures. Must not read a clock: how long a run took is told.

use super::hooks::{HOOKS, On};
use crate::xmpp::Timestamp;

/// For so many microseconds a hook that has failed too often in a row is not called.
pub(super) const SUSPENDED: u64 = 60_000_000;
/// What functions that are called by name are counted under.
const BY_NAME: &str = "(timers, replies)";

/// What was counted of one hook.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookCount {
    /// The script's file name.
    pub script: String,
    /// The hook.
    pub hook: &'static str,
    /// How often it was called.
    pub runs: u64,
    /// How often it failed.
    pub errors: u64,
    /// How often it was not called because it was suspended.
    pub skipped: u64,
    /// Nanoseconds of all runs together; 0 if nobody measured.
    pub nanos: u64,
    /// Nanoseconds of the slowest run.
    pub slowest: u64,
    /// Which stanza that was.
    pub slowest_stanza: String,
}

impl HookCount {
    /// Adds another session's counts of the same hook.
    pub fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.errors += other.errors;
        self.skipped += other.skipped;
        self.nanos += other.nanos;
        if other.slowest > self.slowest {
            self.slowest = other.slowest;
            self.slowest_stanza.clone_from(&other.slowest_stanza);
        }
    }
}

/// What is kept of one hook of one script in one session.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) on: Option<On>,
    /// Failures since the last run that went well.
    in_a_row: u32,
    /// Not called before this.
    until: Timestamp,
    count: HookCount,
}

impl Record {
    pub(super) fn new(on: Option<On>) -> Self {
        Self { on, in_a_row: 0, until: Timestamp(0), count: HookCount::default() }
    }

    /// Bytes of memory, about.
    pub(super) fn weight(&self) -> usize {
        size_of::<Self>() + self.count.slowest_stanza.len()
    }

    /// Whether it may not be called now.
    pub(super) fn suspended(&mut self, now: Timestamp) -> bool {
        let suspended = now < self.until;
        self.count.skipped += u64::from(suspended);
        suspended
    }

    /// It has run for so long.
    pub(super) fn ran(&mut self, nanos: u64, what: impl FnOnce() -> String) {
        self.count.runs += 1;
        self.count.nanos += nanos;
        if nanos > self.count.slowest {
            self.count.slowest = nanos;
            self.count.slowest_stanza = what();
        }
    }

    /// It works, or is not what it was any more.
    pub(super) fn went_well(&mut self) {
        self.in_a_row = 0;
        self.until = Timestamp(0);
    }

    /// It has failed; whether that was once too often, so that it is suspended from now on.
    pub(super) fn failed(&mut self, now: Timestamp, most: u32) -> bool {
        self.count.errors += 1;
        self.in_a_row += 1;
        let suspends = most > 0 && self.in_a_row >= most;
        if suspends {
            self.in_a_row = 0;
            self.until = Timestamp(now.0.saturating_add(SUSPENDED));
        }
        suspends
    }

    /// What was counted, if anything was.
    pub(super) fn take(&mut self, script: &str) -> Option<HookCount> {
        let count = std::mem::take(&mut self.count);
        if count.runs + count.skipped == 0 {
            return None;
        }
        let hook = self.on.and_then(|on| HOOKS.get(on as usize)).map_or(BY_NAME, |(_, name, ..)| name);
        Some(HookCount { script: script.to_owned(), hook, ..count })
    }
}
