//! What scripts say: `log(text)`, `log(level, text)` (numbers, truths and () too), Rhai's own `print` and `debug`, and `tag(name)`.
//!
//! Takes what a hook says, keeps it with its run. Must not keep more than a person would read.

use super::engine::{Fallible, fail};
use super::{LogLine, run};
use rhai::{Dynamic, Engine};

/// Bytes kept of one line.
const LINE_BYTES: usize = 4096;
/// Bytes of a tag.
const TAG_BYTES: usize = 64;
/// How what is not there is written.
const ABSENT: &str = "()";
const LEVELS: [&str; 4] = ["error", "warn", "info", "debug"];

pub(super) fn register(engine: &mut Engine) {
    engine.on_print(|text| gather("info", text));
    engine.on_debug(|text, _, _| gather("debug", text));
    engine.register_fn("log", |text: &str| gather("info", text));
    engine.register_fn("log", |number: i64| gather("info", &number.to_string()));
    engine.register_fn("log", |number: f64| gather("info", &Dynamic::from(number).to_string()));
    engine.register_fn("log", |truth: bool| gather("info", &truth.to_string()));
    engine.register_fn("log", |(): ()| gather("info", ABSENT));
    engine.register_fn("log", |level: &str, text: &str| at_level(level, text));
    engine.register_fn("log", |level: &str, number: i64| at_level(level, &number.to_string()));
    engine.register_fn("log", |level: &str, number: f64| at_level(level, &Dynamic::from(number).to_string()));
    engine.register_fn("log", |level: &str, truth: bool| at_level(level, &truth.to_string()));
    engine.register_fn("log", |level: &str, (): ()| at_level(level, ABSENT));
    engine.register_fn("tag", tag);
}

fn at_level(level: &str, text: &str) -> Fallible<()> {
    let Some(level) = LEVELS.into_iter().find(|known| *known == level) else {
        return fail(format!("{level:?} is not a level of log(): use one of {}", LEVELS.join(", ")));
    };
    gather(level, text);
    Ok(())
}

/// A run's lines, as said by this script.
pub(super) fn lines(said: Vec<(&'static str, String)>, script: &str) -> impl Iterator<Item = LogLine> {
    said.into_iter().map(|(level, text)| LogLine { level, text, script: script.to_owned() })
}

fn gather(level: &'static str, text: &str) {
    run::with(|run| run.log(level, || shortened(text)));
}

fn tag(name: &str) -> Fallible<()> {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "-_.:/".contains(c));
    if !plain || name.len() > TAG_BYTES {
        return fail(format!(
            "tag() takes a word of letters, digits and - _ . : / of at most {TAG_BYTES} bytes, not {name:?}"
        ));
    }
    run::with(|run| run.tag(name))
}

fn shortened(text: &str) -> String {
    if text.len() <= LINE_BYTES {
        return text.to_owned();
    }
    let end = (0..=LINE_BYTES).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    format!("{}... ({} bytes in all)", text.get(..end).unwrap_or_default(), text.len())
}
