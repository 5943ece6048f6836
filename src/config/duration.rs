//! Spans of time as people write them: `2s`, `500ms`, `1m 30s`, or a whole number of seconds.

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, de};
use std::fmt;

/// The least and the most, in microseconds, for waiting for an answer.
const RANGE: (u64, u64) = (100_000, 86_400_000_000);

/// Reads a span of time; gives microseconds.
///
/// # Errors
/// If it is none, or one that makes no sense for waiting.
pub fn parse_duration(text: &str) -> Result<u64, String> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return within(seconds.saturating_mul(1_000_000));
    }
    let span: jiff::SignedDuration =
        text.parse().map_err(|_| format!("`{text}` is no span of time (such as 2s, 500ms, 1m 30s)"))?;
    within(u64::try_from(span.as_micros()).unwrap_or(0))
}

fn within(micros: u64) -> Result<u64, String> {
    let (least, most) = RANGE;
    if (least..=most).contains(&micros) { Ok(micros) } else { Err("must be from 100ms to 24h".to_owned()) }
}

/// A span of time in a file, in microseconds.
pub(super) struct DurationKey(pub(super) u64);

impl<'de> Deserialize<'de> for DurationKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = DurationKey;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a span of time such as \"60s\" or \"500ms\", or a whole number of seconds")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<DurationKey, E> {
                parse_duration(text).map(DurationKey).map_err(E::custom)
            }
            fn visit_i64<E: de::Error>(self, seconds: i64) -> Result<DurationKey, E> {
                let micros = u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000_000);
                within(micros).map(DurationKey).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_as_people_write_them() {
        for (text, micros) in [
            ("2s", 2_000_000),
            ("500ms", 500_000),
            ("1m 30s", 90_000_000),
            ("60", 60_000_000),
            (" 1h ", 3_600_000_000),
            ("100 ms", 100_000),
        ] {
            assert_eq!(parse_duration(text), Ok(micros), "{text}");
        }
        for text in ["", "0", "99ms", "25h", "-2s", "soon", "2x", "1e3"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
