//! What both ends of a measurement share: how much has arrived, whether it is over, what went wrong.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

#[derive(Default)]
pub(crate) struct Stage {
    counted: AtomicU64,
    stop: AtomicBool,
    faults: Mutex<Vec<String>>,
}

impl Stage {
    /// So much more has arrived, and was right.
    pub(crate) fn count(&self, more: u64) {
        self.counted.fetch_add(more, Ordering::Relaxed);
    }

    /// How much has arrived since the beginning.
    pub(crate) fn counted(&self) -> u64 {
        self.counted.load(Ordering::Relaxed)
    }

    /// Whether nothing new is to be begun.
    pub(crate) fn stops(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Says so, or takes it back for the next measurement.
    pub(crate) fn stop(&self, stop: bool) {
        self.stop.store(stop, Ordering::Relaxed);
    }

    /// Something that must not be: the run has failed.
    pub(crate) fn fault(&self, what: impl Display) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).push(what.to_string());
    }

    /// What went wrong so far.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
