//! What happened to a session beside its items, as comments: there and back.
//!
//! Takes [`Happened`], gives one short line, and the other way round. Each stands on a packet of its own: an IPv4 header with nothing
//! behind it, from the client's address to iqtap's, of protocol 253 (RFC 3692: for whoever wants to try something). It is none
//! of TCP, for a segment that carries nothing and acknowledges nothing new is a fault to whoever analyses the connection.
//! Must not quote a payload, nor a secret: a seed is told when nothing depends on it any more.
//!
//! In ABNF, as in `comment`:
//!
//! ```text
//! event    = "session " number ": " happened
//! happened = "begins at " number " under policy " number ", with an iqtap that began at " number   ; microseconds since 1970
//!          / "the server was reached" / "the server was not reached: " text
//!          / "TLS stands with the " peer ": " tls / "TLS failed with the " peer ": " text
//!          / "the connection of the " peer " ended"
//!          / "refused from the " peer ": " condition ": " text     ; what it sent was no item
//!          / "bytes of the " peer " came before TLS"
//!          / "an item of the " peer " waits"                      ; it has come, and stands further below
//!          / "a younger connection was let resume what it asks for" / "another connection goes on with it"
//!          / "the store has done #" number / "the store has failed #" number ": " text
//!          / "the store has no room for #" number ": " number
//!          / "policy " number " is in force" / "iqtap is to stop"
//!          / "is over, having asked " number " of the store" ["; its seed was " 16HEXDIG]
//! peer     = "client" / "server"
//! ```

use super::comment;
use super::read::tls_info;
use crate::session::Happened;
use crate::xmpp::{Side, StreamCondition, Timestamp};
use etherparse::{IpNumber, Ipv4Header};
use std::io;

/// RFC 3692 §2.1.
const PROTOCOL: IpNumber = IpNumber(253);

/// The packet that bears the comment.
pub(super) fn packet(session: u64) -> io::Result<Vec<u8>> {
    let [.., x, y] = session.to_be_bytes();
    let mut ip = Ipv4Header::new(0, 64, PROTOCOL, [127, 1, x, y], [127, 0, 0, 1]).map_err(io::Error::other)?;
    ip.header_checksum = ip.calc_header_checksum();
    Ok(ip.to_bytes().to_vec())
}

/// The comment.
pub(super) fn write(session: u64, happened: &Happened) -> String {
    let what = match happened {
        Happened::Began { at, since, policy } => {
            format!("begins at {} under policy {policy}, with an iqtap that began at {}", at.0, since.0)
        }
        Happened::Dialed => "the server was reached".to_owned(),
        Happened::DialFailed(why) => format!("the server was not reached: {why}"),
        Happened::TlsUp(side, info) => format!("TLS stands with the {}: {}", side.name(), comment::tls(info)),
        Happened::TlsFailed(side, why) => format!("TLS failed with the {}: {why}", side.name()),
        Happened::Eof(side) => format!("the connection of the {} ended", side.name()),
        Happened::Refused(side, condition, why) => {
            format!("refused from the {}: {}: {why}", side.name(), condition.name())
        }
        Happened::Injected(side) => format!("bytes of the {} came before TLS", side.name()),
        Happened::Waits(side) => format!("an item of the {} waits", side.name()),
        Happened::Superseded => "a younger connection was let resume what it asks for".to_owned(),
        Happened::Surrender => "another connection goes on with it".to_owned(),
        Happened::Stored(number) => format!("the store has done #{number}"),
        Happened::NotStored(number, why) => format!("the store has failed #{number}: {why}"),
        Happened::StoreFull(number, most) => format!("the store has no room for #{number}: {most}"),
        Happened::Policy(number) => format!("policy {number} is in force"),
        Happened::Stop => "iqtap is to stop".to_owned(),
        Happened::Over { asked, seed: None } => format!("is over, having asked {asked} of the store"),
        Happened::Over { asked, seed: Some(seed) } => {
            format!("is over, having asked {asked} of the store; its seed was {seed:016x}")
        }
    };
    comment::one_line(format!("session {session}: {what}"))
}

/// Reads one; `None` if it is no such comment.
pub(super) fn read(comment: &str) -> Option<(u64, Happened)> {
    let (session, what) = comment.strip_prefix("session ")?.split_once(": ")?;
    Some((session.parse().ok()?, happened(what)?))
}

fn happened(what: &str) -> Option<Happened> {
    let plain = match what {
        "the server was reached" => Some(Happened::Dialed),
        "a younger connection was let resume what it asks for" => Some(Happened::Superseded),
        "another connection goes on with it" => Some(Happened::Surrender),
        "iqtap is to stop" => Some(Happened::Stop),
        _ => None,
    };
    plain.or_else(|| of_the_store(what)).or_else(|| of_a_peer(what)).or_else(|| of_iqtap(what))
}

fn of_iqtap(what: &str) -> Option<Happened> {
    if let Some(rest) = what.strip_prefix("begins at ") {
        let (at, rest) = rest.split_once(" under policy ")?;
        let (policy, since) = rest.split_once(", with an iqtap that began at ")?;
        let time = |text: &str| text.parse().ok().map(Timestamp);
        return Some(Happened::Began { at: time(at)?, since: time(since)?, policy: policy.parse().ok()? });
    }
    if let Some(rest) = what.strip_prefix("is over, having asked ") {
        let (asked, rest) = rest.split_once(" of the store")?;
        let seed = match rest.strip_prefix("; its seed was ") {
            Some(seed) => Some(u64::from_str_radix(seed, 16).ok()?),
            None if rest.is_empty() => None,
            None => return None,
        };
        return Some(Happened::Over { asked: asked.parse().ok()?, seed });
    }
    if let Some(why) = what.strip_prefix("the server was not reached: ") {
        return Some(Happened::DialFailed(why.to_owned()));
    }
    let number = what.strip_prefix("policy ")?.strip_suffix(" is in force")?;
    Some(Happened::Policy(number.parse().ok()?))
}

fn of_the_store(what: &str) -> Option<Happened> {
    let what = what.strip_prefix("the store has ")?;
    if let Some(number) = what.strip_prefix("done #") {
        return Some(Happened::Stored(number.parse().ok()?));
    }
    let (what, rest) = what.split_once('#')?;
    let (number, rest) = rest.split_once(": ")?;
    let number = number.parse().ok()?;
    match what {
        "failed " => Some(Happened::NotStored(number, rest.to_owned())),
        "no room for " => Some(Happened::StoreFull(number, rest.parse().ok()?)),
        _ => None,
    }
}

fn of_a_peer(what: &str) -> Option<Happened> {
    if let Some((side, tls)) = what.strip_prefix("TLS stands with the ").and_then(|rest| rest.split_once(": ")) {
        return Some(Happened::TlsUp(peer(side)?, tls_info(tls)?));
    }
    if let Some((side, why)) = what.strip_prefix("TLS failed with the ").and_then(|rest| rest.split_once(": ")) {
        return Some(Happened::TlsFailed(peer(side)?, why.to_owned()));
    }
    if let Some((side, rest)) = what.strip_prefix("refused from the ").and_then(|rest| rest.split_once(": ")) {
        let (condition, why) = rest.split_once(": ")?;
        return Some(Happened::Refused(peer(side)?, StreamCondition::from_name(condition)?, why.to_owned()));
    }
    let between = |start, end| what.strip_prefix(start)?.strip_suffix(end).and_then(peer);
    None.or_else(|| between("the connection of the ", " ended").map(Happened::Eof))
        .or_else(|| between("bytes of the ", " came before TLS").map(Happened::Injected))
        .or_else(|| between("an item of the ", " waits").map(Happened::Waits))
}

fn peer(name: &str) -> Option<Side> {
    [Side::Client, Side::Server].into_iter().find(|side| side.name() == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::TlsInfo;

    #[test]
    fn what_was_written_is_read() {
        let info = TlsInfo {
            version: "TLSv1.3".to_owned(),
            cipher: "TLS13_AES".to_owned(),
            name: Some("example.org".to_owned()),
            alpn: None,
        };
        let why = || "it says: \"no\", is over".to_owned();
        let mut all = vec![
            Happened::Began { at: Timestamp(7), since: Timestamp(5), policy: 3 },
            Happened::Dialed,
            Happened::DialFailed(why()),
            Happened::Superseded,
            Happened::Surrender,
            Happened::Stored(3),
            Happened::NotStored(3, why()),
            Happened::StoreFull(4, 256),
            Happened::Policy(2),
            Happened::Stop,
            Happened::Over { asked: 3, seed: None },
            Happened::Over { asked: 0, seed: Some(0x1234) },
        ];
        for side in [Side::Client, Side::Server] {
            all.extend([
                Happened::TlsUp(side, info.clone()),
                Happened::TlsFailed(side, why()),
                Happened::Eof(side),
                Happened::Injected(side),
                Happened::Waits(side),
            ]);
            all.extend(StreamCondition::ALL.iter().map(|condition| Happened::Refused(side, *condition, why())));
        }
        for happened in all {
            let comment = write(12, &happened);
            assert_eq!(read(&comment), Some((12, happened)), "{comment}");
        }
    }

    #[test]
    fn other_comments_are_none() {
        for text in [
            "",
            "session 1",
            "session x: is over",
            "session 1: is over, having asked 3 of the store; its seed was",
            "session 1: x",
            "#1",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read(&comment::hello(1, Side::Client, "[::1]:40000", None)), None);
    }
}
