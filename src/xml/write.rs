//! The one writer: trees to bytes that every conforming parser reads back as the same tree.

use super::Element;
use bytes::BytesMut;

/// What is in force where the element will stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Under a stream root with `xmlns='jabber:client'` and `xmlns:stream` declared, as our own headers do.
    Stream,
    /// Nowhere: every namespace is declared in the element.
    Alone,
}

/// Appends the element.
pub fn write_element(_element: &Element, _scope: Scope, _out: &mut BytesMut) {
    todo!()
}
/// Appends text with `&`, `<`, `>` and CR escaped.
pub fn escape_text(_text: &str, _out: &mut BytesMut) {
    todo!()
}
/// Appends an attribute value with `&`, `<`, `>`, both quotes, TAB, CR and LF escaped.
pub fn escape_attr(_value: &str, _out: &mut BytesMut) {
    todo!()
}
