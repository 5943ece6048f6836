//! Rosters (RFC 6121 §2): get, set, remove, and the pushes that tell of every change.
//!
//! Takes requests of one account's client, gives the roster or an error. A contact's side of a subscription is
//! changed along with ours where it must be; see also [`super::presence`].

use super::hub::{Accounts, Hub};
use crate::xml::Element;
use crate::xmpp::jid::{BareJid, FullJid};
use crate::xmpp::{Condition, StanzaError, ns};
use std::collections::BTreeMap;

/// Contacts of one account.
pub(super) const ITEMS: usize = 500;
/// Bytes of a contact's name or group, and number of groups.
const NAME_BYTES: usize = 1023;
const GROUPS: usize = 20;

/// A roster, by contact.
pub(super) type Roster = BTreeMap<BareJid, Item>;

/// A contact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Item {
    name: Option<String>,
    groups: Vec<String>,
    /// We see their presence.
    pub(super) to: bool,
    /// They see ours.
    pub(super) from: bool,
    /// We have asked to see theirs.
    pub(super) ask: bool,
}

impl Item {
    /// A contact that knows us as we know it.
    pub(super) fn friend(name: &str) -> Self {
        let name = Some(name.to_owned());
        Self { name, groups: vec!["Friends".to_owned()], to: true, from: true, ask: false }
    }

    /// The `<item/>` (RFC 6121 §2.1.2).
    fn element(&self, jid: &BareJid) -> Element {
        let subscription = match (self.to, self.from) {
            (true, true) => "both",
            (true, false) => "to",
            (false, true) => "from",
            (false, false) => "none",
        };
        let mut item = Element::new(ns::ROSTER, "item").with_attr("jid", jid.to_string());
        item.set_attr("subscription", subscription);
        if let Some(name) = &self.name {
            item.set_attr("name", name);
        }
        if self.ask {
            item.set_attr("ask", "subscribe");
        }
        let group = |item: Element, name: &String| item.with_child(Element::new(ns::ROSTER, "group").with_text(name));
        self.groups.iter().fold(item, group)
    }
}

impl Hub {
    /// The whole roster; from now on this resource is told of changes.
    pub(super) fn roster(&self, me: &FullJid) -> Element {
        let mut accounts = self.accounts();
        let query = Element::new(ns::ROSTER, "query");
        let Some(entry) = accounts.get_mut(&me.to_bare()) else { return query };
        if let Some(online) = entry.online.get_mut(me.resource().as_str()) {
            online.interested = true;
        }
        entry.roster.iter().fold(query, |query, (jid, item)| query.with_child(item.element(jid)))
    }

    /// A roster set (RFC 6121 §2.3 to §2.5).
    pub(super) fn set_roster(&self, me: &FullJid, query: &Element) -> Result<(), StanzaError> {
        let mut items = query.children().filter(|c| c.is(ns::ROSTER, "item"));
        let (Some(item), None) = (items.next(), items.next()) else {
            return Err(StanzaError::new(Condition::BadRequest).with_text("a roster set has exactly one item"));
        };
        let Ok(jid) = BareJid::new(item.attr("jid").unwrap_or_default()) else {
            return Err(StanzaError::new(Condition::BadRequest).with_text("'jid' must be a bare JID"));
        };
        if jid == me.to_bare() {
            return Err(StanzaError::new(Condition::NotAllowed).with_text("nobody is on their own roster"));
        }
        if item.attr("subscription") == Some("remove") {
            return self.remove(me, &jid);
        }
        let name = item.attr("name").filter(|n| !n.is_empty()).map(str::to_owned);
        let groups: Vec<String> = item
            .children()
            .filter(|c| c.is(ns::ROSTER, "group"))
            .map(Element::text)
            .filter(|g| !g.is_empty())
            .collect();
        if groups.len() > GROUPS || name.iter().chain(&groups).any(|text| text.len() > NAME_BYTES) {
            return Err(StanzaError::new(Condition::NotAcceptable).with_text("a name is too long, or groups too many"));
        }
        let mut accounts = self.accounts();
        let Some(entry) = accounts.get_mut(&me.to_bare()) else { return Ok(()) };
        if entry.roster.len() >= ITEMS && !entry.roster.contains_key(&jid) {
            return Err(StanzaError::new(Condition::ResourceConstraint).with_text("the roster is full"));
        }
        let contact = entry.roster.entry(jid.clone()).or_default();
        (contact.name, contact.groups) = (name, groups);
        self.push(&mut accounts, &me.to_bare(), &jid);
        Ok(())
    }

    /// Removing a contact ends the subscriptions of both.
    fn remove(&self, me: &FullJid, jid: &BareJid) -> Result<(), StanzaError> {
        let mut accounts = self.accounts();
        let removed = accounts.get_mut(&me.to_bare()).and_then(|entry| entry.roster.remove(jid));
        if removed.is_none() {
            return Err(StanzaError::new(Condition::ItemNotFound).with_text("not on the roster"));
        }
        self.push(&mut accounts, &me.to_bare(), jid);
        if let Some(theirs) = accounts.get_mut(jid).and_then(|entry| entry.roster.get_mut(&me.to_bare())) {
            (theirs.to, theirs.from, theirs.ask) = (false, false, false);
            self.push(&mut accounts, jid, &me.to_bare());
        }
        Ok(())
    }

    /// Tells every interested resource of `whose` how it stands with `contact` now (RFC 6121 §2.1.6).
    pub(super) fn push(&self, accounts: &mut Accounts, whose: &BareJid, contact: &BareJid) {
        let Some(entry) = accounts.get_mut(whose) else { return };
        entry.touch();
        let item = entry.roster.get(contact).map_or_else(
            || Item::default().element(contact).with_attr("subscription", "remove"),
            |item| item.element(contact),
        );
        for (resource, online) in entry.online.iter().filter(|(_, online)| online.interested) {
            let push = Element::new(ns::CLIENT, "iq")
                .with_attr("type", "set")
                .with_attr("id", format!("push-{}", self.token()))
                .with_attr("to", format!("{whose}/{resource}"))
                .with_child(Element::new(ns::ROSTER, "query").with_child(item.clone()));
            online.send(&push);
        }
    }
}
