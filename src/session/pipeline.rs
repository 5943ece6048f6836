//! One stanza, from one leg to the other: rules, scripts, counts, out. The order of the stages is the order of the calls
//! in [`Core::stanza`]. And what becomes of first-level elements that are no stanzas.
//!
//! Takes a judged element, gives a decision to be carried out (`decide`). Must not answer a result or an error (RFC 6120 §8.2.3
//! rule 4).

use super::core::{ClientPhase, Core, ServerPhase};
use super::decide::{Decision, Edited, Passing};
use super::iq::Role;
use super::script_sends::Aftermath;
use super::sm_ledger::Arrival;
use super::{Fate, Note, Origin, Outbox, What};
use crate::policy::{ClientTls, SmMode};
use crate::rules::{self, Enforce, Finding, Rule};
use crate::script::LogLine;
use crate::xml::{Element, Node, View};
use crate::xmpp::{Condition, Kind, Side, ns};

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
        let again = match self.arrives(side, view, out) {
            Arrival::New => false,
            Arrival::Again => true,
            Arrival::Settled => return self.settled(side, kind, view, out),
        };
        self.tally.stanza(side, kind, view.bytes.len());
        self.judge(side, kind, view, Stage { again, released: false }, None, out);
    }

    /// All stages. `stage` says which of them are behind a stanza already, `edited` what a script has made of it then.
    pub(super) fn judge(
        &mut self,
        side: Side,
        kind: Kind,
        view: &View<'_>,
        stage: Stage,
        edited: Option<Box<Edited>>,
        out: &mut Outbox,
    ) {
        self.forget_evicted();
        let mut found = Vec::new();
        let enforce = rules::check(view, side, &self.policy.rules, &mut found);
        // Whatever else is wrong with a forged push: it is answered as if nobody were there.
        let enforce = self.check_sender(side, kind, view, &mut found).or(enforce);
        let (mut role, weighed) = match kind {
            Kind::Iq => self.weigh_iq(side, view, stage, &mut found),
            Kind::Message | Kind::Presence => (Role::None, None),
        };
        let mut decision = match (weighed, enforce) {
            // Both drop it; the one that comes first in the RFC is named.
            (Some(decision), enforce) if !matches!(enforce, Some((_, Enforce::Drop))) => decision,
            (_, None) => Decision::Forward,
            (_, Some(enforce)) => {
                let Some(decided) = self.enforced(side, view, enforce, out) else { return };
                decided
            }
        };
        let mut after = Aftermath::default();
        if let (Decision::Forward | Decision::Change(..), Some(edited)) = (&decision, edited) {
            decision = Decision::Change(edited.0, edited.1);
        } else if self.jid.is_some() && !stage.released && self.policy.asks_scripts(kind) {
            (decision, after) = self.scripted(side, kind, view, role, decision, &mut found, out);
            (decision, role) = self.keep_id(role, view, decision, out);
        }
        decision = self.in_its_place(side, kind, view, role, decision, out);
        if self.over {
            return;
        }
        if let Decision::Hold(micros, by, edited) = decision {
            let what = format!("lets the {} wait {} ms", kind.name(), micros / 1000);
            out.notes.push(Note::Log(LogLine { level: "info", text: what, script: by.clone() }));
            let edited = edited.map(|element| Box::new((*element, by)));
            self.hold(side, view, stage.again, micros, edited);
        } else {
            if kind == Kind::Iq && self.jid.is_none() && side == Side::Client && matches!(decision, Decision::Forward) {
                self.watch_login(view);
            }
            self.spend(side, role);
            let number = self.next_item();
            self.carry_out(Passing { number, side, kind, view, role }, decision, found, out);
            self.hide_presence(out);
        }
        self.tags = Vec::new();
        if !after.is_empty() {
            self.script_wants(after, stage.again, out);
        }
        self.script_replied(side, view, out);
    }

    /// What is done in the server's place: who is blocked is held back, requests are answered, and what the server says of itself is
    /// made true.
    fn in_its_place(
        &mut self,
        side: Side,
        kind: Kind,
        view: &View<'_>,
        role: Role,
        mut decision: Decision,
        out: &mut Outbox,
    ) -> Decision {
        if self.profile.is_some() {
            decision = self.weigh_profile(side, kind, view, decision, out);
        }
        match (kind, side) {
            _ if self.over => decision,
            (Kind::Iq, Side::Client) => {
                let decision = self.answer_here(view, decision, out);
                self.ask_by_its_node(view, decision, out)
            }
            (Kind::Iq, Side::Server) => {
                let decision = self.fall_back(view, role, decision, out);
                self.tell_the_truth(view, role, decision, out)
            }
            (Kind::Message | Kind::Presence, _) => decision,
        }
    }

    /// Who may send this, as far as that can be seen: once the server has told who the client is.
    fn check_sender(
        &self,
        side: Side,
        kind: Kind,
        view: &View<'_>,
        found: &mut Vec<Finding>,
    ) -> Option<(Rule, Enforce)> {
        if side == Side::Client || !self.account.is_bound() {
            return None;
        }
        let asked = |peer| self.is_archive_asked(peer);
        rules::check_sender(view, kind, &self.account, &self.policy.rules, &asked, found)
    }

    /// What an enforced rule asks for. `None` if the stanza could not be opened: the session is over then.
    fn enforced(
        &mut self,
        side: Side,
        view: &View<'_>,
        (rule, enforce): (Rule, Enforce),
        out: &mut Outbox,
    ) -> Option<Decision> {
        let by = rule.code().to_owned();
        let legacy = self.policy.legacy_codes;
        Some(match enforce {
            Enforce::Bounce(error) => Decision::Bounce(error, by),
            Enforce::Drop => Decision::Drop(by),
            Enforce::TurnIntoError(error) => {
                let mut iq = self.shell(side, view, out)?;
                iq.set_attr("type", "error");
                Decision::Change(iq.with_child(error.element(legacy)), by)
            }
            Enforce::AddError(error) => {
                let iq = self.tree(side, view, out)?.with_child(error.element(legacy));
                Decision::Change(iq, by)
            }
            Enforce::StripError => {
                let mut iq = self.tree(side, view, out)?;
                iq.nodes.retain(|node| !matches!(node, Node::Element(child) if child.is(ns::CLIENT, "error")));
                Decision::Change(iq, by)
            }
            Enforce::FirstCondition => Decision::Change(with_first_condition(self.tree(side, view, out)?), by),
        })
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
            (ns::SM2 | ns::SM3, name) if self.route.sm == SmMode::Strip => self.refuse_sm(view, ns.as_ref(), name, out),
            (ns::SM2 | ns::SM3, _) => self.client_sm(view, out),
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
            _ => return self.drop_sm(Side::Client, view, out),
        };
        let failed = Element::new(sm, "failed").with_child(Element::new(ns::STANZA_ERRORS, condition.name()));
        self.refuse_other(view, &failed, "sm", out);
    }

    fn drop_sm(&mut self, side: Side, view: &View<'_>, out: &mut Outbox) {
        let fate = Fate::Dropped("stream management is not offered here".to_owned());
        self.note_in(side, What::Other, view.bytes, fate, out);
    }

    pub(super) fn refuse_other(&mut self, view: &View<'_>, answer: &Element, by: &str, out: &mut Outbox) {
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
            (ns::SM2 | ns::SM3, _) if self.route.sm == SmMode::Strip => self.drop_sm(Side::Server, view, out),
            (ns::SM2 | ns::SM3, _) => self.server_sm(view, out),
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

/// Which stages are behind a stanza already.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stage {
    /// Its sender sends it again after a resumption.
    pub(super) again: bool,
    /// A script has let it wait, and it goes on now.
    pub(super) released: bool,
}

/// Which stanza an element is, by its expanded name (RFC 6120 §8).
pub(super) fn kind_of(view: &View<'_>) -> Option<Kind> {
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
pub(super) fn is_answer(view: &View<'_>) -> bool {
    match view.kind().as_deref() {
        Some("error") => true,
        Some("result") => view.name() == "iq",
        _ => false,
    }
}

fn with_first_condition(mut iq: Element) -> Element {
    let mut seen = false;
    for error in iq.children_mut().filter(|child| child.is(ns::CLIENT, "error")) {
        error.nodes.retain(|node| match node {
            Node::Element(c) if c.ns == ns::STANZA_ERRORS && c.name != "text" => !std::mem::replace(&mut seen, true),
            _ => true,
        });
    }
    iq
}
