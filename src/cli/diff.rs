//! `iqtap diff`: what two captures of one thing differ in, by meaning.

use super::captures::{self, ReadArgs};
use super::recorded::{self, Sound};
use super::script::compared;
use super::{Failure, print};
use crate::play::{self, DiffLine, Mark};
use crate::versus::{Change, Choice, Diff, Kind, Pairing, Place, Recording, TooMuch, diff};
use crate::xmpp::Side;
use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Arguments of `iqtap diff`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Ids, stream and stream management ids and the resources of addresses may be others in the second capture, if they are so
everywhere; times, the order of attributes, secrets and acknowledgements are not compared. Where the order of things means
nothing (features, mechanisms, rosters), it is not compared either. Sessions are compared in the order in which they began.

Examples:
  iqtap diff yesterday.pcapng today.pcapng
  iqtap diff a.pcapng b.pcapng --session 2:5 --leg client     session 2 of a.pcapng, session 5 of b.pcapng

Exit codes: 0 the same, 1 different, 2 usage, 3 a capture cannot be read (to its end)."
)]
pub(super) struct Args {
    /// The first capture; `-` is stdin
    #[arg(value_name = "A")]
    one: PathBuf,
    /// The second capture
    #[arg(value_name = "B")]
    other: PathBuf,
    /// Only this session of both, or this one of the first and that one of the second
    #[arg(long, value_name = "N[:M]", value_parser = parse_sessions)]
    session: Option<(u64, u64)>,
    /// Only this leg: client or server [default: both, where both captures are iqtap's own]
    #[arg(long, value_name = "LEG", value_parser = parse_leg)]
    leg: Option<Side>,
    /// One JSON object for each difference, and one for each pair of sessions, on a line of its own
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    ports: ReadArgs,
}

const STRONG: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();

fn parse_sessions(text: &str) -> Result<(u64, u64), String> {
    let (one, other) = text.split_once(':').unwrap_or((text, text));
    let number = |text: &str| text.parse().map_err(|_| format!("'{text}' is no number of a session"));
    Ok((number(one)?, number(other)?))
}

fn parse_leg(text: &str) -> Result<Side, String> {
    match text {
        "client" => Ok(Side::Client),
        "server" => Ok(Side::Server),
        _ => Err("client or server".to_owned()),
    }
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    if args.one == Path::new("-") && args.other == Path::new("-") {
        return Err(Failure::usage("only one of the two captures can be stdin"));
    }
    let (one, other) = args.session.map_or((None, None), |(one, other)| (Some(one), Some(other)));
    let (one, sound_one) = recording(args, &args.one, one)?;
    let (other, sound_other) = recording(args, &args.other, other)?;
    let choice = Choice { leg: args.leg, sessions: args.session };
    let found = diff(&one, &other, choice).map_err(Failure::usage)?;
    print::out(&if args.json { lines(&found) } else { text(args, &found) });
    if [sound_one, sound_other].contains(&Sound::Part) {
        return Err(recorded::not_whole());
    }
    if found.is_same() { Ok(()) } else { Err(Failure { code: 1, message: conclusion(&found) }) }
}

fn recording(args: &Args, path: &Path, only: Option<u64>) -> Result<(Recording, Sound), Failure> {
    let mut recording = Recording::new(only);
    let sound = recorded::read(path, &args.ports.options(Side::Client), &mut |event| {
        recording.event(event).map_err(|TooMuch| {
            let why = "it is too large to be held beside another; choose one session with --session";
            Failure::runtime(format!("{}: {why}", captures::shown(path)))
        })
    })?;
    Ok((recording, sound))
}

/// `3 differences in 1 of 2 sessions`
fn conclusion(found: &Diff) -> String {
    let changes: usize = found.pairings.iter().map(|pairing| pairing.changes.len()).sum();
    let with = found.pairings.iter().filter(|pairing| !pairing.changes.is_empty()).count();
    let alone: usize = found.alone.iter().map(Vec::len).sum();
    let mut parts = Vec::new();
    if changes > 0 {
        parts.push(format!(
            "{} in {with} of {}",
            print::counted(changes, "difference"),
            print::counted(found.pairings.len(), "session")
        ));
    }
    if alone > 0 {
        parts.push(format!("{} in one of the captures only", print::counted(alone, "session")));
    }
    parts.join(", ")
}

/// All of it, for people.
fn text(args: &Args, found: &Diff) -> String {
    let names = [&args.one, &args.other].map(|path| captures::shown(path));
    let mut out = String::new();
    for pairing in &found.pairings {
        for change in &pairing.changes {
            told(pairing, change, &names, &mut out);
        }
        summary(pairing, &mut out);
    }
    for (alone, name) in found.alone.iter().zip(&names) {
        for session in alone {
            let _ = writeln!(out, "session {session}: {BAD}only in {name}{BAD:#}");
        }
    }
    if found.pairings.is_empty() && found.is_same() {
        out.push_str("there is no session in either\n");
    }
    out
}

/// One difference.
fn told(pairing: &Pairing, change: &Change, names: &[String; 2], out: &mut String) {
    let [one, other] = &change.places;
    let [first, second] = pairing.sessions;
    let sessions = if first == second { first.to_string() } else { format!("{first}:{second}") };
    let way = one.as_ref().or(other.as_ref()).map_or("", |place| place.way);
    let what = match change.kind {
        Kind::Differs => "differs".to_owned(),
        Kind::Missing => format!("only in {}", names[0]),
        Kind::Extra => format!("only in {}", names[1]),
    };
    let about = play::shown(&change.about);
    let _ = writeln!(out, "session {sessions}, {way}, {}: {STRONG}{about} {what}{STRONG:#}", packets(change));
    for conflict in &change.conflicts {
        let _ = writeln!(out, "  {}", play::shown(conflict));
    }
    match change.kind {
        Kind::Differs => compared(&change.contrast, ["first", "second"], out),
        Kind::Missing => alone(change, Mark::Expected, out),
        Kind::Extra => alone(change, Mark::Came, out),
    }
    out.push('\n');
}

/// `packet 12 and 14`
fn packets(change: &Change) -> String {
    let frames: Vec<String> = change.places.iter().flatten().map(|place| place.frame.to_string()).collect();
    format!("packet {}", frames.join(" and "))
}

/// What only one has.
fn alone(change: &Change, whose: Mark, out: &mut String) {
    let (sign, style) = if whose == Mark::Expected { ('-', BAD) } else { ('+', GOOD) };
    for DiffLine { mark, depth, parts } in play::diff(&change.contrast) {
        if mark == whose {
            let line: String = parts.iter().map(|(part, _)| part.as_str()).collect();
            let _ = writeln!(out, "    {style}{sign} {}{line}{style:#}", "  ".repeat(depth));
        }
    }
}

/// `session 1: 41 the same, 1 differs, 1 only in the first, 0 only in the second`
fn summary(pairing: &Pairing, out: &mut String) {
    let [first, second] = pairing.sessions;
    let sessions = if first == second { format!("session {first}") } else { format!("sessions {first} and {second}") };
    let legs: Vec<&str> = pairing.legs.iter().map(|leg| leg.name()).collect();
    let legs = if legs.len() == 1 { format!(" ({} leg)", legs.concat()) } else { String::new() };
    let count = |kind: Kind| pairing.changes.iter().filter(|change| change.kind == kind).count();
    let same = pairing.same;
    let _ = write!(out, "{sessions}{legs}: ");
    let _ = if pairing.changes.is_empty() {
        write!(out, "{GOOD}all the same{GOOD:#} ({same} items)")
    } else {
        let (differ, missing, extra) = (count(Kind::Differs), count(Kind::Missing), count(Kind::Extra));
        write!(
            out,
            "{same} items the same, {BAD}{differ} differ, {missing} only in the first, {extra} only in the second{BAD:#}"
        )
    };
    let acknowledgements: u64 = pairing.acknowledgements.iter().sum();
    if acknowledgements > 0 {
        let _ = write!(out, ", {acknowledgements} acknowledgements not compared");
    }
    out.push('\n');
}

/// The same for programs: a line for each difference, one for each pair of sessions, one for each session without a pair.
fn lines(found: &Diff) -> String {
    let mut out = String::new();
    let mut line = |value: Value| {
        let _ = writeln!(out, "{value}");
    };
    let place = |place: &Option<Place>| {
        let place = place.as_ref()?;
        Some(json!({ "packet": place.frame, "way": place.way, "seconds": seconds(place) }))
    };
    for pairing in &found.pairings {
        for change in &pairing.changes {
            let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            line(json!({
                "event": "difference",
                "sessions": pairing.sessions,
                "kind": match change.kind { Kind::Differs => "differs", Kind::Missing => "missing", Kind::Extra => "extra" },
                "about": change.about,
                "first": place(&change.places[0]),
                "second": place(&change.places[1]),
                "expected": text(&change.contrast.expected),
                "came": text(&change.contrast.came),
                "conflicts": change.conflicts,
            }));
        }
        line(json!({
            "event": "sessions",
            "sessions": pairing.sessions,
            "legs": pairing.legs.iter().map(|leg| leg.name()).collect::<Vec<_>>(),
            "same": pairing.same,
            "different": pairing.changes.len(),
            "acknowledgements": pairing.acknowledgements,
        }));
    }
    for (alone, which) in found.alone.iter().zip(["first", "second"]) {
        for session in alone {
            line(json!({ "event": "alone", "session": session, "capture": which }));
        }
    }
    out
}

/// Seconds since the epoch.
#[expect(clippy::cast_precision_loss, reason = "microseconds of some thousand years fit")]
fn seconds(place: &Place) -> f64 {
    place.at.0 as f64 / 1e6
}
