//! What the tests of the xml room share: feeding a scanner in pieces, and comparing what came out.
#![allow(dead_code, reason = "each test crate uses its part")]
#![expect(clippy::unwrap_used, reason = "test code")]

use iqtap::xml::{Fault, Head, ItemKind, Limits, OpenTag, Root, Scanner, Step};

/// The usual header.
pub(crate) const HEADER: &str =
    "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";

/// An item with all that is known of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item {
    Space(usize),
    Open(Vec<u8>, OpenTag),
    Element(Vec<u8>, Head),
    Close(Vec<u8>),
}

/// What a document came to. Offsets are from the start of the document.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) items: Vec<Item>,
    pub(crate) refused: Option<(Fault, &'static str, usize)>,
    pub(crate) left: usize,
    pub(crate) root: Root,
}

impl Outcome {
    pub(crate) fn elements(&self) -> impl Iterator<Item = (&[u8], &Head)> {
        self.items.iter().filter_map(|item| match item {
            Item::Element(bytes, head) => Some((bytes.as_slice(), head)),
            _ => None,
        })
    }
}

/// Feeds a document in pieces of the given sizes (the rest as one).
pub(crate) fn feed(limits: Limits, document: &[u8], pieces: impl IntoIterator<Item = usize>) -> Outcome {
    let mut scanner = Scanner::new(limits);
    let mut out = Outcome::default();
    let (mut start, mut end) = (0, 0);
    let mut pieces = pieces.into_iter();
    while end < document.len() {
        end += pieces.next().unwrap_or(usize::MAX).min(document.len() - end);
        loop {
            let buf = &document[start..end];
            match scanner.scan(buf) {
                Step::More => break,
                Step::Item { len, kind } => {
                    assert!(0 < len && len <= buf.len(), "an item of {len} bytes in a buffer of {}", buf.len());
                    let bytes = buf[..len].to_vec();
                    match (kind, out.items.last_mut()) {
                        (ItemKind::Space, Some(Item::Space(n))) => *n += len,
                        (ItemKind::Space, _) => out.items.push(Item::Space(len)),
                        (ItemKind::Open, _) => out.items.push(Item::Open(bytes, scanner.open().clone())),
                        (ItemKind::Element, _) => out.items.push(Item::Element(bytes, *scanner.head())),
                        (ItemKind::Close, _) => out.items.push(Item::Close(bytes)),
                    }
                    start += len;
                }
                Step::Refused(r) => {
                    assert_eq!(scanner.scan(buf), Step::Refused(r), "a refusal must be final");
                    out.refused = Some((r.fault, r.why, start + r.at));
                    out.left = document.len() - start;
                    out.root = scanner.root().clone();
                    return out;
                }
            }
        }
    }
    out.left = end - start;
    out.root = scanner.root().clone();
    out
}

/// Feeds a document whole.
pub(crate) fn whole(limits: Limits, document: &[u8]) -> Outcome {
    feed(limits, document, [])
}

/// Feeds a document whole, byte by byte and cut in two everywhere: all must come to the same.
pub(crate) fn any_cut(limits: Limits, document: &[u8]) -> Outcome {
    let expected = whole(limits, document);
    assert_eq!(feed(limits, document, std::iter::repeat(1)), expected, "bytewise {}", show(document));
    for cut in 1..document.len() {
        assert_eq!(feed(limits, document, [cut]), expected, "cut at {cut} {}", show(document));
    }
    expected
}

/// For messages.
pub(crate) fn show(document: &[u8]) -> String {
    let text = String::from_utf8_lossy(document);
    if text.len() > 600 { format!("{:?}...", text.chars().take(600).collect::<String>()) } else { format!("{text:?}") }
}

/// The one element of a stream with the usual header.
pub(crate) fn one(element: &str) -> (Vec<u8>, Head, Root) {
    let out = whole(Limits::AFTER_LOGIN, format!("{HEADER}{element}").as_bytes());
    let (bytes, head) = out.elements().next().unwrap();
    (bytes.to_vec(), *head, out.root.clone())
}
