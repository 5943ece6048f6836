//! Playbooks: text files that say what both peers send and what must come out, played against the core.
//!
//! Takes a book's text, gives what came out of it in every way of playing it, or where and why it does not hold.
//! `shelf` finds and reads the files, `parse` reads a book (`words` what a line's words say), `open` writes the standard
//! negotiation out as book lines, `cut` decides in which pieces the peers' bytes arrive, `run` plays a book once, `seat` is
//! one session of it, `shell` the vault between them and the
//! store beside them, `stored` the lines about that, `expect` holds what came out to the book, `compare` reads what came
//! out and says how it differs, `why` and `diff` show it, `notation` says what came as a book would, `prove` plays one book in all its ways,
//! `record` plays it once for whoever listens. Must not know the clock, a socket or a terminal.

mod compare;
mod cut;
mod diff;
mod expect;
mod notation;
mod open;
mod parse;
mod prove;
mod record;
mod run;
mod seat;
mod shelf;
mod shell;
mod stored;
mod why;
mod words;

pub use compare::shown;
pub use cut::Cut;
pub use diff::{DiffLine, Mark, diff};
pub use parse::{Book, Problem, book};
pub use prove::{Refuted, prove};
pub use record::{Laws, laws, record};
pub use run::{Failure, Way};
pub use seat::Heard;
pub use shelf::{files, read};
pub use shell::{House, Shell, serve};
pub use why::{Contrast, Why};
