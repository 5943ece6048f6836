//! A capture as streams: of each session and leg what each end has sent, in order.
//!
//! Takes a capture's events, keeps every item but white space and acknowledgements, which come as chance will have it and are only counted.
//! Bounded: [`MOST_BYTES`] of items in all.

use super::meaning::is_acknowledgement;
use crate::capture::read::{End, Event, Item, ItemKind};
use crate::xml::{self, Attr, Element, Head, Limits, Root, Scanner, Step};
use crate::xmpp::{Side, Timestamp};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What all items of one capture may come to.
const MOST_BYTES: usize = 256 << 20;

/// What the reader let pass has been judged.
const LIMITS: Limits = Limits {
    stanza_bytes: 1 << 30,
    elements: u32::MAX,
    depth: Limits::MAX_DEPTH,
    attributes: 65_536,
    name_bytes: 1 << 20,
    value_bytes: 1 << 30,
};

/// A capture has more items than are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMuch;

/// An item.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Its place among all items of the capture.
    pub(super) order: u64,
    pub(super) at: Timestamp,
    /// The packet it came with.
    pub(super) frame: u64,
    pub(super) from: End,
    /// On which leg and which way, for people.
    pub(super) way: &'static str,
    pub(super) kind: ItemKind,
    pub(super) bytes: Bytes,
    head: Head,
    root: Arc<Root>,
}

impl Line {
    /// Its tree, if it has one; of a stream header the element that never ends.
    pub(super) fn tree(&self) -> Option<Element> {
        match self.kind {
            ItemKind::Element => xml::parse_element(&self.bytes, &self.root, &self.head).ok(),
            ItemKind::Header => {
                let mut scanner = Scanner::new(LIMITS);
                let Step::Item { .. } = scanner.scan(&self.bytes) else { return None };
                let open = scanner.open();
                let mut tree = Element::new(open.ns.clone(), open.name.clone());
                let attr = |a: &xml::OpenAttr| Attr { ns: a.ns.clone(), name: a.name.clone(), value: a.value.clone() };
                tree.attrs = open.attrs.iter().map(attr).collect();
                Some(tree)
            }
            _ => None,
        }
    }
}

/// A session.
#[derive(Clone, Debug, Default)]
pub(super) struct Strand {
    pub(super) number: u64,
    /// Whether it was recorded by us, so that there may be two legs.
    pub(super) ours: bool,
    streams: BTreeMap<(Side, End), Vec<Line>>,
    /// Acknowledgements, by leg.
    acknowledgements: BTreeMap<Side, u64>,
}

impl Strand {
    /// What one end has sent on a leg. Where there is only one leg it is both.
    pub(super) fn stream(&self, leg: Side, from: End) -> &[Line] {
        self.streams.get(&(self.leg(leg), from)).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn acknowledgements(&self, leg: Side) -> u64 {
        self.acknowledgements.get(&self.leg(leg)).copied().unwrap_or_default()
    }

    /// The legs it has.
    pub(super) fn has(&self, leg: Side) -> bool {
        [End::Caller, End::Listener].iter().any(|from| !self.stream(leg, *from).is_empty())
    }

    const fn leg(&self, leg: Side) -> Side {
        if self.ours { leg } else { Side::Client }
    }
}

/// A capture's sessions, in the order in which they began.
#[derive(Debug, Default)]
pub struct Recording {
    pub(super) strands: Vec<Strand>,
    places: BTreeMap<(u32, u64), usize>,
    only: Option<u64>,
    items: u64,
    bytes: usize,
}

impl Recording {
    /// Of all sessions, or of this one.
    #[must_use]
    pub fn new(only: Option<u64>) -> Self {
        Self { only, ..Self::default() }
    }

    /// Something happened in the capture.
    ///
    /// # Errors
    /// If there is more than is kept.
    pub fn event(&mut self, event: &Event) -> Result<(), TooMuch> {
        let Event::Item(item) = event else { return Ok(()) };
        let (key, ours) = match &item.talk.ours {
            Some(ours) => ((ours.section, ours.session), true),
            None => ((0, item.talk.number), false),
        };
        if self.only.is_some_and(|only| only != key.1) || item.kind == ItemKind::Space {
            return Ok(());
        }
        let place = *self.places.entry(key).or_insert_with(|| {
            self.strands.push(Strand { number: key.1, ours, ..Strand::default() });
            self.strands.len() - 1
        });
        let Some(strand) = self.strands.get_mut(place) else { return Ok(()) };
        let leg = item.talk.ours.as_ref().map_or(Side::Client, |ours| ours.side);
        if item.view().is_some_and(|view| is_acknowledgement(&view.ns(), view.name())) {
            *strand.acknowledgements.entry(leg).or_default() += 1;
            return Ok(());
        }
        self.items += 1;
        self.bytes += item.bytes.len() + size_of::<Line>();
        strand.streams.entry((leg, item.from)).or_default().push(line(item, self.items));
        if self.bytes > MOST_BYTES { Err(TooMuch) } else { Ok(()) }
    }

    /// The numbers of its sessions.
    pub fn sessions(&self) -> impl Iterator<Item = u64> {
        self.strands.iter().map(|strand| strand.number)
    }
}

fn line(item: &Item, order: u64) -> Line {
    Line {
        order,
        at: item.at,
        frame: item.frame,
        from: item.from,
        way: item.way_in_words(),
        kind: item.kind,
        bytes: item.bytes.clone(),
        head: item.head,
        root: Arc::clone(&item.root),
    }
}
