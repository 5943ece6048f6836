//! What the session asks the pump to do: dial, TLS handshakes, the store, closing.
//!
//! Takes [`Act`]s, gives inputs to the session. Nothing here is waited for without a limit, and while it is waited for the
//! session still hears of time and of being stopped.

use super::super::dial;
use super::super::lobby::Mailbox;
use super::super::wire::Wire;
use super::{Leg, Pump, SIDES};
use crate::keep::Op;
use crate::session::{Act, How, Input, Kept, SmKey};
use crate::xmpp::Side;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::time::timeout;

/// For a peer to take what is left before a clean close.
const FLUSH_TIME: Duration = Duration::from_secs(2);
/// The same before an abrupt one.
const ABORT_FLUSH_TIME: Duration = Duration::from_secs(1);

impl Pump {
    /// Does what the session asked for, in order. Closes that follow one another are done together.
    pub(super) async fn act(&mut self) {
        let mut closing = [None; 2];
        for act in std::mem::take(&mut self.out.acts) {
            if let Act::Close(side, how) = act {
                closing[side.index()] = Some(how);
                continue;
            }
            if let Act::Park(kept) = act {
                self.park(kept);
                continue;
            }
            // Done also if the session is over: what it has asked for is not taken back, only its answer goes nowhere.
            if let Act::Store(number, op) = act {
                self.store(number, op);
                continue;
            }
            self.close(std::mem::take(&mut closing)).await;
            if self.session.is_over() {
                continue; // it gave up after it had asked for this
            }
            match act {
                Act::Dial { domain } => self.dial(domain).await,
                Act::StartTls(side) => self.start_tls(side).await,
                Act::Enlist(key) => {
                    let mailbox = self.shared.lobby.enlist(key, self.info.number);
                    self.keep(mailbox);
                }
                Act::Look(key) => self.look(key).await,
                Act::Claim(key) => self.claim(key).await,
                Act::Join(account) => {
                    let mailbox = self.shared.lobby.join(account, self.info.number);
                    self.keep(mailbox);
                }
                Act::Close(..) | Act::Park(_) | Act::Store(..) => {}
            }
        }
        self.close(closing).await;
        self.heir = None; // who waits for a state that was never there need not wait longer
    }

    /// Gives the session's state to whoever goes on with it, or to the vault.
    fn park(&mut self, kept: Box<Kept>) {
        let refused = match self.heir.take() {
            Some(heir) => heir.send(kept).err(),
            None => Some(kept),
        };
        refused.into_iter().for_each(|kept| self.shared.lobby.park(kept));
    }

    /// Asks the store; the answer comes into the mailbox.
    fn store(&mut self, number: u64, op: Op) {
        let shared = Arc::clone(&self.shared);
        let mailbox = shared.lobby.hear(self.info.number);
        self.keep(mailbox);
        shared.keeper.ask(&shared.lobby, self.info.number, number, op);
    }

    fn keep(&mut self, mailbox: Option<Mailbox>) {
        if mailbox.is_some() {
            self.mailbox = mailbox;
        }
    }

    async fn look(&mut self, key: SmKey) {
        let shared = Arc::clone(&self.shared);
        let mailbox = shared.lobby.ask(&key, self.info.number);
        self.keep(mailbox);
        if let Some(known) = self.meanwhile(shared.lobby.look(&key)).await {
            self.waited().await;
            self.feed(Input::Looked(known));
        }
    }

    async fn claim(&mut self, key: SmKey) {
        let shared = Arc::clone(&self.shared);
        match self.meanwhile(shared.lobby.claim(&key, self.info.number)).await {
            Some(Some(kept)) if self.session.is_over() => shared.lobby.park(kept),
            Some(kept) => {
                self.waited().await;
                self.feed(Input::Claimed(kept));
            }
            None => {}
        }
    }

    async fn dial(&mut self, domain: String) {
        self.domain = domain;
        let terms = Arc::clone(&self.terms);
        let dialed = self.meanwhile(dial::dial(&terms.upstream)).await;
        self.waited().await;
        match dialed {
            Some(Ok(tcp)) => {
                self.legs[Side::Server.index()] = Leg { wire: Wire::Plain(tcp), ..Leg::default() };
                self.feed(Input::Dialed);
            }
            Some(Err(reason)) => self.feed(Input::DialFailed(reason)),
            None => {}
        }
    }

    async fn start_tls(&mut self, side: Side) {
        let unfed = std::mem::take(&mut self.legs[side.index()].unfed);
        if !unfed.is_empty() {
            self.feed(Input::Bytes(side, &unfed)); // too early: the session refuses them
            return;
        }
        let only = SIDES.map(|any| any == side);
        let _ = timeout(FLUSH_TIME, self.flushed(only)).await;
        let Some(tcp) = self.legs[side.index()].wire.take_plain() else {
            self.feed(Input::TlsFailed(side, "the connection is gone or has TLS already".to_owned()));
            return;
        };
        let terms = Arc::clone(&self.terms);
        let name = match side {
            Side::Client => self.session.domain().unwrap_or_default().to_owned(),
            Side::Server => self.domain.clone(),
        };
        let done = match side {
            Side::Client => self.meanwhile(terms.tls.accept(tcp, Some(&name))).await,
            Side::Server => self.meanwhile(terms.tls.connect(tcp, &name)).await,
        };
        self.waited().await;
        match done {
            Some(Ok((tls, info))) => {
                self.legs[side.index()].wire = Wire::Tls(Box::new(tls));
                self.feed(Input::TlsUp(side, info));
            }
            Some(Err(reason)) => self.feed(Input::TlsFailed(side, reason)),
            None => {}
        }
    }

    async fn close(&mut self, closing: [Option<How>; 2]) {
        let time = if closing.contains(&Some(How::Clean)) { FLUSH_TIME } else { ABORT_FLUSH_TIME };
        let sides = closing.map(|how| how.is_some());
        let _ = timeout(time, self.flushed(sides)).await;
        let [client, server] = &mut self.legs;
        let [client_waits, server_waits] = [&self.out.to[0], &self.out.to[1]].map(|waiting| !waiting.is_empty());
        tokio::join!(client.close(closing[0], client_waits), server.close(closing[1], server_waits));
    }

    /// Waits until nothing is left for these sides; sends to the others meanwhile.
    async fn flushed(&mut self, sides: [bool; 2]) {
        poll_fn(|cx| {
            self.write(cx);
            let legs = self.legs.iter().zip(&self.out.to).zip(sides);
            let mut open = legs.filter(|((leg, waiting), asked)| {
                *asked && !leg.broken && leg.wire.is_open() && (leg.unflushed || !waiting.is_empty())
            });
            if open.next().is_none() { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Waits for `work`, while the session still hears of time, of being stopped and of a peer that went. `None` if it gave up meanwhile:
    /// it then has asked for a close.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(done) = work.as_mut().poll(cx) {
                    return Poll::Ready(Some(done));
                }
                self.now = self.clock.now();
                let gone = SIDES.into_iter().any(|side| !self.session.wants(side) && self.notice_end(cx, side));
                if gone || self.heed(cx) {
                    self.write(cx);
                    if self.session.is_over() || self.out.acts.iter().any(|act| matches!(act, Act::Close(..))) {
                        return Poll::Ready(None);
                    }
                } else if !self.timer_fired(cx) {
                    return Poll::Pending;
                }
            }
        })
        .await
    }
}
