//! Elements as the store keeps them: text that means the same wherever it is read.

use crate::xml::{Element, Scope, parse_str_in, write_element};
use crate::xmpp::{Condition, StanzaError};
use bytes::{Bytes, BytesMut};

/// An element as it is kept.
pub(super) fn write(element: &Element) -> Bytes {
    let mut out = BytesMut::new();
    write_element(element, Scope::Alone, &mut out);
    out.freeze()
}

/// The same of what a client wants kept: no longer than this, and nothing that could not be read again.
///
/// COMPAT: slixmpp 1.17 does not know `policy-violation`, which RFC 3920 did not have: whoever asked waits in vain.
pub(super) fn write_within(element: &Element, most: usize) -> Result<Bytes, StanzaError> {
    let bytes = write(element);
    let refused = |text| Err(StanzaError::new(Condition::NotAcceptable).with_text(text));
    if bytes.len() > most {
        return refused(format!("{} bytes are more than the {most} that are kept", bytes.len()));
    }
    match read(&bytes) {
        Some(_) => Ok(bytes),
        None => refused("more elements, attributes or levels than are kept".to_owned()),
    }
}

/// What was kept; nothing if somebody has been at it.
pub(super) fn read(bytes: &[u8]) -> Option<Element> {
    parse_str_in("", std::str::from_utf8(bytes).ok()?).ok()
}

/// The same, of this name; what cannot be read is our fault and not the client's.
pub(super) fn read_as(bytes: &[u8], namespace: &str, name: &str) -> Result<Element, StanzaError> {
    read(bytes)
        .filter(|element| element.is(namespace, name))
        .ok_or_else(|| StanzaError::new(Condition::InternalServerError).with_text("what is kept here cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::parse_str;

    #[test]
    fn what_is_kept_is_read_as_it_was() {
        for text in [
            "<a xmlns='urn:a' xml:lang='de' x='1 &lt; 2'>t&amp;<b xmlns=''><c xmlns='jabber:client'/></b></a>",
            "<a xmlns='urn:a' xmlns:p='urn:p' p:x='y'/>",
            "<iq/>",
        ] {
            let element = parse_str(text).unwrap();
            assert_eq!(read(&write(&element)), Some(element), "{text}");
        }
    }

    #[test]
    fn what_somebody_has_been_at_is_not_read() {
        for bytes in [&b""[..], b"<a", b"<a/><b/>", b"\xff", b"text"] {
            assert_eq!(read(bytes), None);
        }
        assert_eq!(read_as(b"<a xmlns='u'/>", "u", "b").unwrap_err().condition, Condition::InternalServerError);
    }

    #[test]
    fn what_could_not_be_read_again_is_not_kept() {
        let mut deep = Element::new("u", "a");
        for _ in 0..600 {
            deep = Element::new("u", "a").with_child(deep);
        }
        assert_eq!(write_within(&deep, 1 << 20).unwrap_err().condition, Condition::NotAcceptable);
        let error = write_within(&Element::new("u", "a"), 13).unwrap_err();
        assert_eq!(error.text.as_deref(), Some("14 bytes are more than the 13 that are kept"));
        assert!(write_within(&Element::new("u", "a"), 14).is_ok());
    }
}
