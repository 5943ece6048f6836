//! Rule 3: a get or set is answered. Whether it was, the session's ledger knows; here are the words and the answer in its place.

use super::iq::quoted;
use super::{Finding, Rule, RuleInfo};
use crate::xmpp::{Condition, Side, StanzaError};

pub(super) const INFO: RuleInfo = RuleInfo {
    rule: Rule::Answered,
    title: "a get or set is answered, with its id",
    place: "RFC 6120 §8.2.3 rule 3; RFC 3920 §9.2.3 rule 3",
    explanation: "Whoever receives a get or set must answer with exactly one result or error that keeps the id (an empty \
        one if the request had none). How long that may take is nowhere written: --iq-timeout says it here, 60 s by default. \
        Many old clients never answer roster pushes, and RFC 6121 §2.1.6 tells servers to live with it: these, pushes of \
        block and privacy lists, and requests before a resource is bound are exempt. An answer that comes after the time \
        is told as late-answer; more requests under way than open_iqs as iq-table-full.",
    example: "<iq type='get' id='r3' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>  ... and nothing comes back",
    enforced: "The one who asked is answered remote-server-timeout in the other's place, and should the true answer still \
        come, it is swallowed: there is exactly one. A request for which there is no room is answered resource-constraint.",
};

/// `by=` of the errors we make in another's place: a JID that can be nobody's (RFC 2606).
const BY: &str = "iqtap.invalid";

/// A request that waited too long.
#[derive(Clone, Copy, Debug)]
pub struct Overdue<'a> {
    /// Who owes the answer.
    pub responder: Side,
    /// Whom it asked (or who asked the client), if it said so.
    pub address: Option<&'a str>,
    /// How long it has waited, in microseconds.
    pub micros: u64,
    /// A script kept it, or its answer, from going on.
    pub stopped: bool,
}

/// The finding, and the error that answers the request if the rule is enforced.
#[must_use]
pub fn unanswered(request: &Overdue<'_>) -> (Finding, StanzaError) {
    let other = request.address.map_or_else(|| "the server".to_owned(), quoted);
    let waited = seconds(request.micros);
    let why = if request.stopped { "; a script stopped the request or its answer" } else { "" };
    let text = match request.responder {
        Side::Server => format!("{other} did not answer within {waited}{why}"),
        Side::Client => format!("the client did not answer {other} within {waited}{why}"),
    };
    let mut error = StanzaError::new(Condition::RemoteServerTimeout).with_text(format!("no answer within {waited}"));
    error.by = Some(BY.to_owned());
    (Finding::violation(Rule::Answered, text), error)
}

/// An answer after the request was given up, or reported as unanswered.
#[must_use]
pub fn late(id: &str, micros: u64, swallowed: bool) -> Finding {
    let fate = if swallowed { "; whoever asked has an answer by now, so this one goes no further" } else { "" };
    let text = format!("the answer to {} came {} after the request{fate}", quoted(id), seconds(micros));
    Finding::info(Rule::Answered, "late-answer", text)
}

/// An answer that may belong to a request that was given up so long ago that nothing is known of it but that there was one.
#[must_use]
pub fn late_and_forgotten(id: &str) -> Finding {
    let text = format!("the answer to {} came long after such a request was given up; it goes no further", quoted(id));
    Finding::info(Rule::Answered, "late-answer", text)
}

/// A request too many, and its answer if the rule is enforced.
#[must_use]
pub fn table_full(most: usize) -> (Finding, StanzaError) {
    let text = format!("{most} requests are under way already, or their ids and addresses are too long (open_iqs)");
    let mut error = StanzaError::new(Condition::ResourceConstraint).with_text("too many requests are under way");
    error.by = Some(BY.to_owned());
    let finding = Finding { code: "iq-table-full", ..Finding::violation(Rule::Answered, text) };
    (finding, error)
}

/// `2.0 s`
fn seconds(micros: u64) -> String {
    format!("{}.{} s", micros / 1_000_000, micros / 100_000 % 10)
}
