//! A server with one account whose session can be resumed (XEP-0198 §5), even while it still lives on another connection.
//!
//! Takes items, gives words and the first thing that no server should ever see.

use super::end::{Desk, State};
use super::wire::{Item, Splitter, Tag};
use iqtap::xmpp::Side;
use std::collections::BTreeMap;

#[derive(Debug, Default)]
struct Conn {
    splitter: Splitter,
    authenticated: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Server {
    conns: BTreeMap<u32, Conn>,
    session: Option<State>,
    /// The connection the session lives on.
    attached: Option<u32>,
    /// Sessions so far.
    count: u32,
    /// Resumptions on an older connection than the one they took the session from.
    pub(crate) late: u64,
    says_conflict: bool,
    says_h: bool,
    /// What it last knew of sessions that it has forgotten: how much was handled.
    graves: BTreeMap<String, u32>,
}

const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
const STANZAS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
const STREAMS: &str = "urn:ietf:params:xml:ns:xmpp-streams";

impl Server {
    /// One that tells a connection that lost its session why, as ejabberd does, or just closes, as Prosody does; and that
    /// says in `<failed/>` how much it had handled, or does not.
    pub(crate) fn new(says_conflict: bool, says_h: bool) -> Self {
        Self { says_conflict, says_h, ..Self::default() }
    }

    pub(crate) fn accept(&mut self, conn: u32) {
        self.conns.insert(conn, Conn::default());
    }

    /// The session, if it can take stanzas: they wait while it has no connection.
    pub(crate) fn session(&mut self) -> Option<(Option<u32>, &mut State)> {
        let attached = self.attached;
        self.session.as_mut().filter(|state| state.id.is_some()).map(|state| (attached, state))
    }

    pub(crate) fn state(&self) -> Option<&State> {
        self.session.as_ref()
    }

    pub(crate) fn is_attached(&self) -> bool {
        self.attached.is_some()
    }

    /// The session is older than the server remembers.
    pub(crate) fn forget(&mut self, desk: &mut Desk) {
        if let Some(id) = self.session.as_ref().and_then(|state| state.id.clone()) {
            if let Some(state) = &self.session {
                self.graves.insert(id.clone(), state.counters.handled);
            }
            desk.forgotten.push(id);
        }
        self.session = None;
    }

    /// A connection ended without a word.
    pub(crate) fn lost(&mut self, conn: u32, desk: &mut Desk) {
        self.conns.remove(&conn);
        if self.attached == Some(conn) {
            self.attached = None;
            if self.session.as_ref().is_some_and(|state| state.id.is_none()) {
                self.forget(desk);
            }
        }
    }

    pub(crate) fn bytes(&mut self, conn: u32, bytes: &[u8], desk: &mut Desk) -> Result<(), String> {
        if let Some(known) = self.conns.get_mut(&conn) {
            known.splitter.push(bytes);
        }
        while let Some(known) = self.conns.get_mut(&conn) {
            match known.splitter.pull()? {
                None => break,
                Some(Item::Open(_)) => self.header(conn, desk),
                Some(Item::Close) => self.goodbye(conn, desk),
                Some(Item::Element(tag)) => self.element(conn, &tag, desk)?,
            }
        }
        Ok(())
    }

    fn header(&mut self, conn: u32, desk: &mut Desk) {
        let authenticated = self.conns.get(&conn).is_some_and(|conn| conn.authenticated);
        let header = format!(
            "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
             id='stream{conn}' from='example.org' version='1.0'>"
        );
        let features = if authenticated {
            format!("<bind xmlns='{BIND}'/><sm xmlns='urn:xmpp:sm:2'/><sm xmlns='urn:xmpp:sm:3'/>")
        } else {
            format!("<mechanisms xmlns='{SASL}'><mechanism>PLAIN</mechanism></mechanisms>")
        };
        desk.write(conn, format!("{header}<stream:features>{features}</stream:features>"));
    }

    /// `</stream:stream>`: what is closed cleanly cannot be resumed.
    fn goodbye(&mut self, conn: u32, desk: &mut Desk) {
        if self.attached == Some(conn) {
            self.attached = None;
            self.forget(desk);
        }
        self.hang_up(conn, "", desk);
    }

    fn hang_up(&mut self, conn: u32, last_words: &str, desk: &mut Desk) {
        desk.write(conn, format!("{last_words}</stream:stream>"));
        desk.close(conn);
        self.conns.remove(&conn);
    }

    fn element(&mut self, conn: u32, tag: &Tag, desk: &mut Desk) -> Result<(), String> {
        let live = self.attached == Some(conn);
        match tag.name.as_str() {
            "error" => self.lost_to_error(conn, desk),
            "auth" => {
                if let Some(known) = self.conns.get_mut(&conn) {
                    known.authenticated = true;
                }
                desk.write(conn, format!("<success xmlns='{SASL}'/>"));
            }
            "resume" if !live => self.resume(conn, tag, desk)?,
            "iq" if !live && tag.inner.starts_with("<bind") => self.bind(conn, tag, desk),
            "enable" if live => self.enable(conn, tag, desk)?,
            _ if live => self.traffic(conn, tag, desk)?,
            _ => return Err(format!("nothing lives on connection {conn} of the server; there comes {}", tag.raw)),
        }
        Ok(())
    }

    /// A stream error ends a connection, not the session (XEP-0198 §5 lets a server choose; iqtap counts on nothing).
    fn lost_to_error(&mut self, conn: u32, desk: &mut Desk) {
        desk.close(conn);
        self.lost(conn, desk);
    }

    fn bind(&mut self, conn: u32, tag: &Tag, desk: &mut Desk) {
        self.take_over(desk);
        self.forget(desk);
        self.count += 1;
        self.session = Some(State::new(Side::Server, self.count, ""));
        self.attached = Some(conn);
        let (id, count) = (tag.attr("id").unwrap_or_default(), self.count);
        let jid = format!("<jid>juliet@example.org/r{count}</jid>");
        desk.write(conn, format!("<iq type='result' id='{id}'><bind xmlns='{BIND}'>{jid}</bind></iq>"));
    }

    /// The connection the session lived on has lost it.
    fn take_over(&mut self, desk: &mut Desk) {
        if let Some(old) = self.attached.take() {
            if self.says_conflict {
                let error = format!("<stream:error><conflict xmlns='{STREAMS}'/></stream:error>");
                self.hang_up(old, &error, desk);
            } else {
                desk.close(old);
                self.conns.remove(&old);
            }
        }
    }

    fn enable(&mut self, conn: u32, tag: &Tag, desk: &mut Desk) -> Result<(), String> {
        let state = self.session.as_mut().ok_or("enable, but nothing is bound")?;
        if state.id.is_some() {
            return Err("enabled twice".to_owned());
        }
        let id = format!("sm{}", state.number);
        state.ns = tag.ns().to_owned();
        state.counts = true;
        desk.write(conn, format!("<enabled xmlns='{}' id='{id}' resume='true' max='300'/>", state.ns));
        state.id = Some(id);
        Ok(())
    }

    fn resume(&mut self, conn: u32, tag: &Tag, desk: &mut Desk) -> Result<(), String> {
        let (ns, id) = (tag.ns(), tag.attr("previd").unwrap_or_default());
        if self.session.as_ref().is_none_or(|state| state.id.as_deref() != Some(id)) {
            let h = self.graves.get(id).filter(|_| self.says_h).map_or_else(String::new, |h| format!(" h='{h}'"));
            desk.write(conn, format!("<failed xmlns='{ns}'{h}><item-not-found xmlns='{STANZAS}'/></failed>"));
            return Ok(());
        }
        self.late += u64::from(self.attached.is_some_and(|attached| attached > conn));
        self.take_over(desk);
        let state = self.session.as_mut().ok_or("no session")?;
        // A client that asks on two connections may be late with one: that it has handled more is known already.
        let h = tag.h()?;
        let late = state.counters.acked.wrapping_sub(h);
        if late == 0 || late > u32::MAX / 2 {
            state.claimed(h, desk)?;
        }
        let handled = state.counters.handled;
        desk.write(conn, format!("<resumed xmlns='{ns}' h='{handled}' previd='{id}'/>"));
        state.resend(conn, desk);
        self.attached = Some(conn);
        Ok(())
    }

    fn traffic(&mut self, conn: u32, tag: &Tag, desk: &mut Desk) -> Result<(), String> {
        let state = self.session.as_mut().ok_or("a stanza, but nothing is bound")?;
        if tag.is_stanza() {
            state.receive(tag, desk)
        } else if state.ack_traffic(conn, tag, desk)? {
            Ok(())
        } else {
            Err(format!("the server does not know what to do with {}", tag.raw))
        }
    }
}
