//! `[answer]` in a file: who answers which namespace, and how; and the files of `[answer.static]`.

use super::keys::{Wrong, explain};
use super::{Config, ConfigError};
use crate::answer::choice::{condition, namespace};
use crate::answer::{Answers, Mode, is_offset};
use crate::xmpp::{Condition, ns};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, de};
use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use toml::Spanned;

/// An answer that somebody has written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticAnswer {
    /// The namespace of the payload that it answers.
    pub namespace: String,
    /// And its name.
    pub element: String,
    /// The XML.
    pub path: PathBuf,
    /// Where in the file it is named.
    pub line: usize,
}

/// Adds what was written down: the files are read now.
pub(super) fn load(answers: &mut Answers, config: &Config) -> Result<(), ConfigError> {
    for StaticAnswer { namespace, element, path, line } in &config.static_answers {
        let text = std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"));
        let fixed = text.and_then(|text| answers.fix(namespace, element, &text));
        fixed.map_err(|why| ConfigError {
            path: config.path.clone(),
            line: *line,
            column: 0,
            message: format!("answer.static: {}: {why}", path.display()),
        })?;
    }
    Ok(())
}

/// The table as it was written.
pub(super) struct AnswerKeys(Vec<(Spanned<String>, Spanned<Value>)>);

/// What a key may have.
enum Value {
    Word(String),
    Number(i64),
    Flag(bool),
    Table(Vec<(Spanned<String>, Spanned<Self>)>),
}

impl<'de> Deserialize<'de> for AnswerKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Table(keys) => Ok(Self(keys)),
            _ => Err(de::Error::custom("answer is a table: [answer]")),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Value;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number, true, false or a table")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
                Ok(Value::Word(text.to_owned()))
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Value, E> {
                Ok(Value::Number(number))
            }
            fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Value, E> {
                Ok(Value::Flag(flag))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Value, A::Error> {
                let mut all: Vec<(Spanned<String>, _)> = Vec::new();
                while let Some(entry) = table.next_entry()? {
                    all.push(entry);
                }
                // As they stand in the file; the library gives them by the alphabet.
                all.sort_by_key(|(key, _)| key.span().start);
                Ok(Value::Table(all))
            }
        }
        deserializer.deserialize_any(Any)
    }
}

impl AnswerKeys {
    /// Puts it into a configuration. `line` tells where a byte stands, paths start from `directory`.
    pub(super) fn apply(
        self,
        config: &mut Config,
        directory: &Path,
        line: impl Fn(usize) -> usize,
    ) -> Result<(), Wrong> {
        let mut seen: Vec<String> = Vec::new();
        for (key, value) in self.0 {
            let (key, value) = (Written::of(key), Written::of(value));
            match (key.what.as_str(), value.what) {
                ("mark", Value::Flag(mark)) => config.answers.mark = mark,
                ("mark", _) => return wrong(value.span, "mark is true or false"),
                ("static", Value::Table(files)) => {
                    for (key, file) in files {
                        config.static_answers.push(static_answer(
                            Written::of(key),
                            Written::of(file),
                            directory,
                            &line,
                        )?);
                    }
                }
                ("static", _) => return wrong(value.span, "static is a table: \"NAMESPACE ELEMENT\" = \"FILE\""),
                (name, value) => {
                    let namespace =
                        namespace(name).map_err(|why| (key.span.clone(), format!("{why}, mark, static")))?;
                    if seen.iter().any(|known| known == namespace) {
                        return wrong(key.span, format!("{namespace} is named twice"));
                    }
                    seen.push(namespace.to_owned());
                    rule(&mut config.answers, namespace, key.span, value)?;
                }
            }
        }
        Ok(())
    }
}

/// What was written, and where.
struct Written<T> {
    what: T,
    span: Range<usize>,
}

impl<T> Written<T> {
    fn of(spanned: Spanned<T>) -> Self {
        Self { span: spanned.span(), what: spanned.into_inner() }
    }
}

fn wrong<T>(span: Range<usize>, why: impl Into<String>) -> Result<T, Wrong> {
    Err((span, why.into()))
}

/// One namespace: a mode, or a table with the mode and options.
fn rule(answers: &mut Answers, namespace: &str, span: Range<usize>, value: Value) -> Result<(), Wrong> {
    let table = match value {
        Value::Word(mode) => return set(answers, namespace, &mode, None, span),
        Value::Table(table) => table,
        Value::Number(_) | Value::Flag(_) => return wrong(span, "a mode is forward, local, fallback or deny"),
    };
    let (mut mode, mut chosen) = (None, None);
    for (key, value) in table {
        let (key, value) = (Written::of(key), Written::of(value));
        match (key.what.as_str(), &value.what) {
            ("mode", Value::Word(name)) => mode = Some((name.clone(), value.span)),
            ("condition", Value::Word(name)) => {
                chosen = Some(condition(name).map_err(|why| (value.span, why))?);
            }
            ("mode" | "condition", _) => return wrong(value.span, format!("{} is a text", key.what)),
            _ => option(answers, namespace, key, value)?,
        }
    }
    match mode {
        Some((mode, span)) => set(answers, namespace, &mode, chosen, span),
        None => wrong(span, "mode is missing: forward, local, fallback or deny"),
    }
}

fn set(
    answers: &mut Answers,
    namespace: &str,
    mode: &str,
    condition: Option<Condition>,
    span: Range<usize>,
) -> Result<(), Wrong> {
    let mode = match (Mode::read(mode), condition) {
        (Err(why), _) => return wrong(span, why),
        (Ok(Mode::Deny(_)), Some(condition)) => Mode::Deny(condition),
        (Ok(_), Some(_)) => return wrong(span, "only what is denied has a condition"),
        (Ok(mode), None) => mode,
    };
    answers.set(namespace, mode).map_err(|why| (span, why))
}

/// The options of a namespace besides `mode` and `condition`.
const OPTIONS: &[(&str, &[&str])] = &[
    (ns::VERSION, &["name", "version", "os"]),
    (ns::TIME, &["tzo"]),
    (ns::VCARD, &["max_bytes"]),
    (ns::BLOCKING, &["max_items"]),
    (ns::PRIVATE, &["max_bytes"]),
    (ns::DISCO_INFO, &["identity_name"]),
];
/// What a stored element may be limited to. More would not go into a stanza.
const BYTES: RangeInclusive<i64> = 256..=16_777_216;
/// Addresses on a list: a session holds them all.
const ITEMS: RangeInclusive<i64> = 1..=100_000;

fn option(answers: &mut Answers, namespace: &str, key: Written<String>, value: Written<Value>) -> Result<(), Wrong> {
    let own = OPTIONS.iter().find(|(known, _)| *known == namespace).map_or(&[][..], |(_, options)| options);
    let options = &mut answers.options;
    match (namespace, key.what.as_str()) {
        (_, name) if !own.contains(&name) => {
            let known: Vec<String> =
                ["mode", "condition"].iter().chain(own).map(|option| format!("`{option}`")).collect();
            wrong(key.span, explain(&format!("unknown field `{name}`, expected one of {}", known.join(", "))))
        }
        (ns::VERSION, "name") => text(&mut options.software.name, &key, value),
        (ns::VERSION, "version") => text(&mut options.software.version, &key, value),
        (ns::VERSION, _) => text(options.software.os.get_or_insert_default(), &key, value),
        (ns::TIME, _) => {
            let span = value.span.clone();
            text(&mut options.tzo, &key, value)?;
            if is_offset(&options.tzo) { Ok(()) } else { wrong(span, "tzo is an offset such as +01:00 or Z") }
        }
        (ns::DISCO_INFO, _) => text(options.identity_name.get_or_insert_default(), &key, value),
        (ns::VCARD, _) => number(&mut options.vcard_bytes, &key, &value, BYTES),
        (ns::PRIVATE, _) => number(&mut options.private_bytes, &key, &value, BYTES),
        _ => number(&mut options.blocked, &key, &value, ITEMS),
    }
}

fn text(place: &mut String, key: &Written<String>, value: Written<Value>) -> Result<(), Wrong> {
    match value.what {
        Value::Word(text) => {
            *place = text;
            Ok(())
        }
        _ => wrong(value.span, format!("{} is a text", key.what)),
    }
}

fn number(
    place: &mut usize,
    key: &Written<String>,
    value: &Written<Value>,
    range: RangeInclusive<i64>,
) -> Result<(), Wrong> {
    let number = match value.what {
        Value::Number(number) if range.contains(&number) => usize::try_from(number).ok(),
        _ => None,
    };
    let Some(number) = number else {
        return wrong(
            value.span.clone(),
            format!("{} must be from {} to {}; leave it out for the default", key.what, range.start(), range.end()),
        );
    };
    *place = number;
    Ok(())
}

fn static_answer(
    key: Written<String>,
    file: Written<Value>,
    directory: &Path,
    line: impl Fn(usize) -> usize,
) -> Result<StaticAnswer, Wrong> {
    let parts: Vec<&str> = key.what.split_whitespace().collect();
    match (parts.as_slice(), &file.what) {
        (_, Value::Number(_) | Value::Flag(_) | Value::Table(_)) => {
            wrong(file.span, "the answer is the name of a file")
        }
        ([name, element], Value::Word(file)) => Ok(StaticAnswer {
            namespace: namespace(name).map_err(|why| (key.span.clone(), why))?.to_owned(),
            element: (*element).to_owned(),
            path: directory.join(file),
            line: line(key.span.start),
        }),
        _ => wrong(key.span, format!("`{}` is not NAMESPACE ELEMENT, such as \"urn:xmpp:ping ping\"", key.what)),
    }
}
