//! What playing a recorded session came to.

use crate::replay::agents::Turn;
use crate::session::Latency;
use crate::xml::{Element, Scope, write_element};
use bytes::BytesMut;

/// So many differences are kept; more are counted.
const MOST: usize = 1000;
/// So much of a stanza is shown, in characters.
const SHOWN_CHARS: usize = 4096;

/// What kind of difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// It came, and says something else.
    Different,
    /// It was recorded and did not come.
    Missing,
    /// It came and was not recorded.
    New,
}

impl What {
    /// A word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Different => "different",
            Self::Missing => "missing",
            Self::New => "new",
        }
    }
}

/// A difference that matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What kind.
    pub what: What,
    /// In which way, for people.
    pub why: String,
    /// Whether it is about the answer to a request.
    pub answer: bool,
    /// The packet of the recorded one.
    pub frame: Option<u64>,
    /// What was recorded.
    pub recorded: Option<String>,
    /// What came.
    pub live: Option<String>,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// The differences, in the order in which they were found.
    pub differences: Vec<Difference>,
    /// How many more there were.
    pub more: u64,
    /// Stanzas sent as recorded.
    pub sent: u64,
    /// Stanzas that came.
    pub came: u64,
    /// Of these, so many say what was recorded.
    pub same: u64,
    /// Stanzas that were not sent, for a secret in them was replaced.
    pub left_out: u64,
    /// Stanzas for which it was over too early.
    pub unsent: u64,
    /// Requests that were not answered, and had been.
    pub unanswered: u64,
    /// Errors in place of results.
    pub errors: u64,
    /// How long answers took.
    pub latency: Latency,
}

impl Report {
    pub(super) fn add(&mut self, what: What, recorded: Option<(&Turn, &Element)>, live: Option<&Element>, why: String) {
        if self.differences.len() >= MOST {
            self.more += 1;
            return;
        }
        let is_answer = |element: &Element| super::is_answer(element);
        let answer = recorded.map(|(_, element)| element).or(live).is_some_and(is_answer);
        let frame = recorded.map(|(turn, _)| turn.frame);
        let recorded = recorded.map(|(_, element)| text(element));
        self.differences.push(Difference { what, why, answer, frame, recorded, live: live.map(text) });
    }

    /// Whether there was any difference, or it ended too early.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.differences.is_empty() && self.unsent == 0
    }
}

fn text(element: &Element) -> String {
    let mut bytes = BytesMut::new();
    write_element(element, Scope::Stream, &mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    if text.len() <= SHOWN_CHARS {
        return text.into_owned();
    }
    let start: String = text.chars().take(SHOWN_CHARS).collect();
    format!("{start}… ({} bytes)", text.len())
}
