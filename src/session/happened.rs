//! What happens to a session beside what its peers say, for whoever wants to let it happen again.
//!
//! Takes inputs, gives [`Happened`] notes, only while [`Outbox::watched`]. With the items, the time, the policy and what is kept
//! elsewhere they are all that a session's behaviour depends on: played again, the same comes out. Ticks are not told, for
//! they come when the session itself has asked for them. Must not tell a secret: of the seed only when nothing depends on it any more.

use super::core::Core;
use super::{Act, Dir, Fate, Input, Note, Outbox, TlsInfo, What};
use crate::keep::Trouble;
use crate::xml::{ItemKind, View};
use crate::xmpp::{Side, StreamCondition, Timestamp};

/// Something that happened to a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// It begins. Told with the first of all.
    Began {
        /// When its connection was accepted.
        at: Timestamp,
        /// See [`crate::policy::Route::started`].
        since: Timestamp,
        /// The number of its policy.
        policy: u64,
    },
    /// The server was reached.
    Dialed,
    /// It was not: why, for people.
    DialFailed(String),
    /// A TLS handshake is done.
    TlsUp(Side, TlsInfo),
    /// One failed: why, for people.
    TlsFailed(Side, String),
    /// A connection ended.
    Eof(Side),
    /// What this side sent was refused before it was an item: with what it was told.
    Refused(Side, StreamCondition, String),
    /// Bytes of this side came where a TLS handshake was due.
    Injected(Side),
    /// An item of this side has come which is not told yet. Those of one side are told in the order in which they came.
    Waits(Side),
    /// The server has let a younger connection resume what this one wants to.
    Superseded,
    /// Another connection goes on with this session.
    Surrender,
    /// The store has done the operation of this number.
    Stored(u64),
    /// It has failed: why.
    NotStored(u64, String),
    /// It would have held more entries than this, and has done nothing.
    StoreFull(u64, usize),
    /// The policy of this number is in force.
    Policy(u64),
    /// The process is being stopped.
    Stop,
    /// It is over.
    Over {
        /// How many operations it has asked of the store.
        asked: u64,
        /// Its seed, unless what can be resumed of it still depends on that.
        seed: Option<u64>,
    },
}

impl Happened {
    fn of(input: &Input<'_>) -> Option<Self> {
        Some(match input {
            Input::Dialed => Self::Dialed,
            Input::DialFailed(why) => Self::DialFailed(why.clone()),
            Input::TlsUp(side, info) => Self::TlsUp(*side, info.clone()),
            Input::TlsFailed(side, why) => Self::TlsFailed(*side, why.clone()),
            Input::Eof(side) => Self::Eof(*side),
            Input::Superseded(_) => Self::Superseded,
            Input::Surrender => Self::Surrender,
            Input::Stored(number, Ok(_)) => Self::Stored(*number),
            Input::Stored(number, Err(Trouble::Failed(why))) => Self::NotStored(*number, why.clone()),
            Input::Stored(number, Err(Trouble::Full(most))) => Self::StoreFull(*number, *most),
            Input::Policy(policy) => Self::Policy(policy.number),
            Input::Stop => Self::Stop,
            // Items, time, refusals are told where they are known; what other sessions leave follows from what they were told.
            Input::Bytes(..) | Input::Tick | Input::Refused(..) => return None,
            Input::Looked(_) | Input::Claimed(_) | Input::Changed(_) => return None,
        })
    }
}

impl Outbox {
    /// Tells what happened, if anybody listens.
    pub(super) fn happened(&mut self, happened: Happened) {
        if self.watched {
            self.notes.push(Note::Happened(happened));
        }
    }
}

impl Core {
    /// Something comes in.
    pub(super) fn happens(&mut self, input: &Input<'_>, out: &mut Outbox) {
        if !std::mem::replace(&mut self.begun, true) {
            let (since, policy) = (self.route.started, self.policy.number);
            out.happened(Happened::Began { at: self.started, since, policy });
        }
        out.notes.extend(Happened::of(input).map(Note::Happened));
    }

    /// The session is over.
    pub(super) fn happens_last(&mut self, out: &mut Outbox) {
        let parked = out.acts.iter().any(|act| matches!(act, Act::Park(_)));
        let (asked, seed) = (self.answering.asked(), self.seed_if(!parked));
        out.happened(Happened::Over { asked, seed });
    }

    /// An item of this side has come, and `told` is what was told since. If that does not tell of it, it waits, or it was the
    /// session's last.
    pub(super) fn came(&mut self, side: Side, kind: ItemKind, view: &View<'_>, told: usize, out: &mut Outbox) {
        let tells = |note: &Note| matches!(note, Note::Seen(seen) if seen.side == side && seen.dir == Dir::In);
        if !out.watched || out.notes.iter().skip(told).any(tells) {
            return;
        }
        if self.over {
            let number = self.next_item();
            self.saw_found(number, side, what(kind, view), view, Fate::Handled, Vec::new(), None, out);
        } else {
            out.happened(Happened::Waits(side));
        }
    }
}

/// What an item is to those who watch.
pub(super) fn what(kind: ItemKind, view: &View<'_>) -> What {
    match kind {
        ItemKind::Space => What::Space,
        ItemKind::Open => What::Header,
        ItemKind::Close => What::Close,
        ItemKind::Element => super::pipeline::kind_of(view).map_or(What::Other, What::Stanza),
    }
}
