//! Playbooks: text files that say what both peers send and what must come out, played against the core.
//!
//! `parse` reads a book (`words` what a line's words say), `open` writes the standard negotiation out as book lines, `cut`
//! decides in which pieces the peers' bytes arrive, `run` plays a book once, `seat` is one session of it, `shell` the vault
//! between them, `expect` holds what came out to the book, `compare` reads what came out and says how it differs, `mutate`
//! plays one book in all its ways. Nothing here knows that it is part of a test.

pub(crate) mod compare;
pub(crate) mod cut;
pub(crate) mod expect;
pub(crate) mod mutate;
pub(crate) mod open;
pub(crate) mod parse;
pub(crate) mod run;
pub(crate) mod seat;
pub(crate) mod shell;
pub(crate) mod words;
