//! What of [`Shared`] outlives the process: which keys, which of them wait to be written, and how they are given and taken
//! back.
//!
//! Takes keys that have changed, gives [`Change`]s as the values are when somebody asks; takes what was kept. Must not wait
//! for whoever writes, nor queue values: what waits is a set of keys.

use super::shared::{Locked, Shared, Value, What, Why, fits};
use super::written;
use crate::keep::{Change, Entry};
use crate::xmpp::Timestamp;
use bytes::Bytes;
use rhai::ImmutableString;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

/// Keys that may outlive the process; and of keys that do so no longer, how many may wait to be taken away.
const KEPT: usize = 10_000;
/// Of those, how many one call looks at to find some under which nothing stands.
const SWEEP: usize = 1024;
/// Bytes after which no more changes are taken at a time.
const TAKE_BYTES: usize = 1 << 20;

/// Called when something waits to be written.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// Which keys, and which of them are not written as they are.
#[derive(Default)]
pub(super) struct Keeping {
    marks: BTreeSet<ImmutableString>,
    /// Some of them, and some that were.
    dirty: BTreeSet<ImmutableString>,
    hand: ImmutableString,
    /// None if nobody writes: then nothing waits.
    wake: Option<Wake>,
}

impl Keeping {
    /// What stands under this key is not what it was.
    pub(super) fn changed(&mut self, key: &ImmutableString) {
        if self.marks.contains(key) {
            self.soil(key);
        }
    }

    fn soil(&mut self, key: &ImmutableString) {
        let Some(wake) = &self.wake else { return };
        let idle = self.dirty.is_empty();
        self.dirty.insert(key.clone());
        if idle {
            wake();
        }
    }

    fn is_full(&self) -> bool {
        self.marks.len() >= KEPT || self.dirty.len() >= KEPT
    }

    /// Forgets keys under which nothing stands: looks at some, each time at others.
    fn sweep(&mut self, stands: impl Fn(&ImmutableString) -> bool) {
        let after = (Bound::Excluded(self.hand.as_str()), Bound::Unbounded);
        let seen: Vec<ImmutableString> = self.marks.range::<str, _>(after).take(SWEEP).cloned().collect();
        self.hand = if seen.len() < SWEEP { ImmutableString::new() } else { seen.last().cloned().unwrap_or_default() };
        for key in seen.iter().filter(|key| !stands(key)) {
            self.marks.remove(key);
        }
    }
}

impl Locked<'_> {
    /// Lets what stands under a key, now and later, outlive the process.
    pub(super) fn keep(&mut self, key: &ImmutableString) -> Result<(), Why> {
        fits(key, 0)?;
        let stands = self.contains(key);
        let now = self.0.now;
        let values = &mut self.0.values;
        if values.keeping.marks.contains(key) {
            return Ok(());
        }
        if values.keeping.is_full() {
            values.sweep(now, SWEEP);
            let map = &values.map;
            values.keeping.sweep(|key| map.contains_key(key));
        }
        if values.keeping.is_full() {
            return Err(format!(
                "shared is full: it keeps {KEPT} keys beyond the process (shared.keep(key, false) ends it)"
            ));
        }
        values.keeping.marks.insert(key.clone());
        if stands {
            values.keeping.soil(key);
        }
        Ok(())
    }

    /// Lets it end with the process, as what was never asked to be kept.
    pub(super) fn keep_no_longer(&mut self, key: &ImmutableString) {
        let keeping = &mut self.0.values.keeping;
        if keeping.marks.remove(key) {
            keeping.soil(key);
        }
    }

    /// The first key that waits, and what stands there if it is to be kept.
    fn take_one(&mut self) -> Option<(ImmutableString, Option<Value>)> {
        let key = self.0.values.keeping.dirty.pop_first()?;
        let kept = self.0.values.keeping.marks.contains(&key);
        let now = self.0.now;
        let value = self.0.values.map.get(key.as_str()).filter(|value| kept && value.lives(now)).cloned();
        Some((key, value))
    }
}

impl Shared {
    /// The space of a store, under the account [`NOBODY`](crate::keep::NOBODY), in which kept values stand by their keys.
    pub const SPACE: &str = "shared";

    /// From now on somebody writes what is asked to be kept: `wake` is called when something waits after nothing did. It must
    /// neither wait nor come back here; whoever it wakes calls [`Shared::take_dirty`] until that gives nothing.
    pub fn kept_by(&self, wake: Wake) {
        let keeping = &mut self.lock(Timestamp(0)).0.values.keeping;
        keeping.wake = Some(wake);
        for key in keeping.marks.clone() {
            keeping.soil(&key);
        }
    }

    /// Some changes that wait, `most` at most, each as its value is now; they wait no longer. Nothing if none waits.
    #[must_use]
    pub fn take_dirty(&self, most: usize) -> Vec<Change> {
        let (mut changes, mut bytes) = (Vec::new(), 0);
        while changes.len() < most && bytes < TAKE_BYTES {
            // The lock is not held while a value is written out.
            let Some((key, value)) = self.lock(Timestamp(0)).take_one() else { break };
            let (space, name) = (Cow::Borrowed(Self::SPACE), key.to_string());
            changes.push(match value {
                None => Change::Delete(space, name),
                Some(value) => {
                    let value = Bytes::from(written::write(&value));
                    bytes += value.len();
                    Change::Put(space, name, value)
                }
            });
        }
        changes
    }

    /// These changes could not be written: they wait again. Nobody is woken: try again after a while.
    pub fn give_back(&self, changes: &[Change]) {
        let keeping = &mut self.lock(Timestamp(0)).0.values.keeping;
        for change in changes {
            if let Change::Put(_, name, _) | Change::Delete(_, name) = change {
                keeping.dirty.insert(name.into());
            }
        }
    }

    /// Puts back what was kept, and keeps it. What stands there already is newer and stays. Gives complaints, for people, about
    /// what cannot be put back; nothing becomes of it in the store.
    #[must_use]
    pub fn restore(&self, entries: &[Entry]) -> Vec<String> {
        let mut complaints = Vec::new();
        for entry in entries.iter().filter(|entry| entry.space == Self::SPACE) {
            let restored = written::read(&entry.value).and_then(|value| self.restore_one(&entry.name, value));
            if let Err(why) = restored {
                let key: String = entry.name.chars().take(100).collect();
                complaints.push(format!("the kept value of shared[{key:?}] cannot be put back: {why}"));
            }
        }
        complaints
    }

    fn restore_one(&self, key: &str, value: Value) -> Result<(), Why> {
        let key = ImmutableString::from(key);
        let mut store = self.lock(Timestamp(0));
        if store.0.values.map.contains_key(key.as_str()) {
            return store.keep(&key);
        }
        if let What::One(value) = &value.what
            && value.is_unit()
        {
            return store.keep(&key); // it was a timer, which ended with its session
        }
        if store.0.values.keeping.marks.len() >= KEPT {
            return Err(format!("{KEPT} keys are kept already"));
        }
        store.put(&key, value)?;
        store.0.values.keeping.marks.insert(key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhai::Dynamic;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn at(seconds: u64) -> Timestamp {
        Timestamp(seconds * 1_000_000)
    }

    fn key(number: usize) -> ImmutableString {
        format!("k{number:05}").into()
    }

    fn woken() -> (Shared, Arc<AtomicUsize>) {
        let (shared, times) = (Shared::default(), Arc::<AtomicUsize>::default());
        let count = Arc::clone(&times);
        shared.kept_by(Arc::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        }));
        (shared, times)
    }

    fn set(shared: &Shared, number: usize, value: i64) {
        shared.lock(at(1)).set(&key(number), Dynamic::from_int(value), 32, None).unwrap();
    }

    fn written(shared: &Shared, most: usize) -> Vec<String> {
        let told = |change: &Change| match change {
            Change::Put(_, name, value) => format!("{name} {}", String::from_utf8_lossy(value)),
            Change::Delete(_, name) => format!("{name} gone"),
            Change::Clear(_) => "clear".to_owned(),
        };
        shared.take_dirty(most).iter().map(told).collect()
    }

    #[test]
    fn somebody_is_woken_once_until_all_is_taken() {
        let (shared, times) = woken();
        (0..3).for_each(|number| set(&shared, number, 1));
        assert_eq!(times.load(Ordering::Relaxed), 0, "nobody has asked");
        (0..3).for_each(|number| shared.lock(at(1)).keep(&key(number)).unwrap());
        set(&shared, 1, 7);
        set(&shared, 1, 8);
        assert_eq!(times.load(Ordering::Relaxed), 1);
        assert_eq!(written(&shared, 2), [r#"k00000 {"value":1}"#, r#"k00001 {"value":8}"#]);
        set(&shared, 0, 2);
        assert_eq!(times.load(Ordering::Relaxed), 1, "k00002 was still waiting");
        assert_eq!(written(&shared, 9), [r#"k00000 {"value":2}"#, r#"k00002 {"value":1}"#]);
        assert!(shared.take_dirty(9).is_empty());
        shared.lock(at(1)).remove(&key(0));
        shared.lock(at(1)).keep_no_longer(&key(1));
        set(&shared, 1, 9);
        assert_eq!(times.load(Ordering::Relaxed), 2);
        let changes = shared.take_dirty(9);
        assert_eq!(changes.len(), 2);
        shared.give_back(&changes);
        assert_eq!(written(&shared, 9), ["k00000 gone", "k00001 gone"]);
        set(&shared, 0, 3);
        assert_eq!(written(&shared, 9), [r#"k00000 {"value":3}"#], "a key is kept though its value was removed");
    }

    #[test]
    fn what_expires_is_taken_away_from_where_it_was_kept() {
        let (shared, _) = woken();
        shared.lock(at(1)).set(&key(0), 5.into(), 32, Some(2_000_000)).unwrap();
        shared.lock(at(1)).keep(&key(0)).unwrap();
        assert_eq!(written(&shared, 9), [r#"k00000 {"expires":3000000,"value":5}"#]);
        // Nobody asks for it: the sweep of others' operations finds it.
        (1..9).for_each(|number| shared.lock(at(4)).set(&key(number), 1.into(), 32, None).unwrap());
        assert_eq!(written(&shared, 9), ["k00000 gone"]);
        assert!(shared.lock(at(4)).expire(&key(1), 1_000_000));
        assert!(shared.take_dirty(9).is_empty(), "nobody has asked for that one");
    }

    #[test]
    fn more_keys_than_may_be_kept_are_refused_and_empty_ones_make_room() {
        let (shared, _) = woken();
        for number in 0..KEPT {
            set(&shared, number, 1);
            shared.lock(at(1)).keep(&key(number)).unwrap();
            shared.take_dirty(1).clear();
        }
        let refused = |number| shared.lock(at(1)).keep(&key(number)).is_err_and(|why| why.contains("shared is full"));
        assert!(refused(KEPT));
        assert!(!refused(5), "that one is kept already");
        shared.lock(at(1)).remove(&key(KEPT - 1));
        assert!((0..20).any(|_| !refused(KEPT)), "the sweep comes round");
        // So do those whose values have expired, once it is known where they were kept.
        assert!(shared.lock(at(1)).expire(&key(3), 1_000_000));
        assert!(refused(KEPT + 1), "not yet");
        shared.take_dirty(9).clear();
        let room = (0..400).any(|_| shared.lock(at(3)).keep(&key(KEPT + 1)).is_ok());
        assert!(room && written(&shared, 9).contains(&format!("{} gone", key(3))));
        let mut entry =
            Entry { space: "shared".to_owned(), name: "more".to_owned(), value: Bytes::from("{\"value\":1}") };
        assert!(shared.restore(std::slice::from_ref(&entry)).iter().any(|why| why.contains("kept already")));
        entry.name = key(0).to_string();
        assert_eq!(shared.restore(&[entry]), [""; 0]);
    }

    /// Keys that are kept and are not, one after the other, while nobody writes.
    #[test]
    fn what_waits_is_bounded() {
        let (shared, _) = woken();
        let mut refused = 0;
        for number in 0..3 * KEPT {
            let mut store = shared.lock(at(1));
            store.set(&key(number), 1.into(), 32, None).unwrap();
            refused += usize::from(store.keep(&key(number)).is_err());
            store.keep_no_longer(&key(number));
        }
        assert_eq!(refused, 2 * KEPT);
        assert_eq!(shared.lock(at(1)).0.values.keeping.dirty.len(), KEPT);
    }

    #[test]
    fn where_nobody_writes_nothing_waits_until_somebody_does() {
        let shared = Shared::default();
        set(&shared, 0, 1);
        shared.lock(at(1)).keep(&key(0)).unwrap();
        assert!(shared.take_dirty(9).is_empty());
        shared.kept_by(Arc::new(|| {}));
        assert_eq!(written(&shared, 9), [r#"k00000 {"value":1}"#]);
    }

    #[test]
    fn a_megabyte_at_a_time() {
        let (shared, _) = woken();
        let text = "x".repeat(60_000);
        for number in 0..40 {
            shared.lock(at(1)).set(&key(number), text.clone().into(), 60_032, None).unwrap();
            shared.lock(at(1)).keep(&key(number)).unwrap();
        }
        let (first, second) = (shared.take_dirty(1000).len(), shared.take_dirty(1000).len());
        assert_eq!((first, second, shared.take_dirty(1000).len()), (18, 18, 4));
    }
}
