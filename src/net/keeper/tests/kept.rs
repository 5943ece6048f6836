//! What scripts keep, and when it is written: real scripts, stores that tell what they are asked.

use super::super::kept::{CHANGES, PAUSE, WRITES};
use super::*;
use crate::keep::NOBODY;
use crate::script::{Memory, ScriptLimits, ScriptSet};
use crate::xml::{Limits, Scanner, Step, View};
use crate::xmpp::{Facts, Kind, Side, Timestamp};
use std::path::Path;
use std::sync::Mutex;
use tokio::time::sleep;

/// A script that does this with each message.
fn script(shared: &Scripts, body: &str) -> ScriptSet {
    let text = format!("fn on_message(stanza) {{ {body} }}");
    ScriptSet::from_text(Path::new("test.rhai"), &text, ScriptLimits::default()).unwrap().sharing(shared)
}

/// What it has logged of one message.
fn run(set: &ScriptSet) -> String {
    let (header, stanza) = (
        b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>",
        b"<message id='m1'/>",
    );
    let mut scanner = Scanner::new(Limits::AFTER_LOGIN);
    assert!(matches!(scanner.scan(header), Step::Item { .. }));
    assert!(matches!(scanner.scan(stanza), Step::Item { .. }));
    let view = View { bytes: stanza, head: scanner.head(), root: scanner.root() };
    let facts = Facts::new(Timestamp(1_000_000), 7, Side::Client, "x", "192.0.2.1:50000").bound("a@x/r");
    let outcome = set.run(Kind::Message, &view, None, &facts, &mut Memory::default());
    assert!(outcome.errors.is_empty(), "{:?}", outcome.errors);
    outcome.logs.iter().map(|line| line.text.clone()).collect()
}

fn does(shared: &Scripts, body: &str) -> String {
    run(&script(shared, body))
}

/// Says what it is asked and when; while it has a gate, it waits there before each batch.
struct Seen {
    inner: MemoryStore,
    gate: Option<Receiver<()>>,
    asked: Asked,
}

type Asked = Arc<Mutex<Vec<(Instant, Vec<Op>)>>>;

impl Store for Seen {
    fn run(&mut self, ops: &[Op]) -> Vec<Done> {
        let _ = self.gate.as_ref().map(Receiver::recv);
        self.asked.lock().unwrap().push((Instant::now(), ops.to_vec()));
        self.inner.run(ops)
    }
}

fn seen() -> (Seen, Asked) {
    let asked = Asked::default();
    (Seen { inner: MemoryStore::new(), gate: None, asked: Arc::clone(&asked) }, asked)
}

/// What was asked to be written: when, and how many changes each operation had.
fn writes(asked: &Asked) -> Vec<(Instant, Vec<usize>)> {
    let changes = |op: &Op| match op {
        Op::Write { account, changes, .. } => {
            assert_eq!(account, NOBODY);
            changes.len()
        }
        other => panic!("{other:?}"),
    };
    let all = asked.lock().unwrap();
    all.iter().skip(1).map(|(at, ops)| (*at, ops.iter().map(changes).collect())).collect()
}

/// What was written last under a key.
fn last(asked: &Asked, key: &str) -> Option<String> {
    let all = asked.lock().unwrap();
    let changes = all.iter().flat_map(|(_, ops)| ops).filter_map(|op| match op {
        Op::Write { changes, .. } => Some(changes),
        _ => None,
    });
    let put = changes.flatten().filter_map(|change| match change {
        Change::Put(_, name, value) if name == key => Some(String::from_utf8_lossy(value).into_owned()),
        _ => None,
    });
    put.last()
}

async fn until(mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < SOON, "this should have happened long ago");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn where_nothing_is_kept_nothing_is_written_and_nobody_hears_of_what_is() {
    let ((store, asked), shared) = (seen(), Scripts::default());
    let lab = Lab::keeping(store, &shared);
    let mut nobody = lab.lobby.join(NOBODY.to_owned(), 1).unwrap();
    does(
        &shared,
        "for i in 0..50 { shared.set(`${i}`, i); } shared.keep(\"none\"); let full = shared.throttle(\"a\", 1, 1);",
    );
    sleep(3 * PAUSE).await;
    let list = Op::List { account: NOBODY.to_owned(), spaces: vec!["shared".into()] };
    assert_eq!(asked.lock().unwrap().iter().flat_map(|(_, ops)| ops.clone()).collect::<Vec<_>>(), [list]);
    does(&shared, "shared.keep(\"5\")");
    until(|| writes(&asked).len() == 1).await;
    sleep(3 * PAUSE).await;
    does(&shared, "shared.set(\"5\", 55)");
    until(|| writes(&asked).len() == 2).await;
    assert!(lab.keeper.finish().await);
    assert_eq!(writes(&asked).len(), 2, "written already: the end has nothing to do");
    assert!(nobody.try_recv().is_err());
}

#[tokio::test]
async fn however_fast_it_changes_it_is_written_ten_times_a_second_and_in_the_end() {
    let ((store, asked), shared) = (seen(), Scripts::default());
    let lab = Lab::keeping(store, &shared);
    let count = script(&shared, "shared.keep(\"n\"); log(`${shared.incr(\"n\")}`)");
    let (begun, mut said) = (Instant::now(), String::new());
    while begun.elapsed() < 10 * PAUSE {
        said = run(&count);
        sleep(Duration::from_millis(1)).await;
    }
    let expected = format!("{{\"value\":{said}}}");
    until(|| last(&asked, "n").as_ref() == Some(&expected)).await;
    let times: Vec<Instant> = writes(&asked).into_iter().map(|(at, _)| at).collect();
    assert!(times.len() > 2, "{}", times.len());
    assert!(times.windows(2).all(|two| two[1] - two[0] >= PAUSE), "{times:?}");
    let said = run(&count);
    assert!(lab.keeper.finish().await);
    assert_eq!(last(&asked, "n"), Some(format!("{{\"value\":{said}}}")));
}

#[tokio::test]
async fn a_burst_is_written_in_bounded_batches() {
    let ((mut store, asked), shared) = (seen(), Scripts::default());
    let (let_go, gate) = channel();
    store.gate = Some(gate);
    let_go.send(()).unwrap(); // the list at the start
    let lab = Lab::keeping(store, &shared);
    let hundred = script(
        &shared,
        "let round = shared.incr(\"round\"); for i in 0..100 { let k = `${round} ${i}`; shared.set(k, i); shared.keep(k); }",
    );
    (0..100).for_each(|_| drop(run(&hundred))); // the store does not let go: nobody waits for it
    drop(let_go);
    let total = |asked: &Asked| writes(asked).iter().flat_map(|(_, ops)| ops.clone()).sum::<usize>();
    until(|| total(&asked) >= 10_000).await;
    assert_eq!(total(&asked), 10_000, "each once");
    let batches = writes(&asked);
    assert!(batches.len() <= 3, "{batches:?}");
    assert!(batches.iter().all(|(_, ops)| ops.len() <= WRITES && ops.iter().all(|n| *n <= CHANGES)), "{batches:?}");
    // Of large values, fewer at a time.
    does(
        &shared,
        "let x = \"x\"; x.pad(60000, \"x\"); for i in 0..300 { shared.set(`${1 + i / 100} ${i % 100}`, x); }",
    );
    let weights = || -> Vec<usize> {
        let all = asked.lock().unwrap();
        all.iter().skip(1 + batches.len()).map(|(_, ops)| ops.iter().map(weight).sum()).collect()
    };
    until(|| weights().iter().sum::<usize>() >= 300 * 60_000).await;
    assert!(weights().iter().all(|bytes| *bytes < BATCH_BYTES + (2 << 20)), "{:?}", weights());
    assert!(lab.keeper.finish().await);
}

#[tokio::test]
async fn what_a_failing_store_does_not_take_waits_and_is_written_when_it_works() {
    let why = Arc::new(Mutex::new(Some("the disk is full")));
    let shared = Scripts::default();
    let mut lab = Lab::keeping(Failing { inner: MemoryStore::new(), why: Arc::clone(&why) }, &shared);
    let mut one = lab.lobby.hear(1).unwrap();
    let count = script(&shared, "shared.keep(\"n\"); shared.incr(\"n\")");
    does(&shared, "shared.set(\"once\", 1); shared.keep(\"once\")");
    assert_eq!(lab.news().await, News::StoreFailed { why: "the disk is full".to_owned() });
    for _ in 0..25 {
        run(&count);
        sleep(PAUSE).await;
    }
    assert!(lab.news.try_recv().is_err(), "told once, though it was tried again");
    *why.lock().unwrap() = None;
    assert_eq!(lab.news().await, News::StoreWorks, "without being called again");
    lab.ask(1, 1, Op::List { account: NOBODY.to_owned(), spaces: vec!["shared".into()] });
    assert_eq!(told(&mut one).await, "1 done n once");
    assert!(lab.keeper.finish().await);
    assert!(lab.news.try_recv().is_err());
}

#[tokio::test]
async fn what_was_kept_comes_back_though_the_store_fails_at_first() {
    let why = Arc::new(Mutex::new(Some("bug")));
    let mut inner = MemoryStore::new();
    let put = |name: &str| Change::Put("shared".into(), name.to_owned(), "{\"value\":70}".into());
    inner.run(&[Op::Write { account: NOBODY.to_owned(), changes: vec![put("n"), put("old")], most: 9 }]);
    let shared = Scripts::default();
    let mut lab = Lab::keeping(Failing { inner, why: Arc::clone(&why) }, &shared);
    assert!(matches!(lab.news().await, News::StoreFailed { .. }));
    assert_eq!(does(&shared, "shared.n = 5; log(`${shared.contains(\"old\")}`)"), "false");
    *why.lock().unwrap() = None;
    assert_eq!(lab.news().await, News::StoreWorks);
    let look = script(&shared, "log(`${shared.n} ${shared.old}`)");
    until(|| run(&look) == "5 70").await; // what is newer stays
    assert!(lab.keeper.finish().await);
}

#[tokio::test]
async fn what_waits_is_written_also_if_nobody_says_that_it_ends() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("s.redb");
    let shared = Scripts::default();
    let lab = Lab::keeping(FileStore::open(&path).unwrap(), &shared);
    let count = script(&shared, "shared.keep(\"n\"); shared.incr(\"n\")");
    (0..20).for_each(|_| drop(run(&count)));
    drop(lab);
    let mut opened = None;
    until(|| {
        opened = FileStore::open_existing(&path).ok();
        opened.is_some()
    })
    .await;
    let get = Op::Get { account: NOBODY.to_owned(), space: "shared".into(), name: "n".to_owned() };
    let entries = opened.unwrap().run(&[get]).remove(0).unwrap();
    assert_eq!(entries[0].value, "{\"value\":20}");
    run(&count); // it calls nobody
}
