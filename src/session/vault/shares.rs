//! Which account holds how much of the vault: when there is no room, the one that holds the most makes it.
//!
//! Takes what is parked and what is taken away, gives the session that goes first. Must be quick with many accounts, and with
//! many sessions of one.

use super::SmKey;
use crate::xmpp::Timestamp;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// What all accounts hold, by their bare JIDs.
#[derive(Debug, Default)]
pub(super) struct Shares {
    accounts: BTreeMap<String, Share>,
    by_sessions: BTreeSet<Rank>,
    by_bytes: BTreeSet<Rank>,
}

#[derive(Debug, Default)]
struct Share {
    bytes: usize,
    /// When each of its sessions is too old.
    ages: BTreeSet<(Timestamp, SmKey)>,
}

/// How much an account holds; among equals the one comes last whose first session will be too old first.
type Rank = (usize, Reverse<Timestamp>, String);

impl Shares {
    /// The session that goes first if there are too many.
    pub(super) fn of_most_sessions(&self) -> Option<&SmKey> {
        self.first_of(self.by_sessions.last()?)
    }

    /// The session that goes first if they are too large.
    pub(super) fn of_most_bytes(&self) -> Option<&SmKey> {
        self.first_of(self.by_bytes.last()?)
    }

    fn first_of(&self, (_, _, account): &Rank) -> Option<&SmKey> {
        self.accounts.get(account)?.ages.first().map(|(_, key)| key)
    }

    pub(super) fn add(&mut self, account: &str, bytes: usize, until: Timestamp, key: &SmKey) {
        self.change(account, |share| {
            share.bytes += bytes;
            share.ages.insert((until, key.clone()));
        });
    }

    pub(super) fn remove(&mut self, account: &str, bytes: usize, until: Timestamp, key: &SmKey) {
        self.change(account, |share| {
            share.bytes -= bytes;
            share.ages.remove(&(until, key.clone()));
        });
    }

    fn change(&mut self, account: &str, change: impl FnOnce(&mut Share)) {
        let mut share = self.accounts.remove(account).unwrap_or_default();
        if let Some([sessions, bytes]) = share.ranks(account) {
            self.by_sessions.remove(&sessions);
            self.by_bytes.remove(&bytes);
        }
        change(&mut share);
        if let Some([sessions, bytes]) = share.ranks(account) {
            self.by_sessions.insert(sessions);
            self.by_bytes.insert(bytes);
            self.accounts.insert(account.to_owned(), share);
        }
    }
}

impl Share {
    /// Where its account stands by number and by bytes; nowhere if it holds nothing.
    fn ranks(&self, account: &str) -> Option<[Rank; 2]> {
        let first = Reverse(self.ages.first()?.0);
        Some([self.ages.len(), self.bytes].map(|much| (much, first, account.to_owned())))
    }
}
