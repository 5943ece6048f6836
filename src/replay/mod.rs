//! A capture as the source of what a session, a printer or a report takes.
//!
//! Takes the events of [`capture::read`](crate::capture::read), gives notes as a living session would (`tell`), findings (`check`), rows of
//! the IQ table (`ledger`), playbooks (`book`) and scripts for Scansion (`scansion`), both of what `script` has kept. `judge` holds a
//! [`Session`](crate::session::Session) for each recorded wire, `wires` keeps them apart; `rerun` lets recorded
//! sessions happen again, `agents` plays one peer's part of one against a living peer. Must not judge anything itself: the rules and the
//! ledger are those of living sessions. Must not read a file or a clock.

pub mod agents;
mod book;
mod check;
mod judge;
mod ledger;
pub mod rerun;
mod scansion;
mod script;
mod tell;
mod wires;

pub use book::Playbook;
pub use check::{Check, Report, Told};
pub use ledger::{Answer, Ledger, Row, Who};
pub use scansion::Scansion;
pub use tell::Teller;
