//! What both endpoints have: where their words go, and the part of XEP-0198 that is the same for both.

use super::counters::Counters;
use super::truth::Truth;
use super::wire::{Tag, tag};
use iqtap::xmpp::Side;

/// What an endpoint does to its connections, and whom it tells.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    pub(crate) truth: Truth,
    /// By connection, in order: bytes to write, or nothing to close it.
    pub(crate) orders: Vec<(u32, Option<String>)>,
    /// Ids of sessions that the server has forgotten.
    pub(crate) forgotten: Vec<String>,
}

impl Desk {
    pub(crate) fn write(&mut self, conn: u32, text: impl Into<String>) {
        self.orders.push((conn, Some(text.into())));
    }

    pub(crate) fn close(&mut self, conn: u32) {
        self.orders.push((conn, None));
    }
}

impl Tag {
    /// Attribute `h` of XEP-0198.
    pub(crate) fn h(&self) -> Result<u32, String> {
        let h = self.attr("h").ok_or_else(|| format!("no h in {}", self.raw))?;
        h.parse().map_err(|_| format!("h is no number in {}", self.raw))
    }
}

/// A session that can be resumed, as one end knows it.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// Which side this is.
    pub(crate) side: Side,
    /// The number of the session, which the server gives.
    pub(crate) number: u32,
    /// The version of XEP-0198.
    pub(crate) ns: String,
    /// The id the server gave.
    pub(crate) id: Option<String>,
    /// Whether what comes in is counted already.
    pub(crate) counts: bool,
    pub(crate) counters: Counters,
    /// How many stanzas this end has sent here, for their names.
    pub(crate) serial: u32,
}

impl State {
    pub(crate) fn new(side: Side, number: u32, ns: &str) -> Self {
        let (ns, counters) = (ns.to_owned(), Counters::default());
        Self { side, number, ns, id: None, counts: false, counters, serial: 0 }
    }

    /// A name for the next stanza, with what the script shall do with it.
    pub(crate) fn name(&mut self, word: &str) -> String {
        self.serial += 1;
        let side = if self.side == Side::Client { 'c' } else { 's' };
        format!("{side}{}-{}.{word}", self.number, self.serial)
    }

    /// Sends a stanza of the application: at once, if there is a connection.
    pub(crate) fn send(&mut self, conn: Option<u32>, stanza: &str, desk: &mut Desk) -> Result<(), String> {
        desk.truth.sent(self.side, &tag(stanza)?)?;
        self.counters.send(stanza);
        if let Some(conn) = conn {
            desk.write(conn, stanza);
        }
        Ok(())
    }

    /// A stanza came in.
    pub(crate) fn receive(&mut self, tag: &Tag, desk: &mut Desk) -> Result<(), String> {
        if self.counts {
            self.counters.handled = self.counters.handled.wrapping_add(1);
        }
        desk.truth.arrived(self.side, self.number, tag)
    }

    /// The other end says how much it has handled.
    pub(crate) fn claimed(&mut self, h: u32, desk: &mut Desk) -> Result<(), String> {
        let stanzas = self.counters.ack(h).map_err(|why| format!("to the {:?}: {why}", self.side))?;
        stanzas.iter().try_for_each(|stanza| desk.truth.claimed(self.side, stanza))
    }

    /// `<r/>` and `<a/>`; whether it was one of them.
    pub(crate) fn ack_traffic(&mut self, conn: u32, tag: &Tag, desk: &mut Desk) -> Result<bool, String> {
        if tag.ns() != self.ns {
            return Ok(false);
        }
        match tag.name.as_str() {
            "r" => desk.write(conn, self.ack()),
            "a" => self.claimed(tag.h()?, desk)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    pub(crate) fn ack(&self) -> String {
        format!("<a xmlns='{}' h='{}'/>", self.ns, self.counters.handled)
    }

    pub(crate) fn request_ack(&self) -> String {
        format!("<r xmlns='{}'/>", self.ns)
    }

    /// Sends again what the other end did not get (XEP-0198 §5): with the numbers it had.
    pub(crate) fn resend(&self, conn: u32, desk: &mut Desk) {
        for stanza in &self.counters.queue {
            desk.write(conn, stanza.clone());
        }
    }
}
