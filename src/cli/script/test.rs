//! `iqtap script test`: plays the books beside scripts, each in every way, and says what did not come out as written.

use super::report::{self, Outcome, Played};
use super::{Failure, junit};
use crate::cli::print;
use crate::play;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Arguments of `iqtap script test`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A playbook (.play) says what a client and a server send and what must come out; scripts/PLAYBOOKS.md in the
source describes how to write one. Each is played 14 times: line by line, byte by byte, in random pieces, watched
and unwatched, and so on; all must come to the same.

Examples:
  iqtap script test                         every playbook under scripts/
  iqtap script test my-script.rhai          the one beside it, my-script.play
  iqtap script test scripts/ --junit report.xml --quiet

Exit codes: 0 all hold, 1 one does not, 2 one is no playbook, or there was none."
)]
pub(super) struct Args {
    /// Playbooks, scripts with one beside them, or folders [default: scripts]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Only the playbooks whose path contains this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Say nothing of those that hold
    #[arg(long, short)]
    quiet: bool,
    /// One JSON object for each playbook, on a line of its own
    #[arg(long)]
    json: bool,
    /// Write a report in the format of JUnit too
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// The cuts at random follow from these, so that every run is the same.
const SEEDS: [u64; 3] = [1, 2, 3];

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let books = books(args)?;
    let mut outcomes = Vec::with_capacity(books.len());
    for path in books {
        let began = Instant::now();
        let played = play(&path);
        let outcome = Outcome { path, played, took: began.elapsed() };
        if args.json {
            print::out(&report::json(&outcome));
        } else if !(args.quiet && outcome.holds()) {
            print::out(&report::text(&outcome));
        }
        outcomes.push(outcome);
    }
    if let Some(path) = &args.junit {
        std::fs::write(path, junit::report(&outcomes))
            .map_err(|why| Failure::runtime(format!("--junit {}: {why}", path.display())))?;
    }
    conclude(args, &outcomes)
}

fn play(path: &Path) -> Played {
    let book = match play::read(path) {
        Ok(book) => book,
        Err(why) => return Played::Broken(why),
    };
    match play::prove(&book, path, &SEEDS) {
        Ok((plays, _)) => Played::Held(plays),
        Err(refuted) => Played::Failed { about: book.about, refuted: Box::new(refuted) },
    }
}

/// The books that the paths stand for, each once.
fn books(args: &Args) -> Result<Vec<PathBuf>, Failure> {
    let default = [PathBuf::from("scripts")];
    let paths: &[PathBuf] = if args.paths.is_empty() { &default } else { &args.paths };
    let mut books = Vec::new();
    for path in paths {
        if path.extension().is_some_and(|extension| extension == "rhai") && path.is_file() {
            let book = path.with_extension("play");
            if !book.exists() {
                let (script, book) = (path.display(), book.display());
                return Err(Failure::usage(format!(
                    "{script} has no playbook beside it: write {book} (scripts/PLAYBOOKS.md says how)"
                )));
            }
            books.push(book);
        } else {
            let missing = args.paths.is_empty() && !path.exists();
            let hint = if missing { "; name the folder or the files to play" } else { "" };
            books.extend(play::files(path, "play").map_err(|why| Failure::usage(format!("{why}{hint}")))?);
        }
    }
    let named: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    if books.is_empty() {
        let named = named.join(", ");
        return Err(Failure::usage(format!(
            "no playbook (*.play) under {named}: scripts/PLAYBOOKS.md says how to write one"
        )));
    }
    let mut known = std::collections::BTreeSet::new();
    books.retain(|book| known.insert(book.clone()));
    if let Some(filter) = &args.filter {
        books.retain(|book| book.display().to_string().contains(filter));
        if books.is_empty() {
            return Err(Failure::usage(format!("no playbook's path contains '{filter}' (--filter)")));
        }
    }
    Ok(books)
}

fn conclude(args: &Args, outcomes: &[Outcome]) -> Result<(), Failure> {
    let broken = outcomes.iter().filter(|outcome| matches!(outcome.played, Played::Broken(_))).count();
    let failed = outcomes.iter().filter(|outcome| matches!(outcome.played, Played::Failed { .. })).count();
    let all = print::counted(outcomes.len(), "playbook");
    let message = match (failed, broken) {
        (0, 0) => {
            let plays: usize = outcomes.iter().map(Outcome::plays).sum();
            let hold = if outcomes.len() == 1 { "holds" } else { "hold" };
            let line = format!("{all} {hold}, {}\n", print::counted(plays, "play"));
            if args.json {
                print::aside(&line)
            } else {
                print::out(&line)
            }
            return Ok(());
        }
        (failed, 0) => format!("{failed} of {all} failed"),
        (0, broken) => format!("{broken} of {all} cannot be read"),
        (failed, broken) => format!("of {all} {failed} failed, {broken} cannot be read"),
    };
    Err(Failure { code: if broken > 0 { 2 } else { 1 }, message })
}
