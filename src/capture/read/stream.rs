//! One direction's bytes to the items of its XML streams.
//!
//! Takes pieces in their order, gives items, holes and faults. [`Scanner`] alone decides what is XML. A stream may begin anew where an
//! item ends (RFC 6120 §4.3.3): there an XML declaration or the root's own name begins another document.
//!
//! Behind a hole, or in a conversation whose beginning was not recorded, nobody knows where an item begins. Reading goes on at the
//! next packet that begins as a stanza does (`<message`, `<presence`, `<iq`, `<r `, `<a `), a stream header or `</stream:stream>`: nothing else
//! is tried, what stands before that is counted and left out. (A stanza inside another one that happens to stand at the
//! start of a packet is taken for one.)

use super::{ItemKind, Mark};
use crate::xml::{self, CLIENT_NS, Fault, Head, Limits, Root, STREAM_NS, Scanner, Step};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;

/// What may stand in a capture: more than any session lets pass, and still bounded.
pub(super) const LIMITS: Limits = Limits {
    stanza_bytes: 16 << 20,
    elements: 2_000_000,
    depth: Limits::MAX_DEPTH,
    attributes: 10_000,
    name_bytes: 64 << 10,
    value_bytes: 16 << 20,
};
/// A stream header is not longer.
const HEADER_BYTES: usize = 16 << 10;
/// Elements that must be whole, one behind the other, before reading goes on as if nothing had been lost.
const DOUBTS: u8 = 2;
/// Of what was refused, so much is shown.
const REFUSED_BYTES: usize = 4096;

/// What comes out.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are items, and a box would cost more than the move")]
pub(super) enum Found {
    Item(Raw),
    /// So many bytes were lost, and so many are not read for that: what was unfinished before them.
    Hole {
        lost: u64,
        unread: u64,
    },
    /// So many bytes behind a hole or a fault were not read.
    Skipped(u64),
    /// It ended with so many bytes of an item.
    Unfinished(u64),
    /// What follows is TLS.
    Tls,
    /// It begins as no XMPP stream does.
    Foreign,
}

/// An item.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) kind: ItemKind,
    pub(super) bytes: Bytes,
    pub(super) head: Head,
    pub(super) root: Arc<Root>,
    /// The packet with its first byte.
    pub(super) began: Mark,
    /// The packet with its last byte.
    pub(super) ended: Mark,
}

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first stream header.
    Start,
    /// Between or within items.
    Reading,
    /// Nobody knows where an item begins.
    Lost,
    /// Behind the root's end tag. Our own recorder goes on here with another stream if the server was called anew.
    Closed,
    /// Nothing more is read.
    Shut,
}

/// The state of one direction.
#[derive(Debug)]
pub(super) struct Stream {
    state: State,
    scanner: Scanner,
    root: Arc<Root>,
    /// The root's name as it is written, if it is not the usual one.
    root_name: Vec<u8>,
    pending: BytesMut,
    began: Option<Mark>,
    /// Whether an item is begun.
    within: bool,
    skipped: u64,
    /// Whether the scanner has read no root: it was found anew behind a hole.
    rootless: bool,
    /// So many elements must still be whole before it is believed that it was found where an item begins.
    doubts: u8,
}

impl Stream {
    /// At the start of a connection.
    pub(super) fn new() -> Self {
        Self {
            state: State::Start,
            scanner: Scanner::new(LIMITS),
            root: usual_root(),
            root_name: Vec::new(),
            pending: BytesMut::new(),
            began: None,
            within: false,
            skipped: 0,
            rootless: false,
            doubts: 0,
        }
    }

    /// Somewhere within a connection.
    pub(super) fn joined_late() -> Self {
        let mut stream = Self::new();
        stream.lose();
        stream
    }

    /// Elements without a stream around them.
    pub(super) fn bare() -> Self {
        let mut stream = Self::new();
        stream.lose();
        (stream.state, stream.doubts) = (State::Reading, 0);
        stream
    }

    /// Bytes kept.
    pub(super) fn weight(&self) -> usize {
        self.pending.capacity()
    }

    /// Bytes that come next, as they stood in one segment.
    pub(super) fn bytes(&mut self, bytes: &[u8], mark: &Mark, out: &mut Vec<Found>) {
        let state = self.state;
        match state {
            State::Shut => self.skipped += bytes.len() as u64,
            State::Closed if self.begins_document(bytes) != Some(true) => {
                self.skipped += bytes.iter().filter(|b| !b.is_ascii_whitespace()).count() as u64;
            }
            State::Lost if !self.finds_itself(bytes) => {
                if bytes.first() == Some(&0x16) && self.skipped == 0 {
                    self.shut();
                    out.push(Found::Tls);
                } else {
                    self.skipped += bytes.len() as u64;
                }
            }
            _ => {
                if state == State::Closed {
                    self.state = State::Reading;
                }
                self.pending.extend_from_slice(bytes);
                self.scan(mark, out);
            }
        }
    }

    /// Bytes were lost.
    pub(super) fn hole(&mut self, lost: u64, out: &mut Vec<Found>) {
        self.tell_skipped(out);
        out.push(Found::Hole { lost, unread: self.pending.len() as u64 });
        if !matches!(self.state, State::Shut | State::Closed) {
            self.lose();
        }
    }

    /// Nothing more comes.
    pub(super) fn end(&mut self, out: &mut Vec<Found>) {
        if self.state == State::Start {
            return;
        }
        self.tell_skipped(out);
        if !self.pending.is_empty() {
            out.push(Found::Unfinished(self.pending.len() as u64));
        }
        self.shut();
    }

    /// Bytes that are not read are told before anything that follows them.
    fn tell_skipped(&mut self, out: &mut Vec<Found>) {
        let skipped = std::mem::take(&mut self.skipped);
        if skipped > 0 {
            out.push(Found::Skipped(skipped));
        }
    }

    fn shut(&mut self) {
        self.state = State::Shut;
        self.pending = BytesMut::new();
    }

    fn lose(&mut self) {
        self.state = State::Lost;
        self.pending.clear();
        self.within = false;
        self.began = None;
        self.scanner = Scanner::under(&self.root, LIMITS);
        (self.rootless, self.doubts) = (true, DOUBTS);
    }

    /// Whether reading can go on with a packet that begins so.
    fn finds_itself(&mut self, bytes: &[u8]) -> bool {
        let begins = |name: &[u8]| bytes.strip_prefix(name).is_some_and(|rest| rest.first().is_none_or(ends_name));
        let stanzas: [&[u8]; 5] = [b"<message", b"<presence", b"<iq", b"<r", b"<a"];
        if self.begins_document(bytes) == Some(true) {
            self.begin_document();
        } else if !stanzas.iter().any(|name| begins(name)) && self.closes(bytes) != Some(true) {
            return false;
        }
        self.state = State::Reading;
        true
    }

    /// Whether this is the root's end tag; `None` as long as that cannot be told.
    fn closes(&self, bytes: &[u8]) -> Option<bool> {
        let tag = [b"</", self.root_name()].concat();
        match bytes.strip_prefix(tag.as_slice()).map(|rest| rest.trim_ascii_start().first()) {
            Some(Some(next)) => Some(*next == b'>'),
            Some(None) => None,
            None if tag.starts_with(bytes) => None,
            None => Some(false),
        }
    }

    fn root_name(&self) -> &[u8] {
        if self.root_name.is_empty() { b"stream:stream" } else { &self.root_name }
    }

    /// Whether a new document begins here; `None` as long as that cannot be told.
    fn begins_document(&self, bytes: &[u8]) -> Option<bool> {
        if bytes.first().is_some_and(|first| *first != b'<') {
            return Some(false);
        }
        let mut undecided = false;
        let names: [&[u8]; 3] = [b"?xml", b"stream:stream", self.root_name()];
        for name in names {
            match bytes.strip_prefix(b"<").and_then(|rest| rest.get(..name.len()).map(|start| (rest, start))) {
                Some((rest, start)) if start == name => match rest.get(name.len()) {
                    None => undecided = true,
                    Some(next) if ends_name(next) => return Some(true),
                    Some(_) => {}
                },
                Some(_) => {}
                None => undecided |= bytes.len() <= name.len() && name.starts_with(bytes.get(1..).unwrap_or_default()),
            }
        }
        if undecided { None } else { Some(false) }
    }

    fn begin_document(&mut self) {
        self.scanner = Scanner::new(LIMITS);
        self.within = false;
        self.rootless = false;
    }

    fn scan(&mut self, mark: &Mark, out: &mut Vec<Found>) {
        loop {
            if self.pending.is_empty() {
                // A buffer that has grown is given back once it is empty.
                if self.pending.capacity() > 1 << 20 {
                    self.pending = BytesMut::new();
                }
                return;
            }
            self.began.get_or_insert_with(|| mark.clone());
            if !self.within && !self.goes_on(mark, out) {
                return;
            }
            match self.scanner.scan(&self.pending) {
                Step::More if self.state == State::Start && self.pending.len() > HEADER_BYTES => {
                    self.shut();
                    return out.push(Found::Foreign);
                }
                Step::More => {
                    self.within = true;
                    return;
                }
                Step::Item { len, kind } => {
                    if !self.item(len, kind, mark, out) {
                        return;
                    }
                }
                Step::Refused(refusal) => return self.refused(refusal.fault, refusal.why, mark, out),
            }
        }
    }

    /// Looks at where an item begins. Whether the scanner can go on.
    fn goes_on(&mut self, mark: &Mark, out: &mut Vec<Found>) -> bool {
        if self.pending.first() == Some(&0x16) {
            self.shut();
            out.push(Found::Tls);
            return false;
        }
        if self.state == State::Reading {
            match self.begins_document(&self.pending) {
                None => return false,
                Some(true) => self.begin_document(),
                Some(false) => {}
            }
        }
        match self.closes(&self.pending) {
            _ if !self.rootless => true,
            Some(false) => true,
            None => false,
            Some(true) => {
                let end = memchr::memchr(b'>', &self.pending).map_or(self.pending.len(), |end| end + 1);
                let bytes = self.pending.split_to(end).freeze();
                self.tell_skipped(out);
                let close = self.raw(ItemKind::Close, bytes, Head::default(), mark);
                out.push(Found::Item(close));
                self.close();
                false
            }
        }
    }

    /// The stream is over: what follows, but for white space, is not read.
    fn close(&mut self) {
        self.skipped += self.pending.iter().filter(|b| !b.is_ascii_whitespace()).count() as u64;
        self.shut();
        self.state = State::Closed;
    }

    /// An item is whole. Whether there is more to read.
    fn item(&mut self, len: usize, kind: xml::ItemKind, mark: &Mark, out: &mut Vec<Found>) -> bool {
        let head = *self.scanner.head();
        let kind = match kind {
            xml::ItemKind::Space => ItemKind::Space,
            xml::ItemKind::Close => ItemKind::Close,
            xml::ItemKind::Element => ItemKind::Element,
            xml::ItemKind::Open => {
                let open = self.scanner.open();
                if open.ns != STREAM_NS || open.name != "stream" {
                    let first = self.state == State::Start;
                    self.shut();
                    out.push(if first { Found::Foreign } else { Found::Skipped(len as u64) });
                    return false;
                }
                self.root = Arc::new(open.root.clone());
                ItemKind::Header
            }
        };
        let bytes = self.pending.split_to(len).freeze();
        if kind == ItemKind::Header {
            self.root_name = root_name(&bytes);
            self.doubts = 0;
        }
        if kind == ItemKind::Element {
            self.doubts = self.doubts.saturating_sub(1);
        }
        let shut = kind == ItemKind::Close;
        self.state = State::Reading;
        self.within = false;
        self.tell_skipped(out);
        out.push(Found::Item(self.raw(kind, bytes, head, mark)));
        if shut {
            self.close();
        }
        !shut
    }

    fn raw(&mut self, kind: ItemKind, bytes: Bytes, head: Head, mark: &Mark) -> Raw {
        let began = self.began.take().unwrap_or_else(|| mark.clone());
        Raw { kind, bytes, head, root: Arc::clone(&self.root), began, ended: mark.clone() }
    }

    fn refused(&mut self, fault: Fault, why: &'static str, mark: &Mark, out: &mut Vec<Found>) {
        if self.state == State::Start {
            self.shut();
            return out.push(Found::Foreign);
        }
        if self.doubts > 0 {
            self.skipped += self.pending.len() as u64;
            return self.lose();
        }
        let shown = self.pending.split_to(self.pending.len().min(REFUSED_BYTES)).freeze();
        let rest = self.pending.len() as u64;
        out.push(Found::Item(self.raw(ItemKind::Refused { fault, why }, shown, Head::default(), mark)));
        self.skipped += rest;
        self.shut();
    }
}

/// The name in the start tag that a header ends with.
fn root_name(header: &[u8]) -> Vec<u8> {
    let at = memchr::memrchr(b'<', header).map_or(0, |at| at + 1);
    header.get(at..).unwrap_or_default().iter().copied().take_while(|b| !ends_name(b)).collect()
}

fn ends_name(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'/' | b'>')
}

/// What nearly every stream's root declares.
pub(super) fn usual_root() -> Arc<Root> {
    let decl = |prefix: &str, ns: &str| (prefix.to_owned(), ns.to_owned());
    Arc::new(Root { decls: vec![decl("", CLIENT_NS), decl("stream", STREAM_NS)] })
}
