//! What goes wrong in scripts: at loading, while running, and against the limits. Nothing here may panic or hang.

#![expect(clippy::panic, reason = "a fixture that is not legal is a mistake in this file")]

use iqtap::script::{Filter, Memory, Outcome, ScriptLimits, ScriptSet, Verdict};
use iqtap::xml::{Limits, Scanner, Step, View};
use iqtap::xmpp::{Facts, Kind, Side, Timestamp};
use std::path::Path;

const IQ: &[u8] = b"<iq type='set' id='v1' to='example.org'><vCard xmlns='vcard-temp'><FN>J</FN></vCard></iq>";

fn load(text: &str) -> Result<ScriptSet, String> {
    ScriptSet::from_text(Path::new("test.rhai"), text, ScriptLimits::default()).map_err(|why| why.to_string())
}

fn run(set: &ScriptSet) -> Outcome {
    let header = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
    let mut scanner = Scanner::new(Limits::AFTER_LOGIN);
    assert!(matches!(scanner.scan(header), Step::Item { .. }));
    assert!(matches!(scanner.scan(IQ), Step::Item { .. }));
    let view = View { bytes: IQ, head: scanner.head(), root: scanner.root() };
    let facts = Facts::new(Timestamp(1), 1, Side::Client, "example.org", "192.0.2.1:50000");
    set.run(Kind::Iq, &view, None, &facts, &mut Memory::default())
}

/// The one error of a hook with this body, which stands on line 2.
fn failure(body: &str) -> String {
    let set = load(&format!("fn on_iq(stanza) {{\n{body}\n}}")).unwrap_or_else(|why| panic!("{why}"));
    let mut outcome = run(&set);
    assert_eq!((&outcome.verdict, &outcome.element, &outcome.by), (&Verdict::Pass, &None, &None), "{body}");
    assert_eq!(outcome.errors.len(), 1, "{body}: {:?}", outcome.errors);
    outcome.errors.remove(0)
}

#[test]
fn what_does_not_load_says_where_and_why() {
    let table = [
        ("fn on_iq(stanza) {", "test.rhai:1:19: ", "'}'"),
        ("fn on_iq(stanza) {\n  let x = ;\n}", "test.rhai:2:11: ", ""),
        ("\nfn on_iq() {}", "test.rhai:2:1: ", "on_iq takes (stanza) or (stanza, session), not 0 parameters"),
        ("// fn on_iq(\n\n  fn on_iq(a, b, c) {}", "test.rhai:3:1: ", "not 3 parameters"),
        (
            "fn on_iqs(stanza) {}",
            "test.rhai:1:1: ",
            "there is no hook on_iqs: there are on_message, on_presence, on_iq",
        ),
        ("fn on_iq(s) {}\nfn on_iq(s, t) {}", "test.rhai:1:1: ", "on_iq is defined twice"),
        ("fn helper(stanza) {}", "test.rhai:0:0: ", "no hook here: define on_iq(stanza)"),
        ("", "test.rhai:0:0: ", "no hook here"),
        ("fn on_iq(stanza) {\n  if stnza.ns == \"x\" { drop() }\n}", "test.rhai:2:6: ", "stnza"),
        (
            "let x = 1;\nfn on_iq(stanza) {\n log(x)\n}",
            "test.rhai:3:6: ",
            "write `const` instead of `let`, or keep in `state`",
        ),
        (
            "fn on_iq(stanza) { log(session.jid); }",
            "test.rhai:1:24: ",
            "its parameters only: fn on_message(stanza, session)",
        ),
        ("fn on_iq(stanza) { return drop; }", "test.rhai:1:27: ", "it is a function: drop()"),
        ("fn on_iq(stanza) { return reject; }", "test.rhai:1:27: ", "it is a function: reject(...)"),
        ("fn on_iq(stanza) { stanza.to == null }", "test.rhai:1:33: ", "null"),
        ("fn on_iq(stanza) { stanza.to == None }", "test.rhai:1:33: ", "what is not there is ()"),
        ("fn on_iq(stanza) { log('hello'); }", "test.rhai:1:24: ", "a text stands in double quotes"),
        ("let x = 1;\nlet y = x.nothing();\nfn on_iq(stanza) {}", "test.rhai:2:11: ", "nothing"),
        ("loop {}\nfn on_iq(stanza) {}", "test.rhai:1:", "it ran too long"),
        ("fn on_iq(stanza) { eval(\"1\") }", "test.rhai:1:20: ", "eval"),
        ("import \"x\" as y;\nfn on_iq(stanza) {}", "test.rhai:1:1: ", "import"),
        ("fn on_iq(stanza) { let a = 1; [1].map(|x| x + a); }", "test.rhai:1:", "a"),
        ("fn on_iq(stanza) { let f = |x| x; f = f.curry(f); }", "test.rhai:1:41: ", "property"),
    ];
    for (text, place, reason) in table {
        let Err(why) = load(text) else { panic!("{text}: loaded") };
        assert!(why.starts_with(place), "{text}: {why}");
        assert!(why.contains(reason), "{text}: {why}");
    }
    let missing = ScriptSet::load(&["/nowhere/x.rhai".into()], ScriptLimits::default());
    assert!(missing.is_err_and(|why| why.to_string().starts_with("/nowhere/x.rhai:0:0: cannot be read: ")));
}

#[test]
fn what_fails_while_running_says_where_and_why() {
    let table = [
        ("throw \"oh no\";", "test.rhai:2:1: oh no", ""),
        ("let x = stanza.to; x.nothing()", "test.rhai:2:22: ", "nothing"),
        ("1 / 0", "test.rhai:2:3: ", "ivi"),
        ("let a = [1]; a[5]", "test.rhai:2:16: ", "ndex"),
        (
            "true",
            "test.rhai:1: a hook returns pass(), drop(), reject(...), reply(...), hold(...) or nothing",
            "type bool",
        ),
        ("4.2", "test.rhai:1: a hook returns", "type f64"),
        ("stanza.to", "test.rhai:1: a hook returns", "type string"),
        ("stanza", "test.rhai:1: a hook returns", "type"),
        (
            "reject(\"no-such-condition\")",
            "test.rhai:2:1: \"no-such-condition\" is not an error condition",
            "not-allowed",
        ),
        ("reject(\"conflict\", \"\", \"fatal\")", "test.rhai:2:1: \"fatal\" is not a type of error", "auth, cancel"),
        ("reject()", "test.rhai:2:1: there is no function reject(); there is reject(condition: String), ", ""),
        ("log([1])", "test.rhai:2:1: there is no function log(array); there is log(text: ", ""),
        (
            "log(stanza.text(\"no\").len())",
            "test.rhai:2:23: there is no function len(()); () is what is not there",
            "??",
        ),
        ("let x = state.n + 1;", "test.rhai:2:17: there is no +((), i64); () is what is not there", "(x ?? 0)"),
        ("reply(\"<a>\")", "test.rhai:2:1: reply() takes one XML element: ", ""),
        ("reply(\"text\")", "test.rhai:2:1: reply() takes one XML element: ", ""),
        ("reply(\"<a xmlns='x'/><b xmlns='x'/>\")", "test.rhai:2:1: reply() takes one XML element: ", ""),
        ("reply(\"<query/>\")", "test.rhai:1: the payload <query/> of a reply needs a namespace", ""),
        ("log(\"loud\", \"x\")", "test.rhai:2:1: \"loud\" is not a level of log()", "error, warn, info, debug"),
        ("stanza.to = 5;", "test.rhai:2:8: to takes a string, or () to remove it, not a value of type i64", ""),
        ("stanza.to = \"\\x00\";", "test.rhai:2:8: XML cannot hold the character U+0000", ""),
        ("stanza.to = \"\\uFFFE\";", "test.rhai:2:8: XML cannot hold the character U+FFFE", ""),
        ("stanza.size = 5;", "test.rhai:2:7: size can only be read", ""),
        ("stanza.kind = \"message\";", "test.rhai:2:7: kind can only be read", ""),
        ("stanza.set_attr(\"xmlns\", \"x\")", "test.rhai:2:8: \"xmlns\" cannot be the name of an attribute", ""),
        ("stanza.set_attr(\"a b\", \"x\")", "test.rhai:2:8: \"a b\" cannot be the name of an attribute", ""),
        ("stanza[\"\"] = \"x\";", "test.rhai:2:7: \"\" cannot be the name", ""),
        ("stanza.attr(\"x:y\")", "test.rhai:2:8: \"x:y\" cannot be the name", ""),
        ("stanza.set_text(\"vCard/NO\", \"x\")", "test.rhai:2:8: this iq has no element vCard/NO", "!= ()"),
        ("stanza.set_text(\"vCard/FN\", \"\\x01\")", "test.rhai:2:8: XML cannot hold", ""),
        ("stanza.text(\"/\")", "test.rhai:2:8: \"/\" is not a path", ""),
        ("sleep(60)", "test.rhai:2:1: a hook cannot sleep", ""),
        ("sleep(0.5)", "test.rhai:2:1: a hook cannot sleep", ""),
        ("Fn(\"sleep\").call(60)", "test.rhai:2:13: a hook cannot sleep", ""),
        ("Fn(\"eval\").call(\"40 + 2\")", "test.rhai:1: ", "eval"),
    ];
    for (body, start, part) in table {
        let why = failure(body);
        assert!(why.starts_with(start), "{body}: {why}");
        assert!(why.contains(part), "{body}: {why}");
    }
}

#[test]
fn an_error_in_a_helper_names_the_helper() {
    let set =
        load("fn helper() {\n throw \"deep\"\n}\nfn on_iq(stanza) { helper() }").unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(run(&set).errors, ["test.rhai:2:2: deep (in helper)"]);
}

#[test]
fn a_message_needs_a_whole_stanza_as_its_answer() {
    let set = load("fn on_message(stanza) { reply(\"\") }").unwrap_or_else(|why| panic!("{why}"));
    assert!(set.listens(Kind::Message));
    assert_eq!(run(&set).errors, Vec::<String>::new(), "no hook for an iq");
}

/// Each is stopped by a limit, and the next stanza is treated as if nothing had happened.
#[test]
fn limits_hold() {
    let table = [
        ("loop {}", "it ran too long"),
        ("while true { let x = 1; }", "it ran too long"),
        ("for i in 0..1000000000 { let x = i; }", "it ran too long"),
        ("let s = \"x\"; loop { s += s; }", "over the limit of size"),
        ("let s = \"x\"; s.pad(1000000000, \"y\");", "over the limit of size"),
        ("let a = [1]; loop { a.append(a); }", "over the limit of size"),
        ("let a = []; a.pad(1000000000, 1);", "over the limit of size"),
        ("let b = blob(1000000000, 0);", "over the limit of size"),
        ("let s = \"x\"; s.pad(100000, \"y\"); let a = []; loop { s += \"z\"; a.push(s); }", "over the limit"),
        ("let m = #{}; let i = 0; loop { m[`k${i}`] = i; i += 1; }", "over the limit"),
        ("let f = |f| f.call(f); f.call(f)", "over the limit of call depth"),
        ("let m = #{}; loop { let n = #{ x: 0 }; n.x = m; m = n; }", "over the limit of"),
        ("let a = [1]; loop { let b = [0]; b[0] = a; a = b; }", "over the limit of"),
        ("let a = [1]; loop { let b = [0]; b.set(0, a); a = b; }", "over the limit of"),
        ("let a=[1]; for i in 0..3000 { let b=[0]; b[0]=a; a=b; } a == a", "over the limit of size"),
        ("let a=#{}; for i in 0..3000 { let b=#{}; b.x=a; a=b; } a.to_string()", "over the limit of size"),
        ("let a = [1]; loop { a = [a]; }", "over the limit of size"),
        ("let a = [1]; loop { a = [#{ x: a }]; }", "over the limit of size"),
    ];
    for (body, reason) in table {
        let why = failure(body);
        assert!(why.contains(reason), "{body}: {why}");
    }
    let recursion = [
        "fn f(n) { f(n + 1) } fn on_iq(stanza) { f(0) }",
        "fn f(n) { (((((((((((f(n + 1) + 1) + 1) + 1) + 1) + 1) + 1) + 1) + 1) + 1) + 1) + 1) } fn on_iq(stanza) { f(0) }",
        "fn on_iq(stanza) { on_iq(stanza) }",
    ];
    for text in recursion {
        let set = load(text).unwrap_or_else(|why| panic!("{why}"));
        for _ in 0..2 {
            let errors = run(&set).errors;
            assert_eq!(errors.len(), 1, "{text}");
            assert!(errors[0].contains("over the limit of call depth"), "{text}: {errors:?}");
        }
    }
}

#[test]
fn a_flood_of_log_lines_is_cut_short() {
    let set = load("fn on_iq(stanza) { let s = \"x\"; s.pad(30000, \"é\"); for i in 0..5000 { log(s); } }");
    let logs = run(&set.unwrap_or_else(|why| panic!("{why}"))).logs;
    assert_eq!(logs.len(), 65);
    assert!(logs.iter().all(|line| line.text.len() < 5000));
    assert_eq!((logs[64].level, &logs[64].text[..18]), ("warn", "more than 64 lines"));
}

#[test]
fn operations_are_counted_per_run() {
    let limits = ScriptLimits { operations: 2000, ..ScriptLimits::default() };
    let text = "fn on_iq(stanza) { for i in 0..100 { let x = i; } }";
    let set = ScriptSet::from_text(Path::new("t.rhai"), text, limits).unwrap_or_else(|why| panic!("{why}"));
    for _ in 0..100 {
        assert_eq!(run(&set).errors, Vec::<String>::new());
    }
}

/// A character that a terminal obeys is shown and not sent.
#[test]
fn an_error_is_one_line_without_control_characters() {
    let odd = ["\u{1b}[2J", "\0", "\u{9b}"];
    for character in odd {
        let loaded = load(&format!("fn on_iq(stanza) {{ {character} }}")).map(drop).unwrap_err();
        assert!(!loaded.contains(char::is_control), "{loaded:?}");
        let filter = Filter::new(&format!("stanza {character}"), ScriptLimits::default()).map(drop).unwrap_err();
        assert!(!filter.contains(char::is_control), "{filter:?}");
    }
    let thrown = load("throw \"a\\n\\u001bb\"").map(drop).unwrap_err();
    assert!(!thrown.contains(char::is_control), "{thrown:?}");
}
