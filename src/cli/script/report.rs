//! What playing one book came to: in lines for people, or as one JSON object.
//!
//! JSON: `book` (path), `status` (`held`, `failed`, `broken`), `seconds`; of one that held `plays`; of a broken one `why`;
//! of one that failed `about`, `line` (0: the book as a whole), `text` (that line), `way`, `reason`, where there are `expected`
//! and `came`, and lists: `besides` (what came and nobody expected), `still_expected`, `script` (what scripts said).

use crate::play::{Contrast, DiffLine, Failure, Mark, Refuted, diff, shown};
use anstyle::{AnsiColor, Style};
use serde_json::json;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

/// One book.
pub(super) struct Outcome {
    pub(super) path: PathBuf,
    pub(super) played: Played,
    pub(super) took: Duration,
}

/// What became of it.
pub(super) enum Played {
    /// So many plays came out as written.
    Held(usize),
    Failed {
        /// What the book is about.
        about: String,
        refuted: Box<Refuted>,
    },
    /// It is no book.
    Broken(String),
}

impl Outcome {
    pub(super) fn holds(&self) -> bool {
        matches!(self.played, Played::Held(_))
    }

    pub(super) fn plays(&self) -> usize {
        match self.played {
            Played::Held(plays) => plays,
            Played::Failed { .. } | Played::Broken(_) => 0,
        }
    }
}

const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();
const STRONG: Style = Style::new().bold();
/// Of a list that could be long, so many are shown.
const MOST: usize = 12;

/// One line; of a book that does not hold, all there is to say.
pub(super) fn text(outcome: &Outcome) -> String {
    let path = outcome.path.display();
    match &outcome.played {
        Played::Held(plays) => {
            format!("{path} ... {GOOD}ok{GOOD:#} ({plays} plays, {} ms)\n", outcome.took.as_millis())
        }
        Played::Broken(why) => format!("{path} ... {BAD}BROKEN{BAD:#}\n  {}\n", shown(why)),
        Played::Failed { about, refuted } => {
            format!("{path} ... {BAD}FAILED{BAD:#}\n{}", failed(&path.to_string(), about, refuted))
        }
    }
}

/// The same without colours, for a file.
pub(super) fn plain(outcome: &Outcome) -> String {
    anstream::adapter::strip_str(&text(outcome)).to_string()
}

fn failed(path: &str, about: &str, refuted: &Refuted) -> String {
    let Refuted { way, failure } = refuted;
    let mut text = String::new();
    let place = if failure.line > 0 { format!("{path}:{}", failure.line) } else { path.to_owned() };
    let _ = writeln!(text, "  {STRONG}{place}{STRONG:#}, played {way}");
    let _ = writeln!(text, "  # {}", shown(about));
    if !failure.text.is_empty() {
        let _ = writeln!(text, "  {}", shortened(&failure.text));
    }
    let _ = writeln!(text);
    for line in failure.why.reason.lines() {
        let _ = writeln!(text, "  {STRONG}{}{STRONG:#}", shown(line));
    }
    if let Some(contrast) = &failure.why.contrast {
        compared(contrast, ["expected", "came"], &mut text);
    }
    let besides = if failure.why.contrast.is_some() { "besides, this came out:" } else { "what came out:" };
    let heading = if failure.why.reason.ends_with(':') { "" } else { besides };
    list(heading, &failure.why.left, &mut text);
    list("still expected:", &failure.still, &mut text);
    list("what the script said:", &failure.said, &mut text);
    let _ = writeln!(text);
    text
}

fn list(heading: &str, lines: &[String], text: &mut String) {
    if lines.is_empty() {
        return;
    }
    if !heading.is_empty() {
        let _ = writeln!(text, "  {heading}");
    }
    for line in lines.iter().take(MOST) {
        let _ = writeln!(text, "      {}", shortened(line));
    }
    if lines.len() > MOST {
        let _ = writeln!(text, "      ... and {} more", lines.len() - MOST);
    }
}

/// A line of a book, not longer than a few lines of a terminal.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 240;
    let safe = shown(text);
    if safe.chars().count() <= LONGEST { safe } else { safe.chars().take(LONGEST).chain(" ...".chars()).collect() }
}

/// Expected and came, or whatever the two are called, with a line of carets under what differs where it is not the whole line.
pub(in crate::cli) fn compared(contrast: &Contrast, [expected, came]: [&str; 2], text: &mut String) {
    let _ = writeln!(text, "    {BAD}- {expected}{BAD:#}  {GOOD}+ {came}{GOOD:#}");
    for DiffLine { mark, depth, parts } in diff(contrast) {
        let (sign, style) = match mark {
            Mark::Same => (' ', Style::new()),
            Mark::Expected => ('-', BAD),
            Mark::Came => ('+', GOOD),
        };
        let indent = "  ".repeat(depth);
        let line: String = parts.iter().map(|(part, _)| part.as_str()).collect();
        let _ = writeln!(text, "    {style}{sign} {indent}{line}{style:#}");
        let differs = parts.iter().filter(|(part, _)| !part.is_empty());
        if differs.clone().any(|(_, differs)| *differs) && !differs.clone().all(|(_, differs)| *differs) {
            let carets: String = parts.iter().map(|(part, differs)| carets(part, *differs)).collect();
            let _ = writeln!(text, "      {indent}{}", carets.trim_end());
        }
    }
}

fn carets(part: &str, differs: bool) -> String {
    let lead = part.chars().take_while(|c| *c == ' ').count();
    let rest = part.trim_end().chars().count().saturating_sub(lead);
    let trail = part.chars().count().saturating_sub(lead + rest);
    format!("{}{}{}", " ".repeat(lead), if differs { "^" } else { " " }.repeat(rest), " ".repeat(trail))
}

/// One object, with a line end.
pub(super) fn json(outcome: &Outcome) -> String {
    let mut object = json!({
        "book": outcome.path.display().to_string(),
        "seconds": outcome.took.as_secs_f64(),
    });
    match &outcome.played {
        Played::Held(plays) => {
            object["status"] = "held".into();
            object["plays"] = (*plays).into();
        }
        Played::Broken(why) => {
            object["status"] = "broken".into();
            object["why"] = why.as_str().into();
        }
        Played::Failed { about, refuted } => {
            let Failure { line, text, why, still, said } = &*refuted.failure;
            object["status"] = "failed".into();
            object["about"] = about.as_str().into();
            object["line"] = (*line).into();
            object["text"] = text.as_str().into();
            object["way"] = refuted.way.to_string().into();
            object["reason"] = why.reason.as_str().into();
            if let Some(contrast) = &why.contrast {
                object["expected"] = contrast.expected.as_str().into();
                object["came"] = contrast.came.as_str().into();
            }
            object["besides"] = why.left.clone().into();
            object["still_expected"] = still.clone().into();
            object["script"] = said.clone().into();
        }
    }
    format!("{object}\n")
}
