//! A session of today that sees what a recorded one saw.
//!
//! The login is played anew, in the plainest way that leaves the session as it was: bound to its address, by its mechanism, secured as it was.
//! Then it is given what its peers sent, at the time at which they did. Stream management is not played: it changes nothing that scripts see,
//! and what is sent today need not be what was counted then. Takes deeds, gives what became of them. Must not know what became of them then.

use super::past::About;
use crate::policy::{ClientTls, Policy, Route, ServerTls, SmMode};
use crate::session::{self, Dir, Fate, Input, Note, Origin, Outbox, Session, TlsInfo, What};
use crate::xml::escape_attr;
use crate::xmpp::{Side, Timestamp, jid, ns};
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What came of something.
#[derive(Debug)]
pub(super) enum Told {
    /// This became of that deed.
    Fate(usize, Fate),
    /// This left in its place, or in answer to it.
    Made(usize, Bytes),
    /// Something that the session told.
    Note(Note),
}

/// The session.
#[derive(Debug)]
pub(super) struct Stage {
    session: Session,
    out: Outbox,
    tls: [Option<TlsInfo>; 2],
    /// Deeds that nothing was heard of yet, by the side that did them.
    waiting: [VecDeque<usize>; 2],
    /// Deeds by the numbers of today's items.
    numbers: BTreeMap<u64, usize>,
}

impl Stage {
    /// A session that is bound; nothing if it cannot be brought so far.
    pub(super) fn open(about: &About, policy: &Arc<Policy>, at: Timestamp, told: &mut Vec<Told>) -> Option<Self> {
        let full = about.jid.as_deref()?;
        let route = Route {
            client_tls: if about.tls[0].is_some() { ClientTls::Direct } else { ClientTls::Off },
            server_tls: if about.tls[1].is_some() { ServerTls::Direct } else { ServerTls::Off },
            sm: SmMode::Strip,
            login_seconds: u64::from(u32::MAX),
            started: about.started,
            ..Route::default()
        };
        let (route, policy) = (Arc::new(route), Arc::clone(policy));
        let session = Session::new(about.started, route, policy, about.number, &about.peer, about.number);
        let out = Outbox { watched: true, ..Outbox::default() };
        let mut stage =
            Self { session, out, tls: about.tls.clone(), waiting: Default::default(), numbers: BTreeMap::new() };
        stage.log_in(about, full, at, told);
        (stage.session.jid() == Some(full)).then_some(stage)
    }

    /// The login.
    fn log_in(&mut self, about: &About, full: &str, at: Timestamp, told: &mut Vec<Told>) {
        let domain = if about.domain.is_empty() { jid::domain(full) } else { &about.domain };
        let (domain, full) = (attribute(domain), attribute(full));
        let mechanism = attribute(about.mechanism.as_deref().unwrap_or("PLAIN"));
        let header = |attributes: &str| {
            format!("<stream:stream {attributes} version='1.0' xmlns='{}' xmlns:stream='{}'>", ns::CLIENT, ns::STREAM)
        };
        let (to, from) = (header(&format!("to='{domain}'")), header(&format!("from='{domain}' id='past'")));
        let mechanisms = format!(
            "<stream:features><mechanisms xmlns='{}'><mechanism>PLAIN</mechanism><mechanism>{mechanism}</mechanism></mechanisms></stream:features>",
            ns::SASL
        );
        let bind = format!("<bind xmlns='{}'/>", ns::BIND);
        let recorded = about.features.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
        let usual = || format!("<stream:features>{bind}</stream:features>");
        let features = recorded.filter(|features| features.contains(ns::BIND)).unwrap_or_else(usual);
        let (client, server) = (Side::Client, Side::Server);
        if let Some(tls) = self.tls[0].clone() {
            self.give(about.started, Input::TlsUp(client, tls), told);
        }
        for (time, side, text) in [
            (about.started, client, to.clone()),
            (about.started, server, from.clone()),
            (about.started, server, mechanisms),
            (at, client, format!("<auth xmlns='{}' mechanism='{mechanism}'>=</auth>", ns::SASL)),
            (at, server, format!("<success xmlns='{}'/>", ns::SASL)),
            (at, client, to),
            (at, server, from),
            (at, server, features),
            (at, client, format!("<iq type='set' id='bind'>{bind}</iq>")),
            (
                at,
                server,
                format!("<iq type='result' id='bind'><bind xmlns='{}'><jid>{full}</jid></bind></iq>", ns::BIND),
            ),
        ] {
            self.give(time, Input::Bytes(side, text.as_bytes()), told);
        }
    }

    /// When time must pass for it at the latest.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        if self.session.is_over() { None } else { self.session.deadline() }
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, at: Timestamp, told: &mut Vec<Told>) {
        self.give(at, Input::Tick, told);
    }

    pub(super) fn is_over(&self) -> bool {
        self.session.is_over()
    }

    /// A peer sends a stanza: the deed of that number.
    pub(super) fn stanza(&mut self, at: Timestamp, side: Side, bytes: &[u8], deed: usize, told: &mut Vec<Told>) {
        self.waiting[side.index()].push_back(deed);
        self.give(at, Input::Bytes(side, bytes), told);
    }

    /// A peer closes its stream.
    pub(super) fn close(&mut self, at: Timestamp, side: Side, told: &mut Vec<Told>) {
        self.give(at, Input::Bytes(side, b"</stream:stream>"), told);
    }

    /// A peer is gone.
    pub(super) fn end(&mut self, at: Timestamp, side: Side, told: &mut Vec<Told>) {
        self.give(at, Input::Eof(side), told);
    }

    /// The recording is over.
    pub(super) fn stop(&mut self, at: Timestamp, told: &mut Vec<Told>) {
        self.give(at, Input::Eof(Side::Client), told);
        self.give(at, Input::Eof(Side::Server), told);
    }

    fn give(&mut self, at: Timestamp, input: Input<'_>, told: &mut Vec<Told>) {
        self.session.handle(at, input, &mut self.out);
        loop {
            let acts = std::mem::take(&mut self.out.acts);
            if acts.is_empty() {
                break;
            }
            for act in acts {
                let answer = match act {
                    session::Act::Dial { .. } => Input::Dialed,
                    session::Act::StartTls(side) => {
                        Input::TlsUp(side, self.tls[side.index()].clone().unwrap_or_default())
                    }
                    session::Act::Look(_) => Input::Looked(None),
                    session::Act::Claim(_) => Input::Claimed(None),
                    _ => continue,
                };
                self.session.handle(at, answer, &mut self.out);
            }
        }
        self.out.to.iter_mut().for_each(BytesMut::clear);
        for note in std::mem::take(&mut self.out.notes) {
            self.note(note, told);
        }
    }

    fn note(&mut self, note: Note, told: &mut Vec<Told>) {
        let Note::Seen(seen) = note else { return told.push(Told::Note(note)) };
        match (seen.dir, seen.what, &seen.origin) {
            (Dir::In, What::Stanza(_), _) => {
                let Some(deed) = self.waiting[seen.side.index()].pop_front() else { return };
                self.numbers.insert(seen.number, deed);
                told.push(Told::Fate(deed, seen.fate));
            }
            (Dir::Out, What::Stanza(_), Origin::Rewritten(number, _) | Origin::Made(number, _)) => {
                let deed = self.numbers.get(number);
                told.extend(deed.map(|deed| Told::Made(*deed, seen.bytes)));
            }
            _ => {}
        }
    }
}

fn attribute(text: &str) -> String {
    let mut bytes = BytesMut::new();
    escape_attr(text, &mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}
