//! [`Room`]: what a scanner needs only while it reads. An idle one owns none of it: the scanners of a thread share a few.
//!
//! Takes and gives empty lists with what they have allocated. Must not carry anything from one document into another.

use super::Opened;
use super::judge::Prefixed;
use super::scope::Decl;
use super::tag::Written;
use std::cell::RefCell;

#[derive(Debug, Default)]
pub(super) struct Room {
    pub(super) attrs: Vec<Written>,
    pub(super) scratch: Vec<Prefixed>,
    pub(super) stack: Vec<Opened>,
    pub(super) decls: Vec<Decl>,
}

/// So many are kept for a thread: no more scanners read at one time than a session has.
const KEPT: usize = 2;

thread_local! {
    static SPARE: RefCell<Vec<Room>> = const { RefCell::new(Vec::new()) };
}

impl Room {
    /// One that another scanner had, if there is one.
    pub(super) fn take() -> Self {
        SPARE.with_borrow_mut(Vec::pop).unwrap_or_default()
    }

    /// Gives it back.
    pub(super) fn give(mut self) {
        self.attrs.clear();
        self.scratch.clear();
        self.stack.clear();
        self.decls.clear();
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < KEPT {
                spare.push(self);
            }
        });
    }
}
