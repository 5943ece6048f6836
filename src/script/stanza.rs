//! The stanza a hook works on: what Rhai sees as `stanza`.
//!
//! Takes a copy of a judged stanza's bytes and head; reading its properties never builds the tree. The first edit (or a
//! look into the payload) does, and from then on the tree is the truth.

use super::engine::{Fallible, fail};
use super::path;
use crate::xml::{Element, Head, Node, Root, View, parse_element};
use crate::xmpp::{Kind, Side, ns};
use rhai::{Dynamic, Engine, ImmutableString};
use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A handle: Rhai copies values freely, and all copies are the same stanza.
#[derive(Clone)]
pub(super) struct Stanza(Arc<Mutex<Work>>);

/// The stanza in work.
struct Work {
    kind: Kind,
    side: Side,
    bytes: Vec<u8>,
    head: Head,
    root: Root,
    /// Built when first needed.
    tree: Option<Element>,
    /// Whether the tree says something else than the bytes.
    edited: bool,
}

/// What [`Stanza::restore`] goes back to.
pub(super) struct Saved(Option<Element>);

impl Stanza {
    pub(super) fn new(kind: Kind, view: &View<'_>, side: Side) -> Self {
        let bytes = view.bytes.to_vec();
        let (head, root) = (*view.head, view.root.clone());
        Self(Arc::new(Mutex::new(Work { kind, side, bytes, head, root, tree: None, edited: false })))
    }

    /// The state before a script runs: a copy of the tree only if an earlier script has edited it.
    pub(super) fn save(&self) -> Saved {
        let work = self.work();
        Saved(work.tree.as_ref().filter(|_| work.edited).cloned())
    }

    /// Undoes what a failed script has done by halves.
    pub(super) fn restore(&self, saved: Saved) {
        let mut work = self.work();
        work.edited = saved.0.is_some();
        work.tree = saved.0;
    }

    /// Whether something was edited since `saved`.
    pub(super) fn differs(&self, saved: &Saved) -> bool {
        let work = self.work();
        work.edited && work.tree != saved.0
    }

    /// The tree, if it was edited.
    pub(super) fn take_edited(&self) -> Option<Element> {
        let mut work = self.work();
        if work.edited { work.tree.take() } else { None }
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Work {
    fn view(&self) -> View<'_> {
        View { bytes: &self.bytes, head: &self.head, root: &self.root }
    }

    fn tree(&mut self) -> Fallible<&mut Element> {
        if self.tree.is_none() {
            match parse_element(&self.bytes, &self.root, &self.head) {
                Ok(tree) => self.tree = Some(tree),
                Err(why) => return fail(format!("this stanza cannot be opened: {why}")),
            }
        }
        match &mut self.tree {
            Some(tree) => Ok(tree),
            None => fail("this stanza cannot be opened"),
        }
    }

    /// One of the attributes the head knows.
    fn known(&self, name: Known) -> Option<Cow<'_, str>> {
        let Some(tree) = &self.tree else {
            let view = self.view();
            return match name {
                Known::Id => view.id(),
                Known::Type => view.kind(),
                Known::To => view.to(),
                Known::From => view.from(),
                Known::Lang => view.lang(),
            };
        };
        let (namespace, local) = name.expanded();
        tree.attr_ns(namespace, local).map(Cow::Borrowed)
    }

    /// Expanded name of the payload: the first child that is not `<error/>`.
    fn payload(&self) -> Option<(Cow<'_, str>, &str)> {
        match &self.tree {
            None => self.view().payload(),
            Some(tree) => {
                let payload = tree.children().find(|child| !child.is(&tree.ns, "error"))?;
                Some((Cow::Borrowed(&payload.ns), &payload.name))
            }
        }
    }

    /// Any attribute, by the name scripts use; builds the tree only for one the head does not know.
    fn attr(&mut self, name: &str) -> Fallible<Option<Cow<'_, str>>> {
        if let Some(known) = Known::by_name(name) {
            return Ok(self.known(known));
        }
        let (namespace, local) = attr_name(name)?;
        Ok(self.tree()?.attr_ns(namespace, local).map(Cow::Borrowed))
    }

    /// Sets an attribute, or removes it if `value` is `None`. Setting what is there already is not an edit.
    fn set_attr(&mut self, name: &str, value: Option<&str>) -> Fallible<()> {
        let (namespace, local) = attr_name(name)?;
        check_text(value.unwrap_or_default())?;
        if self.attr(name)?.as_deref() == value {
            return Ok(());
        }
        let tree = self.tree()?;
        match value {
            Some(value) => tree.set_attr_ns(namespace, local, value),
            None => tree.attrs.retain(|a| a.name != local || a.ns != namespace),
        }
        self.edited = true;
        Ok(())
    }

    fn text(&mut self, at: &str) -> Fallible<Option<String>> {
        let steps = path::steps(at)?;
        Ok(path::find(self.tree()?, &steps).map(Element::text))
    }

    /// Replaces whatever is inside the element at a path by text.
    fn set_text(&mut self, at: &str, text: &str) -> Fallible<()> {
        let steps = path::steps(at)?;
        check_text(text)?;
        let name = self.kind.name();
        let Some(element) = path::find_mut(self.tree()?, &steps) else {
            return fail(format!("this {name} has no element {at}; test with text({at:?}) != () first"));
        };
        let nodes = if text.is_empty() { Vec::new() } else { vec![Node::Text(text.to_owned())] };
        if element.nodes != nodes {
            element.nodes = nodes;
            self.edited = true;
        }
        Ok(())
    }
}

/// The attributes a head knows.
#[derive(Clone, Copy)]
enum Known {
    Id,
    Type,
    To,
    From,
    Lang,
}

impl Known {
    const fn expanded(self) -> (&'static str, &'static str) {
        match self {
            Self::Id => ("", "id"),
            Self::Type => ("", "type"),
            Self::To => ("", "to"),
            Self::From => ("", "from"),
            Self::Lang => (ns::XML, "lang"),
        }
    }

    fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "id" => Self::Id,
            "type" => Self::Type,
            "to" => Self::To,
            "from" => Self::From,
            "xml:lang" => Self::Lang,
            _ => return None,
        })
    }
}

/// The expanded name of an attribute as scripts write it: a plain name, or `xml:lang`.
fn attr_name(name: &str) -> Fallible<(&'static str, &str)> {
    if name == "xml:lang" {
        return Ok((ns::XML, "lang"));
    }
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !plain || name == "xmlns" {
        return fail(format!("{name:?} cannot be the name of an attribute here: use a plain name, or \"xml:lang\""));
    }
    Ok(("", name))
}

/// Refuses the characters XML cannot hold, not even as references: what left here would not be read again.
fn check_text(text: &str) -> Fallible<()> {
    let legal = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
    match text.chars().find(|c| !legal(*c)) {
        Some(c) => fail(format!("XML cannot hold the character U+{:04X}", u32::from(c))),
        None => Ok(()),
    }
}

/// Properties that tell and cannot be set; as an index they would name an attribute of the same name.
const READ_ONLY: [&str; 8] = ["kind", "lang", "direction", "ns", "name", "payload_ns", "payload_name", "size"];

pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Stanza>("Stanza");
    register_facts(engine);
    register_attributes(engine);
    engine.register_fn("text", |s: &mut Stanza, at: &str| -> Fallible<Dynamic> { Ok(or_unit(s.work().text(at)?)) });
    engine.register_fn("set_text", |s: &mut Stanza, at: &str, text: &str| s.work().set_text(at, text));
}

fn register_facts(engine: &mut Engine) {
    engine.register_get("kind", |s: &mut Stanza| s.work().kind.name());
    engine.register_get("direction", |s: &mut Stanza| s.work().side.direction());
    engine.register_get("size", |s: &mut Stanza| i64::try_from(s.work().bytes.len()).unwrap_or(i64::MAX));
    engine.register_get("lang", |s: &mut Stanza| or_unit(s.work().known(Known::Lang)));
    for name in ["payload_ns", "ns"] {
        engine.register_get(name, |s: &mut Stanza| or_unit(s.work().payload().map(|(ns, _)| ns)));
    }
    for name in ["payload_name", "name"] {
        engine.register_get(name, |s: &mut Stanza| or_unit(s.work().payload().map(|(_, local)| local)));
    }
}

fn register_attributes(engine: &mut Engine) {
    for (name, known) in [("id", Known::Id), ("type", Known::Type), ("to", Known::To), ("from", Known::From)] {
        engine.register_get(name, move |s: &mut Stanza| or_unit(s.work().known(known)));
        engine.register_set(name, move |s: &mut Stanza, value: Dynamic| set(s, name, &value));
    }
    engine.register_fn("attr", get);
    engine.register_indexer_get(get);
    engine.register_fn("set_attr", |s: &mut Stanza, name: &str, value: Dynamic| set(s, name, &value));
    engine.register_indexer_set(|s: &mut Stanza, name: &str, value: Dynamic| -> Fallible<()> {
        if READ_ONLY.contains(&name) {
            return fail(format!("{name} can only be read (to set an attribute of that name, use set_attr)"));
        }
        set(s, name, &value)
    });
    engine.register_fn("remove_attr", |s: &mut Stanza, name: &str| s.work().set_attr(name, None));
}

fn get(stanza: &mut Stanza, name: &str) -> Fallible<Dynamic> {
    Ok(or_unit(stanza.work().attr(name)?))
}

fn set(stanza: &mut Stanza, name: &str, value: &Dynamic) -> Fallible<()> {
    if value.is_unit() {
        return stanza.work().set_attr(name, None);
    }
    match value.as_immutable_string_ref() {
        Ok(text) => stanza.work().set_attr(name, Some(text.as_str())),
        Err(other) => fail(format!("{name} takes a string, or () to remove it, not a value of type {other}")),
    }
}

/// What is absent is `()` in Rhai.
fn or_unit(text: Option<impl AsRef<str>>) -> Dynamic {
    text.map_or(Dynamic::UNIT, |text| ImmutableString::from(text.as_ref()).into())
}
