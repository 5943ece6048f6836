//! Stream management (XEP-0198) between two peers whose counts differ: enabling, acknowledgements, and counting.
//!
//! Takes the peers' elements of `urn:xmpp:sm:2` and `:3` and what became of each stanza; gives acknowledgements that are true
//! for the one who gets them. Must not acknowledge on its own authority: a count reaches a sender only after the
//! receiver's own (or the decision not to send the stanza on).
//!
//! ```text
//! none --C:<enable/>--> UP counts --S:<enabled/>--> DOWN counts too --C:<enable/>--> answered <failed/> here
//!   ^                      |
//!   +----- S:<failed/> ----+
//! ```

use super::core::Core;
use super::resume::Resuming;
use super::sm_ledger::{Ack, Arrival, SmLedger};
use super::{Act, Fate, Origin, Outbox, What};
use crate::rules::{Finding, Severity};
use crate::xml::{Element, View};
use crate::xmpp::{Account, Condition, Kind, Side, StreamCondition, StreamError, ns};
use bytes::Bytes;

/// What a resumable session is known by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SmKey {
    /// The domain of its server.
    pub domain: String,
    /// The id the server gave it (XEP-0198 §5).
    pub id: String,
}

/// An SM-ID should not be longer (XEP-0198 §5); each is kept several times over.
pub(super) const SM_ID_BYTES: usize = 4000;

/// The counts of a stream-managed session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sm {
    /// By the sender's side: 0 is what the client sends.
    pub(super) ledgers: [SmLedger; 2],
    /// Whether the server has said `<enabled/>`.
    pub(super) enabled: bool,
    /// `urn:xmpp:sm:2` or `:3`: whichever was negotiated is spoken.
    pub(super) ns: &'static str,
    /// What it can be resumed by.
    pub(super) key: Option<SmKey>,
    /// For how long, in seconds; 0 if the server did not say.
    pub(super) max: u64,
}

impl Sm {
    fn enabling(ns: &'static str, most_runs: usize) -> Self {
        Self { ledgers: [SmLedger::of(most_runs), SmLedger::of(most_runs)], enabled: false, ns, key: None, max: 0 }
    }

    /// The counts of what this side sends, once both have begun to count.
    pub(super) fn counts(&mut self, sender: Side) -> Option<&mut SmLedger> {
        (sender == Side::Client || self.enabled).then(|| &mut self.ledgers[sender.index()])
    }

    /// Whether it can be resumed.
    pub(super) fn is_resumable(&self) -> bool {
        self.key.is_some() && self.ledgers.iter().all(SmLedger::is_exact)
    }
}

/// An SM element, its namespace as one of our own constants.
pub(super) fn ns_of(view: &View<'_>) -> &'static str {
    if view.ns() == ns::SM2 { ns::SM2 } else { ns::SM3 }
}

impl Core {
    /// An SM element from the client.
    pub(super) fn client_sm(&mut self, view: &View<'_>, out: &mut Outbox) {
        match view.name() {
            "enable" if self.sm.is_some() => self.enabled_twice(view, out),
            "enable" => {
                self.sm = Some(Box::new(Sm::enabling(ns_of(view), self.route.sm_runs)));
                self.forward_other(Side::Client, view, out);
            }
            "resume" => self.resume_asked(view, out),
            "a" => self.acked(Side::Client, view, out),
            "r" => self.ack_wanted(Side::Client, view, out),
            _ => self.forward_other(Side::Client, view, out),
        }
    }

    /// An SM element from the server.
    pub(super) fn server_sm(&mut self, view: &View<'_>, out: &mut Outbox) {
        match view.name() {
            "enabled" => self.enabled(view, out),
            "resumed" => self.resumed_by_server(view, out),
            "failed" if matches!(self.resuming.as_deref(), Some(Resuming::Asked { .. })) => {
                self.resume_failed(view, out)
            }
            "failed" => {
                if self.sm.as_ref().is_some_and(|sm| !sm.enabled) {
                    self.sm = None;
                }
                self.forward_other(Side::Server, view, out);
            }
            "a" => self.acked(Side::Server, view, out),
            "r" => self.ack_wanted(Side::Server, view, out),
            _ => self.forward_other(Side::Server, view, out),
        }
    }

    /// It is on already: both Prosody and ejabberd answer so, and a server that began to count anew would be out of step.
    fn enabled_twice(&mut self, view: &View<'_>, out: &mut Outbox) {
        let finding = violation("sm-enabled-twice", "stream management is enabled already (XEP-0198 §3)".to_owned());
        let failed = failed(ns_of(view), Condition::UnexpectedRequest);
        self.refuse_found(view, &failed, finding, out);
    }

    /// Answers an SM element of the client ourselves.
    pub(super) fn refuse_found(&mut self, view: &View<'_>, answer: &Element, finding: Finding, out: &mut Outbox) {
        let number = self.next_item();
        let fate = Fate::Answered("sm".to_owned());
        self.saw_found(number, Side::Client, What::Other, view, fate, vec![finding], None, out);
        self.send_element(Side::Client, What::Other, answer, Origin::Made(number, "sm".to_owned()), out);
    }

    fn enabled(&mut self, view: &View<'_>, out: &mut Outbox) {
        let Some(sm) = self.sm.as_mut().filter(|sm| !sm.enabled) else {
            return self.unexpected(Side::Server, view, out);
        };
        sm.enabled = true;
        sm.max = view.attr("max").and_then(|max| max.trim().parse().ok()).unwrap_or(0);
        let resumable = matches!(view.attr("resume").as_deref().map(str::trim), Some("true" | "1"));
        match view.attr("id").filter(|id| resumable && (1..=SM_ID_BYTES).contains(&id.len())) {
            Some(id) => {
                let key = SmKey { domain: self.account.domain().to_owned(), id: id.into_owned() };
                sm.key = Some(key.clone());
                out.acts.push(Act::Enlist(key));
            }
            None => sm.ledgers.iter_mut().for_each(SmLedger::count_only),
        }
        // The address to resume at would lead the client past us (XEP-0198 §5).
        match view.attr("location").and_then(|_| self.tree(Side::Server, view, out)) {
            Some(mut enabled) => {
                enabled.remove_attr("location");
                let number = self.note_in(Side::Server, What::Other, view.bytes, Fate::Rewritten("sm".to_owned()), out);
                let origin = Origin::Rewritten(number, "sm".to_owned());
                self.send_element(Side::Client, What::Other, &enabled, origin, out);
            }
            None => self.forward_other(Side::Server, view, out),
        }
    }

    /// `<r/>`: goes on as it is; the answer will be translated.
    fn ack_wanted(&mut self, side: Side, view: &View<'_>, out: &mut Outbox) {
        if self.sm.is_some() { self.forward_other(side, view, out) } else { self.not_enabled(side, view, out) }
    }

    fn not_enabled(&mut self, side: Side, view: &View<'_>, out: &mut Outbox) {
        let text = format!("<{}/> before stream management is enabled: Prosody ends the stream for that", view.name());
        let finding = Finding { rule: None, code: "sm-not-enabled", severity: Severity::Info, text };
        let number = self.next_item();
        self.saw_found(number, side, What::Other, view, Fate::Passed, vec![finding], None, out);
        self.forward_view(number, side, What::Other, view, out);
    }

    /// `<a/>` from the receiver of one direction: what it means for the sender.
    fn acked(&mut self, receiver: Side, view: &View<'_>, out: &mut Outbox) {
        let sender = receiver.other();
        let Some(ledger) = self.sm.as_mut().and_then(|sm| sm.counts(sender)) else {
            return self.not_enabled(receiver, view, out);
        };
        let Some(h) = count(view) else {
            let finding = bad_ack("an <a/> must say how many stanzas were handled: h='...'");
            let fate = Fate::Dropped("sm".to_owned());
            let number = self.next_item();
            return self.saw_found(number, receiver, What::Other, view, fate, vec![finding], None, out);
        };
        match ledger.ack(h) {
            Ack::Told(told) => self.tell_ack(receiver, view, h, told, Vec::new(), out),
            Ack::Backwards { heard, told } => {
                let found = vec![backwards(h, heard)];
                self.tell_ack(receiver, view, h, told, found, out);
            }
            Ack::TooHigh { sent } => self.too_high(receiver, view, h, sent, out),
        }
    }

    /// Passes an acknowledgement on: the very bytes if the count is the same.
    fn tell_ack(&mut self, receiver: Side, view: &View<'_>, h: u32, told: u32, found: Vec<Finding>, out: &mut Outbox) {
        let number = self.next_item();
        let (what, to) = (What::Other, receiver.other());
        if h == told {
            self.saw_found(number, receiver, what, view, Fate::Passed, found, None, out);
            return self.forward_view(number, receiver, what, view, out);
        }
        self.saw_found(number, receiver, what, view, Fate::Rewritten("sm".to_owned()), found, None, out);
        let ack = format!("<a xmlns='{}' h='{told}'/>", ns_of(view));
        self.send(to, what, ack.as_bytes(), Origin::Rewritten(number, "sm".to_owned()), out);
    }

    /// More was acknowledged than was sent: the stream ends (XEP-0198 §6).
    pub(super) fn too_high(&mut self, receiver: Side, view: &View<'_>, h: u32, sent: u32, out: &mut Outbox) {
        let finding = too_high(h, sent);
        let (text, found) = (finding.text.clone(), vec![finding]);
        let number = self.next_item();
        self.saw_found(number, receiver, What::Other, view, Fate::Handled, found, None, out);
        let detail = Element::new(ns::SM3, "handled-count-too-high")
            .with_attr("h", h.to_string())
            .with_attr("send-count", sent.to_string());
        let error = StreamError {
            detail: Some(Box::new(detail)),
            ..StreamError::new(StreamCondition::UndefinedCondition, text)
        };
        self.sm = None; // the counts are worth nothing any more
        self.fail(receiver, error, out);
    }

    /// Whether a stanza comes for the first time, or again after a resumption.
    pub(super) fn arrives(&mut self, side: Side, view: &View<'_>, out: &mut Outbox) -> Arrival {
        let Some(ledger) = self.sm.as_mut().and_then(|sm| sm.counts(side)) else { return Arrival::New };
        let arrival = ledger.arrives(|| looks(&self.account, view));
        if arrival != Arrival::New {
            self.send_due(side, out);
        }
        arrival
    }

    /// A stanza that comes again, and was dropped or answered here the first time.
    pub(super) fn settled(&mut self, side: Side, kind: Kind, view: &View<'_>, out: &mut Outbox) {
        let number = self.next_item();
        self.tally.stanza(side, kind, view.bytes.len());
        self.tally.stopped += 1;
        let fate = Fate::Dropped("resent: dealt with before the resumption".to_owned());
        self.saw_found(number, side, What::Stanza(kind), view, fate, Vec::new(), None, out);
        self.sm_swallowed(side, view, out);
    }

    /// A stanza of that side was forwarded.
    pub(super) fn sm_forwarded(&mut self, side: Side, view: &View<'_>, out: &mut Outbox) {
        if let Some(ledger) = self.sm.as_mut().and_then(|sm| sm.counts(side)) {
            ledger.forwarded(|| looks(&self.account, view));
            self.send_due(side, out);
            self.ask_for_ack(side, out);
        }
    }

    /// A stanza of that side was not forwarded.
    pub(super) fn sm_swallowed(&mut self, side: Side, view: &View<'_>, out: &mut Outbox) {
        if let Some(ledger) = self.sm.as_mut().and_then(|sm| sm.counts(side)) {
            ledger.swallowed(|| looks(&self.account, view));
            self.send_due(side, out);
            self.ask_for_ack(side, out);
        }
    }

    /// A stanza made here was sent to that side.
    pub(super) fn sm_injected(&mut self, to: Side, bytes: &[u8], out: &mut Outbox) {
        if let Some(ledger) = self.sm.as_mut().and_then(|sm| sm.counts(to.other())) {
            ledger.injected(Bytes::copy_from_slice(bytes));
            self.ask_for_ack(to.other(), out);
        }
    }

    /// Sends once more what was made here and lost with a connection, when its turn has come among what `sender` sends again.
    pub(super) fn send_due(&mut self, sender: Side, out: &mut Outbox) {
        let Some(due) = self.sm.as_mut().and_then(|sm| sm.counts(sender)).map(SmLedger::due) else { return };
        let to = sender.other();
        for bytes in due {
            let (kind, origin) = (kind_in(&bytes), Origin::Made(0, "sm".to_owned()));
            if self.send_paired(to, What::Stanza(kind), &bytes, origin, None, out) {
                self.sm_injected(to, &bytes, out);
            }
        }
    }

    /// A ledger that grows long is made short by an acknowledgement.
    fn ask_for_ack(&mut self, sender: Side, out: &mut Outbox) {
        let Some(sm) = self.sm.as_mut() else { return };
        let ns = sm.ns;
        if sm.counts(sender).is_some_and(SmLedger::asks) {
            let ask = Element::new(ns, "r");
            self.send_element(sender.other(), What::Other, &ask, Origin::Made(0, "sm".to_owned()), out);
        }
    }
}

/// Which stanza our own writer has written.
fn kind_in(bytes: &[u8]) -> Kind {
    match bytes.get(1) {
        Some(b'm') => Kind::Message,
        Some(b'p') => Kind::Presence,
        _ => Kind::Iq,
    }
}

/// A hash of what does not change when a stanza is sent again: servers add a `<delay/>`. Never 0.
fn looks(account: &Account, view: &View<'_>) -> u64 {
    let parts = [view.kind(), view.id(), view.from(), view.to()];
    let parts = parts.map(Option::unwrap_or_default);
    account.hash_all([view.name(), &*parts[0], &*parts[1], &*parts[2], &*parts[3]]).max(1)
}

/// The `h` of an SM element.
pub(super) fn count(view: &View<'_>) -> Option<u32> {
    let h = view.attr("h")?;
    let h = h.trim();
    h.bytes().all(|byte| byte.is_ascii_digit()).then(|| h.parse().ok()).flatten()
}

/// `<failed/>` with a stanza error's condition (XEP-0198 §3, §5).
pub(super) fn failed(ns: &'static str, condition: Condition) -> Element {
    Element::new(ns, "failed").with_child(Element::new(ns::STANZA_ERRORS, condition.name()))
}

pub(super) fn backwards(h: u32, heard: u32) -> Finding {
    violation("sm-ack-backwards", format!("{h} stanzas are acknowledged now, and before it were {heard}"))
}

pub(super) fn too_high(h: u32, sent: u32) -> Finding {
    violation("sm-ack-too-high", format!("{h} stanzas were acknowledged, but only {sent} were sent"))
}

pub(super) fn bad_ack(text: &str) -> Finding {
    violation("sm-bad-ack", text.to_owned())
}

fn violation(code: &'static str, text: String) -> Finding {
    Finding { rule: None, code, severity: Severity::Violation, text }
}
