//! Stream features (RFC 6120 §4.3.2) and how iqtap edits what the server offers before the client sees it.

use crate::xml::Element;

/// What to add and what to remove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// Offer our own STARTTLS on the client's leg.
    pub offer_starttls: bool,
}

/// What the edit took away, for the notes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edited {
    /// Names of stripped features and mechanisms, as people know them, in document order.
    pub stripped: Vec<String>,
    /// Whether channel binding (`-PLUS`) was among them.
    pub channel_binding: bool,
    /// The list of mechanisms was there and nothing is left of it: the stream must end with an error.
    pub no_mechanism_left: bool,
}

/// Edits the server's `<stream:features/>` in place (the table of `protocol.md` B3): strips the server's `starttls`,
/// compression, `-PLUS` together with `sasl-channel-binding`, EXTERNAL, GSSAPI and other mechanisms with security layers,
/// SASL2, stream management (sm:2, sm:3); puts our own starttls first if asked.
pub fn edit(_features: &mut Element, _edit: Edit) -> Edited {
    todo!()
}

/// `<stream:features><starttls><required/></starttls></stream:features>`: all a client sees before TLS (RFC 6120 §5.3.1).
#[must_use]
pub fn only_starttls() -> Element {
    todo!()
}

/// Whether the server offers STARTTLS.
#[must_use]
pub fn offers_starttls(_features: &Element) -> bool {
    todo!()
}
