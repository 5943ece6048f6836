//! `iqtap run`: the proxy.

use super::ca::{data_directory, default_store};
use super::check_config::{answers, rules, scripts, word};
use super::one_liners::OneLiners;
use super::{Failure, print, record, sinks};
use crate::answer;
use crate::config::{Config, ConfigError, Upstream, WORKER_THREADS, parse_duration, parse_listen};
use crate::net::ca::Authority;
use crate::net::{Anew, ClientCertificate, Failed, Follower, Scripts, Server, Setup, StoreSetup, TermsSetup, Trust};
use crate::policy::{ClientTls, Policy, ServerTls, SmMode};
use crate::rules::{Mode, Modes};
use std::fmt::Write;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// Arguments of `iqtap run`. What is not given here comes from the file, or else is the default.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// Where clients connect [default: 127.0.0.1:5222]
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = parse_listen)]
    listen: Option<SocketAddr>,
    /// The XMPP server (required, here or in the file)
    #[arg(long, value_name = "HOST:PORT")]
    upstream: Option<Upstream>,
    /// TLS towards clients [default: require]
    #[arg(long, value_name = "HOW")]
    client_tls: Option<ClientTls>,
    /// TLS towards the server [default: starttls]
    #[arg(long, value_name = "HOW")]
    server_tls: Option<ServerTls>,
    /// Believe only these authorities (PEM) about the server [default: the system's]
    #[arg(long, value_name = "FILE", conflicts_with = "insecure_server")]
    server_ca: Option<PathBuf>,
    /// Believe any certificate of the server: for a lab
    #[arg(long)]
    insecure_server: bool,
    /// What to do about IQs that break the rules: off, report or enforce [default: report]
    #[arg(long, value_name = "MODE", value_parser = parse_mode)]
    rules: Option<Mode>,
    /// Who answers a namespace: local (iqtap), fallback (iqtap, if the server cannot), deny (nobody) or forward (the server);
    /// deny:CONDITION chooses the error. Several may be given. iqtap can answer ping, version, time, last, vcard, blocking,
    /// private, disco#info and disco#items
    #[arg(long, value_name = "NAMESPACE=MODE", value_parser = answer::choice::read)]
    answer: Vec<(String, answer::Mode)>,
    /// How long an IQ may go unanswered, such as 2s or 500ms [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    iq_timeout: Option<u64>,
    /// Stream management: translate its counts, or do not offer it [default: translate]
    #[arg(long, value_name = "HOW")]
    sm: Option<SmMode>,
    /// A Rhai script; several run in the order given. Loaded again when it is saved
    #[arg(long, value_name = "FILE")]
    script: Vec<PathBuf>,
    /// Do not load scripts again when they are saved
    #[arg(long)]
    no_reload: bool,
    /// Run those without a file behind them, in the order of the command line
    #[command(flatten)]
    one_liners: OneLiners,
    /// A Rhai script that is asked too; where it would have decided otherwise is told, and nothing else comes of it
    #[arg(long, value_name = "FILE")]
    shadow: Vec<PathBuf>,
    /// Show only stanzas for which this Rhai expression over `stanza` is true
    #[arg(long, value_name = "EXPR")]
    filter: Option<String>,
    /// Read these settings from a file (iqtap.example.toml has every key); the command line has the last word
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print events as JSON, one object per line (README, "Events for programs")
    #[arg(long)]
    json: bool,
    /// Print warnings only
    #[arg(long, short)]
    quiet: bool,
    /// How many threads serve the sessions [default: one for each core]
    #[arg(long, value_name = "COUNT", value_parser = parse_worker_threads)]
    worker_threads: Option<usize>,
    /// Allow listening where other machines can connect
    #[arg(long)]
    allow_public: bool,
    /// Show clients this certificate (PEM) instead of minted ones
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Where the certificate authority and the store are kept [default: $IQTAP_DATA_DIR, or else the user's data directory]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Keep what outlives a session in this file, which is made if it is missing [default: iqtap.redb in the data directory if iqtap
    /// answers vcard, blocking or private, or scripts keep something; else in memory]
    #[arg(long, value_name = "PATH")]
    store: Option<PathBuf>,
    #[command(flatten)]
    recording: record::RecordArgs,
}

const EXAMPLE: &str = "Examples:
  iqtap run --upstream xmpp.example.org:5222
  iqtap run --listen 127.0.0.1:15222 --upstream localhost:5222 --server-ca ca.crt
  iqtap run --upstream xmpp.example.org:5222 --rules enforce --record s.pcapng
  iqtap run --upstream xmpp.example.org:5222 --drop 'stanza.kind == \"presence\" && stanza.type == \"subscribe\"'
  iqtap run --upstream xmpp.example.org:5222 --answer ping=local --answer vcard=fallback --answer mam=deny
  iqtap run --upstream xmpp.example.org:5222 --record captures/ --record-every 1h --record-total 10GB
  iqtap run --upstream xmpp.example.org:5222 --record - | wireshark -k -i -
  iqtap run --config iqtap.toml

SIGHUP (not on Windows) reads everything again: the configuration, scripts, answers, certificates. Living sessions go on, under the
new rules, scripts and answers; server, TLS and limits are for those that begin. What needs a restart is said.";

/// By then everything has ended by itself, unless something is stuck.
const STOP_TIME: Duration = Duration::from_secs(7);
/// For somebody to read the last word on stderr.
const LAST_WORD_TIME: Duration = Duration::from_millis(200);

pub(super) fn parse_mode(text: &str) -> Result<Mode, String> {
    match text {
        "off" => Ok(Mode::Off),
        "report" => Ok(Mode::Report),
        "enforce" => Ok(Mode::Enforce),
        _ => Err("one of off, report, enforce".to_owned()),
    }
}

fn parse_worker_threads(text: &str) -> Result<usize, String> {
    let (least, most) = (WORKER_THREADS.start(), WORKER_THREADS.end());
    let count = text.parse().ok().filter(|count| WORKER_THREADS.contains(count));
    count.ok_or_else(|| format!("a number from {least} to {most}"))
}

impl Args {
    /// The file's settings, with the command line's on top.
    fn config(self) -> Result<Config, Failure> {
        let config = self.file().map_err(Failure::usage)?;
        let config = self.put_on(config)?;
        config.check().map_err(Failure::usage)?;
        Ok(config)
    }

    /// The file's settings.
    fn file(&self) -> Result<Config, ConfigError> {
        self.config.as_deref().map_or_else(|| Ok(Config::default()), Config::from_file)
    }

    /// All that is configured, read again.
    fn again(&self) -> Result<Anew, ConfigError> {
        let config = self.file()?;
        let path = config.path.clone();
        let wrong = |why: Failure| ConfigError { path: path.clone(), line: 0, column: 0, message: why.message };
        let config = self.clone().put_on(config).map_err(wrong)?;
        config.check().map_err(Failure::usage).map_err(wrong)?;
        let terms = terms(&config).map_err(wrong)?;
        let files = [&self.config, &config.cert, &config.key, &config.server_ca];
        Ok(Anew { files: files.into_iter().flatten().cloned().collect(), config, terms })
    }

    fn put_on(self, mut config: Config) -> Result<Config, Failure> {
        config.listen = self.listen.unwrap_or(config.listen);
        config.upstream = self.upstream.or(config.upstream);
        config.route.client_tls = self.client_tls.unwrap_or(config.route.client_tls);
        config.route.server_tls = self.server_tls.unwrap_or(config.route.server_tls);
        if self.insecure_server {
            (config.insecure_server, config.server_ca) = (true, None);
        }
        if self.server_ca.is_some() {
            (config.insecure_server, config.server_ca) = (false, self.server_ca);
        }
        config.rules = self.rules.map_or(config.rules, Modes::all);
        for (namespace, mode) in &self.answer {
            config.answers.set(namespace, *mode).map_err(Failure::usage)?;
        }
        config.iq_timeout = self.iq_timeout.unwrap_or(config.iq_timeout);
        config.route.sm = self.sm.unwrap_or(config.route.sm);
        if !self.script.is_empty() {
            config.scripts = self.script;
        }
        config.reload &= !self.no_reload;
        self.one_liners.replace(&mut config.one_liners);
        if !self.shadow.is_empty() {
            config.shadow = self.shadow;
        }
        if self.filter.is_some() {
            config.filter = self.filter;
            config.lines.remove("filter");
        }
        self.recording.apply(&mut config)?;
        config.json |= self.json;
        config.quiet |= self.quiet;
        config.worker_threads = self.worker_threads.or(config.worker_threads);
        config.allow_public |= self.allow_public;
        if self.cert.is_some() || self.key.is_some() {
            (config.cert, config.key) = (self.cert, self.key);
        }
        config.data_dir = self.data_dir.or(config.data_dir);
        config.store = self.store.or(config.store);
        Ok(config)
    }
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    let again = args.clone();
    let config = args.config()?;
    print::start_log(config.quiet);
    let (scripts, policy) = Scripts::load(&config).map_err(Failure::usage)?;
    let scripts = scripts.reading(Box::new(move || again.again()));
    record::warn(&config);
    let failed = Failed::default();
    let setup = setup(&config, policy, &failed)?;
    if config.insecure_server {
        tracing::warn!("--insecure-server: whoever answers as the server is believed; passwords may go to anybody");
    }
    raise_file_limit();
    let runtime = runtime(&config).map_err(|error| Failure::runtime(format!("no threads: {error}")))?;
    // On a thread of the sessions: no other has to be woken to accept somebody.
    let serving = runtime.spawn(serve(setup, scripts, config, failed));
    let served =
        runtime.block_on(serving).unwrap_or_else(|error| Err(Failure::runtime(format!("a bug in iqtap: {error}"))));
    runtime.shutdown_background(); // a name being looked up is not waited for
    served
}

/// The threads of the sessions.
fn runtime(config: &Config) -> io::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    if let Some(count) = config.worker_threads {
        builder.worker_threads(count);
    }
    builder.enable_all().build()
}

/// What sessions begin with.
fn terms(config: &Config) -> Result<TermsSetup, Failure> {
    let upstream = config.upstream.clone().ok_or_else(|| {
        Failure::usage("no server is named; add --upstream HOST:PORT (such as --upstream xmpp.example.org:5222)")
    })?;
    let certificate = match (&config.cert, &config.key) {
        (Some(certificate), Some(key)) => {
            ClientCertificate::Files { certificate: certificate.clone(), key: key.clone() }
        }
        _ => ClientCertificate::Minted(data_directory(config.data_dir.clone())?),
    };
    let trust = match &config.server_ca {
        _ if config.insecure_server => Trust::Anybody,
        Some(path) => Trust::File(path.clone()),
        None => Trust::System,
    };
    let (route, key_log) = (config.route.clone(), config.key_log.clone());
    Ok(TermsSetup { upstream, route, certificate, trust, key_log })
}

fn setup(config: &Config, policy: Policy, failed: &Failed) -> Result<Setup, Failure> {
    let terms = terms(config)?;
    let store = store(config, &policy)?.map_or(StoreSetup::Memory, StoreSetup::File);
    let sinks = sinks::sinks(config, &policy, failed)?;
    let (listen, vault, limits) = (config.listen, config.vault, config.limits);
    Ok(Setup { listen, terms, policy, vault, limits, store, sinks })
}

/// The store's file: as said, or the usual one where answers or scripts need it; what is acknowledged must outlive us.
fn store(config: &Config, policy: &Policy) -> Result<Option<PathBuf>, Failure> {
    match &config.store {
        Some(path) => Ok(Some(path.clone())),
        None if config.answers.needs_store() || policy.scripts.keeps() => {
            Ok(Some(default_store(&data_directory(config.data_dir.clone())?)))
        }
        None => Ok(None),
    }
}

async fn serve(setup: Setup, scripts: Scripts, config: Config, failed: Failed) -> Result<(), Failure> {
    let (certificate, store) = (setup.terms.certificate.clone(), setup.store.clone());
    let [first, second] = [signals(1), signals(2)].map(|signals| signals.map_err(Failure::runtime));
    let first = first?;
    tokio::spawn(at_once(second?));
    let hangups = Hangups::listen().map_err(Failure::runtime)?;
    #[cfg(unix)]
    let _limited = file_limits().map_err(Failure::runtime)?;
    let server = Server::bind(setup).await.map_err(Failure::usage)?;
    let listen = server.local_addr().map_err(Failure::runtime)?;
    if !config.quiet {
        print::aside(&greeting(&config, listen, &certificate, &store));
    }
    tracing::debug!(%listen, "listening");
    let follower = scripts.follow(server.reloader());
    let stopped = async {
        tokio::select! {
            () = first => {}
            () = hangups.heed(&follower) => {}
            () = failed.happens() => {}
        }
        std::thread::spawn(end_in_any_case);
    };
    server.run(stopped).await; // the printer has told the total
    if failed.is_so() {
        return Err(Failure::runtime("stopped, because what is seen cannot be recorded (record_failure = \"stop\")"));
    }
    Ok(())
}

/// Ends the process some time after the first signal, should stderr, a disk or a bug hold up everything else.
fn end_in_any_case() {
    std::thread::sleep(STOP_TIME);
    std::process::exit(3);
}

/// Ends the process when `second` is done, whoever else waits for whatever: even stderr may be stuck.
async fn at_once(second: impl Future<Output = ()>) {
    second.await;
    let failure = Failure::runtime("stopped at once by a second signal; a capture may miss its end");
    let code = failure.code.into();
    let (said, was_said) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        print::error(&failure.message);
        let _ = said.send(()); // nobody may wait any more
    });
    let _ = was_said.recv_timeout(LAST_WORD_TIME);
    std::process::exit(code);
}

/// Done when the user has asked `count` times to stop. Listens from now on.
pub(super) fn signals(count: usize) -> io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    #[cfg(unix)]
    let mut interrupt = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())?;
    Ok(async move {
        for _ in 0..count {
            #[cfg(unix)]
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            #[cfg(not(unix))]
            let _ = tokio::signal::ctrl_c().await;
        }
    })
}

/// A session has two sockets: as many as the system allows, and not as many as shells are given by default (1,024 often).
#[cfg(unix)]
fn raise_file_limit() {
    match rlimit::increase_nofile_limit(rlimit::INFINITY) {
        Ok(limit) => tracing::debug!(limit, "descriptors"),
        Err(error) => tracing::warn!(%error, "the limit of open files stays as it is"),
    }
}

#[cfg(not(unix))]
const fn raise_file_limit() {}

/// A file that may not grow (`ulimit -f`) is a write that fails, like one on a full disk, and no reason to die: SIGXFSZ is taken.
#[cfg(unix)]
fn file_limits() -> io::Result<tokio::signal::unix::Signal> {
    const SIGXFSZ: i32 = 25; // on Linux, macOS and the BSDs
    tokio::signal::unix::signal(tokio::signal::unix::SignalKind::from_raw(SIGXFSZ))
}

/// SIGHUP: scripts are loaded again. That of a terminal that is closed asks to stop, as it does of any program.
struct Hangups {
    #[cfg(unix)]
    signal: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminal: bool,
}

impl Hangups {
    #[cfg(unix)]
    fn listen() -> io::Result<Self> {
        let signal = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?;
        Ok(Self { signal, terminal: io::stderr().is_terminal() })
    }

    /// Done when the terminal is gone.
    #[cfg(unix)]
    async fn heed(mut self, follower: &Follower) {
        while self.signal.recv().await.is_some() {
            if self.terminal && !io::stderr().is_terminal() {
                return;
            }
            follower.reload();
        }
        std::future::pending().await
    }

    #[cfg(not(unix))]
    fn listen() -> io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn heed(self, _: &Follower) {
        std::future::pending().await
    }
}

/// What is running and how to use it, on one screen.
fn greeting(config: &Config, listen: SocketAddr, certificate: &ClientCertificate, store: &StoreSetup) -> String {
    let mut text = format!("iqtap {} listens on {listen}\n", env!("CARGO_PKG_VERSION"));
    let mut line = |what: &str, value: String| {
        let _ = writeln!(text, "  {what:<10} {value}"); // writing to a string cannot fail
    };
    line("upstream", config.upstream.as_ref().map(ToString::to_string).unwrap_or_default());
    let believes = match &config.server_ca {
        _ if config.route.server_tls == ServerTls::Off => String::new(),
        _ if config.insecure_server => ", ANY certificate is believed (--insecure-server)".to_owned(),
        Some(path) => format!(", certificate checked against {}", path.display()),
        None => ", certificate checked".to_owned(),
    };
    let [client, server] = [word(&config.route.client_tls), word(&config.route.server_tls)];
    line("TLS", format!("clients: {client}; server: {server}{believes}"));
    line("rules", rules(&config.rules));
    if let Some(answers) = answers(config) {
        line("answers", answers);
    }
    for (what, value) in scripts(config) {
        line(what, value);
    }
    if let Some(words) = record::words(config) {
        line("record", words);
    }
    if let StoreSetup::File(path) = store {
        line("store", path.display().to_string());
    }
    line("client", format!("host {}, port {}, JID as always", listen.ip(), listen.port()));
    match certificate {
        ClientCertificate::Minted(directory) if config.route.client_tls != ClientTls::Off => {
            let path = Authority::open(directory).map(|authority| authority.certificate_path());
            let path = path.map(|path| path.display().to_string()).unwrap_or_default();
            line("", format!("it must trust {path} (`iqtap ca` tells how)"));
        }
        _ => {}
    }
    line("stop", "Ctrl-C".to_owned());
    text
}
