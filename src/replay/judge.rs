//! One recorded wire, judged by the rules and by the ledger that judge a living session.
//!
//! Takes what both ends of a wire have sent, with its time; gives what a [`Session`] that reports and changes nothing tells of it. There is no
//! second ledger: a session of its own is held for each wire, and the stanzas are handed to it as they came. Of the negotiation it is
//! shown only that there was one (a header, ANONYMOUS, a restart), made up here: what a recorded client and its server agreed
//! on (channel binding, compression, SASL2) may be what iqtap itself would not let pass, and is no fault of any IQ.
//!
//! Where something was lost, or the beginning was not recorded, an answer may be missing, and what it answers too: rules 3 and 4 and
//! their neighbours are not held to anybody until [`Policy::iq_timeout`] has passed.

use crate::capture::read::{End, Item, ItemKind};
use crate::policy::{ClientTls, Policy, Route, ServerTls};
use crate::rules::{self, Finding, Mode, Rule};
use crate::session::{Dir, Input, Note, Outbox, Pair, Session, StanzaInfo, Tally, What};
use crate::xml::{Element, Limits, Scanner, Step, View, normalise, parse_element, rehome};
use crate::xmpp::{Header, Kind, Side, Timestamp, jid, ns};
use bytes::BytesMut;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Whatever the reader lets through is judged.
const LIMITS: Limits = Limits {
    stanza_bytes: 1 << 30,
    elements: u32::MAX,
    depth: Limits::MAX_DEPTH,
    attributes: u32::MAX,
    name_bytes: 1 << 20,
    value_bytes: 1 << 30,
};
/// Requests whose numbers are remembered: more than a session has open at once.
const MOST_REQUESTS: usize = 8192;
/// The domain where none is known.
const NOWHERE: &str = "unknown.invalid";
/// The id of the bind that is made up where none was recorded.
const BIND_ID: &str = "iqtap-bind";
/// The rules that can be judged only where all was recorded.
const WANT_ALL: [Rule; 4] = [Rule::Answered, Rule::Unasked, Rule::IqSpoof, Rule::DuplicateId];

/// What a judge tells.
#[derive(Debug)]
pub(super) enum Verdict {
    /// A stanza, and what it is.
    Stanza {
        /// What it was called by whoever handed it in.
        number: u64,
        side: Side,
        kind: Kind,
        info: StanzaInfo,
        findings: Vec<Finding>,
        /// What it answers: the number of that, if it is still known, and the time since.
        pair: Option<Pair>,
    },
    /// A finding, also one that a stanza bears.
    Finding { side: Side, number: u64, id: Option<String>, finding: Finding, alone: bool, at: Timestamp },
    /// The client's full JID is known.
    Bound(String),
    /// Nothing more can be judged, and why.
    Failed(String),
}

/// The policies of a judge.
#[derive(Clone, Debug)]
pub(super) struct Law {
    all: Arc<Policy>,
    /// Where not all was recorded.
    loose: Arc<Policy>,
    /// Whether stanzas that no rule looks at are told of, too.
    talkative: bool,
}

impl Law {
    /// By these rules. What no rule looks at is counted and not told of, unless it is `talkative`.
    pub(super) fn new(policy: Policy, talkative: bool) -> Self {
        let mut rules = policy.rules;
        for rule in WANT_ALL {
            [Side::Client, Side::Server].into_iter().for_each(|side| rules.set(side, rule, Mode::Off));
        }
        let loose = Policy { rules, iq_timeout: policy.iq_timeout, ..Policy::default() };
        Self { all: Arc::new(policy), loose: Arc::new(loose), talkative }
    }
}

/// The judge of one wire.
#[derive(Debug)]
pub(super) struct Judge {
    law: Law,
    /// Once there was a stanza.
    session: Option<Session>,
    out: Outbox,
    domain: Option<String>,
    authenticated: bool,
    bound: bool,
    /// Until when not all is known; for ever, if there is only one side.
    loose_until: Option<Timestamp>,
    now: Timestamp,
    /// What the session calls a request, and what we do.
    requests: BTreeMap<u64, u64>,
    /// What was counted that was not recorded.
    made_up: Option<Tally>,
    /// Stanzas that no rule looks at.
    passed_over: Tally,
    failed: bool,
}

impl Judge {
    /// A judge of a wire that was recorded from its beginning, or from somewhere on.
    pub(super) fn new(law: &Law, at: Timestamp, whole: bool) -> Self {
        let mut judge = Self {
            law: law.clone(),
            session: None,
            out: Outbox { watched: true, ..Outbox::default() },
            domain: None,
            authenticated: !whole,
            bound: false,
            loose_until: None,
            now: at,
            requests: BTreeMap::new(),
            made_up: None,
            passed_over: Tally::default(),
            failed: false,
        };
        if !whole {
            judge.something_is_missing(at);
        }
        judge
    }

    /// A judge of what one side alone has sent.
    pub(super) fn one_sided(law: &Law) -> Self {
        let mut judge = Self::new(law, Timestamp::default(), false);
        judge.loose_until = Some(Timestamp(u64::MAX));
        judge
    }

    /// From here on not all is known, for a while.
    pub(super) fn something_is_missing(&mut self, at: Timestamp) {
        let until = Timestamp(at.0.saturating_add(self.law.all.iq_timeout));
        let begins = self.loose_until.is_none();
        self.loose_until = self.loose_until.max(Some(until));
        if begins && let Some(session) = &mut self.session {
            session.handle(self.now, Input::Policy(Arc::clone(&self.law.loose)), &mut self.out);
        }
    }

    /// What was counted.
    pub(super) fn tally(&self) -> Tally {
        let mut tally = self.session.as_ref().map(|session| session.tally().clone()).unwrap_or_default();
        if let Some(made_up) = &self.made_up {
            take_off(&mut tally, made_up);
        }
        tally.add(&self.passed_over);
        tally
    }

    /// Time passes.
    pub(super) fn advance(&mut self, at: Timestamp, told: &mut Vec<Verdict>) {
        self.now = self.now.max(at);
        while let Some(session) = &mut self.session {
            let due = session.deadline().filter(|due| *due <= self.now);
            let strict = self.loose_until.filter(|until| *until <= self.now);
            match (due, strict) {
                (Some(due), strict) if strict.is_none_or(|strict| due <= strict) => {
                    session.handle(due, Input::Tick, &mut self.out);
                    let stuck = session.deadline() == Some(due);
                    self.hear(due, None, told);
                    if stuck {
                        return;
                    }
                }
                (_, Some(strict)) => {
                    self.loose_until = None;
                    session.handle(strict, Input::Policy(Arc::clone(&self.law.all)), &mut self.out);
                }
                _ => return,
            }
        }
        if self.loose_until.is_some_and(|until| until <= self.now) {
            self.loose_until = None;
        }
    }

    /// An item of the wire, under the number it shall be called by.
    pub(super) fn item(&mut self, item: &Item, number: u64, told: &mut Vec<Verdict>) {
        if self.failed {
            return;
        }
        self.advance(item.at, told);
        let side = if item.from == End::Caller { Side::Client } else { Side::Server };
        match (item.kind, item.view()) {
            (ItemKind::Header, _) => self.header(side, &item.bytes),
            (_, Some(view)) => match kind(&view) {
                Some(kind) => self.stanza(side, kind, &view, number, told),
                None if side == Side::Server => self.nonza(&view, told),
                None => {}
            },
            _ => {}
        }
    }

    /// The wire is gone.
    pub(super) fn end(&mut self, at: Timestamp, told: &mut Vec<Verdict>) {
        self.advance(at, told);
    }

    fn header(&mut self, side: Side, bytes: &[u8]) {
        let mut scanner = Scanner::new(LIMITS);
        if self.domain.is_some() || !matches!(scanner.scan(bytes), Step::Item { .. }) {
            return;
        }
        let name = if side == Side::Client { "to" } else { "from" };
        self.domain = scanner.open().attr(name).filter(|domain| is_domain(domain)).map(str::to_owned);
    }

    fn stanza(&mut self, side: Side, kind: Kind, view: &View<'_>, number: u64, told: &mut Vec<Verdict>) {
        if !self.bound
            && side == Side::Server
            && self.loose_until.is_some()
            && let Some(to) = view.to().filter(|to| is_full(to))
        {
            self.bind(&to, told);
        }
        if !self.law.talkative && !rules::looks_at(view, kind, side) {
            let tidy = if view.head.untidy { normalise(view.bytes, view.root) } else { None };
            return self.passed_over.stanza(side, kind, tidy.map_or(view.bytes.len(), |(bytes, _)| bytes.len()));
        }
        let now = self.now;
        if !self.open() {
            return;
        }
        let Some(session) = &mut self.session else { return };
        self.out.watched = self.law.talkative || kind == Kind::Iq;
        if view.head.leans {
            session.handle(now, Input::Bytes(side, &rehome(view.bytes, view.root)), &mut self.out);
        } else {
            session.handle(now, Input::Bytes(side, view.bytes), &mut self.out);
        }
        let over = session.is_over();
        self.hear(now, Some((number, kind)), told);
        if over {
            self.failed = true;
        }
    }

    /// What of the server's words, stanzas aside, says who the client is.
    fn nonza(&mut self, view: &View<'_>, told: &mut Vec<Verdict>) {
        let ns = view.ns();
        match (&*ns, view.name()) {
            (ns::SASL, "success") => self.authenticate(),
            (ns::SASL2, "success") => {
                self.authenticate();
                let success = parse_element(view.bytes, view.root, view.head).ok();
                let id = success.as_ref().and_then(|success| success.child(ns::SASL2, "authorization-identifier"));
                if let Some(full) = id.map(Element::text).filter(|id| is_full(id)) {
                    self.bind(&full, told);
                }
            }
            // What was under way on the connection before is not known here.
            (ns::SM2 | ns::SM3, "resumed") => self.something_is_missing(self.now),
            _ => {}
        }
    }

    fn authenticate(&mut self) {
        if self.authenticated {
            return;
        }
        self.authenticated = true;
        if let Some(session) = &mut self.session {
            let domain = self.domain.clone().unwrap_or_default();
            log_in(session, self.now, &domain, &mut self.out);
        }
    }

    /// Whether there is a session to judge by; makes one at the first stanza.
    fn open(&mut self) -> bool {
        if self.session.is_some() {
            return true;
        }
        let route = Route {
            client_tls: ClientTls::Off,
            server_tls: ServerTls::Off,
            limits_before: LIMITS,
            limits_after: LIMITS,
            login_seconds: u64::MAX,
            stanza_seconds: 0,
            ..Route::default()
        };
        let domain = self.domain.get_or_insert_with(|| NOWHERE.to_owned()).clone();
        let law = if self.loose_until.is_some() { &self.law.loose } else { &self.law.all };
        let mut session = Session::new(self.now, Arc::new(route), Arc::clone(law), 1, "", 1);
        let now = self.now;
        let out = &mut self.out;
        session.handle(now, Input::Bytes(Side::Client, &header("to", &domain)), out);
        session.handle(now, Input::Dialed, out);
        session.handle(now, Input::Bytes(Side::Server, &header("from", &domain)), out);
        session.handle(now, Input::Bytes(Side::Server, FEATURES), out);
        if self.authenticated {
            log_in(&mut session, now, &domain, out);
        }
        empty(out);
        self.failed = session.is_over();
        self.session = Some(session);
        !self.failed
    }

    /// The client has this full JID, although no bind of it was recorded.
    fn bind(&mut self, full: &str, told: &mut Vec<Verdict>) {
        if std::mem::replace(&mut self.bound, true) {
            return;
        }
        if self.domain.is_none() {
            self.domain = Some(jid::domain(full).to_owned()).filter(|domain| is_domain(domain));
        }
        if !self.open() {
            return;
        }
        let Some(session) = &mut self.session else { return };
        let before = session.tally().clone();
        let now = self.now;
        let bind = |child: Option<Element>| {
            let bind = child.into_iter().fold(Element::new(ns::BIND, "bind"), Element::with_child);
            let kind = if bind.children().next().is_some() { "result" } else { "set" };
            let iq = Element::new(ns::CLIENT, "iq").with_attr("type", kind).with_attr("id", BIND_ID);
            let mut bytes = BytesMut::new();
            crate::xml::write_element(&iq.with_child(bind), crate::xml::Scope::Stream, &mut bytes);
            bytes
        };
        session.handle(now, Input::Bytes(Side::Client, &bind(None)), &mut self.out);
        let jid = Element::new(ns::BIND, "jid").with_text(full);
        session.handle(now, Input::Bytes(Side::Server, &bind(Some(jid))), &mut self.out);
        let mut made_up = session.tally().clone();
        take_off(&mut made_up, &before);
        self.made_up = Some(made_up);
        empty(&mut self.out);
        told.push(Verdict::Bound(full.to_owned()));
    }

    /// What the session tells; `handed` is what was just handed to it.
    fn hear(&mut self, at: Timestamp, handed: Option<(u64, Kind)>, told: &mut Vec<Verdict>) {
        for to in &mut self.out.to {
            to.clear();
        }
        self.out.acts.clear();
        for note in self.out.notes.drain(..) {
            match note {
                Note::Seen(seen) if seen.dir == Dir::In && matches!(seen.what, What::Stanza(_)) => {
                    let Some((number, kind)) = handed else { continue };
                    let info = seen.stanza.unwrap_or_default();
                    if matches!(info.kind.as_deref(), Some("get" | "set")) && kind == Kind::Iq {
                        self.requests.insert(seen.number, number);
                        while self.requests.len() > MOST_REQUESTS {
                            self.requests.pop_first();
                        }
                    }
                    let pair = seen.pair.map(|pair| Pair {
                        request: self.requests.remove(&pair.request).unwrap_or(0),
                        micros: pair.micros,
                    });
                    let (side, findings) = (seen.side, seen.findings);
                    told.push(Verdict::Stanza { number, side, kind, info, findings, pair });
                }
                Note::Finding { side, id, number, finding, alone } => {
                    let known = self.requests.get(&number).copied();
                    let number = if alone { known.unwrap_or(0) } else { handed.map_or(0, |(number, _)| number) };
                    told.push(Verdict::Finding { side, number, id, finding, alone, at });
                }
                Note::Bound(jid) => {
                    self.bound = true;
                    told.push(Verdict::Bound(jid));
                }
                Note::StreamError { text, .. } => told.push(Verdict::Failed(text)),
                _ => {}
            }
        }
    }
}

/// Features that let anybody in.
const FEATURES: &[u8] = b"<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
    <mechanism>ANONYMOUS</mechanism></mechanisms></stream:features>";

/// A login that nobody has recorded.
fn log_in(session: &mut Session, now: Timestamp, domain: &str, out: &mut Outbox) {
    const AUTH: &[u8] = b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'/>";
    const SUCCESS: &[u8] = b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
    session.handle(now, Input::Bytes(Side::Client, AUTH), out);
    session.handle(now, Input::Bytes(Side::Server, SUCCESS), out);
    session.handle(now, Input::Bytes(Side::Client, &header("to", domain)), out);
    session.handle(now, Input::Bytes(Side::Server, &header("from", domain)), out);
    session.handle(now, Input::Bytes(Side::Server, b"<stream:features/>"), out);
    empty(out);
}

fn header(name: &str, domain: &str) -> BytesMut {
    let domain = Some(domain.to_owned());
    let version = Some("1.0".to_owned());
    let header = match name {
        "to" => Header { to: domain, version, ..Header::default() },
        _ => Header { from: domain, id: Some("1".to_owned()), version, ..Header::default() },
    };
    let mut bytes = BytesMut::new();
    header.write(&mut bytes);
    bytes
}

fn empty(out: &mut Outbox) {
    out.to.iter_mut().for_each(BytesMut::clear);
    out.acts.clear();
    out.notes.clear();
}

/// Takes counts off others that hold them.
fn take_off(tally: &mut Tally, part: &Tally) {
    for (all, part) in tally.stanzas.iter_mut().flatten().zip(part.stanzas.iter().flatten()) {
        *all = all.saturating_sub(*part);
    }
    for (all, part) in tally.bytes.iter_mut().zip(part.bytes) {
        *all = all.saturating_sub(part);
    }
    for part in &part.iqs {
        for all in tally.iqs.iter_mut().filter(|all| all.ns == part.ns) {
            all.requests = all.requests.saturating_sub(part.requests);
            all.results = all.results.saturating_sub(part.results);
            all.errors = all.errors.saturating_sub(part.errors);
        }
    }
    tally.iqs.retain(|iq| iq.requests > 0 || iq.results > 0 || iq.errors > 0);
}

/// Which stanza an element is.
pub(super) fn kind(view: &View<'_>) -> Option<Kind> {
    let kind = match view.name() {
        "message" => Kind::Message,
        "presence" => Kind::Presence,
        "iq" => Kind::Iq,
        _ => return None,
    };
    view.is(ns::CLIENT, kind.name()).then_some(kind)
}

fn is_domain(domain: &str) -> bool {
    jid::Jid::new(domain).is_ok_and(|jid| jid.node().is_none() && jid.resource().is_none())
}

fn is_full(address: &str) -> bool {
    address.contains('@') && jid::resource(address).is_some_and(|resource| !resource.is_empty())
}
