//! Calling hooks: for a stanza, one script after the other; for what else happens; and functions by name.
//!
//! Takes what happened and what the scripts keep of the session, gives an [`Outcome`]. A script that fails, whatever way,
//! has done nothing.

use super::compile::Script;
use super::failure::{self, Failure};
use super::hooks::{Hook, On};
use super::run::Effects;
use super::stanza::{Saved, Stanza};
use super::{Ask, Event, Memory, Outcome, Reply, ScriptLimits, ScriptSet, Send, Verdict};
use super::{budget, counts, element, log, memory, run, verdict, watch};
use crate::xml::{Element, View};
use crate::xmpp::{Facts, Kind, Phase};
use rhai::{CallFnOptions, Dynamic, FuncArgs, Scope};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Who is called, in the words of people.
pub(super) struct Called<'a> {
    /// The script's place in its set.
    at: usize,
    function: &'a str,
    /// Which hook it is; none for a function that is called by name.
    on: Option<On>,
    /// Where it is defined; 0 if that is not known.
    line: usize,
}

impl<'a> Called<'a> {
    pub(super) const fn hook(at: usize, hook: &Hook) -> Self {
        Self { at, function: hook.name, on: Some(hook.on), line: hook.line }
    }

    fn by(&self, script: &Script) -> String {
        match self.line {
            _ if script.source.is_some() => script.name.clone(),
            0 => format!("{}: {}", script.name, self.function),
            line => format!("{}:{line}", script.name),
        }
    }
}

impl ScriptSet {
    /// Runs the hooks of one kind over one stanza, script by script, until one gives a verdict that stops it. Each sees
    /// what those before it have rewritten; what a script that fails has rewritten is undone. Of several that let it wait, the
    /// longest time counts. `request`: which one it answers, if it is remembered.
    #[must_use]
    pub fn run(
        &self,
        kind: Kind,
        view: &View<'_>,
        request: Option<u64>,
        facts: &Facts<'_>,
        memory: &mut Memory,
    ) -> Outcome {
        let mut outcome = Outcome::new();
        if !self.listens(kind) {
            return outcome;
        }
        self.adopted(facts, memory, &mut outcome);
        let asked = request.and_then(|number| memory.request(number));
        let asked = asked.map(|request| Stanza::new(Kind::Iq, &request.view(), request.side));
        if request.is_some_and(|number| memory.has_lost(number)) {
            self.cannot_be_shown(kind, view, facts, memory, &mut outcome);
        }
        let mut passing = Passing { kind, view, work: None, held: 0, rewritten: false };
        for (at, script) in self.scripts.iter().enumerate() {
            let own = script.hook_for(kind).map(|hook| (hook, None));
            let answer = asked.as_ref().and_then(|asked| Some((script.hook(On::Answer)?, Some(asked))));
            for (hook, asked) in [own, answer].into_iter().flatten() {
                if !hook.wants.fit(kind, view, facts.side) {
                    continue;
                }
                if self.shown(Called::hook(at, hook), hook, asked, &mut passing, facts, memory, &mut outcome) {
                    return outcome;
                }
            }
        }
        if passing.rewritten {
            outcome.element = passing.work.and_then(|work| work.take_edited());
        }
        outcome
    }

    /// An answer whose request nobody remembers: `on_answer` has failed on it. Otherwise a peer that asks much at once would keep
    /// from it what it likes.
    fn cannot_be_shown(
        &self,
        kind: Kind,
        view: &View<'_>,
        facts: &Facts<'_>,
        memory: &mut Memory,
        outcome: &mut Outcome,
    ) {
        for (script, member) in self.scripts.iter().zip(&mut memory.scripts) {
            let Some(hook) = script.hook(On::Answer).filter(|hook| hook.wants.fit(kind, view, facts.side)) else {
                continue;
            };
            outcome.failed = true;
            if member.tells(hook.line, 0) {
                let why = "too many requests were under way, or too long ones: on_answer cannot be shown this answer";
                outcome.errors.push(script.located(&Failure::at_line(hook.line, why.to_owned())));
            }
        }
    }

    /// Shows a stanza to one hook; whether that stopped it.
    #[expect(clippy::too_many_arguments, reason = "one run is described by just these")]
    fn shown(
        &self,
        called: Called<'_>,
        hook: &Hook,
        asked: Option<&Stanza>,
        passing: &mut Passing<'_>,
        facts: &Facts<'_>,
        memory: &mut Memory,
        outcome: &mut Outcome,
    ) -> bool {
        let Passing { kind, view, .. } = *passing;
        let work = passing.work.get_or_insert_with(|| Stanza::new(kind, view, facts.side)).clone();
        let before = if passing.rewritten { work.save() } else { Saved::default() };
        let what = || memory::named(kind, view, facts.side);
        let session = |memory: &mut Memory| memory.session(facts);
        let line = hook.line;
        let judge = |returned| verdict::judge(returned, kind, view).map_err(|why| Failure::at_line(line, why));
        let ran = match (asked, hook.parameters) {
            (None, 1) => self.called(&called, (work.clone(),), judge, what, facts, memory, outcome),
            (None, _) => {
                let session = session(memory);
                self.called(&called, (work.clone(), session), judge, what, facts, memory, outcome)
            }
            (Some(asked), 2) => {
                self.called(&called, (asked.clone(), work.clone()), judge, what, facts, memory, outcome)
            }
            (Some(asked), _) => {
                let arguments = (asked.clone(), work.clone(), session(memory));
                self.called(&called, arguments, judge, what, facts, memory, outcome)
            }
        };
        let by = || self.scripts.get(called.at).map(|script| called.by(script));
        match ran {
            Some(Verdict::Hold(micros)) => {
                passing.rewritten |= work.differs(&before);
                passing.held = passing.held.max(micros);
                outcome.verdict = Verdict::Hold(passing.held);
                outcome.by = by();
            }
            Some(Verdict::Pass) if work.differs(&before) => {
                passing.rewritten = true;
                outcome.by = by();
            }
            Some(Verdict::Pass) => {}
            // Nothing is forwarded: what was rewritten on the way is of no more interest.
            Some(verdict) => {
                (outcome.verdict, outcome.by) = (verdict, by());
                return true;
            }
            None => work.restore(before),
        }
        false
    }

    /// Tells all scripts of something else that happened.
    #[must_use]
    pub fn event(&self, event: Event<'_>, facts: &Facts<'_>, memory: &mut Memory) -> Outcome {
        let mut outcome = Outcome::new();
        let on = match event {
            Event::Open => On::Open,
            Event::Bind => On::Bind,
            Event::Timeout(_) => On::Timeout,
            Event::Close(_) => On::Close,
        };
        if self.hooks & on.bit() == 0 {
            return outcome;
        }
        self.adopted(facts, memory, &mut outcome);
        outcome.failed = false; // that was on_load
        let session = Dynamic::from(memory.session(facts));
        let arguments = match event {
            Event::Open | Event::Bind => vec![session],
            Event::Close(reason) => vec![session, reason.into()],
            Event::Timeout(number) => {
                let Some(request) = memory.request(number) else { return outcome };
                let request = Stanza::new(Kind::Iq, &request.view(), request.side);
                vec![Dynamic::from(request), session]
            }
        };
        for (at, script) in self.scripts.iter().enumerate() {
            let Some(hook) = script.hook(on) else { continue };
            let arguments: Vec<_> = arguments.iter().take(hook.parameters).cloned().collect();
            let _ = self.called(
                &Called::hook(at, hook),
                arguments,
                Ok,
                || hook.name.to_owned(),
                facts,
                memory,
                &mut outcome,
            );
        }
        outcome
    }

    /// Shows the stream's features to all scripts; gives them as they were edited, if they were.
    #[must_use]
    pub fn features(&self, features: &Element, facts: &Facts<'_>, memory: &mut Memory) -> (Option<Element>, Outcome) {
        let mut outcome = Outcome::new();
        self.adopted(facts, memory, &mut outcome);
        outcome.failed = false; // that was on_load
        let mut edited = None;
        for (at, script) in self.scripts.iter().enumerate() {
            let Some(hook) = script.hook(On::Features) else { continue };
            let shown = element::Element::shown(edited.as_ref().unwrap_or(features).clone());
            let mut arguments = vec![Dynamic::from(shown.clone())];
            if hook.parameters > 1 {
                arguments.push(Dynamic::from(memory.session(facts)));
            }
            let called = Called::hook(at, hook);
            let ran = self.called(&called, arguments, Ok, || "features".to_owned(), facts, memory, &mut outcome);
            if ran.is_some()
                && let Some(changed) = shown.edited()
            {
                edited = Some(changed);
                outcome.by = Some(called.by(script));
            }
        }
        (edited, outcome)
    }

    /// Calls the function of the timer that was due first, if one is.
    #[must_use]
    pub fn due(&self, facts: &Facts<'_>, memory: &mut Memory) -> Option<Outcome> {
        if memory.timers.next().is_none_or(|at| at > facts.now) {
            return None;
        }
        let mut outcome = Outcome::new();
        self.adopted(facts, memory, &mut outcome);
        let timer = memory.timers.due(facts.now)?;
        let mut arguments = vec![Dynamic::from(memory.session(facts)), timer.value];
        self.by_name(timer.script, &timer.function, &mut arguments, facts, memory, &mut outcome);
        Some(outcome)
    }

    /// Hands the answer to a script's request over; none if none came.
    #[must_use]
    pub fn replied(&self, reply: &Reply, answer: Option<&View<'_>>, facts: &Facts<'_>, memory: &mut Memory) -> Outcome {
        let mut outcome = Outcome::new();
        self.adopted(facts, memory, &mut outcome);
        let Some(at) = self.scripts.iter().position(|script| script.path == reply.script) else { return outcome };
        let answer = answer.map_or(Dynamic::UNIT, |view| Dynamic::from(Stanza::new(Kind::Iq, view, facts.side)));
        let mut arguments = vec![answer, Dynamic::from(memory.session(facts))];
        self.by_name(at, &reply.function, &mut arguments, facts, memory, &mut outcome);
        outcome
    }

    /// Calls a function with as many of the arguments as it takes.
    fn by_name(
        &self,
        at: usize,
        function: &str,
        arguments: &mut Vec<Dynamic>,
        facts: &Facts<'_>,
        memory: &mut Memory,
        outcome: &mut Outcome,
    ) {
        let Some(script) = self.scripts.get(at) else { return };
        let takes = script.functions.iter().filter(|(name, takes)| name == function && *takes <= arguments.len());
        let Some(takes) = takes.map(|(_, takes)| *takes).max() else { return };
        arguments.truncate(takes);
        let called = Called { at, function, on: None, line: 0 };
        let arguments = std::mem::take(arguments);
        let _ = self.called(&called, arguments, Ok, || function.to_owned(), facts, memory, outcome);
    }

    /// Makes what is kept of the session this set's, if it is not: what a script keeps stays, and it is told.
    fn adopted(&self, facts: &Facts<'_>, memory: &mut Memory, outcome: &mut Outcome) {
        if memory.set == self.id || self.scripts.is_empty() {
            return;
        }
        let ended = memory::adopt(memory, self);
        outcome.logs.extend(log::lines(ended.into_iter().map(|text| ("warn", text)).collect(), "scripts"));
        for (at, script) in self.scripts.iter().enumerate() {
            let Some(member) = memory.scripts.get_mut(at) else { continue };
            if member.digest == script.digest {
                continue;
            }
            member.renew(script.digest);
            let Some(hook) = script.hook(On::Load) else { continue };
            let arguments = vec![Dynamic::from(super::state::State); hook.parameters];
            let _ =
                self.called(&Called::hook(at, hook), arguments, Ok, || hook.name.to_owned(), facts, memory, outcome);
        }
    }

    /// Makes what is kept of the session this set's, if another set has kept it so far (after a reload): see `on_load`. A
    /// script that has not been called yet is told at its first hook.
    #[must_use]
    pub fn loaded(&self, facts: &Facts<'_>, memory: &mut Memory) -> Outcome {
        let mut outcome = Outcome::new();
        if memory.set != 0 {
            self.adopted(facts, memory, &mut outcome);
        }
        outcome
    }

    /// One run: within limits, measured, counted; what it has done is added to the outcome. None if it failed, or was not
    /// called because it is suspended: it has done nothing then.
    #[expect(clippy::too_many_arguments, reason = "one run is described by just these")]
    fn called<T>(
        &self,
        called: &Called<'_>,
        arguments: impl FuncArgs,
        judge: impl FnOnce(Dynamic) -> Result<T, Failure>,
        what: impl FnOnce() -> String,
        facts: &Facts<'_>,
        memory: &mut Memory,
        outcome: &mut Outcome,
    ) -> Option<T> {
        let script = self.scripts.get(called.at)?;
        let member = memory.scripts.get_mut(called.at)?;
        if member.record(called.on).suspended(facts.now) {
            outcome.failed = true;
            return None;
        }
        let state = std::mem::take(&mut member.state);
        let bound = facts.phase == Phase::Bound;
        run::begin(facts.now, bound, self.limits, state, &script.functions, memory.next_timer, Some(&self.shared));
        let begun = self.stopwatch.map(|now| now());
        let ran = call(script, called, arguments, self.limits).and_then(judge);
        let nanos = self.stopwatch.zip(begun).map_or(0, |(now, begun)| now().saturating_sub(begun));
        let (effects, mut state, next_timer) = run::end();
        memory.next_timer = next_timer;
        if ran.is_ok() {
            state.settle()
        } else {
            state.undo()
        }
        let member = memory.scripts.get_mut(called.at)?;
        member.state = state;
        let record = member.record(called.on);
        record.ran(nanos, what);
        match ran {
            Ok(value) => {
                record.went_well();
                self.effects(called, script, effects, facts, memory, outcome);
                Some(value)
            }
            Err(failure) => {
                let suspends = record.failed(facts.now, self.limits.failures);
                outcome.failed = true;
                outcome.logs.extend(log::lines(effects.logs, &script.name));
                if member.tells(failure.line, failure.column) {
                    outcome.errors.push(script.located(&failure));
                }
                if suspends {
                    let (times, seconds) = (self.limits.failures, counts::SUSPENDED / 1_000_000);
                    let who = match script.source {
                        Some(_) => format!("{}: it", script.path.display()),
                        None => format!("{}: {}", script.path.display(), called.function),
                    };
                    outcome
                        .errors
                        .push(format!("{who} has failed {times} times in a row and is not called for {seconds} s"));
                }
                None
            }
        }
    }

    /// Adds what a run that went well has done.
    fn effects(
        &self,
        called: &Called<'_>,
        script: &Script,
        effects: Effects,
        facts: &Facts<'_>,
        memory: &mut Memory,
        outcome: &mut Outcome,
    ) {
        if effects.nothing() {
            return;
        }
        let by = called.by(script);
        outcome.logs.extend(log::lines(effects.logs, &script.name));
        outcome.sends.extend(effects.sends.into_iter().map(|(to, stanza)| Send { to, stanza, by: by.clone() }));
        outcome.asks.extend(effects.asks.into_iter().map(|ask| {
            let reply = Reply { script: script.path.clone(), function: ask.function };
            Ask { to: ask.to, iq: ask.iq, reply, micros: ask.micros, by: by.clone() }
        }));
        for tag in effects.tags {
            if !outcome.tags.contains(&tag) {
                outcome.tags.push(tag);
            }
        }
        for id in effects.cancelled {
            memory.timers.cancel(called.at, id);
        }
        let mut full = false;
        for timer in effects.timers {
            full |= !memory.timers.add(facts.now, called.at, timer);
        }
        if full {
            let most = "a session may have 256 timers and 1 MiB of what they carry";
            outcome.errors.push(format!("{by}: {most}: not all of these are set"));
        }
        if let Some((condition, text)) = effects.close {
            outcome.close.get_or_insert((condition, text, by));
        }
    }
}

/// A stanza on its way through the scripts.
struct Passing<'a> {
    kind: Kind,
    view: &'a View<'a>,
    /// Made when the first hook wants it.
    work: Option<Stanza>,
    held: u64,
    rewritten: bool,
}

/// Calls a function. A panic in Rhai or below is a failure of this script like any other.
pub(super) fn call(
    script: &Script,
    called: &Called<'_>,
    arguments: impl FuncArgs,
    limits: ScriptLimits,
) -> Result<Dynamic, Failure> {
    // The script's body has run when it was compiled; it is not run again.
    let options = CallFnOptions::new().eval_ast(false).rewind_scope(false);
    budget::begin(false);
    watch::begin(limits.millis);
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let mut scope = Scope::new();
        script.engine.call_fn_with_options::<Dynamic>(options, &mut scope, &script.ast, called.function, arguments)
    }));
    watch::end();
    match ran {
        Ok(Ok(returned)) => Ok(returned),
        Ok(Err(error)) => Err(failure::explain(*error).or_line(called.line)),
        Err(_) => Err(Failure::at_line(called.line, "the script engine panicked; please report this".to_owned())),
    }
}
