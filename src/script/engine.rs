//! The Rhai engine: what scripts may use, and how much of it.
//!
//! No modules, no `eval`, no sleeping: a hook runs to its end or to a limit, and touches nothing outside its stanza. No
//! closures either (rhai's feature `no_closure`): a captured variable is shared, and a cycle of shared values is never freed.

use super::state::State;
use super::{
    ScriptLimits, edit, hours, jid, log, patterns, session, sharing, stanza, state, strings, timers, verdict, watch,
};
use rhai::packages::{Package as _, StandardPackage};
use rhai::{Dynamic, Engine, EvalAltResult, OptimizationLevel, Shared};
use std::sync::LazyLock;

/// What a fallible function of the API returns.
pub(super) type Fallible<T> = Result<T, Box<EvalAltResult>>;

/// An error of the API, worded for the script's author; Rhai adds the place of the call.
pub(super) fn fail<T>(text: impl Into<String>) -> Fallible<T> {
    Err(text.into().into())
}

/// Nesting of expressions outside of functions, where there are no calls.
const EXPRESSION_DEPTH: usize = 64;
/// Variables alive in one function.
const VARIABLES: usize = 128;

/// Rhai's own functions: large, and the same for every script.
static STANDARD: LazyLock<Shared<rhai::Module>> = LazyLock::new(|| StandardPackage::new().as_shared_module());

/// What every function sees by name, as it sees its script's constants.
pub(super) fn globals() -> [(&'static str, Dynamic); 1] {
    [("state", Dynamic::from(State))]
}

/// An engine with iqtap's API. Raw: without the module loader, and without the string interner, which is behind a lock
/// that all sessions would share. Without the optimizer: it would put constants in the place of parameters and loop
/// variables of the same name.
pub(super) fn engine(limits: ScriptLimits) -> Engine {
    let mut engine = Engine::new_raw();
    engine.register_global_module(Shared::clone(&STANDARD));
    engine.set_optimization_level(OptimizationLevel::None);
    engine.set_max_operations(limits.operations);
    engine.set_max_call_levels(limits.call_depth);
    engine.set_max_string_size(limits.string_bytes);
    engine.set_max_array_size(limits.array);
    engine.set_max_map_size(limits.map);
    engine.set_max_expr_depths(EXPRESSION_DEPTH, limits.expression_depth);
    engine.on_progress(|operations| {
        let over = operations.is_multiple_of(watch::EVERY) && watch::is_over();
        over.then(|| Dynamic::from(TOO_LONG))
    });
    engine.set_max_variables(VARIABLES);
    // `curry` is not counted by any limit: a function curried with itself doubles each time.
    for symbol in ["eval", "import", "export", "sleep", "curry"] {
        engine.disable_symbol(symbol);
    }
    // `Fn("sleep")` would still reach the function behind the symbol.
    engine.register_fn("sleep", |_: i64| fail::<()>(NO_SLEEP));
    engine.register_fn("sleep", |_: f64| fail::<()>(NO_SLEEP));
    edit::register(&mut engine);
    hours::register(&mut engine);
    jid::register(&mut engine);
    log::register(&mut engine);
    patterns::register(&mut engine, limits.string_bytes);
    session::register(&mut engine);
    sharing::register(&mut engine);
    stanza::register(&mut engine);
    state::register(&mut engine);
    strings::register(&mut engine);
    timers::register(&mut engine);
    verdict::register(&mut engine);
    engine
}

/// What ends a run that takes too much time.
pub(super) const TOO_LONG: &str = "it ran too long: over the limit of time";
const NO_SLEEP: &str = "a hook cannot sleep: the session would stand still";
