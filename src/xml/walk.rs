//! [`Walk`]: the elements inside a judged element, one after the other, without a tree.
//!
//! Takes bytes the scanner has accepted and their root, gives levels and expanded names. One pass over the bytes; nothing is
//! allocated for an element, unless it declares a namespace. Must not judge, nor panic on bytes that nobody has judged.

use super::scan::{same, value_text};
use super::{Root, View, XML_NS};
use memchr::{memchr, memmem};
use std::borrow::Cow;

/// A walk through an element; see [`View::inside`].
#[derive(Debug)]
pub struct Walk<'a> {
    bytes: &'a [u8],
    root: &'a Root,
    /// The next byte to look at.
    at: usize,
    /// Elements that are open.
    open: usize,
    deepest: usize,
    /// What the open elements declare, and the one just given: default namespaces...
    defaults: Vec<Decl<'a>>,
    /// ...and those with a prefix.
    prefixed: Vec<Decl<'a>>,
}

#[derive(Debug)]
struct Decl<'a> {
    level: usize,
    prefix: &'a [u8],
    ns: Cow<'a, str>,
}

/// An element that a walk came by.
#[derive(Debug)]
pub struct Inner<'w, 'a> {
    /// 1 for a child, 2 for a child's child.
    pub level: usize,
    /// Local name.
    pub name: &'a str,
    prefix: &'a [u8],
    walk: &'w Walk<'a>,
}

impl<'a> View<'a> {
    /// The elements inside this one, in document order, down to a level (1: its children).
    #[must_use]
    pub fn inside(&self, deepest: usize) -> Walk<'a> {
        Walk { bytes: self.bytes, root: self.root, at: 0, open: 0, deepest, defaults: Vec::new(), prefixed: Vec::new() }
    }
    /// Its start tag.
    pub(super) fn start_tag(&self) -> Option<&'a [u8]> {
        let mut walk = self.inside(0);
        walk.start_tag(1)?;
        self.bytes.get(..walk.at)
    }
}

impl<'a> Walk<'a> {
    /// Goes on to the next element.
    #[expect(clippy::should_implement_trait, reason = "what it gives is borrowed from the walk")]
    pub fn next(&mut self) -> Option<Inner<'_, 'a>> {
        loop {
            let here = self.at + memchr(b'<', self.rest(self.at)?)?;
            match self.bytes.get(here + 1)? {
                b'!' => self.at = here + memmem::find(self.rest(here)?, b"]]>")? + 3,
                b'/' => {
                    self.at = here + memchr(b'>', self.rest(here)?)? + 1;
                    self.open = self.open.saturating_sub(1);
                }
                _ => {
                    let (level, name) = self.start_tag(here + 1)?;
                    if (1..=self.deepest).contains(&level) {
                        let (prefix, local) = match memchr(b':', name) {
                            Some(colon) => (name.get(..colon)?, name.get(colon + 1..)?),
                            None => (&b""[..], name),
                        };
                        let name = std::str::from_utf8(local).ok()?;
                        return Some(Inner { level, name, prefix, walk: self });
                    }
                }
            }
        }
    }

    fn rest(&self, from: usize) -> Option<&'a [u8]> {
        self.bytes.get(from..)
    }

    /// Reads a start tag from its name on, to behind its end; gives its level and its name.
    fn start_tag(&mut self, from: usize) -> Option<(usize, &'a [u8])> {
        let level = self.open;
        let tells = level <= self.deepest;
        if tells {
            while self.defaults.pop_if(|decl| decl.level >= level).is_some() {}
            while self.prefixed.pop_if(|decl| decl.level >= level).is_some() {}
        }
        let tag = self.rest(from)?;
        let (name, mut rest) = tag.split_at_checked(name_end(tag)?)?;
        loop {
            rest = rest.trim_ascii_start();
            match rest.first()? {
                b'>' => break self.open += 1,
                b'/' => break,
                _ => {}
            }
            let (attr, value, behind) = attribute(rest)?;
            rest = behind;
            if tells && let Some(prefix) = declared(attr) {
                let decls = if prefix.is_empty() { &mut self.defaults } else { &mut self.prefixed };
                decls.push(Decl { level, prefix, ns: value_text(value) });
            }
        }
        let end = memchr(b'>', rest)? + 1;
        self.at = self.bytes.len() - rest.len() + end;
        Some((level, name))
    }

    fn ns(&self, prefix: &[u8]) -> &str {
        let found = match prefix {
            b"" => self.defaults.last(),
            b"xml" => return XML_NS,
            _ => self.prefixed.iter().rev().find(|decl| same(decl.prefix, prefix)),
        };
        if let Some(decl) = found {
            return &decl.ns;
        }
        let of_root = self.root.decls.iter().rev().find(|(known, _)| same(known.as_bytes(), prefix));
        of_root.map_or("", |(_, ns)| ns.as_str())
    }
}

impl<'w> Inner<'w, '_> {
    /// Namespace name, empty for none.
    #[must_use]
    pub fn ns(&self) -> &'w str {
        self.walk.ns(self.prefix)
    }
    /// Whether it has this expanded name.
    #[must_use]
    pub fn is(&self, ns: &str, name: &str) -> bool {
        self.name == name && self.ns() == ns
    }
}

fn name_end(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'/' | b'>' | b'='))
}

/// The attribute that `bytes` begins with: its name, its raw value, and what follows.
fn attribute(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (name, rest) = bytes.split_at_checked(name_end(bytes)?)?;
    let quoted = rest.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let (quote, inside) = quoted.split_first()?;
    let end = memchr(*quote, inside)?;
    Some((name, inside.get(..end)?, inside.get(end + 1..)?))
}

/// The prefix that an attribute of this name declares (empty: the default namespace).
fn declared(name: &[u8]) -> Option<&[u8]> {
    match name.strip_prefix(b"xmlns")? {
        b"" => Some(b""),
        rest => rest.strip_prefix(b":"),
    }
}
