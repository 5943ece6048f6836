//! `iqtap demo`: a conversation through the proxy, with a built-in server and client.

use super::Failure;

/// Arguments of `iqtap demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  iqtap demo --once")]
pub struct Args {
    /// Stop after the conversation
    #[arg(long)]
    pub once: bool,
}

/// Runs it.
///
/// # Errors
/// If it cannot be shown.
pub fn run(_args: Args) -> Result<(), Failure> {
    Err(Failure::runtime("the demo is not built in yet"))
}
