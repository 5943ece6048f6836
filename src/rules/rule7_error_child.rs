//! Rule 7: an error has an `<error/>` child. RFC 3920 also wanted the request's own child back; that is only told.

use super::iq::{Iq, IqType};
use super::{Broken, Enforce, Rule, RuleInfo, Severity};
use crate::xmpp::{Condition, StanzaError};

pub(super) const INFO: RuleInfo = RuleInfo {
    rule: Rule::ErrorChild,
    title: "an error has an <error/> child",
    place: "RFC 6120 §8.2.3 rule 7, §8.3.1; RFC 3920 §9.2.3 rule 7",
    explanation: "An error must say what went wrong in an <error/> child of its own namespace. It may also carry the \
        request's child: RFC 3920 said SHOULD, RFC 6120 says MAY, so its absence breaks nothing and is only noted, as \
        rule7-3920 (Prosody never sends it back, ejabberd does). Both servers deliver an error without <error/>.",
    example: "<iq type='error' id='r7'><ping xmlns='urn:xmpp:ping'/></iq>",
    enforced: "An <error/> with undefined-condition is put in behind the payload and the stanza sent on. rule7-3920 is never \
        enforced.",
};

pub(super) fn judge(iq: &Iq<'_>) -> Option<Broken> {
    if !matches!(iq.kind, IqType::Error) {
        return None;
    }
    if iq.head.errors == 0 {
        let text = "an iq of type error must have an <error/> child; this one has none".to_owned();
        let error = StanzaError::new(Condition::UndefinedCondition).with_text(text.as_str());
        return Some(Broken::new(Rule::ErrorChild, text, Enforce::AddError(error)));
    }
    if iq.head.payload.is_none() {
        let text = "this error does not carry the request's child element; RFC 3920 asked for it, RFC 6120 does not";
        return Some(Broken { code: "rule7-3920", severity: Severity::Info, text: text.to_owned(), action: None });
    }
    None
}
