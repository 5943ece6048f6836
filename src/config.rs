//! TOML to [`Route`] (fixed for a session) and [`Policy`] (live); every error names its file and line.
//!
//! Takes a file's text; gives a [`Config`], which the command line may then override. The keys are the words of the
//! command line. Nothing in a file is ignored: an unknown key is an error.

mod answers;
mod changes;
mod duration;
mod keys;
mod limits;
mod record;
mod rules;
mod size;
mod source;

pub use answers::StaticAnswer;
pub use duration::parse_duration;
pub use record::{OnRecordFailure, Recording};
pub use size::parse_size;

use crate::answer::Answers;
use crate::policy::{Forward, HouseLimits, OnScriptError, Policy, Route, VaultLimits};
use crate::rules::{Mode, Modes};
use crate::script::{Filter, LoadError, OneLiner, ScriptLimits, ScriptSet, Shared};
use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{}: {}", path.display(), colon(*line), colon(*column), visible(message))]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// Line, from 1; 0 if none.
    pub line: usize,
    /// Column, from 1; 0 if none.
    pub column: usize,
    /// What is wrong and what to do.
    pub message: String,
}

/// `:7`; nothing for what is not known.
fn colon(number: usize) -> String {
    if number > 0 { format!(":{number}") } else { String::new() }
}

/// What somebody wrote is quoted in what is said of it: nothing in it shall be obeyed by a terminal.
fn visible(message: &str) -> String {
    let mut shown = String::with_capacity(message.len());
    for c in message.chars() {
        if c.is_control() && c != '\n' { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// Compiles the part of a configuration that a session sees. `text` is TOML; `path` names it in errors and is where
/// relative paths (scripts) start from.
///
/// # Errors
/// The first thing wrong, with its line.
pub fn compile(text: &str, path: &Path) -> Result<(Route, Policy), ConfigError> {
    let config = Config::from_text(text, path)?;
    let policy = config.policy()?;
    Ok((config.route, policy))
}

/// Where the server is: a host name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Host name or IP address (IPv6 without brackets).
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl FromStr for Upstream {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not HOST:PORT (such as xmpp.example.org:5222 or [::1]:5222)");
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self { host: address.ip().to_string(), port: address.port() }).and_then(Self::with_a_port);
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, ':' | '/' | '@' | '[' | ']');
        if host.is_empty() || host.contains(odd) {
            return Err(bad());
        }
        Self { host: host.to_owned(), port: port.parse().map_err(|_| bad())? }.with_a_port()
    }
}

impl Upstream {
    fn with_a_port(self) -> Result<Self, String> {
        if self.port == 0 {
            return Err(format!("`{self}`: port 0 is no port; XMPP servers mostly use 5222"));
        }
        Ok(self)
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Reads where to listen: `IP:PORT` or `localhost:PORT`.
///
/// # Errors
/// If it is neither.
pub fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let numeric = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    numeric
        .as_deref()
        .unwrap_or(text)
        .parse()
        .map_err(|_| format!("`{text}` is not ADDRESS:PORT (such as 127.0.0.1:5222 or [::1]:5222)"))
}

/// How many threads may serve the sessions.
pub const WORKER_THREADS: RangeInclusive<usize> = 1..=1024;

/// Everything a file may say.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own, on the command line too")]
pub struct Config {
    /// The file it came from, for errors.
    pub path: PathBuf,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where their traffic goes.
    pub upstream: Option<Upstream>,
    /// Where the certificate authority is kept, if not in the usual place.
    pub data_dir: Option<PathBuf>,
    /// Keep there what outlives a session.
    pub store: Option<PathBuf>,
    /// Write a capture there.
    pub record: Option<PathBuf>,
    /// How it is written.
    pub recording: Recording,
    /// Write the keys of TLS connections there.
    pub key_log: Option<PathBuf>,
    /// Believe only these roots about the server.
    pub server_ca: Option<PathBuf>,
    /// Believe any certificate of the server.
    pub insecure_server: bool,
    /// Listening beyond loopback is meant.
    pub allow_public: bool,
    /// Certificate shown to clients, instead of minted ones.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// How many threads serve the sessions; one for each core, if not said.
    pub worker_threads: Option<usize>,
    /// Print warnings only.
    pub quiet: bool,
    /// Print JSON, one object per line.
    pub json: bool,
    /// Fixed for a session.
    pub route: Route,
    /// The IQ rules.
    pub rules: Modes,
    /// What is answered in the server's place, but for what was written down.
    pub answers: Answers,
    /// What was written down; the files are read with each policy that is made.
    pub static_answers: Vec<StaticAnswer>,
    /// See [`Policy::iq_timeout`].
    pub iq_timeout: u64,
    /// What is kept of sessions that wait to be resumed.
    pub vault: VaultLimits,
    /// What holds for the process.
    pub limits: HouseLimits,
    /// Scripts, in order.
    pub scripts: Vec<PathBuf>,
    /// Whether scripts are loaded again when their files change.
    pub reload: bool,
    /// Scripts without a file; they run after those, in this order.
    pub one_liners: Vec<OneLiner>,
    /// Scripts that are asked too, and only reported on where they decide otherwise.
    pub shadow: Vec<PathBuf>,
    /// Show only stanzas for which this expression over `stanza` is true.
    pub filter: Option<String>,
    /// How much a script may do.
    pub script_limits: ScriptLimits,
    /// What the scripts of all sessions keep together: each policy that is made shares it.
    pub shared: Shared,
    /// The same of the shadow scripts.
    pub shadow_shared: Shared,
    /// See [`Policy::legacy_codes`].
    pub legacy_codes: bool,
    /// See [`Policy::forward`].
    pub forward: Forward,
    /// See [`Policy::on_script_error`]. If not said, `reject` where the rules are enforced by default, else `pass`.
    pub on_script_error: Option<OnScriptError>,
    /// The mode of what `[rules]` does not name, the stricter one if it differs by direction.
    pub rules_default: Mode,
    /// Where in the file keys stand whose values can only be judged later: files, mostly.
    pub lines: BTreeMap<&'static str, usize>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: PathBuf::from("iqtap"),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 5222)),
            upstream: None,
            data_dir: None,
            store: None,
            record: None,
            recording: Recording::default(),
            key_log: None,
            server_ca: None,
            insecure_server: false,
            allow_public: false,
            cert: None,
            key: None,
            worker_threads: None,
            quiet: false,
            json: false,
            route: Route::default(),
            rules: Modes::default(),
            answers: Answers::default(),
            static_answers: Vec::new(),
            iq_timeout: Policy::default().iq_timeout,
            vault: VaultLimits::default(),
            limits: HouseLimits::default(),
            scripts: Vec::new(),
            reload: true,
            one_liners: Vec::new(),
            shadow: Vec::new(),
            filter: None,
            script_limits: ScriptLimits::default(),
            shared: Shared::default(),
            shadow_shared: Shared::default(),
            legacy_codes: false,
            forward: Forward::default(),
            on_script_error: None,
            rules_default: Mode::default(),
            lines: BTreeMap::new(),
        }
    }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// If it cannot be read, or the first thing wrong in it.
    pub fn from_file(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| ConfigError {
            path: path.to_owned(),
            line: 0,
            column: 0,
            message: format!("cannot be read: {error}"),
        })?;
        Self::from_text(&text, path)
    }

    /// Reads a file's text. `path` names it in errors; relative paths in it start from its directory.
    ///
    /// # Errors
    /// The first thing wrong, with its line.
    pub fn from_text(text: &str, path: &Path) -> Result<Self, ConfigError> {
        keys::read(text, path)
    }

    /// What sessions do: compiles the scripts, reads the answers that were written down.
    ///
    /// # Errors
    /// The first script or answer that cannot be loaded.
    pub fn policy(&self) -> Result<Policy, ConfigError> {
        let mut answers = self.answers.clone();
        answers::load(&mut answers, self)?;
        let [scripts, shadow] = [self.live_scripts()?, self.load(&self.shadow)?];
        Ok(Policy {
            number: 1,
            source: source::hash(self, [&scripts, &shadow]),
            rules: self.rules,
            answers,
            scripts: scripts.sharing(&self.shared),
            shadow: shadow.sharing(&self.shadow_shared),
            legacy_codes: self.legacy_codes,
            forward: self.forward,
            on_script_error: self.on_script_error(),
            iq_timeout: self.iq_timeout,
        })
    }

    /// The files, and behind them what has none.
    fn live_scripts(&self) -> Result<ScriptSet, ConfigError> {
        let mut scripts = self.load(&self.scripts)?;
        for line in &self.one_liners {
            scripts.add_line(line).map_err(|message| match line.line {
                0 => of_the_command_line(line.label(), message),
                line_of_file => {
                    let message = format!("{}: {message}", line.label());
                    ConfigError { path: self.path.clone(), line: line_of_file, column: 0, message }
                }
            })?;
        }
        Ok(scripts)
    }

    fn load(&self, paths: &[PathBuf]) -> Result<ScriptSet, ConfigError> {
        ScriptSet::load(paths, self.script_limits).map_err(script_error)
    }

    /// Compiles the filter of what is shown.
    ///
    /// # Errors
    /// What is wrong with the expression.
    pub fn compiled_filter(&self) -> Result<Option<Filter>, ConfigError> {
        self.compiled(self.filter.as_deref(), "filter")
    }

    /// Compiles the filter of what is recorded.
    ///
    /// # Errors
    /// What is wrong with the expression.
    pub fn compiled_record_filter(&self) -> Result<Option<Filter>, ConfigError> {
        self.compiled(self.recording.filter.as_deref(), "record_filter")
    }

    fn compiled(&self, text: Option<&str>, key: &str) -> Result<Option<Filter>, ConfigError> {
        let compiled = text.map(|text| Filter::new(text, self.script_limits));
        compiled.transpose().map_err(|message| {
            if self.lines.contains_key(key) {
                self.wrong(key, message)
            } else {
                of_the_command_line(format!("--{}", key.replace('_', "-")), message)
            }
        })
    }

    /// What becomes of a stanza whose script failed: as said, or else as the rules are meant.
    fn on_script_error(&self) -> OnScriptError {
        // The command line may have set all the modes since.
        let alike = [Mode::Off, Mode::Report, Mode::Enforce].into_iter().find(|&mode| self.rules == Modes::all(mode));
        self.on_script_error.unwrap_or_else(|| match alike.unwrap_or(self.rules_default) {
            Mode::Enforce => OnScriptError::Reject,
            Mode::Off | Mode::Report => OnScriptError::Pass,
        })
    }

    /// An error about the value of a key, at the key's line if the file has it.
    #[must_use]
    pub fn wrong(&self, key: &str, message: impl fmt::Display) -> ConfigError {
        let line = self.lines.get(key).copied().unwrap_or_default();
        ConfigError { path: self.path.clone(), line, column: 0, message: format!("{key}: {message}") }
    }

    /// What does not go together, said in the words of the command line.
    ///
    /// # Errors
    /// The first such thing, and what to do.
    pub fn check(&self) -> Result<(), String> {
        if !self.listen.ip().is_loopback() && !self.allow_public {
            return Err(format!(
                "listening on {} lets other machines use iqtap; if that is meant, add --allow-public (in a file: allow_public = true)",
                self.listen
            ));
        }
        if self.insecure_server && self.server_ca.is_some() {
            return Err("--insecure-server and --server-ca contradict each other; leave one out".to_owned());
        }
        self.recording.check()?;
        match (&self.cert, &self.key) {
            (Some(_), None) => Err("--cert needs --key, the certificate's private key".to_owned()),
            (None, Some(_)) => Err("--key needs --cert, the certificate of that key".to_owned()),
            _ => Ok(()),
        }
    }
}

/// An error about an option's value.
fn of_the_command_line(option: String, message: String) -> ConfigError {
    ConfigError { path: PathBuf::from(option), line: 0, column: 0, message }
}

fn script_error(error: LoadError) -> ConfigError {
    ConfigError { path: error.path, line: error.line, column: error.column, message: error.message }
}
