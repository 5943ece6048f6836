//! Unification, the actor and the mock, on tapes written down here.

use super::tape::{has_redacted, tape_of};
use super::*;
use crate::xml::{Element, Scope, parse_str, write_element};
use crate::xmpp::{Side, Timestamp};
use std::sync::Arc;

const ME: &str = "juliet@capulet.example/balcony";

fn xml(text: &str) -> Element {
    parse_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

fn written(element: &Element) -> String {
    let mut out = bytes::BytesMut::new();
    write_element(element, Scope::Stream, &mut out);
    String::from_utf8(out.into()).unwrap()
}

fn ties(live: &str) -> Ties {
    Ties::new(Me::of(ME), Me::of(live), false)
}

/// From the server, for the account as it was recorded.
fn same(recorded: &str, live: &str) -> Result<(), String> {
    unify(&mut ties(ME), Side::Server, &xml(recorded), &xml(live))
}

#[test]
fn what_means_the_same_is_the_same() {
    for (recorded, live) in [
        ("<iq type='result' id='1'/>", "<iq id='other' type='result'/>"),
        ("<iq type='result' id='1'/>", "<iq id='1' to='juliet@capulet.example/balcony' type='result'/>"),
        ("<iq type='result' id='1'/>", "<iq id='1' from='juliet@capulet.example' type='result'/>"),
        ("<message xml:lang='en'><body>a</body></message>", "<message><body>a</body></message>"),
        (
            "<iq type='get'><query xmlns='jabber:iq:roster'/></iq>",
            "<iq type='get'><query xmlns='jabber:iq:roster' ver=''/></iq>",
        ),
        (
            "<iq type='error'><error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
            "<iq type='error'><error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>why</text></error></iq>",
        ),
        (
            "<iq type='result'><query xmlns='http://jabber.org/protocol/disco#info'><feature var='a'/><feature var='b'/></query></iq>",
            "<iq type='result'><query xmlns='http://jabber.org/protocol/disco#info'>\n <feature var='b'/>\n <feature var='a'/>\n</query></iq>",
        ),
        (
            "<message><body>a</body><delay xmlns='urn:xmpp:delay' stamp='2020-01-01T00:00:00Z'/></message>",
            "<message><delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'/><body>a</body></message>",
        ),
        (
            "<iq type='result'><time xmlns='urn:xmpp:time'><utc>2020-01-01T00:00:00Z</utc></time></iq>",
            "<iq type='result'><time xmlns='urn:xmpp:time'><utc>2026-01-01T00:00:00Z</utc></time></iq>",
        ),
        (
            "<iq type='result'><query xmlns='jabber:iq:private'><x xmlns='y'><password>[redacted 6 bytes]</password></x></query></iq>",
            "<iq type='result'><query xmlns='jabber:iq:private'><x xmlns='y'><password>secret</password></x></query></iq>",
        ),
    ] {
        assert_eq!(same(recorded, live), Ok(()), "{recorded}\n{live}");
    }
}

#[test]
fn what_matters_is_told_with_its_place() {
    for (recorded, live, why) in [
        ("<iq type='result'/>", "<iq type='error'/>", "at iq: attribute type: 'result' was recorded, 'error' came"),
        (
            "<message/>",
            "<presence/>",
            "at message: <message/> of jabber:client was recorded, <presence/> of jabber:client came",
        ),
        (
            "<message><body>a</body></message>",
            "<message><body>b</body></message>",
            "at message/body: the text 'a' was recorded, 'b' came",
        ),
        ("<presence/>", "<presence><show>dnd</show></presence>", "at presence: <show/> was not recorded"),
        (
            "<message from='a@b'/>",
            "<message from='c@b'/>",
            "at message: attribute from: 'a@b' was recorded, 'c@b' came",
        ),
        (
            "<message from='a@b'/>",
            "<message/>",
            "at message: attribute from: 'a@b' was recorded, 'juliet@capulet.example' came",
        ),
        (
            "<iq type='result'><query xmlns='jabber:iq:version'><name>x</name><version>1</version></query></iq>",
            "<iq type='result'><query xmlns='jabber:iq:version'><version>1</version><name>x</name></query></iq>",
            "at iq/query/name: <name/> of jabber:iq:version was recorded, <version/> of jabber:iq:version came",
        ),
        (
            "<iq type='result'><query xmlns='http://jabber.org/protocol/disco#info'><feature var='a'/></query></iq>",
            "<iq type='result'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>",
            "at iq/query: <feature var='a'/> is missing",
        ),
    ] {
        assert_eq!(same(recorded, live), Err(why.to_owned()), "{recorded}\n{live}");
    }
}

#[test]
fn first_sight_binds_and_later_must_agree() {
    let mut ties = ties("romeo@montague.example/x");
    let mut same = |recorded: &str, live: &str| unify(&mut ties, Side::Server, &xml(recorded), &xml(live));
    // One's own address, its domain, and what is below it.
    same("<presence from='juliet@capulet.example/balcony'/>", "<presence from='romeo@montague.example/x'/>").unwrap();
    same("<message from='room@chat.capulet.example'/>", "<message from='room@chat.montague.example'/>").unwrap();
    same("<message from='capulet.example'/>", "<message from='capulet.example'/>").unwrap_err();
    // Somebody's resource.
    same("<presence from='nurse@capulet.example/a'/>", "<presence from='nurse@montague.example/1'/>").unwrap();
    same("<presence from='nurse@capulet.example/b'/>", "<presence from='nurse@montague.example/2'/>").unwrap();
    same("<message from='nurse@capulet.example/a'/>", "<message from='nurse@montague.example/1'/>").unwrap();
    same("<message from='nurse@capulet.example/a'/>", "<message from='nurse@montague.example/2'/>").unwrap_err();
    same("<message from='nurse@capulet.example/c'/>", "<message from='nurse@montague.example/1'/>").unwrap_err();
    // An id that the server made up, and what a comparison that failed has seen.
    let stanza_id = |id: &str, body: &str| {
        format!("<message><stanza-id xmlns='urn:xmpp:sid:0' id='{id}'/><body>{body}</body></message>")
    };
    same(&stanza_id("one", "a"), &stanza_id("uno", "b")).unwrap_err();
    same(&stanza_id("one", "a"), &stanza_id("eins", "a")).unwrap();
    same(&stanza_id("one", "a"), &stanza_id("eins", "a")).unwrap();
    same(&stanza_id("one", "a"), &stanza_id("zwei", "a")).unwrap_err();
}

#[test]
fn only_addresses_are_made_others() {
    let ties = ties("romeo@montague.example/x");
    for (recorded, live) in [
        ("juliet@capulet.example", "romeo@montague.example"),
        ("juliet@capulet.example/other", "romeo@montague.example/other"),
        ("nurse@capulet.example/a/b", "nurse@montague.example/a/b"),
        ("capulet.example", "montague.example"),
        ("chat.capulet.example", "chat.montague.example"),
        ("notcapulet.example", "notcapulet.example"),
        ("write to juliet@capulet.example", "write to juliet@capulet.example"),
        ("", ""),
        ("12", "12"),
    ] {
        assert_eq!(ties.address(recorded), live);
    }
    let body = "<message><body>capulet.example</body></message>";
    assert_eq!(written(&ties.to_live(&xml(body))), body, "what people write stays as it is");
}

const AT_ONCE: Pace = Pace { speed: None, step: false, patience: 1_000_000 };

fn actor(tape: &[&str]) -> Actor {
    Actor::new(Arc::new(tape_of(ME, tape)), "romeo@montague.example/x", None, "s", AT_ONCE)
}

#[track_caller]
fn sends(actor: &mut Actor, now: u64, expected: &str) {
    match actor.next(Timestamp(now)) {
        Say::Send(element) => assert_eq!(written(&element), expected),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stanza_waits_for_what_it_waited_for() {
    let mut actor = actor(&[
        "C <iq type='get' id='a' to='capulet.example'><ping xmlns='urn:xmpp:ping'/></iq>",
        "S <iq type='result' id='a' from='capulet.example' to='juliet@capulet.example/balcony'/>",
        "S <message from='nurse@capulet.example'><body>hi</body></message>",
        "C <message to='nurse@capulet.example' id='b'><body>ho</body></message>",
    ]);
    sends(&mut actor, 0, "<iq type='get' id='s-1' to='montague.example'><ping xmlns='urn:xmpp:ping'/></iq>");
    assert_eq!(actor.next(Timestamp(5)), Say::Wait(Timestamp(1_000_005)));
    // The message comes before the answer: no matter.
    actor.came(Timestamp(6), &xml("<message from='nurse@montague.example'><body>hi</body></message>"));
    assert_eq!(actor.next(Timestamp(7)), Say::Wait(Timestamp(1_000_005)));
    actor.came(Timestamp(8), &xml("<iq type='result' id='s-1' from='montague.example'/>"));
    sends(&mut actor, 9, "<message to='nurse@montague.example' id='s-2'><body>ho</body></message>");
    assert_eq!(actor.next(Timestamp(10)), Say::Done);
    let report = actor.finish();
    assert!(report.is_same(), "{report:?}");
    assert_eq!((report.sent, report.came, report.same, report.latency.count()), (2, 2, 2, 1));
}

#[test]
fn what_differs_is_missing_or_is_new_is_told() {
    let mut actor = actor(&[
        "C <iq type='get' id='a'><query xmlns='jabber:iq:roster'/></iq>",
        "S <iq type='result' id='a'><query xmlns='jabber:iq:roster'><item jid='a@b'/></query></iq>",
        "C <iq type='get' id='b'><ping xmlns='urn:xmpp:ping'/></iq>",
        "S <iq type='result' id='b'/>",
        "S <message from='nurse@capulet.example'><body>hi</body></message>",
        "C <presence/>",
        "S <presence from='juliet@capulet.example/balcony'/>",
    ]);
    sends(&mut actor, 0, "<iq type='get' id='s-1'><query xmlns='jabber:iq:roster'/></iq>");
    actor.came(Timestamp(1), &xml("<iq type='result' id='s-1'><query xmlns='jabber:iq:roster'/></iq>"));
    sends(&mut actor, 2, "<iq type='get' id='s-2'><ping xmlns='urn:xmpp:ping'/></iq>");
    actor.came(Timestamp(3), &xml("<iq type='set' id='push' from='x@y/z'><odd xmlns='z'/></iq>"));
    sends(
        &mut actor,
        4,
        "<iq type='error' id='push' to='x@y/z'><odd xmlns='z'/><error type='cancel'>\
         <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
    );
    assert!(matches!(actor.next(Timestamp(5)), Say::Wait(_)));
    sends(&mut actor, 1_000_005, "<presence/>");
    // It was given up, but here it is.
    actor.came(Timestamp(1_000_006), &xml("<iq type='result' id='s-2'/>"));
    actor.came(Timestamp(1_000_007), &xml("<presence from='romeo@montague.example/x'><show>dnd</show></presence>"));
    assert_eq!(actor.next(Timestamp(1_000_008)), Say::Done);
    let report = actor.finish();
    let told: Vec<String> = report.differences.iter().map(|d| format!("{} {}", d.what.name(), d.why)).collect();
    assert_eq!(
        told,
        [
            "different at iq/query: <item jid='a@b'/> is missing",
            "new nothing like it was recorded",
            "different at presence: <show/> was not recorded",
            "missing it did not come",
        ]
    );
    assert_eq!(report.unanswered, 0);
}

#[test]
fn requests_of_the_server_are_answered_as_recorded() {
    let mut actor = actor(&[
        "S <iq type='set' id='push'><query xmlns='jabber:iq:roster'><item jid='a@b'/></query></iq>",
        "C <iq type='result' id='push'/>",
        "S <iq type='get' id='never' from='a@b/c'><ping xmlns='urn:xmpp:ping'/></iq>",
        "C <iq type='result' id='never' to='a@b/c'/>",
    ]);
    assert!(matches!(actor.next(Timestamp(0)), Say::Wait(_)));
    actor.came(
        Timestamp(1),
        &xml("<iq type='set' id='17'><query xmlns='jabber:iq:roster'><item jid='a@b'/></query></iq>"),
    );
    sends(&mut actor, 2, "<iq type='result' id='17'/>");
    assert!(matches!(actor.next(Timestamp(3)), Say::Wait(_)));
    assert_eq!(actor.next(Timestamp(2_000_000)), Say::Done, "nobody has asked, so nobody is answered");
    let report = actor.finish();
    assert_eq!(report.differences.iter().map(|d| d.what).collect::<Vec<_>>(), [What::Missing]);
}

#[test]
fn secrets_that_were_replaced_are_never_sent() {
    let set =
        "<iq type='set' id='a'><query xmlns='jabber:iq:register'><password>[redacted 6 bytes]</password></query></iq>";
    assert!(has_redacted(&xml(set)) && !has_redacted(&xml("<message><body>[redacted]</body></message>")));
    let mut actor = actor(&[&format!("C {set}"), "S <iq type='result' id='a'/>", "C <presence/>"]);
    sends(&mut actor, 0, "<presence/>");
    assert_eq!(actor.next(Timestamp(1)), Say::Done);
    let report = actor.finish();
    assert!(report.is_same() && report.left_out == 1, "{report:?}");
}

#[test]
fn time_passes_as_recorded_or_faster_or_by_steps() {
    // Turns of a tape written down are a second apart.
    let tape = Arc::new(tape_of(ME, &["C <presence/>", "C <message/>"]));
    let pace = Pace { speed: Some(10.0), ..AT_ONCE };
    let mut actor = Actor::new(Arc::clone(&tape), ME, None, "s", pace);
    sends(&mut actor, 7, "<presence/>");
    assert_eq!(actor.next(Timestamp(8)), Say::Wait(Timestamp(100_008)));
    sends(&mut actor, 100_008, "<message/>");
    let mut actor = Actor::new(tape, ME, None, "s", Pace { step: true, ..AT_ONCE });
    assert_eq!(actor.next(Timestamp(0)), Say::Ask(xml("<presence/>")));
    // Something comes meanwhile: nobody is asked twice.
    actor.came(Timestamp(0), &xml("<message><body>news</body></message>"));
    assert_eq!(actor.next(Timestamp(0)), Say::Hold);
    actor.go();
    sends(&mut actor, 1, "<presence/>");
    assert_eq!(actor.next(Timestamp(2)), Say::Ask(xml("<message/>")));
}

#[test]
fn stream_management_counts_for_itself() {
    let tape = tape_of(
        ME,
        &[
            "C <enable xmlns='urn:xmpp:sm:3' resume='true'/>",
            "S <enabled xmlns='urn:xmpp:sm:3' id='[redacted 8 bytes]' resume='true'/>",
            "S <r xmlns='urn:xmpp:sm:3'/>",
            "C <a xmlns='urn:xmpp:sm:3' h='77'/>",
            "C <presence/>",
        ],
    );
    let features = xml("<features xmlns='http://etherx.jabber.org/streams'><sm xmlns='urn:xmpp:sm:3'/></features>");
    let mut actor = Actor::new(Arc::new(tape.clone()), ME, Some(&features), "s", AT_ONCE);
    sends(&mut actor, 0, "<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
    assert!(matches!(actor.next(Timestamp(1)), Say::Wait(_)));
    actor.came(Timestamp(2), &xml("<enabled xmlns='urn:xmpp:sm:3' id='abc' resume='true'/>"));
    sends(&mut actor, 3, "<presence/>");
    actor.came(Timestamp(4), &xml("<message><body>news</body></message>"));
    actor.came(Timestamp(5), &xml("<r xmlns='urn:xmpp:sm:3'/>"));
    sends(&mut actor, 6, "<a xmlns='urn:xmpp:sm:3' h='1'/>");
    // A server without it is not asked for it.
    let mut actor = Actor::new(Arc::new(tape), ME, None, "s", AT_ONCE);
    sends(&mut actor, 0, "<presence/>");
}

fn mock(tape: &[&str], live: &str) -> Mock {
    Mock::new(Arc::new(tape_of(ME, tape)), live, Miss::Error)
}

#[track_caller]
fn says(mock: &mut Mock, live: &str, expected: &[&str]) {
    let mut out = Vec::new();
    mock.came(&xml(live), &mut out);
    assert_eq!(out.iter().map(written).collect::<Vec<_>>(), expected, "to {live}");
}

#[test]
fn the_mock_matches_by_content_and_not_by_id() {
    let ask = |id: &str, node: &str| {
        format!(
            "<iq type='get' id='{id}' to='capulet.example'><query xmlns='http://jabber.org/protocol/disco#info' node='{node}'/></iq>"
        )
    };
    let (first, second, third) = (ask("1", "a"), ask("2", "b"), ask("3", "a"));
    let result = |id: &str, name: &str| {
        format!(
            "<iq type='result' id='{id}' from='capulet.example' to='{ME}'><query xmlns='http://jabber.org/protocol/disco#info'><identity name='{name}'/></query></iq>"
        )
    };
    let tape = [
        format!("C {first}"),
        format!("C {second}"),
        format!("S {}", result("2", "of b")),
        format!("S {}", result("1", "of a")),
        format!("C {third}"),
        format!("S {}", result("3", "of a, later")),
    ];
    let tape: Vec<&str> = tape.iter().map(String::as_str).collect();
    let mut mock = mock(&tape, "romeo@montague.example/x");
    let live = |text: &str| text.replace("capulet", "montague").replace("juliet", "romeo").replace("balcony", "x");
    for (node, id, name) in
        [("a", "77", "of a"), ("b", "78", "of b"), ("a", "79", "of a, later"), ("a", "80", "of a, later")]
    {
        says(&mut mock, &live(&ask(id, node)), &[&live(&result(id, name))]);
    }
    let mut out = Vec::new();
    mock.came(&xml(&live(&ask("81", "c"))), &mut out);
    assert!(out.len() == 1 && written(&out[0]).contains("service-unavailable"), "{out:?}");
    assert_eq!(mock.misses(), 1);
}

/// What the client says to its stream, or to nobody, takes nothing from what belongs to the stanza before.
#[test]
fn pushes_behind_what_is_no_stanza_belong_to_the_stanza_before() {
    let (one, two) = ("<message><body>one</body></message>", "<message><body>two</body></message>");
    let tape = [
        "C <presence/>".to_owned(),
        "C <r xmlns='urn:xmpp:sm:3'/>".to_owned(),
        format!("S {one}"),
        "C <iq type='result' id='nobody-asked'/>".to_owned(),
        format!("S {two}"),
    ];
    let tape: Vec<&str> = tape.iter().map(String::as_str).collect();
    says(&mut mock(&tape, ME), "<presence/>", &[one, two]);
}

#[test]
fn the_mock_says_what_it_said_at_its_place() {
    let mut mock = mock(
        &[
            "S <message from='capulet.example'><body>welcome</body></message>",
            "C <presence id='p'/>",
            "S <presence from='juliet@capulet.example/balcony' id='p'/>",
            "S <iq type='set' id='push'><query xmlns='jabber:iq:roster'><item jid='nurse@capulet.example'/></query></iq>",
            "C <iq type='result' id='push'/>",
            "S <presence from='nurse@capulet.example/n'/>",
            "C <message to='juliet@capulet.example/balcony' id='m'><body>to me</body><origin-id xmlns='urn:xmpp:sid:0' id='m'/></message>",
            "S <message from='juliet@capulet.example/balcony' to='juliet@capulet.example/balcony' id='m'><body>to me</body><origin-id xmlns='urn:xmpp:sid:0' id='m'/></message>",
        ],
        "romeo@montague.example/x",
    );
    let mut out = Vec::new();
    mock.begin(&mut out);
    assert_eq!(written(&out[0]), "<message from='montague.example'><body>welcome</body></message>");
    says(
        &mut mock,
        "<presence id='q'/>",
        &[
            "<presence from='romeo@montague.example/x' id='q'/>",
            "<iq type='set' id='push'><query xmlns='jabber:iq:roster'><item jid='nurse@montague.example'/></query></iq>",
        ],
    );
    says(&mut mock, "<iq type='result' id='push'/>", &["<presence from='nurse@montague.example/n'/>"]);
    says(&mut mock, "<iq type='result' id='push'/>", &[]);
    says(
        &mut mock,
        "<message to='romeo@montague.example/x' id='7'><body>to me</body><origin-id xmlns='urn:xmpp:sid:0' id='7'/></message>",
        &[
            "<message from='romeo@montague.example/x' to='romeo@montague.example/x' id='7'><body>to me</body><origin-id xmlns='urn:xmpp:sid:0' id='7'/></message>",
        ],
    );
    says(&mut mock, "<message to='romeo@montague.example/x'><body>other</body></message>", &[]);
    says(
        &mut mock,
        "<enable xmlns='urn:xmpp:sm:3'/>",
        &["<failed xmlns='urn:xmpp:sm:3'><unexpected-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"],
    );
}

#[test]
fn an_actor_and_a_mock_of_one_tape_agree() {
    let tape = Arc::new(tape_of(
        ME,
        &[
            "C <iq type='get' id='1'><query xmlns='jabber:iq:roster'/></iq>",
            "C <presence/>",
            "S <iq type='result' id='1'><query xmlns='jabber:iq:roster' ver='v'><item jid='a@capulet.example'/></query></iq>",
            "S <presence from='juliet@capulet.example/balcony'/>",
            "C <iq type='get' id='1' to='a@capulet.example/r'><ping xmlns='urn:xmpp:ping'/></iq>",
            "S <iq type='error' id='1' from='a@capulet.example/r'><ping xmlns='urn:xmpp:ping'/><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
        ],
    ));
    let live = "romeo@montague.example/x";
    let mut actor = Actor::new(Arc::clone(&tape), live, None, "s", AT_ONCE);
    let mut mock = Mock::new(tape, live, Miss::Wait);
    let mut out = Vec::new();
    mock.begin(&mut out);
    for now in 0..100 {
        for element in out.drain(..) {
            actor.came(Timestamp(now), &element);
        }
        match actor.next(Timestamp(now)) {
            Say::Send(element) => mock.came(&element, &mut out),
            Say::Done => break,
            Say::Wait(_) | Say::Ask(_) | Say::Hold => panic!("it waits for what the mock has not said"),
        }
    }
    let report = actor.finish();
    assert!(report.is_same() && report.same == 3, "{report:?}");
}

#[test]
fn a_relay_speaks_to_each_in_its_own_words() {
    let mut relay = Relay::new("who@mock.test/a", "juliet@living.test/b");
    let ask =
        "<iq type='get' id='7' from='who@mock.test/a' to='who@mock.test'><query xmlns='x' jid='romeo@mock.test'/></iq>";
    let asked = relay.ask(xml(ask));
    let there = "<iq type='get' id='mock-1' to='juliet@living.test'><query xmlns='x' jid='romeo@living.test'/></iq>";
    assert_eq!(asked, Reply::ToServer(xml(there)));
    assert_eq!(relay.came(&xml("<iq type='result' id='7' to='juliet@living.test/b'/>")), Reply::Nothing);
    assert_eq!(relay.came(&xml("<message><body>news</body></message>")), Reply::Nothing);
    let Reply::ToServer(error) = relay.came(&xml("<iq type='get' id='9'><ping xmlns='urn:xmpp:ping'/></iq>")) else {
        panic!("the server asks and is not answered");
    };
    assert_eq!((error.attr("id"), error.attr("type")), (Some("9"), Some("error")));
    let answer = "<iq type='result' id='mock-1' from='juliet@living.test' to='juliet@living.test/b'/>";
    let told = "<iq type='result' id='7' from='who@mock.test' to='who@mock.test/a'/>";
    assert_eq!(relay.came(&xml(answer)), Reply::ToClient(xml(told)));
    assert_eq!(relay.came(&xml(answer)), Reply::Nothing);
    relay.ask(xml(ask));
    let lost: Vec<String> = relay.fail().iter().map(written).collect();
    assert!(lost.len() == 1 && lost[0].contains("remote-server-timeout") && lost[0].contains("id='7'"), "{lost:?}");
}
