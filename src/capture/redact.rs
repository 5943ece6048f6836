//! Redaction: no secret is ever written.
//!
//! Takes an item's bytes and the header of its stream, gives the bytes to write: the very same when nothing secret is in
//! them, else the same element with markers where secrets were. A cheap look at the bytes decides whether a
//! tree must be built; all judging is done on the tree, so that CDATA, character references and prefixes hide nothing. What
//! cannot be read is replaced whole. Must not err on the side of writing.
//!
//! Of a secret its length is left, and what a session goes by: whether two SM-IDs are the same, and that a client has said in
//! SCRAM that it can bind channels. What is a marker already stays as it is, so that what is said again of a capture can be compared with it.

use crate::session::What;
use crate::xml::{self, Element, Limits, Node, Scanner, Scope, Step};
use crate::xmpp::{ns, sasl};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::BytesMut;
use memchr::memmem::{self, Finder};
use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// The namespace of the element that stands for an unreadable item.
const REDACTED: &str = "urn:iqtap:redacted";

/// Dialback keys (XEP-0220).
const DIALBACK: &str = "jabber:server:dialback";
/// Component handshakes (XEP-0114).
const COMPONENT: &str = "jabber:component:accept";
/// BOSH (XEP-0124).
const BOSH: &str = "http://jabber.org/protocol/httpbind";
/// HTTP upload (XEP-0363), whatever the version behind it.
const UPLOAD: &str = "urn:xmpp:http:upload";
/// Stream management (XEP-0198), whatever the version behind it.
const SM: &str = "urn:xmpp:sm:";
/// FAST (XEP-0484), whatever the version behind it.
const FAST: &str = "urn:xmpp:fast:";

/// A form field that says whether a room has a password (XEP-0045 §10.1.3): named after a secret, and none.
const HAS_PASSWORD: &str = "muc#roomconfig_passwordprotectedroom";

/// What follows a colon in the namespaces under which stanzas hold secrets; data forms are a case of their own.
const SPACES: &[&[u8]] = &[b"auth", b"register", b"fast:", b"upload", b"xmpp-sasl", b"sasl:", b"sm:"];
/// What follows the last colon in the namespace of data forms.
const FORMS: &[u8] = b"data";

/// What an item is read under when its stream's header was not seen.
pub(super) const HEADER: &[u8] =
    b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// The session has judged the item by its own limits already.
pub(super) const LIMITS: Limits = Limits {
    stanza_bytes: 1 << 30,
    elements: u32::MAX,
    depth: Limits::MAX_DEPTH,
    attributes: 65_536,
    name_bytes: 1 << 20,
    value_bytes: 1 << 30,
};

/// A stream header: what the items behind it are read under.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) bytes: Box<[u8]>,
    /// It may declare what makes a stanza secret, so that the stanza need not.
    suspect: bool,
}

impl Header {
    /// For one that was not recorded: nobody knows what it declares, so everything behind it is looked into.
    pub(super) fn stand_in() -> Self {
        Self { bytes: HEADER.into(), suspect: true }
    }
}

/// Knows what to look for.
#[derive(Debug)]
pub(super) struct Redactor {
    password: Finder<'static>,
    reference: Finder<'static>,
    secret: Finder<'static>,
    private: Finder<'static>,
    ids: Ids,
}

impl Redactor {
    pub(super) fn new() -> Self {
        Self {
            password: Finder::new("assword"),
            reference: Finder::new("&#"),
            secret: Finder::new("ecret"),
            private: Finder::new("text-private"),
            ids: Ids::default(),
        }
    }

    /// What to write of an item that stands under this stream header.
    pub(super) fn clean<'a>(&mut self, what: What, bytes: &'a [u8], header: Option<&Header>) -> Cow<'a, [u8]> {
        let suspect = match what {
            What::Header | What::Space | What::Close => false,
            What::Stanza(_) => header.is_some_and(|h| h.suspect) || self.suspects(bytes, false),
            What::Other => !is_plain(bytes),
        };
        if !suspect {
            return Cow::Borrowed(bytes);
        }
        let Some((mut tree, scope)) = read(bytes, header.map_or(HEADER, |h| &h.bytes)) else {
            return stand_in(bytes.len()).into();
        };
        if !scrub(&mut tree, Above::default(), &mut self.ids) {
            return Cow::Borrowed(bytes);
        }
        let mut out = BytesMut::new();
        xml::write_element(&tree, scope, &mut out);
        Cow::Owned(out.into())
    }

    /// What to write of an element that is changed besides.
    pub(super) fn rework(
        &mut self,
        bytes: &[u8],
        header: Option<&Header>,
        change: &mut dyn FnMut(&mut Element),
    ) -> Vec<u8> {
        let Some((mut tree, scope)) = read(bytes, header.map_or(HEADER, |h| &h.bytes)) else {
            return stand_in(bytes.len());
        };
        scrub(&mut tree, Above::default(), &mut self.ids);
        change(&mut tree);
        let mut out = BytesMut::new();
        xml::write_element(&tree, scope, &mut out);
        out.into()
    }

    /// Remembers a header.
    pub(super) fn header(&self, bytes: &[u8]) -> Header {
        Header { bytes: bytes.into(), suspect: self.suspects(bytes, true) }
    }

    /// Whether a tree must be built to know. A secret needs an element or attribute whose name says password, or one of a few
    /// namespaces, written here or in the header; or names written with character references. In a form it needs
    /// certain words, unless it is only the namespace that is declared here (`declares`).
    fn suspects(&self, bytes: &[u8], declares: bool) -> bool {
        if self.password.find(bytes).is_some() || self.reference.find(bytes).is_some() {
            return true;
        }
        let mut forms = false;
        for colon in memchr::memchr_iter(b':', bytes) {
            let rest = bytes.get(colon + 1..).unwrap_or_default();
            if SPACES.iter().any(|s| rest.starts_with(s)) {
                return true;
            }
            forms |= rest.starts_with(FORMS);
        }
        forms && (declares || self.secret.find(bytes).is_some() || self.private.find(bytes).is_some())
    }
}

/// What stands for an item that cannot be read.
pub(super) fn stand_in(bytes: usize) -> Vec<u8> {
    format!("<redacted xmlns='{REDACTED}' bytes='{bytes}'/>").into_bytes()
}

/// The few elements between stanzas that come often and hold nothing: acknowledgements and client state, if they are
/// a single element without a password.
fn is_plain(bytes: &[u8]) -> bool {
    let end = bytes.iter().position(|&b| matches!(b, b' ' | b'/' | b'>' | b'\t' | b'\n')).unwrap_or(bytes.len());
    matches!(bytes.get(..end), Some(b"<r" | b"<a" | b"<active" | b"<inactive"))
        && memchr::memchr_iter(b'<', bytes).count() <= 2
        && memmem::find(bytes, b"assword").is_none()
}

/// The tree of an item under its header, and what to write it for.
fn read(bytes: &[u8], header: &[u8]) -> Option<(Element, Scope)> {
    let mut scanner = Scanner::new(LIMITS);
    for item in [header, bytes] {
        let Step::Item { len, .. } = scanner.scan(item) else { return None };
        if len != item.len() {
            return None;
        }
    }
    let tree = xml::parse_element(bytes, scanner.root(), scanner.head()).ok()?;
    let declares = |prefix: &str, ns: &str| scanner.root().decls.iter().any(|(p, n)| p == prefix && n == ns);
    let ordinary = declares("", ns::CLIENT) && declares("stream", ns::STREAM);
    Some((tree, if ordinary { Scope::Stream } else { Scope::Alone }))
}

/// What the elements above say of the one at hand.
#[derive(Clone, Copy, Default)]
struct Above<'a> {
    /// Its text is replaced already.
    blanked: bool,
    /// It is a value of a secret field.
    private: bool,
    /// The secret columns of the form around it.
    columns: &'a [String],
}

/// Replaces every secret at or below an element. Says whether there was one.
fn scrub(e: &mut Element, above: Above<'_>, ids: &mut Ids) -> bool {
    let mut found = scrub_attributes(e, ids);
    let marker = match secret_text(e, above.private) {
        _ if above.blanked => None,
        Text::Open => None,
        Text::Plain => Some(marker as fn(&str) -> String),
        Text::Base64 => Some(base64_marker as fn(&str) -> String),
        Text::SaysY => Some(y_marker as fn(&str) -> String),
    };
    if let Some(marker) = marker {
        found |= blank(e, marker);
    }
    let columns = if e.is(ns::DATA_FORMS, "x") { private_columns(e) } else { Vec::new() };
    let below = Above {
        blanked: above.blanked || marker.is_some(),
        private: e.is(ns::DATA_FORMS, "field") && is_private(e, above.columns),
        columns: if columns.is_empty() { above.columns } else { &columns },
    };
    for child in e.children_mut() {
        found |= scrub(child, below, ids);
    }
    found
}

/// What kind of text an element has.
enum Text {
    /// Nothing secret.
    Open,
    /// A secret.
    Plain,
    /// A secret in base64, where some will expect base64 again.
    Base64,
    /// The same, and the client says that it can bind channels.
    SaysY,
}

/// The rows of the redaction list that are about text.
fn secret_text(e: &Element, private: bool) -> Text {
    match (e.ns.as_str(), e.name.as_str()) {
        (ns::SASL, "auth") if sasl::says_y(e.text().trim()) => Text::SaysY,
        (ns::SASL, "auth" | "challenge" | "response" | "success")
        | (ns::SASL2, "initial-response" | "challenge" | "response" | "additional-data" | "task-data" | "next") => {
            Text::Base64
        }
        (ns::IQ_AUTH, "digest")
        | (ns::IQ_REGISTER, "key")
        | (COMPONENT, "handshake")
        | (DIALBACK, "result" | "verify")
        | (_, "password") => Text::Plain,
        (ns::DATA_FORMS, "value") if private => Text::Plain,
        (upload, "header") if upload.starts_with(UPLOAD) => match e.attr("name") {
            Some(name) if name.eq_ignore_ascii_case("authorization") || name.eq_ignore_ascii_case("cookie") => {
                Text::Plain
            }
            _ => Text::Open,
        },
        _ => Text::Open,
    }
}

/// The rows of the redaction list that are about attributes.
fn scrub_attributes(e: &mut Element, ids: &mut Ids) -> bool {
    let secret = match (e.ns.as_str(), e.name.as_str()) {
        (sm, "enabled") if sm.starts_with(SM) => "id",
        (sm, "resume" | "resumed") if sm.starts_with(SM) => "previd",
        (fast, "token") if fast.starts_with(FAST) => "token",
        (ns::SASL2, "user-agent") => "id",
        (BOSH, "body") => "sid",
        _ => "password",
    };
    let mut found = false;
    for attr in &mut e.attrs {
        if (attr.name == secret || attr.name == "password") && !attr.value.is_empty() {
            let mark = if secret == "id" || secret == "previd" { ids.marker(&attr.value) } else { marker(&attr.value) };
            found |= mark != attr.value;
            attr.value = mark;
        }
    }
    found
}

/// What the name of a form field that holds a secret may contain.
const SECRET_WORDS: [&str; 6] = ["password", "passwd", "passphrase", "secret", "token", "pin-code"];

/// A field of a data form (XEP-0004) that is of type `text-private`, or whose name gives it away: a submitted form has
/// no types.
fn is_private(field: &Element, columns: &[String]) -> bool {
    let var = field.attr("var").unwrap_or_default();
    let lower = var.to_ascii_lowercase();
    field.attr("type") == Some("text-private")
        || (SECRET_WORDS.iter().any(|word| lower.contains(word)) && var != HAS_PASSWORD)
        || columns.iter().any(|c| c == var)
}

/// A form with many items names the types of its columns once, in `<reported/>`.
fn private_columns(form: &Element) -> Vec<String> {
    form.children()
        .filter(|c| c.is(ns::DATA_FORMS, "reported"))
        .flat_map(Element::children)
        .filter(|f| f.is(ns::DATA_FORMS, "field") && f.attr("type") == Some("text-private"))
        .filter_map(|f| f.attr("var").map(str::to_owned))
        .collect()
}

/// Replaces all text at or below an element; indentation between elements stays.
fn blank(e: &mut Element, marker: fn(&str) -> String) -> bool {
    let leaf = e.children().next().is_none();
    let mut found = false;
    for node in &mut e.nodes {
        match node {
            Node::Text(text) if leaf || !text.trim().is_empty() => {
                let mark = marker(text);
                found |= mark != *text;
                *text = mark;
            }
            Node::Text(_) => {}
            Node::Element(child) => found |= blank(child, marker),
        }
    }
    found
}

/// What was replaced already stays as it is: captures may be copied.
fn marker(secret: &str) -> String {
    if is_marker(secret) { secret.to_owned() } else { format!("[redacted {} bytes]", secret.len()) }
}

fn is_marker(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("[redacted ").and_then(|rest| rest.strip_suffix(']')) else { return false };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match rest.split_once(" bytes") {
        Some((number, "")) => digits(number),
        Some((number, id)) => {
            digits(number) && id.strip_prefix(" #").is_some_and(|id| digits(id.trim_end_matches('.')))
        }
        None => false,
    }
}

/// Ids that are told apart, not written.
#[derive(Debug, Default)]
struct Ids {
    /// What they are hashed with: nobody knows it.
    hasher: RandomState,
    /// By their hashes.
    numbers: HashMap<u64, u64>,
    given: u64,
}

impl Ids {
    /// So many are known at once; of what comes after that nobody knows whether it came before.
    const MOST: usize = 65_536;
    /// A longer one is no SM-ID that a session could be resumed by: so must its marker be.
    const LONG: usize = 4000;

    fn marker(&mut self, id: &str) -> String {
        if is_marker(id) {
            return id.to_owned();
        }
        if self.numbers.len() >= Self::MOST {
            self.numbers.clear();
        }
        let number = *self.numbers.entry(self.hasher.hash_one(id)).or_insert_with(|| {
            self.given += 1;
            self.given
        });
        let dots = if id.len() > Self::LONG { ".".repeat(Self::LONG) } else { String::new() };
        format!("[redacted {} bytes #{number}{dots}]", id.len())
    }
}

/// `y,,` is the beginning of a SCRAM message (RFC 5802 §7).
fn y_marker(secret: &str) -> String {
    let known = BASE64_STANDARD.decode(secret).is_ok_and(|text| {
        text.strip_prefix(b"y,,").and_then(|text| std::str::from_utf8(text).ok()).is_some_and(is_marker)
    });
    if known { secret.to_owned() } else { BASE64_STANDARD.encode(format!("y,,{}", marker(secret))) }
}

/// `=` is SASL's way to send nothing (RFC 6120 §6.4.2): no secret.
fn base64_marker(secret: &str) -> String {
    let decoded = BASE64_STANDARD.decode(secret).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let replaced = decoded.is_some_and(|text| is_marker(&text));
    if secret == "=" || replaced { secret.to_owned() } else { BASE64_STANDARD.encode(marker(secret)) }
}
