//! The hooks there are: their names, what they take, and which of a script's functions they are.
//!
//! Takes a compiled script's functions, gives its hooks. Must not run anything.

use super::wants::Wants;
use crate::xmpp::Kind;
use rhai::AST;

/// What happens, as scripts hear of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum On {
    Message,
    Presence,
    Iq,
    Stanza,
    Answer,
    Open,
    Features,
    Bind,
    Timeout,
    Close,
    Load,
}

/// A hook's place, its name, what it takes as its author writes it, and how many parameters that may be.
type Known = (On, &'static str, &'static str, std::ops::RangeInclusive<usize>);

/// All of them, in the order of [`On`].
pub(super) const HOOKS: [Known; 11] = [
    (On::Message, "on_message", "(stanza) or (stanza, session)", 1..=2),
    (On::Presence, "on_presence", "(stanza) or (stanza, session)", 1..=2),
    (On::Iq, "on_iq", "(stanza) or (stanza, session)", 1..=2),
    (On::Stanza, "on_stanza", "(stanza) or (stanza, session)", 1..=2),
    (On::Answer, "on_answer", "(request, answer) or (request, answer, session)", 2..=3),
    (On::Open, "on_open", "(session)", 0..=1),
    (On::Features, "on_features", "(features) or (features, session)", 1..=2),
    (On::Bind, "on_bind", "(session)", 0..=1),
    (On::Timeout, "on_timeout", "(request) or (request, session)", 1..=2),
    (On::Close, "on_close", "(session) or (session, reason)", 0..=2),
    (On::Load, "on_load", "(state)", 0..=1),
];

impl On {
    /// The hook of a kind of stanza.
    pub(super) const fn kind(kind: Kind) -> Self {
        match kind {
            Kind::Message => Self::Message,
            Kind::Presence => Self::Presence,
            Kind::Iq => Self::Iq,
        }
    }

    /// Its bit in a set of them.
    pub(super) const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// A function that is called when something happens.
#[derive(Clone, Debug)]
pub(super) struct Hook {
    pub(super) on: On,
    pub(super) name: &'static str,
    /// How many parameters it takes.
    pub(super) parameters: usize,
    /// Where it is defined, from 1.
    pub(super) line: usize,
    /// Which stanzas it wants; empty for all.
    pub(super) wants: Wants,
}

/// A script's hooks, by [`On`].
pub(super) type Hooks = [Option<Hook>; HOOKS.len()];

/// Finds the hooks among the functions; refuses what looks like one and is none.
///
/// # Errors
/// The line, and what is wrong there.
pub(super) fn find(ast: &AST, text: &str) -> Result<Hooks, (usize, String)> {
    let mut found: Hooks = std::array::from_fn(|_| None);
    for function in ast.iter_functions() {
        if !function.name.starts_with("on_") {
            continue;
        }
        let line = line_of(text, function.name);
        let parameters = function.params.len();
        let Some((on, name, takes, fit)) = HOOKS.into_iter().find(|(_, name, ..)| *name == function.name) else {
            // What is named in a string is called by that name: after(5, "on_time").
            if text.contains(&format!("\"{}\"", function.name)) {
                continue;
            }
            return Err((line, unknown(function.name)));
        };
        if !fit.contains(&parameters) {
            return Err((line, format!("{name} takes {takes}, not {parameters} parameters")));
        }
        let hook = Hook { on, name, parameters, line, wants: Wants::default() };
        let slot = found.get_mut(on as usize);
        if slot.is_some_and(|slot| slot.replace(hook).is_some()) {
            return Err((line, format!("{name} is defined twice")));
        }
    }
    if found.iter().all(Option::is_none) {
        let text = "no hook here: define on_iq(stanza), on_message(stanza), on_presence(stanza), or another (scripts/README.md)";
        return Err((0, text.to_owned()));
    }
    Ok(found)
}

fn unknown(name: &str) -> String {
    let names: Vec<_> = HOOKS.iter().map(|(_, name, ..)| *name).collect();
    let (last, others) = names.split_last().unwrap_or((&"", &[]));
    format!("there is no hook {name}: there are {} and {last} (name helpers differently)", others.join(", "))
}

/// The line a function is defined on, from 1. Rhai keeps it to itself, so it is looked for: `fn name(` outside a comment.
fn line_of(text: &str, name: &str) -> usize {
    let defines = |line: &str| {
        let code = line.split_once("//").map_or(line, |(code, _)| code);
        code.match_indices(name).any(|(at, _)| {
            let before = code.get(..at).unwrap_or_default();
            let after = code.get(at + name.len()..).unwrap_or_default();
            before.ends_with(char::is_whitespace)
                && before.trim_end().ends_with("fn")
                && after.trim_start().starts_with('(')
        })
    };
    text.lines().position(defines).map_or(0, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_its_places() {
        for (at, (on, name, ..)) in HOOKS.iter().enumerate() {
            assert_eq!(*on as usize, at, "{name}");
        }
    }
}
