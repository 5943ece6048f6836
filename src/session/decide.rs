//! Carrying out what was decided about a stanza: forwarding, rewriting, dropping, answering; and the one door for all that is
//! made here ([`Core::emit`]).
//!
//! Takes a decision, gives bytes and notes, and keeps the ledgers true: they count what left. Must not forward what was
//! not judged: an untouched stanza leaves as the very bytes the scanner accepted, a changed one is written by the one writer.

use super::answers::Stored;
use super::core::Core;
use super::iq::{Role, condition};
use super::judge::Judged;
use super::{Fate, Origin, Outbox, Pair, What};
use crate::policy::Forward;
use crate::rules::Finding;
use crate::xml::{Element, Scope, View, rehome, write_element};
use crate::xmpp::{Kind, Side, StanzaError, StreamCondition, StreamError, error, ns};
use bytes::BytesMut;

/// What shall become of a stanza, and who says so.
pub(super) enum Decision {
    Forward,
    Change(Element, String),
    Drop(String),
    Bounce(StanzaError, String),
    Reply(Element, String),
    /// Answered once the store has done its part.
    Store(Box<Stored>, String),
    /// Goes on after so many microseconds, says who; as a script has changed it before.
    Hold(u64, String, Option<Box<Element>>),
}

/// A stanza as a script has changed it, and which.
pub(super) type Edited = (Element, String);

/// A stanza on its way through the pipeline.
#[derive(Clone, Copy)]
pub(super) struct Passing<'a> {
    /// Its item number.
    pub(super) number: u64,
    /// Where it came from.
    pub(super) side: Side,
    pub(super) kind: Kind,
    pub(super) view: &'a View<'a>,
    /// What it is to the ledger.
    pub(super) role: Role,
}

impl Core {
    pub(super) fn carry_out(
        &mut self,
        stanza: Passing<'_>,
        decision: Decision,
        mut found: Vec<Finding>,
        out: &mut Outbox,
    ) {
        let Passing { number, side, view, role, .. } = stanza;
        let decision = self.admit(number, side, view, role, decision, &mut found);
        match decision {
            Decision::Forward => {
                self.saw(stanza, Fate::Passed, found, self.pair(role), out);
                self.forward(stanza, out);
                self.answered(role);
                if stanza.kind == Kind::Iq && self.jid.is_none() && side == Side::Server {
                    self.watch_bind(view, out);
                }
            }
            Decision::Change(element, by) => {
                let pair = self.pair(role);
                self.saw(stanza, Fate::Rewritten(by.clone()), found, pair, out);
                self.send_element(
                    side.other(),
                    What::Stanza(stanza.kind),
                    &element,
                    Origin::Rewritten(number, by),
                    out,
                );
                self.sm_forwarded(side, view, out);
                self.tally.rewritten += 1;
                self.answered(role.as_sent(&element));
            }
            Decision::Drop(by) => {
                self.saw(stanza, Fate::Dropped(by), found, None, out);
                self.stopped(stanza, out);
                self.answer_stopped(role);
            }
            Decision::Bounce(error, by) => self.bounce(stanza, &error, by, found, out),
            Decision::Reply(mut reply, by) => {
                self.address(side, &mut reply);
                self.saw(stanza, Fate::Answered(by.clone()), found, None, out);
                self.answer(stanza, &reply, by, out);
            }
            Decision::Store(stored, by) => {
                self.saw(stanza, Fate::Answered(by.clone()), found, None, out);
                self.stopped(stanza, out);
                self.ask_store(*stored, by, out);
            }
            Decision::Hold(..) => {} // it was put aside before it came here
        }
    }

    fn bounce(&mut self, stanza: Passing<'_>, error: &StanzaError, by: String, found: Vec<Finding>, out: &mut Outbox) {
        let Passing { side, view, .. } = stanza;
        let opened = if error::may_echo(view) { self.tree(side, view, out) } else { self.shell(side, view, out) };
        let Some(opened) = opened else { return };
        let Some(mut reply) = error::error_reply(&opened, error, self.policy.legacy_codes) else {
            return self.carry_out(stanza, Decision::Drop(by), found, out);
        };
        self.address(stanza.side, &mut reply);
        let fate = Fate::Rejected(error.condition.name().to_owned(), by.clone());
        self.saw(stanza, fate, found, None, out);
        self.answer(stanza, &reply, by, out);
    }

    /// Sends an answer of our own making back to where the stanza came from.
    fn answer(&mut self, stanza: Passing<'_>, reply: &Element, by: String, out: &mut Outbox) {
        self.stopped(stanza, out);
        self.answered_here(stanza.role, reply);
        self.emit(stanza.side, stanza.kind, reply, Origin::Made(stanza.number, by), None, out);
    }

    /// A stanza does not go on.
    fn stopped(&mut self, stanza: Passing<'_>, out: &mut Outbox) {
        self.tally.stopped += 1;
        self.sm_swallowed(stanza.side, stanza.view, out);
    }

    fn saw(&mut self, stanza: Passing<'_>, fate: Fate, found: Vec<Finding>, pair: Option<Pair>, out: &mut Outbox) {
        let what = What::Stanza(stanza.kind);
        self.saw_found(stanza.number, stanza.side, what, stanza.view, fate, found, pair, out);
    }

    /// Sends a stanza made here. All of them leave through here, so that stream management counts each.
    pub(super) fn emit(
        &mut self,
        to: Side,
        kind: Kind,
        stanza: &Element,
        origin: Origin,
        pair: Option<Pair>,
        out: &mut Outbox,
    ) {
        let mut bytes = BytesMut::new();
        write_element(stanza, Scope::Stream, &mut bytes);
        if self.send_paired(to, What::Stanza(kind), &bytes, origin, pair, out) {
            self.sm_injected(to, &bytes, out);
        }
    }

    /// What we answer the client bears its full JID, as a server's answer would; to the server we speak as the client,
    /// who leaves `from` to it (RFC 6120 §8.1.2.1).
    pub(super) fn address(&self, side: Side, reply: &mut Element) {
        match side {
            Side::Client => {
                if let Some(jid) = &self.jid {
                    reply.set_attr("to", jid.clone());
                }
            }
            Side::Server => {
                reply.remove_attr("from");
            }
        }
    }

    fn forward(&mut self, stanza: Passing<'_>, out: &mut Outbox) {
        self.forward_view(stanza.number, stanza.side, What::Stanza(stanza.kind), stanza.view, out);
        self.sm_forwarded(stanza.side, stanza.view, out);
    }

    /// Forwards what was judged: the very bytes. If they lean on the sender's stream root, what it declared is declared on
    /// the stanza; if the policy says so, everything is written anew.
    pub(super) fn forward_view(&mut self, number: u64, side: Side, what: What, view: &View<'_>, out: &mut Outbox) {
        let origin = Origin::Forwarded(number);
        if self.policy.forward == Forward::Normal {
            let Some(element) = self.tree(side, view, out) else { return };
            let Ok(judged) = Judged::new(&element, self.route.limits_after) else {
                let text = "written anew, with its namespaces declared, it is more than a stanza may be";
                return self.fail(side, StreamError::new(StreamCondition::PolicyViolation, text), out);
            };
            self.send(side.other(), what, judged.view().bytes, origin, out);
        } else if view.head.leans {
            self.send(side.other(), what, &rehome(view.bytes, view.root), origin, out);
        } else {
            self.send(side.other(), what, view.bytes, origin, out);
        }
    }

    /// Forwards a first-level element that is no stanza.
    pub(super) fn forward_other(&mut self, side: Side, view: &View<'_>, out: &mut Outbox) {
        let number = self.note_in(side, What::Other, view.bytes, Fate::Passed, out);
        self.forward_view(number, side, What::Other, view, out);
    }
}

impl Role {
    /// The same, for an answer that leaves otherwise than it came.
    fn as_sent(self, element: &Element) -> Self {
        match self {
            Self::Answer { at, evicted, .. } => {
                let error = element.child(ns::CLIENT, "error").filter(|_| element.attr("type") == Some("error"));
                Self::Answer { at, condition: error.and_then(condition), evicted }
            }
            role => role,
        }
    }
}
