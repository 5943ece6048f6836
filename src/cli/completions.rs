//! `iqtap completions`: for the shell.

use super::{Cli, Failure, print};
use clap::CommandFactory;
use clap_complete::Shell;

/// Arguments of `iqtap completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  iqtap completions bash > ~/.local/share/bash-completion/completions/iqtap")]
pub(super) struct Args {
    /// Which shell
    shell: Shell,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "iqtap", &mut script);
    print::out(&String::from_utf8_lossy(&script));
    Ok(())
}
