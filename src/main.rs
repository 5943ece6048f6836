//! The iqtap command.

use std::process::ExitCode;

fn main() -> ExitCode {
    iqtap::cli::main()
}
