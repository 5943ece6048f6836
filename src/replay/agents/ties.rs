//! [`Ties`]: what of the recording stands for what of the living session.
//!
//! Two kinds of things are tied: ids, those of the client and those of the server apart, and addresses. One's own address, its bare form
//! and its domain are tied from the start; resources of others when they are first seen. What has been tied since a [`Ties::mark`] can be
//! taken back, so that a comparison that fails leaves nothing behind.

use crate::xml::{Element, Node};
use crate::xmpp::{Side, jid, ns};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// One's own address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Me {
    /// With the resource.
    pub full: String,
    /// Without.
    pub bare: String,
    /// The domain alone.
    pub domain: String,
}

impl Me {
    /// Of a full JID.
    #[must_use]
    pub fn of(full: &str) -> Self {
        Self { full: full.to_owned(), bare: jid::bare(full).to_owned(), domain: jid::domain(full).to_owned() }
    }
}

/// What was tied: enough to take it back.
#[derive(Clone, Debug)]
enum Undo {
    Id(Side, String, Option<String>),
    Address(String),
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Ties {
    recorded: Me,
    live: Me,
    ids: [BTreeMap<String, String>; 2],
    addresses: BTreeMap<String, String>,
    /// The other way round: no two recorded addresses are one in life.
    back: BTreeMap<String, String>,
    /// Whether an id may be tied to another one later: to a mock each request is new.
    loose: bool,
    done: Vec<Undo>,
}

impl Ties {
    /// Between two addresses.
    #[must_use]
    pub fn new(recorded: Me, live: Me, loose: bool) -> Self {
        let (ids, addresses, back) = Default::default();
        Self { recorded, live, ids, addresses, back, loose, done: Vec::new() }
    }

    /// The living side's own address.
    #[must_use]
    pub fn live(&self) -> &Me {
        &self.live
    }

    /// The recorded session's own address.
    #[must_use]
    pub fn recorded(&self) -> &Me {
        &self.recorded
    }

    /// A point to go back to.
    pub(super) fn mark(&mut self) -> usize {
        self.done.len()
    }

    /// Takes back what was tied since then.
    pub(super) fn back_to(&mut self, mark: usize) {
        while self.done.len() > mark {
            match self.done.pop() {
                Some(Undo::Id(side, recorded, Some(before))) => {
                    self.ids[side.index()].insert(recorded, before);
                }
                Some(Undo::Id(side, recorded, None)) => {
                    self.ids[side.index()].remove(&recorded);
                }
                Some(Undo::Address(recorded)) => {
                    if let Some(live) = self.addresses.remove(&recorded) {
                        self.back.remove(&live);
                    }
                }
                None => {}
            }
        }
    }

    /// What was tied stays tied.
    pub(super) fn keep(&mut self) {
        self.done.clear();
    }

    /// Ties an id that one side chose, whatever it was tied to before.
    pub fn tie_id(&mut self, side: Side, recorded: &str, live: &str) {
        let before = self.ids[side.index()].insert(recorded.to_owned(), live.to_owned());
        self.done.push(Undo::Id(side, recorded.to_owned(), before));
    }

    /// The living id for a recorded one, whoever chose it.
    #[must_use]
    pub fn id(&self, recorded: &str) -> Option<&str> {
        self.id_of(Side::Client, recorded).or_else(|| self.id_of(Side::Server, recorded))
    }

    /// The living id for a recorded one that this side chose.
    #[must_use]
    pub fn id_of(&self, side: Side, recorded: &str) -> Option<&str> {
        self.ids[side.index()].get(recorded).map(String::as_str)
    }

    /// Whether an id may stand for a recorded one; ties it on first sight.
    pub(super) fn same_id(&mut self, recorded: &str, live: &str) -> bool {
        if [Side::Client, Side::Server].iter().any(|side| self.id_of(*side, recorded) == Some(live)) {
            return true;
        }
        if self.id_of(Side::Server, recorded).is_some() && !self.loose {
            return false;
        }
        self.tie_id(Side::Server, recorded, live);
        true
    }

    /// The living address for a recorded one: text that is none of ours stays as it is.
    #[must_use]
    pub fn address<'a>(&self, recorded: &'a str) -> Cow<'a, str> {
        if let Some(live) = self.addresses.get(recorded) {
            return Cow::Owned(live.clone());
        }
        let (from, to) = (&self.recorded, &self.live);
        if from.domain.is_empty() || from == to || !recorded.contains(&from.domain) || recorded.len() > 3 * 1023 + 2 {
            return Cow::Borrowed(recorded);
        }
        if recorded == from.full {
            return Cow::Owned(to.full.clone());
        }
        let (bare, resource) = match recorded.split_once('/') {
            Some((bare, resource)) => (bare, Some(resource)),
            None => (recorded, None),
        };
        let (node, domain) = match bare.split_once('@') {
            Some((node, domain)) => (Some(node), domain),
            None => (None, bare),
        };
        let below = domain.strip_suffix(&from.domain).filter(|below| below.is_empty() || below.ends_with('.'));
        let Some(below) = below else { return Cow::Borrowed(recorded) };
        let odd = |part: &str| part.contains(|c: char| c.is_whitespace() || matches!(c, '@' | '/' | '<' | '>' | '"'));
        if odd(below) || node.is_some_and(odd) {
            return Cow::Borrowed(recorded);
        }
        let mut live = if bare == from.bare {
            to.bare.clone()
        } else {
            let node = node.map(|node| format!("{node}@")).unwrap_or_default();
            format!("{node}{below}{}", to.domain)
        };
        if let Some(resource) = resource {
            live.push('/');
            live.push_str(resource);
        }
        Cow::Owned(live)
    }

    /// Whether an address may stand for a recorded one; ties resources on first sight.
    pub(super) fn same_address(&mut self, recorded: &str, live: &str) -> bool {
        let expected = self.address(recorded);
        if jid::same(&expected, live) {
            return true;
        }
        let tied = self.addresses.contains_key(recorded) || self.back.contains_key(live);
        let ours = recorded == self.recorded.full || live == self.live.full;
        let both = jid::resource(&expected).is_some() && jid::resource(live).is_some();
        if tied || ours || self.loose || !both || !jid::same(jid::bare(&expected), jid::bare(live)) {
            return false;
        }
        self.addresses.insert(recorded.to_owned(), live.to_owned());
        self.back.insert(live.to_owned(), recorded.to_owned());
        self.done.push(Undo::Address(recorded.to_owned()));
        true
    }

    /// A recorded element as it would be in the living session.
    #[must_use]
    pub fn to_live(&self, recorded: &Element) -> Element {
        let mut live = Element::new(recorded.ns.as_str(), recorded.name.as_str());
        for attr in &recorded.attrs {
            let value = match is_id(recorded, &attr.ns, &attr.name).then(|| self.id(&attr.value)).flatten() {
                Some(id) => id.to_owned(),
                None => self.address(&attr.value).into_owned(),
            };
            live.set_attr_ns(&attr.ns, &attr.name, value);
        }
        live.nodes = recorded
            .nodes
            .iter()
            .map(|node| match node {
                Node::Element(child) => Node::Element(self.to_live(child)),
                Node::Text(text) if recorded.name == "body" => Node::Text(text.clone()),
                Node::Text(text) => Node::Text(self.address(text).into_owned()),
            })
            .collect();
        live
    }
}

/// Whether an attribute holds an id: something that one side made up and that both repeat.
pub(super) fn is_id(element: &Element, attr_ns: &str, name: &str) -> bool {
    attr_ns.is_empty()
        && (matches!(name, "id" | "queryid" | "previd" | "sid" | "token")
            || name == "ver" && element.is(ns::ROSTER, "query")
            || name == "url" && element.ns.starts_with("urn:xmpp:http:upload"))
}
