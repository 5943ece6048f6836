//! XEP-0191 in front of a server that has none: who is blocked reaches the client no more, nor the client them, and the
//! resources that have asked for the list are told of its changes.
//!
//! Takes stanzas that would go on and changes of the list, gives what holds them back, pushes and presence. Must not block the
//! own account or server, nor answer an answer. What the server does by itself (its archive, its broadcasts and probes of presence)
//! is out of reach.

use super::core::Core;
use super::decide::Decision;
use super::iq_ledger::{Asker, Request};
use super::profile::Leaving;
use super::{Origin, Outbox};
use crate::answer::{Blocked, blocking};
use crate::keep::Change;
use crate::xml::{Element, parse_str_in};
use crate::xmpp::{Condition, ErrorType, Kind, Peer, Side, StanzaError, ns};
use memchr::memmem;

/// Who holds stanzas back, in the notes.
const BY: &str = "answer blocking";

impl Core {
    /// What becomes of a stanza from or to somebody who is blocked (XEP-0191 §3.3); nothing if nobody is.
    pub(super) fn weigh_blocked(
        &mut self,
        side: Side,
        kind: Kind,
        stanza: &Leaving<'_>,
        out: &mut Outbox,
    ) -> Option<Decision> {
        let profile = self.profile.as_deref()?;
        if !profile.blocks || profile.server_blocks || profile.list.is_empty() {
            return None;
        }
        let peer = if side == Side::Client { stanza.to() } else { stanza.from() };
        if !profile.list.matches(&self.account, peer.as_deref()) {
            let carbon = side == Side::Server && kind == Kind::Message && self.is_blocked_carbon(stanza, out);
            return carbon.then(|| Decision::Drop(BY.to_owned()));
        }
        let said = stanza.kind();
        let silent = match (kind, said.as_deref()) {
            (_, Some("error")) | (Kind::Iq, Some("result")) => true,
            (Kind::Presence, _) => side == Side::Server,
            // An error leaves under the full JID: who has asked for another one would learn that it is there.
            (Kind::Message, Some("groupchat" | "headline")) => side == Side::Server,
            (Kind::Message, _) => side == Side::Server && self.account.peer(stanza.to().as_deref()) != Peer::OwnFull,
            (Kind::Iq, _) => false,
        };
        Some(match (silent, side) {
            (true, _) => Decision::Drop(BY.to_owned()),
            (false, Side::Client) => Decision::Bounce(not_to_be_reached(), BY.to_owned()),
            (false, Side::Server) => Decision::Bounce(StanzaError::new(Condition::ServiceUnavailable), BY.to_owned()),
        })
    }

    /// Whether this is a copy of a message from or to somebody who is blocked (XEP-0280).
    fn is_blocked_carbon(&mut self, stanza: &Leaving<'_>, out: &mut Outbox) -> bool {
        let from = self.account.peer(stanza.from().as_deref());
        if !matches!(from, Peer::Absent | Peer::OwnBare) || !stanza.says(ns::CARBONS) {
            return false;
        }
        let Some(message) = stanza.tree(self, Side::Server, out) else { return false }; // the session is over
        let copies = message.children().filter(|child| child.ns == ns::CARBONS);
        let copied = copies.filter_map(|copy| copy.child(ns::FORWARD, "forwarded")?.child(ns::CLIENT, "message"));
        let Some(profile) = self.profile.as_deref() else { return false };
        let mut peers = copied.flat_map(|message| [message.attr("from"), message.attr("to")]);
        peers.any(|peer| profile.list.matches(&self.account, peer))
    }

    /// Tells a resource that has asked for the list what was changed (XEP-0191 §3.3 to §3.5). It need not answer.
    pub(super) fn push_list(&mut self, changes: &[Change], out: &mut Outbox) {
        let asked = self.profile.as_ref().is_some_and(|profile| profile.asked);
        let Some(payload) = blocking::push(changes).filter(|_| asked) else { return };
        let id = format!("iqtap-{:016x}", self.random());
        let request = Request {
            id: &id,
            id_seen: &id,
            address: None,
            peer: Peer::Absent,
            bound: true,
            timed: false,
            asker: Asker::Push,
            number: 0,
            remembered: 0,
            namespace: None,
            archive: false,
            at: self.now,
            stopped: false,
        };
        let opened = self.iqs.open(Side::Server, self.account.hash(id.as_bytes()), &request, self.route.open_iqs);
        if opened.is_err() {
            self.iqs.open_untracked(Side::Server);
        }
        let mut push = Element::new(ns::CLIENT, "iq").with_attr("type", "set").with_attr("id", id).with_child(payload);
        self.address(Side::Client, &mut push);
        self.emit(Side::Client, Kind::Iq, &push, Origin::Made(0, BY.to_owned()), None, out);
    }

    /// The server is known to keep such a list itself.
    pub(super) fn server_blocks(&mut self) {
        if let Some(profile) = &mut self.profile {
            profile.server_blocks = true;
        }
    }

    /// The list was another one before: those who see the client's presence and are blocked now see it leave, those who are not
    /// any more see it as it is (XEP-0191 §3.3, §3.4).
    pub(super) fn list_changed(&mut self, before: &Blocked, out: &mut Outbox) {
        let Some(profile) = self.profile.as_deref().filter(|profile| !profile.server_blocks) else { return };
        let Some(presence) = profile.presence.as_deref().and_then(read) else { return };
        let (mut leave, mut come) = (Vec::new(), Vec::new());
        for jid in profile.subscribers.iter() {
            let matches = |list: &Blocked| list.matches(&self.account, Some(jid));
            match (matches(before), matches(&profile.list)) {
                (false, true) => leave.push(jid.to_owned()),
                (true, false) => come.push(jid.to_owned()),
                _ => {}
            }
        }
        for jid in leave {
            self.leaves(jid, out);
        }
        for jid in come {
            self.presence_made(&presence.clone().with_attr("to", jid), BY, out);
        }
    }

    /// A presence has been broadcast: those who are blocked see the client leave at once.
    pub(super) fn hide_presence(&mut self, out: &mut Outbox) {
        let Some(profile) = self.profile.as_mut() else { return };
        let hides = profile.blocks && !profile.server_blocks && !profile.list.is_empty();
        if !std::mem::take(&mut profile.shown) || !hides {
            return;
        }
        let blocked = profile.subscribers.iter().filter(|jid| profile.list.matches(&self.account, Some(jid)));
        let blocked: Vec<String> = blocked.map(str::to_owned).collect();
        for jid in blocked {
            self.leaves(jid, out);
        }
    }

    fn leaves(&mut self, jid: String, out: &mut Outbox) {
        let presence = Element::new(ns::CLIENT, "presence").with_attr("type", "unavailable").with_attr("to", jid);
        self.presence_made(&presence, BY, out);
    }

    pub(super) fn presence_made(&mut self, presence: &Element, by: &str, out: &mut Outbox) {
        self.emit(Side::Server, Kind::Presence, presence, Origin::Made(0, by.to_owned()), None, out);
    }
}

/// What the client is told that wants to reach somebody it has blocked (XEP-0191 §3.3).
fn not_to_be_reached() -> StanzaError {
    StanzaError {
        kind: ErrorType::Cancel,
        detail: Some((ns::BLOCKING_ERRORS, "blocked")),
        ..StanzaError::new(Condition::NotAcceptable)
    }
}

/// A stanza that was put aside as it left.
pub(super) fn read(bytes: &[u8]) -> Option<Element> {
    parse_str_in(ns::CLIENT, std::str::from_utf8(bytes).ok()?).ok()
}

impl Leaving<'_> {
    /// Whether this text stands in it.
    fn says(&self, text: &str) -> bool {
        self.changed.is_some() || memmem::find(self.view.bytes, text.as_bytes()).is_some()
    }
}
