//! `iqtap replay`: a recorded session is played again.

use super::{Failure, replay_as};
use std::path::PathBuf;

/// Arguments of `iqtap replay`.
#[derive(Debug, clap::Args)]
#[command(after_help = replay_as::EXAMPLE)]
pub(super) struct Args {
    /// The capture: one of iqtap's, or of tcpdump or Wireshark with XMPP in the clear
    capture: PathBuf,
    /// Tell the result as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    agents: replay_as::AgentArgs,
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    replay_as::run(&args.capture, args.json, args.agents)
}
