//! Rule 4: a result or error is not answered, and so every one of them answers a request. Which one, the session's ledger knows.

use super::iq::quoted;
use super::{Finding, Rule, RuleInfo};

pub(super) const INFO: RuleInfo = RuleInfo {
    rule: Rule::Unasked,
    title: "a result or error is not answered, and answers something",
    place: "RFC 6120 §8.2.3 rule 4, §10.3.3; RFC 3920 §9.2.3 rule 4",
    explanation: "An answer to an answer could go on for ever, and a result nobody asked for is at best ignored. So whoever \
        gets one without having asked has met a duplicate, an answer to an answer, or somebody who guesses ids. iqtap keeps \
        this rule itself: whatever a rule or a script wants, a result or error is dropped and never bounced.",
    example: "<iq type='result' id='nobody-asked' to='example.org'/>  ... and nobody had",
    enforced: "Dropped. It is not answered: that is the rule.",
};

/// An answer that belongs to no request under way.
#[must_use]
pub fn unasked(kind: &str, id: &str) -> Finding {
    let text = format!("an iq of type {kind} with the id {} answers nothing that is under way", quoted(id));
    Finding::violation(Rule::Unasked, text)
}
