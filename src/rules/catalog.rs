//! What `iqtap rules` tells: each rule's words, its place, an example that breaks it, what is done about it.

use super::{
    Rule, duplicate_id, error_condition, iq_spoof, payload_namespace, rule1_id, rule2_type, rule3_answered,
    rule4_unasked, rule5_request_child, rule6_result_child, rule7_error_child, senders, stray_error,
};

/// A rule, explained to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleInfo {
    /// Which.
    pub rule: Rule,
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

/// All rules, in the order of [`Rule::ALL`].
#[must_use]
pub fn catalog() -> &'static [RuleInfo] {
    CATALOG
}

const CATALOG: &[RuleInfo] = &[
    rule1_id::INFO,
    rule2_type::INFO,
    rule3_answered::INFO,
    rule4_unasked::INFO,
    rule5_request_child::INFO,
    rule6_result_child::INFO,
    rule7_error_child::INFO,
    stray_error::INFO,
    payload_namespace::INFO,
    error_condition::INFO,
    duplicate_id::INFO,
    iq_spoof::INFO,
    senders::PUSH,
    senders::CARBON,
    senders::ARCHIVE,
];
