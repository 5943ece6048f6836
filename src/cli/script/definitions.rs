//! `iqtap script definitions`: what scripts may use, for editors.

use super::super::{Failure, print};
use crate::script;
use std::path::PathBuf;

/// The file that editors look for beside scripts.
const FILE: &str = "iqtap.d.rhai";

/// Arguments of `iqtap script definitions`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Write `iqtap.d.rhai` into this directory [default: print it]
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let Some(directory) = &args.directory else {
        print::out(&script::definitions());
        return Ok(());
    };
    let path = directory.join(FILE);
    std::fs::write(&path, script::definitions())
        .map_err(|why| Failure::usage(format!("{} cannot be written: {why}", path.display())))
}
