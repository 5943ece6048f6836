//! A payload has a namespace of its own.

use super::iq::{Iq, IqType};
use super::{Broken, Enforce, Rule, RuleInfo, Severity};
use crate::xmpp::{Condition, StanzaError, ns};

pub(super) const INFO: RuleInfo = RuleInfo {
    rule: Rule::PayloadNamespace,
    title: "a payload has a namespace of its own",
    place: "RFC 6120 §8.4",
    explanation: "The child of an iq says by its namespace what is asked; in jabber:client, the namespace of the stanza \
        itself, it says nothing. Mostly an xmlns was forgotten. Prosody and ejabberd answer service-unavailable.",
    example: "<iq type='get' id='n1'><query/></iq>",
    enforced: "A get or set is answered with bad-request. A result or error is left as it is.",
};

pub(super) fn judge(iq: &Iq<'_>) -> Option<Broken> {
    let payload = iq.head.payload.as_ref()?;
    let (namespace, name) = iq.view.expand(payload);
    if ![ns::CLIENT, ns::SERVER, ns::STREAM].contains(&&*namespace) {
        return None;
    }
    let text = format!("the payload <{name}/> of {} is in the stream's own namespace {namespace}", iq.kind.describe());
    let action = matches!(iq.kind, IqType::Get | IqType::Set)
        .then(|| Enforce::Bounce(StanzaError::new(Condition::BadRequest).with_text(text.as_str())));
    let rule = Rule::PayloadNamespace;
    Some(Broken { code: rule.code(), severity: Severity::Violation, text, action })
}
