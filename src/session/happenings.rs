//! Scripts and the session: what they may know of it, what they keep of it, and what they hear of besides stanzas: its
//! beginning, the features, the binding, its end, time, and the answers to what they have asked.
//!
//! Takes what happened, does what they want. Must not call a script from within another.

use super::core::Core;
use super::iq::Role;
use super::script_sends::Aftermath;
use super::{Note, Outbox};
use crate::policy::OnScriptError;
use crate::script::{Event, LogLine, Memory, Outcome, Reply, ScriptSet, Verdict, named};
use crate::xml::{Element, View};
use crate::xmpp::{Facts, Kind, Phase, Side, StreamCondition, StreamError, Timestamp};

/// Requests of scripts that may be under way in one session.
const MOST_ASKS: usize = 64;
/// Timers called at one time; what else is due is called the next.
const TIMERS_AT_ONCE: usize = 64;

/// What the scripts keep of a session, and what the shadow scripts do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Memories {
    live: Memory,
    /// None where there are no shadow scripts.
    shadow: Option<Box<Memory>>,
    /// How many requests were numbered, to remember them by. Connections of one session go on counting.
    requests: u64,
}

impl Memories {
    pub(super) fn weight(&self) -> usize {
        self.live.weight() + self.shadow.as_ref().map_or(0, |memory| memory.weight())
    }

    /// A number to remember a request by.
    pub(super) fn next_request(&mut self) -> u64 {
        self.requests += 1;
        self.requests
    }

    /// A request is done with.
    pub(super) fn forget(&mut self, number: u64) {
        self.live.forget(number);
        if let Some(memory) = &mut self.shadow {
            memory.forget(number);
        }
    }
}

/// A request that a script has asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OwnAsk {
    pub(super) id: String,
    /// Until when it waits for the answer.
    pub(super) until: Timestamp,
    pub(super) reply: Reply,
}

/// The requests that scripts have asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asks {
    open: Vec<OwnAsk>,
    /// Who waits for the stanza at hand.
    answered: Option<Reply>,
}

impl Asks {
    /// Adds one; whether there was room.
    pub(super) fn add(&mut self, ask: OwnAsk) -> bool {
        let room = self.open.len() < MOST_ASKS;
        if room {
            self.open.push(ask);
        }
        room
    }

    /// It was not asked after all.
    pub(super) fn withdraw(&mut self, id: &str) {
        self.open.retain(|ask| ask.id != id);
    }

    /// The stanza at hand answers this one.
    pub(super) fn answered(&mut self, id: &str) {
        if let Some(at) = self.open.iter().position(|ask| ask.id == id) {
            self.answered = Some(self.open.remove(at).reply);
        }
    }

    fn next(&self) -> Option<Timestamp> {
        self.open.iter().map(|ask| ask.until).min()
    }

    /// One that has waited long enough.
    fn due(&mut self, now: Timestamp) -> Option<Reply> {
        let at = self.open.iter().position(|ask| ask.until <= now)?;
        Some(self.open.remove(at).reply)
    }
}

impl Core {
    fn facts(&self, side: Side) -> Facts<'_> {
        let phase = match (self.over, &self.jid) {
            (true, _) => Phase::Closed,
            (false, Some(_)) => Phase::Bound,
            (false, None) if self.authenticated => Phase::Authenticated,
            (false, None) => Phase::Open,
        };
        Facts {
            now: self.now,
            session: self.number,
            side,
            jid: self.jid.as_deref(),
            domain: self.header.to.as_deref().unwrap_or_default(),
            peer: &self.peer,
            tls: [Side::Client, Side::Server].map(|side| self.leg_ref(side).tls),
            mechanism: self.mechanism.as_deref(),
            phase,
            started: self.started,
        }
    }

    /// Does something with the scripts.
    pub(super) fn with_scripts<R>(
        &mut self,
        side: Side,
        work: impl FnOnce(&ScriptSet, &Facts<'_>, &mut Memory) -> R,
    ) -> R {
        let mut memory = std::mem::take(&mut self.memories.live);
        let result = work(&self.policy.scripts, &self.facts(side), &mut memory);
        self.memories.live = memory;
        result
    }

    fn with_shadow<R>(&mut self, side: Side, work: impl FnOnce(&ScriptSet, &Facts<'_>, &mut Memory) -> R) -> Option<R> {
        if self.policy.shadow.is_empty() {
            return None;
        }
        let mut memory = self.memories.shadow.take().unwrap_or_default();
        let result = work(&self.policy.shadow, &self.facts(side), &mut memory);
        self.memories.shadow = Some(memory);
        Some(result)
    }

    /// Tells of what scripts said outside of a stanza, and does what they want.
    fn happened(&mut self, outcome: Outcome, out: &mut Outbox) {
        let Outcome { sends, asks, close, logs, errors, .. } = outcome;
        out.notes.extend(logs.into_iter().map(Note::Log));
        out.notes.extend(errors.into_iter().map(Note::ScriptError));
        self.script_wants(Aftermath { sends, asks, close }, false, out);
    }

    /// Tells the scripts; whether one failed.
    fn event(&mut self, event: Event<'_>, out: &mut Outbox) -> bool {
        let shadow = self.with_shadow(Side::Client, |scripts, facts, memory| scripts.event(event, facts, memory));
        tell_errors(shadow.as_ref(), out);
        let outcome = self.with_scripts(Side::Client, |scripts, facts, memory| scripts.event(event, facts, memory));
        let failed = outcome.failed;
        self.happened(outcome, out);
        failed
    }

    /// A script failed where it may have wanted to end the session, or to hide what the client is about to see: as with a
    /// stanza, nothing gets past it unless the policy says so.
    fn failed_at_the_door(&mut self, out: &mut Outbox) {
        if self.policy.on_script_error != OnScriptError::Pass {
            let error = StreamError::new(StreamCondition::InternalServerError, "a script of the proxy failed");
            self.fail(Side::Client, error, out);
        }
    }

    /// The client has opened its stream, and the server is about to be called: once for each domain it names, for behind
    /// STARTTLS that may be another.
    pub(super) fn scripts_open(&mut self, out: &mut Outbox) {
        if self.opened != self.header.to {
            self.opened.clone_from(&self.header.to);
            if self.event(Event::Open, out) {
                self.failed_at_the_door(out);
            }
        }
    }

    /// The client is bound.
    pub(super) fn scripts_bound(&mut self, out: &mut Outbox) {
        let _ = self.event(Event::Bind, out);
    }

    /// The server's features, as the scripts want them. What cannot pass a middlebox is taken out afterwards.
    pub(super) fn scripts_edit(&mut self, features: Element, out: &mut Outbox) -> Element {
        if !self.policy.scripts.edits_features() {
            return features;
        }
        let (edited, outcome) =
            self.with_scripts(Side::Server, |scripts, facts, memory| scripts.features(&features, facts, memory));
        let failed = outcome.failed;
        self.happened(outcome, out);
        if failed {
            self.failed_at_the_door(out);
        }
        edited.unwrap_or(features)
    }

    /// A request has gone unanswered for too long.
    pub(super) fn scripts_timeout(&mut self, number: u64, out: &mut Outbox) {
        let _ = self.event(Event::Timeout(number), out);
    }

    /// The session is over. What was counted goes to its tally.
    pub(super) fn scripts_end(&mut self, out: &mut Outbox) {
        let reason = self.ending.take().unwrap_or_else(|| "over".to_owned());
        if self.opened.is_some() {
            let _ = self.event(Event::Close(&reason), out);
        }
        self.count_hooks();
    }

    fn count_hooks(&mut self) {
        let counts = self.memories.live.take_counts();
        self.tally.count_hooks(&counts);
    }

    /// There are new scripts: what they keep of the session is theirs now.
    pub(super) fn scripts_loaded(&mut self, out: &mut Outbox) {
        tell_errors(self.with_shadow(Side::Client, ScriptSet::loaded).as_ref(), out);
        let outcome = self.with_scripts(Side::Client, ScriptSet::loaded);
        self.happened(outcome, out);
    }

    /// When scripts want to be called.
    pub(super) fn script_deadline(&self) -> Option<Timestamp> {
        let of = |scripts: &ScriptSet, memory: &Memory| if scripts.is_empty() { None } else { memory.deadline() };
        let live = of(&self.policy.scripts, &self.memories.live);
        let shadow = self.memories.shadow.as_ref().and_then(|memory| of(&self.policy.shadow, memory));
        [live, shadow, self.asks.next()].into_iter().flatten().min()
    }

    /// Time has passed.
    pub(super) fn scripts_due(&mut self, out: &mut Outbox) {
        for _ in 0..TIMERS_AT_ONCE {
            let shadow = self.with_shadow(Side::Client, ScriptSet::due).flatten();
            tell_errors(shadow.as_ref(), out);
            if shadow.is_none() {
                break;
            }
        }
        for _ in 0..TIMERS_AT_ONCE {
            if self.over {
                return;
            }
            let Some(outcome) = self.with_scripts(Side::Client, ScriptSet::due) else { break };
            self.happened(outcome, out);
        }
        while !self.over
            && let Some(reply) = self.asks.due(self.now)
        {
            self.hand_over(&reply, Side::Server, None, out);
        }
    }

    /// If the stanza at hand has answered a script's request, the script has it now.
    pub(super) fn script_replied(&mut self, side: Side, view: &View<'_>, out: &mut Outbox) {
        if let Some(reply) = self.asks.answered.take() {
            self.hand_over(&reply, side, Some(view), out);
        }
    }

    fn hand_over(&mut self, reply: &Reply, side: Side, answer: Option<&View<'_>>, out: &mut Outbox) {
        let outcome = self.with_scripts(side, |scripts, facts, memory| scripts.replied(reply, answer, facts, memory));
        self.happened(outcome, out);
    }

    /// A request is let in: whoever wants to see it with its answer will.
    pub(super) fn remember_request(&mut self, number: u64, side: Side, view: &View<'_>) {
        if number == 0 {
            return;
        }
        if self.policy.scripts.remembers() {
            self.memories.live.remember(number, side, view);
        }
        if self.policy.shadow.remembers() {
            self.memories.shadow.get_or_insert_default().remember(number, side, view);
        }
    }

    /// The number of the request an answer belongs to, if scripts may want it; 0 for one that nobody knows any more.
    pub(super) fn remembered(&self, role: Role) -> Option<u64> {
        if !self.policy.scripts.remembers() && !self.policy.shadow.remembers() {
            return None;
        }
        match role {
            Role::Answer { at: Some(at), .. } => {
                self.iqs.row(at).map(|row| row.remembered).filter(|number| *number > 0)
            }
            Role::Answer { evicted: Some(true), .. } => Some(0),
            _ => None,
        }
    }

    /// Shows a stanza to the shadow scripts, and tells where they would have decided otherwise.
    pub(super) fn shadowed(
        &mut self,
        side: Side,
        kind: Kind,
        view: &View<'_>,
        request: Option<u64>,
        live: &Outcome,
        out: &mut Outbox,
    ) {
        let run = |scripts: &ScriptSet, facts: &Facts<'_>, memory: &mut Memory| {
            scripts.run(kind, view, request, facts, memory)
        };
        let Some(shadow) = self.with_shadow(side, run) else { return };
        self.tally.shadow[0] += 1;
        tell_errors(Some(&shadow), out);
        if (&shadow.verdict, &shadow.element) != (&live.verdict, &live.element) {
            self.tally.shadow[1] += 1;
            let stanza = named(kind, view, side);
            out.notes.push(shadow_line(
                "info",
                format!("{stanza}: {}, where the live scripts {}", does(&shadow), does(live)),
            ));
        }
    }

    /// What goes along when another connection resumes this session. A copy stays: `on_close` is still to come here, and finds
    /// what was kept.
    pub(super) fn give_up_scripts(&mut self) -> (Memories, Asks) {
        self.count_hooks();
        let Memories { live, shadow, requests } = self.memories.clone();
        let memories = Memories {
            live: live.carried_over(),
            shadow: shadow.map(|memory| Box::new(memory.carried_over())),
            requests,
        };
        (memories, std::mem::take(&mut self.asks))
    }

    /// Goes on with what an earlier connection kept.
    pub(super) fn take_over_scripts(&mut self, memories: Memories, asks: Asks) {
        self.count_hooks();
        (self.memories, self.asks) = (memories, asks);
    }
}

fn shadow_line(level: &'static str, text: String) -> Note {
    Note::Log(LogLine { level, text, script: "shadow".to_owned() })
}

/// Tells where shadow scripts have failed, which is all that may come of it.
fn tell_errors(shadow: Option<&Outcome>, out: &mut Outbox) {
    let errors = shadow.iter().flat_map(|outcome| &outcome.errors);
    out.notes.extend(errors.map(|error| shadow_line("warn", format!("failed: {error}"))));
}

/// What scripts do with a stanza, in a word or two.
fn does(outcome: &Outcome) -> String {
    let what = match &outcome.verdict {
        Verdict::Pass if outcome.element.is_some() => "rewrite it".to_owned(),
        Verdict::Pass => "pass it".to_owned(),
        Verdict::Drop => "drop it".to_owned(),
        Verdict::Reject(error) => format!("reject it with {}", error.condition.name()),
        Verdict::Reply(_) => "reply".to_owned(),
        Verdict::Hold(micros) => format!("hold it for {} ms", micros / 1000),
    };
    match &outcome.by {
        Some(by) => format!("{what} ({by})"),
        None => what,
    }
}
