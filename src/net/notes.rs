//! The consumer: one thread that takes what sessions tell and gives it to sinks (printer, recorder, ...).
//!
//! Takes batches by a bounded channel; a session that cannot hand over its batch waits, after its bytes were sent,
//! because a capture with holes cannot be replayed. Must not be on the way between two sockets.

use crate::session::{Note, Tally};
use crate::xmpp::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// Batches that may wait for the consumer.
const CHANNEL_BATCHES: usize = 1024;
/// Sinks are flushed at least this often while there is news.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// Whose note it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// The session's number in this process, from 1.
    pub number: u64,
    /// The client's network address, as text.
    pub peer: Arc<str>,
}

/// Somewhere notes go. Lives on the consumer's thread, may block it (and so, in the end, the sessions).
pub trait Sink: Send {
    /// Whether it needs [`Note::Seen`]; if no sink does, none is made.
    fn wants_stanzas(&self) -> bool {
        true
    }
    /// One note.
    fn take(&mut self, session: &SessionInfo, now: Timestamp, note: &Note);
    /// Called about once a second while there is news: nothing older should be lost by a crash.
    fn flush(&mut self) {}
    /// Called when no more news is waiting: what people watch should be seen by now.
    fn idle(&mut self) {}
    /// The end: nothing comes after it. `total` is what all sessions counted.
    fn finish(&mut self, total: &Tally);
}

/// What one call of a session told.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) session: SessionInfo,
    pub(super) now: Timestamp,
    pub(super) notes: Vec<Note>,
}

/// What all sessions together did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Connections accepted.
    pub sessions: u64,
    /// Their counts, joined.
    pub tally: Tally,
}

/// The consumer's thread. Ends when every sender is gone.
pub(super) struct Consumer {
    thread: tokio::task::JoinHandle<Tally>,
}

impl Consumer {
    /// Starts it. Must be called in a tokio runtime.
    pub(super) fn start(sinks: Vec<Box<dyn Sink>>) -> (mpsc::Sender<Batch>, Self) {
        let (sender, receiver) = mpsc::channel(CHANNEL_BATCHES);
        let runtime = tokio::runtime::Handle::current();
        let thread = tokio::task::spawn_blocking(move || runtime.block_on(consume(receiver, sinks)));
        (sender, Self { thread })
    }

    /// Waits until everything told has been taken and the sinks are finished; gives the total.
    pub(super) async fn finished(self) -> Tally {
        self.thread.await.unwrap_or_else(|error| {
            tracing::error!(%error, "the printer or recorder failed: the capture may be incomplete");
            Tally::default()
        })
    }
}

async fn consume(mut receiver: mpsc::Receiver<Batch>, mut sinks: Vec<Box<dyn Sink>>) -> Tally {
    let mut total = Tally::default();
    let mut batches = Vec::new();
    let mut flush_at: Option<Instant> = None; // none: nothing new since the last flush
    loop {
        let receive = receiver.recv_many(&mut batches, CHANNEL_BATCHES);
        let received = match flush_at {
            None => Some(receive.await),
            Some(at) => timeout_at(at, receive).await.ok(),
        };
        if received == Some(0) {
            break;
        }
        for batch in batches.drain(..) {
            take(&mut sinks, &mut total, &batch);
            flush_at = flush_at.or_else(|| Some(Instant::now() + FLUSH_EVERY));
        }
        if receiver.is_empty() {
            sinks.iter_mut().for_each(|sink| sink.idle());
        }
        if flush_at.is_some_and(|at| at <= Instant::now()) {
            sinks.iter_mut().for_each(|sink| sink.flush());
            flush_at = None;
        }
    }
    sinks.iter_mut().for_each(|sink| sink.finish(&total));
    total
}

fn take(sinks: &mut [Box<dyn Sink>], total: &mut Tally, batch: &Batch) {
    for note in &batch.notes {
        sinks.iter_mut().for_each(|sink| sink.take(&batch.session, batch.now, note));
        if let Note::Over(tally) = note {
            total.add(tally);
        }
    }
}
