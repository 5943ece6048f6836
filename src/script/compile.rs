//! From text to a script that can be run: constants, hooks, and errors that name their line.

use super::failure::{self, Failure};
use super::hooks::{self, Hook, Hooks, On};
use super::oneliner::Source;
use super::run::{self, Functions};
use super::state::Kept;
use super::{LoadError, ScriptLimits, budget, engine, lists, literals, members, sharing, wants};
use crate::xmpp::{Kind, Timestamp};
use rhai::{AST, Dynamic, Engine, LexError, Module, ParseError, ParseErrorType, Position, Scope};
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
    /// Of its text.
    pub(super) digest: u64,
    pub(super) functions: Functions,
    /// Whether it mentions `shared.keep`.
    pub(super) keeps: bool,
    /// The files of its lists.
    pub(super) lists: Vec<PathBuf>,
    /// For one without a file: what its user wrote.
    pub(super) source: Option<Source>,
    pub(super) hooks: Hooks,
}

impl Script {
    pub(super) fn hook(&self, on: On) -> Option<&Hook> {
        self.hooks.get(on as usize)?.as_ref()
    }

    /// The hook for a kind of stanza: its own, or else the one for what has none.
    pub(super) fn hook_for(&self, kind: Kind) -> Option<&Hook> {
        self.hook(On::kind(kind)).or_else(|| self.hook(On::Stanza))
    }

    /// Where and why it failed, in words: in the file, or in what the user wrote.
    pub(super) fn located(&self, failure: &Failure) -> String {
        match &self.source {
            Some(source) => {
                let told = source.told(failure.line, failure.column, &failure.reason);
                format!("{}: {told}", self.name)
            }
            None => failure::located(&self.path, failure),
        }
    }

    /// A bit for each hook it has.
    pub(super) fn bits(&self) -> u16 {
        self.hooks.iter().flatten().fold(0, |bits, hook| bits | hook.on.bit())
    }
}

/// Compiles a script. Rhai's functions see nothing of what stands around them, so what stands there is run once, and the
/// constants it leaves become a module that every function sees. Running a hook then evaluates nothing but the hook.
pub(super) fn compile(path: &Path, text: &str, limits: ScriptLimits) -> Result<Script, LoadError> {
    let mut engine = engine::engine(limits);
    members::keep_source(&mut engine, text);
    let (lists, list_files) = lists::read(path, text)?;
    lists::register(&mut engine, lists);
    budget::begin(true);
    run::begin(Timestamp(0), false, limits, Kept::new(), &Functions::default(), 0, None);
    let mut scope = Scope::new();
    scope.push_constant_dynamic(sharing::NAME, Dynamic::from(sharing::Sharing));
    let renamed = literals::renamed(text, sharing::WORD, sharing::NAME);
    let whole = engine.compile(&renamed).map_err(|error| parse_error(path, &error, &scope))?;
    let ran = engine.run_ast_with_scope(&mut scope, &whole);
    // There is nobody yet to tell.
    let _ = run::end();
    ran.map_err(|error| {
        let Failure { line, column, reason } = failure::explain(*error);
        LoadError { path: path.to_owned(), line, column, message: failure::visible(&reason) }
    })?;

    let mut constants = Scope::new();
    let mut module = Module::new();
    for (name, _, value) in scope.iter().filter(|(_, constant, _)| *constant) {
        module.set_var(name, value.clone());
        constants.push_constant_dynamic(name, value);
    }
    for (name, value) in engine::globals() {
        module.set_var(name, value.clone());
        constants.push_constant_dynamic(name, value);
    }
    engine.register_global_module(module.into());
    // A misspelt variable is an error here and not only when its line is run.
    engine.set_strict_variables(true);
    let mut ast = engine.compile_with_scope(&constants, &renamed).map_err(|error| parse_error(path, &error, &scope))?;
    ast.clear_statements();

    let refused = |(line, message): (usize, String)| {
        let column = line.min(1);
        LoadError { path: path.to_owned(), line, column, message }
    };
    let mut hooks = hooks::find(&ast, text).map_err(refused)?;
    if let Some(wanted) = constants.get_value::<Dynamic>(wants::WANTS) {
        wants::apply(&mut hooks, &wanted).map_err(|why| refused((line_of(text, wants::WANTS), why)))?;
    }
    let functions = ast.iter_functions().map(|function| (function.name.to_owned(), function.params.len())).collect();
    let name = path.file_name().map_or_else(|| path.to_string_lossy(), |name| name.to_string_lossy()).into_owned();
    let keeps = literals::names(text, sharing::WORD) && literals::names(text, sharing::KEEP);
    let (path, digest, lists, source) = (path.to_owned(), digest(text), list_files, None);
    Ok(Script { path, name, engine, ast, digest, functions, keeps, lists, source, hooks })
}

/// The line that defines a constant, from 1; 0 if none does so plainly.
fn line_of(text: &str, constant: &str) -> usize {
    let defines = |line: &str| {
        let rest = line.trim_start().strip_prefix("const").map(str::trim_start);
        rest.is_some_and(|rest| rest.starts_with(constant))
    };
    text.lines().position(defines).map_or(0, |at| at + 1)
}

/// Tells one text from another (FNV-1a).
fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A parse error with its place; says how a function gets at what stands outside of it.
fn parse_error(path: &Path, error: &ParseError, outside: &Scope<'_>) -> LoadError {
    let mut message = words(error);
    if let ParseErrorType::VariableUndefined(name) = error.err_type()
        && outside.contains(name)
    {
        message.push_str(
            " (a function sees only the constants of what stands outside: write `const` instead of `let`, or keep in `state` \
             what changes)",
        );
    }
    let (line, column) = place(error.position());
    LoadError { path: path.to_owned(), line, column, message }
}

/// What is said of a parameter that a function has not taken.
pub(super) const PARAMETERS: &str = "a function sees its parameters only: fn on_message(stanza, session) { ... }";

/// What Rhai says of a script that it cannot read, and what whoever wrote it may have meant.
pub(super) fn words(error: &ParseError) -> String {
    let text = failure::visible(&error.err_type().to_string());
    let hint = match error.err_type() {
        ParseErrorType::VariableUndefined(name) => match name.as_str() {
            "stanza" | "session" => PARAMETERS.to_owned(),
            "pass" | "drop" => format!("it is a function: {name}()"),
            "reject" | "reply" | "hold" => format!("it is a function: {name}(...)"),
            "null" | "nil" | "undefined" | "None" => "what is not there is ()".to_owned(),
            _ => return text,
        },
        ParseErrorType::BadInput(LexError::MalformedChar(_)) => {
            "a text stands in double quotes or backticks".to_owned()
        }
        ParseErrorType::BadInput(LexError::UnexpectedInput(sign)) if sign == "=" => "to compare, write ==".to_owned(),
        _ => return text,
    };
    format!("{text} ({hint})")
}

/// Line and column, from 1; 0 for none.
pub(super) fn place(position: Position) -> (usize, usize) {
    (position.line().unwrap_or(0), position.position().unwrap_or(0))
}
