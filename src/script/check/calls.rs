//! Functions that are called and are not there, or not with so many arguments; and those that nobody calls.

use super::Fault;
use super::known::Known;
use super::text::{arguments, meant};
use super::tree::{Function, Link, OUTSIDE, Tree, chain, place};
use rhai::{ASTNode, Expr, FnCallExpr, Position, Stmt};
use std::collections::BTreeSet;

/// `whole` is whether all functions of the script could be read: otherwise nobody knows what is missing or unused.
pub(super) fn faults(known: &Known, tree: &Tree, whole: bool) -> Vec<Fault> {
    if !whole {
        return Vec::new();
    }
    let mut faults = Vec::new();
    let mut used = Used::default();
    let bound = tree.bound();
    let names = named_in_maps(tree);
    tree.visit_all(|within, node| match node {
        ASTNode::Stmt(Stmt::FnCall(call, position)) | ASTNode::Expr(Expr::FnCall(call, position)) => {
            used.called(within, &call.name);
            if !bound.contains(call.name.as_str()) {
                faults.extend(called(known, tree, call, *position));
            }
        }
        ASTNode::Expr(expr @ (Expr::Dot(..) | Expr::Index(..))) => {
            for link in chain(expr).map(|(_, links)| links).unwrap_or_default() {
                if let Link::Method(call, position) = link {
                    used.called(within, &call.name);
                    if !names.contains(call.name.as_str()) {
                        faults.extend(method(known, tree, call, position));
                    }
                }
            }
        }
        ASTNode::Expr(Expr::StringConstant(text, _)) => used.named(text),
        ASTNode::Expr(Expr::Variable(variable, ..)) => used.named(&variable.1),
        ASTNode::Expr(Expr::DynamicConstant(value, _)) => {
            if let Some(pointer) = value.read_lock::<rhai::FnPtr>() {
                used.named(pointer.fn_name());
            }
        }
        _ => {}
    });
    // A chain inside of another is visited for itself too.
    faults.sort_by_key(|fault| fault.place);
    faults.dedup();
    // Without any hook nothing is ever called: that is said once.
    if known.hooks().any(|hook| tree.defines(hook)) {
        faults.extend(tree.functions.iter().filter(|function| used.lacks(known, function)).map(unused));
    }
    faults
}

/// Names by which functions are called or handed on.
#[derive(Default)]
struct Used(BTreeSet<String>);

impl Used {
    fn called(&mut self, within: &str, name: &str) {
        // One that only calls itself is called by nobody.
        if within != name || within == OUTSIDE {
            self.named(name);
        }
    }

    fn named(&mut self, name: &str) {
        self.0.insert(name.to_owned());
    }

    fn lacks(&self, known: &Known, function: &Function) -> bool {
        // What looks like a hook and is none is complained of as such.
        let hook = known.hooks().any(|hook| hook == function.name) || function.name.starts_with("on_");
        !hook && !function.is_anonymous() && !self.0.contains(&function.name)
    }
}

fn unused(function: &Function) -> Fault {
    Fault::warning(function.place, format!("nothing calls {}", function.name))
}

/// The names of what stands in maps: `m.f()` may call a function that is kept there.
fn named_in_maps(tree: &Tree) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    tree.visit_all(|_, node| match node {
        ASTNode::Expr(Expr::Map(map, _)) => names.extend(map.0.iter().map(|(name, _)| name.as_str().to_owned())),
        ASTNode::Expr(Expr::Property(property, _)) => drop(names.insert(property.2.to_string())),
        _ => {}
    });
    names
}

/// A call `f(a, b)`.
fn called(known: &Known, tree: &Tree, call: &FnCallExpr, position: Position) -> Option<Fault> {
    if call.is_operator_call() || call.is_qualified() || Known::is_keyword(&call.name) {
        return None;
    }
    let own = tree.functions.iter().filter(|function| *function.name == *call.name).map(|f| f.parameters.len());
    let mut counts = known.counts(&call.name);
    counts.extend(own);
    judge(known, tree, call, &counts, position)
}

/// A call `a.f(b)`: a native function takes `a` as its first parameter, one of the script's own as `this`.
fn method(known: &Known, tree: &Tree, call: &FnCallExpr, position: Position) -> Option<Fault> {
    if Known::is_keyword(&call.name) {
        return None;
    }
    let own = tree.functions.iter().filter(|function| *function.name == *call.name).map(|f| f.parameters.len());
    let native = known.counts(&call.name).into_iter().filter_map(|count| count.checked_sub(1));
    let counts = own.chain(native).collect();
    judge(known, tree, call, &counts, position)
}

fn judge(known: &Known, tree: &Tree, call: &FnCallExpr, counts: &BTreeSet<usize>, at: Position) -> Option<Fault> {
    let (name, given) = (&call.name, call.args.len());
    if counts.contains(&given) {
        return None;
    }
    let message = if known.has(name) || tree.defines(name) {
        format!("{name} takes {}, not {given}", arguments(counts))
    } else {
        let own = tree.functions.iter().map(|function| function.name.as_str());
        format!("there is no function {name}{}", meant(name, known.names().chain(own)))
    };
    Some(Fault::error(place(at), message))
}
