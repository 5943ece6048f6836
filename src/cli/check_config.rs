//! `iqtap check-config`: what a file means, or what is wrong with it.

use super::{Failure, print, record};
use crate::config::{Config, ConfigError};
use crate::net::{ClientCertificate, TlsError, Trust};
use crate::policy::{ClientTls, ConnectionLimits, QueueLimits, Rate, ServerTls, SmMode};
use crate::rules::{Mode, Modes, Rule};
use crate::xmpp::Side;
use clap::ValueEnum;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Arguments of `iqtap check-config`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  iqtap check-config iqtap.toml && iqtap run --config iqtap.toml")]
pub(super) struct Args {
    /// The file
    file: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = Config::from_file(&args.file).map_err(Failure::usage)?;
    config.check().map_err(|message| Failure::usage(config.wrong("listen", message)))?;
    config.policy().map_err(Failure::usage)?;
    config.compiled_filter().map_err(Failure::usage)?;
    check_files(&config).map_err(Failure::usage)?;
    print::out(&meaning(&config));
    Ok(())
}

/// The files that `iqtap run` would read or make; nothing is made here.
fn check_files(config: &Config) -> Result<(), ConfigError> {
    let certificate = match (&config.cert, &config.key, &config.data_dir) {
        (Some(certificate), Some(key), _) => {
            Some(ClientCertificate::Files { certificate: certificate.clone(), key: key.clone() })
        }
        (_, _, directory) => directory.clone().map(ClientCertificate::Minted),
    };
    if let Some(certificate) = certificate.filter(|_| config.route.client_tls != ClientTls::Off) {
        certificate.check().map_err(|error| bad_file(config, &error))?;
    }
    if let Some(path) = config.server_ca.clone().filter(|_| config.route.server_tls != ServerTls::Off) {
        Trust::File(path).check().map_err(|error| bad_file(config, &error))?;
    }
    record::check(config)
}

/// An error about a file, at the key that names it.
fn bad_file(config: &Config, error: &TlsError) -> ConfigError {
    let files = [("server_ca", &config.server_ca), ("key", &config.key), ("cert", &config.cert)];
    let named = |path: &Path| files.iter().find(|(_, file)| file.as_deref() == Some(path)).map(|(key, _)| *key);
    let key = match error {
        TlsError::BadFile { path, .. } => named(path).unwrap_or("data_dir"),
        TlsError::Ca(_) => "data_dir",
        TlsError::NoRoots(_) | TlsError::Library(_) => "server_ca",
    };
    config.wrong(key, error)
}

/// A configuration in words, one line per thing.
fn meaning(config: &Config) -> String {
    let route = &config.route;
    let mut text = String::new();
    let mut line = |what: &str, value: String| {
        let _ = writeln!(text, "{what:<16}{value}"); // writing to a string cannot fail
    };
    line("listen", config.listen.to_string());
    line(
        "upstream",
        config.upstream.as_ref().map_or_else(|| "(to be named with --upstream)".to_owned(), ToString::to_string),
    );
    line("client TLS", word(&route.client_tls));
    line("server TLS", format!("{}{}", word(&route.server_tls), trust(config)));
    line("rules", rules(&config.rules));
    if let Some(answers) = answers(config) {
        line("answers", answers);
    }
    line("IQ answers", format!("within {}, {} under way at once", span(config.iq_timeout), route.open_iqs));
    line("SM", stream_management(config));
    for (what, value) in scripts(config) {
        line(what, value);
    }
    if let Some(words) = record::words(config) {
        line("record", words);
    }
    if let Some(path) = &config.key_log {
        line("TLS keys", path.display().to_string());
    }
    if let Some(count) = config.worker_threads {
        line("worker threads", count.to_string());
    }
    match &config.store {
        Some(path) => line("store", path.display().to_string()),
        None if config.answers.needs_store() => line("store", "iqtap.redb in the data directory".to_owned()),
        None => {}
    }
    for (when, limits) in [("before login", &route.limits_before), ("after login", &route.limits_after)] {
        line(
            when,
            format!(
                "up to {} bytes, {} elements, depth {}, {} attributes, names of {} bytes, values of {}",
                limits.stanza_bytes,
                limits.elements,
                limits.depth,
                limits.attributes,
                limits.name_bytes,
                limits.value_bytes
            ),
        );
    }
    line("connections", connections(&config.limits.connections));
    for (sender, rate) in ["client's rate", "server's rate"].into_iter().zip(&route.rates) {
        if rate.is_limited() {
            line(sender, words_of_rate(rate));
        }
    }
    line("queue", queue(&config.limits.queue));
    let memory = Some(config.limits.memory).filter(|&memory| memory > 0);
    line("memory", memory.map_or_else(|| "no limit".to_owned(), |bytes| format!("up to {bytes} bytes in all")));
    line("handshake", format!("within {} s", config.limits.handshake_seconds));
    let or_never = |seconds: u64| if seconds > 0 { format!("within {seconds} s") } else { "no limit".to_owned() };
    line("stanza", or_never(route.stanza_seconds));
    line("idle", or_never(route.idle_seconds).replace("within", "after"));
    line("login", format!("within {} s", route.login_seconds));
    line("close", format!("within {} s", route.close_seconds));
    text
}

fn connections(limits: &ConnectionLimits) -> String {
    let mut text = format!("{} in all", limits.total);
    let mut add = |limited: bool, words: String| {
        if limited {
            text.push_str(&words);
        }
    };
    let of_one = limits.per_address > 0 || limits.per_minute > 0;
    add(limits.per_address > 0, format!("; {} of one address", limits.per_address));
    let minute = format!("; {} new ones of one address a minute, {} at once", limits.per_minute, limits.at_once);
    add(limits.per_minute > 0, minute);
    add(of_one && !limits.loopback, "; of this machine as many as come".to_owned());
    text
}

fn words_of_rate(rate: &Rate) -> String {
    let parts = [(rate.stanzas, "stanzas"), (rate.bytes, "bytes")].into_iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts.map(|(count, what)| format!("{count} {what}")).collect();
    format!("{} a second, {} s of them at once", parts.join(" and "), rate.burst_seconds)
}

fn queue(limits: &QueueLimits) -> String {
    let QueueLimits { bytes, own_bytes, most_bytes, seconds } = limits;
    format!("{bytes} bytes for a peer, {own_bytes} if it made them wait itself, {most_bytes} at most; {seconds} s")
}

/// What is answered in the server's place, if anything is.
pub(super) fn answers(config: &Config) -> Option<String> {
    let mut all: Vec<String> = Some(config.answers.words()).into_iter().filter(|words| !words.is_empty()).collect();
    let fixed = config.static_answers.iter();
    all.extend(fixed.map(|one| format!("{} {} from {}", one.namespace, one.element, one.path.display())));
    all.extend(config.answers.mark.then(|| "marked in service discovery".to_owned()));
    (!all.is_empty()).then(|| all.join(", "))
}

/// What is scripted: files, what has none, what only looks on, what is shown.
pub(super) fn scripts(config: &Config) -> Vec<(&'static str, String)> {
    let files =
        |what, paths: &[PathBuf]| -> Vec<_> { paths.iter().map(|path| (what, path.display().to_string())).collect() };
    let mut lines = files("script", &config.scripts);
    if !config.scripts.is_empty() {
        lines.push(("reload", reload(config).to_owned()));
    }
    lines.extend(config.one_liners.iter().map(|one| (one.deed.name(), one.text.clone())));
    lines.extend(files("shadow", &config.shadow));
    lines.extend(config.filter.iter().map(|filter| ("filter", filter.clone())));
    lines
}

/// When scripts are loaded again.
const fn reload(config: &Config) -> &'static str {
    match (config.reload, cfg!(unix)) {
        (true, true) => "scripts, when they are saved, and on SIGHUP",
        (true, false) => "scripts, when they are saved",
        (false, true) => "scripts, on SIGHUP only",
        (false, false) => "never",
    }
}

/// What becomes of stream management.
fn stream_management(config: &Config) -> String {
    let vault = &config.vault;
    match config.route.sm {
        SmMode::Strip => "not offered to clients".to_owned(),
        SmMode::Translate => {
            format!("translated; {} sessions may wait to be resumed, up to {} s", vault.sessions, vault.seconds)
        }
    }
}

/// A span of time as it is written in a file.
fn span(micros: u64) -> String {
    if micros.is_multiple_of(1_000_000) { format!("{} s", micros / 1_000_000) } else { format!("{} ms", micros / 1000) }
}

fn trust(config: &Config) -> String {
    match &config.server_ca {
        _ if config.insecure_server => ", ANY certificate is believed".to_owned(),
        Some(path) => format!(", certificates of {} only", path.display()),
        None => String::new(),
    }
}

/// A choice as it is written on the command line.
pub(super) fn word(choice: &impl ValueEnum) -> String {
    choice.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// The rules' modes, short where they are all alike.
pub(super) fn rules(modes: &Modes) -> String {
    let name = |mode: Mode| match mode {
        Mode::Off => "off",
        Mode::Report => "report",
        Mode::Enforce => "enforce",
    };
    let first = modes.get(Side::Client, Rule::Id);
    if *modes == Modes::all(first) {
        return name(first).to_owned();
    }
    let each = Rule::ALL.map(|rule| {
        let [c2s, s2c] = [Side::Client, Side::Server].map(|sender| name(modes.get(sender, rule)));
        let modes = if c2s == s2c { c2s.to_owned() } else { format!("c2s {c2s}, s2c {s2c}") };
        format!("{}: {modes}", rule.key())
    });
    each.join("; ")
}
