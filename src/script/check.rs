//! All that is wrong with a script, said at once and without running a hook: `iqtap script check`.
//!
//! Takes a script's text, gives complaints in their order. What loads and what does not is asked of `compile` itself, again
//! and again, each fault set aside once it is known; what only fails when a line is run is looked for in Rhai's own tree
//! (`calls`, `values`, `verdicts`, `literals`). What there is, hooks, functions, properties, is read from the engine and the tables the
//! engine is made with: nothing here names them anew. Must not complain of what may be right.

mod calls;
mod known;
mod literals;
mod loads;
mod text;
mod tree;
mod values;
mod verdicts;

use super::literals::renamed;
use super::{ScriptLimits, sharing};
use known::Known;
use std::fmt;
use std::path::{Path, PathBuf};
use tree::Tree;
use values::Sorts;

/// Something that is wrong with a script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The file.
    pub path: PathBuf,
    /// Line, from 1; 0 if it is about the script as a whole.
    pub line: usize,
    /// Column, from 1; 0 if none.
    pub column: usize,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong and what to do.
    pub message: String,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The script does not load, or fails where it comes to this line.
    Error,
    /// It runs, but surely does not do what was meant.
    Warning,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path.display())?;
        for place in [self.line, self.column].into_iter().filter(|place| *place > 0) {
            write!(f, "{place}:")?;
        }
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, " {severity}: {}", self.message)
    }
}

/// What is found, before it is about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    place: (usize, usize),
    severity: Severity,
    message: String,
}

impl Fault {
    fn error(place: (usize, usize), message: impl Into<String>) -> Self {
        Self { place, severity: Severity::Error, message: message.into() }
    }

    fn warning(place: (usize, usize), message: impl Into<String>) -> Self {
        Self { place, severity: Severity::Warning, message: message.into() }
    }
}

/// Finds all that is wrong with a script, as it would be loaded with these limits; nothing is fine.
#[must_use]
pub fn check(path: &Path, text: &str, limits: ScriptLimits) -> Vec<Complaint> {
    let known = Known::new(limits);
    // As the compiler is given it, and as long.
    let text = &renamed(text, sharing::WORD, sharing::NAME);
    let (mut faults, legible) = loads::unreadable(&known, text);
    let whole = faults.is_empty();
    if let Some(tree) = Tree::read(&known, &legible, text) {
        let sorts = Sorts::of(&known, &tree);
        faults.extend(values::faults(&known, &tree, &sorts));
        faults.extend(calls::faults(&known, &tree, whole));
        faults.extend(literals::faults(&known, &tree, &sorts));
        faults.extend(loads::faults(&known, path, &tree, &legible, limits, whole));
        faults.extend(verdicts::faults(&known, &tree));
    }
    // Of several at one place the first says the most.
    faults.sort_by_key(|fault| fault.place);
    faults.dedup_by(|later, first| later.place == first.place && later.place.0 > 0);
    let complaint = |Fault { place: (line, column), severity, message }| Complaint {
        path: path.to_owned(),
        line,
        column,
        severity,
        message,
    };
    faults.into_iter().map(complaint).collect()
}

/// The hooks a script defines, in the order of the engine's own list.
#[must_use]
pub fn hooks(text: &str, limits: ScriptLimits) -> Vec<String> {
    let known = Known::new(limits);
    let text = &renamed(text, sharing::WORD, sharing::NAME);
    let tree = Tree::read(&known, text, text);
    let defined = |hook: &&str| tree.as_ref().is_some_and(|tree| tree.defines(hook));
    known.hooks().filter(defined).map(str::to_owned).collect()
}
