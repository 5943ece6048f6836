//! What `iqtap rules` tells: each rule's words, its place, an example that breaks it, what is done about it.

use super::{Rule, rule1_id, rule2_type, rule3_4_answers, rule5_request_child, rule6_result_child, rule7_error_child};

/// A rule, explained to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleInfo {
    /// Its number in RFC 6120 §8.2.3.
    pub number: u8,
    /// The rule that is checked; `None` if iqtap only explains it.
    pub rule: Option<Rule>,
    /// In a few words.
    pub title: &'static str,
    /// Where it is written.
    pub place: &'static str,
    /// What it asks, why, and what real software does.
    pub explanation: &'static str,
    /// A stanza that breaks it.
    pub example: &'static str,
    /// What `enforce` does about it.
    pub enforced: &'static str,
}

/// All seven rules of RFC 6120 §8.2.3, in order.
#[must_use]
pub fn catalog() -> &'static [RuleInfo] {
    CATALOG
}

const CATALOG: &[RuleInfo] = &[
    rule1_id::INFO,
    rule2_type::INFO,
    rule3_4_answers::RULE3,
    rule3_4_answers::RULE4,
    rule5_request_child::INFO,
    rule6_result_child::INFO,
    rule7_error_child::INFO,
];
