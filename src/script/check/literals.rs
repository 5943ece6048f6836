//! Arguments that can be judged as they stand: conditions, times, names, XML and paths written out in the script.
//!
//! Such a call makes a value or leaves its effect with the run, so it is simply made once, in a run that nobody looks at: the
//! API's own words are the complaint.

use super::Fault;
use super::known::{Kind, Known};
use super::tree::{Link, Tree, place};
use super::values::Sorts;
use crate::script::run::{self, Functions};
use crate::script::state::Kept;
use crate::script::{ScriptLimits, budget, failure};
use crate::xmpp::Timestamp;
use rhai::{ASTNode, Dynamic, Expr, FnCallExpr, Position, Scope, Stmt};

/// Besides the verdicts: functions of texts and numbers alone.
const PURE: [&str; 3] = ["xml", "log", "tag"];
/// Functions of a time and a name; what comes third may be anything.
const TIMERS: [&str; 2] = ["after", "every"];
/// Functions of a path that only look.
const LOOKING: [&str; 5] = ["text", "find", "find_all", "each", "count"];

pub(super) fn faults(known: &Known, tree: &Tree, sorts: &Sorts<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    let functions: Functions = tree.functions.iter().map(|f| (f.name.clone(), f.parameters.len())).collect();
    tree.visit_all(|_, node| {
        if let ASTNode::Stmt(Stmt::FnCall(call, position)) | ASTNode::Expr(Expr::FnCall(call, position)) = node
            && (known.verdicts.contains(call.name.as_str())
                || PURE.contains(&call.name.as_str())
                || TIMERS.contains(&call.name.as_str()))
            && !tree.defines(&call.name)
            && known.counts(&call.name).contains(&call.args.len())
        {
            faults.extend(made(known, call, None, *position, &functions));
        }
    });
    sorts.each_chain(|kind, link| {
        if let (Kind::Stanza | Kind::Element, Link::Method(call, position)) = (kind, link)
            && LOOKING.contains(&call.name.as_str())
            && !tree.defines(&call.name)
            && known.counts_for(kind, &call.name).contains(&call.args.len())
        {
            faults.extend(made(known, call, Some("xml(\"<x/>\")"), *position, &functions));
        }
    });
    faults
}

/// Makes the call, if all its arguments are written out; of a method with this before the dot.
fn made(
    known: &Known,
    call: &FnCallExpr,
    before: Option<&str>,
    position: Position,
    functions: &Functions,
) -> Option<Fault> {
    let mut scope = Scope::new();
    let mut names = Vec::new();
    for (at, argument) in call.args.iter().enumerate() {
        let name = format!("a{at}");
        let unseen = (at == 2 && TIMERS.contains(&call.name.as_str())).then_some(Dynamic::UNIT);
        scope.push_dynamic(name.as_str(), argument.get_literal_value(None).or(unseen)?);
        names.push(name);
    }
    let before = before.map_or_else(String::new, |before| format!("{before}."));
    let text = format!("{before}{}({})", call.name, names.join(", "));
    budget::begin(true);
    run::begin(Timestamp(0), true, ScriptLimits::DEFAULT, Kept::new(), functions, 0, None);
    let made = known.engine.eval_expression_with_scope::<Dynamic>(&mut scope, &text);
    let _ = run::end();
    made.err().map(|error| Fault::error(place(position), failure::explain(*error).reason))
}
