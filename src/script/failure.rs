//! A script's failure in words: where, and why, for its author.

use super::compile::place;
use super::members;
use rhai::EvalAltResult;
use std::path::Path;

/// Where and why.
pub(super) struct Failure {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) reason: String,
}

/// Words an error of Rhai: the innermost one, where it happened, and the function it happened in.
pub(super) fn explain(error: EvalAltResult) -> Failure {
    let mut error = error;
    let mut position = error.position();
    let mut within = None;
    while let EvalAltResult::ErrorInFunctionCall(name, _, inner, _) = error {
        if inner.position().line().is_some() {
            position = inner.position();
        }
        within = Some(name);
        error = *inner;
    }
    error.clear_position();
    let mut reason = reason(&error);
    if let Some(name) = within {
        reason = format!("{reason} (in {name})");
    }
    let (line, column) = place(position);
    Failure { line, column, reason }
}

fn reason(error: &EvalAltResult) -> String {
    match error {
        EvalAltResult::ErrorTooManyOperations(_) => "it ran too long: over the limit of operations".to_owned(),
        EvalAltResult::ErrorStackOverflow(_) => "calls nest too deep: over the limit of call depth".to_owned(),
        EvalAltResult::ErrorDataTooLarge(what, _) => {
            let key = ["string", "array", "map"].into_iter().find(|key| what.to_lowercase().contains(key));
            let key = key.map(|key| if key == "string" { " (string_bytes)".to_owned() } else { format!(" ({key})") });
            format!("{what}: over the limit of size{}", key.unwrap_or_default())
        }
        EvalAltResult::ErrorTerminated(why, _) => why.to_string(),
        // What the API says, and what a script throws.
        EvalAltResult::ErrorRuntime(value, _) if !value.is_unit() => value.to_string(),
        EvalAltResult::ErrorFunctionNotFound(signature, _) => {
            members::no_function(signature).unwrap_or_else(|| error.to_string())
        }
        other => other.to_string(),
    }
}

/// The same on one line, with nothing in it that a terminal obeys: scripts are quoted in what is said of them.
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// `file:line:column: reason`, with as much of the place as is known.
pub(super) fn located(path: &Path, failure: &Failure) -> String {
    let Failure { line, column, reason } = failure;
    match (line, column) {
        (0, _) => format!("{}: {reason}", path.display()),
        (line, 0) => format!("{}:{line}: {reason}", path.display()),
        (line, column) => format!("{}:{line}:{column}: {reason}", path.display()),
    }
}

impl Failure {
    /// At a line, with nothing known of the column.
    pub(super) fn at_line(line: usize, reason: String) -> Self {
        Self { line, column: 0, reason }
    }

    /// Of an error whose place may be known only by the hook it came from.
    pub(super) fn or_line(mut self, line: usize) -> Self {
        if self.line == 0 {
            self.line = line;
        }
        self
    }
}
