//! Misspelt properties and functions of values whose kind is sure: a hook's parameters, what `xml`, `jid` and `find` give,
//! and what a helper is called with if all its callers agree.
//!
//! A variable has one kind in a function only if everything that is ever put into it has: otherwise nothing is said of it.

use super::Fault;
use super::known::{Kind, Known};
use super::text::{arguments, meant};
use super::tree::{Function, Link, OUTSIDE, Tree, chain, place};
use crate::script::members;
use rhai::{ASTNode, BinaryExpr, Expr, FnCallExpr, Position, Stmt};
use std::collections::BTreeMap;

/// What is known of a value: nothing yet (absent from a map), its kind, or that it may be anything.
type Sort = Option<Kind>;

/// The parameters of all functions, by name and number.
type Parameters = BTreeMap<(String, usize), Vec<Option<Sort>>>;

/// A script, and of what kind its values are.
pub(super) struct Sorts<'a> {
    tree: &'a Tree,
    parameters: Parameters,
}

impl<'a> Sorts<'a> {
    pub(super) fn of(known: &Known, tree: &'a Tree) -> Self {
        Self { tree, parameters: parameters(known, tree) }
    }

    /// Shows every expression and assignment with what the names around it stand for.
    fn each(&self, mut each: impl FnMut(&Names<'a>, ASTNode<'_>)) {
        for function in self.tree.functions.iter().chain([&outside()]) {
            let names = Names::of(self.tree, function, &self.parameters);
            self.tree.visit(&function.name, function.parameters.len(), |node| each(&names, node));
        }
    }

    /// Shows every step of every chain, as far as the kind of value before it is sure.
    pub(super) fn each_chain(&self, mut each: impl FnMut(Kind, &Link<'_>)) {
        self.each(|names, node| {
            let ASTNode::Expr(expr) = node else { return };
            let Some((base, links)) = chain(expr) else { return };
            let mut kind = names.sort(base);
            for link in &links {
                let Some(before) = kind else { return };
                each(before, link);
                kind = after(before, link);
            }
        });
    }
}

/// What stands outside of functions, as if it were one.
fn outside() -> Function {
    Function { name: OUTSIDE.to_owned(), parameters: Vec::new(), place: (0, 0) }
}

pub(super) fn faults(known: &Known, tree: &Tree, sorts: &Sorts<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    sorts.each(|names, node| {
        if let ASTNode::Stmt(Stmt::Assignment(assignment)) = node {
            faults.extend(assigned(known, names, &assignment.1));
        }
    });
    sorts.each_chain(|kind, link| {
        faults.extend(match link {
            Link::Property(name, position) if !known.can_read(kind, name) => no_property(known, kind, name, *position),
            Link::Method(call, position) => no_method(known, tree, kind, call, *position),
            _ => None,
        });
    });
    faults
}

/// Follows values from the hooks through the helpers they are given to, until nothing new is learnt.
fn parameters(known: &Known, tree: &Tree) -> Parameters {
    let mut parameters = Parameters::new();
    for function in &tree.functions {
        let sorts = match known.parameters(&function.name) {
            Some(kinds) => (0..function.parameters.len()).map(|at| Some(kinds.get(at).copied().flatten())).collect(),
            None => vec![None; function.parameters.len()],
        };
        parameters.insert((function.name.clone(), function.parameters.len()), sorts);
    }
    // Whoever is called in a way that cannot be followed may be given anything.
    let mut anything = |name: &str| {
        for ((known, _), sorts) in &mut parameters {
            if known == name {
                sorts.iter_mut().for_each(|sort| *sort = Some(None));
            }
        }
    };
    tree.visit_all(|_, node| match node {
        ASTNode::Expr(Expr::StringConstant(text, _)) => anything(text),
        ASTNode::Expr(Expr::Variable(variable, ..)) => anything(&variable.1),
        ASTNode::Expr(Expr::MethodCall(call, _)) => anything(&call.name),
        _ => {}
    });
    tree.functions.iter().filter(|function| function.is_anonymous()).for_each(|function| anything(&function.name));
    // Each round follows values one call further; what is not known by then may be anything.
    for _ in 0..tree.functions.len() + 1 {
        let before = parameters.clone();
        for function in tree.functions.iter().chain([&outside()]) {
            // One that nobody has called yet is called in a later round, or never.
            let key = (function.name.clone(), function.parameters.len());
            if before.get(&key).is_some_and(|sorts| sorts.contains(&None)) {
                continue;
            }
            let names = Names::of(tree, function, &before);
            tree.visit(&function.name, function.parameters.len(), |node| {
                let (ASTNode::Stmt(Stmt::FnCall(call, _)) | ASTNode::Expr(Expr::FnCall(call, _))) = node else {
                    return;
                };
                let Some(sorts) = parameters.get_mut(&(call.name.to_string(), call.args.len())) else { return };
                for (sort, argument) in sorts.iter_mut().zip(&call.args) {
                    let given = names.sort(argument);
                    *sort = Some(sort.map_or(given, |known| known.filter(|known| Some(*known) == given)));
                }
            });
        }
        if before == parameters {
            break;
        }
    }
    parameters
}

/// What the names in one function stand for.
struct Names<'a> {
    tree: &'a Tree,
    sorts: BTreeMap<String, Sort>,
}

impl<'a> Names<'a> {
    fn of(tree: &'a Tree, function: &Function, parameters: &Parameters) -> Self {
        let given = parameters.get(&(function.name.clone(), function.parameters.len()));
        let given = given.into_iter().flatten().map(|sort| sort.flatten());
        let mut names = Self { tree, sorts: function.parameters.iter().cloned().zip(given).collect() };
        // Again and again: what is put into a variable late may have come out of it early, in a loop.
        loop {
            let before = names.sorts.clone();
            names.read(function);
            if names.sorts == before {
                return names;
            }
        }
    }

    /// Learns from every statement of a function once.
    fn read(&mut self, function: &Function) {
        let tree = self.tree;
        tree.visit(&function.name, function.parameters.len(), |node| match node {
            ASTNode::Stmt(Stmt::Var(var, ..)) => self.learn(var.0.as_str(), self.sort(&var.1)),
            ASTNode::Stmt(Stmt::For(inner, _)) => {
                let one = self.sort(&inner.2.expr).and_then(|kind| (kind == Kind::Elements).then_some(Kind::Element));
                self.learn(inner.0.as_str(), one);
                if let Some(counter) = &inner.1 {
                    self.learn(counter.as_str(), None);
                }
            }
            ASTNode::Stmt(Stmt::Assignment(assignment)) => {
                if let Expr::Variable(variable, ..) = &assignment.1.lhs {
                    let sort = if assignment.0.is_op_assignment() { None } else { self.sort(&assignment.1.rhs) };
                    self.learn(&variable.1, sort);
                }
            }
            ASTNode::Stmt(Stmt::TryCatch(flow, _)) => {
                if let Expr::Variable(variable, ..) = &flow.expr {
                    self.learn(&variable.1, None);
                }
            }
            _ => {}
        });
    }

    /// Something is put into a variable.
    fn learn(&mut self, name: &str, sort: Sort) {
        let known = self.sorts.get(name).map_or(sort, |known| known.filter(|known| Some(*known) == sort));
        self.sorts.insert(name.to_owned(), known);
    }

    fn sort(&self, expr: &Expr) -> Sort {
        match expr {
            Expr::Variable(variable, ..) => self.sorts.get(variable.1.as_str()).copied().flatten(),
            Expr::FnCall(call, _) if !self.tree.defines(&call.name) => match call.name.as_str() {
                "xml" => Some(Kind::Element),
                "jid" => Some(Kind::Jid),
                _ => None,
            },
            Expr::Dot(..) | Expr::Index(..) => {
                let (base, links) = chain(expr)?;
                links.iter().try_fold(self.sort(base)?, |kind, link| after(kind, link))
            }
            _ => None,
        }
    }
}

/// What a step from such a value leads to.
fn after(kind: Kind, link: &Link<'_>) -> Sort {
    match (kind, link) {
        (Kind::Stanza | Kind::Element, Link::Method(call, _)) => match call.name.as_str() {
            "find" => Some(Kind::Element),
            "find_all" | "children" | "each" => Some(Kind::Elements),
            _ => None,
        },
        (Kind::Elements, Link::Index) => Some(Kind::Element),
        _ => None,
    }
}

/// A property that is set.
fn assigned(known: &Known, names: &Names<'_>, pair: &BinaryExpr) -> Option<Fault> {
    let (base, links) = chain(&pair.lhs)?;
    let (last, before) = links.split_last()?;
    let kind = before.iter().try_fold(names.sort(base)?, |kind, link| after(kind, link))?;
    let Link::Property(name, position) = last else { return None };
    (known.can_read(kind, name) && !known.can_set(kind, name))
        .then(|| Fault::error(place(*position), format!("{name} can only be read")))
}

/// The engine's own words, and what was meant.
fn no_property(known: &Known, kind: Kind, name: &str, position: Position) -> Option<Fault> {
    let words = match kind {
        Kind::Elements => format!("an array has no property {name}: take one of its elements, as in [0]"),
        _ => match members::no_property::<()>(kind.name(), name) {
            Err(error) => error.to_string().trim_start_matches("Runtime error: ").to_owned(),
            Ok(()) => return None,
        },
    };
    let near = if known.methods(kind).contains(&name) {
        format!("; it is a function: {name}()")
    } else {
        meant(name, known.properties(kind))
    };
    Some(Fault::error(place(position), format!("{words}{near}")))
}

fn no_method(known: &Known, tree: &Tree, kind: Kind, call: &FnCallExpr, position: Position) -> Option<Fault> {
    let (name, given) = (call.name.as_str(), call.args.len());
    let counts = known.counts_for(kind, name);
    if counts.contains(&given) || Known::is_keyword(name) || tree.defines(name) {
        return None;
    }
    let message = if counts.is_empty() {
        let signature = format!("{name} ({})", kind.name());
        let words = members::no_function(&signature);
        let near = meant(name, known.methods(kind));
        format!("{}{near}", words.unwrap_or_else(|| format!("there is no function {name} of an array")))
    } else {
        format!("{name} takes {}, not {given}", arguments(&counts))
    };
    Some(Fault::error(place(position), message))
}
