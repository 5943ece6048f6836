//! A client that can resume (XEP-0198 §5): logs in, enables stream management, comes back after a loss.
//!
//! It listens to one connection at a time. Once it has asked to resume on a new one, the old one is dead to it, whatever
//! may still come from there. Takes items, gives words and the first thing that no client should ever see.

use super::end::{Desk, State};
use super::wire::{Item, Splitter, Tag};
use iqtap::xmpp::Side;
use std::collections::BTreeMap;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Features from before the login are awaited.
    Features,
    Login,
    /// Features from after the login are awaited.
    Again,
    Resume,
    Bind,
    /// `<enable/>` is sent: what is sent from here on counts.
    Enable,
    Live,
    /// Nobody listens here any more.
    Dead,
}

#[derive(Debug)]
struct Conn {
    splitter: Splitter,
    phase: Phase,
}

#[derive(Debug, Default)]
pub(crate) struct Client {
    conns: BTreeMap<u32, Conn>,
    state: Option<State>,
    /// The connection the session lives on.
    current: Option<u32>,
    /// Connections left for another.
    left: Vec<u32>,
    /// `urn:xmpp:sm:2` or 3: for the next session.
    pub(crate) ns: String,
}

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
                      xmlns:stream='http://etherx.jabber.org/streams' to='example.org' version='1.0'>";
const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";

impl Client {
    /// Opens a connection.
    pub(crate) fn connect(&mut self, conn: u32, desk: &mut Desk) {
        self.conns.insert(conn, Conn { splitter: Splitter::default(), phase: Phase::Features });
        desk.write(conn, HEADER);
    }

    /// The connection of a session that stanzas can be sent on.
    pub(crate) fn live(&mut self) -> Option<(u32, &mut State)> {
        Some((self.current?, self.state.as_mut()?))
    }

    /// Whether the session can be resumed, or is being resumed.
    pub(crate) fn is_up(&self) -> bool {
        self.current.and_then(|conn| self.conns.get(&conn)).is_some_and(|conn| conn.phase == Phase::Live)
    }

    pub(crate) fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// Connections on which a login is under way.
    pub(crate) fn logging_in(&self) -> Vec<u32> {
        let under_way = |conn: &Conn| !matches!(conn.phase, Phase::Dead | Phase::Live);
        self.conns.iter().filter(|(_, conn)| under_way(conn)).map(|(number, _)| *number).collect()
    }

    /// Connections the client has left for another since it was last asked.
    pub(crate) fn just_left(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.left)
    }

    /// Whether the client has neither asked to resume nor to bind on it yet.
    pub(crate) fn is_beginning(&self, conn: u32) -> bool {
        self.conns.get(&conn).is_some_and(|conn| matches!(conn.phase, Phase::Features | Phase::Login | Phase::Again))
    }

    /// Connections that have asked to resume and wait.
    pub(crate) fn resuming(&self) -> Vec<u32> {
        self.conns.iter().filter(|(_, conn)| conn.phase == Phase::Resume).map(|(number, _)| *number).collect()
    }

    /// Connections nobody listens to: whether they are closed is for the world to decide.
    pub(crate) fn dead(&self) -> Vec<u32> {
        self.conns.iter().filter(|(_, conn)| conn.phase == Phase::Dead).map(|(number, _)| *number).collect()
    }

    /// The connection was lost, or is given up.
    pub(crate) fn leave(&mut self, conn: u32) {
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.phase = Phase::Dead;
        }
        self.current = self.current.filter(|current| *current != conn);
    }

    pub(crate) fn bytes(&mut self, conn: u32, bytes: &[u8], desk: &mut Desk) -> Result<(), String> {
        if let Some(known) = self.conns.get_mut(&conn) {
            known.splitter.push(bytes);
        }
        loop {
            let Some(known) = self.conns.get_mut(&conn).filter(|conn| conn.phase != Phase::Dead) else { return Ok(()) };
            match known.splitter.pull()? {
                None => return Ok(()),
                Some(Item::Open(_)) => {}
                Some(Item::Close) => self.leave(conn),
                Some(Item::Element(tag)) => {
                    let phase = known.phase;
                    self.element(conn, phase, &tag, desk)?;
                }
            }
        }
    }

    fn element(&mut self, conn: u32, phase: Phase, tag: &Tag, desk: &mut Desk) -> Result<(), String> {
        match (phase, tag.name.as_str()) {
            (_, "error") => self.leave(conn),
            (Phase::Features, "features") => {
                desk.write(conn, format!("<auth xmlns='{SASL}' mechanism='PLAIN'>AGp1bGlldABzZWNyZXQ=</auth>"));
                self.turn(conn, Phase::Login);
            }
            (Phase::Login, "success") => {
                desk.write(conn, HEADER);
                self.turn(conn, Phase::Again);
            }
            (Phase::Again, "features") => self.ready(conn, desk),
            (Phase::Resume, "resumed") => self.resumed(conn, tag, desk)?,
            (Phase::Resume, "failed") => self.failed(conn, tag, desk)?,
            (Phase::Bind, "iq") => self.bound(conn, tag, desk)?,
            (Phase::Enable, "enabled") => self.enabled(conn, tag)?,
            (Phase::Enable | Phase::Live, _) => self.traffic(conn, tag, desk)?,
            _ => return Err(format!("the client waits for {phase:?} on {conn}; there comes {}", tag.raw)),
        }
        Ok(())
    }

    fn turn(&mut self, conn: u32, phase: Phase) {
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.phase = phase;
        }
    }

    /// Logged in: resume what can be resumed, bind otherwise.
    fn ready(&mut self, conn: u32, desk: &mut Desk) {
        match self.state.as_ref().and_then(|state| Some((state, state.id.as_ref()?))) {
            Some((state, id)) => {
                let (ns, h) = (&state.ns, state.counters.handled);
                desk.write(conn, format!("<resume xmlns='{ns}' h='{h}' previd='{id}'/>"));
                self.turn(conn, Phase::Resume);
                let old: Vec<u32> = self.current.into_iter().filter(|old| *old != conn).collect();
                self.left.extend(&old);
                old.into_iter().for_each(|old| self.leave(old));
            }
            None => self.bind(conn, desk),
        }
    }

    fn bind(&mut self, conn: u32, desk: &mut Desk) {
        self.state = None;
        for other in self.conns.iter_mut().filter(|(number, _)| **number != conn).map(|(_, other)| other) {
            other.phase = Phase::Dead;
        }
        self.current = None;
        desk.write(conn, format!("<iq type='set' id='bind'><bind xmlns='{BIND}'/></iq>"));
        self.turn(conn, Phase::Bind);
    }

    /// The full JID ends with the number of the session.
    fn bound(&mut self, conn: u32, tag: &Tag, desk: &mut Desk) -> Result<(), String> {
        let jid = tag.inner.split_once("</jid>").and_then(|(before, _)| before.rsplit_once("/r"));
        let number = jid.and_then(|(_, number)| number.parse().ok()).ok_or_else(|| format!("no JID in {}", tag.raw))?;
        desk.write(conn, format!("<enable xmlns='{}' resume='true'/>", self.ns));
        self.state = Some(State::new(Side::Client, number, &self.ns));
        self.turn(conn, Phase::Enable);
        self.current = Some(conn);
        Ok(())
    }

    fn enabled(&mut self, conn: u32, tag: &Tag) -> Result<(), String> {
        let state = self.state.as_mut().ok_or("enabled, but nothing is bound")?;
        if tag.ns() != state.ns || tag.attr("resume") != Some("true") {
            return Err(format!("not what the client has asked for: {}", tag.raw));
        }
        state.id = Some(tag.attr("id").ok_or("enabled without an id")?.to_owned());
        state.counts = true;
        self.turn(conn, Phase::Live);
        Ok(())
    }

    fn resumed(&mut self, conn: u32, tag: &Tag, desk: &mut Desk) -> Result<(), String> {
        let state = self.state.as_mut().ok_or("resumed, but there is no session")?;
        if tag.ns() != state.ns || tag.attr("previd") != state.id.as_deref() {
            return Err(format!("not the session that the client has asked for: {}", tag.raw));
        }
        state.claimed(tag.h()?, desk)?;
        state.resend(conn, desk);
        for other in self.conns.iter_mut().filter(|(number, _)| **number != conn).map(|(_, other)| other) {
            other.phase = Phase::Dead;
        }
        self.turn(conn, Phase::Live);
        self.current = Some(conn);
        Ok(())
    }

    fn failed(&mut self, conn: u32, tag: &Tag, desk: &mut Desk) -> Result<(), String> {
        let state = self.state.as_mut().ok_or("failed, but there is no session")?;
        if !state.id.as_ref().is_some_and(|id| desk.forgotten.contains(id)) {
            return Err(format!("the session is refused, and the server has not forgotten it: {}", tag.raw));
        }
        if tag.attr("h").is_some() {
            state.claimed(tag.h()?, desk)?;
        }
        self.bind(conn, desk);
        Ok(())
    }

    fn traffic(&mut self, conn: u32, tag: &Tag, desk: &mut Desk) -> Result<(), String> {
        let state = self.state.as_mut().ok_or("a stanza, but nothing is bound")?;
        if tag.is_stanza() {
            state.receive(tag, desk)
        } else if state.ack_traffic(conn, tag, desk)? {
            Ok(())
        } else {
            Err(format!("the client does not know what to do with {}", tag.raw))
        }
    }
}
