//! What waits: for a peer that does not take it, for memory. When a side is not read, when a peer or the session is given up.
//!
//! Takes what the sockets and the session hold. Everything here has an end in time: a peer that takes nothing loses its
//! connection, a session that holds too much while all together do loses its own.

use super::{Pump, SIDES};
use crate::session::Input;
use crate::xmpp::{Side, StreamCondition, Timestamp};
use bytes::BytesMut;
use std::task::Context;

/// While bytes wait for a peer, nothing may be read from the other, so it is looked at this often whether it is there.
const LOOK_MICROS: u64 = 1_000_000;

impl Pump {
    /// Whether nothing is read from this side, because too much waits already, for the other side or for itself, or all sessions hold
    /// too much and this one more than most.
    pub(super) fn is_blocked(&self, side: Side) -> bool {
        let taken = self.out.to[side.other().index()].len() < self.queue.bytes;
        let listens = self.legs[side.index()].broken || self.out.to[side.index()].len() < self.queue.own_bytes;
        !taken || !listens || self.share.is_paused()
    }

    /// Before the session looks who is late: whoever was not read is not.
    pub(super) fn excuse(&mut self) {
        for side in SIDES {
            if self.is_blocked(side) {
                self.session.is_not_read(self.now, side);
            }
        }
    }

    /// Says what the session holds.
    pub(super) fn measure(&mut self) {
        let waiting: usize = self.out.to.iter().map(BytesMut::len).sum();
        let unfed: usize = self.legs.iter().map(|leg| leg.unfed.len()).sum();
        self.share.holds(waiting + unfed + self.session.holds());
    }

    /// Ends the session, and throws away what waits, if it is one of those that hold most while all hold too much; whether it is.
    pub(super) fn cut_if_asked(&mut self) -> bool {
        if !self.share.is_paused() || !self.share.is_cut() {
            return false;
        }
        tracing::debug!(session = self.info.number, "cut for want of memory");
        let why = "iqtap has no memory left, and this session holds more than others".to_owned();
        for (leg, waiting) in self.legs.iter_mut().zip(&self.out.to) {
            leg.broken |= !waiting.is_empty(); // a part of it may be out: nothing that is said behind that would be understood
            leg.unfed.clear();
        }
        self.feed(Input::Refused(Side::Client, StreamCondition::ResourceConstraint, why));
        true
    }

    /// While bytes wait for a peer: whether one took none for too long, or has gone while nothing is read from it.
    pub(super) fn look_after(&mut self, cx: &mut Context<'_>) -> bool {
        if self.legs.iter().all(|leg| leg.stalled.is_none()) {
            self.look_at = None;
            return false;
        }
        let next = Timestamp(self.now.0.saturating_add(LOOK_MICROS));
        let at = self.look_at.get_or_insert(next);
        let most = self.queue.most_bytes;
        let full = self.out.to.iter().any(|waiting| waiting.len() > most);
        if *at > self.now && !full {
            return false;
        }
        *at = next;
        let mut ended = false;
        for side in SIDES {
            ended |= self.end_if_lost(cx, side);
        }
        ended
    }

    /// Ends a side that is reset, has stalled for too long or lets too much wait; whether it has.
    fn end_if_lost(&mut self, cx: &mut Context<'_>, side: Side) -> bool {
        let leg = &mut self.legs[side.index()];
        let stalled = leg.stalled.is_some_and(|since| since.plus_seconds(self.queue.seconds) <= self.now)
            || self.out.to[side.index()].len() > self.queue.most_bytes;
        if leg.broken || !(stalled || leg.wire.is_reset(cx)) {
            return false;
        }
        tracing::debug!(session = self.info.number, ?side, stalled, "lost");
        leg.broken = true;
        leg.unfed.clear();
        if !leg.ended {
            self.end(side);
        }
        true
    }
}
