//! One JSON object per line, for machines. Field names are stable; fields that do not apply are left out.
//!
//! Every event has `event`, `time` (ISO 8601, UTC, microseconds; a `total` of no session has none) and, except `total`,
//! `reloaded`, `reload_failed`, `store_failed`, `store_works`, `refused`, `memory_full` and `memory_fine`, which are of the process,
//! `session` (a number).
//!
//! | event | fields |
//! |---|---|
//! | `session` | `peer`: the client's address. Always a session's first event |
//! | `tls` | `side` (`client`, `server`: the leg), `version`, `cipher`, `name` (SNI or the verified name), `alpn` |
//! | `joined` | `domain`, `stripped` (names of features and mechanisms not offered to the client) |
//! | `mechanism` | `mechanism` |
//! | `bound` | `jid` |
//! | `resumed` | `jid`, `was` (number of the session it was on an earlier connection; left out if unknown) |
//! | `stanza` | see below |
//! | `finding` | `side` (who is at fault: who sent it, or owes the answer), `number` (of the stanza), `id`, `findings` (exactly one; also in its stanza's event, if one came) |
//! | `log` | `level`, `script`, `text` |
//! | `script_error`, `hint` | `text` |
//! | `stream_error` | `side`, `condition`, `text` |
//! | `over` | `jid`, `summary` |
//! | `reloaded` | `files` (the scripts that changed), `policy` (the number of what is in force now, from 1) |
//! | `reload_failed` | `path`, `line`, `column` (left out if there is none), `text` (why), `policy` and `since` (number and time of what stays in force) |
//! | `store_failed`, `store_works` | `text` (why); nothing |
//! | `refused` | connections were not let in: `refused` (how many, since this was told last), `peer` (the address of the last one), `limit` (the key of the limit it ran into). Once a second at most |
//! | `memory_full`, `memory_fine` | `held` (bytes that all sessions hold), `most` (the limit) |
//! | `total` | `sessions`, `refused` (connections not let in; left out if there were none), `summary` |
//!
//! A `stanza` has
//! * `number` (counts the items of the session), `side` (the leg), `direction` (`in`: from the peer, `out`: to the peer),
//! * `kind` (`message`, `presence`, `iq`; `element` and so on for what is no stanza and was found fault with), `type`, `id`, `from`,
//!   `to`, `ns` and `payload` (namespace and name of the payload), `bytes` (its length),
//! * `verdict`: of what came in `passed`, `rewritten`, `dropped`, `rejected`, `answered`, `handled` (by iqtap itself); of what goes
//!   out `rewritten`, `made` (what leaves as it came in has no event of its own),
//! * `by` (the rule's code, or the script), `condition` (of the error it is, or was rejected with),
//! * of an answer to an IQ, as it came in or was made here: `request` (number of the request; left out if that came on an earlier
//!   connection) and `latency_seconds` (from the request to it),
//! * `answers` (number of the stanza that a made one answers), `of` (number of the stanza that a rewritten one was),
//! * `findings` (objects with `rule`, the number, where there is one, `code`, `severity`, `text`),
//! * `tags` (what scripts tagged it with, if they did).
//!
//! A `summary` has `duration_seconds`, `stanzas` (by sender, `client` and `server`: `message`, `presence`, `iq`, `bytes`),
//! `iqs` (objects with `ns`, `requests`, `results`, `errors`, `unanswered`, `p50_seconds` and `p99_seconds` (what half and 99 % of the
//! latencies did not exceed, to 10 %; left out if none is known), `conditions` (the errors that name one: objects with `condition`,
//! `count`)), `findings` and `info` (what broke a rule, and what is only worth knowing: objects with `code`, `direction`
//! (`c2s`: the client is at fault, `s2c`: the server), `count`), `stopped`, `rewritten`. If there are scripts, also
//! `hooks` (objects with `script`, `hook`, `runs`, `errors`, `skipped` (while suspended), `mean_seconds`, `total_seconds`,
//! `slowest_seconds`, `slowest` (which stanza that was); those first that took the most time) and, if there are shadow scripts,
//! `shadow` (`shown`: stanzas they were shown, `otherwise`: how many of them they would have decided otherwise).
//!
//! Control characters and what changes the reading direction are written as `\u` escapes, so that a line may be shown.

use super::{NotReloaded, Place, direction, escape, side_name};
use crate::rules::{Finding, Rule, Severity};
use crate::script::HookCount;
use crate::session::{Dir, Fate, IqCount, Note, Origin, Seen, Tally, What};
use crate::xmpp::{Side, Timestamp};
use serde::Serialize;
use std::fmt::Write;
use std::path::PathBuf;

/// All fields there are, in the order they are written.
#[derive(Debug, Default, Serialize)]
struct Event<'a> {
    event: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sessions: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    most: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    side: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    direction: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    type_: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ns: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    condition: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answers: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    findings: Option<Vec<Found<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cipher: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alpn: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    domain: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stripped: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mechanism: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    was: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    restart: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<Summary<'a>>,
}

#[derive(Debug, Serialize)]
struct Found<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<u8>,
    code: &'static str,
    severity: Severity,
    text: &'a str,
}

#[derive(Debug, Serialize)]
struct Summary<'a> {
    duration_seconds: f64,
    stanzas: Sides,
    iqs: Vec<Iqs<'a>>,
    findings: Vec<Count>,
    info: Vec<Count>,
    stopped: u64,
    rewritten: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hooks: Vec<Hook<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shadow: Option<Shadow>,
}

#[derive(Debug, Serialize)]
struct Sides {
    client: Stanzas,
    server: Stanzas,
}

#[derive(Debug, Serialize)]
struct Stanzas {
    message: u64,
    presence: u64,
    iq: u64,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Iqs<'a> {
    ns: &'a str,
    requests: u64,
    results: u64,
    errors: u64,
    unanswered: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    p50_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p99_seconds: Option<f64>,
    conditions: Vec<Failed>,
}

#[derive(Debug, Serialize)]
struct Failed {
    condition: &'static str,
    count: u64,
}

#[derive(Debug, Serialize)]
struct Hook<'a> {
    script: &'a str,
    hook: &'static str,
    runs: u64,
    errors: u64,
    skipped: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    mean_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slowest_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    slowest: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Shadow {
    shown: u64,
    otherwise: u64,
}

#[derive(Debug, Serialize)]
struct Count {
    code: &'static str,
    direction: &'static str,
    count: u64,
}

/// A session's first event.
pub(super) fn began(out: &mut String, place: Place<'_>) {
    write(out, &Event { peer: Some(&place.seat.peer), ..event("session", place) });
}

/// The event of a note.
pub(super) fn note(out: &mut String, place: Place<'_>, note: &Note) {
    let text = |name, text| Event { text: Some(text), ..event(name, place) };
    let written = match note {
        Note::Seen(seen) => stanza(place, seen),
        Note::Finding { side, id, number, finding, alone: _ } => Event {
            side: Some(side_name(*side)),
            number: known(*number),
            id: id.as_deref(),
            findings: Some(vec![found(finding)]),
            ..event("finding", place)
        },
        Note::Tls(side, info) => Event {
            side: Some(side_name(*side)),
            version: Some(&info.version),
            cipher: Some(&info.cipher),
            name: info.name.as_deref(),
            alpn: info.alpn.as_deref(),
            ..event("tls", place)
        },
        Note::Joined { domain, stripped } => {
            Event { domain: Some(domain), stripped: Some(stripped), ..event("joined", place) }
        }
        Note::Mechanism(mechanism) => Event { mechanism: Some(mechanism), ..event("mechanism", place) },
        Note::Bound(jid) => Event { jid: Some(jid), ..event("bound", place) },
        Note::Resumed { jid, session } => Event { jid: Some(jid), was: known(*session), ..event("resumed", place) },
        Note::Log(log) => Event { level: Some(log.level), script: Some(&log.script), ..text("log", &log.text) },
        Note::ScriptError(why) => text("script_error", why),
        Note::Hint(hint) => text("hint", hint),
        Note::StreamError { side, condition, text: why } => {
            Event { side: Some(side_name(*side)), condition: Some(condition.name()), ..text("stream_error", why) }
        }
        Note::Happened(_) => return,
        Note::Over(tally) => {
            Event { jid: place.seat.jid.as_deref(), summary: Some(summary(tally, place.age())), ..event("over", place) }
        }
    };
    write(out, &written);
}

/// A new version of scripts is in force.
pub(super) fn reloaded(out: &mut String, at: Timestamp, files: &[PathBuf], policy: u64, restart: &[&str]) {
    let files = Some(files.iter().map(|path| path.display().to_string()).collect());
    let restart = restart.iter().map(|key| (*key).to_owned()).collect();
    let (policy, event) = (Some(policy), "reloaded");
    write(out, &Event { event, time: time(at), files, policy, restart, ..Event::default() });
}

/// A new version of scripts cannot be used.
pub(super) fn not_reloaded(out: &mut String, at: Timestamp, why: NotReloaded<'_>) {
    let place = |number: usize| Some(number).filter(|&number| number > 0);
    write(
        out,
        &Event {
            event: "reload_failed",
            time: time(at),
            path: Some(why.path.display().to_string()),
            line: place(why.line),
            column: place(why.column),
            text: Some(why.reason),
            policy: Some(why.policy),
            since: Some(time(why.since)),
            ..Event::default()
        },
    );
}

/// The store fails.
pub(super) fn store_failed(out: &mut String, at: Timestamp, why: &str) {
    write(out, &Event { event: "store_failed", time: time(at), text: Some(why), ..Event::default() });
}

/// The store works again.
pub(super) fn store_works(out: &mut String, at: Timestamp) {
    write(out, &Event { event: "store_works", time: time(at), ..Event::default() });
}

/// Connections were not let in.
pub(super) fn refused(out: &mut String, at: Timestamp, count: u64, last: &str, limit: &str) {
    let (peer, limit, refused) = (Some(last), Some(limit), Some(count));
    write(out, &Event { event: "refused", time: time(at), peer, limit, refused, ..Event::default() });
}

/// The sessions hold too much together, or not any more.
pub(super) fn memory(out: &mut String, at: Timestamp, held: usize, most: Option<usize>) {
    let event = if most.is_some() { "memory_full" } else { "memory_fine" };
    write(out, &Event { event, time: time(at), held: Some(held), most, ..Event::default() });
}

/// The last event of all. `counts`: of sessions, of connections not let in.
pub(super) fn total(out: &mut String, at: Option<Timestamp>, counts: [u64; 2], micros: u64, tally: &Tally) {
    let summary = Some(summary(tally, micros));
    let [sessions, refused] = counts;
    write(
        out,
        &Event {
            event: "total",
            time: at.map_or_else(String::new, time),
            sessions: Some(sessions),
            refused: Some(refused).filter(|&refused| refused > 0),
            summary,
            ..Event::default()
        },
    );
}

fn stanza<'a>(place: Place<'_>, seen: &'a Seen) -> Event<'a> {
    let info = seen.stanza.as_ref();
    let payload = info.and_then(|i| i.payload.as_ref());
    let mut written = Event {
        number: Some(seen.number),
        side: Some(side_name(seen.side)),
        direction: Some(match seen.dir {
            Dir::In => "in",
            Dir::Out => "out",
        }),
        kind: Some(match seen.what {
            What::Stanza(kind) => kind.name(),
            What::Header => "header",
            What::Other => "element",
            What::Space => "space",
            What::Close => "close",
        }),
        type_: info.and_then(|i| i.kind.as_deref()),
        id: info.and_then(|i| i.id.as_deref()),
        from: info.and_then(|i| i.from.as_deref()),
        to: info.and_then(|i| i.to.as_deref()),
        ns: payload.map(|p| p.0.as_str()),
        payload: payload.map(|p| p.1.as_str()),
        bytes: Some(seen.bytes.len()),
        condition: info.and_then(|i| i.condition.as_deref()),
        request: seen.pair.and_then(|pair| known(pair.request)),
        latency_seconds: seen.pair.map(|pair| seconds(pair.micros)),
        findings: Some(seen.findings.iter().map(found).collect()),
        tags: Some(seen.tags.as_slice()).filter(|tags| !tags.is_empty()),
        ..event("stanza", place)
    };
    judge(&mut written, seen);
    written
}

/// Fills in what became of it, or where it comes from.
fn judge<'a>(written: &mut Event<'a>, seen: &'a Seen) {
    let (verdict, by) = match (seen.dir, &seen.fate, &seen.origin) {
        (Dir::Out, _, Origin::Rewritten(number, by)) => {
            written.of = Some(*number);
            ("rewritten", Some(by))
        }
        (Dir::Out, _, Origin::Made(number, by)) => {
            written.answers = known(*number);
            ("made", Some(by))
        }
        (Dir::Out, _, Origin::Peer | Origin::Forwarded(_)) | (Dir::In, Fate::Passed, _) => ("passed", None),
        (Dir::In, Fate::Rewritten(by), _) => ("rewritten", Some(by)),
        (Dir::In, Fate::Dropped(by), _) => ("dropped", Some(by)),
        (Dir::In, Fate::Rejected(condition, by), _) => {
            written.condition = Some(condition);
            ("rejected", Some(by))
        }
        (Dir::In, Fate::Answered(by), _) => ("answered", Some(by)),
        (Dir::In, Fate::Handled, _) => ("handled", None),
    };
    written.verdict = Some(verdict);
    written.by = by.map(String::as_str);
}

fn found(finding: &Finding) -> Found<'_> {
    let rule = finding.rule.and_then(Rule::number);
    Found { rule, code: finding.code, severity: finding.severity, text: &finding.text }
}

fn summary(tally: &Tally, micros: u64) -> Summary<'_> {
    let stanzas = |side: Side| {
        let [message, presence, iq] = tally.stanzas[side.index()];
        Stanzas { message, presence, iq, bytes: tally.bytes[side.index()] }
    };
    let counts = |severity| {
        let found = super::findings(tally, severity).into_iter();
        found.map(|f| Count { code: f.code, direction: direction(f.side), count: f.count }).collect()
    };
    Summary {
        duration_seconds: seconds(micros),
        stanzas: Sides { client: stanzas(Side::Client), server: stanzas(Side::Server) },
        iqs: tally.iqs.iter().map(iqs).collect(),
        findings: counts(Severity::Violation),
        info: counts(Severity::Info),
        stopped: tally.stopped,
        rewritten: tally.rewritten,
        hooks: super::hooks(tally).into_iter().map(hook).collect(),
        shadow: Some(tally.shadow)
            .filter(|[shown, _]| *shown > 0)
            .map(|[shown, otherwise]| Shadow { shown, otherwise }),
    }
}

fn hook(count: &HookCount) -> Hook<'_> {
    // Without a stopwatch no time is known.
    let time = |nanos| Some(std::time::Duration::from_nanos(nanos).as_secs_f64()).filter(|_| count.nanos > 0);
    Hook {
        script: &count.script,
        hook: count.hook,
        runs: count.runs,
        errors: count.errors,
        skipped: count.skipped,
        mean_seconds: time(count.nanos / count.runs.max(1)),
        total_seconds: time(count.nanos),
        slowest_seconds: time(count.slowest),
        slowest: Some(count.slowest_stanza.as_str()).filter(|what| !what.is_empty()),
    }
}

fn iqs(iq: &IqCount) -> Iqs<'_> {
    let quantile = |q| iq.latency.quantile(q).map(seconds);
    Iqs {
        ns: &iq.ns,
        requests: iq.requests,
        results: iq.results,
        errors: iq.errors,
        unanswered: iq.unanswered(),
        p50_seconds: quantile(0.5),
        p99_seconds: quantile(0.99),
        conditions: super::conditions(iq).into_iter().map(|(condition, count)| Failed { condition, count }).collect(),
    }
}

/// The number of an item or a session, if it has one.
fn known(number: u64) -> Option<u64> {
    Some(number).filter(|&number| number > 0)
}

fn seconds(micros: u64) -> f64 {
    std::time::Duration::from_micros(micros).as_secs_f64()
}

fn event<'a>(name: &'static str, place: Place<'_>) -> Event<'a> {
    Event { event: name, time: time(place.at), session: Some(place.session), ..Event::default() }
}

fn time(at: Timestamp) -> String {
    let micros = i64::try_from(at.0).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX);
    time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}

/// Appends one line. What serde_json leaves as it is and a terminal would obey is escaped as well: such characters
/// stand only inside strings.
fn write(out: &mut String, event: &Event<'_>) {
    let Ok(line) = serde_json::to_string(event) else { return };
    for c in line.chars() {
        if escape::is_hostile(c) {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out.push('\n');
}
