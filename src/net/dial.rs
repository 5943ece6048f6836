//! Connecting to the upstream server. Takes a name and a port, gives a TCP connection or a reason for people.

use super::wire::tune;
use crate::config::Upstream;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// All of it together: looking up the name, trying every address.
const DIAL_TIME: Duration = Duration::from_secs(10);
/// One address, when there are more to try.
const ADDRESS_TIME: Duration = Duration::from_secs(4);

/// Connects to the first address that answers.
pub(super) async fn dial(upstream: &Upstream) -> Result<TcpStream, String> {
    match timeout(DIAL_TIME, dial_any(upstream)).await {
        Ok(result) => result,
        Err(_) => Err(format!("{upstream} did not answer within {} s; is --upstream right?", DIAL_TIME.as_secs())),
    }
}

async fn dial_any(upstream: &Upstream) -> Result<TcpStream, String> {
    let addresses: Vec<SocketAddr> = lookup_host((upstream.host.as_str(), upstream.port))
        .await
        .map_err(|error| format!("the name {} cannot be looked up: {error}; is --upstream right?", upstream.host))?
        .collect();
    let mut last = None;
    for (i, address) in addresses.iter().enumerate() {
        let time = if i + 1 < addresses.len() { ADDRESS_TIME } else { DIAL_TIME };
        match timeout(time, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => {
                tune(&tcp);
                return Ok(tcp);
            }
            Ok(Err(error)) => last = Some((*address, error)),
            Err(_) => last = Some((*address, io::ErrorKind::TimedOut.into())),
        }
    }
    Err(match last {
        None => format!("the name {} has no address; is --upstream right?", upstream.host),
        Some((address, error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            format!("nothing listens at {upstream} ({address}); is the server running, is --upstream right?")
        }
        Some((address, error)) => format!("{upstream} ({address}) cannot be reached: {error}"),
    })
}
