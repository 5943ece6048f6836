//! The built-in upstream: just enough XMPP server for the demo, the tests and the benches.
//!
//! ```text
//!   TcpStream --> conn (one task) --> stream (header, SASL, bind) --> stanza (whom is it for?)
//!                    ^                                                  |-> iq (answers in the server's name)
//!                    |                                                  |-> presence, roster
//!                    +------- outlet <------- hub (who is online, what they keep) <-+
//! ```
//! Takes plain TCP connections from this very machine, gives them a small server without any configuration: any
//! domain, any PLAIN or ANONYMOUS login, three sample accounts who know each other and can also use SCRAM-SHA-1.
//! Everything lives in memory and is bounded. Must not listen anywhere else than on the loopback interface: it
//! has no TLS, and believes whoever logs in.

mod conn;
mod hub;
mod iq;
mod presence;
mod roster;
mod stanza;
mod stream;

use hub::Hub;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Local parts of the accounts every domain has. They know each other: each is on the others' rosters.
pub const SAMPLE_ACCOUNTS: [&str; 3] = ["juliet", "romeo", "nurse"];
/// The password of every sample account, checked by SCRAM-SHA-1 only: PLAIN takes any.
pub const SAMPLE_PASSWORD: &str = "secret";

/// How long a stopped server waits for its connections to end.
const STOP_SECONDS: u64 = 2;

/// What may be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The domains served; none: whatever the client's stream header asks for.
    pub domains: Vec<String>,
    /// Connections at a time; more wait in the system's backlog.
    pub connections: usize,
    /// Seconds from the connection to a bound resource.
    pub login_seconds: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { domains: Vec::new(), connections: 256, login_seconds: 30 }
    }
}

/// The server, listening.
#[derive(Debug)]
pub struct Loopback {
    listener: TcpListener,
    options: Options,
    hub: Arc<Hub>,
}

impl Loopback {
    /// Listens. Port 0 takes a free one: see [`Loopback::local_addr`].
    ///
    /// # Errors
    /// If the address is not a loopback one, or cannot be listened on.
    pub async fn bind(addr: SocketAddr, options: Options) -> io::Result<Self> {
        if !addr.ip().is_loopback() {
            let message = format!("the built-in server takes loopback addresses only, not {addr}: it has no TLS");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let listener = TcpListener::bind(addr).await?;
        let hub = Arc::new(Hub::new(&options.domains)?);
        Ok(Self { listener, options, hub })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown` is ready; then ends every stream with `system-shutdown`.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        let login = Duration::from_secs(self.options.login_seconds);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
                accepted = self.listener.accept(), if tasks.len() < self.options.connections => match accepted {
                    Ok((socket, _)) => drop(tasks.spawn(conn::serve(socket, Arc::clone(&self.hub), stopped.clone(), login))),
                    // Out of file descriptors, most likely: some may be given back soon.
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                },
            }
        }
        drop(self.listener);
        let _ = stop.send(true);
        let ended = async { while tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_secs(STOP_SECONDS), ended).await;
    }
}
