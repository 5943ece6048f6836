//! The core of one client's connection: two XML streams and all we know about them.
//!
//! Takes inputs with the time at which they happened, gives bytes to send, acts for the shell, and notes.
//! Must not touch a socket, read a clock, wait, or draw a random number that the seed does not give.

mod advertise;
mod answers;
mod bind;
mod blocking;
mod closing;
mod core;
mod decide;
mod discovery;
mod happened;
mod happenings;
mod hold;
mod io;
mod iq;
mod iq_ledger;
mod judge;
mod latency;
mod leaving;
mod negotiate;
mod own;
mod pace;
mod pipeline;
mod presence;
mod profile;
mod resume;
mod sasl;
mod script_sends;
mod scripted;
mod sm;
mod sm_ledger;
mod subscribers;
mod tally;
mod time;
mod vault;
mod watch;

pub use closing::farewell;
pub use happened::Happened;
pub use io::{Act, Dir, Fate, How, Input, Note, Origin, Outbox, Pair, Seen, StanzaInfo, TlsInfo, What};
pub use latency::Latency;
pub use resume::{Kept, Snapshot};
pub use sm::SmKey;
pub use tally::{FindingCount, IqCount, Tally};
pub use vault::Vault;

use self::core::{Core, Gate};
use crate::policy::{Policy, Route};
use crate::xml::{Fault, ItemKind, Scanner, Step, View, normalise};
use crate::xmpp::{Side, StreamCondition, StreamError, Timestamp};
use bytes::{Buf, Bytes};
use std::sync::Arc;

/// Two XML streams, joined: what the client says to us and what we say to the server.
///
/// The two scanners stand beside the rest, so that a judged stanza can be looked at in place while the session acts on it.
#[derive(Debug)]
pub struct Session {
    scanners: [Scanner; 2],
    core: Core,
}

impl Session {
    /// A session that has just been accepted. `number` names it in notes, `peer` is the client's address as text,
    /// `seed` feeds every random choice (stream ids).
    #[must_use]
    pub fn new(now: Timestamp, route: Arc<Route>, policy: Arc<Policy>, number: u64, peer: &str, seed: u64) -> Self {
        let scanners = [Scanner::new(route.limits_before), Scanner::new(route.limits_after)];
        Self { scanners, core: Core::new(now, route, policy, number, peer, seed) }
    }

    /// The only way in and out. Every fault of a peer is already an answer in `out`. `now` must not go backwards.
    pub fn handle(&mut self, now: Timestamp, input: Input<'_>, out: &mut Outbox) {
        self.core.now = self.core.now.max(now);
        if self.core.over {
            return;
        }
        if out.watched {
            self.core.happens(&input, out);
        }
        self.core.keep_pace();
        match input {
            Input::Bytes(side, bytes) => {
                self.core.heard(side);
                self.feed(side, bytes, out);
            }
            Input::Eof(side) => {
                self.let_go(true, out);
                self.core.eof(side, out);
            }
            Input::Dialed => self.core.dialed(out),
            Input::DialFailed(why) => self.core.dial_failed(&why, out),
            Input::TlsUp(side, info) => self.core.tls_up(side, info, out),
            Input::TlsFailed(side, why) => self.core.tls_failed(side, &why, out),
            Input::Tick => {
                if self.core.close_is_late() {
                    self.let_go(true, out);
                }
                match self.core.who_is_late() {
                    Some((side, why)) => {
                        self.refuse(side, StreamError::new(StreamCondition::ConnectionTimeout, why), out)
                    }
                    None => self.core.tick(out),
                }
            }
            Input::Looked(known) => self.core.looked(known, out),
            Input::Claimed(kept) => self.core.claimed(kept, out),
            Input::Superseded(key) => self.core.superseded(&key, out),
            Input::Stored(number, done) => self.core.stored(number, done, out),
            Input::Changed(changes) => self.core.changed(&changes, out),
            Input::Surrender => self.core.surrender(out),
            Input::Policy(policy) => {
                self.core.policy = policy;
                self.core.scripts_loaded(out);
                self.core.want_profile(out);
            }
            Input::Refused(side, condition, why) => self.refuse(side, StreamError::new(condition, why), out),
            Input::Stop => {
                self.let_go(true, out);
                self.core.stop(out);
            }
        }
        self.renew_scanners();
        self.let_go(false, out);
        while let Some(side) = self.core.resumed() {
            self.core.not_read(self.core.now, side); // until now
            self.feed(side, &[], out);
        }
        if self.core.over && out.watched {
            self.tell_unfinished(out);
        }
        self.core.note_over(out);
    }

    /// Tells of what came, waited, and will wait no more.
    fn tell_unfinished(&mut self, out: &mut Outbox) {
        self.core.tell_unresumed(out);
        for side in [Side::Client, Side::Server] {
            self.core.tell_held(side, self.scanners[side.index()].root(), out);
        }
    }

    /// Goes on with what has waited long enough; with `at_once`, with all that waits.
    fn let_go(&mut self, at_once: bool, out: &mut Outbox) {
        self.core.draining |= at_once;
        while at_once && let Some(side) = self.core.hurry() {
            self.feed(side, &[], out); // behind what waits, if something does
        }
        while !self.core.over
            && let Some((side, waiting)) = self.core.let_go(at_once)
        {
            self.core.go_on(side, waiting, self.scanners[side.index()].root(), out);
        }
    }

    /// When [`Input::Tick`] should come at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        self.core.deadline()
    }

    /// Whether the session can use bytes from this side now; false while it waits for something else (a handshake,
    /// the server's word in SASL), or when that stream is over.
    #[must_use]
    pub fn wants(&self, side: Side) -> bool {
        matches!(self.core.gate(side), Gate::Open)
    }

    /// Bytes of this side are not read now although it may have sent some: its time stands still.
    pub fn is_not_read(&mut self, now: Timestamp, side: Side) {
        self.core.not_read(now, side);
    }

    /// Bytes of memory that its peers make it hold, about: what is unfinished, what waits, the ledgers.
    #[must_use]
    pub fn holds(&self) -> usize {
        self.core.held_bytes()
    }

    /// Whether both legs are closed: no further input does anything.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.core.over
    }

    /// What was counted.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.core.tally
    }

    /// What could be resumed of it: what [`Act::Look`] of a living session is answered with.
    #[must_use]
    pub fn snapshot(&self) -> Option<Box<Snapshot>> {
        self.core.snapshot()
    }

    /// The client's full JID, once bound.
    #[must_use]
    pub fn jid(&self) -> Option<&str> {
        self.core.jid.as_deref()
    }

    /// The domain the client asked for, once its header was read.
    #[must_use]
    pub fn domain(&self) -> Option<&str> {
        self.core.header.to.as_deref()
    }

    /// Scans what came in. An item that is complete in `input` is looked at where it stands; only the unfinished rest
    /// is kept.
    fn feed(&mut self, side: Side, input: &[u8], out: &mut Outbox) {
        let mut kept = std::mem::take(&mut self.core.leg(side).pending);
        let used = if kept.is_empty() {
            let used = self.scan(side, input, out);
            let rest = input.get(used..).unwrap_or_default();
            if !rest.is_empty() {
                self.core.leg(side).pending.extend_from_slice(rest);
            }
            used
        } else {
            kept.extend_from_slice(input);
            let used = self.scan(side, &kept, out);
            if used < kept.len() {
                kept.advance(used);
                self.core.leg(side).pending = kept;
            }
            used
        };
        self.core.begins(side, used > 0);
        self.scanners[side.index()].rest();
        self.core.bound_held(side, out);
    }

    /// Takes finished items off the front of `buffer`; gives how many bytes are done with.
    fn scan(&mut self, side: Side, buffer: &[u8], out: &mut Outbox) -> usize {
        let mut at = self.core.stale(side, buffer);
        if let Some(space) = buffer.get(..at).filter(|space| !space.is_empty()) {
            self.core.space(side, space, out);
        }
        while let Some(rest) = buffer.get(at..).filter(|rest| !rest.is_empty()) {
            match self.core.gate(side) {
                Gate::Open => {}
                Gate::Held => return at,
                Gate::Shut => return buffer.len(),
                Gate::Handshake => {
                    self.core.injected(side, out);
                    return buffer.len();
                }
            }
            match self.scanners[side.index()].scan(rest) {
                Step::More => return at,
                Step::Refused(refusal) => {
                    self.refuse(side, StreamError::new(refusal.fault.into(), refusal.why), out);
                    return buffer.len();
                }
                Step::Item { len, kind } => {
                    let (bytes, told) = (rest.get(..len).unwrap_or(rest), out.notes.len());
                    self.item(side, kind, bytes, out);
                    let scanner = &self.scanners[side.index()];
                    let view = View { bytes, head: scanner.head(), root: scanner.root() };
                    self.core.came(side, kind, &view, told, out);
                    self.core.paced(side, u64::from(kind == ItemKind::Element), len);
                    at += len;
                    self.renew_scanners();
                }
            }
        }
        at
    }

    fn item(&mut self, side: Side, kind: ItemKind, bytes: &[u8], out: &mut Outbox) {
        let scanner = &self.scanners[side.index()];
        let (head, root) = (scanner.head(), scanner.root());
        if self.core.holds(side) {
            return self.wait_behind(side, kind, bytes, out);
        }
        match kind {
            ItemKind::Space => self.core.space(side, bytes, out),
            ItemKind::Open => {
                self.core.header_in(side, scanner.open(), bytes, out);
                self.scanners[side.index()].forget_open();
            }
            ItemKind::Close => self.core.peer_closed(side, bytes, out),
            ItemKind::Element if head.untidy => match normalise(bytes, root) {
                Some((tidy, head)) => {
                    self.core.untidy = out.watched.then(|| Bytes::copy_from_slice(bytes));
                    self.core.element(side, &View { bytes: &tidy, head: &head, root }, out);
                    self.core.untidy = None;
                }
                None => self.refuse(side, untidy(), out),
            },
            ItemKind::Element => self.core.element(side, &View { bytes, head, root }, out),
        }
    }

    /// Something that came before this waits: so does this.
    fn wait_behind(&mut self, side: Side, kind: ItemKind, bytes: &[u8], out: &mut Outbox) {
        let scanner = &self.scanners[side.index()];
        let (head, root) = (scanner.head(), scanner.root());
        if kind != ItemKind::Element || !head.untidy {
            return self.core.wait_behind(side, kind, &View { bytes, head, root }, None, out);
        }
        match normalise(bytes, root) {
            Some((tidy, head)) => {
                let untidy = out.watched.then(|| Bytes::copy_from_slice(bytes));
                self.core.wait_behind(side, kind, &View { bytes: &tidy, head: &head, root }, untidy, out);
            }
            None => self.refuse(side, untidy(), out),
        }
    }

    /// What a side sent is refused; what came before that and waits goes on first.
    fn refuse(&mut self, side: Side, error: StreamError, out: &mut Outbox) {
        out.happened(Happened::Refused(side, error.condition, error.text.clone().unwrap_or_default()));
        self.let_go(true, out);
        // It may have said goodbye among that.
        if self.core.gate(side) != Gate::Shut {
            if error.condition == StreamCondition::ConnectionTimeout {
                self.core.lose(side, error, out);
            } else {
                self.core.fail(side, error, out);
            }
        }
    }

    /// A restarted stream is a new document, in the same call: RFC 6120 §4.3.3.
    fn renew_scanners(&mut self) {
        if std::mem::take(&mut self.core.relax_limits) {
            self.scanners[Side::Client.index()].set_limits(self.core.limits(Side::Client));
        }
        if !std::mem::take(&mut self.core.restarted) {
            return;
        }
        for side in [Side::Client, Side::Server] {
            if std::mem::take(&mut self.core.leg(side).new_document) {
                self.scanners[side.index()] = Scanner::new(self.core.limits(side));
            }
        }
    }
}

/// Why an item is refused that is another one once it is tidied.
fn untidy() -> StreamError {
    StreamError::new(Fault::NotWellFormed.into(), "it reads differently once tidied")
}
