//! Playbooks: text files that say what both peers send and what must come out, played against the core.
//!
//! Takes a book's text, gives what came out of it in every way of playing it, or where and why it does not hold.
//! `shelf` finds and reads the files, `parse` reads a book (`words` what a line's words say), `open` writes the standard
//! negotiation out as book lines, `cut` decides in which pieces the peers' bytes arrive, `run` plays a book once, `seat` is
//! one session of it, `shell` the vault between them, `expect` holds what came out to the book, `compare` reads what came
//! out and says how it differs, `prove` plays one book in all its ways. Must not know the clock, a socket or a terminal.

mod compare;
mod cut;
mod expect;
mod open;
mod parse;
mod prove;
mod run;
mod seat;
mod shell;
mod words;

pub use cut::Cut;
pub use parse::{Book, Problem, book};
pub use prove::{Refuted, prove};
pub use run::{Failure, Way};
pub use seat::Heard;
pub use shell::{House, Shell, serve};
