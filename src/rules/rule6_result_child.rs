//! Rule 6: a result has at most one child element.

use super::iq::{Iq, IqType};
use super::{Broken, Enforce, Rule, RuleInfo};
use crate::xmpp::{Condition, StanzaError};

pub(super) const INFO: RuleInfo = RuleInfo {
    rule: Rule::ResultChild,
    title: "a result has at most one child element",
    place: "RFC 6120 §8.2.3 rule 6; RFC 3920 §9.2.3 rule 6",
    explanation: "None when there is nothing to tell, one otherwise. Prosody and ejabberd both deliver a result with two \
        children unchanged, so it is the client that meets it.",
    example: "<iq type='result' id='r6'><ping xmlns='urn:xmpp:ping'/><query xmlns='jabber:iq:version'/></iq>",
    enforced: "Turned into an error with undefined-condition and sent on: the one who asked still gets exactly one answer, \
        and the one who answered gets none (rule 4).",
};

pub(super) fn judge(iq: &Iq<'_>) -> Option<Broken> {
    let children = iq.head.children;
    if !matches!(iq.kind, IqType::Result) || children <= 1 {
        return None;
    }
    let text = format!("an iq of type result must have at most one child element; this one has {children}");
    let error = StanzaError::new(Condition::UndefinedCondition).with_text(text.as_str());
    Some(Broken::new(Rule::ResultChild, text, Enforce::TurnIntoError(error)))
}
