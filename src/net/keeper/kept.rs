//! What scripts keep beyond the process: put back when the server starts, written behind their back while it runs.
//!
//! ```text
//! shared.keep, shared.set --marks--> script::Shared --Job::Kept, one at most--> [queue] --when due--> take_dirty --Store::run
//! ```
//! Takes the scripts' [`Shared`], gives the store's thread what is to be written and when. What cannot be written is given back
//! and tried again. Must not write before what was kept is back in its place, nor all the time, however much scripts change.

use super::{BATCH_BYTES, END_TIME, House, Job, Worker, weight};
use crate::keep::{NOBODY, Op, Trouble};
use crate::script::Shared;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Changes in one operation...
pub(super) const CHANGES: usize = 256;
/// ...and operations in one write: as many keys as may be kept.
pub(super) const WRITES: usize = 40;
/// Between two writes.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
/// After one that has failed.
const RETRY: Duration = Duration::from_secs(1);
/// Values that cannot be put back are told of one by one, but not more of them.
const COMPLAINTS: usize = 10;

/// What the thread knows of it.
pub(super) struct Kept {
    shared: Shared,
    /// Whether the scripts' call waits in the queue.
    called: Arc<AtomicBool>,
    /// Whether what was kept is back.
    restored: bool,
    /// When to look what is to be written.
    due: Option<Instant>,
}

impl Kept {
    /// Has scripts call through that queue, for as long as anybody else can.
    pub(super) fn of(shared: Shared, queue: Weak<Sender<Job>>) -> Self {
        let called = Arc::<AtomicBool>::default();
        let waits = Arc::clone(&called);
        shared.kept_by(Arc::new(move || {
            // What the flag speaks of is under the lock of `Shared`, which is held here.
            if !waits.swap(true, Ordering::Relaxed)
                && let Some(queue) = queue.upgrade()
            {
                let _ = queue.send(Job::Kept); // the thread may have ended
            }
        }));
        Self { shared, called, restored: false, due: None }
    }

    /// Scripts have called.
    pub(super) fn call(&mut self) {
        self.called.store(false, Ordering::Relaxed);
        self.due.get_or_insert_with(Instant::now);
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Takes what waits, up to what one write may hold.
    fn take(&self) -> Vec<Op> {
        let (mut ops, mut bytes) = (Vec::new(), 0);
        while ops.len() < WRITES && bytes < BATCH_BYTES {
            let changes = self.shared.take_dirty(CHANGES);
            if changes.is_empty() {
                break;
            }
            let op = Op::Write { account: NOBODY.to_owned(), changes, most: usize::MAX };
            bytes += weight(&op);
            ops.push(op);
        }
        ops
    }

    /// That could not be written.
    fn give_back(&self, ops: &[Op]) {
        for op in ops {
            if let Op::Write { changes, .. } = op {
                self.shared.give_back(changes);
            }
        }
    }
}

impl<H: House> Worker<H> {
    /// Puts back what was kept when the server starts. If the store fails, it is tried again.
    pub(super) fn restore_first(&mut self) {
        let failed = self.restore().is_err();
        if let Some(kept) = &mut self.kept
            && failed
        {
            kept.due = Some(Instant::now() + RETRY);
        }
    }

    /// Writes what scripts keep, if it is time.
    pub(super) fn write_if_due(&mut self) {
        let due = self.kept.as_ref().and_then(Kept::due);
        if due.is_none_or(|at| at > Instant::now()) {
            return;
        }
        let pause = match self.write_kept() {
            Ok(0) => None,
            Ok(_) => Some(PAUSE),
            Err(_) => Some(RETRY),
        };
        if let Some(kept) = &mut self.kept {
            kept.due = pause.map(|pause| Instant::now() + pause);
        }
    }

    /// Writes all that waits, without a pause: no more comes.
    pub(super) fn write_the_rest(&mut self) {
        let until = Instant::now() + END_TIME;
        while Instant::now() < until {
            match self.write_kept() {
                Ok(0) => return,
                Ok(_) => {}
                Err(why) => return tracing::error!("the last that scripts were to keep may be lost: {why}"),
            }
        }
    }

    /// Writes some of what waits; in how many operations.
    fn write_kept(&mut self) -> Result<usize, Trouble> {
        self.restore()?;
        let ops = self.kept.as_ref().map(Kept::take).unwrap_or_default();
        if ops.is_empty() {
            return Ok(0);
        }
        let done = self.run(&ops);
        self.tell(&ops, &done);
        // One batch: if one has failed, so have all.
        let failed = done.into_iter().find_map(Result::err);
        match (failed, &self.kept) {
            (Some(why), Some(kept)) => {
                kept.give_back(&ops);
                Err(why)
            }
            _ => Ok(ops.len()),
        }
    }

    /// Puts back what was kept, if that was not done yet.
    fn restore(&mut self) -> Result<(), Trouble> {
        if self.kept.as_ref().is_none_or(|kept| kept.restored) {
            return Ok(());
        }
        let list = [Op::List { account: NOBODY.to_owned(), spaces: vec![Shared::SPACE.into()] }];
        let mut done = self.run(&list);
        self.tell(&list, &done);
        let entries = done.pop().unwrap_or_else(|| Ok(Vec::new()))?;
        let Some(kept) = &mut self.kept else { return Ok(()) };
        kept.restored = true;
        let complaints = kept.shared.restore(&entries);
        for complaint in complaints.iter().take(COMPLAINTS) {
            tracing::warn!("{complaint}");
        }
        if complaints.len() > COMPLAINTS {
            tracing::warn!("{} more kept values cannot be put back", complaints.len() - COMPLAINTS);
        }
        Ok(())
    }
}
