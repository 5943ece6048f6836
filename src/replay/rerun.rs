//! Lets recorded sessions happen again, and compares what comes out with what came out then.
//!
//! Takes a [`Tape`] and a [`Law`], gives [`Replayed`]: for each session the stanzas that differ, and who says so. `tape` puts what a
//! capture tells in order, `stage` holds the sessions with the vault and the store between them, `compare` holds what comes out to
//! what was recorded, `names` knows ids that were made up. Must not touch a socket, a file or a clock: time comes with each record, and
//! between two of them sessions get the ticks they asked for.
//!
//! Under the policy of the recording the same comes out, byte for byte, secrets replaced, with these exceptions:
//! * Answers from the store are those of the store that is given: a capture does not hold what was kept.
//! * What a rule or a script makes of a secret it makes of its marker here.
//! * A session that was cut has told no seed, and neither has one that could be resumed: the ids it made up are others, and are
//!   taken to be those of the recording where they first appear.
//! * A tick comes at the very time a session asked for; in a living process, some time later.

mod compare;
mod names;
mod stage;
mod tape;
mod words;

pub use stage::{Law, replay};
pub use tape::{Tape, TlsThen};
pub use words::{fate, origin};

use crate::session::{Fate, Origin};
use crate::xmpp::{Side, Timestamp};
use bytes::Bytes;

/// What has come of a tape.
#[derive(Clone, Debug, Default)]
pub struct Replayed {
    /// Its sessions, as they began.
    pub sessions: Vec<Outcome>,
}

/// What has come of a session.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The section of the capture.
    pub section: u32,
    /// Its number in that section.
    pub number: u64,
    /// Who its client was now, once bound.
    pub jid: Option<String>,
    /// Why it could not be played; what follows is empty then.
    pub spoilt: Option<String>,
    /// Whether the recording tells what its random numbers came from.
    pub seeded: bool,
    /// Items that came in.
    pub ins: usize,
    /// Items that were recorded as sent.
    pub outs: usize,
    /// Ids made up otherwise than in the recording.
    pub renamed: usize,
    /// Items sent for what the store has said.
    pub stored: usize,
    /// What differs, in the order of the recording.
    pub differences: Vec<Difference>,
}

/// A stanza, or another item, that is not as it was.
#[derive(Clone, Debug)]
pub struct Difference {
    /// When.
    pub at: Timestamp,
    /// The packet of the recorded item, or of what it comes from; 0 if there is none.
    pub frame: u64,
    /// To whom it is sent.
    pub to: Side,
    /// What kind of difference.
    pub kind: Kind,
    /// What was recorded.
    pub recorded: Option<Said>,
    /// What comes now.
    pub now: Option<Said>,
    /// What came in and led to it.
    pub cause: Option<Cause>,
    /// Whether it comes of what the store said.
    pub stored: bool,
}

/// What kind of difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It does not come any more.
    Missing,
    /// It did not come then.
    Added,
    /// It is another one.
    Changed,
    /// It comes before or behind others that it was not before or behind.
    Moved,
}

/// An item sent.
#[derive(Clone, Debug)]
pub struct Said {
    /// Its bytes, secrets replaced.
    pub bytes: Bytes,
    /// Where it comes from.
    pub origin: Origin,
}

/// An item that came in.
#[derive(Clone, Debug)]
pub struct Cause {
    /// Its number in the recording.
    pub number: u64,
    /// Its bytes.
    pub bytes: Bytes,
    /// What became of it then.
    pub recorded: Fate,
    /// What becomes of it now; none if it did not come to that.
    pub now: Option<Fate>,
}
