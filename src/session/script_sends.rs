//! What scripts want besides their verdicts: stanzas sent, requests asked, the session ended.
//!
//! Takes what a script wants, does it. Must not trust a script: what it sends is written, scanned and held to the rules like
//! anything else.

use super::core::Core;
use super::happenings::OwnAsk;
use super::iq::asks_archive;
use super::iq_ledger::{Asker, State};
use super::judge::Judged;
use super::pipeline::{is_answer, kind_of};
use super::{Note, Origin, Outbox, Pair};
use crate::rules::{self, Severity};
use crate::script::{Ask, Send};
use crate::xml::View;
use crate::xmpp::{Condition, Kind, Side, StreamCondition, StreamError, Timestamp};

/// What scripts want besides their verdicts, once these are carried out.
#[derive(Debug, Default)]
pub(super) struct Aftermath {
    pub(super) sends: Vec<Send>,
    pub(super) asks: Vec<Ask>,
    /// The stream error to end with, its text, and who says so.
    pub(super) close: Option<(StreamCondition, String, String)>,
}

impl Aftermath {
    pub(super) const fn is_empty(&self) -> bool {
        self.sends.is_empty() && self.asks.is_empty() && self.close.is_none()
    }
}

impl Core {
    /// Does what a script wanted done besides its verdict: sends, asks, and ends the session. What it sent for a stanza
    /// that comes `again` after a resumption comes again by itself.
    pub(super) fn script_wants(&mut self, after: Aftermath, again: bool, out: &mut Outbox) {
        let Aftermath { sends, asks, close } = after;
        if !again {
            self.script_sends(sends, out);
            for ask in asks {
                self.script_ask(ask, out);
            }
        }
        if let Some((condition, text, by)) = close {
            let text = if text.is_empty() { format!("closed by {by}") } else { text };
            self.fail(Side::Client, StreamError::new(condition, text), out);
        }
    }

    fn script_sends(&mut self, sends: Vec<Send>, out: &mut Outbox) {
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
            if is_answer(&view) {
                pair = self.script_answers(sender, &view)?;
            } else {
                self.script_asks(sender, &view)?;
            }
        }
        let origin = Origin::Made(pair.map_or(0, |pair| pair.request), send.by.clone());
        self.emit(send.to, kind, &send.stanza, origin, pair, out);
        Ok(())
    }

    /// Asks what a script wants to know: under an id that nobody else can have, in the name of the other side.
    fn script_ask(&mut self, ask: Ask, out: &mut Outbox) {
        let Ask { to, mut iq, reply, micros, by } = ask;
        let id = self.own_id();
        iq.set_attr("id", id.as_str());
        if to == Side::Client && iq.attr("from").is_none() {
            iq.set_attr("from", self.account.domain());
        }
        let until = Timestamp(self.now.0.saturating_add(micros));
        if !self.asks.add(OwnAsk { id: id.clone(), until, reply }) {
            let why = "too many requests of scripts are under way: this one is not asked";
            return out.notes.push(Note::ScriptError(format!("{by}: session.ask: {why}")));
        }
        if let Err(why) = self.script_send(&Send { to, stanza: iq, by: by.clone() }, out) {
            self.asks.withdraw(&id);
            out.notes.push(Note::ScriptError(format!("{by}: session.ask: {why}")));
        }
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
        self.memories.forget(row.remembered);
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
        let address = if asker == Side::Client { view.to() } else { view.from() };
        let opened = self.open_own(asker, Asker::Script, &id, address.as_deref(), asks_archive(view));
        opened.map_err(|_| "too many requests are under way (open_iqs)".to_owned())
    }
}
