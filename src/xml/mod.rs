//! Bytes to judged stanzas, to trees, and back to bytes.
//!
//! Takes the bytes of one direction of one XML stream, gives the first-level elements that are legal there, and
//! refuses all else with a [`Fault`]. Must not know what a stanza means, touch a socket or read a clock.

mod attr;
mod element;
mod head;
mod limits;
mod parse;
mod rehome;
mod roots;
mod scan;
mod walk;
mod write;

pub use element::{Attr, Element, Node};
pub use head::{Head, Name, NsRef, OpenAttr, OpenTag, Root, Span, Value, View};
pub use limits::Limits;
pub use parse::{Disagreement, parse_element, parse_shell, parse_str, parse_str_in};
pub use rehome::rehome;
pub(crate) use roots::shared_root;
pub use scan::{Fault, ItemKind, Refusal, Scanner, Step, normalise};
pub use walk::{Inner, Walk};
pub use write::{Scope, escape_attr, escape_text, write_element};

/// The namespace of the stream tags themselves (RFC 6120 §4.8.1).
pub const STREAM_NS: &str = "http://etherx.jabber.org/streams";
/// The content namespace of client streams (RFC 6120 §4.8.2).
pub const CLIENT_NS: &str = "jabber:client";
/// The name bound to the prefix `xml` (Namespaces in XML §3).
pub const XML_NS: &str = "http://www.w3.org/XML/1998/namespace";
/// The name bound to the prefix `xmlns` (Namespaces in XML §3).
pub const XMLNS_NS: &str = "http://www.w3.org/2000/xmlns/";
