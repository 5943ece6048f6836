//! Today's scripts over yesterday's traffic.
//!
//! Every stanza that came in goes through a session of today, at the time at which it came; what becomes of it is held against what became of
//! it then. The rules are enforced where they were then, so that only the scripts differ; what iqtap answered itself then is not answered. What
//! could not have come today is not played: an answer to a request that no longer reaches anybody. All sessions share one policy and one clock,
//! and a session that resumed another one goes on as that one.

use super::past::{About, Act, Deed, Past, Stanza};
use super::stage::{Stage, Told};
use super::unify;
use crate::play::Contrast;
use crate::policy::{OnScriptError, Policy};
use crate::rules::{Mode, Modes, Rule};
use crate::script::{HookCount, ScriptSet};
use crate::session::{Fate, Note, Tally};
use crate::xml::{self, Element};
use crate::xmpp::{Kind, Side, Timestamp};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A stanza that something else becomes of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Otherwise {
    /// The session.
    pub session: u64,
    /// The packet, as Wireshark counts them.
    pub frame: u64,
    /// When.
    pub at: Timestamp,
    /// Who sent it.
    pub side: Side,
    /// Which stanza, in a few words.
    pub about: String,
    /// What became of it then.
    pub then: Fate,
    /// What becomes of it today.
    pub now: Fate,
    /// What left then beside what leaves today, where both were made of it.
    pub contrast: Option<Contrast>,
}

/// Something a script said or did wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The session, its client's address, and when.
    pub session: u64,
    /// The client's address.
    pub peer: String,
    /// When.
    pub at: Timestamp,
    /// As a living session would have told it.
    pub note: Note,
}

/// What came of it all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trial {
    /// Sessions that were played.
    pub sessions: u64,
    /// Sessions that were not: nobody knows who the client is.
    pub unknown: u64,
    /// Stanzas that were shown.
    pub stanzas: u64,
    /// Those of which something else becomes.
    pub otherwise: Vec<Otherwise>,
    /// Answers that would not have come today.
    pub unasked: u64,
    /// Stanzas that came when a script of today had ended the session, or that waited when it ended.
    pub unseen: u64,
    /// Of the stanzas, those that iqtap answered itself then.
    pub answered: u64,
    /// What scripts said, and how they failed, in order.
    pub lines: Vec<Line>,
    /// What each hook did.
    pub hooks: Vec<HookCount>,
}

impl Trial {
    /// How often a script failed.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.lines.iter().filter(|line| matches!(line.note, Note::ScriptError(_))).count()
    }

    /// Whether all became what it was, and no script failed.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.otherwise.is_empty() && self.errors() == 0 && self.hooks.iter().all(|hook| hook.errors == 0)
    }
}

/// Plays the past before scripts.
#[must_use]
pub fn trial(past: &Past, scripts: ScriptSet, on_script_error: OnScriptError) -> Trial {
    let policy = Policy { rules: modes(past), scripts, on_script_error, ..Policy::default() };
    let mut play = Play {
        past,
        policy: Arc::new(policy),
        stages: BTreeMap::new(),
        failed: Vec::new(),
        fates: BTreeMap::new(),
        made: BTreeMap::new(),
        asked: BTreeMap::new(),
        trial: Trial::default(),
    };
    for (number, deed) in past.deeds.iter().enumerate() {
        play.pass(deed.at);
        play.deed(number, deed);
    }
    let last = past.deeds.iter().map(|deed| deed.at).max().unwrap_or_default();
    play.finish(last)
}

/// The rules as they were: enforced where they did something.
fn modes(past: &Past) -> Modes {
    let mut modes = Modes::all(Mode::Report);
    for deed in &past.deeds {
        if let Act::Stanza(Stanza { story: Some((_, fate)), .. }) = &deed.what
            && let Some(rule) = by(fate).and_then(Rule::named)
        {
            modes.set(deed.side, rule, Mode::Enforce);
        }
    }
    modes
}

/// Who decided a fate.
fn by(fate: &Fate) -> Option<&str> {
    match fate {
        Fate::Passed | Fate::Handled => None,
        Fate::Rewritten(by) | Fate::Dropped(by) | Fate::Answered(by) | Fate::Rejected(_, by) => Some(by),
    }
}

struct Play<'a> {
    past: &'a Past,
    policy: Arc<Policy>,
    /// By the session they began with.
    stages: BTreeMap<usize, Stage>,
    /// Sessions that could not be brought on a stage.
    failed: Vec<usize>,
    fates: BTreeMap<usize, Fate>,
    made: BTreeMap<usize, Bytes>,
    /// The last request under an id, by session and who asked: the deed.
    asked: BTreeMap<(usize, Side, String), usize>,
    trial: Trial,
}

impl Play<'_> {
    /// The session that a session goes on with, if it goes on.
    fn root(&self, mut session: usize) -> usize {
        // No session resumes a later one, so this ends.
        while let Some(before) = self.about(session).and_then(|about| about.resumes).filter(|before| *before < session)
        {
            session = before;
        }
        session
    }

    fn about(&self, session: usize) -> Option<&About> {
        self.past.sessions.get(session)
    }

    /// Time passes for all of them.
    fn pass(&mut self, until: Timestamp) {
        let mut last = None;
        loop {
            let due = self.stages.iter().filter_map(|(root, stage)| Some((stage.deadline()?, *root))).min();
            let Some((at, root)) = due.filter(|(at, _)| *at <= until) else { return };
            // Nobody asks for the same moment twice.
            if last.replace((at, root)) == Some((at, root)) {
                return;
            }
            let mut told = Vec::new();
            if let Some(stage) = self.stages.get_mut(&root) {
                stage.tick(at, &mut told);
            }
            self.hear(root, at, told);
        }
    }

    fn deed(&mut self, number: usize, deed: &Deed) {
        let root = self.root(deed.session);
        if self.failed.contains(&root) || !self.enter(root, deed) {
            return;
        }
        let mut told = Vec::new();
        let goes_on = self.is_resumed(deed.session);
        let Some(stage) = self.stages.get_mut(&root) else { return };
        match &deed.what {
            Act::Stanza(stanza) => {
                if stage.is_over() {
                    self.trial.unseen += 1;
                } else if !self.comes(root, number, deed.side, stanza) {
                    self.trial.unasked += 1;
                } else if let Some(stage) = self.stages.get_mut(&root) {
                    self.trial.stanzas += 1;
                    stage.stanza(deed.at, deed.side, &stanza.bytes, number, &mut told);
                }
            }
            Act::Close => stage.close(deed.at, deed.side, &mut told),
            // A session that is resumed later has not ended.
            Act::End if goes_on => {}
            Act::End => stage.end(deed.at, deed.side, &mut told),
        }
        self.hear(root, deed.at, told);
    }

    fn is_resumed(&self, session: usize) -> bool {
        self.past.sessions.iter().any(|about| about.resumes == Some(session))
    }

    /// Brings a session on its stage, if it is not there.
    fn enter(&mut self, root: usize, deed: &Deed) -> bool {
        if self.stages.contains_key(&root) {
            return true;
        }
        if !matches!(deed.what, Act::Stanza(_)) {
            return false;
        }
        let mut told = Vec::new();
        let stage = self.about(root).and_then(|about| Stage::open(about, &self.policy, deed.at, &mut told));
        match stage {
            Some(stage) => {
                self.trial.sessions += 1;
                self.stages.insert(root, stage);
                self.hear(root, deed.at, told);
                true
            }
            None => {
                self.trial.unknown += 1;
                self.failed.push(root);
                false
            }
        }
    }

    /// Whether a stanza would come today too: an answer comes only if its request has reached whoever gave it.
    fn comes(&mut self, root: usize, number: usize, side: Side, stanza: &Stanza) -> bool {
        let Some(iq) = parsed(&stanza.bytes).filter(|_| stanza.kind == Kind::Iq) else { return true };
        let id = iq.attr("id").unwrap_or_default().to_owned();
        match iq.attr("type") {
            Some("get" | "set") => {
                self.asked.insert((root, side, id), number);
                true
            }
            Some("result" | "error") => {
                let request = self.asked.get(&(root, side.other(), id));
                let fate = request.and_then(|request| self.fates.get(request));
                !matches!(fate, Some(Fate::Dropped(_) | Fate::Rejected(..) | Fate::Answered(_)))
            }
            _ => true,
        }
    }

    fn hear(&mut self, root: usize, at: Timestamp, told: Vec<Told>) {
        for told in told {
            match told {
                Told::Fate(deed, fate) => {
                    self.fates.insert(deed, fate);
                }
                Told::Made(deed, bytes) => {
                    self.made.insert(deed, bytes);
                }
                Told::Note(Note::Over(tally)) => self.count(&tally),
                Told::Note(note @ (Note::Log(_) | Note::ScriptError(_))) => {
                    let about = self.about(root);
                    let session = about.map_or(0, |about| about.number);
                    let peer = about.map_or_else(String::new, |about| about.peer.clone());
                    self.trial.lines.push(Line { session, peer, at, note });
                }
                Told::Note(_) => {}
            }
        }
    }

    fn count(&mut self, tally: &Tally) {
        let mut all = Tally::default();
        all.count_hooks(&self.trial.hooks);
        all.count_hooks(&tally.hooks);
        self.trial.hooks = all.hooks;
    }

    /// The recording is over: what became of it all.
    fn finish(mut self, last: Timestamp) -> Trial {
        let mut told = Vec::new();
        for (root, mut stage) in std::mem::take(&mut self.stages) {
            stage.stop(last, &mut told);
            self.hear(root, last, std::mem::take(&mut told));
        }
        for (number, deed) in self.past.deeds.iter().enumerate() {
            if let (Act::Stanza(stanza), Some(now)) = (&deed.what, self.fates.get(&number)) {
                self.weigh(number, deed, stanza, now.clone());
            }
        }
        let judged = u64::try_from(self.fates.len()).unwrap_or(u64::MAX);
        self.trial.unseen += self.trial.stanzas.saturating_sub(judged);
        self.trial
    }

    /// What became of a stanza then and now.
    fn weigh(&mut self, number: usize, deed: &Deed, stanza: &Stanza, now: Fate) {
        let recorded = stanza.story.as_ref();
        let then = recorded.map_or(Fate::Passed, |(_, fate)| fate.clone());
        if by(&then).is_some_and(|by| by.starts_with("answer ") || by == "answer") {
            self.trial.answered += 1;
            if now == Fate::Passed {
                return;
            }
        }
        let Some(about) = self.past.sessions.get(deed.session) else { return };
        let left = recorded.and_then(|(number, _)| about.made.get(number));
        let contrast = match (&then, &now, left, self.made.get(&number)) {
            (Fate::Rewritten(_), Fate::Rewritten(_), Some(left), Some(leaves))
            | (Fate::Answered(_), Fate::Answered(_), Some(left), Some(leaves)) => contrast(left, leaves),
            _ => None,
        };
        if contrast.is_none() && is_alike(&then, &now) {
            return;
        }
        self.trial.otherwise.push(Otherwise {
            session: about.number,
            frame: deed.frame,
            at: deed.at,
            side: deed.side,
            about: words(stanza),
            then,
            now,
            contrast,
        });
    }
}

/// Whether two fates are one, whoever decided them.
fn is_alike(then: &Fate, now: &Fate) -> bool {
    match (then, now) {
        (Fate::Rejected(one, _), Fate::Rejected(other, _)) => one == other,
        (one, other) => std::mem::discriminant(one) == std::mem::discriminant(other),
    }
}

fn parsed(bytes: &Bytes) -> Option<Element> {
    xml::parse_str(std::str::from_utf8(bytes).ok()?).ok()
}

/// What left then and what leaves today, if they say something else.
fn contrast(left: &Bytes, leaves: &Bytes) -> Option<Contrast> {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    if let (Some(left), Some(leaves)) = (parsed(left), parsed(leaves))
        && unify::digest(&left) == unify::digest(&leaves)
    {
        return None;
    }
    Some(Contrast { expected: text(left), came: text(leaves), xml: true })
}

/// Which stanza: `iq set jabber:iq:private`.
fn words(stanza: &Stanza) -> String {
    let Some(tree) = parsed(&stanza.bytes) else { return stanza.kind.name().to_owned() };
    let payload = tree.children().find(|child| child.name != "error").map(|child| child.ns.as_str());
    let parts = [Some(stanza.kind.name()), tree.attr("type"), payload.filter(|_| stanza.kind == Kind::Iq)];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}
