//! What was expected beside what came, line by line, for people: one element a line where it is long, what differs marked.
//!
//! Takes a [`Contrast`], gives lines. Trees are laid side by side by meaning, as `compare` does: the order of attributes
//! does not matter, `*` and `$name` stand for anything. What is no XML is shown as it is. Must not judge: what it takes
//! for equal changes nothing about a failure.

use super::compare::{self, Item, is_human_text, show};
use super::why::Contrast;
use crate::xml::{CLIENT_NS, Element, Node, STREAM_NS, XML_NS};

/// A line of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffLine {
    /// Whose line it is.
    pub mark: Mark,
    /// How deep it stands.
    pub depth: usize,
    /// Its text in pieces, each with whether it is what differs.
    pub parts: Vec<(String, bool)>,
}

/// Whose line it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Expected, and it came.
    Same,
    /// Expected only.
    Expected,
    /// Came only.
    Came,
}

/// Children are laid side by side in the best way only if there are not too many; otherwise one by one.
const MOST_PAIRS: usize = 250_000;

/// Lays what was expected and what came side by side.
#[must_use]
pub fn diff(contrast: &Contrast) -> Vec<DiffLine> {
    let mut lines = Vec::new();
    if !contrast.xml {
        plain(&contrast.expected, &contrast.came, &mut lines);
        return lines;
    }
    let came = match compare::first_item(contrast.came.as_bytes()) {
        Ok(Some((_, Item::Element(element)))) => Some(element),
        _ => None,
    };
    match (crate::xml::parse_str(&contrast.expected).ok(), came) {
        (Some(want), Some(got)) => pair(&want, &got, Outer { ns: CLIENT_NS, depth: 0 }, &mut lines),
        (Some(want), None) => {
            whole(&want, Mark::Expected, Outer { ns: CLIENT_NS, depth: 0 }, &mut lines);
            lines.push(line(Mark::Came, 0, vec![(raw(&contrast.came), true)]));
        }
        (None, Some(got)) => {
            lines.push(line(Mark::Expected, 0, vec![(raw(&contrast.expected), true)]));
            whole(&got, Mark::Came, Outer { ns: CLIENT_NS, depth: 0 }, &mut lines);
        }
        (None, None) => words(&contrast.expected, &contrast.came, &mut lines),
    }
    lines
}

/// Where an element stands.
#[derive(Clone, Copy)]
struct Outer<'a> {
    /// The namespace around it, which need not be said.
    ns: &'a str,
    depth: usize,
}

impl<'a> Outer<'a> {
    fn inside(self, element: &'a Element) -> Self {
        Self { ns: if element.ns == STREAM_NS { self.ns } else { &element.ns }, depth: self.depth + 1 }
    }
}

fn line(mark: Mark, depth: usize, parts: Vec<(String, bool)>) -> DiffLine {
    DiffLine { mark, depth, parts }
}

fn raw(text: &str) -> String {
    if text.is_empty() { "(nothing)".to_owned() } else { show(text.as_bytes()) }
}

/// Two elements of the same name: tag beside tag, child beside child.
fn pair(want: &Element, got: &Element, outer: Outer<'_>, lines: &mut Vec<DiffLine>) {
    if !want.is(&got.ns, &got.name) {
        whole(want, Mark::Expected, outer, lines);
        whole(got, Mark::Came, outer, lines);
        return;
    }
    if only_text(want).is_some_and(|text| !is_anything(text)) && only_text(got).is_some() {
        return tags(flat(want, outer.ns), flat(got, outer.ns), outer.depth, lines);
    }
    tags(start(want, outer.ns, ">"), start(got, outer.ns, ">"), outer.depth, lines);
    let inside = outer.inside(want);
    if only_text(want).is_some_and(is_anything) {
        lines.push(line(Mark::Same, inside.depth, vec![("*".to_owned(), false)]));
    } else {
        children(want, got, inside, lines);
    }
    lines.push(line(Mark::Same, outer.depth, vec![(end(want), false)]));
}

/// The text of an element that has nothing else in it.
fn only_text(element: &Element) -> Option<&str> {
    match element.nodes.as_slice() {
        [] => Some(""),
        [Node::Text(text)] => Some(text),
        _ => None,
    }
}

fn children(want: &Element, got: &Element, outer: Outer<'_>, lines: &mut Vec<DiffLine>) {
    let said = want.children().any(is_human_text);
    for step in align(&want.nodes, &got.nodes) {
        match step {
            (Some(Node::Element(want)), Some(Node::Element(got))) => pair(want, got, outer, lines),
            (Some(Node::Text(want)), Some(Node::Text(got))) => {
                tags(vec![escaped(want)], vec![escaped(got)], outer.depth, lines);
            }
            (None, Some(Node::Element(got))) if !said && is_human_text(got) => whole(got, Mark::Same, outer, lines),
            (want, got) => {
                for (node, mark) in [(want, Mark::Expected), (got, Mark::Came)] {
                    match node {
                        Some(Node::Element(element)) => whole(element, mark, outer, lines),
                        Some(Node::Text(text)) => lines.push(line(mark, outer.depth, vec![(escaped(text), true)])),
                        None => {}
                    }
                }
            }
        }
    }
}

type Beside<'a> = (Option<&'a Node>, Option<&'a Node>);

/// Puts nodes side by side that are of one kind: as many as can be, in order.
fn align<'a>(want: &'a [Node], got: &'a [Node]) -> Vec<Beside<'a>> {
    let alike = |one: &Node, other: &Node| match (one, other) {
        (Node::Element(one), Node::Element(other)) => one.is(&other.ns, &other.name),
        (Node::Text(_), Node::Text(_)) => true,
        _ => false,
    };
    if want.len().saturating_mul(got.len()) > MOST_PAIRS {
        return (0..want.len().max(got.len())).map(|i| (want.get(i), got.get(i))).collect();
    }
    // The longest common series, from the back.
    let width = got.len() + 1;
    let mut best = vec![0_usize; (want.len() + 1) * width];
    for i in (0..want.len()).rev() {
        for j in (0..got.len()).rev() {
            let at = i * width + j;
            best[at] =
                if alike(&want[i], &got[j]) { 1 + best[at + width + 1] } else { best[at + width].max(best[at + 1]) };
        }
    }
    let (mut i, mut j, mut steps) = (0, 0, Vec::new());
    while i < want.len() || j < got.len() {
        let at = i * width + j;
        if i < want.len() && j < got.len() && alike(&want[i], &got[j]) {
            steps.push((want.get(i), got.get(j)));
            (i, j) = (i + 1, j + 1);
        } else if i < want.len() && (j == got.len() || best[at + width] >= best[at + 1]) {
            steps.push((want.get(i), None));
            i += 1;
        } else {
            steps.push((None, got.get(j)));
            j += 1;
        }
    }
    steps
}

/// An element that has nothing beside it.
fn whole(element: &Element, mark: Mark, outer: Outer<'_>, lines: &mut Vec<DiffLine>) {
    let differs = mark != Mark::Same;
    if only_text(element).is_some() {
        lines.push(line(mark, outer.depth, vec![(flat(element, outer.ns).concat(), differs)]));
        return;
    }
    lines.push(line(mark, outer.depth, vec![(start(element, outer.ns, ">").concat(), differs)]));
    let inside = outer.inside(element);
    for node in &element.nodes {
        match node {
            Node::Element(child) => whole(child, mark, inside, lines),
            Node::Text(text) => lines.push(line(mark, inside.depth, vec![(escaped(text), differs)])),
        }
    }
    lines.push(line(mark, outer.depth, vec![(end(element), differs)]));
}

/// Two lines in pieces: one if they say the same, or both, with what the other has not marked.
fn tags(want: Vec<String>, got: Vec<String>, depth: usize, lines: &mut Vec<DiffLine>) {
    let missing = |want: &String| !got.iter().any(|got| fits(want, got));
    let extra = |got: &String| !want.iter().any(|want| fits(want, got));
    if !want.iter().any(missing) && !got.iter().any(extra) {
        let parts = got.into_iter().map(|part| (part, false)).collect();
        lines.push(line(Mark::Same, depth, parts));
        return;
    }
    let wanted = want.iter().map(|part| (part.clone(), missing(part))).collect();
    let came = got.iter().map(|part| (part.clone(), extra(part))).collect();
    lines.push(line(Mark::Expected, depth, wanted));
    lines.push(line(Mark::Came, depth, came));
}

/// Whether a piece of what came is what was expected.
fn fits(want: &str, got: &str) -> bool {
    match (want.split_once("='"), got.split_once("='")) {
        (Some((name, value)), Some((other, _))) if name == other && is_anything(value.trim_end_matches('\'')) => true,
        _ => want == got || is_anything(want) && !got.starts_with([' ', '<', '>', '/']),
    }
}

fn is_anything(text: &str) -> bool {
    text == "*"
        || text
            .strip_prefix('$')
            .is_some_and(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}

/// An element without children in pieces.
fn flat(element: &Element, outer: &str) -> Vec<String> {
    let Some(text) = only_text(element).filter(|text| !text.is_empty()) else { return start(element, outer, "/>") };
    let mut parts = start(element, outer, ">");
    parts.extend([escaped(text), end(element)]);
    parts
}

/// A start tag in pieces, the attributes in the order of their names.
fn start(element: &Element, outer: &str, close: &str) -> Vec<String> {
    let mut attrs: Vec<_> = element.attrs.iter().collect();
    attrs.sort_by(|a, b| (&a.ns, &a.name).cmp(&(&b.ns, &b.name)));
    let mut parts = vec![format!("<{}", name(element))];
    if element.ns != outer && element.ns != STREAM_NS {
        parts.push(format!(" xmlns='{}'", escaped(&element.ns)));
    }
    parts.extend(attrs.into_iter().map(|attr| {
        let name = match attr.ns.as_str() {
            "" => attr.name.clone(),
            XML_NS => format!("xml:{}", attr.name),
            ns => format!("{{{ns}}}{}", attr.name),
        };
        format!(" {name}='{}'", escaped(&attr.value).replace('\'', "&apos;"))
    }));
    parts.push(close.to_owned());
    parts
}

fn end(element: &Element) -> String {
    format!("</{}>", name(element))
}

fn name(element: &Element) -> String {
    if element.ns == STREAM_NS { format!("stream:{}", element.name) } else { element.name.clone() }
}

fn escaped(text: &str) -> String {
    show(text.replace('&', "&amp;").replace('<', "&lt;").as_bytes())
}

/// What is no tree on either side, such as headers: by words.
fn words(want: &str, got: &str, lines: &mut Vec<DiffLine>) {
    let words = |text: &str| raw(text).split_inclusive(' ').map(str::to_owned).collect::<Vec<_>>();
    let (want, got) = (words(want), words(got));
    let bare = |word: &str| word.trim_end().trim_end_matches(['>', '/']).to_owned();
    let lacks = |word: &str, others: &[String]| !others.iter().any(|other| bare(other) == bare(word));
    let wanted = want.iter().map(|word| (word.clone(), lacks(word, &got))).collect();
    let came = got.iter().map(|word| (word.clone(), lacks(word, &want))).collect();
    lines.push(line(Mark::Expected, 0, wanted));
    lines.push(line(Mark::Came, 0, came));
}

/// Bytes, as escaped already: from where they part.
fn plain(want: &str, got: &str, lines: &mut Vec<DiffLine>) {
    let common: usize = want.chars().zip(got.chars()).take_while(|(a, b)| a == b).map(|(c, _)| c.len_utf8()).sum();
    for (mark, text) in [(Mark::Expected, want), (Mark::Came, got)] {
        let (before, after) = text.split_at(common);
        let after = if text.is_empty() { "(nothing)" } else { after };
        lines.push(line(mark, 0, vec![(before.to_owned(), false), (after.to_owned(), true)]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines as text: what differs stands in brackets.
    fn told(expected: &str, came: &str, xml: bool) -> Vec<String> {
        let contrast = Contrast { expected: expected.to_owned(), came: came.to_owned(), xml };
        let told = |line: &DiffLine| {
            let mark = match line.mark {
                Mark::Same => ' ',
                Mark::Expected => '-',
                Mark::Came => '+',
            };
            let parts: String = line
                .parts
                .iter()
                .map(|(text, differs)| if *differs { format!("[{text}]") } else { text.clone() })
                .collect();
            format!("{mark}{}{parts}", " ".repeat(line.depth))
        };
        diff(&contrast).iter().map(told).collect()
    }

    #[test]
    fn only_what_differs_is_marked() {
        assert_eq!(
            told(
                "<iq type='result' id='$id'><a xmlns='urn:a'>1</a><b xmlns='urn:b'/><c xmlns='urn:c'>*</c></iq>",
                "<iq id='7' type='result' to='x'><a xmlns='urn:a'>2</a><x xmlns='urn:x'/><c xmlns='urn:c'><d/></c></iq>",
                true
            ),
            [
                "-<iq id='$id' type='result'>",
                "+<iq id='7'[ to='x'] type='result'>",
                "- <a xmlns='urn:a'>[1]</a>",
                "+ <a xmlns='urn:a'>[2]</a>",
                "-[ <b xmlns='urn:b'/>]".replace("[ ", " [").as_str(),
                "+[ <x xmlns='urn:x'/>]".replace("[ ", " [").as_str(),
                "  <c xmlns='urn:c'>",
                "   *",
                "  </c>",
                " </iq>",
            ]
        );
    }

    #[test]
    fn what_is_no_tree_is_shown_as_it_is() {
        assert_eq!(told("<message/>", "", true), ["-[<message/>]", "+[(nothing)]"]);
        assert_eq!(told("<message/>", "<message><bo", true), ["-[<message/>]", "+[<message><bo]"]);
        assert_eq!(
            told("<stream:stream to='a' id='1'>", "<stream:stream id='2' to='a'>", true),
            ["-<stream:stream to='a' [id='1'>]", "+<stream:stream [id='2' ]to='a'>"]
        );
        assert_eq!(told("abc", "abd", false), ["-ab[c]", "+ab[d]"]);
        assert_eq!(told("é", "", false), ["-[é]", "+[(nothing)]"]);
    }

    #[test]
    fn what_people_are_told_need_not_be_expected() {
        let ns = "urn:ietf:params:xml:ns:xmpp-stanzas";
        let came = format!("<message><error><gone xmlns='{ns}'/><text xmlns='{ns}'>why\u{1b}</text></error></message>");
        let lines =
            told(&format!("<message><error><gone xmlns='{ns}'/></error></message>"), &came.replace('\u{1b}', ""), true);
        assert!(lines.iter().all(|line| line.starts_with(' ')), "{lines:?}");
    }
}
