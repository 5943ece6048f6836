//! What the proxy itself notes while the story is played: the source of every verdict shown.
//!
//! Takes the notes of all sessions (a [`Sink`]), gives the verdict on a stanza by its bytes. Must not make up anything.

use super::client::Trouble;
use crate::net::{SessionInfo, Sink};
use crate::session::{Dir, Fate, Note, Origin, Seen, Tally, What};
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
    /// The condition of the error it was answered with, or became.
    pub(super) condition: Option<String>,
    /// How it was changed.
    pub(super) change: Option<Change>,
    /// What was found wrong.
    pub(super) findings: Vec<String>,
}

/// What a rewritten stanza became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It was no error before.
    TurnedIntoError,
    /// It was an error already, but did not say which.
    ErrorAdded,
}

impl Change {
    /// From what went out in the place of what came in.
    fn between(came: &Seen, left: &Seen) -> Option<Self> {
        let (came, left) = (came.stanza.as_ref()?, left.stanza.as_ref()?);
        left.condition.as_ref()?;
        match (came.kind.as_deref(), &came.condition) {
            (Some("error"), None) => Some(Self::ErrorAdded),
            (Some("error"), Some(_)) => None,
            _ => Some(Self::TurnedIntoError),
        }
    }
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
        Self { fate, by, condition, change: None, findings }
    }
}

impl std::fmt::Display for Verdict {
    /// One line, as it is shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let by = &self.by;
        let condition = self.condition.as_deref().unwrap_or_default();
        match (self.fate, self.change) {
            ("passed", _) => f.write_str("passed on, untouched")?,
            ("rejected", _) => write!(f, "held back by {by}, answered with {condition}")?,
            (_, Some(Change::TurnedIntoError)) => {
                write!(f, "turned into an error by {by} ({condition}) and passed on")?
            }
            (_, Some(Change::ErrorAdded)) => write!(f, "error added by {by} ({condition}) and passed on")?,
            (fate, None) => write!(f, "{fate} by {by}")?,
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
        let Note::Seen(seen) = note else { return };
        let told = match seen.dir {
            Dir::In => seen.side == Side::Client,
            Dir::Out => matches!(seen.origin, Origin::Rewritten(..)),
        };
        if told && matches!(seen.what, What::Stanza(_)) && !self.0.is_closed() {
            let _ = self.0.send(Seen::clone(seen));
        }
    }

    fn finish(&mut self, _: &Tally) {}
}

impl Notes {
    /// What became of the stanza a client sent as just these bytes.
    pub(super) async fn verdict(&mut self, sent: &str) -> Result<Verdict, Trouble> {
        let search = async {
            let came = self.find(|seen| seen.dir == Dir::In && seen.bytes == sent.as_bytes()).await?;
            let mut verdict = Verdict::from(&came);
            if let Fate::Rewritten(_) = came.fate {
                let left =
                    self.find(|seen| matches!(seen.origin, Origin::Rewritten(of, _) if of == came.number)).await?;
                verdict.change = Change::between(&came, &left);
                verdict.condition = left.stanza.and_then(|stanza| stanza.condition);
            }
            Some(verdict)
        };
        let found = timeout(PATIENCE, search).await.map_err(|_| "iqtap has noted nothing about it".to_owned())?;
        found.ok_or_else(|| "the proxy has stopped".to_owned())
    }

    async fn find(&mut self, is_it: impl Fn(&Seen) -> bool) -> Option<Seen> {
        loop {
            let seen = self.0.recv().await?;
            if is_it(&seen) {
                return Some(seen);
            }
        }
    }
}
