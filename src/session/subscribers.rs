//! Those who see the client's presence, as the rosters that came by have told (RFC 6121 §2.1.2.5).
//!
//! Takes rosters and their changes, gives prepared bare JIDs. Bounded: who has no room is not known.

use crate::xml::Element;
use crate::xmpp::account::prepared;
use crate::xmpp::ns;
use std::collections::BTreeSet;

/// Bytes of JIDs that are remembered.
const BYTES: usize = 128 * 1024;
/// What each takes beyond its text, about.
const EACH: usize = 32;

/// Who sees the client's presence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Subscribers {
    jids: BTreeSet<String>,
    bytes: usize,
}

impl Subscribers {
    /// Follows a roster: the `whole`, or what has changed in it. A whole one without items may only say that nothing is new.
    pub(super) fn follow(&mut self, roster: &Element, whole: bool) {
        let mut items = roster.children().filter(|child| child.is(ns::ROSTER, "item")).peekable();
        if whole && items.peek().is_some() {
            *self = Self::default();
        }
        for item in items {
            let Some(jid) = item.attr("jid") else { continue };
            let jid = prepared(jid);
            match item.attr("subscription") {
                Some("from" | "both") => self.add(&jid),
                _ => self.remove(&jid),
            }
        }
    }

    fn add(&mut self, jid: &str) {
        let takes = jid.len() + EACH;
        if self.bytes + takes <= BYTES && self.jids.insert(jid.to_owned()) {
            self.bytes += takes;
        }
    }

    fn remove(&mut self, jid: &str) {
        if self.jids.remove(jid) {
            self.bytes -= jid.len() + EACH;
        }
    }

    /// All that are known.
    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.jids.iter().map(String::as_str)
    }

    /// Bytes of memory this takes beyond its own size, about.
    pub(super) const fn weight(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::parse_str;

    fn follow(subscribers: &mut Subscribers, items: &str, whole: bool) -> String {
        let roster = parse_str(&format!("<query xmlns='jabber:iq:roster'>{items}</query>")).unwrap();
        subscribers.follow(&roster, whole);
        subscribers.iter().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn rosters_and_their_changes_are_followed() {
        let mut all = Subscribers::default();
        let roster = "<item jid='A@x.test' subscription='both'/><item jid='b@x.test' subscription='from'/>\
                      <item jid='c@x.test' subscription='to'/><item jid='d@x.test'/><item subscription='both'/>";
        assert_eq!(follow(&mut all, roster, true), "a@x.test b@x.test");
        // The client has it already: RFC 6121 §2.6.3.
        assert_eq!(follow(&mut all, "", true), "a@x.test b@x.test");
        assert_eq!(follow(&mut all, "<item jid='a@x.test' subscription='remove'/>", false), "b@x.test");
        assert_eq!(follow(&mut all, "<item jid='c@x.test' subscription='both'/>", false), "b@x.test c@x.test");
        assert_eq!(follow(&mut all, "<item jid='d@x.test' subscription='from'/>", true), "d@x.test");
        assert_eq!(all.weight(), "d@x.test".len() + EACH);
    }

    #[test]
    fn it_has_an_end() {
        let mut all = Subscribers::default();
        let many: String = (0..10_000).map(|n| format!("<item jid='{n}@x.test' subscription='both'/>")).collect();
        follow(&mut all, &many, true);
        assert!(all.weight() <= BYTES && all.iter().count() > 1_000);
        let none: String = (0..10_000).map(|n| format!("<item jid='{n}@x.test' subscription='none'/>")).collect();
        assert_eq!((&*follow(&mut all, &none, false), all.weight()), ("", 0));
    }
}
