//! What is asked of recordings: `iqtap check`, `show --filter` and the JSON of both. There is no web inspector yet; what comes to it will be
//! such expressions, and what it answers such objects.
//!
//! The first line is an expression over `stanza` (nothing: all are shown), the rest a capture or a file of stanzas. Nothing that a peer has sent
//! gets to a terminal as a command, and every line for programs is one JSON object.

use super::capture::read;
use super::line;
use super::script::LIMITS;
use iqtap::inspect::{Printer, PrinterOptions};
use iqtap::policy::Policy;
use iqtap::replay::{Check, Ledger, Playbook, Scansion, Teller};
use iqtap::rules::Severity;
use iqtap::script::Filter;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

pub(crate) fn run(data: &[u8]) {
    let (expression, rest) = line(data);
    let expression = String::from_utf8_lossy(expression);
    // It would read a file.
    let filter = (!expression.trim().is_empty() && !expression.contains("list"))
        .then(|| Filter::new(&expression, LIMITS).map(Arc::new));
    let filter = match filter {
        Some(Err(why)) => {
            assert!(!why.contains(char::is_control), "an error is one line: {why:?}");
            None
        }
        Some(Ok(filter)) => Some(filter),
        None => None,
    };
    let events = read(rest);
    let mut printers = [false, true].map(|json| Paper::new(json, filter.clone()));
    let mut check = Check::new(Policy::default(), Severity::Info);
    let mut teller = Teller::new(Policy::default());
    let (mut ledger, mut rows) = (Ledger::new(true), 0_usize);
    let (mut book, mut scansion) = (Playbook::new(None), Scansion::new(None));
    for event in &events {
        check.event(event, &mut |told| printers.iter_mut().for_each(|paper| paper.note(&told)));
        teller.event(event, &mut |told| printers.iter_mut().for_each(|paper| paper.note(&told)));
        ledger.event(event, &mut |_| rows += 1);
        let _ = (book.event(event), scansion.event(event));
    }
    ledger.finish(&mut |_| rows += 1);
    let report = check.finish();
    let stanzas = usize::try_from(report.stanzas).unwrap_or(usize::MAX);
    assert!(rows <= stanzas + events.len(), "{rows} requests among {stanzas} stanzas");
    let total = teller.finish();
    for mut paper in printers {
        let _ = paper.printer.finish(&report.tally);
        let _ = paper.printer.finish(&total);
        paper.read();
    }
    if let Ok(text) = book.finish("fuzz.pcapng") {
        let read = iqtap::play::book(&text).map_err(|problem| problem.to_string());
        assert!(read.is_ok(), "a book that cannot be read: {read:?}\n{text}");
    }
    let _ = scansion.finish("fuzz.pcapng");
}

/// A printer and what it has written.
struct Paper {
    json: bool,
    printer: Printer,
    text: Shared,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Ok(mut all) = self.0.lock() {
            all.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn new(json: bool, filter: Option<Arc<Filter>>) -> Self {
        let text = Shared::default();
        let options = PrinterOptions { json, filter, ..PrinterOptions::default() };
        Self { json, printer: Printer::new(options, Box::new(text.clone())), text }
    }

    fn note(&mut self, told: &iqtap::replay::Told) {
        let _ = self.printer.note(told.session, &told.peer, told.at, &told.note);
    }

    /// What was printed can be read by whom it is for.
    fn read(&self) {
        let bytes = self.text.0.lock().map(|bytes| bytes.clone()).unwrap_or_default();
        let text = String::from_utf8(bytes);
        assert!(text.is_ok(), "not UTF-8: {text:?}");
        for line in text.unwrap_or_default().lines() {
            assert!(!line.contains(char::is_control), "a line that a terminal obeys: {line:?}");
            if self.json {
                let object = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line);
                assert!(object.is_ok(), "{object:?}: {line:?}");
            }
        }
    }
}
