//! What a value in a stanza is: an id, a moment, an address, a secret that was replaced; or just what it says.
//!
//! Takes a tree and a place in it, gives a [`Meaning`]. Must not compare anything.

use crate::xml::{Attr, Element, STREAM_NS};
use crate::xmpp::ns;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// What a value is to somebody who compares two recordings of one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// What it says counts.
    Word,
    /// The name of something, made up when it happened.
    Id,
    /// A moment: no two are alike.
    Moment,
    /// An address: its resource may be made up.
    Address,
    /// A secret, or part of a proof of one: no two are alike.
    Secret,
}

/// Stream management, whatever the version behind it.
const SM: &str = "urn:xmpp:sm:";
const SASL2: &str = "urn:xmpp:sasl:";
/// Result sets (XEP-0059): their ends are named by ids.
const RSM: &str = "http://jabber.org/protocol/rsm";

/// What an attribute's value is.
pub(super) fn attribute(element: &Element, attr: &Attr) -> Meaning {
    if !attr.ns.is_empty() {
        return Meaning::Word;
    }
    match attr.name.as_str() {
        _ if is_marker(&attr.value) => Meaning::Secret,
        "id" | "queryid" | "sid" | "previd" | "session" => Meaning::Id,
        "token" if element.ns.starts_with("urn:xmpp:fast:") => Meaning::Secret,
        "from" | "to" | "jid" | "by" | "initiator" | "responder" => Meaning::Address,
        _ if is_moment(&attr.value) => Meaning::Moment,
        _ => Meaning::Word,
    }
}

/// What the text of an element is.
pub(super) fn text(element: &Element, text: &str) -> Meaning {
    match (element.ns.as_str(), element.name.as_str()) {
        _ if is_marker(text) || is_marker_in_base64(text) => Meaning::Secret,
        (ns::SASL, "auth" | "challenge" | "response" | "success") | (ns::IQ_AUTH, "digest" | "password") => {
            Meaning::Secret
        }
        (sasl, "initial-response" | "challenge" | "response" | "additional-data") if sasl.starts_with(SASL2) => {
            Meaning::Secret
        }
        (RSM, "first" | "last" | "after" | "before") | (_, "thread") => Meaning::Id,
        (ns::BIND | ns::IQ_AUTH, "resource") => Meaning::Id,
        (_, "jid") => Meaning::Address,
        _ if is_moment(text) => Meaning::Moment,
        _ => Meaning::Word,
    }
}

/// Whether the order of an element's children says nothing: servers list mechanisms, features and contacts as they happen to have them.
pub(super) fn is_set(element: &Element) -> bool {
    match element.name.as_str() {
        "features" => element.ns == STREAM_NS,
        "mechanisms" => element.ns == ns::SASL,
        "query" => [ns::DISCO_INFO, ns::DISCO_ITEMS, ns::ROSTER].contains(&element.ns.as_str()),
        "blocklist" => element.ns == ns::BLOCKING,
        _ => false,
    }
}

/// What only acknowledges (XEP-0198): when it comes is chance.
pub(super) fn is_acknowledgement(element_ns: &str, name: &str) -> bool {
    element_ns.starts_with(SM) && matches!(name, "r" | "a")
}

/// A moment as XEP-0082 writes it, or as it was written before (XEP-0091).
fn is_moment(text: &str) -> bool {
    let text = text.trim();
    let pattern = |pattern: &[u8]| {
        text.len() >= pattern.len()
            && text.bytes().zip(pattern).all(|(b, p)| if *p == b'0' { b.is_ascii_digit() } else { b == *p })
    };
    let rest = |at: usize| text.as_bytes().get(at..).unwrap_or_default();
    if pattern(b"00000000T00:00:00") {
        return rest(17).is_empty();
    }
    pattern(b"0000-00-00T00:00:00")
        && rest(19).len() <= 20
        && rest(19).iter().all(|b| b.is_ascii_digit() || b".:+-Z".contains(b))
}

/// What the recorder has put in a secret's place.
fn is_marker(text: &str) -> bool {
    text.trim()
        .strip_prefix("[redacted ")
        .and_then(|rest| rest.strip_suffix(" bytes]"))
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

fn is_marker_in_base64(text: &str) -> bool {
    // `[redacted ` in base64.
    text.starts_with("W3JlZGFjdGVkI")
        && BASE64_STANDARD.decode(text).ok().and_then(|b| String::from_utf8(b).ok()).is_some_and(|t| is_marker(&t))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_known() {
        for moment in
            ["2026-11-25T10:00:00Z", "2026-11-25T10:00:00.123456Z", "2026-11-25T10:00:00+01:00", "20261125T10:00:00"]
        {
            assert!(is_moment(moment), "{moment}");
        }
        for other in ["2026-11-25", "10:00", "2026-11-25T10:00:00 and more", "20261125T10:00:00Zulu", "juliet", ""] {
            assert!(!is_moment(other), "{other}");
        }
    }

    #[test]
    fn replaced_secrets_are_known() {
        assert!(is_marker("[redacted 12 bytes]"));
        assert!(is_marker_in_base64(&BASE64_STANDARD.encode("[redacted 7 bytes]")));
        for other in ["[redacted bytes]", "[redacted 1x bytes]", "[redacted 1 bytes] no"] {
            assert!(!is_marker(other), "{other}");
        }
        assert!(!is_marker_in_base64(&BASE64_STANDARD.encode("[redacted by me]")));
    }
}
