//! `--record` and what goes with it: where a capture goes, what stands in it, what is said of it; and `--key-log`.

use super::Failure;
use crate::capture::{Mark, Rotation, Section, Target};
use crate::config::{Config, ConfigError, OnRecordFailure, parse_duration, parse_size};
use crate::inspect::{Sieve, Sieved};
use crate::net::{Failed, News, RecordSetup, Recording, SessionInfo, Sink};
use crate::policy::Policy;
use crate::session::{Note, Origin, Seen, Tally};
use crate::xmpp::Timestamp;
use jiff::tz::TimeZone;
use std::collections::VecDeque;
use std::fmt::{Display, Write};
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::sync::Arc;

/// What the command line says of it.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Recording")]
pub(super) struct RecordArgs {
    /// Write what is seen as pcapng, secrets replaced: to a file (an earlier capture goes, no other file), a named pipe, `-`
    /// (standard output: what people read goes to stderr then), or a directory (`DIR/`), where a new file begins when the last is large or old enough
    #[arg(long, value_name = "PATH")]
    record: Option<PathBuf>,
    /// The names of files in a directory, as for strftime [default: %Y-%m-%d_%H%M%S.pcapng]
    #[arg(long, value_name = "NAME")]
    record_name: Option<String>,
    /// In a directory: begin another file after so many bytes [default: 100MB, or a tenth of --record-total]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    record_size: Option<u64>,
    /// In a directory: begin another file after this time, such as 1h
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    record_every: Option<u64>,
    /// In a directory: remove the oldest recorded files when all are more bytes, such as 10GB
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    record_total: Option<u64>,
    /// Record only stanzas for which this Rhai expression over `stanza` is true; headers, TLS and all else between stanzas always
    #[arg(long, value_name = "EXPR")]
    record_filter: Option<String>,
    /// Rather miss events than hold up sessions when the disk or the reader is slow
    #[arg(long)]
    record_lossy: bool,
    /// Record passwords and login tokens too: whoever has the file can log in
    #[arg(long)]
    record_secrets: bool,
    /// When the capture cannot be written any more: let the sessions go on, or end them in order [default: continue]
    #[arg(long, value_name = "WHAT")]
    record_failure: Option<OnRecordFailure>,
    /// Write the keys of TLS connections, both legs (NSS format), to FILE, or to $SSLKEYLOGFILE
    #[arg(long, value_name = "FILE")]
    #[expect(clippy::option_option, reason = "given without a file it means another one")]
    key_log: Option<Option<PathBuf>>,
}

impl RecordArgs {
    /// Puts them on top of a file's settings.
    pub(super) fn apply(self, config: &mut Config) -> Result<(), Failure> {
        let said = [
            ("record", self.record.is_some()),
            ("record_name", self.record_name.is_some()),
            ("record_size", self.record_size.is_some()),
            ("record_every", self.record_every.is_some()),
            ("record_total", self.record_total.is_some()),
            ("record_filter", self.record_filter.is_some()),
        ];
        for (key, _) in said.into_iter().filter(|(_, said)| *said) {
            config.lines.remove(key);
        }
        let recording = &mut config.recording;
        config.record = self.record.or_else(|| config.record.take());
        recording.name = self.record_name.unwrap_or_else(|| std::mem::take(&mut recording.name));
        recording.size = self.record_size.or(recording.size);
        recording.every = self.record_every.or(recording.every);
        recording.total = self.record_total.or(recording.total);
        recording.filter = self.record_filter.or_else(|| recording.filter.take());
        recording.lossy |= self.record_lossy;
        recording.secrets |= self.record_secrets;
        recording.failure = self.record_failure.unwrap_or(recording.failure);
        if self.key_log.is_some() {
            config.lines.remove("key_log");
        }
        config.key_log = match self.key_log {
            Some(Some(path)) => Some(path),
            Some(None) => Some(
                std::env::var_os("SSLKEYLOGFILE")
                    .filter(|path| !path.is_empty())
                    .map(PathBuf::from)
                    .ok_or_else(|| Failure::usage("--key-log needs a file: name it, or set SSLKEYLOGFILE"))?,
            ),
            None => config.key_log.take(),
        };
        Ok(())
    }
}

/// Whether it can be done, as far as that is known without touching anything.
pub(super) fn check(config: &Config) -> Result<(), ConfigError> {
    rotation(config).check().map_err(|error| wrong(config, "record_name", error))?;
    config.compiled_record_filter()?;
    if let Some(path) = &config.key_log {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if folder.is_some_and(|folder| !folder.is_dir()) {
            let why = format!("{}: the folder it should be in does not exist", path.display());
            return Err(wrong(config, "key_log", why));
        }
    }
    let Some(path) = &config.record else { return Ok(()) };
    let target = Target::of(path);
    target.check().map_err(|error| wrong(config, "record", error))?;
    match config.recording.needs_directory() {
        Some(key) if !matches!(target, Target::Folder(_)) => {
            let path = path.display();
            let why = format!(
                "is for a directory, and the capture goes to {path}; if that is to be one, end its name with /"
            );
            Err(wrong(config, key, why))
        }
        _ => Ok(()),
    }
}

/// An error about a setting: at its line in the file, if it comes from there.
fn wrong(config: &Config, key: &str, why: impl Display) -> ConfigError {
    if config.lines.contains_key(key) {
        return config.wrong(key, why);
    }
    let path = PathBuf::from(format!("--{}", key.replace('_', "-")));
    ConfigError { path, line: 0, column: 0, message: why.to_string() }
}

/// The sink, if there is to be one, and who hears that it has failed.
pub(super) fn sink(config: &Config, policy: &Policy, failed: &Failed) -> Result<Option<Box<dyn Sink>>, Failure> {
    check(config).map_err(Failure::usage)?;
    let Some(path) = &config.record else { return Ok(None) };
    let target = Target::of(path);
    if target == Target::Output && io::stdout().is_terminal() {
        return Err(Failure::usage(
            "--record - writes a capture to standard output, and that is a terminal; pipe it on (such as | wireshark -k -i -)",
        ));
    }
    let how = &config.recording;
    let section = Section {
        policy: Mark { number: policy.number, source: Arc::clone(&policy.source) },
        secrets: how.secrets,
        filter: how.filter.clone(),
        lossy: how.lossy,
        ..Section::default()
    };
    let failed = (how.failure == OnRecordFailure::Stop).then(|| failed.clone());
    let setup = RecordSetup { target, rotation: rotation(config), section, lossy: how.lossy, failed };
    let recording =
        Recording::begin(setup).map_err(|error| Failure::usage(format!("cannot record: {error}; see --record")))?;
    let sieve = config.compiled_record_filter().map_err(Failure::usage)?.map(|filter| Sieve::new(Arc::new(filter)));
    Ok(Some(match sieve {
        None => Box::new(recording),
        Some(sieve) => Box::new(Sifting { recording, sieve, kept: VecDeque::new() }),
    }))
}

/// Whether the capture goes to standard output, so that nothing else may.
pub(super) fn takes_output(config: &Config) -> bool {
    config.record.as_ref().is_some_and(|path| Target::of(path) == Target::Output)
}

fn rotation(config: &Config) -> Rotation {
    let how = &config.recording;
    Rotation {
        name: how.name.clone(),
        zone: TimeZone::system(),
        size: how.file_size(),
        every: how.every,
        total: how.total,
    }
}

/// Says loudly what is dangerous.
pub(super) fn warn(config: &Config) {
    if config.recording.secrets && config.record.is_some() {
        tracing::warn!("--record-secrets: passwords and login tokens are recorded; whoever has the capture can log in");
    }
    if let Some(path) = &config.key_log {
        let path = path.display();
        tracing::warn!(%path, "--key-log: TLS keys are written; whoever has them and the bytes on the wire reads everything");
    }
}

/// It in words, on one line, if there is to be one.
pub(super) fn words(config: &Config) -> Option<String> {
    let path = config.record.as_ref()?;
    let how = &config.recording;
    let mut words = match Target::of(path) {
        Target::Output => "standard output".to_owned(),
        Target::File(path) => path.display().to_string(),
        Target::Folder(path) => {
            let mut words = format!("{}, a new file each {}", path.display(), bytes(how.file_size()));
            if let Some(every) = how.every {
                let _ = write!(words, " or {} s", every / 1_000_000);
            }
            if let Some(total) = how.total {
                let _ = write!(words, ", {} in all", bytes(total));
            }
            words
        }
    };
    if let Some(filter) = &how.filter {
        let _ = write!(words, ", only stanzas with {filter}");
    }
    for (said, text) in [
        (how.lossy, ", with holes rather than waiting"),
        (how.secrets, ", SECRETS INCLUDED"),
        (how.failure == OnRecordFailure::Stop, ", or stop"),
    ] {
        words += if said { text } else { "" };
    }
    Some(words)
}

/// `100 MB`
fn bytes(count: u64) -> String {
    let units = [(1_000_000_000_000, "TB"), (1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    let unit = units.iter().find(|(size, _)| count >= *size && count.is_multiple_of(*size));
    unit.map_or_else(|| format!("{count} bytes"), |(size, name)| format!("{} {name}", count / size))
}

/// So many stanzas may be on their way through scripts before what becomes of them is left out like any other.
const KEPT: usize = 4096;

/// A recording that leaves stanzas out.
struct Sifting {
    recording: Recording,
    sieve: Sieve,
    /// What came in and was recorded last, by session and number: what becomes of it is recorded too.
    kept: VecDeque<(u64, u64)>,
}

impl Sifting {
    /// Whether it fits, or has come of something that did.
    fn fits(&mut self, session: u64, seen: &Seen) -> bool {
        let fits = match self.sieve.sift(session, seen) {
            Sieved::Shown => true,
            Sieved::Hidden => false,
            Sieved::Failed(why) => {
                tracing::warn!("--record-filter failed; what it cannot judge is recorded: {why}");
                true
            }
        };
        match seen.origin {
            Origin::Peer if fits => {
                self.kept.push_back((session, seen.number));
                if self.kept.len() > KEPT {
                    self.kept.pop_front();
                }
                true
            }
            Origin::Rewritten(of, _) | Origin::Made(of, _) => {
                fits || self.kept.iter().rev().any(|k| *k == (session, of))
            }
            Origin::Peer | Origin::Forwarded(_) => fits,
        }
    }
}

impl Sink for Sifting {
    fn may_miss(&self) -> bool {
        self.recording.may_miss()
    }
    fn take(&mut self, session: &SessionInfo, now: Timestamp, note: &Note) {
        let fits = match note {
            Note::Seen(seen) => self.fits(session.number, seen),
            Note::Over(_) => {
                self.sieve.forget(session.number);
                true
            }
            _ => true,
        };
        if fits {
            self.recording.take(session, now, note);
        }
    }
    fn missed(&mut self, events: u64) -> bool {
        self.recording.missed(events)
    }
    fn news(&mut self, now: Timestamp, news: &News) {
        self.recording.news(now, news);
    }
    fn flush(&mut self) {
        self.recording.flush();
    }
    fn idle(&mut self) {
        self.recording.idle();
    }
    fn finish(&mut self, total: &Tally) {
        self.recording.finish(total);
    }
}
