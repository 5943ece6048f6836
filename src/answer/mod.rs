//! Answers given in the server's place: which namespaces, how, and what the answers are. One file per namespace.
//!
//! Takes a request that the client has sent to its account or its server (`protocol.md` D), gives the answer, or what must be
//! asked of the store first. Must not answer for anybody else, nor know of a session, a socket or the disk.

pub mod blocking;
pub mod caps;
pub mod choice;
pub mod disco;
mod fixed;
mod kept;
mod last;
mod ping;
mod private;
mod time;
pub mod vcard;
mod version;

pub use blocking::Blocked;
pub use caps::{Caps, Mapping};
pub use disco::Informant;
pub use time::is_offset;
pub use version::Software;

use crate::keep::{Done, Op, Trouble};
use crate::xml::{Element, View};
use crate::xmpp::{Condition, Peer, StanzaError, Timestamp, ns};

/// Who answers requests of a namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The server.
    #[default]
    Forward,
    /// iqtap, always.
    Local,
    /// The server; if it says `service-unavailable` or `feature-not-implemented`, iqtap.
    Fallback,
    /// iqtap, with an error of this condition; service discovery does not show the namespace.
    Deny(Condition),
}

/// Whom a request is addressed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The account of the client: no `to`, or its own bare JID.
    Account,
    /// The client's server.
    Server,
    /// Anybody else, other resources of the account included.
    Other,
}

impl Target {
    /// What an address is, seen from the client.
    #[must_use]
    pub const fn of(peer: Peer) -> Self {
        match peer {
            Peer::Absent | Peer::OwnBare => Self::Account,
            Peer::OwnDomain => Self::Server,
            Peer::OwnFull | Peer::Other(_) => Self::Other,
        }
    }
}

/// A request that may be answered here: a get or set with one payload.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Whether it is a set.
    pub set: bool,
    /// Its payload.
    pub payload: &'a Element,
    /// To whom.
    pub target: Target,
    /// The client's prepared bare JID.
    pub account: &'a str,
    /// Now.
    pub now: Timestamp,
    /// Since when iqtap runs.
    pub since: Timestamp,
}

/// What is answered to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A result with this payload.
    Result(Option<Element>),
    /// An error.
    Error(StanzaError),
    /// The store is asked for this first; [`Answers::stored`] takes what comes of it.
    Store(Op, Then),
    /// It is not for us to answer: it goes to the server.
    Forward,
}

/// How an answer goes on once the store has done its part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// An empty result: what was set is durable.
    Empty,
    /// The vCard.
    Vcard,
    /// The list of those who are blocked.
    Blocklist,
    /// What a client keeps; or else this empty element.
    Private(Box<Element>),
}

/// How answers are given, beyond whether they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Of XEP-0092.
    pub software: Software,
    /// The offset to UTC, of XEP-0202.
    pub tzo: String,
    /// The name of the server's identity in service discovery.
    pub identity_name: Option<String>,
    /// The bytes of a vCard that are kept.
    pub vcard_bytes: usize,
    /// The addresses that an account may block.
    pub blocked: usize,
    /// The bytes of an element in private storage that are kept.
    pub private_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            software: Software::default(),
            tzo: "+00:00".to_owned(),
            identity_name: None,
            vcard_bytes: 65_536,
            blocked: 1_000,
            private_bytes: 65_536,
        }
    }
}

/// Who answers what: `[answer]`, compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answers {
    /// The namespaces that are not simply forwarded, each once.
    rules: Vec<(String, Mode)>,
    /// What is answered as it was written down.
    fixed: Vec<fixed::Fixed>,
    /// How.
    pub options: Options,
    /// Whether the server's service discovery shows that it was edited.
    pub mark: bool,
}

/// What answers a request of a namespace.
type Function = fn(&Answers, &Asked<'_>) -> Answer;

/// The namespaces that can be answered here.
const TABLE: &[(&str, Function)] = &[
    (ns::PING, ping::answer),
    (ns::VERSION, version::answer),
    (ns::TIME, time::answer),
    (ns::LAST, last::answer),
    (ns::VCARD, vcard::answer),
    (ns::BLOCKING, blocking::answer),
    (ns::PRIVATE, private::answer),
    (ns::DISCO_INFO, disco::info),
    (ns::DISCO_ITEMS, disco::items),
];

/// The namespaces whose answers need a store.
const STORED: &[&str] = &[ns::VCARD, ns::BLOCKING, ns::PRIVATE];

/// Who answers a request with several payloads, which none should have: no library agrees with another which one counts.
fn strongest(modes: impl Iterator<Item = Mode>) -> Mode {
    let rank = |mode: &Mode| match mode {
        Mode::Forward => 0,
        Mode::Fallback => 1,
        Mode::Local => 2,
        Mode::Deny(_) => 3,
    };
    modes.max_by_key(rank).unwrap_or_default()
}

/// An error of this condition.
fn error(condition: Condition) -> Answer {
    Answer::Error(StanzaError::new(condition))
}

/// What a server says that does not know the namespace.
fn unavailable() -> Answer {
    error(Condition::ServiceUnavailable)
}

impl Answers {
    /// Whether everything is simply forwarded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.fixed.is_empty() && !self.mark
    }

    /// Who answers requests of a namespace, but for those whose answers were written down.
    #[must_use]
    pub fn mode(&self, namespace: &str) -> Mode {
        self.rules.iter().find(|(known, _)| known == namespace).map_or(Mode::Forward, |(_, mode)| *mode)
    }

    /// Whether requests of a namespace may be answered here, always or when the server has declined.
    #[must_use]
    pub fn needs(&self, namespace: &str) -> bool {
        matches!(self.mode(namespace), Mode::Local | Mode::Fallback)
    }

    /// Whether any answer needs a store.
    #[must_use]
    pub fn needs_store(&self) -> bool {
        STORED.iter().any(|namespace| self.needs(namespace))
    }

    /// Who answers this get or set, by its payload: we do if its answer was written down, whatever becomes of the others of its
    /// namespace.
    #[must_use]
    pub fn mode_of(&self, iq: &View<'_>) -> Mode {
        let Some(payload) = &iq.head.payload else { return Mode::Forward };
        if iq.head.children > 1 {
            let mut walk = iq.inside(1);
            let modes = std::iter::from_fn(|| walk.next().map(|child| self.mode_of_payload(child.ns(), child.name)));
            return strongest(modes);
        }
        if self.fixed.iter().any(|fixed| iq.name_is(payload, &fixed.namespace, &fixed.element)) {
            return Mode::Local;
        }
        self.rules.iter().find(|(known, _)| iq.ns_is(payload, known)).map_or(Mode::Forward, |(_, mode)| *mode)
    }

    /// The same of one that a script has changed.
    #[must_use]
    pub fn mode_of_tree(&self, iq: &Element) -> Mode {
        strongest(iq.children().map(|payload| self.mode_of_payload(&payload.ns, &payload.name)))
    }

    fn mode_of_payload(&self, namespace: &str, element: &str) -> Mode {
        let fixed = self.fixed.iter().any(|fixed| fixed.namespace == namespace && fixed.element == element);
        if fixed { Mode::Local } else { self.mode(namespace) }
    }

    /// The answer to a request of a namespace that is answered here (`Local`, or `Fallback` when the server has declined).
    #[must_use]
    pub fn answer(&self, asked: &Asked<'_>) -> Answer {
        if let Some(fixed) = self.fixed.iter().find(|fixed| asked.payload.is(&fixed.namespace, &fixed.element)) {
            return fixed.answer(asked.target);
        }
        match TABLE.iter().find(|(namespace, _)| *namespace == asked.payload.ns) {
            Some((_, function)) => function(self, asked),
            None => Answer::Forward,
        }
    }

    /// The answer, now that the store has done its part. Never [`Answer::Store`] or [`Answer::Forward`].
    #[must_use]
    pub fn stored(&self, then: Then, done: Done) -> Answer {
        match (then, done) {
            (Then::Empty, Ok(_)) => Answer::Result(None),
            (Then::Vcard, Ok(entries)) => vcard::stored(&entries),
            (Then::Blocklist, Ok(entries)) => blocking::stored(&entries),
            (Then::Private(asked), Ok(entries)) => private::stored(*asked, &entries),
            (_, Err(trouble)) => {
                let condition = match trouble {
                    Trouble::Full(_) => Condition::ResourceConstraint,
                    Trouble::Failed(_) => Condition::InternalServerError,
                };
                Answer::Error(StanzaError::new(condition).with_text(trouble.to_string()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keep::Change;
    use crate::xml::{Limits, Root, Scanner, Step, parse_str};

    /// Everything is answered here.
    pub(super) fn local() -> Answers {
        let rules: Vec<_> = TABLE.iter().map(|(namespace, _)| (*namespace, Mode::Local)).collect();
        with(&rules)
    }

    /// These modes, whether they could be chosen or not.
    pub(super) fn with(rules: &[(&str, Mode)]) -> Answers {
        let rules = rules.iter().map(|(namespace, mode)| ((*namespace).to_owned(), *mode)).collect();
        Answers { rules, ..Answers::default() }
    }

    /// A request of juliet's, 903 seconds after we have begun.
    pub(super) fn asked(set: bool, target: Target, payload: &Element) -> Asked<'_> {
        let now = Timestamp(1_166_551_115_123_456); // 2006-12-19T17:58:35.123456Z
        Asked { set, payload, target, account: "juliet@example.org", now, since: Timestamp(now.0 - 903_999_999) }
    }

    /// What is said to a get.
    pub(super) fn asks(answers: &Answers, target: Target, payload: &str) -> String {
        let payload = parse_str(payload).unwrap();
        said(answers.answer(&asked(false, target, &payload)))
    }

    /// What is said to a set.
    pub(super) fn sets(answers: &Answers, target: Target, payload: &str) -> String {
        let payload = parse_str(payload).unwrap();
        said(answers.answer(&asked(true, target, &payload)))
    }

    /// What is said once the store has done its part.
    pub(super) fn stored(answers: &Answers, then: Then, done: Done) -> String {
        said(answers.stored(then, done))
    }

    /// An answer in words.
    fn said(answer: Answer) -> String {
        match answer {
            Answer::Forward => "forward".to_owned(),
            Answer::Result(None) => "empty".to_owned(),
            Answer::Result(Some(payload)) => text(&kept::write(&payload)),
            Answer::Error(error) => {
                let said = error.text.map_or_else(String::new, |text| format!(" ({text})"));
                format!("{} {}{said}", error.kind.name(), error.condition.name())
            }
            Answer::Store(Op::Get { account, space, name }, _) => format!("get {account} {space} '{name}'"),
            Answer::Store(Op::List { account, spaces }, _) => format!("list {account} {}", spaces.join(" ")),
            Answer::Store(Op::Write { account, changes, most }, _) => {
                let changes: Vec<_> = changes.iter().map(change).collect();
                format!("write {account} at most {most}: {}", changes.join(", "))
            }
        }
    }

    fn change(change: &Change) -> String {
        match change {
            Change::Put(space, name, value) => format!("put {space} '{name}' {}", text(value)),
            Change::Delete(space, name) => format!("delete {space} '{name}'"),
            Change::Clear(space) => format!("clear {space}"),
        }
    }

    fn text(bytes: &[u8]) -> String {
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn some_answers_need_a_store() {
        let only = |namespace, mode| with(&[(namespace, mode)]);
        for namespace in [ns::VCARD, ns::BLOCKING, ns::PRIVATE] {
            for (mode, needs) in [
                (Mode::Local, true),
                (Mode::Fallback, true),
                (Mode::Deny(Condition::NotAllowed), false),
                (Mode::Forward, false),
            ] {
                assert_eq!(only(namespace, mode).needs_store(), needs, "{namespace} {mode:?}");
                assert_eq!(only(namespace, mode).needs(namespace), needs, "{namespace} {mode:?}");
            }
        }
        assert!(!only(ns::PING, Mode::Local).needs_store());
        assert!(!Answers::default().needs_store());
    }

    /// The mode of an iq as it comes in.
    fn mode_of(answers: &Answers, iq: &str) -> Mode {
        let root = Root { decls: vec![(String::new(), ns::CLIENT.to_owned())] };
        let mut scanner = Scanner::under(&root, Limits::AFTER_LOGIN);
        assert!(matches!(scanner.scan(iq.as_bytes()), Step::Item { .. }), "{iq}");
        answers.mode_of(&View { bytes: iq.as_bytes(), head: scanner.head(), root: &root })
    }

    #[test]
    fn a_request_is_known_by_its_payload() {
        let deny = Mode::Deny(Condition::NotAllowed);
        let mut answers = with(&[(ns::PING, Mode::Local), (ns::TIME, Mode::Fallback), ("urn:x", deny)]);
        answers.fix("urn:x", "a", "<b xmlns='urn:b'/>").unwrap();
        for (payload, mode) in [
            ("<ping xmlns='urn:xmpp:ping'/>", Mode::Local),
            ("<p:ping xmlns:p='urn:xmpp:ping'/>", Mode::Local),
            ("<time xmlns='urn:xmpp:time'/>", Mode::Fallback),
            ("<query xmlns='jabber:iq:version'/>", Mode::Forward),
            ("<b xmlns='urn:x'/>", deny),
            ("<a xmlns='urn:x'/>", Mode::Local), // it was written down
            ("<a xmlns='urn:y'/>", Mode::Forward),
            ("", Mode::Forward),
        ] {
            assert_eq!(mode_of(&answers, &format!("<iq type='get' id='1'>{payload}</iq>")), mode, "{payload}");
        }
    }

    #[test]
    fn what_nobody_knows_is_not_answered() {
        assert_eq!(asks(&local(), Target::Server, "<query xmlns='urn:unknown'/>"), "forward");
    }
}
