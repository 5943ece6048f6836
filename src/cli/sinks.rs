//! Where the notes of `iqtap run` go: the printer on stdout, the recorder.

use super::{Failure, record};
use crate::config::Config;
use crate::inspect::{NotReloaded, Printer, PrinterOptions};
use crate::net::{Failed, News, SessionInfo, Sink};
use crate::policy::Policy;
use crate::script::Filter;
use crate::session::{Note, Tally};
use crate::xmpp::Timestamp;
use jiff::tz::TimeZone;
use std::io::{self, BufWriter, Write};
use std::sync::Arc;

/// The sinks a configuration asks for.
pub(super) fn sinks(config: &Config, policy: &Policy, failed: &Failed) -> Result<Vec<Box<dyn Sink>>, Failure> {
    let filter = config.compiled_filter().map_err(Failure::usage)?;
    let mut sinks: Vec<Box<dyn Sink>> = vec![Box::new(Printing::new(config, filter))];
    sinks.extend(record::sink(config, policy, failed)?);
    Ok(sinks)
}

/// The printer on stdout; on stderr, if stdout is for the capture.
struct Printing {
    printer: Option<Printer>,
    wants_stanzas: bool,
}

impl Printing {
    fn new(config: &Config, filter: Option<Filter>) -> Self {
        // Whoever sees only findings sees those of the stanzas that are filtered out no more.
        let wants_stanzas = !config.quiet || filter.is_some();
        let options = PrinterOptions {
            json: config.json,
            color: true, // anstream takes it out where nobody could see it
            quiet: config.quiet,
            zone: TimeZone::system(),
            filter: filter.map(Arc::new),
            ..PrinterOptions::default()
        };
        let out: Box<dyn Write + Send> = match record::takes_output(config) {
            true => Box::new(BufWriter::new(anstream::stderr())),
            false => Box::new(BufWriter::new(anstream::stdout())),
        };
        Self { printer: Some(Printer::new(options, out)), wants_stanzas }
    }

    fn print(&mut self, print: impl FnOnce(&mut Printer) -> io::Result<()>) {
        let Some(printer) = &mut self.printer else { return };
        if let Err(error) = print(printer) {
            self.printer = None;
            tracing::warn!(%error, "nobody reads the output any more; the sessions go on");
        }
    }
}

impl Sink for Printing {
    fn wants_stanzas(&self) -> bool {
        self.wants_stanzas
    }

    fn may_miss(&self) -> bool {
        true // whoever stops reading the output must not stop the sessions, nor the recorder
    }

    fn take(&mut self, session: &SessionInfo, now: Timestamp, note: &Note) {
        self.print(|printer| printer.note(session.number, &session.peer, now, note));
    }

    fn news(&mut self, now: Timestamp, news: &News) {
        self.print(|printer| match news {
            News::Reloaded { files, policy, restart } => printer.reloaded(now, files, *policy, restart),
            News::NotReloaded { error, policy, since } => {
                let why = NotReloaded {
                    path: &error.path,
                    line: error.line,
                    column: error.column,
                    reason: &error.message,
                    policy: *policy,
                    since: *since,
                };
                printer.not_reloaded(now, why)
            }
            News::StoreFailed { why } => printer.store_failed(now, why),
            News::StoreWorks => printer.store_works(now),
            News::Refused { count, total, address, limit } => printer.refused(now, *count, *total, *address, limit),
            News::MemoryFull { held, most } => printer.memory(now, *held, Some(*most)),
            News::MemoryFine { held } => printer.memory(now, *held, None),
        });
    }

    fn idle(&mut self) {
        self.print(Printer::flush);
    }

    fn finish(&mut self, total: &Tally) {
        self.print(|printer| printer.finish(total));
    }
}
