//! SASL elements (RFC 6120 §6.4) as a relay sees them.
//!
//! Takes names and base64 text, gives judgements and the one element we send ourselves. Must not keep or show a secret.

use super::ns;
use crate::xml::Element;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Failure conditions we send ourselves (RFC 6120 §6.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// §6.5.4: the mechanism needs TLS first.
    EncryptionRequired,
    /// §6.5.7: not offered here.
    InvalidMechanism,
}

impl Failure {
    /// The element name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::EncryptionRequired => "encryption-required",
            Self::InvalidMechanism => "invalid-mechanism",
        }
    }
}

/// `<failure/>` with a text (none if it is empty).
#[must_use]
pub fn failure(condition: Failure, text: &str) -> Element {
    let failure = Element::new(ns::SASL, "failure").with_child(Element::new(ns::SASL, condition.name()));
    if text.is_empty() {
        return failure;
    }
    let mut says = Element::new(ns::SASL, "text").with_text(text);
    says.set_attr_ns(ns::XML, "lang", "en");
    failure.with_child(says)
}

/// Mechanisms that lean on the peer's own TLS connection, or may wrap the stream after success (RFC 6120 §6.6).
const STRIPPED: &[&str] = &["EXTERNAL", "GSSAPI", "GSS-SPNEGO", "DIGEST-MD5", "KERBEROS_V4", "SRP"];

/// Whether iqtap cannot relay a mechanism, because it depends on the TLS connection or wraps the stream:
/// `-PLUS`, EXTERNAL, GSSAPI, GSS-SPNEGO, DIGEST-MD5, HT-* with channel binding (`protocol.md` B3, C4).
#[must_use]
pub fn is_stripped(mechanism: &str) -> bool {
    STRIPPED.iter().any(|name| mechanism.eq_ignore_ascii_case(name)) || binds_channel(mechanism)
}

/// Whether a mechanism binds to the TLS channel: `-PLUS` (RFC 5802 §4), HT-* other than `-NONE` (XEP-0484).
#[must_use]
pub fn binds_channel(mechanism: &str) -> bool {
    let name = mechanism.to_ascii_uppercase();
    name.ends_with("-PLUS")
        || name.starts_with("HT-") && ["-UNIQ", "-EXPR", "-ENDP"].iter().any(|binding| name.ends_with(binding))
}

/// Whether the initial response of a SCRAM `<auth/>` (base64 text) carries the gs2 flag `y`: the client can bind
/// channels and believes the server cannot (RFC 5802 §6).
#[must_use]
pub fn says_y(base64: &str) -> bool {
    // Four characters are three bytes: the flag, a comma, and one more. The rest holds the user's name and stays shut.
    let first = base64.trim_ascii().as_bytes().get(..4);
    first.and_then(|four| STANDARD.decode(four).ok()).is_some_and(|bytes| bytes.starts_with(b"y,"))
}
