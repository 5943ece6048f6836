//! What a path leads to, read along the judged bytes of a stanza that nobody has opened yet.
//!
//! Takes a view and a path, gives the text or attribute there: what the tree would give. One pass over the bytes, up to what is
//! found. Must not be asked again and again of one stanza: it begins anew each time, and a tree pays from some ten times on.

use super::path::{Attribute, Path, Step};
use crate::xml::{Inner, View};

/// What was found (none if the path leads nowhere), and how many bytes were gone over for it.
pub(super) struct Read {
    pub(super) text: Option<String>,
    pub(super) bytes: usize,
}

/// Follows a path of at least one step to the first element that it leads to.
pub(super) fn read(view: &View<'_>, path: &Path<'_>) -> Read {
    let mut walk = view.inside(path.steps.len());
    // How many steps the open elements have taken, and how many children have fitted each step since.
    let (mut taken, mut fitting) = (0, vec![0; path.steps.len()]);
    while let Some(inner) = walk.next() {
        let above = inner.level - 1;
        if above > taken {
            continue; // inside of something else
        }
        taken = above;
        let Some((step, more)) = path.steps.get(above..).and_then(<[Step<'_>]>::split_first) else { continue };
        let Some(count) = fitting.get_mut(above) else { continue };
        if !step.fits_name(inner.name) || !step.fits(inner.ns(), inner.name) {
            continue;
        }
        *count += 1;
        if step.number.is_some_and(|number| number != *count) {
            continue;
        }
        if more.is_empty() {
            let text = content(&inner, path.attr);
            return Read { bytes: inner.at() + text.as_ref().map_or(0, String::len), text };
        }
        taken = inner.level;
        if let Some(next) = fitting.get_mut(inner.level) {
            *next = 0;
        }
    }
    Read { text: None, bytes: view.bytes.len() }
}

fn content(element: &Inner<'_, '_>, attr: Option<Attribute<'_>>) -> Option<String> {
    let found = match attr {
        Some(Attribute { ns, name }) => element.attr(ns, name)?,
        None => element.text(),
    };
    Some(found.into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::tree::{ROOT, Tree};
    use super::*;
    use crate::script::path;
    use crate::xml::{Head, Root, parse_str};
    use std::ops::ControlFlow;

    const TEXT: &str = "<message><a xmlns='x'><b>first</b></a><a xmlns='y' n='a &amp; b'><b n='1'>sec<c>no</c>ond</b>\
                        <b n='2'><![CDATA[<third>]]></b></a><empty/><a xmlns='z'><c><b>inside</b></c>x<b xml:lang='en'>fourth</b>y</a>\
                        <p:a xmlns:p='y' p:n='no' n='yes'><p:b/><b>fifth</b></p:a></message>";

    /// What the tree gives for the same path.
    fn of_the_tree(path: &Path<'_>) -> Option<String> {
        let tree = Tree::new(parse_str(TEXT).expect(TEXT));
        let mut first = None;
        let (_, _) = tree.walk(ROOT, &path.steps, &mut |id| {
            first = Some(id);
            ControlFlow::Break(())
        });
        match path.attr {
            Some(attr) => tree.attr(first?, attr).map(str::to_owned),
            None => first.map(|id| tree.text(id)),
        }
    }

    #[test]
    fn a_closed_stanza_reads_like_an_open_one() {
        let root = Root { decls: vec![(String::new(), "jabber:client".to_owned())] };
        let view = View { bytes: TEXT.as_bytes(), head: &Head::default(), root: &root };
        let parts = [
            "a",
            "b",
            "c",
            "empty",
            "{y}a",
            "{x}a",
            "{z}b",
            "{y}b",
            "{jabber:client}b",
            "a[1]",
            "a[2]",
            "a[4]",
            "{y}a[2]",
            "b[2]",
            "b[9]",
        ];
        let (mut found, mut compared) = (0, 0);
        for one in parts {
            for two in parts.iter().map(|two| format!("/{two}")).chain([String::new()]) {
                for three in ["", "/b", "/c", "@n", "@xml:lang"] {
                    let text = format!("{one}{two}{three}");
                    let path = path::read(&text).expect(&text);
                    let expected = of_the_tree(&path);
                    assert_eq!(read(&view, &path).text, expected, "{text}");
                    compared += 1;
                    found += usize::from(expected.is_some());
                }
            }
        }
        assert!(found > 50 && compared > 3 * found, "{found} of {compared}");
    }
}
