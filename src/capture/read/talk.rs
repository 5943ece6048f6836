//! One TCP conversation: two directions, who called whom, and whether they speak XMPP.
//!
//! Takes segments, gives [`Event`]s. A conversation speaks XMPP if either direction begins with a stream header, or if its port is
//! one that was named. What speaks anything else is told as that and forgotten.

use super::half::{Half, Piece};
use super::link::Segment;
use super::said;
use super::stream::{Found, LIMITS, Raw, Stream};
use super::{End, Ended, Event, Item, ItemKind, Mark, Problem, Talk, Trouble};
use crate::xml::{Scanner, Step};
use std::net::SocketAddr;
use std::sync::Arc;

/// What is known of a conversation while it lasts.
#[derive(Debug)]
pub(super) struct Living {
    /// The two ends, as their first packet had it: who sent it, and to whom.
    ends: [SocketAddr; 2],
    /// Which of them called, as far as a handshake tells.
    caller: Option<usize>,
    halves: [Half; 2],
    streams: [Stream; 2],
    /// What came before anybody knew that it is XMPP.
    early: Vec<(usize, Found)>,
    /// Whether the ports of both ends are ones that were named.
    named: [bool; 2],
    number: u64,
    section: u32,
    /// The comment of its first packet.
    hello: Option<Box<str>>,
    /// What it was about is gone on with in another one.
    goes_on: bool,
    /// Set as soon as it speaks XMPP.
    pub(super) talk: Option<Arc<Talk>>,
    /// Whether it was told that it is encrypted.
    told_tls: bool,
    last: Mark,
}

/// What becomes of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    GoesOn,
    /// It has ended, or is none of ours.
    Over,
}

/// What came of a segment.
#[expect(clippy::large_enum_variant, reason = "nearly all are items, and a box would cost more than the move")]
enum Told {
    Found(Found),
    Differ(u64),
}

impl Living {
    pub(super) fn new(segment: &Segment<'_>, number: u64, section: u32, named: [bool; 2], mark: &Mark) -> Self {
        let stream = || if segment.syn || named == [false; 2] { Stream::new() } else { Stream::joined_late() };
        Self {
            ends: [segment.from, segment.to],
            caller: segment.syn.then(|| usize::from(segment.ack.is_some())),
            halves: Default::default(),
            streams: [stream(), stream()],
            early: Vec::new(),
            named,
            number,
            section,
            hello: mark.said.clone(),
            goes_on: false,
            talk: None,
            told_tls: false,
            last: mark.clone(),
        }
    }

    /// Bytes kept.
    pub(super) fn weight(&self) -> usize {
        let halves = self.halves.iter().map(Half::weight).sum::<usize>();
        halves + self.streams.iter().map(Stream::weight).sum::<usize>()
    }

    /// Whether this segment begins another conversation between the same ends.
    pub(super) fn is_another(&self, segment: &Segment<'_>) -> bool {
        segment.syn && self.halves[self.who(segment)].is_another(segment.seq)
    }

    fn who(&self, segment: &Segment<'_>) -> usize {
        usize::from(segment.from != self.ends[0])
    }

    /// A packet of this conversation.
    pub(super) fn segment(&mut self, segment: &Segment<'_>, mark: &Mark, out: &mut Vec<Event>) -> Course {
        let who = self.who(segment);
        let mut seq = segment.seq;
        if segment.syn {
            self.halves[who].syn(seq);
            seq = seq.wrapping_add(1);
        }
        if let Some(ack) = segment.ack {
            self.halves[1 - who].acknowledged(ack);
        }
        self.goes_on |= segment.fin && mark.said.as_deref().is_some_and(said::goes_on);
        self.last = Mark { said: None, ..mark.clone() };
        let mut told = Vec::new();
        if !segment.payload.is_empty() || segment.fin {
            let (half, mut reading) = self.reading(who, &mut told);
            half.segment(seq, segment.payload, segment.fin, mark.clone(), &mut |piece| reading.take(piece));
        }
        for side in [0, 1] {
            let (half, mut reading) = self.reading(side, &mut told);
            half.passes(&mut |piece| reading.take(piece));
        }
        let ended = match (segment.rst, self.halves.iter().all(Half::is_over)) {
            (true, _) => Some(Ended::Reset),
            (_, true) => Some(Ended::Closed),
            _ => None,
        };
        if self.tell(told, out) == Course::Over {
            return Course::Over;
        }
        let Some(how) = ended else { return Course::GoesOn };
        self.end(how, out);
        Course::Over
    }

    /// Nothing more comes of it.
    pub(super) fn end(&mut self, how: Ended, out: &mut Vec<Event>) {
        let mut told = Vec::new();
        for side in [0, 1] {
            let (half, mut reading) = self.reading(side, &mut told);
            half.end(&mut |piece| reading.take(piece));
            reading.end();
        }
        let how = if how == Ended::Never && self.halves.iter().all(Half::has_end) { Ended::Closed } else { how };
        if self.tell(told, out) == Course::GoesOn
            && let Some(talk) = &self.talk
        {
            out.push(Event::Ends { talk: Arc::clone(talk), at: self.last.at, how, goes_on: self.goes_on });
        }
    }

    fn reading<'a>(&'a mut self, side: usize, told: &'a mut Vec<(usize, Told)>) -> (&'a mut Half, Reading<'a>) {
        (&mut self.halves[side], Reading { side, stream: &mut self.streams[side], now: &self.last, told })
    }

    /// Tells what came, once it is known to be XMPP.
    fn tell(&mut self, told: Vec<(usize, Told)>, out: &mut Vec<Event>) -> Course {
        for (side, told) in told {
            let course = match (told, &self.talk) {
                (Told::Found(found), _) => self.found(side, found, out),
                (Told::Differ(bytes), Some(talk)) => {
                    let problem = Problem::Differ { from: self.end_of(side), bytes };
                    out.push(trouble(problem, &self.last, Some(talk)));
                    Course::GoesOn
                }
                (Told::Differ(_), None) => Course::GoesOn,
            };
            if course == Course::Over {
                return Course::Over;
            }
        }
        Course::GoesOn
    }

    fn found(&mut self, side: usize, found: Found, out: &mut Vec<Event>) -> Course {
        match found {
            Found::Foreign | Found::Tls if self.talk.is_none() && self.named == [false; 2] => return Course::Over,
            Found::Foreign => {
                out.push(trouble(Problem::Foreign { ends: self.ends }, &self.last, self.talk.as_ref()));
                // Of our own recording the other direction is read all the same: it says what became of that.
                let ours = self.hello.as_deref().is_some_and(|hello| said::hello(hello, self.section).is_some());
                return if self.talk.is_none() && !ours { Course::Over } else { Course::GoesOn };
            }
            Found::Tls => {
                if !std::mem::replace(&mut self.told_tls, true) {
                    out.push(trouble(Problem::Tls { ends: self.ends }, &self.last, self.talk.as_ref()));
                }
                return if self.talk.is_none() { Course::Over } else { Course::GoesOn };
            }
            Found::Item(item) if self.talk.is_none() => {
                self.begin(side, &item, out);
                for (side, found) in std::mem::take(&mut self.early) {
                    self.pass(side, found, out);
                }
                self.pass(side, Found::Item(item), out);
            }
            found if self.talk.is_some() => self.pass(side, found, out),
            // What is lost before anybody knows what it is, is told once that is known.
            found if self.early.len() < 16 => self.early.push((side, found)),
            _ => {}
        }
        Course::GoesOn
    }

    /// It speaks XMPP: the first item is there.
    fn begin(&mut self, side: usize, item: &Raw, out: &mut Vec<Event>) {
        let whole = item.kind == ItemKind::Header;
        let caller = *self.caller.get_or_insert_with(|| match answers(item) {
            _ if self.named[0] != self.named[1] => usize::from(self.named[0]),
            Some(true) => 1 - side,
            Some(false) => side,
            None => usize::from(self.ends[0].port() < self.ends[1].port()),
        });
        let ours = self.hello.as_deref().and_then(|hello| said::hello(hello, self.section));
        let [one, other] = self.ends;
        let (caller, listener) = if caller == 0 { (one, other) } else { (other, one) };
        let talk = Arc::new(Talk { number: self.number, caller, listener, whole, ours });
        out.push(Event::Begins { talk: Arc::clone(&talk), at: item.began.at });
        self.talk = Some(talk);
    }

    /// Which end one of the two is.
    fn end_of(&self, side: usize) -> End {
        if self.caller.unwrap_or(0) == side { End::Caller } else { End::Listener }
    }

    fn pass(&self, side: usize, found: Found, out: &mut Vec<Event>) {
        let Some(talk) = &self.talk else { return };
        let from = self.end_of(side);
        out.push(match found {
            Found::Item(raw) => Event::Item(Item {
                talk: Arc::clone(talk),
                from,
                at: raw.ended.at,
                frame: raw.ended.frame,
                kind: raw.kind,
                bytes: raw.bytes,
                head: raw.head,
                root: raw.root,
                said: raw.began.said.filter(|_| talk.ours.is_some()),
            }),
            Found::Hole { lost, unread } => {
                Event::Hole { talk: Arc::clone(talk), from, at: self.last.at, lost, unread }
            }
            Found::Skipped(bytes) => trouble(Problem::Skipped { from, bytes }, &self.last, Some(talk)),
            Found::Unfinished(bytes) => trouble(Problem::Unfinished { from, bytes }, &self.last, Some(talk)),
            Found::Tls | Found::Foreign => return,
        });
    }
}

/// Where the pieces of one direction go.
struct Reading<'a> {
    side: usize,
    stream: &'a mut Stream,
    now: &'a Mark,
    told: &'a mut Vec<(usize, Told)>,
}

impl Reading<'_> {
    fn take(&mut self, piece: Piece<'_>) {
        let mut found = Vec::new();
        match piece {
            // What came too early was there for nobody before the gap was filled.
            Piece::Bytes(bytes, mark) => {
                self.stream.bytes(bytes, &Mark { at: mark.at.max(self.now.at), ..mark }, &mut found)
            }
            Piece::Hole(lost) => self.stream.hole(lost, &mut found),
            Piece::Differ(bytes) => return self.told.push((self.side, Told::Differ(bytes))),
        }
        self.told.extend(found.into_iter().map(|found| (self.side, Told::Found(found))));
    }

    fn end(&mut self) {
        let mut found = Vec::new();
        self.stream.end(&mut found);
        self.told.extend(found.into_iter().map(|found| (self.side, Told::Found(found))));
    }
}

/// Whether a stream header is that of the one who was called: it gives the stream an id (RFC 6120 §4.7.3).
fn answers(item: &Raw) -> Option<bool> {
    let mut scanner = Scanner::new(LIMITS);
    match (item.kind, scanner.scan(&item.bytes)) {
        (ItemKind::Header, Step::Item { .. }) => Some(scanner.open().attr("id").is_some()),
        _ => None,
    }
}

fn trouble(problem: Problem, mark: &Mark, talk: Option<&Arc<Talk>>) -> Event {
    Event::Trouble(Trouble { problem, at: mark.at, frame: mark.frame, talk: talk.cloned() })
}
