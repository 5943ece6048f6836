//! `rules` in a file: one word for all, or a table by rule and direction.

use crate::rules::{Mode, Modes, Rule};
use crate::xmpp::Side;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, de};
use std::fmt;

/// `rules = "enforce"` or a table; with the mode of what the table does not name.
pub(super) struct Rules(pub(super) Modes, pub(super) Mode);

impl<'de> Deserialize<'de> for Rules {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Rules;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`off`, `report`, `enforce` or a table of rules")
            }
            fn visit_str<E: de::Error>(self, mode: &str) -> Result<Rules, E> {
                mode_named(mode).map(|mode| Rules(Modes::all(mode), mode))
            }
            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Rules, A::Error> {
                self::table(table)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// What a table of rules may name; also `rule1` and so on.
const KEYS: &[&str] = &[
    "default",
    "id",
    "type",
    "answered",
    "unasked",
    "request-child",
    "result-child",
    "error-child",
    "stray-error",
    "payload-namespace",
    "error-condition",
    "duplicate-id",
    "iq-spoof",
    "push-spoof",
    "carbon-spoof",
    "archive-spoof",
];

/// A rule, or the default.
struct RuleKey(Option<Rule>);

impl<'de> Deserialize<'de> for RuleKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let key = String::deserialize(deserializer)?;
        match Rule::named(&key) {
            None if key != "default" => Err(de::Error::unknown_field(&key, KEYS)),
            rule => Ok(Self(rule)),
        }
    }
}

/// Reads a table: what it does not name has its `default`, wherever that stands.
fn table<'de, A: MapAccess<'de>>(mut table: A) -> Result<Rules, A::Error> {
    let mut default = None;
    let mut named: Vec<(Rule, ModeKey)> = Vec::new();
    while let Some(RuleKey(rule)) = table.next_key()? {
        let mode: ModeKey = table.next_value()?;
        match rule {
            None => default = Some(mode),
            Some(rule) if named.iter().all(|(known, _)| *known != rule) => named.push((rule, mode)),
            Some(rule) => {
                return Err(de::Error::custom(format!("`{}` is named twice, as {} too", rule.key(), rule.code())));
            }
        }
    }
    let mut modes = Modes::default();
    let all = Rule::ALL.into_iter().filter_map(|rule| Some((rule, default?)));
    for (rule, mode) in all.chain(named) {
        for (sender, mode) in [(Side::Client, mode.c2s), (Side::Server, mode.s2c)] {
            if let Some(mode) = mode {
                modes.set(sender, rule, mode);
            }
        }
    }
    Ok(Rules(modes, default.map_or_else(Mode::default, ModeKey::strictest)))
}

/// A mode, or one per direction.
#[derive(Clone, Copy)]
struct ModeKey {
    c2s: Option<Mode>,
    s2c: Option<Mode>,
}

impl ModeKey {
    /// Enforce if either direction is enforced.
    fn strictest(self) -> Mode {
        if [self.c2s, self.s2c].contains(&Some(Mode::Enforce)) { Mode::Enforce } else { Mode::Report }
    }
}

impl<'de> Deserialize<'de> for ModeKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Each {
            c2s: Option<Mode>,
            s2c: Option<Mode>,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = ModeKey;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`off`, `report`, `enforce` or { c2s = \"...\", s2c = \"...\" }")
            }
            fn visit_str<E: de::Error>(self, mode: &str) -> Result<ModeKey, E> {
                mode_named(mode).map(|mode| ModeKey { c2s: Some(mode), s2c: Some(mode) })
            }
            fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<ModeKey, A::Error> {
                let each = Each::deserialize(MapAccessDeserializer::new(table))?;
                Ok(ModeKey { c2s: each.c2s, s2c: each.s2c })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

fn mode_named<E: de::Error>(name: &str) -> Result<Mode, E> {
    match name {
        "off" => Ok(Mode::Off),
        "report" => Ok(Mode::Report),
        "enforce" => Ok(Mode::Enforce),
        other => Err(E::unknown_variant(other, &["off", "report", "enforce"])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_can_be_named() {
        let keys = Rule::ALL.map(Rule::key);
        assert_eq!(KEYS.iter().skip(1).copied().collect::<Vec<_>>(), keys);
        for rule in Rule::ALL {
            assert_eq!(Rule::named(rule.key()), Some(rule));
            assert_eq!(Rule::named(rule.code()), Some(rule));
        }
    }
}
