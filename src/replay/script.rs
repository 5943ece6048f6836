//! One recorded session as a list of what its two peers did, for those who write it down anew.
//!
//! Takes a capture's events, keeps of each session what came in after its client was bound: what the client sent, what the server
//! sent, and how iqtap judged it where it was there. Bounded: [`MOST_BYTES`] in all.

use super::judge::kind;
use super::tell::bound;
use crate::capture::read::{Event, Item, ItemKind};
use crate::session::{Dir, Fate, Origin};
use crate::xml::rehome;
use crate::xmpp::{Kind, Side, Timestamp};
use bytes::Bytes;
use std::collections::BTreeMap;

/// What all sessions together may keep.
const MOST_BYTES: usize = 64 << 20;

/// One thing that a peer has done.
#[derive(Clone, Debug)]
pub(super) struct Deed {
    pub(super) at: Timestamp,
    /// Who sent it; of what went out (`dir`), the leg.
    pub(super) side: Side,
    pub(super) dir: Dir,
    /// Its bytes, which lean on no root.
    pub(super) bytes: Bytes,
    /// Which stanza it is.
    pub(super) stanza: Option<Kind>,
    /// `</stream:stream>`
    pub(super) closes: bool,
    /// What iqtap did with it when it was recorded.
    pub(super) fate: Fate,
}

/// A session.
#[derive(Clone, Debug, Default)]
pub(super) struct Scene {
    pub(super) number: u64,
    pub(super) jid: Option<String>,
    /// Whether it was recorded by us, so that there are two legs.
    pub(super) ours: bool,
    pub(super) deeds: Vec<Deed>,
}

/// The sessions of a capture.
#[derive(Debug, Default)]
pub(super) struct Script {
    scenes: BTreeMap<(u32, u64), Scene>,
    bytes: usize,
    /// Only this session is kept.
    only: Option<u64>,
}

impl Script {
    pub(super) fn new(only: Option<u64>) -> Self {
        Self { only, ..Self::default() }
    }

    /// Something happened in the capture.
    ///
    /// # Errors
    /// If there is too much to keep.
    pub(super) fn event(&mut self, event: &Event) -> Result<(), String> {
        let Event::Item(item) = event else { return Ok(()) };
        let (key, ours) = match &item.talk.ours {
            Some(ours) => ((ours.section, ours.session), true),
            None => ((0, item.talk.number), false),
        };
        if self.only.is_some_and(|only| only != key.1) {
            return Ok(());
        }
        let scene = self.scenes.entry(key).or_default();
        (scene.number, scene.ours) = (key.1, ours);
        self.bytes += scene.add(item);
        if self.bytes > MOST_BYTES {
            return Err(format!("it is longer than {} MiB; choose one session with --session", MOST_BYTES >> 20));
        }
        Ok(())
    }

    /// The sessions whose client was bound, in the order of their numbers.
    pub(super) fn finish(self) -> Vec<Scene> {
        self.scenes.into_values().filter(|scene| scene.jid.is_some() && !scene.deeds.is_empty()).collect()
    }
}

impl Scene {
    /// Adds an item; gives how much it weighs.
    fn add(&mut self, item: &Item) -> usize {
        let (side, dir) = item.way();
        let view = item.view();
        if self.jid.is_none() {
            if side == Side::Server && dir == Dir::In {
                self.jid = view.as_ref().and_then(bound);
            }
            return 0;
        }
        let closes = item.kind == ItemKind::Close;
        if view.is_none() && !closes {
            return 0;
        }
        let story = item.story();
        // On its way out to the client the answer to the bind comes behind the bind.
        if view.as_ref().and_then(bound).is_some_and(|jid| self.jid.as_deref() == Some(&jid)) {
            return 0;
        }
        if dir == Dir::Out && matches!(story.as_ref().map(|s| &s.origin), Some(Origin::Made(_, by)) if by == "stream") {
            return 0;
        }
        let bytes = match &view {
            Some(view) if view.head.leans => rehome(view.bytes, view.root).freeze(),
            _ => item.bytes.clone(),
        };
        let weight = bytes.len() + size_of::<Deed>();
        let stanza = view.as_ref().and_then(kind);
        let fate = story.map_or(Fate::Passed, |story| story.fate);
        self.deeds.push(Deed { at: item.at, side, dir, bytes, stanza, closes, fate });
        weight
    }
}
