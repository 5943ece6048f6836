//! One peer's part of a recorded session, played against a living peer.
//!
//! ```text
//! capture::read --events--> Tapes --> Tape (who sent what after the bind, which answer belongs to which request)
//!                                      |-> Actor: the client's part, against a living server
//!                                      +-> Front -> Mock: the server's part, for living clients
//! Ties: what stands for what, recorded and living (ids, addresses)        Flow: bytes to the pieces of a stream
//! ```
//! Of our own captures the client's leg is played. Logins are made anew, by [`crate::login`]: nothing of a recorded one is sent, and
//! nothing in which a secret was replaced. Must not touch a socket or a clock.

mod actor;
mod flow;
mod front;
mod mock;
mod relay;
mod tape;
mod ties;
mod unify;

pub use actor::{Actor, Difference, Pace, Report, Say, What};
pub use flow::{Flow, Piece};
pub use front::{Front, Rest, Scene};
pub use mock::{Miss, Mock};
pub use relay::{Relay, Reply};
pub use tape::{Tape, Tapes, Turn};
pub use ties::{Me, Ties};
pub use unify::unify;

#[cfg(test)]
mod tests;
