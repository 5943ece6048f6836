//! One attribute of an element's start tag, read without a tree.
//!
//! Takes the bytes of a judged element, gives a value. Must not be used on bytes the scanner has not accepted.

use super::View;
use super::scan::value_text;
use std::borrow::Cow;

impl<'a> View<'a> {
    /// The value of an attribute in no namespace, other than those the head knows already. Reads the start tag again.
    #[must_use]
    pub fn attr(&self, name: &str) -> Option<Cow<'a, str>> {
        let mut rest = after_name(self.bytes.get(1..)?)?;
        loop {
            let (this, behind) = rest.split_once_by(b'=')?;
            let this = this.trim_ascii();
            if this.first().is_none_or(|byte| matches!(byte, b'>' | b'/')) || this.contains(&b'>') {
                return None;
            }
            let behind = behind.trim_ascii_start();
            let (quote, value) = behind.split_first()?;
            let (value, after) = value.split_once_by(*quote)?;
            if this == name.as_bytes() {
                return Some(value_text(value));
            }
            rest = after;
        }
    }
}

/// What follows an element's name.
fn after_name(tag: &[u8]) -> Option<&[u8]> {
    let end = tag.iter().position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/'))?;
    tag.get(end..)
}

trait SplitOnce {
    fn split_once_by(&self, at: u8) -> Option<(&[u8], &[u8])>;
}

impl SplitOnce for [u8] {
    fn split_once_by(&self, at: u8) -> Option<(&[u8], &[u8])> {
        let place = memchr::memchr(at, self)?;
        Some((self.get(..place)?, self.get(place + 1..)?))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CLIENT_NS, ItemKind, STREAM_NS, Scanner, Step, View};
    use crate::xml::Limits;

    #[test]
    fn attributes_are_found_wherever_they_stand() {
        let mut scanner = Scanner::new(Limits::AFTER_LOGIN);
        let open = format!("<stream:stream xmlns='{CLIENT_NS}' xmlns:stream='{STREAM_NS}'>");
        assert!(matches!(scanner.scan(open.as_bytes()), Step::Item { .. }));
        for (text, h) in [
            ("<a xmlns='urn:xmpp:sm:3' h='5'/>", Some("5")),
            ("<a h=\"5\" xmlns='urn:xmpp:sm:3'></a>", Some("5")),
            ("<a\n  x='h=&quot;1&quot;>' h = '&#53;' />", Some("5")),
            ("<a x='/>' h=''><b h='6'/></a>", Some("")),
            ("<a x='>'><b h='6'/></a>", None),
            ("<a><b h='6'/></a>", None),
            ("<a/>", None),
            ("<a>h='7'</a>", None),
            ("<p:a xmlns:p='urn:p' p:h='8' hh='9'/>", None),
            ("<a xh='1'/>", None),
        ] {
            assert!(
                matches!(scanner.scan(text.as_bytes()), Step::Item { kind: ItemKind::Element, .. }),
                "{text} is legal"
            );
            let view = View { bytes: text.as_bytes(), head: scanner.head(), root: scanner.root() };
            assert_eq!(view.attr("h").as_deref(), h, "{text}");
        }
    }
}
