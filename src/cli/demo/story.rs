//! What the demo's clients say to each other and to the server, and what must come of it: one table, played in order.
//!
//! Takes a running proxy and its notes, gives each step as it was to whoever shows it, and stops at the first that is
//! not as it should be. What is told of iqtap's doings is taken from its notes.

use super::client::{Client, Received, Trouble};
use super::notes::{Notes, Verdict};
use super::{DOMAIN, SCRIPT_NAME};
use crate::loopback::SAMPLE_PASSWORD;
use crate::xml::Element;
use crate::xmpp::ns;
use std::net::SocketAddr;

/// Who a client's words come to, and how romeo gets into it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum With {
    /// Juliet sends a request to the server, and is answered.
    Server,
    /// Romeo sends this request to juliet; what she sends is the answer that comes back to him.
    Romeo(&'static str),
    /// Nothing comes of it: a ping sent after it is answered next.
    Nobody,
}

/// What must come back.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Expected {
    /// `result` or `error`.
    kind: &'static str,
    /// The defined condition, if it is an error.
    condition: Option<&'static str>,
    /// The legacy code.
    code: Option<&'static str>,
    /// Expanded name of the payload.
    payload: Option<(&'static str, &'static str)>,
}

const NOTHING: Expected = Expected { kind: "result", condition: None, code: None, payload: None };

const fn result(payload: Option<(&'static str, &'static str)>) -> Expected {
    Expected { payload, ..NOTHING }
}

const fn error(condition: &'static str) -> Expected {
    Expected { kind: "error", condition: Some(condition), ..NOTHING }
}

/// One exchange.
struct Scene {
    title: &'static str,
    /// What is shown under the title.
    about: &'static str,
    with: With,
    /// What juliet sends.
    sends: &'static str,
    expected: Expected,
    /// What iqtap must have done, and by which rule or script.
    fate: &'static str,
    by: &'static str,
}

const ASKS: &str = "<iq type='get' id='ask' to='juliet@localhost/balcony'><query xmlns='jabber:iq:version'/></iq>";

const SCENES: &[Scene] = &[
    Scene {
        title: "What can the server do? (service discovery)",
        about: "",
        with: With::Server,
        sends: "<iq type='get' id='disco-1' to='localhost'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
        expected: result(Some((ns::DISCO_INFO, "query"))),
        fate: "passed",
        by: "",
    },
    Scene {
        title: "A nickname for the vCard: an empty result means that it is done",
        about: "",
        with: With::Server,
        sends: "<iq type='set' id='vcard-1'><vCard xmlns='vcard-temp'><NICKNAME>Jule</NICKNAME></vCard></iq>",
        expected: result(None),
        fate: "passed",
        by: "",
    },
    Scene {
        title: "The block list, which this server does not have",
        about: "The error is the server's own, legacy code and all; iqtap changes nothing about it.",
        with: With::Server,
        sends: "<iq type='get' id='block-1'><blocklist xmlns='urn:xmpp:blocking'/></iq>",
        expected: Expected {
            code: Some("501"),
            payload: Some((ns::BLOCKING, "blocklist")),
            ..error("feature-not-implemented")
        },
        fate: "passed",
        by: "",
    },
    Scene {
        title: "An iq without an id (rule 1)",
        about: "",
        with: With::Server,
        sends: "<iq type='get' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>",
        expected: Expected { payload: Some((ns::PING, "ping")), ..error("bad-request") },
        fate: "rejected",
        by: "rule1",
    },
    Scene {
        title: "A result without an id (rule 1): a result must not be answered (rule 4), so it ends here",
        about: "",
        with: With::Nobody,
        sends: "<iq type='result' to='romeo@localhost/orchard'/>",
        expected: NOTHING,
        fate: "dropped",
        by: "rule1",
    },
    Scene {
        title: "An iq of a type that does not exist (rule 2)",
        about: "",
        with: With::Server,
        sends: "<iq type='subscribe' id='type-1' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>",
        expected: Expected { payload: Some((ns::PING, "ping")), ..error("bad-request") },
        fate: "rejected",
        by: "rule2",
    },
    Scene {
        title: "A get with two children (rule 5)",
        about: "",
        with: With::Server,
        sends: "<iq type='get' id='two-1' to='romeo@localhost/orchard'><ping xmlns='urn:xmpp:ping'/><query xmlns='jabber:iq:version'/></iq>",
        expected: error("bad-request"),
        fate: "rejected",
        by: "rule5",
    },
    Scene {
        title: "A result with two children (rule 6)",
        about: "Romeo asks and juliet answers wrongly. Dropping it would leave him waiting: it is turned into an error.",
        with: With::Romeo(ASKS),
        sends: "<iq type='result' id='ask' to='romeo@localhost/orchard'><query xmlns='jabber:iq:version'><name>Swift</name><version>4</version></query><os xmlns='urn:example:os'/></iq>",
        expected: error("undefined-condition"),
        fate: "rewritten",
        by: "rule6",
    },
    Scene {
        title: "An error that does not say which (rule 7)",
        about: "Romeo asks again; the missing <error/> is put in.",
        with: With::Romeo(ASKS),
        sends: "<iq type='error' id='ask' to='romeo@localhost/orchard'><query xmlns='jabber:iq:version'/></iq>",
        expected: Expected { payload: Some((ns::VERSION, "query")), ..error("undefined-condition") },
        fate: "rewritten",
        by: "rule7",
    },
    Scene {
        title: "A request that a script rejects",
        about: super::SCRIPT,
        with: With::Server,
        sends: "<iq type='set' id='priv-1'><query xmlns='jabber:iq:private'><notes xmlns='urn:example:notes'>Meet at nine.</notes></query></iq>",
        expected: Expected { payload: Some((ns::PRIVATE, "query")), ..error("not-allowed") },
        fate: "rejected",
        by: SCRIPT_NAME,
    },
];

/// Who said a line of the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// Juliet's client sent it.
    Client,
    /// It came to juliet from the server's side.
    Server,
    /// Romeo's client sent it.
    RomeoClient,
    /// It came to romeo.
    RomeoServer,
}

/// One exchange as it was.
pub(super) struct Played {
    /// From 1.
    pub(super) number: usize,
    /// What it is about.
    pub(super) title: &'static str,
    /// More of that; empty for none.
    pub(super) about: &'static str,
    /// What was said, in order.
    pub(super) lines: Vec<(Who, String)>,
    /// What iqtap did with what juliet sent.
    pub(super) verdict: Verdict,
}

/// Plays all scenes through the proxy at `addr`.
///
/// # Errors
/// The first thing that is not as it should be.
pub(super) async fn play(addr: SocketAddr, notes: &mut Notes, show: &mut impl FnMut(&Played)) -> Result<(), Trouble> {
    let mut juliet = Client::login(addr, "juliet", SAMPLE_PASSWORD, "balcony").await?;
    let mut romeo = Client::login(addr, "romeo", SAMPLE_PASSWORD, "orchard").await?;
    for (scene, number) in SCENES.iter().zip(1..) {
        let trouble = |why: Trouble| format!("step {number} ({}): {why}", scene.title);
        let (lines, answer) = exchange(scene, &mut juliet, &mut romeo).await.map_err(trouble)?;
        let verdict = notes.verdict(scene.sends).await.map_err(trouble)?;
        let played = Played { number, title: scene.title, about: scene.about, lines, verdict };
        show(&played);
        check(scene, answer.as_ref(), &played.verdict).map_err(trouble)?;
    }
    juliet.close().await;
    romeo.close().await;
    Ok(())
}

/// Sends, and receives what must come. Gives what was said, and the answer.
async fn exchange(
    scene: &Scene,
    juliet: &mut Client,
    romeo: &mut Client,
) -> Result<(Vec<(Who, String)>, Option<Element>), Trouble> {
    let mut lines = Vec::new();
    if let With::Romeo(request) = scene.with {
        romeo.send(request).await?;
        lines.push((Who::RomeoClient, request.to_owned()));
        lines.push((Who::Server, juliet.receive().await?.text));
    }
    juliet.send(scene.sends).await?;
    lines.push((Who::Client, scene.sends.to_owned()));
    let Received { text, element } = match scene.with {
        With::Server => juliet.receive().await?,
        With::Romeo(_) => romeo.receive().await?,
        With::Nobody => return nothing_came(juliet).await.map(|()| (lines, None)),
    };
    lines.push((if scene.with == With::Server { Who::Server } else { Who::RomeoServer }, text));
    Ok((lines, Some(element)))
}

/// The next thing to come is the answer to a ping.
async fn nothing_came(client: &mut Client) -> Result<(), Trouble> {
    client.send(&format!("<iq type='get' id='ping-1' to='{DOMAIN}'><ping xmlns='{}'/></iq>", ns::PING)).await?;
    let next = client.receive().await?;
    if next.element.attr("id") == Some("ping-1") { Ok(()) } else { Err(format!("something came: {}", next.text)) }
}

fn check(scene: &Scene, answer: Option<&Element>, verdict: &Verdict) -> Result<(), Trouble> {
    if let Some(answer) = answer {
        let error = answer.child(ns::CLIENT, "error");
        let named = |name: &str| error.is_some_and(|e| e.child(ns::STANZA_ERRORS, name).is_some());
        let payload = answer.children().find(|c| !c.is(ns::CLIENT, "error")).map(|c| (c.ns.as_str(), c.name.as_str()));
        let Expected { kind, condition, code, payload: wanted } = scene.expected;
        let right = answer.attr("type") == Some(kind)
            && error.is_some() == condition.is_some()
            && condition.is_none_or(named)
            && error.and_then(|e| e.attr("code")) == code
            && payload == wanted;
        if !right {
            let condition = condition.map(|c| format!(" {c}")).unwrap_or_default();
            return Err(format!(
                "the answer should have been {kind}{condition}, with payload {wanted:?} and code {code:?}"
            ));
        }
    }
    if verdict.fate != scene.fate || !verdict.by.starts_with(scene.by) {
        let named = |fate: &str, by: &str| if by.is_empty() { fate.to_owned() } else { format!("{fate} ({by})") };
        let (wanted, got) = (named(scene.fate, scene.by), named(verdict.fate, &verdict.by));
        return Err(format!("iqtap's verdict should have been {wanted}, not {got}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{SCENES, check};
    use crate::cli::demo::notes::Verdict;
    use crate::xml::parse_str;

    #[test]
    fn what_is_not_as_it_should_be_is_said() {
        let block_list = &SCENES[2];
        let passed = Verdict { fate: "passed", ..Verdict::default() };
        let answer = |code: &str| {
            let error = "<feature-not-implemented xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>";
            let list = "<blocklist xmlns='urn:xmpp:blocking'/>";
            parse_str(&format!("<iq type='error'>{list}<error type='cancel'{code}>{error}</error></iq>")).unwrap()
        };
        assert_eq!(check(block_list, Some(&answer(" code='501'")), &passed), Ok(()));
        let why = check(block_list, Some(&answer("")), &passed).unwrap_err();
        assert!(why.contains("feature-not-implemented") && why.contains("501"), "{why}");
        let dropped = Verdict { fate: "dropped", by: "rule1".to_owned(), ..Verdict::default() };
        let why = check(block_list, Some(&answer(" code='501'")), &dropped).unwrap_err();
        assert!(why.contains("dropped (rule1)"), "{why}");
    }
}
