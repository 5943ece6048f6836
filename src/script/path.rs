//! Paths into a stanza: child names joined by `/`, each with its namespace in braces if wanted:
//! `bind/resource`, `{vcard-temp}vCard/FN`.

use crate::xml::Element;

/// One step: the first child with this name, of any namespace or of this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step<'a> {
    ns: Option<&'a str>,
    name: &'a str,
}

impl Step<'_> {
    fn fits(&self, element: &Element) -> bool {
        element.name == self.name && self.ns.is_none_or(|ns| ns == element.ns)
    }
}

/// Reads a path. The empty path is the stanza itself. A namespace may hold slashes: it ends at its brace.
pub(super) fn steps(path: &str) -> Result<Vec<Step<'_>>, String> {
    let wrong =
        || format!("{path:?} is not a path: write names of children as in \"bind/resource\" or \"{{ns}}name/child\"");
    let mut steps = Vec::new();
    if path.is_empty() {
        return Ok(steps);
    }
    let mut rest = Some(path);
    while let Some(text) = rest {
        let (ns, text) = match text.strip_prefix('{') {
            Some(braced) => braced.split_once('}').map(|(ns, text)| (Some(ns), text)).ok_or_else(wrong)?,
            None => (None, text),
        };
        let (name, after) = text.split_once('/').map_or((text, None), |(name, after)| (name, Some(after)));
        if name.is_empty() || name.contains(['{', '}']) {
            return Err(wrong());
        }
        steps.push(Step { ns, name });
        rest = after;
    }
    Ok(steps)
}

/// The element at the end of a path.
pub(super) fn find<'a>(root: &'a Element, steps: &[Step<'_>]) -> Option<&'a Element> {
    steps.iter().try_fold(root, |element, step| element.children().find(|child| step.fits(child)))
}

/// The element at the end of a path, for editing.
pub(super) fn find_mut<'a>(root: &'a mut Element, steps: &[Step<'_>]) -> Option<&'a mut Element> {
    steps.iter().try_fold(root, |element, step| element.children_mut().find(|child| step.fits(child)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        type Expected = Option<&'static [(Option<&'static str>, &'static str)]>;
        let table: [(&str, Expected); 9] = [
            ("", Some(&[])),
            ("body", Some(&[(None, "body")])),
            ("bind/resource", Some(&[(None, "bind"), (None, "resource")])),
            ("{vcard-temp}vCard/FN", Some(&[(Some("vcard-temp"), "vCard"), (None, "FN")])),
            ("{http://a/b}x/{}y", Some(&[(Some("http://a/b"), "x"), (Some(""), "y")])),
            ("/body", None),
            ("body/", None),
            ("{never closed", None),
            ("a{b}", None),
        ];
        for (path, expected) in table {
            let expected = expected.map(|all| all.iter().map(|(ns, name)| Step { ns: *ns, name }).collect::<Vec<_>>());
            assert_eq!(steps(path).ok(), expected, "{path}");
        }
    }

    #[test]
    fn finding() {
        let tree = Element::new("c", "message")
            .with_child(Element::new("x", "a").with_child(Element::new("x", "b").with_text("first")))
            .with_child(Element::new("y", "a").with_child(Element::new("y", "b").with_text("second")));
        let text = |path| find(&tree, &steps(path).unwrap_or_default()).map(Element::text);
        assert_eq!(text("a/b").as_deref(), Some("first"));
        assert_eq!(text("{y}a/b").as_deref(), Some("second"));
        assert_eq!(text("{y}a/{x}b"), None);
        assert_eq!(text("").as_deref(), Some(""));
    }
}
