//! Small facts everybody shares: sides, kinds of stanza, time, and what a script or rule may know of a session.

/// One of the two legs, by the peer at its end; the key of all that exists twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// The client's leg.
    Client,
    /// The server's leg.
    Server,
}

impl Side {
    /// The other leg.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
    /// Index into pairs: 0 client, 1 server.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Client => 0,
            Self::Server => 1,
        }
    }
    /// `client` or `server`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
    /// The direction of what comes in on this side: `c2s` from the client, `s2c` from the server.
    #[must_use]
    pub const fn direction(self) -> &'static str {
        match self {
            Self::Client => "c2s",
            Self::Server => "s2c",
        }
    }
}

/// The kinds of stanza (RFC 6120 §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `<message/>`
    Message,
    /// `<presence/>`
    Presence,
    /// `<iq/>`
    Iq,
}

impl Kind {
    /// The element name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Presence => "presence",
            Self::Iq => "iq",
        }
    }
}

/// Microseconds since the Unix epoch, as the caller of the core tells it; never goes backwards within a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// This moment and `seconds` more.
    #[must_use]
    pub const fn plus_seconds(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1_000_000)))
    }
}

/// What rules and scripts may know of the session they work in.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Now.
    pub now: Timestamp,
    /// The session's number in this process.
    pub session: u64,
    /// The leg the stanza came in on.
    pub side: Side,
    /// The client's full JID, once bound.
    pub jid: Option<&'a str>,
    /// The domain the client asked for.
    pub domain: &'a str,
    /// The client's network address, as text.
    pub peer: &'a str,
    /// Whether TLS stands on each leg, by [`Side::index`].
    pub tls: [bool; 2],
    /// The SASL mechanism the client uses, once it has named one.
    pub mechanism: Option<&'a str>,
    /// How far the session has come.
    pub phase: Phase,
    /// When it began.
    pub started: Timestamp,
}

impl<'a> Facts<'a> {
    /// Of a session that has only just begun, for a stanza from that side.
    #[must_use]
    pub const fn new(now: Timestamp, session: u64, side: Side, domain: &'a str, peer: &'a str) -> Self {
        let (tls, mechanism, phase) = ([false; 2], None, Phase::Open);
        Self { now, session, side, jid: None, domain, peer, tls, mechanism, phase, started: now }
    }

    /// The same once the client is bound to this full JID.
    #[must_use]
    pub const fn bound(self, jid: &'a str) -> Self {
        Self { jid: Some(jid), phase: Phase::Bound, ..self }
    }
}

/// How far a session has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// The client has opened its stream, or is about to.
    #[default]
    Open,
    /// The client has authenticated.
    Authenticated,
    /// The client is bound to a resource: stanzas pass.
    Bound,
    /// The session has ended.
    Closed,
}

impl Phase {
    /// As scripts call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Authenticated => "authenticated",
            Self::Bound => "bound",
            Self::Closed => "closed",
        }
    }
}
