//! Verdicts that are made and decide nothing: `reject("...");` somewhere before the end, where `return` was meant. And what
//! hooks return that is none: `return "drop";`.

use super::Fault;
use super::known::Known;
use super::tree::{OUTSIDE, Tree, list, place};
use crate::script::hooks::{HOOKS, On};
use rhai::{ASTNode, Expr, FnCallExpr, Position, Stmt};

pub(super) fn faults(known: &Known, tree: &Tree) -> Vec<Fault> {
    let mut search = Search { known, tree, faults: Vec::new() };
    tree.statements(OUTSIDE, 0, |stmt, _| search.statement(stmt, false));
    for function in &tree.functions {
        tree.statements(&function.name, function.parameters.len(), |stmt, last| search.statement(stmt, last));
    }
    search.faults.extend(tree.functions.iter().filter(|function| gives_verdict(&function.name)).flat_map(|function| {
        let mut faults = Vec::new();
        tree.visit(&function.name, function.parameters.len(), |node| faults.extend(no_verdict(node)));
        faults
    }));
    search.faults
}

/// Whether it is a hook for stanzas.
fn gives_verdict(name: &str) -> bool {
    let for_stanzas = [On::Message, On::Presence, On::Iq, On::Stanza, On::Answer];
    HOOKS.iter().any(|(on, known, ..)| *known == name && for_stanzas.contains(on))
}

/// A text, a number or a truth that is returned as it stands there.
fn no_verdict(node: ASTNode<'_>) -> Option<Fault> {
    let ASTNode::Stmt(Stmt::Return(Some(value), flags, position)) = node else { return None };
    let plain = matches!(**value, Expr::StringConstant(..) | Expr::IntegerConstant(..) | Expr::BoolConstant(..));
    let text = "a hook returns pass(), drop(), reject(...), reply(...), hold(...) or nothing, not this";
    (plain && flags.is_empty()).then(|| Fault::error(place(*position), text))
}

struct Search<'a> {
    known: &'a Known,
    tree: &'a Tree,
    faults: Vec<Fault>,
}

impl Search<'_> {
    /// A statement, and whether its value is what the function gives.
    fn statement(&mut self, stmt: &Stmt, counts: bool) {
        match stmt {
            Stmt::FnCall(call, position) => self.call(call, *position, counts),
            Stmt::Expr(expr) => match &**expr {
                Expr::FnCall(call, position) => self.call(call, *position, counts),
                Expr::Stmt(block) => self.block(block.statements(), counts),
                _ => {}
            },
            Stmt::Block(block) => self.block(block.statements(), counts),
            Stmt::If(flow, _) => {
                self.block(flow.body.statements(), counts);
                self.block(flow.branch.statements(), counts);
            }
            Stmt::Switch(switch, _) => {
                for case in &switch.1.expressions {
                    self.case(&case.rhs, counts);
                }
            }
            Stmt::While(flow, _) | Stmt::Do(flow, ..) => self.block(flow.body.statements(), false),
            Stmt::For(inner, _) => self.block(inner.2.body.statements(), false),
            Stmt::TryCatch(flow, _) => {
                self.block(flow.body.statements(), false);
                self.block(flow.branch.statements(), false);
            }
            _ => {}
        }
    }

    fn block(&mut self, block: &[Stmt], counts: bool) {
        list(block, counts, &mut |stmt, last| self.statement(stmt, last));
    }

    fn case(&mut self, value: &Expr, counts: bool) {
        match value {
            Expr::FnCall(call, position) => self.call(call, *position, counts),
            Expr::Stmt(block) => self.block(block.statements(), counts),
            _ => {}
        }
    }

    fn call(&mut self, call: &FnCallExpr, position: Position, counts: bool) {
        let name = call.name.as_str();
        if counts || call.is_qualified() || !self.known.verdicts.contains(name) || self.tree.defines(name) {
            return;
        }
        let text = format!("this {name}(...) decides nothing: write `return {name}(...)`");
        self.faults.push(Fault::warning(place(position), text));
    }
}
