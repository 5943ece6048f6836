//! `iqtap rules`: the IQ rules, explained.

use super::{Failure, print};
use crate::rules::{RuleInfo, catalog};

/// Arguments of `iqtap rules`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  iqtap rules        all seven, one line each\n  iqtap rules 5      the fifth, with an example"
)]
pub(super) struct Args {
    /// A rule's number in RFC 6120 §8.2.3, from 1 to 7
    number: Option<u8>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let Some(number) = args.number else {
        print::out(&overview());
        return Ok(());
    };
    match catalog().iter().find(|rule| rule.number == number) {
        Some(rule) => print::out(&explained(rule)),
        None => return Err(Failure::usage(format!("there is no rule {number}; they are numbered from 1 to 7"))),
    }
    Ok(())
}

fn overview() -> String {
    let lines = catalog().iter().map(|rule| {
        let checked = if rule.rule.is_some() { "" } else { "  (explained, not checked yet)" };
        format!("  {}  {}{checked}\n", rule.number, rule.title)
    });
    format!(
        "The rules for IQ stanzas (RFC 6120 §8.2.3); --rules off, report or enforce:\n{}\n`iqtap rules N` explains one.\n",
        lines.collect::<String>()
    )
}

fn explained(rule: &RuleInfo) -> String {
    let indented = |text: &str| text.lines().map(|line| format!("  {}\n", line.trim())).collect::<String>();
    format!(
        "Rule {}: {}\n{}\n\n{}\nBroken by:\n{}\nEnforced:\n{}",
        rule.number,
        rule.title,
        rule.place,
        indented(rule.explanation),
        indented(rule.example),
        indented(rule.enforced)
    )
}
