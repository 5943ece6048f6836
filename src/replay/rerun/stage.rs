//! The sessions of a tape, living once more, with one vault and one store between them.
//!
//! Takes record after record, gives each session its inputs in the order of the recording: an item where it came, a tick where the session
//! has asked for it, what the store says where it said it then (at once, if it was never asked that). Must not give a session
//! anything that it was not given then, but for ticks and answers.

use super::compare::{Script, Sent, source};
use super::tape::{Fact, Tape};
use super::{Cause, Outcome, Replayed};
use crate::keep::{Op, Trouble};
use crate::play::{House, Shell, serve};
use crate::policy::{Policy, Route, VaultLimits};
use crate::session::{Act, Dir, Fate, Happened, Input, Note, Outbox, Session, SmKey, Vault};
use crate::store::MemoryStore;
use crate::xmpp::{Side, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A session that asks for the same time again gets it this much later, as in a living process.
const TICK_MICROS: u64 = 10_000;

/// Under what sessions live.
pub struct Law<'a> {
    /// What is fixed.
    pub route: Route,
    /// The policy that a number of the recording stands for. The same one again is no other policy.
    pub policy: &'a dyn Fn(u64) -> Arc<Policy>,
    /// What is kept of sessions that wait to be resumed.
    pub vault: VaultLimits,
    /// What is kept beyond sessions.
    pub store: MemoryStore,
}

/// Lets everything happen again.
#[must_use]
pub fn replay(tape: &Tape, law: Law<'_>) -> Replayed {
    let mut stage = Stage {
        tape,
        shell: Shell::with_store(Vault::new(law.vault), law.store),
        route: law.route,
        policy: law.policy,
        now: Timestamp::default(),
        seats: Vec::new(),
        places: vec![None; tape.tracks.len()],
        due: BTreeSet::new(),
    };
    let mut trouble = None;
    for (place, record) in tape.records.iter().enumerate() {
        if tape.tracks[record.track].spoilt.is_some() {
            continue;
        }
        if let Err(why) = stage.advance(record.at).and_then(|()| stage.record(place)) {
            trouble = Some(why); // a session does not do as it is told: all that follows means nothing
            break;
        }
    }
    stage.end(trouble)
}

struct Stage<'a> {
    tape: &'a Tape,
    shell: Shell,
    route: Route,
    policy: &'a dyn Fn(u64) -> Arc<Policy>,
    now: Timestamp,
    /// Sessions, in the order in which they began; to the shell they are known by their places, from 1.
    seats: Vec<Seat>,
    /// The seats of the tracks.
    places: Vec<Option<usize>>,
    /// Who asks for a tick, and when.
    due: BTreeSet<(Timestamp, usize)>,
}

struct Seat {
    track: usize,
    session: Session,
    policy: Arc<Policy>,
    out: Outbox,
    script: Script,
    washer: crate::capture::Washer,
    /// How many items of each side it was given.
    given: [usize; 2],
    /// How many of them it has told.
    told: [usize; 2],
    /// Their numbers in the recording, by those of now.
    numbers: BTreeMap<u64, u64>,
    /// What became of them, by their numbers in the recording.
    fates: BTreeMap<u64, Fate>,
    /// What the store is asked, and has not answered at this place in the recording either.
    asked: BTreeMap<u64, Op>,
    /// What it wants to resume.
    looks: Option<SmKey>,
    due: Option<Timestamp>,
    over: bool,
}

impl House for Stage<'_> {
    fn shell(&mut self) -> &mut Shell {
        &mut self.shell
    }

    fn session(&self, number: u64) -> &Session {
        &self.seats[place(number)].session
    }

    fn answer(&mut self, number: u64, input: Input<'_>) -> Result<(), String> {
        self.hand(place(number), input);
        Ok(())
    }
}

/// The place of a seat.
fn place(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX) - 1
}

fn number(place: usize) -> u64 {
    place as u64 + 1
}

impl Stage<'_> {
    /// Time passes. Nobody gets a tick at a time that has come already when it is asked for.
    fn advance(&mut self, until: Timestamp) -> Result<(), String> {
        if until <= self.now {
            return Ok(());
        }
        self.ticks(until)?;
        self.now = until;
        Ok(())
    }

    fn ticks(&mut self, until: Timestamp) -> Result<(), String> {
        while let Some((deadline, place)) = self.due.first().copied().filter(|(deadline, _)| *deadline <= until) {
            self.now = self.now.max(deadline);
            self.give(place, Input::Tick)?;
            let seat = &mut self.seats[place];
            if seat.due == Some(deadline) {
                let later = Timestamp(self.now.0.saturating_add(TICK_MICROS));
                self.wake(place, Some(later));
            }
        }
        Ok(())
    }

    fn wake(&mut self, place: usize, at: Option<Timestamp>) {
        let seat = &mut self.seats[place];
        seat.due.take().map(|due| self.due.remove(&(due, place)));
        seat.due = at;
        self.due.extend(at.map(|at| (at, place)));
    }

    /// What was recorded comes again.
    fn record(&mut self, at: usize) -> Result<(), String> {
        let tape = self.tape;
        let record = &tape.records[at];
        if let Fact::Happened(Happened::Began { at, since, policy }) = &record.what {
            self.begin(record.track, *at, *since, *policy);
            // It is told with what happens first, which may be a tick.
            return if *at < self.now { self.ticks(self.now) } else { Ok(()) };
        }
        let Some(place) = self.places[record.track] else { return Ok(()) };
        match &record.what {
            Fact::Item(story, _) if story.dir == Dir::In => {
                let given = self.seats[place].given[story.side.index()];
                let waited = tape.tracks[record.track].ins[story.side.index()].get(given) != Some(&at);
                if waited { Ok(()) } else { self.item(place, story.side) }
            }
            Fact::Item(..) => Ok(()),
            Fact::Happened(happened) => self.happened(place, happened),
        }
    }

    fn begin(&mut self, track: usize, at: Timestamp, since: Timestamp, policy: u64) {
        let recorded = &self.tape.tracks[track];
        let route = Arc::new(Route { started: since, ..self.route.clone() });
        let policy = (self.policy)(policy);
        let seed = recorded.seed.unwrap_or(recorded.number);
        let session = Session::new(at, route, Arc::clone(&policy), recorded.number, &recorded.client, seed);
        let place = self.seats.len();
        let due = session.deadline();
        self.seats.push(Seat {
            track,
            session,
            policy,
            out: Outbox { watched: true, ..Outbox::default() },
            script: Script::new(self.tape, recorded),
            washer: crate::capture::Washer::default(),
            given: [0; 2],
            told: [0; 2],
            numbers: BTreeMap::new(),
            fates: BTreeMap::new(),
            asked: BTreeMap::new(),
            looks: None,
            due: None,
            over: false,
        });
        self.places[track] = Some(place);
        self.wake(place, due);
    }

    /// The next item of a side comes in.
    fn item(&mut self, place: usize, side: Side) -> Result<(), String> {
        let tape = self.tape;
        let seat = &mut self.seats[place];
        let given = &mut seat.given[side.index()];
        let item = tape.tracks[seat.track].ins[side.index()].get(*given).and_then(|at| tape.item_at(*at));
        let Some((_, _, bytes)) = item else { return Ok(()) };
        *given += 1;
        let bytes = seat.script.names.renamed(bytes).into_owned();
        self.give(place, Input::Bytes(side, &bytes))
    }

    fn happened(&mut self, place: usize, happened: &Happened) -> Result<(), String> {
        let input = match happened.clone() {
            Happened::Began { .. } | Happened::Over { .. } => return Ok(()),
            Happened::Waits(side) => return self.item(place, side),
            Happened::Stored(number) => return self.stored(place, number, None),
            Happened::NotStored(number, why) => return self.stored(place, number, Some(Trouble::Failed(why))),
            Happened::StoreFull(number, most) => return self.stored(place, number, Some(Trouble::Full(most))),
            Happened::Policy(number) => {
                let policy = (self.policy)(number);
                let seat = &mut self.seats[place];
                if Arc::ptr_eq(&policy, &seat.policy) {
                    return Ok(());
                }
                seat.policy = Arc::clone(&policy);
                Input::Policy(policy)
            }
            Happened::Superseded => match self.seats[place].looks.clone() {
                Some(key) => Input::Superseded(key),
                None => return Ok(()),
            },
            Happened::Dialed => Input::Dialed,
            Happened::DialFailed(why) => Input::DialFailed(why),
            Happened::TlsUp(side, info) => Input::TlsUp(side, info),
            Happened::TlsFailed(side, why) => Input::TlsFailed(side, why),
            Happened::Eof(side) => Input::Eof(side),
            Happened::Refused(side, condition, why) => Input::Refused(side, condition, why),
            Happened::Injected(side) => return self.give(place, Input::Bytes(side, b"<")),
            Happened::Surrender => Input::Surrender,
            Happened::Stop => Input::Stop,
        };
        self.give(place, input)
    }

    /// The store says what has come of an operation.
    fn stored(&mut self, place: usize, of: u64, trouble: Option<Trouble>) -> Result<(), String> {
        let Some(op) = self.seats[place].asked.remove(&of) else { return Ok(()) };
        match trouble {
            None => {
                self.shell.ask(number(place), Act::Store(of, op));
                serve(self, self.now)
            }
            Some(trouble) => self.give(place, Input::Stored(of, Err(trouble))),
        }
    }

    /// Hands one input to a session, and does what is to be done about it.
    fn give(&mut self, place: usize, input: Input<'_>) -> Result<(), String> {
        self.hand(place, input);
        serve(self, self.now)
    }

    fn hand(&mut self, place: usize, input: Input<'_>) {
        let tape = self.tape;
        let seat = &mut self.seats[place];
        let stored = matches!(&input, Input::Stored(..) | Input::Changed(_));
        seat.session.handle(self.now, input, &mut seat.out);
        seat.out.to.iter_mut().for_each(bytes::BytesMut::clear);
        for act in std::mem::take(&mut seat.out.acts) {
            match act {
                Act::Store(of, op) if tape.tracks[seat.track].was_asked(of) => drop(seat.asked.insert(of, op)),
                Act::Look(key) => {
                    seat.looks = Some(key.clone());
                    self.shell.ask(number(place), Act::Look(key));
                }
                // Sockets there are none.
                act => drop(self.shell.ask(number(place), act)),
            }
        }
        for note in std::mem::take(&mut seat.out.notes) {
            seat.hear(tape, self.now, stored, note);
        }
        if seat.session.is_over() && !std::mem::replace(&mut seat.over, true) {
            // What it has asked for is not taken back.
            for (of, op) in std::mem::take(&mut seat.asked) {
                self.shell.ask(number(place), Act::Store(of, op));
            }
            self.shell.over(number(place));
        }
        let deadline = seat.session.deadline();
        self.wake(place, deadline);
    }

    fn end(mut self, trouble: Option<String>) -> Replayed {
        let tape = self.tape;
        let sessions = tape.tracks.iter().enumerate().map(|(at, track)| {
            let mut outcome = Outcome {
                section: track.section,
                number: track.number,
                jid: None,
                spoilt: track.spoilt.clone().or_else(|| trouble.clone()),
                seeded: track.seed.is_some(),
                ins: 0,
                outs: 0,
                renamed: 0,
                stored: 0,
                differences: Vec::new(),
            };
            let seat = self.places[at].and_then(|place| self.seats.get_mut(place));
            if let Some(seat) = seat.filter(|_| outcome.spoilt.is_none()) {
                outcome.jid = seat.session.jid().map(str::to_owned);
                (outcome.ins, outcome.outs) = (track.ins.iter().map(Vec::len).sum(), track.outs.len());
                let differences = seat.script.end(tape);
                (outcome.renamed, outcome.stored) = (seat.script.names.len(), seat.script.stored);
                let items = track.ins.iter().flatten().filter_map(|place| tape.item_at(*place));
                let items: BTreeMap<u64, _> = items.map(|item| (item.1.number, item)).collect();
                outcome.differences.extend(differences.into_iter().map(|(mut difference, of)| {
                    if let Some((record, story, bytes)) = items.get(&of) {
                        let (recorded, now) = (story.fate.clone(), seat.fates.get(&of).cloned());
                        difference.cause = Some(Cause { number: of, bytes: (*bytes).clone(), recorded, now });
                        difference.frame = if difference.frame == 0 { record.frame } else { difference.frame };
                    }
                    difference
                }));
            }
            outcome
        });
        Replayed { sessions: sessions.collect() }
    }
}

impl Seat {
    fn hear(&mut self, tape: &Tape, at: Timestamp, stored: bool, note: Note) {
        let Note::Seen(seen) = note else { return };
        let clean = self.washer.wash(&seen);
        match seen.dir {
            Dir::In => {
                let told = &mut self.told[seen.side.index()];
                let recorded = tape.tracks[self.track].ins[seen.side.index()].get(*told);
                *told += 1;
                if let Some((_, story, _)) = recorded.and_then(|at| tape.item_at(*at)) {
                    self.numbers.insert(seen.number, story.number);
                    self.fates.insert(story.number, seen.fate);
                }
            }
            Dir::Out => {
                let source = match source(&seen.origin) {
                    0 => Some(0),
                    number => self.numbers.get(&number).copied(),
                };
                let (to, raw, origin) = (seen.side, seen.bytes, seen.origin);
                self.script.sent(tape, Sent { to, at, raw, clean, origin, source, stored });
            }
        }
    }
}
