//! Ids that iqtap has made up: 16 hexadecimal digits, others each time unless the seed is known.
//!
//! Takes what was recorded and what comes now; where they differ in nothing else, learns which id stands for which. Must not take
//! anything for an id but exactly 16 such digits, nor one for two others.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

const DIGITS: usize = 16;

/// Which id of the recording is which one now.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: BTreeMap<Vec<u8>, Vec<u8>>,
    taken: BTreeSet<Vec<u8>>,
}

impl Names {
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether they are the same but for ids, which are remembered then.
    pub(super) fn unify(&mut self, recorded: &[u8], now: &[u8]) -> bool {
        if recorded == now {
            return true;
        }
        let Some(pairs) = pairs(recorded, now) else { return false };
        let fits = |(old, new): &(&[u8], &[u8])| match self.known.get(*old) {
            Some(known) => known == new,
            None => !self.taken.contains(*new),
        };
        if !pairs.iter().all(fits) {
            return false;
        }
        for (old, new) in pairs {
            self.known.insert(old.to_vec(), new.to_vec());
            self.taken.insert(new.to_vec());
        }
        true
    }

    /// What was recorded, with the ids of now.
    pub(super) fn renamed<'a>(&self, recorded: &'a [u8]) -> Cow<'a, [u8]> {
        if self.known.is_empty() {
            return Cow::Borrowed(recorded);
        }
        let mut renamed = recorded.to_vec();
        let mut at = 0;
        while let Some(run) = next_run(recorded, at) {
            if let Some(new) = recorded.get(run.clone()).and_then(|old| self.known.get(old))
                && let Some(place) = renamed.get_mut(run.clone())
            {
                place.copy_from_slice(new);
            }
            at = run.end;
        }
        Cow::Owned(renamed)
    }
}

/// The ids in which two texts differ, if they differ in nothing else.
fn pairs<'a>(recorded: &'a [u8], now: &'a [u8]) -> Option<Vec<(&'a [u8], &'a [u8])>> {
    if recorded.len() != now.len() {
        return None;
    }
    let mut pairs = Vec::new();
    let mut at = 0;
    while let Some(run) = next_run(recorded, at) {
        if recorded.get(at..run.start) != now.get(at..run.start) {
            return None;
        }
        let (old, new) = (recorded.get(run.clone())?, now.get(run.clone())?);
        if old != new {
            (new.iter().all(|b| is_digit(*b)) && run.len() == DIGITS).then(|| pairs.push((old, new)))?;
        }
        at = run.end;
    }
    (recorded.get(at..) == now.get(at..)).then_some(pairs)
}

/// The next digits of which there are as many as in an id, from `at` on.
fn next_run(bytes: &[u8], mut at: usize) -> Option<std::ops::Range<usize>> {
    loop {
        let start = at + bytes.get(at..)?.iter().position(|b| is_digit(*b))?;
        let rest = bytes.get(start..)?;
        let len = rest.iter().position(|b| !is_digit(*b)).unwrap_or(rest.len());
        if len == DIGITS {
            return Some(start..start + len);
        }
        at = start + len;
    }
}

fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "0123456789abcdef";
    const B: &str = "fedcba9876543210";

    #[test]
    fn ids_are_taken_for_each_other_where_nothing_else_differs() {
        let mut names = Names::default();
        let (x, y) = (format!("<a id='{A}' b='{B}'/>"), format!("<a id='{B}' b='{B}'/>"));
        assert!(!names.unify(x.as_bytes(), b"<a/>") && !names.unify(b"<a id='1'/>", b"<a id='2'/>"));
        assert!(!names.unify(format!("<a id='{A}0'/>").as_bytes(), format!("<a id='{A}1'/>").as_bytes()));
        assert!(!names.unify(format!("<a id='{A}'/>").as_bytes(), format!("<b id='{B}'/>").as_bytes()));
        assert_eq!(names.len(), 0);
        assert!(names.unify(x.as_bytes(), y.as_bytes()), "{x} {y}");
        assert_eq!(names.len(), 1);
        assert!(
            !names.unify(format!("'{A}'").as_bytes(), format!("'{}'", "1".repeat(16)).as_bytes()),
            "it is another's"
        );
        let (c, d) = ("1".repeat(16), format!("'{B}'"));
        assert!(!names.unify(format!("'{c}'").as_bytes(), d.as_bytes()), "two for one");
        let renamed = names.renamed(x.as_bytes());
        assert_eq!(String::from_utf8_lossy(&renamed), y);
        assert_eq!(&*names.renamed(format!("{A}0 {A}").as_bytes()), format!("{A}0 {B}").as_bytes());
    }
}
