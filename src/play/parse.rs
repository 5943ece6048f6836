//! The text of a playbook to a list of steps. `scripts/PLAYBOOKS.md` describes the format for people.
//!
//! Takes text, gives a [`Book`] or the first [`Problem`] with its line. Must not play anything.

use super::stored::{self, Kept, StoreStep};
use super::words::{duration, quoted, unescape};
use crate::session::{Act, How};
use crate::xmpp::Side;
use std::fmt;
use toml::Table;

/// A book: what it is about, under which policy it is played, and what happens.
#[derive(Clone, Debug)]
pub struct Book {
    /// What happens and why, from the comment the book begins with.
    pub about: String,
    /// The `policy` lines, joined.
    pub(super) policy: Table,
    /// The `store` lines: what is kept before anything happens.
    pub(super) store: Vec<Kept>,
    /// The text of an inline script.
    pub(super) script: Option<String>,
    /// What happens.
    pub(super) steps: Vec<Step>,
}

/// One thing that is done or expected.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// Its line in the book, from 1.
    pub line: usize,
    /// Its text, continuations joined.
    pub(super) text: String,
    /// What.
    pub(super) kind: StepKind,
}

/// What is done or expected.
#[derive(Clone, Debug)]
pub(super) enum StepKind {
    /// The lines after it are about this session, which begins here if it is new.
    Session(usize),
    /// The standard negotiation, up to a stage; with stream management of this version.
    Open { jid: String, until: Until, sm: Option<Sm> },
    /// A peer sends bytes.
    Send { side: Side, bytes: Bytes, behind: bool },
    /// A TLS handshake is asked for (or begins by itself, before the client's first byte) and succeeds.
    Tls { side: Side, name: Option<String>, alpn: Option<String> },
    /// A TLS handshake is asked for and fails.
    TlsFails(Side, String),
    /// The server is dialled for this domain and answers.
    Dial(String),
    /// The server is dialled and cannot be reached.
    DialFails(String),
    /// Time passes, in microseconds.
    Wait(u64),
    /// A connection ends without a word.
    Eof(Side),
    /// The process is being stopped.
    Stop,
    /// A changed policy holds from here on: what is named changes, the rest stays.
    PolicySwap(Table),
    /// An element, a header or `</stream:stream>` comes out.
    Tree(Side, String),
    /// Exactly these bytes come out.
    Bytes(Side, Bytes),
    /// Exactly what the other peer has just sent comes out.
    Same(Side),
    /// White space comes out.
    Space(Side),
    /// Nothing has come out at all.
    Nothing,
    /// A handshake or a call is asked for; the answer comes later, or never.
    Asked(Act),
    /// A leg is closed.
    Close(Side, How),
    /// A rule or a neighbouring check found something.
    Finding(Side, String, String),
    /// A note of this kind was made; all the given pieces stand in it.
    Note(NoteKind, Vec<String>),
    /// The client is bound to this full JID.
    Bound(String),
    /// Something about the store.
    Store(StoreStep),
}

impl StepKind {
    /// Whether it is something that happens, and not only something to check.
    pub(super) fn is_input(&self) -> bool {
        matches!(
            self,
            Self::Open { .. }
                | Self::Send { .. }
                | Self::Tls { .. }
                | Self::TlsFails(..)
                | Self::Dial(_)
                | Self::DialFails(_)
                | Self::Wait(_)
                | Self::Eof(_)
                | Self::Stop
                | Self::PolicySwap(_)
                | Self::Store(StoreStep::Fails(_) | StoreStep::Holds | StoreStep::GoesOn)
        )
    }
    /// Whether it checks something.
    pub(super) fn is_check(&self) -> bool {
        !(self.is_input() || matches!(self, Self::Session(_)))
            || matches!(self, Self::Tls { .. } | Self::TlsFails(..) | Self::Dial(_) | Self::DialFails(_))
    }
}

/// How far `open` goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Until {
    /// The client has the server's features from before authentication.
    Features,
    /// The client has `<success/>`; both streams are about to restart.
    Success,
    /// The client has the features from after authentication.
    Restart,
    /// The client is bound.
    Bound,
}

/// The versions of stream management (XEP-0198).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sm {
    Two,
    Three,
}

/// The kinds of note a book may ask for by `note`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoteKind {
    Hint,
    Log,
    ScriptError,
    StreamError,
    Joined,
    Mechanism,
    Resumed,
    Over,
}

impl NoteKind {
    const ALL: [Self; 8] = [
        Self::Hint,
        Self::Log,
        Self::ScriptError,
        Self::StreamError,
        Self::Joined,
        Self::Mechanism,
        Self::Resumed,
        Self::Over,
    ];

    /// The word for it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Hint => "hint",
            Self::Log => "log",
            Self::ScriptError => "script-error",
            Self::StreamError => "stream-error",
            Self::Joined => "joined",
            Self::Mechanism => "mechanism",
            Self::Resumed => "resumed",
            Self::Over => "over",
        }
    }
}

/// Bytes to send or expect: finished ones, or text in which `$name` is still to be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Bytes {
    /// From a line with escapes.
    Raw(Vec<u8>),
    /// From a line of text.
    Text(String),
}

/// What is wrong with a book's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// What.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

/// Reads a book.
pub fn book(text: &str) -> Result<Book, Problem> {
    let about = about(text)?;
    let mut book = Book { about, policy: Table::new(), store: Vec::new(), script: None, steps: Vec::new() };
    let mut lines = text.lines().enumerate().peekable();
    while let Some((index, first)) = lines.next() {
        let line = index + 1;
        let fail = |message: String| Problem { line, message };
        if first.trim().is_empty() || first.starts_with('#') {
            continue;
        }
        if first.starts_with([' ', '\t']) {
            return Err(fail("a continuation line, but nothing to continue".to_owned()));
        }
        if first.trim_end() == "script <<" {
            let mut script = String::new();
            loop {
                match lines.next() {
                    Some((_, ">>")) => break,
                    Some((_, inner)) => {
                        script.push_str(inner);
                        script.push('\n');
                    }
                    None => return Err(fail("the script has no end: a line '>>'".to_owned())),
                }
            }
            if book.script.replace(script).is_some() {
                return Err(fail("a book may have one inline script".to_owned()));
            }
            continue;
        }
        let mut whole = first.trim_end().to_owned();
        while let Some((_, next)) = lines.next_if(|(_, next)| next.starts_with([' ', '\t']) && !next.trim().is_empty())
        {
            glue(&mut whole, next.trim());
        }
        if let Some(inline) = word(&whole, "policy") {
            let table = table(inline).map_err(fail)?;
            if !book.steps.is_empty() {
                return Err(fail("policy comes before anything happens; later it is policy-swap".to_owned()));
            }
            merge(&mut book.policy, table);
            continue;
        }
        if let Some(rest) = word(&whole, "store") {
            if !book.steps.is_empty() {
                return Err(fail("store comes before anything happens; later it is kept, or not-kept".to_owned()));
            }
            book.store.push(stored::kept(rest).map_err(fail)?);
            continue;
        }
        let kind = step(&whole).map_err(fail)?;
        check_place(&kind, &book.steps).map_err(fail)?;
        book.steps.push(Step { line, text: whole, kind });
    }
    if !book.steps.iter().any(|s| s.kind.is_check()) {
        return Err(Problem { line: 1, message: "the book expects nothing, so it proves nothing".to_owned() });
    }
    Ok(book)
}

/// Refuses an `open` in the middle of a session, and a session that leaves a number out.
fn check_place(kind: &StepKind, before: &[Step]) -> Result<(), String> {
    let numbers = before.iter().filter_map(|step| match step.kind {
        StepKind::Session(number) => Some(number),
        _ => None,
    });
    let sessions = numbers.fold(1, usize::max);
    match kind {
        StepKind::Session(number) if !(1..=sessions + 1).contains(number) => {
            Err(format!("there is no session {number} yet; the next new one is session {}", sessions + 1))
        }
        StepKind::Open { .. } if !begins(before) => Err("open comes before anything else happens".to_owned()),
        _ => Ok(()),
    }
}

/// Whether nothing has happened yet in the session that the next line is about.
fn begins(before: &[Step]) -> bool {
    // What happens to the store alone is told to nobody.
    let before: Vec<&Step> = before.iter().filter(|step| !matches!(step.kind, StepKind::Store(_))).collect();
    let Some((last, earlier)) = before.split_last() else { return true };
    let known = |number| number == 1 && !earlier.is_empty() || earlier.iter().any(|step| is_session(step, number));
    matches!(last.kind, StepKind::Session(number) if !known(number))
}

fn is_session(step: &Step, number: usize) -> bool {
    matches!(step.kind, StepKind::Session(of) if of == number)
}

/// The comment a book begins with.
fn about(text: &str) -> Result<String, Problem> {
    let mut about = String::new();
    for line in text.lines().map_while(|l| l.strip_prefix('#')) {
        glue(&mut about, line.trim());
    }
    if about.is_empty() {
        let message = "a book begins with a comment: what happens, and why".to_owned();
        return Err(Problem { line: 1, message });
    }
    Ok(about)
}

/// Appends a continuation: nothing between two tags, one space elsewhere.
fn glue(text: &mut String, more: &str) {
    if !(text.is_empty() || text.ends_with('>') && more.starts_with('<')) {
        text.push(' ');
    }
    text.push_str(more);
}

/// What follows a first word.
fn word<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(word)?;
    if rest.is_empty() || rest.starts_with([' ', '\t']) { Some(rest.trim()) } else { None }
}

/// The content of an inline TOML table.
fn table(inline: &str) -> Result<Table, String> {
    let mut outer: Table =
        toml::from_str(&format!("policy = {{ {inline} }}")).map_err(|e| format!("not TOML: {}", e.message()))?;
    match outer.remove("policy") {
        Some(toml::Value::Table(inner)) => Ok(inner),
        _ => Err("not a table".to_owned()),
    }
}

/// Puts one table's values over another's, table by table.
pub(super) fn merge(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(value)) => merge(below, value),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// For those who have mistyped one.
const WORDS: &str = "a line begins with one of: C:, S:, C-raw:, S-raw:, inject, dial, dial-fails, tls, tls-fails, asked, session, \
                     wait, drop, stop, policy-swap, store-fails, store-holds, store-goes-on, to C:, to S:, same, bytes, space, nothing, \
                     close, finding, note, bound, kept, not-kept; and before anything happens policy, store, script <<, open";

/// One line, continuations joined, to what it says.
pub(super) fn step(line: &str) -> Result<StepKind, String> {
    if let Some(step) = exchange(line)? {
        return Ok(step);
    }
    let (name, rest) = line.split_once([' ', '\t']).map_or((line, ""), |(name, rest)| (name, rest.trim()));
    match name {
        "session" => Ok(StepKind::Session(rest.parse().map_err(|_| format!("'{rest}' is no number of a session"))?)),
        "open" => open(rest),
        "tls" => tls(rest),
        "tls-fails" => {
            let (at, reason) = rest.split_once(' ').unwrap_or((rest, "handshake failed"));
            Ok(StepKind::TlsFails(side(at)?, reason.trim().to_owned()))
        }
        "dial" => Ok(StepKind::Dial(rest.to_owned())),
        "dial-fails" => Ok(StepKind::DialFails(if rest.is_empty() { "connection refused" } else { rest }.to_owned())),
        "wait" => Ok(StepKind::Wait(duration(rest)?)),
        "eof" | "drop" => Ok(StepKind::Eof(side(rest)?)),
        "stop" => Ok(StepKind::Stop),
        "policy-swap" => Ok(StepKind::PolicySwap(table(rest)?)),
        "same" => Ok(StepKind::Same(side(rest)?)),
        "space" => Ok(StepKind::Space(side(rest)?)),
        "nothing" => Ok(StepKind::Nothing),
        "asked" => match rest.split_once(' ').map(|(what, of)| (what, of.trim())) {
            Some(("tls", at)) => Ok(StepKind::Asked(Act::StartTls(side(at)?))),
            Some(("dial", domain)) => Ok(StepKind::Asked(Act::Dial { domain: domain.to_owned() })),
            _ => Err("asked tls C or S, or asked dial DOMAIN".to_owned()),
        },
        "close" => match rest.split_once(' ').map(|(at, how)| (at, how.trim())) {
            Some((at, "clean")) => Ok(StepKind::Close(side(at)?, How::Clean)),
            Some((at, "abort" | "abrupt")) => Ok(StepKind::Close(side(at)?, How::Abort)),
            _ => Err("close C or S, then clean or abort".to_owned()),
        },
        "finding" => {
            let (at, rest) = rest.split_once(' ').ok_or("finding C or S, then the code")?;
            let rest = rest.trim();
            let (code, text) = rest.split_once(' ').unwrap_or((rest, ""));
            Ok(StepKind::Finding(side(at)?, code.to_owned(), quoted(text).concat()))
        }
        "note" => {
            let (kind, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            Ok(StepKind::Note(note_kind(kind)?, quoted(rest)))
        }
        "kept" => Ok(StepKind::Store(StoreStep::Is(stored::kept(rest)?))),
        "not-kept" => Ok(StepKind::Store(StoreStep::IsNot(stored::not_kept(rest)?))),
        "store-fails" => {
            let why = if rest.is_empty() { "no space is left" } else { rest };
            Ok(StepKind::Store(StoreStep::Fails(why.to_owned())))
        }
        "store-holds" => Ok(StepKind::Store(StoreStep::Holds)),
        "store-goes-on" => Ok(StepKind::Store(StoreStep::GoesOn)),
        "bound" => Ok(StepKind::Bound(rest.to_owned())),
        _ => Err(format!("what is '{name}'? {WORDS}")),
    }
}

/// The lines that carry bytes: `C: ...`, `to S: ...`, `bytes C: ...`, `S-raw: ...`, `inject C: ...`.
fn exchange(line: &str) -> Result<Option<StepKind>, String> {
    let Some((left, right)) = line.split_once(':') else { return Ok(None) };
    let (left, right) = (left.trim_end(), right.trim());
    let text = |text: &str| Bytes::Text(text.to_owned());
    Ok(Some(match *left.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["C" | "S"] => StepKind::Send { side: side(left)?, bytes: text(right), behind: false },
        ["C-raw"] => StepKind::Send { side: Side::Client, bytes: Bytes::Raw(unescape(right)?), behind: false },
        ["S-raw"] => StepKind::Send { side: Side::Server, bytes: Bytes::Raw(unescape(right)?), behind: false },
        ["inject", at] => StepKind::Send { side: side(at)?, bytes: Bytes::Raw(unescape(right)?), behind: true },
        ["to", at] => StepKind::Tree(side(at)?, right.to_owned()),
        ["bytes", at] => StepKind::Bytes(side(at)?, Bytes::Raw(unescape(right)?)),
        _ => return Ok(None),
    }))
}

fn side(text: &str) -> Result<Side, String> {
    match text.trim() {
        "C" => Ok(Side::Client),
        "S" => Ok(Side::Server),
        other => Err(format!("'{other}' is neither C nor S")),
    }
}

fn open(rest: &str) -> Result<StepKind, String> {
    let mut words = rest.split_whitespace();
    let jid = words.next().filter(|jid| jid.contains('@') && jid.contains('/')).ok_or("open needs a full JID")?;
    let (mut until, mut sm) = (Until::Bound, None);
    for option in words {
        match option {
            "until=features" => until = Until::Features,
            "until=success" => until = Until::Success,
            "until=restart" => until = Until::Restart,
            "until=bound" => until = Until::Bound,
            "sm" | "sm=3" => sm = Some(Sm::Three),
            "sm=2" => sm = Some(Sm::Two),
            other => return Err(format!("open has no option '{other}'")),
        }
    }
    Ok(StepKind::Open { jid: jid.to_owned(), until, sm })
}

fn tls(rest: &str) -> Result<StepKind, String> {
    let mut words = rest.split_whitespace();
    let side = side(words.next().unwrap_or(""))?;
    let (mut name, mut alpn) = (None, None);
    for option in words {
        match option.split_once('=') {
            Some(("name", value)) => name = Some(value.to_owned()),
            Some(("alpn", value)) => alpn = Some(value.to_owned()),
            _ => return Err(format!("tls has no option '{option}'")),
        }
    }
    Ok(StepKind::Tls { side, name, alpn })
}

fn note_kind(text: &str) -> Result<NoteKind, String> {
    let known = NoteKind::ALL.into_iter().find(|kind| kind.name() == text);
    known
        .ok_or_else(|| format!("there is no note '{text}': there are {}", NoteKind::ALL.map(NoteKind::name).join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_book() {
        let text = "# A ping.\n# And why.\n\npolicy rules.enforce = true,\n  x = [1]\nopen a@b/c until=success\n\
                    C: <iq type='get'\n   id='1'>\n   <ping/></iq>\nto S: <iq>*</iq>\nwait 2s\nclose C clean\n\
                    finding C rule1 \"no id\"\nnote hint \"a b\" c\n";
        let book = book(text).unwrap();
        assert_eq!(book.about, "A ping. And why.");
        assert_eq!(book.policy.to_string(), "x = [1]\n\n[rules]\nenforce = true\n");
        assert_eq!(book.steps.len(), 7);
        let StepKind::Send { side: Side::Client, bytes: Bytes::Text(text), behind: false } = &book.steps[1].kind else {
            panic!("{:?}", book.steps[1]);
        };
        assert_eq!(text, "<iq type='get' id='1'><ping/></iq>");
        assert_eq!(book.steps[1].line, 7);
        assert!(matches!(book.steps[3].kind, StepKind::Wait(2_000_000)));
        assert!(matches!(&book.steps[5].kind, StepKind::Finding(Side::Client, code, text)
            if code == "rule1" && text == "no id"));
        assert!(matches!(&book.steps[6].kind, StepKind::Note(NoteKind::Hint, parts) if *parts == ["a b", "c"]));
    }

    #[test]
    fn each_session_may_be_opened() {
        let book = book("# x\nsession 1\nopen a@b/c sm\nsession 2\nopen a@b/c until=restart sm=2\nnothing\n").unwrap();
        assert!(matches!(book.steps[0].kind, StepKind::Session(1)));
        assert!(matches!(book.steps[1].kind, StepKind::Open { until: Until::Bound, sm: Some(Sm::Three), .. }));
        assert!(matches!(book.steps[3].kind, StepKind::Open { until: Until::Restart, sm: Some(Sm::Two), .. }));
        assert!(!book.steps[2].kind.is_input() && !book.steps[2].kind.is_check());
    }

    #[test]
    fn takes_a_script_as_it_stands() {
        let book = book("# x\nscript <<\nfn f() {\n  1\n}\n>>\nnothing\n").unwrap();
        assert_eq!(book.script.as_deref(), Some("fn f() {\n  1\n}\n"));
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        for (text, line, message) in [
            ("open a@b/c\n", 1, "begins with a comment"),
            ("# x\nopen a@b/c\n", 1, "expects nothing"),
            ("# x\nnothing\nsing\n", 3, "what is 'sing'"),
            ("# x\n  <a/>\n", 2, "nothing to continue"),
            ("# x\nto X: <a/>\n", 2, "neither C nor S"),
            ("# x\nnothing\nopen a@b/c\n", 3, "before anything else"),
            ("# x\nopen a@b/c\nsession 2\nnothing\nopen a@b/c\n", 5, "before anything else"),
            ("# x\nopen a@b/c\nsession 2\nsession 1\nopen a@b/c\n", 5, "before anything else"),
            ("# x\nopen a@b/c\nsession 3\n", 3, "the next new one is session 2"),
            ("# x\nopen a@b/c\nsession two\n", 3, "no number"),
            ("# x\nopen a@b/c sm=4\n", 2, "no option 'sm=4'"),
            ("# x\nC-raw: \\q\nnothing\n", 2, "no escape"),
            ("# x\npolicy rules =\nnothing\n", 2, "not TOML"),
            ("# x\nscript <<\nnothing\n", 2, "no end"),
        ] {
            let problem = book(text).unwrap_err();
            assert_eq!(problem.line, line, "{text}");
            assert!(problem.message.contains(message), "{problem}");
        }
    }
}
