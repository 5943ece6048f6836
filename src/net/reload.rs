//! Reloading: a new policy for sessions that live, new terms for those that begin, and the scripts' files followed while they are edited.
//!
//! ```text
//! files --notify--> Follower (one thread: waits until nothing moves, compiles aside)
//!                      | Reloader::publish, if it is whole          | News, either way
//!                      v                                            v
//! Policies: an Arc and its number <--one relaxed load a turn-- pump    the sinks, as all notes
//! ```
//! Takes a [`Config`](crate::config::Config) and paths, gives [`Policy`]s to the pumps, each between two inputs. Must not put a
//! lock, a channel or an await between two sockets: a pump takes the lock only when the number has changed.

mod follow;
mod places;
mod policies;
mod prints;
mod watch;

pub use follow::{Again, Anew, Follower, Scripts};
pub(super) use policies::Policies;

use super::clock::{self, Clock};
use super::house::House;
use super::notes::Teller;
use crate::config::ConfigError;
use crate::policy::Policy;
use crate::xmpp::Timestamp;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// For sinks that are behind to take news.
const TELL_TIME: Duration = Duration::from_secs(5);
/// News that may wait to be told.
const NEWS: usize = 16;

/// Something to be known of the process, not of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// A new version of the scripts is in force, or, if that was asked for by hand, all that is configured.
    Reloaded {
        /// What has changed; all that was read again if that was asked for.
        files: Vec<PathBuf>,
        /// The policy's number.
        policy: u64,
        /// Keys that have changed and are taken over by a restart only.
        restart: Vec<&'static str>,
    },
    /// A new version cannot be used.
    NotReloaded {
        /// Where and why.
        error: ConfigError,
        /// The number of the policy that stays in force.
        policy: u64,
        /// Since when it is.
        since: Timestamp,
    },
    /// The store does not do what it is asked to.
    StoreFailed {
        /// Why, for people.
        why: String,
    },
    /// The store does it again.
    StoreWorks,
    /// Connections were not let in.
    Refused {
        /// How many, since it was told last.
        count: u64,
        /// How many, since the start.
        total: u64,
        /// Where the last one came from.
        address: IpAddr,
        /// The key of the limit that it ran into.
        limit: &'static str,
    },
    /// The sessions hold more than they may together: those that hold most are not read from, and then cut.
    MemoryFull {
        /// Bytes held.
        held: usize,
        /// The limit.
        most: usize,
    },
    /// They do not any more.
    MemoryFine {
        /// Bytes held.
        held: usize,
    },
}

/// Puts policies in force, from any thread, for as long as the server lives.
#[derive(Clone)]
pub struct Reloader {
    policies: Arc<Policies>,
    house: Arc<House>,
    news: mpsc::Sender<News>,
    clock: Clock,
    /// Whether what scripts keep outlives the server.
    lasts: bool,
}

impl Reloader {
    pub(super) fn new(
        policies: Arc<Policies>,
        house: Arc<House>,
        clock: Clock,
        lasts: bool,
    ) -> (Self, mpsc::Receiver<News>) {
        let (news, told) = mpsc::channel(NEWS);
        (Self { policies, house, news, clock, lasts }, told)
    }

    /// Gives the policy the next number and puts it in force: new sessions begin with it, living ones go on with it after the
    /// input that they are at, idle ones within a moment. Gives its number.
    pub fn publish(&self, policy: Policy) -> u64 {
        self.policies.publish(policy.timed_by(clock::nanos), self.clock.now())
    }

    /// What is in force.
    #[must_use]
    pub fn in_force(&self) -> Arc<Policy> {
        self.policies.newest()
    }

    /// Where other parts of the server tell what is to be known of the process.
    pub(super) fn teller(&self) -> mpsc::Sender<News> {
        self.news.clone()
    }

    /// Waits for room; whether the server is still there. Not for a thread that drives futures.
    fn tell(&self, news: News) -> bool {
        self.news.blocking_send(news).is_ok()
    }
}

/// What a server does beside accepting: wakes the idle when there is a new policy, and tells news. Never done.
pub(super) async fn attend(policies: Arc<Policies>, mut news: mpsc::Receiver<News>, teller: Teller, clock: Clock) {
    let tell = async {
        while let Some(news) = news.recv().await {
            // The recorder may be stuck; it is not waited for here.
            let _ = timeout(TELL_TIME, teller.tell_news(clock.now(), news)).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::join!(policies.wake_all(), tell);
}
