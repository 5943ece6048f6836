//! What goes into the core and what comes out of it.

use crate::keep::{Change, Done, Op};
use crate::policy::Policy;
use crate::rules::Finding;
use crate::session::{Happened, Kept, SmKey, Snapshot, Tally};
use crate::xmpp::{Kind, Side, StreamCondition};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;

/// What may happen to a session.
#[derive(Debug)]
pub enum Input<'a> {
    /// Bytes arrived (plaintext: TLS is the shell's business).
    Bytes(Side, &'a [u8]),
    /// The connection ended, cleanly or not.
    Eof(Side),
    /// The server's TCP connection asked for by [`Act::Dial`] stands.
    Dialed,
    /// It could not be made: why, for people.
    DialFailed(String),
    /// A TLS handshake is done: asked for by [`Act::StartTls`], or on the client's leg before its first byte (direct TLS).
    TlsUp(Side, TlsInfo),
    /// A TLS handshake asked for by [`Act::StartTls`] failed: why, for people.
    TlsFailed(Side, String),
    /// Time has passed: see [`super::Session::deadline`].
    Tick,
    /// What is known of the session asked for by [`Act::Look`]; none if nobody knows it.
    Looked(Option<Box<Snapshot>>),
    /// The state asked for by [`Act::Claim`]; none if it is gone.
    Claimed(Option<Box<Kept>>),
    /// The server has let a younger connection resume the session with that key: this one leaves it alone.
    Superseded(SmKey),
    /// Another connection has resumed this session: its state is given up by [`Act::Park`], then it ends.
    Surrender,
    /// What has come of the operation asked for by [`Act::Store`] with this number. Comes once for each of them, in their order,
    /// and within seconds, if the session lives.
    Stored(u64, Done),
    /// Another session of the account named by [`Act::Join`], or this one, has written this: it comes behind the
    /// `Stored` of whoever wrote it, and every session hears of all such changes in the same order.
    Changed(Arc<[Change]>),
    /// A new policy holds from the next stanza on.
    Policy(Arc<Policy>),
    /// What this side sends is refused with this, as if it could not be read: in a replay, for a capture has no bytes that are no item.
    Refused(Side, StreamCondition, String),
    /// The process is being stopped.
    Stop,
}

/// What a finished TLS handshake agreed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsInfo {
    /// `TLSv1.3`
    pub version: String,
    /// `TLS13_AES_128_GCM_SHA256`
    pub cipher: String,
    /// The name asked for by SNI (client leg) or verified (server leg).
    pub name: Option<String>,
    /// The ALPN protocol, if one was chosen.
    pub alpn: Option<String>,
}

/// What the shell must do; in order, after flushing what `Outbox::to` holds for that side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Connect to the upstream server for this domain; answer with `Dialed` or `DialFailed`.
    Dial {
        /// The domain of the client's `to`: the name to verify in TLS, and for SNI.
        domain: String,
    },
    /// Flush that side, then do a TLS handshake: as server on the client's leg, as client on the server's.
    StartTls(Side),
    /// From now on this session can be resumed under that key.
    Enlist(SmKey),
    /// What is known of the session with that key, parked or living? Nothing changes hands; answer with `Looked`.
    Look(SmKey),
    /// The server has let this session resume the one with that key: take its state from where it is, from a living session
    /// by `Surrender`; answer with `Claimed`. Those that have looked for it before this
    /// one are `Superseded`.
    Claim(SmKey),
    /// Ask the store for this; answer with `Stored` and this number. What is asked later is done later.
    Store(u64, Op),
    /// From now on this session hears of what is written for this account (`Changed`), from what is asked next on. Said again, the
    /// account of the last time counts.
    Join(String),
    /// Keep this state until it is claimed or too old. Comes before any `Close` of the session that ends.
    Park(Box<Kept>),
    /// Close that side.
    Close(Side, How),
}

/// How to close a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Flush, TLS close_notify, FIN: the stream ended with `</stream:stream>`.
    Clean,
    /// Flush what was judged, then drop the connection without a word: the other leg was lost that way.
    Abort,
}

/// Which way something went on a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dir {
    /// From the peer to iqtap.
    In,
    /// From iqtap to the peer.
    Out,
}

/// What kind of thing was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A stream header.
    Header,
    /// A stanza.
    Stanza(Kind),
    /// Any other first-level element (features, SASL, TLS, client state, stream error, ...).
    Other,
    /// White space between elements.
    Space,
    /// `</stream:stream>`
    Close,
}

/// What a stanza's head says, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StanzaInfo {
    /// Attribute `type`.
    pub kind: Option<String>,
    /// Attribute `id`.
    pub id: Option<String>,
    /// Attribute `from`.
    pub from: Option<String>,
    /// Attribute `to`.
    pub to: Option<String>,
    /// Namespace and name of the payload.
    pub payload: Option<(String, String)>,
    /// The defined condition, when type is `error`.
    pub condition: Option<String>,
}

/// Where something that goes out comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It came in from the peer (always so for `Dir::In`).
    Peer,
    /// The other leg's item of this number, untouched.
    Forwarded(u64),
    /// The other leg's item of this number, changed: by which rule or script.
    Rewritten(u64, String),
    /// Made here in answer to this leg's item of that number (0: to nothing): by which rule, script or part.
    Made(u64, String),
}

/// The request that an IQ answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Its item number; 0 if it was asked on an earlier connection.
    pub request: u64,
    /// The time since, in microseconds.
    pub micros: u64,
}

/// What became of a stanza that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Forwarded, untouched.
    Passed,
    /// Forwarded, changed: by which rule or script.
    Rewritten(String),
    /// Not forwarded, not answered: by which rule or script.
    Dropped(String),
    /// Not forwarded; answered with an error of this condition: by which rule or script.
    Rejected(String, String),
    /// Not forwarded; answered by us: by which script.
    Answered(String),
    /// Consumed by iqtap itself (negotiation).
    Handled,
}

/// One item seen on a leg: emitted only while [`Outbox::watched`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The leg.
    pub side: Side,
    /// Which way.
    pub dir: Dir,
    /// Counts the items of this session, both legs and ways, from 1.
    pub number: u64,
    /// What it is.
    pub what: What,
    /// Its bytes, as on the wire.
    pub bytes: Bytes,
    /// For a stanza, what its head says.
    pub stanza: Option<StanzaInfo>,
    /// For what came in: what became of it.
    pub fate: Fate,
    /// For what went out: where it comes from.
    pub origin: Origin,
    /// What was found in it (also emitted as [`Note::Finding`]).
    pub findings: Vec<Finding>,
    /// For an IQ answer that came in, and for one made here: what it answers.
    pub pair: Option<Pair>,
    /// For a stanza that came in: what scripts tagged it with.
    pub tags: Vec<String>,
}

/// Something to show, record or count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// An item passed by (only while watched). All items of one leg and way, joined, are its plaintext stream.
    Seen(Box<Seen>),
    /// A rule or a neighbouring check found something; emitted whether watched or not.
    Finding {
        /// Who is at fault: who sent it, or owes an answer.
        side: Side,
        /// The stanza's id, if any, and its item number.
        id: Option<String>,
        /// See [`Seen::number`].
        number: u64,
        /// What.
        finding: Finding,
        /// Whether it is about something that did not come: no [`Seen`] tells it.
        alone: bool,
    },
    /// TLS stands on a leg: a new conversation for a capture.
    Tls(Side, TlsInfo),
    /// The streams are joined: server id of the stream, what was stripped from the features.
    Joined {
        /// The domain.
        domain: String,
        /// What was stripped from the features.
        stripped: Vec<String>,
    },
    /// The client authenticates by this mechanism.
    Mechanism(String),
    /// The client is bound to this full JID.
    Bound(String),
    /// The client has resumed an earlier session (XEP-0198 §5).
    Resumed {
        /// Its full JID.
        jid: String,
        /// The number of the session it was before.
        session: u64,
    },
    /// A script logged something.
    Log(crate::script::LogLine),
    /// A script failed: file, line, column and why.
    ScriptError(String),
    /// Something a person should know: what happened and what to do.
    Hint(String),
    /// We ended a stream with an error.
    StreamError {
        /// The leg of the offender (or of the one told).
        side: Side,
        /// The condition sent.
        condition: StreamCondition,
        /// Why, for people.
        text: String,
    },
    /// Something beside the items happened (only while watched).
    Happened(Happened),
    /// The session is over; what it counted.
    Over(Box<Tally>),
}

/// What came out, passed in by the caller: nothing to forget to poll. The caller empties it.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Bytes to send, by [`Side::index`].
    pub to: [BytesMut; 2],
    /// What to do, in order.
    pub acts: Vec<Act>,
    /// What to tell.
    pub notes: Vec<Note>,
    /// Whether anybody listens to [`Note::Seen`]. Off, a stanza costs no note.
    pub watched: bool,
}
