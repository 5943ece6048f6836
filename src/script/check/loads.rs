//! What keeps a script from being loaded: all of it, though the compiler stops at the first.
//!
//! The compiler is asked again with each fault out of its way: a function that cannot be read is blanked, an unknown
//! variable is made known at the end, a wrong hook is blanked too. So it is the compiler's word that counts.

use super::Fault;
use super::known::Known;
use super::text::meant;
use super::tree::{Function, Tree, place};
use crate::script::{LoadError, ScriptLimits, compile};
use rhai::{ASTNode, Expr};
use std::collections::BTreeMap;
use std::path::Path;

/// More faults than anybody reads in one go.
const MOST: usize = 50;

/// What cannot be read at all, one fault a function at most, and the text without it: every line stays where it is.
pub(super) fn unreadable(known: &Known, text: &str) -> (Vec<Fault>, String) {
    let Err(first) = known.engine.compile(text) else { return (Vec::new(), text.to_owned()) };
    let mut faults = Vec::new();
    let mut legible = text.to_owned();
    for (from, to) in pieces(text) {
        // Nothing behind it: what is missing at its end is missed there, and not in the next function.
        let alone: String = text
            .lines()
            .take(to)
            .enumerate()
            .map(|(at, line)| if at < from { "\n".to_owned() } else { format!("{line}\n") })
            .collect();
        if let Err(error) = known.engine.compile(alone.trim_end()) {
            faults.push(Fault::error(place(error.position()), compile::words(&error)));
            legible = blanked(&legible, from, to);
        }
    }
    if faults.is_empty() || known.engine.compile(&legible).is_err() {
        return (vec![Fault::error(place(first.position()), compile::words(&first))], String::new());
    }
    (faults, legible)
}

/// The lines from one function to the next, from 0, the end not included: a function begins at the left margin.
fn pieces(text: &str) -> Vec<(usize, usize)> {
    let begins = |line: &str| ["fn ", "private fn "].iter().any(|start| line.starts_with(start));
    let mut starts: Vec<usize> = text.lines().enumerate().filter(|(_, line)| begins(line)).map(|(at, _)| at).collect();
    starts.insert(0, 0);
    starts.dedup();
    starts.push(text.lines().count());
    starts.windows(2).filter_map(|pair| Some((*pair.first()?, *pair.last()?))).collect()
}

/// The text with some lines emptied.
fn blanked(text: &str, from: usize, to: usize) -> String {
    let lines = text.lines().enumerate();
    lines.map(|(at, line)| if (from..to).contains(&at) { "\n".to_owned() } else { format!("{line}\n") }).collect()
}

/// What the compiler says of what can be read. `whole` is whether that is all of the script: otherwise nothing is missing.
pub(super) fn faults(
    known: &Known,
    path: &Path,
    tree: &Tree,
    text: &str,
    limits: ScriptLimits,
    whole: bool,
) -> Vec<Fault> {
    let free = free_variables(tree);
    let bound = tree.bound();
    let mut text = text.to_owned();
    let mut faults: Vec<Fault> = Vec::new();
    while faults.len() < MOST {
        let Err(LoadError { line, column, message, .. }) = compile::compile(path, &text, limits) else { break };
        if let Some(name) = free.get(&(line, column)) {
            let message = format!("{message}{}", meant(name, bound.iter().map(String::as_str)));
            let all = free.iter().filter(|(_, other)| *other == name);
            faults.extend(all.map(|(place, _)| Fault::error(*place, message.clone())));
            text = format!("{text}\nconst {name} = ();");
        } else if let Some(hook) = hook_on(tree, line) {
            let hooks = known.hooks();
            let near =
                if hooks.clone().any(|known| known == hook.name) { String::new() } else { meant(&hook.name, hooks) };
            faults.push(Fault::error(hook.place, format!("{message}{near}")));
            // No hook any more, and every other letter where it was.
            text = with_line(&text, line, |line| line.replacen("on_", "no_", 1));
        } else {
            // That no hook is left follows from what was said already.
            if line > 0 || whole && faults.is_empty() {
                faults.push(Fault::error((line, column), message));
            }
            let Some(constant) = tree.constant_on(line) else { break };
            text = with_line(&text, line, |_| format!("const {constant} = ();"));
            if known.engine.compile(&text).is_err() {
                break;
            }
        }
    }
    faults
}

/// The function on this line that looks like a hook.
fn hook_on(tree: &Tree, line: usize) -> Option<&Function> {
    tree.functions.iter().find(|function| function.place.0 == line && function.name.starts_with("on_"))
}

fn with_line(text: &str, number: usize, change: impl Fn(&str) -> String) -> String {
    let lines = text.lines().enumerate();
    lines.map(|(at, line)| if at + 1 == number { change(line) + "\n" } else { format!("{line}\n") }).collect()
}

/// The variables that nothing around them defines, by place. Constants from outside are among them.
fn free_variables(tree: &Tree) -> BTreeMap<(usize, usize), String> {
    let mut free = BTreeMap::new();
    tree.visit_all(|_, node| {
        if let ASTNode::Expr(Expr::Variable(variable, None, position)) = node
            && variable.0.is_none()
        {
            free.insert(place(*position), variable.1.to_string());
        }
    });
    free
}
