//! [`Head`]: what the scanner learns of a first-level element for free, as spans into the element's own bytes.
//!
//! Nothing here is copied or allocated per stanza; [`View`] joins a `Head`, its bytes and the stream's [`Root`]
//! and answers questions in terms of strings. Must not judge anything.

use super::XML_NS;
use super::scan::{same, slice, value_text};
use std::borrow::Cow;

/// A byte range inside the element's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// An attribute value: the raw bytes between the quotes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Value {
    /// Where it stands.
    pub span: Span,
    /// Whether it holds a reference (`&amp;`, `&#10;`), so that the raw bytes are not the value.
    pub escaped: bool,
}

/// Where a namespace name is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NsRef {
    /// No namespace.
    #[default]
    None,
    /// The namespace of the prefix `xml`.
    Xml,
    /// Declared on the stream's root: index into [`Root::decls`].
    Root(u16),
    /// Declared inside the element itself.
    Local(Value),
}

/// An expanded name: namespace and local part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Name {
    /// The namespace.
    pub ns: NsRef,
    /// The local part, without prefix.
    pub local: Span,
}

/// The shallow view of one first-level element.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Its expanded name.
    pub name: Name,
    /// Attribute `id` (no namespace).
    pub id: Option<Value>,
    /// Attribute `type` (no namespace).
    pub kind: Option<Value>,
    /// Attribute `to` (no namespace).
    pub to: Option<Value>,
    /// Attribute `from` (no namespace).
    pub from: Option<Value>,
    /// Attribute `xml:lang`.
    pub lang: Option<Value>,
    /// Number of child elements.
    pub children: u32,
    /// The first child element.
    pub first_child: Option<Name>,
    /// The first child element that is not `<error/>` in the element's own namespace.
    pub payload: Option<Name>,
    /// Number of child elements `<error/>` in the element's own namespace.
    pub errors: u32,
    /// Number of elements in all, itself included.
    pub elements: u32,
    /// Whether the slice leans on the root: uses a prefix (or default namespace) declared on the stream's root
    /// other than the default namespace bound to `jabber:client` and `stream` bound to the streams namespace.
    pub leans: bool,
    /// Whether the bytes hold what every parser normalises: CR anywhere, or TAB or LF inside an attribute value.
    pub untidy: bool,
}

/// What the stream's root element declared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Root {
    /// Prefix (empty for the default namespace) and namespace name, in document order.
    pub decls: Vec<(String, String)>,
}

/// One attribute of the stream's root, unescaped; namespace declarations stand in [`OpenTag::root`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenAttr {
    /// Namespace name, empty for none.
    pub ns: String,
    /// Local name.
    pub name: String,
    /// The value, references resolved and normalised.
    pub value: String,
}

/// The root's start tag (the stream header).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenTag {
    /// Namespace name of the root element.
    pub ns: String,
    /// Local name of the root element.
    pub name: String,
    /// Its attributes.
    pub attrs: Vec<OpenAttr>,
    /// Its namespace declarations.
    pub root: Root,
}

impl OpenTag {
    /// The value of an attribute in no namespace.
    #[must_use]
    pub fn attr(&self, name: &str) -> Option<&str> {
        self.attrs.iter().find(|a| a.ns.is_empty() && a.name == name).map(|a| a.value.as_str())
    }
}

/// A judged element: its bytes, its head, and the root it stands under.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The element's bytes, from `<` to `>`.
    pub bytes: &'a [u8],
    /// What the scanner learnt.
    pub head: &'a Head,
    /// The stream's root.
    pub root: &'a Root,
}

impl<'a> View<'a> {
    /// The element's local name.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.local(&self.head.name)
    }
    /// The element's namespace name, empty for none.
    #[must_use]
    pub fn ns(&self) -> Cow<'a, str> {
        self.namespace(&self.head.name)
    }
    /// Whether the element has this expanded name.
    #[must_use]
    pub fn is(&self, ns: &str, name: &str) -> bool {
        self.name_is(&self.head.name, ns, name)
    }
    /// Whether a name in this element's head equals an expanded name.
    #[must_use]
    pub fn name_is(&self, what: &Name, ns: &str, name: &str) -> bool {
        self.local_is(what, name) && self.ns_is(what, ns)
    }
    /// Whether a name in this element's head has this namespace.
    #[must_use]
    pub fn ns_is(&self, what: &Name, ns: &str) -> bool {
        match what.ns {
            NsRef::Local(value) => self.value_is(&value, ns),
            _ => same(self.namespace(what).as_bytes(), ns.as_bytes()),
        }
    }
    /// Whether an attribute of this head has this value.
    #[must_use]
    pub fn value_is(&self, value: &Value, text: &str) -> bool {
        let raw = slice(self.bytes, value.span);
        if value.escaped { value_text(raw) == text } else { same(raw, text.as_bytes()) }
    }
    /// Whether the local part of a name in this head is this.
    #[must_use]
    pub fn local_is(&self, what: &Name, local: &str) -> bool {
        same(slice(self.bytes, what.local), local.as_bytes())
    }
    /// Expanded name (namespace, local) of a [`Name`] of this head.
    #[must_use]
    pub fn expand(&self, what: &Name) -> (Cow<'a, str>, &'a str) {
        (self.namespace(what), self.local(what))
    }
    /// Attribute `id`.
    #[must_use]
    pub fn id(&self) -> Option<Cow<'a, str>> {
        self.head.id.as_ref().map(|v| self.value(v))
    }
    /// Attribute `type`.
    #[must_use]
    pub fn kind(&self) -> Option<Cow<'a, str>> {
        self.head.kind.as_ref().map(|v| self.value(v))
    }
    /// Attribute `to`.
    #[must_use]
    pub fn to(&self) -> Option<Cow<'a, str>> {
        self.head.to.as_ref().map(|v| self.value(v))
    }
    /// Attribute `from`.
    #[must_use]
    pub fn from(&self) -> Option<Cow<'a, str>> {
        self.head.from.as_ref().map(|v| self.value(v))
    }
    /// Attribute `xml:lang` of the element itself.
    #[must_use]
    pub fn lang(&self) -> Option<Cow<'a, str>> {
        self.head.lang.as_ref().map(|v| self.value(v))
    }
    /// Expanded name of the payload: the first child element that is not `<error/>`.
    #[must_use]
    pub fn payload(&self) -> Option<(Cow<'a, str>, &'a str)> {
        self.head.payload.as_ref().map(|n| self.expand(n))
    }
    /// Expanded name of the first child element.
    #[must_use]
    pub fn first_child(&self) -> Option<(Cow<'a, str>, &'a str)> {
        self.head.first_child.as_ref().map(|n| self.expand(n))
    }
    /// An attribute value of this head: borrowed unless it is escaped. (Literal white space is as written in the bytes;
    /// only [`super::normalise`]d bytes have the value every parser sees.)
    #[must_use]
    pub fn value(&self, value: &Value) -> Cow<'a, str> {
        let raw = slice(self.bytes, value.span);
        if value.escaped { value_text(raw) } else { Cow::Borrowed(text(raw)) }
    }
    fn local(&self, what: &Name) -> &'a str {
        text(slice(self.bytes, what.local))
    }
    fn namespace(&self, what: &Name) -> Cow<'a, str> {
        match what.ns {
            NsRef::None => Cow::Borrowed(""),
            NsRef::Xml => Cow::Borrowed(XML_NS),
            NsRef::Root(i) => Cow::Borrowed(self.root.decls.get(usize::from(i)).map_or("", |(_, name)| name.as_str())),
            NsRef::Local(value) => self.value(&value),
        }
    }
}

/// The scanner has proved the bytes to be UTF-8, and spans lie between characters.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}
