//! The stanza a hook works on: what Rhai sees as `stanza`.
//!
//! Takes a copy of a judged stanza's bytes and head; reading its properties never builds the tree, nor does reading a few texts
//! by their paths. The first edit (or an element that a script takes in hand) does, and from then on the tree is the truth.

use super::edit::{self, Place, or_unit};
use super::element::{self, Element, Shared};
use super::engine::{Fallible, fail};
use super::path::{Attribute, Path};
use super::tree::{ROOT, Tree};
use super::{budget, members, names, stream};
use crate::xml::{self, Head, Root, View, parse_element};
use crate::xmpp::{Kind, Side, ns};
use rhai::{Dynamic, Engine, NativeCallContext};
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
    root: Arc<Root>,
    /// How often it was read closed.
    reads: usize,
    /// Built when first needed.
    tree: Option<Shared>,
}

/// So often a stanza is read along its bytes; then its tree is built, which costs as much as some thirty passes over it.
const CLOSED_READS: usize = 8;

/// What [`Stanza::restore`] goes back to, and how often it was edited by then.
#[derive(Default)]
pub(super) struct Saved {
    tree: Option<Tree>,
    edits: u64,
}

impl Stanza {
    pub(super) fn new(kind: Kind, view: &View<'_>, side: Side) -> Self {
        let bytes = view.bytes.to_vec();
        let (head, root) = (*view.head, xml::shared_root(view.root));
        Self(Arc::new(Mutex::new(Work { kind, side, bytes, head, root, reads: 0, tree: None })))
    }

    /// The state before a script runs: a copy of the tree only if an earlier script has edited it.
    pub(super) fn save(&self) -> Saved {
        let work = self.work();
        let tree = work.tree.as_ref().map(element::lock).filter(|tree| tree.edits > 0);
        let edits = tree.as_ref().map_or(0, |tree| tree.edits);
        Saved { edits, tree: tree.map(|tree| tree.clone()) }
    }

    /// Undoes what a failed script has done by halves.
    pub(super) fn restore(&self, saved: Saved) {
        self.work().tree = saved.tree.map(|tree| Arc::new(Mutex::new(tree)));
    }

    /// Whether something was edited since `saved`.
    pub(super) fn differs(&self, saved: &Saved) -> bool {
        self.work().edits() != saved.edits
    }

    /// The tree, if it was edited.
    pub(super) fn take_edited(&self) -> Option<xml::Element> {
        let tree = self.work().tree.take()?;
        let tree = element::lock(&tree);
        (tree.edits > 0).then(|| tree.copy(ROOT))
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place for Stanza {
    fn open(&self) -> Fallible<Element> {
        self.work().open()
    }

    fn read_closed(&self, path: &Path<'_>) -> Fallible<Option<Option<String>>> {
        self.work().read_closed(path)
    }

    fn noun(&self) -> &'static str {
        self.work().kind.name()
    }

    fn set_attr(&self, name: &str, value: Option<&str>) -> Fallible<()> {
        self.work().set_attr(name, value)
    }
}

impl Work {
    fn view(&self) -> View<'_> {
        View { bytes: &self.bytes, head: &self.head, root: &self.root }
    }

    fn edits(&self) -> u64 {
        self.tree.as_ref().map_or(0, |tree| element::lock(tree).edits)
    }

    fn open(&mut self) -> Fallible<Element> {
        if let Some(tree) = &self.tree {
            return Ok(Element::root(tree));
        }
        match parse_element(&self.bytes, &self.root, &self.head) {
            Ok(tree) => Ok(Element::root(self.tree.insert(Arc::new(Mutex::new(Tree::new(tree)))))),
            Err(why) => fail(format!("this stanza cannot be opened: {why}")),
        }
    }

    /// What a path leads to, as long as that costs less than to build the tree.
    fn read_closed(&mut self, path: &Path<'_>) -> Fallible<Option<Option<String>>> {
        if self.tree.is_some() || path.steps.is_empty() || self.reads >= CLOSED_READS {
            return Ok(None);
        }
        self.reads += 1;
        let read = stream::read(&self.view(), path);
        budget::look(1)?;
        budget::read(read.bytes)?;
        Ok(Some(read.text))
    }

    /// One of the attributes the head knows.
    fn known(&self, name: Known) -> Option<Cow<'_, str>> {
        if let Some(tree) = &self.tree {
            return Some(Cow::Owned(element::lock(tree).attr(ROOT, name.expanded())?.to_owned()));
        }
        let view = self.view();
        match name {
            Known::Id => view.id(),
            Known::Type => view.kind(),
            Known::To => view.to(),
            Known::From => view.from(),
            Known::Lang => view.lang(),
        }
    }

    /// Namespace or name of the payload: the first child that is not `<error/>`.
    fn payload(&self, part: Part) -> Dynamic {
        let Some(tree) = &self.tree else {
            let payload = self.view().payload();
            return match part {
                Part::Ns => or_unit(payload.map(|(ns, _)| ns)),
                Part::Name => or_unit(payload.map(|(_, name)| name)),
            };
        };
        let tree = element::lock(tree);
        let payload =
            tree.children(ROOT).find(|child| tree.name(*child) != "error" || tree.ns(*child) != tree.ns(ROOT));
        or_unit(payload.map(|payload| match part {
            Part::Ns => tree.ns(payload),
            Part::Name => tree.name(payload),
        }))
    }

    /// Any attribute, by the name scripts use; builds the tree only for one the head does not know.
    fn attr(&mut self, name: &str) -> Fallible<Option<Cow<'_, str>>> {
        if let Some(known) = Known::by_name(name) {
            return Ok(self.known(known));
        }
        let (ns, name) = names::attribute(name)?;
        Ok(self.open()?.attr(Attribute { ns, name }).map(Cow::Owned))
    }

    /// Sets an attribute, or removes it if `value` is `None`. Setting what is there already is not an edit.
    fn set_attr(&mut self, name: &str, value: Option<&str>) -> Fallible<()> {
        let (ns, local) = names::attribute(name)?;
        names::text(value.unwrap_or_default())?;
        if self.attr(name)?.as_deref() == value {
            return Ok(());
        }
        self.open()?.set_attr(Attribute { ns, name: local }, value)
    }

    fn written(&mut self) -> Fallible<String> {
        // What leans on the root would mean something else elsewhere.
        if self.edits() > 0 || self.head.leans {
            return self.open()?.to_xml();
        }
        budget::read(self.bytes.len())?;
        Ok(String::from_utf8_lossy(&self.bytes).into_owned())
    }
}

/// What is asked of a payload.
#[derive(Clone, Copy)]
enum Part {
    Ns,
    Name,
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
    const fn expanded(self) -> Attribute<'static> {
        let (ns, name) = match self {
            Self::Id => ("", "id"),
            Self::Type => ("", "type"),
            Self::To => ("", "to"),
            Self::From => ("", "from"),
            Self::Lang => (ns::XML, "lang"),
        };
        Attribute { ns, name }
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

/// Properties that tell and cannot be set; as an index they would name an attribute of the same name.
const READ_ONLY: [&str; 8] = ["kind", "lang", "direction", "ns", "name", "payload_ns", "payload_name", "size"];

pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Stanza>("Stanza");
    register_facts(engine);
    register_attributes(engine);
    for name in ["to_xml", "to_string", "to_debug"] {
        engine.register_fn(name, |s: &mut Stanza| s.work().written());
    }
}

fn register_facts(engine: &mut Engine) {
    engine.register_get("kind", |s: &mut Stanza| s.work().kind.name());
    engine.register_get("direction", |s: &mut Stanza| s.work().side.direction());
    engine.register_get("size", |s: &mut Stanza| i64::try_from(s.work().bytes.len()).unwrap_or(i64::MAX));
    engine.register_get("lang", |s: &mut Stanza| or_unit(s.work().known(Known::Lang)));
    for name in ["payload_ns", "ns"] {
        engine.register_get(name, |s: &mut Stanza| s.work().payload(Part::Ns));
    }
    for name in ["payload_name", "name"] {
        engine.register_get(name, |s: &mut Stanza| s.work().payload(Part::Name));
    }
}

fn register_attributes(engine: &mut Engine) {
    for (name, known) in [("id", Known::Id), ("type", Known::Type), ("to", Known::To), ("from", Known::From)] {
        engine.register_get(name, move |s: &mut Stanza| or_unit(s.work().known(known)));
        engine.register_set(name, move |s: &mut Stanza, value: Dynamic| edit::set_attr(s, name, &value));
    }
    engine.register_fn("attr", attr);
    engine.register_indexer_get(|context: NativeCallContext<'_>, s: &mut Stanza, name: &str| {
        if members::by_dot(&context) { members::no_property("Stanza", name) } else { attr(s, name) }
    });
    engine.register_indexer_set(
        |context: NativeCallContext<'_>, s: &mut Stanza, name: &str, value: Dynamic| -> Fallible<()> {
            if READ_ONLY.contains(&name) {
                return fail(format!("{name} can only be read (to set an attribute of that name, use set_attr)"));
            }
            if members::by_dot(&context) {
                return members::no_property("Stanza", name);
            }
            edit::set_attr(s, name, &value)
        },
    );
}

fn attr(stanza: &mut Stanza, name: &str) -> Fallible<Dynamic> {
    Ok(or_unit(stanza.work().attr(name)?))
}
