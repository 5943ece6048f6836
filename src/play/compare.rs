//! Reads what came out, item by item, and says how it differs from what a book expects.
//!
//! Every item is read alone, as if under the classic stream root (`jabber:client`, prefix `stream`): what leans on
//! anything else is not legal and fails the book. Trees are compared by expanded names; the order of attributes does
//! not matter, the order of children does. In an expected tree
//! * an attribute or a text `*` stands for anything; a text `*` that is alone in its element for any content at all;
//! * `$name` stands for anything on first sight and for the same afterwards; `$_` is `*`;
//! * an error's `<text/>` for people need not be written: without it the other's is not looked at.

use crate::xml::{Attr, Element, ItemKind, Limits, Node, OpenAttr, OpenTag, Root, STREAM_NS, Scanner, Step};
use crate::xmpp::ns;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What `$name` stands for.
pub(super) type Names = BTreeMap<String, String>;

/// The root under which all that comes out must be legal.
const CLASSIC: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// Wider than anything a session lets through.
const LIMITS: Limits = Limits {
    stanza_bytes: 1 << 24,
    elements: 1 << 20,
    depth: 512,
    attributes: 1 << 14,
    name_bytes: 1 << 14,
    value_bytes: 1 << 24,
};

/// One thing that came out.
#[derive(Clone, Debug)]
pub(super) enum Item {
    /// A stream header.
    Header(OpenTag),
    /// An element.
    Element(Element),
    /// `</stream:stream>`
    Close,
    /// White space.
    Space,
}

/// The first item in `bytes` and its length; `None` if none is complete.
pub(super) fn first_item(bytes: &[u8]) -> Result<Option<(usize, Item)>, String> {
    if [&b"<?xml"[..], b"<stream:stream"].iter().any(|start| bytes.starts_with(start)) {
        let mut scanner = Scanner::new(LIMITS);
        return match scanner.scan(bytes) {
            Step::Item { len, kind: ItemKind::Open } => Ok(Some((len, Item::Header(scanner.open().clone())))),
            Step::More => Ok(None),
            other => Err(format!("not a legal stream header: {other:?}")),
        };
    }
    let mut scanner = Scanner::new(LIMITS);
    if !matches!(scanner.scan(CLASSIC.as_bytes()), Step::Item { kind: ItemKind::Open, .. }) {
        return Err("the scanner does not take a plain stream header".to_owned());
    }
    match scanner.scan(bytes) {
        Step::Item { len, kind: ItemKind::Element } => {
            let element = crate::xml::parse_element(&bytes[..len], scanner.root(), scanner.head());
            Ok(Some((len, Item::Element(element.map_err(|e| e.to_string())?))))
        }
        Step::Item { len, kind: ItemKind::Close } => Ok(Some((len, Item::Close))),
        Step::Item { len, kind: ItemKind::Space } => Ok(Some((len, Item::Space))),
        Step::Item { .. } => Err("a header where none can be".to_owned()),
        Step::More => Ok(None),
        Step::Refused(refusal) => Err(format!("not legal XML: {} (byte {})", refusal.why, refusal.at)),
    }
}

/// Compares what came out with a line's text; `Err` says how they differ.
pub(super) fn matches(expected: &str, got: &Item, names: &mut Names) -> Result<(), String> {
    match got {
        Item::Close if expected == "</stream:stream>" => Ok(()),
        Item::Header(got) if is_header(expected) => header(expected, got, names),
        Item::Element(got) if !is_header(expected) && expected != "</stream:stream>" => {
            let expected = crate::xml::parse_str(expected).map_err(|e| format!("the book's own XML: {e}"))?;
            element(&expected, got, names).map_err(|(path, why)| format!("at {path}: {why}"))
        }
        Item::Header(_) => Err("a stream header came".to_owned()),
        Item::Close => Err("</stream:stream> came".to_owned()),
        Item::Space => Err("white space came".to_owned()),
        Item::Element(got) => Err(format!("the element <{}/> came", got.name)),
    }
}

/// Whether a line's text is a stream header.
pub(super) fn is_header(text: &str) -> bool {
    text.starts_with("<stream:stream") || text.starts_with("<?xml")
}

/// A header as a book writes it, with the usual namespace declarations if it has none.
pub(super) fn complete_header(text: &str) -> String {
    match text.strip_prefix("<stream:stream") {
        Some(rest) if !rest.contains("xmlns") => format!("{}{rest}", &CLASSIC[..CLASSIC.len() - 1]),
        _ => text.to_owned(),
    }
}

fn header(expected: &str, got: &OpenTag, names: &mut Names) -> Result<(), String> {
    let (expected, and_more) = match expected.strip_suffix("...>") {
        Some(start) => (format!("{}>", start.trim_end()), true),
        None => (expected.to_owned(), false),
    };
    let mut scanner = Scanner::new(LIMITS);
    let expected = complete_header(&expected);
    if !matches!(scanner.scan(expected.as_bytes()), Step::Item { kind: ItemKind::Open, .. }) {
        return Err("the book's own header is not legal".to_owned());
    }
    let classic =
        Root { decls: [("", ns::CLIENT), ("stream", STREAM_NS)].map(|(p, n)| (p.to_owned(), n.to_owned())).to_vec() };
    let mut decls = got.root.decls.clone();
    decls.sort();
    if decls != classic.decls {
        return Err(format!("the header declares {decls:?}, not the classic two namespaces"));
    }
    let wanted: Vec<Attr> = attrs(&scanner.open().attrs);
    let there: Vec<Attr> = attrs(&got.attrs);
    attributes(&wanted, &there, and_more, names)
}

fn attrs(open: &[OpenAttr]) -> Vec<Attr> {
    open.iter().map(|a| Attr { ns: a.ns.clone(), name: a.name.clone(), value: a.value.clone() }).collect()
}

fn attributes(wanted: &[Attr], there: &[Attr], and_more: bool, names: &mut Names) -> Result<(), String> {
    for want in wanted {
        let Some(got) = there.iter().find(|a| a.name == want.name && a.ns == want.ns) else {
            return Err(format!("attribute {} is missing", want.name));
        };
        value(&want.value, &got.value, names).map_err(|why| format!("attribute {}: {why}", want.name))?;
    }
    let extra = there.iter().find(|a| !wanted.iter().any(|w| a.name == w.name && a.ns == w.ns));
    match extra {
        Some(extra) if !and_more => Err(format!("attribute {}='{}' was not expected", extra.name, extra.value)),
        _ => Ok(()),
    }
}

/// Compares two values; binds a name on first sight.
fn value(wanted: &str, got: &str, names: &mut Names) -> Result<(), String> {
    if wanted == "*" || wanted == "$_" {
        return Ok(());
    }
    let wanted = match wanted.strip_prefix('$').filter(|name| is_name(name)) {
        Some(name) => names.entry(name.to_owned()).or_insert_with(|| got.to_owned()).as_str(),
        None => wanted,
    };
    if wanted == got { Ok(()) } else { Err(format!("'{wanted}' was expected, '{got}' came")) }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Fills in the names of a text that is to be sent; `$$` is a dollar.
pub(super) fn fill_in(text: &str, names: &Names) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('$') {
        out.push_str(plain);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(after.len());
        let (name, after) = after.split_at(end);
        out.push_str(names.get(name).ok_or_else(|| format!("${name} is not known here; a dollar is $$"))?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

/// Fills in the names that are known; the others stay as they are written.
pub(super) fn fill_known(text: &str, names: &Names) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('$') {
        let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(after.len());
        let (name, after) = after.split_at(end);
        out.push_str(plain);
        match names.get(name) {
            Some(value) => out.push_str(value),
            None => out.extend(["$", name]),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Compares two trees; the error is a path and what is wrong there.
fn element(wanted: &Element, got: &Element, names: &mut Names) -> Result<(), (String, String)> {
    let here = || wanted.name.clone();
    if !got.is(&wanted.ns, &wanted.name) {
        let why = format!("{{{}}}{} was expected, {{{}}}{} came", wanted.ns, wanted.name, got.ns, got.name);
        return Err((here(), why));
    }
    attributes(&wanted.attrs, &got.attrs, false, names).map_err(|why| (here(), why))?;
    if let [Node::Text(text)] = wanted.nodes.as_slice()
        && (text == "*" || text == "$_")
    {
        return Ok(());
    }
    let has_text = wanted.children().any(is_human_text);
    let theirs: Vec<&Node> =
        got.nodes.iter().filter(|n| has_text || !matches!(n, Node::Element(e) if is_human_text(e))).collect();
    for (index, want) in wanted.nodes.iter().enumerate() {
        match (want, theirs.get(index)) {
            (Node::Element(want), Some(Node::Element(got))) => {
                element(want, got, names).map_err(|(path, why)| (format!("{}/{path}", wanted.name), why))?;
            }
            (Node::Text(want), Some(Node::Text(got))) => value(want, got, names).map_err(|why| (here(), why))?,
            (Node::Element(want), _) => return Err((here(), format!("child <{}/> is missing", want.name))),
            (Node::Text(want), _) => return Err((here(), format!("text '{want}' is missing"))),
        }
    }
    match theirs.get(wanted.nodes.len()) {
        None => Ok(()),
        Some(Node::Element(extra)) => Err((here(), format!("child <{}/> was not expected", extra.name))),
        Some(Node::Text(extra)) => Err((here(), format!("text '{extra}' was not expected"))),
    }
}

/// The sentence for people inside an error.
pub(super) fn is_human_text(element: &Element) -> bool {
    element.name == "text" && [ns::STANZA_ERRORS, ns::STREAM_ERRORS, ns::SASL].contains(&element.ns.as_str())
}

/// Whether a character turns the reading direction or cannot be seen.
fn turns(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Bytes for people: control characters and what is not UTF-8 as escapes, as a book would use them where it has them;
/// long ones cut.
pub(super) fn show(bytes: &[u8]) -> String {
    const LONGEST: usize = 2000;
    let mut out = String::new();
    for chunk in bytes[..bytes.len().min(LONGEST)].utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\r' => out.push_str("\\r"),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '\\' => out.push_str("\\\\"),
                c if c.is_control() || turns(c) => out.extend(c.escape_unicode()),
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    if bytes.len() > LONGEST {
        let _ = write!(out, " ... ({} bytes)", bytes.len());
    }
    out
}

/// Text for people: control characters and what turns the reading direction as escapes.
#[must_use]
pub fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || turns(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Item {
        let (len, item) = first_item(text.as_bytes()).unwrap().unwrap();
        assert_eq!(len, text.len());
        item
    }

    #[test]
    fn trees_are_equal_by_meaning() {
        let got = read("<x:iq xmlns:x='jabber:client' id='7' type='get'><p:ping xmlns:p='urn:xmpp:ping'/></x:iq>");
        let mut names = Names::new();
        matches("<iq type='get' id='$id'><ping xmlns='urn:xmpp:ping'/></iq>", &got, &mut names).unwrap();
        assert_eq!(names["id"], "7");
        matches("<iq type='*' id='7'>*</iq>", &got, &mut names).unwrap();
        names.insert("id".to_owned(), "8".to_owned());
        for (expected, why) in [
            ("<iq type='get' id='$id'>*</iq>", "at iq: attribute id: '8' was expected, '7' came"),
            ("<iq type='get'>*</iq>", "attribute id='7' was not expected"),
            ("<iq type='get' id='7' to='x'>*</iq>", "attribute to is missing"),
            ("<iq type='get' id='7'/>", "child <ping/> was not expected"),
            ("<iq type='get' id='7'><ping/></iq>", "at iq/ping: {jabber:client}ping was expected"),
            ("<iq type='get' id='7'><ping xmlns='urn:xmpp:ping'>x</ping></iq>", "text 'x' is missing"),
            ("<message/>", "{jabber:client}message was expected"),
            ("</stream:stream>", "the element <iq/> came"),
        ] {
            let error = matches(expected, &got, &mut names).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn the_text_of_an_error_may_be_left_out() {
        let ns = ns::STANZA_ERRORS;
        let got = read(&format!("<error type='x'><gone xmlns='{ns}'/><text xmlns='{ns}'>why</text></error>"));
        let names = &mut Names::new();
        matches(&format!("<error type='x'><gone xmlns='{ns}'/></error>"), &got, names).unwrap();
        matches(&format!("<error type='x'><gone xmlns='{ns}'/><text xmlns='{ns}'>why</text></error>"), &got, names)
            .unwrap();
        matches(&format!("<error type='x'><gone xmlns='{ns}'/><text xmlns='{ns}'>no</text></error>"), &got, names)
            .unwrap_err();
    }

    #[test]
    fn headers_are_compared_by_attributes() {
        let got =
            read(&format!("<?xml version='1.0'?>{}", complete_header("<stream:stream id='a' from='b' xml:lang='en'>")));
        let names = &mut Names::new();
        matches("<stream:stream from='b' id='$sid' xml:lang='en'>", &got, names).unwrap();
        matches("<stream:stream from='b' ...>", &got, names).unwrap();
        matches("<stream:stream from='b'>", &got, names).unwrap_err();
        matches("<stream:stream to='b' ...>", &got, names).unwrap_err();
        let leaning =
            "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' xmlns:x='y'>";
        matches("<stream:stream ...>", &read(leaning), names).unwrap_err();
    }

    #[test]
    fn what_leans_on_another_root_is_not_legal() {
        assert!(first_item(b"<x:message/>").is_err());
        assert!(first_item(b"<message><body>").unwrap().is_none());
        assert!(matches!(first_item(b" \n<message/>").unwrap(), Some((2, Item::Space))));
        assert!(matches!(first_item(b"</stream:stream>").unwrap(), Some((16, Item::Close))));
    }

    #[test]
    fn names_are_filled_in() {
        let names = Names::from([("id".to_owned(), "7".to_owned())]);
        assert_eq!(fill_in("<a id='$id'/> $$5", &names).unwrap(), "<a id='7'/> $5");
        assert!(fill_in("$x", &names).is_err());
    }
}
