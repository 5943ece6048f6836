//! Start tags, from the byte behind `<` to `>` or `/>`, resumable after any byte.
//!
//! Takes bytes, gives the places of names and values. Knows well-formedness only: what prefixes stand for and whether
//! attributes are repeated is judged when the tag is whole.

use super::bytes::{is_space, off, skip_space, value_end};
use super::names::QName;
use super::scope::slice;
use super::{Bad, Fault, refs};
use crate::xml::{Limits, Span, Value};

/// An attribute or namespace declaration as written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Written {
    pub(super) name: QName,
    pub(super) value: Value,
    /// Whether it is `xmlns` or `xmlns:…`.
    pub(super) declares: bool,
    pub(super) key: u32,
}

/// What is expected next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Next {
    /// (The rest of) the element name.
    #[default]
    Name,
    /// White space or the end of the tag.
    Gap,
    /// After white space: more of it, an attribute, or the end of the tag.
    Inside,
    /// (The rest of) an attribute name.
    AttrName,
    /// `=`, perhaps after white space.
    Equals,
    /// A quote, perhaps after white space.
    Quote,
    /// (The rest of) a value.
    Value,
    /// The `>` of `/>`.
    Slash,
}

/// The start tag being read.
#[derive(Debug, Default)]
pub(super) struct Tag {
    next: Next,
    /// Where its `<` stands.
    pub(super) start: usize,
    pub(super) name: QName,
    /// Its attributes; the last one may be unfinished. (It grows in its place: a copy of what was just written is slow.)
    pub(super) attrs: Vec<Written>,
    /// How many of them are declarations.
    pub(super) declarations: usize,
    /// How many of the others have a prefix.
    pub(super) prefixed: usize,
    /// Whether TAB, CR or LF stands in a value.
    pub(super) untidy: bool,
    quote: u8,
}

fn ill(why: &'static str, at: usize) -> Bad {
    Bad { fault: Fault::NotWellFormed, why, at }
}

impl Tag {
    /// A tag whose `<` stands at `start`.
    pub(super) fn begin(&mut self, start: usize) {
        self.next = Next::Name;
        self.start = start;
        self.name = QName::at(start + 1);
        self.attrs.clear();
        self.declarations = 0;
        self.prefixed = 0;
        self.untidy = false;
    }
    /// Reads on at `at`. `Some(true)`: the tag has ended with `/>`; `Some(false)`: with `>`; `None`: go on with more bytes.
    pub(super) fn read(&mut self, buf: &[u8], at: &mut usize, limits: &Limits) -> Result<Option<bool>, Bad> {
        let (mut pos, mut next) = (*at, self.next);
        // The blocks stand in the order in which they usually follow each other, so that a block falls into the next.
        let ended = loop {
            if next == Next::Name {
                pos = self.name.advance(buf, pos);
                if pos - self.name.start as usize > limits.name_bytes {
                    return Err(too_long(self.name));
                }
                if pos >= buf.len() {
                    break None;
                }
                self.name.finish(buf, pos).map_err(|why| ill(why, self.start))?;
                next = Next::Gap;
            }
            if next == Next::Value {
                pos = self.value(buf, pos, limits)?;
                if pos >= buf.len() {
                    break None;
                }
                self.close_value(buf, pos)?;
                pos += 1;
                next = Next::Gap;
            }
            if next == Next::Gap {
                match buf.get(pos) {
                    None => break None,
                    Some(b'>') => break Some(false),
                    Some(b'/') => next = Next::Slash,
                    Some(&b) if is_space(b) => next = Next::Inside,
                    Some(_) if self.attrs.is_empty() => return Err(ill("a character no name may hold", pos)),
                    Some(_) => return Err(ill("no white space before an attribute", pos)),
                }
                pos += 1;
            }
            if next == Next::Inside {
                pos = skip_space(buf, pos);
                match buf.get(pos) {
                    None => break None,
                    Some(b'>') => break Some(false),
                    Some(b'/') => {
                        next = Next::Slash;
                        pos += 1;
                    }
                    Some(_) if self.attrs.len() >= limits.attributes as usize => {
                        return Err(Bad { fault: Fault::Limit, why: "too many attributes", at: pos });
                    }
                    Some(_) => {
                        self.attrs.push(Written { name: QName::at(pos), ..Written::default() });
                        next = Next::AttrName;
                    }
                }
            }
            if next == Next::AttrName {
                let Some(current) = self.attrs.last_mut() else { break None };
                pos = current.name.advance(buf, pos);
                if pos - current.name.start as usize > limits.name_bytes {
                    return Err(too_long(current.name));
                }
                if pos >= buf.len() {
                    break None;
                }
                close_name(current, buf, pos)?;
                if buf.get(pos).is_some_and(|&b| b >= 0x80 || b == b':') {
                    return Err(ill("a character no name may hold", pos));
                }
                next = Next::Equals;
            }
            if next == Next::Equals {
                pos = skip_space(buf, pos);
                match buf.get(pos) {
                    None => break None,
                    Some(b'=') => pos += 1,
                    Some(_) => return Err(ill("an attribute without a value", pos)),
                }
                next = Next::Quote;
            }
            if next == Next::Quote {
                pos = skip_space(buf, pos);
                match buf.get(pos) {
                    None => break None,
                    Some(&quote @ (b'\'' | b'"')) => self.quote = quote,
                    Some(_) => return Err(ill("an attribute value without quotes", pos)),
                }
                pos += 1;
                let Some(current) = self.attrs.last_mut() else { break None };
                current.value.span.start = off(pos);
                next = Next::Value;
            }
            if next == Next::Slash {
                match buf.get(pos) {
                    None => break None,
                    Some(b'>') => break Some(true),
                    Some(_) => return Err(ill("a / inside a tag", pos)),
                }
            }
        };
        self.next = next;
        *at = pos + usize::from(ended.is_some());
        Ok(ended)
    }
    /// Reads on in a value, to its closing quote or the end of the buffer.
    fn value(&mut self, buf: &[u8], from: usize, limits: &Limits) -> Result<usize, Bad> {
        let mut pos = from;
        loop {
            pos = value_end(buf, pos, self.quote, &mut self.untidy);
            let current = self.attrs.last_mut();
            // Before what is wrong there: how it came in pieces must not matter.
            if let Some(start) = current.as_ref().map(|current| current.value.span.start as usize)
                && pos - start > limits.value_bytes
            {
                return Err(Bad { fault: Fault::Limit, why: "an attribute value too long", at: start });
            }
            match (buf.get(pos), current) {
                (Some(b'<'), _) => return Err(ill("a < in an attribute value", pos)),
                (Some(b'&'), Some(current)) => current.value.escaped = true,
                _ => return Ok(pos),
            }
            pos += 1;
        }
    }
    fn close_value(&mut self, buf: &[u8], end: usize) -> Result<(), Bad> {
        let Some(current) = self.attrs.last_mut() else { return Ok(()) };
        current.value.span.end = off(end);
        if current.value.escaped {
            let start = current.value.span.start;
            refs::check(slice(buf, Span { start, end: off(end) })).map_err(|(fault, why, at)| Bad {
                fault,
                why,
                at: at + start as usize,
            })?;
        }
        self.declarations += usize::from(current.declares);
        self.prefixed += usize::from(!current.declares && current.name.colon != 0);
        Ok(())
    }
}

fn close_name(attr: &mut Written, buf: &[u8], end: usize) -> Result<(), Bad> {
    let name = &mut attr.name;
    name.finish(buf, end).map_err(|why| ill(why, name.start as usize))?;
    let text = buf.get(name.start as usize..end).unwrap_or_default();
    attr.declares = text.first() == Some(&b'x') && (text == b"xmlns" || text.starts_with(b"xmlns:"));
    attr.key = key(text);
    Ok(())
}

/// Names with different keys differ. (Most names of one tag differ in length or in their first or last byte.)
fn key(name: &[u8]) -> u32 {
    let byte = |b: Option<&u8>| u32::from(b.copied().unwrap_or_default());
    (off(name.len()) << 16) ^ (byte(name.first()) << 8) ^ byte(name.last())
}

fn too_long(name: QName) -> Bad {
    Bad { fault: Fault::Limit, why: "a name too long", at: name.start as usize }
}
