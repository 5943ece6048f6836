//! Plays a book once, in one way, against the core.
//!
//! Takes a [`Book`] and a [`Way`], gives all that came out, or the first [`Failure`]. Whatever comes out must be
//! expected before the next thing happens; and whatever the book says, a session never
//! * sends bytes or asks for anything on a leg it has closed,
//! * is over while a leg stands open, or goes on when both are closed,
//! * asks for the same deadline again once it has been given, or for any when it is over,
//! * shows a watcher other bytes than it sent, other findings than it told, or items out of order,
//! * says that it is over before it is, or twice, or never.

use super::compare::{self, Names};
use super::cut::{self, Cut, Line};
use super::expect::differ;
use super::open;
use super::parse::{self, Book, Bytes, Step, StepKind};
use iqtap::config;
use iqtap::policy::{Policy, Route};
use iqtap::script::{ScriptLimits, ScriptSet};
use iqtap::session::{Act, Dir, Input, Note, Outbox, Session, Tally, TlsInfo};
use iqtap::xmpp::{Side, Timestamp};
use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::path::Path;
use std::sync::Arc;
use toml::Table;

/// How a book is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// In which pieces bytes arrive.
    pub(crate) cut: Cut,
    /// Whether an equal policy takes over, and a tick comes too early, before every single input.
    pub(crate) swap: bool,
    /// Whether somebody watches.
    pub(crate) watched: bool,
    /// Whether bytes wait until the session wants them, as in the pump.
    pub(crate) patient: bool,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cut {
            Cut::Lines => write!(f, "line by line")?,
            Cut::Glued => write!(f, "lines glued")?,
            Cut::Bytes => write!(f, "byte by byte")?,
            Cut::Random(seed) => write!(f, "cut at random, PLAY_SEED={seed}")?,
        }
        for (on, word) in [
            (self.swap, ", policy swapped before each input"),
            (self.watched, ", watched"),
            (self.patient, ", only when wanted"),
        ] {
            f.write_str(if on { word } else { "" })?;
        }
        Ok(())
    }
}

/// All that came out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Played {
    /// Bytes, by [`Side::index`].
    pub(crate) to: [Vec<u8>; 2],
    /// Acts, in order.
    pub(crate) acts: Vec<Act>,
    /// What was counted at the end.
    pub(crate) tally: Tally,
}

/// Where and why a book does not hold.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// The line, from 1; 0 for the book as a whole.
    pub(crate) line: usize,
    /// That line's text.
    pub(crate) text: String,
    /// What was expected, what came.
    pub(crate) why: String,
}

/// Plays a book. `path` is where the book stands: paths in its policy start from there. `at` is told each line that
/// is reached.
pub(crate) fn play(book: &Book, path: &Path, way: Way, at: &dyn Fn(usize)) -> Result<Played, Failure> {
    let whole = |why: String| Failure { line: 0, text: String::new(), why };
    let (route, policy) = compile(book, &book.policy, path).map_err(whole)?;
    let (_, other) = compile(book, &book.policy, path).map_err(whole)?;
    let steps = expand(&book.steps, &route).map_err(whole)?;
    let mut play = Play::new(book, path, way, route, policy, other);
    let mut expecting = false;
    let mut index = 0;
    while let Some(step) = steps.get(index) {
        let fail = |why: String| Failure { line: step.line, text: step.text.clone(), why };
        at(step.line);
        if expecting && step.kind.is_input() && !step.kind.is_check() {
            play.settle().map_err(fail)?;
            play.just_sent = Default::default();
        }
        expecting = !step.kind.is_input();
        index += match &step.kind {
            StepKind::Send { side, .. } => play.send(*side, &steps[index..]).map_err(fail)?,
            kind => {
                play.step(kind).map_err(fail)?;
                1
            }
        };
    }
    let last = |why: String| Failure { line: 0, text: "(the end of the book)".to_owned(), why };
    play.settle().map_err(last)?;
    play.end().map_err(last)?;
    Ok(Played { tally: play.session.tally().clone(), ..play.played })
}

/// A table of policy lines to what a session is made of. Playbooks are in clear text unless they say otherwise.
fn compile(book: &Book, policy: &Table, path: &Path) -> Result<(Route, Policy), String> {
    let mut table = Table::new();
    for leg in ["client_tls", "server_tls"] {
        table.insert(leg.to_owned(), "off".into());
    }
    parse::merge(&mut table, policy.clone());
    let text = toml::to_string(&table).map_err(|e| e.to_string())?;
    let (route, mut policy) = config::compile(&text, path).map_err(|e| format!("{e}\n{text}"))?;
    if let Some(script) = &book.script {
        policy.scripts = ScriptSet::from_text(&path.with_extension("rhai"), script, ScriptLimits::default())
            .map_err(|e| e.to_string())?;
    }
    Ok((route, policy))
}

/// Writes `open` out.
fn expand(steps: &[Step], route: &Route) -> Result<Vec<Step>, String> {
    let mut all = Vec::with_capacity(steps.len());
    for step in steps {
        let StepKind::Open { jid, until } = &step.kind else {
            all.push(step.clone());
            continue;
        };
        for text in open::steps(jid, *until, route.client_tls, route.server_tls).lines() {
            all.push(Step { line: step.line, text: format!("(open) {text}"), kind: parse::step(text)? });
        }
    }
    Ok(all)
}

/// The state of one play.
pub(super) struct Play<'a> {
    book: &'a Book,
    path: &'a Path,
    way: Way,
    /// The policy in force, twice.
    policies: [Arc<Policy>; 2],
    /// All policy lines up to here.
    table: Table,
    session: Session,
    now: Timestamp,
    out: Outbox,
    /// What came out and was not yet expected.
    pub(super) pending: [Vec<u8>; 2],
    pub(super) acts: VecDeque<Act>,
    /// What was asked for, expected, and not yet answered.
    pub(super) asked: Vec<Act>,
    pub(super) notes: Vec<Note>,
    /// What the peers sent since something was last expected.
    just_sent: [Vec<u8>; 2],
    /// Bytes the session does not want yet.
    held: [VecDeque<Vec<u8>>; 2],
    pub(super) names: Names,
    /// Which legs stand.
    open: [bool; 2],
    /// Which legs the peer has ended without a word: the session may close them, but need not.
    ended: [bool; 2],
    /// Counts the inputs.
    round: u64,
    /// All bytes that went in.
    given: [Vec<u8>; 2],
    /// What a watcher was shown, by side and direction.
    seen: [[Vec<u8>; 2]; 2],
    /// The number of the last item shown.
    last_item: u64,
    /// Findings told, and findings shown with their items.
    findings: [usize; 2],
    /// How often the session said that it is over.
    overs: usize,
    played: Played,
}

impl<'a> Play<'a> {
    fn new(book: &'a Book, path: &'a Path, way: Way, route: Route, policy: Policy, other: Policy) -> Self {
        /// A Saturday morning; no book depends on it.
        const START: Timestamp = Timestamp(1_767_427_200_000_000);
        const SEED: u64 = 7;
        let policies = [Arc::new(policy), Arc::new(other)];
        let session = Session::new(START, Arc::new(route), Arc::clone(&policies[0]), 1, "192.0.2.1:40000", SEED);
        Self {
            book,
            path,
            way,
            policies,
            table: book.policy.clone(),
            session,
            now: START,
            out: Outbox { watched: way.watched, ..Outbox::default() },
            pending: Default::default(),
            acts: VecDeque::new(),
            asked: Vec::new(),
            notes: Vec::new(),
            just_sent: Default::default(),
            held: Default::default(),
            names: Names::new(),
            open: [true, false],
            ended: [false, false],
            round: 0,
            given: Default::default(),
            seen: Default::default(),
            last_item: 0,
            findings: [0, 0],
            overs: 0,
            played: Played::default(),
        }
    }

    /// Any step but a peer's bytes.
    fn step(&mut self, kind: &StepKind) -> Result<(), String> {
        match kind {
            StepKind::Open { .. } | StepKind::Send { .. } => Err("not a single step".to_owned()),
            StepKind::Tls { side, name, alpn } => {
                // Direct TLS on the client's leg begins by itself.
                if !(*side == Side::Client && self.round == 0 && self.acts.is_empty()) {
                    self.answerable(Act::StartTls(*side))?;
                }
                let name = name.as_ref().map(|n| compare::fill_in(n, &self.names)).transpose()?;
                let info = TlsInfo {
                    version: "TLSv1.3".to_owned(),
                    cipher: "TLS13_AES_128_GCM_SHA256".to_owned(),
                    name,
                    alpn: alpn.clone(),
                };
                self.answer(Input::TlsUp(*side, info))
            }
            StepKind::TlsFails(side, reason) => {
                self.answerable(Act::StartTls(*side))?;
                self.answer(Input::TlsFailed(*side, reason.clone()))
            }
            StepKind::Dial(domain) => {
                self.answerable(Act::Dial { domain: domain.clone() })?;
                self.answer(Input::Dialed)
            }
            StepKind::DialFails(reason) => {
                let asked = self.asked.iter().position(|act| matches!(act, Act::Dial { .. }));
                let dialled = asked.map(|at| self.asked.remove(at)).or_else(|| self.acts.pop_front());
                if !matches!(dialled, Some(Act::Dial { .. })) {
                    return Err("nothing was dialled".to_owned());
                }
                self.ended[Side::Server.index()] = true;
                self.answer(Input::DialFailed(reason.clone()))
            }
            StepKind::Wait(micros) => self.wait(*micros),
            StepKind::Eof(side) => {
                self.held[side.index()].clear();
                self.give(Input::Eof(*side))
            }
            StepKind::Stop => self.give(Input::Stop),
            StepKind::PolicySwap(over) => {
                parse::merge(&mut self.table, over.clone());
                let (_, policy) = compile(self.book, &self.table, self.path)?;
                let (_, other) = compile(self.book, &self.table, self.path)?;
                self.policies = [Arc::new(policy), Arc::new(other)];
                self.give(Input::Policy(Arc::clone(&self.policies[0])))
            }
            StepKind::Tree(side, expected) => self.tree(*side, expected),
            StepKind::Bytes(side, bytes) => {
                let expected = self.bytes(bytes)?;
                self.exactly(*side, &expected)
            }
            StepKind::Same(side) => {
                let expected = mem::take(&mut self.just_sent[side.other().index()]);
                if expected.is_empty() {
                    return Err("nothing was sent that could come out the same".to_owned());
                }
                self.exactly(*side, &expected)
            }
            StepKind::Space(side) => {
                let pending = &mut self.pending[side.index()];
                let len = pending.iter().take_while(|b| b.is_ascii_whitespace()).count();
                if len == 0 {
                    return Err(format!("white space was expected; came: {}", compare::show(pending)));
                }
                pending.drain(..len);
                Ok(())
            }
            StepKind::Nothing => self.settle(),
            StepKind::Asked(act) => {
                self.act(act)?;
                self.asked.push(act.clone());
                Ok(())
            }
            StepKind::Close(side, how) => self.act(&Act::Close(*side, *how)),
            StepKind::Finding(side, code, text) => self.finding(*side, code, text),
            StepKind::Note(kind, parts) => self.note(*kind, parts),
            StepKind::Bound(jid) => {
                self.take_note(|note| matches!(note, Note::Bound(bound) if bound == jid))?;
                match self.session.jid() {
                    Some(known) if known == jid => Ok(()),
                    other => Err(format!("the session takes itself to be {other:?}")),
                }
            }
        }
    }

    /// What a peer sends in a row, beginning with the first step; gives how many steps that was.
    fn send(&mut self, from: Side, steps: &[Step]) -> Result<usize, String> {
        let mut lines = Vec::new();
        let mut injected = false;
        for step in steps {
            match &step.kind {
                StepKind::Send { side, bytes, behind } if *side == from => {
                    lines.push(Line { bytes: self.bytes(bytes)?, behind: *behind });
                    injected |= *behind;
                }
                _ => break,
            }
        }
        for line in &lines {
            self.just_sent[from.index()].extend_from_slice(&line.bytes);
        }
        let round = self.round;
        for piece in cut::pieces(self.way.cut, &lines, round) {
            if self.way.patient && !injected && !(self.held[from.index()].is_empty() && self.session.wants(from)) {
                self.held[from.index()].push_back(piece);
            } else {
                self.give_bytes(from, &piece)?;
            }
        }
        if injected && !matches!(self.way.cut, Cut::Lines | Cut::Glued) {
            // The bytes behind came in a piece of their own: a handshake was asked for before the leg was closed.
            let asked = self.acts.iter().position(|a| *a == Act::StartTls(from));
            let closed = self.acts.iter().position(|a| matches!(a, Act::Close(side, _) if *side == from));
            if let (Some(asked), Some(closed)) = (asked, closed)
                && asked < closed
            {
                self.acts.remove(asked);
            }
        }
        Ok(lines.len())
    }

    fn bytes(&self, bytes: &Bytes) -> Result<Vec<u8>, String> {
        match bytes {
            Bytes::Raw(bytes) => Ok(bytes.clone()),
            Bytes::Text(text) => Ok(compare::fill_in(&compare::complete_header(text), &self.names)?.into_bytes()),
        }
    }

    /// Gives the answer to an act: an input for which all before must have been expected.
    fn answer(&mut self, input: Input<'_>) -> Result<(), String> {
        self.settle()?;
        self.just_sent = Default::default();
        self.give(input)
    }

    fn wait(&mut self, micros: u64) -> Result<(), String> {
        let until = Timestamp(self.now.0.saturating_add(micros));
        let mut last = None;
        while let Some(deadline) = self.session.deadline().filter(|d| *d <= until) {
            if last == Some(deadline) {
                return Err(format!("the session asks again for the deadline {deadline:?} it has just been given"));
            }
            last = Some(deadline);
            self.now = self.now.max(deadline);
            self.give(Input::Tick)?;
        }
        self.now = until;
        Ok(())
    }

    fn give_bytes(&mut self, side: Side, bytes: &[u8]) -> Result<(), String> {
        self.given[side.index()].extend_from_slice(bytes);
        self.give(Input::Bytes(side, bytes))
    }

    /// Hands one input to the session, and what it wanted to wait for.
    fn give(&mut self, input: Input<'_>) -> Result<(), String> {
        self.hand(input)?;
        for side in [Side::Client, Side::Server, Side::Client] {
            while self.session.wants(side) {
                let Some(piece) = self.held[side.index()].pop_front() else { break };
                self.given[side.index()].extend_from_slice(&piece);
                self.hand(Input::Bytes(side, &piece))?;
            }
        }
        Ok(())
    }

    fn hand(&mut self, input: Input<'_>) -> Result<(), String> {
        self.round += 1;
        if self.way.swap {
            let policy = Arc::clone(&self.policies[(self.round % 2) as usize]);
            self.session.handle(self.now, Input::Policy(policy), &mut self.out);
            self.collect()?;
            if self.session.deadline().is_none_or(|deadline| deadline > self.now) {
                self.session.handle(self.now, Input::Tick, &mut self.out);
                self.collect()?;
            }
        }
        if let Input::Eof(side) = input {
            self.ended[side.index()] = true;
        }
        self.session.handle(self.now, input, &mut self.out);
        self.collect()
    }

    /// Takes what is in the outbox, and holds it to what is true of every session.
    fn collect(&mut self) -> Result<(), String> {
        for side in [Side::Client, Side::Server] {
            let bytes = self.out.to[side.index()].split();
            if !bytes.is_empty() && !self.open[side.index()] {
                return Err(format!("bytes for {side:?}, which is not connected: {}", compare::show(&bytes)));
            }
            self.pending[side.index()].extend_from_slice(&bytes);
            self.played.to[side.index()].extend_from_slice(&bytes);
        }
        for act in mem::take(&mut self.out.acts) {
            match act {
                Act::Dial { .. } if self.open[Side::Server.index()] => {
                    return Err("dialled while the server's leg stands".to_owned());
                }
                Act::Dial { .. } => {
                    self.open[Side::Server.index()] = true;
                    self.ended[Side::Server.index()] = false;
                }
                Act::StartTls(side) | Act::Close(side, _) if !self.open[side.index()] => {
                    return Err(format!("{act:?} of a leg that is not connected"));
                }
                Act::StartTls(_) => {}
                Act::Close(side, _) => self.open[side.index()] = false,
            }
            self.acts.push_back(act.clone());
            self.played.acts.push(act);
        }
        for note in mem::take(&mut self.out.notes) {
            match note {
                Note::Seen(seen) if self.way.watched => {
                    if seen.number <= self.last_item {
                        return Err(format!("item {} was shown after item {}", seen.number, self.last_item));
                    }
                    self.last_item = seen.number;
                    self.findings[1] += seen.findings.len();
                    self.seen[seen.side.index()][usize::from(seen.dir == Dir::Out)].extend_from_slice(&seen.bytes);
                }
                Note::Seen(_) => return Err("Note::Seen, but nobody watches".to_owned()),
                note => {
                    self.findings[0] += usize::from(matches!(note, Note::Finding { alone: false, .. }));
                    self.overs += usize::from(matches!(note, Note::Over(_)));
                    self.notes.push(note);
                }
            }
        }
        let over = [0, 1].iter().all(|leg| self.ended[*leg] || !self.open[*leg]);
        if over != self.session.is_over() {
            let which =
                if over { "every leg is closed, but the session is not over" } else { "over, but a leg stands" };
            return Err(which.to_owned());
        }
        if self.overs != usize::from(over) {
            return Err(format!("over: {over}, but the note that it is over came {} times", self.overs));
        }
        if over && (self.session.deadline().is_some() || self.session.wants(Side::Client)) {
            return Err("over, but it waits for something".to_owned());
        }
        Ok(())
    }

    /// Everything that came out must have been expected by now.
    fn settle(&mut self) -> Result<(), String> {
        let mut left = Vec::new();
        for (side, pending) in ["C", "S"].into_iter().zip(&self.pending) {
            if !pending.is_empty() {
                left.push(format!("to {side}: {}", compare::show(pending)));
            }
        }
        left.extend(self.acts.iter().map(|act| format!("{act:?}")));
        left.extend(self.notes.iter().filter_map(|note| match note {
            Note::Finding { .. } | Note::ScriptError(_) => Some(format!("{note:?}")),
            _ => None,
        }));
        if left.is_empty() {
            self.notes.clear();
            return Ok(());
        }
        Err(format!("before this line, this came out and nobody expected it:\n{}", left.join("\n")))
    }

    /// What is true at the end of every book.
    fn end(&self) -> Result<(), String> {
        if self.held.iter().any(|held| !held.is_empty()) && self.open[Side::Client.index()] {
            return Err("the session never wanted the last bytes".to_owned());
        }
        if self.way.watched && self.findings[0] != self.findings[1] {
            return Err(format!("{:?}: as many findings must be shown as are told", self.findings));
        }
        for side in [Side::Client, Side::Server].into_iter().filter(|_| self.way.watched) {
            let [seen_in, seen_out] = &self.seen[side.index()];
            let (given, sent) = (&self.given[side.index()], &self.played.to[side.index()]);
            if seen_out != sent {
                let why = format!("a watcher was shown other bytes to {side:?} than went out");
                return Err(differ(&why, sent, seen_out));
            }
            if !given.starts_with(seen_in) {
                let why = format!("a watcher was shown other bytes from {side:?} than came in");
                return Err(differ(&why, given, seen_in));
            }
        }
        Ok(())
    }
}
