//! What a session counts: stanzas, IQs by payload namespace, findings.
//!
//! Bounded, and without allocation for a namespace seen before. Which answer belongs to which request is told by a hash
//! of its id; good enough to count, not to enforce anything by.

use crate::rules::Finding;
use crate::xml::View;
use crate::xmpp::{Kind, Side};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};

/// Namespaces counted by name; the rest is counted under [`OTHERS`].
const NAMESPACES: usize = 64;
/// Requests whose answer is waited for, per session.
const PENDING: usize = 1024;
/// What namespaces beyond the first 64 are counted under.
const OTHERS: &str = "(others)";

/// Counts of one session; [`Tally::add`] joins several for a total.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Stanzas that came in: by sender ([`Side::index`]), then message, presence, iq.
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
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.stanzas.iter_mut().flatten().zip(other.stanzas.iter().flatten()) {
            *mine += theirs;
        }
        for (mine, theirs) in self.bytes.iter_mut().zip(other.bytes) {
            *mine += theirs;
        }
        for theirs in &other.iqs {
            let index = self.namespace(&theirs.ns);
            if let Some(mine) = self.iqs.get_mut(index) {
                mine.requests += theirs.requests;
                mine.results += theirs.results;
                mine.errors += theirs.errors;
            }
        }
        for (code, count) in &other.findings {
            self.count_finding(code, *count);
        }
        self.stopped += other.stopped;
        self.rewritten += other.rewritten;
    }

    /// Counts a finding.
    pub fn finding(&mut self, finding: &Finding) {
        self.count_finding(finding.code, 1);
    }

    fn count_finding(&mut self, code: &'static str, count: u64) {
        match self.findings.iter_mut().find(|(known, _)| *known == code) {
            Some((_, known)) => *known += count,
            None => self.findings.push((code, count)),
        }
    }

    pub(super) fn stanza(&mut self, sender: Side, kind: Kind, bytes: usize) {
        let column = match kind {
            Kind::Message => 0,
            Kind::Presence => 1,
            Kind::Iq => 2,
        };
        self.stanzas[sender.index()][column] += 1;
        self.bytes[sender.index()] += bytes as u64;
    }

    fn namespace(&mut self, ns: &str) -> usize {
        if let Some(index) = self.iqs.iter().position(|count| count.ns == ns) {
            return index;
        }
        if self.iqs.len() >= NAMESPACES && ns != OTHERS {
            return self.namespace(OTHERS);
        }
        self.iqs.push(IqCount { ns: ns.to_owned(), ..IqCount::default() });
        self.iqs.len() - 1
    }
}

/// Which requests wait for an answer, for the counts alone: by a hash of requester and id, to the namespace's place in
/// [`Tally::iqs`].
#[derive(Debug, Default)]
pub(super) struct Pending(HashMap<u64, usize>);

impl Pending {
    /// Counts an IQ if it is a request.
    pub(super) fn request(&mut self, tally: &mut Tally, sender: Side, iq: &View<'_>) {
        if !matches!(iq.kind().as_deref(), Some("get" | "set")) {
            return;
        }
        let payload = iq.first_child();
        let index = tally.namespace(payload.as_ref().map_or("", |(ns, _)| ns));
        if let Some(count) = tally.iqs.get_mut(index) {
            count.requests += 1;
        }
        if self.0.len() < PENDING
            && let Some(id) = iq.id()
        {
            self.0.insert(key(sender, &id), index);
        }
    }

    /// Whether a request of this requester may be waiting under this id. When the table is full nobody knows.
    pub(super) fn waits(&self, requester: Side, id: &str) -> bool {
        self.0.len() >= PENDING || self.0.contains_key(&key(requester, id))
    }

    /// Counts an IQ that goes through if it is an answer.
    pub(super) fn answer(&mut self, tally: &mut Tally, sender: Side, iq: &View<'_>) {
        self.answer_as(tally, sender, iq, iq.kind().as_deref() == Some("error"));
    }

    /// Counts an answer from `sender` that leaves as an error or as a result.
    pub(super) fn answer_as(&mut self, tally: &mut Tally, sender: Side, iq: &View<'_>, error: bool) {
        if matches!(iq.kind().as_deref(), Some("result" | "error")) {
            self.answered_here(tally, sender.other(), iq, error);
        }
    }

    /// Counts an answer given to `requester`; `iq` bears the id.
    pub(super) fn answered_here(&mut self, tally: &mut Tally, requester: Side, iq: &View<'_>, error: bool) {
        let Some(id) = iq.id() else { return };
        let Some(index) = self.0.remove(&key(requester, &id)) else { return };
        if let Some(count) = tally.iqs.get_mut(index) {
            if error { count.errors += 1 } else { count.results += 1 }
        }
    }
}

fn key(requester: Side, id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_u8(requester.index() as u8);
    hasher.write(id.as_bytes());
    hasher.finish()
}
