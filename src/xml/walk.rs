//! [`Walk`]: the elements inside a judged element, one after the other, without a tree.
//!
//! Takes bytes the scanner has accepted and their root, gives levels and expanded names. One pass over the bytes; nothing is
//! allocated for an element, unless it declares a namespace. Must not judge, nor panic on bytes that nobody has judged.

use super::scan::{content_text, same, value_text};
use super::{Root, View, XML_NS};
use memchr::{memchr, memchr3, memmem};
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
    /// Its start tag, from behind its name on.
    tag: &'a [u8],
    walk: &'w Walk<'a>,
}

impl<'a> View<'a> {
    /// The elements inside this one, in document order, down to a level (1: its children).
    #[must_use]
    pub fn inside(&self, deepest: usize) -> Walk<'a> {
        Walk { bytes: self.bytes, root: self.root, at: 0, open: 0, deepest, defaults: Vec::new(), prefixed: Vec::new() }
    }
    /// The character data directly inside, joined.
    #[must_use]
    pub fn text(&self) -> Cow<'a, str> {
        match self.start_tag().and_then(|tag| self.bytes.get(tag.len()..)) {
            Some(inside) => text_inside(inside),
            None => Cow::Borrowed(""),
        }
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
                        let tag = self.bytes.get(here + 1 + name.len()..self.at)?;
                        let name = std::str::from_utf8(local).ok()?;
                        return Some(Inner { level, name, prefix, tag, walk: self });
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
    /// The value of an attribute, by its expanded name. Reads the start tag again.
    #[must_use]
    pub fn attr(&self, ns: &str, name: &str) -> Option<Cow<'w, str>> {
        let mut rest = self.tag;
        loop {
            rest = rest.trim_ascii_start();
            if matches!(rest.first()?, b'>' | b'/') {
                return None;
            }
            let (written, value, behind) = attribute(rest)?;
            rest = behind;
            let (prefix, local) = match memchr(b':', written) {
                Some(colon) => (written.get(..colon)?, written.get(colon + 1..)?),
                None => (&b""[..], written),
            };
            // Without a prefix an attribute is in no namespace, whatever the default one is.
            let fits = |prefix: &[u8]| if prefix.is_empty() { ns.is_empty() } else { self.walk.ns(prefix) == ns };
            if local == name.as_bytes() && declared(written).is_none() && fits(prefix) {
                return Some(value_text(value));
            }
        }
    }
    /// The character data directly inside, joined. Reads on to its end tag.
    #[must_use]
    pub fn text(&self) -> Cow<'w, str> {
        match self.walk.bytes.get(self.walk.at..) {
            Some(inside) if !self.tag.ends_with(b"/>") => text_inside(inside),
            _ => Cow::Borrowed(""),
        }
    }
    /// Whether its start tag has no attributes, but declarations of namespaces.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        let mut rest = self.tag.trim_ascii_start();
        while !matches!(rest.first(), None | Some(b'>' | b'/')) {
            match attribute(rest) {
                Some((name, _, behind)) if declared(name).is_some() => rest = behind.trim_ascii_start(),
                _ => return false,
            }
        }
        true
    }
    /// How many bytes of the whole stand before what is inside of it.
    #[must_use]
    pub fn at(&self) -> usize {
        self.walk.at
    }
}

/// The character data up to the end tag that ends what `inside` begins in.
fn text_inside(inside: &[u8]) -> Cow<'_, str> {
    let mut out = Cow::Borrowed("");
    let _ = direct_text(inside, &mut out); // nothing is missing in what was judged
    out
}

/// Joins the character data up to the end tag that ends what `inside` begins in.
fn direct_text<'a>(mut inside: &'a [u8], out: &mut Cow<'a, str>) -> Option<()> {
    let mut open = 0_usize;
    loop {
        let (text, markup) = inside.split_at_checked(memchr(b'<', inside)?)?;
        if open == 0 {
            push(out, content_text(text, true));
        }
        match markup.get(1)? {
            b'!' => {
                let (data, rest) = markup.split_at_checked(memmem::find(markup, b"]]>")?)?;
                if open == 0 {
                    push(out, content_text(data.strip_prefix(b"<![CDATA[")?, false));
                }
                inside = rest.get(3..)?;
            }
            b'/' => {
                open = open.checked_sub(1)?;
                inside = markup.get(memchr(b'>', markup)? + 1..)?;
            }
            _ => {
                let (empty, rest) = over_tag(markup)?;
                open += usize::from(!empty);
                inside = rest;
            }
        }
    }
}

/// Behind the start tag that `markup` begins with, and whether it is an empty element's.
fn over_tag(markup: &[u8]) -> Option<(bool, &[u8])> {
    let mut at = 1;
    loop {
        at += memchr3(b'>', b'"', b'\'', markup.get(at..)?)?;
        let found = *markup.get(at)?;
        if found == b'>' {
            return Some((markup.get(at - 1) == Some(&b'/'), markup.get(at + 1..)?));
        }
        at += 2 + memchr(found, markup.get(at + 1..)?)?;
    }
}

fn push<'a>(out: &mut Cow<'a, str>, more: Cow<'a, str>) {
    if out.is_empty() {
        *out = more;
    } else if !more.is_empty() {
        out.to_mut().push_str(&more);
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
