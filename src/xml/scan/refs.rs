//! References: the five predefined entities and characters by number (XML 1.0 §4.1, §4.6).
//!
//! Takes bytes from an `&` on. Must not know where the reference stands.

use super::Fault;
use super::names::QName;
use std::borrow::Cow;

/// What stands at an `&`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ref {
    /// The end is not there yet.
    More,
    /// A character, written with so many bytes.
    Char(char, usize),
    /// No reference, or none that XMPP allows.
    Bad(Fault, &'static str),
}

/// Digits of a character reference: as many as rxml takes, and leading zeros enough for anybody.
const DIGITS: usize = 8;

/// An entity with a longer name is refused before its end, so an unfinished reference is read again without much cost.
const LONGEST: usize = 64;

/// Reads the reference that `bytes` begins with.
pub(super) fn read(bytes: &[u8]) -> Ref {
    match bytes {
        [b'&', b'#', b'x', rest @ ..] => number(rest, 3, 16),
        [b'&', b'#', rest @ ..] => number(rest, 2, 10),
        _ => entity(bytes),
    }
}

fn number(digits: &[u8], before: usize, radix: u32) -> Ref {
    const BAD: Ref = Ref::Bad(Fault::NotWellFormed, "a character reference to no character XML allows");
    let mut value = 0_u32;
    for (i, &b) in digits.iter().enumerate() {
        if b == b';' && i > 0 {
            return match char::from_u32(value).filter(|&c| allowed(c)) {
                Some(c) => Ref::Char(c, before + i + 1),
                None => BAD,
            };
        }
        let Some(digit) = char::from(b).to_digit(radix) else {
            return Ref::Bad(Fault::NotWellFormed, "a character reference that is not a number");
        };
        value = value * radix + digit;
        if value > 0x0010_FFFF {
            return BAD;
        }
        if i >= DIGITS {
            return Ref::Bad(Fault::Limit, "a character reference with too many digits");
        }
    }
    Ref::More
}

fn entity(bytes: &[u8]) -> Ref {
    let known = [(&b"&lt;"[..], '<'), (b"&gt;", '>'), (b"&amp;", '&'), (b"&quot;", '"'), (b"&apos;", '\'')];
    if let Some((text, c)) = known.into_iter().find(|(text, _)| bytes.starts_with(text)) {
        return Ref::Char(c, text.len());
    }
    let mut name = QName::at(1);
    let end = name.advance(bytes, 1);
    if end > LONGEST {
        return Ref::Bad(Fault::Restricted, "an entity other than the five predefined ones");
    }
    if end == bytes.len() {
        return Ref::More;
    }
    match name.finish(bytes, end) {
        Ok(()) if bytes.get(end) == Some(&b';') => {
            Ref::Bad(Fault::Restricted, "an entity other than the five predefined ones")
        }
        _ => Ref::Bad(Fault::NotWellFormed, "an & that begins no reference"),
    }
}

/// Char of XML 1.0 §2.2.
fn allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// Whether every `&` of an attribute value begins a good reference; else what is wrong, and where.
pub(super) fn check(value: &[u8]) -> Result<(), (Fault, &'static str, usize)> {
    for at in memchr::memchr_iter(b'&', value) {
        match read(value.get(at..).unwrap_or_default()) {
            Ref::Char(..) => {}
            Ref::More => return Err((Fault::NotWellFormed, "a reference without its semicolon", at)),
            Ref::Bad(fault, why) => return Err((fault, why, at)),
        }
    }
    Ok(())
}

/// The value that the raw bytes between two quotes stand for (XML 1.0 §2.11, §3.3.3): references resolved, literal
/// white space turned to spaces.
pub(crate) fn value_text(raw: &[u8]) -> Cow<'_, str> {
    if memchr::memchr(b'&', raw).is_none() && !raw.iter().any(|&b| b < b' ') {
        return std::str::from_utf8(raw).map_or(Cow::Borrowed(""), Cow::Borrowed);
    }
    let whole = String::from_utf8_lossy(raw);
    let mut rest: &str = &whole;
    let mut out = String::with_capacity(raw.len());
    while let Some(at) = rest.find(['&', '\t', '\n', '\r']) {
        let (plain, special) = rest.split_at(at);
        out.push_str(plain);
        let (c, len) = read_special(special.as_bytes()).unwrap_or(('&', 1));
        out.push(c);
        rest = special.get(len..).unwrap_or_default();
    }
    out.push_str(rest);
    out.into()
}

/// The character data that raw bytes between two pieces of markup stand for (XML 1.0 §2.11): references resolved unless it is a CDATA
/// section's, line ends made one character.
pub(crate) fn content_text(raw: &[u8], references: bool) -> Cow<'_, str> {
    let special = |b: u8| b == b'\r' || references && b == b'&';
    if !raw.iter().copied().any(special) {
        return std::str::from_utf8(raw).map_or(Cow::Borrowed(""), Cow::Borrowed);
    }
    let whole = String::from_utf8_lossy(raw);
    let mut rest: &str = &whole;
    let mut out = String::with_capacity(raw.len());
    while let Some(at) = rest.bytes().position(special) {
        let (plain, found) = rest.split_at(at);
        out.push_str(plain);
        let (c, len) = match found.as_bytes() {
            [b'\r', b'\n', ..] => ('\n', 2),
            [b'\r', ..] => ('\n', 1),
            reference => read_special(reference).unwrap_or(('&', 1)),
        };
        out.push(c);
        rest = found.get(len..).unwrap_or_default();
    }
    out.push_str(rest);
    out.into()
}

fn read_special(bytes: &[u8]) -> Option<(char, usize)> {
    match bytes {
        [b'\r', b'\n', ..] => Some((' ', 2)),
        [b'&', ..] => match read(bytes) {
            Ref::Char(c, len) => Some((c, len)),
            Ref::More | Ref::Bad(..) => None,
        },
        _ => Some((' ', 1)),
    }
}
