//! iqtap under load, beside a bare relay, HAProxy and nothing at all: `cargo bench --bench load`, under 5 minutes; `-- --help` for less.
//!
//! ```text
//! clients (this process, one thread) <--> relay | HAProxy | iqtap (a process, one worker thread) <--> server (this process, one thread)
//! ```
//! Prints Markdown: ratios to the direct connection, then the targets and whether they are met. Every answer must have the right
//! id, every byte of a flood must come as it was sent: otherwise it says so and fails.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the tables are what a bench is for")]

#[path = "load/client.rs"]
mod client;
#[path = "load/flood.rs"]
mod flood;
#[path = "load/machine.rs"]
mod machine;
#[path = "load/measure.rs"]
mod measure;
#[path = "load/options.rs"]
mod options;
#[path = "load/plan.rs"]
mod plan;
#[path = "load/proxies.rs"]
mod proxies;
#[path = "load/relay.rs"]
mod relay;
#[path = "load/server.rs"]
mod server;
#[path = "load/speech.rs"]
mod speech;
#[path = "load/stage.rs"]
mod stage;
#[path = "load/table.rs"]
mod table;
#[path = "load/targets.rs"]
mod targets;
#[path = "load/usage.rs"]
mod usage;
#[path = "load/wire.rs"]
mod wire;

use measure::Measure;
use options::{HELP, Options};
use stage::Stage;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;
use wire::Files;

/// Whatever can go wrong; the words are for people.
type Failure = Box<dyn std::error::Error + Send + Sync>;
type Outcome<T> = Result<T, Failure>;

/// The word by which this program is told to be the bare relay.
const RELAY: &str = "--be-the-bare-relay";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.first().map(String::as_str) {
        Some(RELAY) => relay::serve(&arguments[1..]),
        Some("--help") => {
            println!("{HELP}");
            Ok(())
        }
        _ if Options::is_left_out(&arguments) => Ok(()),
        _ => Options::read(&arguments).and_then(|options| load(&options)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("load: {why}");
            ExitCode::FAILURE
        }
    }
}

fn load(options: &Options) -> Outcome<()> {
    let began = Instant::now();
    let folder = tempfile::tempdir()?;
    let files = Files::within(folder.path());
    files.make()?;
    let (keys, stage) = (files.keys()?, Arc::new(Stage::default()));
    let server = server::start(keys.clone(), Arc::clone(&stage))?;
    let measure = Measure { keys, stage: Arc::clone(&stage), connections: options.connections, time: options.time };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let busy = machine::load_average();
    let results = runtime.block_on(plan::run(&measure, options, server, &files))?;
    if !options.smoke {
        println!("{}\n", machine::describe(options, busy, began.elapsed()));
        table::print_summary(&results);
        table::print(&results, options);
        targets::print(&results);
    }
    match stage.faults().as_slice() {
        [] => {
            println!("\nEverything was answered and arrived as it was sent.");
            Ok(())
        }
        faults => {
            let some = faults.get(..5).unwrap_or(faults).join("\n");
            Err(format!("{} things were not as they must be, such as\n{some}", faults.len()).into())
        }
    }
}
