//! One book, many proofs: plays it in every way, and holds all plays to the same bytes.
//!
//! Takes a book, gives the number of plays or the first failure with the way in which it came. A panic of the core is
//! a failure like any other.

use super::cut::Cut;
use super::parse::{Book, StepKind};
use super::run::{self, Failure, Played, Way};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// A failure, and in which way of playing it came.
#[derive(Clone, Debug)]
pub(crate) struct Refuted {
    pub(crate) way: Way,
    pub(crate) failure: Failure,
}

/// Plays a book in every way there is; random cuts follow from `seeds`.
pub(crate) fn prove(book: &Book, path: &Path, seeds: &[u64]) -> Result<usize, Refuted> {
    let plain = Way { cut: Cut::Lines, swap: false, watched: false, patient: false };
    let first = play(book, path, plain)?;
    let mut ways = vec![
        Way { watched: true, ..plain },
        Way { cut: Cut::Glued, ..plain },
        Way { cut: Cut::Bytes, ..plain },
        Way { swap: true, ..plain },
        Way { patient: true, ..plain },
    ];
    for seed in seeds {
        let random = Way { cut: Cut::Random(*seed), ..plain };
        ways.extend([random, Way { watched: true, ..random }]);
    }
    if let Some(seed) = seeds.first() {
        let random = Way { cut: Cut::Random(*seed), ..plain };
        ways.extend([Way { swap: true, ..random }, Way { patient: true, ..random }]);
    }
    for way in &ways {
        let again = play(book, path, *way)?;
        same(book, &first, &again).map_err(|why| Refuted {
            way: *way,
            failure: Failure { line: 0, text: "(as line by line)".to_owned(), why },
        })?;
    }
    Ok(1 + ways.len())
}

/// Plays a book once; a panic becomes a failure at the line that was reached.
fn play(book: &Book, path: &Path, way: Way) -> Result<Played, Refuted> {
    let line = Cell::new(0);
    let played = catch_unwind(AssertUnwindSafe(|| run::play(book, path, way, &|at| line.set(at))));
    let played = played.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(Failure { line: line.get(), text: String::new(), why: format!("panicked: {text}") })
    });
    played.map_err(|failure| Refuted { way, failure })
}

/// However bytes arrive, the same must come out. Where bytes stand directly behind the end of clear text, only the
/// request for the handshake may be missing.
fn same(book: &Book, first: &Played, again: &Played) -> Result<(), String> {
    for (side, (a, b)) in ["C", "S"].iter().zip(first.to.iter().zip(&again.to)) {
        if a != b {
            return Err(run::differ(&format!("other bytes to {side}"), a, b));
        }
    }
    let injects = book.steps.iter().any(|s| matches!(s.kind, StepKind::Send { behind: true, .. }));
    if !injects && first.acts != again.acts {
        return Err(format!("other acts\nexpected: {:?}\ncame:     {:?}", first.acts, again.acts));
    }
    Ok(())
}
