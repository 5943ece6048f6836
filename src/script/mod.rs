//! Rhai: compiling scripts, the API they see, running one hook.
//!
//! Takes a judged stanza and facts, gives a verdict. The only room that names rhai. Must not see the session,
//! touch a file after compiling, or read a clock.

mod budget;
mod call;
mod check;
mod compile;
mod counts;
mod durable;
mod edit;
mod element;
mod engine;
mod failure;
mod filter;
mod hooks;
mod hours;
mod jid;
mod lists;
mod literals;
mod log;
mod members;
mod memory;
mod names;
mod oneliner;
mod path;
mod patterns;
mod reference;
mod run;
mod session;
mod shared;
mod sharing;
mod stanza;
mod state;
mod stream;
mod strings;
mod timers;
mod tree;
mod verdict;
mod wants;
mod watch;
mod written;

pub use counts::HookCount;
pub use durable::Wake;
pub use filter::Filter;
pub use memory::{Memory, named};
pub use oneliner::{Deed, OneLiner};
pub use reference::definitions;
pub use shared::Shared;
pub use watch::Watch;

pub use check::{Complaint, Severity, check, hooks};

use crate::xml::{Element, View};
use crate::xmpp::{Kind, Side, StanzaError, StreamCondition};
use compile::Script;
use hooks::On;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Limits on one run of one hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScriptLimits {
    /// Rhai operations.
    pub operations: u64,
    /// Call depth.
    pub call_depth: usize,
    /// How deep an expression may nest; with the call depth it bounds the native stack.
    pub expression_depth: usize,
    /// Bytes of a string. A run cannot take more memory than about a sixth of its operations times this.
    pub string_bytes: usize,
    /// Elements of an array, those inside of its elements included; at most [`ScriptLimits::MOST_ARRAY`].
    pub array: usize,
    /// Elements of a map, likewise; at most [`ScriptLimits::MOST_MAP`].
    pub map: usize,
    /// Milliseconds, where somebody looks at a clock ([`Watch`]).
    pub millis: u64,
    /// Stanzas it may send, and requests it may ask, together.
    pub sends: usize,
    /// Their bytes.
    pub send_bytes: usize,
    /// Bytes that a script may keep in the `state` of one session.
    pub state_bytes: usize,
    /// A hook that fails so often in a row is suspended for a minute; 0: never.
    pub failures: u32,
}

impl ScriptLimits {
    /// Rhai compares, prints and frees nested values by recursion, and some 1,300 levels of arrays and maps together overflow
    /// the 2 MiB stack of a worker thread (measured).
    pub const MOST_ARRAY: usize = 500;
    /// See [`ScriptLimits::MOST_ARRAY`].
    pub const MOST_MAP: usize = 200;

    /// As they are if nobody says otherwise.
    pub const DEFAULT: Self = Self {
        operations: 50_000,
        call_depth: 32,
        expression_depth: 32,
        string_bytes: 64 * 1024,
        array: Self::MOST_ARRAY,
        map: Self::MOST_MAP,
        millis: 500,
        sends: 256,
        send_bytes: 1 << 20,
        state_bytes: 256 * 1024,
        failures: 10,
    };
}

impl Default for ScriptLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Several scripts, compiled, in the order given. Immutable; shared by all sessions.
#[derive(Debug, Default)]
pub struct ScriptSet {
    /// No other set has it; 0 is the empty one's.
    id: u64,
    scripts: Vec<Script>,
    /// The bits of the hooks that some script has.
    hooks: u16,
    limits: ScriptLimits,
    stopwatch: Option<Stopwatch>,
    shared: Shared,
}

/// Gives nanoseconds since any moment, to measure how long hooks take.
pub type Stopwatch = fn() -> u64;

/// Where the numbers of sets come from: they tell one set from another and are never shown.
static SETS: AtomicU64 = AtomicU64::new(1);

/// Why a script could not be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}:{column}: {message}", path.display())]
pub struct LoadError {
    /// The file.
    pub path: PathBuf,
    /// Line, from 1; 0 if none.
    pub line: usize,
    /// Column, from 1; 0 if none.
    pub column: usize,
    /// What is wrong and what to do.
    pub message: String,
}

/// What a script decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Goes on (rewritten, if [`Outcome::element`] says so).
    Pass,
    /// Neither forwarded nor answered.
    Drop,
    /// Answered with an error, not forwarded. The caller turns it into a drop where an answer is forbidden.
    Reject(StanzaError),
    /// Answered with this stanza, not forwarded. Kind, id and addresses are already filled in from the request.
    Reply(Element),
    /// Goes on after so many microseconds, rewritten or not; what follows it that way waits behind it.
    Hold(u64),
}

/// Something a script sends besides its verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Send {
    /// To whom.
    pub to: Side,
    /// A whole stanza, not judged yet.
    pub stanza: Element,
    /// Which script: as [`Outcome::by`].
    pub by: String,
}

/// A request of a script's own. It has no id yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// To whom.
    pub to: Side,
    /// An iq of type get or set, not judged yet.
    pub iq: Element,
    /// Who is to be given the answer.
    pub reply: Reply,
    /// How long it may take, in microseconds.
    pub micros: u64,
    /// Which script: as [`Outcome::by`].
    pub by: String,
}

/// Who waits for the answer to a request: see [`ScriptSet::replied`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    script: PathBuf,
    function: String,
}

/// What happens to a session besides stanzas, as hooks hear of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The client has opened its stream: its domain is known.
    Open,
    /// The client is bound to its resource.
    Bind,
    /// The request of this number ([`Memory::remember`]) has gone unanswered for too long.
    Timeout(u64),
    /// The session is over: why.
    Close(&'a str),
}

/// Something a script wanted told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// `error`, `warn`, `info` or `debug`.
    pub level: &'static str,
    /// What it said.
    pub text: String,
    /// The script's file name.
    pub script: String,
}

/// What running hooks gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The first verdict that stops the stanza, or else hold if there was one.
    pub verdict: Verdict,
    /// Which script gave the verdict or last rewrote: `vcard-read-only.rhai:7` (line of the hook function).
    pub by: Option<String>,
    /// The stanza as rewritten, if any script changed it.
    pub element: Option<Element>,
    /// What is to be sent besides, in order.
    pub sends: Vec<Send>,
    /// What is to be asked, in order.
    pub asks: Vec<Ask>,
    /// The session is to end: with this stream error, this text; by whom.
    pub close: Option<(StreamCondition, String, String)>,
    /// What the stanza was tagged with.
    pub tags: Vec<String>,
    /// What was logged.
    pub logs: Vec<LogLine>,
    /// Whether a script failed, or was suspended for failing. The verdict is then what the others said.
    pub failed: bool,
    /// Where and why: file, line, column and reason. What was told before in this session is not told again.
    pub errors: Vec<String>,
}

impl Outcome {
    const fn new() -> Self {
        Self {
            verdict: Verdict::Pass,
            by: None,
            element: None,
            sends: Vec::new(),
            asks: Vec::new(),
            close: None,
            tags: Vec::new(),
            logs: Vec::new(),
            failed: false,
            errors: Vec::new(),
        }
    }
}

impl ScriptSet {
    fn empty(limits: ScriptLimits) -> Self {
        let id = SETS.fetch_add(1, Ordering::Relaxed);
        Self { id, limits, ..Self::default() }
    }

    /// Compiles files in the given order.
    ///
    /// # Errors
    /// The first file that cannot be read or compiled.
    pub fn load(paths: &[PathBuf], limits: ScriptLimits) -> Result<Self, LoadError> {
        let mut set = Self::empty(limits);
        for path in paths {
            let text = std::fs::read_to_string(path).map_err(|why| {
                let message = format!("cannot be read: {why}");
                LoadError { path: path.clone(), line: 0, column: 0, message }
            })?;
            set.add(path, &text, limits)?;
        }
        Ok(set)
    }

    /// Compiles one script from its text (tests, playbooks).
    ///
    /// # Errors
    /// If it does not compile.
    pub fn from_text(name: &Path, text: &str, limits: ScriptLimits) -> Result<Self, LoadError> {
        let mut set = Self::empty(limits);
        set.add(name, text, limits)?;
        Ok(set)
    }

    fn add(&mut self, path: &Path, text: &str, limits: ScriptLimits) -> Result<(), LoadError> {
        self.push(compile::compile(path, text, limits)?);
        Ok(())
    }

    fn push(&mut self, script: Script) {
        self.hooks |= script.bits();
        self.scripts.push(script);
    }

    /// Measures how long hooks take.
    #[must_use]
    pub fn timed_by(mut self, stopwatch: Stopwatch) -> Self {
        self.stopwatch = Some(stopwatch);
        self
    }

    /// Shares this with whoever else has it: other sets, and those that come after a reload. A set that is not told has a
    /// store of its own.
    #[must_use]
    pub fn sharing(mut self, shared: &Shared) -> Self {
        self.shared = shared.clone();
        self
    }

    /// What its scripts share.
    #[must_use]
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The files it was made of: scripts, in their order, each with the lists it reads.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        let of = |script: &Script| std::iter::once(script.path.clone()).chain(script.lists.clone()).collect::<Vec<_>>();
        self.scripts.iter().flat_map(of).collect()
    }

    /// Whether there is no script.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scripts.is_empty()
    }

    /// Whether any script has a hook for this kind: one bit test.
    #[must_use]
    pub fn listens(&self, kind: Kind) -> bool {
        let answers = if kind == Kind::Iq { On::Answer.bit() } else { 0 };
        self.hooks & (On::kind(kind).bit() | On::Stanza.bit() | answers) != 0
    }

    /// Whether any script wants this stanza from `side`; `answers` if it is the answer to a request that is remembered.
    #[must_use]
    pub fn wants(&self, kind: Kind, view: &View<'_>, side: Side, answers: bool) -> bool {
        let fits = |hook: &hooks::Hook| hook.wants.fit(kind, view, side);
        self.listens(kind)
            && self.scripts.iter().any(|script| {
                script.hook_for(kind).is_some_and(fits) || (answers && script.hook(On::Answer).is_some_and(fits))
            })
    }

    /// Whether requests should be remembered, for whoever wants to see them again.
    #[must_use]
    pub fn remembers(&self) -> bool {
        self.hooks & (On::Answer.bit() | On::Timeout.bit()) != 0
    }

    /// Whether any script asks for values to be kept beyond the process (`shared.keep`): then something must keep them.
    #[must_use]
    pub fn keeps(&self) -> bool {
        self.scripts.iter().any(|script| script.keeps)
    }

    /// Whether any script wants to see the stream's features.
    #[must_use]
    pub fn edits_features(&self) -> bool {
        self.hooks & On::Features.bit() != 0
    }
}
