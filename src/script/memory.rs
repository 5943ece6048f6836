//! [`Memory`]: what the scripts of a set keep of one session, and what is counted of them there.
//!
//! Takes what a run leaves, gives it to the next. Outlives a reload (a script is the same as long as its path is) and, with
//! stream management, the connection. Must not grow without end, whatever scripts and peers do.

use super::counts::Record;
use super::hooks::On;
use super::session::Session;
use super::state::Kept;
use super::timers::Timers;
use super::{HookCount, ScriptSet};
use crate::xml::{Head, Root, View, shared_root};
use crate::xmpp::{Facts, Kind, Side, Timestamp};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

/// Requests kept for `on_answer` and `on_timeout`, and their bytes; the oldest go first.
const REQUESTS: usize = 256;
const REQUEST_BYTES: usize = 256 * 1024;
/// Places of errors that have been told, of one script.
const TOLD: usize = 32;

/// What the scripts of a [`ScriptSet`] keep of one session.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The set it was made for.
    pub(super) set: u64,
    /// In the set's order.
    pub(super) scripts: Vec<Member>,
    pub(super) timers: Timers,
    pub(super) next_timer: i64,
    session: Option<Session>,
    requests: VecDeque<Request>,
    request_bytes: usize,
    /// The latest request that had to make room for others.
    crowded_out: u64,
}

/// What one script keeps of one session.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) path: PathBuf,
    pub(super) name: String,
    /// Of its text.
    pub(super) digest: u64,
    pub(super) state: Kept,
    pub(super) records: Vec<Record>,
    /// Line and column of errors that have been told.
    told: Vec<(usize, usize)>,
}

/// A request under way, as it came.
#[derive(Clone, Debug)]
pub(super) struct Request {
    number: u64,
    pub(super) side: Side,
    bytes: Box<[u8]>,
    head: Head,
    root: Arc<Root>,
}

impl Request {
    fn weight(&self) -> usize {
        size_of::<Self>() + self.bytes.len()
    }

    pub(super) fn view(&self) -> View<'_> {
        View { bytes: &self.bytes, head: &self.head, root: &self.root }
    }
}

impl Member {
    pub(super) fn new(path: PathBuf, name: String) -> Self {
        Self { path, name, digest: 0, state: Kept::new(), records: Vec::new(), told: Vec::new() }
    }

    /// Its text has changed: whatever was wrong with the old one is forgiven.
    pub(super) fn renew(&mut self, digest: u64) {
        self.digest = digest;
        self.told = Vec::new();
        self.records.iter_mut().for_each(Record::went_well);
    }

    /// The record of a hook; none: of the functions that are called by name.
    pub(super) fn record(&mut self, on: Option<On>) -> &mut Record {
        let at = self.records.iter().position(|record| record.on == on).unwrap_or_else(|| {
            self.records.push(Record::new(on));
            self.records.len() - 1
        });
        &mut self.records[at]
    }

    /// Whether an error at this place is the first one there; remembers it.
    pub(super) fn tells(&mut self, line: usize, column: usize) -> bool {
        if self.told.contains(&(line, column)) {
            return false;
        }
        if self.told.len() >= TOLD {
            self.told.remove(0);
        }
        self.told.push((line, column));
        true
    }
}

impl Memory {
    /// When [`ScriptSet::due`] should be asked.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        self.timers.next()
    }

    /// Bytes it takes, about.
    #[must_use]
    pub fn weight(&self) -> usize {
        let member = |member: &Member| {
            size_of::<Member>() + member.state.weight() + member.records.iter().map(Record::weight).sum::<usize>()
        };
        self.scripts.iter().map(member).sum::<usize>() + self.timers.weight() + self.request_bytes
    }

    /// Keeps a request that was let in, until it is forgotten; instead of one of the same number.
    pub fn remember(&mut self, number: u64, side: Side, view: &View<'_>) {
        self.forget(number);
        let (head, root) = (*view.head, shared_root(view.root));
        let request = Request { number, side, bytes: view.bytes.into(), head, root };
        self.request_bytes += request.weight();
        self.requests.push_back(request);
        while self.requests.len() > REQUESTS || self.request_bytes > REQUEST_BYTES {
            let Some(gone) = self.requests.pop_front() else { break };
            self.request_bytes -= gone.weight();
            self.crowded_out = self.crowded_out.max(gone.number);
        }
    }

    /// A request is done with.
    pub fn forget(&mut self, number: u64) {
        if let Some(at) = self.requests.iter().position(|request| request.number == number)
            && let Some(gone) = self.requests.remove(at)
        {
            self.request_bytes -= gone.weight();
        }
    }

    /// Whether a request was kept and had to make room, or there never was any (0): its answer cannot be shown together with it.
    pub(super) fn has_lost(&self, number: u64) -> bool {
        number <= self.crowded_out && self.request(number).is_none()
    }

    pub(super) fn request(&self, number: u64) -> Option<&Request> {
        self.requests.iter().find(|request| request.number == number)
    }

    /// What hooks see as `session`.
    pub(super) fn session(&mut self, facts: &Facts<'_>) -> Session {
        match &self.session {
            Some(session) if session.is_of(facts) => session.clone(),
            _ => self.session.insert(Session::of(facts)).clone(),
        }
    }

    /// What was counted since this was last asked.
    #[must_use]
    pub fn take_counts(&mut self) -> Vec<HookCount> {
        let of = |member: &mut Member| {
            let Member { name, records, .. } = member;
            records.iter_mut().filter_map(|record| record.take(name)).collect::<Vec<_>>()
        };
        self.scripts.iter_mut().flat_map(of).collect()
    }

    /// What goes along when another connection resumes the session: all but the facts, which are this one's.
    #[must_use]
    pub fn carried_over(mut self) -> Self {
        self.session = None;
        self
    }
}

impl PartialEq for Memory {
    fn eq(&self, other: &Self) -> bool {
        let what = |memory: &Self| -> Vec<(PathBuf, String)> {
            memory.scripts.iter().map(|member| (member.path.clone(), member.state.written())).collect()
        };
        what(self) == what(other) && self.timers.next() == other.timers.next()
    }
}

impl Eq for Memory {}

/// Which set of scripts a memory is for changes with each [`ScriptSet`].
pub(super) fn adopt(memory: &mut Memory, set: &ScriptSet) -> Vec<String> {
    let mut old = std::mem::take(&mut memory.scripts);
    let before: Vec<PathBuf> = old.iter().map(|member| member.path.clone()).collect();
    for script in &set.scripts {
        let known = old.iter().position(|member| member.path == script.path).map(|at| old.swap_remove(at));
        memory.scripts.push(known.unwrap_or_else(|| Member::new(script.path.clone(), script.name.clone())));
    }
    memory.set = set.id;
    let gone = memory.timers.moved(|timer| {
        let path = before.get(timer.script)?;
        let place = set.scripts.iter().position(|script| script.path == *path)?;
        let calls =
            set.scripts.get(place)?.functions.iter().any(|(name, takes)| *name == timer.function && *takes <= 2);
        calls.then_some(place)
    });
    gone.into_iter().map(|timer| format!("its timer for {} ends: that function is gone", timer.function)).collect()
}

/// How a stanza is named to people: by its head, never by what it holds.
#[must_use]
pub fn named(kind: Kind, view: &View<'_>, side: Side) -> String {
    let mut text = kind.name().to_owned();
    let mut add = |what: &str, value: Option<std::borrow::Cow<'_, str>>| {
        if let Some(value) = value {
            text.extend([" ", what]);
            text.extend(value.chars().take(64).flat_map(char::escape_debug));
        }
    };
    add("", view.kind());
    add("id=", view.id());
    add("", view.payload().map(|(ns, name)| format!("{{{ns}}}{name}").into()));
    format!("{text} {}", side.direction())
}
