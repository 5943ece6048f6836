//! [`Account`]: whose session it is, and what another address is to it ([`Peer`]).
//!
//! Takes addresses as text, gives equivalences on prepared JIDs (RFC 7622 §3): servers answer from `bob@x` what was sent to
//! `BoB@X`. Must not allocate for an address that is prepared already, as nearly all are.

use super::jid::{self, Jid};
use ahash::RandomState;
use std::borrow::Cow;

/// The client of a session, as far as the server has told who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Prepared full JID; empty before a resource is bound.
    full: String,
    /// How much of `full` is the bare JID.
    bare_bytes: usize,
    /// Prepared domain; empty before the client's header was read.
    domain: String,
    /// Makes [`Peer::Other`] unguessable.
    seed: u64,
}

/// A JID has three parts of at most 1,023 bytes each (RFC 7622 §3).
const LONGEST: usize = 3 * 1023 + 2;

/// What an address in `to` or `from` is to an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// There is none.
    Absent,
    /// The account's own bare JID.
    OwnBare,
    /// The domain of the account's server.
    OwnDomain,
    /// The client's own full JID.
    OwnFull,
    /// Anybody else, by a hash of the prepared JID that a peer cannot foresee.
    Other(u64),
}

impl Account {
    /// Nobody yet, at this domain. `seed` is a secret of the session.
    #[must_use]
    pub fn at(domain: &str, seed: u64) -> Self {
        Self { domain: prepared(domain).into_owned(), seed, ..Self::default() }
    }

    /// The server has bound this full JID.
    pub fn bind(&mut self, full: &str) {
        self.full = prepared(full).into_owned();
        self.bare_bytes = jid::bare(&self.full).len();
    }

    /// Its server's domain, prepared.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Its prepared bare JID; empty before a resource is bound.
    #[must_use]
    pub fn bare(&self) -> &str {
        self.full.get(..self.bare_bytes).unwrap_or_default()
    }

    /// Whether a resource is bound.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        !self.full.is_empty()
    }

    /// What an address is to this account.
    #[must_use]
    pub fn peer(&self, address: Option<&str>) -> Peer {
        let Some(address) = address else { return Peer::Absent };
        let address = prepared(address);
        if !address.is_empty() && *address == *self.domain {
            Peer::OwnDomain
        } else if self.is_bound() && *address == *self.bare() {
            Peer::OwnBare
        } else if self.is_bound() && *address == *self.full {
            Peer::OwnFull
        } else {
            Peer::Other(self.hash(address.as_bytes()))
        }
    }

    /// A hash that follows from the session's secret.
    #[must_use]
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        RandomState::with_seeds(self.seed, 1, 2, 3).hash_one(bytes)
    }

    /// The same of several texts.
    #[must_use]
    pub fn hash_all<const N: usize>(&self, texts: [&str; N]) -> u64 {
        RandomState::with_seeds(self.seed, 4, 5, 6).hash_one(texts)
    }
}

impl Peer {
    /// Whether what came from here may answer what the client sent to `asked` (RFC 6120 §8.1.2.1, §10.3.3; what servers do
    /// is in `protocol.md` A4). `bound`: whether the client had a resource when it asked.
    #[must_use]
    pub fn may_answer_client(self, asked: Self, bound: bool) -> bool {
        match asked {
            _ if !bound && matches!(self, Self::Absent | Self::OwnDomain) => true,
            // COMPAT: ejabberd 23.01 answers `<session/>`, sent without `to`, from the domain; XEP-0199 §4.2 says as much.
            Self::Absent => matches!(self, Self::Absent | Self::OwnBare | Self::OwnDomain),
            // COMPAT: Prosody 0.12 leaves `from` out where the request went to the account.
            Self::OwnBare => matches!(self, Self::Absent | Self::OwnBare),
            Self::OwnDomain | Self::OwnFull | Self::Other(_) => self == asked,
        }
    }

    /// Whether what the client sent here may answer what came from `asker`: it may leave `to` out only towards its own
    /// account (RFC 6120 §8.1.1.1, §10.3.3).
    #[must_use]
    pub fn may_answer_server(self, asker: Self) -> bool {
        match asker {
            Self::Absent | Self::OwnBare => matches!(self, Self::Absent | Self::OwnBare),
            Self::OwnDomain | Self::OwnFull | Self::Other(_) => self == asker,
        }
    }
}

/// The prepared form of an address; what cannot be prepared is left as it is.
#[must_use]
pub fn prepared(address: &str) -> Cow<'_, str> {
    if is_prepared(address) || address.len() > LONGEST {
        return Cow::Borrowed(address);
    }
    let whole = without_dot(address);
    Jid::new(&whole).map_or(whole, |jid| Cow::Owned(jid.to_string()))
}

/// The jid crate (0.12.3) leaves the dot of the root where nothing else changes (RFC 7622 §3.2).
pub(crate) fn without_dot(address: &str) -> Cow<'_, str> {
    let bare = jid::bare(address);
    match bare.strip_suffix('.') {
        Some(dotless) => Cow::Owned(format!("{dotless}{}", address.get(bare.len()..).unwrap_or_default())),
        None => Cow::Borrowed(address),
    }
}

/// Whether preparing surely changes nothing.
fn is_prepared(address: &str) -> bool {
    let bare = jid::bare(address);
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"@.-_".contains(&byte);
    bare.bytes().all(plain)
        && !bare.ends_with('.')
        && address.bytes().skip(bare.len()).all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn juliet() -> Account {
        let mut account = Account::at("Example.ORG.", 7);
        account.bind("Juliet@example.org/Balcony");
        account
    }

    #[test]
    fn addresses_are_compared_prepared() {
        let account = juliet();
        for (address, peer) in [
            (None, Peer::Absent),
            (Some("example.org"), Peer::OwnDomain),
            (Some("EXAMPLE.org."), Peer::OwnDomain),
            (Some("jUlIet@Example.Org"), Peer::OwnBare),
            (Some("juliet@example.org/Balcony"), Peer::OwnFull),
        ] {
            assert_eq!(account.peer(address), peer, "{address:?}");
        }
        let other = |address| account.peer(Some(address));
        assert_eq!(other("BoB@example.org"), other("bob@example.org."));
        assert_eq!(other("Ju\u{308}rgen@x.test/A"), other("j\u{fc}rgen@X.test/A"));
        for (one, two) in [
            ("juliet@example.org/balcony", "juliet@example.org/Balcony"), // a resource's case counts
            ("bob@example.org/a", "bob@example.org/b"),
            ("bob@example.org", "bob@example.net"),
            ("", "example.org"),
            ("a@b@c", "a@b"),
        ] {
            assert_ne!(other(one), other(two), "{one} {two}");
        }
    }

    #[test]
    fn nobody_is_anybody_before_bind() {
        let account = Account::at("example.org", 7);
        assert!(matches!(account.peer(Some("")), Peer::Other(_)));
        assert!(matches!(account.peer(Some("juliet@example.org")), Peer::Other(_)));
        assert_eq!(account.peer(Some("example.org")), Peer::OwnDomain);
        assert!(matches!(Account::default().peer(Some("")), Peer::Other(_)));
    }

    #[test]
    fn who_may_answer_whom() {
        use Peer::{Absent, Other, OwnBare, OwnDomain, OwnFull};
        let all = [Absent, OwnBare, OwnDomain, OwnFull, Other(1), Other(2)];
        let may = |asked, answers: &[Peer]| {
            for from in all {
                assert_eq!(from.may_answer_client(asked, true), answers.contains(&from), "{asked:?} {from:?}");
                // The client has no domain to answer as.
                let answers = answers.contains(&from) && (asked, from) != (Absent, OwnDomain);
                assert_eq!(from.may_answer_server(asked), answers, "{asked:?} {from:?}, from the client");
            }
        };
        may(Absent, &[Absent, OwnBare, OwnDomain]);
        may(OwnBare, &[Absent, OwnBare]);
        may(OwnDomain, &[OwnDomain]);
        may(OwnFull, &[OwnFull]);
        may(Other(1), &[Other(1)]);
        for asked in [Absent, OwnDomain, Other(1)] {
            assert!(Absent.may_answer_client(asked, false) && OwnDomain.may_answer_client(asked, false));
            assert!(!Other(2).may_answer_client(asked, false));
        }
        assert!(Other(1).may_answer_client(Other(1), false));
    }
}
