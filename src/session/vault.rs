//! [`Vault`]: the sessions that wait to be resumed, and which living session could be.
//!
//! Takes what sessions ask their shell by `Act::Enlist`, `Look`, `Claim` and `Park`; gives what is kept. Bounded in number, age
//! and bytes: when it is full, the account that holds the most loses the one that would be the first to grow too old. Must not
//! decide whose session it is: the server does.

mod shares;

use super::{Kept, SmKey, Snapshot};
use crate::policy::VaultLimits;
use crate::xmpp::{Timestamp, jid};
use shares::Shares;
use std::collections::{BTreeMap, BTreeSet};

/// What outlives the connections of all sessions.
#[derive(Debug)]
pub struct Vault {
    limits: VaultLimits,
    parked: BTreeMap<SmKey, Parked>,
    /// When each of them is too old.
    ages: BTreeSet<(Timestamp, SmKey)>,
    bytes: usize,
    shares: Shares,
    /// Which living session answers to a key, and the other way round.
    owners: BTreeMap<SmKey, u64>,
    keys: BTreeMap<u64, SmKey>,
    /// Which sessions have asked for a key and are not told otherwise, in the order of asking, and the other way round.
    askers: BTreeMap<SmKey, BTreeMap<u64, u64>>,
    asked: BTreeMap<u64, (SmKey, u64)>,
    /// How often anybody has asked.
    looks: u64,
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
            shares: Shares::default(),
            owners: BTreeMap::new(),
            keys: BTreeMap::new(),
            askers: BTreeMap::new(),
            asked: BTreeMap::new(),
            looks: 0,
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

    /// A session asks for a key (`Act::Look`). Whether it may is not known yet, so nobody else is disturbed.
    pub fn ask(&mut self, key: &SmKey, session: u64) {
        self.unask(session);
        self.looks += 1;
        self.asked.insert(session, (key.clone(), self.looks));
        self.askers.entry(key.clone()).or_default().insert(self.looks, session);
    }

    /// The server has let a session resume what it has asked for (`Act::Claim`). Gives those that have asked before it: they
    /// must be told [`Input::Superseded`](super::Input::Superseded). `None` if the server has let one resume that has asked
    /// later: a word that comes late must not take the session away from a younger connection.
    pub fn confirm(&mut self, key: &SmKey, session: u64) -> Option<Vec<u64>> {
        let look = self.asked.get(&session).filter(|(asked, _)| asked == key)?.1;
        self.unask(session);
        let askers = self.askers.get(key).into_iter().flatten();
        let older: Vec<u64> = askers.take_while(|(other, _)| **other < look).map(|(_, session)| *session).collect();
        older.iter().for_each(|asker| self.unask(*asker));
        Some(older)
    }

    fn unask(&mut self, session: u64) {
        let Some((key, look)) = self.asked.remove(&session) else { return };
        let Some(askers) = self.askers.get_mut(&key) else { return };
        askers.remove(&look);
        if askers.is_empty() {
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
        self.shares.add(jid::bare(kept.jid()), weight, until, &key);
        self.parked.insert(key, Parked { kept, weight, until });
        while let Some(key) = self.too_much().cloned() {
            self.remove(&key);
        }
    }

    /// The session that goes first, if there is no room for all.
    fn too_much(&self) -> Option<&SmKey> {
        if self.parked.len() > self.limits.sessions {
            self.shares.of_most_sessions()
        } else if self.bytes > self.limits.bytes {
            self.shares.of_most_bytes()
        } else {
            None
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

    /// Bytes that they take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
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
        self.shares.remove(jid::bare(parked.kept.jid()), parked.weight, parked.until, &key);
        self.ages.remove(&(parked.until, key));
        self.bytes -= parked.weight;
        Some(parked.kept)
    }
}
