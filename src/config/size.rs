//! Numbers of bytes as people write them: `100MB`, `64 KiB`, or a plain number.

use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, de};
use std::fmt;

/// What may stand behind a number, and how many bytes it is. Long ones first: each ends with the next.
const UNITS: [(&str, u64); 10] = [
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("b", 1),
    ("", 1),
];

/// Reads a number of bytes.
///
/// # Errors
/// If it is none.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let plain = text.trim().to_ascii_lowercase();
    let (number, unit) =
        UNITS.iter().find_map(|(name, bytes)| Some((plain.strip_suffix(name)?, *bytes))).unwrap_or_default();
    let size = number.trim_end().parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    size.ok_or_else(|| format!("`{text}` is no number of bytes (such as 100MB, 64KiB, 5000000)"))
}

/// A number of bytes in a file.
pub(super) struct SizeKey(pub(super) u64);

impl<'de> Deserialize<'de> for SizeKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = SizeKey;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes, such as \"100MB\" or 5000000")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<SizeKey, E> {
                parse_size(text).map(SizeKey).map_err(E::custom)
            }
            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<SizeKey, E> {
                u64::try_from(bytes).map(SizeKey).map_err(|_| E::custom("a number of bytes is not negative"))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_people_write_them() {
        for (text, bytes) in [
            ("100MB", 100_000_000),
            ("64 KiB", 65_536),
            ("10gb", 10_000_000_000),
            ("7", 7),
            (" 12 b ", 12),
            ("1TiB", 1 << 40),
            ("0", 0),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MB", "-1", "1.5GB", "10 XB", "99999999999TB", "1 0"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
