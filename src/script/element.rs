//! An element as scripts have it: a place in a tree. All copies of the value are the same place, as with `stanza`.
//!
//! Takes and gives names, texts and elements. What goes into a tree is copied, so there are no circles. Must not let a
//! script change what it has made while it was loaded: that is shared by all sessions.

use super::engine::{Fallible, fail};
use super::path::Attribute;
use super::tree::{Id, ROOT, Tree, height};
use super::{budget, names};
use crate::xml::{self, Limits, Scope, write_element};
use bytes::BytesMut;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Clone, Debug)]
pub(super) struct Element {
    tree: Shared,
    id: Id,
    /// Made outside of the functions: a constant.
    constant: bool,
}

/// A tree and all who hold a place in it.
pub(super) type Shared = Arc<Mutex<Tree>>;

pub(super) fn lock(tree: &Shared) -> MutexGuard<'_, Tree> {
    tree.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Element {
    /// The root of a tree of its own.
    pub(super) fn new(element: xml::Element) -> Self {
        let tree = Arc::new(Mutex::new(Tree::new(element)));
        Self { tree, id: ROOT, constant: budget::loading() }
    }

    /// The root of a stanza's tree.
    pub(super) fn root(tree: &Shared) -> Self {
        Self { tree: Arc::clone(tree), id: ROOT, constant: false }
    }

    /// The root of a tree that a hook is to see and edit.
    pub(super) fn shown(element: xml::Element) -> Self {
        Self { constant: false, ..Self::new(element) }
    }

    /// All of it, if it was edited.
    pub(super) fn edited(&self) -> Option<xml::Element> {
        self.read(|tree, _| (tree.edits > 0).then(|| tree.copy(ROOT)))
    }

    /// Another place in the same tree.
    pub(super) fn at(&self, id: Id) -> Self {
        Self { id, ..self.clone() }
    }

    pub(super) fn read<R>(&self, read: impl FnOnce(&Tree, Id) -> R) -> R {
        read(&lock(&self.tree), self.id)
    }

    fn change<R>(&self, change: impl FnOnce(&mut Tree, Id) -> Fallible<R>) -> Fallible<R> {
        if self.constant && !budget::loading() {
            return fail(
                "this element was made when the script was loaded and is the same for every stanza: change a copy of it, \
                 as in let copy = xml(ELEMENT)",
            );
        }
        change(&mut lock(&self.tree), self.id)
    }

    pub(super) fn attr(&self, attr: Attribute<'_>) -> Option<String> {
        self.read(|tree, id| tree.attr(id, attr).map(str::to_owned))
    }

    /// Sets an attribute, or removes it.
    pub(super) fn set_attr(&self, attr: Attribute<'_>, value: Option<&str>) -> Fallible<()> {
        let text = value.unwrap_or_default();
        names::text(text)?;
        budget::build(0, attr.name.len() + text.len())?;
        let most = Limits::AFTER_LOGIN.attributes as usize;
        self.change(|tree, id| {
            if value.is_some() && tree.attr(id, attr).is_none() && tree.attrs(id) >= most {
                return fail(format!("over the limit of size: an element may have {most} attributes"));
            }
            tree.set_attr(id, attr, value);
            Ok(())
        })
    }

    pub(super) fn text(&self) -> Fallible<String> {
        budget::look(1)?;
        let text = self.read(Tree::text);
        budget::read(text.len())?;
        Ok(text)
    }

    pub(super) fn set_text(&self, text: &str) -> Fallible<()> {
        names::text(text)?;
        budget::build(0, text.len())?;
        self.change(|tree, id| {
            tree.set_text(id, text);
            Ok(())
        })
    }

    pub(super) fn append(&self, element: xml::Element) -> Fallible<()> {
        self.change(|tree, id| {
            check_depth(tree.depth(id), &element)?;
            tree.append(id, element);
            Ok(())
        })
    }

    /// Takes it out of what it is in; whether it was in something.
    pub(super) fn remove(&self) -> Fallible<bool> {
        budget::look(1)?;
        self.change(|tree, id| {
            budget::look(tree.parent(id).map_or(0, |parent| tree.children(parent).count()))?;
            Ok(tree.remove(id))
        })
    }

    /// Puts another in its place; whether it had one.
    pub(super) fn replace(&self, element: xml::Element) -> Fallible<bool> {
        budget::look(1)?;
        self.change(|tree, id| {
            let parent = tree.parent(id);
            budget::look(tree.weight(id).elements + parent.map_or(0, |parent| tree.children(parent).count()))?;
            check_depth(parent.map_or(0, |parent| tree.depth(parent)), &element)?;
            Ok(tree.replace(id, element))
        })
    }

    /// A copy, counted as built by the script.
    pub(super) fn copy(&self) -> Fallible<xml::Element> {
        budget::look(1)?;
        self.read(|tree, id| {
            let weight = tree.weight(id);
            budget::build(weight.elements, weight.bytes)?;
            Ok(tree.copy(id))
        })
    }

    /// The namespace of the element around it: what text put in its place is in, if it says nothing else.
    pub(super) fn around(&self) -> Option<String> {
        self.read(|tree, id| tree.parent(id).map(|parent| tree.ns(parent).to_owned()))
    }

    /// As it would be written to a stream.
    pub(super) fn to_xml(&self) -> Fallible<String> {
        budget::look(1)?;
        let element: Fallible<xml::Element> = self.read(|tree, id| {
            let weight = tree.weight(id);
            budget::look(weight.elements)?;
            budget::read(weight.bytes)?;
            Ok(tree.copy(id))
        });
        let mut bytes = BytesMut::new();
        write_element(&element?, Scope::Stream, &mut bytes);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl PartialEq for Element {
    /// The same place, or places that say the same.
    fn eq(&self, other: &Self) -> bool {
        if Arc::ptr_eq(&self.tree, &other.tree) && self.id == other.id {
            return true;
        }
        // One after the other: both may be in one tree.
        let one = self.read(Tree::copy);
        one == other.read(Tree::copy)
    }
}

/// What stands this deep, with an element inside of it, must still be walked by recursion.
fn check_depth(above: usize, element: &xml::Element) -> Fallible<()> {
    let most = Limits::MAX_DEPTH as usize;
    if above + height(element) > most {
        return fail(format!("over the limit of size: elements may stand {most} deep inside of each other"));
    }
    Ok(())
}
