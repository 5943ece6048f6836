//! What a script can read, write and decide.

#![expect(clippy::panic, reason = "a fixture that is not legal is a mistake in this file")]

use iqtap::script::{LogLine, Memory, Outcome, ScriptLimits, ScriptSet, Verdict};
use iqtap::xml::{Element, Limits, Scanner, Step, View, parse_str};
use iqtap::xmpp::{Facts, Kind, Side, Timestamp};
use std::path::{Path, PathBuf};

const IQ: &str = "<iq type='set' id='v1' to='example.org' from='juliet@example.org/balcony' xml:lang='de'>\
                  <vCard xmlns='vcard-temp'><FN>Juliet</FN></vCard></iq>";
const MESSAGE: &str = "<message to='romeo@example.net' id='m1' type='chat'><body>hi &amp; bye</body></message>";

fn facts(side: Side) -> Facts<'static> {
    Facts::new(Timestamp(1), 7, side, "example.org", "192.0.2.1:50000").bound("juliet@example.org/balcony")
}

fn script(text: &str) -> ScriptSet {
    ScriptSet::from_text(Path::new("test.rhai"), text, ScriptLimits::default())
        .unwrap_or_else(|why| panic!("{why}\n{text}"))
}

/// Runs a set over one stanza, judged under an ordinary root.
fn run_from(set: &ScriptSet, stanza: &str, side: Side) -> Outcome {
    let header = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
    let mut scanner = Scanner::new(Limits::AFTER_LOGIN);
    assert!(matches!(scanner.scan(header), Step::Item { .. }));
    assert!(matches!(scanner.scan(stanza.as_bytes()), Step::Item { .. }), "{stanza}");
    let view = View { bytes: stanza.as_bytes(), head: scanner.head(), root: scanner.root() };
    let kind = match view.name() {
        "iq" => Kind::Iq,
        "message" => Kind::Message,
        _ => Kind::Presence,
    };
    set.run(kind, &view, None, &facts(side), &mut Memory::default())
}

fn run(set: &ScriptSet, stanza: &str) -> Outcome {
    run_from(set, stanza, Side::Client)
}

/// Runs a body as the hook of all kinds.
fn body(body: &str, stanza: &str) -> Outcome {
    let hooks = ["on_iq", "on_message", "on_presence"].map(|name| format!("fn {name}(stanza, session) {{ {body} }}\n"));
    run(&script(&hooks.concat()), stanza)
}

fn tree(text: &str) -> Element {
    parse_str(text).unwrap_or_else(|why| panic!("{text}: {why}"))
}

/// Runs a body that logs one thing; gives what it logged.
fn value(expression: &str, stanza: &str) -> String {
    let outcome = body(&format!("log(`${{{expression}}}`)"), stanza);
    assert_eq!(outcome.errors, Vec::<String>::new(), "{expression}");
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(outcome.element, None, "{expression}: reading is not an edit");
    assert_eq!(outcome.by, None);
    outcome.logs.into_iter().map(|line| line.text).collect()
}

#[test]
fn every_property() {
    let table = [
        ("stanza.kind", "iq"),
        ("stanza.type", "set"),
        ("stanza.id", "v1"),
        ("stanza.to", "example.org"),
        ("stanza.from", "juliet@example.org/balcony"),
        ("stanza.lang", "de"),
        ("stanza.direction", "c2s"),
        ("stanza.ns", "vcard-temp"),
        ("stanza.payload_ns", "vcard-temp"),
        ("stanza.name", "vCard"),
        ("stanza.payload_name", "vCard"),
        ("stanza.attr(\"id\")", "v1"),
        ("stanza.attr(\"xml:lang\")", "de"),
        ("stanza[\"type\"]", "set"),
        ("stanza[\"nothing\"] == ()", "true"),
        ("stanza.attr(\"nothing\") == ()", "true"),
        ("stanza.text(\"vCard/FN\")", "Juliet"),
        ("stanza.text(\"{vcard-temp}vCard/{vcard-temp}FN\")", "Juliet"),
        ("stanza.text(\"vCard/NICKNAME\") == ()", "true"),
        ("stanza.text(\"{vcard}vCard\") == ()", "true"),
        ("session.jid", "juliet@example.org/balcony"),
        ("session.bare", "juliet@example.org"),
        ("session.domain", "example.org"),
        ("session.peer", "192.0.2.1:50000"),
        ("session.number", "7"),
    ];
    for (expression, expected) in table {
        assert_eq!(value(expression, IQ), expected, "{expression}");
    }
    assert_eq!(value("stanza.size", IQ), IQ.len().to_string());
    assert_eq!(value("stanza.text(\"body\")", MESSAGE), "hi & bye");
    assert_eq!(value("stanza.direction", MESSAGE), "c2s");
    for absent in ["type", "id", "to", "from", "lang", "ns", "name"] {
        assert_eq!(value(&format!("stanza.{absent} == ()"), "<presence/>"), "true", "{absent}");
    }
    assert_eq!(value("stanza.ns", "<iq type='error' id='1'><error/><a xmlns='x:a'/></iq>"), "x:a");
}

#[test]
fn the_direction_is_the_senders() {
    let set = script("fn on_iq(stanza) { log(stanza.direction) }");
    assert_eq!(run_from(&set, IQ, Side::Server).logs[0].text, "s2c");
}

#[test]
fn every_edit() {
    let table = [
        ("stanza.to = \"romeo@example.net\";", "to='romeo@example.net' id='m1' type='chat'", "hi"),
        ("stanza.from = \"a@b\";", "to='x@y' id='m1' type='chat' from='a@b'", "hi"),
        ("stanza.id = \"<&'\";", "to='x@y' id='&lt;&amp;&apos;' type='chat'", "hi"),
        ("stanza.type = \"headline\";", "to='x@y' id='m1' type='headline'", "hi"),
        ("stanza.type = ();", "to='x@y' id='m1'", "hi"),
        ("stanza[\"to\"] = \"a@b\";", "to='a@b' id='m1' type='chat'", "hi"),
        ("stanza[\"extra\"] = \"1\";", "to='x@y' id='m1' type='chat' extra='1'", "hi"),
        ("stanza.set_attr(\"extra\", \"1\");", "to='x@y' id='m1' type='chat' extra='1'", "hi"),
        ("stanza.set_attr(\"xml:lang\", \"fr\");", "to='x@y' id='m1' type='chat' xml:lang='fr'", "hi"),
        ("stanza.remove_attr(\"id\");", "to='x@y' type='chat'", "hi"),
        ("stanza.set_text(\"body\", \"bye < &\");", "to='x@y' id='m1' type='chat'", "bye &lt; &amp;"),
        ("stanza.set_text(\"body\", \"\");", "to='x@y' id='m1' type='chat'", ""),
    ];
    for (edit, attributes, text) in table {
        let outcome = body(edit, "<message to='x@y' id='m1' type='chat'><body>hi</body></message>");
        assert_eq!(outcome.errors, Vec::<String>::new(), "{edit}");
        assert_eq!(outcome.verdict, Verdict::Pass, "{edit}");
        let expected = tree(&format!("<message {attributes}><body>{text}</body></message>"));
        assert_eq!(outcome.element, Some(expected), "{edit}");
        assert_eq!(outcome.by.as_deref(), Some("test.rhai:2"), "{edit}");
    }
}

#[test]
fn what_is_edited_is_read_back() {
    let outcome = body(
        "stanza.to = \"new@x\"; stanza.set_text(\"vCard/FN\", \"Romeo\"); stanza.id = ();
         log(`${stanza.to} ${stanza.text(\"vCard/FN\")} ${stanza.id == ()} ${stanza.ns} ${stanza.name} ${stanza.lang}`);",
        IQ,
    );
    assert_eq!(outcome.logs[0].text, "new@x Romeo true vcard-temp vCard de");
}

#[test]
fn setting_what_is_there_is_no_edit() {
    let outcome = body(
        "stanza.to = stanza.to; stanza.set_text(\"vCard/FN\", \"Juliet\"); stanza.remove_attr(\"nothing\");
         stanza.to = \"x@y\"; stanza.to = \"example.org\";",
        IQ,
    );
    assert_eq!(outcome.errors, Vec::<String>::new());
    // The last two edits cancel out: written anew, but the same.
    assert!(outcome.element.is_none_or(|element| element == tree(IQ)));
    let untouched = body("stanza.to = stanza.to; stanza.remove_attr(\"nothing\");", IQ);
    assert_eq!((untouched.element, untouched.by), (None, None));
}

#[test]
fn every_verdict() {
    let verdict = |text: &str| {
        let outcome = body(text, IQ);
        assert_eq!(outcome.errors, Vec::<String>::new(), "{text}");
        let by = (outcome.verdict != Verdict::Pass).then(|| "test.rhai:1".to_owned());
        assert_eq!(outcome.by, by, "{text}");
        outcome.verdict
    };
    for pass in ["", "pass()", "return;", "()", "if false { drop() }", "log(\"x\");"] {
        assert_eq!(verdict(pass), Verdict::Pass, "{pass}");
    }
    for drop in ["drop()", "return drop();", "if stanza.type == \"set\" { return drop(); } pass()", "exit(drop())"] {
        assert_eq!(verdict(drop), Verdict::Drop, "{drop}");
    }
    let error = |text: &str| match verdict(text) {
        Verdict::Reject(e) => (e.condition.name(), e.kind.name(), e.text),
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(error("reject(\"not-allowed\")"), ("not-allowed", "cancel", None));
    assert_eq!(error("reject(\"forbidden\", \"\")"), ("forbidden", "auth", None));
    let text = Some("no vCards".to_owned());
    assert_eq!(error("reject(\"forbidden\", \"no vCards\")"), ("forbidden", "auth", text.clone()));
    assert_eq!(error("reject(\"forbidden\", \"no vCards\", \"wait\")"), ("forbidden", "wait", text));
}

#[test]
fn replies() {
    let table = [
        ("reply(\"\")", IQ, "<iq type='result' id='v1' from='example.org' to='juliet@example.org/balcony'/>"),
        ("reply()", IQ, "<iq type='result' id='v1' from='example.org' to='juliet@example.org/balcony'/>"),
        (
            "reply(\"<vCard xmlns='vcard-temp'/>\")",
            IQ,
            "<iq type='result' id='v1' from='example.org' to='juliet@example.org/balcony'><vCard xmlns='vcard-temp'/></iq>",
        ),
        ("reply(\" <q xmlns='x:q'/> \")", "<iq type='get' id='1'/>", "<iq type='result' id='1'><q xmlns='x:q'/></iq>"),
        ("reply(\"\")", "<iq type='get'/>", "<iq type='result' id=''/>"),
        // A whole iq keeps what it says, and gets what it leaves out.
        (
            "reply(\"<iq type='error' to='a@b'><error type='cancel'/></iq>\")",
            IQ,
            "<iq type='error' to='a@b' id='v1' from='example.org'><error type='cancel'/></iq>",
        ),
        ("reply(\"<iq id='other'/>\")", "<iq type='get' id='1'/>", "<iq id='other' type='result'/>"),
        // Other kinds are answered by whole stanzas, of any kind.
        (
            "reply(\"<message type='chat'><body>busy</body></message>\")",
            MESSAGE,
            "<message type='chat' from='romeo@example.net'><body>busy</body></message>",
        ),
        (
            "reply(\"<message id='n'><body>no</body></message>\")",
            "<iq type='get' id='1' to='t@x' from='f@x'/>",
            "<message id='n' from='t@x' to='f@x'><body>no</body></message>",
        ),
    ];
    for (text, stanza, expected) in table {
        let outcome = body(text, stanza);
        assert_eq!(outcome.errors, Vec::<String>::new(), "{text}");
        assert_eq!(outcome.verdict, Verdict::Reply(tree(expected)), "{text}");
    }
}

#[test]
fn an_answer_goes_to_the_first_sender_whatever_was_rewritten() {
    let outcome = body("stanza.to = \"x@y\"; stanza.id = \"other\"; stanza.from = \"x@z\"; reply(\"\")", IQ);
    let expected = "<iq type='result' id='v1' from='example.org' to='juliet@example.org/balcony'/>";
    assert_eq!((outcome.verdict, outcome.element), (Verdict::Reply(tree(expected)), None));
}

#[test]
fn logs() {
    let outcome = body(
        "log(\"a\"); log(\"warn\", \"b\"); log(\"error\", \"c\"); log(\"debug\", \"d\"); print(\"e\"); print(42); debug(\"f\"); \
         log(7); log(0.5); log(stanza.text(\"no\")); log(\"warn\", stanza.size > 1); log(\"warn\", 7);",
        IQ,
    );
    let lines: Vec<_> = outcome.logs.iter().map(|line| (line.level, line.text.as_str())).collect();
    let expected = [
        ("info", "a"),
        ("warn", "b"),
        ("error", "c"),
        ("debug", "d"),
        ("info", "e"),
        ("info", "42"),
        ("debug", "\"f\""),
        ("info", "7"),
        ("info", "0.5"),
        ("info", "()"),
        ("warn", "true"),
        ("warn", "7"),
    ];
    assert_eq!(lines, expected);
    assert!(outcome.logs.iter().all(|line| line.script == "test.rhai"));
    assert_eq!(body("pass()", IQ).logs, Vec::<LogLine>::new(), "nothing is left over from the run before");
}

#[test]
fn listens() {
    let table = [
        ("fn on_iq(stanza) {}", [false, false, true]),
        ("fn on_message(stanza) {}", [true, false, false]),
        ("fn on_presence(stanza, session) {}", [false, true, false]),
        ("fn on_iq(s) {} fn on_message(s) {} fn helper() {}", [true, false, true]),
    ];
    for (text, expected) in table {
        let set = script(text);
        assert_eq!([Kind::Message, Kind::Presence, Kind::Iq].map(|kind| set.listens(kind)), expected, "{text}");
    }
    assert!(!ScriptSet::default().listens(Kind::Iq));
    assert_eq!(run(&ScriptSet::default(), IQ).verdict, Verdict::Pass);
}

#[test]
fn constants_are_seen_in_every_function() {
    let set = script(
        r#"
        const DOMAIN = "example.org";
        const ALIAS = "team@" + DOMAIN;
        const LIST = ["a", "b"];
        const MAP = #{ x: 1 };
        let ran = 0;
        log("the body runs once, when it is loaded");
        fn helper() { `${ALIAS} ${LIST[1]} ${MAP.x}` }
        fn closures() { ["x", "b"].filter(|each| LIST.contains(each)).len() }
        fn shadow(LIST) { let DOMAIN = "mine"; for ALIAS in 0..1 { DOMAIN += ALIAS; } DOMAIN + LIST }
        fn spoilt() { LIST.push("c"); LIST.len() }
        fn on_iq(stanza) { log(`${helper()} ${stanza.to == DOMAIN} ${closures()} ${shadow(1)} ${spoilt()}`) }
        "#,
    );
    for _ in 0..3 {
        let Outcome { logs, errors, .. } = run(&set, IQ);
        assert_eq!(errors, Vec::<String>::new());
        assert_eq!(logs.iter().map(|l| l.text.as_str()).collect::<Vec<_>>(), ["team@example.org b 1 true 1 mine01 2"]);
    }
}

/// Loads scripts as files, in order.
fn files(texts: &[&str]) -> ScriptSet {
    let folder = tempfile::tempdir().unwrap_or_else(|why| panic!("{why}"));
    let paths: Vec<PathBuf> = (0..texts.len()).map(|at| folder.path().join(format!("{at}.rhai"))).collect();
    for (path, text) in paths.iter().zip(texts) {
        std::fs::write(path, text).unwrap_or_else(|why| panic!("{why}"));
    }
    ScriptSet::load(&paths, ScriptLimits::default()).unwrap_or_else(|why| panic!("{why}"))
}

#[test]
fn scripts_run_in_order_and_see_each_others_edits() {
    let set = files(&[
        "fn on_iq(stanza) { stanza.to = stanza.to + \".one\"; }",
        "fn on_message(stanza) { drop() }",
        "fn on_iq(stanza) { stanza.to = stanza.to + \".two\"; log(stanza.to); }",
        "fn on_iq(stanza) { log(\"looks and leaves\") }",
    ]);
    let outcome = run(&set, IQ);
    assert_eq!(outcome.element.as_ref().and_then(|e| e.attr("to")), Some("example.org.one.two"));
    assert_eq!(outcome.by.as_deref(), Some("2.rhai:1"), "the last that rewrote");
    let said: Vec<_> = outcome.logs.iter().map(|l| (l.script.as_str(), l.text.as_str())).collect();
    assert_eq!(said, [("2.rhai", "example.org.one.two"), ("3.rhai", "looks and leaves")]);
}

#[test]
fn the_first_verdict_wins() {
    let set = files(&[
        "fn on_iq(stanza) { stanza.id = \"x\"; pass() }",
        "\n\nfn on_iq(stanza) { reject(\"conflict\") }",
        "fn on_iq(stanza) { log(\"never\"); drop() }",
    ]);
    let outcome = run(&set, IQ);
    assert!(matches!(outcome.verdict, Verdict::Reject(_)));
    assert_eq!((outcome.by.as_deref(), outcome.element, outcome.logs.len()), (Some("1.rhai:3"), None, 0));
}

#[test]
fn a_failed_script_leaves_no_trace_and_the_others_go_on() {
    let set = files(&[
        "fn on_iq(stanza) { stanza.id = \"kept\"; }",
        "fn on_iq(stanza) { stanza.id = \"lost\"; stanza.to = \"lost\"; throw \"half way\" }",
        "fn on_iq(stanza) { log(stanza.id) }",
    ]);
    let outcome = run(&set, IQ);
    assert_eq!(outcome.verdict, Verdict::Pass);
    assert_eq!(outcome.element.as_ref().and_then(|e| e.attr("id")), Some("kept"));
    assert_eq!(outcome.element.as_ref().and_then(|e| e.attr("to")), Some("example.org"));
    assert_eq!(outcome.by.as_deref(), Some("0.rhai:1"));
    assert_eq!(outcome.logs[0].text, "kept");
    assert_eq!(outcome.errors.len(), 1);
    assert!(outcome.errors[0].ends_with("1.rhai:1:60: half way"), "{}", outcome.errors[0]);

    let alone = files(&["fn on_iq(stanza) { stanza.id = \"lost\"; throw 1 }"]);
    assert_eq!(run(&alone, IQ).element, None);
}
