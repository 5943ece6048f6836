//! Logging in (RFC 6120 §5 to §7), at both ends of a stream: [`Login`] as a client does it, [`Exchange`] as a server does.
//!
//! Takes elements of the peer, gives elements to send and who it is then. The mechanisms' arithmetic is the `sasl` crate's. Must not
//! touch a socket, nor show a password.

mod client;
mod server;

pub use client::{Login, Next};
pub use server::{Account, Doors, Exchange, Keys, Progress};
