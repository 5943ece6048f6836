//! Scripts without a file: an expression over `stanza`, and what becomes of the stanzas it is true for.
//!
//! Takes what the user wrote (`stanza.ns == "vcard-temp"=not-allowed`), gives a script with one hook. What the user wrote
//! stands in it on lines of its own, so that every error can be told in the user's own text. Must not run anything.

use super::engine;
use super::failure::visible;
use super::literals::renamed;
use super::{LoadError, ScriptLimits, ScriptSet, compile, sharing};
use crate::xmpp::Condition;
use rhai::Position;
use std::ops::Range;
use std::path::PathBuf;

/// What becomes of the stanzas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// `EXPR`: dropped.
    Drop,
    /// `EXPR=condition`: rejected with this condition.
    Reject,
    /// `EXPR=statement`: changed by this statement.
    Modify,
}

impl Deed {
    /// The word for it: an option's name, and a key's.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Reject => "reject",
            Self::Modify => "modify",
        }
    }
}

/// A script of one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneLiner {
    /// What it does.
    pub deed: Deed,
    /// As the user wrote it.
    pub text: String,
    /// The line of the configuration file it stands on; 0: it is from the command line.
    pub line: usize,
}

impl OneLiner {
    /// What its user calls it: `--drop` on the command line, `drop` in a file.
    #[must_use]
    pub fn label(&self) -> String {
        format!("{}{}", if self.line == 0 { "--" } else { "" }, self.deed.name())
    }
}

/// The text of the user, and where parts of it stand in the script that was made of it.
#[derive(Clone, Debug)]
pub(super) struct Source {
    text: String,
    /// Each part: the line of the script it begins on, and its first byte and one past its last in the text.
    parts: Vec<(usize, usize, usize)>,
}

/// What is said of an error outside of the user's text, which is sound up to its end.
const UNCLOSED: &str = "it goes on behind its end: a comment is not closed";
/// Characters shown of the text from where an error is.
const SHOWN: usize = 24;

impl Source {
    /// A text, all of it on the script's second line.
    fn whole(text: &str) -> Self {
        Self { text: text.to_owned(), parts: vec![(2, 0, text.len())] }
    }

    /// Where in the text a place of the script is, in characters; none if it is in no part.
    fn place(&self, line: usize, column: usize) -> Option<usize> {
        self.parts.iter().find_map(|&(first, start, end)| {
            let part = self.text.get(start..end)?;
            let behind = line.checked_sub(first)?;
            let before = part.split('\n').take(behind).map(|line| line.chars().count() + 1).sum::<usize>();
            (behind < part.split('\n').count())
                .then(|| self.text.get(..start).map_or(0, |text| text.chars().count()) + before + column.max(1) - 1)
        })
    }

    /// The text on one line, however it was written.
    fn line(&self) -> String {
        self.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    }

    /// An error at a place of the script, told in the user's text, on one line.
    pub(super) fn told(&self, line: usize, column: usize, reason: &str) -> String {
        let text = self.line();
        let reason = visible(reason.trim_end_matches(" (in on_stanza)"));
        let place = if line == 0 { None } else { self.place(line, column) };
        let Some(at) = place else { return format!("'{text}': {reason}") };
        let mut rest: String = text.chars().skip(at).take(SHOWN).collect();
        match text.chars().count().saturating_sub(at) {
            0 => rest.push_str("its end"),
            left if left > SHOWN => rest.push('…'),
            _ => {}
        }
        format!("'{text}', column {} (at {rest}): {reason}", at + 1)
    }
}

/// The script that a one-liner is, and how to tell its errors.
///
/// # Errors
/// What is wrong with what the user wrote.
fn script(line: &OneLiner, limits: ScriptLimits) -> Result<(String, Source), String> {
    let text = line.text.as_str();
    let head = "fn on_stanza(stanza, session) { if (\n";
    if line.deed == Deed::Drop {
        is_expression(text, text, limits)?;
        return Ok((format!("{head}{text}\n) {{ return drop(); }} pass() }}"), Source::whole(text)));
    }
    let (expression, rest) = match line.deed {
        Deed::Reject => split_condition(text)?,
        _ => split_statement(text)?,
    };
    is_expression(expression, text, limits)?;
    let mut source = Source { text: text.to_owned(), parts: vec![(2, 0, expression.len())] };
    if line.deed == Deed::Reject {
        return Ok((format!("{head}{expression}\n) {{ return reject(\"{}\"); }} pass() }}", rest.trim()), source));
    }
    is_statement(rest, text, limits)?;
    source.parts.push((3 + lines(expression), text.len() - rest.len(), text.len()));
    Ok((format!("{head}{expression}\n) {{\n{rest}\n; }} pass() }}"), source))
}

/// Lines a text takes.
fn lines(text: &str) -> usize {
    text.split('\n').count()
}

/// At the last `=`, behind which a condition stands.
fn split_condition(text: &str) -> Result<(&str, &str), String> {
    let wanted = "--reject takes EXPR=condition, as in 'stanza.ns == \"vcard-temp\"=not-allowed'";
    let known = || Condition::ALL.iter().map(|condition| condition.name()).collect::<Vec<_>>().join(", ");
    let at = text.rfind('=').filter(|&at| is_lone(text, at));
    let Some(at) = at else { return Err(format!("'{text}' names no condition: {wanted}")) };
    let (expression, condition) = (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default());
    let name = condition.trim();
    if Condition::from_name(name).is_none() {
        return Err(format!("'{text}': {name:?} is not an error condition: {wanted}; the conditions are {}", known()));
    }
    Ok((expression, condition))
}

/// At the first `=` that stands alone, outside of quotes and brackets.
fn split_statement(text: &str) -> Result<(&str, &str), String> {
    let (mut quote, mut depth, mut escaped) = (None, 0_usize, false);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            _ if escaped => escaped = false,
            (Some('"' | '\''), '\\') => escaped = true,
            (Some(open), c) if open == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            (None, '=') if depth == 0 && is_lone(text, at) => {
                return Ok((text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default()));
            }
            _ => {}
        }
    }
    let wanted = "--modify takes EXPR=statement, as in 'stanza.kind == \"message\"=stanza.set_text(\"body\", \"x\")'";
    Err(format!("'{text}' says nothing to be done: {wanted}"))
}

/// Whether the `=` at this byte is no part of `==`, `!=`, `<=`, `>=` or `=>`.
fn is_lone(text: &str, at: usize) -> bool {
    let (before, after) = (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default());
    !before.ends_with(['=', '!', '<', '>']) && !after.starts_with(['=', '>'])
}

/// Refuses what is not just one expression at the beginning of `text`: it must not end before its script does.
fn is_expression(expression: &str, text: &str, limits: ScriptLimits) -> Result<(), String> {
    if expression.trim().is_empty() {
        return Err("an expression over stanza is missing, as in 'stanza.kind == \"presence\"'".to_owned());
    }
    let checked = engine::engine(limits).compile_expression(renamed(expression, sharing::WORD, sharing::NAME));
    checked.map(drop).map_err(|error| refused(text, 0..expression.len(), error.position(), &compile::words(&error)))
}

/// Refuses what is not just statements.
fn is_statement(rest: &str, text: &str, limits: ScriptLimits) -> Result<(), String> {
    let start = text.len() - rest.len();
    if rest.trim().is_empty() {
        return Err(refused(text, start..text.len(), Position::NONE, "a statement is missing behind the last ="));
    }
    let checked = engine::engine(limits).compile(renamed(rest, sharing::WORD, sharing::NAME));
    let ast = checked.map_err(|error| refused(text, start..text.len(), error.position(), &compile::words(&error)))?;
    if ast.iter_functions().next().is_some() {
        return Err(refused(
            text,
            start..text.len(),
            Position::NONE,
            "functions are for scripts in files: see --script",
        ));
    }
    Ok(())
}

/// An error in these bytes of the text; at their end, if no place is known.
fn refused(text: &str, part: Range<usize>, position: Position, reason: &str) -> String {
    let source = Source { text: text.to_owned(), parts: vec![(1, part.start, part.end)] };
    match compile::place(position) {
        (0, _) => {
            let part = text.get(part).unwrap_or_default();
            let last = part.rsplit('\n').next().unwrap_or_default().chars().count();
            source.told(lines(part), last + 1, reason)
        }
        (line, column) => source.told(line, column, reason),
    }
}

/// Of a name that nobody knows: a shell takes away quotes that it is not kept from.
fn quoted(message: String) -> String {
    match message.strip_prefix("Undefined variable: ") {
        Some(name) if !name.contains(' ') => {
            format!(
                "{message} (a text stands in double quotes, \"{name}\", and all of it in single ones, for the shell)"
            )
        }
        _ => message,
    }
}

/// Compiles what is called so and made of `text`.
fn compiled(called: &str, text: &str, source: Source, limits: ScriptLimits) -> Result<compile::Script, String> {
    let path = PathBuf::from(format!("{called} '{}'", source.line()));
    match compile::compile(&path, text, limits) {
        Ok(script) => Ok(compile::Script { name: called.to_owned(), source: Some(source), ..script }),
        Err(LoadError { line, column, message, .. }) => match source.place(line, column) {
            Some(_) => Err(source.told(line, column, &quoted(message))),
            None => Err(source.told(0, 0, UNCLOSED)),
        },
    }
}

impl ScriptSet {
    /// Adds a script of one line behind those it has. It is called as the user called it; the second of a name with a number.
    ///
    /// # Errors
    /// What is wrong with what the user wrote, on one line.
    pub fn add_line(&mut self, line: &OneLiner) -> Result<(), String> {
        let (text, source) = script(line, self.limits)?;
        let label = line.label();
        let alike = |name: &str| name.strip_prefix(&label).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '));
        let of_that_name = self.scripts.iter().filter(|script| script.source.is_some() && alike(&script.name)).count();
        let called = if of_that_name == 0 { label } else { format!("{label} {}", of_that_name + 1) };
        let script = compiled(&called, &text, source, self.limits)?;
        self.push(script);
        Ok(())
    }
}

/// The script of a filter: it gives what the expression gives.
pub(super) fn filter(text: &str, limits: ScriptLimits) -> Result<compile::Script, String> {
    is_expression(text, text, limits)?;
    let script = format!("fn on_stanza(stanza) {{ (\n{text}\n) }}");
    compiled("--filter", &script, Source::whole(text), limits)
        .map_err(|why| why.replace(compile::PARAMETERS, "a filter sees stanza only"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_done_stands_behind_the_first_lone_equals_sign() {
        for (text, at) in [
            ("a == b=c", 6),
            ("a != b && c <= d || e >= f=g = h", 26),
            ("a(x = 1) == `=` + \"\\\"=\" + '='=z", 29),
            ("true=state.n += 1", 4),
            ("[1].any(x)==true = y", 17),
        ] {
            assert_eq!(split_statement(text).map(|(expression, _)| expression.len()), Ok(at), "{text}");
        }
        for text in ["a == b", "a", "(a = b)", "\"a=b\"", "a <= b => c"] {
            assert!(split_statement(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_condition_stands_behind_the_last() {
        assert_eq!(split_condition("a == \"=\" = gone").unwrap().0, "a == \"=\" ");
        for text in ["a == gone", "a=none-such", "a", "a >= gone"] {
            assert!(split_condition(text).is_err(), "{text}");
        }
    }
}
