//! Stanza errors (RFC 6120 §8.3) and stream errors (RFC 6120 §4.9), every condition of each.
//!
//! Takes conditions and texts, gives elements; decides nothing about when an error is due.

mod reply;
mod stanza;
mod stream;

pub use reply::{error_reply, may_echo};
pub use stanza::{Condition, ErrorType, StanzaError};
pub use stream::{StreamCondition, StreamError};

use super::ns;
use crate::xml::{Element, View};

/// The name of the defined condition of a stanza's (first) `<error/>`, whether we know that name or not. Builds no tree.
#[must_use]
pub fn first_condition<'a>(stanza: &View<'a>) -> Option<&'a str> {
    let (mut inside, mut walk) = (false, stanza.inside(2));
    while let Some(inner) = walk.next() {
        match inner.level {
            1 if inside => return None,
            1 => inside = inner.is(ns::CLIENT, "error"),
            _ if inside && inner.name != "text" && inner.ns() == ns::STANZA_ERRORS => return Some(inner.name),
            _ => {}
        }
    }
    None
}

/// `<text xml:lang='en'/>`: with its own language, because the reader's stream may have another one (RFC 6120 §8.3.2).
fn english(namespace: &str, text: &str) -> Element {
    let mut element = Element::new(namespace, "text").with_text(text);
    element.set_attr_ns(ns::XML, "lang", "en");
    element
}
