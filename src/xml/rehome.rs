//! Moving an element under another stream root: what its own root declared is declared on the element itself.
//!
//! Takes bytes the scanner has accepted and their root, gives bytes that mean the same under a root with
//! `xmlns='jabber:client'` and `xmlns:stream` declared. Builds no tree, so it grows by the declarations and no more.

use super::{CLIENT_NS, Root, STREAM_NS, escape_attr};
use bytes::BytesMut;

/// The element, with the root's declarations put into its start tag (but for those it makes itself, and those that
/// hold everywhere). See RFC 6120 §4.8.5: prefixes do not travel, names do.
#[must_use]
pub fn rehome(bytes: &[u8], root: &Root) -> BytesMut {
    let (name_end, own) = start_tag(bytes);
    let mut out = BytesMut::with_capacity(bytes.len() + 64);
    out.extend_from_slice(bytes.get(..name_end).unwrap_or(bytes));
    let default = root.decls.iter().rev().find(|(prefix, _)| prefix.is_empty()).map_or("", |(_, ns)| ns.as_str());
    let prefixed = root.decls.iter().filter(|(prefix, _)| !prefix.is_empty());
    for (prefix, ns) in prefixed.map(|(prefix, ns)| (prefix.as_str(), ns.as_str())).chain([("", default)]) {
        let everywhere = (prefix.is_empty() && ns == CLIENT_NS) || (prefix == "stream" && ns == STREAM_NS);
        if everywhere || own.contains(&prefix.as_bytes()) {
            continue;
        }
        out.extend_from_slice(if prefix.is_empty() { b" xmlns" } else { b" xmlns:" });
        out.extend_from_slice(prefix.as_bytes());
        out.extend_from_slice(b"='");
        escape_attr(ns, &mut out);
        out.extend_from_slice(b"'");
    }
    out.extend_from_slice(bytes.get(name_end..).unwrap_or_default());
    out
}

/// Where the name in the first start tag ends, and the prefixes that tag declares (empty: the default namespace).
fn start_tag(bytes: &[u8]) -> (usize, Vec<&[u8]>) {
    let ends_name = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | b'/' | b'>' | b'=');
    let name_end = bytes.iter().position(ends_name).unwrap_or(bytes.len());
    let mut declared = Vec::new();
    let mut rest = bytes.get(name_end..).unwrap_or_default();
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() || rest.starts_with(b">") || rest.starts_with(b"/") {
            return (name_end, declared);
        }
        let end = rest.iter().position(ends_name).unwrap_or(rest.len());
        match rest.get(..end).unwrap_or_default() {
            b"xmlns" => declared.push(&b""[..]),
            name => declared.extend(name.strip_prefix(b"xmlns:")),
        }
        rest = behind_value(rest.get(end..).unwrap_or_default());
    }
}

/// What stands behind `= 'value'`.
fn behind_value(rest: &[u8]) -> &[u8] {
    let quoted = rest.trim_ascii_start().strip_prefix(b"=").unwrap_or_default().trim_ascii_start();
    let Some((quote, inside)) = quoted.split_first() else { return &[] };
    let end = memchr::memchr(*quote, inside).map_or(inside.len(), |at| at + 1);
    inside.get(end..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_root_declared_is_declared_again() {
        let root = |decls: &[(&str, &str)]| Root {
            decls: decls.iter().map(|(p, n)| ((*p).to_owned(), (*n).to_owned())).collect(),
        };
        let classic = [("", CLIENT_NS), ("stream", STREAM_NS)];
        let more = [("", CLIENT_NS), ("stream", STREAM_NS), ("p", "urn:'p'")];
        let bare = [("s", STREAM_NS)];
        for (root, input, expected) in [
            (root(&classic), "<iq/>", "<iq/>"),
            (root(&more), "<iq><p:a/></iq>", "<iq xmlns:p='urn:&apos;p&apos;'><p:a/></iq>"),
            (
                root(&more),
                "<iq a = \"xmlns:p='x'\" xmlns:p = 'q' b='>'/>",
                "<iq a = \"xmlns:p='x'\" xmlns:p = 'q' b='>'/>",
            ),
            (
                root(&bare),
                "<iq xmlns='jabber:client'>x</iq>",
                "<iq xmlns:s='http://etherx.jabber.org/streams' xmlns='jabber:client'>x</iq>",
            ),
            (
                root(&bare),
                "<c:iq xmlns:c='jabber:client'><a/></c:iq>",
                "<c:iq xmlns:s='http://etherx.jabber.org/streams' xmlns='' xmlns:c='jabber:client'><a/></c:iq>",
            ),
        ] {
            assert_eq!(rehome(input.as_bytes(), &root), expected.as_bytes());
        }
    }
}
