//! Whether a living stanza says what a recorded one says.
//!
//! Not compared: the order of attributes, white space between elements, the sentence for people in an error, `xml:lang` of the stanza, stamps and
//! other readings of a clock, secrets that were replaced, and the order of what is a set (the children of a stanza, the items of a roster).
//! Ids and addresses are held together by [`Ties`]. All else must be equal.

use super::tape::{is_redacted, is_stanza};
use super::ties::{Ties, is_id};
use crate::xml::{Attr, Element, Node};
use crate::xmpp::{Side, ns};

/// Compares; what is tied by it stays tied only if they agree. `sender` sent both. The id of an IQ is not looked at, who compares
/// knows which request is meant; nor is that of what a client sends, for it chooses it.
///
/// # Errors
/// Where and how they differ, for people.
pub fn unify(ties: &mut Ties, sender: Side, recorded: &Element, live: &Element) -> Result<(), String> {
    let mark = ties.mark();
    let done = Unifying { ties, sender }.element(recorded, live, true);
    match done {
        Ok(()) => Ok(()),
        Err(at) => {
            ties.back_to(mark);
            Err(format!("at {}: {}", at.path, at.why))
        }
    }
}

/// Where and how two trees differ.
struct Differs {
    path: String,
    why: String,
}

struct Unifying<'a> {
    ties: &'a mut Ties,
    sender: Side,
}

impl Unifying<'_> {
    fn element(&mut self, recorded: &Element, live: &Element, top: bool) -> Result<(), Differs> {
        let here = |why: String| Differs { path: recorded.name.clone(), why };
        if !live.is(&recorded.ns, &recorded.name) {
            let why =
                format!("<{}/> of {} was recorded, <{}/> of {} came", recorded.name, recorded.ns, live.name, live.ns);
            return Err(here(why));
        }
        self.attributes(recorded, live, top && is_stanza(recorded)).map_err(here)?;
        let (wanted, there) = (nodes(recorded), nodes(live));
        if is_clock(recorded) || matches!(wanted.as_slice(), [Node::Text(text)] if is_redacted(text)) {
            return if wanted.is_empty() == there.is_empty() { Ok(()) } else { Err(here("it is empty".to_owned())) };
        }
        let done = if top || is_set(recorded) {
            self.any_order(&wanted, &there)
        } else {
            self.in_order(recorded, &wanted, &there)
        };
        done.map_err(|at| match at.path.as_str() {
            "" => here(at.why),
            below => Differs { path: format!("{}/{below}", recorded.name), why: at.why },
        })
    }

    fn attributes(&mut self, recorded: &Element, live: &Element, stanza: bool) -> Result<(), String> {
        let own_id = recorded.name == "iq" || self.sender == Side::Client;
        let skipped = |attr: &Attr| {
            stanza && attr.ns == ns::XML && attr.name == "lang"
                || stanza && own_id && attr.ns.is_empty() && attr.name == "id"
                || stanza && attr.ns.is_empty() && matches!(attr.name.as_str(), "to" | "from")
                // A mark of its server's, which it may honour or not (RFC 6121 §2.6).
                || recorded.is(ns::ROSTER, "query") && attr.ns.is_empty() && attr.name == "ver"
        };
        if stanza {
            for name in ["to", "from"] {
                self.peer(name, recorded.attr(name), live.attr(name))?;
            }
        }
        for want in recorded.attrs.iter().filter(|attr| !skipped(attr)) {
            let Some(got) = live.attr_ns(&want.ns, &want.name) else {
                return Err(format!("attribute {} is missing", want.name));
            };
            if !self.value(recorded, want, got) {
                let expected = self.ties.address(&want.value);
                return Err(format!("attribute {}: '{expected}' was recorded, '{got}' came", want.name));
            }
        }
        let known = |attr: &Attr| recorded.attr_ns(&attr.ns, &attr.name).is_some();
        match live.attrs.iter().find(|attr| !skipped(attr) && !known(attr)) {
            Some(more) => Err(format!("attribute {}='{}' was not recorded", more.name, more.value)),
            None => Ok(()),
        }
    }

    /// An address of the stanza: without one it is one's own.
    fn peer(&mut self, name: &str, recorded: Option<&str>, live: Option<&str>) -> Result<(), String> {
        if recorded.is_none() && live.is_none() {
            return Ok(());
        }
        // Whose address is left out: the client's own, as who sends or as who receives; else the account's.
        let full = (name == "from") == (self.sender == Side::Client);
        let own = |me: &super::Me| if full { me.full.clone() } else { me.bare.clone() };
        let wanted = recorded.map_or_else(|| own(self.ties.recorded()), str::to_owned);
        let got = live.map_or_else(|| own(self.ties.live()), str::to_owned);
        let me = self.ties.live();
        let bare_is_full = full && [&me.full, &me.bare].contains(&&got) && {
            let recorded = self.ties.recorded();
            [&recorded.full, &recorded.bare].contains(&&wanted)
        };
        if bare_is_full && (recorded.is_none() || live.is_none()) {
            return Ok(());
        }
        if self.ties.same_address(&wanted, &got) {
            return Ok(());
        }
        let expected = self.ties.address(&wanted).into_owned();
        Err(format!("attribute {name}: '{expected}' was recorded, '{got}' came"))
    }

    fn value(&mut self, element: &Element, want: &Attr, got: &str) -> bool {
        if want.value == got || is_redacted(&want.value) {
            return true;
        }
        match want.name.as_str() {
            name if is_id(element, &want.ns, name) => self.ties.same_id(&want.value, got),
            "stamp" => true,
            "seconds" if element.ns == ns::LAST => true,
            "h" if element.ns.starts_with("urn:xmpp:sm:") => true,
            "jid" | "by" | "from" | "to" => self.ties.same_address(&want.value, got),
            _ => self.ties.address(&want.value) == got,
        }
    }

    fn text(&mut self, element: &Element, recorded: &str, live: &str) -> Result<(), Differs> {
        let same = recorded == live
            || is_redacted(recorded)
            || element.ns == RSM
                && element.name != "max"
                && element.name != "count"
                && self.ties.same_id(recorded, live)
            || element.name != "body" && (self.ties.address(recorded) == live || recorded.trim() == live.trim())
            || element.name == "jid" && self.ties.same_address(recorded, live);
        if same {
            return Ok(());
        }
        Err(Differs {
            path: String::new(),
            why: format!("the text '{}' was recorded, '{}' came", cut(recorded), cut(live)),
        })
    }

    fn in_order(&mut self, element: &Element, wanted: &[&Node], there: &[&Node]) -> Result<(), Differs> {
        for (at, want) in wanted.iter().enumerate() {
            match (want, there.get(at)) {
                (Node::Element(want), Some(Node::Element(got))) => self.element(want, got, false)?,
                (Node::Text(want), Some(Node::Text(got))) => self.text(element, want, got)?,
                (want, _) => return Err(missing(want)),
            }
        }
        there.get(wanted.len()).map_or(Ok(()), |more| Err(surplus(more)))
    }

    /// Each finds one that is its like; where none is, the one of its name that would have been says how it differs.
    fn any_order(&mut self, wanted: &[&Node], there: &[&Node]) -> Result<(), Differs> {
        let mut left: Vec<&Node> = there.to_vec();
        for want in wanted {
            let mut nearest = None;
            let mut found = None;
            for (at, got) in left.iter().enumerate() {
                let mark = self.ties.mark();
                let same = match (want, got) {
                    (Node::Element(want), Node::Element(got)) if got.is(&want.ns, &want.name) => {
                        self.element(want, got, false)
                    }
                    (Node::Text(want), Node::Text(got)) if want.trim() == got.trim() => Ok(()),
                    _ => continue,
                };
                match same {
                    Ok(()) => {
                        found = Some(at);
                        break;
                    }
                    Err(differs) => {
                        self.ties.back_to(mark);
                        nearest = nearest.or(Some(differs));
                    }
                }
            }
            match found {
                Some(at) => drop(left.remove(at)),
                None if wanted.len() == there.len() => return Err(nearest.unwrap_or_else(|| missing(want))),
                None => return Err(missing(want)),
            }
        }
        left.first().map_or(Ok(()), |more| Err(surplus(more)))
    }
}

/// Result set management (XEP-0059).
const RSM: &str = "http://jabber.org/protocol/rsm";

/// The nodes that say something.
fn nodes(element: &Element) -> Vec<&Node> {
    let mixed = element.children().next().is_some();
    let says = |node: &&Node| match node {
        Node::Text(text) => !mixed || !text.trim().is_empty(),
        Node::Element(child) => {
            !(child.name == "text" && [ns::STANZA_ERRORS, ns::STREAM_ERRORS].contains(&child.ns.as_str()))
        }
    };
    element.nodes.iter().filter(says).collect()
}

/// Whether it is a reading of a clock.
fn is_clock(element: &Element) -> bool {
    matches!(
        (element.ns.as_str(), element.name.as_str()),
        (ns::TIME, "utc" | "tzo") | ("jabber:iq:time", "utc" | "tz" | "display")
    )
}

/// Whether the order of what is inside means nothing.
fn is_set(element: &Element) -> bool {
    matches!(
        (element.ns.as_str(), element.name.as_str()),
        (ns::DISCO_INFO | ns::DISCO_ITEMS | ns::ROSTER, _)
            | (ns::BLOCKING, "blocklist" | "block" | "unblock")
            | (ns::STREAM, "features")
            | (ns::VCARD, "vCard")
            | (ns::CLIENT, "error")
            | ("http://jabber.org/protocol/muc#user", "x")
    )
}

fn missing(node: &Node) -> Differs {
    let why = match node {
        Node::Element(child) => format!("<{}{}/> is missing", child.name, told(child)),
        Node::Text(text) => format!("the text '{}' is missing", cut(text)),
    };
    Differs { path: String::new(), why }
}

fn surplus(node: &Node) -> Differs {
    let why = match node {
        Node::Element(child) => format!("<{}{}/> was not recorded", child.name, told(child)),
        Node::Text(text) => format!("the text '{}' was not recorded", cut(text)),
    };
    Differs { path: String::new(), why }
}

/// The attributes of a child, to know it by.
fn told(element: &Element) -> String {
    element.attrs.iter().take(4).map(|attr| format!(" {}='{}'", attr.name, cut(&attr.value))).collect()
}

fn cut(text: &str) -> String {
    const LONGEST: usize = 80;
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST).chain(['…']).collect()
}
