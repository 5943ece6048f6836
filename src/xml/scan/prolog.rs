//! The XML declaration (XML 1.0 §2.8). It is read again from its start whenever bytes come in; it is short.

use super::bytes::{is_space, skip_space};
use super::{Bad, Fault};

/// A longer declaration is refused.
const LONGEST: usize = 512;

/// What a document begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Cannot be said yet.
    More,
    /// No declaration.
    Bare,
    /// A declaration of so many bytes.
    Declared(usize),
}

/// Reads the declaration, if there is one.
pub(super) fn declaration(buf: &[u8]) -> Result<Start, Bad> {
    const OPENING: &[u8] = b"<?xml";
    if !buf.starts_with(OPENING) {
        return Ok(if OPENING.starts_with(buf) { Start::More } else { Start::Bare });
    }
    match buf.get(OPENING.len()) {
        None => return Ok(Start::More),
        // A processing instruction `<?xml-…?>`; `<?xml?>` is a declaration gone wrong.
        Some(&b) if !is_space(b) && b != b'?' => return Ok(Start::Bare),
        Some(_) => {}
    }
    let mut reader = Reader { buf: buf.get(..LONGEST).unwrap_or(buf), pos: OPENING.len() };
    match reader.all() {
        Ok(()) => Ok(Start::Declared(reader.pos)),
        Err(Stop::Bad(fault, why)) => Err(Bad { fault, why, at: reader.pos }),
        Err(Stop::More) if buf.len() >= LONGEST => {
            Err(Bad { fault: Fault::Limit, why: "an XML declaration too long", at: LONGEST })
        }
        Err(Stop::More) => Ok(Start::More),
    }
}

enum Stop {
    More,
    Bad(Fault, &'static str),
}

struct Reader<'a> {
    buf: &'a [u8],
    pos: usize,
}

impl Reader<'_> {
    fn all(&mut self) -> Result<(), Stop> {
        self.space()?;
        if self.value_of(b"version", &["1.0"])?.is_none() {
            return Err(Stop::Bad(Fault::NotWellFormed, "an XML version other than 1.0"));
        }
        let mut gap = self.space()?;
        if gap && self.peek()? == b'e' {
            if self.value_of(b"encoding", &["utf-8"])?.is_none() {
                return Err(Stop::Bad(Fault::Encoding, "an encoding other than UTF-8"));
            }
            gap = self.space()?;
        }
        if gap && self.peek()? == b's' {
            if self.value_of(b"standalone", &["yes", "no"])?.is_none() {
                return Err(Stop::Bad(Fault::NotWellFormed, "standalone is neither yes nor no"));
            }
            self.space()?;
        }
        self.expect(b"?>")
    }
    fn peek(&self) -> Result<u8, Stop> {
        self.buf.get(self.pos).copied().ok_or(Stop::More)
    }
    /// Skips white space; says whether there was any.
    fn space(&mut self) -> Result<bool, Stop> {
        let from = self.pos;
        self.pos = skip_space(self.buf, self.pos);
        self.peek()?;
        Ok(self.pos > from)
    }
    fn expect(&mut self, text: &[u8]) -> Result<(), Stop> {
        for &b in text {
            if self.peek()? != b {
                return Err(Stop::Bad(Fault::NotWellFormed, "an XML declaration out of shape"));
            }
            self.pos += 1;
        }
        Ok(())
    }
    /// Reads `name = 'value'`. `None`: it is none of those wanted. Only the encoding may be in any case (§4.3.3).
    fn value_of(&mut self, name: &[u8], wanted: &[&str]) -> Result<Option<()>, Stop> {
        self.expect(name)?;
        self.space()?;
        self.expect(b"=")?;
        self.space()?;
        let quote = self.peek()?;
        if quote != b'\'' && quote != b'"' {
            return Err(Stop::Bad(Fault::NotWellFormed, "an XML declaration out of shape"));
        }
        self.pos += 1;
        let from = self.pos;
        while self.peek()? != quote {
            if matches!(self.peek()?, b'<' | b'>' | b'&') {
                return Err(Stop::Bad(Fault::NotWellFormed, "an XML declaration out of shape"));
            }
            self.pos += 1;
        }
        let value = self.buf.get(from..self.pos).unwrap_or_default();
        self.pos += 1;
        let found = wanted.iter().any(|w| match name {
            b"encoding" => value.eq_ignore_ascii_case(w.as_bytes()),
            _ => value == w.as_bytes(),
        });
        Ok(found.then_some(()))
    }
}
