//! The command line: one file per command. Takes arguments, gives text and an exit code.
//!
//! Exit codes: 0 fine, 1 findings (of the checking commands), 2 usage or configuration, 3 trouble while running. An error is one line on
//! stderr: what, where, what to do.

mod ca;
mod captures;
mod check;
mod check_config;
mod completions;
pub mod demo;
mod diff;
mod ledger;
mod one_liners;
mod print;
mod record;
mod recorded;
mod redact;
mod replay;
mod replay_as;
mod rules;
mod run;
mod script;
mod show;
mod sinks;
mod store;

use clap::{Parser, Subcommand};
use std::fmt::Display;
use std::process::ExitCode;

/// A man-in-the-middle for XMPP: proxy, inspect, hold IQ traffic to its rules, script and record it.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110, after_help = HELP, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const HELP: &str = "Example:
  iqtap demo                                      a conversation through the proxy, explained
  iqtap run --upstream xmpp.example.org:5222      stand between your client and that server

Exit codes: 0 fine (`run`: also after a clean stop), 1 findings (`check`, `diff`, `replay`, `script check`, `script test`, `script run`),
2 usage or configuration, 3 trouble while running.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Stand between clients and a server
    Run(Box<run::Args>),
    /// Show a conversation through the proxy, with a built-in server and client
    Demo(demo::Args),
    /// Show what is in a capture
    Show(show::Args),
    /// Check captures: every IQ rule, and who answered what
    Check(check::Args),
    /// Show who asked whom for what in a capture, and what came back
    Ledger(ledger::Args),
    /// Say what two captures of one thing differ in
    Diff(diff::Args),
    /// Copy a capture without secrets, and without names and texts if you like
    Redact(redact::Args),
    /// Show iqtap's certificate authority, and how clients learn to trust it
    Ca(ca::Args),
    /// Explain the IQ rules
    Rules(rules::Args),
    /// Say what a configuration file means, or what is wrong with it
    CheckConfig(check_config::Args),
    /// Check scripts, and play the playbooks beside them
    Script(script::Args),
    /// Show, export or delete what is kept
    Store(store::Args),
    /// Let recorded sessions happen again, under today's policy, and say what comes out otherwise
    Replay(Box<replay::Args>),
    /// Write completions for a shell
    Completions(completions::Args),
}

/// Why a command failed: for people, and for programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// What, where, what to do; one line.
    pub message: String,
}

impl Failure {
    /// Of usage or configuration: the user can change it.
    pub fn usage(message: impl Display) -> Self {
        Self { code: 2, message: message.to_string() }
    }
    /// While running.
    pub fn runtime(message: impl Display) -> Self {
        Self { code: 3, message: message.to_string() }
    }
}

/// Runs the command of this process.
#[must_use]
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) => run::run(*args),
        Command::Demo(args) => demo::run(args),
        Command::Show(args) => show::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Ledger(args) => ledger::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Redact(args) => redact::run(&args),
        Command::Ca(args) => ca::run(&args),
        Command::Rules(args) => rules::run(&args),
        Command::CheckConfig(args) => check_config::run(&args),
        Command::Script(args) => script::run(&args),
        Command::Store(args) => store::run(&args),
        Command::Replay(args) => replay::run(*args),
        Command::Completions(args) => completions::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            print::error(&failure.message);
            ExitCode::from(failure.code)
        }
    }
}
