//! The error reply to a stanza (RFC 6120 §8.3.1), or none where one is forbidden.

use super::{StanzaError, ns};
use crate::xml::{Element, Node, Scope, View, write_element};
use bytes::BytesMut;

/// Largest payload echoed, in bytes as written: enough to recognise a request by, too little to make us an amplifier.
const ECHO_BYTES: usize = 4096;

/// The error reply to a stanza (RFC 6120 §8.3.1): same kind and id (for an iq always an id, empty if it had none),
/// addresses swapped (`to` is left out when the stanza had no `from`, and the reverse), `type='error'`, the payload
/// echoed unless it must not be (`jabber:iq:auth`, `jabber:iq:register`, larger than 4 KiB when written, an iq with
/// several children), then `<error/>`.
///
/// `None` if the stanza must not be answered: an iq of type result or error, anything else of type error,
/// a presence of type `unavailable`, and so on.
#[must_use]
pub fn error_reply(stanza: &Element, error: &StanzaError, legacy_codes: bool) -> Option<Element> {
    if stanza.ns != ns::CLIENT || !may_answer(&stanza.name, stanza.attr("type")) {
        return None;
    }
    let mut reply = Element::new(ns::CLIENT, stanza.name.as_str()).with_attr("type", "error");
    match stanza.attr("id") {
        Some(id) => reply.set_attr("id", id),
        None if stanza.name == "iq" => reply.set_attr("id", ""),
        None => {}
    }
    if let Some(to) = stanza.attr("to") {
        reply.set_attr("from", to);
    }
    if let Some(from) = stanza.attr("from") {
        reply.set_attr("to", from);
    }
    reply.nodes = echo(stanza);
    Some(reply.with_child(error.element(legacy_codes)))
}

/// Whether something of a stanza may be echoed, so that its tree is needed. One that is far longer than what is echoed is
/// not opened to see whether it would be short if it were written otherwise.
#[must_use]
pub fn may_echo(stanza: &View<'_>) -> bool {
    let payloads = stanza.head.children - stanza.head.errors;
    stanza.bytes.len() <= 4 * ECHO_BYTES && (payloads == 1 || payloads > 1 && stanza.name() != "iq")
}

/// Whether a stanza of this kind and type may be answered with an error (RFC 6120 §8.2.3 rule 4, §8.3.1 rule 8).
fn may_answer(name: &str, kind: Option<&str>) -> bool {
    match (name, kind) {
        (_, Some("error")) | ("iq", Some("result")) => false,
        ("iq" | "message", _) => true,
        // These say that something has ended or been decided; an answer would reopen it (RFC 6121 §3, §4.5).
        ("presence", kind) => !matches!(kind, Some("unavailable" | "subscribed" | "unsubscribe" | "unsubscribed")),
        _ => false,
    }
}

/// The children that may be sent back: all but `<error/>`, or none.
fn echo(stanza: &Element) -> Vec<Node> {
    let payload = || stanza.children().filter(|c| !c.is(&stanza.ns, "error"));
    // Two payloads in one error would be a fault of our own in the eyes of a strict client.
    if stanza.name == "iq" && payload().count() != 1 {
        return Vec::new();
    }
    // Passwords: XEP-0078 §3.1, XEP-0077 §3.
    if payload().any(|c| c.ns == ns::IQ_AUTH || c.ns == ns::IQ_REGISTER) {
        return Vec::new();
    }
    let mut written = BytesMut::new();
    for child in payload() {
        write_element(child, Scope::Stream, &mut written);
        if written.len() > ECHO_BYTES {
            return Vec::new();
        }
    }
    payload().cloned().map(Node::Element).collect()
}
