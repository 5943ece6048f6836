//! The tree scripts look into and edit. Each element has a number that stays its own whatever changes around it, so that
//! what a script has found once stays what it is; what was removed is no longer reached and can still be read.
//!
//! Takes an [`Element`], gives one. Must not judge: names and texts have been checked, and limits are the callers'.

use super::path::{Attribute, Step};
use crate::xml::{Attr, Element, Node};
use std::ops::ControlFlow;

/// An element of a tree; means nothing in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id(usize);

/// The element all others are inside of.
pub(super) const ROOT: Id = Id(0);

#[derive(Clone, Debug)]
pub(super) struct Tree {
    items: Vec<Item>,
    /// How often what is reached from the root was changed.
    pub(super) edits: u64,
}

#[derive(Clone, Debug)]
struct Item {
    ns: String,
    name: String,
    attrs: Vec<Attr>,
    inside: Vec<Inside>,
    /// None for the root, and for what was removed.
    parent: Option<Id>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Inside {
    Element(Id),
    Text(String),
}

/// How much an element is, all inside of it included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Weight {
    pub(super) elements: usize,
    pub(super) bytes: usize,
}

impl Tree {
    pub(super) fn new(element: Element) -> Self {
        let mut tree = Self { items: Vec::with_capacity(8), edits: 0 };
        tree.plant(None, element);
        tree
    }

    fn plant(&mut self, parent: Option<Id>, element: Element) -> Id {
        let id = Id(self.items.len());
        let Element { ns, name, attrs, nodes } = element;
        self.items.push(Item { ns, name, attrs, inside: Vec::new(), parent });
        let inside = nodes.into_iter().map(|node| match node {
            Node::Element(child) => Inside::Element(self.plant(Some(id), child)),
            Node::Text(text) => Inside::Text(text),
        });
        let inside = inside.collect();
        self.item_mut(id).inside = inside;
        id
    }

    // Numbers are made by `plant` alone, and no item is ever taken away.
    fn item(&self, id: Id) -> &Item {
        &self.items[id.0]
    }

    fn item_mut(&mut self, id: Id) -> &mut Item {
        &mut self.items[id.0]
    }

    pub(super) fn ns(&self, id: Id) -> &str {
        &self.item(id).ns
    }

    pub(super) fn name(&self, id: Id) -> &str {
        &self.item(id).name
    }

    pub(super) fn parent(&self, id: Id) -> Option<Id> {
        self.item(id).parent
    }

    pub(super) fn attr(&self, id: Id, attr: Attribute<'_>) -> Option<&str> {
        let known = self.item(id).attrs.iter().find(|a| a.name == attr.name && a.ns == attr.ns)?;
        Some(&known.value)
    }

    pub(super) fn attrs(&self, id: Id) -> usize {
        self.item(id).attrs.len()
    }

    /// The child elements.
    pub(super) fn children(&self, id: Id) -> impl Iterator<Item = Id> {
        self.item(id).inside.iter().filter_map(|inside| match inside {
            Inside::Element(child) => Some(*child),
            Inside::Text(_) => None,
        })
    }

    /// The character data directly inside, joined.
    pub(super) fn text(&self, id: Id) -> String {
        let texts = self.item(id).inside.iter().filter_map(|inside| match inside {
            Inside::Element(_) => None,
            Inside::Text(text) => Some(text.as_str()),
        });
        texts.collect()
    }

    /// How deep it stands; the root has depth 1.
    pub(super) fn depth(&self, id: Id) -> usize {
        1 + self.above(id).count()
    }

    /// What it is inside of, from the inside out.
    fn above(&self, id: Id) -> impl Iterator<Item = Id> {
        std::iter::successors(self.parent(id), |id| self.parent(*id))
    }

    pub(super) fn weight(&self, id: Id) -> Weight {
        let item = self.item(id);
        let attrs: usize = item.attrs.iter().map(|a| a.ns.len() + a.name.len() + a.value.len()).sum();
        let own = Weight { elements: 1, bytes: item.ns.len() + item.name.len() + attrs };
        item.inside.iter().fold(own, |sum, inside| match inside {
            Inside::Element(child) => {
                let Weight { elements, bytes } = self.weight(*child);
                Weight { elements: sum.elements + elements, bytes: sum.bytes + bytes }
            }
            Inside::Text(text) => Weight { bytes: sum.bytes + text.len(), ..sum },
        })
    }

    /// A copy of an element.
    pub(super) fn copy(&self, id: Id) -> Element {
        let item = self.item(id);
        let mut nodes: Vec<Node> = Vec::with_capacity(item.inside.len());
        for inside in &item.inside {
            match (inside, nodes.last_mut()) {
                (Inside::Element(child), _) => nodes.push(Node::Element(self.copy(*child))),
                // What stood between them was removed.
                (Inside::Text(text), Some(Node::Text(before))) => before.push_str(text),
                (Inside::Text(text), _) => nodes.push(Node::Text(text.clone())),
            }
        }
        Element { ns: item.ns.clone(), name: item.name.clone(), attrs: item.attrs.clone(), nodes }
    }

    /// Calls back with each element the steps lead to, in document order, until it has enough; gives how many elements were
    /// looked at.
    pub(super) fn walk(
        &self,
        from: Id,
        steps: &[Step<'_>],
        found: &mut impl FnMut(Id) -> ControlFlow<()>,
    ) -> (usize, ControlFlow<()>) {
        let Some((step, rest)) = steps.split_first() else { return (0, found(from)) };
        let (mut looked, mut fitting) = (0, 0);
        for child in self.children(from) {
            looked += 1;
            let item = self.item(child);
            if !step.fits(&item.ns, &item.name) {
                continue;
            }
            fitting += 1;
            if step.number.is_some_and(|number| number != fitting) {
                continue;
            }
            let (more, flow) = self.walk(child, rest, found);
            looked += more;
            if flow.is_break() || step.number.is_some() {
                return (looked, flow);
            }
        }
        (looked, ControlFlow::Continue(()))
    }

    fn touch(&mut self, id: Id) {
        if id == ROOT || self.above(id).last() == Some(ROOT) {
            self.edits += 1;
        }
    }

    /// Sets an attribute, or removes it. What is there already is not an edit.
    pub(super) fn set_attr(&mut self, id: Id, attr: Attribute<'_>, value: Option<&str>) {
        if self.attr(id, attr) == value {
            return;
        }
        self.touch(id);
        let attrs = &mut self.item_mut(id).attrs;
        let known = attrs.iter_mut().find(|a| a.name == attr.name && a.ns == attr.ns);
        match (value, known) {
            (Some(value), Some(known)) => value.clone_into(&mut known.value),
            (Some(value), None) => {
                attrs.push(Attr { ns: attr.ns.to_owned(), name: attr.name.to_owned(), value: value.to_owned() });
            }
            (None, _) => attrs.retain(|a| a.name != attr.name || a.ns != attr.ns),
        }
    }

    /// Replaces whatever is inside by text.
    pub(super) fn set_text(&mut self, id: Id, text: &str) {
        let inside = if text.is_empty() { Vec::new() } else { vec![Inside::Text(text.to_owned())] };
        if self.item(id).inside == inside {
            return;
        }
        self.touch(id);
        let before = std::mem::replace(&mut self.item_mut(id).inside, inside);
        for gone in before {
            if let Inside::Element(gone) = gone {
                self.item_mut(gone).parent = None;
            }
        }
    }

    /// Adds a last child.
    pub(super) fn append(&mut self, id: Id, element: Element) {
        let child = self.plant(Some(id), element);
        self.item_mut(id).inside.push(Inside::Element(child));
        self.touch(id);
    }

    /// Takes an element out of the one it is in; whether it was in one.
    pub(super) fn remove(&mut self, id: Id) -> bool {
        let Some(parent) = self.parent(id) else { return false };
        self.touch(id);
        self.item_mut(parent).inside.retain(|inside| *inside != Inside::Element(id));
        self.item_mut(id).parent = None;
        true
    }

    /// Puts another element in an element's place; whether it had one. The same again is not an edit.
    pub(super) fn replace(&mut self, id: Id, element: Element) -> bool {
        let Some(parent) = self.parent(id) else { return false };
        if self.copy(id) == element {
            return true;
        }
        self.touch(id);
        let new = self.plant(Some(parent), element);
        for inside in &mut self.item_mut(parent).inside {
            if *inside == Inside::Element(id) {
                *inside = Inside::Element(new);
            }
        }
        self.item_mut(id).parent = None;
        true
    }
}

/// How many levels an element is.
pub(super) fn height(element: &Element) -> usize {
    1 + element.children().map(height).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::path;
    use crate::xml::parse_str;

    const TEXT: &str = "<message><a xmlns='x'><b>first</b></a><a xmlns='y'><b n='1'>second</b><b n='2'>third</b></a>\
                        <empty/><a xmlns='z'><c/>x<b>fourth</b>y</a></message>";

    fn tree() -> Tree {
        Tree::new(parse_str(TEXT).expect(TEXT))
    }

    fn all(tree: &Tree, path: &str) -> Vec<Id> {
        let mut all = Vec::new();
        let steps = path::read(path).expect(path).steps;
        let (_, _) = tree.walk(ROOT, &steps, &mut |id| {
            all.push(id);
            ControlFlow::Continue(())
        });
        all
    }

    #[test]
    fn where_paths_lead() {
        let tree = tree();
        let table: [(&str, &[&str]); 11] = [
            ("a/b", &["first", "second", "third", "fourth"]),
            ("{y}a/b", &["second", "third"]),
            ("{y}a/{x}b", &[]),
            ("a[1]/b", &["first"]),
            ("a/b[1]", &["first", "second", "fourth"]),
            ("a/b[2]", &["third"]),
            ("a[2]/b[2]", &["third"]),
            ("a[3]/b[2]", &[]),
            ("{z}a[1]/b", &["fourth"]),
            ("empty/b", &[]),
            ("", &[""]),
        ];
        for (path, expected) in table {
            let texts: Vec<_> = all(&tree, path).into_iter().map(|id| tree.text(id)).collect();
            assert_eq!(texts, expected, "{path}");
        }
    }

    #[test]
    fn what_is_read_is_written() {
        assert_eq!(tree().copy(ROOT), parse_str(TEXT).expect(TEXT));
        assert_eq!(tree().weight(ROOT).elements, 10);
    }

    #[test]
    fn numbers_stay_whatever_is_removed_before_them() {
        let mut tree = tree();
        let bs = all(&tree, "a/b");
        let c = all(&tree, "a/c")[0];
        assert!(tree.remove(bs[0]) && !tree.remove(bs[0]) && tree.remove(bs[1]) && tree.remove(c));
        let texts: Vec<_> = bs.iter().map(|id| tree.text(*id)).collect();
        assert_eq!(texts, ["first", "second", "third", "fourth"], "what was removed can be read");
        assert!(tree.remove(bs[3]));
        assert_eq!(tree.edits, 4);
        let expected =
            "<message><a xmlns='x'/><a xmlns='y'><b n='2'>third</b></a><empty/><a xmlns='z'>xy</a></message>";
        assert_eq!(tree.copy(ROOT), parse_str(expected).expect(expected));
    }

    #[test]
    fn only_what_is_in_the_tree_is_an_edit() {
        let mut tree = tree();
        let (a, b) = (all(&tree, "a")[0], all(&tree, "a/b")[0]);
        tree.set_text(b, "first");
        let same = tree.copy(a);
        assert!(tree.replace(a, same));
        tree.set_attr(b, Attribute { ns: "", name: "n" }, None);
        assert_eq!(tree.edits, 0);
        tree.set_text(a, "over");
        assert_eq!((tree.edits, tree.parent(b), tree.depth(a)), (1, None, 2));
        tree.set_text(b, "nobody sees this");
        tree.append(b, Element::new("x", "y"));
        assert_eq!(tree.edits, 1);
        assert!(!tree.replace(b, Element::new("x", "y")) && !tree.replace(ROOT, Element::new("x", "y")));
    }
}
