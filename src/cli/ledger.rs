//! `iqtap ledger`: the IQ table of a capture.

use super::captures::{self, ReadArgs};
use super::{Failure, print};
use crate::capture::read::Event;
use crate::replay::{Answer, Ledger, Row, Who};
use crate::xmpp::{Side, Timestamp};
use jiff::tz::TimeZone;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

/// Arguments of `iqtap ledger`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "One row for each get and set: when, in which session (in a recording of somebody else's: which conversation), on which leg, who asked
whom for what, what came back, how long it took, and who answered: the server, the client, or iqtap by a script, a rule or an
answer of its own. What iqtap only passed on has one row, where it came in; --all shows the other leg's too.

Examples:
  iqtap ledger session.pcapng
  iqtap ledger session.pcapng --as json | jq 'select(.answer == null)'        what was never answered

Exit codes: 0, 2 usage, 3 the capture cannot be read (to its end)."
)]
pub(super) struct Args {
    /// The capture; `-` is stdin
    #[arg(value_name = "CAPTURE")]
    file: PathBuf,
    /// How to tell it
    #[arg(long = "as", value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// Requests that iqtap has only passed on, on both legs
    #[arg(long)]
    all: bool,
    /// Only this session
    #[arg(long, value_name = "N")]
    session: Option<u64>,
    #[command(flatten)]
    read: ReadArgs,
}

/// How the table looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Columns
    Table,
    /// One object per line
    Json,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let mut capture = captures::open(&args.file, &args.read.options(Side::Client))?;
    let bar = captures::bar(&[&args.file]);
    let mut ledger = Ledger::new(args.all);
    let mut out = BufWriter::new(std::io::stdout());
    let zone = TimeZone::system();
    let mut tell = |row: Row| {
        if args.session.is_none_or(|session| session == row.session) {
            let line = match args.format {
                Format::Table => line(&row, &zone),
                Format::Json => object(&row),
            };
            let _ = out.write_all(line.as_bytes()); // a reader that has gone is no error
        }
    };
    if args.format == Format::Table {
        print::out(&heading());
    }
    let (mut damage, mut conversations) = (Vec::new(), 0_u64);
    let mut take = |event: Event, position: u64| {
        match &event {
            Event::Begins { .. } => conversations += 1,
            Event::Trouble(trouble) if trouble.talk.is_none() => {
                captures::complain(&args.file, &trouble.problem);
                damage.extend(trouble.problem.is_of_file().then_some(()));
            }
            _ => {}
        }
        ledger.event(&event, &mut tell);
        bar.set_position(position);
    };
    // What comes by and by is told at once.
    let packets = if args.file == Path::new("-") {
        while let Some(event) = capture.next() {
            take(event, capture.position());
        }
        capture.packets()
    } else {
        captures::read_ahead(capture, &mut take)
    };
    ledger.finish(&mut tell);
    bar.finish_and_clear();
    let _ = out.flush();
    if !damage.is_empty() {
        return Err(Failure::runtime("it was not read as a whole"));
    }
    if conversations == 0 && packets > 0 {
        captures::complain(&args.file, &captures::NOTHING);
    }
    Ok(())
}

fn heading() -> String {
    format!(
        "{:<12}  {:>7}  {:<6}  {:<4}  {:<28}  {:<28}  {:<30}  {:<12}  {:<24}  {:>9}  {}\n",
        "when", "session", "leg", "type", "who asked", "whom", "for what", "id", "answer", "latency", "who answered"
    )
}

fn line(row: &Row, zone: &TimeZone) -> String {
    let payload = row.payload.as_ref().map_or_else(String::new, |(space, name)| {
        if space.is_empty() { name.clone() } else { format!("{{{space}}}{name}") }
    });
    let (answer, latency, who) = match &row.answer {
        Some(answer) => (answered(answer), micros(answer.micros), answer.by.to_string()),
        None => (
            "none".to_owned(),
            "-".to_owned(),
            row.dropped_by.as_ref().map_or_else(String::new, |by| format!("(dropped by {by})")),
        ),
    };
    let leg = row.leg.map_or("-", Side::name);
    let mut line = format!("{:<12}  {:>7}  {leg:<6}  {:<4}", time(row.at, zone, "%H:%M:%S%.3f"), row.session, row.kind);
    let from = asker(row);
    let to = row.to.clone().unwrap_or_else(|| match row.asker {
        Side::Client => "(its account)".to_owned(),
        Side::Server => "(the client)".to_owned(),
    });
    let id = row.id.clone().unwrap_or_else(|| "-".to_owned());
    for (text, width) in [(&from, 28), (&to, 28), (&payload, 30), (&id, 12), (&answer, 24)] {
        let _ = write!(line, "  {}", fitted(text, width));
    }
    let _ = write!(line, "  {latency:>9}  {}", fitted(&who, 60).trim_end());
    line.trim_end().to_owned() + "\n"
}

fn asker(row: &Row) -> String {
    let who = row.from.clone().unwrap_or_else(|| format!("(the {})", row.asker.name()));
    match &row.asked_by {
        Some(by) => format!("{who} by {by}"),
        None => who,
    }
}

fn answered(answer: &Answer) -> String {
    match (&answer.condition, answer.result) {
        (_, true) => "result".to_owned(),
        (Some(condition), false) => condition.clone(),
        (None, false) => "error".to_owned(),
    }
}

/// Safe to show, and of this width: the end of what is too long is left out.
fn fitted(text: &str, width: usize) -> String {
    let safe = crate::play::shown(text);
    let count = safe.chars().count();
    if count <= width {
        return format!("{safe}{}", " ".repeat(width - count));
    }
    safe.chars().take(width - 1).chain(['…']).collect()
}

fn micros(micros: u64) -> String {
    format!("{}.{:03} ms", micros / 1000, micros % 1000)
}

fn time(at: Timestamp, zone: &TimeZone, format: &str) -> String {
    let micros = i64::try_from(at.0).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX);
    time.to_zoned(zone.clone()).strftime(format).to_string()
}

/// A row as JSON: fields that do not apply are left out, `answer` is null where there is none.
fn object(row: &Row) -> String {
    let mut object = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            object.insert(name.to_owned(), value);
        }
    };
    put("time", Some(time(row.at, &TimeZone::UTC, "%Y-%m-%dT%H:%M:%S%.6fZ").into()));
    put("session", Some(row.session.into()));
    put("leg", row.leg.map(|leg| leg.name().into()));
    put("number", Some(row.number.into()));
    put("frame", Some(row.frame.into()));
    put("asker", Some(row.asker.name().into()));
    put("asked_by", row.asked_by.clone().map(Value::from));
    put("from", row.from.clone().map(Value::from));
    put("to", row.to.clone().map(Value::from));
    put("type", Some(row.kind.clone().into()));
    put("ns", row.payload.as_ref().map(|(space, _)| space.clone().into()));
    put("payload", row.payload.as_ref().map(|(_, name)| name.clone().into()));
    put("id", row.id.clone().map(Value::from));
    put("dropped_by", row.dropped_by.clone().map(Value::from));
    let answer = row.answer.as_ref().map_or(Value::Null, |answer| {
        let (who, by) = match &answer.by {
            Who::Peer(side) => (side.name(), None),
            Who::Changed(side, by) => (side.name(), Some(by)),
            Who::Iqtap(by) => ("iqtap", Some(by)),
        };
        let mut value = json!({
            "type": if answer.result { "result" } else { "error" },
            "number": answer.number,
            "frame": answer.frame,
            "latency_seconds": std::time::Duration::from_micros(answer.micros).as_secs_f64(),
            "who": who,
        });
        if let Some(by) = by {
            value["by"] = by.clone().into();
        }
        if let Some(condition) = &answer.condition {
            value["condition"] = condition.clone().into();
        }
        value
    });
    put("answer", Some(answer));
    format!("{}\n", Value::Object(object))
}
