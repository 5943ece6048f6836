//! Regular expressions: `text.matches(pattern)` and its like, and `regex(pattern)`.
//!
//! Takes texts and patterns, gives what fits. A pattern is compiled once on each thread that needs it, so that there is no
//! lock; all work is counted, and linear in the text but for `replace_all`, which the watch may end. Must not let a pattern of a
//! peer's making cost more than that.

use super::engine::{Fallible, TOO_LONG, fail};
use super::{budget, watch};
use regex::{Captures, Regex, RegexBuilder};
use rhai::{Array, Dynamic, Engine, FuncRegistration, ImmutableString};
use std::cell::RefCell;

/// Bytes of a compiled pattern, and what each byte of text that it reads then counts for: it is the number of states that
/// makes a pattern slow.
const SIZES: [(usize, usize); 4] = [(8 << 10, 2), (32 << 10, 8), (128 << 10, 32), (512 << 10, 128)];
/// Bytes of a pattern's text.
const TEXT: usize = 4096;
/// What compiling counts for, for each size that was tried.
const LOOKS: usize = 20_000;
/// Patterns a thread keeps; the one that was used the longest time ago goes.
const KEPT: usize = 32;
/// Bytes of what is remembered while a pattern is at work, for each thread and pattern.
const SCRATCH: usize = 256 << 10;
/// How often one call may replace.
const REPLACES: usize = 100_000;

/// A pattern that was tried: where a pattern stands, this may stand.
#[derive(Clone, Debug)]
struct Pattern(ImmutableString);

/// A compiled one.
#[derive(Clone)]
struct Ready {
    text: ImmutableString,
    regex: std::rc::Rc<Regex>,
    looks_a_byte: usize,
}

thread_local! {
    /// The latest used stands last.
    static READY: RefCell<Vec<Ready>> = const { RefCell::new(Vec::new()) };
}

fn ready(pattern: &ImmutableString) -> Fallible<Ready> {
    let known = READY.with_borrow_mut(|kept| {
        let at = kept.iter().rposition(|ready| ready.text == *pattern)?;
        if at + 1 < kept.len() {
            let ready = kept.remove(at);
            kept.push(ready);
        }
        kept.last().cloned()
    });
    if let Some(known) = known {
        return Ok(known);
    }
    let ready = compiled(pattern)?;
    READY.with_borrow_mut(|kept| {
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push(ready.clone());
    });
    Ok(ready)
}

fn compiled(pattern: &ImmutableString) -> Fallible<Ready> {
    if pattern.len() > TEXT {
        return fail(format!("over the limit of size: a pattern may have {TEXT} bytes"));
    }
    for (size, looks_a_byte) in SIZES {
        budget::look(LOOKS)?;
        let built = RegexBuilder::new(pattern).size_limit(size).dfa_size_limit(SCRATCH).nest_limit(100).build();
        match built {
            Ok(regex) => return Ok(Ready { text: pattern.clone(), regex: std::rc::Rc::new(regex), looks_a_byte }),
            Err(regex::Error::CompiledTooBig(_)) => {}
            Err(why) => return fail(format!("{pattern:?} is not a pattern: {}", one_line(&why.to_string()))),
        }
    }
    fail(format!("over the limit of size: the pattern {pattern:?} becomes too large"))
}

/// The last line says what is wrong; those before it draw where.
fn one_line(why: &str) -> String {
    let last = why.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

impl Ready {
    /// So many times the text will be read.
    fn count(&self, text: &str, times: usize) -> Fallible<()> {
        budget::look((text.len() + 1).saturating_mul(self.looks_a_byte).saturating_mul(times))
    }

    fn matches(&self, text: &str) -> Fallible<bool> {
        self.count(text, 1)?;
        Ok(self.regex.is_match(text))
    }

    fn find(&self, text: &str) -> Fallible<Dynamic> {
        self.count(text, 1)?;
        Ok(self.regex.find(text).map_or(Dynamic::UNIT, |found| ImmutableString::from(found.as_str()).into()))
    }

    /// All of what fits, then each group; `()` for one that took no part.
    fn captures(&self, text: &str) -> Fallible<Dynamic> {
        self.count(text, 2)?;
        let group = |found: Option<regex::Match<'_>>| {
            found.map_or(Dynamic::UNIT, |found| ImmutableString::from(found.as_str()).into())
        };
        let array = |found: Captures<'_>| found.iter().map(group).collect::<Array>();
        Ok(self.regex.captures(text).map_or(Dynamic::UNIT, |found| array(found).into()))
    }

    fn replace_all(&self, text: &str, with: &str, most: usize) -> Fallible<ImmutableString> {
        self.count(text, 2)?;
        let (mut written, mut end) = (String::new(), 0);
        for found in self.regex.captures_iter(text).take(REPLACES) {
            let Some(whole) = found.get(0) else { continue };
            written.push_str(text.get(end..whole.start()).unwrap_or_default());
            found.expand(with, &mut written);
            end = whole.end();
            budget::look(1 + with.len() / 4)?;
            // Each match may have been looked for up to the end of the text: all of them together are not linear.
            if watch::is_over() {
                return fail(TOO_LONG);
            }
            if written.len() > most {
                return fail(format!("over the limit of size: a string may have {most} bytes"));
            }
        }
        written.push_str(text.get(end..).unwrap_or_default());
        if written.len() > most {
            return fail(format!("over the limit of size: a string may have {most} bytes"));
        }
        Ok(written.into())
    }
}

pub(super) fn register(engine: &mut Engine, most: usize) {
    engine.register_type_with_name::<Pattern>("Regex");
    engine.register_fn("regex", |pattern: ImmutableString| -> Fallible<Pattern> {
        ready(&pattern)?;
        Ok(Pattern(pattern))
    });
    let written = |pattern: &mut Pattern| pattern.0.clone();
    FuncRegistration::new("to_string").with_purity(true).register_into_engine(engine, written);
    let debug = |pattern: &mut Pattern| format!("regex({:?})", pattern.0.as_str());
    FuncRegistration::new("to_debug").with_purity(true).register_into_engine(engine, debug);

    type Text = ImmutableString;
    engine.register_fn("matches", |text: Text, pattern: Text| ready(&pattern)?.matches(&text));
    engine.register_fn("matches", |text: Text, pattern: Pattern| ready(&pattern.0)?.matches(&text));
    engine.register_fn("find_match", |text: Text, pattern: Text| ready(&pattern)?.find(&text));
    engine.register_fn("find_match", |text: Text, pattern: Pattern| ready(&pattern.0)?.find(&text));
    engine.register_fn("captures", |text: Text, pattern: Text| ready(&pattern)?.captures(&text));
    engine.register_fn("captures", |text: Text, pattern: Pattern| ready(&pattern.0)?.captures(&text));
    engine.register_fn("replace_all", move |text: Text, pattern: Text, with: Text| {
        ready(&pattern)?.replace_all(&text, &with, most)
    });
    engine.register_fn("replace_all", move |text: Text, pattern: Pattern, with: Text| {
        ready(&pattern.0)?.replace_all(&text, &with, most)
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_keeps_only_so_many() {
        for number in 0..100 {
            budget::begin(false);
            assert!(ready(&format!("a{number}").into()).is_ok());
        }
        assert!(READY.with_borrow(Vec::len) <= KEPT);
    }

    #[test]
    fn a_run_that_is_to_stop_replaces_no_more() {
        budget::begin(false);
        let replaced = || ready(&"x+y|x".into()).and_then(|ready| ready.replace_all("xxxx", "z", 100));
        watch::begin(0);
        watch::Watch::default().look(1);
        let why = replaced().err().map(|why| why.to_string()).unwrap_or_default();
        watch::end();
        assert!(why.contains(TOO_LONG), "{why}");
        watch::begin(1000);
        assert!(replaced().is_ok_and(|text| text == "zzzz"));
        watch::end();
    }
}
