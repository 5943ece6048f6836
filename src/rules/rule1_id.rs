//! Rule 1: an iq has an id.

use super::iq::Iq;
use super::{Broken, Enforce, Rule, RuleInfo};
use crate::xmpp::{Condition, StanzaError};

pub(super) const INFO: RuleInfo = RuleInfo {
    rule: Rule::Id,
    title: "an iq has an id",
    place: "RFC 6120 §8.2.3 rule 1, §8.1.3; RFC 3920 §9.2.3 rule 1",
    explanation: "The id is what ties an answer to its request. It is opaque, and the one who asks chooses it. \
        An empty id (id='') is an id: servers answer it, and an error to a request without id carries it. Prosody and \
        ejabberd answer a get without id with bad-request; a result without id is answered with an error by Prosody \
        (against rule 4) and dropped by ejabberd.",
    example: "<iq type='get' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>",
    enforced: "A get, a set, or an iq of no known type is answered with bad-request and id=''. A result or error is \
        dropped, because it must not be answered.",
};

pub(super) fn judge(iq: &Iq<'_>) -> Option<Broken> {
    if iq.head.id.is_some() {
        return None;
    }
    let text = format!("{} must have an id attribute; this one has none", iq.kind.describe());
    let action = if iq.is_answer() {
        Enforce::Drop
    } else {
        Enforce::Bounce(StanzaError::new(Condition::BadRequest).with_text(text.as_str()))
    };
    Some(Broken::new(Rule::Id, text, action))
}
