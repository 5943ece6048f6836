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

/// The resource of an address as text, without preparing it: everything behind the first `/`.
#[must_use]
pub fn resource(jid: &str) -> Option<&str> {
    jid.split_once('/').map(|(_, resource)| resource)
}

/// Whether two addresses are the same once prepared (RFC 7622 §3): servers answer from `bob@x` what was sent to
/// `BoB@X`. Addresses that cannot be prepared are the same only if they are spelt the same.
#[must_use]
pub fn same(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    match (Jid::new(one), Jid::new(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}
