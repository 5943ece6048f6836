//! Scripts that try to hurt: what they may cost at most, in time, memory and stanzas, and that nobody else feels it.

#![expect(clippy::panic, reason = "a fixture that is not legal is a mistake in this file")]

use iqtap::script::{Event, Memory, Outcome, ScriptLimits, ScriptSet, Verdict, Watch};
use iqtap::xml::{Limits, Scanner, Step, View};
use iqtap::xmpp::{Facts, Kind, Side, Timestamp};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn facts() -> Facts<'static> {
    let facts = Facts::new(Timestamp(1), 7, Side::Client, "example.org", "192.0.2.1:50000");
    Facts { phase: iqtap::xmpp::Phase::Bound, ..facts.bound("juliet@example.org/balcony") }
}

fn script(text: &str, limits: ScriptLimits) -> ScriptSet {
    ScriptSet::from_text(Path::new("test.rhai"), text, limits).unwrap_or_else(|why| panic!("{why}\n{text}"))
}

fn run(set: &ScriptSet, memory: &mut Memory) -> Outcome {
    let header = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
    let stanza = b"<message to='romeo@example.net' id='m1'><body>hi</body></message>";
    let mut scanner = Scanner::new(Limits::AFTER_LOGIN);
    assert!(matches!(scanner.scan(header), Step::Item { .. }));
    assert!(matches!(scanner.scan(stanza), Step::Item { .. }));
    let view = View { bytes: stanza, head: scanner.head(), root: scanner.root() };
    set.run(Kind::Message, &view, None, &facts(), memory)
}

/// Runs a body; gives why it failed and how long it took.
fn fails(body: &str) -> (String, Duration) {
    let set = script(&format!("fn on_message(stanza, session) {{ {body} }}"), ScriptLimits::default());
    let begun = Instant::now();
    let outcome = run(&set, &mut Memory::default());
    let took = begun.elapsed();
    assert!(outcome.failed && outcome.errors.len() == 1, "{body}: {outcome:?}");
    assert!(outcome.sends.is_empty() && outcome.asks.is_empty(), "what fails has sent nothing: {body}");
    (outcome.errors.concat(), took)
}

/// Nobody looks at a clock here: operations and sizes alone must do.
#[test]
fn bombs_are_stopped_by_their_size() {
    let table = [
        ("let s = \"x\"; loop { s += s; }", "over the limit of size"),
        ("let s = \"x\"; s.pad(60000, \"a\"); s.replace(\"a\", s);", "over the limit of size"),
        ("let s = \"x\"; s.pad(60000, 'a'); s.replace('a', s);", "over the limit of size"),
        ("let s = \"x\"; s.pad(9223372036854775807, \"ab\");", "over the limit of size"),
        ("let s = \"x\"; s.pad(60000, '\u{20ac}');", "over the limit of size"),
        ("let a = [0]; loop { a += a; }", "over the limit of size"),
        ("let m = #{}; let n = 0; loop { m[`${n}`] = n; n += 1; }", "over the limit of operations"),
        ("let a = []; loop { a = [a, a]; }", "over the limit of size"),
        ("let m = #{}; loop { m = #{ a: m, b: m }; }", "over the limit of size"),
        ("let n = 0; loop { state[`${n}`] = \"0123456789\"; n += 1; }", "over the limit of size"),
        ("state.a = [1]; loop { let a = state.a; a.push(a); state.a = a; }", "over the limit of size"),
        ("let e = xml(\"<a xmlns='x'/>\"); loop { e.append(e); }", "over the limit of size"),
        ("loop { session.to_client(stanza); }", "one run of a hook may send 256 stanzas and 1048576 bytes"),
        ("for n in 0..1000000 { session.to_server(stanza); }", "one run of a hook may send"),
        ("loop { session.ask(\"<iq type='get'><x xmlns='x'/></iq>\", \"f\"); } } fn f() {", "may ask 16 requests"),
        ("loop { after(1, \"f\"); } } fn f() {", "may set 64 timers"),
        ("let n = 0; loop { tag(`t${n}`); n += 1; }", "may give 16 tags"),
        ("loop {}", "over the limit of operations"),
        ("for n in 0..9223372036854775807 { log(`${n}`); }", "over the limit of operations"),
        ("f(); } fn f() { f();", "over the limit of call depth"),
        ("f(0); } fn f(n) { if true { if true { [[[f(n + 1)]]] } }", "over the limit of call depth"),
        ("let f = |x| x; loop { f = Fn(\"on_message\"); f.call(stanza, session); }", "over the limit of call depth"),
    ];
    for (body, why) in table {
        let (error, took) = fails(body);
        assert!(error.contains(why), "{body}: {error}");
        assert!(took < Duration::from_secs(5), "{body} took {took:?}");
    }
}

/// Rhai does not look at the size of a map that grows by an index, so what bounds it is the operations times the longest text.
#[test]
fn the_most_memory_a_run_can_take() {
    let body = "let s = \"x\"; s.pad(65530, \"y\"); let m = #{}; let n = 0; loop { n += 1; m[n.to_string()] = s + n; }";
    let set = script(&format!("fn on_message(stanza) {{ {body} }}"), ScriptLimits::default());
    let mut memory = Memory::default();
    let _ = run(&set, &mut memory);
    let info = allocation_counter::measure(|| drop(run(&set, &mut memory)));
    assert!(info.bytes_max > 50 << 20, "this is no bomb: {info:?}");
    assert!(info.bytes_max < 600 << 20, "{info:?}");
    assert!(info.bytes_current < 1 << 20, "it is all given back: {info:?}");
}

#[test]
fn padding_and_replacing_give_what_they_always_gave() {
    let body = "let s = \"h\u{e9}\"; s.pad(5, \"ab\"); let t = \"aXbX\"; t.replace(\"X\", \"--\"); let u = \"a.a\"; u.replace('a', 'b'); \
                let v = \"\"; v.replace(\"\", \"x\"); let w = \"xy\"; w.pad(-3, 'z'); log(`${s} ${t} ${u} ${v} ${w}`);";
    let set = script(&format!("fn on_message(stanza) {{ {body} }}"), ScriptLimits::default());
    let outcome = run(&set, &mut Memory::default());
    assert_eq!(outcome.logs[0].text, "h\u{e9}aba a--b-- b.b  xy", "{outcome:?}");
}

/// Operations do not tell how long one of them takes: the watch does.
#[test]
fn who_takes_too_much_time_is_stopped() {
    let limits = ScriptLimits { operations: u64::MAX, millis: 100, ..ScriptLimits::default() };
    let set = script("fn on_message(stanza) { let s = \"x\"; s.pad(60000, 'y'); loop { s.to_upper(); } }", limits);
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            let mut watch = Watch::default();
            while !done.load(Ordering::SeqCst) {
                // It is told how much time has passed.
                watch.look(10);
                std::thread::yield_now();
            }
        });
        let begun = Instant::now();
        let outcome = run(&set, &mut Memory::default());
        done.store(true, Ordering::SeqCst);
        assert!(outcome.errors.concat().contains("over the limit of time"), "{outcome:?}");
        assert!(begun.elapsed() < Duration::from_secs(10), "took {:?}", begun.elapsed());
    });
}

/// The deepest that the configuration allows, on a stack as small as that of a worker thread.
#[test]
fn the_native_stack_holds_what_the_limits_allow() {
    let limits =
        ScriptLimits { call_depth: 128, expression_depth: 32, operations: 1_000_000, ..ScriptLimits::default() };
    let deep = |deep: usize| {
        let nested = format!("{}f(n + 1){}", "[".repeat(deep), "]".repeat(deep));
        let text = format!("fn on_message(stanza) {{ f(0) }} fn f(n) {{ {nested} }}");
        ScriptSet::from_text(Path::new("test.rhai"), &text, limits).ok()
    };
    let Some(set) = (4..40).rev().find_map(deep) else { panic!("nothing nests") };
    let worker = std::thread::Builder::new().stack_size(2 << 20).spawn(move || run(&set, &mut Memory::default()));
    let outcome = worker.unwrap().join().unwrap();
    assert!(outcome.errors.concat().contains("over the limit of call depth"), "{outcome:?}");
}

#[test]
fn errors_in_every_hook_are_told_once_counted_and_harmless() {
    let text = "fn on_message(stanza) { throw 1 } fn on_presence(stanza) { throw 2 }\nfn on_iq(stanza) { throw 3 }
        fn on_answer(request, answer) { throw 4 }\nfn on_open() { throw 5 }\nfn on_features(features) { throw 6 }
        fn on_bind() { throw 7 }\nfn on_timeout(request) { throw 8 }\nfn on_close() { throw 9 }\nfn on_load() { throw 10 }";
    let set = script(text, ScriptLimits { failures: 0, ..ScriptLimits::default() });
    let mut memory = Memory::default();
    let outcome = run(&set, &mut memory);
    assert_eq!(outcome.errors.len(), 2, "on_load's and on_message's: {outcome:?}");
    for event in [Event::Open, Event::Bind, Event::Close("over")] {
        let outcome = set.event(event, &facts(), &mut memory);
        assert!(outcome.failed && outcome.errors.len() == 1, "{event:?}: {outcome:?}");
    }
    for _ in 0..1000 {
        let outcome = run(&set, &mut memory);
        assert_eq!((outcome.verdict, outcome.failed, outcome.errors.len()), (Verdict::Pass, true, 0));
    }
    let counts = memory.take_counts();
    let message = counts.iter().find(|count| count.hook == "on_message").unwrap_or_else(|| panic!("{counts:?}"));
    assert_eq!((message.runs, message.errors, message.skipped), (1001, 1001, 0));
}

#[test]
fn a_hook_that_fails_again_and_again_is_suspended_and_tried_again() {
    let set = script("fn on_message(stanza) { throw \"x\" }", ScriptLimits { failures: 3, ..ScriptLimits::default() });
    let mut memory = Memory::default();
    let told: Vec<usize> = (0..6).map(|_| run(&set, &mut memory).errors.len()).collect();
    assert_eq!(told, [1, 0, 1, 0, 0, 0], "the error once, and that it is suspended");
    let counts = memory.take_counts();
    assert_eq!((counts[0].runs, counts[0].errors, counts[0].skipped), (3, 3, 3));
}

#[test]
fn what_cannot_be_kept_is_refused() {
    for (value, why) in [
        ("stanza", "keep its text, as in to_xml()"),
        ("xml(\"<a xmlns='x'/>\")", "keep its text"),
        ("session", "a value of type Session cannot be kept"),
        ("[#{ deep: stanza }]", "cannot be kept"),
        ("Fn(\"f\")", "cannot be kept"),
    ] {
        let (error, _) = fails(&format!("state.x = {value};"));
        assert!(error.contains(why), "{value}: {error}");
    }
}
