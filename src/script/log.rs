//! What scripts say: `log(text)`, `log(level, text)`, and Rhai's own `print` and `debug`.
//!
//! Rhai gives its print callback no way to know whose call it is, so lines are gathered per thread while a hook runs
//! (a hook runs to its end on one thread) and taken out right after it.

use super::LogLine;
use super::engine::{Fallible, fail};
use rhai::Engine;
use std::cell::RefCell;

/// Lines kept of one run of one hook: a loop that logs must not fill the memory.
const LINES: usize = 64;
/// Bytes kept of one line.
const LINE_BYTES: usize = 4096;
const LEVELS: [&str; 4] = ["error", "warn", "info", "debug"];

thread_local! {
    static GATHERED: RefCell<Vec<(&'static str, String)>> = const { RefCell::new(Vec::new()) };
}

pub(super) fn register(engine: &mut Engine) {
    engine.on_print(|text| gather("info", text));
    engine.on_debug(|text, _, _| gather("debug", text));
    engine.register_fn("log", |text: &str| gather("info", text));
    engine.register_fn("log", |level: &str, text: &str| -> Fallible<()> {
        let Some(level) = LEVELS.into_iter().find(|known| *known == level) else {
            return fail(format!("{level:?} is not a level of log(): use one of {}", LEVELS.join(", ")));
        };
        gather(level, text);
        Ok(())
    });
}

/// Takes what was said since the last call, as said by this script.
pub(super) fn take(script: &str) -> Vec<LogLine> {
    let lines = GATHERED.with(RefCell::take);
    lines.into_iter().map(|(level, text)| LogLine { level, text, script: script.to_owned() }).collect()
}

fn gather(level: &'static str, text: &str) {
    GATHERED.with_borrow_mut(|lines| match lines.len() {
        0..LINES => lines.push((level, shortened(text))),
        LINES => lines.push(("warn", format!("more than {LINES} lines in one run: the rest is left out"))),
        _ => {}
    });
}

fn shortened(text: &str) -> String {
    if text.len() <= LINE_BYTES {
        return text.to_owned();
    }
    let end = (0..=LINE_BYTES).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    format!("{}... ({} bytes in all)", text.get(..end).unwrap_or_default(), text.len())
}
