//! Rhai's own tree of a script, as the other parts want it: functions with their places, chains taken apart, every
//! expression visited once.

use super::known::Known;
use rhai::{AST, ASTFlags, ASTNode, Expr, FnCallExpr, ImmutableString, Position, Stmt};
use std::collections::BTreeSet;

/// What stands outside of functions, as if it were one.
pub(super) const OUTSIDE: &str = "";

/// A script as it was read.
pub(super) struct Tree {
    ast: AST,
    pub(super) functions: Vec<Function>,
}

/// A function that a script defines.
#[derive(Clone, Debug)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) parameters: Vec<String>,
    /// Where its name stands.
    pub(super) place: (usize, usize),
}

impl Function {
    /// Whether it is a `|x| ...`.
    pub(super) fn is_anonymous(&self) -> bool {
        self.name.starts_with("anon$")
    }
}

impl Tree {
    /// Reads a script; none if it cannot be read.
    pub(super) fn read(known: &Known, text: &str, original: &str) -> Option<Self> {
        let ast = known.engine.compile(text).ok()?;
        let mut functions: Vec<Function> = ast
            .iter_fn_def()
            .map(|function| Function {
                name: function.name.to_string(),
                parameters: function.params.iter().map(ToString::to_string).collect(),
                place: definition(original, &function.name, function.body.start_position()),
            })
            .collect();
        functions.sort_by_key(|function| function.place);
        Some(Self { ast, functions })
    }

    /// Whether there is a function of that name.
    pub(super) fn defines(&self, name: &str) -> bool {
        self.functions.iter().any(|function| function.name == name)
    }

    /// The names of all variables, constants and parameters that anything defines.
    pub(super) fn bound(&self) -> BTreeSet<String> {
        let mut names: BTreeSet<String> = self.functions.iter().flat_map(|f| f.parameters.clone()).collect();
        self.visit_all(|_, node| match node {
            ASTNode::Stmt(Stmt::Var(var, ..)) => drop(names.insert(var.0.as_str().to_owned())),
            ASTNode::Stmt(Stmt::For(var, _)) => drop(names.insert(var.0.as_str().to_owned())),
            _ => {}
        });
        names
    }

    /// The constant that is defined outside of functions on this line.
    pub(super) fn constant_on(&self, line: usize) -> Option<String> {
        self.ast.statements().iter().find_map(|stmt| match stmt {
            Stmt::Var(var, flags, position) if flags.contains(ASTFlags::CONSTANT) && place(*position).0 == line => {
                Some(var.0.as_str().to_owned())
            }
            _ => None,
        })
    }

    /// Shows the statements of a function, or with [`OUTSIDE`] those outside of any, in their order: each with whether it
    /// is the last.
    pub(super) fn statements(&self, name: &str, parameters: usize, mut each: impl FnMut(&Stmt, bool)) {
        if name == OUTSIDE {
            list(self.ast.statements(), false, &mut each);
            return;
        }
        // COMPAT: `clone_functions_only_filtered` of Rhai 1.27.0 does not filter.
        let mut one = self.ast.clone_functions_only();
        one.retain_functions(|_, _, known, count| known == name && count == parameters);
        // The tree shows a statement to no longer than the call: it is counted first, then looked at.
        let top = |path: &[ASTNode<'_>]| matches!(path, [ASTNode::Stmt(stmt)] if !stmt.is_noop());
        let mut count = 0;
        one.walk(&mut |path: &[ASTNode<'_>]| {
            count += usize::from(top(path));
            true
        });
        let mut at = 0;
        one.walk(&mut |path: &[ASTNode<'_>]| {
            if let [ASTNode::Stmt(stmt)] = path
                && !stmt.is_noop()
            {
                at += 1;
                each(stmt, at == count);
            }
            true
        });
    }

    /// Visits every statement and every expression of a function, those inside of others too, from outside in.
    pub(super) fn visit(&self, name: &str, parameters: usize, mut each: impl FnMut(ASTNode<'_>)) {
        self.statements(name, parameters, |stmt, _| visit(stmt, &mut each));
    }

    /// The same for all functions and for what stands outside.
    pub(super) fn visit_all(&self, mut each: impl FnMut(&str, ASTNode<'_>)) {
        self.visit(OUTSIDE, 0, |node| each(OUTSIDE, node));
        for function in &self.functions {
            self.visit(&function.name, function.parameters.len(), |node| each(&function.name, node));
        }
    }
}

/// The statements of a block, each with whether it is the last of one whose value counts.
pub(super) fn list(block: &[Stmt], counts: bool, each: &mut impl FnMut(&Stmt, bool)) {
    let last = block.iter().rposition(|stmt| !stmt.is_noop());
    for (at, stmt) in block.iter().enumerate().filter(|(_, stmt)| !stmt.is_noop()) {
        each(stmt, counts && Some(at) == last);
    }
}

fn visit(stmt: &Stmt, each: &mut impl FnMut(ASTNode<'_>)) {
    stmt.walk(&mut Vec::new(), &mut |path: &[ASTNode<'_>]| {
        if let Some(node) = path.last() {
            each(*node);
        }
        true
    });
}

/// Where a function's name stands, given the brace of its body: the nearest `fn name` before it.
fn definition(text: &str, name: &str, brace: Position) -> (usize, usize) {
    let place = place(brace);
    let lines: Vec<&str> = text.lines().take(place.0).collect();
    for (at, line) in lines.iter().enumerate().rev() {
        let found = line.match_indices(name).filter(|(column, _)| {
            let before = line.get(..*column).unwrap_or_default();
            let after = line.get(column + name.len()..).unwrap_or_default();
            before.ends_with(char::is_whitespace)
                && before.trim_end().ends_with("fn")
                && after.trim_start().starts_with('(')
                && (at + 1 < place.0 || before.chars().count() < place.1)
        });
        if let Some((column, _)) = found.last() {
            let column = line.get(..column).unwrap_or_default().chars().count();
            return (at + 1, column + 1);
        }
    }
    place
}

/// Line and column, from 1; 0 for none.
pub(super) fn place(position: Position) -> (usize, usize) {
    (position.line().unwrap_or(0), position.position().unwrap_or(0))
}

/// A step of `a.b(c)[d]`.
pub(super) enum Link<'a> {
    Property(&'a ImmutableString, Position),
    Method(&'a FnCallExpr, Position),
    Index,
}

/// Takes `a.b(c)[d]` apart: what it begins with, and the steps from there; none for what is no chain.
pub(super) fn chain(expr: &Expr) -> Option<(&Expr, Vec<Link<'_>>)> {
    let (mut pair, mut flags, mut by_dot) = match expr {
        Expr::Dot(pair, flags, _) => (pair, *flags, true),
        Expr::Index(pair, flags, _) => (pair, *flags, false),
        _ => return None,
    };
    let base = &pair.lhs;
    let mut links = Vec::new();
    loop {
        let (of, next) = match &pair.rhs {
            Expr::Dot(inner, inner_flags, _) if !flags.contains(ASTFlags::BREAK) => {
                (&inner.lhs, Some((inner, *inner_flags, true)))
            }
            Expr::Index(inner, inner_flags, _) if !flags.contains(ASTFlags::BREAK) => {
                (&inner.lhs, Some((inner, *inner_flags, false)))
            }
            last => (last, None),
        };
        links.push(match of {
            Expr::Property(names, position) if by_dot => Link::Property(&names.2, *position),
            Expr::MethodCall(call, position) if by_dot => Link::Method(call, *position),
            _ => Link::Index,
        });
        match next {
            Some(inside) => (pair, flags, by_dot) = inside,
            None => return Some((base, links)),
        }
    }
}
