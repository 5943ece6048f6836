//! A capture as the notes of the sessions in it: what a printer shows of it is what it would have shown live.
//!
//! Takes a capture's events, gives notes. Of our own recording each item's note is what the recorder said of it; of somebody else's it is
//! what a session that stood there, reporting and changing nothing, would have said. What no recording tells (hints, logs of
//! scripts, which features were stripped) is not told. Must not judge.

use super::check::{Told, hint, lost_text, refused_text};
use super::judge::{Law, Verdict, kind};
use super::wires::{Happening, Wire, Wires};
use crate::capture::read::{Event, Item, ItemKind, Ours, Story, Talk, Trouble, name};
use crate::policy::Policy;
use crate::session::{Dir, Fate, Note, Origin, Pair, Seen, StanzaInfo, Tally, What};
use crate::xml::{Element, Scanner, Step, View, normalise, parse_element};
use crate::xmpp::{Condition, Kind, Side, StreamCondition, Timestamp, ns};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Requests and answers of a session that are remembered for its counts.
const MOST_REMEMBERED: usize = 8192;

/// Tells what a capture holds.
#[derive(Debug)]
pub struct Teller {
    /// Those of somebody else's recording.
    wires: Wires,
    ours: BTreeMap<(u32, u64), Session>,
    /// What all sessions that are over have counted.
    total: Tally,
}

/// What is known of a session of our own.
#[derive(Debug, Default)]
struct Session {
    peer: Arc<str>,
    /// The domain of the client's header.
    domain: Option<String>,
    bound: bool,
    tally: Tally,
    /// Conversations that are not over.
    living: usize,
    /// The place of a request's namespace in the tally, by its number.
    asked: BTreeMap<u64, usize>,
    /// What an answer that came in belongs to, by its number.
    answers: BTreeMap<u64, Pair>,
}

impl Teller {
    /// By these rules, where they have to be asked.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self { wires: Wires::new(Law::new(policy, true)), ours: BTreeMap::new(), total: Tally::default() }
    }

    /// Something happened in the capture.
    pub fn event(&mut self, event: &Event, tell: &mut dyn FnMut(Told)) {
        let talk = match event {
            Event::Begins { talk, .. } | Event::Hole { talk, .. } | Event::Ends { talk, .. } => Some(talk),
            Event::Item(item) => Some(&item.talk),
            Event::Trouble(trouble) => trouble.talk.as_ref(),
            Event::Happened { .. } => return, // it shows in what is sent
        };
        match talk.and_then(|talk| talk.ours.as_ref()) {
            Some(ours) => self.own(ours, event, tell),
            None => self.foreign(event, tell),
        }
    }

    /// What all sessions have counted.
    #[must_use]
    pub fn finish(self) -> Tally {
        self.total
    }

    fn own(&mut self, ours: &Ours, event: &Event, tell: &mut dyn FnMut(Told)) {
        let key = (ours.section, ours.session);
        let session =
            self.ours.entry(key).or_insert_with(|| Session { peer: ours.client.as_str().into(), ..Session::default() });
        let peer = Arc::clone(&session.peer);
        let mut note =
            |at: Timestamp, note: Note| tell(Told { session: ours.session, peer: Arc::clone(&peer), at, note });
        match event {
            Event::Begins { at, .. } => {
                session.living += 1;
                ours.tls.clone().into_iter().for_each(|tls| note(*at, Note::Tls(ours.side, tls)));
            }
            Event::Item(item) => session.item(ours.side, item, &mut |told| note(item.at, told)),
            Event::Hole { from, at, lost, unread, .. } => note(*at, Note::Hint(lost_text(name(*from), *lost, *unread))),
            Event::Trouble(Trouble { problem, at, .. }) => note(*at, Note::Hint(problem.to_string())),
            Event::Happened { .. } => {}
            Event::Ends { at, goes_on, .. } => {
                session.living = session.living.saturating_sub(1);
                if session.living == 0 && !goes_on {
                    let tally = self.ours.remove(&key).map(|session| session.tally).unwrap_or_default();
                    self.total.add(&tally);
                    note(*at, Note::Over(Box::new(tally)));
                }
            }
        }
    }

    fn foreign(&mut self, event: &Event, tell: &mut dyn FnMut(Told)) {
        let Self { wires, total, .. } = self;
        let mut judged = false;
        let item = if let Event::Item(item) = event { Some(item) } else { None };
        wires.event(event, &mut |wire, at, happening| {
            let mut note = |at, note| tell(told(wire, at, note));
            match happening {
                Happening::Verdict(Verdict::Stanza { info, findings, pair, .. }) => {
                    let said = (info.clone(), findings.clone(), *pair);
                    item.into_iter().for_each(|item| note(at, shown(item, wire, Some(said.clone()))));
                    judged = true;
                }
                Happening::Verdict(Verdict::Finding { side, number, id, finding, alone, at }) => {
                    let (side, number, id, alone) = (*side, *number, id.clone(), *alone);
                    note(*at, Note::Finding { side, id, number, finding: finding.clone(), alone });
                }
                Happening::Verdict(Verdict::Bound(jid)) => note(at, Note::Bound(jid.clone())),
                Happening::Verdict(Verdict::Failed(why)) => {
                    note(at, Note::Hint(format!("nothing more of this session is checked: {why}")));
                }
                Happening::Ends => {
                    total.add(&wire.tally());
                    note(at, Note::Over(Box::new(wire.tally())));
                }
            }
        });
        self.beside(event, judged, tell);
    }

    /// What no judge has told.
    fn beside(&self, event: &Event, judged: bool, tell: &mut dyn FnMut(Told)) {
        let of = |talk: &Talk| self.wires.of(talk);
        match event {
            Event::Item(item) => {
                let Some(wire) = of(&item.talk) else { return };
                if let ItemKind::Refused { why, .. } = item.kind {
                    tell(hint(wire, item.at, refused_text(name(item.from), why)));
                } else if !judged {
                    negotiated(item).into_iter().for_each(|note| tell(told(wire, item.at, note)));
                    tell(told(wire, item.at, shown(item, wire, None)));
                }
            }
            Event::Hole { talk, from, at, lost, unread } => {
                of(talk).into_iter().for_each(|wire| tell(hint(wire, *at, lost_text(name(*from), *lost, *unread))));
            }
            Event::Trouble(Trouble { problem, at, talk: Some(talk), .. }) => {
                of(talk).into_iter().for_each(|wire| tell(hint(wire, *at, problem.to_string())));
            }
            _ => {}
        }
    }
}

fn told(wire: &Wire, at: Timestamp, note: Note) -> Told {
    Told { session: wire.session, peer: Arc::clone(&wire.peer), at, note }
}

/// What a judge has said of a stanza.
type Judged = (StanzaInfo, Vec<crate::rules::Finding>, Option<Pair>);

/// An item of somebody else's recording, as a session would show it.
fn shown(item: &Item, wire: &Wire, judged: Option<Judged>) -> Note {
    let stanza = item.view().filter(|view| kind(view).is_some());
    let (info, findings, pair) =
        judged.unwrap_or_else(|| (stanza.as_ref().map(StanzaInfo::of).unwrap_or_default(), Vec::new(), None));
    let (side, dir) = item.way();
    Note::Seen(Box::new(Seen {
        side,
        dir,
        number: wire.count(),
        what: what(item),
        bytes: item.bytes.clone(),
        stanza: stanza.map(|_| info),
        fate: Fate::Passed,
        origin: Origin::Peer,
        findings,
        pair,
        tags: Vec::new(),
    }))
}

fn what(item: &Item) -> What {
    match (item.kind, item.view().and_then(|view| kind(&view))) {
        (ItemKind::Header, _) => What::Header,
        (ItemKind::Space, _) => What::Space,
        (ItemKind::Close, _) => What::Close,
        (_, Some(kind)) => What::Stanza(kind),
        (ItemKind::Element | ItemKind::Refused { .. }, None) => What::Other,
    }
}

/// What the negotiation tells of a session of somebody else's.
fn negotiated(item: &Item) -> Option<Note> {
    let (side, _) = item.way();
    match item.kind {
        ItemKind::Header if side == Side::Server => {
            let domain = attr_of_header(&item.bytes, "from")?;
            Some(Note::Joined { domain, stripped: Vec::new() })
        }
        ItemKind::Element if side == Side::Client => mechanism(&item.view()?).map(Note::Mechanism),
        _ => None,
    }
}

fn attr_of_header(bytes: &[u8], name: &str) -> Option<String> {
    let mut scanner = Scanner::new(crate::xml::Limits::AFTER_LOGIN);
    matches!(scanner.scan(bytes), Step::Item { .. }).then(|| scanner.open().attr(name).map(str::to_owned)).flatten()
}

fn mechanism(view: &View<'_>) -> Option<String> {
    let tree = || parse_element(view.bytes, view.root, view.head).ok();
    let says = view.is(ns::SASL, "auth") || view.is(ns::SASL2, "authenticate");
    if says { tree()?.attr("mechanism").map(str::to_owned) } else { None }
}

impl Session {
    fn item(&mut self, leg: Side, item: &Item, note: &mut dyn FnMut(Note)) {
        let (side, dir) = item.way();
        let unsaid = || Story {
            number: 0,
            side,
            dir,
            fate: Fate::Passed,
            origin: Origin::Peer,
            pair: None,
            tags: Vec::new(),
            findings: Vec::new(),
        };
        let story = item.story().unwrap_or_else(unsaid);
        let view = item.view();
        let kind = view.as_ref().and_then(kind);
        let info = match (kind, &view) {
            (Some(kind), Some(view)) => Some(tidied(view, item, |view| {
                let info = StanzaInfo::of(view);
                self.count(kind, &info, &story, view);
                info
            })),
            _ => None,
        };
        if let Some(view) = &view {
            self.before(leg, view, &story).into_iter().for_each(&mut *note);
        }
        if item.kind == ItemKind::Header && (leg, dir) == (Side::Client, Dir::In) {
            self.domain = attr_of_header(&item.bytes, "to");
        }
        let untouched = matches!(story.origin, Origin::Forwarded(_));
        let id = info.as_ref().and_then(|info| info.id.clone());
        note(Note::Seen(Box::new(Seen {
            side,
            dir,
            number: story.number,
            what: what(item),
            bytes: item.bytes.clone(),
            stanza: info.filter(|_| !untouched),
            fate: story.fate.clone(),
            origin: story.origin.clone(),
            findings: story.findings.clone(),
            pair: story.pair,
            tags: story.tags.clone(),
        })));
        for finding in &story.findings {
            let (id, number) = (id.clone(), story.number);
            note(Note::Finding { side, id, number, finding: finding.clone(), alone: false });
        }
        if let Some(view) = &view {
            self.after(leg, view, &story).into_iter().for_each(&mut *note);
        }
    }

    /// What a session tells before the item that shows it.
    fn before(&self, leg: Side, view: &View<'_>, story: &Story) -> Option<Note> {
        match (leg, story.dir, &story.origin) {
            (Side::Client, Dir::In, _) if story.fate == Fate::Passed => mechanism(view).map(Note::Mechanism),
            (side, Dir::Out, Origin::Made(_, by)) if by == "stream" && view.is(ns::STREAM, "error") => {
                let tree = parse_element(view.bytes, view.root, view.head).ok()?;
                let name = &tree.children().find(|child| child.ns == ns::STREAM_ERRORS && child.name != "text")?.name;
                let text = tree.child(ns::STREAM_ERRORS, "text").map(Element::text).unwrap_or_default();
                Some(Note::StreamError { side, condition: StreamCondition::from_name(name)?, text })
            }
            _ => None,
        }
    }

    /// What it tells behind it.
    fn after(&mut self, leg: Side, view: &View<'_>, story: &Story) -> Option<Note> {
        match (leg, story.dir, &story.origin) {
            (Side::Client, Dir::Out, Origin::Rewritten(_, by)) if by == "features" => {
                Some(Note::Joined { domain: self.domain.clone().unwrap_or_default(), stripped: Vec::new() })
            }
            (Side::Server, Dir::In, _) if !self.bound && story.fate != Fate::Handled => {
                let jid = bound(view)?;
                self.bound = true;
                Some(Note::Bound(jid))
            }
            _ => None,
        }
    }

    /// Counts a stanza as the session has.
    fn count(&mut self, kind: Kind, info: &StanzaInfo, story: &Story, view: &View<'_>) {
        let request = matches!(info.kind.as_deref(), Some("get" | "set"));
        if story.dir == Dir::In {
            self.tally.stanza(story.side, kind, view.bytes.len());
            for finding in &story.findings {
                self.tally.finding(story.side, finding);
            }
            match story.fate {
                Fate::Dropped(_) | Fate::Rejected(..) | Fate::Answered(_) => self.tally.stopped += 1,
                Fate::Rewritten(_) => self.tally.rewritten += 1,
                Fate::Passed | Fate::Handled => {}
            }
        }
        match (kind, story.dir, request) {
            (Kind::Iq, Dir::In, true) => {
                let payload = view.first_child();
                let place = self.tally.request(payload.as_ref().map_or("", |(ns, _)| ns));
                remember(&mut self.asked, story.number, place);
            }
            (Kind::Iq, Dir::In, false) => {
                story.pair.into_iter().for_each(|pair| remember(&mut self.answers, story.number, pair));
            }
            (Kind::Iq, Dir::Out, false) => self.answered(info, story),
            _ => {}
        }
    }

    fn answered(&mut self, info: &StanzaInfo, story: &Story) {
        let pair = match story.origin {
            Origin::Forwarded(number) | Origin::Rewritten(number, _) => {
                self.answers.remove(&number).map(|pair| (pair.request, Some(pair.micros)))
            }
            Origin::Made(number, _) => Some((number, story.pair.map(|pair| pair.micros))),
            Origin::Peer => None,
        };
        let known = |(request, micros)| Some((self.asked.remove(&request)?, micros));
        let Some((place, micros)) = pair.and_then(known) else { return };
        let error = info.kind.as_deref() == Some("error");
        // An error that passed without naming a condition counts as one of the undefined.
        let unnamed = matches!(story.origin, Origin::Forwarded(_)).then_some("");
        let name = info.condition.as_deref().or(unnamed).filter(|_| error);
        let condition = name.map(|name| Condition::from_name(name).unwrap_or(Condition::UndefinedCondition).name());
        self.tally.answered(place, micros, condition, error);
    }
}

fn remember<T>(map: &mut BTreeMap<u64, T>, number: u64, value: T) {
    map.insert(number, value);
    while map.len() > MOST_REMEMBERED {
        map.pop_first();
    }
}

/// Looks at a stanza as it is once it is tidied up.
fn tidied<T>(view: &View<'_>, item: &Item, look: impl FnOnce(&View<'_>) -> T) -> T {
    match view.head.untidy.then(|| normalise(&item.bytes, &item.root)).flatten() {
        Some((bytes, head)) => look(&View { bytes: &bytes, head: &head, root: &item.root }),
        None => look(view),
    }
}

/// The full JID that a bind result gives.
pub(super) fn bound(view: &View<'_>) -> Option<String> {
    let result = kind(view) == Some(Kind::Iq) && view.kind().as_deref() == Some("result");
    if !result || view.payload().is_none_or(|(ns, _)| ns != ns::BIND) {
        return None;
    }
    let tree = parse_element(view.bytes, view.root, view.head).ok()?;
    let jid = tree.child(ns::BIND, "bind")?.child(ns::BIND, "jid")?.text();
    Some(jid.trim().to_owned()).filter(|jid| jid.contains('/'))
}
