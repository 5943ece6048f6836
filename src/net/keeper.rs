//! The thread that works for the store: what sessions ask of it, one after the other, and the answers.
//!
//! ```text
//! pump --Act::Store--> [queue] --> batch --Store::run--> Word::Stored to who asked, Word::Changed to all who have joined
//! ```
//! What scripts keep is written here too (`kept`), and nobody is answered for that.
//! Takes operations from pumps, which never wait for it, and gives the answers through the lobby. What waits is done in one
//! batch, so that however many ask, it costs one `fsync`; a session has at most 64 operations under way, the core sees to that.
//! Must not lose what it has accepted, nor fall silent: where there is no store, the answer is that it has failed.

mod kept;

use super::listen::Shared;
use super::lobby::Lobby;
use super::reload::News;
use crate::keep::{Change, Done, Op, Store, Trouble};
use crate::script::Shared as Scripts;
use crate::store::{FileStore, MemoryStore, OpenError};
use kept::Kept;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Operations in one batch...
const BATCH_OPS: usize = 256;
/// ...and what they weigh, but for the last.
const BATCH_BYTES: usize = 4 << 20;
/// For what was accepted to be written when the process ends.
const END_TIME: Duration = Duration::from_secs(2);
/// That there is no room is told no more often than this.
const FULL_EVERY: Duration = Duration::from_secs(60);

/// Which store a server has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StoreSetup {
    /// One in memory: what is kept ends with the server.
    #[default]
    Memory,
    /// One in this file, which is made if it is missing.
    File(PathBuf),
}

impl StoreSetup {
    /// Opens it; all accounts together may keep so many bytes there, 0: as many as come.
    ///
    /// # Errors
    /// If the file cannot be opened or made, or is no store.
    pub(super) fn open(&self, most_bytes: usize) -> Result<Box<dyn Store>, OpenError> {
        Ok(match self {
            Self::Memory => Box::new(MemoryStore::new().holding(most_bytes)),
            Self::File(path) => Box::new(FileStore::open(path)?.holding(most_bytes)),
        })
    }

    /// Whether what is kept there outlives the server.
    pub(super) fn lasts(&self) -> bool {
        matches!(self, Self::File(_))
    }
}

/// The way to the thread.
pub(super) struct Keeper {
    queue: Arc<Sender<Job>>,
}

/// What the thread is to do.
enum Job {
    Op {
        session: u64,
        number: u64,
        op: Op,
    },
    /// Scripts have something to keep.
    Kept,
    End(oneshot::Sender<()>),
}

/// What waits at the thread's other end until the server's shared part is there.
pub(super) struct Queue {
    jobs: Receiver<Job>,
    /// For scripts, who alone do not keep the thread from ending.
    queue: Weak<Sender<Job>>,
}

impl Keeper {
    pub(super) fn new() -> (Self, Queue) {
        let (queue, jobs) = channel();
        let queue = Arc::new(queue);
        let calls = Arc::downgrade(&queue);
        (Self { queue }, Queue { jobs, queue: calls })
    }

    /// Has an operation done; the answer comes through the lobby.
    pub(super) fn ask(&self, lobby: &Lobby, session: u64, number: u64, op: Op) {
        if self.queue.send(Job::Op { session, number, op }).is_err() {
            lobby.stored(session, number, Err(Trouble::Failed("its thread is gone".to_owned())));
        }
    }

    /// Waits until all is done that was asked for, but not for long; whether it was.
    pub(super) async fn finish(&self) -> bool {
        let (done, finished) = oneshot::channel();
        self.queue.send(Job::End(done)).is_ok() && matches!(timeout(END_TIME, finished).await, Ok(Ok(())))
    }
}

/// Whom the thread answers to.
pub(super) trait House: Send + 'static {
    /// Does something where sessions meet, if anybody is still there.
    fn with_lobby(&self, deed: &mut dyn FnMut(&Lobby));
}

impl House for Weak<Shared> {
    fn with_lobby(&self, deed: &mut dyn FnMut(&Lobby)) {
        if let Some(shared) = self.upgrade() {
            deed(&shared.lobby);
        }
    }
}

/// Starts the thread. It ends when it is told to, or when nobody can ask any more. `scripts` is what they keep beyond the
/// process: what was kept is back there when this returns, unless the store fails.
///
/// # Errors
/// If the system has none.
pub(super) fn start(
    queue: Queue,
    store: Box<dyn Store>,
    house: impl House,
    news: mpsc::Sender<News>,
    scripts: Option<Scripts>,
) -> io::Result<()> {
    let kept = scripts.map(|scripts| Kept::of(scripts, queue.queue));
    let mut worker = Worker { store, house, news, kept, failing: None, full: None };
    worker.restore_first();
    thread::Builder::new().name("iqtap-store".to_owned()).spawn(move || worker.work(queue.jobs)).map(drop)
}

/// Where it fails.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Failing {
    Reading,
    Writing,
}

struct Worker<H> {
    store: Box<dyn Store>,
    house: H,
    news: mpsc::Sender<News>,
    kept: Option<Kept>,
    failing: Option<Failing>,
    /// When it was told last that there is no room.
    full: Option<Instant>,
}

impl<H: House> Worker<H> {
    fn work(&mut self, jobs: Receiver<Job>) {
        let mut end = None;
        while end.is_none()
            && let Some(Gathered { ops, askers, called, end: last }) = self.next(&jobs)
        {
            if !ops.is_empty() {
                let done = self.run(&ops);
                self.tell(&ops, &done);
                self.answer(askers, ops, done);
            }
            if let Some(kept) = &mut self.kept
                && called
            {
                kept.call();
            }
            self.write_if_due();
            end = last;
        }
        self.write_the_rest();
        drop(jobs); // who asks from now on is told so
        self.store = Box::new(MemoryStore::new()); // the file is closed, and can be opened by another process
        let _ = end.map(|end| end.send(())); // nobody may wait any more
    }

    /// Waits for something to do, or until what scripts keep is to be written; none if nobody can ask any more.
    fn next(&self, jobs: &Receiver<Job>) -> Option<Gathered> {
        let first = match self.kept.as_ref().and_then(Kept::due) {
            None => jobs.recv().ok()?,
            Some(due) => match jobs.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(job) => job,
                Err(RecvTimeoutError::Timeout) => return Some(Gathered::default()),
                Err(RecvTimeoutError::Disconnected) => return None,
            },
        };
        Some(gather(first, jobs))
    }

    /// Does a batch. A bug in the store is a failure of it, not the end of this thread.
    fn run(&mut self, ops: &[Op]) -> Vec<Done> {
        let store = &mut self.store;
        let run = panic::catch_unwind(AssertUnwindSafe(|| store.run(ops)));
        let mut done = run.unwrap_or_default();
        done.resize_with(ops.len(), || Err(Trouble::Failed("it hit a bug; please report it".to_owned())));
        done
    }

    fn answer(&self, askers: Vec<(u64, u64)>, ops: Vec<Op>, done: Vec<Done>) {
        let mut answers: Vec<_> = askers.into_iter().zip(ops).zip(done).collect();
        self.house.with_lobby(&mut |lobby| {
            for (((session, number), op), done) in answers.drain(..) {
                let written = done.is_ok();
                lobby.stored(session, number, done);
                if let Op::Write { account, changes, .. } = op
                    && written
                    && !changes.is_empty()
                {
                    lobby.changed(&account, &Arc::<[Change]>::from(changes));
                }
            }
        });
    }

    /// Tells people when the store begins to fail, and when it works again.
    fn tell(&mut self, ops: &[Op], done: &[Done]) {
        for (op, done) in ops.iter().zip(done) {
            let writes = matches!(op, Op::Write { .. });
            match (done, self.failing) {
                (Err(Trouble::Failed(why)), None) => {
                    self.failing = Some(if writes { Failing::Writing } else { Failing::Reading });
                    self.news(News::StoreFailed { why: why.clone() });
                }
                // Now it is worse.
                (Err(Trouble::Failed(_)), Some(Failing::Reading)) if writes => self.failing = Some(Failing::Writing),
                (Err(Trouble::Full(0)), _) if self.full.is_none_or(|told| told.elapsed() >= FULL_EVERY) => {
                    self.full = Some(Instant::now());
                    tracing::warn!(
                        "the store holds as much of accounts as it may (store_bytes): what is more is refused"
                    );
                }
                (Ok(_), Some(failing)) if proves(op, failing) => {
                    self.failing = None;
                    self.news(News::StoreWorks);
                }
                _ => {}
            }
        }
    }

    fn news(&self, news: News) {
        // Nobody takes them any more when the server is stopping.
        match self.news.try_send(news).map_err(TrySendError::into_inner) {
            Err(News::StoreFailed { why }) => tracing::error!("the store fails: {why}"),
            Err(untold) => tracing::warn!(?untold, "not told"),
            Ok(()) => {}
        }
    }
}

/// Whether a store that was failing is shown to work by this having been done.
fn proves(op: &Op, failing: Failing) -> bool {
    failing == Failing::Reading || matches!(op, Op::Write { changes, .. } if !changes.is_empty())
}

/// What is done together.
#[derive(Default)]
struct Gathered {
    ops: Vec<Op>,
    /// Who asks for each of them, and under which number.
    askers: Vec<(u64, u64)>,
    /// Whether scripts have called.
    called: bool,
    /// Nothing comes after it.
    end: Option<oneshot::Sender<()>>,
}

/// Takes what waits, up to what a batch may hold.
fn gather(first: Job, jobs: &Receiver<Job>) -> Gathered {
    let (mut gathered, mut bytes) = (Gathered::default(), 0);
    let mut next = Some(first);
    while let Some(job) = next {
        match job {
            Job::Op { session, number, op } => {
                bytes += weight(&op);
                gathered.askers.push((session, number));
                gathered.ops.push(op);
            }
            Job::Kept => gathered.called = true,
            Job::End(end) => {
                gathered.end = Some(end);
                break;
            }
        }
        next = if gathered.ops.len() < BATCH_OPS && bytes < BATCH_BYTES { jobs.try_recv().ok() } else { None };
    }
    gathered
}

/// The bytes that an operation brings.
fn weight(op: &Op) -> usize {
    match op {
        Op::Write { changes, .. } => changes.iter().map(|change| match change {
            Change::Put(space, name, value) => space.len() + name.len() + value.len(),
            Change::Delete(space, name) => space.len() + name.len(),
            Change::Clear(space) => space.len(),
        }),
        Op::Get { .. } | Op::List { .. } => return 0,
    }
    .sum()
}

#[cfg(test)]
mod tests;
