//! Namespaces, each with the document that defines it.

pub use crate::xml::{CLIENT_NS as CLIENT, STREAM_NS as STREAM, XML_NS as XML};

/// Server-to-server content namespace (RFC 6120 §4.8.2).
pub const SERVER: &str = "jabber:server";
/// Stream error conditions (RFC 6120 §4.9.2).
pub const STREAM_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
/// Stanza error conditions (RFC 6120 §8.3.2).
pub const STANZA_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
/// STARTTLS (RFC 6120 §5.4).
pub const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
/// SASL (RFC 6120 §6.4).
pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// Resource binding (RFC 6120 §7.4).
pub const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
/// Session establishment (RFC 3921 §3).
pub const SESSION: &str = "urn:ietf:params:xml:ns:xmpp-session";
/// Roster (RFC 6121 §2).
pub const ROSTER: &str = "jabber:iq:roster";
/// Non-SASL authentication (XEP-0078).
pub const IQ_AUTH: &str = "jabber:iq:auth";
/// In-band registration (XEP-0077).
pub const IQ_REGISTER: &str = "jabber:iq:register";
/// Privacy lists (XEP-0016).
pub const PRIVACY: &str = "jabber:iq:privacy";
/// Private XML storage (XEP-0049).
pub const PRIVATE: &str = "jabber:iq:private";
/// Software version (XEP-0092).
pub const VERSION: &str = "jabber:iq:version";
/// Last activity (XEP-0012).
pub const LAST: &str = "jabber:iq:last";
/// Data forms (XEP-0004).
pub const DATA_FORMS: &str = "jabber:x:data";
/// Service discovery, information (XEP-0030).
pub const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
/// Service discovery, items (XEP-0030).
pub const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
/// Entity capabilities (XEP-0115).
pub const CAPS: &str = "http://jabber.org/protocol/caps";
/// Entity capabilities 2.0 (XEP-0390).
pub const CAPS2: &str = "urn:xmpp:caps";
/// Hashes (XEP-0300).
pub const HASHES: &str = "urn:xmpp:hashes:2";
/// vcard-temp (XEP-0054).
pub const VCARD: &str = "vcard-temp";
/// What presence says of the vCard's photo (XEP-0153).
pub const VCARD_UPDATE: &str = "vcard-temp:x:update";
/// Ping (XEP-0199).
pub const PING: &str = "urn:xmpp:ping";
/// Entity time (XEP-0202).
pub const TIME: &str = "urn:xmpp:time";
/// Blocking command (XEP-0191).
pub const BLOCKING: &str = "urn:xmpp:blocking";
/// Errors of the blocking command (XEP-0191 §3.3).
pub const BLOCKING_ERRORS: &str = "urn:xmpp:blocking:errors";
/// Stream management, version 3 (XEP-0198).
pub const SM3: &str = "urn:xmpp:sm:3";
/// Stream management, version 2 (XEP-0198 before 1.3).
pub const SM2: &str = "urn:xmpp:sm:2";
/// Client state indication (XEP-0352).
pub const CSI: &str = "urn:xmpp:csi:0";
/// Stream compression, the protocol (XEP-0138).
pub const COMPRESS: &str = "http://jabber.org/protocol/compress";
/// Stream compression, the feature: another name than the protocol's (XEP-0138 §3).
pub const COMPRESS_FEATURE: &str = "http://jabber.org/features/compress";
/// SASL2 (XEP-0388).
pub const SASL2: &str = "urn:xmpp:sasl:2";
/// SASL channel-binding type capability (XEP-0440).
pub const SASL_CB: &str = "urn:xmpp:sasl-cb:0";
/// FAST tokens (XEP-0484).
pub const FAST: &str = "urn:xmpp:fast:0";
/// Message carbons (XEP-0280).
pub const CARBONS: &str = "urn:xmpp:carbons:2";
/// Forwarded stanzas (XEP-0297).
pub const FORWARD: &str = "urn:xmpp:forward:0";
/// Message archive management (XEP-0313).
pub const MAM: &str = "urn:xmpp:mam:2";
/// Stream limits advertisement (XEP-0478).
pub const STREAM_LIMITS: &str = "urn:xmpp:stream-limits:0";
/// Old IQ-auth stream feature (XEP-0078 §3).
pub const IQ_AUTH_FEATURE: &str = "http://jabber.org/features/iq-auth";

/// The short name people use for a payload namespace ("vcard-temp", "ping", "disco#info"), if it is a known one.
#[must_use]
pub fn short(ns: &str) -> Option<&'static str> {
    SHORT.iter().find(|(name, _)| *name == ns).map(|(_, short)| *short)
}

/// The namespace that people call so, if they call only one so.
#[must_use]
pub fn named(short: &str) -> Option<&'static str> {
    let mut called = SHORT.iter().filter(|(_, name)| *name == short);
    called.next().filter(|_| called.next().is_none()).map(|(ns, _)| *ns)
}

/// Namespaces of payloads and what people call them; alphabetical within each group.
const SHORT: &[(&str, &str)] = &[
    // The core and what came with it.
    (BIND, "bind"),
    (ROSTER, "roster"),
    (SASL, "sasl"),
    (SESSION, "session"),
    (STANZA_ERRORS, "stanza-errors"),
    (TLS, "tls"),
    // jabber:*
    ("jabber:iq:gateway", "gateway"),
    ("jabber:iq:oob", "oob"),
    ("jabber:iq:rpc", "rpc"),
    ("jabber:iq:search", "search"),
    ("jabber:iq:time", "time-old"),
    ("jabber:x:conference", "conference"),
    ("jabber:x:delay", "delay-old"),
    ("jabber:x:oob", "oob"),
    (DATA_FORMS, "data-form"),
    (IQ_AUTH, "iq-auth"),
    (IQ_REGISTER, "register"),
    (LAST, "last"),
    (PRIVACY, "privacy"),
    (PRIVATE, "private"),
    (VERSION, "version"),
    // http://jabber.org/protocol/*
    ("http://jabber.org/protocol/bytestreams", "bytestreams"),
    ("http://jabber.org/protocol/chatstates", "chatstates"),
    ("http://jabber.org/protocol/commands", "commands"),
    ("http://jabber.org/protocol/ibb", "ibb"),
    ("http://jabber.org/protocol/muc", "muc"),
    ("http://jabber.org/protocol/muc#admin", "muc#admin"),
    ("http://jabber.org/protocol/muc#owner", "muc#owner"),
    ("http://jabber.org/protocol/muc#user", "muc#user"),
    ("http://jabber.org/protocol/nick", "nick"),
    ("http://jabber.org/protocol/pubsub", "pubsub"),
    ("http://jabber.org/protocol/pubsub#event", "pubsub#event"),
    ("http://jabber.org/protocol/pubsub#owner", "pubsub#owner"),
    ("http://jabber.org/protocol/si", "si"),
    ("http://jabber.org/protocol/xhtml-im", "xhtml-im"),
    (CAPS, "caps"),
    (COMPRESS, "compress"),
    (DISCO_INFO, "disco#info"),
    (DISCO_ITEMS, "disco#items"),
    // urn:xmpp:* and the rest.
    ("eu.siacs.conversations.axolotl", "omemo-old"),
    ("storage:bookmarks", "bookmarks-old"),
    ("urn:xmpp:avatar:data", "avatar-data"),
    ("urn:xmpp:avatar:metadata", "avatar-metadata"),
    ("urn:xmpp:bind:0", "bind2"),
    ("urn:xmpp:bob", "bob"),
    ("urn:xmpp:bookmarks:1", "bookmarks"),
    ("urn:xmpp:bytestreams", "bytestreams"),
    (CAPS2, "caps2"),
    ("urn:xmpp:chat-markers:0", "markers"),
    ("urn:xmpp:delay", "delay"),
    ("urn:xmpp:extdisco:2", "extdisco"),
    (FORWARD, "forward"),
    ("urn:xmpp:hints", "hints"),
    ("urn:xmpp:http:upload:0", "http-upload"),
    ("urn:xmpp:idle:1", "idle"),
    ("urn:xmpp:jingle:1", "jingle"),
    ("urn:xmpp:jingle-message:0", "jingle-message"),
    ("urn:xmpp:message-correct:0", "correct"),
    ("urn:xmpp:omemo:2", "omemo"),
    ("urn:xmpp:push:0", "push"),
    ("urn:xmpp:reactions:0", "reactions"),
    ("urn:xmpp:receipts", "receipts"),
    ("urn:xmpp:sid:0", "stanza-id"),
    (VCARD_UPDATE, "vcard-update"),
    (BLOCKING, "blocking"),
    (CARBONS, "carbons"),
    (CSI, "csi"),
    (FAST, "fast"),
    (MAM, "mam"),
    (PING, "ping"),
    (SASL2, "sasl2"),
    (SM2, "sm:2"),
    (SM3, "sm:3"),
    (STREAM_LIMITS, "limits"),
    (TIME, "time"),
    (VCARD, "vcard-temp"),
];
