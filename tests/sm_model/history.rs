//! One random history: what client, server and the world between them do, all of it following from the seed.
//!
//! Takes a [`Plan`] and what stands in the middle; gives what happened, or the first promise that was broken. After the
//! last step nothing is lost any more, all is brought to an end, and whatever is still missing is missed.

use super::client::Client;
use super::dice::Dice;
use super::end::{Desk, State};
use super::fate::words;
use super::link::{Arrival, End, Leg, Waiting};
use super::middle::{Middle, Out};
use super::server::Server;
use iqtap::xmpp::Side;
use std::collections::BTreeMap;

/// What kind of history.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    /// At most so many steps before the end.
    pub(crate) steps: usize,
    /// A `<resume/>` may reach the server after the client has moved on to another connection.
    pub(crate) late: bool,
    /// Whether what happens is written down.
    pub(crate) told: bool,
}

/// What happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Story {
    /// In words, if the plan says so.
    pub(crate) lines: Vec<String>,
    pub(crate) counts: Counts,
}

/// How much happened: a history in which nothing does proves nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) stanzas: u64,
    pub(crate) cuts: u64,
    pub(crate) connections: u64,
    pub(crate) resumptions: u64,
    pub(crate) sessions: u64,
    pub(crate) script_runs: u64,
    /// Resumptions on a connection older than the one the session lived on.
    pub(crate) late: u64,
}

/// Plays one history to its end.
pub(crate) fn play<M: Middle>(plan: Plan, middle: M) -> (Story, Result<(), String>) {
    let mut world = World::new(plan, middle);
    let result = world.play();
    world.story.counts.late = world.server.late;
    world.story.counts.sessions = world.server.state().map_or(0, |state| state.number.into());
    (world.story, result)
}

struct World<M> {
    dice: Dice,
    plan: Plan,
    now: u64,
    middle: M,
    client: Client,
    server: Server,
    desk: Desk,
    legs: BTreeMap<(u32, Side), Leg>,
    conns: u32,
    story: Story,
}

const SIDES: [Side; 2] = [Side::Client, Side::Server];

impl<M: Middle> World<M> {
    fn new(plan: Plan, middle: M) -> Self {
        let mut dice = Dice::new(plan.seed);
        let server = Server::new(dice.one_in(2), dice.one_in(2));
        Self {
            dice,
            plan,
            now: 0,
            middle,
            client: Client::default(),
            server,
            desk: Desk::default(),
            legs: BTreeMap::new(),
            conns: 0,
            story: Story::default(),
        }
    }

    fn play(&mut self) -> Result<(), String> {
        let steps = 20 + self.dice.below(280);
        for _ in 0..steps.min(self.plan.steps) {
            self.step()?;
        }
        self.finish()
    }

    fn tell(&mut self, line: impl FnOnce() -> String) {
        if self.plan.told {
            self.story.lines.push(short(&line()));
        }
    }

    fn step(&mut self) -> Result<(), String> {
        match self.dice.below(100) {
            0..52 => self.deliver_something(),
            52..62 => self.application(Side::Client),
            62..72 => self.application(Side::Server),
            72..80 => self.answer_something(),
            80..84 => self.acks(),
            84..88 => {
                let micros = 1000 * (1 + self.dice.below(80) as u64);
                self.pass(micros)
            }
            88..90 => self.cut_something(),
            90..97 => self.connect_perhaps(),
            97..99 => self.close_something(),
            _ => self.forget_perhaps(),
        }
    }

    /// Bytes on some leg get a little further, or all the way.
    fn deliver_something(&mut self) -> Result<(), String> {
        let waiting: Vec<_> = self.waiting().collect();
        if waiting.is_empty() {
            return self.connect_perhaps();
        }
        // More often than not the busiest part of the world moves on, so that things happen at all.
        for _ in 0..3 {
            let (conn, side, end, waiting) = self.dice.pick(&waiting);
            match waiting {
                Waiting::Bytes(len) => {
                    let most = if self.dice.one_in(3) { 1 + self.dice.below(len) } else { len };
                    return self.deliver(conn, side, end, most);
                }
                Waiting::Eof if self.dice.one_in(4) => return self.deliver(conn, side, end, 0),
                Waiting::Eof => {}
            }
        }
        Ok(())
    }

    /// All that could arrive somewhere now.
    fn waiting(&self) -> impl Iterator<Item = (u32, Side, End, Waiting)> {
        self.legs.iter().flat_map(|((conn, side), leg)| {
            [End::Middle, End::Peer].into_iter().filter_map(|end| Some((*conn, *side, end, leg.waits(end)?)))
        })
    }

    fn deliver(&mut self, conn: u32, side: Side, end: End, most: usize) -> Result<(), String> {
        let Some(leg) = self.legs.get_mut(&(conn, side)) else { return Ok(()) };
        let arrival = leg.take(end, most);
        self.tell(|| match &arrival {
            Arrival::Bytes(bytes) => format!("{conn} {side:?} -> {end:?}: {}", String::from_utf8_lossy(bytes)),
            Arrival::Eof => format!("{conn} {side:?} -> {end:?}: the connection is over"),
        });
        let (client, server, desk) = (&mut self.client, &mut self.server, &mut self.desk);
        match (end, side, arrival) {
            (End::Middle, _, Arrival::Bytes(bytes)) => self.middle.bytes(self.now, conn, side, &bytes)?,
            (End::Middle, _, Arrival::Eof) => self.middle.eof(self.now, conn, side)?,
            (End::Peer, Side::Client, Arrival::Bytes(bytes)) => client.bytes(conn, &bytes, desk)?,
            (End::Peer, Side::Client, Arrival::Eof) => client.leave(conn),
            (End::Peer, Side::Server, Arrival::Bytes(bytes)) => server.bytes(conn, &bytes, desk)?,
            (End::Peer, Side::Server, Arrival::Eof) => server.lost(conn, desk),
        }
        if end == End::Peer {
            self.carry_out(side)
        } else {
            self.middle_has_acted()?
        }
        if self.plan.late { Ok(()) } else { self.keep_words_in_order() }
    }

    /// What an endpoint wanted done to its connections.
    fn carry_out(&mut self, side: Side) {
        for (conn, order) in std::mem::take(&mut self.desk.orders) {
            self.story.counts.resumptions += u64::from(order.as_ref().is_some_and(|text| text.starts_with("<resumed")));
            let Some(leg) = self.legs.get_mut(&(conn, side)) else { continue };
            match &order {
                Some(text) => leg.write(End::Peer, text.as_bytes()),
                None => leg.close(End::Peer),
            }
            self.tell(|| match order {
                Some(text) => format!("{conn} {side:?} says: {text}"),
                None => format!("{conn} {side:?} closes"),
            });
        }
    }

    /// What the one in the middle did; what its script told comes first, for it ran before anything could arrive.
    fn middle_has_acted(&mut self) -> Result<(), String> {
        for id in self.middle.told() {
            self.story.counts.script_runs += 1;
            self.tell(|| format!("the script tells of {id}"));
            self.desk.truth.ran(&id)?;
        }
        for out in self.middle.done() {
            match out {
                Out::Dial(conn) => {
                    self.legs.insert((conn, Side::Server), Leg::default());
                    self.server.accept(conn);
                }
                Out::Bytes(conn, side, bytes) => {
                    if let Some(leg) = self.legs.get_mut(&(conn, side)) {
                        leg.write(End::Middle, &bytes);
                    }
                    self.tell(|| format!("{conn} {side:?} <- the middle: {}", String::from_utf8_lossy(&bytes)));
                }
                Out::Close(conn, side) => {
                    if let Some(leg) = self.legs.get_mut(&(conn, side)) {
                        leg.close(End::Middle);
                    }
                    self.tell(|| format!("{conn} {side:?}: the middle closes"));
                }
            }
        }
        Ok(())
    }

    /// What the client said on a connection that it has left reaches the proxy before what it says on the next, or never;
    /// and a question whether it may resume is lost, wherever it is by now, once it asks again elsewhere.
    fn keep_words_in_order(&mut self) -> Result<(), String> {
        let asked: Vec<u32> = self.client.resuming();
        let Some((newest, older)) = asked.split_last() else { return Ok(()) };
        for conn in older {
            self.tell(|| format!("{conn} is cut on both legs: the client asks on {newest} now"));
            SIDES.iter().for_each(|side| self.cut(*conn, *side));
            self.client.leave(*conn);
        }
        for conn in self.client.just_left() {
            let waits = self.legs.get(&(conn, Side::Client)).and_then(|leg| leg.waits(End::Middle));
            match waits {
                Some(Waiting::Bytes(_)) if self.dice.one_in(2) => {
                    self.deliver(conn, Side::Client, End::Middle, usize::MAX)?;
                }
                Some(Waiting::Bytes(_)) => self.cut(conn, Side::Client),
                _ => {}
            }
        }
        Ok(())
    }

    fn cut(&mut self, conn: u32, side: Side) {
        if let Some(leg) = self.legs.get_mut(&(conn, side)) {
            leg.cut();
        }
    }

    /// An application says something: at random, with what shall become of it in its id.
    fn application(&mut self, side: Side) -> Result<(), String> {
        let kind = self.dice.pick(&["message", "message", "iq", "iq", "presence"]);
        let word = if self.middle.is_scripted() && !self.dice.one_in(3) { self.dice.pick(words(kind)) } else { "pass" };
        let n = self.dice.below(3);
        let Some((conn, state)) = speaker(&mut self.client, &mut self.server, side) else { return Ok(()) };
        let stanza = stanza(state, kind, word, n);
        state.send(conn, &stanza, &mut self.desk)?;
        self.story.counts.stanzas += 1;
        if conn.is_none() {
            self.tell(|| format!("{side:?} keeps for later: {stanza}"));
        }
        self.carry_out(side);
        Ok(())
    }

    fn answer_something(&mut self) -> Result<(), String> {
        let (side, n) = (self.dice.pick(&SIDES), self.dice.below(8));
        self.answer(side, n).map(drop)
    }

    /// Answers one request that this side owes an answer to; whether there was one.
    fn answer(&mut self, side: Side, n: usize) -> Result<bool, String> {
        let error = self.dice.one_in(4);
        let Some((conn, state)) = speaker(&mut self.client, &mut self.server, side) else { return Ok(false) };
        let Some(owed) = self.desk.truth.owed(side, state.number, n) else { return Ok(false) };
        let (to, from) = (attribute("to", owed.from.as_deref()), attribute("from", owed.to.as_deref()));
        let id = &owed.id;
        let answer = if error {
            let condition = "<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>";
            let request = "<ping xmlns='urn:xmpp:ping'/>";
            format!("<iq type='error' id='{id}'{to}{from}>{request}<error type='cancel'>{condition}</error></iq>")
        } else {
            format!("<iq type='result' id='{id}'{to}{from}/>")
        };
        state.send(conn, &answer, &mut self.desk)?;
        self.story.counts.stanzas += 1;
        self.carry_out(side);
        Ok(true)
    }

    /// `<r/>`, or an `<a/>` nobody asked for.
    fn acks(&mut self) -> Result<(), String> {
        let (side, asks) = (self.dice.pick(&SIDES), self.dice.one_in(2));
        self.ack(side, asks);
        Ok(())
    }

    fn ack(&mut self, side: Side, asks: bool) {
        let Some((Some(conn), state)) = speaker(&mut self.client, &mut self.server, side) else { return };
        if state.counts {
            let text = if asks { state.request_ack() } else { state.ack() };
            self.desk.write(conn, text);
            self.carry_out(side);
        }
    }

    fn pass(&mut self, micros: u64) -> Result<(), String> {
        self.now += micros;
        self.tell(|| format!("{micros} microseconds pass"));
        self.middle.tick(self.now)?;
        self.middle_has_acted()
    }

    /// A leg loses all that is on its way, or both do.
    fn cut_something(&mut self) -> Result<(), String> {
        let whole: Vec<_> = self.legs.iter().filter(|(_, leg)| !leg.is_cut()).map(|(key, _)| *key).collect();
        // The newest connections are where things happen.
        let Some((conn, side)) = whole.iter().rev().nth(self.dice.below(3)).copied() else { return Ok(()) };
        if !self.client.is_up() && !self.dice.one_in(3) {
            return Ok(());
        }
        let both = self.dice.one_in(3);
        for each in SIDES {
            if both || each == side {
                self.tell(|| format!("{conn} {each:?}: cut"));
                self.cut(conn, each);
            }
        }
        self.story.counts.cuts += 1;
        Ok(())
    }

    /// The client opens a connection: if it has none, or (less often) although it has one.
    fn connect_perhaps(&mut self) -> Result<(), String> {
        let under_way = self.client.logging_in().len();
        let wants = match (self.client.is_up(), under_way) {
            (false, 0) => true,
            (true, 0) => self.dice.one_in(5),
            (_, 1) => self.dice.one_in(3),
            _ => false,
        };
        if wants { self.connect() } else { Ok(()) }
    }

    fn connect(&mut self) -> Result<(), String> {
        self.conns += 1;
        let conn = self.conns;
        self.story.counts.connections += 1;
        self.client.ns = format!("urn:xmpp:sm:{}", 2 + self.dice.below(2));
        self.tell(|| format!("the client opens connection {conn}"));
        self.legs.insert((conn, Side::Client), Leg::default());
        self.middle.connect(self.now, conn)?;
        self.middle_has_acted()?;
        self.client.connect(conn, &mut self.desk);
        self.carry_out(Side::Client);
        if self.dice.one_in(4) { Ok(()) } else { self.log_in(conn) }
    }

    /// The login passes without a hitch: what is interesting comes behind it.
    fn log_in(&mut self, conn: u32) -> Result<(), String> {
        let whole = self.dice.one_in(2);
        while self.client.is_beginning(conn) || whole && self.client.logging_in().contains(&conn) {
            let next = self.waiting().find(|(of, ..)| *of == conn);
            let Some((conn, side, end, _)) = next else { break };
            self.deliver(conn, side, end, usize::MAX)?;
        }
        Ok(())
    }

    /// The client closes a connection it has left, or gives up one that does not get on.
    fn close_something(&mut self) -> Result<(), String> {
        let slow = self.client.logging_in();
        let conn = match self.client.dead().as_slice() {
            [] => slow.first().copied(),
            dead => Some(self.dice.pick(dead)),
        };
        if let Some(conn) = conn {
            self.client.leave(conn);
            self.desk.close(conn);
            self.carry_out(Side::Client);
        }
        Ok(())
    }

    fn forget_perhaps(&mut self) -> Result<(), String> {
        if !self.server.is_attached() && self.dice.one_in(5) {
            self.tell(|| "the server forgets the session".to_owned());
            self.server.forget(&mut self.desk);
        }
        Ok(())
    }

    /// Nothing is lost any more: everything arrives, is answered and is acknowledged.
    fn finish(&mut self) -> Result<(), String> {
        const ROUNDS: usize = 2000;
        self.tell(|| "from here on nothing is lost".to_owned());
        let mut asked = false;
        for _ in 0..ROUNDS {
            let next = self.waiting().next();
            if let Some((conn, side, end, _)) = next {
                self.deliver(conn, side, end, usize::MAX)?;
            } else if !self.client.is_up() {
                asked = false;
                match self.client.logging_in().as_slice() {
                    [] => self.connect()?,
                    stuck => return Err(format!("nothing moves, and the client still waits on {stuck:?}")),
                }
            } else if self.answer(Side::Client, 0)? || self.answer(Side::Server, 0)? {
            } else if let Some(due) = self.middle.deadline().filter(|due| *due <= self.now + 2_000_000) {
                self.pass(due.saturating_sub(self.now).max(1))?;
            } else if !asked {
                asked = true;
                SIDES.iter().for_each(|side| self.ack(*side, true));
            } else {
                return self.settled();
            }
        }
        Err("this does not come to rest".to_owned())
    }

    /// What must be true once all is quiet.
    fn settled(&self) -> Result<(), String> {
        let (Some(client), Some(server)) = (self.client.state(), self.server.state()) else {
            return Err("one end has no session in the end".to_owned());
        };
        if client.number != server.number {
            return Err(format!("the client is in session {}, the server in {}", client.number, server.number));
        }
        self.desk.truth.end(client.number)?;
        for state in [client, server] {
            let (sent, acked, side) = (state.counters.sent, state.counters.acked, state.side);
            if sent != acked {
                return Err(format!("the {side:?} asked how much was handled of {sent} stanzas, and was told {acked}"));
            }
        }
        Ok(())
    }
}

/// Without what is the same in every history.
fn short(line: &str) -> String {
    let mut line = line.replace("<?xml version='1.0'?>", "").replace("urn:ietf:params:xml:ns:xmpp-", "");
    while let Some((before, after)) = line.split_once("<stream:stream ") {
        let rest = after.split_once('>').map_or("", |(_, rest)| rest);
        line = format!("{before}<HEADER>{rest}");
    }
    line
}

/// Who speaks on a side, and where its words go: a server keeps them while it has no connection.
fn speaker<'a>(client: &'a mut Client, server: &'a mut Server, side: Side) -> Option<(Option<u32>, &'a mut State)> {
    match side {
        Side::Client => client.live().map(|(conn, state)| (Some(conn), state)),
        Side::Server => server.session(),
    }
}

fn stanza(state: &mut State, kind: &str, word: &str, n: usize) -> String {
    let id = state.name(word);
    let client = format!("juliet@example.org/r{}", state.number);
    let other = [None, Some("example.org"), Some("romeo@example.net/orchard")][n];
    let (to, from) = match state.side {
        Side::Client => (attribute("to", other), String::new()),
        Side::Server => (attribute("to", Some(&client)), attribute("from", other)),
    };
    match kind {
        "iq" => format!("<iq type='get' id='{id}'{to}{from}><ping xmlns='urn:xmpp:ping'/></iq>"),
        "message" => format!("<message type='chat' id='{id}'{to}{from}><body>one of many</body></message>"),
        _ => format!("<presence id='{id}'{to}{from}/>"),
    }
}

fn attribute(name: &str, value: Option<&str>) -> String {
    value.map_or_else(String::new, |value| format!(" {name}='{value}'"))
}
