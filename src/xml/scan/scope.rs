//! Namespaces in force: what the root declared, and what the open elements declared over it.
//!
//! Takes declarations and prefixes, gives bindings. Namespace names are kept as places, never joined with local names.
//! Must not judge where an element may stand.

use super::bytes::{has_space, off, same};
use super::names::QName;
use super::refs::value_text;
use super::{Bad, Fault};
use crate::xml::{CLIENT_NS, NsRef, Root, STREAM_NS, Span, Value, XML_NS, XMLNS_NS};

/// The content namespace of server-to-server streams (RFC 6120 §4.8.2).
const SERVER_NS: &str = "jabber:server";

/// So many declarations may be in force at once. A prefix is looked up by walking them, so this bounds the cost of a
/// stanza; real stanzas have a handful.
const IN_FORCE: usize = 128;

/// The namespaces the scanner itself must tell apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Known {
    #[default]
    None,
    Xml,
    Client,
    Server,
    Stream,
    Other,
}

impl Known {
    fn of(name: &[u8]) -> Self {
        match name.len() {
            0 => Self::None,
            13 if name == CLIENT_NS.as_bytes() => Self::Client,
            13 if name == SERVER_NS.as_bytes() => Self::Server,
            32 if name == STREAM_NS.as_bytes() => Self::Stream,
            _ => Self::Other,
        }
    }
}

/// What a name's prefix stands for. (Small on purpose: it is handed around for every start tag.)
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bound {
    pub(super) known: Known,
    /// Resolved by the root in a way another root would not: see [`crate::xml::Head::leans`].
    pub(super) leans: bool,
    declared: Declared,
}

/// Where a binding was declared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Declared {
    /// Nowhere, or it is `xml`, whose binding nobody needs to declare.
    #[default]
    Nowhere,
    /// Index into [`Root::decls`].
    Root(u16),
    /// Index into [`Scope::decls`].
    Here(u32),
}

impl Bound {
    /// Whether two bindings are one and the same declaration.
    pub(super) fn is(self, other: Self) -> bool {
        self.known == other.known && self.declared == other.declared
    }
}

/// One declaration inside the element being read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decl {
    prefix: Span,
    value: Value,
    /// The name itself, if the value is written with references: a place in [`Scope::unescaped`].
    text: Option<Span>,
    known: Known,
    /// The default declaration before this one (if this is one).
    outer: Option<u32>,
}

/// See the head of the module.
#[derive(Debug, Default)]
pub(super) struct Scope {
    decls: Vec<Decl>,
    /// Index of the default declaration in force, if it is not the root's.
    default: Option<u32>,
    unescaped: String,
    /// What the root's declarations are bound to, in the order of [`Root::decls`].
    roots: Vec<Bound>,
    root_default: Bound,
}

impl Scope {
    /// From now on names stand under this root; nothing else is in force.
    pub(super) fn set_root(&mut self, root: &Root) {
        self.close(0);
        // Without a default declaration names without prefix lean, too: under our own roots they would be in one.
        self.root_default = Bound { leans: true, ..Bound::default() };
        self.roots.clear();
        for (i, (prefix, name)) in root.decls.iter().enumerate() {
            let known = Known::of(name.as_bytes());
            let leans = match prefix.as_str() {
                "" => known != Known::Client,
                "stream" => known != Known::Stream,
                _ => true,
            };
            let declared = u16::try_from(i).map_or(Declared::Nowhere, Declared::Root);
            let bound = Bound { known, leans, declared };
            self.roots.push(bound);
            if prefix.is_empty() {
                self.root_default = bound;
            }
        }
    }
    /// Exchanges the room for declarations; there are none.
    pub(super) fn exchange(&mut self, decls: &mut Vec<Decl>) {
        std::mem::swap(&mut self.decls, decls);
    }
    /// How many declarations the open elements have made: give it back to [`Self::close`].
    pub(super) fn mark(&self) -> usize {
        self.decls.len()
    }
    /// Forgets the declarations since `mark`.
    pub(super) fn close(&mut self, mark: usize) {
        while self.decls.len() > mark {
            let Some(decl) = self.decls.pop() else { break };
            if decl.prefix.start == decl.prefix.end {
                self.default = decl.outer;
            }
            if let Some(text) = decl.text {
                self.unescaped.truncate(text.start as usize);
            }
        }
    }
    /// Gives back memory beyond what so many declarations need.
    pub(super) fn trim(&mut self, usual: usize) {
        self.decls.shrink_to(usual);
        self.unescaped.shrink_to(usual * 16);
    }
    /// Takes a declaration `xmlns='…'` or `xmlns:p='…'`.
    pub(super) fn declare(&mut self, buf: &[u8], name: &QName, value: Value, longest: usize) -> Result<(), Bad> {
        let bad = |fault, why| Err(Bad { fault, why, at: name.start as usize });
        let prefix = if name.colon == 0 { Span::default() } else { name.local() };
        let mut decl = Decl { prefix, value, text: None, known: Known::None, outer: None };
        if value.escaped {
            let start = off(self.unescaped.len());
            self.unescaped.push_str(&value_text(slice(buf, value.span)));
            decl.text = Some(Span { start, end: off(self.unescaped.len()) });
        }
        let text = self.text(buf, &decl);
        if text.len() > longest {
            return bad(Fault::Limit, "a namespace name too long");
        }
        if has_space(text) {
            return bad(Fault::Prefix, "white space in a namespace name");
        }
        match (slice(buf, prefix), text) {
            (b"xml", t) if t == XML_NS.as_bytes() => return Ok(()),
            (b"xml" | b"xmlns", _) => return bad(Fault::Prefix, "a reserved prefix declared"),
            (p, b"") if !p.is_empty() => return bad(Fault::Prefix, "a prefix undeclared"),
            (_, t) if t.len() == 36 && t == XML_NS.as_bytes() || t.len() == 29 && t == XMLNS_NS.as_bytes() => {
                return bad(Fault::Prefix, "a reserved namespace name bound");
            }
            // xml-rs refuses these two words here.
            (b"", b"xml" | b"xmlns") => return bad(Fault::Prefix, "a reserved word as default namespace"),
            _ => {}
        }
        decl.known = Known::of(text);
        if self.decls.len() + self.roots.len() >= IN_FORCE {
            return bad(Fault::Limit, "too many namespace declarations in force");
        }
        if prefix.start == prefix.end {
            decl.outer = self.default;
            self.default = Some(off(self.decls.len()));
        }
        self.decls.push(decl);
        Ok(())
    }
    fn text<'a>(&'a self, buf: &'a [u8], decl: &Decl) -> &'a [u8] {
        match decl.text {
            Some(span) => slice(self.unescaped.as_bytes(), span),
            None => slice(buf, decl.value.span),
        }
    }
    /// What an element name without prefix is in.
    pub(super) fn unprefixed(&self) -> Bound {
        match self.default.and_then(|i| Some((i, self.decls.get(i as usize)?))) {
            Some((i, decl)) => Bound { known: decl.known, leans: false, declared: Declared::Here(i) },
            None => self.root_default,
        }
    }
    /// What a prefix is bound to, if it is.
    pub(super) fn lookup(&self, buf: &[u8], root: &Root, prefix: &[u8]) -> Option<Bound> {
        if prefix == b"xml" {
            return Some(Bound { known: Known::Xml, ..Bound::default() });
        }
        let found = self.decls.iter().enumerate().rev().find(|(_, d)| same(slice(buf, d.prefix), prefix));
        if let Some((i, decl)) = found {
            return Some(Bound { known: decl.known, leans: false, declared: Declared::Here(off(i)) });
        }
        let at = root.decls.iter().rposition(|(p, _)| same(p.as_bytes(), prefix))?;
        self.roots.get(at).copied()
    }
    /// A binding that is in force, as a head shows it.
    pub(super) fn ns_ref(&self, bound: Bound) -> NsRef {
        match (bound.known, bound.declared) {
            (Known::None, _) => NsRef::None,
            (Known::Xml, _) => NsRef::Xml,
            (_, Declared::Root(i)) => NsRef::Root(i),
            (_, Declared::Here(i)) => self.decls.get(i as usize).map_or(NsRef::None, |d| NsRef::Local(d.value)),
            (_, Declared::Nowhere) => NsRef::None,
        }
    }
    /// The namespace name of a binding that is in force.
    pub(super) fn name<'a>(&'a self, buf: &'a [u8], root: &'a Root, bound: Bound) -> &'a [u8] {
        match (bound.known, bound.declared) {
            (Known::Xml, _) => XML_NS.as_bytes(),
            (_, Declared::Root(i)) => root.decls.get(usize::from(i)).map_or(b"", |(_, name)| name.as_bytes()),
            (_, Declared::Here(i)) => self.decls.get(i as usize).map_or(b"", |decl| self.text(buf, decl)),
            (_, Declared::Nowhere) => b"",
        }
    }
    /// Whether two bindings are of the same namespace.
    pub(super) fn equal(&self, buf: &[u8], root: &Root, a: Bound, b: Bound) -> bool {
        a.known == b.known
            && (a.known != Known::Other || a.is(b) || same(self.name(buf, root, a), self.name(buf, root, b)))
    }
    /// The declarations made so far as a root keeps them.
    pub(super) fn to_root(&self, buf: &[u8]) -> Root {
        let owned = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let decls = self.decls.iter().map(|d| (owned(slice(buf, d.prefix)), owned(self.text(buf, d)))).collect();
        Root { decls }
    }
}

/// The bytes of a span; nothing if it does not fit (cannot happen).
#[inline]
pub(crate) fn slice(buf: &[u8], span: Span) -> &[u8] {
    buf.get(span.start as usize..span.end as usize).unwrap_or_default()
}
