//! Plays a book once, in one way, against the core.
//!
//! Takes a [`Book`] and a [`Way`], gives all that came out, or the first [`Failure`]. A book may have several sessions,
//! one after the other or at the same time, with one clock, one policy and one vault between them. Whatever comes out
//! of any must be expected before the next thing happens; what is true of each session whatever the book says is in
//! `seat`. None asks for the same deadline again once it has been given.

use super::compare::{self, Names};
use super::cut::{self, Cut, Line};
use super::open::{self, Opening};
use super::parse::{self, Book, Bytes, Step, StepKind};
use super::seat::{Heard, Seat};
use super::shell::{self, House, Shell};
use super::stored::{self, StoreStep};
use super::why::Why;
use crate::config;
use crate::policy::{Policy, Route, VaultLimits};
use crate::script::{ScriptLimits, ScriptSet, Shared};
use crate::session::{Act, Input, Note, Session, TlsInfo, Vault};
use crate::xmpp::{Side, Timestamp};
use std::fmt;
use std::mem;
use std::path::Path;
use std::sync::Arc;
use toml::Table;

/// How a book is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// In which pieces bytes arrive.
    pub cut: Cut,
    /// Whether an equal policy takes over, and a tick comes too early, before every single input.
    pub swap: bool,
    /// Whether somebody watches.
    pub watched: bool,
    /// Whether bytes wait until the session wants them, as in the pump.
    pub patient: bool,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cut {
            Cut::Lines => write!(f, "line by line")?,
            Cut::Glued => write!(f, "lines glued")?,
            Cut::Bytes => write!(f, "byte by byte")?,
            Cut::Random(seed) => write!(f, "cut at random, seed {seed}")?,
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

/// Where and why a book does not hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// The line, from 1; 0 for the book as a whole.
    pub line: usize,
    /// That line's text.
    pub text: String,
    /// What was expected, what came.
    pub why: Why,
    /// The lines behind it that still expect something, up to what happens next.
    pub still: Vec<String>,
    /// What scripts said and how they failed, in order.
    pub said: Vec<String>,
}

impl Failure {
    /// Of a book as a whole.
    pub(super) fn whole(why: impl Into<Why>) -> Box<Self> {
        Box::new(Self { why: why.into(), ..Self::default() })
    }
}

/// Who is shown notes.
pub(super) type Listener<'a> = dyn FnMut(u64, &str, Timestamp, &Note) + 'a;

/// Plays a book. `path` is where the book stands: paths in its policy start from there. `at` is told each line that
/// is reached.
pub(super) fn play(book: &Book, path: &Path, way: Way, at: &dyn Fn(usize)) -> Result<Vec<Heard>, Box<Failure>> {
    play_to(book, path, way, at, &mut |_, _, _, _| ())
}

/// The same; `listener` is shown each note of a session: its number, its client's address, and when.
pub(super) fn play_to(
    book: &Book,
    path: &Path,
    way: Way,
    at: &dyn Fn(usize),
    listener: &mut Listener<'_>,
) -> Result<Vec<Heard>, Box<Failure>> {
    let shared = Shared::default();
    let (route, policy) = compile(book, &book.policy, path, &shared).map_err(Failure::whole)?;
    let (_, other) = compile(book, &book.policy, path, &shared).map_err(Failure::whole)?;
    let steps = expand(&book.steps, &route).map_err(Failure::whole)?;
    let mut play = Play::new(book, path, way, route, [policy, other], shared, listener);
    match play.all(&steps, at) {
        Ok(()) => {
            let mut heard: Vec<Heard> = play.seats.into_iter().map(Seat::heard).collect();
            if let Some(first) = heard.first_mut() {
                first.kept = play.shell.store().clone();
            }
            Ok(heard)
        }
        Err((index, why)) => Err(Box::new(play.failure(&steps, index, why))),
    }
}

/// A table of policy lines to what a session is made of. Playbooks are in clear text unless they say otherwise.
pub(super) fn compile(book: &Book, policy: &Table, path: &Path, shared: &Shared) -> Result<(Route, Policy), String> {
    let mut table = Table::new();
    for leg in ["client_tls", "server_tls"] {
        table.insert(leg.to_owned(), "off".into());
    }
    parse::merge(&mut table, policy.clone());
    let text = toml::to_string(&table).map_err(|e| e.to_string())?;
    let (route, mut policy) = config::compile(&text, path).map_err(|e| format!("the policy of this book: {e}"))?;
    if let Some(script) = &book.script {
        policy.scripts = ScriptSet::from_text(&path.with_extension("rhai"), script, ScriptLimits::default())
            .map_err(|e| e.to_string())?;
    }
    policy.scripts = policy.scripts.sharing(shared);
    Ok((route, policy))
}

/// The vault of a play: as large as the policy lines say, or as a configuration that says nothing.
pub(super) fn vault(policy: &Table) -> VaultLimits {
    let number = |key: &str, default: u64| {
        policy.get(key).and_then(toml::Value::as_integer).and_then(|n| u64::try_from(n).ok()).unwrap_or(default)
    };
    let sessions = usize::try_from(number("vault_sessions", 1000)).unwrap_or(usize::MAX);
    let bytes = usize::try_from(number("vault_bytes", 1 << 26)).unwrap_or(usize::MAX);
    VaultLimits { sessions, seconds: number("vault_seconds", 600), bytes }
}

/// Writes `open` out.
fn expand(steps: &[Step], route: &Route) -> Result<Vec<Step>, String> {
    let mut all = Vec::with_capacity(steps.len());
    let mut number = 1;
    for step in steps {
        if let StepKind::Session(of) = step.kind {
            number = of;
        }
        let StepKind::Open { jid, until, sm } = &step.kind else {
            all.push(step.clone());
            continue;
        };
        let opening = Opening { jid, until: *until, sm: *sm, number };
        for text in open::steps(opening, route.client_tls, route.server_tls).lines() {
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
    route: Arc<Route>,
    /// The policy in force, twice.
    policies: [Arc<Policy>; 2],
    /// What the scripts of all policies share.
    shared: Shared,
    /// All policy lines up to here.
    table: Table,
    now: Timestamp,
    pub(super) names: Names,
    /// The sessions, by number less one.
    seats: Vec<Seat>,
    /// The one that the lines are about.
    at: usize,
    shell: Shell,
    /// Counts the inputs of all sessions.
    round: u64,
    listener: &'a mut Listener<'a>,
}

impl House for Play<'_> {
    fn shell(&mut self) -> &mut Shell {
        &mut self.shell
    }

    fn session(&self, number: u64) -> &Session {
        &self.seats[index(number)].session
    }

    fn answer(&mut self, number: u64, input: Input<'_>) -> Result<(), String> {
        self.hand(index(number), input)
    }
}

/// The place of a session's seat.
fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX) - 1
}

impl<'a> Play<'a> {
    fn new(
        book: &'a Book,
        path: &'a Path,
        way: Way,
        route: Route,
        policies: [Policy; 2],
        shared: Shared,
        listener: &'a mut Listener<'a>,
    ) -> Self {
        /// A Saturday morning; no book depends on it.
        const START: Timestamp = Timestamp(1_767_427_200_000_000);
        let mut play = Self {
            book,
            path,
            way,
            route: Arc::new(route),
            policies: policies.map(Arc::new),
            shared,
            table: book.policy.clone(),
            now: START,
            names: Names::new(),
            seats: Vec::new(),
            at: 0,
            shell: Shell::with_store(Vault::new(vault(&book.policy)), stored::filled(&book.store)),
            round: 0,
            listener,
        };
        play.turn_to(1);
        play
    }

    /// Plays all steps; the error says at which one it ended, or that it was the end of the book.
    fn all(&mut self, steps: &[Step], at: &dyn Fn(usize)) -> Result<(), (Option<usize>, Why)> {
        let mut expecting = false;
        let mut index = 0;
        while let Some(step) = steps.get(index) {
            let here = |why: Why| (Some(index), why);
            at(step.line);
            if expecting && step.kind.is_input() && !step.kind.is_check() {
                self.settle().map_err(here)?;
                self.forget_sent();
            }
            expecting = step.kind.is_check() && !step.kind.is_input() || expecting && !step.kind.is_input();
            index += match &step.kind {
                StepKind::Send { side, .. } => self.send(*side, &steps[index..]).map_err(here)?,
                kind => {
                    self.step(kind).map_err(here)?;
                    1
                }
            };
        }
        self.settle().and_then(|()| self.end()).map_err(|why| (None, why))
    }

    /// What there is to say about a step that does not hold.
    fn failure(&self, steps: &[Step], index: Option<usize>, mut why: Why) -> Failure {
        if why.left.is_empty() {
            // What stands beside the line's own words need not be said twice.
            let shown = |left: &String| {
                why.contrast
                    .as_ref()
                    .is_some_and(|c| !c.came.is_empty() && left.ends_with(&compare::show(c.came.as_bytes())))
            };
            why.left = self.unexpected().into_iter().filter(|left| !shown(left)).collect();
        }
        let said = self.seats.iter().enumerate();
        let said = said.flat_map(|(i, seat)| seat.said.iter().map(move |text| self.named(i, text))).collect();
        let Some((index, step)) = index.and_then(|index| Some((index, steps.get(index)?))) else {
            return Failure { text: "(the end of the book)".to_owned(), why, said, ..Failure::default() };
        };
        let behind = steps[index..].iter().skip(1).take_while(|step| step.kind.is_check() && !step.kind.is_input());
        let still = if step.kind.is_check() { behind.map(|step| step.text.clone()).collect() } else { Vec::new() };
        Failure { line: step.line, text: step.text.clone(), why, still, said }
    }

    /// The session that the lines are about.
    pub(super) fn seat(&mut self) -> &mut Seat {
        &mut self.seats[self.at]
    }

    /// The lines are about another session from here on; a new one is a new connection.
    fn turn_to(&mut self, number: usize) {
        if number > self.seats.len() {
            let (route, policy) = (Arc::clone(&self.route), Arc::clone(&self.policies[0]));
            self.seats.push(Seat::new(self.now, route, policy, number as u64, self.way.watched));
        }
        self.at = number - 1;
    }

    /// Any step but a peer's bytes.
    fn step(&mut self, kind: &StepKind) -> Result<(), Why> {
        match kind {
            StepKind::Session(number) => {
                self.turn_to(*number);
                Ok(())
            }
            StepKind::Open { .. } | StepKind::Send { .. } => Err("not a single step".into()),
            StepKind::Tls { side, name, alpn } => {
                // Direct TLS on the client's leg begins by itself.
                let seat = self.seat();
                if !(*side == Side::Client && seat.round == 0 && seat.acts.is_empty()) {
                    self.seat().answerable(Act::StartTls(*side))?;
                }
                let name = name.as_ref().map(|n| compare::fill_in(n, &self.names)).transpose()?;
                let info = TlsInfo {
                    version: "TLSv1.3".to_owned(),
                    cipher: "TLS13_AES_128_GCM_SHA256".to_owned(),
                    name,
                    alpn: alpn.clone(),
                };
                self.reply(Input::TlsUp(*side, info))
            }
            StepKind::TlsFails(side, reason) => {
                self.seat().answerable(Act::StartTls(*side))?;
                self.reply(Input::TlsFailed(*side, reason.clone()))
            }
            StepKind::Dial(domain) => {
                self.seat().answerable(Act::Dial { domain: domain.clone() })?;
                self.reply(Input::Dialed)
            }
            StepKind::DialFails(reason) => {
                let seat = self.seat();
                let asked = seat.asked.iter().position(|act| matches!(act, Act::Dial { .. }));
                let dialled = asked.map(|at| seat.asked.remove(at)).or_else(|| seat.acts.pop_front());
                if !matches!(dialled, Some(Act::Dial { .. })) {
                    return Err("nothing was dialled".into());
                }
                seat.ended[Side::Server.index()] = true;
                self.reply(Input::DialFailed(reason.clone()))
            }
            StepKind::Wait(micros) => self.wait(*micros),
            StepKind::Eof(side) => {
                self.seat().held[side.index()].clear();
                self.give(Input::Eof(*side))
            }
            StepKind::Stop => self.give(Input::Stop),
            StepKind::PolicySwap(over) => {
                parse::merge(&mut self.table, over.clone());
                let number = self.policies[0].number + 1;
                let (_, policy) = compile(self.book, &self.table, self.path, &self.shared)?;
                let (_, other) = compile(self.book, &self.table, self.path, &self.shared)?;
                let [policy, other] = [policy, other].map(|policy| Policy { number, ..policy });
                self.policies = [Arc::new(policy), Arc::new(other)];
                self.everyone(|play| play.give(Input::Policy(Arc::clone(&play.policies[0]))))
            }
            StepKind::Tree(side, expected) => self.seats[self.at].tree(*side, expected, &mut self.names),
            StepKind::Bytes(side, bytes) => {
                let expected = self.bytes(bytes)?;
                self.seat().exactly(*side, &expected)
            }
            StepKind::Same(side) => {
                let expected = mem::take(&mut self.seat().just_sent[side.other().index()]);
                if expected.is_empty() {
                    return Err("nothing was sent that could come out the same".into());
                }
                self.seat().exactly(*side, &expected)
            }
            StepKind::Space(side) => {
                let pending = &mut self.seat().pending[side.index()];
                let len = pending.iter().take_while(|b| b.is_ascii_whitespace()).count();
                if len == 0 {
                    return Err("white space was expected".into());
                }
                pending.drain(..len);
                Ok(())
            }
            StepKind::Nothing => self.settle(),
            StepKind::Store(step) => self.store(step),
            StepKind::Asked(act) => {
                self.seat().act(act)?;
                self.seat().asked.push(act.clone());
                Ok(())
            }
            StepKind::Close(side, how) => self.seat().act(&Act::Close(*side, *how)),
            StepKind::Finding(side, code, text) => self.seat().finding(*side, code, text),
            StepKind::Note(kind, parts) => self.seat().note(*kind, parts),
            StepKind::Bound(jid) => {
                self.seat().take_note(|note| matches!(note, Note::Bound(bound) if bound == jid))?;
                match self.seat().session.jid() {
                    Some(known) if known == jid => Ok(()),
                    other => Err(format!("the session takes itself to be {other:?}").into()),
                }
            }
        }
    }

    /// A line about the store.
    fn store(&mut self, step: &StoreStep) -> Result<(), Why> {
        match step {
            StoreStep::Is(kept) => return stored::check_kept(self.shell.store(), kept, &mut self.names),
            StoreStep::IsNot(place) => return stored::check_not_kept(self.shell.store(), place),
            StoreStep::Holds => self.shell.hold(),
            StoreStep::Fails(why) => self.shell.fail(why),
            StoreStep::GoesOn => self.shell.go_on(),
        }
        shell::serve(self, self.now)?;
        self.everyone(Self::give_held)
    }

    /// What a peer sends in a row, beginning with the first step; gives how many steps that was.
    fn send(&mut self, from: Side, steps: &[Step]) -> Result<usize, Why> {
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
            self.seat().just_sent[from.index()].extend_from_slice(&line.bytes);
        }
        let round = self.round;
        for piece in cut::pieces(self.way.cut, &lines, round) {
            let patient = self.way.patient && !injected;
            let seat = self.seat();
            if patient && !(seat.held[from.index()].is_empty() && seat.session.wants(from)) {
                seat.held[from.index()].push_back(piece);
            } else {
                self.give(Input::Bytes(from, &piece))?;
            }
        }
        if injected && !matches!(self.way.cut, Cut::Lines | Cut::Glued) {
            // The bytes behind came in a piece of their own: a handshake was asked for before the leg was closed.
            let acts = &mut self.seat().acts;
            let asked = acts.iter().position(|a| *a == Act::StartTls(from));
            let closed = acts.iter().position(|a| matches!(a, Act::Close(side, _) if *side == from));
            if let (Some(asked), Some(closed)) = (asked, closed)
                && asked < closed
            {
                acts.remove(asked);
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

    /// Gives the reply to an act: an input for which all before must have been expected.
    fn reply(&mut self, input: Input<'_>) -> Result<(), Why> {
        self.settle()?;
        self.forget_sent();
        self.give(input)
    }

    fn forget_sent(&mut self) {
        for seat in &mut self.seats {
            seat.just_sent = Default::default();
        }
    }

    /// Does the same in every session.
    fn everyone(&mut self, each: impl Fn(&mut Self) -> Result<(), Why>) -> Result<(), Why> {
        let at = self.at;
        for seat in 0..self.seats.len() {
            self.at = seat;
            each(self)?;
        }
        self.at = at;
        Ok(())
    }

    fn wait(&mut self, micros: u64) -> Result<(), Why> {
        let until = Timestamp(self.now.0.saturating_add(micros));
        let mut last = vec![None; self.seats.len()];
        let at = self.at;
        loop {
            let due = self.seats.iter().enumerate().filter_map(|(i, seat)| Some((seat.session.deadline()?, i)));
            let Some((deadline, seat)) = due.min().filter(|(deadline, _)| *deadline <= until) else { break };
            if last[seat].replace(deadline) == Some(deadline) {
                return Err(
                    format!("the session asks again for the deadline {deadline:?} it has just been given").into()
                );
            }
            self.now = self.now.max(deadline);
            self.at = seat;
            self.give(Input::Tick)?;
        }
        self.at = at;
        self.now = until;
        Ok(())
    }

    /// Hands one input to the session that the lines are about, and what it wanted to wait for.
    fn give(&mut self, input: Input<'_>) -> Result<(), Why> {
        self.drive(input)?;
        self.give_held()
    }

    /// Hands the session what it did not want before.
    fn give_held(&mut self) -> Result<(), Why> {
        for side in [Side::Client, Side::Server, Side::Client] {
            while self.seat().session.wants(side) {
                let Some(piece) = self.seat().held[side.index()].pop_front() else { break };
                self.drive(Input::Bytes(side, &piece))?;
            }
        }
        Ok(())
    }

    /// One input from outside, and all that the shell has to do about it.
    fn drive(&mut self, input: Input<'_>) -> Result<(), String> {
        self.round += 1;
        let at = self.at;
        if self.way.swap {
            let policy = Arc::clone(&self.policies[(self.round % 2) as usize]);
            self.hand(at, Input::Policy(policy))?;
            if self.seats[at].session.deadline().is_none_or(|deadline| deadline > self.now) {
                self.hand(at, Input::Tick)?;
            }
        }
        self.hand(at, input)?;
        shell::serve(self, self.now)
    }

    fn hand(&mut self, seat: usize, input: Input<'_>) -> Result<(), String> {
        let told = self.seats[seat].hand(self.now, input, &mut self.shell, self.listener);
        told.map_err(|why| self.named(seat, &why))
    }

    /// What is said of a session, with its number where there are several.
    fn named(&self, seat: usize, text: &str) -> String {
        if self.seats.len() > 1 { format!("session {}: {text}", seat + 1) } else { text.to_owned() }
    }

    /// All that came out of any session and nobody has expected.
    fn unexpected(&self) -> Vec<String> {
        let all = self.seats.iter().enumerate();
        all.flat_map(|(i, seat)| seat.unexpected().into_iter().map(move |what| self.named(i, &what))).collect()
    }

    /// Everything that came out must have been expected by now.
    fn settle(&mut self) -> Result<(), Why> {
        let left = self.unexpected();
        if left.is_empty() {
            self.seats.iter_mut().for_each(|seat| seat.notes.clear());
            return Ok(());
        }
        let reason = "this came out before, and nobody expected it:".to_owned();
        Err(Why { reason, left, ..Why::default() })
    }

    /// What is true at the end of every book.
    fn end(&self) -> Result<(), Why> {
        self.seats
            .iter()
            .enumerate()
            .try_for_each(|(i, seat)| seat.end().map_err(|why| Why { reason: self.named(i, &why.reason), ..why }))
    }
}
