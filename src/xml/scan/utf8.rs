//! The pass over every new chunk: strict UTF-8, and only characters that XML 1.0 allows.
//!
//! Takes bytes not looked at yet, says how many are sound and what is wrong behind them. Every byte comes here once
//! (but for the up to three bytes of a character cut in two).

use memchr::memchr_iter;

/// What is known of a chunk.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// So many bytes are whole, legal characters.
    pub(super) sound: usize,
    /// What is wrong with the character behind them; without it that character is not all there yet.
    pub(super) bad: Option<&'static str>,
    /// Whether there is a CR among the sound bytes.
    pub(super) cr: bool,
}

pub(super) fn check(chunk: &[u8]) -> Checked {
    let mut out = Checked { sound: chunk.len(), bad: None, cr: false };
    if simdutf8::basic::from_utf8(chunk).is_err()
        && let Err(e) = simdutf8::compat::from_utf8(chunk)
    {
        out.sound = e.valid_up_to();
        out.bad = e.error_len().map(|_| "not UTF-8");
    }
    if let Some(at) = illegal(chunk.get(..out.sound).unwrap_or_default(), &mut out.cr) {
        out.sound = at;
        out.bad = Some("a character that XML forbids");
    }
    out
}

/// The first control character or non-character XML 1.0 §2.2 forbids. (Surrogates are no UTF-8.)
fn illegal(bytes: &[u8], cr: &mut bool) -> Option<usize> {
    let (blocks, rest) = bytes.as_chunks::<32>();
    let mut start = 0;
    for block in blocks {
        if suspicious(block, cr)
            && let Some(at) = first(bytes, start, block)
        {
            return Some(at);
        }
        start += block.len();
    }
    if suspicious(rest, cr) { first(bytes, start, rest) } else { None }
}

/// Whether there may be something forbidden. No early exit in here: the compiler makes vector code of it.
#[inline(always)]
fn suspicious(block: &[u8], cr: &mut bool) -> bool {
    let (mut control, mut returns, mut lead) = (false, false, false);
    for &b in block {
        control |= (b < 0x20) & (b != b'\t') & (b != b'\n') & (b != b'\r');
        returns |= b == b'\r';
        lead |= b == 0xEF;
    }
    *cr |= returns;
    control | lead
}

#[cold]
fn first(bytes: &[u8], start: usize, block: &[u8]) -> Option<usize> {
    let control = block.iter().position(|&b| b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r'));
    let found = [control, non_character(bytes, start, block)].into_iter().flatten().min()?;
    Some(start + found)
}

/// U+FFFE or U+FFFF beginning in this block (it may reach into the next).
fn non_character(bytes: &[u8], start: usize, block: &[u8]) -> Option<usize> {
    memchr_iter(0xEF, block).find(|at| matches!(bytes.get(start + at..), Some([0xEF, 0xBF, 0xBE | 0xBF, ..])))
}
