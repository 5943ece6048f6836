//! Byte classes and runs: how far plain text or an attribute value goes on.
//!
//! Takes bytes, gives positions. Short runs are looked at eight bytes at a time, long ones by memchr.

use memchr::memchr3;

/// A name may go on with it (ASCII, without the colon).
pub(super) const NAME: u8 = 1;
/// A name may begin with it (ASCII, without the colon).
pub(super) const START: u8 = 2;
/// White space as XML has it.
pub(super) const SPACE: u8 = 4;

/// So many bytes are tried word by word before memchr is called, whose start costs more than a short run.
const SHORT: usize = 64;

const CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut b = 0;
    while b < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let c = b as u8;
        if c.is_ascii_alphabetic() || c == b'_' {
            table[b] = NAME | START;
        } else if c.is_ascii_digit() || c == b'-' || c == b'.' {
            table[b] = NAME;
        } else if matches!(c, b' ' | b'\t' | b'\r' | b'\n') {
            table[b] = SPACE;
        }
        b += 1;
    }
    table
};

/// The classes of a byte.
#[inline]
pub(super) fn class(b: u8) -> u8 {
    CLASSES[usize::from(b)]
}

#[inline]
pub(super) fn is_space(b: u8) -> bool {
    class(b) & SPACE != 0
}

/// An offset as spans hold it: the stanza limit is kept below 2^31, so nothing is lost.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "no item is longer than Limits::stanza_bytes, clamped to 2^31")]
pub(super) fn off(pos: usize) -> u32 {
    pos as u32
}

/// The first byte from `pos` on that is not white space, or the end.
#[inline]
pub(super) fn skip_space(buf: &[u8], mut pos: usize) -> usize {
    while buf.get(pos).is_some_and(|&b| is_space(b)) {
        pos += 1;
    }
    pos
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Marks the high bit of the lowest byte equal to `b` (and perhaps of bytes above it, never below).
#[inline]
fn equal(word: u64, b: u8) -> u64 {
    let x = word ^ (ONES * u64::from(b));
    x.wrapping_sub(ONES) & !x & HIGHS
}

/// Marks the lowest byte below `b` (at most 0x80), like [`equal`].
#[inline]
fn below(word: u64, b: u8) -> u64 {
    word.wrapping_sub(ONES * u64::from(b)) & !word & HIGHS
}

#[inline]
fn word(buf: &[u8], pos: usize) -> Option<u64> {
    buf.get(pos..)?.first_chunk::<8>().map(|w| u64::from_le_bytes(*w))
}

/// The first `<`, `&` or `>` from `pos` on, or the end.
#[inline]
pub(super) fn text_end(buf: &[u8], pos: usize) -> usize {
    let mut i = pos;
    while let Some(w) = word(buf, i) {
        let hit = equal(w, b'<') | equal(w, b'&') | equal(w, b'>');
        if hit != 0 {
            return i + (hit.trailing_zeros() / 8) as usize;
        }
        i += 8;
        if i - pos >= SHORT {
            let rest = buf.get(i..).unwrap_or_default();
            return memchr3(b'<', b'&', b'>', rest).map_or(buf.len(), |n| i + n);
        }
    }
    while buf.get(i).is_some_and(|b| !matches!(b, b'<' | b'&' | b'>')) {
        i += 1;
    }
    i
}

/// The first `quote`, `<` or `&` from `pos` on, or the end; `untidy` is set when TAB, CR or LF is passed.
#[inline]
pub(super) fn value_end(buf: &[u8], pos: usize, quote: u8, untidy: &mut bool) -> usize {
    let mut i = pos;
    while let Some(w) = word(buf, i) {
        let hit = equal(w, quote) | equal(w, b'<') | equal(w, b'&');
        let odd = below(w, 0x20);
        // Only the lowest mark of each is sure, and only what stands before the first hit belongs to the value.
        *untidy |= odd.trailing_zeros() < hit.trailing_zeros();
        if hit != 0 {
            return i + (hit.trailing_zeros() / 8) as usize;
        }
        i += 8;
        if i - pos >= SHORT {
            let rest = buf.get(i..).unwrap_or_default();
            let n = memchr3(quote, b'<', b'&', rest).unwrap_or(rest.len());
            *untidy |= memchr3(b'\t', b'\r', b'\n', rest.get(..n).unwrap_or_default()).is_some();
            return i + n;
        }
    }
    while let Some(&b) = buf.get(i) {
        if b == quote || b == b'<' || b == b'&' {
            break;
        }
        *untidy |= b < 0x20;
        i += 1;
    }
    i
}

/// Whether there is white space among the bytes.
pub(super) fn has_space(bytes: &[u8]) -> bool {
    let mut words = bytes.chunks_exact(8);
    words.by_ref().any(|w| w.first_chunk::<8>().is_some_and(|w| below(u64::from_le_bytes(*w), 0x21) != 0))
        || words.remainder().iter().any(|&b| is_space(b))
}

/// Whether two byte strings are equal; never calls memcmp with nothing to compare (70 ns on the target machines).
#[inline]
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && (a.is_empty() || a == b)
}
