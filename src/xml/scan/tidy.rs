//! Line ends and white space in values, normalised as every parser does (XML 1.0 §2.11, §3.3.3).
//!
//! Takes bytes the scanner has accepted, gives bytes with the same meaning that read the same raw and parsed.

use super::{ItemKind, Scanner, Step};
use crate::xml::{Head, Limits, Root};

/// What was accepted once must not fail now for its size.
const ANY: Limits = Limits {
    stanza_bytes: usize::MAX,
    elements: u32::MAX,
    depth: u32::MAX,
    attributes: u32::MAX,
    name_bytes: usize::MAX,
    value_bytes: usize::MAX,
};

/// The bytes of an untidy element as every parser reads them (CR LF and CR to LF; in attribute values each to a space),
/// with the head that fits them. `bytes` must be an element the scanner has accepted under `root`.
/// Returns `None` only if the normalised bytes would not be accepted again (cannot happen; fail closed).
#[must_use]
pub fn normalise(bytes: &[u8], root: &Root) -> Option<(Vec<u8>, Head)> {
    let tidy = rewrite(bytes);
    let mut scanner = Scanner::under(root, ANY);
    match scanner.scan(&tidy) {
        Step::Item { len, kind: ItemKind::Element } if len == tidy.len() => {
            let head = *scanner.head();
            Some((tidy, head))
        }
        _ => None,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Text,
    Tag,
    Value(u8),
    Cdata,
}

fn rewrite(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut within = Within::Text;
    let mut i = 0;
    while let Some(&b) = bytes.get(i) {
        within = match (within, b) {
            (Within::Text, b'<') if bytes.get(i..).is_some_and(|r| r.starts_with(b"<![CDATA[")) => Within::Cdata,
            (Within::Text, b'<') => Within::Tag,
            (Within::Tag, b'>') => Within::Text,
            (Within::Tag, b'\'' | b'"') => Within::Value(b),
            (Within::Value(quote), b) if b == quote => Within::Tag,
            (Within::Cdata, b'>') if out.ends_with(b"]]") => Within::Text,
            (same, _) => same,
        };
        let value = matches!(within, Within::Value(_));
        match b {
            b'\r' => {
                i += usize::from(bytes.get(i + 1) == Some(&b'\n'));
                out.push(if value { b' ' } else { b'\n' });
            }
            b'\n' | b'\t' if value => out.push(b' '),
            b => out.push(b),
        }
        i += 1;
    }
    out
}
