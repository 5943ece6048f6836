//! A printer that writes to memory, and notes made by hand.

use bytes::Bytes;
use iqtap::inspect::{Printer, PrinterOptions};
use iqtap::rules::{Finding, Severity};
use iqtap::session::{Dir, Fate, Latency, Note, Origin, Seen, StanzaInfo, Tally, What};
use iqtap::xmpp::{Side, Timestamp};
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

/// A printer and what it wrote. Each note comes 10.25 seconds after the one before; the first at 2023-11-14 22:13:20.001 UTC.
pub(crate) struct Screen {
    printer: Printer,
    text: Paper,
    at: Timestamp,
}

/// What was written, in memory.
#[derive(Clone, Default)]
pub(crate) struct Paper(Arc<Mutex<Vec<u8>>>);

impl Paper {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Screen {
    pub(crate) fn new(options: PrinterOptions) -> Self {
        let text = Paper::default();
        let printer = Printer::new(options, Box::new(text.clone()));
        Self { printer, text, at: Timestamp(1_700_000_000_001_000) }
    }

    pub(crate) fn note(&mut self, session: u64, note: &Note) {
        self.printer.note(session, "203.0.113.9:40000", self.at, note).unwrap();
        self.at = Timestamp(self.at.0 + 10_250_000);
    }

    pub(crate) fn finish(mut self, total: &Tally) -> String {
        self.printer.finish(total).unwrap();
        self.text.text()
    }
}

pub(crate) fn stanza(side: Side, dir: Dir, what: What, info: StanzaInfo) -> Note {
    Note::Seen(Box::new(Seen {
        side,
        dir,
        number: 1,
        what,
        bytes: Bytes::from_static(b"<iq/>"),
        stanza: Some(info),
        fate: Fate::Passed,
        origin: Origin::Peer,
        findings: Vec::new(),
        pair: None,
        tags: Vec::new(),
    }))
}

pub(crate) fn finding(code: &'static str, text: &str) -> Finding {
    Finding { rule: None, code, severity: Severity::Violation, text: text.to_owned() }
}

pub(crate) fn latency(micros: impl IntoIterator<Item = u64>) -> Latency {
    let mut latency = Latency::default();
    micros.into_iter().for_each(|micros| latency.note(micros));
    latency
}
