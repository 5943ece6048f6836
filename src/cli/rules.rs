//! `iqtap rules`: what is checked, explained.

use super::{Failure, print};
use crate::rules::{Rule, RuleInfo, catalog};

/// Arguments of `iqtap rules`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  iqtap rules             all of them, one line each
  iqtap rules 5           the fifth, with an example
  iqtap rules iq-spoof    one without a number")]
pub(super) struct Args {
    /// A rule's number in RFC 6120 §8.2.3, from 1 to 7, or its name
    rule: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let Some(name) = &args.rule else {
        print::out(&overview());
        return Ok(());
    };
    let numbered = |rule: &Rule| rule.number().is_some_and(|number| number.to_string() == *name);
    let wanted = Rule::ALL.into_iter().find(numbered).or_else(|| Rule::named(name));
    match catalog().iter().find(|info| Some(info.rule) == wanted) {
        Some(info) => print::out(&explained(info)),
        None => {
            let names = Rule::ALL.map(Rule::key).join(", ");
            return Err(Failure::usage(format!(
                "there is no rule {name}; they are numbered from 1 to 7, or named: {names}"
            )));
        }
    }
    Ok(())
}

fn overview() -> String {
    let line = |info: &RuleInfo| {
        let number = info.rule.number().map_or_else(String::new, |number| number.to_string());
        format!("  {number:1}  {:<18} {}\n", info.rule.key(), info.title)
    };
    let lines = |numbered: bool| -> String {
        catalog().iter().filter(|info| info.rule.number().is_some() == numbered).map(line).collect()
    };
    format!(
        "The rules for IQ stanzas (RFC 6120 §8.2.3); --rules off, report or enforce:\n{}\nTheir neighbours:\n{}\n\
         `iqtap rules N` or `iqtap rules NAME` explains one; [rules] in a configuration sets each by its name.\n",
        lines(true),
        lines(false)
    )
}

fn explained(info: &RuleInfo) -> String {
    let indented = |text: &str| text.lines().map(|line| format!("  {}\n", line.trim())).collect::<String>();
    let name = match info.rule.number() {
        Some(number) => format!("Rule {number} ({})", info.rule.key()),
        None => info.rule.key().to_owned(),
    };
    format!(
        "{name}: {}\n{}\n\n{}\nBroken by:\n{}\nEnforced:\n{}",
        info.title,
        info.place,
        indented(info.explanation),
        indented(info.example),
        indented(info.enforced)
    )
}
