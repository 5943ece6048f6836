//! What stands in comments: of packets, of the section header, of the count of what was missed.
//!
//! Takes what the session says of an item, gives one short line. Must not quote a payload: it may hold secrets.
//!
//! ```text
//! #12 client->iqtap rejected bad-request by rule5; rule5 violation: an iq of type get must have ...
//! #14 server->iqtap passed, 12.345 ms after its request #9
//! ```
//! Number, way, what became of the item or where it comes from; if it answers an IQ, how long after the request, whose number
//! is left out if it came on an earlier connection; what scripts tagged it with (`, tagged slow vcard`); then what was found in
//! it.
//!
//! # The grammar
//!
//! The first comment of a packet, in ABNF (RFC 5234; `text` is any text without control characters, which stand as `\u{a}`):
//!
//! ```text
//! item    = "#" number " " way " " (fate / origin) [latency] [tags] *finding  ; on an item's first packet
//! way     = "client->iqtap" / "iqtap->client" / "server->iqtap" / "iqtap->server"
//! fate    = "passed" / "handled by iqtap" / ("rewritten" / "dropped" / "answered") " by " by
//!         / "rejected " condition " by " by                                   ; of what came in: "...->iqtap"
//! origin  = "sent" / "forwarded from #" number / "rewritten from #" number " by " by
//!         / "made by " by [" in answer to #" number]                          ; of what went out: "iqtap->..."
//! by      = text          ; a rule ("rule5"), a part ("sm"), a script and its line ("guard.rhai:12"), an option ("--drop")
//! latency = ", " number "." 3DIGIT " ms after its request" [" #" number]
//! tags    = ", tagged" 1*(" " tag)
//! finding = "; " code " " ("info" / "violation") ": " text
//! part    = "#" number " part " number                                       ; on the further packets of a long item
//! hello   = "session " number ", " ("client" / "server") " leg, client at " peer ", " ("no TLS" / tls)  ; on the SYN
//! tls     = version " " cipher [" for " name] [", ALPN " protocol]
//! end     = "the stream was closed" / "goes on behind TLS"                    ; on the first FIN
//!         / "ended without </stream:stream>"                                  ; on the RST
//! standin = "this stands for a stream header that was not recorded"           ; on a header that nobody sent
//! ```
//!
//! Further comments of the same packet, one fact each, in any order:
//!
//! ```text
//! policy  = "policy " number [" sha256:" 64HEXDIG]   ; on an item: this one and what follows in its session stands under it
//! missed  = "after " number " events that were not recorded"   ; on the SYN of what goes on behind a hole
//! again   = "repeated from an earlier file"          ; on a stream header, where files follow one another
//! ```
//!
//! The section header has `iqtap capture format N` first, then `policy` (what stands under no other), and where it is so `secrets
//! are recorded`, `only stanzas with ` and the expression of the filter, `events may be missing`. What was missed in all stands in
//! the interface statistics of interface 0: as `isb_ifdrop`, and as the comment `N events were not recorded`.

use super::{Mark, Section};
use crate::rules::Severity;
use crate::session::{Dir, Fate, Origin, Pair, Seen, TlsInfo};
use crate::xmpp::Side;
use std::fmt::Write;

/// A comment's length is a 16-bit number in pcapng; nobody reads that much.
const COMMENT_BYTES: usize = 4000;

/// On which leg, and which way.
pub(super) const fn way(side: Side, dir: Dir) -> &'static str {
    match (side, dir) {
        (Side::Client, Dir::In) => "client->iqtap",
        (Side::Client, Dir::Out) => "iqtap->client",
        (Side::Server, Dir::In) => "server->iqtap",
        (Side::Server, Dir::Out) => "iqtap->server",
    }
}

/// An item's comment.
pub(super) fn item(seen: &Seen) -> String {
    let mut out = String::with_capacity(96);
    let _ = write!(out, "#{} {} ", seen.number, way(seen.side, seen.dir));
    match seen.dir {
        Dir::In => fate(&mut out, &seen.fate),
        Dir::Out => origin(&mut out, &seen.origin),
    }
    if let Some(pair) = seen.pair {
        latency(&mut out, pair);
    }
    if !seen.tags.is_empty() {
        let _ = write!(out, ", tagged {}", seen.tags.join(" "));
    }
    for finding in &seen.findings {
        let severity = match finding.severity {
            Severity::Info => "info",
            Severity::Violation => "violation",
        };
        let _ = write!(out, "; {} {severity}: {}", finding.code, finding.text);
    }
    one_line(out)
}

/// `session 3, client leg, peer 127.0.0.1:40000, TLSv1.3 ...`
pub(super) fn hello(session: u64, side: Side, peer: &str, tls: Option<&str>) -> String {
    let leg = match side {
        Side::Client => "client",
        Side::Server => "server",
    };
    one_line(format!("session {session}, {leg} leg, client at {peer}, {}", tls.unwrap_or("no TLS")))
}

/// `TLSv1.3 TLS13_AES_128_GCM_SHA256 for example.org, ALPN xmpp-client`
pub(super) fn tls(info: &TlsInfo) -> String {
    let mut out = format!("{} {}", info.version, info.cipher);
    if let Some(name) = &info.name {
        let _ = write!(out, " for {name}");
    }
    if let Some(alpn) = &info.alpn {
        let _ = write!(out, ", ALPN {alpn}");
    }
    out
}

/// What the section header says behind the format.
pub(super) fn section(section: &Section) -> impl Iterator<Item = String> {
    let secrets = section.secrets.then(|| "secrets are recorded".to_owned());
    let filter = section.filter.as_ref().map(|text| one_line(format!("only stanzas with {text}")));
    let lossy = section.lossy.then(|| "events may be missing".to_owned());
    let known = section.policy.number > 0;
    [known.then(|| policy(&section.policy)), secrets, filter, lossy].into_iter().flatten()
}

/// `policy 2 sha256:...`
pub(super) fn policy(policy: &Mark) -> String {
    match &*policy.source {
        "" => format!("policy {}", policy.number),
        source => format!("policy {} sha256:{source}", policy.number),
    }
}

/// On the SYN of what goes on behind a hole.
pub(super) fn hole(events: u64) -> String {
    format!("after {events} events that were not recorded")
}

/// In the statistics.
pub(super) fn missed(events: u64) -> String {
    format!("{events} events were not recorded")
}

/// On a header that stood in an earlier file.
pub(super) const AGAIN: &str = "repeated from an earlier file";
/// On a header that nobody sent.
pub(super) const STAND_IN: &str = "this stands for a stream header that was not recorded";

fn fate(out: &mut String, fate: &Fate) {
    let (what, by) = match fate {
        Fate::Passed => return out.push_str("passed"),
        Fate::Handled => return out.push_str("handled by iqtap"),
        Fate::Rewritten(by) => ("rewritten", by),
        Fate::Dropped(by) => ("dropped", by),
        Fate::Answered(by) => ("answered", by),
        Fate::Rejected(condition, by) => {
            out.push_str("rejected ");
            (condition.as_str(), by)
        }
    };
    let _ = write!(out, "{what} by {by}");
}

fn origin(out: &mut String, origin: &Origin) {
    let _ = match origin {
        Origin::Peer => write!(out, "sent"),
        Origin::Forwarded(number) => write!(out, "forwarded from #{number}"),
        Origin::Rewritten(number, by) => write!(out, "rewritten from #{number} by {by}"),
        Origin::Made(0, by) => write!(out, "made by {by}"),
        Origin::Made(number, by) => write!(out, "made by {by} in answer to #{number}"),
    };
}

fn latency(out: &mut String, pair: Pair) {
    let _ = write!(out, ", {}.{:03} ms after its request", pair.micros / 1000, pair.micros % 1000);
    if pair.request > 0 {
        let _ = write!(out, " #{}", pair.request);
    }
}

/// Control characters, which peers and scripts may have put in, are written as escapes; what is too long is cut.
pub(super) fn one_line(text: String) -> String {
    if text.len() <= COMMENT_BYTES && !text.contains(odd) {
        return text;
    }
    let mut out = String::new();
    for c in text.chars() {
        if out.len() >= COMMENT_BYTES {
            out.push('…');
            break;
        }
        if odd(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

fn odd(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_stay_on_one_line() {
        assert_eq!(one_line("a\r\nb\u{202e}".to_owned()), "a\\u{d}\\u{a}b\\u{202e}");
        assert!(one_line("é".repeat(COMMENT_BYTES)).len() <= COMMENT_BYTES + 4);
    }
}
