//! [`Memory`]: what all sessions together hold, and what is done when that is too much.
//!
//! ```text
//! pump --Share::holds, when it differs by much--> a sum of all --above the limit--> warden: says so, has those pause that hold
//!   ^                                                               most, and cuts them if a second has not helped
//!   +---- one relaxed load a turn: how much a session may hold without being paused ----+
//! ```
//! Takes sizes, gives a limit for one session that is beyond reach as long as all is well. Must not lock anything while the sum is
//! right but for a few KiB of each session.

use super::reload::News;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep};

/// A session says what it holds when that differs by so much from what it has said.
const STEP: usize = 8 * 1024;
/// For sessions that are paused to get rid of what they hold.
const GRACE: Duration = Duration::from_secs(1);
/// Between two looks, while there is too much.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// All of it.
#[derive(Debug)]
pub(super) struct Memory {
    /// What all hold.
    held: AtomicUsize,
    /// The limit.
    most: AtomicUsize,
    /// A session that holds more than this pauses.
    pause_above: AtomicUsize,
    /// There may be too much.
    crossed: Notify,
    /// Those that hold something worth mentioning.
    accounts: Mutex<BTreeMap<u64, Arc<Account>>>,
}

/// What one session holds.
#[derive(Debug, Default)]
struct Account {
    held: AtomicUsize,
    cut: AtomicBool,
}

impl Memory {
    /// With this limit; 0 for none.
    pub(super) fn new(most: usize) -> Self {
        let memory = Self {
            held: AtomicUsize::new(0),
            most: AtomicUsize::new(usize::MAX),
            pause_above: AtomicUsize::new(usize::MAX),
            crossed: Notify::new(),
            accounts: Mutex::default(),
        };
        memory.set_limit(most);
        memory
    }

    /// Another limit holds from now on.
    pub(super) fn set_limit(&self, most: usize) {
        self.most.store(if most == 0 { usize::MAX } else { most }, Ordering::Relaxed);
        self.look();
    }

    /// Whether there is no room for anybody else.
    pub(super) fn is_full(&self) -> bool {
        self.pause_above.load(Ordering::Relaxed) != usize::MAX
            || self.held.load(Ordering::Relaxed) > self.most.load(Ordering::Relaxed)
    }

    /// What is held has changed from one amount to another.
    pub(super) fn changed(&self, from: usize, to: usize) {
        if to > from {
            self.held.fetch_add(to - from, Ordering::Relaxed);
            self.look();
        } else {
            self.held.fetch_sub(from - to, Ordering::Relaxed);
        }
    }

    fn look(&self) {
        if self.held.load(Ordering::Relaxed) > self.most.load(Ordering::Relaxed) {
            self.crossed.notify_one();
        }
    }

    fn accounts(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Account>>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches over it. `wake` wakes a session, or all of them. Never done.
    pub(super) async fn ward(&self, told: mpsc::Sender<News>, wake: impl Fn(Option<u64>)) {
        loop {
            self.crossed.notified().await;
            let most = self.most.load(Ordering::Relaxed);
            let held = self.held.load(Ordering::Relaxed);
            if held <= most {
                continue;
            }
            tell(&told, News::MemoryFull { held, most });
            self.relieve(&wake).await;
            self.pause_above.store(usize::MAX, Ordering::Relaxed);
            tell(&told, News::MemoryFine { held: self.held.load(Ordering::Relaxed) });
            wake(None);
        }
    }

    /// Until there is room again.
    async fn relieve(&self, wake: &impl Fn(Option<u64>)) {
        let since = Instant::now();
        loop {
            let most = self.most.load(Ordering::Relaxed);
            let held = self.held.load(Ordering::Relaxed);
            // Not at once at the limit again.
            let aim = most - most / 8;
            if held <= aim {
                return;
            }
            let accounts = self.accounts().len();
            self.pause_above.store(most / accounts.max(1), Ordering::Relaxed);
            if held > most && (since.elapsed() >= GRACE || held - most > most / 8) {
                self.cut(held - aim).into_iter().for_each(|session| wake(Some(session)));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Has those cut that hold most, until so much is free; who they are.
    fn cut(&self, mut excess: usize) -> Vec<u64> {
        let mut all: Vec<(usize, u64, Arc<Account>)> = {
            let accounts = self.accounts();
            let one = |(session, account): (&u64, &Arc<Account>)| {
                (account.held.load(Ordering::Relaxed), *session, Arc::clone(account))
            };
            accounts.iter().map(one).collect()
        };
        all.sort_unstable_by_key(|(held, session, _)| (std::cmp::Reverse(*held), *session));
        let mut cut = Vec::new();
        for (held, session, account) in all {
            if excess == 0 || held == 0 {
                break;
            }
            excess = excess.saturating_sub(held);
            account.cut.store(true, Ordering::Relaxed);
            cut.push(session);
        }
        cut
    }
}

/// Nobody waits for whoever is told.
fn tell(told: &mpsc::Sender<News>, news: News) {
    let _ = told.try_send(news);
}

/// One session's part of it.
#[derive(Debug)]
pub(super) struct Share {
    memory: Arc<Memory>,
    session: u64,
    /// What it has said that it holds.
    held: usize,
    account: Option<Arc<Account>>,
}

impl Share {
    pub(super) fn of(memory: &Arc<Memory>, session: u64) -> Self {
        Self { memory: Arc::clone(memory), session, held: 0, account: None }
    }

    /// The session holds so much now.
    #[inline]
    pub(super) fn holds(&mut self, bytes: usize) {
        if bytes.abs_diff(self.held) >= STEP {
            self.say(bytes);
        }
    }

    fn say(&mut self, bytes: usize) {
        let account = self.account.get_or_insert_with(|| {
            let account = Arc::<Account>::default();
            self.memory.accounts().insert(self.session, Arc::clone(&account));
            account
        });
        account.held.store(bytes, Ordering::Relaxed);
        let before = std::mem::replace(&mut self.held, bytes);
        self.memory.changed(before, bytes);
    }

    /// Whether nothing more is to be read.
    #[inline]
    pub(super) fn is_paused(&self) -> bool {
        self.held > self.memory.pause_above.load(Ordering::Relaxed)
    }

    /// Whether the session is to end; says so once.
    pub(super) fn is_cut(&self) -> bool {
        self.account.as_ref().is_some_and(|account| account.cut.swap(false, Ordering::Relaxed))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.account.is_some() {
            self.memory.accounts().remove(&self.session);
            self.memory.changed(self.held, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn those_that_hold_most_are_paused_and_then_cut() {
        let memory = Arc::new(Memory::new(1 << 20));
        let mut shares: Vec<Share> = (1..=4).map(|session| Share::of(&memory, session)).collect();
        for (share, held) in shares.iter_mut().zip([100_000, 600_000, 50_000, 200_000]) {
            share.holds(held);
            share.holds(held + 100); // not worth a word
        }
        assert!(!memory.is_full() && shares.iter().all(|share| !share.is_paused()));
        let (told, mut news) = mpsc::channel(8);
        let woken = Arc::<Mutex<Vec<Option<u64>>>>::default();
        let (ward, wakes) = (Arc::clone(&memory), Arc::clone(&woken));
        let ward = tokio::spawn(async move { ward.ward(told, |who| wakes.lock().unwrap().push(who)).await });
        let since = Instant::now();
        shares[3].holds(350_000);
        assert!(memory.is_full());
        while memory.pause_above.load(Ordering::Relaxed) == usize::MAX {
            sleep(Duration::from_millis(1)).await;
        }
        let paused: Vec<bool> = shares.iter().map(Share::is_paused).collect();
        assert_eq!(paused, [false, true, false, true], "whoever holds more than an equal part");
        assert!(matches!(news.try_recv(), Ok(News::MemoryFull { held: 1_100_000, most: 1_048_576 })));
        assert!(shares.iter().all(|share| !share.is_cut()));
        while woken.lock().unwrap().is_empty() {
            sleep(Duration::from_millis(1)).await;
        }
        assert!(since.elapsed() >= GRACE, "they have a second to get rid of it");
        assert_eq!(*woken.lock().unwrap(), [Some(2)]);
        assert!(shares[1].is_cut() && !shares[3].is_cut());
        shares[1].holds(0);
        while memory.is_full() {
            sleep(Duration::from_millis(1)).await;
        }
        assert!(!shares[3].is_paused());
        assert_eq!(woken.lock().unwrap().last(), Some(&None), "all go on");
        assert!(matches!(news.try_recv(), Ok(News::MemoryFine { held: 500_000 })));
        drop(shares);
        assert_eq!((memory.held.load(Ordering::Relaxed), memory.accounts().len()), (0, 0));
        ward.abort();
    }

    #[tokio::test]
    async fn far_too_much_is_not_waited_with_and_the_limit_may_change() {
        let memory = Arc::new(Memory::new(0));
        let mut share = Share::of(&memory, 7);
        share.holds(1 << 30);
        assert!(!memory.is_full(), "there is no limit");
        let (told, _news) = mpsc::channel(8);
        let ward = Arc::clone(&memory);
        let ward = tokio::spawn(async move { ward.ward(told, |_| ()).await });
        memory.set_limit(1 << 20);
        let since = Instant::now();
        while !share.is_cut() {
            sleep(Duration::from_millis(1)).await;
        }
        assert!(memory.is_full() && share.is_paused() && since.elapsed() < GRACE);
        ward.abort();
    }
}
