//! Judging what we or a script made: written by the one writer, read back by the one scanner.
//!
//! Takes a tree, gives its bytes and head, so that the rules can look at it as at any stanza. Must not trust anybody.

use crate::xml::{
    CLIENT_NS, Element, Head, ItemKind, Limits, Root, STREAM_NS, Scanner, Scope, Step, View, write_element,
};
use bytes::BytesMut;

/// An element of our own making, judged.
pub(super) struct Judged {
    bytes: BytesMut,
    head: Head,
    root: Root,
}

impl Judged {
    /// Writes the element and scans it under the root every stream of ours has.
    ///
    /// # Errors
    /// Why the scanner refuses it.
    pub(super) fn new(element: &Element, limits: Limits) -> Result<Self, String> {
        let mut bytes = BytesMut::new();
        let mut scanner = Scanner::new(limits);
        let open = format!("<s:stream xmlns='{CLIENT_NS}' xmlns:stream='{STREAM_NS}' xmlns:s='{STREAM_NS}'>");
        let Step::Item { .. } = scanner.scan(open.as_bytes()) else {
            return Err("the scanner refuses a stream header of our own".to_owned());
        };
        write_element(element, Scope::Stream, &mut bytes);
        match scanner.scan(&bytes) {
            Step::Item { len, kind: ItemKind::Element } if len == bytes.len() => {
                Ok(Self { bytes, head: *scanner.head(), root: scanner.root().clone() })
            }
            Step::Refused(refusal) => Err(refusal.why.to_owned()),
            _ => Err("it is not one element".to_owned()),
        }
    }

    pub(super) fn view(&self) -> View<'_> {
        View { bytes: &self.bytes, head: &self.head, root: &self.root }
    }
}
