//! What scripts share, lists in files, patterns and the time of day.

#![expect(clippy::panic, reason = "a fixture that is not legal is a mistake in this file")]

use iqtap::config::Config;
use iqtap::keep::{Change, Entry};
use iqtap::script::{Memory, Outcome, ScriptLimits, ScriptSet, Shared};
use iqtap::xml::{Limits, Scanner, Step, View};
use iqtap::xmpp::{Facts, Kind, Side, Timestamp};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// 2026-03-29 00:30:00 UTC, a Sunday: half an hour before summer time begins in Berlin.
const NIGHT: u64 = 1_774_744_200;

fn load(text: &str) -> ScriptSet {
    ScriptSet::from_text(Path::new("test.rhai"), text, ScriptLimits::default())
        .unwrap_or_else(|why| panic!("{why}\n{text}"))
}

fn hook(body: &str) -> ScriptSet {
    load(&format!("fn on_message(stanza) {{ {body} }}"))
}

/// Runs a set over one message, in one session, at a time in seconds.
fn run_at(set: &ScriptSet, memory: &mut Memory, seconds: u64) -> Outcome {
    let header = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
    let stanza = b"<message to='romeo@example.net' id='m1'><body>order 66 of 2026</body></message>";
    let mut scanner = Scanner::new(Limits::AFTER_LOGIN);
    assert!(matches!(scanner.scan(header), Step::Item { .. }));
    assert!(matches!(scanner.scan(stanza), Step::Item { .. }));
    let view = View { bytes: stanza, head: scanner.head(), root: scanner.root() };
    let now = Timestamp(seconds * 1_000_000);
    let facts = Facts::new(now, 7, Side::Client, "example.org", "192.0.2.1:50000").bound("juliet@example.org/balcony");
    set.run(Kind::Message, &view, None, &facts, memory)
}

/// What was logged, lines joined; or the errors.
fn said(outcome: &Outcome) -> String {
    let lines = outcome.errors.iter().cloned().chain(outcome.logs.iter().map(|line| line.text.clone()));
    lines.collect::<Vec<_>>().join("; ")
}

fn value_at(expression: &str, seconds: u64) -> String {
    said(&run_at(&hook(&format!("log(`${{{expression}}}`);")), &mut Memory::default(), seconds))
}

fn value(expression: &str) -> String {
    value_at(expression, NIGHT)
}

/// A folder with files of these names and texts.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap_or_else(|why| panic!("{why}"));
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap_or_else(|why| panic!("{name}: {why}"));
    }
    folder
}

fn load_in(folder: &Path, text: &str) -> Result<ScriptSet, String> {
    ScriptSet::from_text(&folder.join("test.rhai"), text, ScriptLimits::default()).map_err(|why| why.to_string())
}

#[test]
fn every_function_of_shared() {
    let table = [
        ("shared.get(\"a\") == ()", "true"),
        ("shared.get(\"a\", 7)", "7"),
        ("{ shared.set(\"a\", [1, #{b: \"c\"}]); shared[\"a\"] }", r#"[1, #{"b": "c"}]"#),
        ("{ shared[\"a\"] = 5; shared.a += 1; shared.get(\"a\") }", "6"),
        ("{ shared.set(\"a\", false); shared.get(\"a\", true) }", "false"),
        ("{ shared.incr(\"n\"); shared.incr(\"n\", 5) - shared.incr(\"n\", -2) }", "2"),
        ("{ shared.set(\"a\", 1); shared.contains(\"a\") && !shared.contains(\"b\") }", "true"),
        ("{ shared.set(\"a\", 1); `${shared.remove(\"a\")} ${shared.remove(\"a\") == ()}` }", "1 true"),
        ("{ shared.set(\"a\", 1); shared.set(\"a\", ()); shared.contains(\"a\") }", "false"),
        ("{ shared.set(\"a\", 1, 2.5); shared.expire(\"a\", 3) && !shared.expire(\"b\", 3) }", "true"),
        ("{ for i in 0..5 { shared.push(\"l\", i, 3); } shared.list(\"l\") }", "[2, 3, 4]"),
        ("shared.list(\"l\")", "[]"),
        ("{ shared.push(\"l\", \"x\"); shared.push(\"l\", \"y\") }", "2"),
        (
            "{ shared.push(\"l\", \"x\"); `${shared.take(\"l\")} ${shared.take(\"l\") == ()} ${shared.contains(\"l\")}` }",
            "x true false",
        ),
        ("{ shared.push(\"l\", [1, \"x\"]); shared.has(\"l\", [1, \"x\"]) && !shared.has(\"l\", [1]) }", "true"),
        (
            "{ shared.push(\"l\", jid(\"A@b\")); shared.has(\"l\", jid(\"a@B\")) && !shared.has(\"l\", \"a@b\") }",
            "true",
        ),
        ("{ let t = []; for i in 0..3 { t.push(shared.throttle(\"k\", 1, 2)); } t }", "[false, false, true]"),
        (
            "{ shared.keep(\"a\"); shared.keep(\"a\", true); shared.set(\"a\", 1); shared.keep(\"a\", false); shared.a }",
            "1",
        ),
        ("{ shared.throttle(\"k\", 0.5, 1); shared.throttle(\"other\", 0.5, 1) }", "false"),
    ];
    for (expression, expected) in table {
        assert_eq!(value(expression), expected, "{expression}");
    }
}

#[test]
fn what_shared_refuses() {
    let table = [
        ("shared.set(\"a\", stanza)", "cannot be kept"),
        ("shared.push(\"a\", xml(\"<a/>\"))", "cannot be kept"),
        ("{ shared.set(\"a\", \"x\"); shared.incr(\"a\") }", "holds something else"),
        ("{ shared.set(\"a\", \"x\"); shared.push(\"a\", 1) }", "shared.push() makes lists"),
        ("{ shared.set(\"a\", 9223372036854775807); shared.incr(\"a\") }", "too much"),
        ("{ for i in 0..600 { shared.push(\"l\", i); } shared.list(\"l\") }", "an array can hold 500"),
        ("{ for i in 0..3000 { shared.push(\"l\", i); } }", "over the limit of size: a value or a list"),
        ("shared.push(\"l\", 1, 0)", "at least one"),
        ("shared.set(\"a\", 1, -5)", "takes seconds, from"),
        ("shared.expire(\"a\", \"x\")", "takes seconds as a number"),
        ("shared.throttle(\"a\", 0, 5)", "a rate per second"),
        ("shared.throttle(\"a\", 1, 0)", "how many may come at once"),
        ("shared.keep(5)", "no function keep(Shared, i64); the functions of shared are get, set, expire, keep"),
        ("{ let k = \"k\"; k.pad(4000, \"k\"); shared.keep(k) }", "a key of shared may have"),
        ("shared.sat(\"a\", 1)", "the functions of shared are get, set"),
    ];
    for (expression, expected) in table {
        let said = value(expression);
        assert!(said.contains(expected) && said.starts_with("test.rhai:1:"), "{expression}: {said}");
    }
    let early = ScriptSet::from_text(
        Path::new("t.rhai"),
        "const X = shared.get(\"a\"); fn on_iq(s) {}",
        ScriptLimits::default(),
    );
    assert!(early.is_err_and(|why| why.message.contains("shared")));
}

/// A peer that writes to a million contacts: no run of fifty calls is a stop, however full it is.
#[test]
fn a_million_keys_are_fast() {
    let set = hook(
        "let n = shared.incr(\"n\"); for i in 0..50 { shared.throttle(`contact-${i}-${n}@example.org`, 0.1, 5); }",
    );
    let (mut memory, mut slowest) = (Memory::default(), Duration::ZERO);
    for run in 0..20_000_u64 {
        let begun = Instant::now();
        // Ten thousand a second.
        let outcome = run_at(&set, &mut memory, 1000 + run / 200);
        slowest = slowest.max(begun.elapsed());
        assert_eq!(said(&outcome), "", "run {run}");
    }
    // Other tests run beside this one, and other processes.
    assert!(slowest < Duration::from_millis(250), "fifty calls took {slowest:?}");
}

#[test]
fn sets_share_what_they_are_given_and_sessions_do_too() {
    let shared = Shared::default();
    let set = || hook("log(`${shared.incr(\"n\")}`)").sharing(&shared);
    let (one, after_a_reload) = (set(), set());
    assert_eq!(said(&run_at(&one, &mut Memory::default(), 1)), "1");
    assert_eq!(said(&run_at(&one, &mut Memory::default(), 1)), "2");
    assert_eq!(said(&run_at(&after_a_reload, &mut Memory::default(), 1)), "3");
    assert_eq!(said(&run_at(&hook("log(`${shared.incr(\"n\")}`)"), &mut Memory::default(), 1)), "1", "its own");
    assert_eq!(shared, shared.clone());
    assert_ne!(shared, Shared::default());
}

/// What is written while somebody writes: the entries as a store would have them, in the end.
fn written(shared: &Shared) -> Vec<Entry> {
    let mut entries = std::collections::BTreeMap::new();
    loop {
        let changes = shared.take_dirty(2);
        if changes.is_empty() {
            let entry = |(name, value)| Entry { space: Shared::SPACE.to_owned(), name, value };
            return entries.into_iter().map(entry).collect();
        }
        for change in changes {
            match change {
                Change::Put(_, name, value) => drop(entries.insert(name, value)),
                Change::Delete(_, name) => drop(entries.remove(&name)),
                Change::Clear(space) => panic!("nobody clears {space}"),
            }
        }
    }
}

/// A process ends and another one begins: only what was asked to be kept is there, as it was.
#[test]
fn what_is_kept_outlives_the_process() {
    let before = Shared::default();
    before.kept_by(Arc::new(|| {}));
    let body = r#"
        shared.keep("n"); shared.incr("n", 3); shared.incr("n");
        shared.set("j", [jid("A@b"), 1.5, 'c', #{jid: "x"}, ()]); shared.keep("j");
        shared.push("l", "one"); shared.keep("l"); shared.push("l", "two"); shared.push("l", "three", 2);
        shared.set("soon", 1, 10); shared.keep("soon");
        shared.set("late", 1); shared.keep("late"); shared.expire("late", 100);
        shared.set("not", 1);
        shared.set("no longer", 1); shared.keep("no longer"); shared.keep("no longer", false);
        shared.keep("gone"); shared.gone = 1; shared.remove("gone");
    "#;
    assert_eq!(said(&run_at(&hook(body).sharing(&before), &mut Memory::default(), 1000)), "");
    let entries = written(&before);
    let names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["j", "l", "late", "n", "soon"]);

    let after = Shared::default();
    after.kept_by(Arc::new(|| {}));
    assert_eq!(after.restore(&entries), [""; 0]);
    assert!(after.take_dirty(9).is_empty(), "what is restored is written already");
    let reads = r#"log(`${shared.n} ${shared.j} ${shared.list("l")} ${shared.late} ${shared.contains("soon")} ${shared.contains("not")}`)"#;
    let says = r#"4 [jid("a@b"), 1.5, c, #{"jid": "x"}, ()] ["two", "three"] 1 "#;
    let at = |seconds| said(&run_at(&hook(reads).sharing(&after), &mut Memory::default(), seconds));
    assert_eq!(at(1009), format!("{says}true false"));
    assert_eq!(at(1010), format!("{says}false false"));
    // They are kept still, without being asked again.
    let more =
        hook(r#"shared.incr("n"); shared.push("l", "four"); shared.remove("j"); let oldest = shared.take("l");"#);
    assert_eq!(said(&run_at(&more.sharing(&after), &mut Memory::default(), 1101)), "");
    assert_eq!(
        said(&run_at(&hook(r#"log(`${shared.late == ()}`)"#).sharing(&after), &mut Memory::default(), 1101)),
        "true"
    );
    let changes = after.take_dirty(99);
    let told = |change: &Change| match change {
        Change::Put(_, name, value) => format!("{name}={}", String::from_utf8_lossy(value)),
        Change::Delete(_, name) => format!("{name} gone"),
        Change::Clear(_) => "clear".to_owned(),
    };
    let told: Vec<_> = changes.iter().map(told).collect();
    assert_eq!(told, ["j gone", r#"l={"list":["three","four"]}"#, "late gone", r#"n={"value":5}"#, "soon gone"]);
}

#[test]
fn what_cannot_be_read_back_is_told_and_harms_nobody() {
    let entry = |name: &str, value: &str| Entry {
        space: "shared".to_owned(),
        name: name.to_owned(),
        value: value.to_owned().into(),
    };
    let shared = Shared::default();
    let mut other = entry("other", "{\"value\":1}");
    other.space = "vcard-temp".to_owned();
    let complaints = shared.restore(&[
        entry("a", "{\"value\":1}"),
        entry("b", "nonsense"),
        entry(&"k".repeat(5000), "{\"value\":1}"),
        entry("big", &format!("{{\"value\":\"{}\"}}", "x".repeat(70_000))),
        other,
    ]);
    assert_eq!(complaints.len(), 3, "{complaints:?}");
    assert!(complaints[0].starts_with("the kept value of shared[\"b\"] cannot be put back: it is not JSON"));
    assert!(complaints[1].contains("a key of shared may have") && complaints[1].len() < 300, "{}", complaints[1]);
    assert!(complaints[2].contains("over the limit of size"), "{}", complaints[2]);
    let reads = hook("log(`${shared.a} ${shared.b == ()} ${shared.other == ()}`)").sharing(&shared);
    assert_eq!(said(&run_at(&reads, &mut Memory::default(), 1)), "1 true true");
}

#[test]
fn which_scripts_keep() {
    let table = [
        ("shared.keep(\"a\");", true),
        ("log(`${shared.keep(\"a\")}`);", true),
        ("let s = shared; keep(s, \"a\");", true),
        ("shared.set(\"keep\", 1); /* shared.keep(\"a\") */", false),
        ("shared.set(\"a\", 1);", false),
        ("let keep = 1; log(keep);", false),
    ];
    for (body, keeps) in table {
        assert_eq!(hook(body).keeps(), keeps, "{body}");
    }
    assert!(!ScriptSet::default().keeps());
    let folder = folder(&[("a.rhai", "fn on_iq(stanza) {}"), ("b.rhai", "fn on_iq(stanza) { shared.keep(\"a\") }")]);
    let paths: Vec<PathBuf> = ["a.rhai", "b.rhai"].map(|name| folder.path().join(name)).into();
    assert!(ScriptSet::load(&paths, ScriptLimits::default()).is_ok_and(|set| set.keeps()));
}

/// Nobody writes what the shadow scripts ask to be kept.
#[test]
fn a_shadow_keeps_nothing() {
    let folder = folder(&[("a.rhai", "fn on_message(stanza) { shared.keep(\"n\"); log(`${shared.incr(\"n\")}`) }")]);
    let path = folder.path().join("iqtap.toml");
    let config = Config::from_text("shadow = [\"a.rhai\"]", &path).unwrap_or_else(|why| panic!("{why}"));
    config.shared.kept_by(Arc::new(|| panic!("nothing was asked to be kept")));
    let policy = config.policy().unwrap_or_else(|why| panic!("{why}"));
    assert!(policy.shadow.keeps() && !policy.scripts.keeps());
    for expected in ["1", "2"] {
        assert_eq!(said(&run_at(&policy.shadow, &mut Memory::default(), 1)), expected);
    }
    assert!(config.shared.take_dirty(9).is_empty() && config.shadow_shared.take_dirty(9).is_empty());
}

#[test]
fn a_configuration_shares_one_store_among_its_policies() {
    let folder = folder(&[("a.rhai", "fn on_message(stanza) { log(`${shared.incr(\"n\")}`) }")]);
    let path = folder.path().join("iqtap.toml");
    let config = Config::from_text("script = [\"a.rhai\"]", &path).unwrap_or_else(|why| panic!("{why}"));
    for expected in ["1", "2"] {
        let policy = config.policy().unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(said(&run_at(&policy.scripts, &mut Memory::default(), 1)), expected);
    }
}

#[test]
fn what_a_failed_hook_has_shared_stays() {
    let set = hook("let n = shared.incr(\"n\"); if n == 1 { throw \"no\"; } log(`${n}`)");
    assert!(run_at(&set, &mut Memory::default(), 1).failed);
    assert_eq!(said(&run_at(&set, &mut Memory::default(), 1)), "2");
}

#[test]
fn sessions_on_many_threads_count_right() {
    let asks = hook("log(`${shared.get(\"n\")}`)");
    let shared = Shared::default();
    let (adds, asks) = (hook("shared.incr(\"n\");").sharing(&shared), asks.sharing(&shared));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..100).for_each(|_| drop(run_at(&adds, &mut Memory::default(), 1))));
        }
    });
    assert_eq!(said(&run_at(&asks, &mut Memory::default(), 1)), "400");
}

#[test]
fn lists_are_read_with_the_script() {
    let folder = folder(&[
        (
            "blocked.txt",
            "# who\n\n  Spam@Example.NET  \nevil.example\r\nromeo@example.net/orchard\nplain words\nevil.example\n",
        ),
        ("none.txt", "# nobody\n"),
        ("marked.txt", "\u{feff}First words\r\nlast words"),
    ]);
    let table = [
        ("list(\"marked.txt\").contains(\"First words\") && list(\"marked.txt\").contains(\"last words\")", "true"),
        ("BLOCKED.len()", "4"),
        ("BLOCKED.contains(\"Spam@Example.NET\")", "true"),
        ("BLOCKED.contains(\"spam@example.net\")", "true"),
        ("BLOCKED.contains(jid(\"SPAM@example.net\"))", "true"),
        ("BLOCKED.contains(\"SPAM@example.net\")", "true"),
        ("BLOCKED.contains(\"spam@example.net/phone\")", "false"),
        ("BLOCKED.contains(\"plain words\")", "true"),
        ("BLOCKED.contains(\"# who\") || BLOCKED.contains(\"\") || BLOCKED.contains(())", "false"),
        ("\"evil.example\" in BLOCKED", "true"),
        ("BLOCKED.covers(\"spam@example.net/phone\")", "true"),
        ("BLOCKED.covers(\"any@evil.example/x\")", "true"),
        ("BLOCKED.covers(\"romeo@example.net/orchard\") && !BLOCKED.covers(\"romeo@example.net\")", "true"),
        ("BLOCKED.covers(\"any@sub.evil.example\") || BLOCKED.covers(()) || BLOCKED.covers(\"@@\")", "false"),
        ("list(\"none.txt\").len()", "0"),
    ];
    for (expression, expected) in table {
        let text = format!("const BLOCKED = list(\"blocked.txt\");\nfn on_message(s) {{ log(`${{{expression}}}`) }}");
        let set = load_in(folder.path(), &text).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(said(&run_at(&set, &mut Memory::default(), 1)), expected, "{expression}");
    }
    let text = "fn on_message(s) { list(\"none.txt\"); list(\"blocked.txt\"); list(\"none.txt\"); }";
    let set = load_in(folder.path(), text).unwrap_or_else(|why| panic!("{why}"));
    let path = |name: &str| folder.path().join(name);
    assert_eq!(set.files(), ["test.rhai", "none.txt", "blocked.txt"].map(path));
}

#[test]
fn lists_that_are_not_there() {
    let folder = folder(&[("a.txt", "a\n")]);
    let missing = load_in(folder.path(), "// list(\"b.txt\")\nfn on_message(s) {\n  list(\"b.txt\");\n}");
    let missing = missing.err().unwrap_or_default();
    assert!(missing.contains("test.rhai:3:8: list(\"b.txt\"): ") && missing.contains("cannot be read"), "{missing}");
    let made = load_in(folder.path(), "fn on_message(s) { let name = \"a\"; list(name + \".txt\"); }");
    let said = said(&run_at(&made.unwrap_or_else(|why| panic!("{why}")), &mut Memory::default(), 1));
    assert!(said.contains("its name must stand in the script as it is"), "{said}");
}

#[test]
fn every_function_of_patterns() {
    let table = [
        ("\"abc\".matches(\"b\")", "true"),
        ("\"abc\".matches(\"^b\")", "false"),
        ("stanza.text(\"body\").find_match(`\\d+`)", "66"),
        ("\"abc\".find_match(\"x\") == ()", "true"),
        ("\"k=v\".captures(`(\\w)=(\\w)(z)?`)", r#"["k=v", "k", "v", ()]"#),
        ("\"abc\".captures(\"x\") == ()", "true"),
        ("\"a1b22\".replace_all(`(\\d+)`, \"<$1>\")", "a<1>b<22>"),
        ("\"abc\".replace_all(\"\", \"-\")", "-a-b-c-"),
        ("\"Straße\".matches(`(?i)^STRASSE|STRAßE$`)", "true"),
        ("\"abc\".matches(WORD)", "true"),
        ("\"a b\".replace_all(WORD, \"x\") + \"a b\".find_match(WORD) + \"a b\".captures(WORD)", "x xa[\"a\"]"),
        ("WORD", r"[a-z]+"),
    ];
    for (expression, expected) in table {
        let text = format!("const WORD = regex(`[a-z]+`);\nfn on_message(stanza) {{ log(`${{{expression}}}`) }}");
        assert_eq!(said(&run_at(&load(&text), &mut Memory::default(), 1)), expected, "{expression}");
    }
}

#[test]
fn patterns_that_are_refused() {
    let table = [
        ("\"a\".matches(\"(\")", "\"(\" is not a pattern: unclosed group"),
        ("\"a\".matches(`a{1000}{1000}`)", "becomes too large"),
        ("{ let p = \"a\"; p.pad(5000, \"a\"); \"a\".matches(p) }", "a pattern may have 4096 bytes"),
        ("{ let t = \"a\"; t.pad(60000, \"a\"); t.replace_all(\"a\", \"bb\") }", "over the limit of size"),
        ("{ let t = \"a\"; t.pad(60000, \"a\"); loop { t.matches(`(a*)*b`); } }", "it ran too long"),
        ("{ let i = 0; loop { i += 1; \"a\".matches(`a${i}`); } }", "it ran too long"),
    ];
    for (expression, expected) in table {
        let begun = Instant::now();
        let said = value(expression);
        assert!(said.contains(expected) && !said.contains('\n'), "{expression}: {said}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{expression} took {:?}", begun.elapsed());
    }
    let text = "const A = regex(\"[\");\nfn on_message(s) {}";
    let why = ScriptSet::from_text(Path::new("t.rhai"), text, ScriptLimits::default()).err();
    assert!(why.is_some_and(|why| why.line == 1 && why.message.contains("unclosed character class")));
}

/// However a pattern is made, a run's worth of it is over soon.
#[test]
fn no_pattern_takes_seconds() {
    let hard = ["(?:[ab]*a[ab]{300})*c", "(a?){200}a{200}b", r"\w{20}[^b]*\w{20}$", "(x+x+)+y", "(?:.*a){20}b"];
    for pattern in hard {
        let set = hook(&format!(
            "let t = \"abaabbxaba\"; for i in 0..9 {{ t += t; }} loop {{ t.matches(`{pattern}`); t.captures(`{pattern}`); }}"
        ));
        let begun = Instant::now();
        let said = said(&run_at(&set, &mut Memory::default(), 1));
        assert!(said.contains("it ran too long") || said.contains("becomes too large"), "{pattern}: {said}");
        assert!(begun.elapsed() < Duration::from_secs(4), "{pattern} took {:?}", begun.elapsed());
    }
}

#[test]
fn the_time_is_the_runs() {
    let table = [
        ("now()", "2026-03-29T00:30:00Z"),
        ("now().iso", "2026-03-29T00:30:00Z"),
        ("`${now().year} ${now().month} ${now().day}`", "2026 3 29"),
        ("`${now().hour} ${now().minute} ${now().second} ${now().weekday}`", "0 30 0 sun"),
        ("now().unix", "1774744200"),
        ("now(\"Europe/Berlin\").iso", "2026-03-29T01:30:00+01:00"),
        ("now(\"America/New_York\").weekday", "sat"),
        ("between(\"22:00\", \"06:00\")", "true"),
        ("between(\"00:30\", \"00:31\")", "true"),
        ("between(\"00:00\", \"00:30\")", "false"),
        ("between(\"06:00\", \"22:00\")", "false"),
        ("between(\"01:00\", \"02:00\", \"Europe/Berlin\")", "true"),
        ("between(\"00:29:59\", \"00:30:01\")", "true"),
    ];
    for (expression, expected) in table {
        assert_eq!(value(expression), expected, "{expression}");
    }
    assert_eq!(value_at("now(\"Europe/Berlin\").iso", NIGHT + 1800), "2026-03-29T03:00:00+02:00");
    let refused = [
        ("now(\"Mars/Olympus\")", "\"Mars/Olympus\" is not a time zone"),
        ("now().hours", "a time has no property hours: it has year, month"),
        ("between(\"6:00\", \"22:00\")", "is not a time of day"),
        ("between(\"24:00\", \"22:00\")", "is not a time of day"),
        ("between(\"22:00\", \"22:00\")", "not the same one twice"),
    ];
    for (expression, expected) in refused {
        let said = value(expression);
        assert!(said.contains(expected), "{expression}: {said}");
    }
    let early = ScriptSet::from_text(Path::new("t.rhai"), "const X = now();\nfn on_iq(s) {}", ScriptLimits::default());
    assert!(early.is_err_and(|why| why.message.contains("known only in a hook")));
}

#[test]
fn the_files_of_several_scripts() {
    let folder = folder(&[
        ("a.rhai", "const A = list(\"a.txt\");\nfn on_iq(s) {}"),
        ("b.rhai", "fn on_iq(s) {}"),
        ("a.txt", "a\n"),
    ]);
    let paths: Vec<PathBuf> = ["a.rhai", "b.rhai"].map(|name| folder.path().join(name)).into();
    let set = ScriptSet::load(&paths, ScriptLimits::default()).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(set.files(), ["a.rhai", "a.txt", "b.rhai"].map(|name| folder.path().join(name)));
}
