//! Verdicts that are made and decide nothing: `reject("...");` somewhere before the end, where `return` was meant.

use super::Fault;
use super::known::Known;
use super::tree::{OUTSIDE, Tree, list, place};
use rhai::{Expr, FnCallExpr, Position, Stmt};

pub(super) fn faults(known: &Known, tree: &Tree) -> Vec<Fault> {
    let mut search = Search { known, tree, faults: Vec::new() };
    tree.statements(OUTSIDE, 0, |stmt, _| search.statement(stmt, false));
    for function in &tree.functions {
        tree.statements(&function.name, function.parameters.len(), |stmt, last| search.statement(stmt, last));
    }
    search.faults
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
