//! [`Mock`]: the server's part of a [`Tape`], for one client that is bound. No I/O: stanzas in, stanzas out.
//!
//! What the client sends is looked for among what was recorded of the client: the same but for ids. The first of its kind that was not used yet
//! is taken, or else the last. To it belong its answer and what the server sent of itself between it and the client's next stanza,
//! in that order in which they were recorded; all of it is said with the ids and addresses of the living client. When one is used again,
//! its answer alone is said again.

use super::tape::{Tape, Turn, is_answer, is_request, is_stanza};
use super::ties::{Me, Ties};
use super::unify::unify;
use crate::xml::Element;
use crate::xmpp::error::error_reply;
use crate::xmpp::{Condition, Side, StanzaError, ns};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What becomes of a request that was not recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Miss {
    /// It is answered `service-unavailable`.
    #[default]
    Error,
    /// It is not answered.
    Wait,
    /// A living server is asked: see [`Mock::forwards`].
    Forward,
}

/// Requests of ours that may be under way.
const MOST_ASKED: usize = 1000;

/// See the module.
#[derive(Debug)]
pub struct Mock {
    tape: Arc<Tape>,
    ties: Ties,
    miss: Miss,
    /// Which turns were used.
    used: Vec<bool>,
    /// Our requests, by their id: which turn.
    asked: BTreeMap<String, usize>,
    misses: u64,
    /// Requests for a living server.
    forward: Vec<Element>,
}

impl Mock {
    /// For a client that is bound to `live`.
    #[must_use]
    pub fn new(tape: Arc<Tape>, live: &str, miss: Miss) -> Self {
        let ties = Ties::new(Me::of(&tape.jid), Me::of(live), true);
        let used = vec![false; tape.turns.len()];
        Self { tape, ties, miss, used, asked: BTreeMap::new(), misses: 0, forward: Vec::new() }
    }

    /// The client's address.
    #[must_use]
    pub fn me(&self) -> &str {
        &self.ties.live().full
    }

    /// Requests that were not recorded.
    #[must_use]
    pub fn misses(&self) -> u64 {
        self.misses
    }

    /// Takes the requests that a living server is to be asked.
    pub fn forwards(&mut self) -> Vec<Element> {
        std::mem::take(&mut self.forward)
    }

    /// What came before the client had sent anything.
    pub fn begin(&mut self, out: &mut Vec<Element>) {
        self.say_from(0, None, out);
    }

    /// The client sends something.
    pub fn came(&mut self, live: &Element, out: &mut Vec<Element>) {
        if !is_stanza(live) {
            return nonza(live, out);
        }
        let turn = if is_answer(live) { self.answered(live) } else { self.find(live) };
        match turn {
            Some((at, first)) => {
                let live_id = live.attr("id").map(str::to_owned);
                if first {
                    self.say_from(at + 1, Some((at, live_id.as_deref())), out);
                } else {
                    self.say_answer(at, live_id.as_deref(), out);
                }
            }
            None if is_request(live) => self.missed(live, out),
            None => {}
        }
    }

    /// An answer to a request of ours: the turn that it plays.
    fn answered(&mut self, live: &Element) -> Option<(usize, bool)> {
        let request = self.asked.remove(live.attr("id")?)?;
        let at = self.tape.turns.get(request)?.partner?;
        Some((at, !self.mark_used(at)))
    }

    /// The recorded turn that this is, and whether it is used for the first time.
    fn find(&mut self, live: &Element) -> Option<(usize, bool)> {
        let tape = Arc::clone(&self.tape);
        let mut last = None;
        for (at, turn) in tape.turns.iter().enumerate() {
            let fits =
                turn.from == Side::Client && !is_answer(&turn.element) && live.is(&turn.element.ns, &turn.element.name);
            if !fits || !self.is(&turn.element, live) {
                continue;
            }
            last = Some(at);
            if !self.used.get(at).copied().unwrap_or(true) {
                break;
            }
        }
        let at = last?;
        self.take_ids(at, live);
        Some((at, !self.mark_used(at)))
    }

    /// Whether they say the same.
    fn is(&mut self, recorded: &Element, live: &Element) -> bool {
        if recorded.attr("type") != live.attr("type") || recorded.children().count() != live.children().count() {
            return false;
        }
        let mark = self.ties.mark();
        let same = unify(&mut self.ties, Side::Client, recorded, live).is_ok();
        self.ties.back_to(mark);
        same
    }

    /// What the client calls its things now.
    fn take_ids(&mut self, at: usize, live: &Element) {
        let tape = Arc::clone(&self.tape);
        let Some(recorded) = tape.turns.get(at).map(|turn| &turn.element) else { return };
        if let (Some(recorded), Some(live)) = (recorded.attr("id"), live.attr("id")) {
            self.ties.tie_id(Side::Client, recorded, live);
        }
        let _ = unify(&mut self.ties, Side::Client, recorded, live); // ties what is inside
        self.ties.keep();
    }

    fn mark_used(&mut self, at: usize) -> bool {
        self.used.get_mut(at).is_none_or(|used| std::mem::replace(used, true))
    }

    /// The client's next turn from there on that can be told when it comes: a stanza, and an answer only to a request of ours.
    fn next_turn(&self, from: usize) -> usize {
        let told = |turn: &Turn| is_stanza(&turn.element) && (!is_answer(&turn.element) || turn.partner.is_some());
        let next = self.tape.turns.iter().skip(from).position(|turn| turn.from == Side::Client && told(turn));
        next.map_or(self.tape.turns.len(), |further| from + further)
    }

    /// All that belongs to a turn of the client: from its place on, up to its next turn, and its own answer wherever that stands.
    fn say_from(&mut self, from: usize, turn: Option<(usize, Option<&str>)>, out: &mut Vec<Element>) {
        let tape = Arc::clone(&self.tape);
        let answer = turn.and_then(|(at, id)| Some((tape.turns.get(at)?.partner?, id)));
        let end = self.next_turn(from);
        for at in from..end {
            let Some(turn) = tape.turns.get(at) else { break };
            if is_answer(&turn.element) {
                if let Some((_, id)) = answer.filter(|(answer, _)| *answer == at) {
                    self.say(at, id, out);
                }
            } else if !self.mark_used(at) {
                self.say(at, None, out);
            }
        }
        if let Some((at, id)) = answer.filter(|(at, _)| *at >= end) {
            self.say(at, id, out);
        }
    }

    /// The answer to a turn of the client.
    fn say_answer(&mut self, at: usize, id: Option<&str>, out: &mut Vec<Element>) {
        let answer = self.tape.turns.get(at).and_then(|turn| turn.partner);
        answer.into_iter().for_each(|answer| self.say(answer, id, out));
    }

    /// Says one recorded stanza of the server, in the words of today.
    fn say(&mut self, at: usize, id: Option<&str>, out: &mut Vec<Element>) {
        let Some(turn) = self.tape.turns.get(at).filter(|turn| turn.from == Side::Server) else { return };
        if !is_stanza(&turn.element) {
            return;
        }
        let mut live = self.ties.to_live(&turn.element);
        if let Some(id) = id {
            live.set_attr("id", id);
        }
        if is_request(&live)
            && let Some(id) = live.attr("id").filter(|_| self.asked.len() < MOST_ASKED)
        {
            self.asked.insert(id.to_owned(), at);
        }
        out.push(live);
    }

    /// A request that was not recorded.
    fn missed(&mut self, live: &Element, out: &mut Vec<Element>) {
        let session = live.attr("type") == Some("set") && live.child(ns::SESSION, "session").is_some();
        if session {
            let result = Element::new(ns::CLIENT, "iq").with_attr("type", "result");
            return out.push(result.with_attr("id", live.attr("id").unwrap_or_default()));
        }
        self.misses += 1;
        match self.miss {
            Miss::Error => {
                let error = StanzaError::new(Condition::ServiceUnavailable).with_text("this was not recorded");
                out.extend(error_reply(live, &error, false));
            }
            Miss::Wait => {}
            Miss::Forward => self.forward.push(live.clone()),
        }
    }
}

/// What is no stanza: stream management is not offered, all else asks for no answer.
fn nonza(live: &Element, out: &mut Vec<Element>) {
    if live.ns.starts_with("urn:xmpp:sm:") && matches!(live.name.as_str(), "enable" | "resume") {
        let condition = Element::new(ns::STANZA_ERRORS, "unexpected-request");
        out.push(Element::new(live.ns.as_str(), "failed").with_child(condition));
    }
}
