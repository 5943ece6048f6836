//! One run of one hook: what it may know while it lasts, and what it has done by its end.
//!
//! Rhai's functions are plain functions, shared by all sessions, so what belongs to a run is kept on its thread: a hook runs
//! to its end on one. Takes the facts and the limits before the run, gives [`Effects`] after it. Must not keep anything
//! from one run to the next.

use super::engine::{Fallible, fail};
use super::state::Kept;
use super::{ScriptLimits, Shared};
use crate::xml::Element;
use crate::xmpp::{Side, StreamCondition, Timestamp};
use rhai::Dynamic;
use std::cell::RefCell;
use std::sync::Arc;

/// Lines kept of one run of one hook: a loop that logs must not fill the memory.
const LINES: usize = 64;
/// Tags a run may give.
const TAGS: usize = 16;
/// Requests a run may ask.
const ASKS: usize = 16;
/// Timers a run may set or end.
const TIMERS: usize = 64;

/// What a run has done, besides its verdict and what it did to the stanza.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) logs: Vec<(&'static str, String)>,
    pub(super) sends: Vec<(Side, Element)>,
    send_bytes: usize,
    pub(super) tags: Vec<String>,
    pub(super) timers: Vec<NewTimer>,
    pub(super) cancelled: Vec<i64>,
    pub(super) asks: Vec<NewAsk>,
    pub(super) close: Option<(StreamCondition, String)>,
}

impl Effects {
    pub(super) fn nothing(&self) -> bool {
        let Self { logs, sends, send_bytes: _, tags, timers, cancelled, asks, close } = self;
        logs.is_empty()
            && sends.is_empty()
            && tags.is_empty()
            && timers.is_empty()
            && cancelled.is_empty()
            && asks.is_empty()
            && close.is_none()
    }
}

/// A timer a run has set.
#[derive(Debug)]
pub(super) struct NewTimer {
    pub(super) id: i64,
    pub(super) micros: u64,
    pub(super) again: bool,
    pub(super) function: String,
    pub(super) value: Dynamic,
}

/// A request a run has asked.
#[derive(Debug)]
pub(super) struct NewAsk {
    pub(super) to: Side,
    pub(super) iq: Element,
    pub(super) function: String,
    pub(super) micros: u64,
}

/// A script's functions, by name and number of parameters.
pub(super) type Functions = Arc<[(String, usize)]>;

/// What a run may know.
pub(super) struct Run {
    pub(super) now: Timestamp,
    /// Whether stanzas pass, so that one may be sent.
    pub(super) may_send: bool,
    pub(super) limits: ScriptLimits,
    /// What `state` is, for as long as the run lasts.
    pub(super) state: Kept,
    pub(super) functions: Option<Functions>,
    /// What the next timer is called.
    pub(super) next_timer: i64,
    /// What all sessions share; none while a script is loaded.
    pub(super) shared: Option<Shared>,
    effects: Effects,
}

thread_local! {
    static RUN: RefCell<Run> = const { RefCell::new(Run::none()) };
}

impl Run {
    const fn none() -> Self {
        Self {
            now: Timestamp(0),
            may_send: false,
            limits: ScriptLimits::DEFAULT,
            state: Kept::new(),
            functions: None,
            next_timer: 0,
            shared: None,
            effects: Effects {
                logs: Vec::new(),
                sends: Vec::new(),
                send_bytes: 0,
                tags: Vec::new(),
                timers: Vec::new(),
                cancelled: Vec::new(),
                asks: Vec::new(),
                close: None,
            },
        }
    }
}

/// A run begins.
pub(super) fn begin(
    now: Timestamp,
    may_send: bool,
    limits: ScriptLimits,
    state: Kept,
    functions: &Functions,
    next: i64,
    shared: Option<&Shared>,
) {
    RUN.with_borrow_mut(|run| {
        run.now = now;
        run.may_send = may_send;
        run.limits = limits;
        run.state = state;
        run.functions = Some(Arc::clone(functions));
        run.next_timer = next;
        run.shared = shared.cloned();
    });
}

/// A run has ended: what it has done, what `state` is now, what the next timer is called.
pub(super) fn end() -> (Effects, Kept, i64) {
    RUN.with_borrow_mut(|run| {
        run.functions = None;
        run.shared = None;
        (std::mem::take(&mut run.effects), std::mem::take(&mut run.state), run.next_timer)
    })
}

/// Looks at the run under way.
pub(super) fn with<R>(look: impl FnOnce(&mut Run) -> R) -> R {
    RUN.with_borrow_mut(look)
}

impl Run {
    /// Keeps a line that was logged.
    pub(super) fn log(&mut self, level: &'static str, text: impl FnOnce() -> String) {
        match self.effects.logs.len() {
            0..LINES => self.effects.logs.push((level, text())),
            LINES => {
                let text = format!("more than {LINES} lines in one run: the rest is left out");
                self.effects.logs.push(("warn", text));
            }
            _ => {}
        }
    }

    /// Keeps a stanza that is to be sent, and was given as so many bytes.
    pub(super) fn send(&mut self, to: Side, stanza: Element, bytes: usize) -> Fallible<()> {
        self.admit(bytes)?;
        self.effects.sends.push((to, stanza));
        Ok(())
    }

    pub(super) fn ask(&mut self, ask: NewAsk, bytes: usize) -> Fallible<()> {
        self.admit(bytes)?;
        if self.effects.asks.len() >= ASKS {
            return fail(format!("one run of a hook may ask {ASKS} requests"));
        }
        self.effects.asks.push(ask);
        Ok(())
    }

    fn admit(&mut self, bytes: usize) -> Fallible<()> {
        if !self.may_send {
            return fail(
                "no stanza can be sent before the client is bound to its resource, nor after the session's end",
            );
        }
        let Effects { sends, asks, send_bytes, .. } = &mut self.effects;
        *send_bytes += bytes;
        let ScriptLimits { sends: most, send_bytes: most_bytes, .. } = self.limits;
        if sends.len() + asks.len() >= most || *send_bytes > most_bytes {
            return fail(format!("one run of a hook may send {most} stanzas and {most_bytes} bytes"));
        }
        Ok(())
    }

    pub(super) fn tag(&mut self, name: &str) -> Fallible<()> {
        let tags = &mut self.effects.tags;
        if tags.iter().any(|known| known == name) {
            return Ok(());
        }
        if tags.len() >= TAGS {
            return fail(format!("one run of a hook may give {TAGS} tags"));
        }
        tags.push(name.to_owned());
        Ok(())
    }

    /// Keeps a timer; gives its number.
    pub(super) fn timer(&mut self, micros: u64, again: bool, function: &str, value: Dynamic) -> Fallible<i64> {
        if self.effects.timers.len() >= TIMERS {
            return fail(format!("one run of a hook may set {TIMERS} timers"));
        }
        let id = self.next_timer;
        self.next_timer += 1;
        self.effects.timers.push(NewTimer { id, micros, again, function: function.to_owned(), value });
        Ok(id)
    }

    pub(super) fn cancel(&mut self, id: i64) {
        self.effects.timers.retain(|timer| timer.id != id);
        if self.effects.cancelled.len() < TIMERS {
            self.effects.cancelled.push(id);
        }
    }

    pub(super) fn close(&mut self, condition: StreamCondition, text: &str) {
        self.effects.close.get_or_insert_with(|| (condition, text.to_owned()));
    }

    /// Refuses the name of a function that this script does not have, or that takes more than it would be given.
    pub(super) fn must_have(&self, name: &str, most: usize, takes: &str) -> Fallible<()> {
        let functions = self.functions.as_deref().unwrap_or_default();
        if functions.iter().any(|(known, parameters)| known == name && *parameters <= most) {
            return Ok(());
        }
        match functions.iter().find(|(known, _)| known == name) {
            Some((_, parameters)) => {
                fail(format!("{name} takes {parameters} parameters, but would be called with {takes}"))
            }
            None => fail(format!("this script has no function {name} (define it: fn {name}{takes} {{ ... }})")),
        }
    }
}
