//! What the proxy itself notes while the story is played: the source of every verdict shown.
//!
//! Takes the notes of all sessions (a [`Sink`]), gives the verdict on a stanza by its bytes. Must not make up anything.

use super::client::Trouble;
use crate::net::{SessionInfo, Sink};
use crate::session::{Dir, Fate, Note, Seen, Tally, What};
use crate::xmpp::{Side, Timestamp};
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

/// Notes come a moment after the bytes went out.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the proxy did with a stanza, in its own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// `passed`, `rewritten`, `dropped`, `rejected`, `answered`.
    pub(super) fate: &'static str,
    /// By which rule or script; empty if by none.
    pub(super) by: String,
    /// The condition of the error it was answered with.
    pub(super) condition: Option<String>,
    /// What was found wrong.
    pub(super) findings: Vec<String>,
}

impl From<&Seen> for Verdict {
    fn from(seen: &Seen) -> Self {
        let (fate, by, condition) = match &seen.fate {
            Fate::Passed | Fate::Handled => ("passed", String::new(), None),
            Fate::Rewritten(by) => ("rewritten", by.clone(), None),
            Fate::Dropped(by) => ("dropped", by.clone(), None),
            Fate::Answered(by) => ("answered", by.clone(), None),
            Fate::Rejected(condition, by) => ("rejected", by.clone(), Some(condition.clone())),
        };
        let findings = seen.findings.iter().map(|finding| finding.text.clone()).collect();
        Self { fate, by, condition, findings }
    }
}

impl std::fmt::Display for Verdict {
    /// One line, as it is shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let by = &self.by;
        match (self.fate, &self.condition) {
            ("passed", _) => f.write_str("passed on, untouched")?,
            ("rejected", Some(condition)) => write!(f, "held back by {by}, answered with {condition}")?,
            ("rewritten", _) => write!(f, "rewritten by {by} and passed on")?,
            ("dropped", _) => write!(f, "dropped by {by}")?,
            (fate, _) => write!(f, "{fate} by {by}")?,
        }
        self.findings.iter().try_for_each(|finding| write!(f, "; {finding}"))
    }
}

/// The proxy's end. Deaf once the story is over.
pub(super) struct Listener(UnboundedSender<Seen>);

/// The demo's end.
pub(super) struct Notes(UnboundedReceiver<Seen>);

/// Both ends.
pub(super) fn notes() -> (Listener, Notes) {
    let (sender, receiver) = unbounded_channel();
    (Listener(sender), Notes(receiver))
}

impl Sink for Listener {
    fn take(&mut self, _: &SessionInfo, _: Timestamp, note: &Note) {
        if let Note::Seen(seen) = note
            && !self.0.is_closed()
            && (seen.side, seen.dir) == (Side::Client, Dir::In)
            && matches!(seen.what, What::Stanza(_))
        {
            let _ = self.0.send(Seen::clone(seen));
        }
    }

    fn finish(&mut self, _: &Tally) {}
}

impl Notes {
    /// What became of the stanza a client sent as just these bytes.
    pub(super) async fn verdict(&mut self, sent: &str) -> Result<Verdict, Trouble> {
        let search = async {
            while let Some(seen) = self.0.recv().await {
                if seen.bytes == sent.as_bytes() {
                    return Ok(Verdict::from(&seen));
                }
            }
            Err("the proxy has stopped".to_owned())
        };
        timeout(PATIENCE, search).await.unwrap_or_else(|_| Err("iqtap has noted nothing about it".to_owned()))
    }
}
