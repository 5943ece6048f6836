//! [`Evicted`]: what is still known of requests whose rows had to go.
//!
//! Takes how many there were, and when; gives what an answer that fits nothing may be. Forgets in two steps: what was counted is
//! known for as long as the caller says, and for twice as long at most.

use crate::xmpp::Timestamp;

/// How many evicted requests still expect an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Evicted {
    /// Those counted since `since`, and those counted before.
    young: Counts,
    old: Counts,
    since: Timestamp,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    /// Of requests that we have answered: it must not pass.
    swallow: u32,
    /// Of all others.
    pass: u32,
}

impl Evicted {
    /// One more. What is too old must be forgotten before.
    pub(super) fn count(&mut self, may_pass: bool) {
        let count = self.young.of(may_pass);
        *count = count.saturating_add(1);
    }

    /// One of them has its answer.
    pub(super) fn spend(&mut self, may_pass: bool) {
        let old = self.old.of(may_pass);
        let count = if *old > 0 { old } else { self.young.of(may_pass) };
        *count = count.saturating_sub(1);
    }

    /// Whether an answer may belong to one of them, and then whether it may pass.
    pub(super) fn expects(&self) -> Option<bool> {
        if self.young.swallow > 0 || self.old.swallow > 0 {
            return Some(false);
        }
        self.may_pass().then_some(true)
    }

    pub(super) fn may_pass(&self) -> bool {
        self.young.pass > 0 || self.old.pass > 0
    }

    /// Time has passed: forgets what was counted more than twice `age` microseconds ago, and nothing younger than `age`.
    pub(super) fn forget(&mut self, now: Timestamp, age: u64) {
        let passed = now.0.saturating_sub(self.since.0);
        if passed >= age {
            self.old = if passed < age.saturating_mul(2) { self.young } else { Counts::default() };
            self.young = Counts::default();
            self.since = now;
        }
    }

    /// Time has stood still for so many microseconds.
    pub(super) fn carry_over(&mut self, later: u64) {
        self.since = Timestamp(self.since.0.saturating_add(later));
    }
}

impl Counts {
    fn of(&mut self, may_pass: bool) -> &mut u32 {
        if may_pass { &mut self.pass } else { &mut self.swallow }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_known_for_its_time_and_no_longer_than_twice() {
        for start in [0, 7, 10, 1_000_000] {
            for counted in 0..25 {
                let mut evicted = Evicted::default();
                for now in start..start + 60 {
                    evicted.forget(Timestamp(now), 10);
                    if now == start + counted {
                        evicted.count(true);
                    }
                    let age = now.checked_sub(start + counted);
                    let known = evicted.expects().is_some();
                    let right = age.map_or(!known, |age| if age < 10 { known } else { age < 20 || !known });
                    assert!(right, "{age:?} {known}");
                }
                // Nobody has looked for long.
                evicted.count(false);
                evicted.forget(Timestamp(start + 1000), 10);
                assert_eq!(evicted.expects(), None);
            }
        }
    }

    #[test]
    fn nothing_is_forgotten_while_time_stands_still() {
        let mut evicted = Evicted::default();
        evicted.forget(Timestamp(100), 10);
        evicted.count(true);
        evicted.carry_over(1000);
        evicted.forget(Timestamp(1109), 10);
        assert_eq!(evicted.expects(), Some(true));
        evicted.forget(Timestamp(1120), 10);
        assert_eq!(evicted.expects(), None);
    }

    #[test]
    fn each_is_spent_once_the_old_ones_first() {
        let mut evicted = Evicted::default();
        evicted.forget(Timestamp(100), 10);
        evicted.count(true);
        evicted.forget(Timestamp(115), 10);
        evicted.count(true);
        evicted.count(false);
        assert_eq!(evicted.expects(), Some(false));
        evicted.spend(false);
        evicted.spend(true);
        assert_eq!(evicted.expects(), Some(true));
        evicted.forget(Timestamp(125), 10);
        assert_eq!(evicted.expects(), Some(true), "the younger one is left");
        evicted.spend(true);
        assert_eq!(evicted.expects(), None);
        evicted.spend(true);
        assert_eq!(evicted, Evicted { since: Timestamp(125), ..Evicted::default() });
    }
}
