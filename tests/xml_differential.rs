//! The scanner against expat (through Python) and rxml, and against xml-rs for what it lets through.
//!
//! What the scanner accepts, all must accept with the same tree. What it refuses and another accepts must be in
//! [`ALLOWED`], with a reason. `IQTAP_DEEP=1` runs a hundred times as many documents; `IQTAP_SEED=n` begins elsewhere.

#[path = "xml/generate.rs"]
mod generate;
#[path = "xml/oracles.rs"]
mod oracles;
mod xml;

use generate::{Dice, document, mutate};
use iqtap::xml::{Fault, Limits};
use oracles::{Expat, Seen, ours, rxml};
use std::collections::BTreeMap;
use xml::{Outcome, show, whole};

/// Who may accept what the scanner refuses.
#[derive(Clone, Copy, PartialEq)]
enum Who {
    Expat,
    Rxml,
    Both,
}
use Who::{Both, Expat as ExpatOnly, Rxml as RxmlOnly};

/// Fault and reason of the scanner; who may accept such a document; why that is right.
const ALLOWED: &[(Fault, &str, Who, &str)] = &[
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

fn allowed(outcome: &Outcome, who: Who) -> bool {
    match outcome.refused {
        Some((fault, why, _)) => {
            ALLOWED.iter().any(|(f, part, by, _)| *f == fault && why.contains(part) && (*by == who || *by == Both))
        }
        None => false,
    }
}

/// rxml refuses three things that are legal: a raw CR in a value (so it gets line ends as XML 1.0 2.11 has them), white space
/// before the root, and `standalone` without `encoding` (so a declaration we have accepted is left out).
fn for_rxml(document: &[u8], accepted: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(document.len());
    let mut document = document;
    if accepted
        && document.starts_with(b"<?")
        && let Some(end) = document.windows(2).position(|w| w == b"?>")
    {
        document = &document[end + 2..];
    }
    if !document.trim_ascii_start().starts_with(b"<?") {
        document = document.trim_ascii_start();
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

struct Judge {
    accepted: usize,
    counts: BTreeMap<String, usize>,
    wrong: Vec<String>,
}

impl Judge {
    fn hear(&mut self, document: &[u8], who: Who, name: &str, outcome: &Outcome, ours: Option<&str>, other: &Seen) {
        match (ours, other) {
            (Some(ours), Ok(other)) if ours == other => {}
            (Some(ours), Ok(other)) => {
                self.wrong.push(format!("{name} sees another tree in {}\n{ours:?}\n{other:?}", show(document)));
            }
            (Some(_), Err(why)) => {
                self.wrong.push(format!("the scanner accepts, {name} refuses ({why}): {}", show(document)));
            }
            (None, Err(_)) => {}
            (None, Ok(_)) if allowed(outcome, who) => {
                let (fault, why, _) = outcome.refused.unwrap_or((Fault::Limit, "", 0));
                *self.counts.entry(format!("{fault:?}, {why}, accepted by {name}")).or_default() += 1;
            }
            (None, Ok(_)) => {
                let refused = outcome.refused;
                self.wrong.push(format!("the scanner refuses ({refused:?}), {name} accepts: {}", show(document)));
            }
        }
    }
}

#[test]
fn three_parsers() {
    let deep = std::env::var("IQTAP_DEEP").is_ok_and(|v| v == "1");
    let first = std::env::var("IQTAP_SEED").ok().and_then(|v| v.parse::<u64>().ok()).unwrap_or(1);
    let mut expat = match Expat::start() {
        Ok(expat) => Some(expat),
        Err(why) if std::env::var("CI").is_ok_and(|v| v == "true") => panic!("expat must be here in CI: {why}"),
        Err(why) => {
            println!("SKIPPED: the comparison with expat, because {why}");
            None
        }
    };
    let mut judge = Judge { accepted: 0, counts: BTreeMap::new(), wrong: Vec::new() };
    let batches = if deep { 1600 } else { 16 };
    for batch in 0..batches {
        let seeds = first + batch * 500..first + (batch + 1) * 500;
        println!("seeds {seeds:?}");
        let documents: Vec<Vec<u8>> = seeds
            .map(|seed| {
                let mut dice = Dice::new(seed);
                let mut document = document(&mut dice);
                if seed % 3 != 0 {
                    mutate(&mut dice, &mut document);
                }
                document
            })
            .collect();
        compare(&mut judge, expat.as_mut(), &documents);
        let wrong = &judge.wrong;
        assert!(
            wrong.is_empty(),
            "{} wrong, such as\n{}",
            wrong.len(),
            wrong.iter().take(12).cloned().collect::<Vec<_>>().join("\n")
        );
    }
    println!("{} accepted; refused by the scanner only:", judge.accepted);
    for (what, n) in &judge.counts {
        println!("{n:7}  {what}");
    }
    assert!(judge.accepted > 1000, "the generator makes too few good documents: {}", judge.accepted);
}

/// Every character of the basic plane as first and as second character of a name. Only with `IQTAP_DEEP=1`.
#[test]
fn every_name_character() {
    let deep = std::env::var("IQTAP_DEEP").is_ok_and(|v| v == "1");
    let Some(mut expat) = Expat::start().ok().filter(|_| deep) else { return };
    let mut judge = Judge { accepted: 0, counts: BTreeMap::new(), wrong: Vec::new() };
    let all: Vec<Vec<u8>> = ('\u{1}'..='\u{FFFD}')
        .flat_map(|c| {
            let inside = |element: String| format!("{}{element}</stream:stream>", xml::HEADER).into_bytes();
            [inside(format!("<{c}/>")), inside(format!("<a {c}=''/>")), inside(format!("<a{c}/>"))]
        })
        .collect();
    for documents in all.chunks(1000) {
        compare(&mut judge, Some(&mut expat), documents);
    }
    let wrong = &judge.wrong;
    assert!(
        wrong.is_empty(),
        "{} wrong, such as\n{}",
        wrong.len(),
        wrong.iter().take(12).cloned().collect::<Vec<_>>().join("\n")
    );
    println!("{} accepted; {:?}", judge.accepted, judge.counts);
}

fn compare(judge: &mut Judge, expat: Option<&mut Expat>, documents: &[Vec<u8>]) {
    let slices: Vec<&[u8]> = documents.iter().map(Vec::as_slice).collect();
    let by_expat = expat.map(|e| e.see(&slices));
    for (i, document) in documents.iter().enumerate() {
        let outcome = whole(Limits::AFTER_LOGIN, document);
        let ours = ours(&outcome).unwrap_or_else(|why| {
            judge.wrong.push(format!("{why}: {}", show(document)));
            None
        });
        judge.accepted += usize::from(ours.is_some());
        if let Some(seen) = by_expat.as_ref().and_then(|all| all.get(i)) {
            judge.hear(document, Who::Expat, "expat", &outcome, ours.as_deref(), seen);
        }
        judge.hear(document, Who::Rxml, "rxml", &outcome, ours.as_deref(), &rxml(&for_rxml(document, ours.is_some())));
    }
}
