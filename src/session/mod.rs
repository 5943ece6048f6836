//! The core of one client's connection: two XML streams and all we know about them. No I/O, no clock, no task.

pub mod io;
pub mod tally;

pub use io::{Act, Dir, Fate, How, Input, Note, Origin, Outbox, Seen, StanzaInfo, TlsInfo, What};
pub use tally::Tally;

use crate::policy::{Policy, Route};
use crate::xmpp::{Side, Timestamp};
use std::sync::Arc;

/// Two XML streams, joined. See [`Session::handle`].
#[derive(Debug)]
pub struct Session {}

impl Session {
    /// A session that has just been accepted. `number` names it in notes, `peer` is the client's address as text,
    /// `seed` feeds every random choice (stream ids).
    #[must_use]
    pub fn new(
        _now: Timestamp,
        _route: Arc<Route>,
        _policy: Arc<Policy>,
        _number: u64,
        _peer: &str,
        _seed: u64,
    ) -> Self {
        todo!()
    }
    /// The only way in and out. Every fault of a peer is already an answer in `out`.
    pub fn handle(&mut self, _now: Timestamp, _input: Input<'_>, _out: &mut Outbox) {
        todo!()
    }
    /// When [`Input::Tick`] should come at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        todo!()
    }
    /// Whether the session can use bytes from this side now; false while it waits for something else (a handshake,
    /// the server's word in SASL), or when that stream is over.
    #[must_use]
    pub fn wants(&self, _side: Side) -> bool {
        todo!()
    }
    /// Whether both legs are closed: no further input does anything.
    #[must_use]
    pub fn is_over(&self) -> bool {
        todo!()
    }
    /// What was counted.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        todo!()
    }
    /// The client's full JID, once bound.
    #[must_use]
    pub fn jid(&self) -> Option<&str> {
        todo!()
    }
}
