//! XEP-0191: the account's list of those it does not want to hear of, and what is on it.

use super::{Answer, Answers, Asked, Target, Then, error};
use crate::keep::{Change, Entry, Op};
use crate::xml::Element;
use crate::xmpp::account::{prepared, without_dot};
use crate::xmpp::jid::{self, Jid};
use crate::xmpp::{Account, Condition, ns};
use bytes::Bytes;
use std::collections::BTreeSet;

/// The list is read and changed; the account's only.
pub(super) fn answer(answers: &Answers, asked: &Asked<'_>) -> Answer {
    let account = asked.account.to_owned();
    match (asked.target, asked.set, asked.payload.name.as_str()) {
        (Target::Server | Target::Other, ..) => Answer::Forward,
        (_, false, "blocklist") => {
            Answer::Store(Op::List { account, spaces: vec![ns::BLOCKING.into()] }, Then::Blocklist)
        }
        (_, true, "block" | "unblock") => match changes(asked.payload) {
            Ok(changes) => Answer::Store(Op::Write { account, changes, most: answers.options.blocked }, Then::Empty),
            Err(condition) => error(condition),
        },
        _ => error(Condition::BadRequest),
    }
}

/// What a `<block/>` or `<unblock/>` asks for, each address once and prepared.
fn changes(request: &Element) -> Result<Vec<Change>, Condition> {
    let blocks = request.name == "block";
    let mut seen = BTreeSet::new();
    let mut changes = Vec::new();
    for item in request.children().filter(|child| child.is(ns::BLOCKING, "item")) {
        let address = item.attr("jid").ok_or(Condition::BadRequest)?;
        let jid = Jid::new(&without_dot(address)).map_err(|_| Condition::JidMalformed)?.to_string();
        if seen.insert(jid.clone()) {
            changes.push(match blocks {
                true => Change::Put(ns::BLOCKING.into(), jid, Bytes::new()),
                false => Change::Delete(ns::BLOCKING.into(), jid),
            });
        }
    }
    match (changes.is_empty(), blocks) {
        (true, true) => Err(Condition::BadRequest),
        (true, false) => Ok(vec![Change::Clear(ns::BLOCKING.into())]),
        (false, _) => Ok(changes),
    }
}

/// The list as it is kept.
pub(super) fn stored(entries: &[Entry]) -> Answer {
    let items = entries.iter().map(|entry| entry.name.as_str());
    Answer::Result(Some(with_items("blocklist", items)))
}

fn with_items<'a>(name: &str, jids: impl Iterator<Item = &'a str>) -> Element {
    jids.fold(Element::new(ns::BLOCKING, name), |list, jid| {
        list.with_child(Element::new(ns::BLOCKING, "item").with_attr("jid", jid))
    })
}

/// What those are told who have asked for the list: `<block/>` or `<unblock/>`. Nothing if the list is not what has
/// changed. Changes of another kind than the first are left out; one request never asks for two kinds.
#[must_use]
pub fn push(changes: &[Change]) -> Option<Element> {
    let mut ours = changes.iter().filter(|change| change.space() == ns::BLOCKING).peekable();
    match ours.peek()? {
        Change::Clear(_) => Some(Element::new(ns::BLOCKING, "unblock")),
        Change::Put(..) => Some(with_items("block", ours.filter_map(put))),
        Change::Delete(..) => Some(with_items("unblock", ours.filter_map(deleted))),
    }
}

fn put(change: &Change) -> Option<&str> {
    if let Change::Put(_, name, _) = change { Some(name) } else { None }
}

fn deleted(change: &Change) -> Option<&str> {
    if let Change::Delete(_, name) = change { Some(name) } else { None }
}

/// The list, as a session holds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocked {
    /// Prepared addresses.
    list: BTreeSet<String>,
}

impl Blocked {
    /// The list among what is kept.
    #[must_use]
    pub fn new(entries: &[Entry]) -> Self {
        let ours = entries.iter().filter(|entry| entry.space == ns::BLOCKING);
        Self { list: ours.map(|entry| entry.name.clone()).collect() }
    }

    /// Follows what has changed; of other spaces it knows nothing.
    pub fn apply(&mut self, changes: &[Change]) {
        for change in changes.iter().filter(|change| change.space() == ns::BLOCKING) {
            match change {
                Change::Put(_, name, _) => {
                    self.list.insert(name.clone());
                }
                Change::Delete(_, name) => {
                    self.list.remove(name);
                }
                Change::Clear(_) => self.list.clear(),
            }
        }
    }

    /// What must be done to this list to make it that one: who is blocked there and not here, and the other way round.
    #[must_use]
    pub fn changes_to(&self, after: &Self) -> [Vec<Change>; 2] {
        let more = after.list.difference(&self.list);
        let less = self.list.difference(&after.list);
        [
            more.map(|jid| Change::Put(ns::BLOCKING.into(), jid.clone(), Bytes::new())).collect(),
            less.map(|jid| Change::Delete(ns::BLOCKING.into(), jid.clone())).collect(),
        ]
    }

    /// Bytes of memory this takes beyond its own size, about.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.list.iter().map(|jid| size_of::<String>() + jid.capacity()).sum()
    }

    /// Whether nobody is blocked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether this address is blocked (XEP-0191 §6): itself, its bare JID, its domain with the resource, or its domain.
    /// Nobody blocks the own account, its resources (§5) or its server, and no address is the account's. Does not allocate for
    /// an address that is prepared already.
    #[must_use]
    pub fn matches(&self, account: &Account, address: Option<&str>) -> bool {
        let Some(address) = address.filter(|_| !self.is_empty()) else { return false };
        let full = prepared(address);
        let bare = jid::bare(&full);
        if bare == account.bare() || *full == *account.domain() {
            return false;
        }
        // `domain/resource` is what stands behind the local part.
        let behind = bare.find('@').and_then(|at| full.get(at + 1..)).unwrap_or(&full);
        [&full, bare, behind, jid::bare(behind)].into_iter().any(|one| self.list.contains(one))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::tests::{asks, local, sets, stored as then};
    use crate::keep::Trouble;

    fn entry(jid: &str) -> Entry {
        Entry { space: "urn:xmpp:blocking".to_owned(), name: jid.to_owned(), value: Bytes::new() }
    }

    fn request(name: &str, jids: &[&str]) -> String {
        let items: String = jids.iter().map(|jid| format!("<item jid='{jid}'/>")).collect();
        if items.is_empty() {
            return format!("<{name} xmlns='urn:xmpp:blocking'/>");
        }
        format!("<{name} xmlns='urn:xmpp:blocking'>{items}</{name}>")
    }

    #[test]
    fn the_list_is_read() {
        let list = request("blocklist", &[]);
        assert_eq!(asks(&local(), Target::Account, &list), "list juliet@example.org urn:xmpp:blocking");
        assert_eq!(then(&local(), Then::Blocklist, Ok(vec![])), list);
        let two = vec![entry("a@x.test"), entry("romeo@m.net")];
        let expected = request("blocklist", &["a@x.test", "romeo@m.net"]);
        assert_eq!(then(&local(), Then::Blocklist, Ok(two)), expected);
    }

    #[test]
    fn addresses_are_blocked_as_they_are_prepared() {
        let said =
            sets(&local(), Target::Account, &request("block", &["Romeo@M.net", "x.test.", "romeo@m.net", "m.net/A"]));
        let [a, b, c] = ["romeo@m.net", "x.test", "m.net/A"].map(|jid| format!("put urn:xmpp:blocking '{jid}' "));
        assert_eq!(said, format!("write juliet@example.org at most 1000: {a}, {b}, {c}"));
        assert_eq!(then(&local(), Then::Empty, Ok(vec![])), "empty");
    }

    #[test]
    fn addresses_are_unblocked_one_by_one_or_all() {
        assert_eq!(
            sets(&local(), Target::Account, &request("unblock", &["Romeo@M.net"])),
            "write juliet@example.org at most 1000: delete urn:xmpp:blocking 'romeo@m.net'"
        );
        assert_eq!(
            sets(&local(), Target::Account, &request("unblock", &[])),
            "write juliet@example.org at most 1000: clear urn:xmpp:blocking"
        );
    }

    #[test]
    fn what_cannot_be_blocked_is_refused() {
        assert_eq!(sets(&local(), Target::Account, &request("block", &[])), "modify bad-request");
        for name in ["block", "unblock"] {
            for jid in ["", "a@b@c", "@x.test", "x.test/"] {
                let said = sets(&local(), Target::Account, &request(name, &["ok@x.test", jid]));
                assert_eq!(said, "modify jid-malformed", "{jid}");
            }
            let without = format!("<{name} xmlns='urn:xmpp:blocking'><item/></{name}>");
            assert_eq!(sets(&local(), Target::Account, &without), "modify bad-request");
        }
        for (set, name) in [(false, "block"), (false, "unblock"), (true, "blocklist"), (true, "x")] {
            let ask = if set { sets } else { asks };
            assert_eq!(ask(&local(), Target::Account, &request(name, &["a@x.test"])), "modify bad-request", "{name}");
        }
    }

    #[test]
    fn a_list_has_its_limit() {
        let mut answers = local();
        answers.options.blocked = 3;
        let said = sets(&answers, Target::Account, &request("block", &["a@x.test"]));
        assert!(said.starts_with("write juliet@example.org at most 3: "), "{said}");
        let said = then(&answers, Then::Empty, Err(Trouble::Full(3)));
        assert_eq!(said, "wait resource-constraint (more than 3 entries are not kept)");
    }

    #[test]
    fn nobody_elses_list_is_ours() {
        for target in [Target::Server, Target::Other] {
            assert_eq!(asks(&local(), target, &request("blocklist", &[])), "forward");
            assert_eq!(sets(&local(), target, &request("block", &["a@x.test"])), "forward");
        }
    }

    #[test]
    fn what_has_changed_is_pushed() {
        let space = || ns::BLOCKING.into();
        let block = |jid: &str| Change::Put(space(), jid.to_owned(), Bytes::new());
        let unblock = |jid: &str| Change::Delete(space(), jid.to_owned());
        let other = || Change::Put(ns::VCARD.into(), String::new(), Bytes::new());
        for (changes, expected) in [
            (vec![other()], None),
            (vec![], None),
            (vec![other(), block("a@x"), block("b@x")], Some(request("block", &["a@x", "b@x"]))),
            (vec![unblock("a@x")], Some(request("unblock", &["a@x"]))),
            (vec![Change::Clear(space())], Some(request("unblock", &[]))),
            (vec![Change::Clear(ns::PRIVATE.into())], None),
        ] {
            let expected = expected.map(|text| crate::xml::parse_str(&text).unwrap());
            assert_eq!(push(&changes), expected, "{changes:?}");
        }
    }

    fn juliet() -> Account {
        let mut account = Account::at("example.org", 7);
        account.bind("juliet@example.org/balcony");
        account
    }

    fn blocked(jids: &[&str]) -> Blocked {
        Blocked::new(&jids.iter().map(|jid| entry(jid)).collect::<Vec<_>>())
    }

    #[test]
    fn the_list_matches_as_xep_0191_says() {
        for (list, yes, no) in [
            (&["a@x.test/R"][..], &["a@x.test/R", "A@X.test/R"][..], &["a@x.test", "a@x.test/r", "x.test"][..]),
            (&["a@x.test"], &["a@x.test", "a@x.test/R", "a@X.TEST./R"], &["b@x.test", "x.test", "a@x.test.test"]),
            (&["x.test/R"], &["x.test/R", "a@x.test/R"], &["a@x.test", "x.test", "a@x.test/r", "x.test/R/R"]),
            (&["x.test"], &["x.test", "x.test/R", "a@x.test", "a@x.test/b@c"], &["y.x.test", "a@y/x.test", ""]),
            (&[], &[], &["a@x.test"]),
        ] {
            let blocked = blocked(list);
            assert_eq!(blocked.is_empty(), list.is_empty());
            for address in yes {
                assert!(blocked.matches(&juliet(), Some(address)), "{list:?} {address}");
            }
            for address in no {
                assert!(!blocked.matches(&juliet(), Some(address)), "{list:?} {address}");
            }
        }
    }

    #[test]
    fn nobody_blocks_himself_or_his_server() {
        let all = blocked(&["juliet@example.org", "juliet@example.org/x", "example.org", "example.org/x"]);
        for address in
            ["juliet@example.org", "JULIET@example.org/x", "juliet@example.org/balcony", "example.org", "EXAMPLE.org."]
        {
            assert!(!all.matches(&juliet(), Some(address)), "{address}");
        }
        assert!(!all.matches(&juliet(), None));
        // But all others of it.
        assert!(all.matches(&juliet(), Some("romeo@example.org")));
    }

    #[test]
    fn the_list_follows_its_changes() {
        let space = || ns::BLOCKING.into();
        let mut blocked = blocked(&["a@x.test"]);
        blocked.apply(&[Change::Put(space(), "b@x.test".to_owned(), Bytes::new())]);
        blocked.apply(&[Change::Delete(space(), "a@x.test".to_owned()), Change::Clear(ns::PRIVATE.into())]);
        assert_eq!(blocked, self::blocked(&["b@x.test"]));
        blocked.apply(&[Change::Clear(space())]);
        assert!(blocked.is_empty());
        assert!(Blocked::new(&[Entry { space: "vcard-temp".to_owned(), ..entry("a@x.test") }]).is_empty());
    }
}
