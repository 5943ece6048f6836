//! [`Core`]: the state of a session, and the few ways in which anything leaves it.
//!
//! ```text
//! client leg:  Header -> StartTls -> Handshake -> Header -> Held -> Joined <-> SaslHeld
//!                 ^                                                    |
//!                 +------------------- restart after SASL ------------+
//! server leg:  Idle -> Dialing -> Header -> Features -> Proceed -> Handshake -> Header -> Features (-> Held) -> Joined
//!                                    ^                                                                 |
//!                                    +---------------------------- Parked <--- restart after SASL ----+
//! ```

use super::answers::Answering;
use super::bind::IqAuth;
use super::happenings::{Asks, Memories};
use super::hold::Hold;
use super::iq_ledger::IqLedger;
use super::pace::Pace;
use super::profile::Profile;
use super::resume::Resuming;
use super::sm::Sm;
use super::{Act, Dir, Fate, How, Note, Origin, Outbox, Pair, Tally, What};
use crate::policy::{Policy, Route};
use crate::xml::{Element, Limits, Scope, write_element};
use crate::xmpp::{Account, Header, Side, Timestamp};
use bytes::{Bytes, BytesMut};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

/// Where the client's leg stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientPhase {
    /// Its stream header is awaited.
    Header,
    /// It was told that STARTTLS is required.
    StartTls,
    /// Between `<proceed/>` and the end of the TLS handshake.
    Handshake,
    /// Its header was read; the server's leg is being made ready.
    Held,
    /// The two streams are one.
    Joined,
    /// It has said something in SASL; the server has the word (RFC 6120 §6.4 is lock-step).
    SaslHeld,
}

/// Where the server's leg stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServerPhase {
    /// Nobody was called yet.
    Idle,
    /// Being called.
    Dialing,
    /// Our header is out; the server's is awaited.
    Header,
    /// Its features are awaited.
    Features,
    /// They are here; the store is asked for what they speak of.
    Held,
    /// Our `<starttls/>` is out.
    Proceed,
    /// Between `<proceed/>` and the end of the TLS handshake.
    Handshake,
    /// The two streams are one.
    Joined,
    /// It said `<success/>`: the client's new header is awaited before anything may come.
    Parked,
}

/// What is done with bytes of a side right now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// Scanned.
    Open,
    /// Kept until the other side has moved.
    Held,
    /// A TLS handshake is due: bytes in the clear are an attack (RFC 6120 §5.4.3.3).
    Handshake,
    /// Ignored: that stream is over.
    Shut,
}

/// What both legs have.
#[derive(Debug, Default)]
pub(super) struct Leg {
    /// Bytes of an item not finished, or held.
    pub(super) pending: BytesMut,
    /// Since when an item is not finished, as far as the peer could have.
    pub(super) begun: Option<Timestamp>,
    /// Whether TLS stands.
    pub(super) tls: bool,
    /// Whether our header is out on the present stream.
    pub(super) header_sent: bool,
    /// Whether the peer has sent `</stream:stream>`.
    pub(super) in_closed: bool,
    /// Whether we have.
    pub(super) out_closed: bool,
    /// Whether the connection is gone or given up.
    pub(super) gone: bool,
    /// Whether the next byte begins a new document.
    pub(super) new_document: bool,
}

/// What is remembered of an authentication under way.
#[derive(Debug, Default)]
pub(super) struct SaslWatch {
    /// The client said `y` in its first SCRAM message.
    pub(super) said_y: bool,
    /// We took channel binding out of the features.
    pub(super) stripped_binding: bool,
    /// An XEP-0078 set under way.
    pub(super) iq_auth: Option<IqAuth>,
}

/// All of a session but its scanners.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) now: Timestamp,
    pub(super) route: Arc<Route>,
    pub(super) policy: Arc<Policy>,
    pub(super) number: u64,
    pub(super) peer: String,
    seed: u64,
    /// How many numbers were drawn from it.
    drawn: u64,
    pub(super) client: ClientPhase,
    pub(super) server: ServerPhase,
    legs: [Leg; 2],
    /// How fast they may go, where that is limited.
    pub(super) paces: [Option<Box<Pace>>; 2],
    /// When the client said something last.
    pub(super) heard: Timestamp,
    /// The client's present header.
    pub(super) header: Header,
    /// The server's present header.
    pub(super) server_header: Header,
    pub(super) authenticated: bool,
    pub(super) sasl: SaslWatch,
    /// The full JID, once bound.
    pub(super) jid: Option<String>,
    pub(super) tally: Tally,
    /// Who the client is, for comparing addresses.
    pub(super) account: Account,
    /// The IQ requests under way.
    pub(super) iqs: IqLedger,
    /// Stream management, once it was asked for.
    pub(super) sm: Option<Box<Sm>>,
    /// A resumption under way.
    pub(super) resuming: Option<Box<Resuming>>,
    /// Stanzas a script lets wait, by the side they came from.
    pub(super) holds: [Option<Box<Hold>>; 2],
    /// No stanza may be made to wait any more: its side is gone, or all is to stop.
    pub(super) draining: bool,
    /// What hashes of this session begin with.
    pub(super) secret: u64,
    /// Items seen so far, both legs and ways.
    pub(super) items: u64,
    /// The item at hand as it stood on the wire, where that differs from what was judged (an untidy one).
    pub(super) untidy: Option<Bytes>,
    /// What scripts have tagged the item at hand with.
    pub(super) tags: Vec<String>,
    /// What the scripts keep of this session, and what the shadow scripts do.
    pub(super) memories: Memories,
    /// Requests that scripts have asked, and who waits for the answers.
    pub(super) asks: Asks,
    /// Requests that wait for the store.
    pub(super) answering: Answering,
    /// What is kept for the account, once it is bound, if answers need it.
    pub(super) profile: Option<Box<Profile>>,
    pub(super) started: Timestamp,
    /// The domain scripts were told of when it began.
    pub(super) opened: Option<String>,
    /// The SASL mechanism the client has named.
    pub(super) mechanism: Option<String>,
    /// Why the session ends, as scripts are told.
    pub(super) ending: Option<String>,
    login_deadline: Timestamp,
    pub(super) close_deadline: Option<Timestamp>,
    /// A leg's scanner must be renewed.
    pub(super) restarted: bool,
    /// White space may still come that the client sent behind its last word in SASL: none of the new document's.
    pub(super) stale_space: bool,
    /// The client has authenticated without a restart: its limits widen with the next element.
    pub(super) relax_limits: bool,
    /// What a side sent while it was held may be scanned now.
    resume: [bool; 2],
    pub(super) over: bool,
    over_noted: bool,
    /// Whether those who watch were told that it begins.
    pub(super) begun: bool,
}

impl Core {
    pub(super) fn new(
        now: Timestamp,
        route: Arc<Route>,
        policy: Arc<Policy>,
        number: u64,
        peer: &str,
        seed: u64,
    ) -> Self {
        let login_deadline = now.plus_seconds(route.login_seconds);
        let paces = route.rates.map(Pace::of);
        let mut core = Self {
            now,
            route,
            policy,
            number,
            peer: peer.to_owned(),
            seed,
            drawn: 0,
            client: ClientPhase::Header,
            server: ServerPhase::Idle,
            legs: [Leg::default(), Leg::default()],
            paces,
            heard: now,
            header: Header::default(),
            server_header: Header::default(),
            authenticated: false,
            sasl: SaslWatch::default(),
            jid: None,
            tally: Tally::default(),
            account: Account::default(),
            iqs: IqLedger::new(),
            sm: None,
            resuming: None,
            holds: [None, None],
            draining: false,
            secret: 0,
            items: 0,
            untidy: None,
            tags: Vec::new(),
            memories: Memories::default(),
            asks: Asks::default(),
            answering: Answering::default(),
            profile: None,
            started: now,
            opened: None,
            mechanism: None,
            ending: None,
            login_deadline,
            close_deadline: None,
            restarted: false,
            stale_space: false,
            relax_limits: false,
            resume: [false; 2],
            over: false,
            over_noted: false,
            begun: false,
        };
        core.secret = core.random();
        core
    }

    pub(super) fn leg(&mut self, side: Side) -> &mut Leg {
        &mut self.legs[side.index()]
    }

    pub(super) fn leg_ref(&self, side: Side) -> &Leg {
        &self.legs[side.index()]
    }

    /// Whether the two streams are one, so that stanzas may pass.
    pub(super) fn joined(&self) -> bool {
        self.server == ServerPhase::Joined && matches!(self.client, ClientPhase::Joined | ClientPhase::SaslHeld)
    }

    pub(super) fn gate(&self, side: Side) -> Gate {
        let leg = self.leg_ref(side);
        if self.over || leg.gone || leg.in_closed {
            return Gate::Shut;
        }
        if self.waits_for_state(side) || self.waits_for_profile() || self.is_full(side) || self.is_paused(side) {
            return Gate::Held;
        }
        match side {
            Side::Client => match self.client {
                ClientPhase::Held | ClientPhase::SaslHeld => Gate::Held,
                ClientPhase::Handshake => Gate::Handshake,
                ClientPhase::Header | ClientPhase::StartTls | ClientPhase::Joined => Gate::Open,
            },
            Side::Server => match self.server {
                ServerPhase::Idle | ServerPhase::Dialing => Gate::Shut,
                ServerPhase::Handshake => Gate::Handshake,
                ServerPhase::Parked | ServerPhase::Held => Gate::Held,
                ServerPhase::Header | ServerPhase::Features | ServerPhase::Proceed | ServerPhase::Joined => Gate::Open,
            },
        }
    }

    /// The limits on what a side sends. The server's features may be long before anybody has logged in.
    pub(super) fn limits(&self, side: Side) -> Limits {
        match side {
            Side::Client if !self.authenticated => self.route.limits_before,
            _ => self.route.limits_after,
        }
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        if self.over {
            return None;
        }
        let login = self.jid.is_none().then_some(self.login_deadline);
        let peers = [login, self.close_deadline, self.answer_deadline()];
        let ours = [self.hold_deadline(), self.script_deadline(), self.profile_deadline()];
        let paces = [self.pace_deadline(), self.late_deadline()];
        peers.into_iter().chain(ours).chain(paces).flatten().min()
    }

    /// 64 bits no peer can guess, from the seed: one tells nothing of another (SipHash of the seed and a count).
    pub(super) fn random(&mut self) -> u64 {
        self.drawn += 1;
        let mut hasher = DefaultHasher::new();
        (self.seed, self.drawn).hash(&mut hasher);
        hasher.finish()
    }

    /// Where its random numbers come from, if that may be told.
    pub(super) fn seed_if(&self, told: bool) -> Option<u64> {
        told.then_some(self.seed)
    }

    pub(super) fn stream_id(&mut self) -> String {
        format!("{:016x}", self.random())
    }

    /// The next byte of this side begins a new document, and our header is not out on it.
    pub(super) fn restart(&mut self, side: Side) {
        let leg = self.leg(side);
        leg.new_document = true;
        leg.header_sent = false;
        self.restarted = true;
    }

    /// How many bytes at the front belong to the document before: see `stale_space`.
    pub(super) fn stale(&mut self, side: Side, buffer: &[u8]) -> usize {
        if !self.stale_space || side == Side::Server || self.gate(side) != Gate::Open {
            return 0;
        }
        let space = buffer.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.stale_space = space == buffer.len();
        space
    }

    /// What this side sent while it was held may be scanned now.
    pub(super) fn resume(&mut self, side: Side) {
        self.resume[side.index()] = true;
    }

    /// A side whose held bytes may be scanned now.
    pub(super) fn resumed(&mut self) -> Option<Side> {
        [Side::Client, Side::Server].into_iter().find(|side| std::mem::take(&mut self.resume[side.index()]))
    }

    pub(super) fn next_item(&mut self) -> u64 {
        self.items += 1;
        self.items
    }

    /// Notes something that came in and concerns nobody but us, or is not a stanza.
    pub(super) fn note_in(&mut self, side: Side, what: What, bytes: &[u8], fate: Fate, out: &mut Outbox) -> u64 {
        let number = self.next_item();
        let untidy = self.untidy.take();
        out.saw(side, Dir::In, number, what, untidy.as_deref().unwrap_or(bytes), fate, Origin::Peer, None);
        number
    }

    /// Sends bytes that were judged.
    pub(super) fn send(&mut self, side: Side, what: What, bytes: &[u8], origin: Origin, out: &mut Outbox) {
        self.send_paired(side, what, bytes, origin, None, out);
    }

    /// Sends bytes that were judged, and says which request they answer. Whether they could be sent.
    pub(super) fn send_paired(
        &mut self,
        side: Side,
        what: What,
        bytes: &[u8],
        origin: Origin,
        pair: Option<Pair>,
        out: &mut Outbox,
    ) -> bool {
        if self.leg_ref(side).gone || self.leg_ref(side).out_closed {
            return false;
        }
        out.to[side.index()].extend_from_slice(bytes);
        let number = self.next_item();
        out.saw(side, Dir::Out, number, what, bytes, Fate::Passed, origin, pair);
        true
    }

    /// Sends an element through the one writer.
    pub(super) fn send_element(&mut self, side: Side, what: What, element: &Element, origin: Origin, out: &mut Outbox) {
        let mut bytes = BytesMut::new();
        write_element(element, Scope::Stream, &mut bytes);
        self.send(side, what, &bytes, origin, out);
    }

    pub(super) fn send_header(&mut self, side: Side, header: &Header, out: &mut Outbox) {
        let mut bytes = BytesMut::new();
        header.write(&mut bytes);
        self.send(side, What::Header, &bytes, Origin::Made(0, "stream".to_owned()), out);
        self.leg(side).header_sent = true;
    }

    /// Ends our stream on that side, if it was begun and not ended.
    pub(super) fn send_close(&mut self, side: Side, origin: Origin, out: &mut Outbox) {
        if self.leg_ref(side).header_sent && !self.leg_ref(side).out_closed {
            self.send(side, What::Close, b"</stream:stream>", origin, out);
            self.leg(side).out_closed = true;
        }
    }

    /// Gives up a side's connection.
    pub(super) fn give_up(&mut self, side: Side, how: How, out: &mut Outbox) {
        let unused = side == Side::Server && self.server == ServerPhase::Idle;
        if !unused && !self.leg_ref(side).gone {
            out.acts.push(Act::Close(side, how));
        }
        let leg = self.leg(side);
        leg.gone = true;
        leg.pending = BytesMut::new();
    }

    pub(super) fn note_over(&mut self, out: &mut Outbox) {
        if self.over && !self.over_noted {
            self.over_noted = true;
            self.scripts_end(out);
            self.happens_last(out);
            out.notes.push(Note::Over(Box::new(self.tally.clone())));
        }
    }

    /// Forgets the server's leg, so that another call can be made.
    pub(super) fn forget_server(&mut self) {
        self.server = ServerPhase::Idle;
        self.server_header = Header::default();
        *self.leg(Side::Server) = Leg::default();
        self.restart(Side::Server);
    }

    /// Held bytes are bounded by what one element may be; not those behind a script's hold, the store or a limit of ours, for it is not the peer's
    /// fault.
    pub(super) fn bound_held(&mut self, side: Side, out: &mut Outbox) {
        let ours = self.is_full(side) || self.waits_for_profile() || self.is_paused(side);
        let held = self.gate(side) == Gate::Held && !ours;
        if held && self.leg_ref(side).pending.len() > self.limits(side).stanza_bytes {
            self.too_much_held(side, out);
        }
    }

    pub(super) fn login_is_late(&self) -> bool {
        self.jid.is_none() && self.now >= self.login_deadline
    }
}
