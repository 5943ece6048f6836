//! How fast a side may send: what is beyond that waits unread, and nothing of it is lost.
//!
//! Takes how much a side has sent and the time, gives whether it has to wait and until when. What was read already stays where
//! unfinished bytes are kept: one reading at most, for the session wants no more. Must not touch what a stanza means, or the other side.

use super::core::Core;
use crate::policy::Rate;
use crate::xmpp::{Side, Timestamp};

const SECOND_NANOS: u64 = 1_000_000_000;

/// One side's pace.
#[derive(Debug)]
pub(super) struct Pace {
    rate: Rate,
    /// When what was sent would have been sent at the rate, in nanoseconds: by stanzas, by bytes.
    due: [u64; 2],
    /// It has to wait until then.
    until: Option<Timestamp>,
}

impl Pace {
    /// None for a rate that limits nothing.
    pub(super) fn of(rate: Rate) -> Option<Box<Self>> {
        rate.is_limited().then(|| Box::new(Self { rate, due: [0; 2], until: None }))
    }

    /// So much was sent. It may be more than the burst, since a stanza is looked at whole: then the wait is longer.
    fn sent(&mut self, now: Timestamp, stanzas: u64, bytes: u64) {
        let now = now.0.saturating_mul(1000);
        let burst = self.rate.burst_seconds.saturating_mul(SECOND_NANOS);
        let mut until = 0;
        for (due, (count, rate)) in self.due.iter_mut().zip([(stanzas, self.rate.stanzas), (bytes, self.rate.bytes)]) {
            if let Some(takes) = count.saturating_mul(SECOND_NANOS).checked_div(rate) {
                *due = (*due).max(now).saturating_add(takes);
                until = until.max(due.saturating_sub(burst));
            }
        }
        if until > now {
            self.until = Some(Timestamp(until.div_ceil(1000)));
        }
    }
}

impl Core {
    /// A side has sent an item.
    pub(super) fn paced(&mut self, side: Side, stanzas: u64, bytes: usize) {
        let now = self.now;
        if let Some(pace) = &mut self.paces[side.index()] {
            pace.sent(now, stanzas, bytes as u64);
        }
    }

    /// Whether a side has to wait.
    pub(super) fn is_paused(&self, side: Side) -> bool {
        self.paces[side.index()].as_ref().is_some_and(|pace| pace.until.is_some())
    }

    /// When a side may go on.
    pub(super) fn pace_deadline(&self) -> Option<Timestamp> {
        self.paces.iter().flatten().filter_map(|pace| pace.until).min()
    }

    /// Lets those go on whose time has come.
    pub(super) fn keep_pace(&mut self) {
        for side in [Side::Client, Side::Server] {
            let now = self.now;
            if let Some(pace) = &mut self.paces[side.index()]
                && pace.until.is_some_and(|until| until <= now)
            {
                pace.until = None;
                self.not_read(now, side); // until now
                self.resume(side);
            }
        }
    }

    /// A side that may have to wait need not any more, for the session ends: what it has sent goes first. Whether there is one.
    pub(super) fn hurry(&mut self) -> Option<Side> {
        // Also one whose time has come in this very moment.
        [Side::Client, Side::Server].into_iter().find(|side| self.paces[side.index()].take().is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp(1_700_000_000_000_000);

    fn after(millis: u64) -> Timestamp {
        Timestamp(START.0 + millis * 1000)
    }

    #[test]
    fn no_rate_no_pace() {
        assert!(Pace::of(Rate::default()).is_none());
    }

    #[test]
    fn a_burst_passes_and_what_follows_waits_its_time() {
        let mut pace = Pace::of(Rate { stanzas: 10, bytes: 0, burst_seconds: 2 }).unwrap();
        (0..20).for_each(|_| pace.sent(START, 1, 1_000_000));
        assert_eq!(pace.until, None, "two seconds' worth");
        pace.sent(START, 1, 1);
        assert_eq!(pace.until, Some(after(100)));
        pace.until = None;
        pace.sent(after(100), 1, 1);
        assert_eq!(pace.until, Some(after(200)), "one every tenth of a second from then on");
        pace.until = None;
        pace.sent(after(60_000), 19, 1);
        assert_eq!(pace.until, None, "rest is not saved up beyond the burst, nor forgotten");
        pace.sent(after(60_000), 2, 1);
        assert_eq!(pace.until, Some(after(60_100)));
    }

    #[test]
    fn the_slower_of_both_counts() {
        let mut pace = Pace::of(Rate { stanzas: 1000, bytes: 1000, burst_seconds: 1 }).unwrap();
        pace.sent(START, 1, 11_000);
        assert_eq!(pace.until, Some(after(10_000)), "a stanza may be larger than the burst");
    }
}
