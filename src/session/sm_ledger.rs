//! XEP-0198 counts of one direction: what the sender counts, what the receiver counts, and how the one follows from the other.
//!
//! Takes what became of each stanza in the order in which they left, and the receiver's acknowledgements; gives the
//! acknowledgement the sender may be told. Must not acknowledge what the receiver has not, nor go back, nor grow without bound.
//!
//! ```text
//! sender  --in-->  [ Forwarded: in+1 out+1 | Swallowed: in+1 | Injected: out+1 ]  --out-->  receiver
//! sender <--h = in at the end of the longest run of events whose out <= h'--      <--h'--   receiver
//! ```

use bytes::Bytes;
use std::collections::VecDeque;

/// Past so many runs, or any of what follows, the ledger is merged: it stays true, but what was lost with a connection cannot be told any
/// more.
const MOST_RUNS: usize = 4096;
/// Stanzas that came in, for each run that may be.
const LOOKS: usize = 2;
/// Bytes of injected stanzas kept to be sent again.
const MOST_BYTES: usize = 512 * 1024;
/// Past such a part of each the receiver is asked for an acknowledgement, which makes the list short again.
const ASK_PART: usize = 4;

/// Stanzas besides what was in flight that may come before it does.
const PATIENCE: usize = 256;

/// Looks nobody remembers.
const ANY: u64 = 0;

/// What became of a stanza.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// It came in and left.
    Forwarded,
    /// It came in and did not leave: dropped, bounced, answered here.
    Swallowed,
    /// It left without having come in: made here.
    Injected,
}

/// Equal events in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    event: Event,
    count: u32,
}

/// What an acknowledgement means for the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ack {
    /// The sender may be told this count.
    Told(u32),
    /// The receiver takes back what it said: it had acknowledged `heard`. The sender may be told `told` again.
    Backwards { heard: u32, told: u32 },
    /// The receiver acknowledges more than it was sent.
    TooHigh { sent: u32 },
}

/// A stanza that comes in after a resumption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// For the first time.
    New,
    /// Again: it was forwarded the first time, and lost.
    Again,
    /// Again: it was dropped or answered here the first time, which still holds.
    Settled,
}

/// One direction of a stream-managed session. Counters are those of XEP-0198 §4: 32 bits, wrapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SmLedger {
    /// So many runs there may be.
    most_runs: usize,
    /// What the sender was told last.
    told: u32,
    /// What the receiver has acknowledged.
    heard: u32,
    /// What the receiver was sent.
    sent: u32,
    /// What happened since, oldest first.
    runs: VecDeque<Run>,
    /// What the stanzas among them that came in looked like.
    looks: VecDeque<u64>,
    /// The injected stanzas among them.
    injected: VecDeque<Bytes>,
    /// Bytes of those, and of those that are to come again.
    injected_bytes: usize,
    /// What the sender sends again after a resumption: see [`SmLedger::arrives`].
    again: Again,
    /// An acknowledgement was asked for because the list grew.
    asked: bool,
    /// It was merged.
    merged: bool,
}

/// What was in flight when a connection was lost, and has not come again: in its old order, so that it has its old numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Again {
    runs: VecDeque<Run>,
    looks: VecDeque<u64>,
    injected: VecDeque<Bytes>,
    /// Injected stanzas whose turn has come.
    ready: Vec<Bytes>,
    /// The stanza at hand is the first of these.
    matched: bool,
    /// So many others may come before it is clear that these never will.
    patience: usize,
}

impl Default for SmLedger {
    fn default() -> Self {
        Self::of(MOST_RUNS)
    }
}

impl SmLedger {
    /// With nothing in it, and room for so many runs.
    pub(super) fn of(most_runs: usize) -> Self {
        Self {
            most_runs,
            told: 0,
            heard: 0,
            sent: 0,
            runs: VecDeque::new(),
            looks: VecDeque::new(),
            injected: VecDeque::new(),
            injected_bytes: 0,
            again: Again::default(),
            asked: false,
            merged: false,
        }
    }

    /// A stanza came in and leaves. `looks`: see [`SmLedger::arrives`].
    pub(super) fn forwarded(&mut self, looks: impl FnOnce() -> u64) {
        self.came(looks);
        self.sent = self.sent.wrapping_add(1);
        self.note(Event::Forwarded);
    }

    /// A stanza came in and does not leave.
    pub(super) fn swallowed(&mut self, looks: impl FnOnce() -> u64) {
        self.came(looks);
        self.note(Event::Swallowed);
    }

    fn came(&mut self, looks: impl FnOnce() -> u64) {
        self.again.done();
        if !self.merged {
            self.looks.push_back(looks());
        }
    }

    /// A stanza made here leaves.
    pub(super) fn injected(&mut self, bytes: Bytes) {
        if !self.merged {
            self.injected_bytes += weight(&bytes);
            self.injected.push_back(bytes);
        }
        self.sent = self.sent.wrapping_add(1);
        self.note(Event::Injected);
    }

    fn note(&mut self, event: Event) {
        push(&mut self.runs, Run { event, count: 1 });
        self.bound();
    }

    /// What is to come again counts too: lost once more, it is joined to the rest.
    fn bound(&mut self) {
        let runs = self.runs.len() + self.again.runs.len() > self.most_runs;
        let looks = self.looks.len() + self.again.looks.len() > LOOKS * self.most_runs;
        let much = !self.merged && (runs || looks || self.injected_bytes > MOST_BYTES);
        if much || self.runs.len() > self.most_runs {
            self.merge();
        }
    }

    /// Forgets the order of events: what was injected first, then what was forwarded, then what was swallowed. No
    /// acknowledgement is early by that, some are late. What is still to come again is known as before.
    fn merge(&mut self) {
        let total = |event| -> u32 {
            self.runs.iter().filter(|run| run.event == event).fold(0, |sum, run| sum.wrapping_add(run.count))
        };
        let order = [Event::Injected, Event::Forwarded, Event::Swallowed];
        let runs = order.map(|event| Run { event, count: total(event) });
        self.runs = runs.into_iter().filter(|run| run.count > 0).collect();
        self.count_only();
    }

    /// Whether what was lost with a connection can still be told: whether the session can be resumed.
    pub(super) fn is_exact(&self) -> bool {
        !self.merged
    }

    /// Whether to ask the receiver for an acknowledgement now; says so once until one came.
    pub(super) fn asks(&mut self) -> bool {
        let runs = self.runs.len() > self.most_runs / ASK_PART;
        let looks = self.looks.len() > self.most_runs;
        let much = runs || looks || self.injected_bytes > MOST_BYTES / ASK_PART;
        much && !std::mem::replace(&mut self.asked, true)
    }

    /// The receiver acknowledges `h` stanzas.
    pub(super) fn ack(&mut self, h: u32) -> Ack {
        if !self.may_be_acked(h) {
            // RFC 1982: whichever way is shorter.
            return if h.wrapping_sub(self.sent) < 1 << 31 {
                Ack::TooHigh { sent: self.sent }
            } else {
                Ack::Backwards { heard: self.heard, told: self.told }
            };
        }
        self.asked = false;
        self.cut(h, None);
        Ack::Told(self.told)
    }

    /// Whether `h` lies between what was acknowledged and what was sent.
    fn may_be_acked(&self, h: u32) -> bool {
        h.wrapping_sub(self.heard) <= self.sent.wrapping_sub(self.heard)
    }

    /// What an acknowledgement in a resumption means: what was sent on earlier connections counts too, if it is not
    /// acknowledged.
    pub(super) fn preview(&self, h: u32) -> Ack {
        self.counts_only().ack(h)
    }

    /// Whether a resumption can go on that was asked for when `h` meant `told`: nothing much has happened elsewhere since.
    pub(super) fn still_means(&self, h: u32, told: u32) -> bool {
        match self.preview(h) {
            Ack::Told(now) => now.wrapping_sub(told) as usize <= LOOKS * self.most_runs,
            // The receiver has taken back what it acknowledged, and did so when it asked already if nothing has moved.
            Ack::Backwards { told: now, .. } => now == told,
            Ack::TooHigh { .. } => false,
        }
    }

    /// The counts, as far as they are known, without what only sending again needs.
    pub(super) fn counts_only(&self) -> Self {
        let mut runs = self.runs.clone();
        self.again.runs.iter().for_each(|run| push(&mut runs, *run));
        let sent = self.heard.wrapping_add(outs(&runs));
        Self { told: self.told, heard: self.heard, sent, runs, ..Self::of(self.most_runs) }
    }

    /// Nobody will resume this session: of what has happened only the counts are kept.
    pub(super) fn count_only(&mut self) {
        (self.looks, self.injected) = Default::default();
        self.injected_bytes = self.again.injected.iter().chain(&self.again.ready).map(weight).sum();
        self.merged = true;
    }

    /// Takes off the front what is acknowledged by `h`; of what the sender counts, no more than `most`.
    fn cut(&mut self, h: u32, most: Option<u32>) {
        while let Some(run) = self.runs.front_mut() {
            let out = h.wrapping_sub(self.heard);
            let room = most.map_or(u32::MAX, |most| most.wrapping_sub(self.told));
            let count = match run.event {
                Event::Forwarded => run.count.min(out).min(room),
                Event::Injected => run.count.min(out),
                Event::Swallowed => run.count.min(room),
            };
            if count == 0 {
                break;
            }
            run.count -= count;
            let (event, done) = (run.event, run.count == 0);
            self.forget(event, count);
            if done {
                self.runs.pop_front();
            }
        }
    }

    fn forget(&mut self, event: Event, count: u32) {
        if event != Event::Swallowed {
            self.heard = self.heard.wrapping_add(count);
        }
        if event != Event::Injected {
            self.told = self.told.wrapping_add(count);
        }
        for _ in 0..count {
            match event {
                Event::Forwarded | Event::Swallowed if self.looks.pop_front().is_none() => break,
                Event::Forwarded | Event::Swallowed => {}
                Event::Injected => match self.injected.pop_front() {
                    Some(bytes) => self.injected_bytes -= weight(&bytes),
                    None => break,
                },
            }
        }
    }

    /// The connection was lost and the session resumed: the receiver has handled `h`, the sender was told `told`. All else
    /// is to come again: the sender sends its part, ours is [`SmLedger::due`] when its turn comes.
    pub(super) fn resume(&mut self, h: u32, told: u32) {
        let Again { runs, looks, injected, .. } = std::mem::take(&mut self.again);
        runs.into_iter().for_each(|run| push(&mut self.runs, run));
        self.looks.extend(looks);
        self.injected.extend(injected);
        self.sent = self.heard.wrapping_add(outs(&self.runs));

        let mut again = Again::default();
        // What was settled after `told` had been said is sent again too.
        let settled = self.told.wrapping_sub(told);
        if settled != 0 && settled < 1 << 31 {
            again.runs.push_back(Run { event: Event::Swallowed, count: settled });
            again.looks.extend((0..settled).map(|_| ANY));
        } else if self.may_be_acked(h) {
            self.cut(h, Some(told));
        }
        self.runs.drain(..).for_each(|run| push(&mut again.runs, run));
        again.looks.extend(self.looks.drain(..));
        again.injected.extend(self.injected.drain(..));
        again.patience = again.looks.len() + PATIENCE;
        again.make_ready();
        (self.told, self.heard, self.sent) = (told, h, h);
        (self.again, self.asked) = (again, false);
    }

    /// Stanzas made here whose turn has come to be sent again.
    pub(super) fn due(&mut self) -> Vec<Bytes> {
        let due = std::mem::take(&mut self.again.ready);
        self.injected_bytes -= due.iter().map(weight).sum::<usize>();
        due
    }

    /// A stanza comes in. `looks` is a hash of what does not change when it is sent again. Whatever becomes of it is to be
    /// told before the next one comes.
    pub(super) fn arrives(&mut self, looks: impl FnOnce() -> u64) -> Arrival {
        if self.again.runs.is_empty() { Arrival::New } else { self.again.arrives(looks()) }
    }

    /// Bytes of memory this takes.
    pub(super) fn weight(&self) -> usize {
        let runs = self.runs.capacity() + self.again.runs.capacity();
        let looks = self.looks.capacity() + self.again.looks.capacity();
        runs * size_of::<Run>() + looks * size_of::<u64>() + self.injected_bytes
    }
}

impl Again {
    fn arrives(&mut self, looks: u64) -> Arrival {
        let Some(at) = self.looks.iter().position(|known| *known == looks || *known == ANY) else {
            self.matched = false;
            self.patience = self.patience.saturating_sub(1);
            if self.patience == 0 {
                self.give_up();
            }
            return Arrival::New;
        };
        // Those before it do not come again: they are sent in their order.
        (0..at).for_each(|_| self.pop());
        self.matched = true;
        match self.runs.front().map(|run| run.event) {
            Some(Event::Swallowed) => Arrival::Settled,
            _ => Arrival::Again,
        }
    }

    /// The stanza at hand was dealt with.
    fn done(&mut self) {
        if std::mem::take(&mut self.matched) {
            self.pop();
        }
    }

    /// Takes off the first stanza that comes in, and makes ready what was injected behind it.
    fn pop(&mut self) {
        self.looks.pop_front();
        if let Some(run) = self.runs.front_mut() {
            run.count -= 1;
            if run.count == 0 {
                self.runs.pop_front();
            }
        }
        self.make_ready();
    }

    fn make_ready(&mut self) {
        while let Some(run) = self.runs.front().copied().filter(|run| run.event == Event::Injected) {
            self.ready.extend((0..run.count).map_while(|_| self.injected.pop_front()));
            self.runs.pop_front();
        }
    }

    /// The sender goes on with something else: what was injected among what it leaves out is sent all the same.
    fn give_up(&mut self) {
        self.ready.extend(self.injected.drain(..));
        *self = Self { ready: std::mem::take(&mut self.ready), ..Self::default() };
    }
}

/// Appends a run; one like the last makes that longer.
fn push(runs: &mut VecDeque<Run>, run: Run) {
    match runs.back_mut() {
        Some(last) if last.event == run.event => last.count = last.count.saturating_add(run.count),
        _ => runs.push_back(run),
    }
}

/// What an injected stanza takes.
fn weight(bytes: &Bytes) -> usize {
    bytes.len() + size_of::<Bytes>()
}

/// How many stanzas of these the receiver was sent.
fn outs(runs: &VecDeque<Run>) -> u32 {
    runs.iter().filter(|run| run.event != Event::Swallowed).fold(0, |sum, run| sum.wrapping_add(run.count))
}

#[cfg(test)]
mod tests;
