//! The strict resumable scanner: where a first-level element ends, whether it is legal, what its [`Head`] says.

use super::{Head, Limits, OpenTag, Root};

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

/// One direction of one XML stream, from the first byte of the document.
#[derive(Debug)]
pub struct Scanner {
    head: Head,
    open: OpenTag,
}

impl Scanner {
    /// A scanner at the very start of a document.
    #[must_use]
    pub fn new(_limits: Limits) -> Self {
        todo!()
    }
    /// Looks for the next finished item. `buf` must begin where the unfinished item begins, and hold the bytes given
    /// before plus, possibly, more. Does not look twice at bytes it has seen.
    pub fn scan(&mut self, _buf: &[u8]) -> Step {
        todo!()
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
    pub fn set_limits(&mut self, _limits: Limits) {
        todo!()
    }
}

/// The bytes of an untidy element as every parser reads them (CR LF and CR to LF; in attribute values each to a space),
/// with the head that fits them. `bytes` must be an element the scanner has accepted under `root`.
/// Returns `None` only if the normalised bytes would not be accepted again (cannot happen; fail closed).
#[must_use]
pub fn normalise(_bytes: &[u8], _root: &Root) -> Option<(Vec<u8>, Head)> {
    todo!()
}
