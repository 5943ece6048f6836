//! Where the demo's proxy sends its notes: to the story, to a capture, and, once it is the user's turn, to the screen.
//!
//! Takes notes, gives text and bytes to those who write them. Must not show the demo's own clients as if they were the user's.

use super::notes::Listener;
use super::{Args, Failure};
use crate::inspect::{Printer, PrinterOptions};
use crate::net::{Recording, SessionInfo, Sink};
use crate::session::{Note, Tally};
use crate::xmpp::Timestamp;
use jiff::tz::TimeZone;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Juliet's and romeo's.
const OWN_SESSIONS: u64 = 2;

/// Whose turn it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Turn(Arc<AtomicBool>);

impl Turn {
    /// From now on it is the user's.
    pub(super) fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// All sinks the arguments ask for.
pub(super) fn sinks(args: &Args, listener: Listener) -> Result<(Turn, Vec<Box<dyn Sink>>), Failure> {
    let turn = Turn::default();
    let mut sinks: Vec<Box<dyn Sink>> = vec![Box::new(listener)];
    if let Some(path) = &args.record {
        sinks.push(Box::new(Recording::create(path).map_err(Failure::usage)?));
    }
    if !args.once {
        let options =
            PrinterOptions { json: args.json, color: true, zone: TimeZone::system(), ..PrinterOptions::default() };
        let printer = Printer::new(options, Box::new(anstream::stdout()));
        sinks.push(Box::new(Live { printer, turn: turn.clone(), total: Tally::default() }));
    }
    Ok((turn, sinks))
}

/// A line for each stanza of the user's clients.
struct Live {
    printer: Printer,
    turn: Turn,
    total: Tally,
}

impl Sink for Live {
    fn take(&mut self, session: &SessionInfo, now: Timestamp, note: &Note) {
        if session.number <= OWN_SESSIONS || !self.turn.0.load(Ordering::Relaxed) {
            return;
        }
        if let Note::Over(tally) = note {
            self.total.add(tally);
        }
        // Who listened has gone: no reason to stop.
        let _ = self.printer.note(session.number, &session.peer, now, note);
        let _ = self.printer.flush();
    }

    fn finish(&mut self, _: &Tally) {
        let _ = self.printer.finish(&self.total);
    }
}
