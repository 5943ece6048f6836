//! The IQ rules: one table of stanzas with what is found and what enforcing does.

mod link;

use iqtap::policy::Policy;
use iqtap::rules::{Enforce, Finding, Mode, Modes, Rule, Severity, catalog, check};
use iqtap::session::{Fate, Note};
use iqtap::xml::{ItemKind, Limits, Scanner, Step, View};
use iqtap::xmpp::Side;
use link::Link;

/// Judges one stanza under an ordinary stream root, and checks it.
fn judge(text: &str, sender: Side, modes: &Modes) -> (Vec<Finding>, Option<Enforce>) {
    let header = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
    let mut scanner = Scanner::new(Limits::AFTER_LOGIN);
    assert!(matches!(scanner.scan(header), Step::Item { kind: ItemKind::Open, .. }));
    let step = scanner.scan(text.as_bytes());
    assert_eq!(step, Step::Item { len: text.len(), kind: ItemKind::Element }, "{text}");
    let view = View { bytes: text.as_bytes(), head: scanner.head(), root: scanner.root() };
    let mut found = Vec::new();
    let action = check(&view, sender, modes, &mut found);
    (found, action.map(|(_, action)| action))
}

/// The action in one word, with its condition and type.
fn word(action: Option<&Enforce>) -> String {
    let error = |e: &iqtap::xmpp::StanzaError| format!("{}/{}", e.condition.name(), e.kind.name());
    match action {
        None => "pass".to_owned(),
        Some(Enforce::Drop) => "drop".to_owned(),
        Some(Enforce::Bounce(e)) => format!("bounce {}", error(e)),
        Some(Enforce::TurnIntoError(e)) => format!("turn {}", error(e)),
        Some(Enforce::AddError(e)) => format!("add {}", error(e)),
        Some(Enforce::StripError) => "strip".to_owned(),
        Some(Enforce::FirstCondition) => "first".to_owned(),
    }
}

const BAD: &str = "bounce bad-request/modify";
const TURN: &str = "turn undefined-condition/cancel";
const ADD: &str = "add undefined-condition/cancel";

/// Stanza, codes found, action when everything is enforced.
const TABLE: &[(&str, &str, &str)] = &[
    // Clean.
    ("<iq type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>", "", "pass"),
    ("<iq type='set' id='1'>hello<ping xmlns='urn:xmpp:ping'/></iq>", "", "pass"),
    ("<iq type='get' id=''><ping xmlns='urn:xmpp:ping'/></iq>", "", "pass"),
    ("<iq type='result' id='1'/>", "", "pass"),
    ("<iq type='result' id='1'><a xmlns='x:a'/></iq>", "", "pass"),
    ("<iq type='error' id='1'><a xmlns='x:a'/><error type='cancel'/></iq>", "", "pass"),
    ("<iq type='error' id='1'><error type='cancel'/><a xmlns='x:a'/></iq>", "", "pass"),
    ("<iq type='g&#101;t' id='1'><ping xmlns='urn:xmpp:ping'/></iq>", "", "pass"),
    ("<x:iq xmlns:x='jabber:client' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></x:iq>", "", "pass"),
    // Rule 1.
    ("<iq type='get'><ping xmlns='urn:xmpp:ping'/></iq>", "rule1", BAD),
    ("<iq type='set'><ping xmlns='urn:xmpp:ping'/></iq>", "rule1", BAD),
    ("<iq type='result'/>", "rule1", "drop"),
    ("<iq type='error'><a xmlns='x:a'/><error type='cancel'/></iq>", "rule1", "drop"),
    ("<iq type='get' x:id='1' xmlns:x='x:x'><a xmlns='x:a'/></iq>", "rule1", BAD),
    // Rule 2.
    ("<iq id='1'><a xmlns='x:a'/></iq>", "rule2", BAD),
    ("<iq type='' id='1'><a xmlns='x:a'/></iq>", "rule2", BAD),
    ("<iq type='GET' id='1'><a xmlns='x:a'/></iq>", "rule2", BAD),
    ("<iq type='subscribe' id='1'/>", "rule2", BAD),
    // Neighbours.
    ("<iq type='get' id='1'><error type='cancel'/></iq>", "stray-error", BAD),
    ("<iq type='result' id='1'><error type='cancel'/></iq>", "stray-error", "strip"),
    ("<iq type='result' id='1'><a xmlns='x:a'/><error type='cancel'/></iq>", "rule6 stray-error", TURN),
    ("<iq type='set' id='1'><error xmlns='x:a'/></iq>", "", "pass"),
    ("<iq type='get' id='1'><query/></iq>", "payload-namespace", BAD),
    ("<iq type='get' id='1'><query xmlns='jabber:server'/></iq>", "payload-namespace", BAD),
    ("<iq type='result' id='1'><query/></iq>", "payload-namespace", "pass"),
    ("<iq type='get' id='1'><query xmlns=''/></iq>", "", "pass"),
    // Rule 5.
    ("<iq type='get' id='1'/>", "rule5", BAD),
    ("<iq type='get' id='1'>hello</iq>", "rule5", BAD),
    ("<iq type='set' id='1'><a xmlns='x:a'/><b xmlns='x:b'/></iq>", "rule5", BAD),
    // Rule 6.
    ("<iq type='result' id='1'><a xmlns='x:a'/><b xmlns='x:b'/></iq>", "rule6", TURN),
    // Rule 7.
    ("<iq type='error' id='1'><a xmlns='x:a'/></iq>", "rule7", ADD),
    ("<iq type='error' id='1'/>", "rule7", ADD),
    ("<iq type='error' id='1'><error xmlns='x:a' type='cancel'/></iq>", "rule7", ADD),
    ("<iq type='error' id='1'><error type='cancel'/></iq>", "rule7-3920", "pass"),
    // One condition.
    (
        "<iq type='error' id='1'><a xmlns='x:a'/><error><b:gone xmlns:b='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
        "",
        "pass",
    ),
    (
        "<iq type='error' id='1' xmlns:b='urn:ietf:params:xml:ns:xmpp-stanzas'><a xmlns='x:a'/><error><b:gone/><b:text/>\
         <c:d xmlns:c='x:c'/></error><error xmlns='x:e'><b:conflict/></error></iq>",
        "",
        "pass",
    ),
    (
        "<iq type='error' id='1' xmlns:b='urn:ietf:params:xml:ns:xmpp-stanzas'><a xmlns='x:a'/><error><b:gone/></error>\
         <error><b:text/><b:conflict/></error></iq>",
        "error-condition",
        "first",
    ),
    (
        "<iq type='error'><error><a xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><b xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
        "rule1 rule7-3920 error-condition",
        "drop",
    ),
    // Several at once: all are told, the action is a safe one.
    ("<iq><a xmlns='x:a'/></iq>", "rule1 rule2", BAD),
    ("<iq/>", "rule1 rule2", BAD),
    ("<iq type='get'/>", "rule1 rule5", BAD),
    ("<iq type='result'><a xmlns='x:a'/><b xmlns='x:b'/></iq>", "rule1 rule6", "drop"),
    ("<iq type='error'/>", "rule1 rule7", "drop"),
    ("<iq type='error'><error type='cancel'/></iq>", "rule1 rule7-3920", "drop"),
    // Not an iq of ours.
    ("<message><body>hi</body></message>", "", "pass"),
    ("<iq xmlns='urn:other'/>", "", "pass"),
];

#[test]
fn table() {
    for side in [Side::Client, Side::Server] {
        for (stanza, codes, action) in TABLE {
            let (found, done) = judge(stanza, side, &Modes::all(Mode::Enforce));
            let seen: Vec<_> = found.iter().map(|f| f.code).collect();
            assert_eq!(seen.join(" "), *codes, "{stanza}");
            assert_eq!(word(done.as_ref()), *action, "{stanza}");

            let (reported, done) = judge(stanza, side, &Modes::all(Mode::Report));
            assert_eq!((reported, done), (found, None), "{stanza}");
            assert_eq!(judge(stanza, side, &Modes::all(Mode::Off)), (Vec::new(), None), "{stanza}");
        }
    }
}

/// Whatever is enforced, alone or together: nothing that answers an answer (rule 4).
#[test]
fn an_answer_is_never_bounced() {
    // What a stanza shows by itself; the others need the session's memory.
    let own = [Rule::Id, Rule::Type, Rule::RequestChild, Rule::ResultChild, Rule::ErrorChild, Rule::StrayError];
    for bits in 0..64_u32 {
        let mut modes = Modes::all(Mode::Report);
        for (at, rule) in own.into_iter().enumerate() {
            if bits & (1 << at) != 0 {
                modes.set(Side::Server, rule, Mode::Enforce);
            }
        }
        for (stanza, ..) in TABLE {
            let (_, action) = judge(stanza, Side::Server, &modes);
            let answer = stanza.contains("type='result'") || stanza.starts_with("<iq type='error'");
            assert!(!(answer && matches!(action, Some(Enforce::Bounce(_)))), "{bits:05b} {stanza}");
        }
    }
}

#[test]
fn each_direction_and_rule_has_its_own_mode() {
    let mut modes = Modes::all(Mode::Off);
    modes.set(Side::Server, Rule::RequestChild, Mode::Enforce);
    modes.set(Side::Server, Rule::Id, Mode::Report);
    let stanza = "<iq type='get'/>";
    assert_eq!(judge(stanza, Side::Client, &modes), (Vec::new(), None));
    let (found, action) = judge(stanza, Side::Server, &modes);
    assert_eq!(found.len(), 2);
    assert_eq!(word(action.as_ref()), BAD);
}

/// What is only reported is not why a stanza is refused, wherever it stands.
#[test]
fn the_rule_that_is_enforced_is_named() {
    for (reported, enforced) in [(Rule::Id, Rule::RequestChild), (Rule::RequestChild, Rule::Id)] {
        let mut rules = Modes::all(Mode::Report);
        rules.set(Side::Client, enforced, Mode::Enforce);
        let mut link = Link::open(false, Policy { rules, ..Policy::default() });
        link.out.watched = true;
        link.say(Side::Client, "<iq type='get'/>");
        let fate =
            link.out.notes.iter().find_map(|note| if let Note::Seen(seen) = note { Some(&seen.fate) } else { None });
        let expected = Fate::Rejected("bad-request".to_owned(), enforced.code().to_owned());
        assert_eq!(fate, Some(&expected), "{reported:?} only reported");
    }
}

#[test]
fn texts_are_for_people() {
    let text = |stanza: &str| judge(stanza, Side::Client, &Modes::all(Mode::Report)).0.remove(0).text;
    assert_eq!(
        text("<iq type='get' id='1'><a xmlns='x:a'/><b xmlns='x:b'/></iq>"),
        "an iq of type get must have exactly one child element; this one has 2"
    );
    assert_eq!(text("<iq type='result'/>"), "an iq of type result must have an id attribute; this one has none");
    assert_eq!(
        text("<iq type='su&#10;b' id='1'/>"),
        "an iq of type \"su\\nb\" is not allowed: it must be get, set, result or error"
    );
    let long = text(&format!("<iq type='{}' id='1'/>", "x".repeat(100_000)));
    assert!(long.len() < 200, "{long}");
}

#[test]
fn the_echo_of_rfc_3920_is_only_told() {
    let (found, action) = judge("<iq type='error' id='1'><error/></iq>", Side::Server, &Modes::all(Mode::Enforce));
    assert_eq!((found[0].severity, found[0].rule, action), (Severity::Info, Some(Rule::ErrorChild), None));
}

#[test]
fn every_rule_is_explained_and_every_example_breaks_its_rule() {
    assert_eq!(catalog().iter().map(|info| info.rule).collect::<Vec<_>>(), Rule::ALL);
    let numbers: Vec<_> = catalog().iter().filter_map(|info| info.rule.number()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7]);
    use Rule::{Id, PayloadNamespace, RequestChild, ResultChild, StrayError, Type};
    for info in catalog().iter().filter(|info| {
        [Id, Type, RequestChild, ResultChild, Rule::ErrorChild, StrayError, PayloadNamespace].contains(&info.rule)
    }) {
        let (found, _) = judge(info.example, Side::Client, &Modes::all(Mode::Report));
        let codes: Vec<_> = found.iter().map(|f| f.code).collect();
        assert_eq!(codes, [info.rule.code()], "{}", info.example);
    }
}
