//! The sockets of [`crate::replay::agents`]: a client that calls a server ([`Client`]), a mock server that is called ([`MockServer`]).

mod client;
mod line;
mod server;
mod upstream;

use crate::policy::HouseLimits;
use std::time::Duration;

/// As long as a proxy's may take.
fn handshake_time() -> Duration {
    Duration::from_secs(HouseLimits::default().handshake_seconds)
}

pub use client::{Client, Played, Steps};
pub use server::MockServer;
