//! What scripts do by paths, the same for a stanza and for an element: find, read, change; and `xml(...)`.
//!
//! Takes a place and a path, gives elements, texts and errors for the script's author. Must not know how a place keeps its
//! tree.

use super::element::Element;
use super::engine::{Fallible, fail};
use super::path::{self, Attribute, Path};
use super::stanza::Stanza;
use super::{budget, members, names};
use crate::xml::{self, parse_str_in};
use crate::xmpp::ns;
use rhai::{Array, Dynamic, Engine, ImmutableString, NativeCallContext};
use std::ops::ControlFlow;

/// Where paths begin.
pub(super) trait Place: Clone + Send + Sync + 'static {
    /// The element itself; opens what is not open yet.
    fn open(&self) -> Fallible<Element>;
    /// What a path leads to, if it can be read without opening anything: a text or attribute, or nothing.
    fn read_closed(&self, _path: &Path<'_>) -> Fallible<Option<Option<String>>> {
        Ok(None)
    }
    /// As in "this iq".
    fn noun(&self) -> &'static str;
    fn set_attr(&self, name: &str, value: Option<&str>) -> Fallible<()>;
}

impl Place for Element {
    fn open(&self) -> Fallible<Element> {
        Ok(self.clone())
    }

    fn noun(&self) -> &'static str {
        "element"
    }

    fn set_attr(&self, name: &str, value: Option<&str>) -> Fallible<()> {
        let (ns, name) = names::attribute(name)?;
        self.set_attr(Attribute { ns, name }, value)
    }
}

/// Elements to go through one by one, however many they are.
#[derive(Clone)]
struct Each(Vec<Element>);

impl IntoIterator for Each {
    type Item = Element;
    type IntoIter = std::vec::IntoIter<Element>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Element>("Element");
    engine.register_type_with_name::<Each>("Each").register_iterator::<Each>();
    by_path::<Stanza>(engine);
    by_path::<Element>(engine);
    of_elements(engine);
    engine.register_fn("xml", |value: Dynamic| -> Fallible<Element> {
        let (element, _) = given("xml", &value, ns::CLIENT)?;
        Ok(Element::new(element))
    });
}

fn by_path<P: Place>(engine: &mut Engine) {
    engine.register_fn("find", |place: &mut P, path: &str| -> Fallible<Dynamic> {
        let found = first(place, &element_path(path)?)?;
        Ok(found.map_or(Dynamic::UNIT, Dynamic::from))
    });
    engine.register_fn("find_all", |context: NativeCallContext<'_>, place: &mut P, path: &str| {
        let most = context.engine().max_array_size();
        array(all(place, &element_path(path)?)?, most, "find_all", "with each(path) or")
    });
    engine.register_fn("children", |context: NativeCallContext<'_>, place: &mut P| {
        array(children(place)?, context.engine().max_array_size(), "children", "with each() or")
    });
    engine.register_fn("each", |place: &mut P, path: &str| all(place, &element_path(path)?).map(Each));
    engine.register_fn("each", |place: &mut P| children(place).map(Each));
    engine.register_fn("count", |place: &mut P, path: &str| -> Fallible<i64> {
        Ok(i64::try_from(all(place, &element_path(path)?)?.len()).unwrap_or(i64::MAX))
    });
    engine.register_fn("text", |place: &mut P, path: &str| text(place, path));
    engine.register_fn("set_text", |place: &mut P, path: &str, text: &str| set_text(place, path, text));
    engine.register_fn("set_attr", |place: &mut P, name: &str, value: Dynamic| set_attr(place, name, &value));
    engine.register_fn("set_attr", |place: &mut P, path: &str, name: &str, value: Dynamic| {
        set_attr(&must(place, path)?, name, &value)
    });
    engine.register_fn("remove_attr", |place: &mut P, name: &str| Place::set_attr(place, name, None));
    engine.register_fn("remove_attr", |place: &mut P, path: &str, name: &str| {
        Place::set_attr(&must(place, path)?, name, None)
    });
    engine.register_fn("append", |place: &mut P, xml: Dynamic| append(&place.open()?, &xml));
    engine.register_fn("append", |place: &mut P, path: &str, xml: Dynamic| append(&must(place, path)?, &xml));
    engine.register_fn("replace", |place: &mut P, path: &str, xml: Dynamic| replace(place, path, &xml));
    engine.register_fn("remove", |place: &mut P, path: &str| remove(place, path));
}

/// What only an element has: a stanza's own text is nothing, and to remove it is a verdict.
fn of_elements(engine: &mut Engine) {
    engine.register_get("name", |e: &mut Element| e.read(|tree, id| ImmutableString::from(tree.name(id))));
    engine.register_get("ns", |e: &mut Element| e.read(|tree, id| ImmutableString::from(tree.ns(id))));
    engine.register_fn("attr", attr);
    engine.register_indexer_get(|context: NativeCallContext<'_>, e: &mut Element, name: &str| {
        if members::by_dot(&context) { members::no_property("Element", name) } else { attr(e, name) }
    });
    engine.register_indexer_set(
        |context: NativeCallContext<'_>, e: &mut Element, name: &str, value: Dynamic| -> Fallible<()> {
            match name {
                _ if !members::by_dot(&context) => set_attr(e, name, &value),
                "name" | "ns" => fail(format!("{name} can only be read")),
                _ => members::no_property("Element", name),
            }
        },
    );
    engine.register_fn("text", |e: &mut Element| e.text());
    engine.register_fn("set_text", |e: &mut Element, text: &str| e.set_text(text));
    engine.register_fn("remove", |e: &mut Element| e.remove());
    for name in ["to_xml", "to_string", "to_debug"] {
        engine.register_fn(name, |e: &mut Element| e.to_xml());
    }
    engine.register_fn("==", |one: Element, other: Element| same(&one, &other));
    engine.register_fn("!=", |one: Element, other: Element| same(&one, &other).map(|same| !same));
}

/// XML as scripts give it: text, an element, a stanza. Gives a copy, and its bytes. `around`: the default namespace of text.
pub(super) fn given(function: &str, value: &Dynamic, around: &str) -> Fallible<(xml::Element, usize)> {
    let element = if let Ok(text) = value.as_immutable_string_ref() {
        budget::parse(text.len())?;
        let element = match parse_str_in(around, &text) {
            Ok(element) => element,
            Err(why) => return fail(format!("{function}() takes one XML element: {why}")),
        };
        budget::build(elements(&element), 0)?;
        return Ok((element, text.len()));
    } else if let Some(element) = value.read_lock::<Element>() {
        element.clone()
    } else if let Some(stanza) = value.read_lock::<Stanza>() {
        stanza.open()?
    } else {
        let found = members::type_name(value);
        return fail(format!("{function}() takes XML text or an element, not a value of type {found}"));
    };
    Ok((element.copy()?, element.read(|tree, id| tree.weight(id).bytes)))
}

fn elements(element: &xml::Element) -> usize {
    1 + element.children().map(elements).sum::<usize>()
}

/// A path that must not end in an attribute.
fn element_path(text: &str) -> Fallible<Path<'_>> {
    let path = path::read(text)?;
    match path.attr {
        Some(_) => fail(format!("{text:?} leads to an attribute, not to an element: text(path) reads it")),
        None => Ok(path),
    }
}

/// The element a path leads to; of several, the first.
fn first(place: &impl Place, path: &Path<'_>) -> Fallible<Option<Element>> {
    budget::look(1)?;
    let root = place.open()?;
    let mut found = None;
    let (looked, _) = root.read(|tree, id| {
        tree.walk(id, &path.steps, &mut |id| {
            found = Some(id);
            ControlFlow::Break(())
        })
    });
    budget::look(looked)?;
    Ok(found.map(|id| root.at(id)))
}

fn all(place: &impl Place, path: &Path<'_>) -> Fallible<Vec<Element>> {
    budget::look(1)?;
    let root = place.open()?;
    let mut found = Vec::new();
    let (looked, _) = root.read(|tree, id| {
        tree.walk(id, &path.steps, &mut |id| {
            found.push(root.at(id));
            ControlFlow::Continue(())
        })
    });
    budget::look(looked)?;
    Ok(found)
}

/// The element to be changed: it must be there.
fn must(place: &impl Place, path: &str) -> Fallible<Element> {
    must_be(place, path, &element_path(path)?)
}

fn must_be(place: &impl Place, text: &str, path: &Path<'_>) -> Fallible<Element> {
    if let Some(element) = first(place, path)? {
        return Ok(element);
    }
    let steps = text.split_once('@').map_or(text, |(steps, _)| if path.attr.is_some() { steps } else { text });
    fail(format!("this {} has no element {steps}; test with find({steps:?}) != () first", place.noun()))
}

fn children(place: &impl Place) -> Fallible<Vec<Element>> {
    budget::look(1)?;
    let element = place.open()?;
    let children: Vec<_> = element.read(|tree, id| tree.children(id).map(|child| element.at(child)).collect());
    budget::look(children.len())?;
    Ok(children)
}

fn array(found: Vec<Element>, most: usize, function: &str, instead: &str) -> Fallible<Array> {
    if found.len() > most {
        return fail(format!(
            "{function}() found {} elements, and an array holds at most {most}: take them one by one, {instead} \
             find(\"query/item[501]\")",
            found.len()
        ));
    }
    Ok(found.into_iter().map(Dynamic::from).collect())
}

fn text(place: &impl Place, path: &str) -> Fallible<Dynamic> {
    let path = path::read(path)?;
    if let Some(text) = place.read_closed(&path)? {
        return Ok(or_unit(text));
    }
    let text = match (first(place, &path)?, path.attr) {
        (Some(element), Some(attr)) => element.attr(attr),
        (Some(element), None) => Some(element.text()?),
        (None, _) => None,
    };
    Ok(or_unit(text))
}

fn set_text(place: &impl Place, path: &str, text: &str) -> Fallible<()> {
    let parsed = path::read(path)?;
    names::text(text)?;
    let element = must_be(place, path, &parsed)?;
    match parsed.attr {
        Some(attr) => element.set_attr(attr, Some(text)),
        None => element.set_text(text),
    }
}

fn attr(element: &mut Element, name: &str) -> Fallible<Dynamic> {
    let (ns, name) = names::attribute(name)?;
    Ok(or_unit(element.attr(Attribute { ns, name })))
}

/// Sets an attribute of the place itself, or removes it.
pub(super) fn set_attr(place: &impl Place, name: &str, value: &Dynamic) -> Fallible<()> {
    if value.is_unit() {
        return Place::set_attr(place, name, None);
    }
    match value.as_immutable_string_ref() {
        Ok(text) => Place::set_attr(place, name, Some(text.as_str())),
        Err(_) => {
            let found = members::type_name(value);
            fail(format!("{name} takes a string, or () to remove it, not a value of type {found}"))
        }
    }
}

fn append(element: &Element, xml: &Dynamic) -> Fallible<()> {
    let around = element.read(|tree, id| tree.ns(id).to_owned());
    let (child, _) = given("append", xml, &around)?;
    element.append(child)
}

fn replace(place: &impl Place, path: &str, xml: &Dynamic) -> Fallible<()> {
    let element = must(place, path)?;
    let Some(around) = element.around() else {
        let noun = place.noun();
        return fail(format!(
            "replace() takes the path of something inside this {noun}, which itself cannot be replaced"
        ));
    };
    let (new, _) = given("replace", xml, &around)?;
    element.replace(new).map(|_| ())
}

/// Removes what a path leads to, of several the first; whether there was something.
fn remove(place: &impl Place, path: &str) -> Fallible<bool> {
    let parsed = path::read(path)?;
    if parsed == Path::default() {
        let noun = place.noun();
        return fail(format!("remove() takes the path of something inside this {noun} (drop() stops a whole stanza)"));
    }
    match (first(place, &parsed)?, parsed.attr) {
        (Some(element), Some(attr)) => {
            let there = element.attr(attr).is_some();
            element.set_attr(attr, None)?;
            Ok(there)
        }
        (Some(element), None) => element.remove(),
        (None, _) => Ok(false),
    }
}

fn same(one: &Element, other: &Element) -> Fallible<bool> {
    budget::look(1)?;
    let size = |element: &Element| element.read(|tree, id| tree.weight(id));
    let (a, b) = (size(one), size(other));
    budget::look(a.elements + b.elements)?;
    budget::read(a.bytes + b.bytes)?;
    Ok(one == other)
}

/// What is absent is `()` in Rhai.
pub(super) fn or_unit(text: Option<impl AsRef<str>>) -> Dynamic {
    text.map_or(Dynamic::UNIT, |text| ImmutableString::from(text.as_ref()).into())
}
