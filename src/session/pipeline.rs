//! One stanza, from one leg to the other: rules, scripts, counts, out. The order of the stages is the order of the calls
//! in [`Core::stanza`].
//!
//! Takes a judged element, gives bytes and notes. Must not answer a result or an error (RFC 6120 §8.2.3 rule 4), and must
//! not forward what was not judged: an untouched stanza leaves as the very bytes the scanner accepted, a changed one is
//! written by the one writer and judged again.

use super::core::{ClientPhase, Core, ServerPhase};
use super::judge::Judged;
use super::{Fate, Note, Origin, Outbox, What};
use crate::policy::{ClientTls, Forward, OnScriptError};
use crate::rules::{self, Enforce, Finding, Severity};
use crate::script::{Outcome, Verdict};
use crate::xml::{Element, Node, View, rehome};
use crate::xmpp::{Condition, Facts, Kind, Side, StanzaError, StreamCondition, StreamError, error, ns};

/// What shall become of a stanza, and who says so.
enum Decision {
    Forward,
    Change(Element, String),
    Drop(String),
    Bounce(StanzaError, String),
    Reply(Element, String),
}

impl Core {
    /// A first-level element came in.
    pub(super) fn element(&mut self, side: Side, view: &View<'_>, out: &mut Outbox) {
        if self.joined() {
            match kind_of(view) {
                Some(kind) => self.stanza(side, kind, view, out),
                None if side == Side::Client => self.client_other(view, out),
                None => self.server_other(view, out),
            }
        } else if side == Side::Server {
            self.server_negotiates(view, out);
        } else if self.client == ClientPhase::StartTls {
            self.client_negotiates_tls(view, out);
        } else {
            self.unexpected(side, view, out);
        }
    }

    /// White space between elements: the peers' sign of life, passed on where it may stand (RFC 6120 §4.6.1).
    pub(super) fn space(&mut self, side: Side, bytes: &[u8], out: &mut Outbox) {
        let live = self.authenticated && self.server == ServerPhase::Joined && self.client == ClientPhase::Joined;
        let fate = if live { Fate::Passed } else { Fate::Handled };
        let number = self.note_in(side, What::Space, bytes, fate, out);
        if live {
            self.send(side.other(), What::Space, bytes, Origin::Forwarded(number), out);
        }
    }

    fn stanza(&mut self, side: Side, kind: Kind, view: &View<'_>, out: &mut Outbox) {
        let number = self.next_item();
        self.tally.stanza(side, kind, view.bytes.len());
        let mut found = Vec::new();
        let enforce = rules::check(view, side, &self.policy.rules, &mut found);
        let mut decision = Decision::Forward;
        if let Some(enforce) = enforce {
            let Some(decided) = self.enforced(side, view, enforce, &found, out) else { return };
            decision = decided;
        }
        if self.jid.is_some() && self.policy.scripts.listens(kind) {
            decision = self.scripted(side, kind, view, decision, &mut found, out);
        }
        if kind == Kind::Iq {
            if self.jid.is_none() && side == Side::Client && matches!(decision, Decision::Forward) {
                self.watch_login(view);
            }
            self.pending_iqs.request(&mut self.tally, side, view);
        }
        self.carry_out(number, side, kind, view, decision, found, out);
    }

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

    /// What an enforced rule asks for. `None` if the stanza could not be opened: the session is over then.
    fn enforced(
        &mut self,
        side: Side,
        view: &View<'_>,
        enforce: Enforce,
        found: &[Finding],
        out: &mut Outbox,
    ) -> Option<Decision> {
        let broken = found.iter().find(|f| f.severity == Severity::Violation);
        let by = broken.map_or("rules", |f| f.code).to_owned();
        let legacy = self.policy.legacy_codes;
        Some(match enforce {
            Enforce::Bounce(error) => Decision::Bounce(error, by),
            Enforce::Drop => Decision::Drop(by),
            Enforce::TurnIntoError(error) => {
                let mut iq = self.tree(side, view, out)?;
                iq.set_attr("type", "error");
                iq.nodes = vec![Node::Element(error.element(legacy))];
                Decision::Change(iq, by)
            }
            Enforce::AddError(error) => {
                let iq = self.tree(side, view, out)?.with_child(error.element(legacy));
                Decision::Change(iq, by)
            }
        })
    }

    /// What the scripts make of a stanza that would go on. One that a rule has mended is shown to them as mended.
    fn scripted(
        &mut self,
        side: Side,
        kind: Kind,
        view: &View<'_>,
        decision: Decision,
        found: &mut Vec<Finding>,
        out: &mut Outbox,
    ) -> Decision {
        match decision {
            Decision::Forward => {
                let outcome = self.policy.scripts.run(kind, view, &self.facts(side));
                self.weighed(side, view, outcome, found, out)
            }
            Decision::Change(element, by) => match Judged::new(&element, self.route.limits_after) {
                Ok(mended) => {
                    let outcome = self.policy.scripts.run(kind, &mended.view(), &self.facts(side));
                    match self.weighed(side, &mended.view(), outcome, found, out) {
                        Decision::Forward => Decision::Change(element, by),
                        decision => decision,
                    }
                }
                Err(_) => Decision::Drop(by),
            },
            decision => decision,
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
    ) -> Decision {
        out.notes.extend(outcome.logs.into_iter().map(Note::Log));
        let failed = !outcome.errors.is_empty();
        out.notes.extend(outcome.errors.into_iter().map(Note::ScriptError));
        let by = outcome.by.unwrap_or_else(|| "script".to_owned());
        let decision = match (outcome.verdict, outcome.element) {
            (Verdict::Pass, None) if failed => return self.script_failed(),
            (Verdict::Pass, None) => Decision::Forward,
            (Verdict::Pass, Some(element)) => Decision::Change(element, by),
            (Verdict::Drop, _) => Decision::Drop(by),
            (Verdict::Reject(error), _) => Decision::Bounce(error, by),
            (Verdict::Reply(element), _) => Decision::Reply(element, by),
        };
        let made = match &decision {
            Decision::Change(element, by) => Some((element, side, by)),
            Decision::Reply(element, by) => Some((element, side.other(), by)),
            _ => None,
        };
        if let Some((element, sender, by)) = made
            && let Err(why) = self.obeys(element, sender, view)
        {
            out.notes.push(Note::ScriptError(format!("{by}: what it made cannot be sent: {why}")));
            return self.script_failed();
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
            return Decision::Drop(by);
        }
        decision
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

    #[expect(clippy::too_many_arguments, reason = "the one place where all of a stanza's story comes together")]
    fn carry_out(
        &mut self,
        number: u64,
        side: Side,
        kind: Kind,
        view: &View<'_>,
        decision: Decision,
        found: Vec<Finding>,
        out: &mut Outbox,
    ) {
        let what = What::Stanza(kind);
        match decision {
            Decision::Forward => {
                self.saw_stanza(number, side, kind, view, Fate::Passed, found, out);
                self.forward(number, side, what, view, out);
                if kind == Kind::Iq {
                    self.pending_iqs.answer(&mut self.tally, side, view);
                    if self.jid.is_none() && side == Side::Server {
                        self.watch_bind(view, out);
                    }
                }
            }
            Decision::Change(element, by) => {
                self.saw_stanza(number, side, kind, view, Fate::Rewritten(by.clone()), found, out);
                self.send_element(side.other(), what, &element, Origin::Rewritten(number, by), out);
                self.tally.rewritten += 1;
                if kind == Kind::Iq {
                    self.pending_iqs.answer_as(&mut self.tally, side, view, element.attr("type") == Some("error"));
                }
            }
            Decision::Drop(by) => {
                self.saw_stanza(number, side, kind, view, Fate::Dropped(by), found, out);
                self.tally.stopped += 1;
            }
            Decision::Bounce(error, by) => {
                let Some(stanza) = self.tree(side, view, out) else { return };
                let Some(mut reply) = error::error_reply(&stanza, &error, self.policy.legacy_codes) else {
                    let drop = Decision::Drop(by);
                    return self.carry_out(number, side, kind, view, drop, found, out);
                };
                self.address(side, &mut reply);
                let fate = Fate::Rejected(error.condition.name().to_owned(), by.clone());
                self.saw_stanza(number, side, kind, view, fate, found, out);
                self.answer(number, side, kind, view, &reply, by, out);
            }
            Decision::Reply(mut reply, by) => {
                self.address(side, &mut reply);
                self.saw_stanza(number, side, kind, view, Fate::Answered(by.clone()), found, out);
                self.answer(number, side, kind, view, &reply, by, out);
            }
        }
    }

    /// Sends an answer of our own making back to where the stanza came from.
    #[expect(clippy::too_many_arguments, reason = "an answer belongs to a stanza, and both have to be told of")]
    fn answer(
        &mut self,
        number: u64,
        side: Side,
        kind: Kind,
        view: &View<'_>,
        reply: &Element,
        by: String,
        out: &mut Outbox,
    ) {
        self.send_element(side, What::Stanza(kind), reply, Origin::Made(number, by), out);
        self.tally.stopped += 1;
        if kind == Kind::Iq {
            self.pending_iqs.answered_here(&mut self.tally, side, view, reply.attr("type") == Some("error"));
        }
    }

    /// What we answer the client bears its full JID, as a server's answer would; to the server we speak as the client,
    /// who leaves `from` to it (RFC 6120 §8.1.2.1).
    fn address(&self, side: Side, reply: &mut Element) {
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

    /// Forwards what was judged: the very bytes. If they lean on the sender's stream root, what it declared is declared on
    /// the stanza; if the policy says so, everything is written anew.
    fn forward(&mut self, number: u64, side: Side, what: What, view: &View<'_>, out: &mut Outbox) {
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
        self.forward(number, side, What::Other, view, out);
    }

    fn client_other(&mut self, view: &View<'_>, out: &mut Outbox) {
        let ns = view.ns();
        match (ns.as_ref(), view.name()) {
            (ns::SASL, "auth" | "response" | "abort") => self.client_sasl(view, out),
            (ns::TLS, "starttls") => {
                self.note_in(Side::Client, What::Other, view.bytes, Fate::Handled, out);
                let may = self.route.client_tls == ClientTls::Offer && !self.authenticated;
                if may && !self.leg_ref(Side::Client).tls { self.proceed(out) } else { self.refuse_starttls(out) }
            }
            (ns::STREAM, "error") => {
                self.note_in(Side::Client, What::Other, view.bytes, Fate::Handled, out);
                self.client_error(view, out);
            }
            (ns::SM2 | ns::SM3, name) => self.refuse_sm(view, ns.as_ref(), name, out),
            (ns::COMPRESS, "compress") => {
                let failure =
                    Element::new(ns::COMPRESS, "failure").with_child(Element::new(ns::COMPRESS, "setup-failed"));
                self.refuse_other(view, &failure, "compression", out);
            }
            (ns::CLIENT | ns::STREAM | ns::SASL | ns::SASL2 | ns::TLS, _) => self.unexpected(Side::Client, view, out),
            (_, name) if is_stanza_name(name) => self.unexpected(Side::Client, view, out),
            _ => self.forward_other(Side::Client, view, out),
        }
    }

    /// Stream management was not offered; whoever asks all the same is told so, as XEP-0198 §3 and §5 say.
    fn refuse_sm(&mut self, view: &View<'_>, sm: &str, name: &str, out: &mut Outbox) {
        let condition = match name {
            "enable" => Condition::FeatureNotImplemented,
            "resume" => Condition::ItemNotFound,
            _ => {
                let fate = Fate::Dropped("stream management is not offered here".to_owned());
                self.note_in(Side::Client, What::Other, view.bytes, fate, out);
                return;
            }
        };
        let failed = Element::new(sm, "failed").with_child(Element::new(ns::STANZA_ERRORS, condition.name()));
        self.refuse_other(view, &failed, "sm", out);
    }

    fn refuse_other(&mut self, view: &View<'_>, answer: &Element, by: &str, out: &mut Outbox) {
        let number = self.note_in(Side::Client, What::Other, view.bytes, Fate::Answered(by.to_owned()), out);
        self.send_element(Side::Client, What::Other, answer, Origin::Made(number, by.to_owned()), out);
    }

    fn server_other(&mut self, view: &View<'_>, out: &mut Outbox) {
        let ns = view.ns();
        match (ns.as_ref(), view.name()) {
            (ns::SASL, "challenge" | "success" | "failure") => self.server_sasl(view, out),
            (ns::STREAM, "error") => {
                self.note_in(Side::Server, What::Other, view.bytes, Fate::Handled, out);
                self.server_error(view, out);
            }
            // COMPAT: Prosody 0.12 sends features to a client that gave no version: none may reach it (RFC 6120 §4.7.5).
            (ns::STREAM, "features") if !self.server_header.has_features() || !self.header.has_features() => {
                self.note_in(Side::Server, What::Other, view.bytes, Fate::Handled, out);
            }
            (ns::CLIENT | ns::STREAM | ns::SASL | ns::TLS, _) => self.unexpected(Side::Server, view, out),
            (_, name) if is_stanza_name(name) => self.unexpected(Side::Server, view, out),
            _ => self.forward_other(Side::Server, view, out),
        }
    }
}

/// Which stanza an element is, by its expanded name (RFC 6120 §8).
fn kind_of(view: &View<'_>) -> Option<Kind> {
    let kind = match view.name() {
        "message" => Kind::Message,
        "presence" => Kind::Presence,
        "iq" => Kind::Iq,
        _ => return None,
    };
    view.name_is(&view.head.name, ns::CLIENT, kind.name()).then_some(kind)
}

/// Whether an element of another namespace bears a stanza's name. Some servers take those of other content namespaces
/// for stanzas (ejabberd: `jabber:component:accept`), so they would pass the rules by.
fn is_stanza_name(name: &str) -> bool {
    matches!(name, "message" | "presence" | "iq")
}

/// Whether a stanza may not be answered: an IQ result or error, or any other stanza of type error.
fn is_answer(view: &View<'_>) -> bool {
    match view.kind().as_deref() {
        Some("error") => true,
        Some("result") => view.name() == "iq",
        _ => false,
    }
}
