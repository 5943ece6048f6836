//! What kind of text an element holds.
//!
//! Takes an element, gives a [`Text`]. What is not known to be something else is what people wrote.

use crate::xml::Element;
use crate::xmpp::ns;

/// A kind of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// An address.
    Address,
    /// What somebody or something is called.
    Name,
    /// A resource.
    Resource,
    /// Part of a business card, or a picture: always about a person.
    Card,
    /// A number, an id, a name of the protocol.
    Fixed,
    /// What people wrote, or may have.
    Words,
}

const VCARD4: &str = "urn:ietf:params:xml:ns:vcard-4.0";
/// The pictures of people (XEP-0084).
const AVATAR: &str = "urn:xmpp:avatar:data";
/// Result sets (XEP-0059).
const RSM: &str = "http://jabber.org/protocol/rsm";

/// What the text right inside an element is; `stanza` if it is in a stanza.
pub(super) fn text_of(element: &Element, stanza: bool) -> Text {
    match (element.ns.as_str(), element.name.as_str()) {
        (_, "jid") => Text::Address,
        (_, "nick" | "NICKNAME" | "username" | "group") => Text::Name,
        (ns::BIND | ns::IQ_AUTH, "resource") => Text::Resource,
        (ns::VCARD | VCARD4 | AVATAR, _) => Text::Card,
        _ if !stanza => Text::Fixed,
        (RSM, _)
        | (ns::TIME, "utc" | "tzo")
        | (ns::VERSION, _)
        | (ns::VCARD_UPDATE, "photo")
        | (_, "show" | "priority" | "thread" | "hash" | "mechanism" | "stamp") => Text::Fixed,
        _ => Text::Words,
    }
}

/// Text that names a protocol, or part of one.
pub(super) fn is_namespace(text: &str) -> bool {
    let text = text.trim();
    ["http://jabber.org/", "http://etherx.jabber.org/", "urn:", "jabber:"].iter().any(|start| text.starts_with(start))
        && !text.contains(char::is_whitespace)
        && !text.contains('@')
}

/// Text that a program wrote and that says nothing of anybody: a number, a truth, a moment, a namespace, what is redacted already.
pub(super) fn is_technical(text: &str) -> bool {
    let text = text.trim();
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let moment = text.len() >= 17
        && text.bytes().all(|b| b.is_ascii_digit() || b"-:.TZ+".contains(&b))
        && text.contains('T')
        && digits >= 14;
    is_namespace(text) || moment || matches!(text, "0" | "1" | "true" | "false") || text.starts_with("[redacted ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_programs_write_is_known() {
        for text in ["urn:xmpp:mam:2", "http://jabber.org/protocol/muc#roomconfig", "1", "2026-11-25T10:00:00Z"] {
            assert!(is_technical(text), "{text}");
        }
        for text in ["hello", "Tuesday 10:00", "urn:nothing to see", "4711", "http://example.org/x", ""] {
            assert!(!is_technical(text), "{text}");
        }
    }
}
