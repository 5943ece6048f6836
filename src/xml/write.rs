//! The one writer: trees to bytes that every conforming parser reads back as the same tree.
//!
//! Takes an [`Element`] and what is in force around it, appends bytes. Must not change what the tree says; characters
//! XML has no way to write (control characters a script may have made) become U+FFFD, for one of them on the wire would
//! end the session.

use super::{CLIENT_NS, Element, Node, STREAM_NS, XML_NS};
use bytes::{BufMut, BytesMut};

/// What is in force where the element will stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Under a stream root with `xmlns='jabber:client'` and `xmlns:stream` declared, as our own headers do.
    Stream,
    /// Nowhere: every namespace is declared in the element.
    Alone,
}

/// An element whose end is still to be written.
struct Unfinished<'a> {
    element: &'a Element,
    next_node: usize,
    /// The default namespace inside it.
    default: &'a str,
}

/// Appends the element.
pub fn write_element(element: &Element, scope: Scope, out: &mut BytesMut) {
    let outer = if scope == Scope::Stream { CLIENT_NS } else { "" };
    let mut stack = Vec::with_capacity(8);
    stack.extend(start(element, scope, outer, out));
    while let Some(top) = stack.last_mut() {
        let default = top.default;
        match top.element.nodes.get(top.next_node) {
            Some(node) => {
                top.next_node += 1;
                match node {
                    Node::Text(text) => escape_text(text, out),
                    Node::Element(child) => stack.extend(start(child, scope, default, out)),
                }
            }
            None => {
                out.put_slice(b"</");
                name(top.element, scope, out);
                out.put_u8(b'>');
                stack.pop();
            }
        }
    }
}

/// Writes a start tag. Gives nothing if the element is empty and therefore done.
fn start<'a>(element: &'a Element, scope: Scope, outer: &'a str, out: &mut BytesMut) -> Option<Unfinished<'a>> {
    out.put_u8(b'<');
    name(element, scope, out);
    let mut default = outer;
    if prefix(element, scope).is_none() && element.ns != outer {
        default = &element.ns;
        declare("xmlns", default, out);
    }
    // Prefixes made up here hold for this one element only, so that a number suffices.
    let mut made: Vec<&str> = Vec::new();
    // No tree that was read holds an attribute `xmlns`; one made by a script must not declare anything.
    for attr in element.attrs.iter().filter(|a| a.name != "xmlns" || !a.ns.is_empty()) {
        out.put_u8(b' ');
        if attr.ns == XML_NS {
            out.put_slice(b"xml:");
        } else if !attr.ns.is_empty() {
            let n = made.iter().position(|ns| *ns == attr.ns).unwrap_or_else(|| {
                made.push(&attr.ns);
                made.len() - 1
            });
            out.put_slice(format!("ns{n}:").as_bytes());
        }
        out.put_slice(attr.name.as_bytes());
        quoted(&attr.value, out);
    }
    for (n, ns) in made.iter().enumerate() {
        declare(&format!("xmlns:ns{n}"), ns, out);
    }
    if element.nodes.iter().all(|node| matches!(node, Node::Text(t) if t.is_empty())) {
        out.put_slice(b"/>");
        return None;
    }
    out.put_u8(b'>');
    Some(Unfinished { element, next_node: 0, default })
}

/// The prefix an element is written with.
fn prefix(element: &Element, scope: Scope) -> Option<&'static str> {
    match element.ns.as_str() {
        STREAM_NS if scope == Scope::Stream => Some("stream:"),
        XML_NS => Some("xml:"),
        _ => None,
    }
}

fn name(element: &Element, scope: Scope, out: &mut BytesMut) {
    out.put_slice(prefix(element, scope).unwrap_or_default().as_bytes());
    out.put_slice(element.name.as_bytes());
}

fn declare(what: &str, ns: &str, out: &mut BytesMut) {
    out.put_u8(b' ');
    out.put_slice(what.as_bytes());
    quoted(ns, out);
}

fn quoted(value: &str, out: &mut BytesMut) {
    out.put_slice(b"='");
    escape_attr(value, out);
    out.put_u8(b'\'');
}

/// Appends text with `&`, `<`, `>` and CR escaped.
pub fn escape_text(text: &str, out: &mut BytesMut) {
    escape(text, out, |c| match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '\r' => Some("&#xD;"),
        '\t' | '\n' => None,
        c => unwritable(c),
    });
}

/// Appends an attribute value with `&`, `<`, `>`, both quotes, TAB, CR and LF escaped.
pub fn escape_attr(value: &str, out: &mut BytesMut) {
    escape(value, out, |c| match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '\'' => Some("&apos;"),
        '"' => Some("&quot;"),
        '\t' => Some("&#x9;"),
        '\n' => Some("&#xA;"),
        '\r' => Some("&#xD;"),
        c => unwritable(c),
    });
}

fn unwritable(c: char) -> Option<&'static str> {
    matches!(c, '\0'..'\u{20}' | '\u{FFFE}' | '\u{FFFF}').then_some("\u{FFFD}")
}

fn escape(text: &str, out: &mut BytesMut, with: impl Fn(char) -> Option<&'static str>) {
    out.reserve(text.len());
    let mut plain = 0;
    for (at, c) in text.char_indices() {
        if let Some(escaped) = with(c) {
            out.put_slice(text.get(plain..at).unwrap_or_default().as_bytes());
            out.put_slice(escaped.as_bytes());
            plain = at + c.len_utf8();
        }
    }
    out.put_slice(text.get(plain..).unwrap_or_default().as_bytes());
}
