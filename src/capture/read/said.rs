//! What our own packet comments say: the way back from `comment`.
//!
//! Takes a comment of a capture that iqtap has made, gives what it tells of an item. A comment that says anything else tells nothing:
//! nothing is made up. Texts of peers stand in quotes in comments, and what stands in quotes is passed over here.

use super::Ours;
use crate::rules::{Finding, Rule, Severity};
use crate::session::{Dir, Fate, Origin, Pair, TlsInfo};
use crate::xmpp::Side;

/// What the comment of an item tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// Counts the items of the session, from 1.
    pub number: u64,
    /// The leg.
    pub side: Side,
    /// Which way on it.
    pub dir: Dir,
    /// Of what came in: what became of it.
    pub fate: Fate,
    /// Of what went out: where it comes from.
    pub origin: Origin,
    /// Of an IQ answer: what it answers.
    pub pair: Option<Pair>,
    /// What scripts tagged it with.
    pub tags: Vec<String>,
    /// What was found in it.
    pub findings: Vec<Finding>,
}

/// Reads the comment of an item; `None` if it is no such comment.
pub(super) fn item(comment: &str) -> Option<Story> {
    let (head, findings) = comment.split_at(findings(comment).first().map_or(comment.len(), |found| found.at));
    let rest = head.strip_prefix('#')?;
    let (number, rest) = rest.split_once(' ')?;
    let (way, rest) = rest.split_once(' ')?;
    let (side, dir) = match way {
        "client->iqtap" => (Side::Client, Dir::In),
        "iqtap->client" => (Side::Client, Dir::Out),
        "server->iqtap" => (Side::Server, Dir::In),
        "iqtap->server" => (Side::Server, Dir::Out),
        _ => return None,
    };
    let (rest, tags) = match rest.rsplit_once(", tagged ") {
        Some((rest, tags)) => (rest, tags.split(' ').map(str::to_owned).collect()),
        None => (rest, Vec::new()),
    };
    let (what, pair) = match rest.rsplit_once(", ").and_then(|(what, pair)| Some((what, latency(pair)?))) {
        Some((what, pair)) => (what, Some(pair)),
        None => (rest, None),
    };
    let (fate, origin) = match dir {
        Dir::In => (fate(what)?, Origin::Peer),
        Dir::Out => (Fate::Passed, origin(what)?),
    };
    let findings = found(findings);
    Some(Story { number: number.parse().ok()?, side, dir, fate, origin, pair, tags, findings })
}

/// Reads the comment on the first packet of a conversation.
pub(super) fn hello(comment: &str, section: u32) -> Option<Ours> {
    let (session, rest) = comment.strip_prefix("session ")?.split_once(", ")?;
    let (leg, rest) = rest.split_once(" leg, client at ")?;
    let side = match leg {
        "client" => Side::Client,
        "server" => Side::Server,
        _ => return None,
    };
    let (client, tls) = rest.split_once(", ")?;
    let tls = if tls == "no TLS" { None } else { Some(tls_info(tls)?) };
    Some(Ours { section, session: session.parse().ok()?, side, client: client.to_owned(), tls })
}

/// Whether a conversation's end says that it goes on in another one.
pub(super) fn goes_on(comment: &str) -> bool {
    comment == "goes on behind TLS"
}

/// `TLSv1.3 TLS13_AES_128_GCM_SHA256 for example.org, ALPN xmpp-client`
pub(in super::super) fn tls_info(text: &str) -> Option<TlsInfo> {
    let (text, alpn) = match text.rsplit_once(", ALPN ") {
        Some((text, alpn)) => (text, Some(alpn.to_owned())),
        None => (text, None),
    };
    let (text, name) = match text.split_once(" for ") {
        Some((text, name)) => (text, Some(name.to_owned())),
        None => (text, None),
    };
    let (version, cipher) = text.split_once(' ')?;
    Some(TlsInfo { version: version.to_owned(), cipher: cipher.to_owned(), name, alpn })
}

/// `12.345 ms after its request #9`
fn latency(text: &str) -> Option<Pair> {
    let (time, request) = text.split_once(" ms after its request")?;
    let (whole, part) = time.split_once('.')?;
    let request = match request.strip_prefix(" #") {
        Some(number) => number.parse().ok()?,
        None if request.is_empty() => 0,
        None => return None,
    };
    if part.len() != 3 {
        return None;
    }
    let micros = whole.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(part.parse().ok()?)?;
    Some(Pair { request, micros })
}

fn fate(text: &str) -> Option<Fate> {
    Some(match text {
        "passed" => Fate::Passed,
        "handled by iqtap" => Fate::Handled,
        _ => match text.split_once(' ')? {
            ("rejected", rest) => {
                let (condition, by) = rest.split_once(" by ")?;
                Fate::Rejected(condition.to_owned(), by.to_owned())
            }
            ("rewritten", by) => Fate::Rewritten(by.strip_prefix("by ")?.to_owned()),
            ("dropped", by) => Fate::Dropped(by.strip_prefix("by ")?.to_owned()),
            ("answered", by) => Fate::Answered(by.strip_prefix("by ")?.to_owned()),
            _ => return None,
        },
    })
}

fn origin(text: &str) -> Option<Origin> {
    if text == "sent" {
        return Some(Origin::Peer);
    }
    if let Some(number) = text.strip_prefix("forwarded from #") {
        return Some(Origin::Forwarded(number.parse().ok()?));
    }
    if let Some((number, by)) = text.strip_prefix("rewritten from #").and_then(|rest| rest.split_once(" by ")) {
        return Some(Origin::Rewritten(number.parse().ok()?, by.to_owned()));
    }
    let by = text.strip_prefix("made by ")?;
    let answered = by.rsplit_once(" in answer to #").and_then(|(by, number)| Some((by, number.parse().ok()?)));
    Some(match answered {
        Some((by, number)) => Origin::Made(number, by.to_owned()),
        None => Origin::Made(0, by.to_owned()),
    })
}

/// Where a finding begins, and what its first words are.
struct Start<'a> {
    at: usize,
    code: &'a str,
    severity: Severity,
    text: &'a str,
}

/// The places where findings begin: `; rule5 violation: `, outside of quotes.
fn findings(comment: &str) -> Vec<Start<'_>> {
    let mut starts = Vec::new();
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in comment.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ';' if !quoted => starts.extend(comment.get(at..).and_then(|rest| start(at, rest))),
            _ => {}
        }
    }
    starts
}

fn start(at: usize, rest: &str) -> Option<Start<'_>> {
    let (code, rest) = rest.strip_prefix("; ")?.split_once(' ')?;
    let (severity, text) = rest.split_once(": ")?;
    let severity = match severity {
        "violation" => Severity::Violation,
        "info" => Severity::Info,
        _ => return None,
    };
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (!code.is_empty() && code.bytes().all(plain)).then_some(Start { at, code, severity, text })
}

fn found(text: &str) -> Vec<Finding> {
    let starts = findings(text);
    let ends = starts.iter().skip(1).map(|next| next.at).chain([text.len()]);
    let one = |(start, end): (&Start<'_>, usize)| {
        let behind = text.len() - end;
        let text = start.text.get(..start.text.len() - behind).unwrap_or(start.text);
        let (rule, code) = known(start.code);
        let text = if code == UNKNOWN { format!("{}: {text}", start.code) } else { text.to_owned() };
        Finding { rule, code, severity: start.severity, text }
    };
    starts.iter().zip(ends).map(one).collect()
}

/// Codes that are none of a rule's own, and whose they are.
const OTHERS: [(&str, Option<Rule>); 6] = [
    ("rule7-3920", Some(Rule::ErrorChild)),
    ("late-answer", Some(Rule::Answered)),
    ("iq-table-full", Some(Rule::Answered)),
    ("push-odd", Some(Rule::PushSpoof)),
    ("sm-not-enabled", None),
    ("script-loop", None),
];
/// What a code is called that this version does not know.
const UNKNOWN: &str = "unknown";

fn known(code: &str) -> (Option<Rule>, &'static str) {
    let own = Rule::ALL.into_iter().find(|rule| rule.code() == code).map(|rule| (Some(rule), rule.code()));
    let other = || OTHERS.iter().find(|(known, _)| *known == code).map(|(known, rule)| (*rule, *known));
    own.or_else(other).unwrap_or((None, UNKNOWN))
}

#[cfg(test)]
mod tests {
    use super::super::super::comment;
    use super::*;
    use crate::session::{Seen, What};
    use crate::xmpp::Kind;
    use bytes::Bytes;

    fn seen(dir: Dir, fate: Fate, origin: Origin) -> Seen {
        Seen {
            side: Side::Server,
            dir,
            number: 7,
            what: What::Stanza(Kind::Iq),
            bytes: Bytes::new(),
            stanza: None,
            fate,
            origin,
            findings: Vec::new(),
            pair: None,
            tags: Vec::new(),
        }
    }

    fn back(seen: &Seen) -> Story {
        let Seen { number, side, dir, fate, origin, pair, tags, findings, .. } = seen.clone();
        Story { number, side, dir, fate, origin, pair, tags, findings }
    }

    #[test]
    fn what_was_written_is_read() {
        let by = || "a script, for one.rhai:7 by me".to_owned();
        let fates = [
            Fate::Passed,
            Fate::Handled,
            Fate::Rewritten(by()),
            Fate::Dropped("the script that asked".to_owned()),
            Fate::Answered(by()),
            Fate::Rejected("bad-request".to_owned(), by()),
        ];
        let origins = [
            Origin::Peer,
            Origin::Forwarded(3),
            Origin::Rewritten(3, by()),
            Origin::Made(0, by()),
            Origin::Made(9, "rule5".to_owned()),
        ];
        let ins = fates.map(|fate| seen(Dir::In, fate, Origin::Peer));
        let outs = origins.map(|origin| seen(Dir::Out, Fate::Passed, origin));
        for plain in ins.into_iter().chain(outs) {
            for pair in [None, Some(Pair { request: 5, micros: 12_034 }), Some(Pair { request: 0, micros: 2_000_000 })]
            {
                for tags in [vec![], vec!["slow".to_owned(), "vcard".to_owned()]] {
                    let text = "an iq with the id \"; rule1 violation: \\\" x\" is; so to say".to_owned();
                    let one =
                        Finding { rule: Some(Rule::ErrorChild), code: "rule7-3920", severity: Severity::Info, text };
                    let two = Finding {
                        rule: None,
                        code: "script-loop",
                        severity: Severity::Violation,
                        text: "b".to_owned(),
                    };
                    for findings in [vec![], vec![one.clone()], vec![two.clone(), one.clone()], vec![one, two]] {
                        let whole = Seen { pair, tags: tags.clone(), findings, ..plain.clone() };
                        let comment = comment::item(&whole);
                        assert_eq!(item(&comment), Some(back(&whole)), "{comment}");
                    }
                }
            }
        }
    }

    #[test]
    fn hellos_are_read() {
        let tls = TlsInfo {
            version: "TLSv1.3".to_owned(),
            cipher: "TLS13_AES".to_owned(),
            name: Some("example.org".to_owned()),
            alpn: Some("xmpp-client".to_owned()),
        };
        for tls in [None, Some(tls.clone()), Some(TlsInfo { name: None, ..tls })] {
            let said = tls.as_ref().map(comment::tls);
            let text = comment::hello(12, Side::Server, "[::1]:4000", said.as_deref());
            let read = hello(&text, 1);
            let client = "[::1]:4000".to_owned();
            assert_eq!(read, Some(Ours { section: 1, session: 12, side: Side::Server, client, tls }), "{text}");
        }
    }

    #[test]
    fn other_comments_tell_nothing() {
        for text in [
            "",
            "#",
            "#1",
            "#1 client->iqtap",
            "#1 there passed",
            "#1 client->iqtap lost",
            "hello",
            "#x client->iqtap passed",
            "#12 part 2",
        ] {
            assert_eq!(item(text), None, "{text}");
        }
        assert_eq!(hello("session 1, client leg, no TLS", 1), None);
    }
}
