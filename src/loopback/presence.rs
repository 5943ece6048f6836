//! Presence (RFC 6121 §3, §4): who is told that somebody came, changed or went, and subscriptions.
//!
//! Takes a client's presence, gives it to its own resources and to those contacts who may see it. A subscription
//! asked of somebody who is not online is not kept for them. Must not answer anything.

use super::hub::{Accounts, Entry, Hub};
use super::roster::{ITEMS, Item};
use crate::xml::Element;
use crate::xmpp::jid::{BareJid, FullJid, Jid};
use crate::xmpp::ns;

impl Hub {
    /// Presence without `to`; `from` is stamped already.
    pub(super) fn presence(&self, me: &FullJid, presence: &Element) {
        let available = match presence.attr("type") {
            None => true,
            Some("unavailable") => false,
            // An error, a probe, a subscription for nobody: nothing to do.
            Some(_) => return,
        };
        let mut accounts = self.accounts();
        let Some(entry) = accounts.get_mut(&me.to_bare()) else { return };
        let Some(online) = entry.online.get_mut(me.resource().as_str()) else { return };
        let before = if available { online.presence.replace(presence.clone()) } else { online.presence.take() };
        if !available && before.is_none() {
            return;
        }
        broadcast(&accounts, me, presence);
        if available && before.is_none() {
            welcome(&accounts, me);
        }
    }

    /// A client went without a word: tells who must know.
    pub(super) fn lost(&self, me: &FullJid) {
        self.presence(me, &unavailable(me));
    }

    /// A subscription request, or an answer to one, for an account (RFC 6121 §3); `from` is stamped already.
    pub(super) fn subscription(&self, me: &FullJid, to: &BareJid, mut presence: Element) {
        let mine = me.to_bare();
        let kind = presence.attr("type").unwrap_or_default().to_owned();
        presence.set_attr("from", mine.to_string());
        let mut accounts = self.accounts();
        let asked = accounts.get(to).and_then(|e| e.roster.get(&mine)).is_some_and(|item| item.ask);
        if *to == mine || (kind == "subscribed" && !asked) {
            return;
        }
        // (the one who is to see, the one who is to be seen)
        let (watcher, watched) =
            if matches!(kind.as_str(), "subscribe" | "unsubscribe") { (&mine, to) } else { (to, &mine) };
        let granted = kind == "subscribed";
        if kind == "subscribe" {
            change(&mut accounts, watcher, watched, true, |item| item.ask = !item.to);
        } else {
            change(&mut accounts, watcher, watched, granted, |item| (item.to, item.ask) = (granted, false));
            change(&mut accounts, watched, watcher, granted, |item| item.from = granted);
        }
        if let Some(theirs) = accounts.get(to) {
            to_all(theirs, &presence);
        }
        self.push(&mut accounts, &mine, to);
        if kind != "subscribe" {
            self.push(&mut accounts, to, &mine);
            seen_anew(&accounts, watched, watcher, granted);
        }
    }
}

/// Edits one side of a subscription, if that account is known. Ending one makes no contact of a stranger.
fn change(accounts: &mut Accounts, whose: &BareJid, contact: &BareJid, make: bool, edit: impl FnOnce(&mut Item)) {
    let Some(roster) = accounts.get_mut(whose).map(|entry| &mut entry.roster) else { return };
    if make && roster.len() < ITEMS {
        edit(roster.entry(contact.clone()).or_default());
    } else if let Some(item) = roster.get_mut(contact) {
        edit(item);
    }
}

/// After a grant the watcher learns who of `watched` is there; after its end, that nobody is.
fn seen_anew(accounts: &Accounts, watched: &BareJid, watcher: &BareJid, granted: bool) {
    let (Some(from), Some(to)) = (accounts.get(watched), accounts.get(watcher)) else { return };
    for (resource, online) in &from.online {
        let Some(presence) = &online.presence else { continue };
        let Ok(jid) = watched.with_resource_str(resource) else { continue };
        let news = if granted { presence.clone() } else { unavailable(&jid) };
        to_all(to, &news.with_attr("to", watcher.to_string()));
    }
}

/// To all available resources of the account, the sender's own among them (RFC 6121 §4.2.2), and of its watchers.
fn broadcast(accounts: &Accounts, me: &FullJid, presence: &Element) {
    let Some(entry) = accounts.get(&me.to_bare()) else { return };
    to_all(entry, &presence.clone().with_attr("to", me.to_bare().to_string()));
    for (jid, _) in entry.roster.iter().filter(|(_, item)| item.from) {
        if let Some(contact) = accounts.get(jid) {
            to_all(contact, &presence.clone().with_attr("to", jid.to_string()));
        }
    }
}

/// Who has just come is told who is there: the account's other resources, and the contacts it may see (§4.3).
fn welcome(accounts: &Accounts, me: &FullJid) {
    let Some(entry) = accounts.get(&me.to_bare()) else { return };
    let Some(newcomer) = entry.online.get(me.resource().as_str()) else { return };
    let others = entry.online.iter().filter(|(resource, _)| resource.as_str() != me.resource().as_str());
    let seen = entry.roster.iter().filter(|(_, item)| item.to).filter_map(|(jid, _)| accounts.get(jid));
    let theirs = seen.flat_map(|contact| contact.online.values());
    for presence in others.map(|(_, online)| online).chain(theirs).filter_map(|online| online.presence.as_ref()) {
        newcomer.send(&presence.clone().with_attr("to", me.to_string()));
    }
}

fn to_all(entry: &Entry, presence: &Element) {
    for online in entry.online.values().filter(|online| online.presence.is_some()) {
        online.send(presence);
    }
}

fn unavailable(from: &Jid) -> Element {
    Element::new(ns::CLIENT, "presence").with_attr("type", "unavailable").with_attr("from", from.to_string())
}
