//! Holds what a session sends now to what was recorded of it.
//!
//! Takes each item as it is sent, finds the recorded one that it stands for: to the same side, for the same item that came in. Gives what
//! differs. Must not let one thing that came or went make everything behind it differ.

use super::names::Names;
use super::tape::{Tape, Track};
use super::{Difference, Kind, Said};
use crate::session::Origin;
use crate::xmpp::{Side, Timestamp};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

/// Of what is to come, so much is looked at for what comes.
const AHEAD: usize = 64;

/// For whom, and for which item that came in (0: for none).
type Key = (usize, u64);

/// What was recorded of one session, and is to come.
#[derive(Debug)]
pub(super) struct Script {
    /// What is to come, as places among the records.
    awaited: BTreeMap<Key, VecDeque<usize>>,
    pub(super) names: Names,
    /// Of what came, which recorded item it was, by side.
    came: [Vec<usize>; 2],
    differences: Vec<(Difference, u64)>,
    pub(super) stored: usize,
}

/// An item sent now.
pub(super) struct Sent {
    pub(super) to: Side,
    pub(super) at: Timestamp,
    /// As it was sent, and as a capture would hold it.
    pub(super) raw: Bytes,
    pub(super) clean: Bytes,
    pub(super) origin: Origin,
    /// The number, in the recording, of what it comes from; none if that was never recorded.
    pub(super) source: Option<u64>,
    /// Whether it comes of what the store said.
    pub(super) stored: bool,
}

impl Script {
    pub(super) fn new(tape: &Tape, track: &Track) -> Self {
        let mut awaited = BTreeMap::<Key, VecDeque<usize>>::new();
        for place in &track.outs {
            if let Some((_, story, _)) = tape.item_at(*place) {
                awaited.entry((story.side.index(), source(&story.origin))).or_default().push_back(*place);
            }
        }
        Self { awaited, names: Names::default(), came: [Vec::new(), Vec::new()], differences: Vec::new(), stored: 0 }
    }

    /// An item is sent.
    pub(super) fn sent(&mut self, tape: &Tape, sent: Sent) {
        self.stored += usize::from(sent.stored);
        let key = (sent.to.index(), sent.source.unwrap_or(u64::MAX));
        let awaited = self.awaited.entry(key).or_default();
        let names = &mut self.names;
        let mut fits = |place: &usize| {
            tape.item_at(*place)
                .is_some_and(|(_, _, bytes)| names.unify(bytes, &sent.raw) || names.unify(bytes, &sent.clean))
        };
        if let Some(at) = awaited.iter().take(AHEAD).position(&mut fits) {
            let passed_over: Vec<usize> = awaited.drain(..at).collect();
            self.came[sent.to.index()].extend(awaited.pop_front());
            passed_over.into_iter().for_each(|place| self.missing(tape, place));
            return;
        }
        // What is made for nothing that came in is not known by its place.
        let instead = if key.1 == 0 { None } else { awaited.pop_front() };
        let recorded = instead.and_then(|place| tape.item_at(place));
        let cause = sent.source.unwrap_or(0);
        let difference = Difference {
            at: recorded.map_or(sent.at, |(record, ..)| record.at),
            frame: recorded.map_or(0, |(record, ..)| record.frame),
            to: sent.to,
            kind: if recorded.is_some() { Kind::Changed } else { Kind::Added },
            recorded: recorded.map(|(_, story, bytes)| Said { bytes: bytes.clone(), origin: story.origin.clone() }),
            now: Some(Said { bytes: sent.clean, origin: sent.origin }),
            cause: None,
            stored: sent.stored,
        };
        self.differences.push((difference, cause));
    }

    fn missing(&mut self, tape: &Tape, place: usize) {
        let Some((record, story, bytes)) = tape.item_at(place) else { return };
        let said = Said { bytes: bytes.clone(), origin: story.origin.clone() };
        let difference = Difference {
            at: record.at,
            frame: record.frame,
            to: story.side,
            kind: Kind::Missing,
            recorded: Some(said),
            now: None,
            cause: None,
            stored: false,
        };
        self.differences.push((difference, source(&story.origin)));
    }

    /// Nothing more is sent. Gives what differs, each with the number of what it comes from.
    pub(super) fn end(&mut self, tape: &Tape) -> Vec<(Difference, u64)> {
        for place in std::mem::take(&mut self.awaited).into_values().flatten() {
            self.missing(tape, place);
        }
        for came in std::mem::take(&mut self.came) {
            // Of a longer disorder the first place is told.
            let moved = came.iter().zip(came.iter().skip(1)).find(|(before, after)| before > after);
            if let Some((record, story, bytes)) = moved.and_then(|(_, place)| tape.item_at(*place)) {
                let said = Some(Said { bytes: bytes.clone(), origin: story.origin.clone() });
                let difference = Difference {
                    at: record.at,
                    frame: record.frame,
                    to: story.side,
                    kind: Kind::Moved,
                    recorded: said.clone(),
                    now: said,
                    cause: None,
                    stored: false,
                };
                self.differences.push((difference, source(&story.origin)));
            }
        }
        let mut differences = std::mem::take(&mut self.differences);
        differences.sort_by_key(|(difference, _)| (difference.at, difference.frame));
        differences
    }
}

/// The number of the item that one comes from; 0 if it comes from none.
pub(super) fn source(origin: &Origin) -> u64 {
    match origin {
        Origin::Peer => 0,
        Origin::Forwarded(number) | Origin::Rewritten(number, _) | Origin::Made(number, _) => *number,
    }
}
