//! What a session counts: stanzas, IQs by payload namespace with what came of them, findings by who is at fault.
//!
//! Bounded, and without allocation for what was seen before. Which answer belongs to which request the ledger tells.

use super::latency::Latency;
use crate::rules::Finding;
use crate::script::HookCount;
use crate::xmpp::{Kind, Side};

/// Namespaces counted by name; the rest is counted under [`OTHERS`].
const NAMESPACES: usize = 64;
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
    /// Findings by code and side, in order of first sight. There are as many codes as there are checks.
    pub findings: Vec<FindingCount>,
    /// Stanzas not forwarded.
    pub stopped: u64,
    /// Stanzas forwarded changed.
    pub rewritten: u64,
    /// The hooks of scripts, in order of first sight.
    pub hooks: Vec<HookCount>,
    /// Stanzas that the shadow scripts were shown, and how many of them they would have decided otherwise.
    pub shadow: [u64; 2],
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
    /// Those errors by defined condition, in order of first sight. What no RFC defines counts as `undefined-condition`; an
    /// error that names none is not among them.
    pub conditions: Vec<(&'static str, u64)>,
    /// How long the answers took, as far as known.
    pub latency: Latency,
}

/// How often one check found something in what one side does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindingCount {
    /// See [`Finding::code`].
    pub code: &'static str,
    /// Who is at fault: who sent it, or owes the answer.
    pub side: Side,
    /// How often.
    pub count: u64,
}

impl IqCount {
    /// Requests that got no answer, or none yet.
    #[must_use]
    pub const fn unanswered(&self) -> u64 {
        self.requests.saturating_sub(self.results).saturating_sub(self.errors)
    }

    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.results += other.results;
        self.errors += other.errors;
        for (condition, count) in &other.conditions {
            self.count_condition(condition, *count);
        }
        self.latency.add(&other.latency);
    }

    fn count_condition(&mut self, condition: &'static str, count: u64) {
        match self.conditions.iter_mut().find(|(known, _)| *known == condition) {
            Some((_, known)) => *known += count,
            None => self.conditions.push((condition, count)),
        }
    }
}

impl Tally {
    /// Gives back room that is not needed yet.
    pub(super) fn slim(&mut self) {
        self.iqs.shrink_to_fit();
    }

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
                mine.add(theirs);
            }
        }
        for theirs in &other.findings {
            self.count_finding(theirs.code, theirs.side, theirs.count);
        }
        self.stopped += other.stopped;
        self.rewritten += other.rewritten;
        self.count_hooks(&other.hooks);
        for (mine, theirs) in self.shadow.iter_mut().zip(other.shadow) {
            *mine += theirs;
        }
    }

    /// Adds what was counted of hooks.
    pub fn count_hooks(&mut self, counts: &[HookCount]) {
        for count in counts {
            match self.hooks.iter_mut().find(|known| known.script == count.script && known.hook == count.hook) {
                Some(known) => known.add(count),
                None => self.hooks.push(count.clone()),
            }
        }
    }

    /// Counts a finding; `side` is who is at fault.
    pub fn finding(&mut self, side: Side, finding: &Finding) {
        self.count_finding(finding.code, side, 1);
    }

    /// About how many bytes it keeps allocated.
    #[must_use]
    pub fn weight(&self) -> usize {
        let iq = |iq: &IqCount| {
            size_of::<IqCount>() + iq.ns.len() + 2 * size_of::<u64>() * (iq.latency.spans() + 2 * iq.conditions.len())
        };
        self.iqs.iter().map(iq).sum::<usize>()
            + self.findings.len() * size_of::<FindingCount>()
            + self.hooks.len() * size_of::<HookCount>()
    }

    fn count_finding(&mut self, code: &'static str, side: Side, count: u64) {
        match self.findings.iter_mut().find(|known| known.code == code && known.side == side) {
            Some(known) => known.count += count,
            None => self.findings.push(FindingCount { code, side, count }),
        }
    }

    /// Counts an IQ request with a payload of this namespace; gives the namespace's place in [`Tally::iqs`].
    pub fn request(&mut self, ns: &str) -> usize {
        let index = self.namespace(ns);
        if let Some(iq) = self.iqs.get_mut(index) {
            iq.requests += 1;
        }
        index
    }

    /// Counts the answer to a request of the namespace in that place: after how many microseconds, if known; whether it is
    /// an error, and which (a name of [`Condition`](crate::xmpp::Condition)), if it says so.
    pub fn answered(&mut self, index: usize, micros: Option<u64>, condition: Option<&'static str>, error: bool) {
        let Some(iq) = self.iqs.get_mut(index) else { return };
        if error {
            iq.errors += 1;
            if let Some(condition) = condition {
                iq.count_condition(condition, 1);
            }
        } else {
            iq.results += 1;
        }
        if let Some(micros) = micros {
            iq.latency.note(micros);
        }
    }

    /// Counts a stanza that came in.
    pub fn stanza(&mut self, sender: Side, kind: Kind, bytes: usize) {
        let column = match kind {
            Kind::Message => 0,
            Kind::Presence => 1,
            Kind::Iq => 2,
        };
        self.stanzas[sender.index()][column] += 1;
        self.bytes[sender.index()] += bytes as u64;
    }

    /// A namespace's place in [`Tally::iqs`], if it has one or shares one.
    fn find(&self, ns: &str) -> Option<usize> {
        let place = |ns| self.iqs.iter().position(|count| count.ns == ns);
        place(ns).or_else(|| if self.iqs.len() >= NAMESPACES { place(OTHERS) } else { None })
    }

    /// A namespace's place in [`Tally::iqs`].
    pub(super) fn namespace(&mut self, ns: &str) -> usize {
        if let Some(index) = self.find(ns) {
            return index;
        }
        if self.iqs.len() >= NAMESPACES && ns != OTHERS {
            return self.namespace(OTHERS);
        }
        self.iqs.push(IqCount { ns: ns.to_owned(), ..IqCount::default() });
        self.iqs.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::Severity;

    fn finding(code: &'static str) -> Finding {
        Finding { rule: None, code, severity: Severity::Violation, text: String::new() }
    }

    /// What one session counted.
    fn counted() -> Tally {
        let mut tally = Tally::default();
        let ping = tally.request("urn:xmpp:ping");
        let vcard = tally.request("vcard-temp");
        assert_eq!([tally.request("urn:xmpp:ping"), tally.request("vcard-temp")], [ping, vcard]);
        tally.answered(ping, Some(12_000), None, false);
        tally.answered(vcard, Some(20_000), Some("item-not-found"), true);
        tally.answered(vcard, None, None, true);
        for side in [Side::Server, Side::Client, Side::Server] {
            tally.finding(side, &finding("rule3"));
        }
        tally
    }

    #[test]
    fn answers_are_counted_where_their_requests_were() {
        let Tally { iqs, findings, .. } = counted();
        assert_eq!((iqs[0].requests, iqs[0].results, iqs[0].errors, iqs[0].unanswered()), (2, 1, 0, 1));
        assert_eq!((iqs[1].requests, iqs[1].results, iqs[1].errors, iqs[1].unanswered()), (2, 0, 2, 0));
        assert_eq!((&iqs[0].conditions[..], &iqs[1].conditions[..]), (&[][..], &[("item-not-found", 1)][..]));
        assert_eq!((iqs[0].latency.count(), iqs[1].latency.count()), (1, 1));
        let sides: Vec<_> = findings.iter().map(|found| (found.code, found.side, found.count)).collect();
        assert_eq!(sides, [("rule3", Side::Server, 2), ("rule3", Side::Client, 1)]);
    }

    #[test]
    fn a_total_is_the_sum() {
        let mut total = Tally::default();
        total.add(&counted());
        assert_eq!(total, counted());
        total.add(&counted());
        assert_eq!((total.iqs[1].errors, &total.iqs[1].conditions[..]), (4, &[("item-not-found", 2)][..]));
        assert_eq!((total.iqs[0].latency.count(), total.findings[0].count), (2, 4));
        assert!(total.weight() >= counted().weight() && counted().weight() > Tally::default().weight());
    }

    #[test]
    fn namespaces_beyond_the_first_share_a_place() {
        let mut tally = Tally::default();
        let places: Vec<_> = (0..NAMESPACES + 9).map(|n| tally.request(&format!("urn:example:{n}"))).collect();
        assert_eq!((tally.iqs.len(), tally.iqs[NAMESPACES].ns.as_str()), (NAMESPACES + 1, OTHERS));
        assert!(places[NAMESPACES..].iter().all(|place| *place == NAMESPACES));
        tally.answered(NAMESPACES + 1, Some(1), None, false); // nowhere: nothing is counted
        assert_eq!(tally.iqs[NAMESPACES].unanswered(), 9);
    }
}
