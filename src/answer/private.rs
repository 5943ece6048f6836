//! XEP-0049: what clients keep for themselves, each element under its name and namespace.

use super::{Answer, Answers, Asked, Target, Then, error, kept};
use crate::keep::{Change, Entry, Op};
use crate::xml::{Element, Node};
use crate::xmpp::{Condition, StanzaError, ns};

/// So many elements an account may keep.
const MOST: usize = 1000;

/// One element is read, or one and more are written; the account's only.
pub(super) fn answer(answers: &Answers, asked: &Asked<'_>) -> Answer {
    if asked.target != Target::Account {
        return Answer::Forward;
    }
    let children: Vec<&Element> = asked.payload.children().collect();
    if asked.payload.name != "query" || children.is_empty() || !children.iter().all(|child| has_a_place(child)) {
        return error(Condition::BadRequest);
    }
    let account = asked.account.to_owned();
    match (asked.set, children.as_slice()) {
        (false, [one]) => {
            let then = Then::Private(Box::new(Element::new(one.ns.as_str(), one.name.as_str())));
            Answer::Store(Op::Get { account, space: ns::PRIVATE.into(), name: name(one) }, then)
        }
        (false, _) => error(Condition::BadRequest),
        (true, all) => match all.iter().map(|child| change(child, answers.options.private_bytes)).collect() {
            Ok(changes) => Answer::Store(Op::Write { account, changes, most: MOST }, Then::Empty),
            Err(error) => Answer::Error(error),
        },
    }
}

/// What was kept, or else the element that was asked for, with nothing in it.
pub(super) fn stored(asked: Element, entries: &[Entry]) -> Answer {
    let kept = entries.first().map(|entry| kept::read_as(&entry.value, &asked.ns, &asked.name));
    match kept.unwrap_or(Ok(asked)) {
        Ok(element) => Answer::Result(Some(Element::new(ns::PRIVATE, "query").with_child(element))),
        Err(error) => Answer::Error(error),
    }
}

/// Whether it is in a namespace of its own (XEP-0049).
fn has_a_place(element: &Element) -> bool {
    !matches!(element.ns.as_str(), "" | ns::PRIVATE | ns::CLIENT)
}

/// What it is kept under.
fn name(element: &Element) -> String {
    format!("{{{}}}{}", element.ns, element.name)
}

/// An element is kept instead of the one before it; one that says nothing is not kept (as with Prosody).
fn change(element: &Element, most_bytes: usize) -> Result<Change, StanzaError> {
    let says_nothing = |node: &Node| matches!(node, Node::Text(text) if text.trim().is_empty());
    if element.attrs.is_empty() && element.nodes.iter().all(says_nothing) {
        return Ok(Change::Delete(ns::PRIVATE.into(), name(element)));
    }
    Ok(Change::Put(ns::PRIVATE.into(), name(element), kept::write_within(element, most_bytes)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::tests::{asks, local, sets, stored as then};
    use crate::keep::Trouble;
    use bytes::Bytes;

    fn query(inside: &str) -> String {
        format!("<query xmlns='jabber:iq:private'>{inside}</query>")
    }

    fn notes() -> Then {
        Then::Private(Box::new(Element::new("urn:notes", "notes")))
    }

    fn entry(value: &str) -> Entry {
        let (space, name) = ("jabber:iq:private".to_owned(), "{urn:notes}notes".to_owned());
        Entry { space, name, value: Bytes::copy_from_slice(value.as_bytes()) }
    }

    #[test]
    fn one_element_is_read() {
        let said = asks(&local(), Target::Account, &query("<notes xmlns='urn:notes'/>"));
        assert_eq!(said, "get juliet@example.org jabber:iq:private '{urn:notes}notes'");
        let kept = "<notes xmlns='urn:notes'><a/></notes>";
        assert_eq!(then(&local(), notes(), Ok(vec![entry(kept)])), query(kept));
    }

    #[test]
    fn what_is_not_kept_comes_back_empty() {
        assert_eq!(then(&local(), notes(), Ok(vec![])), query("<notes xmlns='urn:notes'/>"));
        let asked = query("<notes xmlns='urn:notes' x='1'><a/></notes>");
        let payload = crate::xml::parse_str(&asked).unwrap();
        let answer = local().answer(&crate::answer::tests::asked(false, Target::Account, &payload));
        assert!(matches!(answer, Answer::Store(_, then) if then == notes()));
    }

    #[test]
    fn what_cannot_be_read_is_our_fault() {
        for kept in ["<notes xmlns='urn:notes'>", "<notes xmlns='urn:other'/>"] {
            let said = then(&local(), notes(), Ok(vec![entry(kept)]));
            assert_eq!(said, "cancel internal-server-error (what is kept here cannot be read)");
        }
    }

    #[test]
    fn several_are_written_at_once() {
        let inside = "<notes xmlns='urn:notes'>x</notes><tags xmlns='urn:tags' a='b'/>";
        assert_eq!(
            sets(&local(), Target::Account, &query(inside)),
            "write juliet@example.org at most 1000: put jabber:iq:private '{urn:notes}notes' <notes xmlns='urn:notes'>x</notes>, \
             put jabber:iq:private '{urn:tags}tags' <tags xmlns='urn:tags' a='b'/>"
        );
        assert_eq!(
            then(&local(), Then::Empty, Err(Trouble::Full(1000))),
            "wait resource-constraint (more than 1000 entries are not kept)"
        );
    }

    #[test]
    fn one_that_says_nothing_is_kept_no_longer() {
        assert_eq!(
            sets(&local(), Target::Account, &query("<notes xmlns='urn:notes'> </notes>")),
            "write juliet@example.org at most 1000: delete jabber:iq:private '{urn:notes}notes'"
        );
    }

    #[test]
    fn each_has_a_namespace_of_its_own() {
        for inside in ["", "text", "<a xmlns=''/>", "<a/>", "<a xmlns='jabber:client'/>"] {
            assert_eq!(asks(&local(), Target::Account, &query(inside)), "modify bad-request", "{inside}");
            assert_eq!(sets(&local(), Target::Account, &query(inside)), "modify bad-request", "{inside}");
        }
        let two = query("<a xmlns='urn:a'/><b xmlns='urn:b'/>");
        assert_eq!(asks(&local(), Target::Account, &two), "modify bad-request");
        let mixed = query("<a xmlns='urn:a'/><b/>");
        assert_eq!(sets(&local(), Target::Account, &mixed), "modify bad-request");
        let other = "<x xmlns='jabber:iq:private'><a xmlns='urn:a'/></x>";
        assert_eq!(asks(&local(), Target::Account, other), "modify bad-request");
    }

    #[test]
    fn each_has_its_limit() {
        let mut answers = local();
        answers.options.private_bytes = 20;
        let text = "25 bytes are more than the 20 that are kept";
        let said = sets(&answers, Target::Account, &query("<a xmlns='u'/><a xmlns='urn:a'>1234</a>"));
        assert_eq!(said, format!("modify not-acceptable ({text})"));
    }

    #[test]
    fn it_is_the_accounts() {
        let one = query("<notes xmlns='urn:notes'/>");
        for target in [Target::Server, Target::Other] {
            assert_eq!(asks(&local(), target, &one), "forward");
            assert_eq!(sets(&local(), target, &one), "forward");
        }
    }
}
