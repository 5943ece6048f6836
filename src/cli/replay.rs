//! `iqtap replay`: recorded sessions once more, under today's policy; with `--as` one peer's part of them (`replay_as`).

mod tell;

use super::one_liners::OneLiners;
use super::run::parse_mode;
use super::{Failure, captures, replay_as};
use crate::answer;
use crate::capture::read::Options;
use crate::config::{Config, parse_duration};
use crate::keep::{Change, Op, Store};
use crate::policy::{ClientTls, Route, ServerTls, SmMode};
use crate::replay::rerun::{Law, Tape, TlsThen, replay};
use crate::rules::{Mode, Modes};
use crate::store::{FileStore, MemoryStore};
use crate::xmpp::Side;
use bytes::Bytes;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Arguments of `iqtap replay`.
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(super) struct Args {
    /// A capture that `iqtap run --record` has made (with --as also one of tcpdump or Wireshark, with XMPP in the clear); - is stdin
    #[arg(value_name = "CAPTURE")]
    capture: PathBuf,
    /// Today's settings (iqtap.example.toml has every key); the command line has the last word
    #[arg(long, value_name = "FILE", conflicts_with = "role")]
    config: Option<PathBuf>,
    #[command(flatten)]
    policy: Policy,
    /// What is kept beyond sessions: a copy of it is read, nothing is written [default: nothing is kept]
    #[arg(long, value_name = "FILE", conflicts_with = "role")]
    store: Option<PathBuf>,
    /// Print what differs as JSON, one object per line
    #[arg(long)]
    json: bool,
    #[command(flatten, next_help_heading = "One peer's part, against a living peer")]
    agents: replay_as::AgentArgs,
}

/// What sessions do, as `iqtap run` takes it.
#[derive(Debug, clap::Args)]
struct Policy {
    /// TLS towards clients [default: as it was; require if there was any]
    #[arg(long, conflicts_with = "role", value_name = "HOW")]
    client_tls: Option<ClientTls>,
    /// TLS towards the server [default: as it was]
    #[arg(long, conflicts_with = "role", value_name = "HOW")]
    server_tls: Option<ServerTls>,
    /// What to do about IQs that break the rules: off, report or enforce [default: report]
    #[arg(long, conflicts_with = "role", value_name = "MODE", value_parser = parse_mode)]
    rules: Option<Mode>,
    /// Who answers a namespace, as for `iqtap run`. Several may be given
    #[arg(long, conflicts_with = "role", value_name = "NAMESPACE=MODE", value_parser = answer::choice::read)]
    answer: Vec<(String, answer::Mode)>,
    /// How long an IQ may go unanswered, such as 2s or 500ms [default: 60s]
    #[arg(long, conflicts_with = "role", value_name = "TIME", value_parser = parse_duration)]
    iq_timeout: Option<u64>,
    /// Stream management: translate its counts, or do not offer it [default: translate]
    #[arg(long, conflicts_with = "role", value_name = "HOW")]
    sm: Option<SmMode>,
    /// A Rhai script; several run in the order given
    #[arg(long, conflicts_with = "role", value_name = "FILE")]
    script: Vec<PathBuf>,
    /// Run those without a file behind them, in the order of the command line
    #[command(flatten)]
    one_liners: OneLiners,
}

const HELP: &str = "Examples:
  iqtap replay s.pcapng --config iqtap.toml         would today's configuration do as it did then?
  iqtap replay s.pcapng --script new.rhai           what would a script have changed?
  iqtap replay s.pcapng --rules enforce --json      what would enforcing the rules have changed?
  iqtap replay --as client s.pcapng --to localhost:5222 --jid test@localhost --password-file pw --tls off
  iqtap replay --as client s.pcapng --to xmpp.example.org:5222 --jid test@example.org --password-file pw --sessions 50
  iqtap replay --as server s.pcapng --listen 127.0.0.1:5222

Without --as all that came in comes in once more, with the same time between. What would be sent is compared with what was sent; secrets
are replaced in captures, and so they are here. Give the settings of the recording, but for what you want to try; TLS is as it was,
unless --config, --client-tls or --server-tls says otherwise.
With --as one peer's part is played, against a living one: of iqtap's own captures as it stands on the client's leg.

Exit codes: 0 the same is sent (--as client: all comes as recorded), 1 something else, 2 usage or configuration, 3 the capture or a session in it cannot be replayed.";

/// TLS as it was recorded, on the legs of which nobody says otherwise.
fn tls_as_then([client, server]: [bool; 2], route: &mut Route, tape: &Tape) {
    if !client && tape.tls(Side::Client) == TlsThen::Never {
        route.client_tls = ClientTls::Off;
    }
    if !server {
        route.server_tls = match tape.tls(Side::Server) {
            TlsThen::Never => ServerTls::Off,
            TlsThen::First => ServerTls::Direct,
            TlsThen::Later => ServerTls::Starttls,
        };
    }
}

impl Policy {
    /// Puts this on top of a file's settings.
    fn apply(self, config: &mut Config) -> Result<(), Failure> {
        config.route.client_tls = self.client_tls.unwrap_or(config.route.client_tls);
        config.route.server_tls = self.server_tls.unwrap_or(config.route.server_tls);
        config.rules = self.rules.map_or(config.rules, Modes::all);
        for (namespace, mode) in &self.answer {
            config.answers.set(namespace, *mode).map_err(Failure::usage)?;
        }
        config.iq_timeout = self.iq_timeout.unwrap_or(config.iq_timeout);
        config.route.sm = self.sm.unwrap_or(config.route.sm);
        if !self.script.is_empty() {
            config.scripts = self.script;
        }
        self.one_liners.replace(&mut config.one_liners);
        Ok(())
    }
}

pub(super) fn run(args: Args) -> Result<(), Failure> {
    if let Some(role) = args.agents.role {
        if !args.policy.one_liners.0.is_empty() {
            return Err(Failure::usage("with --as nothing is judged: --drop, --reject and --modify are not for it"));
        }
        return replay_as::run(role, &args.capture, args.json, args.agents);
    }
    let mut config = match &args.config {
        Some(path) => Config::from_file(path).map_err(Failure::usage)?,
        None => Config::default(),
    };
    let said = args.config.is_some();
    let says_tls = [said || args.policy.client_tls.is_some(), said || args.policy.server_tls.is_some()];
    args.policy.apply(&mut config)?;
    let policy = Arc::new(config.policy().map_err(Failure::usage)?);
    let store = args.store.as_deref().map_or_else(|| Ok(MemoryStore::new()), kept)?;
    let (name, tape) = read(&args.capture)?;
    tls_as_then(says_tls, &mut config.route, &tape);
    for trouble in &tape.troubles {
        captures::complain(&args.capture, trouble);
    }
    if tape.sessions() == 0 {
        let why = if tape.foreign > 0 {
            "somebody else has recorded it: only what iqtap was told can happen to it again"
        } else {
            "there is no session in it"
        };
        return Err(Failure::runtime(format!("{name}: {why}")));
    }
    let with_store = args.store.is_some();
    let law = Law { route: config.route.clone(), policy: &|_| Arc::clone(&policy), vault: config.vault, store };
    let replayed = replay(&tape, law);
    let telling = tell::Telling { name: &name, json: args.json, with_store };
    telling.all(&replayed);
    telling.verdict(&replayed, tape.damaged)
}

/// Reads a capture; gives its name, too.
fn read(path: &Path) -> Result<(String, Tape), Failure> {
    let capture = captures::open(path, &Options::default())?;
    Ok((captures::shown(path), Tape::read(capture)))
}

/// What a store holds: of a copy, for whoever opens one may have to mend it.
fn kept(path: &Path) -> Result<MemoryStore, Failure> {
    let failed = |why: &dyn std::fmt::Display| Failure::usage(format!("--store {}: {why}", path.display()));
    let copy = std::env::temp_dir().join(format!("iqtap-replay-{}.redb", std::process::id()));
    fs::copy(path, &copy).map_err(|why| failed(&why))?; // with its permissions: its owner's alone
    let mut store = MemoryStore::new();
    let read = FileStore::open_existing(&copy).map_err(|why| failed(&why)).and_then(|mut file| {
        let each = |account: &str, space: &str, name: &str, value: &[u8]| {
            let change = Change::Put(space.to_owned().into(), name.to_owned(), Bytes::copy_from_slice(value));
            let write = Op::Write { account: account.to_owned(), changes: vec![change], most: usize::MAX };
            store.run(&[write]);
        };
        file.each(each).map_err(|why| failed(&why))
    });
    let removed = fs::remove_file(&copy).map_err(|why| failed(&why));
    read.and(removed)?;
    Ok(store)
}
