//! [`Live`]: what a bound client sends, and whom it is for (RFC 6120 §10, RFC 6121 §8).
//!
//! Takes one stanza, gives it to a connected resource, to [`super::iq`] or to [`super::presence`], or answers with an
//! error. Stanzas are stamped with their sender's full JID; whatever `from` they had is overwritten.

use super::hub::{Hub, Online};
use super::iq;
use crate::xml::{Element, Scope, write_element};
use crate::xmpp::error::error_reply;
use crate::xmpp::jid::{BareJid, FullJid, Jid};
use crate::xmpp::{Condition, StanzaError, ns};
use bytes::BytesMut;
use std::sync::Arc;

/// Whom a stanza is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The sender's own account: no `to`, or its bare JID.
    Account,
    /// The server itself.
    Domain,
    /// Another account of this server.
    Other(BareJid),
    /// A resource of an account of this server, one's own among them.
    Resource(FullJid),
    /// Nobody of this server.
    Nobody(Condition),
}

/// One bound client. Dropped, it is gone for the others too.
pub(super) struct Live {
    hub: Arc<Hub>,
    me: FullJid,
    lang: Option<String>,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.hub.lost(&self.me);
        self.hub.part(&self.me);
    }
}

impl Live {
    /// The client that has just been bound to `me`; its stanzas are in this language unless they say otherwise.
    pub(super) fn new(hub: Arc<Hub>, me: FullJid, lang: Option<String>) -> Self {
        Self { hub, me, lang }
    }

    /// Handles one stanza; what is to be answered at once goes into `out`.
    pub(super) fn stanza(&self, mut stanza: Element, out: &mut BytesMut) {
        stanza.set_attr("from", self.me.to_string());
        if let Some(lang) = self.lang.as_ref().filter(|_| stanza.attr_ns(ns::XML, "lang").is_none()) {
            stanza.set_attr_ns(ns::XML, "lang", lang);
        }
        let target = match stanza.attr("to").map(Jid::new) {
            None => Target::Account,
            Some(Ok(to)) => self.target(to),
            Some(Err(_)) => {
                // The error's `from` must not be the malformed address (RFC 6120 §8.3.1).
                stanza.remove_attr("to");
                return refuse(&stanza, &StanzaError::new(Condition::JidMalformed), false, out);
            }
        };
        match stanza.name.as_str() {
            "iq" => self.iq(&stanza, target, out),
            "message" => self.message(&stanza, target, out),
            _ => self.presence(stanza, target),
        }
    }

    fn target(&self, to: Jid) -> Target {
        if *to.domain() != *self.me.domain() && !self.hub.is_local(to.domain()) {
            return Target::Nobody(Condition::RemoteServerNotFound);
        }
        match (to.node().is_some(), to.try_into_full()) {
            (true, Ok(full)) => Target::Resource(full),
            (true, Err(bare)) if bare == self.me.to_bare() => Target::Account,
            (true, Err(bare)) => Target::Other(bare),
            (false, Err(domain)) if domain.domain() == self.me.domain() => Target::Domain,
            (false, _) => Target::Nobody(Condition::ServiceUnavailable),
        }
    }

    fn iq(&self, iq: &Element, target: Target, out: &mut BytesMut) {
        let request = match iq.attr("type") {
            Some("get" | "set") => true,
            Some("result" | "error") => false,
            _ => return bad_request(iq, "'type' must be get, set, result or error", out),
        };
        if request && iq.attr("id").is_none() {
            return bad_request(iq, "an iq needs an 'id'", out);
        }
        if request && iq.children().count() != 1 {
            return bad_request(iq, "a get or set has exactly one child element", out);
        }
        match target {
            // As real servers do, another client's answers are delivered as they are, right or wrong.
            Target::Resource(to) if self.hub.send(&to, iq) => {}
            // An answer to nothing we asked (a roster push's, for one), or to somebody who has gone.
            _ if !request => {}
            target => iq::answer(&self.hub, &self.me, iq, &target, out),
        }
    }

    fn message(&self, message: &Element, target: Target, out: &mut BytesMut) {
        let kind = message.attr("type").unwrap_or("normal");
        let delivered = match &target {
            Target::Resource(to) => {
                self.hub.send(to, message) || (kind == "chat" && self.hub.send_bare(&to.to_bare(), message, kind))
            }
            Target::Account => self.hub.send_bare(&self.me.to_bare(), message, kind),
            Target::Other(to) => self.hub.send_bare(to, message, kind),
            Target::Domain | Target::Nobody(_) => false,
        };
        if !delivered && kind != "headline" {
            let condition =
                if let Target::Nobody(condition) = target { condition } else { Condition::ServiceUnavailable };
            refuse(message, &StanzaError::new(condition), false, out);
        }
    }

    fn presence(&self, mut presence: Element, target: Target) {
        let kind = presence.attr("type").unwrap_or_default();
        let subscription = matches!(kind, "subscribe" | "subscribed" | "unsubscribe" | "unsubscribed");
        match target {
            Target::Account if presence.attr("to").is_none() => self.hub.presence(&self.me, &presence),
            Target::Other(to) if subscription => self.hub.subscription(&self.me, &to, presence),
            Target::Resource(to) if subscription => {
                presence.set_attr("to", to.to_bare().to_string());
                self.hub.subscription(&self.me, &to.to_bare(), presence);
            }
            Target::Resource(to) => _ = self.hub.send(&to, &presence),
            Target::Other(to) if kind != "probe" => _ = self.hub.send_bare(&to, &presence, "headline"),
            _ => {}
        }
    }
}

impl Hub {
    /// To a bare JID: of a headline (and of directed presence) every resource gets a copy, of anything else the one
    /// with the highest priority. A resource that has sent no presence yet counts after all others; one whose
    /// priority is negative does not count at all.
    fn send_bare(&self, to: &BareJid, stanza: &Element, kind: &str) -> bool {
        let accounts = self.accounts();
        let Some(entry) = accounts.get(to).filter(|_| !matches!(kind, "groupchat" | "error")) else { return false };
        let rank = |online: &Online| online.priority().map_or(-1, i16::from);
        let mut willing: Vec<&Online> = entry.online.values().filter(|o| o.priority().is_none_or(|p| p >= 0)).collect();
        willing.sort_by_key(|online| std::cmp::Reverse(rank(online)));
        if kind == "headline" {
            return willing.iter().filter(|online| online.presence.is_some() && online.send(stanza)).count() > 0;
        }
        willing.iter().any(|online| online.send(stanza))
    }
}

fn bad_request(iq: &Element, text: &str, out: &mut BytesMut) {
    refuse(iq, &StanzaError::new(Condition::BadRequest).with_text(text), false, out);
}

/// Answers with an error, if the stanza may be answered at all.
pub(super) fn refuse(stanza: &Element, error: &StanzaError, legacy_codes: bool, out: &mut BytesMut) {
    if let Some(reply) = error_reply(stanza, error, legacy_codes) {
        write_element(&reply, Scope::Stream, out);
    }
}
