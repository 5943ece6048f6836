//! What a session counts: stanzas, IQs by payload namespace, findings. Bounded; no allocation for a known namespace.

use crate::rules::Finding;

/// Counts of one session; [`Tally::add`] joins several for a total.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Stanzas that came in: by sender ([`crate::xmpp::Side::index`]), then message, presence, iq.
    pub stanzas: [[u64; 3]; 2],
    /// Bytes of those stanzas, by sender.
    pub bytes: [u64; 2],
    /// IQ requests by payload namespace, in order of first sight.
    pub iqs: Vec<IqCount>,
    /// Findings by code, in order of first sight.
    pub findings: Vec<(&'static str, u64)>,
    /// Stanzas not forwarded.
    pub stopped: u64,
    /// Stanzas forwarded changed.
    pub rewritten: u64,
}

/// What became of the IQ requests of one namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IqCount {
    /// The payload's namespace.
    pub ns: String,
    /// Requests (get and set), both directions.
    pub requests: u64,
    /// Answered with a result.
    pub results: u64,
    /// Answered with an error, ours included.
    pub errors: u64,
}

impl Tally {
    /// Adds another session's counts.
    pub fn add(&mut self, _other: &Self) {
        todo!()
    }
    /// Counts a finding.
    pub fn finding(&mut self, _finding: &Finding) {
        todo!()
    }
}
