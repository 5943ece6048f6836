//! What the features say of the server's disco#info (XEP-0115, XEP-0390): a client that knows a hash never asks, so the hashes
//! must be those of the answers that it would be given here.
//!
//! Takes features that are ready for the client otherwise, gives them speaking of our own answer, of the server's as we edit it,
//! or of none. Must not let a client see a hash of what the server says unedited. What the server says is learnt when it is
//! first seen, and kept for all sessions by the node that names it; only an answer that has the hash of that name is believed,
//! so no server can speak for another.
//!
//! ```text
//! features with <c/> -> Act::Store(Get) -> Stored: known   -> hashes of the edited answer
//!                                                  unknown -> no <c/>; once bound, the server is asked -> Act::Store(Write)
//! ```

use super::core::{Core, ServerPhase};
use super::discovery::BY;
use super::iq_ledger::Asker;
use super::{Origin, Outbox};
use crate::answer::{Caps, Informant, Target, caps, disco};
use crate::keep::{Change, Done, NOBODY, Op, Space, Trouble};
use crate::xml::Element;
use crate::xmpp::{Kind, Side, ns};
use bytes::Bytes;

/// Where the answers of servers are kept.
const SPACE: Space = Space::Borrowed("caps");
/// How many are kept; when there are more, all are learnt anew.
const MOST_KEPT: usize = 256;
/// The bytes of an answer that is kept, and those of the node that names it.
const MOST_BYTES: usize = 64 * 1024;
const NAME_BYTES: usize = 1024;

/// What a client is told when the streams are joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Joining {
    /// The item that the features came in as.
    pub(super) number: u64,
    pub(super) features: Option<Element>,
    /// What was taken out of them, for people.
    pub(super) stripped: Vec<String>,
}

/// Features that wait for the store to say what they speak of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// The number of the operation.
    number: u64,
    joining: Joining,
    caps: Caps,
}

/// An answer on its way to the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Learning {
    /// The number of the operation.
    number: u64,
    name: String,
    value: Bytes,
}

impl Learning {
    /// Bytes of memory this takes, about.
    pub(super) fn weight(&self) -> usize {
        self.name.len() + self.value.len()
    }
}

impl Core {
    /// Joins the streams, at once or as soon as it is known what the features may say of the server.
    pub(super) fn advertise(&mut self, mut joining: Joining, out: &mut Outbox) {
        let said = joining.features.as_mut().filter(|_| self.header.has_features());
        let Some((caps, features)) = said.and_then(|features| Some((Caps::of(features)?, features))) else {
            return self.join_with(joining, out);
        };
        self.answering.discovery.caps = Some(caps.clone());
        if !self.policy.answers.alters_info() {
            return self.join_with(joining, out);
        }
        match self.policy.answers.informant(self.account.bare(), self.now, self.route.started) {
            // Who is not logged in may not ask either.
            _ if !self.authenticated => drop(Caps::strip(features)),
            Informant::Nobody => drop(Caps::strip(features)),
            Informant::Here(query) => self.speak_of(features, &query),
            // It will never be known.
            Informant::Server if !caps.can_verify() || caps.key().len() > NAME_BYTES => drop(Caps::strip(features)),
            Informant::Server => {
                let get = Op::Get { account: NOBODY.to_owned(), space: SPACE, name: caps.key() };
                let number = self.ask_operation(get, out);
                self.answering.discovery.held = Some(Box::new(Held { number, joining, caps }));
                self.server = ServerPhase::Held;
                return;
            }
        }
        self.join_with(joining, out);
    }

    /// Makes features speak of this answer.
    fn speak_of(&mut self, features: &mut Element, query: &Element) {
        self.answering.discovery.told = Caps::rewrite(features, query).unwrap_or_default();
    }

    /// The store has done what was asked of it for the sake of the features, if it was that.
    pub(super) fn caps_stored(&mut self, number: u64, done: Done, out: &mut Outbox) {
        let discovery = &mut self.answering.discovery;
        if let Some(held) = discovery.held.take_if(|held| held.number == number) {
            return self.looked_up(*held, done, out);
        }
        let Some(learning) = discovery.learning.take_if(|learning| learning.number == number) else { return };
        if matches!(done, Err(Trouble::Full(_))) {
            let Learning { name, value, .. } = learning;
            self.ask_operation(write(vec![Change::Clear(SPACE), Change::Put(SPACE, name, value)]), out);
        }
    }

    /// It is known now what the features speak of, or that nobody knows it.
    fn looked_up(&mut self, held: Held, done: Done, out: &mut Outbox) {
        let Held { mut joining, caps, .. } = held;
        let entry = done.ok().and_then(|entries| entries.into_iter().next());
        let known = entry.and_then(|entry| caps::read(&entry.value)).filter(|query| caps.verify(query));
        // The policy may be another by now.
        if let Some(features) = joining.features.as_mut().filter(|_| self.policy.answers.alters_info()) {
            match known {
                Some(mut query) => {
                    if disco::edit(&mut query, Target::Server, &self.policy.answers) {
                        self.speak_of(features, &query);
                    }
                }
                None => {
                    Caps::strip(features);
                    self.answering.discovery.unknown = true;
                }
            }
        }
        self.join_with(joining, out);
        self.resume(Side::Server);
    }

    /// Asks the server for what its features speak of, if nobody knows it: the next login will.
    pub(super) fn ask_for_info(&mut self, out: &mut Outbox) {
        if !self.answering.discovery.unknown {
            return;
        }
        let id = self.own_id();
        let domain = self.account.domain().to_owned();
        let query = Element::new(ns::DISCO_INFO, "query");
        let iq = Element::new(ns::CLIENT, "iq").with_attr("type", "get").with_attr("id", id.as_str());
        let iq = iq.with_attr("to", domain.as_str()).with_child(query);
        if self.open_own(Side::Client, Asker::Iqtap, &id, Some(&domain), false).is_ok() {
            self.emit(Side::Server, Kind::Iq, &iq, Origin::Made(0, BY.to_owned()), None, out);
        }
    }

    /// The server has said what it is and can: if the features spoke of that, it is kept as it came.
    pub(super) fn learn(&mut self, iq: &Element, out: &mut Outbox) {
        let Some(caps) = &self.answering.discovery.caps else { return };
        let Some(mut query) = iq.child(ns::DISCO_INFO, "query").cloned() else { return };
        query.remove_attr("node");
        if !caps.verify(&query) {
            // The hashes of XEP-0390 know the language that is inherited, if whoever made them has thought of it.
            let around = iq.attr_ns(ns::XML, "lang").or(self.server_header.lang.as_deref());
            let Some(lang) = around.filter(|_| query.attr_ns(ns::XML, "lang").is_none()) else { return };
            query.set_attr_ns(ns::XML, "lang", lang);
            if !caps.verify(&query) {
                return;
            }
        }
        let (name, value) = (caps.key(), caps::write(&query));
        self.answering.discovery.unknown = false;
        if value.len() > MOST_BYTES || caps::read(&value).is_none() {
            return;
        }
        let number = self.ask_operation(write(vec![Change::Put(SPACE, name.clone(), value.clone())]), out);
        self.answering.discovery.learning = Some(Learning { number, name, value });
    }
}

fn write(changes: Vec<Change>) -> Op {
    Op::Write { account: NOBODY.to_owned(), changes, most: MOST_KEPT }
}
