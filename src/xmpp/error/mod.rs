//! Stanza errors (RFC 6120 §8.3) and stream errors (RFC 6120 §4.9), every condition of each.
//!
//! Takes conditions and texts, gives elements; decides nothing about when an error is due.

mod reply;
mod stanza;
mod stream;

pub use reply::error_reply;
pub use stanza::{Condition, ErrorType, StanzaError};
pub use stream::{StreamCondition, StreamError};

use super::ns;
use crate::xml::Element;

/// `<text xml:lang='en'/>`: with its own language, because the reader's stream may have another one (RFC 6120 §8.3.2).
fn english(namespace: &str, text: &str) -> Element {
    let mut element = Element::new(namespace, "text").with_text(text);
    element.set_attr_ns(ns::XML, "lang", "en");
    element
}
