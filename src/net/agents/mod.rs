//! The sockets of [`crate::replay::agents`]: a client that calls a server ([`Client`]), a mock server that is called ([`MockServer`]).

mod client;
mod line;
mod server;
mod upstream;

pub use client::{Client, Played, Steps};
pub use server::MockServer;
