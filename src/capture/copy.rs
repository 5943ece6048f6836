//! A capture written anew: what a reader gave, in our own layout, secrets replaced, and names and texts disguised if that is wanted.
//!
//! Takes a reader's events, gives a file as the recorder makes one: each conversation of the source is one of the copy, each item one packet, at
//! its time and with its comment. What was lost in the source is lost in the copy; what could not be read is not written. Our own recordings keep
//! their sessions and legs; those of somebody else's get made-up addresses and no comments. Must not let a secret reach the file.

use super::disguise::Disguise;
use super::read::{self, End, Ended, Event, Item, ItemKind, Ours};
use super::redact::Header;
use super::tcp::Talk;
use super::{Blocks, Recorder, SPILL_BYTES, Section, comment};
use crate::session::What;
use crate::xmpp::{Kind, Side, Timestamp};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// Conversations of somebody else's have no session: they are numbered from here on, so that none meets one that has.
const FOREIGN: u64 = 1 << 15;

/// What became of a capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Conversations written.
    pub conversations: u64,
    /// Items written.
    pub items: u64,
    /// Items of which nothing is written but their size: the reader could not make sense of them.
    pub left_out: u64,
}

/// Writes the copy.
#[derive(Debug)]
pub struct Copier {
    recorder: Recorder,
    app: String,
    disguise: Disguise,
    section: u32,
    /// Conversations under way, by their number in the source.
    living: BTreeMap<u64, Living>,
    /// How many conversations a leg has had.
    epochs: BTreeMap<(u64, Side), u16>,
    copied: Copied,
}

/// A conversation.
#[derive(Debug)]
struct Living {
    talk: Talk,
    ours: bool,
    /// The stream headers last seen, by [`End`].
    headers: [Option<Header>; 2],
    /// Who closed the stream first.
    closed: Option<End>,
}

impl Copier {
    /// Begins a copy: see [`Recorder::create`].
    ///
    /// # Errors
    /// As there.
    pub fn create(path: &Path, app: &str, disguise: Disguise) -> io::Result<Self> {
        Ok(Self {
            recorder: Recorder::create(path, app)?,
            app: app.to_owned(),
            disguise,
            section: 1,
            living: BTreeMap::new(),
            epochs: BTreeMap::new(),
            copied: Copied::default(),
        })
    }

    /// Something happened in the source.
    ///
    /// # Errors
    /// If the file cannot be written to (see [`Recorder`]).
    pub fn event(&mut self, event: &Event) -> io::Result<()> {
        match event {
            Event::Begins { talk, at } => self.begin(talk, *at)?,
            Event::Item(item) => self.item(item)?,
            Event::Hole { talk, from, lost, unread, .. } => {
                if let Some(living) = self.living.get_mut(&talk.number) {
                    living.talk.skip(*from, lost.saturating_add(*unread));
                }
            }
            Event::Ends { talk, at, how, goes_on } => self.end(talk.number, *at, *how, *goes_on)?,
            // Of a disguised capture nothing could be played again: what it says of addresses and reasons is not needed.
            Event::Happened { section, session, at, happened, .. } if self.disguise.is_plain() => {
                self.enter(*section)?;
                self.recorder.happened(*session, *at, happened)?;
            }
            Event::Happened { .. } | Event::Trouble(_) => {}
        }
        if self.recorder.blocks.waiting() >= SPILL_BYTES { self.recorder.flush() } else { Ok(()) }
    }

    /// Ends the copy.
    ///
    /// # Errors
    /// If the file cannot be written to, or could not be before.
    pub fn finish(self) -> io::Result<Copied> {
        self.recorder.finish()?;
        Ok(self.copied)
    }

    fn begin(&mut self, talk: &read::Talk, at: Timestamp) -> io::Result<()> {
        self.copied.conversations += 1;
        let (session, side, hello) = match &talk.ours {
            Some(ours) => {
                self.enter(ours.section)?;
                (ours.session, ours.side, self.hello(ours))
            }
            None => (FOREIGN | talk.number, Side::Client, String::new()),
        };
        let epoch = self.epochs.entry((session, side)).or_default();
        let blocks = &mut self.recorder.blocks;
        let made = if talk.whole || talk.ours.is_some() {
            Talk::open(session, side, *epoch, at, &[&*hello], blocks)?
        } else {
            Talk::amidst(session, side, *epoch)
        };
        *epoch = epoch.wrapping_add(1);
        let living = Living { talk: made, ours: talk.ours.is_some(), headers: [None, None], closed: None };
        self.living.insert(talk.number, living);
        Ok(())
    }

    /// Session numbers count within a section: another of the source is another of the copy.
    fn enter(&mut self, section: u32) -> io::Result<()> {
        if section <= self.section {
            return Ok(());
        }
        self.recorder.flush()?;
        self.recorder.blocks = Blocks::new(&Section { app: self.app.clone(), ..Section::default() })?;
        self.section = section;
        self.living.clear();
        self.epochs.clear();
        Ok(())
    }

    fn hello(&self, ours: &Ours) -> String {
        let tls = ours.tls.as_ref().map(|tls| {
            let name = tls.name.as_deref().map(|name| self.disguise.address(name));
            comment::tls(&crate::session::TlsInfo { name, ..tls.clone() })
        });
        comment::hello(ours.session, ours.side, &self.disguise.network_address(&ours.client), tls.as_deref())
    }

    fn item(&mut self, item: &Item) -> io::Result<()> {
        let Some(living) = self.living.get_mut(&item.talk.number) else { return Ok(()) };
        let header = living.headers[item.from as usize].as_ref();
        let payload = match item.kind {
            ItemKind::Refused { .. } => {
                self.copied.left_out += 1;
                Cow::Owned(super::redact::stand_in(item.bytes.len()))
            }
            ItemKind::Header => Cow::Owned(self.disguise.header(&item.bytes)),
            ItemKind::Space | ItemKind::Close => Cow::Borrowed(item.bytes.as_ref()),
            ItemKind::Element if self.disguise.is_plain() => {
                self.recorder.redactor.clean(what(item), &item.bytes, header)
            }
            ItemKind::Element => {
                let stanza = matches!(what(item), What::Stanza(_));
                let disguise = &self.disguise;
                let change = &mut |tree: &mut _| disguise.element(tree, stanza);
                Cow::Owned(self.recorder.redactor.rework(&item.bytes, header, change))
            }
        };
        let said = item.said.as_deref().filter(|_| living.ours);
        let number = said.and_then(|said| said.strip_prefix('#')?.split(' ').next()?.parse().ok()).unwrap_or_default();
        let said = said.map(|said| self.disguise.comment(said)).unwrap_or_default();
        living.talk.send(item.from, item.at, &payload, number, &[&*said], &mut self.recorder.blocks)?;
        match item.kind {
            ItemKind::Header => living.headers[item.from as usize] = Some(self.recorder.redactor.header(&payload)),
            ItemKind::Close => living.closed = living.closed.or(Some(item.from)),
            _ => {}
        }
        self.copied.items += 1;
        Ok(())
    }

    fn end(&mut self, number: u64, at: Timestamp, how: Ended, goes_on: bool) -> io::Result<()> {
        let Some(living) = self.living.remove(&number) else { return Ok(()) };
        let said = |text: &'static str| if living.ours { text } else { "" };
        let blocks = &mut self.recorder.blocks;
        match how {
            Ended::Closed if goes_on => living.talk.close(End::Caller, at, said("goes on behind TLS"), blocks),
            Ended::Closed => {
                living.talk.close(living.closed.unwrap_or(End::Caller), at, said("the stream was closed"), blocks)
            }
            Ended::Reset => living.talk.reset(End::Caller, at, said("ended without </stream:stream>"), blocks),
            Ended::Never => Ok(()),
        }
    }
}

/// What an element is.
fn what(item: &Item) -> What {
    match item.view().as_ref().map(|view| view.name().to_owned()).as_deref() {
        Some("message") => What::Stanza(Kind::Message),
        Some("presence") => What::Stanza(Kind::Presence),
        Some("iq") => What::Stanza(Kind::Iq),
        _ => What::Other,
    }
}
