//! The lines about the store: what is kept before anything happens, what must be kept then, and a store that is slow or fails.
//!
//! Takes the words of a line and, when a book is played, the store; gives what the line says and whether that holds.

use super::compare::{self, Item, Names};
use super::why::{Contrast, Why};
use crate::keep::{Change, Op, Store};
use crate::store::MemoryStore;
use bytes::Bytes;
use std::borrow::Cow;

/// Where something is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    account: String,
    space: String,
    name: String,
}

/// Something kept, or to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    place: Place,
    value: String,
}

/// What happens to the store, or must be in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StoreStep {
    /// That is kept by now.
    Is(Kept),
    /// Nothing is kept there by now.
    IsNot(Place),
    /// What waits and all that is asked from here on fails, for this reason.
    Fails(String),
    /// What is asked from here on waits.
    Holds,
    /// What waits is done, and what is asked from here on is done at once, and well.
    GoesOn,
}

/// `ACCOUNT SPACE NAME = TEXT`.
pub(super) fn kept(text: &str) -> Result<Kept, String> {
    let (place, rest) = place(text)?;
    let value = rest.strip_prefix('=').ok_or("ACCOUNT SPACE NAME, then = and what is kept there")?;
    Ok(Kept { place, value: value.trim().to_owned() })
}

/// `ACCOUNT SPACE NAME` and nothing else.
pub(super) fn not_kept(text: &str) -> Result<Place, String> {
    match place(text)? {
        (place, "") => Ok(place),
        (_, rest) => Err(format!("what is '{rest}'? ACCOUNT SPACE NAME; a word with spaces stands in double quotes")),
    }
}

fn place(text: &str) -> Result<(Place, &str), String> {
    let (account, rest) = word(text)?;
    let (space, rest) = word(rest)?;
    let (name, rest) = word(rest)?;
    Ok((Place { account, space, name }, rest))
}

/// The first word and what follows; in double quotes it may be empty or have spaces in it, `\"` is a quote and `\\` a backslash.
fn word(text: &str) -> Result<(String, &str), String> {
    let missing = || "ACCOUNT SPACE NAME; one that is empty is \"\"".to_owned();
    let Some(quoted) = text.strip_prefix('"') else {
        let (word, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        return if word.is_empty() || word == "=" { Err(missing()) } else { Ok((word.to_owned(), rest.trim())) };
    };
    let (mut word, mut escaped) = (String::new(), false);
    for (at, c) in quoted.char_indices() {
        match c {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return Ok((word, quoted.get(at + 1..).unwrap_or_default().trim())),
            c => {
                escaped = false;
                word.push(c);
            }
        }
    }
    Err(format!("a quote has no end: \"{quoted}"))
}

/// A store with that in it.
pub(super) fn filled(all: &[Kept]) -> MemoryStore {
    let mut store = MemoryStore::new();
    let ops: Vec<Op> = all
        .iter()
        .map(|Kept { place, value }| {
            let value = Bytes::copy_from_slice(value.as_bytes());
            let change = Change::Put(Cow::Owned(place.space.clone()), place.name.clone(), value);
            Op::Write { account: place.account.clone(), changes: vec![change], most: usize::MAX }
        })
        .collect();
    store.run(&ops);
    store
}

/// Whether that is kept; an element is compared as one, anything else letter by letter.
pub(super) fn check_kept(store: &MemoryStore, kept: &Kept, names: &mut Names) -> Result<(), Why> {
    let Kept { place: Place { account, space, name }, value: expected } = kept;
    let Some(value) = store.get(account, space, name) else {
        return Err(format!("nothing is kept there; {}", all_kept(store)).into());
    };
    let came = String::from_utf8_lossy(value);
    let element = expected.starts_with('<');
    let differs = |reason: String| {
        let expected = compare::fill_known(expected, &Names::new());
        Err(Why::contrast(reason, Contrast { expected, came: came.clone().into_owned(), xml: element }))
    };
    if !element {
        let holds = expected == "*" || *expected == came;
        return if holds { Ok(()) } else { differs("something else is kept there".to_owned()) };
    }
    match compare::first_item(value) {
        Ok(Some((len, item @ Item::Element(_)))) if len == value.len() => {
            compare::matches(expected, &item, names).or_else(differs)
        }
        _ => differs("what is kept there is no element".to_owned()),
    }
}

/// Whether nothing is kept there.
pub(super) fn check_not_kept(store: &MemoryStore, place: &Place) -> Result<(), Why> {
    match store.get(&place.account, &place.space, &place.name) {
        Some(value) => Err(format!("this is kept there: {}", compare::show(value)).into()),
        None => Ok(()),
    }
}

/// All that is kept, as lines of a book.
fn all_kept(store: &MemoryStore) -> String {
    let mut text = "all that is kept:".to_owned();
    for (account, space, name, value) in store.entries() {
        let [account, space, name] = [account, space, name].map(quoted);
        text.push_str(&format!("\n  kept {account} {space} {name} = {}", compare::show(value)));
    }
    if text.ends_with(':') { "nothing is kept at all".to_owned() } else { text }
}

/// As [`word`] reads it.
fn quoted(word: &str) -> String {
    if word.is_empty() || word == "=" || word.starts_with('"') || word.contains(char::is_whitespace) {
        format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        word.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Book, book, prove};
    use super::*;
    use std::path::Path;

    #[test]
    fn words_may_have_spaces_braces_and_quotes() {
        let read = kept(r#"a@b  urn:x "{urn:x}a \"b\" \\ c" = <a b='1'> = </a> "#).unwrap();
        assert_eq!((&*read.place.account, &*read.place.space), ("a@b", "urn:x"));
        assert_eq!((&*read.place.name, &*read.value), (r#"{urn:x}a "b" \ c"#, "<a b='1'> = </a>"));
        let read = kept(r#""" {s} "" ="#).unwrap();
        assert_eq!((&*read.place.account, &*read.place.space, &*read.place.name, &*read.value), ("", "{s}", "", ""));
        for wrong in ["a b c", "a b = c", "", "a b \"c = d", "a = b = c"] {
            assert!(kept(wrong).is_err(), "{wrong}");
        }
        assert!(not_kept("a b c").is_ok() && not_kept("a b c = d").is_err() && not_kept("a b").is_err());
        for name in ["", "=", "\"", "a b", "a\\ b", "\" \\\"", "{x}y", "a\\b"] {
            assert_eq!(word(&format!("{} = x", quoted(name))), Ok((name.to_owned(), "= x")), "{name}");
        }
    }

    fn play(text: &str) -> Result<(), String> {
        let book: Book = book(text).map_err(|problem| problem.to_string())?;
        prove(&book, Path::new("x.play"), &[1]).map(drop).map_err(|refuted| refuted.failure.why.reason)
    }

    #[test]
    fn what_is_kept_can_be_asked_for() {
        let start = "# x\nstore a@b urn:x \"n m\" = <a xmlns='x' b='1' c='2'>t</a>\nstore a@b urn:x \"\" = plain text\n\
                     store \"\" shared k = 5\nopen a@b/c\n";
        let good = "kept a@b urn:x \"n m\" = <a xmlns='x' c='2' b='*'>t</a>\nkept a@b urn:x \"\" = plain text\n\
                    kept a@b urn:x \"\" = *\nnot-kept a@b urn:x n\nkept \"\" shared k = 5\n";
        play(&format!("{start}{good}")).unwrap();
        for (bad, why) in [
            ("kept a@b urn:x \"\" = plain", "something else is kept there"),
            ("kept a@b urn:x n = x", "nothing is kept there"),
            ("kept a@b urn:x n = x", "kept a@b urn:x \"n m\" = <a"),
            ("kept a@b urn:x \"n m\" = <a xmlns='x' c='3' b='*'>t</a>", "c"),
            ("kept \"\" shared k = <a/>", "no element"),
            ("not-kept \"\" shared k", "this is kept there: 5"),
        ] {
            let refuted = play(&format!("{start}{bad}\n")).unwrap_err();
            assert!(refuted.contains(why), "{bad}: {refuted}");
        }
        let late = play(&format!("{start}kept \"\" shared k = 5\nstore a b c = d\n")).unwrap_err();
        assert!(late.contains("store comes before anything happens"), "{late}");
    }

    #[test]
    fn the_stores_own_lines_may_come_before_open() {
        play("# x\nstore-holds\nopen a@b/c\nstore-fails disk full\nstore-goes-on\nnot-kept a@b urn:x n\n").unwrap();
    }
}
