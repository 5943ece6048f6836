//! Answers that somebody has written down: to an element of a namespace, always the same.

use super::{Answer, Target};
use crate::xml::{Element, parse_str};
use crate::xmpp::{Condition, ErrorType, StanzaError, ns};

/// One such answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fixed {
    /// The namespace of the payload that it answers.
    pub(super) namespace: String,
    /// And its name.
    pub(super) element: String,
    /// What is said.
    pub(super) said: Said,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Result(Option<Element>),
    Error(StanzaError),
}

impl Fixed {
    /// Reads an answer as it was written: an `<iq/>` of which only what is in it counts, or the payload of a result.
    pub(super) fn read(namespace: &str, element: &str, text: &str) -> Result<Self, String> {
        let root = parse_str(without_declaration(text))?;
        let said = if root.is(ns::CLIENT, "iq") { of_iq(&root)? } else { Said::Result(Some(payload(&root)?)) };
        Ok(Self { namespace: namespace.to_owned(), element: element.to_owned(), said })
    }

    /// What is said to this target: only the account and the server are ours to speak for.
    pub(super) fn answer(&self, target: Target) -> Answer {
        match (target, &self.said) {
            (Target::Other, _) => Answer::Forward,
            (_, Said::Result(payload)) => Answer::Result(payload.clone()),
            (_, Said::Error(error)) => Answer::Error(error.clone()),
        }
    }
}

/// Editors write `<?xml version="1.0"?>` and a byte order mark in front.
fn without_declaration(text: &str) -> &str {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    match text.strip_prefix("<?xml ").and_then(|rest| rest.split_once("?>")) {
        Some((_, rest)) => rest,
        None => text,
    }
}

/// Whoever asks knows a payload by its namespace.
fn payload(element: &Element) -> Result<Element, String> {
    if matches!(element.ns.as_str(), "" | ns::CLIENT) {
        return Err(format!("<{}> needs an xmlns of its own", element.name));
    }
    Ok(element.clone())
}

fn of_iq(iq: &Element) -> Result<Said, String> {
    let children: Vec<&Element> = iq.children().collect();
    match (iq.attr("type"), children.as_slice()) {
        (Some("result"), []) => Ok(Said::Result(None)),
        (Some("result"), [one]) => payload(one).map(|one| Said::Result(Some(one))),
        (Some("result"), _) => Err("a result has one child at most".to_owned()),
        (Some("error"), [one]) if one.is(ns::CLIENT, "error") => of_error(one).map(Said::Error),
        (Some("error"), _) => Err("an error has one child, <error/>".to_owned()),
        _ => Err("the type of an <iq/> that answers is result or error".to_owned()),
    }
}

fn of_error(error: &Element) -> Result<StanzaError, String> {
    let mut said = None;
    let mut text = None;
    for child in error.children() {
        match (child.ns.as_str(), child.name.as_str()) {
            (ns::STANZA_ERRORS, "text") => text = Some(child.text()),
            (ns::STANZA_ERRORS, name) if said.is_none() => {
                said =
                    Some(Condition::from_name(name).ok_or_else(|| format!("<{name}/> is no condition of RFC 6120"))?);
            }
            (ns::STANZA_ERRORS, _) => return Err("an error has one condition".to_owned()),
            _ => return Err(format!("<{}/> cannot be said in an error here", child.name)),
        }
    }
    let condition = said.ok_or_else(|| format!("an error has a condition of the namespace {}", ns::STANZA_ERRORS))?;
    let kind = match error.attr("type") {
        Some(name) => ErrorType::from_name(name).ok_or_else(|| format!("{name} is no type of an error"))?,
        None => condition.default_type(),
    };
    Ok(StanzaError { kind, text, by: error.attr("by").map(str::to_owned), ..StanzaError::new(condition) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Answers;
    use crate::answer::tests::{asks, sets};

    const ASKED: &str = "<motd xmlns='urn:example:motd'/>";

    fn answering(text: &str) -> Answers {
        let mut answers = Answers::default();
        answers.fix("urn:example:motd", "motd", text).unwrap();
        answers
    }

    #[test]
    fn what_is_written_is_said() {
        let motd = "<motd xmlns='urn:example:motd'>Hi</motd>";
        for (text, said) in [
            (motd.to_owned(), motd),
            (format!("\u{feff}<?xml version='1.0'?>\n{motd}\n"), motd),
            (format!("<iq type='result'>{motd}</iq>"), motd),
            (format!("<iq xmlns='jabber:client' type='result' id='x'> {motd} </iq>"), motd),
            ("<iq type='result'/>".to_owned(), "empty"),
            (
                "<iq type='error'><error type='wait'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
                 <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>No</text></error></iq>"
                    .to_owned(),
                "wait gone (No)",
            ),
            (
                "<iq type='error'><error><forbidden xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
                    .to_owned(),
                "auth forbidden",
            ),
        ] {
            let answers = answering(&text);
            assert_eq!(asks(&answers, Target::Server, ASKED), said, "{text}");
            assert_eq!(sets(&answers, Target::Account, ASKED), said, "{text}");
            assert_eq!(asks(&answers, Target::Other, ASKED), "forward");
            assert_eq!(asks(&answers, Target::Server, "<other xmlns='urn:example:motd'/>"), "forward");
        }
    }

    #[test]
    fn what_cannot_be_said_is_an_error() {
        let condition = "<gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>";
        for (text, why) in [
            ("", "there is no element, at byte 0"),
            ("<a xmlns='u'>", "the element does not end, at byte 13"),
            ("<motd/>", "<motd> needs an xmlns of its own"),
            ("<iq type='result'><motd/></iq>", "<motd> needs an xmlns of its own"),
            ("<iq type='result'><a xmlns='u'/><b xmlns='u'/></iq>", "a result has one child at most"),
            ("<iq type='get'><a xmlns='u'/></iq>", "the type of an <iq/> that answers is result or error"),
            ("<iq type='error'/>", "an error has one child, <error/>"),
            (
                "<iq type='error'><error/></iq>",
                "an error has a condition of the namespace urn:ietf:params:xml:ns:xmpp-stanzas",
            ),
            (&format!("<iq type='error'><error>{condition}{condition}</error></iq>"), "an error has one condition"),
            (&format!("<iq type='error'><error type='no'>{condition}</error></iq>"), "no is no type of an error"),
            (
                &format!("<iq type='error'><error>{condition}<a xmlns='u'/></error></iq>"),
                "<a/> cannot be said in an error here",
            ),
            (
                &format!("<iq type='error'><error>{}</error></iq>", condition.replace("gone", "went")),
                "<went/> is no condition of RFC 6120",
            ),
        ] {
            let read = Fixed::read("urn:example:motd", "motd", text);
            assert_eq!(read.unwrap_err(), why, "{text}");
        }
    }

    #[test]
    fn it_comes_before_what_the_namespace_has() {
        let mut answers = answering("<motd xmlns='urn:example:motd'/>");
        answers.fix("urn:xmpp:ping", "ping", "<x xmlns='urn:x'/>").unwrap();
        answers.set("urn:xmpp:ping", crate::answer::Mode::Local).unwrap();
        assert_eq!(asks(&answers, Target::Server, "<ping xmlns='urn:xmpp:ping'/>"), "<x xmlns='urn:x'/>");
        assert!(answers.alters_info() && !answers.is_empty());
    }
}
