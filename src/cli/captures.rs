//! What the commands that read captures have in common: opening them, saying how far they are, and what is wrong with them.

use super::{Failure, print};
use crate::capture::read::{Event, Options, Reader};
use crate::xmpp::Side;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fs::File;
use std::io::{IsTerminal, Read, stderr, stdin};
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::thread;

/// Files below this size are read before a bar is seen.
const BAR_BYTES: u64 = 64 << 20;

/// An open capture.
pub(super) type Capture = Reader<Box<dyn Read + Send>>;

/// How to read a capture.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ReadArgs {
    /// XMPP is spoken on this port too, even where the beginning of a conversation was not recorded (5222 is known). Several
    /// may be given
    #[arg(long, value_name = "PORT", value_delimiter = ',')]
    port: Vec<u16>,
}

impl ReadArgs {
    pub(super) fn options(&self, sender: Side) -> Options {
        Options { ports: self.port.clone(), sender }
    }
}

/// What is said of a capture in which nothing was found.
pub(super) const NOTHING: &str =
    "no XMPP in the clear was found in it (--port names ports where the beginning was not recorded)";

/// Opens a capture; `-` is stdin.
pub(super) fn open(path: &Path, options: &Options) -> Result<Capture, Failure> {
    read(source(path)?, path, options)
}

/// The same, from bytes that are there already.
pub(super) fn read<R: Read>(source: R, path: &Path, options: &Options) -> Result<Reader<R>, Failure> {
    Reader::new(source, options).map_err(|why| Failure::runtime(format!("{}: {why}", shown(path))))
}

/// A capture's bytes.
pub(super) fn source(path: &Path) -> Result<Box<dyn Read + Send>, Failure> {
    let failed = |why: &dyn std::fmt::Display| Failure::runtime(format!("{}: {why}", shown(path)));
    if path == Path::new("-") {
        return Ok(Box::new(stdin()));
    }
    let file = File::open(path).map_err(|why| failed(&why))?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err(failed(&"is a directory; name a capture in it"));
    }
    Ok(Box::new(file))
}

/// Events that go from the thread that reads to the one that looks at them at once: so many, with so many bytes.
const BATCH: (usize, usize) = (256, 1 << 20);
/// Batches on the way.
const BATCHES: usize = 4;

/// Reads a capture in a thread of its own; `take` is given each event, and how far the file is. How many packets there were.
pub(super) fn read_ahead(mut capture: Capture, take: &mut dyn FnMut(Event, u64)) -> u64 {
    let (send, receive) = sync_channel(BATCHES);
    thread::scope(|scope| {
        let reading = scope.spawn(move || {
            loop {
                let (mut batch, mut bytes) = (Vec::with_capacity(BATCH.0), 0);
                while batch.len() < BATCH.0 && bytes < BATCH.1 {
                    let Some(event) = capture.next() else { break };
                    if let Event::Item(item) = &event {
                        bytes += item.bytes.len();
                    }
                    batch.push(event);
                }
                if batch.is_empty() || send.send((batch, capture.position())).is_err() {
                    return capture.packets();
                }
            }
        });
        for (batch, position) in receive {
            batch.into_iter().for_each(|event| take(event, position));
        }
        reading.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A capture's name, for people.
pub(super) fn shown(path: &Path) -> String {
    if path == Path::new("-") { "stdin".to_owned() } else { path.display().to_string() }
}

/// A bar over all files, if they are large and somebody sees it.
pub(super) fn bar(paths: &[impl AsRef<Path>]) -> ProgressBar {
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let total: u64 = paths.iter().map(|path| size(path.as_ref())).sum();
    if total < BAR_BYTES || !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}") {
        bar.set_style(style);
    }
    bar
}

/// Says on stderr what is wrong with a capture.
pub(super) fn complain(path: &Path, what: &dyn std::fmt::Display) {
    print::aside(&format!("iqtap: {}: {what}\n", shown(path)));
}
