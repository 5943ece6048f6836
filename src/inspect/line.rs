//! Lines for people.
//!
//! Takes a note and its place, gives one line, and one more for each finding. Must not decide what is shown.
//!
//! ```text
//! 12:34:56.789  #3   C→S  iq/get        id=p1         → example.org             {urn:xmpp:ping} ping      passed
//! 12:34:56.801  #3   C←S  iq/result     id=p1         example.org → juliet@…/b…                           passed #slow  12.3 ms
//! ```

use super::{NotReloaded, Place, PrinterOptions, escape, side_name, summary};
use crate::rules::{Finding, Severity};
use crate::session::{Dir, Fate, Note, Origin, Seen, StanzaInfo, Tally, TlsInfo, What};
use crate::xmpp::{Side, Timestamp, jid, ns};
use anstyle::{AnsiColor, Style};
use std::fmt::Write;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default().dimmed();
const CHANGED: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default();
const OURS: Style = AnsiColor::Cyan.on_default();
const BOLD: Style = Style::new().bold();

/// Columns of the parts that do not stretch: time, session, arrow, kind, id, and a verdict of one word with a latency.
const KIND: usize = 12;
const ID: usize = 12;
const FIXED: usize = 12 + 2 + 4 + 1 + 3 + 2 + KIND + 2 + ID + 2 + 2 + 2 + 15;
/// What addresses and payload get, each: at least, at most.
const STRETCH: (usize, usize) = (18, 48);
/// Sentences are cut here: they may quote a peer.
const SENTENCE: usize = 400;

/// The first line of a session.
pub(super) fn began(out: &mut String, place: Place<'_>) {
    let text = format!("connected from {}", escape::escaped(&place.seat.peer, 64));
    event(out, place, None, Style::new(), &text);
}

/// The lines of a note.
pub(super) fn note(out: &mut String, place: Place<'_>, note: &Note) {
    let safe = |text: &str| escape::escaped(text, SENTENCE);
    let plain = Style::new();
    match note {
        Note::Seen(seen) => item(out, place, seen),
        Note::Finding { side, id, finding, alone, .. } => {
            let text = finding_line(*side, id.as_deref(), finding, *alone);
            event(out, place, Some(*side), finding_style(finding), &text);
        }
        Note::Tls(side, info) => event(out, place, Some(*side), plain, &tls(*side, info)),
        Note::Joined { domain, stripped } => {
            let mut text = format!("joined to {}", escape::escaped(domain, 80));
            if !stripped.is_empty() {
                let _ = write!(text, "; not offered to the client: {}", safe(&stripped.join(", ")));
            }
            event(out, place, None, plain, &text);
        }
        Note::Mechanism(name) => event(out, place, None, plain, &format!("authenticates by {}", safe(name))),
        Note::Bound(jid) => event(out, place, None, plain, &format!("bound to {}", safe(jid))),
        Note::Resumed { jid, session } => {
            let was = if *session > 0 { format!(" (was session #{session})") } else { String::new() };
            event(out, place, None, plain, &format!("resumed as {}{was}", safe(jid)));
        }
        Note::Log(log) => {
            let style = match log.level {
                "error" => BAD,
                "warn" => CHANGED,
                _ => plain,
            };
            event(out, place, None, style, &format!("{} ({}): {}", safe(&log.script), log.level, safe(&log.text)));
        }
        Note::ScriptError(text) => event(out, place, None, BAD, &format!("script failed: {}", safe(text))),
        Note::Hint(text) => event(out, place, None, CHANGED, &format!("hint: {}", safe(text))),
        Note::StreamError { side, condition, text } => {
            let text = format!("stream error to the {}: {}: {}", side_name(*side), condition.name(), safe(text));
            event(out, place, Some(*side), BAD, &text);
        }
        Note::Happened(_) => {}
        Note::Over(tally) => {
            let who = place.seat.jid.as_deref().map_or_else(String::new, |jid| format!(", {}", safe(jid)));
            let text = format!("over after {}{who}", summary::duration(place.age()));
            event(out, place, None, BOLD, &text);
            summary::table(out, tally, INDENT);
        }
    }
}

/// The line that says that something was reloaded, and what was not.
pub(super) fn reloaded(
    out: &mut String,
    options: &PrinterOptions,
    at: Timestamp,
    files: &[PathBuf],
    policy: u64,
    restart: &[&str],
) {
    let names: Vec<String> = files.iter().map(|path| shown(path)).collect();
    let names = if names.is_empty() { "no file".to_owned() } else { names.join(", ") };
    let mut text = format!("reloaded: {names} (policy {policy})");
    if !restart.is_empty() {
        let _ = write!(text, "; taken over when iqtap is started again: {}", restart.join(", "));
    }
    process(out, options, at, Style::new(), &text);
}

/// The line that says why they were not.
pub(super) fn not_reloaded(out: &mut String, options: &PrinterOptions, at: Timestamp, why: NotReloaded<'_>) {
    let mut text = format!("not reloaded: {}", shown(why.path));
    for number in [why.line, why.column].into_iter().filter(|&number| number > 0) {
        let _ = write!(text, ":{number}");
    }
    let since = zoned(options, why.since, "%H:%M:%S");
    let reason = escape::escaped(why.reason, SENTENCE);
    let _ = write!(text, ": {reason}; the version of {since} stays in force (policy {})", why.policy);
    process(out, options, at, BAD, &text);
}

/// The line that says that the store fails.
pub(super) fn store_failed(out: &mut String, options: &PrinterOptions, at: Timestamp, why: &str) {
    let reason = escape::escaped(why, SENTENCE);
    process(out, options, at, BAD, &format!("the store fails, what needs it is answered with an error: {reason}"));
}

/// The line that says that it does not any more.
pub(super) fn store_works(out: &mut String, options: &PrinterOptions, at: Timestamp) {
    process(out, options, at, Style::new(), "the store works again");
}

/// The line that says that connections were not let in.
pub(super) fn refused(
    out: &mut String,
    options: &PrinterOptions,
    at: Timestamp,
    count: u64,
    last: IpAddr,
    limit: &str,
) {
    let who = if count == 1 { "1 connection was".to_owned() } else { format!("{count} connections were") };
    let of_them = if count == 1 { "" } else { "the last one " };
    process(out, options, at, BAD, &format!("{who} not let in ({limit}), {of_them}from {last}"));
}

/// The line of the total that says how many they were.
pub(super) fn all_refused(out: &mut String, options: &PrinterOptions, total: u64) {
    paint(out, options, BOLD, &format!("connections not let in: {total}"));
    out.push('\n');
}

/// The line that says that the sessions hold too much together, or not any more.
pub(super) fn memory(out: &mut String, options: &PrinterOptions, at: Timestamp, held: usize, most: Option<usize>) {
    let held = summary::bytes(held as u64);
    match most {
        Some(most) => {
            let most = summary::bytes(most as u64);
            let text = format!(
                "the sessions hold {held}, more than {most} (limits.memory): nobody is let in, those that hold most wait, then are cut"
            );
            process(out, options, at, BAD, &text);
        }
        None => process(out, options, at, Style::new(), &format!("the sessions hold {held}: all is well again")),
    }
}

fn shown(path: &Path) -> String {
    escape::escaped(&path.display().to_string(), SENTENCE)
}

/// A line of no session.
fn process(out: &mut String, options: &PrinterOptions, at: Timestamp, style: Style, text: &str) {
    paint(out, options, DIM, &zoned(options, at, "%H:%M:%S%.3f"));
    out.push_str("  ────────  ");
    paint(out, options, style, text);
    out.push('\n');
}

/// A time as people read it.
fn zoned(options: &PrinterOptions, at: Timestamp, format: &str) -> String {
    let micros = i64::try_from(at.0).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX);
    time.to_zoned(options.zone.clone()).strftime(format).to_string()
}

/// The last lines of all.
pub(super) fn total(out: &mut String, options: &PrinterOptions, sessions: u64, micros: u64, tally: &Tally) {
    let plural = if sessions == 1 { "" } else { "s" };
    let text = format!("total: {sessions} session{plural} in {}", summary::duration(micros));
    paint(out, options, BOLD, &text);
    out.push('\n');
    summary::table(out, tally, "  ");
}

/// Below an event's line, where its text begins.
const INDENT: &str = "                        ";

/// Time, session, and which leg it is about.
fn start(out: &mut String, place: Place<'_>, arrow: &str) {
    paint(out, place.options, DIM, &zoned(place.options, place.at, "%H:%M:%S%.3f"));
    let _ = write!(out, "  {:<4} {arrow}  ", format_args!("#{}", place.session).to_string());
}

fn event(out: &mut String, place: Place<'_>, side: Option<Side>, style: Style, text: &str) {
    let arrow = match side {
        None => "───",
        Some(Side::Client) => "C──",
        Some(Side::Server) => "──S",
    };
    start(out, place, arrow);
    paint(out, place.options, style, text);
    out.push('\n');
}

fn item(out: &mut String, place: Place<'_>, seen: &Seen) {
    let stopped = matches!(seen.fate, Fate::Dropped(_) | Fate::Rejected(..) | Fate::Answered(_));
    let arrow = match (seen.dir, seen.side) {
        (Dir::In, Side::Client) if stopped => "C→ ",
        (Dir::In, Side::Server) if stopped => " ←S",
        (Dir::In, Side::Client) => "C→S",
        (Dir::In, Side::Server) => "C←S",
        (Dir::Out, Side::Client) => "C← ",
        (Dir::Out, Side::Server) => " →S",
    };
    start(out, place, arrow);
    let nothing = StanzaInfo::default();
    let info = seen.stanza.as_ref().unwrap_or(&nothing);
    let room = place.options.columns.saturating_sub(FIXED);
    let [for_route, for_payload] = [room / 2, room.div_ceil(2)].map(|width| width.clamp(STRETCH.0, STRETCH.1));
    let mut row = Row { out, over: 0 };
    row.column(KIND, |out| kind(out, seen.what, info));
    row.column(ID, |out| id(out, info));
    row.column(for_route, |out| route(out, info, place.seat.domain.as_deref(), for_route));
    row.column(for_payload, |out| payload(out, info, for_payload));
    let (style, verdict) = verdict(seen);
    let mut verdict = escape::escaped(&verdict, 80);
    for tag in &seen.tags {
        let _ = write!(verdict, " #{}", escape::escaped(tag, 64));
    }
    paint(out, place.options, style, &verdict);
    if let Some(pair) = seen.pair {
        paint(out, place.options, DIM, &format!("  {:>7}", summary::latency(pair.micros)));
    }
    out.push('\n');
    for finding in &seen.findings {
        out.push_str(INDENT);
        paint(out, place.options, finding_style(finding), &format!("└ {}", finding_text(finding)));
        out.push('\n');
    }
}

/// Columns side by side. What is too wide for its own takes from the padding of the next ones.
struct Row<'a> {
    out: &'a mut String,
    over: usize,
}

impl Row<'_> {
    /// Adds a column; `fill` says how much it has used.
    fn column(&mut self, width: usize, fill: impl FnOnce(&mut String) -> usize) {
        let used = fill(self.out) + self.over;
        self.over = used.saturating_sub(width);
        self.out.extend(std::iter::repeat_n(' ', width.saturating_sub(used) + 2));
    }
}

/// `iq/get`
fn kind(out: &mut String, what: What, info: &StanzaInfo) -> usize {
    let name = match what {
        What::Stanza(kind) => kind.name(),
        What::Header => "header",
        What::Other => "element",
        What::Space => "space",
        What::Close => "close",
    };
    out.push_str(name);
    match &info.kind {
        Some(kind) => {
            out.push('/');
            name.len() + 1 + escape::push(out, kind, 13)
        }
        None => name.len(),
    }
}

/// `id=p1`
fn id(out: &mut String, info: &StanzaInfo) -> usize {
    let Some(id) = &info.id else { return 0 };
    out.push_str("id=");
    3 + escape::push(out, id, ID - 3)
}

/// `juliet@…/balcony → example.org`; the longer of the two takes what room the shorter leaves.
fn route(out: &mut String, info: &StanzaInfo, domain: Option<&str>, width: usize) -> usize {
    let from = info.from.as_deref().map_or_else(String::new, |a| address(a, domain));
    let to = info.to.as_deref().map_or_else(String::new, |a| address(a, domain));
    let arrow = match (from.is_empty(), to.is_empty()) {
        (true, true) => return 0,
        (true, false) => "→ ",
        (false, true) => " →",
        (false, false) => " → ",
    };
    let room = width - arrow.chars().count();
    let half = room / 2;
    let for_from = room.saturating_sub(to.chars().count()).max(half);
    let used = escape::push(out, &from, for_from);
    out.push_str(arrow);
    width - room + used + escape::push(out, &to, room - used)
}

/// An address; the session's own domain needs no repeating.
fn address(address: &str, domain: Option<&str>) -> String {
    let bare = jid::bare(address);
    match bare.split_once('@') {
        Some((local, host)) if Some(host) == domain && !local.is_empty() => {
            format!("{local}@…{}", address.get(bare.len()..).unwrap_or_default())
        }
        _ => address.to_owned(),
    }
}

/// `item-not-found {vcard-temp} vcard-temp`
fn payload(out: &mut String, info: &StanzaInfo, width: usize) -> usize {
    let mut used = 0;
    if let Some(condition) = &info.condition {
        used = escape::push(out, condition, width);
    }
    let Some((space, name)) = &info.payload else { return used };
    if used > 0 && used < width {
        out.push(' ');
        used += 1;
    }
    let short = ns::short(space);
    let name = short.unwrap_or(name);
    let room = width.saturating_sub(used).saturating_sub(name.chars().count() + 3);
    let long = space.chars().count();
    if space == ns::CLIENT {
        // Everybody knows `body`.
    } else if long <= room {
        out.push('{');
        used += 3 + escape::push(out, space, room);
        out.push_str("} ");
    } else if short.is_none() && room >= 8 {
        let tail: String = space.chars().skip((long + 1).saturating_sub(room)).collect();
        out.push_str("{…");
        used += 4 + escape::push(out, &tail, room - 1);
        out.push_str("} ");
    }
    used + escape::push(out, name, width.saturating_sub(used))
}

/// What became of what came in, or whose what goes out is.
fn verdict(seen: &Seen) -> (Style, String) {
    match (seen.dir, &seen.fate, &seen.origin) {
        (Dir::Out, _, Origin::Rewritten(_, by)) => (CHANGED, format!("rewritten by {}", named(by))),
        (Dir::Out, _, Origin::Made(_, by)) => (OURS, format!("made by {}", named(by))),
        (Dir::Out, _, Origin::Peer | Origin::Forwarded(_)) => (GOOD, "forwarded".to_owned()),
        (Dir::In, Fate::Passed, _) => (GOOD, "passed".to_owned()),
        (Dir::In, Fate::Handled, _) => (DIM, "handled".to_owned()),
        (Dir::In, Fate::Rewritten(by), _) => (CHANGED, format!("rewritten by {}", named(by))),
        (Dir::In, Fate::Answered(by), _) => (CHANGED, format!("answered by {}", named(by))),
        (Dir::In, Fate::Dropped(by), _) => (BAD, format!("dropped by {}", named(by))),
        (Dir::In, Fate::Rejected(condition, by), _) => (BAD, format!("rejected {condition} by {}", named(by))),
    }
}

/// `rule 5: an iq of type get must have exactly one child element; this one has 2`
fn finding_text(finding: &Finding) -> String {
    let info = if finding.severity == Severity::Info { "info, " } else { "" };
    format!("{info}{}: {}", named(finding.code), escape::escaped(&finding.text, SENTENCE))
}

/// A finding on a line of its own; if it stands alone, nothing came from whom it names.
fn finding_line(side: Side, id: Option<&str>, finding: &Finding, alone: bool) -> String {
    let text = finding_text(finding);
    let side = side_name(side);
    match (id.map(|id| escape::escaped(id, 40)), alone) {
        (Some(id), false) => format!("{text} from the {side} id={id}"),
        (None, false) => format!("{text} from the {side}"),
        (Some(id), true) => format!("{text} ({side}, id={id})"),
        (None, true) => format!("{text} ({side})"),
    }
}

/// A rule's code as people write it, `rule 5`; all else as it is.
fn named(code: &str) -> String {
    match code.strip_prefix("rule") {
        Some(number) if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => format!("rule {number}"),
        _ => code.to_owned(),
    }
}

fn finding_style(finding: &Finding) -> Style {
    match finding.severity {
        Severity::Info => DIM,
        Severity::Violation => BAD,
    }
}

/// `TLSv1.3 with the client: TLS13_AES_128_GCM_SHA256, example.org, ALPN xmpp-client`
fn tls(side: Side, info: &TlsInfo) -> String {
    let mut text = format!("{} with the {}: {}", info.version, side_name(side), info.cipher);
    if let Some(name) = &info.name {
        let _ = write!(text, ", {name}");
    }
    if let Some(alpn) = &info.alpn {
        let _ = write!(text, ", ALPN {alpn}");
    }
    escape::escaped(&text, SENTENCE)
}

fn paint(out: &mut String, options: &PrinterOptions, style: Style, text: &str) {
    let _ = if options.color && style != Style::new() {
        write!(out, "{style}{text}{style:#}")
    } else {
        write!(out, "{text}")
    };
}
