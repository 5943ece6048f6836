//! What operations mean, whatever keeps the entries.
//!
//! Takes operations and the entries, gives what has come of each. A write is weighed before anything of it is done, so that
//! one that is refused has nothing to take back.

use crate::keep::{Change, Done, Entry, NOBODY, Op, Space, Trouble};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// Entries that can be looked at.
pub(super) trait Look {
    /// Why that can fail.
    type Error;
    /// What is kept under a name.
    fn get(&self, account: &str, space: &str, name: &str) -> Result<Option<Bytes>, Self::Error>;
    /// All names of a space and what is kept under them, in order.
    fn walk(&self, account: &str, space: &str, each: &mut dyn FnMut(&str, &[u8])) -> Result<(), Self::Error>;
    /// What all entries of accounts weigh: see [`weight`].
    fn weigh(&self) -> Result<usize, Self::Error>;
}

/// What an entry counts for the limit on all of accounts, in bytes; what belongs to nobody has limits of its own.
pub(super) fn weight(account: &str, space: &str, name: &str, value: &[u8]) -> usize {
    if account == NOBODY { 0 } else { account.len() + space.len() + name.len() + value.len() }
}

/// Entries that can be changed.
pub(super) trait Keep: Look {
    /// Keeps that under a name.
    fn put(&mut self, account: &str, space: &str, name: &str, value: &[u8]) -> Result<(), Self::Error>;
    /// Keeps nothing under a name; whether something was.
    fn delete(&mut self, account: &str, space: &str, name: &str) -> Result<bool, Self::Error>;
}

/// Does an operation that changes nothing; a write is none.
pub(super) fn read<L: Look>(entries: &L, op: &Op) -> Result<Done, L::Error> {
    match op {
        Op::Get { account, space, name } => {
            let value = entries.get(account, space, name)?;
            let entry = |value| Entry { space: space.to_string(), name: name.clone(), value };
            Ok(Ok(value.map(entry).into_iter().collect()))
        }
        Op::List { account, spaces } => list(entries, account, spaces).map(Ok),
        Op::Write { .. } => Ok(Ok(Vec::new())),
    }
}

fn list<L: Look>(entries: &L, account: &str, spaces: &[Space]) -> Result<Vec<Entry>, L::Error> {
    let mut all = Vec::new();
    for space in spaces.iter().map(|space| &**space).collect::<BTreeSet<_>>() {
        entries.walk(account, space, &mut |name, value| {
            all.push(Entry { space: space.to_owned(), name: name.to_owned(), value: Bytes::copy_from_slice(value) });
        })?;
    }
    Ok(all)
}

/// How many counts are remembered from one batch to the next.
const COUNTS: usize = 1024;

/// Operations done one after the other: what is known from one to the next. Goes on with the next batch, unless what was done
/// is undone.
#[derive(Default)]
pub(super) struct Batch {
    /// How many entries a space of an account holds, once that was counted: it may be many.
    counts: BTreeMap<(String, String), usize>,
    /// What all entries of accounts weigh, once that is known...
    weight: Option<usize>,
    /// ...and may weigh; 0: as much as comes.
    most_weight: usize,
    /// Whether anything was changed at all.
    pub(super) dirty: bool,
}

impl Batch {
    /// Nothing is known yet; all entries of accounts may weigh so much.
    pub(super) fn holding(most_weight: usize) -> Self {
        Self { most_weight, ..Self::default() }
    }

    /// Begins the next batch.
    pub(super) fn begin(&mut self) {
        self.dirty = false;
        if self.counts.len() > COUNTS {
            self.counts.clear();
        }
    }

    /// Does any operation.
    pub(super) fn run<K: Keep>(&mut self, entries: &mut K, op: &Op) -> Result<Done, K::Error> {
        match op {
            Op::Write { account, changes, most } => self.write(entries, account, changes, *most),
            Op::Get { .. } | Op::List { .. } => read(entries, op),
        }
    }

    fn write<K: Keep>(
        &mut self,
        entries: &mut K,
        account: &str,
        changes: &[Change],
        most: usize,
    ) -> Result<Done, K::Error> {
        let plan = Plan::of(changes);
        let mut counts = BTreeMap::new();
        for space in plan.filled() {
            let count = self.count_after(entries, account, space, &plan)?;
            // What is too full already, since it may hold less than it did, can still be mended.
            if count > most.max(self.count(entries, account, space)?) {
                return Ok(Err(Trouble::Full(most)));
            }
            counts.insert(space, count);
        }
        if self.most_weight > 0 && account != NOBODY {
            let [added, removed] = plan.weigh(entries, account)?;
            let weight = match self.weight {
                Some(weight) => weight,
                None => entries.weigh()?,
            };
            let after = weight.saturating_add(added).saturating_sub(removed);
            if after > self.most_weight && added > removed {
                self.weight = Some(weight);
                return Ok(Err(Trouble::Full(0)));
            }
            self.weight = Some(after);
        }
        self.dirty |= plan.carry_out(entries, account)?;
        for space in changes.iter().map(Change::space) {
            let key = (account.to_owned(), space.to_owned());
            match counts.get(space) {
                Some(count) => drop(self.counts.insert(key, *count)),
                None => drop(self.counts.remove(&key)),
            }
        }
        Ok(Ok(Vec::new()))
    }

    /// How many entries a space will hold.
    fn count_after<L: Look>(
        &mut self,
        entries: &L,
        account: &str,
        space: &str,
        plan: &Plan<'_>,
    ) -> Result<usize, L::Error> {
        let cleared = plan.cleared.contains(space);
        let mut count = if cleared { 0 } else { self.count(entries, account, space)? };
        for (name, fate) in plan.of_space(space) {
            let there = !cleared && entries.get(account, space, name)?.is_some();
            match (there, fate.is_some()) {
                (false, true) => count += 1,
                (true, false) => count = count.saturating_sub(1),
                _ => {}
            }
        }
        Ok(count)
    }

    /// How many it holds now.
    fn count<L: Look>(&mut self, entries: &L, account: &str, space: &str) -> Result<usize, L::Error> {
        let key = (account.to_owned(), space.to_owned());
        if let Some(count) = self.counts.get(&key) {
            return Ok(*count);
        }
        let mut count = 0;
        entries.walk(account, space, &mut |_, _| count += 1)?;
        self.counts.insert(key, count);
        Ok(count)
    }
}

/// What a write comes to: what is cleared first, and then the last word on each name.
struct Plan<'a> {
    cleared: BTreeSet<&'a str>,
    last: BTreeMap<(&'a str, &'a str), Option<&'a [u8]>>,
}

impl<'a> Plan<'a> {
    fn of(changes: &'a [Change]) -> Self {
        let mut plan = Self { cleared: BTreeSet::new(), last: BTreeMap::new() };
        for change in changes {
            match change {
                Change::Put(space, name, value) => drop(plan.last.insert((space, name), Some(value))),
                Change::Delete(space, name) => drop(plan.last.insert((space, name), None)),
                Change::Clear(space) => {
                    plan.cleared.insert(space);
                    plan.last.retain(|(of, _), _| of != space);
                }
            }
        }
        plan
    }

    /// The spaces that something is put into.
    fn filled(&self) -> BTreeSet<&'a str> {
        self.last.iter().filter(|(_, fate)| fate.is_some()).map(|((space, _), _)| *space).collect()
    }

    /// The last word on the names of a space.
    fn of_space(&self, space: &'a str) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> {
        let from = self.last.range((space, "")..);
        from.take_while(move |((of, _), _)| *of == space).map(|((_, name), fate)| (*name, *fate))
    }

    /// What it adds and removes.
    fn weigh<L: Look>(&self, entries: &L, account: &str) -> Result<[usize; 2], L::Error> {
        let [mut added, mut removed] = [0; 2];
        for space in &self.cleared {
            entries.walk(account, space, &mut |name, value| removed += weight(account, space, name, value))?;
        }
        for ((space, name), fate) in &self.last {
            if !self.cleared.contains(space)
                && let Some(value) = entries.get(account, space, name)?
            {
                removed += weight(account, space, name, &value);
            }
            added += fate.map_or(0, |value| weight(account, space, name, value));
        }
        Ok([added, removed])
    }

    /// Does it; whether anything has changed.
    fn carry_out<K: Keep>(&self, entries: &mut K, account: &str) -> Result<bool, K::Error> {
        let mut changed = false;
        for space in &self.cleared {
            let mut names = Vec::new();
            entries.walk(account, space, &mut |name, _| names.push(name.to_owned()))?;
            for name in names {
                changed |= entries.delete(account, space, &name)?;
            }
        }
        for ((space, name), fate) in &self.last {
            match fate {
                Some(value) => {
                    entries.put(account, space, name, value)?;
                    changed = true;
                }
                None => changed |= entries.delete(account, space, name)?,
            }
        }
        Ok(changed)
    }
}
