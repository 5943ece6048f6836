//! `iqtap demo`: a built-in server, the proxy in front of it, and a conversation through both.
//!
//! Takes nothing that must be set up first. All three are the real thing, on real sockets of this machine; what is
//! shown of iqtap's doings is what it noted itself. If anything does not come back as it should, the demo fails.

mod client;
mod notes;
mod show;
mod sinks;
mod story;

use super::ca::data_directory;
use super::{Failure, print};
use crate::config::{Upstream, parse_listen};
use crate::loopback::{Loopback, Options};
use crate::net::ca::Authority;
use crate::net::{ClientCertificate, Server, Setup, Sink};
use crate::policy::{ClientTls, Policy, Route, ServerTls};
use crate::rules::{Mode, Modes};
use crate::script::{ScriptLimits, ScriptSet};
use notes::Notes;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// The domain of the demo's accounts.
const DOMAIN: &str = "localhost";
/// Where XMPP clients look first.
const USUAL_PORT: u16 = 5222;
/// The demo's script.
const SCRIPT: &str = include_str!("demo/no-private-storage.rhai");
const SCRIPT_NAME: &str = "no-private-storage.rhai";

/// Arguments of `iqtap demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub struct Args {
    /// Stop after the conversation
    #[arg(long)]
    pub once: bool,
    /// Where your own client can connect [default: 127.0.0.1:5222 if it is free, else a free port]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = parse_listen)]
    pub listen: Option<SocketAddr>,
    /// Write what is seen to a capture (pcapng), secrets replaced; an earlier capture is replaced, no other file
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Print JSON, one object per line
    #[arg(long)]
    pub json: bool,
    /// Where the certificate authority is kept [default: $IQTAP_DATA_DIR, or else the user's data directory]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

const EXAMPLE: &str = "Examples:
  iqtap demo                                the conversation, then your own client's turn, until Ctrl-C
  iqtap demo --once --record demo.pcapng    the conversation, and a capture of it for Wireshark";

/// Runs it.
///
/// # Errors
/// If it cannot be set up (code 2), or something does not come back as it should (code 3).
pub fn run(args: Args) -> Result<(), Failure> {
    if args.listen.is_some_and(|addr| !addr.ip().is_loopback()) {
        return Err(Failure::usage("the demo listens on loopback addresses only: its server lets anybody in"));
    }
    print::start_log(true);
    let runtime = Runtime::new().map_err(|error| Failure::runtime(format!("no threads: {error}")))?;
    runtime.block_on(demo(&args))
}

async fn demo(args: &Args) -> Result<(), Failure> {
    let interrupted = interrupted().map_err(Failure::runtime)?;
    let loopback = (Ipv4Addr::LOCALHOST, 0).into();
    let server = Loopback::bind(loopback, Options::default()).await.map_err(Failure::runtime)?;
    let upstream = server.local_addr().map_err(Failure::runtime)?;
    let (listener, notes) = notes::notes();
    let (turn, sinks) = sinks::sinks(args, listener)?;
    let certificate = ClientCertificate::Minted(if args.once { PathBuf::new() } else { args.data_directory()? });
    let proxy = bind(args, upstream, certificate, sinks).await?;
    let addr = proxy.local_addr().map_err(Failure::runtime)?;
    let (stop_server, server_stopped) = oneshot::channel::<()>();
    let (stop_proxy, proxy_stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(server.run(async { drop(server_stopped.await) }));
    let proxy = tokio::spawn(proxy.run(async { drop(proxy_stopped.await) }));

    let done = tokio::select! {
        done = converse(args, addr, notes, &turn) => done,
        () = interrupted => Ok(()),
    };
    // The proxy first, so that its sessions do not end because the server does.
    drop(stop_proxy);
    let summary = proxy.await.map_err(Failure::runtime)?;
    drop(stop_server);
    server.await.map_err(Failure::runtime)?;
    if !args.json {
        print::out(&show::closing(&summary, args.once));
    }
    done
}

/// The conversation; then, unless it was all that was wanted, the user's turn, which does not end by itself.
async fn converse(args: &Args, addr: SocketAddr, mut notes: Notes, turn: &sinks::Turn) -> Result<(), Failure> {
    if !args.json {
        print::out(&show::opening());
    }
    let mut show = |played: &story::Played| {
        print::out(&if args.json { show::exchange_json(played) } else { show::exchange(played) });
    };
    story::play(addr, &mut notes, &mut show)
        .await
        .map_err(|why| Failure::runtime(format!("the demo did not go as it should: {why}")))?;
    if args.once {
        return Ok(());
    }
    drop(notes);
    turn.begin();
    let authority = Authority::open(&args.data_directory()?).map_err(Failure::usage)?.certificate_path();
    if args.json {
        print::out(&show::your_turn_json(addr, &authority));
    } else {
        print::out(&show::your_turn(addr, &authority));
    }
    std::future::pending().await
}

impl Args {
    fn data_directory(&self) -> Result<PathBuf, Failure> {
        data_directory(self.data_dir.clone())
    }
}

/// Binds the proxy in front of the server, to the first address that can be had.
async fn bind(
    args: &Args,
    upstream: SocketAddr,
    certificate: ClientCertificate,
    sinks: Vec<Box<dyn Sink>>,
) -> Result<Server, Failure> {
    let listen = match args.listen {
        Some(addr) => addr,
        None if !args.once && is_free(USUAL_PORT).await => (Ipv4Addr::LOCALHOST, USUAL_PORT).into(),
        None => (Ipv4Addr::LOCALHOST, 0).into(),
    };
    let upstream: Upstream = upstream.to_string().parse().map_err(Failure::runtime)?;
    let scripts = ScriptSet::from_text(Path::new(SCRIPT_NAME), SCRIPT, ScriptLimits::default());
    let mut setup = Setup::new(listen, upstream, PathBuf::new());
    setup.terms.certificate = certificate;
    // A client of the user's may use TLS or not; for the demo's own two a certificate authority need not be made.
    let client_tls = if args.once { ClientTls::Off } else { ClientTls::Offer };
    setup.terms.route = Route { client_tls, server_tls: ServerTls::Off, ..Route::default() };
    setup.policy = Policy {
        number: 1,
        rules: Modes::all(Mode::Enforce),
        scripts: scripts.map_err(Failure::runtime)?,
        ..Policy::default()
    };
    setup.sinks = sinks;
    Server::bind(setup).await.map_err(Failure::usage)
}

async fn is_free(port: u16) -> bool {
    tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.is_ok()
}

/// Done when the user asks to stop. Listens from now on.
fn interrupted() -> std::io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    Ok(async move {
        #[cfg(unix)]
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    })
}
