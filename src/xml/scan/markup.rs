//! What may stand behind a `<` other than a start tag: end tags, CDATA sections, and all that XMPP forbids.
//!
//! Takes the bytes and the scanner's place in them, moves it on or refuses. Must not know elements' meaning or place.

use super::bytes::{is_space, same, skip_space};
use super::scope::slice;
use super::{Bad, Fault, ItemKind, Place, Scanner, State, ill};

impl Scanner {
    /// At `<!`: only a CDATA section inside an element may begin so. `false`: cannot be said yet.
    pub(super) fn bang(&mut self, buf: &[u8]) -> Result<bool, Bad> {
        const CDATA: &[u8] = b"<![CDATA[";
        let here = buf.get(self.pos..).unwrap_or_default();
        if here.starts_with(CDATA) {
            if self.place == Place::Prolog {
                return Err(ill("a CDATA section before the stream header", self.pos));
            }
            if self.stack.is_empty() {
                let why = "a CDATA section between first-level elements";
                return Err(Bad { fault: Fault::Format, why, at: self.pos });
            }
            self.pos += CDATA.len();
            self.state = State::Cdata(self.pos);
            return Ok(true);
        }
        if CDATA.starts_with(here) {
            return Ok(false);
        }
        match here.get(2) {
            Some(b'-') => Err(Bad { fault: Fault::Restricted, why: "a comment", at: self.pos }),
            Some(b) if b.is_ascii_alphabetic() => {
                Err(Bad { fault: Fault::Restricted, why: "a markup declaration", at: self.pos })
            }
            _ => Err(ill("<! that begins nothing known", self.pos)),
        }
    }
    /// At `<?`: never legal; what it is decides how it is refused.
    pub(super) fn question(&self, buf: &[u8]) -> Result<Option<(usize, ItemKind)>, Bad> {
        const OPENING: &[u8] = b"<?xml";
        let here = buf.get(self.pos..).unwrap_or_default();
        if self.place == Place::Prolog && OPENING.starts_with(here) {
            return Ok(None);
        }
        if self.place == Place::Prolog && here.starts_with(OPENING) {
            match here.get(OPENING.len()) {
                None => return Ok(None),
                Some(&b) if is_space(b) || b == b'?' => {
                    return Err(ill("an XML declaration that is not the very first thing", self.pos));
                }
                Some(_) => {}
            }
        }
        Err(Bad { fault: Fault::Restricted, why: "a processing instruction", at: self.pos })
    }

    /// Reads on in an end tag; `true`: it has ended.
    pub(super) fn end_tag(&mut self, buf: &[u8]) -> Result<bool, Bad> {
        if let State::End(from) = self.state {
            let name = match self.stack.last() {
                Some(opened) => slice(buf, opened.name),
                None => self.root_name.as_slice(),
            };
            let wanted = name.get(self.pos - from..).unwrap_or_default();
            let there = buf.get(self.pos..).unwrap_or_default();
            let n = wanted.len().min(there.len());
            if !same(wanted.get(..n).unwrap_or_default(), there.get(..n).unwrap_or_default()) {
                return Err(ill("an end tag that does not match", from));
            }
            let all = n == wanted.len();
            self.pos += n;
            if !all {
                return Ok(false);
            }
            self.state = State::EndGap;
        }
        self.pos = skip_space(buf, self.pos);
        match buf.get(self.pos) {
            None => Ok(false),
            Some(b'>') => {
                self.pos += 1;
                Ok(true)
            }
            Some(_) => Err(ill("an end tag that does not match", self.pos)),
        }
    }
}
