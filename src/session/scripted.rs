//! Scripts and the stanza: what is shown to them, and what becomes of their verdicts.
//!
//! Takes a stanza that would go on, gives a decision. Must not trust a script: what it makes is written, scanned and held
//! to the rules like anything else, and a script that fails harms one stanza.

use super::core::Core;
use super::decide::Decision;
use super::iq::{Role, rewritten};
use super::judge::Judged;
use super::pipeline::{is_answer, kind_of};
use super::script_sends::Aftermath;
use super::{Note, Outbox};
use crate::policy::OnScriptError;
use crate::rules::{self, Finding, Severity};
use crate::script::{self, Outcome, ScriptSet, Verdict};
use crate::xml::{Element, View};
use crate::xmpp::{Condition, Kind, Side, StanzaError};

impl Core {
    /// What the scripts make of a stanza that would go on, and what they send besides. One that a rule has mended is shown to
    /// them as mended.
    #[expect(clippy::too_many_arguments, reason = "a stanza's way through the scripts is described by just these")]
    pub(super) fn scripted(
        &mut self,
        side: Side,
        kind: Kind,
        view: &View<'_>,
        role: Role,
        decision: Decision,
        found: &mut Vec<Finding>,
        out: &mut Outbox,
    ) -> (Decision, Aftermath) {
        let request = self.remembered(role);
        match decision {
            Decision::Forward if self.is_wanted(side, kind, view, request) => {
                self.shown(side, kind, view, request, found, out)
            }
            Decision::Change(element, by) => match Judged::new(&element, self.route.limits_after) {
                Ok(mended) => match self.shown(side, kind, &mended.view(), request, found, out) {
                    (Decision::Forward, after) => (Decision::Change(element, by), after),
                    other => other,
                },
                Err(_) => (Decision::Drop(by), Aftermath::default()),
            },
            decision => (decision, Aftermath::default()),
        }
    }

    fn is_wanted(&self, side: Side, kind: Kind, view: &View<'_>, request: Option<u64>) -> bool {
        let wants = |scripts: &ScriptSet| scripts.wants(kind, view, side, request.is_some());
        wants(&self.policy.scripts) || wants(&self.policy.shadow)
    }

    /// Shows the scripts a stanza. The shadow scripts see it too, and if they decide otherwise, that is told.
    fn shown(
        &mut self,
        side: Side,
        kind: Kind,
        view: &View<'_>,
        request: Option<u64>,
        found: &mut Vec<Finding>,
        out: &mut Outbox,
    ) -> (Decision, Aftermath) {
        let outcome = self.with_scripts(side, |scripts, facts, memory| scripts.run(kind, view, request, facts, memory));
        self.shadowed(side, kind, view, request, &outcome, out);
        self.weighed(side, kind, view, outcome, found, out)
    }

    /// What the scripts decided, with their own work held to the rules.
    fn weighed(
        &mut self,
        side: Side,
        kind: Kind,
        view: &View<'_>,
        outcome: Outcome,
        found: &mut Vec<Finding>,
        out: &mut Outbox,
    ) -> (Decision, Aftermath) {
        let Outcome { verdict, by, element, sends, asks, close, tags, logs, failed, errors } = outcome;
        out.notes.extend(logs.into_iter().map(Note::Log));
        for error in errors {
            out.notes.push(Note::ScriptError(format!("{error} (at {})", script::named(kind, view, side))));
        }
        self.tags = tags;
        let after = Aftermath { sends, asks, close };
        let by = by.unwrap_or_else(|| "script".to_owned());
        let goes_on = matches!(verdict, Verdict::Pass | Verdict::Hold(_));
        // Whatever the others made of it.
        if failed && goes_on && self.policy.on_script_error != OnScriptError::Pass {
            return (self.script_failed(), after);
        }
        let decision = match (verdict, element) {
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
            return (self.script_failed(), after);
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
            return (Decision::Drop(by), after);
        }
        (decision, after)
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
            Decision::Drop(_) | Decision::Bounce(..) | Decision::Reply(..) | Decision::Store(..) => {
                return (decision, role);
            }
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
