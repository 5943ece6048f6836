//! What the rules look at: the facts of one iq, taken from its head without allocation.

use crate::xml::{Head, View};
use std::borrow::Cow;

/// One iq as the rules see it.
pub(super) struct Iq<'a> {
    pub(super) view: View<'a>,
    pub(super) head: &'a Head,
    pub(super) kind: IqType<'a>,
}

/// The `type` attribute (RFC 6120 §8.2.3 rule 2).
pub(super) enum IqType<'a> {
    Get,
    Set,
    Result,
    Error,
    /// Something else, and what.
    Unknown(Cow<'a, str>),
    Missing,
}

impl<'a> Iq<'a> {
    pub(super) fn of(view: &View<'a>) -> Self {
        let kind = match view.kind() {
            None => IqType::Missing,
            Some(text) => match &*text {
                "get" => IqType::Get,
                "set" => IqType::Set,
                "result" => IqType::Result,
                "error" => IqType::Error,
                _ => IqType::Unknown(text),
            },
        };
        Self { view: *view, head: view.head, kind }
    }

    /// Whether it is an answer, which must never be answered itself (rule 4).
    pub(super) fn is_answer(&self) -> bool {
        matches!(self.kind, IqType::Result | IqType::Error)
    }
}

impl IqType<'_> {
    /// For texts: `an iq of type get`, `an iq without a type`.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Get => "an iq of type get".to_owned(),
            Self::Set => "an iq of type set".to_owned(),
            Self::Result => "an iq of type result".to_owned(),
            Self::Error => "an iq of type error".to_owned(),
            Self::Unknown(text) => format!("an iq of type {}", quoted(text)),
            Self::Missing => "an iq without a type".to_owned(),
        }
    }
}

/// A peer's text for people: in quotes, control characters escaped, never long.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN_CHARS: usize = 40;
    let mut shown: String = text.chars().take(SHOWN_CHARS).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    format!("{shown:?}")
}
