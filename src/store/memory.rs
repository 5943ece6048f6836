//! A store in memory: for playbooks, for tests, and where nothing must outlive the process.
//!
//! Takes operations, gives what has come of them. Nothing of it can fail.

use super::work::{Batch, Keep, Look, weight};
use crate::keep::{Done, Op, Store};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::Bound;

/// Account, space, name.
type Key = (String, String, String);

/// A store in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryStore {
    entries: BTreeMap<Key, Bytes>,
    /// What those of accounts weigh, and may weigh; 0: as much as comes.
    weight: usize,
    most_weight: usize,
}

impl MemoryStore {
    /// With nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// All entries of accounts may have so many bytes, names included; 0: as many as come.
    #[must_use]
    pub fn holding(self, most_bytes: usize) -> Self {
        Self { most_weight: most_bytes, ..self }
    }

    /// What is kept under a name.
    #[must_use]
    pub fn get(&self, account: &str, space: &str, name: &str) -> Option<&Bytes> {
        self.entries.get(&key(account, space, name))
    }

    /// All entries, in order: account, space, name, what is kept.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &str, &str, &Bytes)> {
        self.entries.iter().map(|((account, space, name), value)| (&**account, &**space, &**name, value))
    }
}

impl Store for MemoryStore {
    fn run(&mut self, ops: &[Op]) -> Vec<Done> {
        let mut batch = Batch::holding(self.most_weight);
        let done = ops.iter().map(|op| match batch.run(self, op) {
            Ok(done) => done,
            Err(never) => match never {},
        });
        done.collect()
    }
}

impl Look for MemoryStore {
    type Error = Infallible;

    fn get(&self, account: &str, space: &str, name: &str) -> Result<Option<Bytes>, Infallible> {
        Ok(self.get(account, space, name).cloned())
    }

    fn walk(&self, account: &str, space: &str, each: &mut dyn FnMut(&str, &[u8])) -> Result<(), Infallible> {
        let from = self.entries.range((Bound::Included(key(account, space, "")), Bound::Unbounded));
        let there = from.take_while(|((of, at, _), _)| of == account && at == space);
        there.for_each(|((_, _, name), value)| each(name, value));
        Ok(())
    }

    fn weigh(&self) -> Result<usize, Infallible> {
        Ok(self.weight)
    }
}

impl Keep for MemoryStore {
    fn put(&mut self, account: &str, space: &str, name: &str, value: &[u8]) -> Result<(), Infallible> {
        // A copy: what was given may be a small part of something large.
        let before = self.entries.insert(key(account, space, name), Bytes::copy_from_slice(value));
        self.weight += weight(account, space, name, value);
        self.weight -= before.map_or(0, |before| weight(account, space, name, &before));
        Ok(())
    }

    fn delete(&mut self, account: &str, space: &str, name: &str) -> Result<bool, Infallible> {
        let before = self.entries.remove(&key(account, space, name));
        self.weight -= before.as_ref().map_or(0, |before| weight(account, space, name, before));
        Ok(before.is_some())
    }
}

fn key(account: &str, space: &str, name: &str) -> Key {
    (account.to_owned(), space.to_owned(), name.to_owned())
}
