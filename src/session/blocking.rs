//! XEP-0191 in front of a server that has none: who is blocked reaches the client no more, nor the client them, and the
//! resources that have asked for the list are told of its changes.
//!
//! Takes stanzas that would go on and changes of the list, gives what holds them back, pushes and presence. Must not block the
//! own account or server, nor answer an answer. What the server does by itself (its archive, its broadcasts and probes of presence)
//! is out of reach.

use super::core::Core;
use super::decide::Decision;
use super::iq_ledger::Asker;
use super::leaving::{Leaving, read};
use super::profile::Profile;
use super::{Origin, Outbox};
use crate::answer::{Blocked, blocking};
use crate::keep::Change;
use crate::xml::Element;
use crate::xmpp::{Condition, ErrorType, Kind, Peer, Side, StanzaError, Timestamp, ns};

/// Who holds stanzas back, in the notes.
const BY: &str = "answer blocking";
/// Bytes of presence, about, that one change of the list or one broadcast may cost: who comes behind that sees what the server shows.
const PRESENCE_AT_ONCE: usize = 256 * 1024;
/// What a presence takes beside its address and what it says, about.
const EACH: usize = 64;
/// Broadcasts are taken back at most so often, in seconds: each costs one presence for every contact who is blocked.
const HIDE_SECONDS: u64 = 1;

impl Profile {
    /// When a presence that was broadcast is to be taken back.
    pub(super) fn hides_at(&self) -> Option<Timestamp> {
        let hides = self.shown && self.blocks && !self.server_blocks && !self.list.is_empty();
        hides.then(|| self.hidden.plus_seconds(HIDE_SECONDS))
    }
}

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
        if !matches!(from, Peer::Absent | Peer::OwnBare) || !stanza.may_carry() {
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
        let id = self.own_id();
        let opened = self.open_own(Side::Server, Asker::Push, &id, None, false);
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
        let says = profile.presence.as_ref().map_or(0, Vec::len);
        let mut spent = 0;
        for jid in within(&mut spent, 0, leave) {
            self.leaves(jid, out);
        }
        for jid in within(&mut spent, says, come) {
            self.presence_made(&presence.clone().with_attr("to", jid), BY, out);
        }
    }

    /// A presence has been broadcast: those who are blocked see the client leave, at once or as soon as it may cost that again.
    pub(super) fn hide_presence(&mut self, out: &mut Outbox) {
        let Some(profile) = self.profile.as_mut() else { return };
        let Some(at) = profile.hides_at() else { return profile.shown = false };
        if self.now < at {
            return;
        }
        (profile.shown, profile.hidden) = (false, self.now);
        let blocked = profile.subscribers.iter().filter(|jid| profile.list.matches(&self.account, Some(jid)));
        for jid in within(&mut 0, 0, blocked.map(str::to_owned).collect()) {
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

/// The first of these to whom that much can be said.
fn within(spent: &mut usize, says: usize, jids: Vec<String>) -> impl Iterator<Item = String> {
    jids.into_iter().take_while(move |jid| {
        *spent += jid.len() + says + EACH;
        *spent <= PRESENCE_AT_ONCE
    })
}

/// What the client is told that wants to reach somebody it has blocked (XEP-0191 §3.3).
fn not_to_be_reached() -> StanzaError {
    StanzaError {
        kind: ErrorType::Cancel,
        detail: Some((ns::BLOCKING_ERRORS, "blocked")),
        ..StanzaError::new(Condition::NotAcceptable)
    }
}
