//! [`MockServer`]: listens, and plays the server's part of a tape to each client that comes.

use super::client::Client;
use super::line::Line;
use super::upstream::Upstream;
use crate::net::tls::{ClientCertificate, Tls, TlsError, Trust, random_seed};
use crate::net::wire::{Wire, tune};
use crate::policy::{ClientTls, Route, ServerTls};
use crate::replay::agents::{Front, Rest, Scene};
use crate::xmpp::{StreamCondition, StreamError};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// Connections at a time; more wait in the system's backlog.
const CONNECTIONS: usize = 1000;
/// From the connection to the bound resource.
const LOGIN_TIME: Duration = Duration::from_secs(30);
/// How long a stopped server waits for its connections to end.
const STOP_TIME: Duration = Duration::from_secs(3);

/// See the module.
pub struct MockServer {
    listener: TcpListener,
    scene: Arc<Scene>,
    how: ServerTls,
    tls: Arc<Tls>,
    living: Option<Arc<Client>>,
}

impl MockServer {
    /// Reads or makes what TLS needs, and listens. Port 0 takes a free one. `living` asks a server what was not recorded.
    ///
    /// # Errors
    /// If the address cannot be listened on, or there is no certificate.
    pub async fn bind(
        listen: SocketAddr,
        scene: Scene,
        how: ServerTls,
        certificate: &ClientCertificate,
        living: Option<Client>,
    ) -> Result<Self, String> {
        let client_tls = if how == ServerTls::Off { ClientTls::Off } else { ClientTls::Require };
        let route = Route { client_tls, server_tls: ServerTls::Off, ..Route::default() };
        let tls = Tls::new(&route, certificate, &Trust::System, None, super::handshake_time())
            .map_err(|e: TlsError| e.to_string())?;
        let listener = TcpListener::bind(listen).await.map_err(|e| format!("cannot listen on {listen}: {e}"))?;
        Ok(Self { listener, scene: Arc::new(scene), how, tls: Arc::new(tls), living: living.map(Arc::new) })
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
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
                accepted = self.listener.accept(), if tasks.len() < CONNECTIONS => match accepted {
                    Ok((socket, _)) => {
                        let (scene, tls) = (Arc::clone(&self.scene), Arc::clone(&self.tls));
                        let upstream = Upstream::new(self.living.clone());
                        tasks.spawn(serve(socket, scene, (self.how, tls), upstream, stopped.clone()));
                    }
                    // Out of file descriptors, most likely: some may be given back soon.
                    Err(_) => sleep(Duration::from_millis(50)).await,
                },
            }
        }
        drop(self.listener);
        let _ = stop.send(true);
        let ended = async { while tasks.join_next().await.is_some() {} };
        let _ = timeout(STOP_TIME, ended).await;
    }
}

/// One client, to its end.
async fn serve(
    socket: TcpStream,
    scene: Arc<Scene>,
    (how, tls): (ServerTls, Arc<Tls>),
    mut upstream: Upstream,
    stop: watch::Receiver<bool>,
) {
    tune(&socket);
    let mut front = Front::new(scene, format!("{:016x}", random_seed()));
    let mut line = Line::new(Wire::Plain(socket));
    if how == ServerTls::Direct && !encrypt(&mut line, &mut front, &tls).await {
        return;
    }
    converse(&mut line, &mut front, &tls, &mut upstream, stop).await;
    tokio::join!(line.close(), upstream.close());
}

/// All that is said with one client, to the end of one side.
async fn converse(
    line: &mut Line,
    front: &mut Front,
    tls: &Tls,
    upstream: &mut Upstream,
    mut stop: watch::Receiver<bool>,
) {
    let login = Instant::now() + LOGIN_TIME;
    loop {
        let rest = front.feed();
        if let Some((me, requests)) = front.forwards() {
            upstream.ask(&me, requests, front).await;
        }
        if line.write(&mut front.out).await.is_err() {
            return;
        }
        match rest {
            Rest::Full => continue,
            Rest::StartTls if encrypt(line, front, tls).await => continue,
            Rest::Idle if !front.is_over() => {}
            Rest::StartTls | Rest::Idle => return,
        }
        tokio::select! {
            got = line.read(&mut front.flow.bytes) => match got {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            },
            said = upstream.receive() => upstream.pass(said, front).await,
            () = sleep_until(login), if !front.is_live() => {
                front.fail(&StreamError::new(StreamCondition::ConnectionTimeout, "login took too long"));
            }
            () = stopped(&mut stop) => {
                front.fail(&StreamError::new(StreamCondition::SystemShutdown, "the server is being stopped"));
            }
        }
    }
}

/// Done when the server is to stop.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await; // whoever could say so is gone otherwise
}

/// TLS from here on; whether it came about.
async fn encrypt(line: &mut Line, front: &mut Front, tls: &Tls) -> bool {
    let Some(tcp) = line.wire.take_plain() else { return false };
    match tls.accept(tcp, front.domain().as_deref()).await {
        Ok((tls, _)) => {
            line.wire = Wire::Tls(Box::new(tls));
            front.encrypted();
            true
        }
        Err(why) => {
            tracing::warn!("a client: {why}");
            false
        }
    }
}
