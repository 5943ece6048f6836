//! [`Shared`]: what the scripts of all sessions keep together, and the buckets of `throttle`.
//!
//! Takes plain values, keys and the time of a run; gives them back. One lock, held for one operation. Must not grow without
//! end, whatever peers do, or take long: what has expired is swept a few entries at a time by the operations themselves.

use super::durable::Keeping;
use super::state;
use crate::xmpp::Timestamp;
use rhai::{Dynamic, ImmutableString};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Keys of values, and buckets of `throttle` that are not full: each as many.
const KEYS: usize = 250_000;
/// Bytes of memory of all values together, about; and of all buckets.
const BYTES: usize = 64 << 20;
/// Bytes of one value, or of one list.
const VALUE: usize = 64 * 1024;
/// Bytes of a key.
const KEY: usize = 3 * 1024;
/// What an entry weighs besides its key and its value, in bytes.
const ENTRY: usize = 96;
/// Entries that an operation which adds one looks at, to see whether they have expired: with two, at least half of what
/// is kept is of use.
const SWEEP: usize = 2;
/// The same when there is no room: the sweep goes on where it was, so that it comes round.
const SWEEP_FULL: usize = 1024;
/// Bytes after which one sweep ends: freeing large values takes time as well.
const SWEEP_BYTES: usize = 256 * 1024;

/// What scripts share. A clone is the same store.
#[derive(Clone, Default)]
pub struct Shared(Arc<Mutex<Store>>);

/// What is behind the lock.
#[derive(Default)]
pub(super) struct Store {
    /// The latest time anybody has told. Time never goes back here.
    pub(super) now: u64,
    pub(super) values: Table<Value>,
    buckets: Table<Bucket>,
}

/// Entries by key, their weight, how far the sweep has come, and which keys outlive the process.
pub(super) struct Table<T> {
    pub(super) map: BTreeMap<ImmutableString, T>,
    bytes: usize,
    hand: ImmutableString,
    pub(super) keeping: Keeping,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { map: BTreeMap::new(), bytes: 0, hand: ImmutableString::new(), keeping: Keeping::default() }
    }
}

/// What a table keeps.
pub(super) trait Expires {
    /// In microseconds; what is not kept for a time only never does.
    fn expires(&self) -> Option<u64>;
    fn weight(&self) -> usize;
}

#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) what: What,
    pub(super) weight: usize,
    /// In microseconds since 1970.
    pub(super) expires: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    One(Dynamic),
    List(VecDeque<Dynamic>),
}

/// A bucket of tokens, kept as the time at which it will be full again: then it is as good as none.
#[derive(Debug)]
struct Bucket {
    full: u64,
}

impl Expires for Value {
    fn expires(&self) -> Option<u64> {
        self.expires
    }

    fn weight(&self) -> usize {
        self.weight
    }
}

impl Expires for Bucket {
    fn expires(&self) -> Option<u64> {
        Some(self.full)
    }

    fn weight(&self) -> usize {
        0
    }
}

impl Value {
    pub(super) fn lives(&self, now: u64) -> bool {
        self.expires.is_none_or(|at| at > now)
    }
}

/// Why something cannot be kept.
pub(super) type Why = String;

impl<T: Expires> Table<T> {
    fn drop_entry(&mut self, key: &ImmutableString) -> Option<T> {
        let gone = self.map.remove(key.as_str())?;
        self.keeping.changed(key);
        self.bytes = self.bytes.saturating_sub(ENTRY + key.len() + gone.weight());
        Some(gone)
    }

    /// Looks at so many entries after those it has looked at before; takes away what has expired.
    pub(super) fn sweep(&mut self, now: u64, most: usize) {
        let (mut gone, mut last, mut bytes) = (Vec::new(), None, 0);
        let after = (Bound::Excluded(self.hand.as_str()), Bound::Unbounded);
        for (key, entry) in self.map.range::<str, _>(after).take(most) {
            last = Some(key.clone());
            if entry.expires().is_some_and(|at| at <= now) {
                gone.push(key.clone());
                bytes += entry.weight();
            }
            if bytes > SWEEP_BYTES {
                break;
            }
        }
        self.hand = last.unwrap_or_default();
        for key in gone {
            self.drop_entry(&key);
        }
    }

    /// Whether one more of so many bytes fits, once what has expired is swept.
    fn room(&mut self, now: u64, bytes: usize) -> bool {
        self.sweep(now, SWEEP);
        let fits = |table: &Self| table.map.len() < KEYS && table.bytes + bytes <= BYTES;
        if !fits(self) {
            self.sweep(now, SWEEP_FULL);
        }
        fits(self)
    }

    /// The entry of a key, unless it has expired.
    fn live(&mut self, now: u64, key: &ImmutableString) -> Option<&mut T> {
        if self.map.get(key.as_str())?.expires().is_some_and(|at| at <= now) {
            self.drop_entry(key);
            return None;
        }
        self.map.get_mut(key.as_str())
    }
}

impl Shared {
    pub(super) fn lock(&self, now: Timestamp) -> Locked<'_> {
        let mut store = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        store.now = store.now.max(now.0);
        Locked(store)
    }
}

/// The store for one operation.
pub(super) struct Locked<'a>(pub(super) MutexGuard<'a, Store>);

impl Locked<'_> {
    fn value(&mut self, key: &ImmutableString) -> Option<&mut Value> {
        let now = self.0.now;
        self.0.values.live(now, key)
    }

    /// A copy of the value; of a list, an array.
    pub(super) fn get(&mut self, key: &ImmutableString) -> Option<Dynamic> {
        self.value(key).map(|value| match &value.what {
            What::One(value) => value.clone(),
            What::List(list) => list.iter().cloned().collect::<rhai::Array>().into(),
        })
    }

    pub(super) fn contains(&mut self, key: &ImmutableString) -> bool {
        self.value(key).is_some()
    }

    /// Sets a value of that weight, for so many microseconds or for good.
    pub(super) fn set(
        &mut self,
        key: &ImmutableString,
        value: Dynamic,
        weight: usize,
        micros: Option<u64>,
    ) -> Result<(), Why> {
        let expires = micros.map(|micros| self.0.now.saturating_add(micros));
        self.put(key, Value { what: What::One(value), weight, expires })
    }

    pub(super) fn put(&mut self, key: &ImmutableString, value: Value) -> Result<(), Why> {
        fits(key, value.weight)?;
        let Store { now, values, .. } = &mut *self.0;
        let before = values.drop_entry(key);
        let bytes = ENTRY + key.len() + value.weight;
        if !values.room(*now, bytes) {
            // What was there stays, as it had its room.
            if let Some(before) = before {
                values.bytes += ENTRY + key.len() + before.weight();
                values.map.insert(key.clone(), before);
            }
            return Err(full("values"));
        }
        values.bytes += bytes;
        values.map.insert(key.clone(), value);
        values.keeping.changed(key);
        Ok(())
    }

    pub(super) fn remove(&mut self, key: &ImmutableString) -> Option<Dynamic> {
        let value = self.get(key);
        self.0.values.drop_entry(key);
        value
    }

    /// Adds to a number; it expires when it did.
    pub(super) fn incr(&mut self, key: &ImmutableString, by: i64) -> Result<i64, Why> {
        let (before, expires) = match self.value(key) {
            None => (0, None),
            Some(Value { what: What::One(value), expires, .. }) if value.is_int() => {
                (value.as_int().unwrap_or_default(), *expires)
            }
            Some(_) => {
                return Err(format!("shared.incr() takes a key of an integer, and {key:?} holds something else"));
            }
        };
        let Some(after) = before.checked_add(by) else {
            return Err(format!("shared.incr(): {before} and {by} are too much together"));
        };
        let value = Dynamic::from_int(after);
        let weight = state::weight(&value);
        self.put(key, Value { what: What::One(value), weight, expires })?;
        Ok(after)
    }

    /// Lets a value expire after so many microseconds; whether there is one.
    pub(super) fn expire(&mut self, key: &ImmutableString, micros: u64) -> bool {
        let at = self.0.now.saturating_add(micros);
        let there = self.value(key).map(|value| value.expires = Some(at)).is_some();
        self.0.values.keeping.changed(key);
        there
    }

    fn listed(&mut self, function: &str, key: &ImmutableString) -> Result<Option<&mut Value>, Why> {
        match self.value(key) {
            Some(Value { what: What::One(_), .. }) => Err(format!(
                "shared.{function}() takes a key of a list, and {key:?} holds something else (shared.push() makes lists)"
            )),
            list => Ok(list),
        }
    }

    /// Adds a value of that weight to a list; of more than `most`, the oldest go. Gives how many there are.
    pub(super) fn push(
        &mut self,
        key: &ImmutableString,
        value: Dynamic,
        weight: usize,
        most: Option<usize>,
    ) -> Result<usize, Why> {
        let added = ENTRY + key.len() + weight;
        let room = {
            let Store { now, values, .. } = &mut *self.0;
            values.room(*now, added)
        };
        let mut freed = 0;
        let Some(entry) = self.listed("push", key)? else {
            if !room {
                return Err(full("values"));
            }
            let list = VecDeque::from([value]);
            return self.put(key, Value { what: What::List(list), weight, expires: None }).map(|()| 1);
        };
        let What::List(list) = &mut entry.what else { return Ok(0) };
        while most.is_some_and(|most| list.len() >= most) {
            let Some(gone) = list.pop_front() else { break };
            freed += state::weight(&gone);
        }
        let after = entry.weight.saturating_sub(freed) + weight;
        let fit = fits(key, after).and_then(|()| if room || freed >= weight { Ok(()) } else { Err(full("values")) });
        if fit.is_ok() {
            list.push_back(value);
            entry.weight = after;
        } else {
            entry.weight = entry.weight.saturating_sub(freed);
        }
        let len = list.len();
        let bytes = self.0.values.bytes.saturating_sub(freed);
        self.0.values.bytes = if fit.is_ok() { bytes + weight } else { bytes };
        self.0.values.keeping.changed(key);
        fit.map(|()| len)
    }

    /// The oldest of a list; the key goes with the last one.
    pub(super) fn take(&mut self, key: &ImmutableString) -> Result<Option<Dynamic>, Why> {
        let Some(entry) = self.listed("take", key)? else { return Ok(None) };
        let What::List(list) = &mut entry.what else { return Ok(None) };
        let taken = list.pop_front();
        let empty = list.is_empty();
        let freed = taken.as_ref().map_or(0, state::weight);
        entry.weight = entry.weight.saturating_sub(freed);
        self.0.values.bytes = self.0.values.bytes.saturating_sub(freed);
        self.0.values.keeping.changed(key);
        if empty {
            self.0.values.drop_entry(key);
        }
        Ok(taken)
    }

    /// What a list holds, oldest first; what it weighs.
    pub(super) fn list(&mut self, function: &str, key: &ImmutableString) -> Result<(Vec<Dynamic>, usize), Why> {
        Ok(match self.listed(function, key)? {
            Some(Value { what: What::List(list), weight, .. }) => (list.iter().cloned().collect(), *weight),
            _ => (Vec::new(), 0),
        })
    }

    /// Takes a token, of which there are `burst` at most and `rate` more each second; true if there was none.
    pub(super) fn throttle(&mut self, key: &ImmutableString, rate: f64, burst: u64) -> Result<bool, Why> {
        fits(key, 0)?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounds are the caller's")]
        let each = ((1e6 / rate) as u64).max(1);
        let Store { now, buckets, .. } = &mut *self.0;
        let now = *now;
        if let Some(bucket) = buckets.live(now, key) {
            // Not further in the future than an empty bucket would be, were it another rate before.
            let empty = now.saturating_add(each.saturating_mul(burst));
            bucket.full = bucket.full.min(empty);
            let after = bucket.full.saturating_add(each);
            if after > empty {
                return Ok(true);
            }
            bucket.full = after;
            return Ok(false);
        }
        let bytes = ENTRY + key.len();
        if !buckets.room(now, bytes) {
            return Err(full("buckets of throttle"));
        }
        buckets.bytes += bytes;
        buckets.map.insert(key.clone(), Bucket { full: now.saturating_add(each) });
        Ok(false)
    }
}

pub(super) fn fits(key: &str, weight: usize) -> Result<(), Why> {
    if key.len() > KEY {
        return Err(format!("over the limit of size: a key of shared may have {KEY} bytes"));
    }
    if weight > VALUE {
        return Err(format!("over the limit of size: a value or a list in shared may have {VALUE} bytes"));
    }
    Ok(())
}

fn full(what: &str) -> Why {
    format!("shared is full: it keeps {KEYS} {what} and {BYTES} bytes of them (let them expire)")
}

/// The same store; or two that hold nothing.
impl PartialEq for Shared {
    fn eq(&self, other: &Self) -> bool {
        let empty = |shared: &Self| {
            let store = shared.0.lock().unwrap_or_else(PoisonError::into_inner);
            store.values.map.is_empty() && store.buckets.map.is_empty()
        };
        Arc::ptr_eq(&self.0, &other.0) || (empty(self) && empty(other))
    }
}

impl Eq for Shared {}

/// How much there is, not what: it may be other people's.
impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(store) = self.0.try_lock() else { return f.write_str("Shared(..)") };
        write!(f, "Shared({} values, {} buckets)", store.values.map.len(), store.buckets.map.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn key(text: &str) -> ImmutableString {
        text.into()
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp(1_000_000 * SECOND + seconds * SECOND)
    }

    fn throttled(shared: &Shared, seconds: u64, rate: f64, burst: u64) -> bool {
        shared.lock(at(seconds)).throttle(&key("k"), rate, burst).unwrap_or_else(|why| unreachable!("{why}"))
    }

    #[test]
    fn a_bucket_fills_with_time_and_not_beyond() {
        let shared = Shared::default();
        let asked = |seconds: &[u64]| seconds.iter().map(|at| throttled(&shared, *at, 0.5, 3)).collect::<Vec<_>>();
        assert_eq!(asked(&[0, 0, 0, 0]), [false, false, false, true]);
        assert_eq!(asked(&[1, 2, 2]), [true, false, true]);
        assert_eq!(asked(&[1000, 1000, 1000, 1000]), [false, false, false, true]);
    }

    #[test]
    fn time_never_goes_back() {
        let shared = Shared::default();
        assert!(!throttled(&shared, 10, 1.0, 1));
        // A session whose clock is behind neither waits for ever nor is given more.
        assert!(throttled(&shared, 3, 1.0, 1));
        assert!(!throttled(&shared, 11, 1.0, 1));
        shared.lock(at(20)).set(&key("v"), 1.into(), 32, Some(SECOND)).unwrap_or_default();
        assert!(shared.lock(at(19)).contains(&key("v")));
        assert!(!shared.lock(at(21)).contains(&key("v")));
        assert!(!shared.lock(at(19)).contains(&key("v")), "what has expired does not come back");
    }

    #[test]
    fn what_is_weighed_is_what_is_there() {
        let shared = Shared::default();
        let mut store = shared.lock(at(0));
        let text = |length: usize| Dynamic::from("x".repeat(length));
        for round in 0..100_usize {
            let value = text(round % 7);
            let weight = state::weight(&value);
            let name = key(&format!("k{}", round % 11));
            let _ = match round % 5 {
                0 => store.set(&name, value, weight, None).map(|()| 0),
                1 => store.incr(&name, 1),
                2 => store.push(&name, value, weight, Some(3)).map(|_| 0),
                3 => store.take(&name).map(|_| 0),
                _ => Ok(i64::from(store.remove(&name).is_some())),
            };
            let list = |what: &What| match what {
                What::One(value) => state::weight(value),
                What::List(list) => list.iter().map(state::weight).sum(),
            };
            let sum: usize = store.0.values.map.iter().map(|(key, value)| ENTRY + key.len() + list(&value.what)).sum();
            assert_eq!(store.0.values.bytes, sum, "after round {round}");
        }
    }

    #[test]
    fn a_list_keeps_the_newest() {
        let shared = Shared::default();
        let mut store = shared.lock(at(0));
        for number in 0..5_i64 {
            assert!(store.push(&key("l"), number.into(), 32, Some(3)).is_ok());
        }
        assert_eq!(store.get(&key("l")).map(|list| list.to_string()).as_deref(), Some("[2, 3, 4]"));
        assert_eq!(store.take(&key("l")).ok().flatten().and_then(|value| value.as_int().ok()), Some(2));
        let long = Dynamic::from("x".repeat(VALUE));
        assert!(store.push(&key("l"), long.clone(), VALUE + 32, None).is_err_and(|why| why.contains("limit of size")));
        assert!(store.incr(&key("l"), 1).is_err_and(|why| why.contains("something else")));
    }

    /// A peer that writes to a million contacts, each with a bucket of its own.
    #[test]
    fn a_million_keys_stay_bounded() {
        let shared = Shared::default();
        let (mut refused, mut most) = (0_u32, 0);
        for number in 0..1_000_000_u64 {
            let name = key(&format!("contact-{}@example.org", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
            // Ten thousand a second, each bucket full after ten seconds.
            let mut store = shared.lock(Timestamp(number * 100));
            refused += u32::from(store.throttle(&name, 0.1, 5).is_err());
            most = most.max(store.0.buckets.map.len());
        }
        assert_eq!(refused, 0, "what is full again makes room");
        assert!(most < 220_000, "{most} buckets for the 100,000 of ten seconds");
    }

    #[test]
    fn when_there_is_no_room_it_says_so() {
        let shared = Shared::default();
        let mut refused = 0;
        for number in 0..KEYS + 10_000 {
            let result = shared.lock(at(0)).throttle(&key(&number.to_string()), 0.001, 1);
            refused += usize::from(result.is_err_and(|why| why.contains("shared is full")));
        }
        assert_eq!(refused, 10_000);
        assert!(shared.lock(at(0)).set(&key("v"), 1.into(), 32, None).is_ok(), "buckets take no room of values");
        assert!(shared.lock(at(0)).throttle(&key("0"), 0.001, 1) == Ok(true), "those that are there still count");
        // All have expired: the sweep comes round by itself.
        let mut again = 0;
        for number in 0..1000_u32 {
            again += usize::from(shared.lock(at(5000)).throttle(&key(&format!("n{number}")), 1.0, 1).is_ok());
        }
        assert_eq!(again, 1000);
    }
}
