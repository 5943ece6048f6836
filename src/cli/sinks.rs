//! Where the notes of `iqtap run` go: the printer and the recorder.

use super::Failure;
use crate::config::Config;
use crate::net::{SessionInfo, Sink, Summary, printable};
use crate::session::Note;
use crate::xmpp::Timestamp;

/// The sinks a configuration asks for.
pub(super) fn sinks(_config: &Config) -> Result<Vec<Box<dyn Sink>>, Failure> {
    Ok(vec![Box::new(Events)])
}

/// What happened in total.
pub(super) fn summary(summary: &Summary) -> String {
    let [client, server] = summary.tally.stanzas.map(|kinds| kinds.iter().sum::<u64>());
    format!(
        "iqtap: {} sessions, {client} stanzas from clients, {server} from servers, {} stopped, {} rewritten\n",
        summary.sessions, summary.tally.stopped, summary.tally.rewritten
    )
}

/// What a person should know, as operational events.
struct Events;

impl Sink for Events {
    fn wants_stanzas(&self) -> bool {
        false
    }

    fn take(&mut self, session: &SessionInfo, _now: Timestamp, note: &Note) {
        let session = session.number;
        match note {
            Note::Hint(text) => tracing::info!(session, "{}", printable(text)),
            Note::ScriptError(text) => tracing::warn!(session, "{}", printable(text)),
            Note::StreamError { side, condition, text } => {
                tracing::warn!(session, ?side, ?condition, "{}", printable(text));
            }
            Note::Finding { side, finding, .. } => tracing::info!(session, ?side, "{}", printable(&finding.text)),
            _ => {}
        }
    }
}
