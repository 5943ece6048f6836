//! What a session did, as a line of a book would say it.
//!
//! Takes acts and notes, gives text that could be pasted into a book. The other way round is `parse`.

use crate::session::{Act, How, Note};
use crate::xmpp::Side;

/// The letter of a peer.
pub(super) const fn letter(side: Side) -> &'static str {
    match side {
        Side::Client => "C",
        Side::Server => "S",
    }
}

/// Something a session asks for.
pub(super) fn act(act: &Act) -> String {
    match act {
        Act::Dial { domain } => format!("dial {domain}"),
        Act::StartTls(side) => format!("tls {}", letter(*side)),
        Act::Close(side, How::Clean) => format!("close {} clean", letter(*side)),
        Act::Close(side, How::Abort) => format!("close {} abort", letter(*side)),
        // What is about the vault or the store is the shell's, no book says it.
        other => format!("({other:?})"),
    }
}

/// What a `note` line's parts are looked for in, and its kind; none for what no book asks for in this way.
pub(super) fn note(note: &Note) -> Option<(&'static str, String)> {
    Some(match note {
        Note::Hint(text) => ("hint", text.clone()),
        Note::Mechanism(text) => ("mechanism", text.clone()),
        Note::ScriptError(text) => ("script-error", text.clone()),
        Note::Log(log) => ("log", format!("{} {} {}", log.level, log.script, log.text)),
        Note::Joined { domain, stripped } => ("joined", format!("{domain} stripped={}", stripped.join(","))),
        Note::StreamError { side, condition, text } => {
            ("stream-error", format!("{} {} {text}", letter(*side), condition.name()))
        }
        Note::Resumed { jid, session } => ("resumed", format!("{jid} session={session}")),
        Note::Over(tally) => ("over", format!("{tally:?}")),
        _ => return None,
    })
}

/// A note as a line; none for what no line says.
pub(super) fn line(of: &Note) -> Option<String> {
    match of {
        Note::Finding { side, finding, .. } => {
            Some(format!("finding {} {} {}", letter(*side), finding.code, quoted(&finding.text)))
        }
        Note::Bound(jid) => Some(format!("bound {jid}")),
        // Hundreds of counters: nobody wants to read them among others.
        Note::Over(_) => Some("note over".to_owned()),
        other => note(other).map(|(kind, text)| format!("note {kind} {}", quoted(&text))),
    }
}

/// In quotes; of a text with quotes in it, the longest piece that can stand in some.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.split('"').max_by_key(|piece| piece.len()).unwrap_or_default().trim())
}

#[cfg(test)]
mod tests {
    use super::super::parse::{StepKind, step};
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let texts = ["an iq \"5\" has no child", "plain"];
        for text in texts {
            let written = line(&Note::ScriptError(text.to_owned())).unwrap();
            let StepKind::Note(_, parts) = step(&written).unwrap() else { panic!("{written}") };
            assert!(!parts.is_empty() && parts.iter().all(|part| text.contains(part.as_str())), "{written}");
        }
        for of in [Act::Close(Side::Client, How::Abort), Act::Close(Side::Server, How::Clean)] {
            assert!(matches!(step(&act(&of)), Ok(StepKind::Close(side, how)) if of == Act::Close(side, how)));
        }
        let dial = Act::Dial { domain: "example.org".to_owned() };
        assert!(matches!(step(&act(&dial)), Ok(StepKind::Dial(domain)) if domain == "example.org"));
        assert!(matches!(step(&act(&Act::StartTls(Side::Client))), Ok(StepKind::Tls { side: Side::Client, .. })));
    }
}
