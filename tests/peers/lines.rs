//! Lines that arrive in the background, and waiting for one of them.

use super::PATIENCE;
use std::io::{BufRead as _, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Shared by who collects and who waits.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<(Mutex<Collected>, Condvar)>);

#[derive(Default)]
struct Collected {
    lines: Vec<String>,
    ended: bool,
}

impl Lines {
    /// The lines of a stream, to its end.
    pub(crate) fn of(stream: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let into = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                into.push(String::from_utf8_lossy(&line).into_owned());
            }
            into.lock().ended = true;
            into.0.1.notify_all();
        });
        lines
    }

    pub(crate) fn push(&self, line: String) {
        self.lock().lines.push(line);
        self.0.1.notify_all();
    }

    /// The first thing `pick` finds, as soon as it is there; `None` at the end of the lines or of our patience.
    pub(crate) fn find<T>(&self, mut pick: impl FnMut(&str) -> Option<T>) -> Option<T> {
        let (until, mut next) = (Instant::now() + PATIENCE, 0);
        let mut collected = self.lock();
        loop {
            if let Some(found) = collected.lines[next..].iter().find_map(|line| pick(line)) {
                return Some(found);
            }
            next = collected.lines.len();
            let left = until.saturating_duration_since(Instant::now());
            if collected.ended || left.is_zero() {
                return None;
            }
            collected = self.0.1.wait_timeout(collected, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The line of this number (from 0), as soon as it is there.
    pub(crate) fn nth(&self, number: usize) -> Option<String> {
        let mut numbered = 0..;
        self.find(|line| (numbered.next() == Some(number)).then(|| line.to_owned()))
    }

    /// Waits for the end of the lines; whether it came.
    pub(crate) fn wait_end(&self) -> bool {
        self.find(|_| None::<()>);
        self.lock().ended
    }

    /// What is there by now.
    pub(crate) fn text(&self) -> String {
        self.lock().lines.join("\n")
    }

    fn lock(&self) -> MutexGuard<'_, Collected> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
