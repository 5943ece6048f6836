//! What the values of the API have, for those who have misspelt it.
//!
//! Takes what was not found, gives a sentence. Rhai takes `stanza.tpye` for `stanza["tpye"]` when there is no such property,
//! so the script's own text is asked which of them it was. Must not know any value.

use super::engine::{Fallible, fail};
use rhai::{Dynamic, Engine, NativeCallContext};

/// A type, what it is called in a sentence, its properties, its functions.
type Members = (&'static str, &'static str, &'static str, &'static str);

const MEMBERS: [Members; 7] = [
    (
        "Stanza",
        "a stanza",
        "kind, direction, type, id, to, from, lang, ns, name, payload_ns, payload_name and size",
        "attr, set_attr, remove_attr, find, find_all, count, children, text, set_text, append, replace, remove and to_xml",
    ),
    (
        "Element",
        "an element",
        "name and ns",
        "attr, set_attr, remove_attr, find, find_all, count, children, text, set_text, append, replace, remove and to_xml",
    ),
    ("Session", "a session", "jid, bare, domain, peer and number", "to_client and to_server"),
    ("Jid", "a jid", "full, bare, local, domain and resource", ""),
    ("List", "a list", "no properties", "contains, covers and len"),
    (
        "Shared",
        "shared",
        "whatever was set",
        "get, set, incr, expire, remove, contains, push, list, has, take and throttle",
    ),
    ("Time", "a time", "year, month, day, hour, minute, second, weekday, unix and iso", ""),
];

/// A property that is not there.
pub(super) fn no_property<T>(of: &str, name: &str) -> Fallible<T> {
    let Some((of, who, properties, _)) = MEMBERS.iter().find(|(known, ..)| *known == of) else {
        return fail(format!("there is no property {name}"));
    };
    let instead = if matches!(*of, "Stanza" | "Element") {
        format!("; an attribute of that name is [{name:?}]")
    } else {
        String::new()
    };
    fail(format!("{who} has no property {name}: it has {properties}{instead}"))
}

/// A function that is not there, or not for such arguments, given its signature as Rhai writes it.
pub(super) fn no_function(signature: &str) -> Option<String> {
    let (name, arguments) = signature.split_once(" (")?;
    let first = arguments.trim_end_matches(')').split(", ").next()?;
    let (_, who, _, functions) = MEMBERS.iter().find(|(known, ..)| *known == first && !known.is_empty())?;
    let arguments = arguments.replace("&str | ImmutableString | String", "string");
    let has = if functions.is_empty() { String::new() } else { format!("; the functions of {who} are {functions}") };
    Some(format!("there is no function {name}({arguments}{has}"))
}

/// The name of a value's type as scripts know it.
pub(super) fn type_name(value: &Dynamic) -> &'static str {
    let name = value.type_name();
    name.rsplit("::").next().unwrap_or(name)
}

/// Keeps a script's text with its engine.
pub(super) fn keep_source(engine: &mut Engine, text: &str) {
    engine.set_default_tag(text.to_owned());
}

/// Whether an indexer was called for `.name` and not for `["name"]`.
pub(super) fn by_dot(context: &NativeCallContext<'_>) -> bool {
    let place = context.call_position();
    let source = context.tag().and_then(|tag| tag.as_immutable_string_ref().ok());
    let (Some(line), Some(column), Some(source)) = (place.line(), place.position(), source) else { return false };
    let line = source.lines().nth(line - 1).unwrap_or_default();
    matches!(line.chars().nth(column.saturating_sub(1)), Some('.' | '?'))
}
