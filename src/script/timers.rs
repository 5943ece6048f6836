//! Timers: `after(seconds, "name")`, `every(seconds, "name")`, `cancel(timer)`.
//!
//! Takes what a run has set, gives what is due. Must not read a clock: time is the session's.

use super::engine::{Fallible, fail};
use super::run::{self, NewTimer};
use super::state;
use crate::xmpp::Timestamp;
use rhai::{Dynamic, Engine};

/// Timers of one session, all scripts together.
const MOST: usize = 256;
/// Bytes of what they carry, about.
const BYTES: usize = 1 << 20;
/// A timer may take so many seconds.
const SECONDS: (f64, f64) = (0.001, 86_400.0 * 7.0);
/// The least for one that comes again and again.
const LEAST_EVERY: f64 = 0.1;
/// What the function of a timer is called with, as far as it takes it.
const TAKES: &str = "(session, value)";

/// A timer as scripts have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Number(i64);

/// A timer of a session.
#[derive(Clone, Debug)]
pub(super) struct Timer {
    id: i64,
    at: Timestamp,
    /// Microseconds from one time to the next, if it comes again.
    every: Option<u64>,
    /// The script's place in its set.
    pub(super) script: usize,
    pub(super) function: String,
    pub(super) value: Dynamic,
    /// Bytes of memory, about.
    weight: usize,
}

/// The timers of a session.
#[derive(Clone, Debug, Default)]
pub(super) struct Timers(Vec<Timer>);

impl Timers {
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.0.iter().map(|timer| timer.at).min()
    }

    /// Adds what a run has set; whether there was room.
    pub(super) fn add(&mut self, now: Timestamp, script: usize, new: NewTimer) -> bool {
        let NewTimer { id, micros, again, function, value } = new;
        let weight = size_of::<Timer>() + function.len() + state::weight(&value);
        if self.0.len() >= MOST || self.weight() + weight > BYTES {
            return false;
        }
        let at = Timestamp(now.0.saturating_add(micros));
        self.0.push(Timer { id, at, every: again.then_some(micros), script, function, value, weight });
        true
    }

    pub(super) fn cancel(&mut self, script: usize, id: i64) {
        self.0.retain(|timer| timer.id != id || timer.script != script);
    }

    /// The timer that was due first, if one is. One that comes again is set anew, from now on if it is late.
    pub(super) fn due(&mut self, now: Timestamp) -> Option<Timer> {
        let at =
            (0..self.0.len()).filter(|at| self.0[*at].at <= now).min_by_key(|at| (self.0[*at].at, self.0[*at].id))?;
        let Some(every) = self.0[at].every else { return Some(self.0.remove(at)) };
        let timer = self.0[at].clone();
        let next = timer.at.0.saturating_add(every);
        self.0[at].at = Timestamp(if next > now.0 { next } else { now.0.saturating_add(every) });
        Some(timer)
    }

    /// Scripts have other places now; those of scripts or functions that are gone are given back.
    pub(super) fn moved(&mut self, place: impl Fn(&Timer) -> Option<usize>) -> Vec<Timer> {
        let (mut stay, mut gone) = (Vec::new(), Vec::new());
        for mut timer in std::mem::take(&mut self.0) {
            match place(&timer) {
                Some(script) => {
                    timer.script = script;
                    stay.push(timer);
                }
                None => gone.push(timer),
            }
        }
        self.0 = stay;
        gone
    }

    /// Bytes of memory, about.
    pub(super) fn weight(&self) -> usize {
        self.0.iter().map(|timer| timer.weight).sum()
    }
}

pub(super) fn register(engine: &mut Engine) {
    for (name, again) in [("after", false), ("every", true)] {
        let set = move |seconds: f64, function: &str, value: Dynamic| set(name, again, seconds, function, value);
        engine.register_fn(name, move |seconds: f64, function: &str| set(seconds, function, Dynamic::UNIT));
        engine.register_fn(name, set);
        #[expect(clippy::cast_precision_loss, reason = "far beyond what is allowed")]
        let whole = move |seconds: i64, function: &str, value: Dynamic| set(seconds as f64, function, value);
        engine.register_fn(name, move |seconds: i64, function: &str| whole(seconds, function, Dynamic::UNIT));
        engine.register_fn(name, whole);
    }
    engine.register_type_with_name::<Number>("Timer");
    engine.register_fn("cancel", |timer: Number| run::with(|run| run.cancel(timer.0)));
    // What was kept may never have been set.
    engine.register_fn("cancel", |(): ()| {});
}

fn set(name: &str, again: bool, seconds: f64, function: &str, value: Dynamic) -> Fallible<Number> {
    let least = if again { LEAST_EVERY } else { SECONDS.0 };
    let micros = micros(name, seconds, least, SECONDS.1)?;
    state::storable(&value)?;
    run::with(|run| {
        run.must_have(function, 2, TAKES)?;
        run.timer(micros, again, function, value).map(Number)
    })
}

/// Seconds as microseconds.
pub(super) fn micros(name: &str, seconds: f64, least: f64, most: f64) -> Fallible<u64> {
    if !(least..=most).contains(&seconds) {
        return fail(format!("{name}() takes seconds, from {least} to {most}, not {seconds}"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the range just checked")]
    Ok((seconds * 1e6) as u64)
}
