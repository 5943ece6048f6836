//! What scripts do inside stanzas and elements: paths, edits, `xml(...)`, addresses, and how much of it.

#![expect(clippy::panic, reason = "a fixture that is not legal is a mistake in this file")]

use iqtap::script::{Memory, Outcome, ScriptLimits, ScriptSet, Verdict};
use iqtap::xml::{Element, Limits, Scanner, Step, View, parse_str};
use iqtap::xmpp::{Facts, Kind, Side, Timestamp};
use std::path::Path;

const ROSTER: &str = "<iq type='result' id='r1' to='juliet@example.org/balcony'><query xmlns='jabber:iq:roster' ver='7'>\
    <item jid='romeo@example.net' name='Romeo'><group>Friends</group><group>Montagues</group></item>\
    <item jid='nurse@example.org'><group>Servants</group></item>\
    <other xmlns='x:other'>text</other></query></iq>";
const MESSAGE: &str =
    "<message to='romeo@example.net' id='m1'><body>hi</body><body xml:lang='de'>hallo</body></message>";

fn load(text: &str) -> ScriptSet {
    ScriptSet::from_text(Path::new("test.rhai"), text, ScriptLimits::default())
        .unwrap_or_else(|why| panic!("{why}\n{text}"))
}

fn run(set: &ScriptSet, stanza: &str) -> Outcome {
    let header = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
    let mut scanner = Scanner::new(Limits::AFTER_LOGIN);
    assert!(matches!(scanner.scan(header), Step::Item { .. }));
    assert!(matches!(scanner.scan(stanza.as_bytes()), Step::Item { .. }), "{stanza}");
    let view = View { bytes: stanza.as_bytes(), head: scanner.head(), root: scanner.root() };
    let facts =
        Facts::new(Timestamp(1), 7, Side::Client, "example.org", "192.0.2.1:50000").bound("juliet@example.org/balcony");
    let kind = if view.name() == "iq" { Kind::Iq } else { Kind::Message };
    set.run(kind, &view, None, &facts, &mut Memory::default())
}

/// Runs a body as the hook of iqs and messages; it begins on line 2.
fn body(body: &str, stanza: &str) -> Outcome {
    run(
        &load(&format!(
            "fn hook(stanza, session) {{\n{body}\n}} fn on_iq(s, t) {{ hook(s, t) }} fn on_message(s, t) {{ hook(s, t) }}"
        )),
        stanza,
    )
}

/// What an expression is, as text.
fn value(expression: &str, stanza: &str) -> String {
    let outcome = body(&format!("log(`${{{expression}}}`)"), stanza);
    assert_eq!(outcome.errors, Vec::<String>::new(), "{expression}");
    assert_eq!(outcome.element, None, "{expression}: reading is not an edit");
    outcome.logs.into_iter().map(|line| line.text).collect()
}

/// The stanza as a body has rewritten it.
fn edited(text: &str, stanza: &str) -> Option<Element> {
    let outcome = body(text, stanza);
    assert_eq!((outcome.errors, outcome.verdict), (Vec::new(), Verdict::Pass), "{text}");
    outcome.element
}

fn failure(text: &str, stanza: &str) -> String {
    let outcome = body(text, stanza);
    assert_eq!((outcome.errors.len(), &outcome.element), (1, &None), "{text}: {:?}", outcome.errors);
    outcome.errors.concat()
}

fn tree(text: &str) -> Element {
    parse_str(text).unwrap_or_else(|why| panic!("{text}: {why}"))
}

#[test]
fn reading_by_paths() {
    let table = [
        ("stanza.text(\"query/item@jid\")", "romeo@example.net"),
        ("stanza.text(\"query/item[2]@jid\")", "nurse@example.org"),
        ("stanza.text(\"query/item[3]@jid\") == ()", "true"),
        ("stanza.text(\"query/item[2]@name\") == ()", "true"),
        ("stanza.text(\"{jabber:iq:roster}query@ver\")", "7"),
        ("stanza.text(\"@id\")", "r1"),
        ("stanza.text(\"query/item/group[2]\")", "Montagues"),
        ("stanza.text(\"query/item[2]/group\")", "Servants"),
        ("stanza.text(\"query/{x:other}other\")", "text"),
        ("stanza.find(\"query/item[2]\").attr(\"jid\")", "nurse@example.org"),
        ("stanza.find(\"query/item[2]\")[\"jid\"]", "nurse@example.org"),
        ("stanza.find(\"query/item[2]\")[\"nothing\"] == ()", "true"),
        ("stanza.find(\"query\").ns", "jabber:iq:roster"),
        ("stanza.find(\"query/other\").name", "other"),
        ("stanza.find(\"query/other\").text()", "text"),
        ("stanza.find(\"query\").text(\"item/group\")", "Friends"),
        ("stanza.find(\"query\").text(\"item@name\")", "Romeo"),
        ("stanza.find(\"query\").find(\"item[2]\").text(\"group\")", "Servants"),
        ("stanza.find(\"query/nothing\") == ()", "true"),
        ("stanza.find(\"query\") != ()", "true"),
        ("stanza.find_all(\"query/item/group\").map(|g| g.text())", "[\"Friends\", \"Montagues\", \"Servants\"]"),
        ("stanza.find_all(\"nothing\").len()", "0"),
        ("let all = []; for item in stanza.each(\"query/item\") { all.push(item[\"jid\"].len()); } all.len()", "2"),
        ("stanza.count(\"query/item\")", "2"),
        ("stanza.children().len()", "1"),
        ("stanza.find(\"query\").children().map(|c| c.name)", "[\"item\", \"item\", \"other\"]"),
        ("stanza.find(\"query\").find_all(\"item\").map(|i| i[\"jid\"]).len()", "2"),
        ("stanza.find(\"query/item[2]\") == stanza.find(\"query/item[2]\")", "true"),
        ("stanza.find(\"query/item[2]\") != stanza.find(\"query/item[1]\")", "true"),
        ("stanza.find(\"query/other\") == xml(\"<other xmlns='x:other'>text</other>\")", "true"),
        ("stanza.find(\"query/other\").to_xml()", "<other xmlns='x:other'>text</other>"),
        ("stanza.find(\"query/other\")", "<other xmlns='x:other'>text</other>"),
    ];
    for (expression, expected) in table {
        assert_eq!(value(expression, ROSTER), expected, "{expression}");
    }
    assert_eq!(value("stanza.to_xml()", ROSTER), ROSTER);
    assert_eq!(value("{ stanza.find(\"query\"); stanza.to_xml() }", ROSTER), ROSTER, "what was only opened");
    assert_eq!(value("stanza.text(\"body[2]@xml:lang\")", MESSAGE), "de");
    // The path is followed everywhere it leads, not only into the first child that fits.
    assert_eq!(
        value("stanza.text(\"a/b\")", "<iq id='1' type='get'><a xmlns='x'/><a xmlns='y'><b>2</b></a></iq>"),
        "2"
    );
}

#[test]
fn every_edit() {
    let table = [
        ("stanza.set_text(\"body[2]\", \"salut\");", "<body>hi</body><body xml:lang='de'>salut</body>"),
        ("stanza.set_text(\"body[2]@xml:lang\", \"fr\");", "<body>hi</body><body xml:lang='fr'>hallo</body>"),
        ("stanza.set_attr(\"body\", \"a\", \"1\");", "<body a='1'>hi</body><body xml:lang='de'>hallo</body>"),
        ("stanza.set_attr(\"body[2]\", \"xml:lang\", ());", "<body>hi</body><body>hallo</body>"),
        ("stanza.remove_attr(\"body[2]\", \"xml:lang\");", "<body>hi</body><body>hallo</body>"),
        ("log(`${stanza.remove(\"body\")}`);", "<body xml:lang='de'>hallo</body>"),
        ("while stanza.remove(\"body\") {}", ""),
        ("stanza.remove(\"body[2]@xml:lang\"); ()", "<body>hi</body><body>hallo</body>"),
        ("stanza.replace(\"body\", \"<x xmlns='y'/>\");", "<x xmlns='y'/><body xml:lang='de'>hallo</body>"),
        ("stanza.replace(\"body\", xml(\"<thread/>\"));", "<thread/><body xml:lang='de'>hallo</body>"),
        (
            "stanza.remove(\"body\"); stanza.append(\"<x xmlns='y'>z</x>\");",
            "<body xml:lang='de'>hallo</body><x xmlns='y'>z</x>",
        ),
        (
            "stanza.remove(\"body\"); stanza.append(xml(\"<thread>&amp;</thread>\"));",
            "<body xml:lang='de'>hallo</body><thread>&amp;</thread>",
        ),
        ("stanza.append(\"body\", \"<b/>\");", "<body>hi<b/></body><body xml:lang='de'>hallo</body>"),
        (
            "stanza.append(\"body[2]\", stanza.find(\"body\"));",
            "<body>hi</body><body xml:lang='de'>hallo<body>hi</body></body>",
        ),
        // What find, find_all and children give is the place itself.
        ("stanza.find(\"body\").set_text(\"ho\");", "<body>ho</body><body xml:lang='de'>hallo</body>"),
        (
            "let b = stanza.find(\"body[2]\"); b[\"a\"] = \"1\"; b.set_attr(\"xml:lang\", ());",
            "<body>hi</body><body a='1'>hallo</body>",
        ),
        (
            "for b in stanza.find_all(\"body\") { b.set_text(b.text() + \"!\"); }",
            "<body>hi!</body><body xml:lang='de'>hallo!</body>",
        ),
        ("for b in stanza.children() { b.remove(); }", ""),
        (
            "let b = stanza.find(\"body\"); stanza.find(\"body[2]\").remove(); b.append(\"<x/>\");",
            "<body>hi<x/></body>",
        ),
        (
            "let b = stanza.find(\"body[2]\"); stanza.remove(\"body\"); b.set_text(\"stays what it is\");",
            "<body xml:lang='de'>stays what it is</body>",
        ),
        ("let b = stanza.find(\"body\"); b.remove(); b.set_text(\"lost\"); stanza.remove(\"body\"); ()", ""),
        // What is appended is a copy.
        (
            "let e = xml(\"<x xmlns='y'/>\"); stanza.replace(\"body\", e); e.set_text(\"later\");",
            "<x xmlns='y'/><body xml:lang='de'>hallo</body>",
        ),
    ];
    for (edit, inside) in table {
        let expected = tree(&format!("<message to='romeo@example.net' id='m1'>{inside}</message>"));
        assert_eq!(edited(edit, MESSAGE), Some(expected), "{edit}");
    }
    // Text means what it would mean at that place.
    let vcard = "<iq type='set' id='1'><vCard xmlns='vcard-temp'><FN>J</FN></vCard></iq>";
    let expected = "<iq type='set' id='1'><vCard xmlns='vcard-temp'><N>J</N><NICKNAME>j</NICKNAME></vCard></iq>";
    let edit = "stanza.append(\"vCard\", \"<NICKNAME>j</NICKNAME>\"); stanza.replace(\"vCard/FN\", \"<N>J</N>\");";
    assert_eq!(edited(edit, vcard), Some(tree(expected)));
    let odd = "<iq type='set' id='1'><q xmlns='a&amp;b&apos;'/></iq>";
    let expected = "<iq type='set' id='1'><q xmlns='a&amp;b&apos;'><m/></q></iq>";
    assert_eq!(edited("stanza.append(\"q\", \"<m/>\");", odd), Some(tree(expected)));
    // The door does not let this in either.
    let none = "<iq type='set' id='1'><q xmlns='x:q'><n xmlns=''/></q></iq>";
    let why = failure("stanza.append(\"q/n\", \"<m/>\");", none);
    assert!(why.contains("in no namespace, at byte 0"), "{why}");
}

#[test]
fn what_changes_nothing_is_no_edit() {
    let nothing = [
        "stanza.set_text(\"body\", \"hi\");",
        "stanza.set_text(\"body[2]@xml:lang\", \"de\");",
        "stanza.set_attr(\"body[2]\", \"xml:lang\", \"de\");",
        "stanza.set_attr(\"body\", \"xml:lang\", ());",
        "stanza.replace(\"body[2]\", \"<body xml:lang='de'>hallo</body>\");",
        "stanza.replace(\"body[2]\", stanza.find(\"body[2]\"));",
        "stanza.remove(\"nothing/at/all\"); ()",
        "stanza.remove(\"body@nothing\"); ()",
        "for b in stanza.find_all(\"body\") { b.set_text(b.text()); }",
        "let copy = xml(stanza.find(\"body\")); copy.set_text(\"other\"); copy.append(\"<x/>\");",
        "let copy = xml(stanza); copy.set_text(\"body\", \"other\"); copy.remove(\"body\"); ()",
        "stanza.id = stanza.id; stanza.find(\"body\").set_attr(\"a\", ());",
    ];
    for text in nothing {
        assert_eq!(edited(text, MESSAGE), None, "{text}");
    }
}

#[test]
fn elements_of_ones_own() {
    let table = [
        ("xml(\" <a/> \").ns", "jabber:client"),
        ("xml(\"<q xmlns='x:q' n='1'>t</q>\")", "<q xmlns='x:q' n='1'>t</q>"),
        ("xml(xml(\"<a b='1'/>\")).to_xml()", "<a b='1'/>"),
        ("xml(xml(\"<a b='1'/>\").to_xml()) == xml(\"<a b='1'/>\")", "true"),
        (
            "{ let a = xml(\"<a/>\"); a[\"b\"] = \"1\"; a.append(\"<c/>\"); a.append(\"c\", xml(\"<d/>\")); a }",
            "<a b='1'><c><d/></c></a>",
        ),
        ("{ let a = xml(\"<a/>\"); let b = a; b.set_text(\"the same\"); a.text() }", "the same"),
        ("{ let a = xml(\"<a/>\"); let b = xml(a); b.set_text(\"a copy\"); a.text() }", ""),
        (
            "{ let a = xml(\"<a><b/></a>\"); a.append(a); a.append(\"a\", a); a }",
            "<a><b/><a><b/><a><b/><a><b/></a></a></a></a>",
        ),
        (
            "{ let a = xml(\"<a><b/>t</a>\"); [a.remove(\"b\"), a.remove(\"b\"), a.find(\"b\") == (), a.remove()] }",
            "[true, false, true, false]",
        ),
        ("{ const A = xml(\"<a><b c='1'/></a>\"); A.find(\"b\")[\"c\"] + A.text(\"b@c\") }", "11"),
        ("xml(stanza).find(\"body\").text()", "hi"),
    ];
    for (expression, expected) in table {
        assert_eq!(value(expression, MESSAGE), expected, "{expression}");
    }
}

#[test]
fn elements_as_replies_and_sends() {
    let ask = "<iq type='get' id='v1' to='example.org' from='juliet@example.org/b'><query xmlns='x:q'/></iq>";
    for payload in ["\"<query xmlns='x:q'>1</query>\"", "xml(\"<query xmlns='x:q'>1</query>\")"] {
        let outcome = body(&format!("return reply({payload})"), ask);
        let expected =
            "<iq type='result' id='v1' from='example.org' to='juliet@example.org/b'><query xmlns='x:q'>1</query></iq>";
        assert_eq!(outcome.verdict, Verdict::Reply(tree(expected)), "{:?}", outcome.errors);
    }
    let outcome = body("let e = stanza.find(\"query\"); e.set_text(\"2\"); reply(e)", ask);
    assert!(
        matches!(outcome.verdict, Verdict::Reply(e) if e.children().any(|c| c.text() == "2")),
        "{:?}",
        outcome.errors
    );
    let outcome = body(
        "let m = xml(\"<message/>\"); m[\"to\"] = session.jid; session.to_client(m); m.append(\"<body/>\");
         session.to_server(m); session.to_server(\"<presence/>\"); session.to_server(stanza);",
        ask,
    );
    let sends: Vec<_> = outcome.sends.into_iter().map(|send| (send.to, send.stanza)).collect();
    let to = "to='juliet@example.org/balcony'";
    let expected = [
        (Side::Client, tree(&format!("<message {to}/>"))),
        (Side::Server, tree(&format!("<message {to}><body/></message>"))),
        (Side::Server, tree("<presence/>")),
        (Side::Server, tree(ask)),
    ];
    assert_eq!((outcome.errors, &sends[..]), (Vec::new(), &expected[..]));
}

#[test]
fn a_constant_is_the_same_for_every_stanza() {
    let set = load(
        "const NOTE = xml(\"<note xmlns='x:n'/>\");
         const PAIR = [xml(\"<a/>\"), jid(\"A@b\")];
         fn on_message(stanza) { stanza.append(NOTE); let n = xml(NOTE); n.set_text(`${PAIR[1]}`); stanza.append(n); }
         fn on_iq(stanza) { let n = NOTE; n.set_text(\"for all\"); }",
    );
    for _ in 0..2 {
        let outcome = run(&set, "<message/>");
        let expected = tree("<message><note xmlns='x:n'/><note xmlns='x:n'>a@b</note></message>");
        assert_eq!((outcome.errors, outcome.element), (vec![], Some(expected)));
        let errors = run(&set, ROSTER).errors.concat();
        assert!(errors.starts_with("test.rhai:4:") && errors.contains("change a copy of it"), "{errors}");
    }
}

#[test]
fn addresses() {
    let table = [
        ("jid(\"Romeo@Example.NET/Orchard\").full", "romeo@example.net/Orchard"),
        ("jid(\"Romeo@Example.NET/Orchard\").bare", "romeo@example.net"),
        ("jid(\"Romeo@Example.NET/Orchard\").local", "romeo"),
        ("jid(\"Romeo@Example.NET/Orchard\").domain", "example.net"),
        ("jid(\"Romeo@Example.NET/a/b@c\").resource", "a/b@c"),
        ("jid(\"Romeo@Example.NET/Orchard\")", "romeo@example.net/Orchard"),
        ("jid(\"example.net.\").full", "example.net"),
        ("jid(\"Ju\u{308}rgen@x.test\").local", "jürgen"),
        ("jid(\"example.net\").local == ()", "true"),
        ("jid(\"example.net\").resource == ()", "true"),
        ("jid(\"example.net\").bare", "example.net"),
        ("jid(stanza.to).bare", "romeo@example.net"),
        ("jid(jid(\"A@b\")).full", "a@b"),
        ("jid(\"A@b/c\") == jid(\"a@B/c\")", "true"),
        ("jid(\"A@b/c\") != jid(\"a@B/C\")", "true"),
        ("jid(\"A@b/c\") == ()", "false"),
        ("jid(stanza.from) == ()", "true"),
        ("jid(\"\") == ()", "true"),
        ("jid(\"a@b@c\") == ()", "true"),
        ("jid(\"@b\") == ()", "true"),
        ("jid(\"a b@c\") == ()", "true"),
        ("jid(\"a@b/\") == ()", "true"),
        ("same_jid(\"ROMEO@example.net.\", stanza.to)", "true"),
        ("same_jid(\"romeo@example.net/x\", stanza.to)", "false"),
        ("same_jid(jid(\"Romeo@example.net\"), stanza.to)", "true"),
        ("same_jid(jid(\"a@b/c\").bare, \"A@b\")", "true"),
        ("same_jid((), ())", "false"),
        ("same_jid(\"a@b@c\", \"a@b@c\")", "false"),
    ];
    for (expression, expected) in table {
        assert_eq!(value(expression, MESSAGE), expected, "{expression}");
    }
}

#[test]
fn what_fails_says_where_and_why() {
    let table = [
        (
            "stanza.text(\"a//b\")",
            "2:8: \"a//b\" is not a path: a name is missing; a path looks like",
            "query/item@jid",
        ),
        ("stanza.find(\"item[@jid]\")", "2:8: \"item[@jid]\" is not a path: [@jid] is not a number", ""),
        ("stanza.find(\"query@ver\")", "2:8: \"query@ver\" leads to an attribute", "text(path) reads it"),
        ("stanza.remove(\"\")", "2:8: remove() takes the path of something inside this iq", "drop()"),
        ("stanza.replace(\"\", \"<a/>\")", "2:8: replace() takes the path of something inside this iq", ""),
        (
            "xml(\"<a/>\").replace(\"\", \"<a/>\")",
            "2:13: replace() takes the path of something inside this element",
            "",
        ),
        (
            "stanza.set_text(\"query/no@a\", \"x\")",
            "2:8: this iq has no element query/no; test with find(\"query/no\") != ()",
            "",
        ),
        ("stanza.set_attr(\"no\", \"a\", \"x\")", "2:8: this iq has no element no;", ""),
        ("stanza.append(\"no\", \"<a/>\")", "2:8: this iq has no element no;", ""),
        ("stanza.replace(\"no\", \"<a/>\")", "2:8: this iq has no element no;", ""),
        ("stanza.append(\"<a>\")", "2:8: append() takes one XML element: the element does not end, at byte 3", ""),
        ("stanza.append(5)", "2:8: append() takes XML text or an element, not a value of type i64", ""),
        ("stanza.append(\"query\", ())", "2:8: append() takes XML text or an element, not a value of type ()", ""),
        ("xml(\"<a/><b/>\")", "2:1: xml() takes one XML element: something stands behind", ""),
        ("xml(\"text\")", "2:1: xml() takes one XML element: ", ""),
        ("xml(\"<!DOCTYPE a><a/>\")", "2:1: xml() takes one XML element: ", ""),
        ("xml([])", "2:1: xml() takes XML text or an element, not a value of type array", ""),
        ("session.to_client(5)", "2:9: to_client() takes XML text or an element, not", ""),
        ("reply(5)", "2:1: reply() takes XML text or an element, not a value of type i64", ""),
        ("stanza.find(\"query\")", "a hook returns pass(), drop()", "a value of type Element"),
        ("jid(5)", "2:1: jid() takes an address as text, a jid or (), not a value of type i64", ""),
        ("stanza.find(\"query\").set_text(\"\\x01\")", "XML cannot hold the character U+0001", ""),
        ("let q = stanza.find(\"query\"); q[\"a b\"] = \"x\";", "2:32: \"a b\" cannot be the name of an attribute", ""),
        // Misspelt.
        ("stanza.tpye == \"get\"", "2:7: a stanza has no property tpye: it has kind, direction, type,", "[\"tpye\"]"),
        ("stanza.form = \"a@b\";", "2:7: a stanza has no property form: it has kind, direction, type,", ""),
        ("if stanza.direciton == \"c2s\" { }", "2:10: a stanza has no property direciton", ""),
        ("log(`é${stanza.tpye}`)", "a stanza has no property tpye", ""),
        ("let q = stanza.find(\"query\"); q.nmae", "2:32: an element has no property nmae: it has name and ns;", ""),
        ("let q = stanza.find(\"query\"); q.name = \"x\";", "2:32: name can only be read", ""),
        ("let q = stanza.find(\"query\"); q.id = \"x\";", "2:32: an element has no property id", "[\"id\"]"),
        ("session.jdi", "2:8: a session has no property jdi: it has jid, bare, domain, peer, number, ", ""),
        ("jid(\"a@b\").node", "2:11: a jid has no property node: it has full, bare, local, domain and resource", ""),
        (
            "stanza.txt(\"body\")",
            "2:8: there is no function txt(Stanza, string); the functions of a stanza are attr,",
            "to_xml",
        ),
        ("stanza.find(5)", "2:8: there is no function find(Stanza, i64); the functions of a stanza are", ""),
        (
            "session.to_cleint(\"<a/>\")",
            "2:9: there is no function to_cleint(Session, string); the functions of a session are to_client",
            "",
        ),
    ];
    for (text, start, part) in table {
        let why = failure(text, ROSTER);
        assert!(why.contains(start) && why.contains(part), "{text}: {why}");
    }
    assert_eq!(value("stanza[\"tpye\"] == ()", ROSTER), "true", "an index asks for any attribute");
}

#[test]
fn limits_hold() {
    let table = [
        ("let e = xml(\"<a/>\"); loop { e.append(e); }", "over the limit of size"),
        ("let e = xml(\"<a/>\"); loop { let n = xml(\"<a/>\"); n.append(e); e = n; }", "over the limit of size"),
        ("let e = xml(\"<a/>\"); loop { e.append(\"<b/>\"); }", "it ran too long: one run"),
        (
            "let s = \"x\"; while s.len() < 200000 { s += s; } let e = xml(\"<a/>\"); for i in 0..1000 { e.set_attr(`a${i}`, s); }",
            "over the limit of size",
        ),
        (
            "let s = \"x\"; while s.len() < 200000 { s += s; } for i in 0..1000 { let e = xml(\"<a/>\"); e.set_text(s); }",
            "over the limit of size",
        ),
        (
            "let s = \"x\"; while s.len() < 200000 { s += s; } let a = []; for i in 0..500 { a.push(xml(`<a>${s}</a>`)); }",
            "over the limit of size",
        ),
        ("let e = xml(\"<a/>\"); for i in 0..3000 { e.set_attr(`a${i}`, \"\"); }", "may have 1000 attributes"),
        ("loop { xml(stanza); }", "test.rhai:2:8: over the limit of size"),
        ("loop { try { xml(stanza); } catch { } }", "it ran too long: over the limit of operations"),
        ("loop { try { xml(\"<a/>\"); } catch { } }", "it ran too long: over the limit of operations"),
        ("loop { try { xml(\"<a>\"); } catch { } }", "it ran too long: over the limit of operations"),
        ("stanza.text(\"x\".pad(5000))", ""),
        ("let p = \"a\"; p.pad(5000, \"/a\"); stanza.text(p)", "a path has at most 4096 bytes"),
    ];
    for (text, reason) in table {
        let why = failure(text, ROSTER);
        assert!(why.contains(reason), "{text}: {why}");
    }
    let many = format!("<iq type='result' id='1'><query xmlns='x:q'>{}</query></iq>", "<item/>".repeat(20_000));
    let table = [
        ("stanza.find_all(\"query/item\")", "find_all() found 20000 elements, and an array holds at most 500"),
        ("stanza.find(\"query\").children()", "children() found 20000 elements, and an array holds at most 500"),
        ("loop { stanza.count(\"query/item\"); }", "it ran too long: one run of a hook may look at"),
        ("loop { stanza.text(\"query/nothing\"); }", "it ran too long: one run of a hook may look at"),
        ("stanza.to_xml()", "Length of string: over the limit of size (string_bytes)"),
        ("loop { stanza.find(\"query/item\").remove(); }", "it ran too long"),
        ("let e = stanza.find(\"query\"); stanza.append(e); stanza.append(e);", "over the limit of size"),
    ];
    for (text, reason) in table {
        let begun = std::time::Instant::now();
        let why = failure(text, &many);
        assert!(why.contains(reason), "{text}: {why}");
        assert!(begun.elapsed().as_secs() < 60, "{text}");
    }
    let loops = "{ let all = 0; for item in stanza.each(\"query/item\") { all += 1; if all == 600 { break; } } all }";
    assert_eq!(value(loops, &many), "600");
    assert_eq!(value("stanza.count(\"query/item\")", &many), "20000");
    assert_eq!(value("stanza.find(\"query/item[20000]\") != ()", &many), "true");
}

/// Reading the head costs the same however much there is inside; so nothing inside is read.
#[test]
fn reading_the_head_never_builds_the_tree() {
    let set = load(
        "fn on_iq(stanza, session) {
             let all = [stanza.kind, stanza.direction, stanza.type, stanza.id, stanza.to, stanza.from, stanza.lang,
                        stanza.ns, stanza.name, stanza.payload_ns, stanza.payload_name, stanza.size,
                        stanza.attr(\"id\"), stanza[\"type\"], stanza.attr(\"xml:lang\")];
             if stanza.type == \"set\" && jid(stanza.from) == jid(session.jid) { return drop(); }
             stanza.to = stanza.to; stanza.remove_attr(\"from\"); stanza.set_attr(\"id\", \"r1\");
         }",
    );
    let stanza = |items: usize| {
        format!("<iq type='result' id='r1' to='a@b'><query xmlns='x:q'>{}</query></iq>", "<item/>".repeat(items))
    };
    let cost = |stanza: &str| {
        assert_eq!(run(&set, stanza).errors, Vec::<String>::new());
        let info = allocation_counter::measure(|| drop(run(&set, stanza)));
        (info.count_total, info.bytes_total)
    };
    let (small, large) = (stanza(1), stanza(20_000));
    let ((few, little), (many, much)) = (cost(&small), cost(&large));
    assert_eq!(few, many);
    assert!(much - little < 2 * large.len() as u64, "{little} {much}");
    assert!(few < 120, "{few} allocations");
}
