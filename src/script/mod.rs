//! Rhai: compiling scripts, the API they see, running one hook.
//!
//! Takes a judged stanza and facts, gives a verdict. The only room that names rhai. Must not see the session,
//! touch a file after compiling, or read a clock.

mod budget;
mod compile;
mod edit;
mod element;
mod engine;
mod failure;
mod jid;
mod log;
mod members;
mod names;
mod path;
mod session;
mod stanza;
mod tree;
mod verdict;

use crate::xml::{Element, View};
use crate::xmpp::{Facts, Kind, Side, StanzaError};
use compile::{Hook, Script};
use failure::Failure;
use rhai::{CallFnOptions, Dynamic, Scope};
use session::Session;
use stanza::{Saved, Stanza};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// Limits on one run of one hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScriptLimits {
    /// Rhai operations.
    pub operations: u64,
    /// Call depth.
    pub call_depth: usize,
    /// Bytes of a string; elements of an array or map, which however are never more than 500 and 200.
    pub size: usize,
}

impl Default for ScriptLimits {
    fn default() -> Self {
        Self { operations: 50_000, call_depth: 32, size: 256 * 1024 }
    }
}

/// Several scripts, compiled, in the order given. Immutable; shared by all sessions.
#[derive(Debug, Default)]
pub struct ScriptSet {
    scripts: Vec<Script>,
    /// The bits of the kinds that some script has a hook for.
    kinds: u8,
}

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

/// What running the hooks for one stanza gave.
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
    /// What was logged.
    pub logs: Vec<LogLine>,
    /// A script failed: file, line, column and reason. The verdict is then what the others said.
    pub errors: Vec<String>,
}

impl ScriptSet {
    /// Compiles files in the given order.
    ///
    /// # Errors
    /// The first file that cannot be read or compiled.
    pub fn load(paths: &[PathBuf], limits: ScriptLimits) -> Result<Self, LoadError> {
        let mut set = Self::default();
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
        let mut set = Self::default();
        set.add(name, text, limits)?;
        Ok(set)
    }

    fn add(&mut self, path: &Path, text: &str, limits: ScriptLimits) -> Result<(), LoadError> {
        let script = compile::compile(path, text, limits)?;
        self.kinds |= script.kinds();
        self.scripts.push(script);
        Ok(())
    }

    /// The files it was made of: when one of them changes, it is out of date.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        self.scripts.iter().map(|script| script.path.clone()).collect()
    }

    /// Whether any script has a hook for this kind: one bit test.
    #[must_use]
    pub fn listens(&self, kind: Kind) -> bool {
        self.kinds & compile::bit(kind) != 0
    }

    /// Runs the hooks of one kind over one stanza, script by script, until one gives a verdict that stops it. Each sees
    /// what those before it have rewritten; what a script that fails has rewritten is undone. Of several that let it wait, the
    /// longest time counts.
    #[must_use]
    pub fn run(&self, kind: Kind, stanza: &View<'_>, facts: &Facts<'_>) -> Outcome {
        let mut outcome = Outcome {
            verdict: Verdict::Pass,
            by: None,
            element: None,
            sends: Vec::new(),
            logs: Vec::new(),
            errors: Vec::new(),
        };
        if !self.listens(kind) {
            return outcome;
        }
        let work = Stanza::new(kind, stanza, facts.side);
        let (mut held, mut rewritten) = (0, false);
        for script in &self.scripts {
            let Some(hook) = script.hook(kind) else { continue };
            let before = if rewritten { work.save() } else { Saved::default() };
            let ran = call(script, hook, &work, facts).and_then(|returned| {
                verdict::judge(returned, kind, stanza).map_err(|reason| Failure::at_line(hook.line, reason))
            });
            outcome.logs.extend(log::take(&script.name));
            let by = || Some(format!("{}:{}", script.name, hook.line));
            let sends = session::take_sends();
            if ran.is_ok() {
                let by = by().unwrap_or_default();
                outcome.sends.extend(sends.into_iter().map(|(to, stanza)| Send { to, stanza, by: by.clone() }));
            }
            match ran {
                Ok(Verdict::Hold(micros)) => {
                    rewritten |= work.differs(&before);
                    outcome.verdict = Verdict::Hold(held.max(micros));
                    held = held.max(micros);
                    outcome.by = by();
                }
                Ok(Verdict::Pass) if work.differs(&before) => {
                    rewritten = true;
                    outcome.by = by();
                }
                Ok(Verdict::Pass) => {}
                // Nothing is forwarded: what was rewritten on the way is of no more interest.
                Ok(verdict) => return Outcome { verdict, by: by(), ..outcome },
                Err(failure) => {
                    work.restore(before);
                    outcome.errors.push(failure::located(&script.path, &failure));
                }
            }
        }
        if rewritten {
            outcome.element = work.take_edited();
        }
        outcome
    }
}

/// Calls one hook. A panic in Rhai or below is a failure of this script like any other.
fn call(script: &Script, hook: &Hook, stanza: &Stanza, facts: &Facts<'_>) -> Result<Dynamic, Failure> {
    // The script's body has run when it was compiled; it is not run again.
    let options = CallFnOptions::new().eval_ast(false).rewind_scope(false);
    budget::begin(false);
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let mut scope = Scope::new();
        let stanza = stanza.clone();
        if hook.wants_session {
            let arguments = (stanza, Session::of(facts));
            script.engine.call_fn_with_options::<Dynamic>(options, &mut scope, &script.ast, hook.name, arguments)
        } else {
            script.engine.call_fn_with_options::<Dynamic>(options, &mut scope, &script.ast, hook.name, (stanza,))
        }
    }));
    match ran {
        Ok(Ok(returned)) => Ok(returned),
        Ok(Err(error)) => Err(failure::explain(*error).or_line(hook.line)),
        Err(_) => Err(Failure::at_line(hook.line, "the script engine panicked; please report this".to_owned())),
    }
}
