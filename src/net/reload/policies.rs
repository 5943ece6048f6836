//! The policy in force, its number, and how sessions that sit idle come to it.
//!
//! Takes policies, gives the newest to whoever asks for a newer one than it has. An old one is gone when the last session has
//! let go of it. Must not wake all sessions at once: each may have a script to run.

use crate::policy::Policy;
use crate::xmpp::Timestamp;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;

/// So many sessions are woken at a time...
const WAKE_AT_ONCE: usize = 64;
/// ...and then those that talk have their turn.
const WAKE_PAUSE: Duration = Duration::from_millis(1);

/// The policy in force. Old sessions ask it once a turn, new ones when they begin.
pub(in crate::net) struct Policies {
    /// The newest one's number.
    number: AtomicU64,
    newest: Mutex<InForce>,
    /// Living sessions, by number.
    sessions: Mutex<BTreeMap<u64, Waker>>,
    published: Notify,
}

struct InForce {
    policy: Arc<Policy>,
    since: Timestamp,
}

impl Policies {
    pub(in crate::net) fn new(policy: Policy, since: Timestamp) -> Self {
        Self {
            number: AtomicU64::new(policy.number),
            newest: Mutex::new(InForce { policy: Arc::new(policy), since }),
            sessions: Mutex::default(),
            published: Notify::new(),
        }
    }

    /// The policy with this number's successor, if there is one. One relaxed load, unless there is.
    pub(in crate::net) fn newer_than(&self, number: u64) -> Option<Arc<Policy>> {
        // The number is written under the lock that is taken next: whoever sees it finds a policy at least as new.
        (self.number.load(Ordering::Relaxed) != number).then(|| self.newest())
    }

    pub(in crate::net) fn newest(&self) -> Arc<Policy> {
        Arc::clone(&lock(&self.newest).policy)
    }

    /// The number of the policy in force, and since when it is.
    pub(super) fn in_force(&self) -> (u64, Timestamp) {
        let newest = lock(&self.newest);
        (newest.policy.number, newest.since)
    }

    pub(super) fn publish(&self, mut policy: Policy, now: Timestamp) -> u64 {
        let mut newest = lock(&self.newest);
        policy.number = newest.policy.number.saturating_add(1);
        let number = policy.number;
        let old = std::mem::replace(&mut *newest, InForce { policy: Arc::new(policy), since: now });
        self.number.store(number, Ordering::Relaxed);
        drop(newest);
        drop(old); // if it was the last one's hand, that takes a while
        self.published.notify_one();
        number
    }

    /// A session's task begins: it can be woken from now on. A task's waker is always the same one.
    pub(in crate::net) fn enter(&self, session: u64, waker: Waker) {
        lock(&self.sessions).insert(session, waker);
    }

    /// It is over.
    pub(in crate::net) fn leave(&self, session: u64) {
        let waker = lock(&self.sessions).remove(&session);
        drop(waker); // not under the lock
    }

    /// Wakes a session that lives.
    pub(in crate::net) fn wake(&self, session: u64) {
        let waker = lock(&self.sessions).get(&session).cloned();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Has every session woken, some at a time.
    pub(in crate::net) fn wake_soon(&self) {
        self.published.notify_one();
    }

    /// Wakes every session after each publication, some at a time. What is published meanwhile asks for another round. Never done.
    pub(super) async fn wake_all(&self) {
        loop {
            self.published.notified().await;
            let mut after = 0;
            while let Some(last) = self.wake_some(after) {
                after = last;
                sleep(WAKE_PAUSE).await;
            }
        }
    }

    /// Wakes the next ones; the last one's number, if there were any.
    fn wake_some(&self, after: u64) -> Option<u64> {
        let next: Vec<(u64, Waker)> = {
            let sessions = lock(&self.sessions);
            let rest = sessions.range((Bound::Excluded(after), Bound::Unbounded));
            rest.take(WAKE_AT_ONCE).map(|(number, waker)| (*number, waker.clone())).collect()
        };
        let last = next.last().map(|(number, _)| *number);
        next.into_iter().for_each(|(_, waker)| waker.wake());
        last
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Weak;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    #[test]
    fn numbers_count_up_and_who_has_the_newest_gets_nothing() {
        let policies = Policies::new(Policy { number: 1, ..Policy::default() }, Timestamp(5));
        assert!(policies.newer_than(1).is_none());
        assert_eq!(policies.in_force(), (1, Timestamp(5)));
        let first: Weak<Policy> = Arc::downgrade(&policies.newest());
        assert_eq!(policies.publish(Policy { number: 77, ..Policy::default() }, Timestamp(6)), 2);
        assert_eq!(policies.newer_than(1).map(|policy| policy.number), Some(2));
        assert!(policies.newer_than(2).is_none());
        assert_eq!(policies.in_force(), (2, Timestamp(6)));
        assert!(first.upgrade().is_none(), "nobody has the old one any more");
    }

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn with_sessions(count: u64) -> (Policies, Arc<Count>) {
        let (policies, woken) = (Policies::new(Policy::default(), Timestamp(0)), Arc::<Count>::default());
        (1..=count).for_each(|session| policies.enter(session, Arc::clone(&woken).into()));
        (policies, woken)
    }

    #[test]
    fn they_are_woken_some_at_a_time() {
        let (policies, woken) = with_sessions(150);
        (1..=40).for_each(|session| policies.leave(session));
        assert_eq!(policies.wake_some(0), Some(104));
        assert_eq!(woken.0.load(Ordering::Relaxed), WAKE_AT_ONCE);
        assert_eq!(policies.wake_some(104), Some(150));
        assert_eq!(policies.wake_some(150), None);
        assert_eq!(woken.0.load(Ordering::Relaxed), 110);
    }

    #[tokio::test]
    async fn each_publication_wakes_all() {
        let (policies, woken) = with_sessions(100);
        let policies = Arc::new(policies);
        let waking = Arc::clone(&policies);
        let waking = tokio::spawn(async move { waking.wake_all().await });
        for round in 1..=3 {
            policies.publish(Policy::default(), Timestamp(1));
            while woken.0.load(Ordering::Relaxed) < round * 100 {
                sleep(WAKE_PAUSE).await;
            }
        }
        waking.abort();
        assert_eq!(woken.0.load(Ordering::Relaxed), 300);
    }
}
