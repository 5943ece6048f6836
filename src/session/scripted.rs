//! Scripts and the session: what they may know, what becomes of their verdicts, and what they send besides.
//!
//! Takes a stanza that would go on, gives a decision. Must not trust a script: what it makes is written, scanned and held
//! to the rules like anything else, and a script that fails harms one stanza.

use super::core::Core;
use super::decide::Decision;
use super::iq::{Role, asks_archive, rewritten};
use super::iq_ledger::{Asker, Request, State};
use super::judge::Judged;
use super::pipeline::{is_answer, kind_of};
use super::{Note, Origin, Outbox, Pair};
use crate::policy::OnScriptError;
use crate::rules::{self, Finding, Severity};
use crate::script::{Outcome, Send, Verdict};
use crate::xml::{Element, View};
use crate::xmpp::{Condition, Facts, Kind, Side, StanzaError};

impl Core {
    fn facts(&self, side: Side) -> Facts<'_> {
        Facts {
            now: self.now,
            session: self.number,
            side,
            jid: self.jid.as_deref(),
            domain: self.header.to.as_deref().unwrap_or_default(),
            peer: &self.peer,
        }
    }

    /// What the scripts make of a stanza that would go on, and what they send besides. One that a rule has mended is shown to
    /// them as mended.
    pub(super) fn scripted(
        &mut self,
        side: Side,
        kind: Kind,
        view: &View<'_>,
        decision: Decision,
        found: &mut Vec<Finding>,
        out: &mut Outbox,
    ) -> (Decision, Vec<Send>) {
        match decision {
            Decision::Forward => {
                let outcome = self.policy.scripts.run(kind, view, &self.facts(side));
                self.weighed(side, view, outcome, found, out)
            }
            Decision::Change(element, by) => match Judged::new(&element, self.route.limits_after) {
                Ok(mended) => {
                    let outcome = self.policy.scripts.run(kind, &mended.view(), &self.facts(side));
                    match self.weighed(side, &mended.view(), outcome, found, out) {
                        (Decision::Forward, sends) => (Decision::Change(element, by), sends),
                        other => other,
                    }
                }
                Err(_) => (Decision::Drop(by), Vec::new()),
            },
            decision => (decision, Vec::new()),
        }
    }

    /// What the scripts decided, with their own work held to the rules.
    fn weighed(
        &mut self,
        side: Side,
        view: &View<'_>,
        outcome: Outcome,
        found: &mut Vec<Finding>,
        out: &mut Outbox,
    ) -> (Decision, Vec<Send>) {
        out.notes.extend(outcome.logs.into_iter().map(Note::Log));
        let failed = !outcome.errors.is_empty();
        out.notes.extend(outcome.errors.into_iter().map(Note::ScriptError));
        let by = outcome.by.unwrap_or_else(|| "script".to_owned());
        let sends = outcome.sends;
        let goes_on = matches!(outcome.verdict, Verdict::Pass | Verdict::Hold(_));
        // Whatever the others made of it.
        if failed && goes_on && self.policy.on_script_error != OnScriptError::Pass {
            return (self.script_failed(), sends);
        }
        let decision = match (outcome.verdict, outcome.element) {
            (Verdict::Hold(micros), element) if !self.draining => Decision::Hold(micros, by, element.map(Box::new)),
            (Verdict::Pass | Verdict::Hold(_), None) => Decision::Forward,
            (Verdict::Pass | Verdict::Hold(_), Some(element)) => Decision::Change(element, by),
            (Verdict::Drop, _) => Decision::Drop(by),
            (Verdict::Reject(error), _) => Decision::Bounce(error, by),
            (Verdict::Reply(element), _) => Decision::Reply(element, by),
        };
        let made = match &decision {
            Decision::Change(element, by) => Some((element, side, by)),
            Decision::Hold(_, by, Some(element)) => Some((&**element, side, by)),
            Decision::Reply(element, by) => Some((element, side.other(), by)),
            _ => None,
        };
        if let Some((element, sender, by)) = made
            && let Err(why) = self.obeys(element, sender, view).and_then(|()| keeps_faith(&decision, view))
        {
            out.notes.push(Note::ScriptError(format!("{by}: what it made cannot be sent: {why}")));
            return (self.script_failed(), sends);
        }
        if matches!(decision, Decision::Bounce(..) | Decision::Reply(..)) && is_answer(view) {
            found.push(Finding {
                rule: None,
                code: "script-loop",
                severity: Severity::Info,
                text: "a script wanted to answer what may not be answered (RFC 6120 §8.2.3 rule 4, §8.3.1): dropped"
                    .to_owned(),
            });
            let by = match decision {
                Decision::Bounce(_, by) | Decision::Reply(_, by) => by,
                _ => String::new(),
            };
            return (Decision::Drop(by), sends);
        }
        (decision, sends)
    }

    fn script_failed(&self) -> Decision {
        let by = "script error".to_owned();
        match self.policy.on_script_error {
            OnScriptError::Pass => Decision::Forward,
            OnScriptError::Drop => Decision::Drop(by),
            OnScriptError::Reject => {
                let error = StanzaError::new(Condition::InternalServerError).with_text("a script of the proxy failed");
                Decision::Bounce(error, by)
            }
        }
    }

    /// An answer must leave under the id its request was asked under, or whoever asked will not know it. A script that
    /// changes that has failed; where one has renamed the request and not the answer, the answer goes on and the request stays
    /// open.
    pub(super) fn keep_id(
        &mut self,
        role: Role,
        view: &View<'_>,
        decision: Decision,
        out: &mut Outbox,
    ) -> (Decision, Role) {
        let Role::Answer { at: Some(at), condition, evicted } = role else { return (decision, role) };
        let (leaves, changed) = match &decision {
            Decision::Forward | Decision::Hold(_, _, None) => (view.id().unwrap_or_default(), false),
            Decision::Hold(_, _, Some(element)) => (element.attr("id").unwrap_or_default().into(), true),
            Decision::Change(element, _) => (element.attr("id").unwrap_or_default().into(), true),
            Decision::Drop(_) | Decision::Bounce(..) | Decision::Reply(..) => return (decision, role),
        };
        let Some(asked) = self.iqs.row(at).map(|row| row.id()).filter(|asked| rewritten(asked) != rewritten(&leaves))
        else {
            return (decision, role);
        };
        let why =
            format!("an answer leaves under the id {leaves:?}, but was asked under {asked:?}: nobody will know it");
        out.notes.push(Note::ScriptError(why));
        if changed {
            let decision = self.script_failed();
            return self.keep_id(role, view, decision, out);
        }
        self.answer_stopped(role);
        (decision, Role::Answer { at: None, condition, evicted })
    }

    /// Our own scripts obey the rules too, whatever the mode: what they make is scanned, and must break no rule that the
    /// stanza they were given did not break already.
    fn obeys(&self, element: &Element, sender: Side, given: &View<'_>) -> Result<(), String> {
        let judged = Judged::new(element, self.route.limits_after)?;
        let (mut found, mut before) = (Vec::new(), Vec::new());
        let all = rules::Modes::all(rules::Mode::Report);
        rules::check(&judged.view(), sender, &all, &mut found);
        rules::check(given, sender, &all, &mut before);
        let new = |f: &Finding| f.severity == Severity::Violation && before.iter().all(|b| b.code != f.code);
        match found.into_iter().find(new) {
            Some(finding) => Err(format!("{}: {}", finding.code, finding.text)),
            None if kind_of(&judged.view()).is_none() => Err("it is not a message, presence or iq".to_owned()),
            None => Ok(()),
        }
    }

    /// Sends what scripts wanted sent, in order.
    pub(super) fn script_sends(&mut self, sends: Vec<Send>, out: &mut Outbox) {
        for send in sends {
            if let Err(why) = self.script_send(&send, out) {
                let to = if send.to == Side::Client { "to_client" } else { "to_server" };
                out.notes.push(Note::ScriptError(format!("{}: session.{to}: {why}", send.by)));
            }
        }
    }

    fn script_send(&mut self, send: &Send, out: &mut Outbox) -> Result<(), String> {
        let judged = Judged::new(&send.stanza, self.route.limits_after)?;
        let view = judged.view();
        let Some(kind) = kind_of(&view) else {
            return Err("it is not a message, presence or iq".to_owned());
        };
        let (sender, mut found) = (send.to.other(), Vec::new());
        rules::check(&view, sender, &rules::Modes::all(rules::Mode::Report), &mut found);
        if let Some(broken) = found.iter().find(|f| f.severity == Severity::Violation) {
            return Err(format!("{}: {}", broken.code, broken.text));
        }
        let mut pair = None;
        if kind == Kind::Iq {
            if is_answer(&view) { pair = self.script_answers(sender, &view)? } else { self.script_asks(sender, &view)? }
        }
        let origin = Origin::Made(pair.map_or(0, |pair| pair.request), send.by.clone());
        self.emit(send.to, kind, &send.stanza, origin, pair, out);
        Ok(())
    }

    /// A script answers in the place of `answerer`: what it answers must be under way. The true answer will be swallowed.
    fn script_answers(&mut self, answerer: Side, view: &View<'_>) -> Result<Option<Pair>, String> {
        let id = view.id().unwrap_or_default();
        let address = if answerer == Side::Server { view.from() } else { view.to() };
        let Some((at, row)) = self.find_own_row(answerer, &id, address.as_deref()) else {
            return Err(format!(
                "nothing that it could answer is under way with the id {id:?} (RFC 6120 §8.2.3 rule 4)"
            ));
        };
        let micros = self.now.0.saturating_sub(row.at.0);
        let error = view.kind().as_deref() == Some("error");
        self.count_answer(row.namespace, Some(micros), error.then_some(Condition::UndefinedCondition.name()));
        if row.stopped {
            self.iqs.close(at)
        } else {
            self.iqs.settle(at, State::Answered)
        }
        Ok(Some(Pair { request: row.number, micros }))
    }

    /// A script asks in the name of `asker`: the answer will be swallowed.
    fn script_asks(&mut self, asker: Side, view: &View<'_>) -> Result<(), String> {
        let id = view.id().unwrap_or_default();
        let id_seen = rewritten(&id);
        let address = if asker == Side::Client { view.to() } else { view.from() };
        let request = Request {
            id: &id,
            id_seen: &id_seen,
            address: address.as_deref(),
            peer: self.account.peer(address.as_deref()),
            bound: true,
            timed: true,
            asker: Asker::Script,
            number: 0,
            namespace: None,
            archive: asks_archive(view),
            at: self.now,
            stopped: false,
        };
        let opened = self.iqs.open(asker, self.account.hash(id_seen.as_bytes()), &request, self.route.open_iqs);
        opened.map(|_| ()).map_err(|_| "too many requests are under way (open_iqs)".to_owned())
    }
}

/// What the ledger lives by: a request stays a request, an answer an answer, and a reply answers what was asked.
fn keeps_faith(decision: &Decision, given: &View<'_>) -> Result<(), String> {
    let iq = given.name() == "iq";
    let answers = |element: &Element| matches!(element.attr("type"), Some("result" | "error"));
    let changed = match decision {
        Decision::Change(element, _) => Some(element),
        Decision::Hold(_, _, element) => element.as_deref(),
        _ => None,
    };
    if changed.is_some_and(|element| iq && answers(element) != is_answer(given)) {
        return Err("a request may not become an answer, nor an answer a request".to_owned());
    }
    match decision {
        Decision::Reply(element, _)
            if iq
                && !is_answer(given)
                && !(answers(element) && element.name == "iq" && element.attr("id") == given.id().as_deref()) =>
        {
            Err("a request is answered by an iq of type result or error with its id (use session.to_client and \
                 session.to_server for anything else)"
                .to_owned())
        }
        _ => Ok(()),
    }
}
