//! Files are checked side by side, and told of one after the other.
//!
//! Takes what each file's report has to say, writes it to stdout in the order of the files. Who is ahead of its turn is kept in
//! memory up to [`AHEAD_BYTES`], and waits then: those before it never wait for it.

use anstream::{AutoStream, ColorChoice};
use std::io::{self, Write, stdout};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What one file's report may be ahead.
const AHEAD_BYTES: usize = 8 << 20;

/// Whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Queue {
    turn: Mutex<usize>,
    moved: Condvar,
}

impl Queue {
    /// A place in the queue, counted from 0 without a gap.
    pub(super) fn place(self: &Arc<Self>, index: usize) -> Queued {
        let place = Place { queue: Arc::clone(self), index, kept: Vec::new() };
        Queued { place: Arc::new(Mutex::new(place)) }
    }

    fn turn(&self) -> MutexGuard<'_, usize> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where one report goes.
pub(super) struct Queued {
    place: Arc<Mutex<Place>>,
}

struct Place {
    queue: Arc<Queue>,
    index: usize,
    kept: Vec<u8>,
}

impl Place {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut turn = self.queue.turn();
        if *turn != self.index && self.kept.len() > AHEAD_BYTES {
            turn =
                self.queue.moved.wait_while(turn, |turn| *turn != self.index).unwrap_or_else(PoisonError::into_inner);
        }
        let mine = *turn == self.index;
        drop(turn);
        self.kept.extend_from_slice(bytes);
        if mine { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        let kept = std::mem::take(&mut self.kept);
        stdout().write_all(&kept)
    }
}

impl Queued {
    /// The same place, for a printer.
    pub(super) fn share(&self) -> Shared {
        Shared { place: Arc::clone(&self.place), prefix: String::new() }
    }

    /// Waits for its turn, writes what is left and lets the next one go.
    pub(super) fn finish(self) {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = Arc::clone(&place.queue);
        let index = place.index;
        let turn = queue.turn();
        drop(queue.moved.wait_while(turn, |turn| *turn != index).unwrap_or_else(PoisonError::into_inner));
        let _ = place.flush(); // a reader that has gone is no error
        let _ = stdout().flush();
        *queue.turn() += 1;
        queue.moved.notify_all();
    }
}

impl Write for Queued {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.share().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A writer of whole lines into a place.
pub(super) struct Shared {
    place: Arc<Mutex<Place>>,
    /// What each JSON object begins with.
    prefix: String,
}

impl Shared {
    /// Puts a `file` into each object.
    pub(super) fn with_file(self, file: &str) -> Self {
        let file = serde_json::Value::from(file);
        Self { prefix: format!("{{\"file\":{file},"), ..self }
    }
}

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        if self.prefix.is_empty() {
            place.write(bytes)?;
            return Ok(bytes.len());
        }
        for line in bytes.split_inclusive(|b| *b == b'\n') {
            let object = line.strip_prefix(b"{");
            place.write(object.map_or(&b""[..], |_| self.prefix.as_bytes()))?;
            place.write(object.unwrap_or(line))?;
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether colours are seen where the reports go.
pub(super) fn is_coloured() -> bool {
    AutoStream::choice(&stdout()) != ColorChoice::Never
}
