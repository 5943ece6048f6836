//! Who owes whom an answer: one row per IQ request under way, one table per requester's side.
//!
//! Takes requests as they leave and answers as they come; gives the row an answer belongs to, and what is overdue. Bounded
//! in rows and in bytes; what is evicted is counted for a while, so that its answer is not taken for an unasked one. Must not judge:
//! what a missing or strange answer means is the business of `iq`.
//!
//! ```text
//! open --> Waiting --overdue--> Late (reported; its answer may still pass)
//!            |    \---------> Answered (by us; its answer is swallowed)
//!          close
//! open untimed --> Quiet (nobody minds if no answer comes)
//! ```
//! Rows with one id form a chain in the order of asking: servers answer equal requests in order.

mod evicted;
mod list;

use crate::xmpp::{Peer, Side, Timestamp};
use evicted::Evicted;
use list::{List, NONE};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Bytes of ids and addresses a table may hold.
const TEXT_BYTES: usize = 256 * 1024;

/// Rows of one id: they have to be walked along, however many `open_iqs` allows.
const MOST_EQUAL: usize = 1024;

/// What a row waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// For its answer, until it is overdue.
    Waiting,
    /// For its answer, without end: pushes, requests before bind.
    Quiet,
    /// For its answer, although its absence was reported.
    Late,
    /// For an answer that must not pass, since the requester has one from us.
    Answered,
}

/// Who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// The peer on that side.
    Peer,
    /// A script, in the name of that side's peer: the answer is for nobody else.
    Script,
    /// We, in the name of that side's peer, to know it ourselves.
    Iqtap,
    /// We, to tell that side's peer something: the answer is for nobody.
    Push,
}

/// A request under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// The id the responder sees, then the requester's own if it is another one, then whom it asked, as it wrote it.
    text: String,
    seen_id: usize,
    own_id: Option<usize>,
    has_peer: bool,
    /// Whom the responder takes to be asked (or to ask, if the server's side asks).
    pub(super) peer: Peer,
    /// The client had a resource by then.
    pub(super) bound: bool,
    pub(super) state: State,
    pub(super) asker: Asker,
    /// Item number of the request; 0 for one of an earlier connection.
    pub(super) number: u64,
    /// What scripts remember it by; 0 if they do not.
    pub(super) remembered: u64,
    /// Its namespace's place in the tally; none for what is not counted.
    pub(super) namespace: Option<usize>,
    /// It asks an archive, whose messages may come from this peer then.
    pub(super) archive: bool,
    pub(super) at: Timestamp,
    /// Who kept the request or its answer from going on: a script.
    pub(super) stopped: bool,
    /// Of the id the responder sees.
    hash: u64,
    /// The next row with that id.
    next: u32,
}

impl Row {
    /// The id its sender gave it.
    pub(super) fn id(&self) -> &str {
        match self.own_id {
            None => self.text.get(..self.seen_id),
            Some(end) => self.text.get(self.seen_id..end),
        }
        .unwrap_or_default()
    }

    fn id_seen(&self) -> &str {
        self.text.get(..self.seen_id).unwrap_or_default()
    }

    /// What stood in `to` (in `from`, if the server's side asks).
    pub(super) fn address(&self) -> Option<&str> {
        let start = self.own_id.unwrap_or(self.seen_id);
        self.text.get(start..).filter(|_| self.has_peer)
    }
}

/// A request that is about to leave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request<'a> {
    /// The id its sender gave it, and the one it leaves with.
    pub(super) id: &'a str,
    pub(super) id_seen: &'a str,
    /// Whom it asks (who asks, from the server's side), as its sender wrote it.
    pub(super) address: Option<&'a str>,
    /// The same as it leaves.
    pub(super) peer: Peer,
    pub(super) bound: bool,
    pub(super) timed: bool,
    pub(super) asker: Asker,
    pub(super) number: u64,
    pub(super) remembered: u64,
    pub(super) namespace: Option<usize>,
    pub(super) archive: bool,
    pub(super) at: Timestamp,
    pub(super) stopped: bool,
}

/// What the table knows of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It belongs to this row.
    Row(At),
    /// Its id is waited for, but from somebody else.
    Elsewhere,
    /// Nothing of that id waits.
    Nothing,
}

/// A row's place: holds until anything is opened or closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At(Side, u32);

/// The table has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// Both tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IqLedger {
    tables: [Table; 2],
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Table {
    rows: Vec<Row>,
    free: Vec<u32>,
    /// The rows of each id, by its hash.
    chains: HashMap<u64, Chain, BuildHasherDefault<Hashed>>,
    /// Rows that wait, by age.
    waiting: List,
    /// All others, by age: evicted when there is no room.
    spent: List,
    /// Bytes of all texts.
    text_bytes: usize,
    evicted: Evicted,
}

/// Rows of one id, in the order of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Chain {
    first: u32,
    last: u32,
    length: usize,
}

impl IqLedger {
    pub(super) fn new() -> Self {
        Self { tables: [Table::default(), Table::default()] }
    }

    /// A request leaves. Whether another of the same id to the same peer is under way.
    pub(super) fn open(
        &mut self,
        requester: Side,
        hash: u64,
        request: &Request<'_>,
        most: usize,
    ) -> Result<bool, Full> {
        self.table(requester).open(hash, request, most)
    }

    /// A request leaves for which there is no row: its answer will not be taken for an unasked one.
    pub(super) fn open_untracked(&mut self, requester: Side) {
        self.table(requester).evicted.count(true);
    }

    /// The row an answer to `requester` belongs to: the oldest of that id whose peer is `peer`, or else the oldest that `fits`.
    pub(super) fn find(&self, requester: Side, hash: u64, id: &str, peer: Peer, fits: impl Fn(&Row) -> bool) -> Found {
        let table = self.table_ref(requester);
        let (mut found, mut fitting) = (Found::Nothing, None);
        for (at, row) in table.chain(hash).filter(|(_, row)| row.id_seen() == id) {
            if row.peer == peer && fits(row) {
                return Found::Row(At(requester, at));
            }
            if fitting.is_none() && fits(row) {
                fitting = Some(At(requester, at));
            }
            found = Found::Elsewhere;
        }
        fitting.map_or(found, Found::Row)
    }

    /// Whether any request of `requester` is under way under this id, or may be: when the table overflowed nobody knows.
    pub(super) fn waits(&self, requester: Side, hash: u64, id: &str) -> bool {
        let table = self.table_ref(requester);
        table.evicted.may_pass() || table.chain(hash).any(|(_, row)| row.id_seen() == id)
    }

    pub(super) fn row(&self, at: At) -> Option<&Row> {
        self.table_ref(at.0).rows.get(at.1 as usize)
    }

    pub(super) fn row_mut(&mut self, at: At) -> Option<&mut Row> {
        self.table(at.0).rows.get_mut(at.1 as usize)
    }

    /// Its answer has passed, or there will be none to pass.
    pub(super) fn close(&mut self, at: At) {
        self.table(at.0).close(at.1);
    }

    /// It waits no longer to be overdue.
    pub(super) fn settle(&mut self, at: At, state: State) {
        let table = self.table(at.0);
        let Some(row) = table.rows.get_mut(at.1 as usize) else { return };
        if std::mem::replace(&mut row.state, state) == State::Waiting {
            table.waiting.remove(at.1);
            table.spent.push(at.1);
        }
    }

    /// The request that has waited longest, if it waits since before `since`.
    pub(super) fn overdue(&self, requester: Side, since: Timestamp) -> Option<At> {
        let table = self.table_ref(requester);
        let first = table.waiting.first()?;
        let row = table.rows.get(first as usize)?;
        (row.at <= since).then_some(At(requester, first))
    }

    /// Since when the request waits that has waited longest.
    pub(super) fn oldest(&self, requester: Side) -> Option<Timestamp> {
        let table = self.table_ref(requester);
        Some(table.rows.get(table.waiting.first()? as usize)?.at)
    }

    /// An answer came that belongs to no row: whether it may belong to one that was evicted, and then whether it may pass.
    pub(super) fn evicted(&self, requester: Side) -> Option<bool> {
        self.table_ref(requester).evicted.expects()
    }

    /// One of the evicted has its answer.
    pub(super) fn spend(&mut self, requester: Side, may_pass: bool) {
        self.table(requester).evicted.spend(may_pass);
    }

    /// That there were rows that had to go is forgotten after a time between `age` microseconds and twice as long.
    pub(super) fn forget_evicted(&mut self, now: Timestamp, age: u64) {
        self.tables.iter_mut().for_each(|table| table.evicted.forget(now, age));
    }

    /// The oldest request of `requester` itself that `fits`, as that peer knows it. Looks at every row.
    pub(super) fn find_own(&self, requester: Side, fits: impl Fn(&Row) -> bool) -> Option<At> {
        let table = self.table_ref(requester);
        let mut rows = table.spent.iter().chain(table.waiting.iter());
        let found =
            rows.find(|at| table.rows.get(*at as usize).is_some_and(|row| row.asker == Asker::Peer && fits(row)))?;
        Some(At(requester, found))
    }

    /// The oldest request of an earlier connection that its sender has written so. Looks at every row.
    pub(super) fn find_carried_over(&self, requester: Side, id: &str, address: Option<&str>) -> Option<At> {
        let table = self.table_ref(requester);
        let same =
            |row: &Row| row.number == 0 && row.asker == Asker::Peer && row.id() == id && row.address() == address;
        let mut rows = table.spent.iter().chain(table.waiting.iter());
        rows.find(|at| table.rows.get(*at as usize).is_some_and(same)).map(|found| At(requester, found))
    }

    /// The request of `requester` that is remembered by this number. Looks at every row.
    pub(super) fn remembered(&self, requester: Side, number: u64) -> Option<At> {
        let table = self.table_ref(requester);
        let same = |row: &Row| row.remembered == number;
        let mut rows = table.waiting.iter().chain(table.spent.iter()).filter(|_| number > 0);
        rows.find(|at| table.rows.get(*at as usize).is_some_and(same)).map(|found| At(requester, found))
    }

    /// Whether any request of `requester` satisfies this. Looks at every row: not for the common case.
    pub(super) fn any(&self, requester: Side, matches: impl Fn(&Row) -> bool) -> bool {
        let table = self.table_ref(requester);
        table.waiting.iter().chain(table.spent.iter()).filter_map(|at| table.rows.get(at as usize)).any(matches)
    }

    /// The account is known now: whom the requests under way have asked is told anew. Until then no script has changed any.
    pub(super) fn bound(&mut self, peer: impl Fn(Option<&str>) -> Peer) {
        for row in self.tables.iter_mut().flat_map(|table| &mut table.rows) {
            row.peer = peer(row.address());
        }
    }

    /// A login has ended: what it needed is given back, if nothing is under way.
    pub(super) fn slim(&mut self) {
        for table in &mut self.tables {
            if table.chains.is_empty() {
                *table = Table { evicted: table.evicted, ..Table::default() };
            }
        }
    }

    /// Goes on after a resumption `later` microseconds later: nobody could answer meanwhile. Numbers of items mean nothing
    /// any more, and namespaces have other places.
    pub(super) fn carry_over(&mut self, later: u64, place: impl Fn(usize) -> usize) {
        self.tables.iter_mut().for_each(|table| table.evicted.carry_over(later));
        for row in self.tables.iter_mut().flat_map(|table| &mut table.rows) {
            row.at = Timestamp(row.at.0.saturating_add(later));
            row.number = 0;
            row.namespace = row.namespace.map(&place);
        }
    }

    /// Bytes of memory this takes.
    pub(super) fn weight(&self) -> usize {
        self.tables.iter().map(Table::weight).sum()
    }

    /// The same, about, without counting.
    pub(super) fn held(&self) -> usize {
        let rows = |table: &Table| table.rows.capacity() * (size_of::<Row>() + 2 * List::LINK_BYTES);
        self.tables.iter().map(|table| rows(table) + table.text_bytes).sum()
    }

    fn table(&mut self, requester: Side) -> &mut Table {
        &mut self.tables[requester.index()]
    }

    fn table_ref(&self, requester: Side) -> &Table {
        &self.tables[requester.index()]
    }
}

impl Table {
    fn open(&mut self, hash: u64, request: &Request<'_>, most: usize) -> Result<bool, Full> {
        let own_id = if request.id == request.id_seen { 0 } else { request.id.len() };
        let bytes = request.id_seen.len() + own_id + request.address.map_or(0, str::len);
        while let Some(oldest) =
            self.chains.get(&hash).filter(|chain| chain.length >= MOST_EQUAL).map(|chain| chain.first)
        {
            self.evict(oldest).ok_or(Full)?;
        }
        while self.count() >= most || self.text_bytes + bytes > TEXT_BYTES {
            self.evict(self.spent.first().ok_or(Full)?).ok_or(Full)?;
        }
        let same = |row: &Row| row.id_seen() == request.id_seen && row.peer == request.peer;
        let duplicate = self.chain(hash).any(|(_, row)| same(row) && row.state != State::Answered);
        let at = self.fill(hash, request, bytes);
        match self.chains.get_mut(&hash) {
            Some(chain) => {
                chain.length += 1;
                let before = std::mem::replace(&mut chain.last, at) as usize;
                if let Some(row) = self.rows.get_mut(before) {
                    row.next = at;
                }
            }
            None => {
                self.chains.insert(hash, Chain { first: at, last: at, length: 1 });
            }
        }
        if request.timed {
            self.waiting.push(at)
        } else {
            self.spent.push(at)
        }
        Ok(duplicate)
    }

    fn count(&self) -> usize {
        self.rows.len() - self.free.len()
    }

    /// Writes a row into a free place; texts are written into what an earlier row has left.
    fn fill(&mut self, hash: u64, request: &Request<'_>, bytes: usize) -> u32 {
        let at = self.free.pop().unwrap_or(self.rows.len() as u32);
        let mut text = self.rows.get_mut(at as usize).map(|row| std::mem::take(&mut row.text)).unwrap_or_default();
        text.clear();
        text.reserve_exact(bytes);
        text.push_str(request.id_seen);
        let seen_id = text.len();
        let own_id = (request.id != request.id_seen).then(|| {
            text.push_str(request.id);
            text.len()
        });
        text.push_str(request.address.unwrap_or_default());
        self.text_bytes += text.len();
        let row = Row {
            text,
            seen_id,
            own_id,
            has_peer: request.address.is_some(),
            peer: request.peer,
            bound: request.bound,
            state: if request.timed { State::Waiting } else { State::Quiet },
            asker: request.asker,
            number: request.number,
            remembered: request.remembered,
            namespace: request.namespace,
            archive: request.archive,
            at: request.at,
            stopped: request.stopped,
            hash,
            next: NONE,
        };
        match self.rows.get_mut(at as usize) {
            Some(place) => *place = row,
            None => self.rows.push(row),
        }
        at
    }

    fn chain(&self, hash: u64) -> impl Iterator<Item = (u32, &Row)> {
        let mut next = self.chains.get(&hash).map_or(NONE, |chain| chain.first);
        std::iter::from_fn(move || {
            let at = next;
            let row = self.rows.get(at as usize)?;
            next = row.next;
            Some((at, row))
        })
    }

    fn close(&mut self, at: u32) {
        self.unchain(at);
        let Some(row) = self.rows.get_mut(at as usize) else { return };
        if row.state == State::Waiting {
            self.waiting.remove(at)
        } else {
            self.spent.remove(at)
        }
        self.text_bytes -= row.text.len();
        if row.text.capacity() > KEEP_BYTES {
            row.text = String::new();
        }
        row.next = NONE;
        self.free.push(at);
    }

    fn unchain(&mut self, at: u32) {
        let Some(hash) = self.rows.get(at as usize).map(|row| row.hash) else { return };
        let before = self.chain(hash).take_while(|(other, _)| *other != at).last().map(|(before, _)| before);
        let after = self.rows.get(at as usize).map_or(NONE, |row| row.next);
        let Some(chain) = self.chains.get_mut(&hash) else { return };
        chain.length -= 1;
        if chain.last == at {
            chain.last = before.unwrap_or(NONE);
        }
        match before {
            None if after == NONE => drop(self.chains.remove(&hash)),
            None => chain.first = after,
            Some(before) => {
                if let Some(row) = self.rows.get_mut(before as usize) {
                    row.next = after;
                }
            }
        }
    }

    /// Makes room by forgetting a request, if nobody waits for it.
    fn evict(&mut self, at: u32) -> Option<()> {
        let row = self.rows.get(at as usize).filter(|row| row.state != State::Waiting)?;
        if !row.stopped {
            let may_pass = row.state != State::Answered;
            self.evicted.count(may_pass);
        }
        self.close(at);
        Some(())
    }

    fn weight(&self) -> usize {
        self.rows.capacity() * (size_of::<Row>() + 2 * List::LINK_BYTES)
            + self.rows.iter().map(|row| row.text.capacity()).sum::<usize>()
            + self.chains.capacity() * size_of::<(u64, Chain)>()
            + self.free.capacity() * size_of::<u32>()
    }
}

/// A free row keeps a text buffer of this size at most.
const KEEP_BYTES: usize = 128;

/// The ids are hashed already.
#[derive(Clone, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
