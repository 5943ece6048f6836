//! The IQ rules of RFC 6120 §8.2.3 (1, 2, 5, 6, 7 here; 3 and 4 need the ledger): a table of plain functions.
//!
//! Takes a judged stanza, gives findings and what enforcing would do. Must not know the session, allocate for a
//! stanza that breaks nothing, or change anything itself.

mod catalog;
mod iq;
mod rule1_id;
mod rule2_type;
mod rule3_4_answers;
mod rule5_request_child;
mod rule6_result_child;
mod rule7_error_child;

pub use catalog::{RuleInfo, catalog};

use crate::xml::View;
use crate::xmpp::{Side, StanzaError, ns};
use iq::Iq;

/// A rule's number as RFC 6120 §8.2.3 counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rule {
    /// 1: `id` is required.
    Id,
    /// 2: `type` is one of get, set, result, error.
    Type,
    /// 5: a get or set has exactly one child element.
    RequestChild,
    /// 6: a result has at most one child element.
    ResultChild,
    /// 7: an error has an `<error/>` child.
    ErrorChild,
}

impl Rule {
    /// All of them, in the RFC's order.
    pub const ALL: [Self; 5] = [Self::Id, Self::Type, Self::RequestChild, Self::ResultChild, Self::ErrorChild];

    /// Its number in RFC 6120 §8.2.3.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Id => 1,
            Self::Type => 2,
            Self::RequestChild => 5,
            Self::ResultChild => 6,
            Self::ErrorChild => 7,
        }
    }

    /// The code of a finding that breaks it.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Id => "rule1",
            Self::Type => "rule2",
            Self::RequestChild => "rule5",
            Self::ResultChild => "rule6",
            Self::ErrorChild => "rule7",
        }
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
    pub modes: [[Mode; 5]; 2],
}

impl Modes {
    /// The same mode everywhere.
    #[must_use]
    pub const fn all(mode: Mode) -> Self {
        Self { modes: [[mode; 5]; 2] }
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
    /// Which; `None` for what no rule of RFC 6120 §8.2.3 covers (a script's reject of a result, ...).
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
}

/// Checks one stanza against every rule that is not off. Appends findings; gives what to do if an enforced rule is
/// broken (the first in rule order that has something to do). Only `{jabber:client}iq` is looked at.
pub fn check(stanza: &View<'_>, sender: Side, modes: &Modes, found: &mut Vec<Finding>) -> Option<Enforce> {
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
        action = action.or(enforced);
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
];

/// What a rule says of an iq that breaks it.
struct Broken {
    code: &'static str,
    severity: Severity,
    text: String,
    /// What enforcing does; `None` where there is nothing to enforce.
    action: Option<Enforce>,
}

impl Broken {
    fn new(rule: Rule, text: String, action: Enforce) -> Self {
        Self { code: rule.code(), severity: Severity::Violation, text, action: Some(action) }
    }
}
