//! `iqtap script`: what is wrong with scripts, and whether they do what their playbooks say.

mod check;
mod definitions;
mod junit;
mod report;
mod run;
mod test;

pub(super) use report::compared;

use super::Failure;
use clap::Subcommand;

/// Arguments of `iqtap script`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  iqtap script check scripts/         all that is wrong with them, without running them
  iqtap script test scripts/          whether they do what the playbooks beside them say
  iqtap script run a.rhai --on c.pcapng   what they would have done to recorded traffic
  iqtap script definitions scripts/   what they may use, for editors with the Rhai language server")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say what is wrong with scripts, all of it at once
    Check(check::Args),
    /// Play the playbooks beside scripts
    Test(test::Args),
    /// Let scripts see recorded traffic, and say what they would have done otherwise
    Run(run::Args),
    /// Write what scripts may use, with types and explanations, for editors
    Definitions(definitions::Args),
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match &args.command {
        Command::Check(args) => check::run(args),
        Command::Test(args) => test::run(args),
        Command::Run(args) => run::run(args),
        Command::Definitions(args) => definitions::run(args),
    }
}
