//! The configuration: any text is a `Config` or an error that names a place in it.
//!
//! Files that a configuration names are not touched: such a policy is not made.

use iqtap::config::{Config, ConfigError};
use std::path::Path;

pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let config = match Config::from_text(text, Path::new("fuzz.toml")) {
        Ok(config) => config,
        Err(why) => return told(&why, text),
    };
    assert_eq!(Config::from_text(text, Path::new("fuzz.toml")).map_err(|why| why.to_string()).as_ref(), Ok(&config));
    if let Err(why) = config.check() {
        assert!(!why.is_empty());
    }
    for compiled in [config.compiled_filter(), config.compiled_record_filter()] {
        if let Err(why) = compiled {
            told(&why, text);
        }
    }
    // What scripts read with `list` is a file too.
    let files = [config.scripts.len(), config.shadow.len(), config.static_answers.len()];
    if files == [0; 3] && !text.contains("list") {
        match config.policy() {
            Ok(policy) => assert_eq!(policy.iq_timeout, config.iq_timeout),
            Err(why) => told(&why, text),
        }
    }
}

/// An error is one somebody can do something about: it says what, and where there is such a place.
fn told(why: &ConfigError, text: &str) {
    assert!(!why.message.is_empty(), "an error without a word: {why:?}");
    assert!(why.line <= text.split('\n').count(), "a place behind the end: {why:?}");
    let odd = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    assert!(!why.to_string().contains(odd), "control characters in an error: {why:?}");
}
