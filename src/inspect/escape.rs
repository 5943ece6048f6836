//! Text from peers, made safe to show: no control character reaches a terminal, nothing turns the reading direction,
//! nothing is longer than its place.
//!
//! Takes any text, gives text of one line without escape sequences. Must not be passed by anything a peer chose.

use std::fmt::Write;

/// Whether a character must not be shown as it is: C0, DEL, C1; line and paragraph separators; what changes the reading
/// direction; what is invisible and alone.
pub(super) fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Appends the text, escaped, in at most `columns` columns: the last of them is `…` if more would have come. Gives the columns
/// used (one per character: wide ones are not known here).
pub(super) fn push(out: &mut String, text: &str, columns: usize) -> usize {
    let mut used = 0;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let start = out.len();
        let width = if is_hostile(c) {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            out.len() - start
        } else {
            out.push(c);
            1
        };
        let more = usize::from(!chars.as_str().is_empty());
        if used + width + more > columns {
            out.truncate(start);
            if used < columns {
                out.push('…');
                used += 1;
            }
            return used;
        }
        used += width;
    }
    used
}

/// The text, escaped, at most `columns` wide.
pub(super) fn escaped(text: &str, columns: usize) -> String {
    let mut out = String::with_capacity(text.len());
    push(&mut out, text, columns);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_characters_become_escapes() {
        assert_eq!(escaped("a\x1b[31mb\r\n\u{9b}\u{7f}\0", 99), "a\\u{1b}[31mb\\u{d}\\u{a}\\u{9b}\\u{7f}\\u{0}");
        assert_eq!(escaped("x\u{202e}\u{2066}y\u{2029}", 99), "x\\u{202e}\\u{2066}y\\u{2029}");
        assert_eq!(escaped("grüße 🦀 עברית", 99), "grüße 🦀 עברית");
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        assert_eq!(escaped("abcdef", 6), "abcdef");
        assert_eq!(escaped("abcdef", 5), "abcd…");
        assert_eq!(escaped("abc\x1b", 6), "abc…");
        assert_eq!(escaped("abc\x1b", 9), "abc\\u{1b}");
        assert_eq!(escaped("ab", 0), "");
        assert_eq!(escaped("ééé", 2), "é…");
    }

    #[test]
    fn no_text_is_wider_than_its_place() {
        for columns in 0..40 {
            for text in ["\x1b\x1b\x1b\x1b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "a\x1bb\u{202e}c", ""] {
                let mut out = String::new();
                let used = push(&mut out, text, columns);
                assert_eq!(used, out.chars().count());
                assert!(used <= columns, "{text:?} in {columns}");
            }
        }
    }
}
