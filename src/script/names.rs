//! What may be a name or a text in XML, as scripts write it, and what a script's author is told otherwise.
//!
//! Takes text, gives names and errors. Must not look at any tree.

use super::engine::{Fallible, fail};
use crate::xmpp::ns;

/// The expanded name of an attribute as scripts write it: a plain name, or `xml:lang`.
///
/// # Errors
/// If it cannot be one.
pub(super) fn attribute(name: &str) -> Result<(&'static str, &str), String> {
    if name == "xml:lang" {
        return Ok((ns::XML, "lang"));
    }
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !plain || name == "xmlns" {
        return Err(format!("{name:?} cannot be the name of an attribute here: use a plain name, or \"xml:lang\""));
    }
    Ok(("", name))
}

/// Refuses what is surely no local name of an element; the scanner knows the rest.
pub(super) fn element(name: &str) -> Result<(), String> {
    let begins = |c: char| c.is_ascii_alphabetic() || c == '_' || !c.is_ascii();
    let within = |c: char| begins(c) || c.is_ascii_digit() || "-.".contains(c);
    if name.is_empty() {
        return Err("a name is missing".to_owned());
    }
    if name.contains(':') {
        return Err(format!("{name:?} has a prefix: write its namespace in braces"));
    }
    if !name.starts_with(begins) || !name.chars().all(within) {
        return Err(format!("{name:?} is not a name"));
    }
    Ok(())
}

/// Refuses the characters XML cannot hold, not even as references: what left here would not be read again.
pub(super) fn text(text: &str) -> Fallible<()> {
    let legal = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    match text.chars().find(|c| !legal(*c)) {
        Some(c) => fail(format!("XML cannot hold the character U+{:04X}", u32::from(c))),
        None => Ok(()),
    }
}
