//! What the bodies share: stanzas judged by the scanner, and rxml as the parser that iqtap has no part in.

use crate::allowed::for_rxml;
use crate::oracles::rxml;
use crate::xml::HEADER;
use iqtap::xml::{Head, ItemKind, Limits, Root, Scanner, Step, View, normalise};
use iqtap::xmpp::Kind;

/// A stanza that the scanner has let through, tidied.
pub(crate) struct Judged {
    pub(crate) kind: Kind,
    bytes: Vec<u8>,
    head: Head,
    root: Root,
}

impl Judged {
    pub(crate) fn view(&self) -> View<'_> {
        View { bytes: &self.bytes, head: &self.head, root: &self.root }
    }
}

/// The stanzas of a stream, up to what is refused; eight at most.
pub(crate) fn stanzas(mut bytes: &[u8]) -> Vec<Judged> {
    let mut scanner = Scanner::new(Limits::AFTER_LOGIN);
    let mut found = Vec::new();
    let _ = scanner.scan(HEADER.as_bytes());
    while let Step::Item { len, kind } = scanner.scan(bytes)
        && found.len() < 8
    {
        let (item, rest) = bytes.split_at(len);
        bytes = rest;
        let (head, root) = (*scanner.head(), scanner.root().clone());
        let kind = match (View { bytes: item, head: &head, root: &root }).name() {
            _ if kind != ItemKind::Element => continue,
            "iq" => Kind::Iq,
            "message" => Kind::Message,
            "presence" => Kind::Presence,
            _ => continue,
        };
        let tidied = if head.untidy { normalise(item, &root) } else { Some((item.to_vec(), head)) };
        found.extend(tidied.map(|(bytes, head)| Judged { kind, bytes: bytes.to_vec(), head, root }));
    }
    found
}

/// Whether rxml reads these bytes under an ordinary header, up to its end; what it sees.
pub(crate) fn independent(bytes: &[u8]) -> Result<String, String> {
    let mut document = HEADER.as_bytes().to_vec();
    document.extend_from_slice(bytes);
    document.extend_from_slice(b"</stream:stream>");
    rxml(&document)
}

/// What rxml sees of a document that iqtap has let through.
pub(crate) fn document(bytes: &[u8]) -> Result<String, String> {
    rxml(&for_rxml(bytes, true))
}

/// The end tag that belongs to a header (which may have its XML declaration in front).
pub(crate) fn end_tag(header: &[u8]) -> Vec<u8> {
    let begin = header.windows(2).position(|pair| pair[0] == b'<' && pair[1] != b'?').map_or(header.len(), |at| at + 1);
    let name = header[begin..].iter().copied().take_while(|byte| !b" \t\r\n>".contains(byte));
    b"</".iter().copied().chain(name).chain([b'>']).collect()
}

/// A first-level element, as rxml sees it.
pub(crate) struct Top {
    pub(crate) ns: String,
    pub(crate) name: String,
    attrs: Vec<(String, String)>,
    /// All of it, for comparing.
    pub(crate) dump: String,
}

impl Top {
    /// An attribute in no namespace.
    pub(crate) fn attr(&self, name: &str) -> Option<&str> {
        self.attrs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// The first-level elements of a stream that begins with this header and goes on with these bytes, up to its end.
pub(crate) fn tops(header: &[u8], bytes: &[u8]) -> Result<Vec<Top>, String> {
    let dump = document(&[header, bytes, &end_tag(header)].concat())?;
    let (mut found, mut depth, mut begin) = (Vec::new(), 0_usize, 0);
    for (at, c) in dump.char_indices() {
        match c {
            '\u{1}' => {
                depth += 1;
                begin = if depth == 2 { at } else { begin };
            }
            '\u{5}' => {
                found.extend(dump.get(begin..=at).filter(|_| depth == 2).map(top));
                depth -= 1;
            }
            _ => {}
        }
    }
    Ok(found)
}

/// Reads the start of a dump.
fn top(dump: &str) -> Top {
    let start = dump[1..].split(['\u{1}', '\u{4}', '\u{5}']).next().unwrap_or_default();
    let mut parts = start.split('\u{3}');
    let (ns, name) = parts.next().and_then(|name| name.split_once('\u{2}')).unwrap_or_default();
    let attr = |part: &str| {
        let (ns, rest) = part.split_once('\u{2}')?;
        let (name, value) = rest.split_once('\u{2}')?;
        ns.is_empty().then(|| (name.to_owned(), value.to_owned()))
    };
    Top { ns: ns.to_owned(), name: name.to_owned(), attrs: parts.filter_map(attr).collect(), dump: dump.to_owned() }
}
