//! The wires of a capture, each with its judge.
//!
//! Takes a capture's events, gives verdicts with the wire they are of. A wire is what two ends say to each other: a conversation, or in our own
//! recordings a leg of a session, on which TLS begins a new conversation. Each leg is judged by itself, as its two ends saw it: so
//! it does not matter what a script, a rule or an answer of iqtap's own has changed between them.

use super::judge::{Judge, Law, Verdict, kind};
use crate::capture::read::{Event, Item, Ours, Talk};
use crate::session::{Dir, Fate, Origin, Tally};
use crate::xmpp::{Side, Timestamp};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Items of a wire whose fate or origin is remembered.
const MOST_REMEMBERED: usize = 8192;

/// Which wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// A conversation that somebody else has recorded, by its number.
    Foreign(u64),
    /// A leg of our own: section, session, and [`Side::index`].
    Ours(u32, u64, usize),
}

impl Key {
    fn of(talk: &Talk) -> Self {
        match &talk.ours {
            Some(Ours { section, session, side, .. }) => Self::Ours(*section, *session, side.index()),
            None => Self::Foreign(talk.number),
        }
    }
}

/// A wire.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) key: Key,
    /// The number of its session: our own, or the conversation's.
    pub(super) session: u64,
    /// The address of the client.
    pub(super) peer: Arc<str>,
    /// Which leg of our own it is.
    pub(super) leg: Option<Side>,
    /// What became of items, and where they come from, as our own recorder said.
    stories: BTreeMap<u64, (Fate, Origin)>,
    judge: Judge,
    count: u64,
    /// Stanzas that our own recorder saw stopped, and changed.
    stopped: u64,
    rewritten: u64,
}

impl Wire {
    /// What our own recorder said of an item, if that is remembered.
    pub(super) fn story(&self, number: u64) -> Option<&(Fate, Origin)> {
        self.stories.get(&number)
    }

    /// How many items it had so far.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// What was counted.
    pub(super) fn tally(&self) -> Tally {
        Tally { stopped: self.stopped, rewritten: self.rewritten, ..self.judge.tally() }
    }

    /// Remembers what was said of an item; gives its number.
    fn remember(&mut self, item: &Item) -> u64 {
        self.count += 1;
        let Some(story) = item.story() else { return self.count };
        let stanza = item.view().is_some_and(|view| kind(&view).is_some());
        match story.fate {
            Fate::Dropped(_) | Fate::Rejected(..) | Fate::Answered(_) if stanza => self.stopped += 1,
            Fate::Rewritten(_) if stanza => self.rewritten += 1,
            _ => {}
        }
        if story.dir == Dir::Out || !matches!(story.fate, Fate::Passed) {
            self.stories.insert(story.number, (story.fate, story.origin));
            while self.stories.len() > MOST_REMEMBERED {
                self.stories.pop_first();
            }
        }
        story.number
    }
}

/// What happens on a wire.
pub(super) enum Happening<'a> {
    Verdict(&'a Verdict),
    /// It is over.
    Ends,
}

/// All wires of a capture.
#[derive(Debug)]
pub(super) struct Wires {
    law: Law,
    living: BTreeMap<Key, Wire>,
    /// Kept for its capacity.
    told: Vec<Verdict>,
}

impl Wires {
    pub(super) fn new(law: Law) -> Self {
        Self { law, living: BTreeMap::new(), told: Vec::new() }
    }

    /// The wire of a conversation.
    pub(super) fn of(&self, talk: &Talk) -> Option<&Wire> {
        self.living.get(&Key::of(talk))
    }

    /// Whether a session of our own has a wire that is not over.
    pub(super) fn has_session(&self, key: Key) -> bool {
        let Key::Ours(section, session, _) = key else { return false };
        [0, 1].iter().any(|leg| self.living.contains_key(&Key::Ours(section, session, *leg)))
    }

    /// Something happened.
    pub(super) fn event(&mut self, event: &Event, tell: &mut dyn FnMut(&Wire, Timestamp, Happening<'_>)) {
        match event {
            Event::Begins { talk, at } => self.begin(talk, *at),
            Event::Item(item) => self.item(item, tell),
            Event::Hole { talk, at, .. } => {
                self.living.get_mut(&Key::of(talk)).into_iter().for_each(|wire| wire.judge.something_is_missing(*at));
            }
            Event::Ends { talk, at, goes_on, .. } => {
                if !goes_on && let Some(mut wire) = self.living.remove(&Key::of(talk)) {
                    wire.judge.end(*at, &mut self.told);
                    for verdict in self.told.drain(..) {
                        tell(&wire, *at, Happening::Verdict(&verdict));
                    }
                    tell(&wire, *at, Happening::Ends);
                }
            }
            Event::Trouble(_) | Event::Happened { .. } => {}
        }
    }

    fn begin(&mut self, talk: &Talk, at: Timestamp) {
        let key = Key::of(talk);
        let (law, nowhere) = (&self.law, talk.caller.ip().is_unspecified());
        self.living.entry(key).or_insert_with(|| {
            let (session, peer, leg) = match &talk.ours {
                Some(ours) => (ours.session, ours.client.clone(), Some(ours.side)),
                None if nowhere => (talk.number, "a file".to_owned(), None),
                None => (talk.number, talk.caller.to_string(), None),
            };
            let judge = if nowhere { Judge::one_sided(law) } else { Judge::new(law, at, talk.whole) };
            Wire {
                key,
                session,
                peer: peer.into(),
                leg,
                stories: BTreeMap::new(),
                judge,
                count: 0,
                stopped: 0,
                rewritten: 0,
            }
        });
    }

    fn item(&mut self, item: &Item, tell: &mut dyn FnMut(&Wire, Timestamp, Happening<'_>)) {
        let Some(wire) = self.living.get_mut(&Key::of(&item.talk)) else { return };
        let number = wire.remember(item);
        wire.judge.item(item, number, &mut self.told);
        let wire = &*wire;
        for verdict in self.told.drain(..) {
            tell(wire, item.at, Happening::Verdict(&verdict));
        }
    }
}
