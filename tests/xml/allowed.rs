//! What another parser may accept that the scanner refuses, and why; and what rxml must be spared.

use crate::xml::Outcome;
use iqtap::xml::Fault;

/// Who may accept what the scanner refuses.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Who {
    Expat,
    Rxml,
    Both,
}
use Who::{Both, Expat as ExpatOnly, Rxml as RxmlOnly};

/// Fault and reason of the scanner; who may accept such a document; why that is right.
pub(crate) const ALLOWED: &[(Fault, &str, Who, &str)] = &[
    // Rules of XMPP or of the design, not of XML.
    (Fault::Limit, "", Both, "limits are ours"),
    (Fault::Format, "", Both, "RFC 6120 4.9.3.1: only white space between stanzas; a stream needs a body"),
    (Fault::Namespace, "", Both, "security.md 4: first-level elements in no namespace or in jabber:server"),
    (Fault::Nested, "", Both, "security.md 1 (CVE-2022-20917): streams namespace inside a stanza"),
    (Fault::Encoding, "", ExpatOnly, "RFC 6120 11.6: UTF-8 only"),
    // Refuse the union.
    (Fault::Prefix, "an element with the prefix xml", Both, "xml-rs refuses it"),
    (Fault::Prefix, "a reserved word as default namespace", Both, "xml-rs refuses it"),
    (
        Fault::Prefix,
        "white space in a namespace name",
        Both,
        "expat and fast_xml refuse it, each with its own idea of which",
    ),
    (Fault::Prefix, "a reserved namespace name bound", RxmlOnly, "Namespaces in XML 3; rxml misses the xmlns name"),
    (Fault::Prefix, "a reserved prefix declared", RxmlOnly, "Namespaces in XML 3"),
    (Fault::NotWellFormed, "a byte order mark", ExpatOnly, "RFC 6120 11.6: U+FEFF is a character"),
    (Fault::NotWellFormed, "an XML version other than 1.0", ExpatOnly, "expat reads 1.x as 1.0; xml-rs would read 1.1"),
    (Fault::NotWellFormed, "an attribute twice", RxmlOnly, "rxml takes the last of two xmlns"),
    (Fault::NotWellFormed, "name", RxmlOnly, "names of XML 1.0, fifth edition"),
];

/// Whether what the scanner has refused may be accepted by that one.
pub(crate) fn allowed(outcome: &Outcome, who: Who) -> bool {
    match outcome.refused {
        Some((fault, why, _)) => {
            ALLOWED.iter().any(|(f, part, by, _)| *f == fault && why.contains(part) && (*by == who || *by == Both))
        }
        None => false,
    }
}

/// rxml refuses three things that are legal: a raw CR in a value (so it gets line ends as XML 1.0 2.11 has them), white space
/// before the root, and `standalone` without `encoding` (so a declaration we have accepted is left out).
pub(crate) fn for_rxml(document: &[u8], accepted: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(document.len());
    let mut document = document;
    if accepted
        && document.starts_with(b"<?")
        && let Some(end) = document.windows(2).position(|w| w == b"?>")
    {
        document = &document[end + 2..];
    }
    // White space as XML has it (2.3): a form feed, which Rust counts too, is forbidden.
    let white = document.iter().take_while(|byte| b" \t\r\n".contains(byte)).count();
    if !document[white..].starts_with(b"<?") {
        document = &document[white..];
    }
    for (i, &b) in document.iter().enumerate() {
        match b {
            b'\r' if document.get(i + 1) == Some(&b'\n') => {}
            b'\r' => out.push(b'\n'),
            b => out.push(b),
        }
    }
    out
}
