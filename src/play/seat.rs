//! What belongs to one session of a play: the session, its legs, and what came out of it.
//!
//! Takes inputs, hands them to the session and holds what comes out to what is true of every session. A session never
//! * sends bytes or asks for anything on a leg it has closed, or parks its state after it has closed one,
//! * is over while a leg stands open, or goes on when both are closed,
//! * shows a watcher other bytes than it sent, other findings than it told, or items out of order,
//! * says that it is over before it is, or twice, or never.

use super::compare;
use super::expect::differ;
use super::notation;
use super::run::Listener;
use super::shell::Shell;
use super::why::Why;
use crate::policy::{Policy, Route};
use crate::session::{Act, Dir, Input, Note, Outbox, Session, Tally};
use crate::store::MemoryStore;
use crate::xmpp::{Side, Timestamp};
use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;

/// All that came out of one session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Bytes, by [`Side::index`].
    pub to: [Vec<u8>; 2],
    /// Acts in order, but those about the vault and the store.
    pub acts: Vec<Act>,
    /// What was counted at the end.
    pub tally: Tally,
    /// Of the first session: what the store held at the end.
    pub kept: MemoryStore,
}

/// One session and all about it.
pub(super) struct Seat {
    /// Its number, from 1.
    pub(super) number: u64,
    pub(super) session: Session,
    peer: String,
    out: Outbox,
    /// What came out and was not yet expected.
    pub(super) pending: [Vec<u8>; 2],
    pub(super) acts: VecDeque<Act>,
    /// What was asked for, expected, and not yet answered.
    pub(super) asked: Vec<Act>,
    pub(super) notes: Vec<Note>,
    /// What the peers sent since something was last expected.
    pub(super) just_sent: [Vec<u8>; 2],
    /// Bytes the session does not want yet.
    pub(super) held: [VecDeque<Vec<u8>>; 2],
    /// Counts the inputs.
    pub(super) round: u64,
    /// Which legs stand.
    open: [bool; 2],
    /// Which legs the peer has ended without a word: the session may close them, but need not.
    pub(super) ended: [bool; 2],
    /// All bytes that went in.
    given: [Vec<u8>; 2],
    /// What a watcher was shown, by side and direction.
    seen: [[Vec<u8>; 2]; 2],
    /// The number of the last item shown.
    last_item: u64,
    /// Findings told of a stanza, and findings shown with their items.
    findings: [usize; 2],
    /// How often the session said that it is over.
    overs: usize,
    /// Whether its state was parked.
    parked: bool,
    /// What scripts said and how they failed, in order.
    pub(super) said: Vec<String>,
    heard: Heard,
}

impl Seat {
    /// A fresh connection.
    pub(super) fn new(now: Timestamp, route: Arc<Route>, policy: Arc<Policy>, number: u64, watched: bool) -> Self {
        const SEED: u64 = 6;
        let peer = format!("192.0.2.1:{}", 39_999 + number);
        Self {
            number,
            session: Session::new(now, route, policy, number, &peer, SEED + number),
            peer,
            out: Outbox { watched, ..Outbox::default() },
            pending: Default::default(),
            acts: VecDeque::new(),
            asked: Vec::new(),
            notes: Vec::new(),
            just_sent: Default::default(),
            held: Default::default(),
            round: 0,
            open: [true, false],
            ended: [false, false],
            given: Default::default(),
            seen: Default::default(),
            last_item: 0,
            findings: [0, 0],
            overs: 0,
            parked: false,
            said: Vec::new(),
            heard: Heard::default(),
        }
    }

    /// Hands one input to the session, and takes what comes out; what it wants from the vault is left with the shell.
    pub(super) fn hand(
        &mut self,
        now: Timestamp,
        input: Input<'_>,
        shell: &mut Shell,
        listener: &mut Listener<'_>,
    ) -> Result<(), String> {
        self.round += 1;
        match &input {
            Input::Eof(side) => self.ended[side.index()] = true,
            Input::Bytes(side, bytes) => self.given[side.index()].extend_from_slice(bytes),
            _ => {}
        }
        self.session.handle(now, input, &mut self.out);
        self.take_bytes()?;
        for act in mem::take(&mut self.out.acts) {
            self.take_act(act, shell)?;
        }
        for note in mem::take(&mut self.out.notes) {
            listener(self.number, &self.peer, now, &note);
            self.hear(note)?;
        }
        self.check_over(shell)
    }

    fn take_bytes(&mut self) -> Result<(), String> {
        for side in [Side::Client, Side::Server] {
            let bytes = self.out.to[side.index()].split();
            if !bytes.is_empty() && !self.open[side.index()] {
                return Err(format!("bytes for {side:?}, which is not connected: {}", compare::show(&bytes)));
            }
            self.pending[side.index()].extend_from_slice(&bytes);
            self.heard.to[side.index()].extend_from_slice(&bytes);
        }
        Ok(())
    }

    fn take_act(&mut self, act: Act, shell: &mut Shell) -> Result<(), String> {
        if matches!(act, Act::Park(_)) {
            let closed = self.heard.acts.iter().any(|act| matches!(act, Act::Close(Side::Client, _)));
            if closed || mem::replace(&mut self.parked, true) {
                return Err("a session parks its state once, before it closes the client's leg".to_owned());
            }
        }
        let Some(act) = shell.ask(self.number, act) else { return Ok(()) };
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
            Act::Close(side, _) => self.open[side.index()] = false,
            _ => {}
        }
        self.acts.push_back(act.clone());
        self.heard.acts.push(act);
        Ok(())
    }

    fn hear(&mut self, note: Note) -> Result<(), String> {
        match note {
            Note::Seen(seen) if self.out.watched => {
                if seen.number <= self.last_item {
                    return Err(format!("item {} was shown after item {}", seen.number, self.last_item));
                }
                self.last_item = seen.number;
                self.findings[1] += seen.findings.len();
                self.seen[seen.side.index()][usize::from(seen.dir == Dir::Out)].extend_from_slice(&seen.bytes);
            }
            Note::Seen(_) => return Err("Note::Seen, but nobody watches".to_owned()),
            note => {
                // Behind one that is told alone stands no item that it could be shown with.
                self.findings[0] += usize::from(matches!(note, Note::Finding { alone: false, .. }));
                self.overs += usize::from(matches!(note, Note::Over(_)));
                match &note {
                    Note::Log(log) => self.said.push(format!("{}: {}: {}", log.script, log.level, log.text)),
                    Note::ScriptError(text) => self.said.push(format!("FAILED {text}")),
                    _ => {}
                }
                self.notes.push(note);
            }
        }
        Ok(())
    }

    fn check_over(&self, shell: &mut Shell) -> Result<(), String> {
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
        if over {
            shell.over(self.number);
        }
        Ok(())
    }

    /// Everything that came out and that nobody has expected.
    pub(super) fn unexpected(&self) -> Vec<String> {
        let mut left = Vec::new();
        for side in [Side::Client, Side::Server] {
            let pending = &self.pending[side.index()];
            if !pending.is_empty() {
                left.push(format!("to {}: {}", notation::letter(side), compare::show(pending)));
            }
        }
        left.extend(self.acts.iter().map(notation::act));
        let urgent = self.notes.iter().filter(|note| matches!(note, Note::Finding { .. } | Note::ScriptError(_)));
        left.extend(urgent.filter_map(notation::line));
        left
    }

    /// What is true at the end of every book.
    pub(super) fn end(&self) -> Result<(), Why> {
        if self.held.iter().any(|held| !held.is_empty()) && self.open[Side::Client.index()] {
            return Err("the session never wanted the last bytes".into());
        }
        if !self.out.watched {
            return Ok(());
        }
        if self.findings[0] != self.findings[1] {
            return Err(format!("{:?}: as many findings must be shown as are told", self.findings).into());
        }
        for side in [Side::Client, Side::Server] {
            let [seen_in, seen_out] = &self.seen[side.index()];
            let (given, sent) = (&self.given[side.index()], &self.heard.to[side.index()]);
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

    /// All that came out.
    pub(super) fn heard(self) -> Heard {
        Heard { tally: self.session.tally().clone(), ..self.heard }
    }
}
