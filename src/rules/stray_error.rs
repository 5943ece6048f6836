//! `<error/>` stands in errors only.

use super::iq::{Iq, IqType};
use super::{Broken, Enforce, Rule, RuleInfo};
use crate::xmpp::{Condition, StanzaError};

pub(super) const INFO: RuleInfo = RuleInfo {
    rule: Rule::StrayError,
    title: "<error/> stands in errors only",
    place: "RFC 6120 §8.3.1 rule 7",
    explanation: "An <error/> inside a get, a set or a result makes a stanza two things at once: one library goes by the \
        type, another by the child. Prosody and ejabberd answer a get whose only child it is with service-unavailable.",
    example: "<iq type='result' id='s1'><error type='cancel'/></iq>",
    enforced: "A get or set is answered with bad-request. A result is sent on without it.",
};

pub(super) fn judge(iq: &Iq<'_>) -> Option<Broken> {
    if iq.head.errors == 0 {
        return None;
    }
    let text = format!("{} must not have an <error/> child", iq.kind.describe());
    let action = match iq.kind {
        IqType::Get | IqType::Set => Enforce::Bounce(StanzaError::new(Condition::BadRequest).with_text(text.as_str())),
        IqType::Result => Enforce::StripError,
        // What is wrong with these says rule 2.
        IqType::Error | IqType::Unknown(_) | IqType::Missing => return None,
    };
    Some(Broken::new(Rule::StrayError, text, action))
}
