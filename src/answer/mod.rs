//! Answers given in the server's place: which namespaces, how, and what the answers are. One file per namespace.
//!
//! Takes a request that the client has sent to its account or its server (`protocol.md` D), gives the answer, or what must be
//! asked of the store first. Must not answer for anybody else, nor know of a session, a socket or the disk.

mod ping;

use crate::keep::{Done, Op};
use crate::xml::{Element, View};
use crate::xmpp::{Condition, Peer, StanzaError, Timestamp, ns};

/// Who answers requests of a namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The server.
    #[default]
    Forward,
    /// iqtap, always.
    Local,
    /// The server; if it says `service-unavailable` or `feature-not-implemented`, iqtap.
    Fallback,
    /// iqtap, with an error of this condition; service discovery does not show the namespace.
    Deny(Condition),
}

/// Whom a request is addressed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The account of the client: no `to`, or its own bare JID.
    Account,
    /// The client's server.
    Server,
    /// Anybody else, other resources of the account included.
    Other,
}

impl Target {
    /// What an address is, seen from the client.
    #[must_use]
    pub const fn of(peer: Peer) -> Self {
        match peer {
            Peer::Absent | Peer::OwnBare => Self::Account,
            Peer::OwnDomain => Self::Server,
            Peer::OwnFull | Peer::Other(_) => Self::Other,
        }
    }
}

/// A request that may be answered here: a get or set with one payload.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Whether it is a set.
    pub set: bool,
    /// Its payload.
    pub payload: &'a Element,
    /// To whom.
    pub target: Target,
    /// The client's prepared bare JID.
    pub account: &'a str,
    /// Now.
    pub now: Timestamp,
    /// Since when iqtap runs.
    pub since: Timestamp,
}

/// What is answered to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A result with this payload.
    Result(Option<Element>),
    /// An error.
    Error(StanzaError),
    /// The store is asked for this first; [`Answers::stored`] takes what comes of it.
    Store(Op, Then),
    /// It is not for us to answer: it goes to the server.
    Forward,
}

/// How an answer goes on once the store has done its part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// An empty result: what was set is durable.
    Empty,
}

/// Who answers what: `[answer]`, compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// The namespaces that are not simply forwarded, each once.
    rules: Vec<(String, Mode)>,
}

/// What answers a request of a namespace.
type Function = fn(&Answers, &Asked<'_>) -> Answer;

/// The namespaces that can be answered here.
const TABLE: &[(&str, Function)] = &[(ns::PING, ping::answer)];

impl Answers {
    /// Whether everything is simply forwarded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Who answers requests of a namespace.
    #[must_use]
    pub fn mode(&self, namespace: &str) -> Mode {
        self.rules.iter().find(|(known, _)| known == namespace).map_or(Mode::Forward, |(_, mode)| *mode)
    }

    /// Who answers this get or set, by the namespace of its payload.
    #[must_use]
    pub fn mode_of(&self, iq: &View<'_>) -> Mode {
        let Some(payload) = &iq.head.payload else { return Mode::Forward };
        self.rules.iter().find(|(known, _)| iq.ns_is(payload, known)).map_or(Mode::Forward, |(_, mode)| *mode)
    }

    /// The answer to a request of a namespace that is answered here (`Local`, or `Fallback` when the server has declined).
    #[must_use]
    pub fn answer(&self, asked: &Asked<'_>) -> Answer {
        match TABLE.iter().find(|(namespace, _)| *namespace == asked.payload.ns) {
            Some((_, function)) => function(self, asked),
            None => Answer::Forward,
        }
    }

    /// The answer, now that the store has done its part. Never [`Answer::Store`] or [`Answer::Forward`].
    #[must_use]
    pub fn stored(&self, then: Then, done: Done) -> Answer {
        match (then, done) {
            (Then::Empty, Ok(_)) => Answer::Result(None),
            (_, Err(trouble)) => {
                Answer::Error(StanzaError::new(Condition::InternalServerError).with_text(trouble.to_string()))
            }
        }
    }
}
