//! The watch: stops runs of hooks that take too much time, which operations alone do not tell.
//!
//! A run only says that it is under way, by one store; whoever has a clock looks at all runs from time to time
//! ([`Watch::look`]) and marks those that have lasted too long, and these see their mark at one of their next operations.
//! Must not read a clock: without somebody who looks, nothing is stopped.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

/// Every so many operations a run looks whether it is to stop.
pub(super) const EVERY: u64 = 16;

/// What one thread is running.
#[derive(Debug, Default)]
struct Slot {
    /// Counts the beginnings and the ends of runs: odd while one is under way.
    run: AtomicU64,
    /// The run that is to stop.
    stop: AtomicU64,
    /// How long it may last, in milliseconds.
    millis: AtomicU64,
}

/// The slots of all threads that run scripts.
static SLOTS: LazyLock<Mutex<Vec<Weak<Slot>>>> = LazyLock::new(Mutex::default);

thread_local! {
    static SLOT: Arc<Slot> = {
        let slot = Arc::<Slot>::default();
        SLOTS.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::downgrade(&slot));
        slot
    };
    /// The run under way on this thread.
    static PRESENT: Cell<u64> = const { Cell::new(0) };
}

/// A run begins that may last so many milliseconds.
pub(super) fn begin(millis: u64) {
    SLOT.with(|slot| {
        slot.millis.store(millis, Ordering::Relaxed);
        let run = PRESENT.get().wrapping_add(1) | 1;
        PRESENT.set(run);
        slot.run.store(run, Ordering::Release);
    });
}

/// It has ended.
pub(super) fn end() {
    SLOT.with(|slot| {
        PRESENT.set(PRESENT.get().wrapping_add(1));
        slot.run.store(PRESENT.get(), Ordering::Release);
    });
}

/// Whether the run under way on this thread is to stop.
pub(super) fn is_over() -> bool {
    let run = PRESENT.get();
    run & 1 == 1 && SLOT.with(|slot| slot.stop.load(Ordering::Relaxed) == run)
}

/// Looks at all runs, from time to time.
#[derive(Debug, Default)]
pub struct Watch {
    /// What was under way when it looked last: the slot's address, the run, and for how many milliseconds it has been seen.
    seen: Vec<(usize, u64, u64)>,
}

impl Watch {
    /// So many milliseconds have passed since it looked last; gives how many runs it has stopped.
    pub fn look(&mut self, millis: u64) -> usize {
        let mut slots = SLOTS.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|slot| slot.strong_count() > 0);
        let under_way = slots.iter().filter_map(Weak::upgrade);
        let mut stopped = 0;
        let mut seen = Vec::with_capacity(self.seen.len());
        for slot in under_way {
            let run = slot.run.load(Ordering::Acquire);
            if run & 1 == 0 {
                continue;
            }
            let place = Arc::as_ptr(&slot) as usize;
            let before = self.seen.iter().find(|(known, was, _)| *known == place && *was == run);
            let lasts = before.map_or(0, |(.., lasts)| lasts + millis);
            if lasts >= slot.millis.load(Ordering::Relaxed) && slot.stop.swap(run, Ordering::Relaxed) != run {
                stopped += 1;
            }
            seen.push((place, run, lasts));
        }
        self.seen = seen;
        stopped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_too_long_is_stopped_and_what_comes_after_it_is_not() {
        let mut watch = Watch::default();
        assert!(!is_over(), "nothing is under way");
        begin(100);
        for _ in 0..3 {
            watch.look(40);
            assert!(!is_over());
        }
        watch.look(40);
        assert!(is_over());
        end();
        assert!(!is_over());
        begin(100);
        assert!(!is_over(), "the next run is another");
        watch.look(1000);
        assert!(!is_over(), "it has only just been seen");
        end();
    }
}
