//! `iqtap check`: every IQ rule and the ledger over captures.

mod junit;
mod queue;

use super::captures::{self, ReadArgs};
use super::{Failure, print};
use crate::capture::read::{Event, Problem};
use crate::config::parse_duration;
use crate::inspect::{Printer, PrinterOptions};
use crate::policy::Policy;
use crate::replay::{Check, Report};
use crate::rules::{Finding, Mode, Modes, Rule, Severity};
use crate::session::Note;
use crate::xmpp::Side;
use indicatif::ProgressBar;
use jiff::tz::TimeZone;
use queue::{Queue, Queued, Shared};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Arguments of `iqtap check`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A capture is what `iqtap run --record` wrote, or what tcpdump or Wireshark recorded of XMPP in the clear (pcapng or pcap). Where
bytes are missing, or the beginning, what cannot be known is not held against anybody. Of a file of stanzas (FILE.xml), of which
nobody knows what came back, only what each shows by itself is checked.

Examples:
  iqtap check session.pcapng
  iqtap check *.pcap --as junit > report.xml                 for continuous integration
  iqtap check session.pcapng --rules rule3,iq-spoof          only these (`iqtap rules` lists them)
  tcpdump -i lo -w - 'tcp port 5222' | iqtap check -

Exit codes: 0 nothing found, 1 something of that severity, 2 usage, 3 a file cannot be read (to its end), or nothing in it can be."
)]
pub(super) struct Args {
    /// Captures, or files of stanzas; `-` is stdin
    #[arg(value_name = "CAPTURE", required = true)]
    files: Vec<PathBuf>,
    /// Check only these rules [default: all]
    #[arg(long, value_name = "RULE,...", value_delimiter = ',', value_parser = parse_rule)]
    rules: Vec<Rule>,
    /// What is told and makes the exit code 1: `violation`, or also what is only worth knowing, `info`
    #[arg(long, value_name = "LEVEL", default_value = "violation", value_parser = parse_severity)]
    severity: Severity,
    /// How to tell it
    #[arg(long = "as", value_name = "FORMAT", default_value = "text")]
    format: Format,
    /// How long an IQ may go unanswered
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    iq_timeout: u64,
    /// Who sent the stanzas of a FILE.xml: client or server
    #[arg(long, value_name = "SIDE", default_value = "client", value_parser = parse_side)]
    from: Side,
    #[command(flatten)]
    read: ReadArgs,
}

/// How a report looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// As `iqtap run --quiet` tells it, and the IQ report
    Text,
    /// One object per line, as of `iqtap run --json --quiet`, with the `file`
    Json,
    /// For continuous integration
    Junit,
}

fn parse_rule(name: &str) -> Result<Rule, String> {
    Rule::named(name).ok_or_else(|| "no such rule; `iqtap rules` lists them".to_owned())
}

fn parse_severity(text: &str) -> Result<Severity, String> {
    match text {
        "violation" => Ok(Severity::Violation),
        "info" => Ok(Severity::Info),
        _ => Err("violation or info".to_owned()),
    }
}

fn parse_side(text: &str) -> Result<Side, String> {
    match text {
        "client" => Ok(Side::Client),
        "server" => Ok(Side::Server),
        _ => Err("client or server".to_owned()),
    }
}

/// What one file came to.
struct Outcome {
    report: Report,
    /// Findings by code, with some of the texts: what JUnit is told.
    found: BTreeMap<&'static str, Group>,
    /// Why it could not be opened.
    failed: Option<String>,
    packets: u64,
    conversations: u64,
}

/// Findings of one code.
#[derive(Debug, Default)]
struct Group {
    count: u64,
    texts: Vec<String>,
}

/// So many findings of one code are quoted in a JUnit report.
const QUOTED: usize = 20;

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let bar = captures::bar(&args.files);
    let queue = Arc::new(Queue::default());
    let (next, workers) = (AtomicUsize::new(0), thread::available_parallelism().map_or(1, usize::from));
    let mut outcomes = thread::scope(|scope| {
        let work = || {
            let mut done = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(path) = args.files.get(index) else { return done };
                let mut out = queue.place(index);
                done.push((index, check(args, path, &mut out, &bar)));
                out.finish();
            }
        };
        let workers: Vec<_> = (0..workers.min(args.files.len())).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect::<Vec<_>>()
    });
    bar.finish_and_clear();
    outcomes.sort_by_key(|(index, _)| *index);
    let outcomes: Vec<_> = args.files.iter().zip(outcomes.into_iter().map(|(_, outcome)| outcome)).collect();
    if args.format == Format::Junit {
        print::out(&String::from_utf8_lossy(&junit::report(&outcomes)));
    }
    conclude(&outcomes)
}

/// Checks one file.
fn check(args: &Args, path: &Path, out: &mut Queued, bar: &ProgressBar) -> Outcome {
    let mut outcome =
        Outcome { report: Report::default(), found: BTreeMap::new(), failed: None, packets: 0, conversations: 0 };
    let mut capture = match captures::open(path, &args.read.options(args.from)) {
        Ok(capture) => capture,
        Err(failure) => {
            outcome.failed = Some(failure.message);
            return outcome;
        }
    };
    if args.format == Format::Text && args.files.len() > 1 {
        let _ = writeln!(out, "{}:", captures::shown(path));
    }
    let mut printer = printer(args, path, out.share());
    let mut check = Check::new(policy(args), args.severity);
    let mut position = 0;
    let mut take = |event: Event, at: u64| {
        if let Event::Begins { .. } = event {
            outcome.conversations += 1;
        }
        check.event(&event, &mut |told| {
            if let Note::Finding { finding, .. } = &told.note {
                outcome.note(finding);
            }
            if let Some(printer) = &mut printer {
                let _ = printer.note(told.session, &told.peer, told.at, &told.note); // a reader that has gone is no error
            }
        });
        if at != position {
            bar.inc(at - position);
            position = at;
        }
    };
    // What comes by and by is told at once, and many files keep all cores busy as it is.
    outcome.packets = if path == Path::new("-") || args.files.len() > 1 {
        while let Some(event) = capture.next() {
            take(event, capture.position());
        }
        capture.packets()
    } else {
        captures::read_ahead(capture, &mut take)
    };
    outcome.report = check.finish();
    if let Some(printer) = &mut printer {
        let _ = printer.finish(&outcome.report.tally);
    }
    outcome
}

impl Outcome {
    fn note(&mut self, finding: &Finding) {
        let group = self.found.entry(finding.code).or_default();
        group.count += 1;
        if group.texts.len() < QUOTED {
            group.texts.push(finding.text.clone());
        }
    }

    /// Why nothing could be checked, if so.
    fn nothing(&self) -> Option<&'static str> {
        match (self.packets, self.conversations) {
            (0, _) | (_, 1..) => None,
            _ if self.report.closed > 0 => Some("nothing in it can be read: what there is is encrypted, or not XMPP"),
            _ => Some(captures::NOTHING),
        }
    }
}

fn printer(args: &Args, path: &Path, out: Shared) -> Option<Printer> {
    let options = PrinterOptions {
        json: args.format == Format::Json,
        color: queue::is_coloured(),
        quiet: true,
        zone: TimeZone::system(),
        ..PrinterOptions::default()
    };
    match args.format {
        Format::Text => Some(Printer::new(options, Box::new(out))),
        Format::Json => Some(Printer::new(options, Box::new(out.with_file(&captures::shown(path))))),
        Format::Junit => None,
    }
}

fn policy(args: &Args) -> Policy {
    let mut rules = Modes::all(if args.rules.is_empty() { Mode::Report } else { Mode::Off });
    for rule in &args.rules {
        [Side::Client, Side::Server].into_iter().for_each(|side| rules.set(side, *rule, Mode::Report));
    }
    Policy { rules, iq_timeout: args.iq_timeout, ..Policy::default() }
}

/// Says what went wrong; the worst gives the exit code.
fn conclude(outcomes: &[(&PathBuf, Outcome)]) -> Result<(), Failure> {
    let mut unreadable = 0;
    for (path, outcome) in outcomes {
        let damage = outcome.report.damage.iter().map(Problem::to_string);
        let all: Vec<String> = damage.chain(outcome.nothing().map(str::to_owned)).collect();
        all.iter().for_each(|what| captures::complain(path, what));
        if let Some(why) = &outcome.failed {
            print::aside(&format!("iqtap: {why}\n"));
        }
        unreadable += usize::from(!all.is_empty() || outcome.failed.is_some());
    }
    let found: u64 = outcomes.iter().map(|(_, outcome)| outcome.report.found).sum();
    let files = |count: usize| {
        if outcomes.len() == 1 { String::new() } else { format!(" in {count} of {} files", outcomes.len()) }
    };
    let with: usize = outcomes.iter().filter(|(_, outcome)| outcome.report.found > 0).count();
    let told = match found {
        0 => None,
        1 => Some(format!("1 finding{}", files(with))),
        _ => Some(format!("{found} findings{}", files(with))),
    };
    match (unreadable, told) {
        (0, None) => Ok(()),
        (0, Some(told)) => Err(Failure { code: 1, message: told }),
        (_, told) => {
            let whole = if outcomes.len() == 1 {
                "it was not read as a whole".to_owned()
            } else {
                format!("{unreadable} of {} files were not read as a whole", outcomes.len())
            };
            let message = told.map_or_else(|| whole.clone(), |told| format!("{told}; {whole}"));
            Err(Failure::runtime(message))
        }
    }
}
