//! Stanzas that a script lets wait: the first waits for its time, what follows it that way waits behind it.
//!
//! Takes judged items while something waits, gives them back in order. Must not let acknowledgements wait: ejabberd ends a
//! connection whose `<r/>` is not answered in time. Nothing that waits is counted by stream management before it leaves.

use super::core::Core;
use super::decide::Edited;
use super::happened::what;
use super::pipeline::{Stage, kind_of};
use super::sm::{count, ns_of};
use super::sm_ledger::Ack;
use super::{Fate, Origin, Outbox, What};
use crate::xml::{Head, ItemKind, Root, View};
use crate::xmpp::{Kind, Side, Timestamp, ns};
use bytes::Bytes;
use std::collections::VecDeque;

/// When so many bytes wait, nothing more is read from that side.
const HOLD_BYTES: usize = 256 * 1024;

/// What waits, from one side.
#[derive(Debug, Default)]
pub(super) struct Hold {
    until: Timestamp,
    queue: VecDeque<Waiting>,
    /// What they take, about.
    bytes: usize,
}

/// An item that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    kind: ItemKind,
    bytes: Bytes,
    head: Head,
    /// As it stood on the wire, if that differs.
    untidy: Option<Bytes>,
    turn: Turn,
}

impl Waiting {
    /// Bytes of memory it takes: a blank that waits takes much more than one.
    fn weight(&self) -> usize {
        size_of::<Self>() + self.bytes.len() + self.untidy.as_ref().map_or(0, Bytes::len)
    }
}

/// What is done with an item when its turn comes.
#[derive(Debug)]
enum Turn {
    /// It is looked at for the first time.
    Fresh,
    /// A script has seen it: it goes on, as it was changed if it was.
    Held { again: bool, edited: Option<Box<Edited>>, tags: Vec<String> },
    /// It was dealt with when it came, and only has to be told of.
    Told,
}

impl Core {
    /// Whether something waits, from that side.
    pub(super) fn holds(&self, side: Side) -> bool {
        self.holds[side.index()].is_some()
    }

    pub(super) fn is_full(&self, side: Side) -> bool {
        self.holds[side.index()].as_ref().is_some_and(|hold| hold.bytes >= HOLD_BYTES)
    }

    /// Bytes that wait.
    pub(super) fn held(&self) -> usize {
        self.holds.iter().flatten().map(|hold| hold.bytes).sum()
    }

    /// When something may go on.
    pub(super) fn hold_deadline(&self) -> Option<Timestamp> {
        self.holds.iter().flatten().map(|hold| hold.until).min().filter(|_| !self.waits_for_profile())
    }

    /// A script lets a stanza wait.
    pub(super) fn hold(&mut self, side: Side, view: &View<'_>, again: bool, micros: u64, edited: Option<Box<Edited>>) {
        let waiting = Waiting {
            kind: ItemKind::Element,
            bytes: Bytes::copy_from_slice(view.bytes),
            head: *view.head,
            untidy: self.untidy.take(),
            turn: Turn::Held { again, edited, tags: std::mem::take(&mut self.tags) },
        };
        let until = Timestamp(self.now.0.saturating_add(micros));
        let hold = self.holds[side.index()].get_or_insert_default();
        hold.until = until;
        hold.bytes += waiting.weight();
        hold.queue.push_front(waiting);
    }

    /// An item came in while something waits.
    pub(super) fn wait_behind(
        &mut self,
        side: Side,
        kind: ItemKind,
        view: &View<'_>,
        untidy: Option<Bytes>,
        out: &mut Outbox,
    ) {
        let turn = if self.acks_meanwhile(side, kind, view, out) { Turn::Told } else { Turn::Fresh };
        let Some(hold) = &mut self.holds[side.index()] else { return };
        let bytes = Bytes::copy_from_slice(view.bytes);
        let waiting = Waiting { kind, bytes, head: *view.head, untidy, turn };
        hold.bytes += waiting.weight();
        hold.queue.push_back(waiting);
    }

    /// Deals with an acknowledgement, or the wish for one, at once; whether it was that.
    fn acks_meanwhile(&mut self, side: Side, kind: ItemKind, view: &View<'_>, out: &mut Outbox) -> bool {
        let ns = view.ns();
        if kind != ItemKind::Element || ![ns::SM2, ns::SM3].contains(&&*ns) || view.head.leans {
            return false;
        }
        let Some(ledger) = self.sm.as_mut().and_then(|sm| sm.counts(side.other())) else { return false };
        let made = || Origin::Made(0, "sm".to_owned());
        match (view.name(), count(view)) {
            ("r", _) => self.send(side.other(), What::Other, view.bytes, made(), out),
            ("a", Some(h)) => match ledger.ack(h) {
                Ack::Told(told) => {
                    let ack = format!("<a xmlns='{}' h='{told}'/>", ns_of(view));
                    self.send(side.other(), What::Other, ack.as_bytes(), made(), out);
                }
                // A peer at fault can wait.
                Ack::Backwards { .. } | Ack::TooHigh { .. } => return false,
            },
            _ => return false,
        }
        true
    }

    /// The next item whose time has come; with `now`, whatever its time is.
    pub(super) fn let_go(&mut self, at_once: bool) -> Option<(Side, Waiting)> {
        if self.waits_for_profile() && !at_once {
            return None;
        }
        for side in [Side::Client, Side::Server] {
            let place = &mut self.holds[side.index()];
            let Some(hold) = place.as_mut().filter(|hold| at_once || hold.until <= self.now) else { continue };
            let waiting = hold.queue.pop_front();
            hold.bytes -= waiting.as_ref().map_or(0, Waiting::weight);
            if hold.queue.is_empty() {
                *place = None;
                self.resume(side);
            }
            if let Some(waiting) = waiting {
                return Some((side, waiting));
            }
        }
        None
    }

    /// Tells of what waits from that side when the session ends first.
    pub(super) fn tell_held(&mut self, side: Side, root: &Root, out: &mut Outbox) {
        for Waiting { kind, bytes, head, untidy, turn } in
            self.holds[side.index()].take().into_iter().flat_map(|hold| hold.queue)
        {
            let view = View { bytes: &bytes, head: &head, root };
            self.untidy = untidy;
            let number = self.next_item();
            let fate = match turn {
                Turn::Told => Fate::Handled,
                Turn::Fresh | Turn::Held { .. } => Fate::Dropped("the end of the session".to_owned()),
            };
            self.saw_found(number, side, what(kind, &view), &view, fate, Vec::new(), None, out);
        }
        self.untidy = None;
    }

    /// Goes on with an item that has waited.
    pub(super) fn go_on(&mut self, side: Side, waiting: Waiting, root: &Root, out: &mut Outbox) {
        let Waiting { kind, bytes, head, untidy, turn } = waiting;
        let view = View { bytes: &bytes, head: &head, root };
        self.untidy = untidy;
        match (turn, kind) {
            (Turn::Told, _) => drop(self.note_in(side, What::Other, &bytes, Fate::Handled, out)),
            (Turn::Held { again, edited, tags }, _) => {
                self.tags = tags;
                let kind = kind_of(&view).unwrap_or(Kind::Iq);
                self.judge(side, kind, &view, Stage { again, released: true }, edited, out);
            }
            (Turn::Fresh, ItemKind::Space) => self.space(side, &bytes, out),
            (Turn::Fresh, ItemKind::Close) => self.peer_closed(side, &bytes, out),
            (Turn::Fresh, ItemKind::Element | ItemKind::Open) => self.element(side, &view, out),
        }
        self.untidy = None;
    }
}
