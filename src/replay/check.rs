//! Every IQ rule and the ledger over a capture.
//!
//! Takes a capture's events, gives what a living session would have told of what it found, and counts. Whose fault something is: on a leg
//! of our own recording only what the peer at its end has sent is looked at, for what iqtap sent there is no news; and that a request
//! was not answered which a script of ours had dropped.

use super::judge::{Law, Verdict};
use super::wires::{Happening, Key, Wire, Wires};
use crate::capture::read::{Event, ItemKind, Problem, Trouble, name};
use crate::policy::Policy;
use crate::rules::{Finding, Severity};
use crate::session::{Fate, Note, Tally};
use crate::xmpp::{Side, Timestamp};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A note of a recorded session, as a printer takes it.
#[derive(Clone, Debug)]
pub struct Told {
    /// The session.
    pub session: u64,
    /// The client's address.
    pub peer: Arc<str>,
    /// When.
    pub at: Timestamp,
    /// What.
    pub note: Note,
}

/// What checking a capture came to.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What all sessions counted.
    pub tally: Tally,
    /// Findings that were told.
    pub found: u64,
    /// Stanzas that were looked at.
    pub stanzas: u64,
    /// What is wrong with the file itself.
    pub damage: Vec<Problem>,
    /// Conversations of which nothing could be read: encrypted, or something else than XMPP.
    pub closed: u64,
}

/// A check of one capture.
#[derive(Debug)]
pub struct Check {
    severity: Severity,
    wires: Wires,
    report: Report,
    /// Sessions of our own whose client's leg was seen.
    with_client: BTreeSet<(u32, u64)>,
}

impl Check {
    /// By these rules (what a policy says besides is not looked at); what is less severe is counted and not told.
    #[must_use]
    pub fn new(policy: Policy, severity: Severity) -> Self {
        Self {
            severity,
            wires: Wires::new(Law::new(policy, false)),
            report: Report::default(),
            with_client: BTreeSet::new(),
        }
    }

    /// Something happened in the capture.
    pub fn event(&mut self, event: &Event, tell: &mut dyn FnMut(Told)) {
        let Self { severity, wires, report, with_client } = self;
        let mut ended = Vec::new();
        wires.event(event, &mut |wire, at, happening| match happening {
            Happening::Verdict(verdict) => {
                judged(wire, at, verdict, *severity, report).into_iter().for_each(&mut *tell);
            }
            Happening::Ends => {
                count(wire, report, with_client);
                ended.push((wire.key, wire.session, Arc::clone(&wire.peer), at));
            }
        });
        for (key, session, peer, at) in ended {
            if !wires.has_session(key) {
                tell(Told { session, peer, at, note: Note::Over(Box::default()) });
            }
        }
        self.beside(event, tell);
    }

    /// The end.
    #[must_use]
    pub fn finish(self) -> Report {
        self.report
    }

    /// What is no stanza's doing.
    fn beside(&mut self, event: &Event, tell: &mut dyn FnMut(Told)) {
        match event {
            Event::Trouble(Trouble { problem, talk, at, .. }) => {
                if problem.is_of_file() {
                    self.report.damage.push(problem.clone());
                }
                if matches!(problem, Problem::Tls { .. } | Problem::Foreign { .. }) {
                    self.report.closed += 1;
                }
                let wire = talk.as_ref().and_then(|talk| self.wires.of(talk));
                if let Some(wire) = wire {
                    tell(hint(wire, *at, problem.to_string()));
                }
            }
            Event::Hole { talk, from, at, lost, unread } => {
                let wire = self.wires.of(talk);
                let text = lost_text(name(*from), *lost, *unread);
                wire.into_iter().for_each(|wire| tell(hint(wire, *at, text.clone())));
            }
            Event::Item(item) => {
                if let ItemKind::Refused { why, .. } = item.kind {
                    let wire = self.wires.of(&item.talk);
                    let text = refused_text(name(item.from), why);
                    wire.into_iter().for_each(|wire| tell(hint(wire, item.at, text.clone())));
                }
            }
            _ => {}
        }
    }
}

/// What is said of a hole.
pub(super) fn lost_text(who: &str, lost: u64, unread: u64) -> String {
    let unread = if unread > 0 { format!(", and {unread} before them are not read for that") } else { String::new() };
    format!("{lost} bytes of the {who} were not recorded{unread}")
}

/// What is said of bytes that no session would let pass.
pub(super) fn refused_text(who: &str, why: &str) -> String {
    format!("the {who} sent what cannot be passed on: {why}; nothing more of it is read")
}

pub(super) fn hint(wire: &Wire, at: Timestamp, text: String) -> Told {
    Told { session: wire.session, peer: Arc::clone(&wire.peer), at, note: Note::Hint(text) }
}

/// What a verdict comes to.
fn judged(wire: &Wire, at: Timestamp, verdict: &Verdict, severity: Severity, report: &mut Report) -> Option<Told> {
    let (at, note) = match verdict {
        Verdict::Stanza { .. } | Verdict::Bound(_) => return None,
        Verdict::Failed(why) => (at, Note::Hint(format!("nothing more of this session is checked: {why}"))),
        Verdict::Finding { side, number, id, finding, alone, at } => {
            if !is_news(wire, *side, *number, *alone) {
                return None;
            }
            report.tally.finding(*side, finding);
            if finding.severity < severity {
                return None;
            }
            report.found += 1;
            let finding = if *alone { with_cause(wire, *number, finding) } else { finding.clone() };
            let id = id.clone();
            (*at, Note::Finding { side: *side, id, number: *number, finding, alone: *alone })
        }
    };
    Some(Told { session: wire.session, peer: Arc::clone(&wire.peer), at, note })
}

/// Whether a finding is about what a peer has done (or a script of ours has kept it from doing), and not about iqtap.
pub(super) fn is_news(wire: &Wire, side: Side, number: u64, alone: bool) -> bool {
    let dropped = || matches!(wire.story(number), Some((Fate::Dropped(_), _)));
    wire.leg.is_none_or(|leg| leg == side || alone && dropped())
}

/// A request that was dropped here could not be answered there.
fn with_cause(wire: &Wire, number: u64, finding: &Finding) -> Finding {
    let mut finding = finding.clone();
    if let Some((Fate::Dropped(by), _)) = wire.story(number) {
        finding.text.push_str("; it was dropped by ");
        finding.text.push_str(by);
    }
    finding
}

/// Adds what a wire has counted: of a session of our own each side's stanzas where they came in, and its IQs once.
fn count(wire: &Wire, report: &mut Report, with_client: &mut BTreeSet<(u32, u64)>) {
    let mut tally = Tally { findings: Vec::new(), ..wire.tally() };
    if let (Key::Ours(section, session, _), Some(leg)) = (wire.key, wire.leg) {
        let other = leg.other().index();
        (tally.stanzas[other], tally.bytes[other]) = ([0; 3], 0);
        if leg == Side::Client {
            with_client.insert((section, session));
        } else if with_client.contains(&(section, session)) {
            tally.iqs.clear();
        }
    }
    report.stanzas += tally.stanzas.iter().flatten().sum::<u64>();
    report.tally.add(&tally);
}
