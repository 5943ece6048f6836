//! IQs and the ledger: what an iq is to it, requests let in, answers weighed, time running out.
//!
//! Takes judged iqs and what the stages made of them, gives decisions, findings and answers in the place of those who owe one.
//! Every get or set that was let in leads to exactly one answer to whoever sent it; nothing here answers an answer.

use super::core::Core;
use super::decide::Decision;
use super::discovery::BY;
use super::iq_ledger::{Asker, At, Found, Request, Row, State};
use super::pipeline::Stage;
use super::{Origin, Outbox, Pair};
use crate::rules::{self, Finding, Mode, Overdue, Rule};
use crate::xml::{Element, View};
use crate::xmpp::{Condition, Kind, Peer, Side, Timestamp, error, ns};
use std::borrow::Cow;

/// What an iq is to the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// No iq.
    None,
    /// A get or set, or an iq of unknown type, which is answered too.
    Request {
        /// Its namespace's place in the tally, if it is counted.
        namespace: Option<usize>,
        /// Whether its answer is awaited for a limited time.
        timed: bool,
        /// Whether its sender sends it again after a resumption.
        again: bool,
    },
    /// A result or error.
    Answer {
        /// The request it belongs to.
        at: Option<At>,
        /// The condition of an error.
        condition: Option<&'static str>,
        /// It may belong to a request that was evicted, and then whether it may pass.
        evicted: Option<bool>,
    },
}

impl Core {
    /// What an iq is to the ledger, and what must become of it for that.
    pub(super) fn weigh_iq(
        &mut self,
        side: Side,
        view: &View<'_>,
        stage: Stage,
        found: &mut Vec<Finding>,
    ) -> (Role, Option<Decision>) {
        let (kind, again) = (view.kind(), stage.again);
        match kind.as_deref() {
            Some("result") => self.weigh_answer(side, view, again, found),
            Some("error") => self.weigh_error(side, view, again, found),
            Some("get" | "set") => {
                let payload = view.first_child();
                let namespace = payload.as_ref().map_or("", |(ns, _)| ns);
                let counted = !again && !stage.released;
                let place = if counted { self.tally.request(namespace) } else { self.tally.namespace(namespace) };
                let namespace = Some(place);
                let timed = self.jid.is_some() && !(side == Side::Server && is_push(view));
                (Role::Request { namespace, timed, again }, None)
            }
            _ => (Role::Request { namespace: None, timed: false, again }, None),
        }
    }

    fn weigh_error(
        &mut self,
        side: Side,
        view: &View<'_>,
        again: bool,
        found: &mut Vec<Finding>,
    ) -> (Role, Option<Decision>) {
        let (role, decision) = self.weigh_answer(side, view, again, found);
        let Role::Answer { at, evicted, .. } = role else { return (role, decision) };
        let condition = Some(known(error::first_condition(view).unwrap_or_default()));
        (Role::Answer { at, condition, evicted }, decision)
    }

    fn weigh_answer(
        &mut self,
        side: Side,
        view: &View<'_>,
        again: bool,
        found: &mut Vec<Finding>,
    ) -> (Role, Option<Decision>) {
        let id = view.id().unwrap_or(Cow::Borrowed(""));
        let kind = view.kind().unwrap_or_default();
        let modes = self.policy.rules;
        let drop = |rule: &str| Some(Decision::Drop(rule.to_owned()));
        let mut evicted = None;
        let (at, decision) = match self.find_request(side, view, &id) {
            Found::Row(at) => (Some(at), self.weigh_row(side, at, &id, found)),
            // It was judged when it came for the first time.
            _ if again => (None, None),
            Found::Elsewhere if side == Side::Server => {
                let mode = modes.get(side, Rule::IqSpoof);
                if mode != Mode::Off {
                    found.push(rules::spoofed(&kind, &id, view.from().as_deref()));
                }
                (None, if mode == Mode::Enforce { drop(Rule::IqSpoof.code()) } else { None })
            }
            Found::Elsewhere | Found::Nothing => {
                evicted = self.iqs.evicted(side.other());
                match evicted {
                    Some(true) => (None, None),
                    Some(false) => {
                        if modes.get(side, Rule::Answered) != Mode::Off {
                            found.push(rules::late_and_forgotten(&id));
                        }
                        (None, drop(LATE))
                    }
                    None => {
                        let mode = modes.get(side, Rule::Unasked);
                        let said = view.head.id.is_none() && modes.get(side, Rule::Id) != Mode::Off;
                        if mode != Mode::Off && !said {
                            found.push(rules::unasked(&kind, &id));
                        }
                        (None, if mode == Mode::Enforce { drop(Rule::Unasked.code()) } else { None })
                    }
                }
            }
        };
        (Role::Answer { at, condition: None, evicted }, decision)
    }

    /// The request an answer from `side` belongs to.
    fn find_request(&self, side: Side, view: &View<'_>, id: &str) -> Found {
        let address = if side == Side::Server { view.from() } else { view.to() };
        self.find_row(side, id, address.as_deref())
    }

    pub(super) fn find_row(&self, answerer: Side, id: &str, address: Option<&str>) -> Found {
        let (peer, id) = (self.account.peer(address), rewritten(id));
        let fits = |row: &Row| match answerer {
            Side::Server => peer.may_answer_client(row.peer, row.bound),
            Side::Client => peer.may_answer_server(row.peer),
        };
        self.iqs.find(answerer.other(), self.account.hash(id.as_bytes()), &id, peer, fits)
    }

    /// The request that a script answers in the place of `answerer`. It speaks to whoever asked, who knows nothing of another
    /// id or address that a script has put into the request.
    pub(super) fn find_own_row(&self, answerer: Side, id: &str, address: Option<&str>) -> Option<(At, Row)> {
        let peer = self.account.peer(address);
        let fits = |row: &Row| {
            row.state != State::Answered
                && row.id() == id
                && match (answerer, self.account.peer(row.address())) {
                    (Side::Server, asked) => peer.may_answer_client(asked, row.bound),
                    (Side::Client, asker) => peer.may_answer_server(asker),
                }
        };
        let at = self.iqs.find_own(answerer.other(), fits)?;
        Some((at, self.iqs.row(at)?.clone()))
    }

    /// What becomes of an answer from `side`, for the state its request is in.
    fn weigh_row(&mut self, side: Side, at: At, id: &str, found: &mut Vec<Finding>) -> Option<Decision> {
        let row = self.iqs.row(at)?;
        let waited = self.now.0.saturating_sub(row.at.0);
        let tells = self.policy.rules.get(side, Rule::Answered) != Mode::Off;
        match (row.asker, row.state) {
            (Asker::Script, _) => {
                let own = row.id().to_owned();
                self.iqs.close(at);
                self.asks.answered(&own);
                Some(Decision::Drop("the script that asked".to_owned()))
            }
            (Asker::Iqtap, _) => Some(Decision::Drop(BY.to_owned())),
            (Asker::Push, _) => {
                self.iqs.close(at);
                Some(Decision::Drop("the push".to_owned()))
            }
            (Asker::Peer, State::Answered) => {
                self.iqs.close(at);
                if tells {
                    found.push(rules::late(id, waited, true));
                }
                Some(Decision::Drop(LATE.to_owned()))
            }
            (Asker::Peer, State::Late) => {
                if tells {
                    found.push(rules::late(id, waited, false));
                }
                None
            }
            (Asker::Peer, State::Waiting | State::Quiet) => None,
        }
    }

    /// A request is about to be carried out: it gets its row, as it will leave. Without room it is answered if the rule is
    /// enforced, and goes without a row if not.
    pub(super) fn admit(
        &mut self,
        number: u64,
        side: Side,
        view: &View<'_>,
        role: Role,
        mut decision: Decision,
        found: &mut Vec<Finding>,
    ) -> Decision {
        let Role::Request { namespace, timed, again } = role else { return decision };
        let id = view.id().unwrap_or_default();
        let own = if side == Side::Client { view.to() } else { view.from() };
        if again && let Some(at) = self.iqs.find_carried_over(side, &id, own.as_deref()) {
            return self.admit_again(at, side, view, timed, decision);
        }
        let changed = match &decision {
            Decision::Forward | Decision::Drop(_) | Decision::Store(..) => None,
            Decision::Change(element, _) => Some(element),
            Decision::Bounce(..) | Decision::Reply(..) | Decision::Hold(..) => return decision,
        };
        let stores = matches!(decision, Decision::Store(..));
        let stopped = stores || matches!(decision, Decision::Drop(_));
        let id_seen = changed.map_or(&*id, |element| element.attr("id").unwrap_or_default());
        let name = if side == Side::Client { "to" } else { "from" };
        let seen = changed.map_or(own.as_deref(), |element| element.attr(name));
        let id_seen = rewritten(id_seen);
        let remembered = if timed && (stores || !stopped) { self.memories.next_request() } else { 0 };
        let request = Request {
            id: &id,
            id_seen: &id_seen,
            address: own.as_deref(),
            peer: self.account.peer(seen),
            bound: self.jid.is_some(),
            timed,
            asker: Asker::Peer,
            number,
            remembered,
            namespace,
            archive: asks_archive(view),
            at: self.now,
            stopped,
        };
        let most = self.route.open_iqs;
        match self.iqs.open(side, self.account.hash(id_seen.as_bytes()), &request, most) {
            Ok(duplicate) => {
                if side == Side::Client && !stopped {
                    self.defer(remembered, view, changed);
                    self.answering.discovery.leaves(remembered);
                }
                let tells = self.policy.rules.get(side, Rule::DuplicateId) != Mode::Off;
                if duplicate && timed && tells && !id.is_empty() {
                    found.push(rules::duplicate(&id));
                }
                if let Decision::Store(stored, _) = &mut decision {
                    stored.remembered = remembered;
                } else {
                    self.remember_request(remembered, side, view);
                }
                decision
            }
            Err(_) if stores => {
                let (_, error) = rules::table_full(self.route.open_iqs);
                Decision::Bounce(error, Rule::Answered.code().to_owned())
            }
            Err(_) if stopped && !self.answers_for(side.other()) => decision,
            // Nobody waits for it to be answered (a push): a stranger's many requests must not keep it from the client.
            Err(_) if !timed => {
                self.iqs.open_untracked(side);
                decision
            }
            Err(_) => self.too_many(side, decision, found),
        }
    }

    /// Whether we answer in the place of that side where it does not.
    fn answers_for(&self, responder: Side) -> bool {
        self.policy.rules.get(responder, Rule::Answered) == Mode::Enforce
    }

    /// A request comes again that was lost on its way before a resumption: its row is there, and whoever was answered for it
    /// meanwhile is not answered again.
    fn admit_again(&mut self, at: At, side: Side, view: &View<'_>, timed: bool, mut decision: Decision) -> Decision {
        let answered = self.iqs.row(at).is_some_and(|row| row.state == State::Answered);
        match &mut decision {
            Decision::Forward | Decision::Change(..) => {
                // It need not be what it was.
                let row = self.iqs.row(at).filter(|row| timed && !answered && row.remembered > 0);
                if let Some(remembered) = row.map(|row| row.remembered) {
                    self.answering.discovery.leaves(remembered);
                    self.remember_request(remembered, side, view);
                }
                return decision;
            }
            Decision::Hold(..) => return decision,
            Decision::Store(stored, _) if !answered => {
                if let Some(row) = self.iqs.row_mut(at) {
                    row.stopped = true;
                    stored.remembered = row.remembered;
                }
            }
            Decision::Store(..) => self.iqs.close(at),
            Decision::Drop(_) if !answered => self.iqs.row_mut(at).into_iter().for_each(|row| row.stopped = true),
            Decision::Drop(_) | Decision::Bounce(..) | Decision::Reply(..) => self.iqs.close(at),
        }
        if answered { Decision::Drop(LATE.to_owned()) } else { decision }
    }

    fn too_many(&mut self, side: Side, decision: Decision, found: &mut Vec<Finding>) -> Decision {
        let (finding, error) = rules::table_full(self.route.open_iqs);
        let mode = self.policy.rules.get(side.other(), Rule::Answered);
        if mode != Mode::Off {
            found.push(finding);
        }
        if mode == Mode::Enforce {
            return Decision::Bounce(error, Rule::Answered.code().to_owned());
        }
        self.iqs.open_untracked(side);
        decision
    }

    /// An answer does not wait any longer: if it belongs to an evicted request, there is one less of them.
    pub(super) fn spend(&mut self, side: Side, role: Role) {
        if let Role::Answer { evicted: Some(may_pass), .. } = role {
            self.iqs.spend(side.other(), may_pass);
        }
    }

    /// Which request an answer that goes on belongs to, for the notes.
    pub(super) fn pair(&self, role: Role) -> Option<Pair> {
        let Role::Answer { at: Some(at), .. } = role else { return None };
        let row = self.iqs.row(at)?;
        Some(Pair { request: row.number, micros: self.now.0.saturating_sub(row.at.0) })
    }

    /// An answer has left: its request is done with.
    pub(super) fn answered(&mut self, role: Role) {
        let Role::Answer { at: Some(at), condition, .. } = role else { return };
        if let Some((namespace, at, remembered)) = self.iqs.row(at).map(|row| (row.namespace, row.at, row.remembered)) {
            self.memories.forget(remembered);
            self.answering.forget(remembered);
            self.count_answer(namespace, Some(self.now.0.saturating_sub(at.0)), condition);
        }
        self.iqs.close(at);
    }

    /// Counts an answer; `condition` is that of an error.
    pub(super) fn count_answer(
        &mut self,
        namespace: Option<usize>,
        micros: Option<u64>,
        condition: Option<&'static str>,
    ) {
        if let Some(index) = namespace {
            self.tally.answered(index, micros, condition, condition.is_some());
        }
    }

    /// Whether this peer's archive is being asked.
    pub(super) fn is_archive_asked(&self, peer: Peer) -> bool {
        self.iqs.any(Side::Client, |row| row.peer == peer && row.archive)
    }

    /// An answer was stopped by a script: its request stays open, and knows why.
    pub(super) fn answer_stopped(&mut self, role: Role) {
        if let Role::Answer { at: Some(at), .. } = role
            && let Some(row) = self.iqs.row_mut(at)
        {
            row.stopped = true;
        }
    }

    /// A request was answered here instead of being forwarded.
    pub(super) fn answered_here(&mut self, role: Role, reply: &Element) {
        if let Role::Request { namespace, .. } = role {
            self.count_answer(namespace, None, reply.child(ns::CLIENT, "error").and_then(condition));
        }
    }

    /// When the oldest request under way is overdue.
    pub(super) fn answer_deadline(&self) -> Option<Timestamp> {
        let oldest = [Side::Client, Side::Server].into_iter().filter_map(|side| self.iqs.oldest(side)).min()?;
        Some(Timestamp(oldest.0.saturating_add(self.policy.iq_timeout)))
    }

    /// Forgets that requests were evicted, once no answer to them can come any more.
    pub(super) fn forget_evicted(&mut self) {
        self.iqs.forget_evicted(self.now, EVICTED_MICROS.max(self.policy.iq_timeout.saturating_mul(10)));
    }

    /// Time has passed: whoever has waited too long is told, or has its answer from us.
    pub(super) fn overdue(&mut self, out: &mut Outbox) {
        let Some(since) = self.now.0.checked_sub(self.policy.iq_timeout).map(Timestamp) else { return };
        for requester in [Side::Client, Side::Server] {
            while let Some(at) = self.iqs.overdue(requester, since) {
                self.give_up_waiting(requester, at, out);
            }
        }
    }

    fn give_up_waiting(&mut self, requester: Side, at: At, out: &mut Outbox) {
        let responder = requester.other();
        let mode = self.policy.rules.get(responder, Rule::Answered);
        let Some(row) = self.iqs.row(at) else { return };
        let micros = self.now.0.saturating_sub(row.at.0);
        let overdue = Overdue { responder, address: row.address(), micros, stopped: row.stopped };
        let (finding, error) = rules::unanswered(&overdue);
        let (number, remembered, id) = (row.number, row.remembered, row.id().to_owned());
        let peers = row.asker == Asker::Peer;
        // Whoever waits for the store waits for us: it is answered whatever the mode.
        let ours = self.answering.waits(row.remembered);
        let answers = (ours || mode == Mode::Enforce) && row.asker == Asker::Peer;
        let request = answers.then(|| the_request(requester, row));
        let namespace = row.namespace;
        let never = row.stopped || answers; // no answer will pass any more
        if row.stopped {
            self.iqs.close(at); // it never got there, or its answer was here already: none will come
        } else {
            self.iqs.settle(at, if answers { State::Answered } else { State::Late });
        }
        if mode != Mode::Off {
            self.found(responder, number, Some(id), finding, true, out);
        }
        if peers {
            self.scripts_timeout(remembered, out);
        }
        if never {
            self.memories.forget(remembered);
            self.answering.forget(remembered);
        }
        let legacy = self.policy.legacy_codes;
        if let Some(mut reply) = request.and_then(|request| error::error_reply(&request, &error, legacy)) {
            self.address(requester, &mut reply);
            let origin = Origin::Made(number, Rule::Answered.code().to_owned());
            self.emit(requester, Kind::Iq, &reply, origin, Some(Pair { request: number, micros }), out);
            self.count_answer(namespace, Some(micros), Some(error.condition.name()));
        }
    }
}

/// An id as it comes back when it was written again without care. The ledger knows ids by this form.
///
/// COMPAT: Prosody 0.12 writes the line feed of `a&#xA;b` as it is, and every parser reads that as a space (XML 1.0 §3.3.3).
pub(super) fn rewritten(id: &str) -> Cow<'_, str> {
    match memchr::memchr3(b'\t', b'\n', b'\r', id.as_bytes()) {
        None => Cow::Borrowed(id),
        Some(_) => Cow::Owned(id.replace("\r\n", " ").replace(['\t', '\n', '\r'], " ")),
    }
}

/// For so long, or ten times `iq_timeout`, evicted requests are known to have been: their answers must not be called unasked.
const EVICTED_MICROS: u64 = 600_000_000;

/// What a late answer is dropped by.
const LATE: &str = "late-answer";

/// The request of a row, as far as an error reply needs it.
pub(super) fn the_request(requester: Side, row: &Row) -> Element {
    let mut request = Element::new(ns::CLIENT, "iq").with_attr("type", "get").with_attr("id", row.id());
    if let Some(address) = row.address() {
        request.set_attr(if requester == Side::Client { "to" } else { "from" }, address);
    }
    request
}

/// Pushes that clients need not answer (RFC 6121 §2.1.6; XEP-0191 §3, XEP-0016 §2.6).
fn is_push(view: &View<'_>) -> bool {
    view.kind().as_deref() == Some("set")
        && view.payload().is_some_and(|(ns, _)| [ns::ROSTER, ns::BLOCKING, ns::PRIVACY].contains(&&*ns))
}

/// Whether an iq asks an archive (XEP-0313). The counts cannot tell: they know only so many namespaces apart.
pub(super) fn asks_archive(view: &View<'_>) -> bool {
    view.payload().is_some_and(|(namespace, _)| rules::is_archive(&namespace))
}

/// The name of an error's defined condition; one nobody knows is taken for undefined (RFC 6120 §8.3.2).
pub(super) fn condition(error: &Element) -> Option<&'static str> {
    let defined = error.children().find(|child| child.ns == ns::STANZA_ERRORS && child.name != "text")?;
    Some(known(&defined.name))
}

fn known(condition: &str) -> &'static str {
    Condition::from_name(condition).unwrap_or(Condition::UndefinedCondition).name()
}
