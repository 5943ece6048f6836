//! The IQ table of a capture: who asked whom for what, and what came of it.
//!
//! Takes a capture's events, gives one row for each request, in the order of asking as far as the rows that wait for their
//! answer allow. Which answer belongs to which request, the session's own ledger says. Of a session of our own a request that iqtap has
//! only passed on has its row on the leg where it came in.

use super::judge::{Law, Verdict};
use super::wires::{Happening, Key, Wire, Wires};
use crate::capture::read::Event;
use crate::policy::Policy;
use crate::session::{Fate, Origin, StanzaInfo};
use crate::xmpp::{Kind, Side, Timestamp};
use std::collections::BTreeMap;

/// So many rows are kept in order; past that, those with an answer go before older ones without.
const MOST_ROWS: usize = 65_536;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// When it was asked.
    pub at: Timestamp,
    /// The session, or the conversation.
    pub session: u64,
    /// On which leg of our own; none in a recording of somebody else's.
    pub leg: Option<Side>,
    /// The number of the item.
    pub number: u64,
    /// The packet.
    pub frame: u64,
    /// Which side asked.
    pub asker: Side,
    /// By whom of ours, if it was iqtap that asked in its name.
    pub asked_by: Option<String>,
    /// Who asked: as it is written, or else who the client is.
    pub from: Option<String>,
    /// Who was asked.
    pub to: Option<String>,
    /// `get` or `set`.
    pub kind: String,
    /// Namespace and name of the payload.
    pub payload: Option<(String, String)>,
    /// The id.
    pub id: Option<String>,
    /// What came back.
    pub answer: Option<Answer>,
    /// By what it was kept from going on, if it was.
    pub dropped_by: Option<String>,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The number of the item.
    pub number: u64,
    /// The packet.
    pub frame: u64,
    /// Whether it is a result; else an error.
    pub result: bool,
    /// The condition of an error.
    pub condition: Option<String>,
    /// How long it took, in microseconds.
    pub micros: u64,
    /// Who gave it.
    pub by: Who,
}

/// Who gave an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// The peer on that side.
    Peer(Side),
    /// The peer on that side; changed by a script or rule of iqtap.
    Changed(Side, String),
    /// iqtap: a script, a rule, an answer of its own.
    Iqtap(String),
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Peer(side) => f.write_str(side.name()),
            Self::Changed(side, by) => write!(f, "{}, changed by {by}", side.name()),
            Self::Iqtap(by) => write!(f, "iqtap ({by})"),
        }
    }
}

/// The rows of one capture.
#[derive(Debug)]
pub struct Ledger {
    wires: Wires,
    book: Book,
}

/// The rows that are not told yet.
#[derive(Debug, Default)]
struct Book {
    /// Whether requests that were only passed on have rows too.
    all: bool,
    rows: BTreeMap<u64, Kept>,
    begun: u64,
    /// Those without an answer.
    open: BTreeMap<(Key, u64), u64>,
    /// Who the client of a wire is.
    clients: BTreeMap<Key, String>,
}

/// A row that is not told yet.
#[derive(Debug)]
struct Kept {
    row: Row,
    /// Whether an answer may still come.
    open: bool,
}

impl Ledger {
    /// With `all`, requests that iqtap has only passed on have a row on either leg.
    #[must_use]
    pub fn new(all: bool) -> Self {
        Self { wires: Wires::new(Law::new(Policy::default(), false)), book: Book { all, ..Book::default() } }
    }

    /// Something happened in the capture.
    pub fn event(&mut self, event: &Event, tell: &mut dyn FnMut(Row)) {
        let Self { wires, book } = self;
        let frame = if let Event::Item(item) = event { item.frame } else { 0 };
        wires.event(event, &mut |wire, at, happening| match happening {
            Happening::Verdict(Verdict::Bound(jid)) => drop(book.clients.insert(wire.key, jid.clone())),
            Happening::Verdict(Verdict::Stanza { number, side, kind: Kind::Iq, info, pair, .. }) => {
                let seen = Seen { wire, at, frame, number: *number, side: *side, info };
                match (info.kind.as_deref(), pair) {
                    (Some("get" | "set"), _) => book.asked(seen),
                    (_, Some(pair)) => book.answered(seen, pair.request, pair.micros),
                    _ => {}
                }
            }
            Happening::Verdict(_) => {}
            Happening::Ends => book.ended(wire.key),
        });
        self.book.give(tell);
    }

    /// The end: all rows that are left.
    pub fn finish(mut self, tell: &mut dyn FnMut(Row)) {
        self.book.rows.values_mut().for_each(|kept| kept.open = false);
        self.book.give(tell);
    }
}

/// An iq on a wire.
struct Seen<'a> {
    wire: &'a Wire,
    at: Timestamp,
    frame: u64,
    number: u64,
    side: Side,
    info: &'a StanzaInfo,
}

impl Book {
    fn asked(&mut self, seen: Seen<'_>) {
        let Seen { wire, at, frame, number, side, info } = seen;
        let story = wire.story(number);
        let passed_on = wire.leg.is_some_and(|leg| leg != side);
        let asked_by = match story {
            Some((_, Origin::Made(_, by))) if passed_on => Some(by.clone()),
            _ if passed_on && !self.all => return,
            _ => None,
        };
        let dropped_by = match story {
            Some((Fate::Dropped(by), _)) => Some(by.clone()),
            _ => None,
        };
        let client = self.clients.get(&wire.key);
        let own = |which| if side == which { client.cloned() } else { None };
        self.begun += 1;
        self.open.insert((wire.key, number), self.begun);
        let row = Row {
            at,
            session: wire.session,
            leg: wire.leg,
            number,
            frame,
            asker: side,
            asked_by,
            from: info.from.clone().or_else(|| own(Side::Client)),
            to: info.to.clone().or_else(|| own(Side::Server)),
            kind: info.kind.clone().unwrap_or_default(),
            payload: info.payload.clone(),
            id: info.id.clone(),
            answer: None,
            dropped_by,
        };
        self.rows.insert(self.begun, Kept { row, open: true });
    }

    fn answered(&mut self, seen: Seen<'_>, request: u64, micros: u64) {
        let Seen { wire, frame, number, side, info, .. } = seen;
        let Some(kept) = self.open.remove(&(wire.key, request)).and_then(|place| self.rows.get_mut(&place)) else {
            return;
        };
        let by = match wire.story(number).map(|(_, origin)| origin) {
            Some(Origin::Made(_, by)) => Who::Iqtap(by.clone()),
            Some(Origin::Rewritten(_, by)) => Who::Changed(side, by.clone()),
            _ => Who::Peer(side),
        };
        let result = info.kind.as_deref() == Some("result");
        kept.row.answer = Some(Answer { number, frame, result, condition: info.condition.clone(), micros, by });
        kept.open = false;
    }

    /// No answer comes any more.
    fn ended(&mut self, key: Key) {
        self.clients.remove(&key);
        let gone: Vec<_> = self.open.range((key, 0)..=(key, u64::MAX)).map(|(place, _)| *place).collect();
        for place in gone {
            let kept = self.open.remove(&place).and_then(|place| self.rows.get_mut(&place));
            kept.into_iter().for_each(|kept| kept.open = false);
        }
    }

    /// Gives the rows to which nothing can come any more; in order, unless too many wait.
    fn give(&mut self, tell: &mut dyn FnMut(Row)) {
        while let Some(first) = self.rows.first_entry().filter(|first| !first.get().open) {
            tell(first.remove().row);
        }
        if self.rows.len() > MOST_ROWS {
            let (open, closed): (BTreeMap<_, _>, BTreeMap<_, _>) =
                std::mem::take(&mut self.rows).into_iter().partition(|(_, kept)| kept.open);
            self.rows = open;
            closed.into_values().for_each(|kept| tell(kept.row));
        }
    }
}
