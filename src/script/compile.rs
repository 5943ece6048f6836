//! From text to a script that can be run: constants, hooks, and errors that name their line.

use super::failure::{self, Failure};
use super::{LoadError, ScriptLimits, budget, engine, log, members};
use crate::xmpp::Kind;
use rhai::{AST, Engine, Module, ParseError, ParseErrorType, Position, Scope};
use std::path::{Path, PathBuf};

/// One compiled script.
#[derive(Debug)]
pub(super) struct Script {
    /// As given, for errors.
    pub(super) path: PathBuf,
    /// The file name, for notes.
    pub(super) name: String,
    /// Its own: it holds the script's constants.
    pub(super) engine: Engine,
    /// Functions only: what stands outside of them has run already.
    pub(super) ast: AST,
    /// By [`Kind`], in its order.
    hooks: [Option<Hook>; 3],
}

/// A function that is called for one kind of stanza.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hook {
    pub(super) name: &'static str,
    /// Whether it takes `session` too.
    pub(super) wants_session: bool,
    /// Where it is defined.
    pub(super) line: usize,
}

/// The hooks there are.
pub(super) const HOOKS: [(Kind, &str); 3] =
    [(Kind::Message, "on_message"), (Kind::Presence, "on_presence"), (Kind::Iq, "on_iq")];

impl Script {
    pub(super) fn hook(&self, kind: Kind) -> Option<&Hook> {
        self.hooks.get(kind as usize)?.as_ref()
    }

    /// A bit for each kind with a hook.
    pub(super) fn kinds(&self) -> u8 {
        HOOKS.iter().filter(|(kind, _)| self.hook(*kind).is_some()).fold(0, |bits, (kind, _)| bits | bit(*kind))
    }
}

/// The bit of a kind.
pub(super) const fn bit(kind: Kind) -> u8 {
    1 << kind as u8
}

/// Compiles a script. Rhai's functions see nothing of what stands around them, so what stands there is run once, and the
/// constants it leaves become a module that every function sees. Running a hook then evaluates nothing but the hook.
pub(super) fn compile(path: &Path, text: &str, limits: ScriptLimits) -> Result<Script, LoadError> {
    let mut engine = engine::engine(limits);
    members::keep_source(&mut engine, text);
    budget::begin(true);
    let mut scope = Scope::new();
    let whole = engine.compile(text).map_err(|error| parse_error(path, &error, &scope))?;
    let ran = engine.run_ast_with_scope(&mut scope, &whole);
    // There is nobody yet to tell.
    log::take("");
    ran.map_err(|error| {
        let Failure { line, column, reason } = failure::explain(*error);
        LoadError { path: path.to_owned(), line, column, message: reason }
    })?;

    let mut constants = Scope::new();
    let mut module = Module::new();
    for (name, _, value) in scope.iter().filter(|(_, constant, _)| *constant) {
        module.set_var(name, value.clone());
        constants.push_constant_dynamic(name, value);
    }
    engine.register_global_module(module.into());
    // A misspelt variable is an error here and not only when its line is run.
    engine.set_strict_variables(true);
    let mut ast = engine.compile_with_scope(&constants, text).map_err(|error| parse_error(path, &error, &scope))?;
    ast.clear_statements();

    let hooks = hooks(&ast, text).map_err(|(line, message)| {
        let column = line.min(1);
        LoadError { path: path.to_owned(), line, column, message }
    })?;
    let name = path.file_name().map_or_else(|| path.to_string_lossy(), |name| name.to_string_lossy()).into_owned();
    Ok(Script { path: path.to_owned(), name, engine, ast, hooks })
}

/// Finds the hooks among the functions; refuses what looks like one and is none.
fn hooks(ast: &AST, text: &str) -> Result<[Option<Hook>; 3], (usize, String)> {
    let mut found = [None; 3];
    for function in ast.iter_functions() {
        let line = line_of(text, function.name);
        if !function.name.starts_with("on_") {
            continue;
        }
        let Some((kind, name)) = HOOKS.into_iter().find(|(_, name)| *name == function.name) else {
            let text = "there is no hook {}: there are on_iq, on_message and on_presence (name helpers differently)";
            return Err((line, text.replace("{}", function.name)));
        };
        let parameters = function.params.len();
        if !(1..=2).contains(&parameters) {
            return Err((line, format!("{name} takes (stanza) or (stanza, session), not {parameters} parameters")));
        }
        let hook = Hook { name, wants_session: parameters == 2, line };
        let slot = found.get_mut(kind as usize);
        if slot.is_some_and(|slot| slot.replace(hook).is_some()) {
            return Err((line, format!("{name} is defined twice")));
        }
    }
    if found.iter().all(Option::is_none) {
        return Err((0, "no hook here: define on_iq(stanza), on_message(stanza) or on_presence(stanza)".to_owned()));
    }
    Ok(found)
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

/// A parse error with its place; says how a function gets at what stands outside of it.
fn parse_error(path: &Path, error: &ParseError, outside: &Scope<'_>) -> LoadError {
    let mut message = error.err_type().to_string();
    if let ParseErrorType::VariableUndefined(name) = error.err_type()
        && outside.contains(name)
    {
        message
            .push_str(" (a function sees only the constants of what stands outside: write `const` instead of `let`)");
    }
    let (line, column) = place(error.position());
    LoadError { path: path.to_owned(), line, column, message }
}

/// Line and column, from 1; 0 for none.
pub(super) fn place(position: Position) -> (usize, usize) {
    (position.line().unwrap_or(0), position.position().unwrap_or(0))
}
