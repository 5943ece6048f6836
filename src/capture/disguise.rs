//! Disguises: names, addresses and texts of a capture that is to be shown to others.
//!
//! The same name gets the same pseudonym everywhere: it follows from the name and a key, and from nothing else. Domains are told from
//! other names, and what stands below a domain stays below its pseudonym. Texts become others of the same length. Ids, namespaces,
//! types, numbers and moments stay: what happened can still be followed. Takes trees, headers, comments; gives them changed. What may
//! be a person's words is replaced in doubt. Whoever knows the key can find out whether a name that he guesses is in the capture.

mod known;
mod pseudonym;
mod texts;

use super::read::{Item, ItemKind};
use crate::xml::{self, Attr, Element, Node, OpenTag, Scanner, Step, XML_NS};
use bytes::BytesMut;
use known::Known;
use pseudonym::Key;
use texts::{Text, text_of};

/// What is to be disguised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// What people wrote: bodies, subjects, status texts, vCards, and whatever else is no number, id or namespace.
    pub bodies: bool,
    /// Addresses, and names of people and rooms.
    pub jids: bool,
}

/// Disguises what it is asked to; learns the names first.
#[derive(Debug)]
pub struct Disguise {
    wishes: Wishes,
    key: Key,
    known: Known,
}

/// Attributes that hold an address.
const ADDRESSES: [&str; 7] = ["from", "to", "jid", "by", "initiator", "responder", "with"];
/// Attributes in which people write, whatever the element.
const WRITTEN: [&str; 11] =
    ["title", "alt", "href", "src", "url", "uri", "desc", "description", "filename", "reason", "label"];

impl Disguise {
    /// With a key of the caller's.
    #[must_use]
    pub fn new(wishes: Wishes, key: &str) -> Self {
        Self { wishes, key: Key::new(key), known: Known::default() }
    }

    /// Whether nothing is disguised.
    pub(super) const fn is_plain(&self) -> bool {
        !self.wishes.bodies && !self.wishes.jids
    }

    /// Learns which names there are. To be told of every item before the first is disguised.
    pub fn learn(&mut self, item: &Item) {
        if self.is_plain() {
            return;
        }
        match item.kind {
            ItemKind::Header => {
                if let Some(open) = open_tag(&item.bytes) {
                    ["from", "to"].iter().filter_map(|name| open.attr(name)).for_each(|jid| self.known.address(jid));
                }
            }
            ItemKind::Element => {
                if let Ok(tree) = xml::parse_element(&item.bytes, &item.root, &item.head) {
                    self.learn_from(&tree);
                }
            }
            _ => {}
        }
    }

    fn learn_from(&mut self, element: &Element) {
        for attr in element.attrs.iter().filter(|attr| attr.ns.is_empty()) {
            if ADDRESSES.contains(&attr.name.as_str()) {
                self.known.address(&attr.value);
            } else if is_name(element, attr) {
                self.known.name(&attr.value);
            }
        }
        match text_of(element, true) {
            Text::Address => self.known.address(&element.text()),
            Text::Name => self.known.name(&element.text()),
            _ => {}
        }
        element.children().for_each(|child| self.learn_from(child));
    }

    /// An address.
    pub(super) fn address(&self, jid: &str) -> String {
        if self.wishes.jids { self.key.jid(jid) } else { jid.to_owned() }
    }

    /// The network address of a client.
    pub(super) fn network_address(&self, address: &str) -> String {
        if self.wishes.jids { self.key.network_address(address) } else { address.to_owned() }
    }

    /// A comment of our own: addresses in it, and names in quotes.
    pub(super) fn comment(&self, comment: &str) -> String {
        if self.wishes.jids { self.known.replace_quoted(comment, &self.key) } else { comment.to_owned() }
    }

    /// A stream header.
    pub(super) fn header(&self, bytes: &[u8]) -> Vec<u8> {
        match open_tag(bytes) {
            Some(mut open) if self.wishes.jids => {
                for attr in open.attrs.iter_mut().filter(|attr| attr.ns.is_empty()) {
                    if ["from", "to"].contains(&attr.name.as_str()) {
                        attr.value = self.key.jid(&attr.value);
                    }
                }
                write_open_tag(&open, bytes.starts_with(b"<?xml"))
            }
            _ => bytes.to_vec(),
        }
    }

    /// A first-level element; `stanza` if it is one.
    pub(super) fn element(&self, element: &mut Element, stanza: bool) {
        let attrs: Vec<String> = element.attrs.iter().map(|attr| self.attribute(element, attr, stanza)).collect();
        for (attr, value) in element.attrs.iter_mut().zip(attrs) {
            attr.value = value;
        }
        let kind = text_of(element, stanza);
        for node in &mut element.nodes {
            match node {
                Node::Text(text) => *text = self.text(text, kind),
                Node::Element(child) => self.element(child, stanza),
            }
        }
    }

    fn attribute(&self, element: &Element, attr: &Attr, stanza: bool) -> String {
        let Wishes { bodies, jids } = self.wishes;
        let value = attr.value.as_str();
        if !attr.ns.is_empty() {
            return value.to_owned();
        }
        match attr.name.as_str() {
            name if ADDRESSES.contains(&name) => self.address(value),
            _ if is_name(element, attr) && jids => self.key.name(value),
            name if bodies && stanza && (WRITTEN.contains(&name) || is_name(element, attr) || is_sentence(value)) => {
                self.key.text(value)
            }
            _ if !jids || texts::is_namespace(value) => value.to_owned(),
            "node" => self.known.replace(value, &self.key),
            _ => self.known.replace_addresses(value, &self.key),
        }
    }

    fn text(&self, text: &str, kind: Text) -> String {
        let Wishes { bodies, jids } = self.wishes;
        if text.trim().is_empty() {
            return text.to_owned();
        }
        match kind {
            Text::Address if jids => self.key.jid(text),
            Text::Name if jids => self.key.name(text),
            Text::Resource if jids => self.key.resource(text),
            Text::Card => self.key.text(text),
            Text::Name | Text::Words if bodies && !self.known.is_address(text) && !texts::is_technical(text) => {
                self.key.text(text)
            }
            _ if !jids || texts::is_namespace(text) => text.to_owned(),
            Text::Fixed => self.known.replace_addresses(text, &self.key),
            _ => self.known.replace(text, &self.key),
        }
    }
}

/// Whether an attribute is what people call somebody or something.
fn is_name(element: &Element, attr: &Attr) -> bool {
    match attr.name.as_str() {
        "nick" => true,
        "name" => matches!(element.name.as_str(), "item" | "conference" | "file"),
        _ => false,
    }
}

/// A value with spaces in it is no id, type or namespace.
fn is_sentence(value: &str) -> bool {
    value.trim().contains(char::is_whitespace)
}

fn open_tag(bytes: &[u8]) -> Option<OpenTag> {
    let mut scanner = Scanner::new(super::redact::LIMITS);
    match scanner.scan(bytes) {
        Step::Item { .. } => Some(scanner.open().clone()),
        _ => None,
    }
}

/// A header with these attributes and declarations.
fn write_open_tag(open: &OpenTag, declared: bool) -> Vec<u8> {
    let prefix = |ns: &str| {
        let found = open.root.decls.iter().find(|(_, name)| name == ns).map(|(prefix, _)| prefix.as_str());
        if ns == XML_NS { "xml" } else { found.unwrap_or_default() }
    };
    let qualified = |ns: &str, name: &str| match prefix(ns) {
        "" => name.to_owned(),
        prefix => format!("{prefix}:{name}"),
    };
    let mut out = BytesMut::new();
    if declared {
        out.extend_from_slice(b"<?xml version='1.0'?>");
    }
    let attribute = |name: &str, value: &str, out: &mut BytesMut| {
        out.extend_from_slice(format!(" {name}='").as_bytes());
        xml::escape_attr(value, out);
        out.extend_from_slice(b"'");
    };
    out.extend_from_slice(format!("<{}", qualified(&open.ns, &open.name)).as_bytes());
    for attr in &open.attrs {
        let name = if attr.ns.is_empty() { attr.name.clone() } else { qualified(&attr.ns, &attr.name) };
        attribute(&name, &attr.value, &mut out);
    }
    for (prefix, ns) in &open.root.decls {
        let name = if prefix.is_empty() { "xmlns".to_owned() } else { format!("xmlns:{prefix}") };
        attribute(&name, ns, &mut out);
    }
    out.extend_from_slice(b">");
    out.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of an element when these addresses are known.
    fn disguised(wishes: Wishes, known: &[&str], text: &str) -> String {
        let mut disguise = Disguise::new(wishes, "k");
        known.iter().for_each(|jid| disguise.known.address(jid));
        let mut tree = xml::parse_str(text).unwrap();
        disguise.element(&mut tree, true);
        let mut out = BytesMut::new();
        xml::write_element(&tree, xml::Scope::Stream, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    const NAMES: Wishes = Wishes { bodies: false, jids: true };
    const TEXTS: Wishes = Wishes { bodies: true, jids: false };

    /// The protocol's own namespaces stay, whoever lives at jabber.org.
    #[test]
    fn namespaces_stay() {
        let form = "<iq type='result' id='1'><query xmlns='http://jabber.org/protocol/disco#info'>\
                    <feature var='http://jabber.org/protocol/muc'/><x xmlns='jabber:x:data'><field var='FORM_TYPE'>\
                    <value>http://jabber.org/network/serverinfo</value></field></x></query></iq>";
        assert_eq!(disguised(NAMES, &["query@jabber.org/iq", "muc@jabber.org"], form), form);
        assert_eq!(disguised(TEXTS, &[], form), form);
    }

    #[test]
    fn what_is_not_known_is_taken_for_what_people_wrote() {
        let new =
            "<message id='1'><note xmlns='urn:example:new' colour='red' words='so much to say'>hello</note></message>";
        let made = disguised(TEXTS, &[], new);
        assert!(made.contains("colour='red'") && !made.contains("hello") && !made.contains("so much"), "{made}");
        let face = "<message><data xmlns='urn:xmpp:avatar:data'>iVBORw0KGgo=</data></message>";
        assert!(!disguised(NAMES, &[], face).contains("iVBORw0KGgo"), "a face is a name");
        let mail = "<message><body>write to a.b@example.net, please</body></message>";
        let made = disguised(NAMES, &[], mail);
        assert!(
            !made.contains("a.b@example.net") && made.contains("write to n") && made.contains(", please"),
            "{made}"
        );
    }
}
