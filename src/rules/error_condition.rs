//! An error has one defined condition.

use super::iq::{Iq, IqType};
use super::{Broken, Enforce, Rule, RuleInfo};
use crate::xmpp::ns;

pub(super) const INFO: RuleInfo = RuleInfo {
    rule: Rule::ErrorCondition,
    title: "an error has one defined condition",
    place: "RFC 6120 §8.3.2",
    explanation: "<error/> must hold exactly one element of the namespace of stanza errors besides <text/>. With two of them \
        each library picks its own.",
    example: "<iq type='error' id='c1'><error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
        <conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
    enforced: "Sent on with the first of them only.",
};

/// So many are named.
const NAMED: usize = 5;

/// Looks into every `<error/>`, for there should be one only, and each library picks its own.
pub(super) fn judge(iq: &Iq<'_>) -> Option<Broken> {
    if !matches!(iq.kind, IqType::Error) || iq.head.errors == 0 {
        return None;
    }
    let (mut first, mut more, mut named) = (None, String::new(), 1);
    let (mut inside, mut walk) = (false, iq.view.inside(2));
    while let Some(inner) = walk.next() {
        if inner.level == 1 {
            inside = inner.is(ns::CLIENT, "error");
        } else if inside && inner.name != "text" && inner.ns() == ns::STANZA_ERRORS {
            if first.is_none() {
                first = Some(inner.name);
            } else if named < NAMED {
                named += 1;
                more = format!("{more}, {}", inner.name);
            } else {
                break;
            }
        }
    }
    let first = first.filter(|_| named > 1)?;
    let text = format!("an error must have one defined condition; this one has {first}{more}");
    Some(Broken::new(Rule::ErrorCondition, text, Enforce::FirstCondition))
}
