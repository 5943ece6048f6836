//! The Rhai engine: what scripts may use, and how much of it.
//!
//! No modules, no `eval`, no sleeping: a hook runs to its end or to a limit, and touches nothing outside its stanza. No
//! closures either (rhai's feature `no_closure`): a captured variable is shared, and a cycle of shared values is never freed.

use super::state::State;
use super::{ScriptLimits, edit, hours, jid, log, patterns, session, sharing, stanza, state, timers, verdict};
use rhai::packages::{Package as _, StandardPackage};
use rhai::{Dynamic, Engine, EvalAltResult, OptimizationLevel, Shared};
use std::sync::LazyLock;

/// What a fallible function of the API returns.
pub(super) type Fallible<T> = Result<T, Box<EvalAltResult>>;

/// An error of the API, worded for the script's author; Rhai adds the place of the call.
pub(super) fn fail<T>(text: impl Into<String>) -> Fallible<T> {
    Err(text.into().into())
}

/// Nesting of expressions: outside and inside functions. With the call depth it bounds the native stack.
const EXPRESSION_DEPTH: (usize, usize) = (64, 32);
/// Variables alive in one function.
const VARIABLES: usize = 128;
/// Elements of an array, and of a map, those inside of its elements included: Rhai compares, prints and frees nested values
/// by recursion, and some 1,300 levels of both together overflow the 2 MiB stack of a worker thread (measured).
const ELEMENTS: (usize, usize) = (500, 200);

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
    engine.set_max_string_size(limits.size);
    engine.set_max_array_size(limits.size.min(ELEMENTS.0));
    engine.set_max_map_size(limits.size.min(ELEMENTS.1));
    engine.set_max_expr_depths(EXPRESSION_DEPTH.0, EXPRESSION_DEPTH.1);
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
    patterns::register(&mut engine, limits.size);
    session::register(&mut engine);
    sharing::register(&mut engine);
    stanza::register(&mut engine);
    state::register(&mut engine);
    timers::register(&mut engine);
    verdict::register(&mut engine);
    engine
}

const NO_SLEEP: &str = "a hook cannot sleep: the session would stand still";
