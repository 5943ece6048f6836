//! Rule 5: a get or set has exactly one child element.

use super::iq::{Iq, IqType};
use super::{Broken, Enforce, Rule, RuleInfo};
use crate::xmpp::{Condition, StanzaError};

pub(super) const INFO: RuleInfo = RuleInfo {
    rule: Rule::RequestChild,
    title: "a get or set has exactly one child element",
    place: "RFC 6120 §8.2.3 rule 5; RFC 3920 §9.2.3 rule 5",
    explanation: "The one child says what is asked, by its namespace. Text beside it does not count, neither as a child \
        nor as a fault. Prosody refuses such a request from a client; ejabberd only when it handles the request itself, and \
        delivers it unchanged to another client. From components both deliver it.",
    example: "<iq type='get' id='r5'><ping xmlns='urn:xmpp:ping'/><query xmlns='jabber:iq:version'/></iq>",
    enforced: "Answered with bad-request.",
};

pub(super) fn judge(iq: &Iq<'_>) -> Option<Broken> {
    let children = iq.head.children;
    if !matches!(iq.kind, IqType::Get | IqType::Set) || children == 1 {
        return None;
    }
    let has = if children == 0 { "none".to_owned() } else { children.to_string() };
    let text = format!("{} must have exactly one child element; this one has {has}", iq.kind.describe());
    let error = StanzaError::new(Condition::BadRequest).with_text(text.as_str());
    Some(Broken::new(Rule::RequestChild, text, Enforce::Bounce(error)))
}
