//! A book played for whoever listens: what each session tells, and under what it is played.

use super::parse::{self, Book, StepKind};
use super::run::{self, Failure, Way};
use super::stored;
use crate::policy::{Policy, Route, VaultLimits};
use crate::script::Shared;
use crate::session::Note;
use crate::store::MemoryStore;
use crate::xmpp::Timestamp;
use std::path::Path;

/// Under what a book is played.
pub struct Laws {
    /// What is fixed.
    pub route: Route,
    /// The policies, one after the other; the number of the first is 1.
    pub policies: Vec<Policy>,
    /// What is kept of sessions that wait to be resumed.
    pub vault: VaultLimits,
    /// What is kept beyond sessions before anything happens.
    pub store: MemoryStore,
}

/// Plays a book once, watched. `listener` is shown each note of a session: its number, its client's address, and when.
///
/// # Errors
/// Where and why the book does not hold.
pub fn record(
    book: &Book,
    path: &Path,
    way: Way,
    listener: &mut dyn FnMut(u64, &str, Timestamp, &Note),
) -> Result<(), Box<Failure>> {
    run::play_to(book, path, Way { watched: true, ..way }, &|_| (), listener).map(drop)
}

/// Makes all anew that a book is played under: what scripts share is empty.
///
/// # Errors
/// What is wrong with the policy of the book.
pub fn laws(book: &Book, path: &Path) -> Result<Laws, String> {
    let (shared, mut table) = (Shared::default(), book.policy.clone());
    let (route, first) = run::compile(book, &table, path, &shared)?;
    let mut policies = vec![first];
    for step in &book.steps {
        if let StepKind::PolicySwap(over) = &step.kind {
            parse::merge(&mut table, over.clone());
            let (_, policy) = run::compile(book, &table, path, &shared)?;
            policies.push(Policy { number: policies.len() as u64 + 1, ..policy });
        }
    }
    Ok(Laws { route, policies, vault: run::vault(&book.policy), store: stored::filled(&book.store) })
}
