//! Holds two stanzas of two recordings together: what is named differently and means the same is told from what differs.
//!
//! Ids, stream and stream management ids, and the resources of addresses are bound by first sight: what stands in one for what in the other.
//! Once bound, both must agree for ever. Moments and secrets are never compared. Takes two trees, changes the first to what it would be in
//! the second's recording, so that what is left different is a difference.

use super::meaning::{self, Meaning};
use crate::capture::read::End;
use crate::xml::{Attr, Element, Node};
use crate::xmpp::jid;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Whose names a name belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    /// Ids of stanzas: whoever asked or spoke has chosen it.
    Stanza(bool),
    /// Ids inside of stanzas.
    Inner,
    /// Ids of streams, and of their management.
    Stream,
    /// Full addresses.
    Address,
}

/// What of one recording stands for what of the other.
#[derive(Debug, Default)]
pub(super) struct Names {
    there: BTreeMap<(Scope, String), String>,
    back: BTreeMap<(Scope, String), String>,
}

impl Names {
    /// Holds two names together, or says what is wrong: what the first stands for, if it stands for something.
    fn agree(&mut self, scope: Scope, one: &str, other: &str) -> Result<(), Option<String>> {
        match (self.there.get(&(scope, one.to_owned())), self.back.get(&(scope, other.to_owned()))) {
            (Some(known), _) if known == other => Ok(()),
            (Some(known), _) => Err(Some(known.clone())),
            (None, Some(_)) => Err(None),
            (None, None) => {
                self.there.insert((scope, one.to_owned()), other.to_owned());
                self.back.insert((scope, other.to_owned()), one.to_owned());
                Ok(())
            }
        }
    }

    /// The same for a name inside of a stanza, which may be that of a stanza.
    fn agree_inside(&mut self, one: &str, other: &str) -> Result<(), Option<String>> {
        let stands = |scope| self.there.get(&(scope, one.to_owned())).is_some_and(|known| known == other);
        if [true, false].map(Scope::Stanza).into_iter().any(stands) {
            return Ok(());
        }
        self.agree(Scope::Inner, one, other)
    }
}

/// Two trees under comparison.
struct Fitting<'a> {
    names: &'a mut Names,
    /// Names that do not agree, for people.
    conflicts: Vec<String>,
}

/// Changes `one` to what it would be in the recording of `other`. Gives the names that do not agree.
pub(super) fn fit(one: &mut Element, other: &Element, from: End, names: &mut Names) -> Vec<String> {
    let mut fitting = Fitting { names, conflicts: Vec::new() };
    let asker = asker(one, from);
    fitting.element(one, other, Some(asker));
    fitting.conflicts
}

/// Who has chosen the id of a first-level element.
fn asker(element: &Element, from: End) -> Scope {
    match element.name.as_str() {
        "message" | "presence" | "iq" => {
            let answers =
                matches!((element.name.as_str(), element.attr("type")), (_, Some("error")) | ("iq", Some("result")));
            Scope::Stanza((from == End::Caller) != answers)
        }
        _ => Scope::Stream,
    }
}

impl Fitting<'_> {
    /// `first` is whose the id is, for a first-level element.
    fn element(&mut self, one: &mut Element, other: &Element, first: Option<Scope>) {
        if !one.is(&other.ns, &other.name) {
            return;
        }
        let meanings: Vec<Meaning> = one.attrs.iter().map(|attr| meaning::attribute(one, attr)).collect();
        for (attr, meaning) in one.attrs.iter_mut().zip(meanings) {
            let Some(value) = other.attr_ns(&attr.ns, &attr.name) else { continue };
            let scope = first.filter(|_| attr.name == "id");
            let twin = Attr { value: value.to_owned(), ..attr.clone() };
            self.value(&mut attr.value, value, [meaning, meaning::attribute(other, &twin)], scope);
        }
        let (alone, text) = (other.children().next().is_none(), other.text());
        if let [Node::Text(own)] = one.nodes.as_slice()
            && alone
            && !text.is_empty()
        {
            let mut fitted = own.clone();
            let meanings = [meaning::text(one, own), meaning::text(other, &text)];
            self.value(&mut fitted, &text, meanings, None);
            one.nodes = vec![Node::Text(fitted)];
        }
        let mut used = BTreeMap::<(String, String), usize>::new();
        for child in one.children_mut() {
            let nth = used.entry((child.ns.clone(), child.name.clone())).or_default();
            let twin = other.children().filter(|twin| twin.is(&child.ns, &child.name)).nth(*nth);
            *nth += 1;
            if let Some(twin) = twin {
                self.element(child, twin, None);
            }
        }
    }

    /// Changes a value to the other's if both mean the same.
    fn value(&mut self, one: &mut String, other: &str, meanings: [Meaning; 2], scope: Option<Scope>) {
        let [meaning, twin] = meanings;
        match meaning {
            _ if meaning == Meaning::Secret || twin == Meaning::Secret => other.clone_into(one),
            Meaning::Id if scope.is_some() || twin == Meaning::Id => {
                let agreed = match scope {
                    Some(scope) => self.names.agree(scope, one, other),
                    None => self.names.agree_inside(one, other),
                };
                self.settle(one, other, agreed);
            }
            Meaning::Moment if meaning == twin => other.clone_into(one),
            Meaning::Address => self.address(one, other),
            _ => {}
        }
    }

    /// Addresses: the bare ones must be the same, resources are names.
    fn address(&mut self, one: &mut String, other: &str) {
        if !jid::same(jid::bare(one), jid::bare(other)) {
            return;
        }
        match (jid::resource(one), jid::resource(other)) {
            (Some(_), Some(_)) => {
                let agreed = self.names.agree(Scope::Address, one, other);
                self.settle(one, other, agreed);
            }
            (None, None) => other.clone_into(one),
            _ => {}
        }
    }

    fn settle(&mut self, one: &mut String, other: &str, agreed: Result<(), Option<String>>) {
        match agreed {
            Ok(()) => other.clone_into(one),
            Err(Some(known)) => {
                self.conflicts.push(format!("'{one}' stood for '{known}' before, here for '{other}'"));
                *one = known;
            }
            Err(None) => self.conflicts.push(format!("'{other}' stood for another name than '{one}' before")),
        }
    }
}

/// Whether two trees say the same, whatever the order of attributes.
pub(super) fn same(one: &Element, other: &Element) -> bool {
    let attrs = |element: &Element| {
        let mut attrs = element.attrs.clone();
        attrs.sort_by(|a, b| (&a.ns, &a.name).cmp(&(&b.ns, &b.name)));
        attrs
    };
    one.is(&other.ns, &other.name)
        && one.nodes.len() == other.nodes.len()
        && attrs(one) == attrs(other)
        && one.nodes.iter().zip(&other.nodes).all(|pair| match pair {
            (Node::Element(one), Node::Element(other)) => same(one, other),
            (Node::Text(one), Node::Text(other)) => one == other,
            _ => false,
        })
}

/// Puts children whose order says nothing into one order.
pub(super) fn put_in_order(element: &mut Element) {
    element.children_mut().for_each(put_in_order);
    if meaning::is_set(element) {
        // Without names, for they do not say who is who.
        element.nodes.sort_by_cached_key(|node| match node {
            Node::Text(text) => (String::new(), text.clone(), 0),
            Node::Element(child) => {
                let who = ["jid", "var", "category"].iter().find_map(|name| child.attr(name)).unwrap_or_default();
                (child.name.clone(), who.to_owned(), digest(child))
            }
        });
    }
}

/// A number that is equal for trees that may say the same.
pub(super) fn digest(element: &Element) -> u64 {
    let mut hasher = DefaultHasher::new();
    feed(element, &mut hasher);
    hasher.finish()
}

fn feed(element: &Element, hasher: &mut DefaultHasher) {
    (&element.ns, &element.name).hash(hasher);
    let mut attrs: Vec<&Attr> = element.attrs.iter().collect();
    attrs.sort_by(|a, b| (&a.ns, &a.name).cmp(&(&b.ns, &b.name)));
    for attr in attrs {
        (&attr.ns, &attr.name).hash(hasher);
        feed_value(&attr.value, meaning::attribute(element, attr), hasher);
    }
    for node in &element.nodes {
        match node {
            Node::Text(text) => feed_value(text, meaning::text(element, text), hasher),
            Node::Element(child) => feed(child, hasher),
        }
    }
    0xff_u8.hash(hasher);
}

fn feed_value(value: &str, meaning: Meaning, hasher: &mut DefaultHasher) {
    match meaning {
        Meaning::Word => value.hash(hasher),
        Meaning::Address => (jid::bare(value), jid::resource(value).is_some()).hash(hasher),
        Meaning::Id | Meaning::Moment | Meaning::Secret => 0_u8.hash(hasher),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> Element {
        crate::xml::parse_str(text).unwrap()
    }

    /// Whether the second stands for the first, and what does not agree.
    fn held(one: &str, other: &str, from: End, names: &mut Names) -> (bool, Vec<String>) {
        let (mut one, mut other) = (tree(one), tree(other));
        put_in_order(&mut one);
        put_in_order(&mut other);
        let conflicts = fit(&mut one, &other, from, names);
        (same(&one, &other), conflicts)
    }

    const fn fine() -> (bool, Vec<String>) {
        (true, Vec::new())
    }

    #[test]
    fn names_are_bound_by_first_sight() {
        let names = &mut Names::default();
        let (caller, listener) = (End::Caller, End::Listener);
        let ask = |id: &str, to: &str| format!("<iq type='get' id='{id}' to='{to}'><ping xmlns='urn:xmpp:ping'/></iq>");
        assert_eq!(held(&ask("a", "x@y/1"), &ask("b", "x@y/2"), caller, names), fine());
        assert_eq!(
            held("<iq type='result' id='a' from='x@y/1'/>", "<iq from='x@y/2' id='b' type='result'/>", listener, names),
            fine()
        );
        let (same, conflicts) = held("<iq type='result' id='a'/>", "<iq type='result' id='c'/>", listener, names);
        assert_eq!((same, conflicts.as_slice()), (false, &["'a' stood for 'b' before, here for 'c'".to_owned()][..]));
        let (same, conflicts) = held(&ask("n", "x@y/9"), &ask("b", "x@y/9"), caller, names);
        assert_eq!(
            (same, conflicts.as_slice()),
            (false, &["'b' stood for another name than 'n' before".to_owned()][..])
        );
        // What the other end asks is named by it.
        assert_eq!(held(&ask("a", "z"), &ask("7", "z"), listener, names), fine());
        assert!(!held(&ask("k", "x@y/1"), &ask("k", "x@y/3"), caller, names).0, "another resource");
        assert!(!held(&ask("l", "x@y"), &ask("l", "x@z"), caller, names).0, "another address");
        assert!(!held(&ask("m", "x@y"), &ask("m", "x@y/1"), caller, names).0, "a resource where none was");
    }

    #[test]
    fn a_receipt_names_its_message() {
        let names = &mut Names::default();
        let receipt = |id: &str| format!("<message><received xmlns='urn:xmpp:receipts' id='{id}'/></message>");
        assert_eq!(held("<message id='m1'/>", "<message id='n1'/>", End::Caller, names), fine());
        assert_eq!(held(&receipt("m1"), &receipt("n1"), End::Listener, names), fine());
        assert_eq!(held(&receipt("other"), &receipt("strange"), End::Listener, names), fine());
        assert!(!held(&receipt("other"), &receipt("n1"), End::Listener, names).0);
    }

    #[test]
    fn moments_and_secrets_are_not_compared_and_words_are() {
        let names = &mut Names::default();
        let delay = |stamp: &str| format!("<message><delay xmlns='urn:xmpp:delay' stamp='{stamp}'/></message>");
        let caller = End::Caller;
        assert_eq!(held(&delay("2026-01-01T00:00:00Z"), &delay("2027-01-01T00:00:00.5Z"), caller, names), fine());
        assert!(!held(&delay("2026-01-01T00:00:00Z"), &delay("never"), caller, names).0);
        let auth = |text: &str| format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='X'>{text}</auth>");
        assert_eq!(held(&auth("AGE="), &auth("W3JlZGFjdGVkIDEyIGJ5dGVzXQ=="), caller, names), fine());
        let body = |text: &str| format!("<message><body>{text}</body></message>");
        assert!(!held(&body("a"), &body("b"), caller, names).0);
        assert_eq!(held("<message to='a' type='chat'/>", "<message type='chat' to='a'/>", caller, names), fine());
    }

    #[test]
    fn sets_have_no_order() {
        let names = &mut Names::default();
        let list = |one: &str, two: &str| {
            format!(
                "<iq type='result' id='1'><query xmlns='jabber:iq:roster'><item jid='{one}'/><item jid='{two}'/></query></iq>"
            )
        };
        assert_eq!(held(&list("a@x", "b@x"), &list("b@x", "a@x"), End::Listener, names), fine());
        assert!(!held(&list("a@x", "b@x"), &list("b@x", "c@x"), End::Listener, names).0);
    }
}
