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
mod names;
mod prolog;
mod refs;
mod scope;
mod tag;
mod tidy;
mod utf8;

pub use tidy::normalise;

pub(super) use bytes::same;
pub(super) use refs::value_text;
pub(super) use scope::slice;

use super::{Head, Limits, Name, OpenAttr, OpenTag, Root, Span, XML_NS};
use bytes::{is_space, skip_space, text_end};
use judge::{Around, Prefixed, judge};
use prolog::Start;
use refs::Ref;
use scope::{Bound, Known, Scope};
use tag::{Tag, Written};

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
struct Opened {
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
    open: OpenTag,
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
            tag: Tag::default(),
            scope: Scope::default(),
            stack: Vec::new(),
            scratch: Vec::new(),
            root_name: Vec::new(),
            bound: Bound::default(),
            own: Bound::default(),
            head: Head::default(),
            open: OpenTag::default(),
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
        scanner.open.root = root.clone();
        scanner
    }
    /// Looks for the next finished item. `buf` must begin where the unfinished item begins, and hold the bytes given
    /// before plus, possibly, more. Does not look twice at bytes it has seen.
    pub fn scan(&mut self, buf: &[u8]) -> Step {
        if let Some(refusal) = self.refused {
            return Step::Refused(refusal);
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
    /// The head of the element just finished.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }
    /// The root's start tag, once seen.
    #[must_use]
    pub fn open(&self) -> &OpenTag {
        &self.open
    }
    /// What the root declared.
    #[must_use]
    pub fn root(&self) -> &Root {
        &self.open.root
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

    /// At `<!`: only a CDATA section inside an element may begin so. `false`: cannot be said yet.
    fn bang(&mut self, buf: &[u8]) -> Result<bool, Bad> {
        const CDATA: &[u8] = b"<![CDATA[";
        let here = buf.get(self.pos..).unwrap_or_default();
        if here.starts_with(CDATA) {
            if self.place == Place::Prolog {
                return Err(ill("a CDATA section before the stream header", self.pos));
            }
            if self.stack.is_empty() {
                let why = "a CDATA section between first-level elements";
                return Err(Bad { fault: Fault::Format, why, at: self.pos });
            }
            self.pos += CDATA.len();
            self.state = State::Cdata(self.pos);
            return Ok(true);
        }
        if CDATA.starts_with(here) {
            return Ok(false);
        }
        match here.get(2) {
            Some(b'-') => Err(Bad { fault: Fault::Restricted, why: "a comment", at: self.pos }),
            Some(b) if b.is_ascii_alphabetic() => {
                Err(Bad { fault: Fault::Restricted, why: "a markup declaration", at: self.pos })
            }
            _ => Err(ill("<! that begins nothing known", self.pos)),
        }
    }
    /// At `<?`: never legal; what it is decides how it is refused.
    fn question(&self, buf: &[u8]) -> Result<Option<(usize, ItemKind)>, Bad> {
        const OPENING: &[u8] = b"<?xml";
        let here = buf.get(self.pos..).unwrap_or_default();
        if self.place == Place::Prolog && OPENING.starts_with(here) {
            return Ok(None);
        }
        if self.place == Place::Prolog && here.starts_with(OPENING) {
            match here.get(OPENING.len()) {
                None => return Ok(None),
                Some(&b) if is_space(b) || b == b'?' => {
                    return Err(ill("an XML declaration that is not the very first thing", self.pos));
                }
                Some(_) => {}
            }
        }
        Err(Bad { fault: Fault::Restricted, why: "a processing instruction", at: self.pos })
    }

    /// Reads on in an end tag; `true`: it has ended.
    fn end_tag(&mut self, buf: &[u8]) -> Result<bool, Bad> {
        if let State::End(from) = self.state {
            let name = match self.stack.last() {
                Some(opened) => slice(buf, opened.name),
                None => self.root_name.as_slice(),
            };
            let wanted = name.get(self.pos - from..).unwrap_or_default();
            let there = buf.get(self.pos..).unwrap_or_default();
            let n = wanted.len().min(there.len());
            if !same(wanted.get(..n).unwrap_or_default(), there.get(..n).unwrap_or_default()) {
                return Err(ill("an end tag that does not match", from));
            }
            let all = n == wanted.len();
            self.pos += n;
            if !all {
                return Ok(false);
            }
            self.state = State::EndGap;
        }
        self.pos = skip_space(buf, self.pos);
        match buf.get(self.pos) {
            None => Ok(false),
            Some(b'>') => {
                self.pos += 1;
                Ok(true)
            }
            Some(_) => Err(ill("an end tag that does not match", self.pos)),
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
    }

    /// A start tag is whole; it was an empty element if `empty`.
    fn start_tag(&mut self, buf: &[u8], empty: bool) -> Result<Option<ItemKind>, Bad> {
        let mark = self.scope.mark();
        let around = Around { buf, root: &self.open.root };
        let leans = judge(&self.tag, &mut self.scope, around, &self.limits, &mut self.scratch, &mut self.bound)?;
        if self.place == Place::Prolog {
            return self.root_tag(buf, empty);
        }
        self.place_element(buf, leans)?;
        if !empty {
            self.stack.push(Opened { name: self.tag.name.raw(), mark });
            return Ok(None);
        }
        self.scope.close(mark);
        if !self.stack.is_empty() {
            return Ok(None);
        }
        self.finish_element(buf);
        Ok(Some(ItemKind::Element))
    }
    /// May the element stand here? What does its head say?
    fn place_element(&mut self, buf: &[u8], leans: bool) -> Result<(), Bad> {
        let bad = |fault, why, at| Err(Bad { fault, why, at });
        let at = self.tag.start;
        let local = self.tag.name.local();
        let depth = self.stack.len() + 1;
        if depth == 1 {
            match self.bound.known {
                Known::None => return bad(Fault::Namespace, "a first-level element in no namespace", at),
                Known::Server => return bad(Fault::Namespace, "a first-level element in jabber:server", at),
                Known::Stream if same(slice(buf, local), b"stream") => {
                    return bad(Fault::Nested, "a stream header inside the stream", at);
                }
                _ => {}
            }
            self.own = self.bound;
            self.head = Head { name: Name { ns: self.bound.ns, local }, ..Head::default() };
            for attr in &self.tag.attrs {
                note(&mut self.head, buf, attr);
            }
        } else if self.bound.known == Known::Stream {
            return bad(Fault::Nested, "an element of the streams namespace inside a stanza", at);
        }
        if depth > self.limits.depth as usize {
            return bad(Fault::Limit, "elements nested too deeply", at);
        }
        let head = &mut self.head;
        head.elements += 1;
        if head.elements > self.limits.elements {
            return bad(Fault::Limit, "too many elements", at);
        }
        head.leans |= leans;
        head.untidy |= self.tag.untidy;
        if depth == 2 {
            let name = Name { ns: self.bound.ns, local };
            head.children += 1;
            head.first_child.get_or_insert(name);
            if same(slice(buf, local), b"error") && self.scope.equal(buf, &self.open.root, self.bound, self.own) {
                head.errors += 1;
            } else {
                head.payload.get_or_insert(name);
            }
        }
        Ok(())
    }
    /// The root's start tag is whole.
    fn root_tag(&mut self, buf: &[u8], empty: bool) -> Result<Option<ItemKind>, Bad> {
        if empty {
            return Err(Bad { fault: Fault::Format, why: "a stream that ends with its header", at: self.tag.start });
        }
        let owned = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let none = Root::default();
        let mut attrs = Vec::new();
        for attr in self.tag.attrs.iter().filter(|a| !a.declares) {
            let ns = match slice(buf, attr.name.prefix()) {
                b"" => String::new(),
                b"xml" => XML_NS.to_owned(),
                prefix => {
                    let bound = self.scope.lookup(buf, &none, prefix).unwrap_or_default();
                    owned(self.scope.name(buf, &none, bound))
                }
            };
            let value = value_text(slice(buf, attr.value.span)).into_owned();
            attrs.push(OpenAttr { ns, name: owned(slice(buf, attr.name.local())), value });
        }
        let ns = owned(self.scope.name(buf, &none, self.bound));
        let root = self.scope.to_root(buf);
        self.root_name.clear();
        self.root_name.extend_from_slice(slice(buf, self.tag.name.raw()));
        self.open = OpenTag { ns, name: owned(slice(buf, self.tag.name.local())), attrs, root };
        self.scope.set_root(&self.open.root);
        self.place = Place::Stream;
        Ok(Some(ItemKind::Open))
    }
}

/// Takes an attribute of the first-level element into its head, if that holds it.
fn note(head: &mut Head, buf: &[u8], attr: &Written) {
    if attr.name.colon != 0 {
        if slice(buf, attr.name.raw()) == b"xml:lang" {
            head.lang = Some(attr.value);
        }
        return;
    }
    match slice(buf, attr.name.raw()) {
        b"id" => head.id = Some(attr.value),
        b"to" => head.to = Some(attr.value),
        b"type" => head.kind = Some(attr.value),
        b"from" => head.from = Some(attr.value),
        _ => {}
    }
}

/// UTF-16 and UTF-32 are told by the first two bytes (XML 1.0 appendix F).
fn encoding(buf: &[u8]) -> Result<(), Bad> {
    match buf {
        [0 | 0xFE | 0xFF, ..] => Err(Bad { fault: Fault::Encoding, why: "not UTF-8 but another encoding", at: 0 }),
        [_, 0, ..] => Err(Bad { fault: Fault::Encoding, why: "not UTF-8 but another encoding", at: 1 }),
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
