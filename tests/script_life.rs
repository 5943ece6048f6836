//! What a session's scripts keep over a reload: state, timers, and who is told of it.

#![expect(clippy::panic, reason = "a fixture that is not legal is a mistake in this file")]

use iqtap::script::{Memory, Outcome, ScriptLimits, ScriptSet};
use iqtap::xml::{Limits, Scanner, Step, View};
use iqtap::xmpp::{Facts, Kind, Phase, Side, Timestamp};
use std::path::Path;

fn script(text: &str) -> ScriptSet {
    ScriptSet::from_text(Path::new("test.rhai"), text, ScriptLimits::default()).unwrap_or_else(|why| panic!("{why}"))
}

fn at(seconds: u64) -> Facts<'static> {
    let facts = Facts::new(Timestamp(seconds * 1_000_000), 7, Side::Client, "example.org", "192.0.2.1:50000");
    Facts { phase: Phase::Bound, ..facts.bound("juliet@example.org/balcony") }
}

fn run(set: &ScriptSet, memory: &mut Memory, seconds: u64) -> Outcome {
    let header = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
    let stanza = b"<message to='romeo@example.net' id='m1'><body>hi</body></message>";
    let mut scanner = Scanner::new(Limits::AFTER_LOGIN);
    assert!(matches!(scanner.scan(header), Step::Item { .. }));
    assert!(matches!(scanner.scan(stanza), Step::Item { .. }));
    let view = View { bytes: stanza, head: scanner.head(), root: scanner.root() };
    set.run(Kind::Message, &view, None, &at(seconds), memory)
}

fn logs(outcome: &Outcome) -> Vec<&str> {
    assert!(outcome.errors.is_empty(), "{outcome:?}");
    outcome.logs.iter().map(|line| line.text.as_str()).collect()
}

#[test]
fn state_survives_and_on_load_migrates_it_once() {
    let mut memory = Memory::default();
    let old =
        script("fn on_load(state) { log(`load ${state.n}`); } fn on_message(stanza) { state.n = (state.n ?? 0) + 1; }");
    assert_eq!(logs(&run(&old, &mut memory, 1)), ["load "]);
    assert!(logs(&run(&old, &mut memory, 2)).is_empty(), "it is loaded once");
    let same =
        script("fn on_load(state) { log(`load ${state.n}`); } fn on_message(stanza) { state.n = (state.n ?? 0) + 1; }");
    assert!(logs(&run(&same, &mut memory, 3)).is_empty(), "the same text is no news");
    let new = script(
        "fn on_load(state) { log(`was ${state.n}`); state.count = #{ n: state.remove(\"n\") }; }
         fn on_message(stanza) { state.count.n += 10; log(`${state.count.n} ${state.contains(\"n\")} ${state.keys()}`); }",
    );
    assert_eq!(logs(&new.loaded(&at(4), &mut memory)), ["was 3"], "told at once, not only with the next stanza");
    assert_eq!(logs(&run(&new, &mut memory, 5)), ["13 false [\"count\"]"]);
}

#[test]
fn an_error_in_on_load_changes_nothing() {
    let mut memory = Memory::default();
    let _ = run(&script("fn on_message(stanza) { state.n = 1; }"), &mut memory, 1);
    let broken =
        script("fn on_load(state) { state.n = 2; throw \"no\"; } fn on_message(stanza) { log(`${state.n}`); }");
    let outcome = broken.loaded(&at(2), &mut memory);
    assert!(outcome.failed && outcome.errors.concat().contains("test.rhai:1:34: no"), "{outcome:?}");
    assert_eq!(logs(&run(&broken, &mut memory, 3)), ["1"]);
}

#[test]
fn timers_survive_as_long_as_their_function_does() {
    let mut memory = Memory::default();
    let old = script(
        "fn on_message(stanza) { after(10, \"stays\", stanza.id); every(10, \"goes\"); } fn stays(s, id) { log(\"old\") } fn goes() {}",
    );
    let _ = run(&old, &mut memory, 1);
    assert_eq!(memory.deadline(), Some(Timestamp(11_000_000)));
    let new = script("fn on_message(stanza) {} fn stays(s, id) { log(`new ${id}`) }");
    let outcome = new.loaded(&at(2), &mut memory);
    assert_eq!(logs(&outcome), ["its timer for goes ends: that function is gone"]);
    assert!(new.due(&at(10), &mut memory).is_none());
    let outcome = new.due(&at(11), &mut memory).unwrap_or_else(|| panic!("it is due"));
    assert_eq!(logs(&outcome), ["new m1"]);
    assert!(new.due(&at(100), &mut memory).is_none() && memory.deadline().is_none());
}

#[test]
fn a_timer_that_is_late_is_not_called_for_what_it_missed() {
    let mut memory = Memory::default();
    let set = script("fn on_message(stanza) { every(1, \"tick\"); } fn tick() { log(\"tick\"); }");
    let _ = run(&set, &mut memory, 0);
    assert!(set.due(&at(100), &mut memory).is_some());
    assert!(set.due(&at(100), &mut memory).is_none());
    assert_eq!(memory.deadline(), Some(Timestamp(101_000_000)));
}

#[test]
fn another_script_of_the_same_set_has_a_state_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let text = "fn on_message(stanza) { state.n = (state.n ?? 0) + 1; log(`${state.n}`); }";
    let paths: Vec<_> = ["a.rhai", "b.rhai"].map(|name| folder.path().join(name)).into();
    paths.iter().for_each(|path| std::fs::write(path, text).unwrap());
    let load = |paths: &[_]| ScriptSet::load(paths, ScriptLimits::default()).unwrap_or_else(|why| panic!("{why}"));
    let mut memory = Memory::default();
    assert_eq!(logs(&run(&load(&paths[..1]), &mut memory, 1)), ["1"]);
    assert_eq!(logs(&run(&load(&paths), &mut memory, 2)), ["2", "1"]);
    let turned: Vec<_> = paths.iter().rev().cloned().collect();
    assert_eq!(logs(&run(&load(&turned), &mut memory, 3)), ["2", "3"]);
    assert_eq!(logs(&run(&load(&paths[1..]), &mut memory, 4)), ["3"]);
    assert_eq!(logs(&run(&load(&paths), &mut memory, 5)), ["1", "4"], "who was taken out begins anew");
}

#[test]
fn tags_and_what_is_counted() {
    let set = script("fn on_message(stanza) { tag(\"seen\"); tag(\"seen\"); tag(\"a/b\"); }").timed_by(|| 5);
    let mut memory = Memory::default();
    assert_eq!(run(&set, &mut memory, 1).tags, ["seen", "a/b"]);
    let counts = memory.take_counts();
    assert_eq!((counts[0].hook, counts[0].runs, counts[0].script.as_str()), ("on_message", 1, "test.rhai"));
    assert!(memory.take_counts().is_empty());
}
