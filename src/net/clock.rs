//! Time for the core: a wall clock read once, then the monotonic clock on top. Never goes backwards, whatever the
//! administrator or NTP does to the wall clock meanwhile.

use crate::xmpp::Timestamp;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Where [`Timestamp`]s come from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Instant,
    start_micros: u64,
}

impl Clock {
    /// Reads the wall clock, for the only time.
    pub(super) fn start() -> Self {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { start: Instant::now(), start_micros: micros(wall) }
    }

    /// Now.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp(self.start_micros.saturating_add(micros(self.start.elapsed())))
    }

    /// When that is, for a timer.
    pub(super) fn instant(&self, at: Timestamp) -> Instant {
        self.start + Duration::from_micros(at.0.saturating_sub(self.start_micros).min(A_YEAR_MICROS))
    }
}

/// Nanoseconds since the first call, to measure how long something takes.
pub(super) fn nanos() -> u64 {
    static FIRST: OnceLock<std::time::Instant> = OnceLock::new();
    let since = FIRST.get_or_init(std::time::Instant::now).elapsed();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Timers need no more, and `Instant` may overflow on `u64::MAX`.
const A_YEAR_MICROS: u64 = 365 * 24 * 3600 * 1_000_000;

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_and_stamps_agree() {
        let clock = Clock::start();
        let now = clock.now();
        assert!(now.0 > 1_700_000_000_000_000, "a real date: {now:?}");
        assert!(clock.instant(now) <= Instant::now());
        assert!(clock.instant(now.plus_seconds(60)) > Instant::now() + Duration::from_secs(58));
        assert!(clock.instant(Timestamp(u64::MAX)) > Instant::now());
        assert!(clock.instant(Timestamp(0)) <= Instant::now());
    }
}
