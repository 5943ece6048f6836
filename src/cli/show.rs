//! `iqtap show`: what is in a capture, for people, for programs, and as a test.

use super::captures::{self, Capture, ReadArgs};
use super::{Failure, print};
use crate::capture::read::{Event, Item, ItemKind, Problem};
use crate::inspect::{Printer, PrinterOptions};
use crate::play;
use crate::policy::Policy;
use crate::replay::{Playbook, Scansion, Teller, Told};
use crate::script::{Filter, ScriptLimits};
use crate::session::{Note, What};
use crate::xmpp::Side;
use anstream::{AutoStream, ColorChoice};
use anstyle::Style;
use jiff::tz::TimeZone;
use std::io::{self, BufWriter, IsTerminal, Write, stdout};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Arguments of `iqtap show`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A capture is what `iqtap run --record` wrote, or what tcpdump or Wireshark recorded of XMPP in the clear. What a capture of iqtap's
own says of each stanza (verdict, rule, latency) is shown as it was shown live; in others each conversation is a session, and
the rules and latencies are those of a session that stood there and changed nothing.

Examples:
  iqtap show session.pcapng --filter 'stanza.kind == \"iq\" && stanza.ns == \"vcard-temp\"'
  iqtap show session.pcapng --session 2 --as play > bug.play       a regression test (`iqtap script test bug.play`)
  iqtap show session.pcapng --as scansion > bug.scs                the same for Prosody's Scansion
  tcpdump -i lo -w - 'tcp port 5222' | iqtap show -

Exit codes: 0, 2 usage, 3 the capture cannot be read (to its end)."
)]
pub(super) struct Args {
    /// The capture; `-` is stdin
    #[arg(value_name = "CAPTURE")]
    file: PathBuf,
    /// Show only stanzas for which this Rhai expression over `stanza` is true, as in `iqtap run`
    #[arg(long, value_name = "EXPR")]
    filter: Option<String>,
    /// Show only this session (in a recording of somebody else's: this conversation)
    #[arg(long, value_name = "N")]
    session: Option<u64>,
    /// How to show it
    #[arg(long = "as", value_name = "FORMAT", default_value = "pretty")]
    format: Format,
    #[command(flatten)]
    read: ReadArgs,
}

/// How a capture looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// A line per stanza, and its XML below
    Pretty,
    /// A line per stanza, as `iqtap run` prints it
    Lines,
    /// Events as of `iqtap run --json`
    Json,
    /// One session as a playbook, which `iqtap script test` plays
    Play,
    /// A script for Prosody's test tool Scansion
    Scansion,
    /// The raw streams, in the order of their items
    Xml,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let filter = args.filter.as_deref().map(|text| Filter::new(text, ScriptLimits::default())).transpose();
    let filter = filter.map_err(|why| Failure::usage(format!("--filter: {why}")))?;
    if filter.is_some() && !matches!(args.format, Format::Pretty | Format::Lines | Format::Json) {
        return Err(Failure::usage(
            "--filter is for pretty, lines and json; what is played or written raw must be whole",
        ));
    }
    let capture = captures::open(&args.file, &args.read.options(Side::Client))?;
    let name = captures::shown(&args.file);
    let mut reading = Reading { args, capture, whole: true, conversations: 0 };
    match args.format {
        Format::Pretty | Format::Lines | Format::Json => printed(&mut reading, filter),
        Format::Xml => raw(&mut reading),
        Format::Play => {
            let mut book = Playbook::new(args.session);
            reading.each(&mut |event| book.event(event))?;
            print::out(&book.finish(&name).map_err(|why| Failure::usage(format!("{name}: {why}")))?);
        }
        Format::Scansion => {
            let mut script = Scansion::new(args.session);
            reading.each(&mut |event| script.event(event))?;
            print::out(&script.finish(&name).map_err(|why| Failure::usage(format!("{name}: {why}")))?);
        }
    }
    reading.conclude()
}

/// A capture being read.
struct Reading<'a> {
    args: &'a Args,
    capture: Capture,
    /// Whether the file was sound so far.
    whole: bool,
    conversations: u64,
}

impl Reading<'_> {
    /// The next event; says what is wrong with the file.
    fn next(&mut self) -> Option<Event> {
        let event = self.capture.next()?;
        match &event {
            Event::Begins { .. } => self.conversations += 1,
            Event::Trouble(trouble) if trouble.talk.is_none() => {
                captures::complain(&self.args.file, &trouble.problem);
                self.whole &= !trouble.problem.is_of_file();
            }
            Event::Trouble(trouble) if trouble.problem == Problem::NoStream => self.whole = false,
            _ => {}
        }
        Some(event)
    }

    fn each(&mut self, take: &mut dyn FnMut(&Event) -> Result<(), String>) -> Result<(), Failure> {
        while let Some(event) = self.next() {
            take(&event).map_err(|why| Failure::usage(format!("{}: {why}", captures::shown(&self.args.file))))?;
        }
        Ok(())
    }

    fn conclude(&self) -> Result<(), Failure> {
        if !self.whole {
            return Err(Failure::runtime("it was not read as a whole"));
        }
        if self.conversations == 0 && self.capture.packets() > 0 {
            captures::complain(&self.args.file, &captures::NOTHING);
        }
        Ok(())
    }
}

/// Text that a printer has made.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Through the printer of the live terminal.
fn printed(reading: &mut Reading<'_>, filter: Option<Filter>) {
    let args = reading.args;
    let colour = AutoStream::choice(&stdout()) != ColorChoice::Never;
    let options = PrinterOptions {
        json: args.format == Format::Json,
        color: colour,
        zone: TimeZone::system(),
        filter: filter.map(Arc::new),
        ..PrinterOptions::default()
    };
    let page = Page::default();
    let mut printer = Printer::new(options, Box::new(page.clone()));
    let mut teller = Teller::new(Policy::default());
    let mut out = BufWriter::new(stdout());
    let mut total = None;
    let live = args.file == Path::new("-");
    while let Some(event) = reading.next() {
        teller.event(&event, &mut |Told { session, peer, at, note }| {
            if args.session.is_some_and(|only| only != session) {
                return;
            }
            if let (Note::Over(tally), Some(_)) = (&note, args.session) {
                total = Some((**tally).clone());
            }
            let _ = printer.note(session, &peer, at, &note); // into memory
            let shown = page.take();
            let _ = out.write_all(&shown); // a reader that has gone is no error
            if let Note::Seen(seen) = &note
                && args.format == Format::Pretty
                && !shown.is_empty()
                && matches!(seen.what, What::Stanza(_))
            {
                let _ = out.write_all(indented(&seen.bytes, colour).as_bytes());
            }
        });
        // What comes by and by is seen at once.
        if live {
            let _ = out.flush();
        }
    }
    let all = teller.finish();
    let _ = printer.finish(&total.unwrap_or(all));
    let _ = out.write_all(&page.take()).and_then(|()| out.flush());
}

/// How far XML stands from the edge, below its stanza's line.
const MARGIN: usize = 24;
/// What is deeper is not indented further.
const DEEPEST: usize = 12;

/// A stanza's XML: an element per line, a text behind its tag.
fn indented(bytes: &[u8], colour: bool) -> String {
    let text = String::from_utf8_lossy(bytes);
    let style = if colour { Style::new().dimmed() } else { Style::new() };
    let (mut out, mut depth) = (String::new(), 0_usize);
    for (at, piece) in text.replace("><", ">\u{0}<").split('\u{0}').enumerate() {
        let (opens, closes) = tags(piece);
        if piece.starts_with("</") {
            depth = depth.saturating_sub(1);
        }
        if at > 0 || !out.is_empty() {
            out.push('\n');
        }
        let margin = MARGIN + 2 * depth.min(DEEPEST);
        out.push_str(&format!("{:margin$}{style}{}{style:#}", "", play::shown(piece)));
        let closes = closes - usize::from(piece.starts_with("</"));
        depth = (depth + opens).saturating_sub(closes);
    }
    out.push('\n');
    out
}

/// How many elements a piece of XML opens and closes.
fn tags(piece: &str) -> (usize, usize) {
    let (mut opens, mut closes) = (0, 0);
    for (at, _) in piece.match_indices('<') {
        let rest = &piece.as_bytes()[at..];
        match rest.get(1) {
            Some(b'/') => closes += 1,
            Some(b'!' | b'?') | None => {}
            Some(_) => opens += 1,
        }
    }
    (opens, closes + piece.matches("/>").count())
}

/// The streams as they were, each run of one sender under a comment that says whose it is.
fn raw(reading: &mut Reading<'_>) {
    let (only, terminal) = (reading.args.session, stdout().is_terminal());
    let mut out = BufWriter::new(stdout());
    let mut last = None;
    while let Some(event) = reading.next() {
        let Event::Item(item) = &event else { continue };
        let (session, way) = (session(item), item.way_in_words());
        if only.is_some_and(|only| only != session) {
            continue;
        }
        if last != Some((session, way)) {
            let begins = if last.is_some() { "\n" } else { "" };
            let _ = writeln!(out, "{begins}<!-- session {session}, {way} -->");
            last = Some((session, way));
        }
        let _ = match item.kind {
            // What no parser takes may be what a terminal obeys.
            ItemKind::Refused { why, .. } => write!(out, "<!-- refused: {why} -->"),
            _ if terminal => out.write_all(harmless(&item.bytes).as_bytes()),
            _ => out.write_all(&item.bytes), // a reader that has gone is no error
        };
    }
    let _ = out.write_all(b"\n").and_then(|()| out.flush());
}

/// For a terminal: line by line without what it would obey.
fn harmless(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.split('\n').map(play::shown).collect::<Vec<_>>().join("\n")
}

fn session(item: &Item) -> u64 {
    item.talk.ours.as_ref().map_or(item.talk.number, |ours| ours.session)
}
