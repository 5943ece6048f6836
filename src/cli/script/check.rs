//! `iqtap script check`: all that is wrong with scripts, without running them.

use super::Failure;
use crate::cli::print;
use crate::config::Config;
use crate::play;
use crate::script::{self, Complaint, ScriptLimits, Severity};
use anstyle::{AnsiColor, Style};
use std::path::{Path, PathBuf};

/// Arguments of `iqtap script check`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "An error keeps the script from being loaded, or fails where a stanza comes to that line. A warning is something
that surely was not meant. Both are worth an exit code of 1.

Examples:
  iqtap script check my-script.rhai
  iqtap script check scripts/ --config iqtap.toml      with the limits of that configuration

Exit codes: 0 all fine, 1 something is wrong, 2 a file cannot be read, or there was none."
)]
pub(super) struct Args {
    /// Scripts, or folders of them
    #[arg(value_name = "FILE", required = true)]
    paths: Vec<PathBuf>,
    /// A configuration whose `script_limits` hold
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

const BAD: Style = AnsiColor::Red.on_default().bold();
const ODD: Style = AnsiColor::Yellow.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default();

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let limits = match &args.config {
        Some(path) => Config::from_file(path).map_err(Failure::usage)?.script_limits,
        None => ScriptLimits::default(),
    };
    let mut files = Vec::new();
    for path in &args.paths {
        files.extend(play::files(path, "rhai").map_err(Failure::usage)?);
    }
    if files.is_empty() {
        return Err(Failure::usage("no script (*.rhai) under what was named"));
    }
    let (mut errors, mut warnings) = (0, 0);
    for file in &files {
        let text = std::fs::read_to_string(file).map_err(|why| Failure::usage(format!("{}: {why}", file.display())))?;
        let complaints = script::check(file, &text, limits);
        for complaint in &complaints {
            match complaint.severity {
                Severity::Error => errors += 1,
                Severity::Warning => warnings += 1,
            }
            print::out(&told(complaint, &text));
        }
        if complaints.is_empty() {
            print::out(&fine(file, &script::hooks(&text, limits)));
        }
    }
    let counted = |number: usize, noun: &str| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
    match (errors, warnings) {
        (0, 0) => Ok(()),
        (errors, 0) => Err(Failure { code: 1, message: counted(errors, "error") }),
        (0, warnings) => Err(Failure { code: 1, message: counted(warnings, "warning") }),
        (errors, warnings) => {
            Err(Failure { code: 1, message: format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")) })
        }
    }
}

fn fine(file: &Path, hooks: &[String]) -> String {
    format!(
        "{}: {GOOD}fine{GOOD:#}: hook{} {}\n",
        file.display(),
        if hooks.len() == 1 { "" } else { "s" },
        hooks.join(", ")
    )
}

/// The complaint, its line of the script, and a caret under the place.
fn told(complaint: &Complaint, text: &str) -> String {
    let Complaint { line, column, severity, .. } = complaint;
    let (word, style) = match severity {
        Severity::Error => ("error", BAD),
        Severity::Warning => ("warning", ODD),
    };
    let said =
        play::shown(&complaint.to_string()).replacen(&format!(" {word}: "), &format!(" {style}{word}{style:#}: "), 1);
    let source = text.lines().nth(line.wrapping_sub(1)).filter(|source| *line > 0 && !source.trim().is_empty());
    let Some(source) = source else { return format!("{said}\n") };
    let shown: String = source.trim_end().chars().map(|c| if c == '\t' { ' ' } else { c }).collect();
    let caret = if *column > 0 { format!("{}{style}^{style:#}", " ".repeat(column - 1)) } else { String::new() };
    format!("{said}\n    {}\n    {caret}\n", play::shown(&shown))
}
