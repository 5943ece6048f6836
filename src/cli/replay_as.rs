//! `iqtap replay --as`: one peer's part of a recorded session, against a living peer.

mod client;
mod server;

use super::{Failure, captures};
use crate::capture::read::Options;
use crate::config::{Upstream, parse_duration, parse_listen};
use crate::net::agents::Client;
use crate::net::{Trust, printable};
use crate::policy::ServerTls;
use crate::replay::agents::{Pace, Tape, Tapes};
use crate::xmpp::jid::Jid;
use clap::ValueEnum;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Arguments of `iqtap replay --as`.
#[derive(Debug, clap::Args)]
pub(super) struct AgentArgs {
    /// Play this peer's part against a living one
    #[arg(long = "as", value_name = "PEER")]
    pub(super) role: Option<Role>,
    /// Which session of the capture, if it holds several
    #[arg(long, value_name = "N", requires = "role")]
    session: Option<u64>,
    /// XMPP is spoken on this port too, even where the beginning was not recorded (5222 is known)
    #[arg(long, value_name = "PORT", value_delimiter = ',', requires = "role")]
    port: Vec<u16>,
    /// As client, or with --miss forward: the server to call
    #[arg(long, value_name = "HOST:PORT", requires = "role")]
    to: Option<Upstream>,
    /// As client, or with --miss forward: whom to log in as there, whoever it was in the recording
    #[arg(long, value_name = "JID", requires = "role")]
    jid: Option<Jid>,
    /// As client, or with --miss forward: a file with the password in its first line
    #[arg(long, value_name = "FILE", requires = "role")]
    password_file: Option<PathBuf>,
    /// TLS [default: starttls as client, off as server]
    #[arg(long, value_name = "HOW", requires = "role")]
    tls: Option<ServerTls>,
    /// With --miss forward: TLS towards the server that is asked [default: starttls]
    #[arg(long, value_name = "HOW", requires = "role")]
    to_tls: Option<ServerTls>,
    /// As client: believe only these authorities (PEM) about the server [default: the system's]
    #[arg(long, value_name = "FILE", conflicts_with = "insecure_server", requires = "role")]
    server_ca: Option<PathBuf>,
    /// As client: believe any certificate of the server: for a lab
    #[arg(long, requires = "role")]
    insecure_server: bool,
    /// As client: how fast: 1 (as recorded), 10 (ten times as fast), max, or step (Enter sends each stanza)
    #[arg(long, value_name = "SPEED", default_value = "max", value_parser = parse_speed, requires = "role")]
    speed: Speed,
    /// As client: how long to wait for what had come in the recording, such as 2s or 500ms
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration, requires = "role")]
    timeout: u64,
    /// As client: play so many at once, each under a resource of its own, and tell how long answers took
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000), requires = "role")]
    sessions: u16,
    /// As server: where to listen [default: 127.0.0.1:5222]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = parse_listen, requires = "role")]
    listen: Option<SocketAddr>,
    /// As server: offer SCRAM too, with this password for everybody
    #[arg(long, value_name = "PASSWORD", requires = "role")]
    password: Option<String>,
    /// As server: what becomes of a request that was not recorded: error (service-unavailable), wait (no answer) or forward (--to is asked, as --jid)
    #[arg(long, value_name = "HOW", default_value = "error", requires = "role")]
    miss: Miss,
    /// As server: allow listening where other machines can connect
    #[arg(long, requires = "role")]
    allow_public: bool,
    /// As server: show this certificate (PEM) instead of minted ones
    #[arg(long, value_name = "FILE", requires_all = ["role", "key"])]
    cert: Option<PathBuf>,
    /// As server: its private key (PEM)
    #[arg(long, value_name = "FILE", requires_all = ["role", "cert"])]
    key: Option<PathBuf>,
    /// As server: where the certificate authority is kept [default: $IQTAP_DATA_DIR, or else the user's data directory]
    #[arg(long, value_name = "DIR", requires = "role")]
    data_dir: Option<PathBuf>,
}

/// Whose part is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Role {
    /// The client's, against a server
    Client,
    /// The server's, for clients
    Server,
}

/// What becomes of a request that was not recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Miss {
    /// It is answered service-unavailable
    Error,
    /// It is not answered
    Wait,
    /// A living server is asked
    Forward,
}

/// How fast.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Speed {
    Times(f64),
    Max,
    Step,
}

fn parse_speed(text: &str) -> Result<Speed, String> {
    match text {
        "max" => Ok(Speed::Max),
        "step" => Ok(Speed::Step),
        text => match text.parse::<f64>() {
            Ok(times) if times.is_finite() && times > 0.0 => Ok(Speed::Times(times)),
            _ => Err("a number such as 1 or 10, max or step".to_owned()),
        },
    }
}

/// `json`: a client's result is told as one JSON object.
pub(super) fn run(role: Role, capture: &Path, json: bool, args: AgentArgs) -> Result<(), Failure> {
    match role {
        Role::Client => client::run(capture, json, args),
        Role::Server => server::run(capture, args),
    }
}

/// Somebody who calls the living server.
fn client(args: &AgentArgs, what: &str, how: ServerTls, pace: Pace) -> Result<Client, Failure> {
    let needed = |flag: &str| Failure::usage(format!("{what} needs {flag}"));
    let to = args.to.clone().ok_or_else(|| needed("--to HOST:PORT"))?;
    let jid = args.jid.as_ref().ok_or_else(|| needed("--jid JID"))?;
    let file = args.password_file.as_ref().ok_or_else(|| needed("--password-file FILE"))?;
    let trust = match &args.server_ca {
        _ if args.insecure_server => Trust::Anybody,
        Some(path) => Trust::File(path.clone()),
        None => Trust::System,
    };
    Client::new(to, (how, &trust), (jid.to_bare(), password(file)?), pace).map_err(Failure::usage)
}

/// The first line of a file.
fn password(file: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file).map_err(|why| Failure::usage(format!("{}: {why}", file.display())))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(Failure::usage(format!("{}: no password in its first line", file.display()))),
    }
}

/// The session that is meant; what is missing in it is said.
fn tape(capture: &Path, args: &AgentArgs) -> Result<Tape, Failure> {
    let shown = captures::shown(capture);
    let options = Options { ports: args.port.clone(), ..Options::default() };
    let mut tapes = Tapes::default();
    captures::open(capture, &options)?.for_each(|event| tapes.event(&event));
    let tape = choose(tapes.finish(), args.session).map_err(|why| Failure::usage(format!("{shown}: {why}")))?;
    for lost in &tape.lost {
        captures::complain(capture, &printable(lost));
    }
    Ok(tape)
}

fn choose(found: Vec<(u64, Result<Tape, String>)>, session: Option<u64>) -> Result<Tape, String> {
    if let Some(wanted) = session {
        let mut named = found.into_iter().filter(|(number, _)| *number == wanted);
        let found = named.next().ok_or_else(|| format!("it holds no session {wanted}"))?.1;
        return found.map_err(|why| format!("session {wanted} cannot be played: {why}"));
    }
    let why: Vec<_> = found.iter().filter_map(|(number, tape)| Some((number, tape.as_ref().err()?))).collect();
    let why: Vec<String> = why.into_iter().map(|(number, why)| format!("session {number}: {why}")).collect();
    let mut good: Vec<Tape> = found.into_iter().filter_map(|(_, tape)| tape.ok()).collect();
    match (good.pop(), good.len()) {
        (Some(tape), 0) => Ok(tape),
        (Some(tape), _) => {
            let numbers: Vec<String> = good.iter().chain([&tape]).map(|tape| tape.number.to_string()).collect();
            Err(format!("it holds sessions {}; choose one with --session", numbers.join(", ")))
        }
        (None, _) if why.is_empty() => Err("it holds no session of XMPP".to_owned()),
        (None, _) => Err(format!("no session in it can be played ({})", why.join("; "))),
    }
}
