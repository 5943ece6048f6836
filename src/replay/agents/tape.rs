//! [`Tape`]: a recorded session as a play for two: who sent what, in order, after the client was bound.
//!
//! Takes a capture's events, gives one tape for each session. Of our own captures the client's leg counts; of others each conversation is a
//! session. Which answer belongs to which request is settled here. Must not guess: a session that goes on from another one, or whose
//! bind was not recorded, has no tape.

use crate::capture::read::{Event, Item, ItemKind};
use crate::session::Dir;
use crate::xml::{Element, Node, OpenTag, Scanner, Step, normalise, parse_element};
use crate::xmpp::{Header, Side, Timestamp, jid, ns};
use std::collections::BTreeMap;

/// What [`Tape::asked`] is taken from is an element of a stranger; it is no longer than an address may be (RFC 7622 §3.4).
const RESOURCE_BYTES: usize = 1023;

/// An element that one of the two sent.
#[derive(Clone, Debug)]
pub struct Turn {
    /// Who.
    pub from: Side,
    /// When.
    pub at: Timestamp,
    /// The packet, counted as Wireshark does.
    pub frame: u64,
    /// What.
    pub element: Element,
    /// The request that it answers, or the answer to it: its place in [`Tape::turns`].
    pub partner: Option<usize>,
}

/// A session.
#[derive(Clone, Debug, Default)]
pub struct Tape {
    /// Its number in the capture.
    pub number: u64,
    /// The address that was bound.
    pub jid: String,
    /// The resource that the client had asked for.
    pub asked: Option<String>,
    /// The language of the client's stream.
    pub lang: Option<String>,
    /// What the server offered before the bind.
    pub features: Option<Element>,
    /// All that came after it.
    pub turns: Vec<Turn>,
    /// What of it is missing in the capture, for people.
    pub lost: Vec<String>,
}

/// Reads tapes.
#[derive(Debug, Default)]
pub struct Tapes {
    sessions: BTreeMap<(u32, u64), Reading>,
}

/// A tape that is being read.
#[derive(Debug, Default)]
struct Reading {
    tape: Tape,
    /// The ids of requests to bind.
    binds: Vec<String>,
    closed: bool,
    resumed: bool,
}

impl Tapes {
    /// Something happened in the capture.
    pub fn event(&mut self, event: &Event) {
        let (talk, what) = match event {
            Event::Item(item) => (&item.talk, None),
            Event::Hole { talk, lost, .. } => (talk, Some(format!("{lost} bytes were not recorded"))),
            Event::Trouble(trouble) => match &trouble.talk {
                Some(talk) => (talk, Some(trouble.problem.to_string())),
                None => return,
            },
            Event::Begins { .. } | Event::Ends { .. } | Event::Happened { .. } => return,
        };
        let key = match &talk.ours {
            Some(ours) if ours.side == Side::Server => return,
            Some(ours) => (ours.section, ours.session),
            None => (0, talk.number),
        };
        let reading = self.sessions.entry(key).or_default();
        reading.tape.number = key.1;
        match (event, what) {
            (Event::Item(item), _) => reading.item(item),
            (_, Some(what)) => reading.tape.lost.push(what),
            _ => {}
        }
    }

    /// The sessions by their numbers: their tapes, or why they have none.
    #[must_use]
    pub fn finish(self) -> Vec<(u64, Result<Tape, String>)> {
        self.sessions.into_iter().map(|((_, number), reading)| (number, reading.finish())).collect()
    }
}

impl Tape {
    /// The last place before which everything of one client's turn stands: that of the next of its turns.
    #[must_use]
    pub fn next_of_client(&self, after: usize) -> usize {
        let behind = self.turns.iter().enumerate().skip(after);
        behind.into_iter().find(|(_, turn)| turn.from == Side::Client).map_or(self.turns.len(), |(at, _)| at)
    }
}

impl Reading {
    fn item(&mut self, item: &Item) {
        let from = match item.way() {
            (Side::Client, Dir::In) => Side::Client,
            _ => Side::Server,
        };
        match item.kind {
            ItemKind::Header => self.header(from, item),
            ItemKind::Close => self.closed |= from == Side::Client,
            ItemKind::Element if !self.closed => match tree(item) {
                Some(element) => self.element(from, item, element),
                None => self.tape.lost.push("an element cannot be read".to_owned()),
            },
            ItemKind::Refused { why, .. } => self.tape.lost.push(format!("what is no XML: {why}")),
            ItemKind::Element | ItemKind::Space => {}
        }
    }

    fn header(&mut self, from: Side, item: &Item) {
        let mut scanner = Scanner::new(crate::xml::Limits::AFTER_LOGIN);
        if from == Side::Client && matches!(scanner.scan(&item.bytes), Step::Item { .. }) {
            let open: &OpenTag = scanner.open();
            self.tape.lang = Header::read(open).ok().and_then(|header| header.lang);
        }
    }

    fn element(&mut self, from: Side, item: &Item, element: Element) {
        if !self.tape.jid.is_empty() {
            let turn = Turn { from, at: item.at, frame: item.frame, element, partner: None };
            return self.tape.turns.push(turn);
        }
        match (from, element.ns.as_str(), element.name.as_str()) {
            (Side::Client, ns::CLIENT, "iq") => {
                if let (Some(bind), Some(id)) = (element.child(ns::BIND, "bind"), element.attr("id")) {
                    let asked = bind.child(ns::BIND, "resource").map(Element::text);
                    self.tape.asked = asked.filter(|asked| !asked.is_empty() && asked.len() <= RESOURCE_BYTES);
                    self.binds.push(id.to_owned());
                }
            }
            (Side::Server, ns::CLIENT, "iq")
                if element.attr("id").is_some_and(|id| self.binds.iter().any(|b| b == id)) =>
            {
                let jid =
                    element.child(ns::BIND, "bind").and_then(|bind| bind.child(ns::BIND, "jid")).map(Element::text);
                self.tape.jid = jid.map(|jid| jid.trim().to_owned()).unwrap_or_default();
            }
            (Side::Server, ns::SASL2, "success") => {
                let jid = element.child(ns::SASL2, "authorization-identifier").map(Element::text);
                self.tape.jid = jid.filter(|jid| jid.contains('/')).unwrap_or_default();
            }
            (Side::Server, ns::STREAM, "features") => self.tape.features = Some(element),
            (Side::Server, sm, "resumed") if sm.starts_with("urn:xmpp:sm:") => self.resumed = true,
            _ => {}
        }
    }

    fn finish(self) -> Result<Tape, String> {
        let mut tape = self.tape;
        if tape.jid.is_empty() {
            let why = if self.resumed { "it goes on from an earlier session" } else { "no resource is bound in it" };
            return Err(why.to_owned());
        }
        pair(&mut tape.turns, jid::bare(&tape.jid).to_owned().as_str());
        Ok(tape)
    }
}

fn tree(item: &Item) -> Option<Element> {
    if item.head.untidy {
        let (bytes, head) = normalise(&item.bytes, &item.root)?;
        return parse_element(&bytes, &item.root, &head).ok();
    }
    parse_element(&item.bytes, &item.root, &item.head).ok()
}

/// Finds the request of each answer: of those with its id, the first to whom it was sent, or else the first.
fn pair(turns: &mut [Turn], me: &str) {
    let mut open: BTreeMap<(Side, String), Vec<usize>> = BTreeMap::new();
    for at in 0..turns.len() {
        let Some(turn) = turns.get(at) else { return };
        let (Some(id), true) = (turn.element.attr("id"), turn.element.is(ns::CLIENT, "iq")) else { continue };
        if is_request(&turn.element) {
            open.entry((turn.from, id.to_owned())).or_default().push(at);
            continue;
        }
        let Some(waiting) = open.get_mut(&(turn.from.other(), id.to_owned())) else { continue };
        let from = turn.element.attr("from").unwrap_or(me);
        let fits = |request: &usize| {
            let request = turns.get(*request).map(|request| request.element.attr("to").unwrap_or(me));
            request.is_some_and(|to| jid::same(to, from))
        };
        let found = waiting.iter().position(fits).unwrap_or(0);
        if waiting.is_empty() {
            continue;
        }
        let request = waiting.remove(found);
        for (one, other) in [(at, request), (request, at)] {
            if let Some(turn) = turns.get_mut(one) {
                turn.partner = Some(other);
            }
        }
    }
}

/// Whether it is an IQ that wants an answer.
pub(super) fn is_request(element: &Element) -> bool {
    element.is(ns::CLIENT, "iq") && matches!(element.attr("type"), Some("get" | "set"))
}

/// Whether it is an IQ that is one.
pub(super) fn is_answer(element: &Element) -> bool {
    element.is(ns::CLIENT, "iq") && matches!(element.attr("type"), Some("result" | "error"))
}

/// Whether it is a stanza at all.
pub(super) fn is_stanza(element: &Element) -> bool {
    element.ns == ns::CLIENT && matches!(element.name.as_str(), "message" | "presence" | "iq")
}

/// Whether a secret in it was replaced when it was recorded.
pub(super) fn has_redacted(element: &Element) -> bool {
    element.attrs.iter().any(|attr| is_redacted(&attr.value))
        || element.nodes.iter().any(|node| match node {
            Node::Text(text) => is_redacted(text),
            Node::Element(child) => has_redacted(child),
        })
}

/// What stands for a secret: `[redacted 6 bytes]`, or that in base64.
pub(super) fn is_redacted(text: &str) -> bool {
    use base64::Engine as _;
    let is_marker = |text: &str| {
        let count = text.trim().strip_prefix("[redacted ").and_then(|rest| rest.strip_suffix(" bytes]"));
        count.is_some_and(|count| !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit()))
    };
    is_marker(text)
        || text.starts_with("W3JlZGFjdGVk")
            && base64::engine::general_purpose::STANDARD
                .decode(text.trim())
                .is_ok_and(|bytes| std::str::from_utf8(&bytes).is_ok_and(is_marker))
}

/// A tape written down: `C ` or `S ` before each element, a second between each two.
#[cfg(test)]
pub(super) fn tape_of(jid: &str, lines: &[&str]) -> Tape {
    let turn = |(at, line): (usize, &&str)| {
        let (from, text) = line.split_once(' ').unwrap();
        Turn {
            from: if from == "C" { Side::Client } else { Side::Server },
            at: Timestamp(at as u64 * 1_000_000),
            frame: at as u64 + 1,
            element: crate::xml::parse_str(text).unwrap(),
            partner: None,
        }
    };
    let mut turns: Vec<Turn> = lines.iter().enumerate().map(turn).collect();
    pair(&mut turns, jid::bare(jid));
    Tape { jid: jid.to_owned(), turns, ..Tape::default() }
}
