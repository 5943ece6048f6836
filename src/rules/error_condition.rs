//! An error has one defined condition. It takes the tree to see it, which is built for errors only.

use super::{Enforce, Finding, Mode, Modes, Rule, RuleInfo};
use crate::xml::Element;
use crate::xmpp::{Side, ns};

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

/// Checks an iq of type error: every `<error/>` it has, for there should be one only, and each library picks its own.
pub fn conditions(iq: &Element, sender: Side, modes: &Modes, found: &mut Vec<Finding>) -> Option<Enforce> {
    let mode = modes.get(sender, Rule::ErrorCondition);
    let errors = || iq.children().filter(|child| child.is(ns::CLIENT, "error"));
    let defined = || errors().flat_map(Element::children).filter(|c| c.ns == ns::STANZA_ERRORS && c.name != "text");
    if mode == Mode::Off || defined().count() < 2 {
        return None;
    }
    let names: Vec<_> = defined().take(5).map(|c| c.name.as_str()).collect();
    let text = format!("an error must have one defined condition; this one has {}", names.join(", "));
    found.push(Finding::violation(Rule::ErrorCondition, text));
    (mode == Mode::Enforce).then_some(Enforce::FirstCondition)
}
