//! Answers given in the server's place: which requests, and what becomes of them until the store has spoken.
//!
//! Takes requests that the scripts let go on, gives their answers. Must not answer what is for neither the account nor the
//! server, nor forget a request that waits for the store: it is answered once, whatever happens.

use super::core::Core;
use super::decide::Decision;
use super::discovery::Discovery;
use super::iq::{Role, the_request};
use super::iq_ledger::At;
use super::leaving::{Leaving, read};
use super::{Act, Origin, Outbox, Pair};
use crate::answer::{Answer, Asked, Mode, Target, Then};
use crate::keep::{Change, Done, Op};
use crate::xml::{Element, View};
use crate::xmpp::{Condition, Kind, Side, StanzaError, error, ns};

/// Operations of one session that the store may have to do at one time.
const MOST_WAITING: usize = 64;
/// Requests that the server is asked first, and their bytes: what is more has no fallback.
const MOST_DEFERRED: usize = 64;
const DEFERRED_BYTES: usize = 1 << 20;
/// Bytes that they may want to write, or bring.
const MOST_BYTES: usize = 4 << 20;
/// What an entry that is asked for may bring, and a list of them, about.
const ENTRY_BYTES: usize = 64 * 1024;
const LIST_BYTES: usize = 1 << 20;

/// What a session waits for the store to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answering {
    waiting: Vec<Waiting>,
    /// Requests that the server is asked first (`fallback`).
    deferred: Vec<Deferred>,
    /// How many operations were numbered.
    numbered: u64,
    /// What is known of the server's disco#info.
    pub(super) discovery: Discovery,
}

/// A request that is answered once the store has done its part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    /// The number of its operation.
    number: u64,
    /// What the request is remembered by.
    remembered: u64,
    op: Op,
    then: Then,
    by: String,
}

/// A request that the server is asked first.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Deferred {
    /// What it is remembered by.
    remembered: u64,
    /// As it left.
    iq: Vec<u8>,
    /// Whether it is about the list of the blocked: if the server answers, it keeps one.
    blocks: bool,
}

/// What the store is to do before a request can be answered.
pub(super) struct Stored {
    op: Op,
    then: Then,
    /// What the request is remembered by, once it has its row.
    pub(super) remembered: u64,
}

impl Answering {
    /// Bytes of memory this takes, about.
    pub(super) fn weight(&self) -> usize {
        let waiting = self.waiting.iter().map(|waiting| size_of::<Waiting>() + waiting.by.len() + weight(&waiting.op));
        let deferred = self.deferred.iter().map(|deferred| size_of::<Deferred>() + deferred.iq.capacity());
        waiting.chain(deferred).sum::<usize>() + self.discovery.weight()
    }

    /// Whether another request of so many bytes can be kept until the server has answered it.
    fn may_defer(&self, bytes: usize) -> bool {
        let kept: usize = self.deferred.iter().map(|deferred| deferred.iq.len()).sum();
        self.deferred.len() < MOST_DEFERRED && kept + bytes <= DEFERRED_BYTES
    }

    /// A request is done with.
    pub(super) fn forget(&mut self, remembered: u64) {
        self.deferred.retain(|deferred| deferred.remembered != remembered);
        self.discovery.forget(remembered);
    }

    /// What goes along when another connection resumes the session.
    pub(super) fn give_up(&mut self) -> Self {
        let left = Self { numbered: self.numbered, ..Self::default() };
        std::mem::replace(self, left)
    }

    /// How many operations the store was asked for.
    pub(super) fn asked(&self) -> u64 {
        self.numbered
    }

    /// Whether the request remembered by this number waits for the store.
    pub(super) fn waits(&self, remembered: u64) -> bool {
        remembered > 0 && self.waiting.iter().any(|waiting| waiting.remembered == remembered)
    }
}

impl Core {
    /// What becomes of a request of the client's that would go on.
    pub(super) fn answer_here(&mut self, view: &View<'_>, decision: Decision, out: &mut Outbox) -> Decision {
        if self.policy.answers.is_empty()
            || self.jid.is_none()
            || !matches!(view.kind().as_deref(), Some("get" | "set"))
        {
            return decision;
        }
        let (target, mode) = match &decision {
            Decision::Forward => (view.to(), self.policy.answers.mode_of(view)),
            Decision::Change(iq, _) => {
                (iq.attr("to").map(|to| to.to_owned().into()), self.policy.answers.mode_of_tree(iq))
            }
            _ => return decision,
        };
        let target = Target::of(self.account.peer(target.as_deref()));
        match mode {
            Mode::Forward | Mode::Fallback => decision,
            Mode::Deny(_) if target == Target::Other => decision,
            Mode::Deny(condition) => {
                let text = "this is not answered here (iqtap: deny)";
                Decision::Bounce(StanzaError::new(condition).with_text(text), "answer".to_owned())
            }
            Mode::Local => match self.answer_locally(view, target, &decision, out) {
                Some(answered) => answered,
                None => decision,
            },
        }
    }

    fn answer_locally(
        &mut self,
        view: &View<'_>,
        target: Target,
        decision: &Decision,
        out: &mut Outbox,
    ) -> Option<Decision> {
        let opened;
        let iq = match decision {
            Decision::Change(iq, _) => iq,
            _ => {
                opened = match empty_request(view) {
                    Some(iq) => iq,
                    None => self.tree(Side::Client, view, out)?, // or the session is over
                };
                &opened
            }
        };
        let Some((answer, by)) = self.answer_to(iq, target) else {
            let error = StanzaError::new(Condition::BadRequest).with_text("a request has one child element");
            return (target != Target::Other).then(|| Decision::Bounce(error, "answer".to_owned()));
        };
        Some(match answer {
            Answer::Forward => return None,
            Answer::Error(error) => Decision::Bounce(error, by),
            // To who asked, who knows nothing of what a script has made of it.
            Answer::Result(payload) => Decision::Reply(result(view.id().as_deref(), view.to().as_deref(), payload), by),
            Answer::Store(op, then) => match self.has_room_for(&op) {
                true => Decision::Store(Box::new(Stored { op, then, remembered: 0 }), by),
                false => Decision::Bounce(busy(), by),
            },
        })
    }

    /// The answer to a request, by its type and payload, and what gives it.
    fn answer_to(&self, iq: &Element, target: Target) -> Option<(Answer, String)> {
        let mut payloads = iq.children().filter(|child| !child.is(ns::CLIENT, "error"));
        let (Some(payload), None) = (payloads.next(), payloads.next()) else { return None };
        let asked = Asked {
            set: iq.attr("type") == Some("set"),
            payload,
            target,
            account: self.account.bare(),
            now: self.now,
            since: self.route.started,
        };
        let by = format!("answer {}", ns::short(&payload.ns).unwrap_or(&payload.ns));
        Some((self.answering.discovery.answer(&self.policy.answers, &asked), by))
    }

    /// A request of the client's leaves, as it came or as `changed`: if it falls back on us, it is kept until it is answered.
    pub(super) fn defer(&mut self, remembered: u64, view: &View<'_>, changed: Option<&Element>) {
        if self.policy.answers.is_empty() || remembered == 0 {
            return;
        }
        let mode = match changed {
            None => self.policy.answers.mode_of(view),
            Some(iq) => self.policy.answers.mode_of_tree(iq),
        };
        if mode != Mode::Fallback || !self.answering.may_defer(view.bytes.len()) {
            return;
        }
        let blocks = match changed {
            None => view.payload().is_some_and(|(namespace, _)| namespace == ns::BLOCKING),
            Some(iq) => iq.children().any(|payload| payload.ns == ns::BLOCKING),
        };
        self.answering.deferred.push(Deferred { remembered, iq: Leaving { view, changed }.bytes(), blocks });
    }

    /// The server has answered a request that falls back on us: if it has declined, we answer in its place.
    pub(super) fn fall_back(&mut self, view: &View<'_>, role: Role, decision: Decision, out: &mut Outbox) -> Decision {
        let Role::Answer { at: Some(at), condition, .. } = role else { return decision };
        if self.answering.deferred.is_empty() || !matches!(decision, Decision::Forward) {
            return decision;
        }
        let lacking = [Condition::ServiceUnavailable.name(), Condition::FeatureNotImplemented.name()];
        let declined = condition.is_some_and(|condition| lacking.contains(&condition));
        let Some(remembered) = self.iqs.row(at).map(|row| row.remembered) else { return decision };
        let deferred = &mut self.answering.deferred;
        let Some(place) = deferred.iter().position(|deferred| deferred.remembered == remembered) else {
            return decision;
        };
        if !declined {
            if deferred.get(place).is_some_and(|deferred| deferred.blocks) {
                self.server_blocks();
            }
            return decision;
        }
        let Deferred { iq, .. } = deferred.remove(place);
        let Some(mut iq) = read(&iq) else { return decision };
        let target = Target::of(self.account.peer(iq.attr("to")));
        let Some((answer, by)) = self.answer_to(&iq, target) else { return decision };
        // It leaves as the server's answer would have: under its id, from where it came.
        iq.set_attr("id", view.id().unwrap_or_default());
        let reply = match answer {
            Answer::Forward => return decision,
            Answer::Result(payload) => Some(result(iq.attr("id"), view.from().as_deref(), payload)),
            Answer::Error(why) => error::error_reply(&iq, &why, self.policy.legacy_codes),
            Answer::Store(op, _) if !self.has_room_for(&op) => {
                error::error_reply(&iq, &busy(), self.policy.legacy_codes)
            }
            Answer::Store(op, then) => {
                self.ask_store(Stored { op, then, remembered }, by.clone(), out);
                return Decision::Drop(by);
            }
        };
        match reply {
            Some(mut reply) => {
                self.address(Side::Client, &mut reply);
                Decision::Change(reply, by)
            }
            None => decision,
        }
    }

    fn has_room_for(&self, op: &Op) -> bool {
        let waiting = &self.answering.waiting;
        let bytes: usize = waiting.iter().map(|waiting| under_way(&waiting.op)).sum();
        waiting.len() < MOST_WAITING && bytes + under_way(op) <= MOST_BYTES
    }

    /// A request waits for the store from now on.
    pub(super) fn ask_store(&mut self, stored: Stored, by: String, out: &mut Outbox) {
        let Stored { op, then, remembered } = stored;
        let number = self.ask_operation(op.clone(), out);
        self.answering.waiting.push(Waiting { number, remembered, op, then, by });
    }

    /// The store is to do this; gives the number under which it answers.
    pub(super) fn ask_operation(&mut self, op: Op, out: &mut Outbox) -> u64 {
        self.answering.numbered += 1;
        out.acts.push(Act::Store(self.answering.numbered, op));
        self.answering.numbered
    }

    /// Goes on with what an earlier connection has waited for: its operations are asked again, for nothing they do is changed by
    /// being done twice.
    pub(super) fn take_over_answers(&mut self, answering: Answering, out: &mut Outbox) {
        let Answering { waiting, deferred, discovery, .. } = answering;
        self.answering.deferred = deferred;
        self.answering.discovery.take_over(discovery);
        for Waiting { remembered, op, then, by, .. } in waiting {
            self.ask_store(Stored { op, then, remembered }, by, out);
        }
        self.ask_for_info(out);
    }

    /// The store has done what was asked of it: the request that has waited for it is answered.
    pub(super) fn stored(&mut self, number: u64, done: Done, out: &mut Outbox) {
        let waiting = &mut self.answering.waiting;
        let Some(at) = waiting.iter().position(|waiting| waiting.number == number) else {
            if !self.profile_stored(number, &done, out) {
                self.caps_stored(number, done, out);
            }
            return;
        };
        let Waiting { remembered, then, by, .. } = waiting.remove(at);
        if then == Then::Blocklist
            && let Some(profile) = &mut self.profile
        {
            profile.asked |= done.is_ok();
        }
        let answer = self.policy.answers.stored(then, done);
        if let Some(at) = self.iqs.remembered(Side::Client, remembered) {
            self.answer_late(at, answer, by, out);
        }
    }

    fn answer_late(&mut self, at: At, answer: Answer, by: String, out: &mut Outbox) {
        let Some(row) = self.iqs.row(at) else { return };
        let (request, number, namespace) = (the_request(Side::Client, row), row.number, row.namespace);
        let (micros, remembered) = (self.now.0.saturating_sub(row.at.0), row.remembered);
        let (reply, condition) = match answer {
            Answer::Result(payload) => (Some(result(request.attr("id"), request.attr("to"), payload)), None),
            Answer::Error(why) => {
                let reply = error::error_reply(&request, &why, self.policy.legacy_codes);
                (reply, Some(why.condition.name()))
            }
            Answer::Store(..) | Answer::Forward => return, // never: see `Answers::stored`
        };
        self.iqs.close(at);
        self.memories.forget(remembered);
        self.count_answer(namespace, Some(micros), condition);
        if let Some(mut reply) = reply {
            self.address(Side::Client, &mut reply);
            let pair = Some(Pair { request: number, micros });
            self.emit(Side::Client, Kind::Iq, &reply, Origin::Made(number, by), pair, out);
        }
    }
}

/// Type and payload of a request whose payload holds nothing, not even an attribute, as in a ping: no tree is built only to see that.
fn empty_request(view: &View<'_>) -> Option<Element> {
    if view.head.elements != 2 {
        return None;
    }
    let mut walk = view.inside(1);
    let inner = walk.next().filter(|inner| inner.is_bare() && inner.text().is_empty())?;
    let payload = Element::new(inner.ns(), inner.name);
    Some(Element::new(ns::CLIENT, "iq").with_attr("type", view.kind()?).with_child(payload))
}

/// A result from whom the request was sent to.
fn result(id: Option<&str>, from: Option<&str>, payload: Option<Element>) -> Element {
    let mut result = Element::new(ns::CLIENT, "iq").with_attr("type", "result");
    result.set_attr("id", id.unwrap_or_default());
    if let Some(from) = from {
        result.set_attr("from", from);
    }
    payload.into_iter().fold(result, Element::with_child)
}

fn busy() -> StanzaError {
    StanzaError::new(Condition::ResourceConstraint).with_text("too much waits for the store; try again")
}

/// Bytes an operation holds or brings, about: who does not read must not have the store read without end.
fn under_way(op: &Op) -> usize {
    match op {
        Op::Get { .. } => ENTRY_BYTES,
        Op::List { .. } => LIST_BYTES,
        Op::Write { .. } => weight(op),
    }
}

/// Bytes an operation holds, about.
fn weight(op: &Op) -> usize {
    match op {
        Op::Get { .. } | Op::List { .. } => 256,
        Op::Write { changes, .. } => changes
            .iter()
            .map(|change| match change {
                Change::Put(_, name, value) => 128 + name.len() + value.len(),
                Change::Delete(_, name) => 128 + name.len(),
                Change::Clear(_) => 128,
            })
            .sum(),
    }
}
