//! An answer comes from the one who was asked. Who was asked, the session's ledger knows.

use super::iq::quoted;
use super::{Finding, Rule, RuleInfo};

pub(super) const INFO: RuleInfo = RuleInfo {
    rule: Rule::IqSpoof,
    title: "an answer comes from the one who was asked",
    place: "RFC 6120 §8.1.2.1, §8.2.3, §10.3.3; CVE-2014-0364 and others",
    explanation: "Anybody may send a result to a full JID, and Prosody and ejabberd deliver it; a client that goes by the id \
        alone believes a stranger who guesses it. The answer to what was asked of an account or without `to` may come \
        without `from`, from the own bare JID, and (without `to`) from the domain; all others answer under the very JID that \
        was asked, in whatever spelling.",
    example: "<iq type='result' id='b1' from='mallory@example.net/x'/>  ... in answer to a request to example.org",
    enforced: "Dropped. The request stays open: the true answer still comes through.",
};

/// An answer whose id is awaited from somebody else.
#[must_use]
pub fn spoofed(kind: &str, id: &str, from: Option<&str>) -> Finding {
    let whose = from.map_or_else(|| "without a from".to_owned(), |from| format!("from {}", quoted(from)));
    let text = format!("an iq of type {kind} {whose} under the id {}, which was asked of somebody else", quoted(id));
    Finding::violation(Rule::IqSpoof, text)
}
