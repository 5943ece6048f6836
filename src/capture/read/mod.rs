//! Reading captures: our own, and what tcpdump or Wireshark recorded of XMPP in the clear.
//!
//! Takes any reader, gives a sequence of [`Event`]s: conversations as they begin and end, the items of their XML streams, what was
//! lost, what is wrong with the file. Holds what is unfinished and nothing else, within bounds. Must not guess: what cannot be read is told.
//!
//! ```text
//! file     pcapng, pcap -> packets with their time           stream  bytes in order -> items (xml::Scanner)
//! link     Ethernet, SLL, loopback, IP, fragments -> TCP     talk    who called whom; is it XMPP?
//! half     segments -> bytes in order, holes                 table   all conversations
//! said     our own comments -> verdicts, latencies, findings
//! ```
//!
//! A conversation on any port speaks XMPP if it begins with a stream header. One whose beginning was not recorded is read if its port was
//! named ([`Options::ports`]; 5222 always is). Markup that is no capture (`FILE.xml`) is read as what one side sent.

mod file;
mod half;
mod link;
mod said;
mod stream;
mod table;
mod talk;

pub use super::tcp::End;
pub use said::Story;
pub(super) use said::tls_info;

use super::{comment, happened};
use crate::session::{Dir, Happened, TlsInfo};
use crate::xml::{Fault, Head, Root, View};
use crate::xmpp::{Side, Timestamp};
use bytes::Bytes;
use file::{Feed, Format, Next, Packets};
use std::collections::VecDeque;
use std::fmt;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use stream::{Found, Stream};
use table::Table;

/// The port of XMPP clients (RFC 6120 §14.7).
const PORT: u16 = 5222;
/// So much of markup is looked at to tell whether it begins with a stream header.
const HEADER_BYTES: usize = 64;
/// Of markup, so much is read at once.
const TEXT_BYTES: usize = 64 << 10;

/// How to read.
#[derive(Clone, Debug)]
pub struct Options {
    /// Ports on which XMPP is spoken, beside 5222.
    pub ports: Vec<u16>,
    /// Who sent what a file of markup holds.
    pub sender: Side,
}

impl Default for Options {
    fn default() -> Self {
        Self { ports: Vec::new(), sender: Side::Client }
    }
}

/// A conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Talk {
    /// Counts the conversations of the capture.
    pub number: u64,
    /// Who called.
    pub caller: SocketAddr,
    /// Who was called.
    pub listener: SocketAddr,
    /// Whether it was recorded from its first stream header on.
    pub whole: bool,
    /// What our own recorder says of it.
    pub ours: Option<Ours>,
}

/// What our own recorder says of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ours {
    /// The section of the file: session numbers count within one.
    pub section: u32,
    /// The session.
    pub session: u64,
    /// The leg.
    pub side: Side,
    /// The client's address, as text.
    pub client: String,
    /// What the TLS handshake before it agreed on.
    pub tls: Option<TlsInfo>,
}

/// What happened in a capture.
#[derive(Clone, Debug)]
pub enum Event {
    /// A conversation speaks XMPP: told before its first item.
    Begins {
        /// Which.
        talk: Arc<Talk>,
        /// When.
        at: Timestamp,
    },
    /// An item of a stream.
    Item(Item),
    /// Bytes were lost.
    Hole {
        /// In which conversation.
        talk: Arc<Talk>,
        /// Who had sent them.
        from: End,
        /// When that was clear.
        at: Timestamp,
        /// How many.
        lost: u64,
        /// Bytes of an unfinished item before them, which are not read for that.
        unread: u64,
    },
    /// A conversation is over.
    Ends {
        /// Which.
        talk: Arc<Talk>,
        /// When.
        at: Timestamp,
        /// How.
        how: Ended,
        /// Whether its session goes on in another one, behind TLS.
        goes_on: bool,
    },
    /// Something happened to a session of our own beside its items.
    Happened {
        /// The section of the file: session numbers count within one.
        section: u32,
        /// The session.
        session: u64,
        /// When.
        at: Timestamp,
        /// The packet that tells it, counted as Wireshark does.
        frame: u64,
        /// What.
        happened: Happened,
    },
    /// Something is wrong.
    Trouble(Trouble),
}

/// An item of a stream.
#[derive(Clone, Debug)]
pub struct Item {
    /// The conversation.
    pub talk: Arc<Talk>,
    /// Who sent it.
    pub from: End,
    /// When its last byte came.
    pub at: Timestamp,
    /// The packet with its last byte, counted as Wireshark does.
    pub frame: u64,
    /// What it is.
    pub kind: ItemKind,
    /// Its bytes.
    pub bytes: Bytes,
    /// What its head says, if it is an element.
    pub head: Head,
    /// What its stream's root declared.
    pub root: Arc<Root>,
    /// Our own recorder's comment on it.
    pub said: Option<Box<str>>,
}

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemKind {
    /// White space between elements.
    Space,
    /// A stream header.
    Header,
    /// A first-level element.
    Element,
    /// `</stream:stream>`
    Close,
    /// What the scanner refuses: nothing of this direction is read any more. The bytes are its beginning.
    Refused {
        /// What kind of fault.
        fault: Fault,
        /// What exactly, for people.
        why: &'static str,
    },
}

impl Item {
    /// The element, if it is one.
    #[must_use]
    pub fn view(&self) -> Option<View<'_>> {
        (self.kind == ItemKind::Element).then(|| View { bytes: &self.bytes, head: &self.head, root: &self.root })
    }

    /// What our own recorder's comment tells of it.
    #[must_use]
    pub fn story(&self) -> Option<Story> {
        said::item(self.said.as_deref()?)
    }

    /// On which leg it was seen, and which way: a client called, unless it is the server's leg of our own recording.
    #[must_use]
    pub fn way(&self) -> (Side, Dir) {
        let called = self.from == End::Caller;
        match &self.talk.ours {
            Some(Ours { side: Side::Server, .. }) => (Side::Server, if called { Dir::Out } else { Dir::In }),
            Some(Ours { side: Side::Client, .. }) => (Side::Client, if called { Dir::In } else { Dir::Out }),
            None => (if called { Side::Client } else { Side::Server }, Dir::In),
        }
    }

    /// The same, for people; between the peers themselves, if iqtap was not there.
    #[must_use]
    pub fn way_in_words(&self) -> &'static str {
        match self.way() {
            (Side::Client, _) if self.talk.ours.is_none() => "client->server",
            (Side::Server, _) if self.talk.ours.is_none() => "server->client",
            (side, dir) => comment::way(side, dir),
        }
    }
}

/// How a conversation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By FIN from both.
    Closed,
    /// By RST.
    Reset,
    /// The capture ended first, or another conversation began between the same ends.
    Never,
}

/// Something wrong, and where.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// What.
    pub problem: Problem,
    /// When.
    pub at: Timestamp,
    /// The packet at which it was clear; 0 before the first.
    pub frame: u64,
    /// In which conversation.
    pub talk: Option<Arc<Talk>>,
}

/// What can be wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// A block of the file is damaged.
    Damaged {
        /// Where it begins in the file.
        at: u64,
        /// What is wrong with it.
        why: String,
    },
    /// The file ends within a block, of which so many bytes are there.
    Truncated(u64),
    /// The file cannot be read on.
    Unreadable(String),
    /// Packets of this link type are not read.
    Link(u32),
    /// A fragment fits no packet.
    Fragment(String),
    /// It is encrypted.
    Tls {
        /// Between whom.
        ends: [SocketAddr; 2],
    },
    /// It is not XMPP, although its port says so.
    Foreign {
        /// Between whom.
        ends: [SocketAddr; 2],
    },
    /// A file of markup holds neither a stream nor stanzas.
    NoStream,
    /// Bytes came again and were others; the first count.
    Differ {
        /// Who sent them.
        from: End,
        /// How many.
        bytes: u64,
    },
    /// Bytes that are not read, behind a hole or a fault.
    Skipped {
        /// Who sent them.
        from: End,
        /// How many.
        bytes: u64,
    },
    /// The conversation ended, or was not recorded further, within an item.
    Unfinished {
        /// Who sent it.
        from: End,
        /// How many bytes of it there are.
        bytes: u64,
    },
    /// Too much is unfinished at once: the oldest conversation is given up.
    TooMuch,
}

impl Problem {
    /// Whether the file itself is at fault, and not what it recorded.
    #[must_use]
    pub const fn is_of_file(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Truncated(_) | Self::Unreadable(_) | Self::NoStream)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged { at, why } => write!(f, "damaged at byte {at}: {why}"),
            Self::Truncated(bytes) => write!(f, "cut off: it ends with {bytes} bytes of an unfinished block"),
            Self::Unreadable(why) => write!(f, "it cannot be read on: {why}"),
            Self::Link(number) => write!(f, "packets of link type {number} are not read"),
            Self::Fragment(why) => write!(f, "a fragment fits no packet: {why}"),
            Self::Tls { ends: [one, other] } => {
                write!(f, "between {one} and {other} all is encrypted from here on: nothing of it can be read")
            }
            Self::Foreign { ends: [one, other] } => {
                write!(f, "between {one} and {other} something else than XMPP is spoken")
            }
            Self::NoStream => write!(f, "it begins neither with a stream header nor with a stanza"),
            Self::Differ { from, bytes } => {
                write!(f, "{bytes} bytes of the {} came again and were others; the first count", name(*from))
            }
            Self::Skipped { from, bytes } => write!(f, "{bytes} bytes of the {} are not read", name(*from)),
            Self::Unfinished { from, bytes } => {
                write!(f, "it ends with {bytes} bytes of something unfinished from the {}", name(*from))
            }
            Self::TooMuch => write!(f, "too much is unfinished at once: this conversation is given up"),
        }
    }
}

/// The name of an end, for people.
#[must_use]
pub const fn name(end: End) -> &'static str {
    match end {
        End::Caller => "caller",
        End::Listener => "listener",
    }
}

/// The packet that something came with.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    at: Timestamp,
    frame: u64,
    /// Its comment.
    said: Option<Box<str>>,
}

/// Reads a capture: an iterator of what happened.
pub struct Reader<R> {
    source: Source<R>,
    waiting: VecDeque<Event>,
    /// Kept for its capacity.
    fresh: Vec<Event>,
    over: bool,
}

#[expect(clippy::large_enum_variant, reason = "there is one of them")]
enum Source<R> {
    Capture { packets: Packets<R>, links: link::Links, table: Table, last: Mark },
    Text { feed: Feed<R>, stream: Box<Stream>, talk: Arc<Talk>, from: End, begun: bool },
}

impl<R: Read> Reader<R> {
    /// Begins to read.
    ///
    /// # Errors
    /// If it is neither a capture nor markup, or its header is damaged; one line for people.
    pub fn new(source: R, options: &Options) -> Result<Self, String> {
        let mut feed = Feed::new(source);
        // No more than it takes: a pipe may hold a capture that is still being made.
        let mut wanted = 4;
        while feed.fill(wanted) && feed.bytes().trim_ascii_start().len() < 4 && wanted < TEXT_BYTES {
            wanted = feed.bytes().len() + 1;
        }
        if let Some(e) = feed.failure() {
            return Err(e.to_string());
        }
        let Some(format) = file::format(feed.bytes()) else {
            let empty = feed.bytes().is_empty();
            let why = if empty { "it is empty" } else { "it is neither a capture (pcapng, pcap) nor XML" };
            return Err(why.to_owned());
        };
        let source = match format {
            Format::Xml => Source::text(feed, options),
            format => {
                let ports: Vec<u16> = options.ports.iter().copied().chain([PORT]).collect();
                Source::Capture {
                    packets: Packets::new(feed, format)?,
                    links: link::Links::default(),
                    table: Table::new(&ports),
                    last: Mark { at: Timestamp::default(), frame: 0, said: None },
                }
            }
        };
        Ok(Self { source, waiting: VecDeque::new(), fresh: Vec::new(), over: false })
    }

    /// How many bytes of the file have been read.
    #[must_use]
    pub fn position(&self) -> u64 {
        match &self.source {
            Source::Capture { packets, .. } => packets.feed.taken,
            Source::Text { feed, .. } => feed.taken,
        }
    }

    /// How many packets have been read.
    #[must_use]
    pub fn packets(&self) -> u64 {
        match &self.source {
            Source::Capture { last, .. } => last.frame,
            Source::Text { .. } => 0,
        }
    }

    /// Reads the next packet.
    fn advance(&mut self) {
        match &mut self.source {
            Source::Capture { packets, links, table, last } => {
                let trouble = |problem, mark: &Mark| Trouble { problem, at: mark.at, frame: mark.frame, talk: None };
                match packets.next() {
                    Next::Packet(packet) => {
                        *last = Mark { at: packet.at, frame: packet.frame, said: packet.comment.map(Into::into) };
                        match links.open(packet.link, packet.data) {
                            Ok(Some(segment)) => table.segment(&segment, packet.section, last, &mut self.fresh),
                            Ok(None) => {
                                let said = last.said.as_deref().and_then(happened::read);
                                self.fresh.extend(said.map(|(session, happened)| Event::Happened {
                                    section: packet.section,
                                    session,
                                    at: last.at,
                                    frame: last.frame,
                                    happened,
                                }));
                            }
                            Err(problem) => self.fresh.push(Event::Trouble(trouble(problem, last))),
                        }
                    }
                    Next::Fault(problem) => self.fresh.push(Event::Trouble(trouble(problem, last))),
                    Next::End => {
                        table.end(&mut self.fresh);
                        self.over = true;
                    }
                }
            }
            Source::Text { feed, stream, talk, from, begun } => {
                feed.fill(1);
                let bytes = feed.bytes();
                let mut found = Vec::new();
                let mark = Mark { at: Timestamp::default(), frame: 0, said: None };
                if bytes.is_empty() {
                    self.over = true;
                    stream.end(&mut found);
                } else {
                    let count = bytes.len().min(TEXT_BYTES);
                    stream.bytes(bytes.get(..count).unwrap_or(bytes), &mark, &mut found);
                    feed.take(count);
                }
                if !std::mem::replace(begun, true) {
                    self.fresh.push(Event::Begins { talk: Arc::clone(talk), at: mark.at });
                }
                self.fresh.extend(found.into_iter().map(|found| text_event(found, talk, *from)));
                if self.over {
                    let talk = Arc::clone(talk);
                    self.fresh.push(Event::Ends { talk, at: mark.at, how: Ended::Never, goes_on: false });
                }
            }
        }
        self.waiting.extend(self.fresh.drain(..));
    }
}

impl<R: Read> Source<R> {
    /// Markup: a stream of one direction, or stanzas without a stream around them.
    fn text(mut feed: Feed<R>, options: &Options) -> Self {
        feed.fill(feed.bytes().len() - feed.bytes().trim_ascii_start().len() + HEADER_BYTES);
        let start = feed.bytes().trim_ascii_start();
        let framed = start.starts_with(b"<?xml") || start.get(..HEADER_BYTES.min(start.len())).is_some_and(is_header);
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let talk = Talk { number: 1, caller: nowhere, listener: nowhere, whole: false, ours: None };
        let from = if options.sender == Side::Client { End::Caller } else { End::Listener };
        let stream = Box::new(if framed { Stream::new() } else { Stream::bare() });
        Self::Text { feed, stream, talk: Arc::new(talk), from, begun: false }
    }
}

/// Whether markup begins with a stream header.
fn is_header(start: &[u8]) -> bool {
    let name = start.split(|b| b.is_ascii_whitespace() || *b == b'>').next().unwrap_or_default();
    name == b"<stream" || name.ends_with(b":stream")
}

fn text_event(found: Found, talk: &Arc<Talk>, from: End) -> Event {
    let (at, frame, talk) = (Timestamp::default(), 0, Arc::clone(talk));
    let trouble = |problem, talk| Event::Trouble(Trouble { problem, at, frame, talk: Some(talk) });
    match found {
        Found::Item(raw) => Event::Item(Item {
            talk,
            from,
            at,
            frame,
            kind: raw.kind,
            bytes: raw.bytes,
            head: raw.head,
            root: raw.root,
            said: None,
        }),
        Found::Hole { lost, unread } => Event::Hole { talk, from, at, lost, unread },
        Found::Skipped(bytes) => trouble(Problem::Skipped { from, bytes }, talk),
        Found::Unfinished(bytes) => trouble(Problem::Unfinished { from, bytes }, talk),
        Found::Tls | Found::Foreign => trouble(Problem::NoStream, talk),
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        while self.waiting.is_empty() && !self.over {
            self.advance();
        }
        self.waiting.pop_front()
    }
}

impl<R> fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("waiting", &self.waiting.len()).field("over", &self.over).finish_non_exhaustive()
    }
}
