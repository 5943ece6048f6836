//! What three parsers make of a document, as dumps that can be compared. Characters XML forbids part the pieces:
//! 1 element, 2 between namespace, local name and value, 3 attribute, 4 text, 5 end. Text between first-level elements is left out.
#![allow(dead_code, reason = "each test crate uses its part")]
#![expect(clippy::expect_used, reason = "test code")]

use crate::xml::{Item, Outcome};
use iqtap::xml::{Element, Node, normalise, parse_element};
use rxml::{Parse, WithOptions};
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A dump, or why the document was refused.
pub(crate) type Seen = Result<String, String>;

fn start(out: &mut String, ns: &str, name: &str, mut attrs: Vec<String>) {
    out.push_str(&format!("\u{1}{ns}\u{2}{name}"));
    attrs.sort_unstable();
    for attr in attrs {
        out.push_str(&format!("\u{3}{attr}"));
    }
}

fn attr(ns: &str, name: &str, value: &str) -> String {
    format!("{ns}\u{2}{name}\u{2}{value}")
}

fn tree(out: &mut String, element: &Element) {
    start(out, &element.ns, &element.name, element.attrs.iter().map(|a| attr(&a.ns, &a.name, &a.value)).collect());
    for node in &element.nodes {
        match node {
            Node::Element(child) => tree(out, child),
            Node::Text(text) => out.push_str(&format!("\u{4}{text}")),
        }
    }
    out.push('\u{5}');
}

/// Ours: the scanner, and xml-rs for what it let through. `Err` only if the two disagree; `None` if not all was accepted.
pub(crate) fn ours(outcome: &Outcome) -> Result<Option<String>, String> {
    if outcome.refused.is_some() || outcome.left > 0 {
        return Ok(None);
    }
    let (mut out, mut closed) = (String::new(), false);
    for item in &outcome.items {
        match item {
            Item::Space(_) => {}
            Item::Open(_, open) => {
                let attrs = open.attrs.iter().map(|a| attr(&a.ns, &a.name, &a.value)).collect();
                start(&mut out, &open.ns, &open.name, attrs);
            }
            Item::Element(bytes, head) => {
                let tidy = if head.untidy { normalise(bytes, &outcome.root) } else { Some((bytes.clone(), *head)) };
                let (bytes, head) = tidy.ok_or("normalising failed")?;
                if head.untidy {
                    return Err("normalised and still untidy".to_owned());
                }
                tree(&mut out, &parse_element(&bytes, &outcome.root, &head).map_err(|e| e.to_string())?);
            }
            Item::Close(_) => {
                closed = true;
                out.push('\u{5}');
            }
        }
    }
    Ok(closed.then_some(out))
}

/// rxml, in process.
pub(crate) fn rxml(document: &[u8]) -> Seen {
    let options = rxml::Options { max_token_length: 1 << 16, ..rxml::Options::default() };
    let mut parser = rxml::Parser::with_options(options);
    let (mut out, mut depth, mut text, mut rest) = (String::new(), 0, false, document);
    loop {
        match parser.parse(&mut rest, true).map_err(|e| format!("{e:?}"))? {
            None => return Ok(out),
            Some(rxml::Event::XmlDeclaration(..)) => {}
            Some(rxml::Event::StartElement(_, (ns, name), attrs)) => {
                depth += 1;
                text = false;
                let attrs = attrs.iter().map(|((ns, name), value)| attr(ns.as_str(), name.as_str(), value)).collect();
                start(&mut out, ns.as_str(), name.as_str(), attrs);
            }
            Some(rxml::Event::EndElement(_)) => {
                depth -= 1;
                text = false;
                out.push('\u{5}');
            }
            Some(rxml::Event::Text(_, data)) if depth > 1 && !data.is_empty() => {
                if !text {
                    out.push('\u{4}');
                }
                text = true;
                out.push_str(&data);
            }
            Some(rxml::Event::Text(..)) => {}
        }
    }
}

/// Expat, through Python, in one process for all documents.
pub(crate) struct Expat {
    child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
}

impl Expat {
    /// Starts it; or says what is missing.
    pub(crate) fn start() -> Result<Self, String> {
        let test = Command::new("python3").args(["-c", "import pyexpat"]).stderr(Stdio::null()).status();
        match test {
            Ok(status) if status.success() => {}
            Ok(_) => return Err("python3 has no pyexpat".to_owned()),
            Err(e) => return Err(format!("python3 cannot be started: {e}")),
        }
        let mut child = Command::new("python3")
            .args(["-c", include_str!("expat_oracle.py")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| e.to_string())?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        Ok(Self { child, input, output: output.ok_or("no standard output")? })
    }
    /// What it sees in each of the documents.
    pub(crate) fn see(&mut self, documents: &[&[u8]]) -> Vec<Seen> {
        let Self { input, output, .. } = self;
        let input = input.as_mut().expect("open until the end");
        std::thread::scope(|scope| {
            // Both pipes would be full at some time: one writes, the other reads.
            scope.spawn(move || {
                for document in documents {
                    let length = u32::try_from(document.len()).expect("small documents");
                    input.write_all(&length.to_be_bytes()).expect("expat oracle gone");
                    input.write_all(document).expect("expat oracle gone");
                }
                input.flush().expect("expat oracle gone");
            });
            documents.iter().map(|_| answer(output)).collect()
        })
    }
}

fn answer(output: &mut ChildStdout) -> Seen {
    let mut length = [0; 4];
    output.read_exact(&mut length).expect("expat oracle gone");
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    output.read_exact(&mut answer).expect("expat oracle gone");
    let answer = String::from_utf8(answer).expect("UTF-8 from the expat oracle");
    match answer.split_at(1) {
        ("A", dump) => Ok(dump.to_owned()),
        (_, why) => Err(why.to_owned()),
    }
}

impl Drop for Expat {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}
