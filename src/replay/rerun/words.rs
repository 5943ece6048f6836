//! What became of an item and where one comes from, in words.

use crate::session::{Fate, Origin};

/// What became of what came in.
#[must_use]
pub fn fate(fate: &Fate) -> String {
    match fate {
        Fate::Passed => "passed".to_owned(),
        Fate::Handled => "handled by iqtap".to_owned(),
        Fate::Rewritten(by) => format!("rewritten by {by}"),
        Fate::Dropped(by) => format!("dropped by {by}"),
        Fate::Rejected(condition, by) => format!("rejected {condition} by {by}"),
        Fate::Answered(by) => format!("answered by {by}"),
    }
}

/// Where what went out comes from; the numbers of items are left out.
#[must_use]
pub fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Peer => "sent".to_owned(),
        Origin::Forwarded(_) => "forwarded".to_owned(),
        Origin::Rewritten(_, by) => format!("rewritten by {by}"),
        Origin::Made(_, by) => format!("made by {by}"),
    }
}
