//! The scanner: bytes and where they are cut.
//!
//! The first byte says how: the lowest two bits which limits, the next two whether an ordinary header stands before and an end
//! behind, the rest how many of the following bytes are sizes of pieces. What the scanner lets through, rxml and xml-rs must read as the
//! same tree; what it refuses and rxml takes must be in the list of allowed differences; what is written must be read back.
#![expect(clippy::panic, reason = "this is how a fuzzer is told")]

use super::seen::end_tag;
use crate::allowed::{Who, allowed, for_rxml};
use crate::oracles::{ours, rxml};
use crate::xml::{HEADER, Item, Outcome, feed, show, whole};
use bytes::BytesMut;
use iqtap::xml::{
    Element, Head, ItemKind, Limits, Root, Scanner, Scope, Step, View, normalise, parse_element, rehome, write_element,
};

/// Longer ones are not fed byte by byte.
const SHORT: usize = 4096;
/// Limits that small documents meet.
const SMALL: Limits =
    Limits { stanza_bytes: 300, elements: 12, depth: 4, attributes: 4, name_bytes: 40, value_bytes: 100 };

pub(crate) fn run(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else { return };
    let (pieces, body) = rest.split_at(usize::from(how >> 4).min(rest.len()));
    let limits = match how & 3 {
        0 => Limits::BEFORE_LOGIN,
        1 => SMALL,
        _ => Limits::AFTER_LOGIN,
    };
    let mut document = Vec::new();
    if how & 4 != 0 {
        document.extend_from_slice(HEADER.as_bytes());
    }
    document.extend_from_slice(body);
    if how & 8 != 0 {
        document.extend_from_slice(b"</stream:stream>");
    }
    let outcome = whole(limits, &document);
    let cut = feed(limits, &document, pieces.iter().map(|size| usize::from(*size).max(1)));
    assert_eq!(cut, outcome, "cut into {pieces:?}: {}", show(&document));
    if document.len() <= SHORT {
        assert_eq!(feed(limits, &document, std::iter::repeat(1)), outcome, "bytewise: {}", show(&document));
    }
    agree(&document, &outcome);
    if let Some(begun) = closed(&document, &outcome) {
        let outcome = whole(Limits::AFTER_LOGIN, &begun);
        assert!(outcome.refused.is_none() && outcome.left == 0, "with an end to it: {}", show(&begun));
        agree(&begun, &outcome);
    }
    for (bytes, head) in outcome.elements() {
        element(bytes, head, &outcome.root);
    }
}

/// Both other parsers see what the scanner has seen.
fn agree(document: &[u8], outcome: &Outcome) {
    let ours = ours(outcome).unwrap_or_else(|why| panic!("{why}: {}", show(document)));
    let other = rxml(&for_rxml(document, ours.is_some()));
    match (&ours, &other) {
        (Some(ours), Ok(other)) => assert_eq!(ours, other, "rxml sees another tree in {}", show(document)),
        (Some(_), Err(why)) => panic!("the scanner accepts, rxml refuses ({why}): {}", show(document)),
        (None, Ok(_)) if outcome.refused.is_some() => {
            let refused = outcome.refused;
            assert!(allowed(outcome, Who::Rxml), "the scanner refuses ({refused:?}), rxml accepts: {}", show(document));
        }
        // The scanner waits for more where a document might go on.
        (None, _) => {}
    }
}

/// What was accepted before a refusal, or before bytes that are unfinished, with an end tag: a document.
fn closed(document: &[u8], outcome: &Outcome) -> Option<Vec<u8>> {
    if outcome.items.iter().any(|item| matches!(item, Item::Close(_))) {
        return None;
    }
    let Some(Item::Open(header, _)) = outcome.items.iter().find(|item| matches!(item, Item::Open(..))) else {
        return None;
    };
    let mut begun = document[..document.len() - outcome.left].to_vec();
    begun.extend(end_tag(header));
    Some(begun)
}

/// What is said of one element is true of its tree; written anew it is still the same.
fn element(bytes: &[u8], head: &Head, root: &Root) {
    let tidied = if head.untidy { normalise(bytes, root) } else { Some((bytes.to_vec(), *head)) };
    let Some((bytes, head)) = tidied else { panic!("it cannot be tidied: {}", show(bytes)) };
    let tree = parse_element(&bytes, root, &head).unwrap_or_else(|why| panic!("{why}: {}", show(&bytes)));
    let view = View { bytes: &bytes, head: &head, root };
    assert_eq!((view.ns().as_ref(), view.name()), (tree.ns.as_str(), tree.name.as_str()), "{}", show(&bytes));
    for (name, said) in [("id", view.id()), ("type", view.kind()), ("to", view.to()), ("from", view.from())] {
        assert_eq!(said.as_deref(), tree.attr(name), "attribute {name}: {}", show(&bytes));
    }
    assert_eq!(head.children as usize, tree.children().count(), "children: {}", show(&bytes));
    let first = view.first_child().map(|(ns, name)| (ns.into_owned(), name.to_owned()));
    assert_eq!(first, tree.children().next().map(|child| (child.ns.clone(), child.name.clone())));

    let mut written = BytesMut::new();
    write_element(&tree, Scope::Stream, &mut written);
    assert_eq!(read_back(&written), tree, "written: {}", show(&bytes));
    if head.leans {
        let moved = rehome(&bytes, root);
        assert_eq!(read_back(&moved), tree, "at home under another root: {}", show(&bytes));
    } else {
        assert_eq!(read_back(&bytes), tree, "as it is, under our root: {}", show(&bytes));
    }
}

/// What a receiver makes of an element under our own root.
fn read_back(bytes: &[u8]) -> Element {
    let limits = Limits { stanza_bytes: usize::MAX >> 8, ..Limits::AFTER_LOGIN };
    let mut scanner = Scanner::new(limits);
    assert!(matches!(scanner.scan(HEADER.as_bytes()), Step::Item { .. }));
    let step = scanner.scan(bytes);
    assert_eq!(step, Step::Item { len: bytes.len(), kind: ItemKind::Element }, "{}", show(bytes));
    parse_element(bytes, scanner.root(), scanner.head()).unwrap_or_else(|why| panic!("{why}: {}", show(bytes)))
}
