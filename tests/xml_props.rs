//! Properties: cuts do not matter, what is written is read back, normalising changes nothing that anybody can see, and whoever
//! walks along the bytes comes by what stands in the tree.

#[path = "xml/generate.rs"]
mod generate;
mod xml;

use bytes::BytesMut;
use generate::{Dice, document, mutate};
use iqtap::xml::{
    Attr, CLIENT_NS, Element, Head, ItemKind, Limits, Node, Root, STREAM_NS, Scanner, Scope, Step, View, XML_NS,
    normalise, parse_element, parse_shell, write_element,
};
use proptest::prelude::*;
use xml::{HEADER, Item, feed, whole};

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-zA-Z_][a-zA-Z0-9._-]{0,8}",
        1 => prop::sample::select(vec!["message", "error", "stream", "xml", "id", "type", "ns0", "\u{E9}t\u{E9}", "\u{4E2D}\u{6587}"])
            .prop_map(str::to_owned),
    ]
    .prop_filter("an attribute may not be called so", |name| name != "xmlns")
}

fn namespace() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just(CLIENT_NS.to_owned()),
        2 => Just(String::new()),
        3 => prop::sample::select(vec!["u:u", "urn:a&b", "urn:'\"<>", "http://jabber.org/protocol/disco#info", "\u{E9}", "jabber:server"])
            .prop_map(str::to_owned),
        1 => "urn:[!-~]{1,20}",
    ]
}

/// Text with what writers forget: TAB, CR, LF, `]]>`, quotes, characters of every length.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[ -~]{1,12}",
        3 => prop::sample::select(vec!["\t", "\r", "\n", "\r\n", "]]>", "<", "&amp;", "'", "\"", " ", "\u{7F}", "\u{85}", "\u{2028}", "\u{FEFF}", "\u{FFFD}", "\u{1F600}", "\u{10FFFF}"])
            .prop_map(str::to_owned),
        1 => "\\PC{1,6}",
    ];
    prop::collection::vec(piece, 0..5).prop_map(|p| p.concat().replace(['\u{FFFE}', '\u{FFFF}'], ""))
}

fn attrs() -> impl Strategy<Value = Vec<Attr>> {
    let ns = prop_oneof![
        6 => Just(String::new()),
        1 => Just(XML_NS.to_owned()),
        2 => namespace(),
        1 => Just(STREAM_NS.to_owned()),
    ];
    prop::collection::vec((ns, name(), text()), 0..5).prop_map(|all| {
        let mut element = Element::new("", "");
        for (ns, name, value) in all {
            element.set_attr_ns(&ns, &name, value);
        }
        element.attrs
    })
}

fn tree() -> impl Strategy<Value = Element> {
    let leaf = (namespace(), name(), attrs(), text()).prop_map(|(ns, name, attrs, text)| {
        let element = Element { ns, name, attrs, nodes: Vec::new() };
        element.with_text(text)
    });
    leaf.prop_recursive(5, 24, 4, |inner| {
        let node = prop_oneof![2 => inner.prop_map(Node::Element), 1 => text().prop_map(Node::Text)];
        (namespace(), name(), attrs(), prop::collection::vec(node, 0..5)).prop_map(|(ns, name, attrs, nodes)| {
            let mut element = Element { ns, name, attrs, nodes: Vec::new() };
            for node in nodes {
                match (element.nodes.last_mut(), node) {
                    (_, Node::Text(text)) if text.is_empty() => {}
                    (Some(Node::Text(before)), Node::Text(text)) => before.push_str(&text),
                    (_, node) => element.nodes.push(node),
                }
            }
            element
        })
    })
}

/// A tree that may stand first in a stream.
fn stanza() -> impl Strategy<Value = Element> {
    (tree(), prop::sample::select(vec![CLIENT_NS, "urn:ietf:params:xml:ns:xmpp-sasl", STREAM_NS])).prop_map(
        |(mut tree, ns)| {
            tree.ns = ns.to_owned();
            if tree.is(STREAM_NS, "stream") {
                tree.name = "features".to_owned();
            }
            tree
        },
    )
}

fn our_root() -> Root {
    whole(Limits::AFTER_LOGIN, HEADER.as_bytes()).root
}

/// What a walk down to a level gives.
fn walked(bytes: &[u8], root: &Root, deepest: usize) -> Vec<(usize, String, String)> {
    let head = Head::default();
    let mut walk = View { bytes, head: &head, root }.inside(deepest);
    let mut out = Vec::new();
    while let Some(inner) = walk.next() {
        assert!(inner.is(inner.ns(), inner.name));
        out.push((inner.level, inner.ns().to_owned(), inner.name.to_owned()));
    }
    out
}

/// The same of the tree.
fn listed(element: &Element, level: usize, deepest: usize, out: &mut Vec<(usize, String, String)>) {
    for child in element.children().filter(|_| level <= deepest) {
        out.push((level, child.ns.clone(), child.name.clone()));
        listed(child, level + 1, deepest, out);
    }
}

/// Text and attributes.
type Content = (String, Vec<Attr>);

/// The text and attributes of all elements in a tree, down to a level.
fn contents(element: &Element, level: usize, deepest: usize, out: &mut Vec<Content>) {
    for child in element.children().filter(|_| level <= deepest) {
        out.push((child.text(), child.attrs.clone()));
        contents(child, level + 1, deepest, out);
    }
}

/// The same read along a walk: the attributes that are expected, and none of another name.
fn read(bytes: &[u8], head: &Head, root: &Root, deepest: usize, expected: &[Content]) -> Vec<Content> {
    let mut walk = View { bytes, head, root }.inside(deepest);
    let mut out = Vec::new();
    while let Some(inner) = walk.next() {
        let names = expected.get(out.len()).map_or(&[][..], |(_, attrs)| attrs);
        let value =
            |attr: &Attr| inner.attr(&attr.ns, &attr.name).map(|value| Attr { value: value.into(), ..attr.clone() });
        assert!(
            ["xmlns", "nobody"]
                .iter()
                .all(|name| inner.attr("", name).is_none() && inner.attr("u:none", name).is_none())
        );
        assert_eq!(inner.is_bare(), names.is_empty());
        out.push((inner.text().into_owned(), names.iter().filter_map(value).collect()));
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn cuts_do_not_matter(seed in any::<u64>(), spoilt in 0..3_u8) {
        let mut dice = Dice::new(seed);
        let mut document = document(&mut dice);
        for _ in 0..spoilt {
            mutate(&mut dice, &mut document);
        }
        // Small limits are met by some of the documents, large ones by none.
        let small = Limits { stanza_bytes: 300, elements: 12, depth: 4, attributes: 4, name_bytes: 40, value_bytes: 50 };
        for limits in [small, Limits::AFTER_LOGIN] {
            let expected = whole(limits, &document);
            prop_assert_eq!(&feed(limits, &document, std::iter::repeat(1)), &expected);
            for most in [3, 20, 200] {
                let pieces: Vec<usize> = (0..document.len()).map(|_| 1 + dice.below(most)).collect();
                prop_assert_eq!(&feed(limits, &document, pieces), &expected);
            }
        }
    }

    #[test]
    fn what_is_written_is_read(tree in stanza()) {
        let root = our_root();
        let mut out = BytesMut::new();
        write_element(&tree, Scope::Stream, &mut out);
        let mut scanner = Scanner::under(&root, Limits::AFTER_LOGIN);
        prop_assert_eq!(scanner.scan(&out), Step::Item { len: out.len(), kind: ItemKind::Element });
        let head = *scanner.head();
        prop_assert!(!head.untidy && !head.leans);
        prop_assert_eq!(parse_element(&out, &root, &head), Ok(tree));
    }

    #[test]
    fn what_is_written_alone_is_read_anywhere(tree in stanza()) {
        // A root that binds whatever the writer might count on to something else.
        let root = Root { decls: vec![(String::new(), "w:w".to_owned()), ("ns0".to_owned(), "w:w".to_owned())] };
        let mut out = BytesMut::new();
        write_element(&tree, Scope::Alone, &mut out);
        let mut scanner = Scanner::under(&root, Limits::AFTER_LOGIN);
        prop_assert_eq!(scanner.scan(&out), Step::Item { len: out.len(), kind: ItemKind::Element });
        let head = *scanner.head();
        prop_assert!(!head.leans);
        prop_assert_eq!(parse_element(&out, &root, &head), Ok(tree));
    }

    #[test]
    fn normalising_is_invisible(seed in any::<u64>()) {
        let mut dice = Dice::new(seed);
        let document = document(&mut dice);
        let out = whole(Limits::AFTER_LOGIN, &document);
        for item in &out.items {
            let Item::Element(bytes, head) = item else { continue };
            let (tidy, new_head) = normalise(bytes, &out.root).ok_or_else(|| TestCaseError::fail("refused"))?;
            prop_assert!(!new_head.untidy);
            prop_assert!(head.untidy || (&tidy, &new_head) == (bytes, head), "tidy bytes must stay");
            prop_assert_eq!(normalise(&tidy, &out.root), Some((tidy.clone(), new_head)), "idempotent");
            prop_assert_eq!(parse_element(&tidy, &out.root, &new_head), parse_element(bytes, &out.root, head));
        }
    }

    #[test]
    fn a_walk_comes_by_what_stands_in_the_tree(seed in any::<u64>(), deepest in 0..5_usize) {
        let document = document(&mut Dice::new(seed));
        let out = whole(Limits::AFTER_LOGIN, &document);
        for (bytes, head) in out.elements() {
            let Ok(mut tree) = parse_element(bytes, &out.root, head) else { continue };
            let mut expected = Vec::new();
            listed(&tree, 1, deepest, &mut expected);
            prop_assert_eq!(walked(bytes, &out.root, deepest), expected, "{}", xml::show(bytes));
            tree.nodes.clear();
            prop_assert_eq!(parse_shell(&View { bytes, head, root: &out.root }), Ok(tree));
        }
    }

    #[test]
    fn what_is_read_along_a_walk_stands_in_the_tree(seed in any::<u64>(), deepest in 1..5_usize) {
        let document = document(&mut Dice::new(seed));
        let out = whole(Limits::AFTER_LOGIN, &document);
        for (bytes, head) in out.elements() {
            let Ok(tree) = parse_element(bytes, &out.root, head) else { continue };
            let mut expected = Vec::new();
            contents(&tree, 1, deepest, &mut expected);
            prop_assert_eq!(read(bytes, head, &out.root, deepest, &expected), expected, "{}", xml::show(bytes));
            prop_assert_eq!(View { bytes, head, root: &out.root }.text(), tree.text(), "{}", xml::show(bytes));
        }
    }

    #[test]
    fn a_walk_through_anything_ends(seed in any::<u64>(), noise in prop::collection::vec(any::<u8>(), 0..60)) {
        let mut dice = Dice::new(seed);
        let mut document = document(&mut dice);
        mutate(&mut dice, &mut document);
        let at = dice.below(document.len());
        document.splice(at..at, noise);
        for bytes in [&document[..], &document[at..]] {
            prop_assert!(walked(bytes, &our_root(), 2).len() <= bytes.len());
            let head = Head::default();
            let root = our_root();
            let mut walk = View { bytes, head: &head, root: &root }.inside(2);
            while let Some(inner) = walk.next() {
                prop_assert!(inner.text().len() <= bytes.len() && inner.attr("", "to").is_none_or(|to| to.len() <= bytes.len()));
            }
        }
    }
}

/// One stanza with all that a walk could trip over, under a root with prefixes of its own.
#[test]
fn a_walk_in_particular() {
    let decls = [("", CLIENT_NS), ("stream", STREAM_NS), ("m", "urn:root")];
    let root = Root { decls: decls.map(|(prefix, ns)| (prefix.to_owned(), ns.to_owned())).to_vec() };
    let stanza = "<message a='<' b=\"/>'>\" xmlns:p='urn&#58;own'><![CDATA[<no/>]] ></message>]]><m:a/><p:b c='>'/>\
                  <p:c xmlns:p = \"urn:its\"  ><p:d/><d xmlns='urn:&amp;'><e/></d></p:c ><p:f>></p:f><xml:g/>\
                  <h xmlns=''><i/><i xmlns:m='urn:m' m:xmlns='no'/></h></message>"
        .replace("a='<'", "a='&lt;'");
    let names: Vec<String> = walked(stanza.as_bytes(), &root, 2)
        .into_iter()
        .map(|(level, ns, name)| format!("{level} {{{ns}}}{name}"))
        .collect();
    let expected = [
        "1 {urn:root}a",
        "1 {urn:own}b",
        "1 {urn:its}c",
        "2 {urn:its}d",
        "2 {urn:&}d",
        "1 {urn:own}f",
        "1 {http://www.w3.org/XML/1998/namespace}g",
        "1 {}h",
        "2 {}i",
        "2 {}i",
    ];
    assert_eq!(names, expected);
}
