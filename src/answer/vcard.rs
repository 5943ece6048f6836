//! XEP-0054 and XEP-0153: the vCard of the account, and what its presence says of the photo.

use super::{Answer, Answers, Asked, Target, Then, error, kept};
use crate::keep::{Change, Entry, Op};
use crate::xml::{Element, Node};
use crate::xmpp::{Condition, ns};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use sha1::{Digest, Sha1};

/// The own vCard is read and written. Whoever wants to write another one is told so: ejabberd 23.01 would write the
/// sender's instead.
pub(super) fn answer(answers: &Answers, asked: &Asked<'_>) -> Answer {
    match (asked.target, asked.set) {
        (Target::Account, _) if asked.payload.name != "vCard" => error(Condition::BadRequest),
        (Target::Account, false) => {
            let (account, space, name) = (asked.account.to_owned(), ns::VCARD.into(), String::new());
            Answer::Store(Op::Get { account, space, name }, Then::Vcard)
        }
        (Target::Account, true) => match kept::write_within(asked.payload, answers.options.vcard_bytes) {
            Ok(vcard) => {
                let photo = Bytes::from(hash(asked.payload));
                let put = |space: &'static str, value| Change::Put(space.into(), String::new(), value);
                let changes = vec![put(ns::VCARD, vcard), put(ns::VCARD_UPDATE, photo)];
                Answer::Store(Op::Write { account: asked.account.to_owned(), changes, most: 1 }, Then::Empty)
            }
            Err(error) => Answer::Error(error),
        },
        (Target::Server | Target::Other, true) => error(Condition::Forbidden),
        (Target::Server | Target::Other, false) => Answer::Forward,
    }
}

/// What was kept, if there is anything.
pub(super) fn stored(entries: &[Entry]) -> Answer {
    match entries.first() {
        None => error(Condition::ItemNotFound),
        Some(entry) => match kept::read_as(&entry.value, ns::VCARD, "vCard") {
            Ok(vcard) => Answer::Result(Some(vcard)),
            Err(error) => Answer::Error(error),
        },
    }
}

/// SHA-1 of the photo in lower-case hexadecimals (XEP-0153 §4.1); empty if there is none, or none that can be decoded.
fn hash(vcard: &Element) -> String {
    let photos = vcard.children().filter(|child| child.is(ns::VCARD, "PHOTO"));
    let Some(binary) = photos.filter_map(|photo| photo.child(ns::VCARD, "BINVAL")).next() else { return String::new() };
    let text: String = binary.text().split_ascii_whitespace().collect();
    match STANDARD.decode(text) {
        Ok(photo) if !photo.is_empty() => format!("{:x}", Sha1::digest(photo)),
        _ => String::new(),
    }
}

/// What presence is to say of the photo, if the account keeps a vCard here: its hash, empty if it has none.
#[must_use]
pub fn photo(entries: &[Entry]) -> Option<String> {
    entries.iter().find(|entry| entry.space == ns::VCARD_UPDATE && entry.name.is_empty()).and_then(|e| said(&e.value))
}

/// The same, if it has changed.
#[must_use]
pub fn changed(changes: &[Change]) -> Option<String> {
    changes.iter().rev().find_map(|change| match change {
        Change::Put(space, name, value) if space == ns::VCARD_UPDATE && name.is_empty() => said(value),
        _ => None,
    })
}

/// Only what can be a hash is said to anybody.
fn said(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let hexadecimal = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    (text.is_empty() || (text.len() == 40 && text.bytes().all(hexadecimal))).then(|| text.to_owned())
}

/// Says this of the photo in an available presence, instead of what it said; gives whether that is anything new. Other
/// presence is left alone.
pub fn update(presence: &mut Element, photo: &str) -> bool {
    if !presence.is(ns::CLIENT, "presence") || presence.attr("type").is_some() {
        return false;
    }
    let photo = Element::new(ns::VCARD_UPDATE, "photo").with_text(photo);
    let update = Element::new(ns::VCARD_UPDATE, "x").with_child(photo);
    let is_one = |node: &Node| matches!(node, Node::Element(child) if child.is(ns::VCARD_UPDATE, "x"));
    let mut said = presence.nodes.iter().filter(|node| is_one(node));
    if let (Some(Node::Element(one)), None) = (said.next(), said.next())
        && *one == update
    {
        return false;
    }
    let at = presence.nodes.iter().position(is_one).unwrap_or(presence.nodes.len());
    presence.nodes.retain(|node| !is_one(node));
    presence.nodes.insert(at, Node::Element(update));
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::tests::{asks, local, sets, stored as then};
    use crate::keep::Trouble;
    use crate::xml::parse_str;

    const EMPTY: &str = "<vCard xmlns='vcard-temp'/>";
    /// SHA-1 of `abc` (FIPS 180-4's example).
    const ABC: &str = "a9993e364706816aba3e25717850c26c9cd0d89d";

    fn with_photo(binary: &str) -> String {
        format!("<vCard xmlns='vcard-temp'><PHOTO><TYPE>image/png</TYPE><BINVAL>{binary}</BINVAL></PHOTO></vCard>")
    }

    fn entry(space: &str, value: &str) -> Entry {
        Entry { space: space.to_owned(), name: String::new(), value: Bytes::copy_from_slice(value.as_bytes()) }
    }

    #[test]
    fn the_own_vcard_is_asked_of_the_store() {
        assert_eq!(asks(&local(), Target::Account, EMPTY), "get juliet@example.org vcard-temp ''");
        let kept = "<vCard xmlns='vcard-temp'><FN>J</FN></vCard>";
        assert_eq!(then(&local(), Then::Vcard, Ok(vec![entry("vcard-temp", kept)])), kept);
    }

    #[test]
    fn none_is_not_found() {
        assert_eq!(then(&local(), Then::Vcard, Ok(vec![])), "cancel item-not-found");
    }

    #[test]
    fn one_that_cannot_be_read_is_our_fault() {
        for kept in ["<vCard xmlns='vcard-temp'>", "<vcard xmlns='vcard-temp'/>", ""] {
            let said = then(&local(), Then::Vcard, Ok(vec![entry("vcard-temp", kept)]));
            assert_eq!(said, "cancel internal-server-error (what is kept here cannot be read)");
        }
        let failed = Err(Trouble::Failed("no disk".to_owned()));
        let said = then(&local(), Then::Vcard, failed);
        assert_eq!(said, "cancel internal-server-error (the store has failed: no disk)");
    }

    #[test]
    fn a_vcard_is_written_with_the_hash_of_its_photo() {
        let vcard = with_photo("YW\n Jj");
        assert_eq!(
            sets(&local(), Target::Account, &vcard),
            format!("write juliet@example.org at most 1: put vcard-temp '' {vcard}, put vcard-temp:x:update '' {ABC}")
        );
        assert_eq!(then(&local(), Then::Empty, Ok(vec![])), "empty");
    }

    #[test]
    fn what_is_no_photo_has_an_empty_hash() {
        let link = "<vCard xmlns='vcard-temp'><PHOTO><EXTVAL>http://x.test/</EXTVAL></PHOTO></vCard>";
        for vcard in [EMPTY, link, &with_photo(""), &with_photo("!"), &with_photo("YWJ")] {
            assert!(sets(&local(), Target::Account, vcard).ends_with("put vcard-temp:x:update '' "), "{vcard}");
        }
        // The first that can be decoded at all counts, whatever stands before it.
        let second = "<vCard xmlns='vcard-temp'><PHOTO/><PHOTO><BINVAL>YWJj</BINVAL></PHOTO></vCard>";
        assert!(sets(&local(), Target::Account, second).ends_with(ABC));
    }

    #[test]
    fn no_one_elses_is_written() {
        assert_eq!(sets(&local(), Target::Other, EMPTY), "auth forbidden");
        assert_eq!(sets(&local(), Target::Server, EMPTY), "auth forbidden");
        assert_eq!(asks(&local(), Target::Other, EMPTY), "forward");
        assert_eq!(asks(&local(), Target::Server, EMPTY), "forward");
    }

    #[test]
    fn a_vcard_has_its_limit_and_its_name() {
        let mut answers = local();
        answers.options.vcard_bytes = EMPTY.len() - 1;
        let text = "27 bytes are more than the 26 that are kept";
        assert_eq!(sets(&answers, Target::Account, EMPTY), format!("modify not-acceptable ({text})"));
        answers.options.vcard_bytes += 1;
        assert!(sets(&answers, Target::Account, EMPTY).starts_with("write"));
        for wrong in ["<vcard xmlns='vcard-temp'/>", "<query xmlns='vcard-temp'/>"] {
            assert_eq!(sets(&local(), Target::Account, wrong), "modify bad-request");
            assert_eq!(asks(&local(), Target::Account, wrong), "modify bad-request");
        }
    }

    #[test]
    fn the_photo_is_told_from_what_is_kept() {
        let vcard = entry("vcard-temp", EMPTY);
        assert_eq!(photo(&[]), None);
        assert_eq!(photo(std::slice::from_ref(&vcard)), None);
        assert_eq!(photo(&[vcard.clone(), entry("vcard-temp:x:update", ABC)]).as_deref(), Some(ABC));
        assert_eq!(photo(&[entry("vcard-temp:x:update", "")]).as_deref(), Some(""));
        assert_eq!(photo(&[entry("vcard-temp:x:update", "no hash")]), None);
        let put = |space: &'static str, text: &str| {
            Change::Put(space.into(), String::new(), Bytes::copy_from_slice(text.as_bytes()))
        };
        assert_eq!(changed(&[put("vcard-temp", EMPTY), put("vcard-temp:x:update", ABC)]).as_deref(), Some(ABC));
        assert_eq!(changed(&[put("urn:xmpp:blocking", "")]), None);
    }

    #[test]
    fn available_presence_says_it() {
        let of = |hash: &str| format!("<x xmlns='vcard-temp:x:update'>{hash}</x>");
        let hashed = of(&format!("<photo>{ABC}</photo>"));
        for (inside, photo, after) in [
            ("<show>away</show>", ABC, Some(format!("<show>away</show>{hashed}"))),
            (&*format!("{}<show>away</show>", of("")), ABC, Some(format!("{hashed}<show>away</show>"))),
            (&*format!("{}{}", of("<photo/>"), of("")), ABC, Some(hashed.clone())),
            (&*format!("{hashed}{hashed}"), ABC, Some(hashed.clone())),
            (&*hashed, ABC, None),
            (&*hashed, "", Some(of("<photo/>"))),
            (&*of("<photo/>"), "", None),
        ] {
            let mut presence = parse_str(&format!("<presence>{inside}</presence>")).unwrap();
            let changes = update(&mut presence, photo);
            let expected = parse_str(&format!("<presence>{}</presence>", after.as_deref().unwrap_or(inside))).unwrap();
            assert_eq!((changes, presence), (after.is_some(), expected), "{inside}");
        }
    }

    #[test]
    fn other_presence_does_not() {
        for text in ["<presence type='unavailable'/>", "<presence type='subscribe' to='a@b'/>", "<message/>"] {
            let mut presence = parse_str(text).unwrap();
            assert!(!update(&mut presence, ABC));
            assert_eq!(presence, parse_str(text).unwrap());
        }
    }
}
