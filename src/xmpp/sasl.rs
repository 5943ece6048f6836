//! SASL elements (RFC 6120 §6.4) as a relay sees them.

use crate::xml::Element;

/// Failure conditions we send ourselves (RFC 6120 §6.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// §6.5.4: the mechanism needs TLS first.
    EncryptionRequired,
    /// §6.5.7: not offered here.
    InvalidMechanism,
}

/// `<failure/>` with a text.
#[must_use]
pub fn failure(_condition: Failure, _text: &str) -> Element {
    todo!()
}

/// Whether iqtap cannot relay a mechanism, because it depends on the TLS connection or wraps the stream:
/// `-PLUS`, EXTERNAL, GSSAPI, GSS-SPNEGO, DIGEST-MD5, HT-* with channel binding (`protocol.md` B3, C4).
#[must_use]
pub fn is_stripped(_mechanism: &str) -> bool {
    todo!()
}

/// Whether the initial response of a SCRAM `<auth/>` (base64 text) carries the gs2 flag `y`: the client can bind
/// channels and believes the server cannot (RFC 5802 §6).
#[must_use]
pub fn says_y(_base64: &str) -> bool {
    todo!()
}
