//! Rhai: compiling scripts, the API they see, running one hook.
//!
//! Takes a judged stanza and facts, gives a verdict. The only room that names rhai. Must not see the session,
//! touch a file after compiling, or read a clock.

use crate::xml::{Element, View};
use crate::xmpp::{Facts, Kind, StanzaError};
use std::path::{Path, PathBuf};

/// Limits on one run of one hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScriptLimits {
    /// Rhai operations.
    pub operations: u64,
    /// Call depth.
    pub call_depth: usize,
    /// Bytes of a string; elements of an array or map.
    pub size: usize,
}

impl Default for ScriptLimits {
    fn default() -> Self {
        Self { operations: 50_000, call_depth: 32, size: 1 << 20 }
    }
}

/// Several scripts, compiled, in the order given. Immutable; shared by all sessions.
#[derive(Debug, Default)]
pub struct ScriptSet {}

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
    /// The first verdict other than pass.
    pub verdict: Verdict,
    /// Which script gave the verdict or last rewrote: `vcard-read-only.rhai:7` (line of the hook function).
    pub by: Option<String>,
    /// The stanza as rewritten, if any script changed it.
    pub element: Option<Element>,
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
    pub fn load(_paths: &[PathBuf], _limits: ScriptLimits) -> Result<Self, LoadError> {
        todo!()
    }
    /// Compiles one script from its text (tests, playbooks).
    ///
    /// # Errors
    /// If it does not compile.
    pub fn from_text(_name: &Path, _text: &str, _limits: ScriptLimits) -> Result<Self, LoadError> {
        todo!()
    }
    /// Whether any script has a hook for this kind: one bit test.
    #[must_use]
    pub fn listens(&self, _kind: Kind) -> bool {
        false
    }
    /// Runs the hooks of one kind over one stanza.
    #[must_use]
    pub fn run(&self, _kind: Kind, _stanza: &View<'_>, _facts: &Facts<'_>) -> Outcome {
        todo!()
    }
}
