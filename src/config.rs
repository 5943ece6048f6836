//! TOML to [`Route`] (fixed for a session) and [`Policy`] (live); every error names its file and line.

use crate::policy::{Policy, Route};
use std::path::{Path, PathBuf};

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}: {message}", path.display())]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// Line, from 1; 0 if none.
    pub line: usize,
    /// What is wrong and what to do.
    pub message: String,
}

/// Compiles the part of a configuration that a session sees. `text` is TOML; `path` names it in errors and is where
/// relative paths (scripts) start from.
///
/// # Errors
/// The first thing wrong, with its line.
pub fn compile(_text: &str, _path: &Path) -> Result<(Route, Policy), ConfigError> {
    todo!()
}
