//! All conversations of a capture.
//!
//! Takes segments, finds the conversation each belongs to, gives what comes of it. Bounded: of what does not speak XMPP only the
//! addresses are remembered, and not for ever; of what does, [`MOST_TALKS`] at once in [`MOST_BYTES`]: past that the oldest is given up, and
//! that is told.

use super::link::Segment;
use super::talk::{Course, Living};
use super::{Ended, Event, Mark, Problem, Trouble};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;

/// Conversations at once.
const MOST_TALKS: usize = 16_384;
/// Bytes of unfinished items and of what waits for lost segments, in all of them.
const MOST_BYTES: usize = 256 << 20;
/// Conversations that are passed over, in each of two generations.
const MOST_IGNORED: usize = 65_536;

/// Two ends, the lower first.
type Key = (SocketAddr, SocketAddr);

/// The conversations under way.
#[derive(Debug, Default)]
pub(super) struct Table {
    living: BTreeMap<u64, (Key, Living)>,
    numbers: HashMap<Key, u64>,
    /// Ended, or not XMPP: the present generation, and the one before it.
    ignored: [HashSet<Key>; 2],
    begun: u64,
    bytes: usize,
    ports: Vec<u16>,
}

impl Table {
    pub(super) fn new(ports: &[u16]) -> Self {
        Self { ports: ports.to_vec(), ..Self::default() }
    }

    /// A segment of some conversation.
    pub(super) fn segment(&mut self, segment: &Segment<'_>, section: u32, mark: &Mark, out: &mut Vec<Event>) {
        let key = if segment.from <= segment.to { (segment.from, segment.to) } else { (segment.to, segment.from) };
        let number = match self.numbers.get(&key).copied() {
            Some(number) => match self.living.get_mut(&number) {
                Some((_, living)) if living.is_another(segment) => {
                    self.take(number).into_iter().for_each(|mut living| living.end(Ended::Never, out));
                    self.begin(key, segment, section, mark, out)
                }
                _ => number,
            },
            None if segment.syn => self.begin(key, segment, section, mark, out),
            None if segment.payload.is_empty() || self.ignored.iter().any(|ignored| ignored.contains(&key)) => return,
            None => self.begin(key, segment, section, mark, out),
        };
        let Some((_, living)) = self.living.get_mut(&number) else { return };
        let before = living.weight();
        let course = living.segment(segment, mark, out);
        let after = living.weight();
        self.bytes = (self.bytes + after).saturating_sub(before);
        if course == Course::Over {
            self.take(number);
            self.ignore(key);
        }
        while self.bytes > MOST_BYTES && self.give_up_oldest(mark, out) {}
    }

    /// The capture is over.
    pub(super) fn end(&mut self, out: &mut Vec<Event>) {
        self.numbers.clear();
        for (_, living) in std::mem::take(&mut self.living).values_mut() {
            living.end(Ended::Never, out);
        }
    }

    fn begin(&mut self, key: Key, segment: &Segment<'_>, section: u32, mark: &Mark, out: &mut Vec<Event>) -> u64 {
        self.ignored.iter_mut().for_each(|ignored| {
            ignored.remove(&key);
        });
        if self.living.len() >= MOST_TALKS {
            self.give_up_oldest(mark, out);
        }
        self.begun += 1;
        let named = [segment.from, segment.to].map(|end| self.ports.contains(&end.port()));
        let living = Living::new(segment, self.begun, section, named, mark);
        self.bytes += living.weight();
        self.living.insert(self.begun, (key, living));
        self.numbers.insert(key, self.begun);
        self.begun
    }

    fn take(&mut self, number: u64) -> Option<Living> {
        let (key, living) = self.living.remove(&number)?;
        self.bytes = self.bytes.saturating_sub(living.weight());
        self.numbers.remove(&key);
        Some(living)
    }

    fn ignore(&mut self, key: Key) {
        self.ignored[0].insert(key);
        if self.ignored[0].len() >= MOST_IGNORED {
            self.ignored.swap(0, 1);
            self.ignored[0].clear();
        }
    }

    fn give_up_oldest(&mut self, mark: &Mark, out: &mut Vec<Event>) -> bool {
        let Some((number, key)) = self.living.first_key_value().map(|(number, (key, _))| (*number, *key)) else {
            return false;
        };
        let Some(mut living) = self.take(number) else { return false };
        self.ignore(key);
        let talk = living.talk.clone();
        if talk.is_some() {
            out.push(Event::Trouble(Trouble { problem: Problem::TooMuch, at: mark.at, frame: mark.frame, talk }));
        }
        living.end(Ended::Never, out);
        true
    }
}
