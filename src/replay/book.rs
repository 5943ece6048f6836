//! A recorded session as a playbook (`scripts/PLAYBOOKS.md`): a regression test.
//!
//! Takes a capture's events, gives a book that holds. What both peers sent is what was recorded; what must come out is what the core of
//! today makes of it, with the rules enforced if they were when it was recorded. Where a script or an answer of iqtap's own had a hand in it then,
//! a comment in the book says so, for neither is part of a recording. Must not write a line that it has not seen come true.

use super::script::{Deed, Scene, Script};
use crate::capture::read::Event;
use crate::config;
use crate::policy::{Policy, Route};
use crate::rules::Rule;
use crate::session::{Act, Dir, Fate, How, Input, Note, Outbox, Session};
use crate::xml::{ItemKind, Limits, Scanner, Step};
use crate::xmpp::{Side, Timestamp, jid};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

/// A session, on its way into a book.
#[derive(Debug)]
pub struct Playbook {
    script: Script,
}

/// A pause that is shorter means nothing.
const SHORT_MICROS: u64 = 1_000_000;

impl Playbook {
    /// Of one session, or of the only one.
    #[must_use]
    pub fn new(session: Option<u64>) -> Self {
        Self { script: Script::new(session) }
    }

    /// Something happened in the capture.
    ///
    /// # Errors
    /// If it is too long for a book.
    pub fn event(&mut self, event: &Event) -> Result<(), String> {
        self.script.event(event)
    }

    /// The book's text. `name` is what was recorded, for its first line.
    ///
    /// # Errors
    /// Why there is none.
    pub fn finish(self, name: &str) -> Result<String, String> {
        let mut scenes = self.script.finish();
        match (scenes.pop(), scenes.len()) {
            (None, _) => Err("no session in it has bound a resource and gone on: there is nothing to play".to_owned()),
            (Some(_), 1..) => Err("there are several sessions in it; choose one with --session".to_owned()),
            (Some(scene), 0) => write(&scene, name),
        }
    }
}

fn write(scene: &Scene, name: &str) -> Result<String, String> {
    let jid = scene.jid.as_deref().unwrap_or_default();
    if jid.contains(char::is_whitespace) || !jid.contains('@') {
        return Err(format!("a book cannot be opened for {jid:?}"));
    }
    let enforce = scene.deeds.iter().any(|deed| is_by_rule(&deed.fate));
    let policy = if enforce {
        "client_tls = 'off'\nserver_tls = 'off'\nrules = 'enforce'\n"
    } else {
        "client_tls = 'off'\nserver_tls = 'off'\n"
    };
    let (route, policy) = config::compile(policy, Path::new("book")).map_err(|e| e.to_string())?;
    let mut out = format!("# Session {} of {}, as it was recorded.\n", scene.number, one_line(name));
    if enforce {
        out.push_str("policy rules = \"enforce\"\n");
    }
    let _ = writeln!(out, "open {jid}");
    let mut stage = Stage::open(route, policy, jid);
    for deed in scene.deeds.iter().filter(|deed| deed.dir == Dir::In) {
        if stage.session.is_over() {
            out.push_str("# What was recorded behind this came when the session was over already.\n");
            break;
        }
        stage.wait(deed.at, &mut out);
        stage.play(deed, &mut out);
    }
    Ok(out)
}

/// Whether a rule did this, and not a script.
fn is_by_rule(fate: &Fate) -> bool {
    match fate {
        Fate::Rewritten(by) | Fate::Dropped(by) | Fate::Answered(by) | Fate::Rejected(_, by) => {
            Rule::named(by).is_some()
        }
        Fate::Passed | Fate::Handled => false,
    }
}

/// A session of today that is shown the recorded one.
struct Stage {
    session: Session,
    out: Outbox,
    now: Timestamp,
    /// When the last recorded thing happened.
    recorded: Option<Timestamp>,
}

impl Stage {
    /// As `open` of a book leaves it.
    fn open(route: Route, policy: Policy, full: &str) -> Self {
        let now = Timestamp(1_700_000_000_000_000);
        let session = Session::new(now, Arc::new(route), Arc::new(policy), 1, "192.0.2.1:40000", 7);
        let mut stage = Self { session, out: Outbox::default(), now, recorded: None };
        let domain = jid::domain(full);
        let to = format!(
            "<stream:stream to='{domain}' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
        );
        let from = to.replacen(" to=", " id='1' from=", 1);
        let sasl = "urn:ietf:params:xml:ns:xmpp-sasl";
        let bind = "urn:ietf:params:xml:ns:xmpp-bind";
        let (client, server) = (Side::Client, Side::Server);
        stage.give(Input::Bytes(client, to.as_bytes()));
        stage.give(Input::Dialed);
        for (side, text) in [
            (server, from.clone()),
            (
                server,
                format!(
                    "<stream:features><mechanisms xmlns='{sasl}'><mechanism>PLAIN</mechanism></mechanisms></stream:features>"
                ),
            ),
            (client, format!("<auth xmlns='{sasl}' mechanism='PLAIN'>AGp1bGlldABzZWNyZXQ=</auth>")),
            (server, format!("<success xmlns='{sasl}'/>")),
            (client, to),
            (server, from),
            (server, format!("<stream:features><bind xmlns='{bind}'><required/></bind></stream:features>")),
            (client, format!("<iq type='set' id='bind'><bind xmlns='{bind}'/></iq>")),
            (
                server,
                format!("<iq type='result' id='bind'><bind xmlns='{bind}'><jid>{}</jid></bind></iq>", escaped(full)),
            ),
        ] {
            stage.give(Input::Bytes(side, text.as_bytes()));
        }
        stage.out = Outbox::default();
        stage
    }

    fn give(&mut self, input: Input<'_>) {
        self.session.handle(self.now, input, &mut self.out);
    }

    /// As much time passes as had passed, if that is worth a line.
    fn wait(&mut self, at: Timestamp, out: &mut String) {
        let since = self.recorded.map_or(0, |before| at.0.saturating_sub(before.0));
        self.recorded = self.recorded.max(Some(at));
        if since < SHORT_MICROS {
            return;
        }
        let millis = since / 1000;
        let _ = writeln!(out, "wait {millis}ms");
        let until = Timestamp(self.now.0.saturating_add(millis * 1000));
        let mut last = None;
        while let Some(due) = self.session.deadline().filter(|due| *due <= until) {
            if last.replace(due) == Some(due) {
                break;
            }
            self.now = self.now.max(due);
            self.give(Input::Tick);
        }
        self.now = until;
        self.expect(None, out);
    }

    /// A peer does what it did.
    fn play(&mut self, deed: &Deed, out: &mut String) {
        let by = match &deed.fate {
            Fate::Passed | Fate::Handled => None,
            fate if is_by_rule(fate) => None,
            Fate::Rewritten(by) => Some(format!("rewritten by {by}")),
            Fate::Dropped(by) => Some(format!("dropped by {by}")),
            Fate::Answered(by) => Some(format!("answered by {by}")),
            Fate::Rejected(condition, by) => Some(format!("rejected {condition} by {by}")),
        };
        if let Some(by) = by {
            let _ = writeln!(out, "# When this was recorded, it was {}.", one_line(&by));
        }
        let letter = letter(deed.side);
        let _ = match plain(&deed.bytes) {
            Some(text) => writeln!(out, "{letter}: {}", text.replace('$', "$$")),
            None => writeln!(out, "{letter}-raw: {}", raw(&deed.bytes)),
        };
        self.give(Input::Bytes(deed.side, &deed.bytes));
        self.expect(Some(deed), out);
    }

    /// Writes down what has come out.
    fn expect(&mut self, deed: Option<&Deed>, out: &mut String) {
        for side in [Side::Client, Side::Server] {
            let bytes = self.out.to[side.index()].split();
            if deed.is_some_and(|deed| side == deed.side.other() && bytes == deed.bytes) {
                let _ = writeln!(out, "same {}", letter(side));
                continue;
            }
            for item in items(&bytes) {
                let _ = match plain(item) {
                    Some(text) if !text.is_empty() => writeln!(out, "to {}: {}", letter(side), text.replace('$', "$$")),
                    _ => writeln!(out, "bytes {}: {}", letter(side), raw(item)),
                };
            }
        }
        for act in self.out.acts.drain(..) {
            if let Act::Close(side, how) = act {
                let how = if how == How::Clean { "clean" } else { "abort" };
                let _ = writeln!(out, "close {} {how}", letter(side));
            }
        }
        for note in self.out.notes.drain(..) {
            if let Note::Finding { side, finding, .. } = note {
                let _ = writeln!(out, "finding {} {}", letter(side), finding.code);
            }
        }
    }
}

const fn letter(side: Side) -> &'static str {
    match side {
        Side::Client => "C",
        Side::Server => "S",
    }
}

/// Bytes that can stand in a line as they are.
fn plain(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.contains(char::is_control) && text.trim() == text).then_some(text)
}

/// Bytes as a book's line with escapes.
fn raw(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    let last = text.chars().count().saturating_sub(1);
    for (at, c) in text.chars().enumerate() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\r' => out.push_str("\\r"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            ' ' if at == 0 || at == last => out.push_str("\\s"),
            // What a line cannot hold by itself, byte by byte.
            c if c.is_control() => {
                let mut buffer = [0; 4];
                for byte in c.encode_utf8(&mut buffer).bytes() {
                    let _ = write!(out, "\\x{byte:02x}");
                }
            }
            c => out.push(c),
        }
    }
    out
}

/// The items of what came out.
fn items(bytes: &[u8]) -> Vec<&[u8]> {
    const ROOT: &[u8] = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
    let mut scanner =
        Scanner::new(Limits { stanza_bytes: 1 << 30, elements: u32::MAX, attributes: u32::MAX, ..Limits::AFTER_LOGIN });
    let _ = scanner.scan(ROOT);
    let (mut found, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let len = match scanner.scan(rest) {
            Step::Item { len, kind: ItemKind::Space | ItemKind::Element | ItemKind::Close } => len,
            _ => rest.len(),
        };
        let (item, behind) = rest.split_at(len);
        found.push(item);
        rest = behind;
    }
    found
}

fn escaped(text: &str) -> String {
    let mut bytes = bytes::BytesMut::new();
    crate::xml::escape_text(text, &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
