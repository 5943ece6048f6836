//! One session's task: both sockets, the [`Session`] between them, nobody else.
//!
//! ```text
//!   turn: write what is to be sent -> stop? policy? tick? -> read each side once into the thread's scratch, hand it over
//!     ^                                                        |
//!     +---- tell (notes to the consumer) <- act (dial, TLS, close) <- the session said something
//! ```
//! Takes an accepted connection; gives nothing back: what happened is in the notes. Must not hold a buffer while idle,
//! read faster than the other side takes, or wait for anything without a limit.

mod acts;
mod waiting;

use super::clock::Clock;
use super::listen::Shared;
use super::lobby::{Mailbox, Word};
use super::memory::Share;
use super::notes::{SessionInfo, Teller, Told, weight};
use super::scratch;
use super::terms::Terms;
use super::tls::HANDSHAKE_BYTE;
use super::wire::{self, Wire};
use crate::policy::{ClientTls, QueueLimits};
use crate::session::{Act, How, Input, Kept, Outbox, Session};
use crate::xmpp::{Side, Timestamp};
use bytes::{Buf, BytesMut};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::futures::OwnedNotified;
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep_until, timeout};

/// Ticks come no more often than this, whatever the session's deadline says.
const TICK_MICROS: u64 = 10_000;

/// What was read is given to the session in pieces of this size, while it is watched...
const SLICE_BYTES: usize = 4 * 1024;
/// ...until its notes weigh so much; then they are told first.
const HIGH_NOTES: usize = 512 * 1024;
/// For the consumer to take notes when all sessions are to stop.
const STOP_TELL_TIME: Duration = Duration::from_millis(500);

const SIDES: [Side; 2] = [Side::Client, Side::Server];

/// One leg as the pump sees it.
#[derive(Default)]
struct Leg {
    wire: Wire,
    /// TLS may still hold bytes of ours.
    unflushed: bool,
    /// Writing failed; what else is for this side is thrown away.
    broken: bool,
    /// The session knows that nothing more comes from here.
    ended: bool,
    /// Read, and not yet given to the session: its notes had to be told first.
    unfed: BytesMut,
    /// Since when what waits for it has not become less.
    stalled: Option<Timestamp>,
}

impl Leg {
    async fn close(&mut self, how: Option<How>, waits: bool) {
        if let Some(how) = how {
            // A peer that does not take what we sent would not take a TLS goodbye either.
            self.wire.close(if waits || self.broken { How::Abort } else { how }).await;
            self.ended = true;
        }
    }
}

/// One session's task.
pub(super) struct Pump {
    session: Session,
    legs: [Leg; 2],
    queue: QueueLimits,
    /// What it holds, of what all may.
    share: Share,
    out: Outbox,
    terms: Arc<Terms>,
    shared: Arc<Shared>,
    teller: Teller,
    /// What the notes in `out` weigh.
    weight: usize,
    /// Nobody took our notes when we were to stop: the rest is told only if that needs no waiting.
    unheard: bool,
    info: SessionInfo,
    clock: Clock,
    now: Timestamp,
    /// The name the server has to prove.
    domain: String,
    timer: Option<Pin<Box<Sleep>>>,
    timer_at: Timestamp,
    not_before: Timestamp,
    /// When to look after peers next, while bytes wait for one.
    look_at: Option<Timestamp>,
    stop: Pin<Box<OwnedNotified>>,
    stopping: bool,
    /// The client's first byte may still be that of a TLS handshake.
    sniffing: bool,
    /// What other sessions say, once this one could be resumed, and the store, once it was asked.
    mailbox: Option<Mailbox>,
    /// Who is to have this session's state.
    heir: Option<oneshot::Sender<Box<Kept>>>,
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.shared.policies.leave(self.info.number);
        if self.mailbox.is_some() {
            self.shared.lobby.release(self.info.number);
        }
    }
}

impl Pump {
    /// For a connection just accepted.
    pub(super) fn new(tcp: TcpStream, number: u64, shared: Arc<Shared>, teller: Teller) -> Self {
        let peer: Arc<str> = tcp.peer_addr().map_or_else(|_| "?".to_owned(), |peer| peer.to_string()).into();
        let clock = shared.clock;
        let now = clock.now();
        let (terms, policy) = (shared.house.terms.newest(), shared.policies.newest());
        let route = &terms.route;
        let info = SessionInfo { number, policy: policy.number, source: Arc::clone(&policy.source), peer };
        let session = Session::new(now, Arc::clone(route), policy, number, &info.peer, super::tls::random_seed());
        wire::tune(&tcp);
        let mut out = Outbox { watched: shared.watched, ..Outbox::default() };
        if route.client_tls == ClientTls::Direct {
            out.acts.push(Act::StartTls(Side::Client));
        }
        Self {
            session,
            sniffing: matches!(route.client_tls, ClientTls::Offer | ClientTls::Require),
            legs: [Leg { wire: Wire::Plain(tcp), ..Leg::default() }, Leg::default()],
            queue: terms.queue,
            share: Share::of(&shared.house.memory, number),
            out,
            stop: Box::pin(shared.stop_notice()),
            terms,
            shared,
            teller,
            weight: 0,
            unheard: false,
            info,
            clock,
            now,
            domain: String::new(),
            timer: None,
            timer_at: now,
            not_before: now,
            look_at: None,
            stopping: false,
            mailbox: None,
            heir: None,
        }
    }

    /// Until both legs are closed.
    pub(super) async fn run(&mut self) {
        // A task's waker is always the same one, so one registration lasts; that we are to stop is read from a flag.
        poll_fn(|cx| Poll::Ready(self.stop.as_mut().poll(cx).is_ready())).await;
        // The same goes for a new policy: the flag is its number.
        let waker = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
        self.shared.policies.enter(self.info.number, waker);
        loop {
            if !self.out.notes.is_empty() {
                Box::pin(self.tell()).await; // boxed: its future would be a fifth of all that an idle session is
            }
            if !self.out.acts.is_empty() {
                Box::pin(self.act()).await; // boxed: rare, and its future is large
            } else if self.session.is_over() {
                break;
            } else {
                poll_fn(|cx| self.turn(cx)).await;
            }
        }
        Box::pin(self.linger()).await;
    }

    async fn linger(&mut self) {
        let [client, server] = &mut self.legs;
        tokio::join!(client.wire.linger(), server.wire.linger());
    }

    /// Moves bytes until the session has something to tell or to be done. The clock is read once a round: what is told has
    /// the time at which it happened.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            self.write(cx);
            if self.has_news() {
                return Poll::Ready(());
            }
            if self.heed(cx) {
                continue;
            }
            let mut moved = false;
            for side in SIDES {
                moved |= self.read(cx, side);
                if !self.out.acts.is_empty() {
                    break; // first what was asked for, then more input
                }
            }
            self.measure();
            if !moved && !self.timer_fired(cx) {
                self.out.to.iter_mut().for_each(scratch::take_back);
                return Poll::Pending;
            }
        }
    }

    fn has_news(&self) -> bool {
        !self.out.acts.is_empty() || !self.out.notes.is_empty() || self.session.is_over()
    }

    /// Sends what waits, as far as the sockets take it. After a failure what waits is thrown away.
    fn write(&mut self, cx: &mut Context<'_>) {
        for (leg, waiting) in self.legs.iter_mut().zip(&mut self.out.to) {
            if leg.broken || !leg.wire.is_open() {
                waiting.clear();
                leg.stalled = None;
                continue;
            }
            while !waiting.is_empty() && !leg.broken {
                match leg.wire.poll_write(cx, waiting) {
                    Poll::Ready(Ok(count)) if count > 0 => {
                        waiting.advance(count);
                        leg.unflushed = true;
                        leg.stalled = None;
                    }
                    Poll::Ready(_) => leg.broken = true,
                    Poll::Pending => {
                        leg.stalled = leg.stalled.or_else(|| Some(self.clock.now()));
                        break;
                    }
                }
            }
            if leg.unflushed {
                match leg.wire.poll_flush(cx) {
                    Poll::Ready(Ok(())) => leg.unflushed = false,
                    Poll::Ready(Err(_)) => leg.broken = true,
                    Poll::Pending => {}
                }
            }
        }
    }

    /// Reads from one side, if anybody wants it; whether anything came.
    fn read(&mut self, cx: &mut Context<'_>, side: Side) -> bool {
        let leg = &self.legs[side.index()];
        if leg.ended || !leg.wire.is_open() {
            return false;
        }
        if !self.session.wants(side) {
            return self.notice_end(cx, side);
        }
        if self.is_blocked(side) {
            self.session.is_not_read(self.now, side);
            return false;
        }
        if self.weight >= HIGH_NOTES {
            return false; // there is news to tell first
        }
        if !leg.unfed.is_empty() {
            let unfed = std::mem::take(&mut self.legs[side.index()].unfed);
            self.feed_bytes(side, &unfed);
            return true;
        }
        if self.sniffing && side == Side::Client {
            let Poll::Ready(first) = self.legs[side.index()].wire.poll_peek(cx) else { return false };
            self.sniffing = false;
            if first == Some(HANDSHAKE_BYTE) {
                self.out.acts.push(Act::StartTls(side)); // as if the session had asked for it
                return true;
            }
        }
        let read = scratch::with_scratch(|scratch| {
            let read = self.legs[side.index()].wire.poll_read(cx, scratch);
            if let Poll::Ready(Ok(count @ 1..)) = read {
                self.feed_bytes(side, &scratch[..count]);
            }
            read
        });
        match read {
            Poll::Pending => return false,
            Poll::Ready(Ok(1..)) => {}
            Poll::Ready(_) => self.end(side),
        }
        true
    }

    /// Gives the session what a side sent. Stops while there is much to tell; what is left then is kept for later, but
    /// only while the session wants more: bytes before a TLS handshake must never look as if they came after it.
    fn feed_bytes(&mut self, side: Side, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.weight >= HIGH_NOTES && self.out.acts.is_empty() && self.session.wants(side) {
                self.legs[side.index()].unfed = bytes.into();
                return;
            }
            let (slice, rest) =
                bytes.split_at(if self.out.watched { bytes.len().min(SLICE_BYTES) } else { bytes.len() });
            self.feed(Input::Bytes(side, slice));
            bytes = rest;
        }
    }

    /// Notices that a side from which nothing is wanted now has gone; whether it has.
    fn notice_end(&mut self, cx: &mut Context<'_>, side: Side) -> bool {
        let leg = &mut self.legs[side.index()];
        let gone = !leg.ended
            && leg.unfed.is_empty()
            && leg.wire.is_open()
            && (leg.broken || leg.wire.poll_gone(cx).is_ready());
        if gone {
            self.end(side);
        }
        gone
    }

    /// Tells the session that nothing more comes from this side.
    fn end(&mut self, side: Side) {
        self.legs[side.index()].ended = true;
        self.feed(Input::Eof(side));
    }

    /// Tells the session that it is time, that it has to stop, that it has a new policy, or what others say to it; whether
    /// there was such news.
    fn heed(&mut self, cx: &mut Context<'_>) -> bool {
        self.now = self.clock.now();
        if self.shared.is_stopping() && !self.stopping {
            self.stopping = true;
            self.feed(Input::Stop);
            return true;
        }
        if let Some(policy) = self.shared.policies.newer_than(self.info.policy) {
            // What was told under the old one is on its way already: news is told before anything is heeded.
            (self.info.policy, self.info.source) = (policy.number, Arc::clone(&policy.source));
            self.feed(Input::Policy(policy));
            return true;
        }
        if self.look_after(cx) || self.cut_if_asked() {
            return true;
        }
        // Before words, of which there may be many.
        let due = self.session_deadline().is_some_and(|deadline| deadline <= self.now);
        if due {
            self.excuse();
            self.not_before = Timestamp(self.now.0.saturating_add(TICK_MICROS));
            self.feed(Input::Tick);
        }
        due || self.listen(cx)
    }

    /// Hears what another session or the store says; whether one did.
    fn listen(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(Poll::Ready(Some(word))) = self.mailbox.as_mut().map(|mailbox| mailbox.poll_recv(cx)) else {
            return false;
        };
        match word {
            Word::Look(asks) => drop(asks.send(self.session.snapshot())),
            Word::Superseded(key) => self.feed(Input::Superseded(key)),
            Word::Surrender(heir) => {
                self.heir = Some(heir);
                self.feed(Input::Surrender);
            }
            Word::Stored(number, done) => self.feed(Input::Stored(number, done)),
            Word::Changed(changes) => self.feed(Input::Changed(changes)),
        }
        true
    }

    /// When there is something to do though no socket says so.
    fn deadline(&self) -> Option<Timestamp> {
        [self.session_deadline(), self.look_at].into_iter().flatten().min()
    }

    fn session_deadline(&self) -> Option<Timestamp> {
        self.session.deadline().map(|deadline| deadline.max(self.not_before))
    }

    /// Arms the timer for the deadline; whether it has fired.
    fn timer_fired(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(deadline) = self.deadline() else { return false };
        let at = self.clock.instant(deadline);
        let timer = self.timer.get_or_insert_with(|| {
            self.timer_at = deadline;
            Box::pin(sleep_until(at))
        });
        // A timer that is early does no harm, so one that moves later with each stanza is not set anew each time.
        if deadline < self.timer_at || timer.is_elapsed() {
            self.timer_at = deadline;
            timer.as_mut().reset(at);
        }
        timer.as_mut().poll(cx).is_ready()
    }

    /// The one place where the session is called.
    fn feed(&mut self, input: Input<'_>) {
        self.out.to.iter_mut().for_each(scratch::lend);
        let told = self.out.notes.len();
        self.session.handle(self.now, input, &mut self.out);
        self.weight += self.out.notes.iter().skip(told).map(weight).sum::<usize>();
    }

    /// What was waited for is there: it happens now, and not when what was told meanwhile has.
    async fn waited(&mut self) {
        self.tell().await;
        self.now = self.clock.now();
    }

    /// Hands notes over. Waits when the consumer is behind: that is how a slow disk slows the sessions it records.
    async fn tell(&mut self) {
        if self.out.notes.is_empty() {
            return;
        }
        let notes = std::mem::take(&mut self.out.notes);
        let weight = std::mem::take(&mut self.weight);
        let told = Arc::new(Told { session: self.info.clone(), now: self.now, notes, weight });
        self.teller.count(&told);
        if self.unheard {
            self.teller.tell_now(&told);
            return;
        }
        let mut telling = pin!(self.teller.tell(&told));
        // The stop notice wakes this task too: see `run`.
        let done = poll_fn(|cx| match telling.as_mut().poll(cx) {
            Poll::Pending if !self.shared.is_stopping() => Poll::Pending,
            polled => Poll::Ready(polled.is_ready()),
        });
        if !done.await {
            self.unheard = timeout(STOP_TELL_TIME, telling).await.is_err();
        }
    }
}
