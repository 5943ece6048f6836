//! `iqtap script check`.
use super::Failure;
/// Arguments
#[derive(Debug, clap::Args)]
pub(super) struct Args {}
pub(super) fn run(_args: &Args) -> Result<(), Failure> {
    Ok(())
}
