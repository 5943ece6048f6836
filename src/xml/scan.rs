//! The strict resumable scanner: where a first-level element ends, whether it is legal, what its [`Head`] says.
//!
//! Takes the bytes of one document in any pieces, gives items or one refusal. Every byte is looked at a bounded number
//! of times, whatever the pieces. What is decided is a function of the bytes alone: a check is made where it falls
//! due in the bytes, not when they come in. Must not know what a stanza means.
//!
//! ```text
//!   Start -> Blank -> Markup -+-> Tag ---+      Start, Blank: the XML declaration and white space before the root
//!              (root)  ^  ^   +-> End ---+      Markup: at a `<`
//!                      |  |   +-> Cdata -+      Text: content, and (with nothing open) between first-level elements
//!                      |  +------ Text <-+<---> Ref
//! ```

mod bytes;
mod judge;
mod markup;
mod names;
mod place;
mod prolog;
mod refs;
mod room;
mod scope;
mod tag;
mod tidy;
mod utf8;

pub use tidy::normalise;

pub(super) use bytes::same;
pub(super) use refs::{content_text, value_text};
pub(super) use scope::slice;

use super::{Head, Limits, OpenTag, Root, Span, shared_root};
use bytes::{is_space, skip_space, text_end};
use judge::Prefixed;
use prolog::Start;
use refs::Ref;
use room::Room;
use scope::{Bound, Scope};
use std::sync::Arc;
use tag::Tag;

/// Why bytes were refused. Each maps to one stream error condition of RFC 6120 §4.9.3 (in `xmpp::error`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// Not well-formed XML 1.0, bad UTF-8 included: `not-well-formed`.
    NotWellFormed,
    /// Comment, processing instruction, DTD, entity beyond the five: `restricted-xml` (RFC 6120 §11.1).
    Restricted,
    /// UTF-16, or a declared encoding other than UTF-8: `unsupported-encoding` (RFC 6120 §11.6).
    Encoding,
    /// A prefix that is not bound, or a reserved one bound: `bad-namespace-prefix`.
    Prefix,
    /// Text between stanzas: `bad-format`.
    Format,
    /// A first-level element in no namespace or in `jabber:server`: `invalid-namespace`.
    Namespace,
    /// An element of the streams namespace inside a stanza: `invalid-xml`.
    Nested,
    /// Over a limit: `policy-violation`.
    Limit,
}

/// A refusal: the stream is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What kind.
    pub fault: Fault,
    /// What exactly, for people.
    pub why: &'static str,
    /// Byte offset into the buffer given to [`Scanner::scan`].
    pub at: usize,
}

/// What a finished item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemKind {
    /// White space between first-level elements.
    Space,
    /// The XML declaration, if any, and the root's start tag: see [`Scanner::open`].
    Open,
    /// A first-level element: see [`Scanner::head`].
    Element,
    /// The root's end tag.
    Close,
}

/// What a call to [`Scanner::scan`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The buffer ends within an item: keep it, append, call again.
    More,
    /// The first `len` bytes of the buffer are a finished item: drop them, call again.
    Item {
        /// Its length in bytes.
        len: usize,
        /// What it is.
        kind: ItemKind,
    },
    /// The stream must be closed; every later call says the same.
    Refused(Refusal),
}

/// Where in the document the scanner is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the end of the root's start tag.
    Prolog,
    /// Inside the root.
    Stream,
    /// Behind the root's end tag.
    After,
}

/// What is being read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Start,
    Blank,
    Text,
    Ref,
    Markup,
    Tag,
    /// An end tag whose name begins here.
    End(usize),
    /// After the name of an end tag.
    EndGap,
    /// A CDATA section whose content begins here.
    Cdata(usize),
}

/// An element that is open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opened {
    name: Span,
    /// [`Scope::mark`] before its own declarations.
    mark: usize,
}

/// A fault with the place where it falls due.
#[derive(Clone, Copy, Debug)]
struct Bad {
    fault: Fault,
    why: &'static str,
    at: usize,
}

fn ill(why: &'static str, at: usize) -> Bad {
    Bad { fault: Fault::NotWellFormed, why, at }
}

/// One direction of one XML stream, from the first byte of the document.
#[derive(Debug)]
pub struct Scanner {
    limits: Limits,
    next_limits: Limits,
    place: Place,
    state: State,
    /// The next byte to look at; all offsets are into the buffer that begins with the unfinished item.
    pos: usize,
    /// So many bytes of the buffer have been through the character check...
    seen: usize,
    /// ...and so many of them were sound characters.
    sound: usize,
    /// What is wrong with the bytes at `sound`.
    unsound: Option<&'static str>,
    /// Bytes up to here may hold a CR.
    returns: usize,
    /// Whether nothing of the document has been given out yet.
    first: bool,
    refused: Option<Refusal>,
    /// Whether it has the room to read that it gives back when it rests.
    has_room: bool,
    tag: Tag,
    scope: Scope,
    stack: Vec<Opened>,
    scratch: Vec<Prefixed>,
    root_name: Vec<u8>,
    /// What the name of the last start tag is bound to...
    bound: Bound,
    /// ...and that of the first-level element.
    own: Bound,
    head: Head,
    root: Arc<Root>,
    /// The header, until it is forgotten.
    open: Option<Box<OpenTag>>,
}

/// Offsets are kept in 32 bits.
const LARGEST: usize = 1 << 31;

impl Scanner {
    /// A scanner at the very start of a document.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            next_limits: limits,
            place: Place::Prolog,
            state: State::Start,
            pos: 0,
            seen: 0,
            sound: 0,
            unsound: None,
            returns: 0,
            first: true,
            refused: None,
            has_room: false,
            tag: Tag::default(),
            scope: Scope::default(),
            stack: Vec::new(),
            scratch: Vec::new(),
            root_name: Vec::new(),
            bound: Bound::default(),
            own: Bound::default(),
            head: Head::default(),
            root: Arc::default(),
            open: None,
        }
    }
    /// A scanner inside a root that was read elsewhere: it expects first-level elements, and no end tag for the root.
    #[must_use]
    pub fn under(root: &Root, limits: Limits) -> Self {
        let mut scanner = Self::new(limits);
        scanner.place = Place::Stream;
        scanner.state = State::Text;
        scanner.first = false;
        scanner.scope.set_root(root);
        scanner.root = shared_root(root);
        scanner
    }
    /// Looks for the next finished item. `buf` must begin where the unfinished item begins, and hold the bytes given
    /// before plus, possibly, more. Does not look twice at bytes it has seen.
    pub fn scan(&mut self, buf: &[u8]) -> Step {
        if let Some(refusal) = self.refused {
            return Step::Refused(refusal);
        }
        if !self.has_room {
            self.has_room = true;
            self.exchange(&mut Room::take());
        }
        match self.step(buf) {
            Ok(None) => Step::More,
            Ok(Some((len, kind))) => {
                self.rebase(len);
                Step::Item { len, kind }
            }
            Err(Bad { fault, why, at }) => {
                let refusal = Refusal { fault, why, at };
                self.refused = Some(refusal);
                Step::Refused(refusal)
            }
        }
    }
    /// No more will come for a while: between two items, what is needed only to read is given back.
    pub fn rest(&mut self) {
        let between = self.pos == 0 && self.place == Place::Stream && self.stack.is_empty();
        if self.has_room && between {
            self.has_room = false;
            let mut room = Room::default();
            self.exchange(&mut room);
            room.give();
        }
    }
    /// The stream header has been read by whoever wanted to: all of it but what it declared is forgotten.
    pub fn forget_open(&mut self) {
        self.open = None;
    }
    fn exchange(&mut self, room: &mut Room) {
        std::mem::swap(&mut self.tag.attrs, &mut room.attrs);
        std::mem::swap(&mut self.scratch, &mut room.scratch);
        std::mem::swap(&mut self.stack, &mut room.stack);
        self.scope.exchange(&mut room.decls);
    }
    /// The head of the element just finished.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }
    /// The root's start tag, once seen.
    #[must_use]
    pub fn open(&self) -> &OpenTag {
        static NONE: OpenTag =
            OpenTag { ns: String::new(), name: String::new(), attrs: Vec::new(), root: Root { decls: Vec::new() } };
        self.open.as_deref().unwrap_or(&NONE)
    }
    /// What the root declared.
    #[must_use]
    pub fn root(&self) -> &Root {
        &self.root
    }
    /// Changes the limits; holds from the next first-level element on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.next_limits = limits;
    }

    fn step(&mut self, buf: &[u8]) -> Result<Option<(usize, ItemKind)>, Bad> {
        if self.pos == 0 {
            self.limits = self.next_limits;
            self.limits.stanza_bytes = self.limits.stanza_bytes.min(LARGEST);
        }
        self.check(buf)?;
        let sound = buf.get(..self.sound).unwrap_or(buf);
        if self.pos == 0 && self.place != Place::Prolog && sound.first().is_some_and(|&b| is_space(b)) {
            return Ok(Some((skip_space(sound, 0), ItemKind::Space)));
        }
        let full = sound.len() >= self.limits.stanza_bytes;
        let visible = if full { whole_characters(sound, self.limits.stanza_bytes) } else { sound };
        let found = match self.place {
            Place::Prolog => self.prolog(visible)?,
            Place::Stream => self.content(visible)?,
            Place::After if visible.is_empty() => None,
            Place::After => return Err(ill("something behind the end of the stream", 0)),
        };
        match (found, self.unsound) {
            (Some(item), _) => Ok(Some(item)),
            (None, _) if full => {
                Err(Bad { fault: Fault::Limit, why: "a stanza with too many bytes", at: self.limits.stanza_bytes })
            }
            (None, Some(why)) => Err(ill(why, self.sound)),
            (None, None) => Ok(None),
        }
    }
    /// Checks the characters that are new in the buffer.
    fn check(&mut self, buf: &[u8]) -> Result<(), Bad> {
        if buf.len() <= self.seen || self.unsound.is_some() {
            return Ok(());
        }
        if self.first && self.pos < 2 {
            encoding(buf)?;
        }
        let checked = utf8::check(buf.get(self.sound..).unwrap_or_default());
        self.seen = buf.len();
        self.sound += checked.sound;
        self.unsound = checked.bad;
        if checked.cr {
            self.returns = self.sound;
        }
        Ok(())
    }
    /// The item of `len` bytes is done: the next one begins at 0.
    fn rebase(&mut self, len: usize) {
        self.pos = 0;
        self.seen = self.seen.saturating_sub(len);
        self.sound = self.sound.saturating_sub(len);
        self.returns = self.returns.saturating_sub(len);
        self.first = false;
    }

    /// Before the root: the XML declaration, white space, the root's start tag.
    fn prolog(&mut self, buf: &[u8]) -> Result<Option<(usize, ItemKind)>, Bad> {
        if self.state == State::Start {
            match prolog::declaration(buf)? {
                Start::More => return Ok(None),
                Start::Bare => {}
                Start::Declared(len) => self.pos = len,
            }
            self.state = State::Blank;
        }
        if self.state == State::Blank {
            self.pos = skip_space(buf, self.pos);
            match buf.get(self.pos..) {
                None | Some([]) => return Ok(None),
                Some([b'<', ..]) => self.state = State::Markup,
                Some([0xEF, 0xBB, 0xBF, ..]) => return Err(ill("a byte order mark", self.pos)),
                Some(_) => return Err(ill("text before the stream header", self.pos)),
            }
        }
        self.content(buf)
    }

    /// Reads on until an item is finished or the bytes end.
    fn content(&mut self, buf: &[u8]) -> Result<Option<(usize, ItemKind)>, Bad> {
        if self.pos == 0 && self.state == State::Text {
            match buf.first() {
                None => return Ok(None),
                Some(b'<') => self.state = State::Markup,
                Some(_) => return Err(Bad { fault: Fault::Format, why: "text between first-level elements", at: 0 }),
            }
        }
        loop {
            match self.state {
                State::Text => {
                    self.pos = text_end(buf, self.pos);
                    match buf.get(self.pos) {
                        None => return Ok(None),
                        Some(b'<') => self.state = State::Markup,
                        Some(b'&') => self.state = State::Ref,
                        Some(_) => {
                            if buf.get(..self.pos).is_some_and(|before| before.ends_with(b"]]")) {
                                return Err(ill("]]> in text", self.pos));
                            }
                            self.pos += 1;
                        }
                    }
                }
                State::Markup => match buf.get(self.pos + 1) {
                    None => return Ok(None),
                    Some(b'/') => {
                        if self.place == Place::Prolog || self.stack.is_empty() && self.root_name.is_empty() {
                            return Err(ill("an end tag with nothing open", self.pos));
                        }
                        self.pos += 2;
                        self.state = State::End(self.pos);
                    }
                    Some(b'!') => {
                        if !self.bang(buf)? {
                            return Ok(None);
                        }
                    }
                    Some(b'?') => return self.question(buf),
                    Some(_) => {
                        self.tag.begin(self.pos);
                        self.pos += 1;
                        self.state = State::Tag;
                    }
                },
                State::Tag => {
                    let mut pos = self.pos;
                    let ended = self.tag.read(buf, &mut pos, &self.limits)?;
                    self.pos = pos;
                    match ended {
                        None => return Ok(None),
                        Some(empty) => {
                            self.state = State::Text;
                            if let Some(kind) = self.start_tag(buf, empty)? {
                                return Ok(Some((pos, kind)));
                            }
                        }
                    }
                }
                State::End(_) | State::EndGap => {
                    if !self.end_tag(buf)? {
                        return Ok(None);
                    }
                    if let Some(kind) = self.close(buf) {
                        return Ok(Some((self.pos, kind)));
                    }
                }
                State::Cdata(from) => match memchr::memchr(b'>', buf.get(self.pos..).unwrap_or_default()) {
                    None => {
                        self.pos = buf.len();
                        return Ok(None);
                    }
                    Some(n) => {
                        self.pos += n + 1;
                        if buf.get(from..self.pos).is_some_and(|content| content.ends_with(b"]]>")) {
                            self.state = State::Text;
                        }
                    }
                },
                State::Ref => match refs::read(buf.get(self.pos..).unwrap_or_default()) {
                    Ref::More => return Ok(None),
                    Ref::Bad(fault, why) => return Err(Bad { fault, why, at: self.pos }),
                    Ref::Char(_, len) => {
                        self.pos += len;
                        self.state = State::Text;
                    }
                },
                State::Start | State::Blank => return Ok(None),
            }
        }
    }

    /// An end tag is whole.
    fn close(&mut self, buf: &[u8]) -> Option<ItemKind> {
        self.state = State::Text;
        let Some(opened) = self.stack.pop() else {
            self.place = Place::After;
            return Some(ItemKind::Close);
        };
        self.scope.close(opened.mark);
        if self.stack.is_empty() {
            self.finish_element(buf);
            return Some(ItemKind::Element);
        }
        None
    }
    fn finish_element(&mut self, buf: &[u8]) {
        self.head.untidy |=
            self.returns > 0 && memchr::memchr(b'\r', buf.get(..self.pos).unwrap_or_default()).is_some();
        self.trim();
    }
    /// What a huge element made grow is given back; what usual ones need is kept.
    fn trim(&mut self) {
        const USUAL: usize = 64;
        self.tag.attrs.clear();
        self.tag.attrs.shrink_to(USUAL);
        self.scratch.clear();
        self.scratch.shrink_to(USUAL);
        self.stack.shrink_to(USUAL);
        self.scope.trim(USUAL);
    }
}

/// UTF-16 and UTF-32 are told by the first two bytes (XML 1.0 appendix F). What cannot begin a document in any encoding is refused
/// by its first byte, however many have come.
fn encoding(buf: &[u8]) -> Result<(), Bad> {
    match buf {
        [0 | 0xFE | 0xFF, ..] => Err(Bad { fault: Fault::Encoding, why: "not UTF-8 but another encoding", at: 0 }),
        [b'<' | b' ' | b'\t' | b'\r' | b'\n', 0, ..] => {
            Err(Bad { fault: Fault::Encoding, why: "not UTF-8 but another encoding", at: 1 })
        }
        _ => Ok(()),
    }
}

/// The first `limit` bytes, less a character that would be cut in two.
fn whole_characters(buf: &[u8], limit: usize) -> &[u8] {
    let mut end = limit;
    while buf.get(end).is_some_and(|b| b & 0xC0 == 0x80) && end > 0 {
        end -= 1;
    }
    buf.get(..end).unwrap_or(buf)
}
