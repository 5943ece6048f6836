//! The IQ rules of RFC 6120 §8.2.3 and their neighbours: a table of plain functions for what a stanza shows by itself, and
//! the words for what only the session's ledger can know (rules 3 and 4, forged answers).
//!
//! Takes a judged stanza, gives findings and what enforcing would do. Must not know the session, allocate for a
//! stanza that breaks nothing, or change anything itself.

mod catalog;
mod duplicate_id;
mod error_condition;
mod iq;
mod iq_spoof;
mod payload_namespace;
mod rule1_id;
mod rule2_type;
mod rule3_answered;
mod rule4_unasked;
mod rule5_request_child;
mod rule6_result_child;
mod rule7_error_child;
mod senders;
mod stray_error;

pub use catalog::{RuleInfo, catalog};
pub use duplicate_id::duplicate;
pub use iq_spoof::spoofed;
pub use rule3_answered::{Overdue, late, late_and_forgotten, table_full, unanswered};
pub use rule4_unasked::unasked;
pub use senders::{check_sender, is_archive, looks_at, may_carry};

use crate::xml::View;
use crate::xmpp::{Side, StanzaError, ns};
use iq::Iq;

/// What is checked: the seven rules of RFC 6120 §8.2.3, and their neighbours elsewhere in the RFCs and XEPs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// 1: `id` is required.
    Id,
    /// 2: `type` is one of get, set, result, error.
    Type,
    /// 3: a get or set is answered.
    Answered,
    /// 4: a result or error answers something.
    Unasked,
    /// 5: a get or set has exactly one child element.
    RequestChild,
    /// 6: a result has at most one child element.
    ResultChild,
    /// 7: an error has an `<error/>` child.
    ErrorChild,
    /// `<error/>` stands in errors only (§8.3.1 rule 7).
    StrayError,
    /// A payload has a namespace of its own (§8.4).
    PayloadNamespace,
    /// An error has one defined condition (§8.3.2).
    ErrorCondition,
    /// An id is not used again while its answer is awaited (§8.1.3).
    DuplicateId,
    /// An answer comes from the one who was asked.
    IqSpoof,
    /// A roster push comes from the own account (RFC 6121 §2.1.6).
    PushSpoof,
    /// A carbon comes from the own account (XEP-0280 §11).
    CarbonSpoof,
    /// An archived message comes from an archive that was asked (XEP-0313).
    ArchiveSpoof,
}

impl Rule {
    /// All of them: the RFC's seven in its order, then the neighbours.
    pub const ALL: [Self; 15] = [
        Self::Id,
        Self::Type,
        Self::Answered,
        Self::Unasked,
        Self::RequestChild,
        Self::ResultChild,
        Self::ErrorChild,
        Self::StrayError,
        Self::PayloadNamespace,
        Self::ErrorCondition,
        Self::DuplicateId,
        Self::IqSpoof,
        Self::PushSpoof,
        Self::CarbonSpoof,
        Self::ArchiveSpoof,
    ];

    /// Its number in RFC 6120 §8.2.3, if it is one of those seven.
    #[must_use]
    pub const fn number(self) -> Option<u8> {
        Some(match self {
            Self::Id => 1,
            Self::Type => 2,
            Self::Answered => 3,
            Self::Unasked => 4,
            Self::RequestChild => 5,
            Self::ResultChild => 6,
            Self::ErrorChild => 7,
            _ => return None,
        })
    }

    /// Its name in a configuration.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Type => "type",
            Self::Answered => "answered",
            Self::Unasked => "unasked",
            Self::RequestChild => "request-child",
            Self::ResultChild => "result-child",
            Self::ErrorChild => "error-child",
            _ => self.code(),
        }
    }

    /// The code of a finding that breaks it: by its number if it has one, else its key.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Id => "rule1",
            Self::Type => "rule2",
            Self::Answered => "rule3",
            Self::Unasked => "rule4",
            Self::RequestChild => "rule5",
            Self::ResultChild => "rule6",
            Self::ErrorChild => "rule7",
            Self::StrayError => "stray-error",
            Self::PayloadNamespace => "payload-namespace",
            Self::ErrorCondition => "error-condition",
            Self::DuplicateId => "duplicate-id",
            Self::IqSpoof => "iq-spoof",
            Self::PushSpoof => "push-spoof",
            Self::CarbonSpoof => "carbon-spoof",
            Self::ArchiveSpoof => "archive-spoof",
        }
    }

    /// By key or code.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.key() == name || rule.code() == name)
    }
}

/// What is done about a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Not looked at.
    Off,
    /// Reported; the stanza goes on as it is.
    #[default]
    Report,
    /// Reported, and held to.
    Enforce,
}

/// The mode of each rule, per direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modes {
    /// Indexed by [`Side::index`] of the sender, then by rule in declaration order.
    pub modes: [[Mode; Rule::ALL.len()]; 2],
}

impl Modes {
    /// The same mode everywhere.
    #[must_use]
    pub const fn all(mode: Mode) -> Self {
        Self { modes: [[mode; Rule::ALL.len()]; 2] }
    }
    /// The mode of one rule for what one side sends.
    #[must_use]
    pub const fn get(&self, sender: Side, rule: Rule) -> Mode {
        self.modes[sender.index()][rule as usize]
    }
    /// Sets it.
    pub const fn set(&mut self, sender: Side, rule: Rule, mode: Mode) {
        self.modes[sender.index()][rule as usize] = mode;
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing, breaks nothing (RFC 3920's echo, for one).
    Info,
    /// Breaks a MUST.
    Violation,
}

/// A rule and what was found wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which; `None` for what no rule covers (a script's reject of a result, stream management, ...).
    pub rule: Option<Rule>,
    /// A stable code for machines: `rule1`, `rule7-3920`, `script-loop`, ...
    pub code: &'static str,
    /// How bad.
    pub severity: Severity,
    /// For people.
    pub text: String,
}

/// What enforcing means for one stanza.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Enforce {
    /// Answer the sender with this error; do not forward (get, set, unknown type).
    Bounce(StanzaError),
    /// Neither forward nor answer (result or error without id: rule 4 forbids an answer).
    Drop,
    /// Forward to the requester as an error instead: a result with more than one child becomes `undefined-condition`.
    TurnIntoError(StanzaError),
    /// Forward with `<error/>` put in after the payload.
    AddError(StanzaError),
    /// Forward without the `<error/>` that has no place in it.
    StripError,
    /// Forward with the first defined condition only.
    FirstCondition,
}

/// Checks one stanza against every rule that is not off. Appends findings; gives what to do if an enforced rule is
/// broken, and which (the first in rule order that has something to do). Only `{jabber:client}iq` is looked at.
pub fn check(stanza: &View<'_>, sender: Side, modes: &Modes, found: &mut Vec<Finding>) -> Option<(Rule, Enforce)> {
    if !stanza.is(ns::CLIENT, "iq") {
        return None;
    }
    let iq = Iq::of(stanza);
    let mut action = None;
    for (rule, judge) in TABLE {
        let mode = modes.get(sender, *rule);
        if mode == Mode::Off {
            continue;
        }
        let Some(broken) = judge(&iq) else { continue };
        let enforced = broken.action.filter(|_| mode == Mode::Enforce);
        action = action.or_else(|| enforced.map(|enforced| (*rule, enforced)));
        found.push(Finding { rule: Some(*rule), code: broken.code, severity: broken.severity, text: broken.text });
    }
    action
}

/// One rule's judgement of one iq; must not allocate unless the rule is broken.
type Judge = fn(&Iq<'_>) -> Option<Broken>;

/// The rules in their order. The order is also what makes enforcement safe when several are broken at once: rule 1
/// turns an answer without id into a drop before any later rule would forward it.
const TABLE: &[(Rule, Judge)] = &[
    (Rule::Id, rule1_id::judge),
    (Rule::Type, rule2_type::judge),
    (Rule::RequestChild, rule5_request_child::judge),
    (Rule::ResultChild, rule6_result_child::judge),
    (Rule::ErrorChild, rule7_error_child::judge),
    (Rule::StrayError, stray_error::judge),
    (Rule::PayloadNamespace, payload_namespace::judge),
    (Rule::ErrorCondition, error_condition::judge),
];

/// What a rule says of an iq that breaks it.
struct Broken {
    code: &'static str,
    severity: Severity,
    text: String,
    /// What enforcing does; `None` where there is nothing to enforce.
    action: Option<Enforce>,
}

impl Finding {
    /// One that breaks a rule.
    fn violation(rule: Rule, text: String) -> Self {
        Self { rule: Some(rule), code: rule.code(), severity: Severity::Violation, text }
    }

    /// One that is only worth knowing.
    fn info(rule: Rule, code: &'static str, text: String) -> Self {
        Self { rule: Some(rule), code, severity: Severity::Info, text }
    }
}

impl Broken {
    fn new(rule: Rule, text: String, action: Enforce) -> Self {
        Self { code: rule.code(), severity: Severity::Violation, text, action: Some(action) }
    }
}
