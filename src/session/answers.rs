//! Answers given in the server's place: which requests, and what becomes of them until the store has spoken.
//!
//! Takes requests that would go on, gives their answers. Must not answer what is not for the account or the server.

use super::Outbox;
use super::core::Core;
use crate::keep::{Change, Done};

impl Core {
    /// The store has done what was asked of it.
    pub(super) fn stored(&mut self, number: u64, done: Done, out: &mut Outbox) {
        let _ = (number, done, out);
    }

    /// What is kept for the account has changed.
    pub(super) fn changed(&mut self, changes: &[Change], out: &mut Outbox) {
        let _ = (changes, out);
    }
}
