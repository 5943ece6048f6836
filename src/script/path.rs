//! Paths: how a script names a place in a stanza or an element.
//!
//! Takes text, gives steps: names of children joined by `/`, each with its namespace in braces and its number in brackets
//! if wanted, and an attribute at the end: `{vcard-temp}vCard/NICKNAME`, `query/item[2]@jid`. Must not look at any tree.

use super::names;

/// A path as read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Path<'a> {
    pub(super) steps: Vec<Step<'a>>,
    /// The attribute at the end.
    pub(super) attr: Option<Attribute<'a>>,
}

/// An attribute by its expanded name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Attribute<'a> {
    pub(super) ns: &'static str,
    pub(super) name: &'a str,
}

/// One step: the children with this name, of any namespace or of this one; of those all, or the one with this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step<'a> {
    ns: Option<&'a str>,
    name: &'a str,
    /// From 1.
    pub(super) number: Option<usize>,
}

/// Bytes of a path: far more than any place needs, far less than a script could make.
const LONGEST: usize = 4096;

impl Step<'_> {
    /// Whether the name alone fits.
    pub(super) fn fits_name(&self, name: &str) -> bool {
        self.name == name
    }

    pub(super) fn fits(&self, ns: &str, name: &str) -> bool {
        self.name == name && self.ns.is_none_or(|wanted| wanted == ns)
    }
}

/// Reads a path. The empty path is the stanza or element it is asked of.
///
/// # Errors
/// What is wrong with it, and what a path looks like.
pub(super) fn read(text: &str) -> Result<Path<'_>, String> {
    if text.len() > LONGEST {
        return Err(format!("a path has at most {LONGEST} bytes, not {}", text.len()));
    }
    parts(text).map_err(|why| {
        format!(
            "{text:?} is not a path: {why}; a path looks like \"body\", \"{{vcard-temp}}vCard/NICKNAME\", \
             \"query/item[2]\" or \"query/item@jid\""
        )
    })
}

fn parts(text: &str) -> Result<Path<'_>, String> {
    let mut path = Path::default();
    let mut rest = text;
    // A path may be nothing but an attribute, of the very place that is asked.
    let mut more = !text.is_empty() && !text.starts_with('@');
    while more {
        let (step, after) = step(rest)?;
        path.steps.push(step);
        more = after.starts_with('/');
        rest = after.strip_prefix('/').unwrap_or(after);
        if more && rest.is_empty() {
            return Err("it ends with a slash".to_owned());
        }
    }
    match rest.strip_prefix('@') {
        Some(name) => {
            let (ns, name) = names::attribute(name)?;
            path.attr = Some(Attribute { ns, name });
        }
        None if rest.is_empty() => {}
        None => return Err(format!("{rest:?} is not understood")),
    }
    Ok(path)
}

/// Reads one step; gives what follows it too. A namespace may hold slashes: it ends at its brace.
fn step(text: &str) -> Result<(Step<'_>, &str), String> {
    let (ns, text) = match text.strip_prefix('{') {
        Some(braced) => {
            let (ns, text) = braced.split_once('}').ok_or("the brace around a namespace is not closed")?;
            (Some(ns), text)
        }
        None => (None, text),
    };
    let end = text.find(['/', '@', '[', '{']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    names::element(name)?;
    let Some(bracket) = rest.strip_prefix('[') else {
        return Ok((Step { ns, name, number: None }, rest));
    };
    let (number, rest) = bracket.split_once(']').ok_or("the bracket around a number is not closed")?;
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    match number.parse() {
        Ok(0) => Err("numbers count from 1".to_owned()),
        Ok(number) if digits => Ok((Step { ns, name, number: Some(number) }, rest)),
        _ => Err(format!("[{number}] is not a number (only numbers go in brackets)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Steps = &'static [(Option<&'static str>, &'static str, Option<usize>)];
    type Attr = Option<(&'static str, &'static str)>;

    #[test]
    fn what_is_a_path() {
        let table: [(&str, Steps, Attr); 14] = [
            ("", &[], None),
            ("body", &[(None, "body", None)], None),
            ("bind/resource", &[(None, "bind", None), (None, "resource", None)], None),
            ("{vcard-temp}vCard/FN", &[(Some("vcard-temp"), "vCard", None), (None, "FN", None)], None),
            ("{http://a/b}x/{}y", &[(Some("http://a/b"), "x", None), (Some(""), "y", None)], None),
            ("{urn:x@y[1]}x", &[(Some("urn:x@y[1]"), "x", None)], None),
            ("query/item[2]", &[(None, "query", None), (None, "item", Some(2))], None),
            ("a[1]/b[30]", &[(None, "a", Some(1)), (None, "b", Some(30))], None),
            ("query/item@jid", &[(None, "query", None), (None, "item", None)], Some(("", "jid"))),
            ("item[2]@jid", &[(None, "item", Some(2))], Some(("", "jid"))),
            ("@id", &[], Some(("", "id"))),
            ("a@xml:lang", &[(None, "a", None)], Some(("http://www.w3.org/XML/1998/namespace", "lang"))),
            ("x-y.z_1", &[(None, "x-y.z_1", None)], None),
            ("straße", &[(None, "straße", None)], None),
        ];
        for (text, steps, attr) in table {
            let steps = steps.iter().map(|(ns, name, number)| Step { ns: *ns, name, number: *number }).collect();
            let attr = attr.map(|(ns, name)| Attribute { ns, name });
            assert_eq!(read(text), Ok(Path { steps, attr }), "{text}");
        }
    }

    #[test]
    fn what_is_none_says_why() {
        let table = [
            ("/body", "a name is missing"),
            ("/", "a name is missing"),
            ("a//b", "a name is missing"),
            ("body/", "it ends with a slash"),
            ("{never closed", "the brace around a namespace is not closed"),
            ("{x}", "a name is missing"),
            ("a{b}", "\"{b}\" is not understood"),
            ("a b", "\"a b\" is not a name"),
            ("stream:error", "write its namespace in braces"),
            ("*", "\"*\" is not a name"),
            ("..", "\"..\" is not a name"),
            ("1st", "\"1st\" is not a name"),
            ("item[0]", "numbers count from 1"),
            ("item[]", "[] is not a number"),
            ("item[+1]", "[+1] is not a number"),
            ("item[99999999999999999999]", "is not a number"),
            ("item[@jid='x']", "[@jid='x'] is not a number"),
            ("item[2", "the bracket around a number is not closed"),
            ("item[2]x", "\"x\" is not understood"),
            ("item@", "\"\" cannot be the name of an attribute"),
            ("item@a/b", "\"a/b\" cannot be the name of an attribute"),
            ("@xmlns", "\"xmlns\" cannot be the name of an attribute"),
        ];
        for (text, reason) in table {
            let why = read(text).expect_err(text);
            assert!(why.contains(reason) && why.starts_with(&format!("{text:?} is not a path: ")), "{why}");
            assert!(why.ends_with("\"query/item[2]\" or \"query/item@jid\""), "{why}");
        }
        assert!(read(&"a/".repeat(3000)).is_err_and(|why| why == "a path has at most 4096 bytes, not 6000"));
    }
}
