//! Peers that take too long: a stanza that is begun and not finished, a client that says nothing any more.
//!
//! Takes when bytes came and when nobody could read any; gives who is late, and why. Must not count time in which a peer could not have
//! been heard: while its bytes are not read, or are held.

use super::core::{Core, Gate};
use super::sm_ledger::SmLedger;
use crate::xmpp::{Side, Timestamp};

const SIDES: [Side; 2] = [Side::Client, Side::Server];

impl Core {
    /// A side has said something.
    pub(super) fn heard(&mut self, side: Side) {
        if side == Side::Client {
            self.heard = self.now;
        }
    }

    /// What a side has said was looked at, and whether something was finished: from now on it has its time for what it has begun.
    pub(super) fn begins(&mut self, side: Side, finished: bool) {
        let now = self.now;
        let leg = self.leg(side);
        leg.begun = match leg.begun {
            _ if leg.pending.is_empty() => None,
            Some(since) if !finished => Some(since),
            _ => Some(now),
        };
    }

    /// Nothing is read from a side at this time.
    pub(super) fn not_read(&mut self, now: Timestamp, side: Side) {
        let leg = self.leg(side);
        leg.begun = leg.begun.map(|since| since.max(now));
        if side == Side::Client {
            self.heard = self.heard.max(now);
        }
    }

    /// When somebody will be late.
    pub(super) fn late_deadline(&self) -> Option<Timestamp> {
        SIDES.into_iter().map(|side| self.stanza_deadline(side)).chain([self.idle_deadline()]).flatten().min()
    }

    /// Who is late, and with what.
    pub(super) fn who_is_late(&mut self) -> Option<(Side, String)> {
        let now = self.now;
        let is_past = |deadline: Option<Timestamp>| deadline.is_some_and(|deadline| deadline <= now);
        if self.over || self.close_is_late() || self.login_is_late() {
            return None;
        }
        if let Some(side) = SIDES.into_iter().find(|side| is_past(self.stanza_deadline(*side))) {
            let seconds = self.route.stanza_seconds;
            return Some((side, format!("what was begun was not finished within {seconds} s")));
        }
        if is_past(self.idle_deadline()) {
            return Some((Side::Client, format!("nothing was heard for {} s", self.route.idle_seconds)));
        }
        None
    }

    fn stanza_deadline(&self, side: Side) -> Option<Timestamp> {
        let since = self.leg_ref(side).begun.filter(|_| self.route.stanza_seconds > 0)?;
        (self.gate(side) == Gate::Open).then(|| since.plus_seconds(self.route.stanza_seconds))
    }

    fn idle_deadline(&self) -> Option<Timestamp> {
        let counts = self.route.idle_seconds > 0 && self.jid.is_some() && self.close_deadline.is_none();
        (counts && self.gate(Side::Client) == Gate::Open).then(|| self.heard.plus_seconds(self.route.idle_seconds))
    }

    /// Bytes that peers make us hold, as far as that is known without counting.
    pub(super) fn held_bytes(&self) -> usize {
        let unfinished: usize = SIDES.into_iter().map(|side| self.leg_ref(side).pending.capacity()).sum();
        let ledgers: usize = self.sm.iter().flat_map(|sm| &sm.ledgers).map(SmLedger::weight).sum();
        unfinished + ledgers + self.iqs.held() + self.held()
    }
}
