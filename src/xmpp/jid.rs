//! Addresses (RFC 7622), by the `jid` crate.

pub use ::jid::{BareJid, FullJid, Jid};

/// The bare JID of an address as text, without preparing it: everything before the first `/`.
#[must_use]
pub fn bare(jid: &str) -> &str {
    jid.split_once('/').map_or(jid, |(bare, _)| bare)
}

/// The domain of an address as text, without preparing it.
#[must_use]
pub fn domain(jid: &str) -> &str {
    let bare = bare(jid);
    bare.split_once('@').map_or(bare, |(_, domain)| domain)
}
