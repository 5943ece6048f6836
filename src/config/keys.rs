//! The keys a file may have, and what is wrong with them.

use super::answers::AnswerKeys;
use super::duration::DurationKey;
use super::limits::{self, LimitKeys};
use super::record::{OnRecordFailure, RecordKeys};
use super::rules::Rules;
use super::size::SizeKey;
use super::{Config, ConfigError, Upstream, WORKER_THREADS, parse_listen};
use crate::policy::{ClientTls, Forward, OnScriptError, ServerTls, SmMode};
use crate::script::{Deed, OneLiner, ScriptLimits};
use serde::de::{Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, de};
use std::fmt;
use std::net::SocketAddr;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use toml::Spanned;

/// Reads a file's text.
pub(super) fn read(text: &str, path: &Path) -> Result<Config, ConfigError> {
    let fail = |(span, message): (Option<Range<usize>>, String)| ConfigError {
        path: path.to_owned(),
        line: span.map_or(0, |span| line(text, span.start)),
        column: 0,
        message,
    };
    let keys: Keys = toml::from_str(text).map_err(|error| fail((error.span(), explain(error.message()))))?;
    let directory = path.parent().unwrap_or_else(|| Path::new(""));
    keys.config(text, path, directory).map_err(|(span, message)| fail((Some(span), message)))
}

/// Where, and what is wrong there.
pub(super) type Wrong = (Range<usize>, String);

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    listen: Option<Spanned<Listen>>,
    upstream: Option<UpstreamKey>,
    client_tls: Option<ClientTls>,
    server_tls: Option<ServerTls>,
    server_ca: Option<Spanned<PathBuf>>,
    insecure_server: Option<Spanned<bool>>,
    allow_public: Option<bool>,
    cert: Option<Spanned<PathBuf>>,
    key: Option<Spanned<PathBuf>>,
    data_dir: Option<Spanned<PathBuf>>,
    store: Option<Spanned<PathBuf>>,
    store_bytes: Option<Spanned<SizeKey>>,
    record: Option<Spanned<PathBuf>>,
    record_name: Option<Spanned<String>>,
    record_size: Option<Spanned<SizeKey>>,
    record_every: Option<Spanned<DurationKey>>,
    record_total: Option<Spanned<SizeKey>>,
    record_filter: Option<Spanned<String>>,
    record_lossy: Option<bool>,
    record_secrets: Option<bool>,
    record_failure: Option<OnRecordFailure>,
    key_log: Option<Spanned<PathBuf>>,
    worker_threads: Option<Spanned<usize>>,
    quiet: Option<bool>,
    json: Option<bool>,
    rules: Option<Rules>,
    script: Option<Scripts>,
    reload: Option<bool>,
    drop: Option<Vec<Spanned<String>>>,
    reject: Option<Vec<Spanned<String>>>,
    modify: Option<Vec<Spanned<String>>>,
    shadow: Option<Scripts>,
    filter: Option<Spanned<String>>,
    script_limits: Option<ScriptLimitKeys>,
    legacy_codes: Option<bool>,
    forward: Option<Forward>,
    on_script_error: Option<OnScriptError>,
    limits: Option<LimitKeys>,
    handshake_seconds: Option<Spanned<u64>>,
    login_seconds: Option<Spanned<u64>>,
    stanza_seconds: Option<Spanned<u64>>,
    idle_seconds: Option<Spanned<u64>>,
    close_seconds: Option<Spanned<u64>>,
    iq_timeout: Option<Spanned<DurationKey>>,
    open_iqs: Option<Spanned<usize>>,
    sm: Option<SmMode>,
    sm_runs: Option<Spanned<usize>>,
    vault_seconds: Option<Spanned<u64>>,
    vault_sessions: Option<Spanned<usize>>,
    vault_bytes: Option<Spanned<SizeKey>>,
    answer: Option<AnswerKeys>,
}

impl Keys {
    fn config(self, text: &str, path: &Path, directory: &Path) -> Result<Config, Wrong> {
        let mut config = Config { path: path.to_owned(), ..Config::default() };
        let at = |path: PathBuf| directory.join(path);
        if let (Some(insecure), Some(_)) = (&self.insecure_server, &self.server_ca)
            && *insecure.get_ref()
        {
            let message = "insecure_server believes anybody, server_ca only that authority; leave one out";
            return Err((insecure.span(), message.to_owned()));
        }
        match (&self.cert, &self.key) {
            (Some(cert), None) => return Err((cert.span(), "cert needs `key = FILE` beside it".to_owned())),
            (None, Some(key)) => return Err((key.span(), "key needs `cert = FILE` beside it".to_owned())),
            _ => {}
        }
        let paths = [
            ("server_ca", &self.server_ca),
            ("cert", &self.cert),
            ("key", &self.key),
            ("data_dir", &self.data_dir),
            ("store", &self.store),
            ("record", &self.record),
            ("key_log", &self.key_log),
        ];
        let spans = paths.into_iter().filter_map(|(name, path)| Some((name, path.as_ref()?.span())));
        let listen = self.listen.as_ref().map(|listen| ("listen", listen.span()));
        let filter = self.filter.as_ref().map(|filter| ("filter", filter.span()));
        let recording = RecordKeys {
            name: self.record_name,
            size: self.record_size,
            every: self.record_every,
            total: self.record_total,
            filter: self.record_filter,
            lossy: self.record_lossy,
            secrets: self.record_secrets,
            failure: self.record_failure,
        };
        let spans = spans.chain(listen).chain(filter).chain(recording.spans());
        config.lines = spans.map(|(name, span)| (name, line(text, span.start))).collect();
        set(&mut config.listen, self.listen.map(|listen| listen.into_inner().0));
        config.upstream = self.upstream.map(|upstream| upstream.0);
        config.server_ca = self.server_ca.map(|path| at(path.into_inner()));
        set(&mut config.insecure_server, self.insecure_server.map(Spanned::into_inner));
        set(&mut config.allow_public, self.allow_public);
        config.cert = self.cert.map(|path| at(path.into_inner()));
        config.key = self.key.map(|path| at(path.into_inner()));
        config.data_dir = self.data_dir.map(|path| at(path.into_inner()));
        config.store = self.store.map(|path| at(path.into_inner()));
        // `-` is the standard output, wherever the file is.
        config.record =
            self.record.map(Spanned::into_inner).map(|path| if path == Path::new("-") { path } else { at(path) });
        recording.apply(&mut config.recording)?;
        if self.worker_threads.is_some() {
            let mut count = 1;
            within(&mut count, self.worker_threads, "worker_threads", WORKER_THREADS)?;
            config.worker_threads = Some(count);
        }
        config.key_log = self.key_log.map(|path| at(path.into_inner()));
        set(&mut config.quiet, self.quiet);
        set(&mut config.json, self.json);
        if let Some(Rules(modes, default)) = self.rules {
            (config.rules, config.rules_default) = (modes, default);
        }
        set(&mut config.iq_timeout, self.iq_timeout.map(|timeout| timeout.into_inner().0));
        config.scripts = self.script.map(|scripts| scripts.0).unwrap_or_default().into_iter().map(at).collect();
        set(&mut config.reload, self.reload);
        let lines = [(Deed::Drop, self.drop), (Deed::Reject, self.reject), (Deed::Modify, self.modify)];
        config.one_liners = one_liners(text, lines);
        config.shadow = self.shadow.map(|scripts| scripts.0).unwrap_or_default().into_iter().map(at).collect();
        config.filter = self.filter.map(Spanned::into_inner);
        set(&mut config.script_limits, self.script_limits.map(ScriptLimitKeys::limits).transpose()?);
        set(&mut config.legacy_codes, self.legacy_codes);
        set(&mut config.forward, self.forward);
        config.on_script_error = self.on_script_error;
        let route = &mut config.route;
        set(&mut route.client_tls, self.client_tls);
        set(&mut route.server_tls, self.server_tls);
        self.limits.unwrap_or_default().apply(route, &mut config.limits)?;
        limits::within_or_none(&mut config.limits.store_bytes, self.store_bytes, "store_bytes", 1 << 20..=1 << 44)?;
        within(&mut config.limits.handshake_seconds, self.handshake_seconds, "handshake_seconds", 1..=3_600)?;
        within(&mut route.login_seconds, self.login_seconds, "login_seconds", 1..=86_400)?;
        within(&mut route.stanza_seconds, self.stanza_seconds, "stanza_seconds", 0..=86_400)?;
        within(&mut route.idle_seconds, self.idle_seconds, "idle_seconds", 0..=2_592_000)?;
        within(&mut route.close_seconds, self.close_seconds, "close_seconds", 1..=3_600)?;
        within(&mut route.open_iqs, self.open_iqs, "open_iqs", 8..=65_536)?;
        set(&mut route.sm, self.sm);
        within(&mut route.sm_runs, self.sm_runs, "sm_runs", 64..=1_048_576)?;
        within(&mut config.vault.seconds, self.vault_seconds, "vault_seconds", 1..=86_400)?;
        within(&mut config.vault.sessions, self.vault_sessions, "vault_sessions", 1..=1_000_000)?;
        limits::bytes(&mut config.vault.bytes, self.vault_bytes, "vault_bytes", 1 << 10..=1 << 40)?;
        self.answer.map_or(Ok(()), |keys| keys.apply(&mut config, directory, |start| line(text, start)))?;
        Ok(config)
    }
}

/// The scripts without a file, in the order in which they stand in the file.
fn one_liners(text: &str, keys: [(Deed, Option<Vec<Spanned<String>>>); 3]) -> Vec<OneLiner> {
    let mut all = Vec::new();
    for (deed, key) in keys {
        all.extend(key.into_iter().flatten().map(|written| (written.span().start, deed, written.into_inner())));
    }
    all.sort_by_key(|(start, ..)| *start);
    all.into_iter().map(|(start, deed, written)| OneLiner { deed, text: written, line: line(text, start) }).collect()
}

pub(super) fn set<T>(place: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *place = value;
    }
}

/// Sets a number, if it is within what makes sense.
pub(super) fn within<T>(
    place: &mut T,
    value: Option<Spanned<T>>,
    name: &str,
    range: RangeInclusive<T>,
) -> Result<(), Wrong>
where
    T: PartialOrd + fmt::Display + Copy,
{
    let Some(value) = value else { return Ok(()) };
    if !range.contains(value.get_ref()) {
        let rule = if name == "stanza_bytes" && value.get_ref() < range.start() { " (RFC 6120 §13.12)" } else { "" };
        let message =
            format!("{name} must be from {} to {}{rule}; leave it out for the default", range.start(), range.end());
        return Err((value.span(), message));
    }
    *place = value.into_inner();
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptLimitKeys {
    operations: Option<Spanned<u64>>,
    call_depth: Option<Spanned<usize>>,
    expression_depth: Option<Spanned<usize>>,
    string_bytes: Option<Spanned<usize>>,
    array: Option<Spanned<usize>>,
    map: Option<Spanned<usize>>,
    millis: Option<Spanned<u64>>,
    sends: Option<Spanned<usize>>,
    send_bytes: Option<Spanned<usize>>,
    state_bytes: Option<Spanned<usize>>,
    failures: Option<Spanned<u32>>,
}

impl ScriptLimitKeys {
    fn limits(self) -> Result<ScriptLimits, Wrong> {
        let mut limits = ScriptLimits::default();
        within(&mut limits.operations, self.operations, "operations", 100..=1_000_000_000)?;
        within(&mut limits.call_depth, self.call_depth, "call_depth", 4..=128)?;
        within(&mut limits.expression_depth, self.expression_depth, "expression_depth", 8..=32)?;
        within(&mut limits.string_bytes, self.string_bytes, "string_bytes", 1_024..=1 << 24)?;
        within(&mut limits.array, self.array, "array", 1..=ScriptLimits::MOST_ARRAY)?;
        within(&mut limits.map, self.map, "map", 1..=ScriptLimits::MOST_MAP)?;
        within(&mut limits.millis, self.millis, "millis", 1..=60_000)?;
        within(&mut limits.sends, self.sends, "sends", 0..=100_000)?;
        within(&mut limits.send_bytes, self.send_bytes, "send_bytes", 0..=1 << 26)?;
        within(&mut limits.state_bytes, self.state_bytes, "state_bytes", 0..=1 << 26)?;
        within(&mut limits.failures, self.failures, "failures", 0..=1_000_000)?;
        Ok(limits)
    }
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Listen(SocketAddr);

impl TryFrom<String> for Listen {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        parse_listen(&text).map(Self)
    }
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct UpstreamKey(Upstream);

impl TryFrom<String> for UpstreamKey {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

/// One path or several.
struct Scripts(Vec<PathBuf>);

impl<'de> Deserialize<'de> for Scripts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Paths;
        impl<'de> Visitor<'de> for Paths {
            type Value = Scripts;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a path or an array of paths")
            }
            fn visit_str<E: de::Error>(self, path: &str) -> Result<Scripts, E> {
                Ok(Scripts(vec![PathBuf::from(path)]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut paths: A) -> Result<Scripts, A::Error> {
                let mut all = Vec::new();
                while let Some(path) = paths.next_element()? {
                    all.push(path);
                }
                Ok(Scripts(all))
            }
        }
        deserializer.deserialize_any(Paths)
    }
}

/// The line a byte stands on, from 1.
fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// The library's message on one line, and for a misspelt key the one that was meant.
pub(super) fn explain(message: &str) -> String {
    let message = message.trim_end().replace('\n', ", ");
    let Some(rest) = message.strip_prefix("unknown field `") else { return message };
    let Some((wrong, known)) = rest.split_once('`') else { return message };
    let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    let plain = wrong.replace('-', "_").to_lowercase();
    let nearest = known.iter().map(|name| (distance(&plain, &name.replace('-', "_")), name)).min();
    match nearest {
        Some((distance, name)) if distance <= 2 => format!("unknown key `{wrong}`; did you mean `{name}`?"),
        _ => format!("unknown key `{wrong}`; known here: {}", known.join(", ")),
    }
}

/// How many letters must be changed, added or taken away (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (y, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let best = (diagonal + usize::from(x != *y)).min(*cell + 1).min(left + 1);
            diagonal = *cell;
            *cell = best;
            left = best;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}
