//! The stores there are: one in a file, which outlives the process and the machine's power, and one in memory.
//!
//! Takes the operations of [`crate::keep`], gives what has come of them. `work` says what an operation means, so that both
//! stores mean the same; `file` and `memory` keep the entries. Must not know what an entry means, nor who asks.

mod file;
mod memory;
pub(crate) mod private;
mod work;

pub use file::{FileStore, OpenError};
pub use memory::MemoryStore;
