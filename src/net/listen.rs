//! [`Server`]: the listening socket and the life of the process's sessions: accepted, counted, stopped together.

use super::clock::{self, Clock};
use super::house::House;
use super::keeper::{self, Keeper, StoreSetup};
use super::lobby::Lobby;
use super::notes::{Consumer, Sink, Summary, Teller};
use super::porter::Entry;
use super::pump::Pump;
use super::reload::{self, News, Policies, Reloader};
use super::terms::{InForce, TermsSetup};
use super::tls::{ClientCertificate, TlsError, Trust};
use crate::config::Upstream;
use crate::policy::{HouseLimits, Policy, Route, VaultLimits};
use crate::store::OpenError;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::futures::OwnedNotified;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// For sessions to say goodbye when the process stops.
const STOP_TIME: Duration = Duration::from_millis(4500);
/// For sinks to finish, counted from the same moment...
const END_TIME: Duration = Duration::from_secs(5);
/// ...but they always have this long after the last session's end.
const SINK_TIME: Duration = Duration::from_millis(500);
/// After `accept` failed (no file descriptors left, for one): does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// All a [`Server`] needs to know.
pub struct Setup {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// What sessions begin with, until a reload says otherwise.
    pub terms: TermsSetup,
    /// What sessions do, until [`Reloader::publish`] says otherwise. What its scripts keep goes to the store; scripts that come
    /// later share that, or what they keep ends with the server.
    pub policy: Policy,
    /// What is kept of sessions that wait to be resumed.
    pub vault: VaultLimits,
    /// What holds for all of it.
    pub limits: HouseLimits,
    /// Where what outlives a session is kept.
    pub store: StoreSetup,
    /// Where notes go, in this order.
    pub sinks: Vec<Box<dyn Sink>>,
}

impl Setup {
    /// With everything as it is by default; certificates are minted by an authority kept in `data_directory`.
    #[must_use]
    pub fn new(listen: SocketAddr, upstream: Upstream, data_directory: PathBuf) -> Self {
        Self {
            listen,
            terms: TermsSetup {
                upstream,
                route: Route::default(),
                certificate: ClientCertificate::Minted(data_directory),
                trust: Trust::default(),
                key_log: None,
            },
            policy: Policy::default(),
            vault: VaultLimits::default(),
            limits: HouseLimits::default(),
            store: StoreSetup::default(),
            sinks: Vec::new(),
        }
    }
}

/// Why a [`Server`] cannot start: always something its operator can change.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is taken, not ours, or not allowed.
    #[error("cannot listen on {address}: {}", listen_reason(error))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// Upstream is our own address.
    #[error("upstream {0} is where iqtap itself listens; name your XMPP server with --upstream")]
    Loop(Upstream),
    /// Certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The store.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// There is no thread for the store.
    #[error("no thread for the store: {0}")]
    Thread(io::Error),
}

fn listen_reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "another program listens there (the XMPP server itself?); choose another port with --listen".to_owned()
        }
        io::ErrorKind::AddrNotAvailable => "this machine has no such address; see --listen".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need privileges; choose a higher one with --listen".to_owned()
        }
        _ => error.to_string(),
    }
}

/// What all sessions of a server share. Read only, but for the flag that says stop, the policy and the limits in force.
pub(super) struct Shared {
    pub(super) house: Arc<House>,
    pub(super) policies: Arc<Policies>,
    pub(super) clock: Clock,
    pub(super) lobby: Lobby,
    pub(super) keeper: Keeper,
    pub(super) watched: bool,
    stopping: AtomicBool,
    stop: Arc<Notify>,
}

impl Shared {
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Wakes who polled it once when [`Shared::is_stopping`] becomes true. Ask that after polling this.
    pub(super) fn stop_notice(&self) -> OwnedNotified {
        Arc::clone(&self.stop).notified_owned()
    }

    fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.stop.notify_waiters();
    }
}

/// A proxy, listening.
pub struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
    teller: Teller,
    consumer: Consumer,
    tasks: JoinSet<()>,
    sessions: u64,
    reloader: Reloader,
    news: Option<mpsc::Receiver<News>>,
}

impl Server {
    /// Opens the port and the store, reads or makes certificates, starts the consumer of notes. Accepts nobody yet.
    ///
    /// # Errors
    /// If any of that cannot be done.
    pub async fn bind(setup: Setup) -> Result<Self, BindError> {
        let address = setup.listen;
        let listener = TcpListener::bind(address).await.map_err(|error| BindError::Listen { address, error })?;
        let bound = listener.local_addr().map_err(|error| BindError::Listen { address, error })?;
        let clock = Clock::start();
        let terms = InForce::new(setup.terms, setup.limits, bound, clock.now())?;
        let house = Arc::new(House::new(terms, setup.limits, clock));
        let store = setup.store.open(setup.limits.store_bytes)?;
        let lasts = setup.store.lasts();
        let scripts = lasts.then(|| setup.policy.scripts.shared().clone());
        let watched = setup.sinks.iter().any(|sink| sink.wants_stanzas());
        let (teller, consumer) = Consumer::start(setup.sinks);
        let policies = Arc::new(Policies::new(setup.policy.timed_by(clock::nanos), clock.now()));
        let (reloader, news) = Reloader::new(Arc::clone(&policies), Arc::clone(&house), clock, lasts);
        let (keeper, queue) = Keeper::new();
        let shared = Arc::new(Shared {
            lobby: Lobby::new(setup.vault, clock, Arc::clone(&house.memory)),
            house,
            policies,
            clock,
            keeper,
            watched,
            stopping: AtomicBool::new(false),
            stop: Arc::default(),
        });
        let weak = Arc::downgrade(&shared);
        keeper::start(queue, store, weak, reloader.teller(), scripts).map_err(BindError::Thread)?;
        // A policy that comes later may have scripts, though this one has none.
        super::watch::start(Arc::downgrade(&shared));
        let tasks = JoinSet::new();
        Ok(Self { listener, shared, teller, consumer, tasks, sessions: 0, reloader, news: Some(news) })
    }

    /// Where it listens: the port chosen, if 0 was asked for.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Puts new policies in force while it runs.
    #[must_use]
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Serves until `shutdown` is done; then every session is told to stop, and has a few seconds for it. Returns when
    /// all sinks are finished, or not much later than that if one is stuck.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> Summary {
        self.serve(shutdown).await;
        drop(self.listener);
        self.shared.stop();
        let asked = Instant::now();
        let all_ended = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(STOP_TIME, all_ended).await.is_err() {
            tracing::warn!(sessions = self.tasks.len(), "these sessions did not end in time and are cut");
            self.tasks.shutdown().await;
        }
        if !self.shared.keeper.finish().await {
            tracing::error!("the store was not closed in time: the last that was to be kept may be lost");
        }
        if let Some(news) = self.shared.house.porter.news() {
            let _ = timeout(SINK_TIME, self.teller.tell_news(self.shared.clock.now(), news)).await; // for the total
        }
        drop(self.teller);
        let deadline = (asked + END_TIME).max(Instant::now() + SINK_TIME);
        Summary {
            sessions: self.sessions,
            refused: self.shared.house.porter.refused(),
            tally: self.consumer.finished(deadline).await,
        }
    }

    /// Accepts, and attends to reloads, until `shutdown` is done.
    async fn serve(&mut self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let Some(news) = self.news.take() else { return };
        let attending = reload::attend(Arc::clone(&self.shared.policies), news, self.teller.clone(), self.shared.clock);
        let mut attending = pin!(attending);
        let (house, policies) = (Arc::clone(&self.shared.house), Arc::clone(&self.shared.policies));
        let mut telling = pin!(house.porter.tell(self.reloader.teller()));
        let mut warding = pin!(house.memory.ward(self.reloader.teller(), |who| match who {
            Some(session) => policies.wake(session),
            None => policies.wake_soon(),
        }));
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                () = &mut attending => {}
                () = &mut telling => {}
                () = &mut warding => {}
                Some(_) = self.tasks.join_next() => {} // a panic has been reported by its guard
                accepted = self.listener.accept() => match accepted {
                    Ok((tcp, peer)) => match house.porter.admit(peer.ip(), house.memory.is_full()) {
                        Ok(entry) => self.welcome(tcp, entry),
                        Err(refusal) => house.porter.turn_away(tcp, peer.ip(), refusal),
                    },
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    fn welcome(&mut self, tcp: TcpStream, entry: Entry) {
        self.sessions += 1;
        let guard = Guard(self.sessions);
        let mut pump = Pump::new(tcp, self.sessions, Arc::clone(&self.shared), self.teller.clone());
        tracing::debug!(session = self.sessions, "begins");
        self.tasks.spawn(async move {
            pump.run().await; // by reference: moving it once more would make the task twice its size
            tracing::debug!(session = guard.0, "ends");
            drop((pump, entry));
        });
    }
}

/// Says which session it was that panicked: that session is lost, the others go on.
struct Guard(u64);

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(session = self.0, "this session hit a bug in iqtap and is cut; please report it");
        }
    }
}
