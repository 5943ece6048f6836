//! An id is not used again while its answer is awaited. Whether it is, the session's ledger knows.

use super::iq::quoted;
use super::{Finding, Rule, RuleInfo};

pub(super) const INFO: RuleInfo = RuleInfo {
    rule: Rule::DuplicateId,
    title: "an id is not used again while its answer is awaited",
    place: "RFC 6120 §8.1.3",
    explanation: "An id may be used again on one stream, and for another peer at any time; but two requests to one peer under \
        one id at once cannot be told apart but by their order. Only worth knowing: servers answer both. Pushes of rosters \
        and lists are exempt; Prosody sends each block list push under the id blocklist-push.",
    example: "<iq type='get' id='d1' ...> twice, before the first is answered",
    enforced: "Nothing is done about it.",
};

/// A request under an id that is under way to the same peer.
#[must_use]
pub fn duplicate(id: &str) -> Finding {
    let text = format!("the id {} is used again while its answer is awaited", quoted(id));
    Finding::info(Rule::DuplicateId, Rule::DuplicateId.code(), text)
}
