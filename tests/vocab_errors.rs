//! Every stanza and stream error condition both ways, and the error reply to every kind of stanza.

#![expect(clippy::panic, reason = "a fixture that is not XML is a mistake in this file")]

use iqtap::xml::{Element, Fault, parse_str};
use iqtap::xmpp::error::error_reply;
use iqtap::xmpp::{Condition, ErrorType, StanzaError, StreamCondition, StreamError, ns};

/// RFC 6120 §8.3.3, XEP-0086 §2: name, recommended type, code. Written by hand from the documents.
const STANZA: &[(&str, &str, Option<u16>)] = &[
    ("bad-request", "modify", Some(400)),
    ("conflict", "cancel", Some(409)),
    ("feature-not-implemented", "cancel", Some(501)),
    ("forbidden", "auth", Some(403)),
    ("gone", "cancel", Some(302)),
    ("internal-server-error", "cancel", Some(500)),
    ("item-not-found", "cancel", Some(404)),
    ("jid-malformed", "modify", Some(400)),
    ("not-acceptable", "modify", Some(406)),
    ("not-allowed", "cancel", Some(405)),
    ("not-authorized", "auth", Some(401)),
    ("payment-required", "auth", Some(402)),
    ("policy-violation", "modify", None),
    ("recipient-unavailable", "wait", Some(404)),
    ("redirect", "modify", Some(302)),
    ("registration-required", "auth", Some(407)),
    ("remote-server-not-found", "cancel", Some(404)),
    ("remote-server-timeout", "wait", Some(504)),
    ("resource-constraint", "wait", Some(500)),
    ("service-unavailable", "cancel", Some(503)),
    ("subscription-required", "auth", Some(407)),
    ("undefined-condition", "cancel", Some(500)),
    ("unexpected-request", "wait", Some(400)),
];

/// RFC 6120 §4.9.3.
const STREAM: &[&str] = &[
    "bad-format",
    "bad-namespace-prefix",
    "conflict",
    "connection-timeout",
    "host-gone",
    "host-unknown",
    "improper-addressing",
    "internal-server-error",
    "invalid-from",
    "invalid-namespace",
    "invalid-xml",
    "not-authorized",
    "not-well-formed",
    "policy-violation",
    "remote-connection-failed",
    "reset",
    "resource-constraint",
    "restricted-xml",
    "see-other-host",
    "system-shutdown",
    "undefined-condition",
    "unsupported-encoding",
    "unsupported-feature",
    "unsupported-stanza-type",
    "unsupported-version",
];

#[test]
fn every_stanza_condition_both_ways() {
    let ours: Vec<_> = Condition::ALL.iter().map(|c| (c.name(), c.default_type().name(), c.legacy_code())).collect();
    assert_eq!(ours, STANZA);
    for condition in Condition::ALL {
        assert_eq!(Condition::from_name(condition.name()), Some(*condition));
    }
    assert_eq!(Condition::from_name("bad-format"), None);
    assert_eq!(Condition::from_name(""), None);
}

#[test]
fn every_stream_condition_both_ways() {
    let ours: Vec<_> = StreamCondition::ALL.iter().map(|c| c.name()).collect();
    assert_eq!(ours, STREAM);
    for condition in StreamCondition::ALL {
        assert_eq!(StreamCondition::from_name(condition.name()), Some(*condition));
    }
    assert_eq!(StreamCondition::from_name("xml-not-well-formed"), None);
}

#[test]
fn every_error_type_both_ways() {
    for name in ["auth", "cancel", "continue", "modify", "wait"] {
        assert_eq!(ErrorType::from_name(name).map(ErrorType::name), Some(name));
    }
    assert_eq!(ErrorType::from_name("CANCEL"), None);
}

#[test]
fn each_fault_has_its_stream_condition() {
    let table = [
        (Fault::NotWellFormed, "not-well-formed"),
        (Fault::Restricted, "restricted-xml"),
        (Fault::Encoding, "unsupported-encoding"),
        (Fault::Prefix, "bad-namespace-prefix"),
        (Fault::Format, "bad-format"),
        (Fault::Namespace, "invalid-namespace"),
        (Fault::Nested, "invalid-xml"),
        (Fault::Limit, "policy-violation"),
    ];
    for (fault, name) in table {
        assert_eq!(StreamCondition::from(fault).name(), name, "{fault:?}");
    }
}

fn element(text: &str) -> Element {
    parse_str(text).unwrap_or_else(|why| panic!("{text}: {why}"))
}

#[test]
fn the_error_element() {
    let error = StanzaError::new(Condition::NotAllowed).with_text("vCards are read-only here");
    assert_eq!(
        error.element(false),
        element(
            "<error type='cancel'><not-allowed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
             <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas' xml:lang='en'>vCards are read-only here</text></error>"
        )
    );
    assert_eq!(error.element(true).attr("code"), Some("405"));
    let by = StanzaError { by: Some("iqtap.invalid".to_owned()), ..StanzaError::new(Condition::PolicyViolation) };
    assert_eq!(
        by.element(true),
        element(
            "<error type='modify' by='iqtap.invalid'><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
        ),
        "policy-violation has no legacy code"
    );
}

#[test]
fn the_stream_error_element() {
    assert_eq!(
        StreamError::new(StreamCondition::HostUnknown, "no such host").element(),
        element(
            "<stream:error xmlns:stream='http://etherx.jabber.org/streams'>\
             <host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>\
             <text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>no such host</text></stream:error>"
        )
    );
    assert_eq!(
        StreamError { condition: StreamCondition::Reset, text: None, detail: None }.element().children().count(),
        1
    );
}

const ERROR: &str = "<error type='modify'><bad-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";

/// A stanza, and the reply with `E` standing for the error; empty where there must be none.
const REPLIES: &[(&str, &str)] = &[
    (
        "<iq type='get' id='p1' to='example.org' from='juliet@example.org/b'><ping xmlns='urn:xmpp:ping'/></iq>",
        "<iq type='error' id='p1' from='example.org' to='juliet@example.org/b'><ping xmlns='urn:xmpp:ping'/>E</iq>",
    ),
    // No id: an empty one (RFC 6120 §8.3.1 rule 3). No addresses: none.
    ("<iq type='set'><ping xmlns='urn:xmpp:ping'/></iq>", "<iq type='error' id=''><ping xmlns='urn:xmpp:ping'/>E</iq>"),
    ("<iq type='get' id='' from='a@b'/>", "<iq type='error' id='' to='a@b'>E</iq>"),
    // An unknown type is not an answer.
    ("<iq id='1' to='a@b'/>", "<iq type='error' id='1' from='a@b'>E</iq>"),
    ("<iq type='GET' id='1'/>", "<iq type='error' id='1'>E</iq>"),
    // Two payloads, or an <error/> of the peer's: not sent back.
    ("<iq type='get' id='1'><a xmlns='x:a'/><b xmlns='x:b'/></iq>", "<iq type='error' id='1'>E</iq>"),
    ("<iq type='get' id='1'><error/></iq>", "<iq type='error' id='1'>E</iq>"),
    ("<iq type='get' id='1'><a xmlns='x:a'/><error/></iq>", "<iq type='error' id='1'><a xmlns='x:a'/>E</iq>"),
    // Passwords are never sent back.
    (
        "<iq type='set' id='1'><query xmlns='jabber:iq:auth'><password>x</password></query></iq>",
        "<iq type='error' id='1'>E</iq>",
    ),
    (
        "<iq type='set' id='1'><query xmlns='jabber:iq:register'><password>x</password></query></iq>",
        "<iq type='error' id='1'>E</iq>",
    ),
    // Rule 4, and §8.3.1 rule 8.
    ("<iq type='result' id='1' from='a@b'/>", ""),
    ("<iq type='error' id='1' from='a@b'/>", ""),
    ("<message type='error' id='1' from='a@b'/>", ""),
    ("<presence type='error' id='1' from='a@b'/>", ""),
    ("<presence type='unavailable' from='a@b'/>", ""),
    ("<presence type='subscribed' from='a@b'/>", ""),
    ("<presence type='unsubscribe' from='a@b'/>", ""),
    ("<presence type='unsubscribed' from='a@b'/>", ""),
    // Other kinds: the id only if there was one.
    (
        "<message to='a@b' type='chat' id='m'><body>hi</body></message>",
        "<message type='error' id='m' from='a@b'><body>hi</body>E</message>",
    ),
    ("<message to='a@b'/>", "<message type='error' from='a@b'>E</message>"),
    ("<presence to='a@b'/>", "<presence type='error' from='a@b'>E</presence>"),
    ("<presence to='a@b' type='subscribe'/>", "<presence type='error' from='a@b'>E</presence>"),
    // Not stanzas.
    ("<iq xmlns='urn:other' type='get' id='1'/>", ""),
    ("<r xmlns='urn:xmpp:sm:3'/>", ""),
    ("<features/>", ""),
];

#[test]
fn error_replies() {
    let error = StanzaError::new(Condition::BadRequest);
    for (stanza, expected) in REPLIES {
        let reply = error_reply(&element(stanza), &error, false);
        let expected = (!expected.is_empty()).then(|| element(&expected.replace('E', ERROR)));
        assert_eq!(reply, expected, "{stanza}");
    }
}

#[test]
fn a_large_payload_is_not_sent_back() {
    let error = StanzaError::new(Condition::BadRequest);
    for (bytes, echoed) in [(10, true), (4000, true), (4096, false), (100_000, false)] {
        let payload = Element::new("x:a", "a").with_text("x".repeat(bytes));
        let stanza = Element::new(ns::CLIENT, "iq").with_attr("type", "get").with_attr("id", "1").with_child(payload);
        let reply = error_reply(&stanza, &error, false).expect("a get is answered");
        assert_eq!(reply.child("x:a", "a").is_some(), echoed, "{bytes} bytes");
    }
}
