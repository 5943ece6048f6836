//! What a stanza's id says shall become of it, and the script that does it.
//!
//! An id is `c3-17.drop`: sender, number of the resumable session, serial number, and what the proxy does with it.

use super::wire::Tag;
use iqtap::xmpp::Side;

/// What the script does with messages.
const MESSAGES: [&str; 10] = ["pass", "drop", "hold", "up", "down", "ask", "drop-up", "drop-down", "drop-ask", "reply"];
/// With requests, and with their answers `hold` too.
const REQUESTS: [&str; 4] = ["pass", "hold", "reply", "reject"];
/// With presence.
const PRESENCES: [&str; 3] = ["pass", "drop", "hold"];

/// The words there are for a kind of stanza.
pub(crate) fn words(kind: &str) -> &'static [&'static str] {
    match kind {
        "message" => &MESSAGES,
        "iq" => &REQUESTS,
        _ => &PRESENCES,
    }
}

/// Does what the ids say, and says so for whatever is more than passing a stanza on.
pub(crate) const SCRIPT: &str = r#"
fn made(prefix, id, inner) { "<message id='" + prefix + "." + id + "' from='made.example' to='there.example'>" + inner + "</message>" }

fn on_message(stanza, session) {
    let id = stanza.id;
    if id.ends_with(".pass") { return pass(); }
    if id.ends_with(".hold") { return hold(0.05); }
    log(id);
    if id.ends_with("up") { session.to_server(made("up", id, "")); }
    if id.ends_with("down") { session.to_client(made("down", id, "")); }
    if id.ends_with("ask") {
        session.to_server("<iq type='get' id='q." + id + "' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>");
    }
    if id.ends_with(".reply") { return reply(made("re", id, "<body>no</body>")); }
    if id.contains(".drop") { return drop(); }
    pass()
}

fn on_presence(stanza) {
    let id = stanza.id;
    if id.ends_with(".hold") { return hold(0.05); }
    if id.ends_with(".drop") { log(id); return drop(); }
    pass()
}

fn on_iq(stanza) {
    let id = stanza.id;
    if id.ends_with(".hold") { return hold(0.05); }
    if stanza.type != "get" { return pass(); }
    if id.ends_with(".reply") { log(id); return reply(); }
    if id.ends_with(".reject") { log(id); return reject("not-allowed"); }
    pass()
}
"#;

/// What the script does with one stanza.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fate {
    /// It does not reach the other end.
    pub(crate) gone: bool,
    /// It waits first.
    pub(crate) held: bool,
    /// A message or a question of the script's own: to whom.
    pub(crate) made: Option<Made>,
}

/// What a script makes of a stanza.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    /// A message to this side.
    Message(Side),
    /// A request to the server, whose answer is the script's alone.
    Question,
    /// The sender's own answer.
    Answer,
}

impl Fate {
    /// Of a stanza from this side.
    pub(crate) fn of(tag: &Tag, from: Side) -> Self {
        let id = tag.attr("id").unwrap_or_default();
        let answer = matches!(tag.attr("type"), Some("result" | "error")) && tag.name == "iq";
        let word = id.rsplit_once('.').map_or("", |(_, word)| word);
        if answer {
            return Self { gone: is_question(id), held: word == "hold", made: None };
        }
        let made = match word {
            "up" | "drop-up" => Some(Made::Message(Side::Server)),
            "down" | "drop-down" => Some(Made::Message(Side::Client)),
            "ask" | "drop-ask" => Some(Made::Question),
            "reply" if tag.name == "message" => Some(Made::Message(from)),
            "reply" | "reject" => Some(Made::Answer),
            _ => None,
        };
        let gone = word.starts_with("drop") || matches!(word, "reply" | "reject");
        Self { gone, held: word == "hold", made }
    }

    /// Whether the script tells of it.
    pub(crate) fn is_told(self) -> bool {
        self.gone || self.made.is_some()
    }
}

/// Whether this is the id of a script's own request.
pub(crate) fn is_question(id: &str) -> bool {
    id.starts_with("q.")
}

/// The stanza behind the id of something that a script made.
pub(crate) fn trigger(id: &str) -> Option<(&str, &str)> {
    id.split_once('.').filter(|(prefix, _)| ["up", "down", "re", "q"].contains(prefix))
}

/// What the script makes of a stanza, as text, and for whom.
pub(crate) fn make(tag: &Tag, from: Side) -> Option<(Side, String)> {
    let id = tag.attr("id").unwrap_or_default();
    let message =
        |prefix: &str, to: Side| (to, format!("<message id='{prefix}.{id}' from='made.example' to='there.example'/>"));
    Some(match Fate::of(tag, from).made? {
        Made::Message(to) if tag.attr("id").is_some_and(|id| id.ends_with(".reply")) => message("re", to),
        Made::Message(Side::Server) => message("up", Side::Server),
        Made::Message(Side::Client) => message("down", Side::Client),
        Made::Question => {
            let ping = "<ping xmlns='urn:xmpp:ping'/>";
            (Side::Server, format!("<iq type='get' id='q.{id}' to='example.org'>{ping}</iq>"))
        }
        Made::Answer if id.ends_with(".reply") => (from, format!("<iq type='result' id='{id}'/>")),
        Made::Answer => (from, format!("<iq type='error' id='{id}'><error type='cancel'/></iq>")),
    })
}

/// The number of the resumable session that an id belongs to.
pub(crate) fn epoch(id: &str) -> Result<u32, String> {
    let own = trigger(id).map_or(id, |(_, own)| own);
    let number = own.get(1..).and_then(|rest| rest.split_once('-')).and_then(|(number, _)| number.parse().ok());
    number.ok_or_else(|| format!("'{id}' is the id of nothing that was ever sent"))
}
