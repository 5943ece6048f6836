//! The witness complains: each promise is broken once, and kept once.

use super::Witness;
use crate::fuzz::worlds::world;
use bytes::Bytes;
use iqtap::session::{Dir, Fate, Note, Origin, Seen, What};
use iqtap::xmpp::{Kind, Side};

const MESSAGE: What = What::Stanza(Kind::Message);
const IQ: What = What::Stanza(Kind::Iq);
const C: Side = Side::Client;
const S: Side = Side::Server;

/// A session seen from its beginning.
struct Scene {
    witness: Witness,
    number: u64,
    notes: Vec<Note>,
    to: [Vec<u8>; 2],
}

impl Scene {
    /// Both streams stand; the rules are enforced.
    fn begun() -> Self {
        let mut scene =
            Self { witness: Witness::new(world(1)), number: 0, notes: Vec::new(), to: [Vec::new(), Vec::new()] };
        for side in [C, S] {
            scene.came(side, What::Header, crate::xml::HEADER, Fate::Handled);
            scene.left(side, What::Header, crate::xml::HEADER, Origin::Made(0, "stream".to_owned()));
        }
        assert_eq!(scene.end(), Ok(()));
        scene
    }

    fn note(&mut self, side: Side, dir: Dir, what: What, bytes: &str, fate: Fate, origin: Origin) -> u64 {
        self.number += 1;
        self.notes.push(Note::Seen(Box::new(Seen {
            side,
            dir,
            number: self.number,
            what,
            bytes: Bytes::copy_from_slice(bytes.as_bytes()),
            stanza: None,
            fate,
            origin,
            findings: Vec::new(),
            pair: None,
            tags: Vec::new(),
        })));
        self.number
    }

    fn came(&mut self, side: Side, what: What, bytes: &str, fate: Fate) -> u64 {
        self.witness.fed(side, bytes.as_bytes());
        self.note(side, Dir::In, what, bytes, fate, Origin::Peer)
    }

    fn left(&mut self, side: Side, what: What, bytes: &str, origin: Origin) {
        self.to[side.index()].extend_from_slice(bytes.as_bytes());
        self.note(side, Dir::Out, what, bytes, Fate::Passed, origin);
    }

    /// A stanza comes and is forwarded.
    fn passes(&mut self, side: Side, what: What, bytes: &str) {
        let number = self.came(side, what, bytes, Fate::Passed);
        self.left(side.other(), what, bytes, Origin::Forwarded(number));
    }

    fn end(&mut self) -> Result<(), String> {
        let (to, notes) = (std::mem::take(&mut self.to), std::mem::take(&mut self.notes));
        self.witness.saw(&to, &[], notes, true, [false; 2]).1
    }

    /// What is complained of; it must be.
    fn complaint(&mut self) -> String {
        self.end().expect_err("nothing was complained of")
    }

    fn with_sm() -> Self {
        let mut scene = Self::begun();
        scene.passes(C, What::Other, "<enable xmlns='urn:xmpp:sm:3'/>");
        scene.passes(S, What::Other, "<enabled xmlns='urn:xmpp:sm:3'/>");
        assert_eq!(scene.end(), Ok(()));
        scene
    }
}

fn made() -> Origin {
    Origin::Made(0, "test".to_owned())
}

#[test]
fn what_leaves_is_well_formed_and_one_item() {
    for (bytes, why) in [
        ("<message><body></message>", "not well-formed"),
        ("<message to='a", "not well-formed"),
        ("<p:message/>", "not well-formed"),
        ("<message a='1' a='2'/>", "not well-formed"),
        ("<message>\u{1}</message>", "not well-formed"),
        ("<message/><message/>", "2 elements and not one"),
        ("", "0 elements and not one"),
        ("</stream:stream>", "not well-formed"),
    ] {
        let mut scene = Scene::begun();
        scene.left(C, MESSAGE, bytes, made());
        let complaint = scene.complaint();
        assert!(complaint.contains(why), "{bytes}: {complaint}");
    }
    let mut scene = Scene::begun();
    scene.left(C, MESSAGE, "<message xmlns:p='u:u'><p:a b='&#13;'/></message>", made());
    scene.left(C, What::Close, "</stream:stream>", made());
    assert_eq!(scene.end(), Ok(()));
    scene.left(C, What::Space, " ", made());
    assert!(scene.complaint().contains("behind the end"));
}

#[test]
fn a_header_stands_where_a_stream_may_begin() {
    let mut scene = Scene::begun();
    scene.left(C, What::Header, crate::xml::HEADER, made());
    assert!(scene.complaint().contains("where none may stand"));
    let mut scene = Scene::begun();
    scene.left(C, What::Other, "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", made());
    scene.left(C, What::Header, crate::xml::HEADER, made());
    assert_eq!(scene.end(), Ok(()));
}

#[test]
fn what_is_told_is_what_was_sent() {
    let mut scene = Scene::begun();
    scene.note(C, Dir::In, MESSAGE, "<message/>", Fate::Handled, Origin::Peer);
    assert!(scene.complaint().contains("the client has not sent"));
    let mut scene = Scene::begun();
    scene.to[0].extend_from_slice(b"<message/>");
    assert!(scene.complaint().contains("told was"));
}

#[test]
fn what_is_forwarded_has_come_once_and_is_the_same() {
    let forwarded = |came: &str, left: &str| {
        let mut scene = Scene::begun();
        let number = scene.came(C, MESSAGE, came, Fate::Passed);
        scene.left(S, MESSAGE, left, Origin::Forwarded(number));
        scene.end()
    };
    assert_eq!(forwarded("<message a='1'/>", "<message a='1'/>"), Ok(()));
    assert_eq!(forwarded("<message a='\t'>\r\n</message>", "<message a=' '>\n</message>"), Ok(()), "tidied");
    let other = forwarded("<message a='\t'/>", "<message a='2'/>");
    assert!(other.is_err_and(|why| why.contains("another tree")));
    let other = forwarded("<message a='1'/>", "<message a=\"1\"/>");
    assert!(other.is_err_and(|why| why.contains("other bytes")), "untouched, and yet not as it came");

    let mut scene = Scene::begun();
    scene.left(S, MESSAGE, "<message/>", Origin::Forwarded(77));
    assert!(scene.complaint().contains("never judged"));

    let mut scene = Scene::begun();
    let number = scene.came(C, MESSAGE, "<message/>", Fate::Passed);
    scene.left(C, MESSAGE, "<message/>", Origin::Forwarded(number));
    assert!(scene.complaint().contains("came from there"));

    let mut scene = Scene::begun();
    let number = scene.came(C, MESSAGE, "<message/>", Fate::Passed);
    scene.left(S, MESSAGE, "<message/>", Origin::Forwarded(number));
    scene.left(S, MESSAGE, "<message/>", Origin::Forwarded(number));
    assert!(scene.complaint().contains("forwarded again"));

    let mut scene = Scene::begun();
    let numbers = [1, 2].map(|_| scene.came(C, MESSAGE, "<message/>", Fate::Passed));
    scene.left(S, MESSAGE, "<message/>", Origin::Forwarded(numbers[1]));
    scene.left(S, MESSAGE, "<message/>", Origin::Forwarded(numbers[0]));
    assert!(scene.complaint().contains("is forwarded behind"));

    for first in [true, false] {
        let mut scene = Scene::begun();
        let dropped = Fate::Dropped("test".to_owned());
        if first {
            let number = scene.came(C, MESSAGE, "<message/>", dropped);
            scene.left(S, MESSAGE, "<message/>", Origin::Forwarded(number));
        } else {
            scene.left(S, MESSAGE, "<message/>", Origin::Forwarded(scene.number + 2));
            scene.came(C, MESSAGE, "<message/>", dropped);
        }
        let complaint = scene.complaint();
        assert!(complaint.contains("forwarded:"), "{complaint}");
    }
}

#[test]
fn no_more_is_acknowledged_than_came_and_arrived() {
    const ACK: &str = "<a xmlns='urn:xmpp:sm:3' h='1'/>";
    for side in [C, S] {
        let mut scene = Scene::with_sm();
        scene.left(side, What::Other, ACK, made());
        assert!(scene.complaint().contains("and 0 have come"), "nothing has come");

        let mut scene = Scene::with_sm();
        scene.passes(side, MESSAGE, "<message/>");
        scene.left(side, What::Other, ACK, made());
        assert!(scene.complaint().contains("1 of them forwarded"), "the other end has not said that it arrived");

        let mut scene = Scene::with_sm();
        scene.passes(side, MESSAGE, "<message/>");
        scene.passes(side.other(), What::Other, ACK);
        assert_eq!(scene.end(), Ok(()));

        let mut scene = Scene::with_sm();
        scene.came(side, MESSAGE, "<message/>", Fate::Dropped("test".to_owned()));
        scene.left(side, What::Other, ACK, made());
        assert_eq!(scene.end(), Ok(()), "what was dropped here has arrived");
    }
}

#[test]
fn a_resumption_claims_no_more_than_the_session_before_it() {
    let mut scene = Scene::begun();
    scene.passes(C, What::Other, "<resume xmlns='urn:xmpp:sm:3' previd='x' h='3'/>");
    scene.passes(S, What::Other, "<resumed xmlns='urn:xmpp:sm:3' previd='x' h='2'/>");
    scene.notes.push(Note::Resumed { jid: "a@b/c".to_owned(), session: 1 });
    assert_eq!(scene.end(), Ok(()));
    assert_eq!(scene.witness.resumes([2, 3]), Ok(()));
    assert!(scene.witness.resumes([1, 3]).is_err_and(|why| why.contains("the client is told that 2")));
    assert!(scene.witness.resumes([2, 2]).is_err_and(|why| why.contains("the server is told that 3")));
}

#[test]
fn a_request_has_one_answer() {
    const ASK: &str = "<iq type='get' id='1'><a xmlns='u:u'/></iq>";
    const ANSWER: &str = "<iq type='result' id='1'/>";
    let mut scene = Scene::begun();
    scene.notes.push(Note::Bound("a@b/c".to_owned()));
    scene.passes(C, IQ, ASK);
    assert_eq!(scene.end(), Ok(()));
    assert!(scene.witness.all_answered().is_err());
    scene.passes(S, IQ, ANSWER);
    assert_eq!(scene.end(), Ok(()));
    assert_eq!(scene.witness.all_answered(), Ok(()));
    scene.left(C, IQ, ANSWER, made());
    assert!(scene.complaint().contains("of the id \"1\""));
}
