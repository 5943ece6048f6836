//! Text for people: stdout and stderr, with colours where they are wanted. A reader that has gone is no error.

use anstream::{AutoStream, ColorChoice};
use std::fmt::Display;
use std::io::{IsTerminal, Write, stderr};

/// A piece of text on stdout.
pub(super) fn out(text: &str) {
    let mut stdout = anstream::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// A piece of text on stderr: what people read while stdout may go to a program.
pub(super) fn aside(text: &str) {
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}

/// `1 session`, `2 sessions`.
pub(super) fn counted(number: impl Display, noun: &str) -> String {
    let number = number.to_string();
    format!("{number} {noun}{}", if number == "1" { "" } else { "s" })
}

/// The last word of a command that failed.
pub(super) fn error(message: &str) {
    let message: Vec<&str> = message.lines().map(str::trim).collect();
    aside(&format!("iqtap: {}\n", message.join(" ")));
}

/// Operational events go to stderr; `RUST_LOG` says which, else what is worth a person's while.
pub(super) fn start_log(quiet: bool) {
    use tracing_subscriber::EnvFilter;
    let default = if quiet { "warn" } else { "info" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let coloured = stderr().is_terminal() && AutoStream::choice(&stderr()) != ColorChoice::Never;
    let log = tracing_subscriber::fmt().compact().with_env_filter(filter).with_ansi(coloured).with_writer(stderr);
    let _ = log.with_target(false).try_init(); // somebody else's log, in a test, is as good
}
