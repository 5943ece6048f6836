//! What may stand between client and server, and the simplest that may: a relay that knows nothing.

use super::wire::{Item, Splitter};
use iqtap::xmpp::Side;
use std::collections::BTreeMap;

/// What the one in the middle does to the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Out {
    /// Calls the server for this connection.
    Dial(u32),
    /// Writes to this side of a connection.
    Bytes(u32, Side, Vec<u8>),
    /// Closes this side.
    Close(u32, Side),
}

/// Stands in the middle. Connections are numbered from 1, both legs alike; times are microseconds.
pub(crate) trait Middle {
    /// A client has connected.
    fn connect(&mut self, now: u64, conn: u32) -> Result<(), String>;
    fn bytes(&mut self, now: u64, conn: u32, side: Side, bytes: &[u8]) -> Result<(), String>;
    fn eof(&mut self, now: u64, conn: u32, side: Side) -> Result<(), String>;
    /// Lets what is due by now happen.
    fn tick(&mut self, now: u64) -> Result<(), String>;
    /// When something is due next.
    fn deadline(&self) -> Option<u64>;
    /// What it has done since it was last asked.
    fn done(&mut self) -> Vec<Out>;
    /// Ids of the stanzas its script told of since it was last asked.
    fn told(&mut self) -> Vec<String>;
    /// Whether it has a script at all.
    fn is_scripted(&self) -> bool;
}

/// What a relay may be made to do wrong, so that the model can be seen to notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoil {
    /// Each `h` to this side is one too high.
    HighAck(Side),
    /// Each `h` above 0 to this side is one too low.
    LowAck(Side),
    /// The fifth stanza is lost.
    Lose,
    /// The fifth stanza comes twice.
    Repeat,
    /// The fifth stanza is behind the sixth.
    Swap,
    /// A resumption says that nothing was handled yet.
    Forget(Side),
    /// Each `<r/>` to the server is lost.
    NoAck,
}

/// Passes bytes on, and the end of a connection. Spoilt, it goes by items.
#[derive(Debug, Default)]
pub(crate) struct Through {
    spoil: Option<Spoil>,
    conns: BTreeMap<u32, [Splitter; 2]>,
    out: Vec<Out>,
    stanzas: u32,
    late: Option<String>,
}

impl Through {
    pub(crate) fn spoilt(spoil: Spoil) -> Self {
        Self { spoil: Some(spoil), ..Self::default() }
    }

    fn spoil(&mut self, spoil: Spoil, to: Side, item: Item) -> String {
        let tag = match item {
            Item::Open(tag) => return format!("<?xml version='1.0'?>{}", tag.raw),
            Item::Close => return "</stream:stream>".to_owned(),
            Item::Element(tag) => tag,
        };
        let is_ack = tag.ns().starts_with("urn:xmpp:sm") && tag.attr("h").is_some();
        let with_h =
            |h: u32| tag.raw.replace(&format!("h='{}'", tag.attr("h").unwrap_or_default()), &format!("h='{h}'"));
        if tag.is_stanza() && tag.attr("id") != Some("bind") {
            self.stanzas += 1;
        }
        let fifth = tag.is_stanza() && self.stanzas == 5;
        match spoil {
            Spoil::HighAck(side) if is_ack && side == to => with_h(tag.h().unwrap_or_default() + 1),
            Spoil::LowAck(side) if is_ack && side == to => with_h(tag.h().unwrap_or_default().saturating_sub(1)),
            Spoil::Forget(side) if is_ack && side == to && tag.name.starts_with("resume") => with_h(0),
            Spoil::NoAck if to == Side::Server && tag.name == "r" => String::new(),
            Spoil::Lose if fifth => String::new(),
            Spoil::Repeat if fifth => tag.raw.repeat(2),
            Spoil::Swap if fifth && self.late.is_none() => {
                self.late = Some(tag.raw);
                String::new()
            }
            Spoil::Swap if tag.is_stanza() => tag.raw + self.late.take().unwrap_or_default().as_str(),
            _ => tag.raw,
        }
    }
}

impl Middle for Through {
    fn connect(&mut self, _now: u64, conn: u32) -> Result<(), String> {
        self.conns.insert(conn, Default::default());
        self.out.push(Out::Dial(conn));
        Ok(())
    }

    fn bytes(&mut self, _now: u64, conn: u32, side: Side, bytes: &[u8]) -> Result<(), String> {
        let to = side.other();
        let Some(spoil) = self.spoil else {
            self.out.push(Out::Bytes(conn, to, bytes.to_vec()));
            return Ok(());
        };
        let Some(splitters) = self.conns.get_mut(&conn) else { return Ok(()) };
        let splitter = &mut splitters[side.index()];
        splitter.push(bytes);
        let mut items = Vec::new();
        while let Some(item) = splitter.pull()? {
            items.push(item);
        }
        for item in items {
            let text = self.spoil(spoil, to, item);
            self.out.push(Out::Bytes(conn, to, text.into_bytes()));
        }
        Ok(())
    }

    fn eof(&mut self, _now: u64, conn: u32, side: Side) -> Result<(), String> {
        self.conns.remove(&conn);
        self.out.push(Out::Close(conn, side.other()));
        Ok(())
    }

    fn tick(&mut self, _now: u64) -> Result<(), String> {
        Ok(())
    }

    fn deadline(&self) -> Option<u64> {
        None
    }

    fn done(&mut self) -> Vec<Out> {
        std::mem::take(&mut self.out)
    }

    fn told(&mut self) -> Vec<String> {
        Vec::new()
    }

    fn is_scripted(&self) -> bool {
        false
    }
}
