//! [`Vault`]: the sessions that wait to be resumed, and which living session could be.
//!
//! Takes what sessions ask their shell by `Act::Enlist`, `Look`, `Claim` and `Park`; gives what is kept. Bounded in number, age
//! and bytes: the one that would be the first to grow too old goes first. Must not decide whose session it is: the server does.

use super::{Kept, SmKey, Snapshot};
use crate::policy::VaultLimits;
use crate::xmpp::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// What outlives the connections of all sessions.
#[derive(Debug)]
pub struct Vault {
    limits: VaultLimits,
    parked: BTreeMap<SmKey, Parked>,
    /// When each of them is too old.
    ages: BTreeSet<(Timestamp, SmKey)>,
    bytes: usize,
    /// Which living session answers to a key, and the other way round.
    owners: BTreeMap<SmKey, u64>,
    keys: BTreeMap<u64, SmKey>,
    /// Which session was the last to ask for a key, and has not got it yet.
    askers: BTreeMap<SmKey, u64>,
    asked: BTreeMap<u64, SmKey>,
}

#[derive(Debug)]
struct Parked {
    kept: Box<Kept>,
    weight: usize,
    until: Timestamp,
}

impl Vault {
    /// An empty one.
    #[must_use]
    pub fn new(limits: VaultLimits) -> Self {
        Self {
            limits,
            parked: BTreeMap::new(),
            ages: BTreeSet::new(),
            bytes: 0,
            owners: BTreeMap::new(),
            keys: BTreeMap::new(),
            askers: BTreeMap::new(),
            asked: BTreeMap::new(),
        }
    }

    /// A living session answers to this key from now on, and to no other.
    pub fn enlist(&mut self, key: SmKey, session: u64) {
        self.release(session);
        if let Some(before) = self.owners.insert(key.clone(), session) {
            self.keys.remove(&before);
        }
        self.keys.insert(session, key);
    }

    /// A session asks for a key (`Act::Look`). Gives the one that has asked for it before, if it is not known to have ended:
    /// it must be told [`Input::Superseded`](super::Input::Superseded). Whoever asks last will have the session, for a word
    /// of the server's that comes late must not take it away from a younger connection.
    pub fn ask(&mut self, key: &SmKey, session: u64) -> Option<u64> {
        self.unask(session);
        self.asked.insert(session, key.clone());
        let before = self.askers.insert(key.clone(), session)?;
        self.asked.remove(&before);
        Some(before)
    }

    fn unask(&mut self, session: u64) {
        if let Some(key) = self.asked.remove(&session) {
            self.askers.remove(&key);
        }
    }

    /// A session is over: it answers to nothing any more.
    pub fn release(&mut self, session: u64) {
        self.unask(session);
        if let Some(key) = self.keys.remove(&session) {
            self.owners.remove(&key);
        }
    }

    /// The living session with that key.
    #[must_use]
    pub fn owner(&self, key: &SmKey) -> Option<u64> {
        self.owners.get(key).copied()
    }

    /// Keeps the state of a session whose connection is gone.
    pub fn park(&mut self, now: Timestamp, kept: Box<Kept>) {
        self.tidy(now);
        let promised = Some(kept.seconds()).filter(|&seconds| seconds > 0).unwrap_or(self.limits.seconds);
        let until = now.plus_seconds(promised.min(self.limits.seconds));
        let (key, weight) = (kept.key().clone(), kept.weight());
        self.remove(&key);
        self.bytes += weight;
        self.ages.insert((until, key.clone()));
        self.parked.insert(key, Parked { kept, weight, until });
        while self.parked.len() > self.limits.sessions || self.bytes > self.limits.bytes {
            let Some((_, key)) = self.ages.pop_first() else { return };
            self.remove(&key);
        }
    }

    /// What is known of a parked session.
    #[must_use]
    pub fn look(&self, now: Timestamp, key: &SmKey) -> Option<Box<Snapshot>> {
        self.parked.get(key).filter(|parked| now < parked.until).map(|parked| parked.kept.snapshot())
    }

    /// Gives a parked session away.
    pub fn claim(&mut self, now: Timestamp, key: &SmKey) -> Option<Box<Kept>> {
        self.tidy(now);
        self.remove(key)
    }

    /// Parked sessions.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parked.len()
    }

    /// Whether none is parked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parked.is_empty()
    }

    /// Forgets what is too old.
    fn tidy(&mut self, now: Timestamp) {
        while self.ages.first().is_some_and(|(until, _)| *until <= now)
            && let Some((_, key)) = self.ages.pop_first()
        {
            self.remove(&key);
        }
    }

    fn remove(&mut self, key: &SmKey) -> Option<Box<Kept>> {
        let (key, parked) = self.parked.remove_entry(key)?;
        self.ages.remove(&(parked.until, key));
        self.bytes -= parked.weight;
        Some(parked.kept)
    }
}
