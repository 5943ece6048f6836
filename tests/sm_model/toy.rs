//! A toy in the proxy's place: does what the script would do, and translates stream management by `protocol.md` B9, in as
//! little code as possible. It shows that the model asks for nothing that cannot be done. What late resumptions take:
//! * what is not acknowledged keeps its order and its numbers over a resumption, the proxy's own stanzas among it (`ledger`):
//!   the client may know more of an older connection than the one says that resumes;
//! * once the server was told an `h` in a `<resume/>`, it is told no other on the old connection until it has answered:
//!   what it sends again begins where it was told;
//! * one question at a time: who asks for a session hangs up on whoever has asked and waits.

use super::fate::{Fate, is_question, make};
use super::ledger::{Event, Ledger};
use super::middle::{Middle, Out};
use super::wire::{Item, Splitter, Tag};
use iqtap::xmpp::Side;
use std::collections::{BTreeMap, VecDeque};

/// What outlives a connection.
#[derive(Debug, Default)]
struct State {
    id: Option<String>,
    /// The connection that has it.
    owner: u32,
    /// By sender; there is none before `<enable/>` or `<enabled/>`.
    ledgers: [Option<Ledger>; 2],
    /// Connections on which the server was told how much is acknowledged: until it has answered, it must not be told
    /// anything else.
    askers: Vec<u32>,
    /// What the client has said meanwhile.
    unheard: Option<Tag>,
}

#[derive(Debug, Default)]
struct Conn {
    splitters: [Splitter; 2],
    /// Its place in the list of states.
    state: Option<usize>,
    /// What the client wants to resume.
    asked: Option<usize>,
    /// What waits, and until when; by sender.
    held: [VecDeque<(u64, Tag)>; 2],
}

#[derive(Debug, Default)]
pub(crate) struct Toy {
    now: u64,
    conns: BTreeMap<u32, Conn>,
    states: Vec<State>,
    out: Vec<Out>,
    told: Vec<String>,
}

const HOLD: u64 = 50_000;

impl Toy {
    fn write(&mut self, conn: u32, to: Side, text: &str) {
        self.out.push(Out::Bytes(conn, to, text.as_bytes().to_vec()));
    }

    fn state(&mut self, conn: u32) -> Option<&mut State> {
        let place = self.conns.get(&conn)?.state?;
        self.states.get_mut(place)
    }

    /// The ledger of what this side sends.
    fn ledger(&mut self, conn: u32, from: Side) -> Option<&mut Ledger> {
        self.state(conn)?.ledgers[from.index()].as_mut()
    }

    fn element(&mut self, conn: u32, from: Side, tag: Tag) -> Result<(), String> {
        let to = from.other();
        let knows = self.state(conn).is_some();
        if tag.is_stanza() && knows {
            self.queue(conn, from, tag);
            return Ok(());
        }
        match (from, tag.name.as_str()) {
            (Side::Client, "enable") => self.enable(conn),
            (Side::Server, "enabled") => {
                if let Some(state) = self.state(conn) {
                    state.id = tag.attr("id").map(str::to_owned);
                    state.ledgers[1] = Some(Ledger::default());
                }
            }
            (Side::Client, "resume") => return self.resume(conn, &tag),
            (Side::Server, "resumed") => return self.resumed(conn, &tag),
            (Side::Server, "failed") => return self.failed(conn, &tag),
            (_, "a") if knows => return self.acked(conn, from, tag),
            _ => {}
        }
        self.write(conn, to, &tag.raw);
        Ok(())
    }

    fn acked(&mut self, conn: u32, from: Side, tag: Tag) -> Result<(), String> {
        if let Some(state) = self.state(conn).filter(|state| from == Side::Client && !state.askers.is_empty()) {
            state.unheard = Some(tag);
            return Ok(());
        }
        let (to, h) = (from.other(), tag.h()?);
        let told = self.ledger(conn, to).map_or(0, |ledger| ledger.ack(h));
        self.write(conn, to, &with_h(&tag, told));
        Ok(())
    }

    /// A connection is gone: if the server was asked there, it may hear of acknowledgements elsewhere again.
    fn gave_up(&mut self, conn: u32) -> Result<(), String> {
        for place in 0..self.states.len() {
            let state = &mut self.states[place];
            state.askers.retain(|asker| *asker != conn);
            let (owner, free) = (state.owner, state.askers.is_empty());
            let tag = state.unheard.take_if(|_| free).filter(|_| self.conns.contains_key(&owner));
            if let Some(tag) = tag {
                self.acked(owner, Side::Client, tag)?;
            }
        }
        Ok(())
    }

    fn enable(&mut self, conn: u32) {
        self.states.push(State { owner: conn, ledgers: [Some(Ledger::default()), None], ..State::default() });
        let place = self.states.len() - 1;
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.state = Some(place);
        }
    }

    fn hang_up(&mut self, conn: u32) {
        if self.conns.remove(&conn).is_some() {
            self.out.extend([Side::Client, Side::Server].map(|side| Out::Close(conn, side)));
        }
    }

    fn resume(&mut self, conn: u32, tag: &Tag) -> Result<(), String> {
        let h = tag.h()?;
        let wanted =
            self.states.iter().position(|state| state.id.is_some() && state.id.as_deref() == tag.attr("previd"));
        let Some(place) = wanted else {
            let failed = format!("<failed xmlns='{}'><item-not-found/></failed>", tag.ns());
            self.write(conn, Side::Client, &failed);
            return Ok(());
        };
        let told = self.states[place].ledgers[1].as_mut().map_or(0, |down| down.ask(h));
        for other in std::mem::replace(&mut self.states[place].askers, vec![conn]) {
            // Two answers could not be told apart: which of them the server gave first.
            self.hang_up(other);
        }
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.asked = Some(place);
        }
        self.write(conn, Side::Server, &with_h(tag, told));
        Ok(())
    }

    fn resumed(&mut self, conn: u32, tag: &Tag) -> Result<(), String> {
        let asked = self.conns.get_mut(&conn).and_then(|conn| conn.asked.take());
        let place = asked.ok_or("resumed, but nobody has asked")?;
        self.states[place].unheard = None;
        self.states[place].askers.retain(|asker| *asker != conn);
        let owner = std::mem::replace(&mut self.states[place].owner, conn);
        if owner != conn {
            self.hang_up(owner);
            self.gave_up(owner)?;
        }
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.state = Some(place);
        }
        if let Some(down) = self.ledger(conn, Side::Server) {
            down.resume();
        }
        let handled = tag.h()?;
        let told = self.ledger(conn, Side::Client).map_or(0, |up| {
            let told = up.ask(handled);
            up.resume();
            told
        });
        self.write(conn, Side::Client, &with_h(tag, told));
        self.flush(conn, Side::Client);
        self.flush(conn, Side::Server);
        Ok(())
    }

    fn failed(&mut self, conn: u32, tag: &Tag) -> Result<(), String> {
        let asked = self.conns.get_mut(&conn).and_then(|conn| conn.asked.take());
        let place = asked.ok_or("failed, but nobody has asked")?;
        let told = match (tag.attr("h"), &mut self.states[place].ledgers[0]) {
            (Some(_), Some(up)) => up.ack(tag.h()?),
            _ => 0,
        };
        self.states[place].id = None;
        self.states[place].askers.clear();
        self.write(conn, Side::Client, &with_h(tag, told));
        Ok(())
    }

    /// A stanza takes its turn: behind one that is held, everything waits.
    fn queue(&mut self, conn: u32, from: Side, tag: Tag) {
        let until = self.now + if Fate::of(&tag, from).held { HOLD } else { 0 };
        let Some(known) = self.conns.get_mut(&conn) else { return };
        known.held[from.index()].push_back((until, tag));
        self.release(conn, from);
    }

    fn release(&mut self, conn: u32, from: Side) {
        loop {
            let now = self.now;
            let Some(known) = self.conns.get_mut(&conn) else { return };
            let held = &mut known.held[from.index()];
            if held.front().is_none_or(|(until, _)| *until > now) {
                return;
            }
            if let Some((_, tag)) = held.pop_front() {
                self.stanza(conn, from, &tag);
            }
        }
    }

    fn stanza(&mut self, conn: u32, from: Side, tag: &Tag) {
        let to = from.other();
        let before = self.ledger(conn, from).and_then(Ledger::again);
        if let Some(event) = before {
            if event == Event::Passed {
                self.write(conn, to, &tag.raw);
            }
            return self.flush(conn, from);
        }
        let (fate, id) = (Fate::of(tag, from), tag.attr("id").unwrap_or_default());
        if fate.is_told() && !is_question(id) {
            self.told.push(id.to_owned());
        }
        if let Some(ledger) = self.ledger(conn, from) {
            ledger.note(if fate.gone { Event::Stopped } else { Event::Passed });
        }
        if !fate.gone {
            self.write(conn, to, &tag.raw);
        }
        if let Some((to, text)) = make(tag, from) {
            let now = match self.ledger(conn, to.other()) {
                Some(ledger) => ledger.make(text),
                None => Some(text),
            };
            if let Some(text) = now {
                self.write(conn, to, &text);
            }
        }
    }

    /// What of a resumed direction can go out before its sender says anything more.
    fn flush(&mut self, conn: u32, from: Side) {
        for text in self.ledger(conn, from).map(Ledger::ready).unwrap_or_default() {
            self.write(conn, from.other(), &text);
        }
    }
}

fn with_h(tag: &Tag, h: u32) -> String {
    tag.raw.replace(&format!("h='{}'", tag.attr("h").unwrap_or_default()), &format!("h='{h}'"))
}

impl Middle for Toy {
    fn connect(&mut self, _now: u64, conn: u32) -> Result<(), String> {
        self.conns.insert(conn, Conn::default());
        self.out.push(Out::Dial(conn));
        Ok(())
    }

    fn bytes(&mut self, now: u64, conn: u32, side: Side, bytes: &[u8]) -> Result<(), String> {
        self.now = now;
        if let Some(known) = self.conns.get_mut(&conn) {
            known.splitters[side.index()].push(bytes);
        }
        while let Some(known) = self.conns.get_mut(&conn) {
            match known.splitters[side.index()].pull()? {
                None => break,
                Some(Item::Open(tag)) => self.write(conn, side.other(), &format!("<?xml version='1.0'?>{}", tag.raw)),
                Some(Item::Close) => self.write(conn, side.other(), "</stream:stream>"),
                Some(Item::Element(tag)) => self.element(conn, side, tag)?,
            }
        }
        Ok(())
    }

    fn eof(&mut self, now: u64, conn: u32, side: Side) -> Result<(), String> {
        self.now = now;
        if self.conns.remove(&conn).is_some() {
            self.out.push(Out::Close(conn, side.other()));
        }
        self.gave_up(conn)
    }

    fn tick(&mut self, now: u64) -> Result<(), String> {
        self.now = now;
        for conn in self.conns.keys().copied().collect::<Vec<_>>() {
            self.release(conn, Side::Client);
            self.release(conn, Side::Server);
        }
        Ok(())
    }

    fn deadline(&self) -> Option<u64> {
        self.conns.values().flat_map(|conn| &conn.held).filter_map(|held| Some(held.front()?.0)).min()
    }

    fn done(&mut self) -> Vec<Out> {
        std::mem::take(&mut self.out)
    }

    fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }

    fn is_scripted(&self) -> bool {
        true
    }
}
