//! A tree from bytes the scanner accepted, built by xml-rs. If xml-rs refuses or sees another shape: fail closed.
//!
//! The only file that names the XML crate. Must not decide what is legal: the scanner has done that.

use super::{
    Attr, CLIENT_NS, Element, Head, ItemKind, Limits, Node, Refusal, Root, STREAM_NS, Scanner, Step, View, escape_attr,
    normalise,
};
use bytes::BytesMut;
use std::fmt::Display;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use xml_rs::attribute::OwnedAttribute;
use xml_rs::name::OwnedName;
use xml_rs::reader::{EventReader, ParserConfig, XmlEvent};

/// xml-rs and the scanner do not read the same: the stanza must be refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("two parsers disagree: {0}")]
pub struct Disagreement(pub String);

/// Builds the tree of a judged element.
///
/// # Errors
/// If xml-rs refuses the bytes, panics, or counts other elements than `head` says.
pub fn parse_element(bytes: &[u8], root: &Root, head: &Head) -> Result<Element, Disagreement> {
    let around = around(root);
    let source = around.chain(bytes).chain(&b"</r>"[..]);
    // xml-rs may panic by its own documentation; it holds nothing that outlives the call.
    let (element, elements) = catch_unwind(AssertUnwindSafe(|| build(source)))
        .unwrap_or_else(|_| Err(Disagreement("xml-rs panicked".to_owned())))?;
    compare(&element, elements, &View { bytes, head, root })?;
    Ok(element)
}

/// Builds a judged element without anything that is in it, whatever its size.
///
/// # Errors
/// As [`parse_element`].
pub fn parse_shell(view: &View<'_>) -> Result<Element, Disagreement> {
    let tag = view.start_tag().unwrap_or(view.bytes);
    let mut bytes = BytesMut::from(tag.strip_suffix(b"/>").or_else(|| tag.strip_suffix(b">")).unwrap_or(tag));
    bytes.extend_from_slice(b"/>");
    let mut scanner = Scanner::under(view.root, Limits { stanza_bytes: usize::MAX, ..Limits::AFTER_LOGIN });
    match scanner.scan(&bytes) {
        Step::Item { len, kind: ItemKind::Element } if len == bytes.len() => {
            parse_element(&bytes, view.root, scanner.head())
        }
        _ => Err(Disagreement("its start tag alone is not an element".to_owned())),
    }
}

/// A start tag that declares what the root declares.
fn around(root: &Root) -> BytesMut {
    let mut out = BytesMut::with_capacity(128);
    out.extend_from_slice(b"<r");
    for (prefix, name) in &root.decls {
        out.extend_from_slice(if prefix.is_empty() { b" xmlns" } else { b" xmlns:" });
        out.extend_from_slice(prefix.as_bytes());
        out.extend_from_slice(b"='");
        escape_attr(name, &mut out);
        out.extend_from_slice(b"'");
    }
    out.extend_from_slice(b">");
    out
}

/// The scanner's limits are to decide, not those of xml-rs.
fn config() -> ParserConfig {
    let mut config = ParserConfig::new().whitespace_to_characters(true).ignore_comments(false);
    config.max_attributes = usize::MAX;
    config.max_attribute_length = usize::MAX;
    config.max_data_length = usize::MAX;
    config.max_name_length = usize::MAX;
    config
}

/// Reads one element within one root; gives it with the number of elements in it.
fn build(source: impl Read) -> Result<(Element, u32), Disagreement> {
    let mut reader = EventReader::new_with_config(source, config());
    let mut open: Vec<Element> = Vec::with_capacity(8);
    let (mut done, mut elements, mut inside) = (None, 0, false);
    loop {
        match reader.next().map_err(refused)? {
            XmlEvent::StartElement { .. } if !inside => inside = true,
            XmlEvent::StartElement { name, attributes, .. } => {
                if open.is_empty() && done.is_some() {
                    return Err(Disagreement("xml-rs sees a second element".to_owned()));
                }
                elements += 1;
                open.push(begin(name, attributes));
            }
            XmlEvent::EndElement { .. } => match open.pop() {
                Some(element) => match open.last_mut() {
                    Some(parent) => parent.nodes.push(Node::Element(element)),
                    None => done = Some(element),
                },
                None => break,
            },
            XmlEvent::Characters(text) | XmlEvent::CData(text) | XmlEvent::Whitespace(text) => match open.last_mut() {
                Some(element) => push_text(element, text),
                None => return Err(Disagreement("xml-rs sees text outside of the element".to_owned())),
            },
            XmlEvent::StartDocument { .. } => {}
            other => return Err(Disagreement(format!("xml-rs sees {other:?}"))),
        }
    }
    match done {
        Some(element) => Ok((element, elements)),
        None => Err(Disagreement("xml-rs sees no element".to_owned())),
    }
}

fn refused(e: impl Display) -> Disagreement {
    Disagreement(format!("xml-rs refuses: {e}"))
}

fn begin(name: OwnedName, attributes: Vec<OwnedAttribute>) -> Element {
    let attr =
        |a: OwnedAttribute| Attr { ns: a.name.namespace.unwrap_or_default(), name: a.name.local_name, value: a.value };
    Element {
        ns: name.namespace.unwrap_or_default(),
        name: name.local_name,
        attrs: attributes.into_iter().map(attr).collect(),
        nodes: Vec::new(),
    }
}

/// Appends text, joined with the text before it.
fn push_text(element: &mut Element, text: String) {
    match element.nodes.last_mut() {
        _ if text.is_empty() => {}
        Some(Node::Text(before)) => before.push_str(&text),
        _ => element.nodes.push(Node::Text(text)),
    }
}

/// Has xml-rs seen what the scanner saw?
fn compare(element: &Element, elements: u32, view: &View<'_>) -> Result<(), Disagreement> {
    let differ = |what: &str| Err(Disagreement(format!("xml-rs sees {what} than the scanner")));
    if !view.is(&element.ns, &element.name) {
        return differ("another name");
    }
    if elements != view.head.elements {
        return differ("another number of elements");
    }
    if element.children().count() != view.head.children as usize {
        return differ("another number of children");
    }
    let seen = [
        (element.attr("id"), view.id()),
        (element.attr("type"), view.kind()),
        (element.attr("to"), view.to()),
        (element.attr("from"), view.from()),
        (element.attr_ns(super::XML_NS, "lang"), view.lang()),
    ];
    // In untidy bytes a literal TAB is still a TAB to the view.
    if !view.head.untidy && seen.iter().any(|(a, b)| *a != b.as_deref()) {
        return differ("other attributes");
    }
    Ok(())
}

/// Reads one element from text written by a person (script, playbook, configuration): judged by the scanner first,
/// under a root that declares `jabber:client` as default and `stream`. White space around it is allowed.
///
/// # Errors
/// A sentence that says what is wrong and at which byte.
pub fn parse_str(text: &str) -> Result<Element, String> {
    parse_str_in(CLIENT_NS, text)
}

/// The same, with another default namespace (empty for none): what the text means where it will stand.
///
/// # Errors
/// As [`parse_str`].
pub fn parse_str_in(default: &str, text: &str) -> Result<Element, String> {
    const WHITE: [char; 4] = [' ', '\t', '\r', '\n'];
    let decls = [("", default), ("stream", STREAM_NS)];
    let root = Root { decls: decls.into_iter().map(|(p, n)| (p.to_owned(), n.to_owned())).collect() };
    let inner = text.trim_start_matches(WHITE);
    let skipped = text.len() - inner.len();
    let bytes = inner.trim_end_matches(WHITE).as_bytes();
    let limits = Limits { depth: Limits::MAX_DEPTH, ..Limits::AFTER_LOGIN };
    let mut scanner = Scanner::under(&root, Limits { stanza_bytes: usize::MAX, ..limits });
    let at = |at: usize, why: &str| Err(format!("{why}, at byte {}", skipped + at));
    let head = match scanner.scan(bytes) {
        Step::Item { len, kind: ItemKind::Element } if len == bytes.len() => *scanner.head(),
        Step::Item { len, kind: ItemKind::Element } => return at(len, "something stands behind the element"),
        Step::Refused(Refusal { at: place, why, .. }) => return at(place, why),
        Step::More if bytes.is_empty() => return at(0, "there is no element"),
        Step::More | Step::Item { .. } => return at(bytes.len(), "the element does not end"),
    };
    let tree = if head.untidy {
        let Some((tidy, head)) = normalise(bytes, &root) else {
            return at(0, "the element cannot be normalised");
        };
        parse_element(&tidy, &root, &head)
    } else {
        parse_element(bytes, &root, &head)
    };
    tree.map_err(|e| e.to_string())
}
