//! What a capture tells, in order, by session.
//!
//! Takes the events of a reader, gives records. Holds all of them: what waited stands further below than it came in. Must not
//! let a session be played of which something is missing: what it would have answered nobody knows.

use crate::capture::read::{Event, Item, ItemKind, Story};
use crate::session::{Dir, Happened};
use crate::xmpp::{Side, Timestamp};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

/// A capture in memory.
#[derive(Debug, Default)]
pub struct Tape {
    pub(super) tracks: Vec<Track>,
    pub(super) records: Vec<Record>,
    places: BTreeMap<(u32, u64), usize>,
    /// What is wrong with the capture, in a line each.
    pub troubles: Vec<String>,
    /// Whether the file itself is damaged.
    pub damaged: bool,
    /// Conversations that somebody else has recorded.
    pub foreign: u64,
}

/// How sessions had TLS on a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsThen {
    /// Not at all.
    Never,
    /// From the first byte.
    First,
    /// By STARTTLS.
    Later,
}

/// A session.
#[derive(Debug, Default)]
pub(super) struct Track {
    pub(super) section: u32,
    pub(super) number: u64,
    /// The client's address.
    pub(super) client: String,
    /// What came in, by side, in order: places among the records.
    pub(super) ins: [Vec<usize>; 2],
    /// What went out.
    pub(super) outs: Vec<usize>,
    /// How many operations it has asked of the store, if it has told.
    pub(super) asked: u64,
    /// Those of which it is told when the store had done them.
    pub(super) stored: BTreeSet<u64>,
    /// What its random numbers came from, if it has told.
    pub(super) seed: Option<u64>,
    /// Why it cannot be played.
    pub(super) spoilt: Option<String>,
    begun: bool,
    /// Something was refused just now.
    refused: bool,
    /// The number of its last item.
    last: u64,
}

/// Something recorded.
#[derive(Debug)]
pub(super) struct Record {
    /// The place of its session.
    pub(super) track: usize,
    pub(super) at: Timestamp,
    pub(super) frame: u64,
    pub(super) what: Fact,
}

/// What was recorded.
#[derive(Debug)]
pub(super) enum Fact {
    Item(Story, Bytes),
    Happened(Happened),
}

impl Tape {
    /// Reads a capture to its end.
    pub fn read(events: impl IntoIterator<Item = Event>) -> Self {
        let mut tape = Self::default();
        for event in events {
            tape.event(event);
        }
        for track in &mut tape.tracks {
            if !track.begun {
                let why = "its beginning was not recorded here, or by a version of iqtap that did not tell what a replay needs";
                track.spoilt = Some(why.to_owned());
            }
        }
        tape
    }

    /// How many sessions there are.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.tracks.len()
    }

    /// How sessions had TLS on this side's leg: the most that any had.
    #[must_use]
    pub fn tls(&self, side: Side) -> TlsThen {
        let (mut began, mut then) = (BTreeSet::new(), TlsThen::Never);
        for record in &self.records {
            match &record.what {
                Fact::Item(story, _) if story.side == side && story.dir == Dir::In => {
                    began.insert(record.track);
                }
                Fact::Happened(Happened::TlsUp(leg, _) | Happened::TlsFailed(leg, _)) if *leg == side => {
                    then = then.max(if began.contains(&record.track) { TlsThen::Later } else { TlsThen::First });
                }
                _ => {}
            }
        }
        then
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Begins { talk, .. } => match &talk.ours {
                Some(ours) => self.track(ours.section, ours.session).1.client.clone_from(&ours.client),
                None => self.foreign += 1,
            },
            Event::Item(item) => self.item(&item),
            Event::Happened { section, session, at, frame, happened } => {
                let (place, track) = self.track(section, session);
                match &happened {
                    Happened::Began { .. } => track.begun = true,
                    Happened::Refused(..) => track.refused = true,
                    Happened::Over { asked, seed } => (track.asked, track.seed) = (*asked, *seed),
                    Happened::Stored(number) | Happened::NotStored(number, _) | Happened::StoreFull(number, _) => {
                        track.stored.insert(*number);
                    }
                    _ => {}
                }
                self.records.push(Record { track: place, at, frame, what: Fact::Happened(happened) });
            }
            Event::Hole { talk, lost, .. } => {
                if let Some(ours) = &talk.ours {
                    let (_, track) = self.track(ours.section, ours.session);
                    track.spoil(format!("{lost} bytes of it are missing"));
                }
            }
            Event::Trouble(trouble) => {
                self.damaged |= trouble.problem.is_of_file();
                let place = if trouble.frame > 0 { format!("packet {}: ", trouble.frame) } else { String::new() };
                self.troubles.push(format!("{place}{}", trouble.problem));
            }
            Event::Ends { .. } => {}
        }
    }

    fn item(&mut self, item: &Item) {
        let Some(ours) = &item.talk.ours else { return };
        let story = item.story();
        let (place, track) = self.track(ours.section, ours.session);
        let Some(story) = story.filter(|_| !matches!(item.kind, ItemKind::Refused { .. })) else {
            return track.spoil(format!("packet {} does not tell what it is", item.frame));
        };
        let expected = track.last + 1;
        // What was refused may be an item that no reader takes for one.
        let passed_over = u64::from(std::mem::take(&mut track.refused));
        if !(expected..=expected + passed_over).contains(&story.number) {
            return track.spoil(format!("item #{} stands where #{expected} was expected", story.number));
        }
        track.last = story.number;
        let record = self.records.len();
        let track = &mut self.tracks[place];
        match story.dir {
            Dir::In => track.ins[story.side.index()].push(record),
            Dir::Out => track.outs.push(record),
        }
        let what = Fact::Item(story, item.bytes.clone());
        self.records.push(Record { track: place, at: item.at, frame: item.frame, what });
    }

    fn track(&mut self, section: u32, number: u64) -> (usize, &mut Track) {
        let tracks = &mut self.tracks;
        let place = *self.places.entry((section, number)).or_insert_with(|| {
            tracks.push(Track { section, number, client: "?".to_owned(), ..Track::default() });
            tracks.len() - 1
        });
        (place, &mut tracks[place])
    }

    /// The item in a place among the records.
    pub(super) fn item_at(&self, place: usize) -> Option<(&Record, &Story, &Bytes)> {
        let record = self.records.get(place)?;
        match &record.what {
            Fact::Item(story, bytes) => Some((record, story, bytes)),
            Fact::Happened(_) => None,
        }
    }
}

impl Track {
    /// Whether an operation of that number was asked of the store then, so that it is known when it was answered, if ever.
    pub(super) fn was_asked(&self, number: u64) -> bool {
        number <= self.asked || self.stored.contains(&number)
    }

    fn spoil(&mut self, why: String) {
        self.spoilt.get_or_insert(why);
    }
}
