//! What the values of the API have, for those who have misspelt it.
//!
//! Takes what was not found, gives a sentence. Rhai takes `stanza.tpye` for `stanza["tpye"]` when there is no such property,
//! so the script's own text is asked which of them it was. Must not know any value.

use super::engine::{Fallible, fail};
use super::reference;
use rhai::{Dynamic, Engine, NativeCallContext};

/// What the types are called in a sentence.
const WHO: [(&str, &str); 8] = [
    ("Stanza", "a stanza"),
    ("Element", "an element"),
    ("Session", "a session"),
    ("Jid", "a jid"),
    ("State", "the state"),
    ("List", "a list"),
    ("Shared", "shared"),
    ("Time", "a time"),
];

fn who(of: &str) -> Option<&'static str> {
    WHO.iter().find(|(known, _)| *known == of).map(|(_, who)| *who)
}

/// Names in a sentence.
fn joined(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [others @ .., last] => format!("{} and {last}", others.join(", ")),
    }
}

/// A property that is not there.
pub(super) fn no_property<T>(of: &str, name: &str) -> Fallible<T> {
    let Some(who) = who(of) else {
        return fail(format!("there is no property {name}"));
    };
    let properties = joined(&reference::names(of, true));
    let instead = if matches!(of, "Stanza" | "Element") {
        format!("; an attribute of that name is [{name:?}]")
    } else {
        String::new()
    };
    fail(format!("{who} has no property {name}: it has {properties}{instead}"))
}

/// A function that is not there, or not for such arguments, given its signature as Rhai writes it.
pub(super) fn no_function(signature: &str) -> Option<String> {
    let (name, arguments) = signature.split_once(" (")?;
    let arguments = arguments.strip_suffix(')')?.replace("&str | ImmutableString | String", "string");
    let first = arguments.split(", ").next()?;
    let Some(who) = who(first) else { return Some(no_such_call(name, &arguments)) };
    let functions = joined(&reference::names(first, false));
    let has = if functions.is_empty() { String::new() } else { format!("; the functions of {who} are {functions}") };
    Some(format!("there is no function {name}({arguments}){has}"))
}

/// A function of no value of the API, or an operator, that is not there for such arguments.
fn no_such_call(name: &str, arguments: &str) -> String {
    let known = joined(&reference::calls(name));
    let known = if known.is_empty() { known } else { format!("; there is {known}") };
    let absent = arguments.split(", ").any(|argument| argument == "()");
    let absent = if absent { "; () is what is not there: look first, or give it a value, as in (x ?? 0)" } else { "" };
    let what = if name.starts_with(|c: char| c.is_alphabetic()) { "function " } else { "" };
    format!("there is no {what}{name}({arguments}){known}{absent}")
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
