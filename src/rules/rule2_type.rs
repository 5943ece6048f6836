//! Rule 2: an iq has one of four types.

use super::iq::{Iq, IqType};
use super::{Broken, Enforce, Rule, RuleInfo};
use crate::xmpp::{Condition, StanzaError};

pub(super) const INFO: RuleInfo = RuleInfo {
    rule: Rule::Type,
    title: "an iq has the type get, set, result or error",
    place: "RFC 6120 §8.2.3 rule 2; RFC 3920 §9.2.3 rule 2",
    explanation: "The type says who owes whom an answer. Case counts: GET is not get. This is the one rule that obliges \
        a middlebox: a recipient or an intermediate router MUST return a bad-request error. Prosody and ejabberd do so.",
    example: "<iq type='subscribe' id='r2'><ping xmlns='urn:xmpp:ping'/></iq>",
    enforced: "Answered with bad-request. That cannot loop: an unknown type is not an error.",
};

pub(super) fn judge(iq: &Iq<'_>) -> Option<Broken> {
    let text = match &iq.kind {
        IqType::Missing => "an iq must have a type: get, set, result or error; this one has none".to_owned(),
        IqType::Unknown(_) => format!("{} is not allowed: it must be get, set, result or error", iq.kind.describe()),
        IqType::Get | IqType::Set | IqType::Result | IqType::Error => return None,
    };
    let error = StanzaError::new(Condition::BadRequest).with_text(text.as_str());
    Some(Broken::new(Rule::Type, text, Enforce::Bounce(error)))
}
