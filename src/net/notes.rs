//! The consumers: threads that take what sessions tell and give it to sinks (printer, recorder, ...).
//!
//! ```text
//! session --tell--> lane of the sinks that need all (recorder): bounded, a session waits for room
//!              +--> lane of the sinks that may miss some (printer): a session waits a moment, then goes on without
//! ```
//! A session that cannot hand over its notes waits, after its bytes were sent, because a capture with holes cannot be
//! replayed. What waits in a lane is bounded by its weight in bytes. Must not be on the way between two sockets.

use super::reload::News;
use crate::session::{Note, Seen, Tally};
use crate::xmpp::Timestamp;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

/// Note bytes that may wait in a lane, all sessions together.
const LANE_BYTES: u32 = 8 << 20;
/// Batches that may wait in a lane, however light they are.
const LANE_BATCHES: usize = 256;
/// Batches taken out at a time.
const TAKE_BATCHES: usize = 16;
/// What a note weighs besides its texts: itself, its allocations, its place in lists.
const NOTE_BYTES: usize = 600;
/// For a sink that may miss notes to make room; after that, nobody waits for it until it takes something.
const MISS_AFTER: Duration = Duration::from_secs(1);
/// When all is taken, a consumer rests so long: who tells something meanwhile need not wake it, which costs more than the telling.
const REST: Duration = Duration::from_millis(1);
/// Sinks are flushed at least this often while there is news.
const FLUSH_EVERY: Duration = Duration::from_secs(1);

/// Whose note it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// The session's number in this process, from 1.
    pub number: u64,
    /// The client's network address, as text.
    pub peer: Arc<str>,
    /// The number of the policy that it had when it told this.
    pub policy: u64,
    /// See [`crate::policy::Policy::source`].
    pub source: Arc<str>,
}

/// Somewhere notes go. Lives on a consumer's thread, may block it (and so, in the end, the sessions).
pub trait Sink: Send {
    /// Whether it needs [`Note::Seen`]; if no sink does, none is made.
    fn wants_stanzas(&self) -> bool {
        true
    }
    /// Whether it rather misses notes than holds up sessions when it is stuck for more than a moment.
    fn may_miss(&self) -> bool {
        false
    }
    /// One note.
    fn take(&mut self, session: &SessionInfo, now: Timestamp, note: &Note);
    /// So many events were not handed over, because it did not make room in time: called before those that came later. Whether it
    /// has told of it.
    fn missed(&mut self, _events: u64) -> bool {
        false
    }
    /// Something to be known of the process.
    fn news(&mut self, _now: Timestamp, _news: &News) {}
    /// Called about once a second while there is news: nothing older should be lost by a crash.
    fn flush(&mut self) {}
    /// Called when no more news is waiting: what people watch should be seen by now.
    fn idle(&mut self) {}
    /// The end: nothing comes after it. `total` is what all sessions counted.
    fn finish(&mut self, total: &Tally);
}

type Sinks = Vec<Box<dyn Sink>>;

/// What all sessions together did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Connections accepted.
    pub sessions: u64,
    /// Connections not let in.
    pub refused: u64,
    /// Their counts, joined.
    pub tally: Tally,
}

/// What one call of a session told.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) session: SessionInfo,
    pub(super) now: Timestamp,
    pub(super) notes: Vec<Note>,
    /// What the notes weigh: see [`weight`].
    pub(super) weight: usize,
}

/// About how many bytes a note keeps from being used for anything else.
pub(super) fn weight(note: &Note) -> usize {
    let texts = match note {
        Note::Seen(seen) => seen_texts(seen),
        Note::Joined { domain, stripped } => domain.len() + stripped.iter().map(String::len).sum::<usize>(),
        Note::Mechanism(text) | Note::Bound(text) | Note::ScriptError(text) | Note::Hint(text) => text.len(),
        Note::Log(line) => line.text.len(),
        Note::StreamError { text, .. } => text.len(),
        Note::Finding { id, .. } => id.as_ref().map_or(0, String::len),
        Note::Resumed { jid, .. } => jid.len(),
        Note::Over(tally) => tally.weight(),
        Note::Tls(..) => 0,
        Note::Happened(_) => NOTE_BYTES,
    };
    NOTE_BYTES + texts
}

fn seen_texts(seen: &Seen) -> usize {
    let head = seen.stanza.as_ref().map_or(0, |stanza| {
        let texts = [&stanza.kind, &stanza.id, &stanza.from, &stanza.to, &stanza.condition];
        let payload = stanza.payload.as_ref().map_or(0, |(ns, name)| ns.len() + name.len());
        payload + texts.iter().filter_map(|text| text.as_ref()).map(String::len).sum::<usize>()
    });
    let tags = seen.tags.iter().map(String::len).sum::<usize>();
    seen.bytes.len() + head + tags + seen.findings.len() * NOTE_BYTES / 2
}

/// What goes through the lanes.
#[derive(Clone)]
enum Load {
    Notes(Arc<Told>),
    News(Timestamp, Arc<News>),
}

impl Load {
    /// How many events it holds.
    fn count(&self) -> u64 {
        match self {
            Self::Notes(told) => told.notes.len() as u64,
            Self::News(..) => 1,
        }
    }

    /// The room it needs. What is heavier than the whole lane goes alone.
    fn permits(&self) -> u32 {
        let weight = match self {
            Self::Notes(told) => told.weight,
            Self::News(..) => NOTE_BYTES,
        };
        u32::try_from(weight).unwrap_or(LANE_BYTES).clamp(1, LANE_BYTES)
    }
}

/// In a lane; while it is there it takes up room.
struct Batch {
    load: Load,
    /// Events that were missed since the batch before.
    missed: u64,
    _room: OwnedSemaphorePermit,
}

/// What a lane's two ends both know.
#[derive(Debug, Default)]
struct Gauge {
    /// Nothing was taken for longer than a session waits.
    stuck: AtomicBool,
    /// Notes not handed over since something was.
    missed: AtomicU64,
}

impl Gauge {
    fn take_missed(&self) -> u64 {
        self.missed.swap(0, Ordering::Relaxed)
    }
}

/// The way to the sinks of one kind.
struct Lane {
    sender: mpsc::Sender<Batch>,
    room: Arc<Semaphore>,
    gauge: Arc<Gauge>,
    may_miss: bool,
}

impl Lane {
    /// Hands it over, or counts it as missed: also when this future is dropped before it is done.
    async fn send(&self, load: Load) {
        let mut missing = Missing(&self.gauge.missed, load.count());
        let done = if self.gauge.stuck.load(Ordering::Acquire) {
            self.try_put(load)
        } else if self.may_miss {
            let put = timeout(MISS_AFTER, self.put(load)).await;
            self.gauge.stuck.fetch_or(put.is_err(), Ordering::AcqRel);
            put.unwrap_or(false)
        } else {
            self.put(load).await
        };
        if done {
            missing.1 = 0;
        }
    }

    async fn put(&self, load: Load) -> bool {
        let Ok(room) = Arc::clone(&self.room).acquire_many_owned(load.permits()).await else { return false };
        let Ok(place) = self.sender.reserve().await else { return false };
        place.send(Batch { load, missed: self.gauge.take_missed(), _room: room });
        true
    }

    fn try_put(&self, load: Load) -> bool {
        let Ok(room) = Arc::clone(&self.room).try_acquire_many_owned(load.permits()) else { return false };
        let Ok(place) = self.sender.try_reserve() else { return false };
        place.send(Batch { load, missed: self.gauge.take_missed(), _room: room });
        true
    }

    fn try_send(&self, load: Load) {
        let events = load.count();
        if !self.try_put(load) {
            self.gauge.missed.fetch_add(events, Ordering::Relaxed);
        }
    }
}

/// Counts notes as missed unless they are set to none.
struct Missing<'a>(&'a AtomicU64, u64);

impl Drop for Missing<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(self.1, Ordering::Relaxed);
    }
}

/// What sessions tell their notes to.
#[derive(Clone)]
pub(super) struct Teller {
    lanes: Arc<[Lane]>,
    total: Arc<Mutex<Tally>>,
}

impl Teller {
    /// Adds what the session counted, if it is over. Once for each `told`.
    pub(super) fn count(&self, told: &Told) {
        for note in &told.notes {
            if let Note::Over(tally) = note {
                self.total.lock().unwrap_or_else(PoisonError::into_inner).add(tally);
            }
        }
    }

    /// Hands notes to every sink. Waits for room; what is dropped meanwhile is counted as missed.
    pub(super) async fn tell(&self, told: &Arc<Told>) {
        self.send(Load::Notes(Arc::clone(told))).await;
    }

    /// The same with news of the process.
    pub(super) async fn tell_news(&self, now: Timestamp, news: News) {
        self.send(Load::News(now, Arc::new(news))).await;
    }

    async fn send(&self, load: Load) {
        for lane in self.lanes.iter() {
            lane.send(load.clone()).await;
        }
    }

    /// The same without waiting.
    pub(super) fn tell_now(&self, told: &Arc<Told>) {
        self.lanes.iter().for_each(|lane| lane.try_send(Load::Notes(Arc::clone(told))));
    }
}

/// The consumers' threads. They end when every [`Teller`] is gone.
pub(super) struct Consumer {
    threads: Vec<(oneshot::Receiver<()>, Arc<Gauge>)>,
    total: Arc<Mutex<Tally>>,
}

impl Consumer {
    /// Starts them. Must be called in a tokio runtime.
    pub(super) fn start(sinks: Sinks) -> (Teller, Self) {
        let total = Arc::<Mutex<Tally>>::default();
        let (lossy, whole): (Sinks, Sinks) = sinks.into_iter().partition(|sink| sink.may_miss());
        let mut lanes = Vec::new();
        let mut threads = Vec::new();
        // Who may miss some has a lane of its own: it misses no more because another one is stuck.
        let lossy = lossy.into_iter().map(|sink| (vec![sink], true));
        for (sinks, may_miss) in lossy.chain([(whole, false)]) {
            if sinks.is_empty() {
                continue;
            }
            let (lane, ended) = lane(sinks, may_miss, Arc::clone(&total));
            threads.push((ended, Arc::clone(&lane.gauge)));
            lanes.push(lane);
        }
        (Teller { lanes: lanes.into(), total: Arc::clone(&total) }, Self { threads, total })
    }

    /// Waits until everything told has been taken and the sinks are finished, or until `deadline`; gives the total.
    pub(super) async fn finished(self, deadline: Instant) -> Tally {
        for (ended, gauge) in self.threads {
            match timeout_at(deadline, ended).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => tracing::error!("the printer or recorder failed: the capture may be incomplete"),
                Err(_) => tracing::warn!(
                    missed = gauge.missed.load(Ordering::Relaxed),
                    "the printer or recorder is stuck and is not waited for: not everything was shown or recorded"
                ),
            }
        }
        self.total.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A lane and its thread: not one of the runtime's, which would have to end before the runtime can.
fn lane(sinks: Sinks, may_miss: bool, total: Arc<Mutex<Tally>>) -> (Lane, oneshot::Receiver<()>) {
    let (sender, receiver) = mpsc::channel(LANE_BATCHES);
    let (end, ended) = oneshot::channel();
    let gauge = Arc::<Gauge>::default();
    let consumed = consume(receiver, sinks, Arc::clone(&gauge), total);
    let runtime = tokio::runtime::Handle::current();
    // Named, or it would bear the name of whatever thread starts it.
    let thread = std::thread::Builder::new().name("iqtap-notes".to_owned()).spawn(move || {
        runtime.block_on(consumed);
        let _ = end.send(()); // nobody may wait any more
    });
    if let Err(error) = thread {
        tracing::error!(%error, "no thread for what is told: nothing will be shown or recorded");
    }
    (Lane { sender, room: Arc::new(Semaphore::new(LANE_BYTES as usize)), gauge, may_miss }, ended)
}

async fn consume(mut receiver: mpsc::Receiver<Batch>, mut sinks: Sinks, gauge: Arc<Gauge>, total: Arc<Mutex<Tally>>) {
    let mut batches = Vec::new();
    let mut flush_at: Option<Instant> = None; // none: nothing new since the last flush
    let mut missed = 0;
    loop {
        let receive = receiver.recv_many(&mut batches, TAKE_BATCHES);
        let received = match flush_at {
            None => Some(receive.await),
            Some(at) => timeout_at(at, receive).await.ok(),
        };
        if received == Some(0) {
            break;
        }
        for batch in batches.drain(..) {
            missed += miss(&mut sinks, batch.missed);
            take(&mut sinks, &batch.load);
            gauge.stuck.store(false, Ordering::Release);
            flush_at = flush_at.or_else(|| Some(Instant::now() + FLUSH_EVERY));
        }
        if receiver.is_empty() {
            sinks.iter_mut().for_each(|sink| sink.idle());
            if !receiver.is_closed() {
                std::thread::sleep(REST); // this thread is its own
            }
        }
        if flush_at.is_some_and(|at| at <= Instant::now()) {
            sinks.iter_mut().for_each(|sink| sink.flush());
            flush_at = None;
            own_up(std::mem::take(&mut missed));
        }
    }
    missed += miss(&mut sinks, gauge.take_missed());
    let total = total.lock().unwrap_or_else(PoisonError::into_inner).clone();
    sinks.iter_mut().for_each(|sink| sink.finish(&total));
    own_up(missed);
}

/// Tells the sinks what they have missed; gives what none of them has spoken of.
fn miss(sinks: &mut Sinks, events: u64) -> u64 {
    if events == 0 {
        return 0;
    }
    let silent = sinks.iter_mut().map(|sink| sink.missed(events)).filter(|told| !told).count(); // every one is told
    if silent > 0 { events } else { 0 }
}

fn take(sinks: &mut Sinks, load: &Load) {
    match load {
        Load::Notes(told) => {
            for note in &told.notes {
                sinks.iter_mut().for_each(|sink| sink.take(&told.session, told.now, note));
            }
        }
        Load::News(now, news) => sinks.iter_mut().for_each(|sink| sink.news(*now, news)),
    }
}

/// Says what was missed.
fn own_up(missed: u64) {
    if missed > 0 {
        tracing::warn!("{missed} events were not shown or recorded: the output was not taken in time");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc as threads;

    /// Blocks at the first note until it is let go; counts.
    struct Stuck {
        go: threads::Receiver<()>,
        taken: Arc<AtomicU64>,
        may_miss: bool,
    }

    impl Sink for Stuck {
        fn may_miss(&self) -> bool {
            self.may_miss
        }
        fn take(&mut self, _: &SessionInfo, _: Timestamp, _: &Note) {
            let _ = self.go.recv(); // once let go, for good
            self.taken.fetch_add(1, Ordering::SeqCst);
        }
        fn finish(&mut self, _: &Tally) {}
    }

    fn stuck(may_miss: bool) -> (Box<dyn Sink>, threads::Sender<()>, Arc<AtomicU64>) {
        let (let_go, go) = threads::channel();
        let taken = Arc::<AtomicU64>::default();
        (Box::new(Stuck { go, taken: Arc::clone(&taken), may_miss }), let_go, taken)
    }

    fn session() -> SessionInfo {
        SessionInfo { number: 1, peer: "x".into(), policy: 1, source: "".into() }
    }

    fn told(notes: usize) -> Arc<Told> {
        let notes: Vec<Note> = (0..notes).map(|_| Note::Hint("x".repeat(1000))).collect();
        let weight = notes.iter().map(weight).sum();
        Arc::new(Told { session: session(), now: Timestamp(1), notes, weight })
    }

    /// Tells until that has to wait; how many batches were taken in.
    async fn fill(teller: &Teller, told: &Arc<Told>) -> u64 {
        let mut count = 0;
        while timeout(Duration::from_millis(200), teller.tell(told)).await.is_ok() {
            count += 1;
            assert!(count < 1000, "it never waits");
        }
        count
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[tokio::test]
    async fn a_stuck_sink_holds_no_more_than_its_lane_and_then_gets_all_of_it() {
        let (sink, let_go, taken) = stuck(false);
        let (teller, consumer) = Consumer::start(vec![sink]);
        let batch = told(100);
        let full = fill(&teller, &batch).await;
        assert!(full * batch.weight as u64 <= u64::from(LANE_BYTES), "{full} batches of {}", batch.weight);
        assert!((full + 1) * batch.weight as u64 > u64::from(LANE_BYTES), "only {full}");
        drop(let_go);
        // One that is heavier than the lane passes too.
        let mut heavy = told(1);
        Arc::get_mut(&mut heavy).into_iter().for_each(|told| told.weight = usize::MAX);
        teller.tell(&heavy).await;
        drop(teller);
        consumer.finished(soon()).await;
        assert_eq!(taken.load(Ordering::SeqCst), full * 100 + 1);
    }

    #[tokio::test]
    async fn light_batches_are_counted_too() {
        let (sink, let_go, _) = stuck(false);
        let (teller, consumer) = Consumer::start(vec![sink]);
        assert!(fill(&teller, &told(1)).await <= (LANE_BATCHES + TAKE_BATCHES) as u64);
        drop((let_go, teller));
        consumer.finished(soon()).await;
    }

    #[tokio::test]
    async fn who_may_miss_notes_is_waited_for_once_and_the_other_sink_gets_all() {
        let (printer, let_go, shown) = stuck(true);
        let (recorder, go, recorded) = stuck(false);
        drop(go);
        let (teller, consumer) = Consumer::start(vec![printer, recorder]);
        let begun = Instant::now();
        let batch = told(1000);
        for _ in 0..50 {
            teller.tell(&batch).await;
        }
        assert!(begun.elapsed() < MISS_AFTER * 3, "took {:?}", begun.elapsed());
        let missed = teller.lanes[0].gauge.missed.load(Ordering::SeqCst);
        assert!(missed >= 40_000, "{missed}");
        drop((let_go, teller));
        consumer.finished(soon()).await;
        assert_eq!(recorded.load(Ordering::SeqCst), 50_000);
        assert_eq!(shown.load(Ordering::SeqCst), 50_000 - missed);
    }

    /// Blocks until it is let go; writes down the times of its notes, and what was missed where.
    struct Diary {
        go: threads::Receiver<()>,
        entries: Arc<Mutex<Vec<(u64, u64)>>>,
    }

    impl Sink for Diary {
        fn may_miss(&self) -> bool {
            true
        }
        fn take(&mut self, _: &SessionInfo, now: Timestamp, _: &Note) {
            let _ = self.go.recv(); // once let go, for good
            self.entries.lock().unwrap().push((now.0, 0));
        }
        fn missed(&mut self, events: u64) -> bool {
            self.entries.lock().unwrap().push((0, events));
            true
        }
        fn finish(&mut self, _: &Tally) {}
    }

    #[tokio::test]
    async fn what_was_missed_is_told_where_it_was_missed() {
        let (let_go, go) = threads::channel();
        let entries = Arc::<Mutex<Vec<(u64, u64)>>>::default();
        let (teller, consumer) = Consumer::start(vec![Box::new(Diary { go, entries: Arc::clone(&entries) })]);
        let tell = async |time: u64, notes: usize| {
            let mut batch = told(notes);
            Arc::get_mut(&mut batch).into_iter().for_each(|told| told.now = Timestamp(time));
            teller.tell(&batch).await;
        };
        for time in 1..=20 {
            tell(time, 1000).await;
        }
        drop(let_go);
        while teller.lanes[0].gauge.stuck.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tell(21, 1).await;
        drop(teller);
        consumer.finished(soon()).await;
        let entries = entries.lock().unwrap().clone();
        let holes: Vec<_> = entries.iter().enumerate().filter(|(_, (_, missed))| *missed > 0).collect();
        let missed: u64 = entries.iter().map(|(_, missed)| missed).sum();
        let taken = entries.iter().filter(|(time, _)| *time > 0).count() as u64;
        assert_eq!(missed + taken, 20_001);
        let [(at, _)] = holes[..] else { panic!("one hole: {holes:?}") };
        assert!(entries[..at].is_sorted() && entries[..at].last() < entries.last(), "all before it is older");
        assert_eq!(entries[at + 1..], [(21, 0)], "and what comes behind it younger");
    }

    #[tokio::test]
    async fn a_stuck_sink_does_not_hold_up_the_end_and_the_total_is_known() {
        let (sink, let_go, _) = stuck(false);
        let (teller, consumer) = Consumer::start(vec![sink]);
        let tally = Tally { stopped: 7, ..Tally::default() };
        let mut batch = told(1);
        Arc::get_mut(&mut batch).into_iter().for_each(|told| told.notes.push(Note::Over(Box::new(tally.clone()))));
        teller.count(&batch);
        teller.tell_now(&batch);
        drop(teller);
        assert_eq!(consumer.finished(Instant::now() + Duration::from_millis(50)).await, tally);
        drop(let_go);
    }
}
