//! `iqtap script run`: today's scripts over yesterday's traffic.

use super::Failure;
use super::report::compared;
use crate::cli::captures::{self, ReadArgs};
use crate::cli::print;
use crate::cli::recorded::{self, Sound};
use crate::config::Config;
use crate::inspect::{Printer, PrinterOptions};
use crate::play::shown;
use crate::policy::OnScriptError;
use crate::script::{ScriptLimits, ScriptSet};
use crate::session::{Fate, Note};
use crate::versus::{Otherwise, Past, TooMuch, Trial, trial};
use crate::xmpp::Side;
use anstyle::{AnsiColor, Style};
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Instant;

/// Arguments of `iqtap script run`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Every stanza that came in goes through the scripts at the time at which it came, with the session's facts, state and timers;
what becomes of it is held against what the recording says became of it. The rules are enforced where they were then. In a
recording of tcpdump or Wireshark everything has passed. Nothing is sent to anybody.

Examples:
  iqtap script run guard.rhai --on yesterday.pcapng
  iqtap script run a.rhai b.rhai --on yesterday.pcapng --session 3 --json

Exit codes: 0 all as it was, 1 something else becomes of a stanza, or a script failed, 2 usage or a script that cannot be loaded,
3 the capture cannot be read (to its end)."
)]
pub(super) struct Args {
    /// Scripts, in the order in which they are asked
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// The capture; `-` is stdin
    #[arg(long, value_name = "CAPTURE")]
    on: PathBuf,
    /// Only this session (in a recording of somebody else's: this conversation)
    #[arg(long, value_name = "N")]
    session: Option<u64>,
    /// A configuration whose `script_limits` and `on_script_error` hold
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One JSON object for each stanza of which something else becomes, for each error, and one for all, on a line of its own
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    ports: ReadArgs,
}

const STRONG: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let (limits, on_error) = match &args.config {
        Some(path) => {
            let config = Config::from_file(path).map_err(Failure::usage)?;
            (config.script_limits, config.on_script_error.unwrap_or_default())
        }
        None => (ScriptLimits::default(), OnScriptError::default()),
    };
    let scripts = ScriptSet::load(&args.files, limits).map_err(Failure::usage)?.timed_by(nanos);
    let mut past = Past::new(args.session);
    let sound = recorded::read(&args.on, &args.ports.options(Side::Client), &mut |event| {
        past.event(event).map_err(|TooMuch| {
            let why = "it is too large to be held; choose one session with --session";
            Failure::runtime(format!("{}: {why}", captures::shown(&args.on)))
        })
    })?;
    if let Some(session) = args.session.filter(|session| past.sessions().all(|known| known != *session)) {
        return Err(Failure::usage(format!("{} has no session {session}", captures::shown(&args.on))));
    }
    let trial = trial(&past, scripts, on_error);
    lines(args, &trial);
    print::out(&if args.json { json(&trial) } else { text(&trial) });
    if sound == Sound::Part {
        return Err(recorded::not_whole());
    }
    if trial.is_same() { Ok(()) } else { Err(Failure { code: 1, message: conclusion(&trial) }) }
}

/// Nanoseconds since the first call.
fn nanos() -> u64 {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    u64::try_from(FIRST.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// What scripts said and how they failed, as `iqtap run` prints it.
fn lines(args: &Args, trial: &Trial) {
    let options =
        PrinterOptions { json: args.json, color: true, zone: TimeZone::system(), ..PrinterOptions::default() };
    let mut printer = Printer::new(options, Box::new(anstream::stdout()));
    for line in &trial.lines {
        let _ = printer.note(line.session, &line.peer, line.at, &line.note); // a reader that has gone is no error
    }
    let _ = printer.flush();
}

fn conclusion(trial: &Trial) -> String {
    let mut parts = Vec::new();
    match trial.otherwise.len() {
        0 => {}
        1 => parts.push("something else becomes of 1 stanza".to_owned()),
        count => parts.push(format!("something else becomes of {count} stanzas")),
    }
    let errors = trial
        .errors()
        .max(usize::try_from(trial.hooks.iter().map(|hook| hook.errors).sum::<u64>()).unwrap_or(usize::MAX));
    if errors > 0 {
        parts.push(format!(
            "scripts failed {}",
            if errors == 1 { "once".to_owned() } else { format!("{errors} times") }
        ));
    }
    parts.join(", ")
}

/// All of it, for people.
fn text(trial: &Trial) -> String {
    let mut out = String::new();
    for other in &trial.otherwise {
        told(other, &mut out);
    }
    for hook in &trial.hooks {
        let (script, name, runs, errors) = (shown(&hook.script), hook.hook, hook.runs, hook.errors);
        let errors =
            if errors > 0 { format!(", {BAD}{}{BAD:#}", print::counted(errors, "error")) } else { String::new() };
        let skipped = if hook.skipped > 0 { format!(", {} skipped", hook.skipped) } else { String::new() };
        let mean = hook.nanos.checked_div(hook.runs).unwrap_or_default() / 1000;
        let _ = writeln!(out, "{script} {name}: {}{errors}{skipped}, {mean} us each", print::counted(runs, "run"));
    }
    let (stanzas, otherwise) = (print::counted(trial.stanzas, "stanza"), trial.otherwise.len());
    let _ = write!(out, "{}, {stanzas}: ", print::counted(trial.sessions, "session"));
    let _ = if otherwise == 0 {
        write!(out, "{GOOD}all became what they became then{GOOD:#}")
    } else {
        let kinds: Vec<String> = kinds(trial).into_iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        write!(out, "{BAD}{otherwise} otherwise{BAD:#} ({})", kinds.join(", "))
    };
    for (count, what) in [
        (trial.unasked, "answers to requests that reach nobody today were not played"),
        (trial.unseen, "not decided: the session had ended"),
        (trial.answered, "answered by iqtap itself then"),
        (trial.unknown, "sessions not played: the client was never bound"),
    ] {
        if count > 0 {
            let _ = write!(out, "; {count} {what}");
        }
    }
    out.push('\n');
    out
}

/// How often what became what: `passed -> dropped`.
fn kinds(trial: &Trial) -> BTreeMap<String, u64> {
    let mut kinds = BTreeMap::new();
    for other in &trial.otherwise {
        *kinds.entry(format!("{} -> {}", kind(&other.then), kind(&other.now))).or_default() += 1;
    }
    kinds
}

const fn kind(fate: &Fate) -> &'static str {
    match fate {
        Fate::Passed => "passed",
        Fate::Rewritten(_) => "rewritten",
        Fate::Dropped(_) => "dropped",
        Fate::Rejected(..) => "rejected",
        Fate::Answered(_) => "answered",
        Fate::Handled => "handled",
    }
}

/// A fate as packet comments tell it.
fn words(fate: &Fate) -> String {
    match fate {
        Fate::Passed | Fate::Handled => kind(fate).to_owned(),
        Fate::Rewritten(by) | Fate::Dropped(by) | Fate::Answered(by) => format!("{} by {}", kind(fate), shown(by)),
        Fate::Rejected(condition, by) => format!("rejected {} by {}", shown(condition), shown(by)),
    }
}

/// One stanza.
fn told(other: &Otherwise, out: &mut String) {
    let (session, frame, about) = (other.session, other.frame, shown(&other.about));
    let from = match other.side {
        Side::Client => "from the client",
        Side::Server => "from the server",
    };
    let _ = writeln!(out, "session {session}, packet {frame}: {STRONG}{about}{STRONG:#} {from}");
    let (then, now) = (words(&other.then), words(&other.now));
    let _ = writeln!(out, "    {BAD}then {then}{BAD:#}\n    {GOOD}now  {now}{GOOD:#}");
    if let Some(contrast) = &other.contrast {
        compared(contrast, ["left then", "leaves now"], out);
    }
    out.push('\n');
}

/// The same for programs; logs and errors stand before it.
fn json(trial: &Trial) -> String {
    let mut out = String::new();
    for other in &trial.otherwise {
        #[expect(clippy::cast_precision_loss, reason = "microseconds of some thousand years fit")]
        let seconds = other.at.0 as f64 / 1e6;
        let mut object = json!({
            "event": "otherwise",
            "session": other.session,
            "packet": other.frame,
            "seconds": seconds,
            "direction": other.side.direction(),
            "about": other.about,
            "then": fate(&other.then),
            "now": fate(&other.now),
        });
        if let Some(contrast) = &other.contrast {
            object["left_then"] = contrast.expected.as_str().into();
            object["leaves_now"] = contrast.came.as_str().into();
        }
        let _ = writeln!(out, "{object}");
    }
    let hooks: Vec<Value> = trial
        .hooks
        .iter()
        .map(|hook| {
            json!({ "script": hook.script, "hook": hook.hook, "runs": hook.runs, "errors": hook.errors, "skipped": hook.skipped })
        })
        .collect();
    let total = json!({
        "event": "trial",
        "sessions": trial.sessions,
        "unknown": trial.unknown,
        "stanzas": trial.stanzas,
        "otherwise": trial.otherwise.len(),
        "unasked": trial.unasked,
        "unseen": trial.unseen,
        "answered_by_iqtap": trial.answered,
        "errors": trial.lines.iter().filter(|line| matches!(line.note, Note::ScriptError(_))).count(),
        "hooks": hooks,
    });
    let _ = writeln!(out, "{total}");
    out
}

fn fate(fate: &Fate) -> Value {
    let by = match fate {
        Fate::Passed | Fate::Handled => None,
        Fate::Rewritten(by) | Fate::Dropped(by) | Fate::Answered(by) | Fate::Rejected(_, by) => Some(by),
    };
    let condition = if let Fate::Rejected(condition, _) = fate { Some(condition) } else { None };
    json!({ "verdict": kind(fate), "by": by, "condition": condition })
}
