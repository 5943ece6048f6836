//! Stream features (RFC 6120 §4.3.2) and how iqtap edits what the server offers before the client sees it.
//!
//! Takes the server's `<stream:features/>`, gives it back with what cannot pass a middlebox taken out, and says what
//! that was. Leaves alone whatever it does not know.

use super::{ns, sasl};
use crate::xml::{Element, Node};

/// What to add and what to remove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Edit {
    /// Offer our own STARTTLS on the client's leg.
    pub offer_starttls: bool,
    /// The largest stanza we take, in bytes: what the server says of its own (XEP-0478) is lowered to it. 0: left alone.
    pub max_bytes: usize,
    /// After so many seconds of silence we take a client for lost: what the server says of itself is lowered to it. 0: left alone.
    pub idle_seconds: u64,
    /// Leave stream management in: somebody translates its counts.
    pub keep_sm: bool,
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
/// SASL2, and stream management (sm:2, sm:3) unless it is to stay; puts our own starttls first if asked.
pub fn edit(features: &mut Element, edit: Edit) -> Edited {
    let mut edited = Edited::default();
    prune(features, edit.keep_sm, &mut edited);
    lower_limit(features, "max-bytes", edit.max_bytes as u64);
    lower_limit(features, "idle-seconds", edit.idle_seconds);
    if edit.offer_starttls {
        features.nodes.insert(0, Node::Element(Element::new(ns::TLS, "starttls")));
    }
    edited
}

/// Lowers one of `<limits/>` (XEP-0478 §3.1) to what both of us take.
fn lower_limit(features: &mut Element, name: &str, ours: u64) {
    let limits = features.children_mut().find(|child| child.is(ns::STREAM_LIMITS, "limits"));
    let limit = limits.and_then(|limits| limits.children_mut().find(|child| child.is(ns::STREAM_LIMITS, name)));
    if let Some(limit) = limit
        && ours > 0
        && limit.text().trim().parse().is_ok_and(|theirs: u64| theirs > ours)
    {
        limit.nodes = vec![Node::Text(ours.to_string())];
    }
}

/// Removes what must go among the children of `parent`, then looks inside what stays: stream management also hides in
/// the `<inline/>` of other features (XEP-0388, XEP-0386).
fn prune(parent: &mut Element, keep_sm: bool, edited: &mut Edited) {
    parent.nodes.retain_mut(|node| match node {
        Node::Text(_) => true,
        Node::Element(child) => keep(child, keep_sm, edited),
    });
}

/// Whether one feature stays; edits it if it stays in part.
fn keep(feature: &mut Element, keep_sm: bool, edited: &mut Edited) -> bool {
    if let Some(name) = stripped_name(feature).filter(|name| !(keep_sm && name.starts_with("sm:"))) {
        edited.channel_binding |= feature.ns == ns::SASL_CB || has_plus(feature);
        edited.stripped.push(name.to_owned());
        return false;
    }
    if feature.is(ns::SASL, "mechanism") {
        return keep_mechanism(feature, edited);
    }
    prune(feature, keep_sm, edited);
    if feature.is(ns::SASL, "mechanisms") && feature.child(ns::SASL, "mechanism").is_none() {
        // An empty list is not allowed (RFC 6120 §6.4.1).
        edited.no_mechanism_left = true;
        return false;
    }
    true
}

/// Whether one SASL mechanism stays.
fn keep_mechanism(mechanism: &Element, edited: &mut Edited) -> bool {
    let text = mechanism.text();
    let name = text.trim();
    if sasl::is_stripped(name) {
        edited.channel_binding |= sasl::binds_channel(name);
        edited.stripped.push(name.to_owned());
        return false;
    }
    true
}

/// The name people know a feature by, if it is one that goes as a whole.
fn stripped_name(feature: &Element) -> Option<&'static str> {
    match (feature.ns.as_str(), feature.name.as_str()) {
        (ns::TLS, "starttls") => Some("starttls"),
        // COMPAT: the protocol's namespace is not the feature's, and servers have mixed them up.
        (ns::COMPRESS_FEATURE | ns::COMPRESS, _) => Some("compression"),
        (ns::SASL_CB, _) => Some("sasl-channel-binding"),
        (ns::SASL2, _) => Some("sasl2"),
        (ns::FAST, _) => Some("fast"),
        (ns::SM3, _) => Some("sm:3"),
        (ns::SM2, _) => Some("sm:2"),
        // XEP-0386 §3.1 lists inline features by name: `<feature var='urn:xmpp:sm:3'/>`.
        (_, "feature") if feature.attr("var") == Some(ns::SM3) => Some("sm:3"),
        (_, "feature") if feature.attr("var") == Some(ns::SM2) => Some("sm:2"),
        _ => None,
    }
}

/// Whether a feature that goes as a whole (SASL2) listed a mechanism that binds channels.
fn has_plus(feature: &Element) -> bool {
    feature.children().any(|c| c.name == "mechanism" && sasl::binds_channel(c.text().trim()))
}

/// `<stream:features><starttls><required/></starttls></stream:features>`: all a client sees before TLS (RFC 6120 §5.3.1).
#[must_use]
pub fn only_starttls() -> Element {
    let starttls = Element::new(ns::TLS, "starttls").with_child(Element::new(ns::TLS, "required"));
    Element::new(ns::STREAM, "features").with_child(starttls)
}

/// Whether the server offers STARTTLS.
#[must_use]
pub fn offers_starttls(features: &Element) -> bool {
    features.child(ns::TLS, "starttls").is_some()
}
