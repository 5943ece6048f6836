//! What `script::check` complains of, each mistake by itself; that it says nothing of what is right; and that it never says
//! less than loading the script would.

use iqtap::script::{ScriptLimits, ScriptSet, Severity, check, hooks};
use std::path::{Path, PathBuf};

/// The complaints, as `line:column message`; a warning begins with `~`.
fn complaints(text: &str) -> Vec<String> {
    complaints_at(Path::new("test.rhai"), text)
}

/// The same for a script that stands there, with its lists beside it.
fn complaints_at(path: &Path, text: &str) -> Vec<String> {
    let told = |c: iqtap::script::Complaint| {
        let mark = if c.severity == Severity::Warning { "~" } else { "" };
        format!("{mark}{}:{} {}", c.line, c.column, c.message)
    };
    check(path, text, ScriptLimits::default()).into_iter().map(told).collect()
}

/// The one complaint about a hook with this body, which begins on line 2, column 1.
#[track_caller]
fn one(body: &str) -> String {
    let mut found = complaints(&format!("fn on_iq(stanza, session) {{\n{body}\n}}"));
    assert_eq!(found.len(), 1, "{body}: {found:#?}");
    found.remove(0)
}

#[test]
fn each_mistake_is_found() {
    let table = [
        // Properties.
        ("stanza.tpye", "2:8 a stanza has no property tpye: it has kind, ", "did you mean type?"),
        ("session.domian", "2:9 a session has no property domian", "did you mean domain?"),
        ("jid(stanza.to).ressource", "2:16 a jid has no property ressource", "did you mean resource?"),
        ("xml(\"<a/>\").nmae", "2:13 an element has no property nmae", "did you mean name?"),
        ("let e = stanza.find(\"a\"); e.text", "2:29 an element has no property text", "it is a function: text()"),
        ("for e in stanza.find_all(\"a\") { log(e.size); }", "2:39 an element has no property size", ""),
        ("for (e, at) in stanza.children() { log(e.nam); }", "2:42 an element has no property nam", ""),
        ("stanza.children()[0].nam", "2:22 an element has no property nam", ""),
        ("stanza.children().name", "2:19 an array has no property name", "[0]"),
        ("log(`${stanza.tpye}`);", "2:15 a stanza has no property tpye", ""),
        ("stanza.size = 5;", "2:8 size can only be read", ""),
        ("if true { let s = stanza; s.tpye = \"x\"; }", "2:29 a stanza has no property tpye", ""),
        // Functions.
        ("rejekt(\"gone\")", "2:1 there is no function rejekt", "did you mean reject?"),
        ("shared.keep();", "2:8 keep takes 1 or 2 arguments, not 0", ""),
        ("shared.kep(\"a\");", "2:8 there is no function kep", "did you mean keep?"),
        ("log()", "2:1 log takes 1 or 2 arguments, not 0", ""),
        ("stanza.set_text(\"a\");", "2:8 set_text takes 2 arguments, not 1", ""),
        ("session.to_clinet(\"<a/>\");", "2:9 there is no function to_clinet(Session)", "did you mean to_client?"),
        ("stanza.len()", "2:8 there is no function len(Stanza)", "the functions of a stanza are attr, "),
        ("let x = stanza.to; x.shout()", "2:22 there is no function shout", ""),
        ("[1].map(|x| shout(x))", "2:13 there is no function shout", ""),
        ("on_iq(stanza)", "2:1 on_iq takes 2 arguments, not 1", ""),
        // Variables.
        ("stnza.to", "2:1 Undefined variable: stnza", "did you mean stanza?"),
        // Arguments that are written out.
        ("return reject(\"not-alowed\");", "2:8 \"not-alowed\" is not an error condition", "not-allowed"),
        ("return hold(0);", "2:8 hold() takes seconds", ""),
        ("return reply(\"<a>\");", "2:8 reply() takes one XML element", ""),
        ("log(\"loud\", \"x\");", "2:1 \"loud\" is not a level of log()", ""),
        ("stanza.append(xml(\"<a\"));", "2:15 xml() takes one XML element", ""),
        ("stanza.text(\"a/\")", "2:8 \"a/\" is not a path", ""),
        ("after(5, \"later\", stanza);", "2:1 this script has no function later", "fn later(session, value)"),
        ("every(0, \"on_iq\");", "2:1 every() takes seconds, from 0.1", ""),
        ("tag(\"two words\");", "2:1 tag() takes a word", ""),
        // Verdicts that decide nothing.
        ("reject(\"gone\"); log(\"x\")", "~2:1 this reject(...) decides nothing: write `return reject(...)`", ""),
        ("if stanza.to == () { drop() } pass()", "~2:22 this drop(...) decides nothing", ""),
        ("for x in 0..3 { drop() }", "~2:17 this drop(...) decides nothing", ""),
        ("switch stanza.to { \"a\" => drop(), _ => print(1) } log(\"x\")", "~2:27 this drop", ""),
        // What is no verdict.
        ("return \"drop\";", "2:1 a hook returns pass(), drop(), ", "not this"),
        ("if stanza.to == () { return false; } pass()", "2:22 a hook returns", ""),
    ];
    for (body, start, part) in table {
        let found = one(body);
        assert!(found.starts_with(start), "{body}: {found}");
        assert!(found.contains(part), "{body}: {found}");
    }
}

#[test]
fn what_does_not_load_is_said_all_at_once() {
    let table: [(&str, &[&str]); 9] = [
        ("fn on_mesage(s) {}\nfn on_iq() {}", &["1:4 there is no hook on_mesage", "2:4 on_iq takes (stanza)"]),
        ("fn helper(s) {}", &["0:0 no hook here"]),
        ("fn on_iq(s) { s.x(", &["1:19 "]),
        (
            "fn on_iq(s) {\n let a = \"x;\n}\nfn on_message(s) {\n let a = ;\n}\nfn on_presence(s) { s.tpye }",
            &["2:10 Open string", "5:10 Unexpected ';'", "7:23 a stanza has no property tpye"],
        ),
        (
            "let n = 0;\nfn on_iq(s) { n += 1; log(nn); log(nn); }",
            &[
                "2:15 Undefined variable: n (a function sees only",
                "2:27 Undefined variable: nn",
                "2:36 Undefined variable: nn",
            ],
        ),
        (
            "const A = xml(\"<a>\");\nconst B = nope();\nfn on_iq(s) { if A == B { return drop(); } log(c) }",
            &["1:11 xml() takes", "2:11 there is no function nope", "3:48 Undefined variable: c"],
        ),
        ("loop {}\nfn on_iq(s) { s.tpye }", &["1:", "2:17 a stanza has no property tpye"]),
        ("fn on_iq(s) {}\nfn on_iq(s, t) {}", &["1:4 on_iq is defined twice"]),
        ("fn on_iq(s) {}\nfn lost(x) { lost(x) }\nfn kept() {}\nconst K = \"kept\";", &["~2:4 nothing calls lost"]),
    ];
    for (text, expected) in table {
        let found = complaints(text);
        let as_expected = found.len() == expected.len() && found.iter().zip(expected).all(|(f, e)| f.starts_with(e));
        assert!(as_expected, "{text}\n{found:#?}");
    }
}

#[test]
fn each_hook_knows_what_it_is_given() {
    let bodies = [
        ("on_open(s)", "s.domian", "a session has no property domian"),
        ("on_features(f)", "f.nmae", "an element has no property nmae"),
        ("on_stanza(a)", "a.tpye", "a stanza has no property tpye"),
        ("on_answer(r, a, s)", "a.tpye", "a stanza has no property tpye"),
        ("on_timeout(r)", "r.tpye", "a stanza has no property tpye"),
        ("on_close(s, why)", "why.x; s.mechanims", "a session has no property mechanims"),
    ];
    for (hook, body, part) in bodies {
        let found = complaints(&format!("fn {hook} {{ {body} }}"));
        assert!(matches!(found.as_slice(), [one] if one.contains(part)), "{hook}: {found:#?}");
    }
    let text = "fn on_load(state) { state.x = 1; state.y }\nfn on_iq(s) { every(1, \"on_time\"); state.z }\nfn on_time(session, value) {}";
    assert_eq!(complaints(text), Vec::<String>::new());
}

#[test]
fn helpers_know_what_they_are_given() {
    let calls = "fn on_iq(stanza) { help(stanza); }\nfn on_message(m, s) { help(m); }\nfn help(x) { deep(x); }\nfn deep(y) { y.tpye }";
    assert!(complaints(calls)[0].starts_with("4:16 a stanza has no property tpye"), "{:?}", complaints(calls));
    // One caller gives something else, or nobody knows who calls: nothing is sure any more.
    for other in ["help(#{ tpye: 1 });", "call(Fn(\"help\"), 1);", "[1].map(Fn(\"help\"));", "stanza.help(1);"] {
        let text = format!("fn on_iq(stanza) {{ help(stanza); {other} }}\nfn help(x) {{ x.tpye }}");
        assert_eq!(complaints(&text), Vec::<String>::new(), "{text}");
    }
}

#[test]
fn what_may_be_right_is_left_alone() {
    for body in [
        "let stanza = #{ tpye: 1 }; stanza.tpye",
        "let e = stanza.find(\"a\"); e = #{ x: 1 }; e.x",
        "let a = stanza; loop { let b = a; log(b.x); a = #{ x: 1 }; }",
        "let m = #{ act: |x| x }; m.act(1)",
        "let f = |x| drop(); return f.call(1);",
        "stanza[\"tpye\"]",
        "let verdict = if stanza.to == () { drop() } else { pass() }; return verdict;",
        "if stanza.to == () { drop() } else { switch stanza.type { \"get\" => reject(\"gone\"), _ => { pass() } } }",
        "try { throw #{ why: \"x\" }; } catch (stanza) { log(stanza.why); } pass()",
        "stanza.find(\"a\")?.name; pass()",
        "stanza.to_xml().len(); pass()",
        "return reject(stanza.to);",
        "if stanza.to == () { return; } return ();",
        "let f = |x| { return true; }; if f.call(1) { throw \"no\"; }",
        "debug(stanza); print(type_of(session)); pass()",
    ] {
        let text = format!("fn on_iq(stanza, session) {{\n{body}\n}}");
        assert_eq!(complaints(&text), Vec::<String>::new(), "{body}");
    }
}

/// What the pages show is right, so nothing may be said of it.
#[test]
fn the_pages_and_the_gallery_are_fine() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts: Vec<(PathBuf, String)> = Vec::new();
    let shelf = root.join("tests/lists/page.rhai");
    for page in ["README.md", "scripts/README.md"] {
        let page = std::fs::read_to_string(root.join(page)).expect(page);
        let blocks = page.split("```rhai\n").skip(1);
        texts.extend(blocks.filter_map(|part| Some((shelf.clone(), part.split("```").next()?.to_owned()))));
    }
    for script in iqtap::play::files(&root.join("scripts"), "rhai").expect("scripts") {
        let text = std::fs::read_to_string(&script).expect("a script");
        texts.push((script, text));
    }
    assert!(texts.len() > 10);
    for (path, text) in texts {
        assert_eq!(complaints_at(&path, &text), Vec::<String>::new(), "{text}");
        assert!(!hooks(&text, ScriptLimits::default()).is_empty(), "{text}");
    }
}

/// The hooks of a script are told whatever it uses.
#[test]
fn a_script_that_shares_has_its_hooks() {
    let script = "fn on_iq(stanza) { shared.incr(\"n\"); }\nfn on_bind() { log(shared.get(\"n\")); }";
    assert_eq!(hooks(script, ScriptLimits::default()), ["on_iq", "on_bind"]);
}

/// Every script with a piece missing: whatever keeps it from being loaded is said, and what is said to be fine loads.
#[test]
fn check_never_says_less_than_loading() {
    const SCRIPT: &str = "const A = [1, 2];\nlet b = `x${A}`;\n// fn on_x()\nfn on_iq(stanza, session) {\n  if stanza.ns == \"é\" { return \
                          reject(\"gone\", `no ${session.bare}`); }\n  for e in stanza.find_all(\"a/b\") { help(e); }\n}\nprivate fn \
                          help(e) {\n  A.map(|x| x + 1);\n  e[\"x\"] = '\"';\n}\n";
    assert_eq!(complaints(SCRIPT), Vec::<String>::new());
    let places: Vec<usize> = SCRIPT.char_indices().map(|(at, _)| at).collect();
    let mut broken = 0;
    for (at, from) in places.iter().enumerate() {
        for length in [1, 7] {
            let to = places.get(at + length).copied().unwrap_or(SCRIPT.len());
            let text = format!("{}{}", &SCRIPT[..*from], &SCRIPT[to..]);
            let found = check(Path::new("test.rhai"), &text, ScriptLimits::default());
            let loaded = ScriptSet::from_text(Path::new("test.rhai"), &text, ScriptLimits::default());
            broken += usize::from(loaded.is_err());
            if let Err(why) = loaded {
                assert!(found.iter().any(|c| c.severity == Severity::Error), "{text}\n{why}\n{found:#?}");
            }
            let lines = text.lines().count().max(1);
            assert!(found.iter().all(|c| c.line <= lines + 1), "{text}\n{found:#?}");
        }
    }
    assert!(broken > 100, "{broken}");
}
