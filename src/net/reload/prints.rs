//! What files held when they were last looked at, so that only what has changed is compiled and told of.
//!
//! Takes paths, gives fingerprints of contents. A file that is saved unchanged has not changed.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

/// Fingerprints by path; none for what cannot be read, and for what is empty: most likely somebody is about to write it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Prints(BTreeMap<PathBuf, Option<u64>>);

impl Prints {
    pub(super) fn of(paths: &[PathBuf]) -> Self {
        Self(paths.iter().map(|path| (path.clone(), print(path))).collect())
    }

    /// Adds what is not known yet.
    pub(super) fn add(&mut self, paths: &[PathBuf]) {
        for path in paths {
            self.0.entry(path.clone()).or_insert_with(|| print(path));
        }
    }

    /// What is otherwise than it was.
    pub(super) fn changed_since(&self, before: &Self) -> BTreeSet<PathBuf> {
        let changed = self.0.iter().filter(|(path, print)| before.0.get(*path) != Some(*print));
        changed.map(|(path, _)| path.clone()).collect()
    }

    /// Whether something that could be read cannot be read now.
    pub(super) fn misses(&self, before: &Self) -> bool {
        self.0.iter().any(|(path, print)| print.is_none() && before.0.get(path).is_some_and(Option::is_some))
    }
}

fn print(path: &Path) -> Option<u64> {
    let bytes = std::fs::read(path).ok().filter(|bytes| !bytes.is_empty())?;
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    Some(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_contents_count() {
        let directory = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| directory.path().join(name));
        std::fs::write(&a, "one").unwrap();
        let paths = [a.clone(), b.clone()];
        let first = Prints::of(&paths);
        std::fs::write(&a, "one").unwrap();
        assert_eq!(Prints::of(&paths), first, "saved unchanged");
        std::fs::write(&b, "").unwrap();
        assert_eq!(Prints::of(&paths), first, "not written yet");
        std::fs::write(&b, "two").unwrap();
        let second = Prints::of(&paths);
        assert_eq!(second.changed_since(&first), BTreeSet::from([b]));
        assert!(!second.misses(&first) && first.misses(&second));
        std::fs::remove_file(&a).unwrap();
        assert!(Prints::of(&paths).misses(&second));
        let mut grown = first.clone();
        grown.add(&[a, directory.path().join("c")]);
        assert_eq!(grown.changed_since(&first), BTreeSet::from([directory.path().join("c")]));
    }
}
