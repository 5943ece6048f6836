//! What the peers of recorded sessions did, in the order in which they did it, for scripts of today to see.
//!
//! Takes a capture's events, keeps every stanza that came in and what became of it; of each session who it was, how it was secured, what it
//! resumed. What logs in, acknowledges or enables is not kept: see `stage`. Bounded: [`MOST_BYTES`] in all.

use super::strand::TooMuch;
use crate::capture::read::{Event, Item, ItemKind, Talk};
use crate::session::{Dir, Fate, Origin, TlsInfo};
use crate::xml::{self, Element, Limits, Scanner, Step, View, rehome};
use crate::xmpp::{Kind, Side, Timestamp, jid, ns};
use bytes::Bytes;
use std::collections::BTreeMap;

/// What all items of one capture may come to.
const MOST_BYTES: usize = 256 << 20;

/// Something that a peer did.
#[derive(Clone, Debug)]
pub(super) struct Deed {
    /// Which of the sessions: an index.
    pub(super) session: usize,
    pub(super) at: Timestamp,
    /// The packet, as Wireshark counts them.
    pub(super) frame: u64,
    /// Who did it.
    pub(super) side: Side,
    pub(super) what: Act,
}

/// What it did.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// It sent a stanza.
    Stanza(Stanza),
    /// It closed its stream.
    Close,
    /// It was gone.
    End,
}

/// A stanza that came in.
#[derive(Clone, Debug)]
pub(super) struct Stanza {
    pub(super) kind: Kind,
    /// Its bytes, which lean on no root.
    pub(super) bytes: Bytes,
    /// Its number in its session, and what became of it, if iqtap was there.
    pub(super) story: Option<(u64, Fate)>,
}

/// A session.
#[derive(Clone, Debug, Default)]
pub(super) struct About {
    pub(super) number: u64,
    pub(super) peer: String,
    pub(super) domain: String,
    pub(super) jid: Option<String>,
    pub(super) mechanism: Option<String>,
    pub(super) tls: [Option<TlsInfo>; 2],
    /// The server's last features before the client was bound.
    pub(super) features: Option<Bytes>,
    pub(super) started: Timestamp,
    /// The session that it goes on with: an index.
    pub(super) resumes: Option<usize>,
    /// What left in the place of a stanza, or in answer to it, by the stanza's number.
    pub(super) made: BTreeMap<u64, Bytes>,
    /// Whether the client's resource was bound before our eyes.
    bound: bool,
}

/// Recorded sessions.
#[derive(Debug, Default)]
pub struct Past {
    pub(super) sessions: Vec<About>,
    pub(super) deeds: Vec<Deed>,
    places: BTreeMap<(u32, u64), usize>,
    /// Sessions that can be resumed, by their id as it was recorded.
    resumable: BTreeMap<String, usize>,
    only: Option<u64>,
    bytes: usize,
}

impl Past {
    /// Of all sessions, or of this one.
    #[must_use]
    pub fn new(only: Option<u64>) -> Self {
        Self { only, ..Self::default() }
    }

    /// The numbers of the sessions.
    pub fn sessions(&self) -> impl Iterator<Item = u64> {
        self.sessions.iter().map(|about| about.number)
    }

    /// Something happened in the capture.
    ///
    /// # Errors
    /// If there is more than is kept.
    pub fn event(&mut self, event: &Event) -> Result<(), TooMuch> {
        match event {
            Event::Begins { talk, at } => {
                if let Some(place) = self.place(talk, *at) {
                    self.begins(place, talk);
                }
            }
            Event::Item(item) => {
                if let Some(place) = self.place(&item.talk, item.at) {
                    self.item(place, item);
                }
            }
            Event::Ends { talk, at, goes_on: false, .. } => {
                let side = talk.ours.as_ref().map_or(Side::Client, |ours| ours.side);
                if let Some(session) = self.place(talk, *at) {
                    self.deeds.push(Deed { session, at: *at, frame: 0, side, what: Act::End });
                }
            }
            _ => {}
        }
        if self.bytes > MOST_BYTES { Err(TooMuch) } else { Ok(()) }
    }

    fn place(&mut self, talk: &Talk, at: Timestamp) -> Option<usize> {
        let key = talk.ours.as_ref().map_or((0, talk.number), |ours| (ours.section, ours.session));
        if self.only.is_some_and(|only| only != key.1) {
            return None;
        }
        Some(*self.places.entry(key).or_insert_with(|| {
            self.sessions.push(About { number: key.1, started: at, ..About::default() });
            self.sessions.len() - 1
        }))
    }

    fn begins(&mut self, place: usize, talk: &Talk) {
        let Some(about) = self.sessions.get_mut(place) else { return };
        match &talk.ours {
            Some(ours) => {
                ours.client.clone_into(&mut about.peer);
                let leg = &mut about.tls[ours.side.index()];
                *leg = ours.tls.clone().or_else(|| leg.take());
            }
            None => about.peer = talk.caller.to_string(),
        }
    }

    fn item(&mut self, place: usize, item: &Item) {
        let (side, dir) = item.way();
        match (dir, item.kind) {
            (Dir::Out, _) => self.made(place, item),
            (Dir::In, ItemKind::Header) if side == Side::Client => {
                if let (Some(about), Some(to)) = (self.sessions.get_mut(place), to(item)) {
                    about.domain = to;
                }
            }
            (Dir::In, ItemKind::Close) => {
                self.deeds.push(Deed { session: place, at: item.at, frame: item.frame, side, what: Act::Close });
            }
            (Dir::In, ItemKind::Element) => {
                if let Some(view) = item.view() {
                    self.came(place, side, item, &view);
                }
            }
            _ => {}
        }
    }

    /// What iqtap sent: kept if it is not just what came in on the other leg.
    fn made(&mut self, place: usize, item: &Item) {
        let (Some(story), Some(about)) = (item.story(), self.sessions.get_mut(place)) else { return };
        let of = match story.origin {
            Origin::Rewritten(number, _) | Origin::Made(number, _) if number > 0 => number,
            _ => return,
        };
        self.bytes += item.bytes.len();
        about.made.insert(of, item.bytes.clone());
    }

    fn came(&mut self, place: usize, side: Side, item: &Item, view: &View<'_>) {
        let kind = match view.name() {
            "message" => Kind::Message,
            "presence" => Kind::Presence,
            "iq" => Kind::Iq,
            _ => return self.negotiates(place, side, item, view),
        };
        let bytes = if view.head.leans { rehome(view.bytes, view.root).freeze() } else { item.bytes.clone() };
        let story = item.story().map(|story| (story.number, story.fate));
        let Some(about) = self.sessions.get_mut(place) else { return };
        if side == Side::Server && !about.bound {
            if let Some(jid) = tree(item).as_ref().filter(|_| kind == Kind::Iq).and_then(bound) {
                (about.jid, about.bound) = (Some(jid), true);
                // What came before that is part of logging in.
                self.deeds.retain(|deed| deed.session != place);
                return;
            }
            // A recording that begins in the middle: the server calls the client by its name.
            let to = view.to().filter(|to| jid::resource(to).is_some() && to.contains('@'));
            about.jid = about.jid.take().or_else(|| to.map(std::borrow::Cow::into_owned));
        }
        if matches!(story, Some((_, Fate::Handled))) {
            return;
        }
        self.bytes += bytes.len() + size_of::<Deed>();
        let what = Act::Stanza(Stanza { kind, bytes, story });
        self.deeds.push(Deed { session: place, at: item.at, frame: item.frame, side, what });
    }

    /// What is no stanza.
    fn negotiates(&mut self, place: usize, side: Side, item: &Item, view: &View<'_>) {
        let Some(about) = self.sessions.get_mut(place) else { return };
        let space = view.ns();
        match (side, view.name()) {
            (Side::Client, "auth") if space == ns::SASL => {
                about.mechanism = tree(item).and_then(|auth| auth.attr("mechanism").map(str::to_owned));
            }
            (Side::Server, "features") if about.jid.is_none() => {
                let leans = view.head.leans;
                about.features = Some(if leans { rehome(view.bytes, view.root).freeze() } else { item.bytes.clone() });
            }
            (Side::Server, "enabled") if space == ns::SM3 || space == ns::SM2 => {
                let id = tree(item).and_then(|enabled| enabled.attr("id").map(str::to_owned));
                self.resumable.extend(id.map(|id| (id, place)));
            }
            (Side::Server, "resumed") if space == ns::SM3 || space == ns::SM2 => {
                let id = tree(item).and_then(|resumed| resumed.attr("previd").map(str::to_owned));
                about.resumes = id.and_then(|id| self.resumable.get(&id).copied()).filter(|before| *before != place);
            }
            _ => {}
        }
    }
}

fn tree(item: &Item) -> Option<Element> {
    xml::parse_element(&item.bytes, &item.root, &item.head).ok()
}

/// The address that a bind result gives.
fn bound(iq: &Element) -> Option<String> {
    let jid = iq.child(ns::BIND, "bind")?.child(ns::BIND, "jid")?.text();
    (iq.attr("type") == Some("result") && jid::resource(jid.trim()).is_some()).then(|| jid.trim().to_owned())
}

/// Whom a stream header is for.
fn to(item: &Item) -> Option<String> {
    let mut scanner = Scanner::new(Limits::AFTER_LOGIN);
    match scanner.scan(&item.bytes) {
        Step::Item { .. } => scanner.open().attr("to").map(str::to_owned),
        _ => None,
    }
}
