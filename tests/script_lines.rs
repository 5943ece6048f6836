//! Scripts without a file: what they do, in which order, and how their errors are told in the user's own text.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

use iqtap::script::{Deed, Filter, Memory, OneLiner, Outcome, ScriptLimits, ScriptSet, Verdict};
use iqtap::xml::{Limits, Scanner, Step, View};
use iqtap::xmpp::{Condition, Facts, Kind, Side, Timestamp};

fn line(deed: Deed, text: &str) -> OneLiner {
    OneLiner { deed, text: text.to_owned(), line: 0 }
}

fn set(lines: &[OneLiner]) -> Result<ScriptSet, String> {
    let mut set = ScriptSet::load(&[], ScriptLimits::default()).unwrap();
    lines.iter().try_for_each(|line| set.add_line(line))?;
    Ok(set)
}

fn scanned<R>(xml: &str, look: impl FnOnce(Kind, &View<'_>) -> R) -> R {
    let mut scanner = Scanner::new(Limits::AFTER_LOGIN);
    let open = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
    assert!(matches!(scanner.scan(open.as_bytes()), Step::Item { .. }));
    assert!(matches!(scanner.scan(xml.as_bytes()), Step::Item { .. }));
    let view = View { bytes: xml.as_bytes(), head: scanner.head(), root: scanner.root() };
    let kind = [Kind::Message, Kind::Presence, Kind::Iq].into_iter().find(|kind| kind.name() == view.name()).unwrap();
    look(kind, &view)
}

fn run(set: &ScriptSet, memory: &mut Memory, xml: &str) -> Outcome {
    let facts =
        Facts::new(Timestamp(1), 7, Side::Client, "example.org", "192.0.2.1:5000").bound("juliet@example.org/b");
    scanned(xml, |kind, view| set.run(kind, view, None, &facts, memory))
}

fn ran(lines: &[OneLiner], xml: &str) -> Outcome {
    run(&set(lines).unwrap(), &mut Memory::default(), xml)
}

const SUBSCRIBE: &str = "<presence to='romeo@example.net' type='subscribe'/>";
const VCARD: &str = "<iq type='set' id='v'><vCard xmlns='vcard-temp'/></iq>";
const CHAT: &str = "<message to='romeo@example.net' type='chat'><body>psst</body></message>";

#[test]
fn one_drops() {
    let drop = [line(Deed::Drop, r#"stanza.kind == "presence" && stanza.type == "subscribe""#)];
    let outcome = ran(&drop, SUBSCRIBE);
    assert_eq!((outcome.verdict, outcome.by.as_deref()), (Verdict::Drop, Some("--drop")));
    assert_eq!(ran(&drop, "<presence/>").verdict, Verdict::Pass);
    let session = [line(Deed::Drop, r#"session.domain == "example.org" // whoever it is"#)];
    assert_eq!(ran(&session, CHAT).verdict, Verdict::Drop);
}

/// What all sessions share is there too, in what is looked at and in what is done.
#[test]
fn one_counts_with_what_is_shared() {
    let text = "shared.throttle(session.bare, 0.1, 1)=policy-violation";
    let set =
        set(&[line(Deed::Reject, text), line(Deed::Modify, "true=stanza.id = `n${shared.incr(\"n\")}`")]).unwrap();
    let mut memory = Memory::default();
    let first = run(&set, &mut memory, CHAT);
    assert_eq!(first.element.unwrap().attr("id"), Some("n1"));
    assert!(matches!(run(&set, &mut memory, CHAT).verdict, Verdict::Reject(_)));
}

#[test]
fn one_rejects() {
    let reject = [line(Deed::Reject, r#"stanza.ns == "vcard-temp" && stanza.type == "set"=not-allowed"#)];
    let Verdict::Reject(error) = ran(&reject, VCARD).verdict else { panic!("passed") };
    assert_eq!(error.condition, Condition::NotAllowed);
    assert_eq!(ran(&reject, CHAT).verdict, Verdict::Pass);
}

#[test]
fn one_modifies() {
    let outcome = ran(&[line(Deed::Modify, r#"stanza.kind == "message"=stanza.set_text("body", "x")"#)], CHAT);
    assert_eq!((outcome.verdict, outcome.by.as_deref()), (Verdict::Pass, Some("--modify")));
    assert_eq!(outcome.element.unwrap().child("jabber:client", "body").unwrap().text(), "x");
    // What a statement gives is no verdict; what it returns is.
    let removed = ran(&[line(Deed::Modify, r#"true=stanza.remove("body")"#)], CHAT);
    assert_eq!((removed.errors, removed.element.is_some()), (Vec::new(), true));
    let returned = ran(&[line(Deed::Modify, r#"true=let s = 1.5; tag("late"); return hold(s)"#)], CHAT);
    assert_eq!((returned.verdict, returned.tags), (Verdict::Hold(1_500_000), vec!["late".to_owned()]));
}

#[test]
fn they_run_in_their_order_and_have_names_of_their_own() {
    let (modify, drop) = (r#"stanza.type == "chat"=stanza.type = "normal""#, r#"stanza.type == "chat""#);
    assert_eq!(ran(&[line(Deed::Modify, modify), line(Deed::Drop, drop)], CHAT).verdict, Verdict::Pass);
    assert_eq!(ran(&[line(Deed::Drop, drop), line(Deed::Modify, modify)], CHAT).verdict, Verdict::Drop);
    let second = ran(&[line(Deed::Drop, "false"), line(Deed::Modify, "false=1"), line(Deed::Drop, "true")], CHAT);
    assert_eq!(second.by.as_deref(), Some("--drop 2"));
    let of_a_file = OneLiner { line: 3, ..line(Deed::Drop, "true") };
    assert_eq!(ran(&[of_a_file], CHAT).by.as_deref(), Some("drop"));
}

#[test]
fn they_keep_state_and_are_counted() {
    let third = [line(Deed::Drop, "(state.n ?? 0) >= 2"), line(Deed::Modify, "true=state.n = (state.n ?? 0) + 1")];
    let mut memory = Memory::default();
    let set = set(&third).unwrap();
    for _ in 0..3 {
        assert_eq!(run(&set, &mut memory, CHAT).verdict, Verdict::Pass, "the state of one is not the other's");
    }
    let counts: Vec<_> = memory.take_counts().into_iter().map(|count| (count.script, count.hook, count.runs)).collect();
    assert_eq!(counts, [("--drop".to_owned(), "on_stanza", 3), ("--modify".to_owned(), "on_stanza", 3)]);
}

/// What cannot be loaded: the words of the complaint, which begin with the user's own text.
#[test]
fn what_is_wrong_is_told_in_the_users_own_text() {
    let cases = [
        (Deed::Drop, "stanza.kind == == \"x\"", "'stanza.kind == == \"x\"', column 16 (at == \"x\"): "),
        (Deed::Drop, "stanza.kind == ", "'stanza.kind == ', column 16 (at its end): "),
        (Deed::Drop, "stanz.kind == 1", "'stanz.kind == 1', column 1 (at stanz.kind == 1): Undefined variable: stanz"),
        (Deed::Drop, "stanza.kind == iq", "Undefined variable: iq (a text stands in double quotes, \"iq\", and all"),
        (Deed::Drop, "stanza.kind = \"x\"", "Unexpected '=' (to compare, write ==)"),
        (Deed::Drop, "stanza.kind == 'xy'", "(a text stands in double quotes or backticks)"),
        (Deed::Drop, "a\n == == 1", "'a  == == 1', column 7 (at == 1): "),
        (Deed::Drop, "true) { } if (true", "'true) { } if (true', column 5 (at ) { } if (true): "),
        (Deed::Drop, "true /* ", "'true /* ': it goes on behind its end: a comment is not closed"),
        (Deed::Drop, "1", "'1', column 1 (at 1): Expecting a boolean expression"),
        (Deed::Drop, "\"é\" == == \"a long text that nobody reads\"", "column 8 (at == \"a long text that nob…): "),
        (Deed::Drop, " ", "an expression over stanza is missing"),
        (Deed::Reject, "stanza.kind == \"x\"", "names no condition: --reject takes EXPR=condition"),
        (Deed::Reject, "true=not-alowed", "\"not-alowed\" is not an error condition"),
        (Deed::Reject, "=gone", "an expression over stanza is missing"),
        (Deed::Reject, "1 +=gone", "'1 +=gone', column 4 (at =gone): "),
        (Deed::Modify, "stanza.kind == \"x\"", "says nothing to be done: --modify takes EXPR=statement"),
        (Deed::Modify, "true=stanza.set_text(", "'true=stanza.set_text(', column 22 (at its end): "),
        (Deed::Modify, "true=stanza.to = tto", "'true=stanza.to = tto', column 18 (at tto): Undefined variable: tto"),
        (Deed::Modify, "true=} fn f() {", "column 6 (at } fn f() {): "),
        (Deed::Modify, "true=fn f() {}", "functions are for scripts in files"),
        (Deed::Modify, "true= ", "a statement is missing"),
        (Deed::Modify, "tru = 1=stanza.to = 1", "column 7 (at 1=stanza.to = 1): Cannot assign"),
    ];
    for (deed, text, words) in cases {
        let why = set(&[line(deed, text)]).unwrap_err();
        assert!(why.contains(words), "{deed:?} {text}: {why}\ndoes not say {words}");
        assert!(!why.contains('\n') && !why.contains("on_stanza"), "{why}");
    }
}

#[test]
fn what_fails_while_it_runs_is_told_likewise() {
    let cases = [
        (
            Deed::Drop,
            "stanza.tpye == 1",
            "--drop: 'stanza.tpye == 1', column 7 (at .tpye == 1): a stanza has no property tpye",
        ),
        (Deed::Drop, "stanza.kind", "--drop: 'stanza.kind', column 7 (at .kind): Data type incorrect: string"),
        (
            Deed::Reject,
            "nothing(stanza)=gone",
            "--reject: 'nothing(stanza)=gone', column 1 (at nothing(stanza)=gone): ",
        ),
        (
            Deed::Modify,
            "true=\nstanza.set_text(1)",
            "--modify: 'true= stanza.set_text(1)', column 14 (at set_text(1)): ",
        ),
        (Deed::Modify, "true=return 1.5", "--modify: 'true=return 1.5': a hook returns pass()"),
        (Deed::Modify, "true=session.to_client(`<message/>`); throw \"no\"", "(at throw \"no\"): no"),
    ];
    for (deed, text, words) in cases {
        let outcome = ran(&[line(deed, text)], CHAT);
        assert!(outcome.failed && outcome.sends.is_empty() && outcome.errors.len() == 1, "{outcome:?}");
        let told = &outcome.errors[0];
        assert!(told.contains(words), "{told}\ndoes not say {words}");
        assert!(!told.contains("on_stanza") && !told.contains('\n'), "{told}");
    }
}

#[test]
fn one_that_fails_again_and_again_is_suspended() {
    let set = set(&[line(Deed::Drop, "stanza.tpye == 1")]).unwrap();
    let mut memory = Memory::default();
    let told: Vec<String> = (0..12).flat_map(|_| run(&set, &mut memory, CHAT).errors).collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[1], "--drop 'stanza.tpye == 1': it has failed 10 times in a row and is not called for 60 s");
}

fn shows(text: &str, xml: &str) -> Result<bool, String> {
    let filter = Filter::new(text, ScriptLimits::default()).unwrap();
    scanned(xml, |kind, view| filter.shows(kind, view, Side::Server))
}

#[test]
fn a_filter_says_yes_or_no() {
    assert_eq!(shows(r#"stanza.kind == "message" && stanza.direction == "s2c""#, CHAT), Ok(true));
    assert_eq!(shows(r#"stanza.text("body") != "psst""#, CHAT), Ok(false));
    let why = shows("stanza.tpye == 1", CHAT).unwrap_err();
    assert!(why.starts_with("--filter: 'stanza.tpye == 1', column 7 (at .tpye == 1): a stanza has no"), "{why}");
    let why = shows("stanza.kind", CHAT).unwrap_err();
    assert!(why.contains("gives a value of type string, not true or false"), "{why}");
    let why = Filter::new("stanza.kind == == 1", ScriptLimits::default()).unwrap_err();
    assert!(why.starts_with("'stanza.kind == == 1', column 16 (at == 1): "), "{why}");
    assert!(
        Filter::new("session.jid == 1", ScriptLimits::default())
            .unwrap_err()
            .ends_with("Undefined variable: session (a filter sees stanza only)")
    );
    let long = Filter::new("[1, 2].map(Fn(\"f\"))", ScriptLimits { operations: 100, ..ScriptLimits::default() });
    assert!(scanned(CHAT, |kind, view| long.unwrap().shows(kind, view, Side::Client)).is_err());
}
