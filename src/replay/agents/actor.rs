//! [`Actor`]: the client's part of a [`Tape`], once it has logged in. No I/O: stanzas and the time in, what to say out.
//!
//! A stanza is sent once all has come that the server had sent before it in the recording, or has been waited for long enough. What comes
//! is held against what was recorded: an answer by its request, anything else against what is still awaited, first what says the same,
//! then what is of the same kind. What fits nothing is news; a request among it is answered, for each must be.

mod report;

pub use report::{Difference, Report, What};

use super::tape::{Tape, has_redacted, is_answer, is_request, is_stanza};
use super::ties::{Me, Ties};
use super::unify::unify;
use crate::xml::Element;
use crate::xmpp::error::error_reply;
use crate::xmpp::{Condition, Side, StanzaError, Timestamp, jid, ns};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How fast, and how patiently.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// So many times as fast as recorded; `None`: at once.
    pub speed: Option<f64>,
    /// Somebody says when each stanza is to be sent.
    pub step: bool,
    /// Microseconds to wait for what had come in the recording.
    pub patience: u64,
}

/// What the actor wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Say {
    /// Send this, then ask again.
    Send(Element),
    /// Ask again when something has come, or at that time.
    Wait(Timestamp),
    /// Ask the user whether to send this, then [`Actor::go`].
    Ask(Element),
    /// The user was asked: ask again when something has come, or the user has said go.
    Hold,
    /// It is over.
    Done,
}

/// What became of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Open,
    /// It came, or was sent.
    Done,
    /// It was waited for in vain; it may still come.
    GivenUp,
    /// It is not played.
    LeftOut,
}

/// See the module.
#[derive(Debug)]
pub struct Actor {
    tape: Arc<Tape>,
    pace: Pace,
    ties: Ties,
    /// The first turn that is still to come.
    at: usize,
    fates: Vec<Fate>,
    /// All before it have come, or will not.
    low: usize,
    /// When the turn at hand was reached.
    reached: Option<Timestamp>,
    may_go: bool,
    /// The user was asked about the turn at hand.
    has_asked: bool,
    /// Our requests under way, by the id they went out with: which turn, and when.
    asked: BTreeMap<String, (usize, Timestamp)>,
    /// What ids are made from.
    salt: String,
    ids: u64,
    /// What goes out before anything recorded does.
    first: Vec<Element>,
    /// Stanzas received since stream management was switched on.
    counted: Option<u32>,
    report: Report,
}

impl Actor {
    /// For a client that is bound to `live`, at a server with these features. `salt` makes its ids its own.
    #[must_use]
    pub fn new(tape: Arc<Tape>, live: &str, features: Option<&Element>, salt: &str, pace: Pace) -> Self {
        let ties = Ties::new(Me::of(&tape.jid), Me::of(live), false);
        let has = |ns: &str| features.is_some_and(|features| features.children().any(|feature| feature.ns == ns));
        let fates = (0..tape.turns.len()).map(|at| if plays(&tape, at, &has) { Fate::Open } else { Fate::LeftOut });
        let fates: Vec<Fate> = fates.collect();
        let secret = |(turn, fate): (&super::Turn, &Fate)| {
            *fate == Fate::LeftOut && turn.from == Side::Client && has_redacted(&turn.element)
        };
        let secrets = tape.turns.iter().zip(&fates).filter(|pair| secret(*pair)).count() as u64;
        let report = Report { left_out: secrets, ..Report::default() };
        let salt = salt.to_owned();
        let (at, low, reached, may_go, has_asked, asked, ids, first, counted) = Default::default();
        Self { tape, pace, ties, at, fates, low, reached, may_go, has_asked, asked, salt, ids, first, counted, report }
    }

    /// The user says go.
    pub fn go(&mut self) {
        self.may_go = true;
    }

    /// How many turns there are, and how many of them are past.
    #[must_use]
    pub fn progress(&self) -> (usize, usize) {
        (self.at, self.fates.len())
    }

    /// What to do now.
    pub fn next(&mut self, now: Timestamp) -> Say {
        if !self.first.is_empty() {
            return Say::Send(self.first.remove(0));
        }
        while let Some(turn) = self.tape.turns.get(self.at) {
            let reached = *self.reached.get_or_insert(now);
            match (self.fate(self.at), turn.from) {
                (Fate::Open, Side::Server) => {
                    let until = Timestamp(reached.0.saturating_add(self.pace.patience));
                    if now < until {
                        return Say::Wait(until);
                    }
                    self.give_up();
                }
                (Fate::Open, Side::Client) => {
                    let due = self.due(reached);
                    if now < due {
                        return Say::Wait(due);
                    }
                    if let Some(say) = self.turn(now) {
                        return say;
                    }
                }
                _ => {}
            }
            self.at += 1;
            self.reached = None;
        }
        Say::Done
    }

    /// Something has come.
    pub fn came(&mut self, now: Timestamp, live: &Element) {
        if !is_stanza(live) {
            return self.nonza(live);
        }
        self.report.came += 1;
        self.counted = self.counted.map(|count| count.wrapping_add(1));
        if is_answer(live) {
            return self.answer(now, live);
        }
        let found = self.find(live);
        if let (Some(at), true) = (found, is_request(live)) {
            let recorded = self.tape.turns.get(at).and_then(|turn| turn.element.attr("id"));
            if let (Some(recorded), Some(live)) = (recorded, live.attr("id")) {
                self.ties.tie_id(Side::Server, recorded, live);
                self.ties.keep();
            }
        } else if found.is_none() && is_request(live) {
            self.refuse(live);
        }
    }

    /// The end: what has not come is missing.
    #[must_use]
    pub fn finish(mut self) -> Report {
        let tape = Arc::clone(&self.tape);
        for (at, turn) in tape.turns.iter().enumerate() {
            let open = matches!(self.fate(at), Fate::Open | Fate::GivenUp);
            match turn.from {
                Side::Server if open && !(is_answer(&turn.element) && self.never_asked(turn.partner)) => {
                    let answer = is_answer(&turn.element);
                    self.report.unanswered += u64::from(answer);
                    let why = if answer { "no answer came" } else { "it did not come" };
                    self.report.add(What::Missing, Some((turn, &turn.element)), None, why.to_owned());
                }
                Side::Client if open => self.report.unsent += 1,
                _ => {}
            }
        }
        self.report
    }

    /// Whether a request was not sent, so that no answer could come.
    fn never_asked(&self, request: Option<usize>) -> bool {
        request.is_some_and(|request| self.fate(request) != Fate::Done)
    }

    fn fate(&self, at: usize) -> Fate {
        self.fates.get(at).copied().unwrap_or(Fate::LeftOut)
    }

    fn settle(&mut self, at: usize, fate: Fate) {
        if let Some(old) = self.fates.get_mut(at) {
            *old = fate;
        }
    }

    /// All that is awaited before the next stanza of ours has been waited for.
    fn give_up(&mut self) {
        for at in self.at..self.tape.next_of_client(self.at) {
            if self.fate(at) == Fate::Open {
                self.settle(at, Fate::GivenUp);
            }
        }
    }

    /// When a stanza of ours is due whose turn came then: after as long as it had taken, at this speed.
    fn due(&self, reached: Timestamp) -> Timestamp {
        let time = |at: Option<usize>| at.and_then(|at| self.tape.turns.get(at)).map(|turn| turn.at.0);
        let (Some(speed), Some(before), Some(at)) =
            (self.pace.speed, time(self.at.checked_sub(1)), time(Some(self.at)))
        else {
            return reached;
        };
        let wait = at.saturating_sub(before) as f64 / speed.max(f64::MIN_POSITIVE);
        Timestamp(reached.0.saturating_add(wait as u64))
    }

    /// A stanza of ours, as it goes out.
    fn turn(&mut self, now: Timestamp) -> Option<Say> {
        let tape = Arc::clone(&self.tape);
        let turn = tape.turns.get(self.at)?;
        let answered = turn.partner.filter(|_| is_answer(&turn.element));
        if answered.is_some_and(|request| self.fate(request) != Fate::Done) {
            // Nobody has asked.
            self.settle(self.at, Fate::LeftOut);
            return None;
        }
        if self.pace.step && !std::mem::take(&mut self.may_go) {
            if std::mem::replace(&mut self.has_asked, true) {
                return Some(Say::Hold);
            }
            return Some(Say::Ask(self.ties.to_live(&turn.element)));
        }
        self.has_asked = false;
        let recorded = turn.element.attr("id");
        let id = match (recorded, answered) {
            (None, _) => None,
            (Some(recorded), Some(_)) => self.ties.id_of(Side::Server, recorded).map(str::to_owned),
            (Some(recorded), None) => {
                self.ids += 1;
                let id = format!("{}-{}", self.salt, self.ids);
                self.ties.tie_id(Side::Client, recorded, &id);
                Some(id)
            }
        };
        self.ties.keep();
        let mut live = self.ties.to_live(&turn.element);
        if let (Some(id), true) = (id, is_stanza(&live)) {
            if is_request(&live) {
                self.asked.insert(id.clone(), (self.at, now));
            }
            live.set_attr("id", id);
        }
        if live.name == "enable" && live.ns.starts_with(SM) {
            self.counted = Some(0);
        }
        self.settle(self.at, Fate::Done);
        self.at += 1;
        self.reached = None;
        self.report.sent += 1;
        Some(Say::Send(live))
    }

    /// What is no stanza: stream management, most of all.
    fn nonza(&mut self, live: &Element) {
        if live.is(ns::STREAM, "error") {
            let why = live.children().next().map_or("?", |condition| &condition.name);
            return self.report.add(What::New, None, Some(live), format!("the server ended the stream: {why}"));
        }
        match (live.name.as_str(), self.counted) {
            ("r", Some(count)) if live.ns.starts_with(SM) => {
                let answer = Element::new(live.ns.as_str(), "a").with_attr("h", count.to_string());
                self.first.push(answer);
            }
            ("a" | "r", _) => {}
            _ => drop(self.find(live)),
        }
    }

    /// An answer: held against what had been answered to this request.
    fn answer(&mut self, now: Timestamp, live: &Element) {
        let asked = live.attr("id").and_then(|id| self.asked.remove(id));
        let Some((request, since)) = asked else {
            return self.report.add(What::New, None, Some(live), "an answer that nobody asked for".to_owned());
        };
        self.report.latency.note(now.0.saturating_sub(since.0));
        let tape = Arc::clone(&self.tape);
        let recorded = tape.turns.get(request).and_then(|turn| turn.partner);
        let Some((at, turn)) = recorded.and_then(|at| Some((at, tape.turns.get(at)?))) else {
            let why = "an answer to a request that was not answered when it was recorded".to_owned();
            return self.report.add(What::New, None, Some(live), why);
        };
        self.report.errors += u64::from(is_error(live) && !is_error(&turn.element));
        self.settle(at, Fate::Done);
        match unify(&mut self.ties, Side::Server, &turn.element, live) {
            Ok(()) => self.report.same += 1,
            Err(why) => self.report.add(What::Different, Some((turn, &turn.element)), Some(live), why),
        }
        self.ties.keep();
    }

    /// The turn that this is: one that says the same, or else the first of its kind.
    fn find(&mut self, live: &Element) -> Option<usize> {
        let tape = Arc::clone(&self.tape);
        while self.low < self.at && matches!(self.fate(self.low), Fate::Done | Fate::LeftOut) {
            self.low += 1;
        }
        let mut similar = None;
        for (at, turn) in tape.turns.iter().enumerate().skip(self.low) {
            let awaited = turn.from == Side::Server && !is_answer(&turn.element);
            if !awaited
                || !matches!(self.fate(at), Fate::Open | Fate::GivenUp)
                || !live.is(&turn.element.ns, &turn.element.name)
            {
                continue;
            }
            match unify(&mut self.ties, Side::Server, &turn.element, live) {
                Ok(()) => {
                    self.ties.keep();
                    self.settle(at, Fate::Done);
                    self.report.same += 1;
                    return Some(at);
                }
                Err(why) if similar.is_none() && self.is_alike(&turn.element, live) => similar = Some((at, why)),
                Err(_) => {}
            }
        }
        let Some((at, why)) = similar else {
            self.report.add(What::New, None, Some(live), "nothing like it was recorded".to_owned());
            return None;
        };
        self.settle(at, Fate::Done);
        let recorded = tape.turns.get(at).map(|turn| (turn, &turn.element));
        self.report.add(What::Different, recorded, Some(live), why);
        Some(at)
    }

    /// Whether two are of one kind: name, type, sender, and what the first child is, but for presence.
    fn is_alike(&self, recorded: &Element, live: &Element) -> bool {
        let from = recorded.attr("from").map(|from| self.ties.address(from));
        let bare =
            |from: Option<&str>| from.map_or_else(|| self.ties.live().bare.clone(), |from| jid::bare(from).to_owned());
        let child = |element: &Element| element.children().next().map(|child| (child.ns.clone(), child.name.clone()));
        recorded.attr("type") == live.attr("type")
            && jid::same(&bare(from.as_deref()), &bare(live.attr("from")))
            && (live.name == "presence" || child(recorded) == child(live))
    }

    /// A request that was not recorded: each must be answered. A push of the roster is taken.
    fn refuse(&mut self, request: &Element) {
        let push = request.attr("type") == Some("set") && request.child(ns::ROSTER, "query").is_some();
        if !push {
            let error = StanzaError::new(Condition::ServiceUnavailable);
            return self.first.extend(error_reply(request, &error, false));
        }
        let mut taken = Element::new(ns::CLIENT, "iq").with_attr("type", "result");
        taken.set_attr("id", request.attr("id").unwrap_or_default());
        if let Some(from) = request.attr("from") {
            taken.set_attr("to", from);
        }
        self.first.push(taken);
    }
}

/// Stream management, whatever its version.
const SM: &str = "urn:xmpp:sm:";

fn is_error(element: &Element) -> bool {
    element.attr("type") == Some("error")
}

/// Whether a turn is played, or waited for.
fn plays(tape: &Tape, at: usize, has: &dyn Fn(&str) -> bool) -> bool {
    let Some(turn) = tape.turns.get(at) else { return false };
    let element = &turn.element;
    match (turn.from, element.ns.as_str()) {
        (Side::Client, _) if has_redacted(element) => false,
        (Side::Server, _) if is_answer(element) => turn
            .partner
            .and_then(|request| tape.turns.get(request))
            .is_some_and(|request| !has_redacted(&request.element)),
        (Side::Client, _) if is_answer(element) => turn.partner.is_some(),
        _ if is_stanza(element) => true,
        (Side::Client, ns::CSI) => has(ns::CSI),
        (Side::Client, sm) if sm.starts_with(SM) => matches!(element.name.as_str(), "enable" | "r") && has(sm),
        (Side::Server, sm) if sm.starts_with(SM) => matches!(element.name.as_str(), "enabled" | "failed") && has(sm),
        _ => false,
    }
}
