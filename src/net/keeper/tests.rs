//! The thread and the lobby, with mailboxes that nobody drives a session for.

mod kept;

use super::super::clock::Clock;
use super::super::lobby::{Mailbox, Word};
use super::super::memory::Memory;
use super::*;
use crate::keep::{Entry, Space};
use crate::policy::VaultLimits;
use std::time::Instant;

impl House for Arc<Lobby> {
    fn with_lobby(&self, deed: &mut dyn FnMut(&Lobby)) {
        deed(self);
    }
}

struct Lab {
    lobby: Arc<Lobby>,
    keeper: Keeper,
    news: mpsc::Receiver<News>,
}

impl Lab {
    fn new(store: impl Store + 'static) -> Self {
        Self::with(store, None)
    }

    /// Also what scripts keep.
    fn keeping(store: impl Store + 'static, scripts: &Scripts) -> Self {
        Self::with(store, Some(scripts.clone()))
    }

    fn with(store: impl Store + 'static, scripts: Option<Scripts>) -> Self {
        let lobby = Arc::new(Lobby::new(VaultLimits::default(), Clock::start(), Arc::new(Memory::new(0))));
        let (keeper, queue) = Keeper::new();
        let (teller, news) = mpsc::channel(16);
        start(queue, Box::new(store), Arc::clone(&lobby), teller, scripts).unwrap();
        Self { lobby, keeper, news }
    }

    fn ask(&self, session: u64, number: u64, op: Op) {
        self.keeper.ask(&self.lobby, session, number, op);
    }

    async fn news(&mut self) -> News {
        timeout(SOON, self.news.recv()).await.unwrap().unwrap()
    }
}

const SOON: Duration = Duration::from_secs(20);

fn write(account: &str, name: &str, most: usize) -> Op {
    let change = Change::Put(Space::Borrowed("s"), name.to_owned(), name.to_owned().into());
    Op::Write { account: account.to_owned(), changes: vec![change], most }
}

fn list(account: &str) -> Op {
    Op::List { account: account.to_owned(), spaces: vec!["s".into()] }
}

/// The next word, as text.
async fn told(mailbox: &mut Mailbox) -> String {
    match timeout(SOON, mailbox.recv()).await.unwrap() {
        Some(Word::Stored(number, Ok(entries))) => {
            let names: Vec<_> = entries.into_iter().map(|entry: Entry| entry.name).collect();
            format!("{number} done {}", names.join(" ")).trim_end().to_owned()
        }
        Some(Word::Stored(number, Err(trouble))) => format!("{number} {trouble}"),
        Some(Word::Changed(changes)) => match &changes[..] {
            [Change::Put(_, name, _)] => format!("changed {name}"),
            other => format!("{other:?}"),
        },
        Some(_) => "another word".to_owned(),
        None => "the end".to_owned(),
    }
}

async fn all_told<const N: usize>(mailbox: &mut Mailbox) -> [String; N] {
    let mut all = [const { String::new() }; N];
    for text in &mut all {
        *text = told(mailbox).await;
    }
    all
}

/// A store that waits to be let go before each batch, and says how long it was.
struct Gate {
    inner: MemoryStore,
    go: Receiver<()>,
    batches: Sender<usize>,
}

impl Store for Gate {
    fn run(&mut self, ops: &[Op]) -> Vec<Done> {
        let _ = self.go.recv();
        let _ = self.batches.send(ops.len());
        self.inner.run(ops)
    }
}

fn gate() -> (Gate, Sender<()>, Receiver<usize>) {
    let ((let_go, go), (batches, seen)) = (channel(), channel());
    (Gate { inner: MemoryStore::new(), go, batches }, let_go, seen)
}

#[tokio::test]
async fn the_answer_comes_to_who_asked_and_then_the_change_to_all_who_have_joined_in_one_order() {
    let lab = Lab::new(MemoryStore::new());
    let mut one = lab.lobby.join("a@x".to_owned(), 1).unwrap();
    let mut two = lab.lobby.hear(2).unwrap();
    let mut three = lab.lobby.join("b@x".to_owned(), 3).unwrap();
    assert!(lab.lobby.join("a@x".to_owned(), 3).is_none(), "it has its mailbox already");
    assert!(lab.lobby.hear(1).is_none());
    lab.ask(1, 1, write("a@x", "p", 2));
    lab.ask(2, 1, write("a@x", "q", 2));
    lab.ask(2, 2, write("a@x", "r", 2));
    lab.ask(3, 1, list("a@x"));
    lab.ask(1, 2, write("b@x", "s", 2));
    lab.ask(2, 3, Op::Write { account: "a@x".to_owned(), changes: vec![], most: 0 });
    lab.ask(1, 3, list("a@x"));
    assert_eq!(all_told(&mut one).await, ["1 done", "changed p", "changed q", "2 done", "3 done p q"]);
    let full = "2 more than 2 entries are not kept";
    assert_eq!(all_told(&mut two).await, ["1 done", full, "3 done"]);
    // It has left b@x, so it does not hear of what 1 has written there.
    lab.ask(3, 2, list("b@x"));
    assert_eq!(all_told(&mut three).await, ["changed p", "changed q", "1 done p q", "2 done s"]);
}

#[tokio::test]
async fn what_a_session_has_asked_is_done_though_it_is_over() {
    let (store, let_go, _) = gate();
    let lab = Lab::new(store);
    let mut one = lab.lobby.join("a@x".to_owned(), 1).unwrap();
    let mut two = lab.lobby.join("a@x".to_owned(), 2).unwrap();
    lab.ask(1, 1, write("a@x", "p", 9));
    lab.ask(1, 2, write("a@x", "q", 9));
    lab.lobby.release(1);
    drop(let_go);
    assert_eq!(all_told(&mut two).await, ["changed p", "changed q"]);
    assert_eq!(told(&mut one).await, "the end");
    // Its number and its account are free again.
    let mut again = lab.lobby.hear(1).unwrap();
    lab.ask(2, 1, write("a@x", "r", 9));
    lab.ask(1, 1, list("a@x"));
    assert_eq!(told(&mut again).await, "1 done p q r", "it has not joined");
}

#[tokio::test]
async fn what_waits_is_one_batch_but_no_endless_one() {
    let (store, let_go, batches) = gate();
    let lab = Lab::new(store);
    let mut one = lab.lobby.hear(1).unwrap();
    lab.ask(1, 0, list("a@x"));
    let_go.send(()).unwrap();
    assert_eq!(told(&mut one).await, "0 done");
    lab.ask(1, 0, list("a@x"));
    tokio::time::sleep(Duration::from_millis(100)).await; // it waits at the gate, alone
    for number in 1..=600 {
        lab.ask(1, number, write("a@x", &number.to_string(), 1000));
    }
    let large = |name: &str| Change::Put("l".into(), name.to_owned(), vec![0; 1 << 20].into());
    for number in 601..=610 {
        let changes = vec![large("1"), large("2")];
        lab.ask(1, number, Op::Write { account: "a@x".to_owned(), changes, most: 9 });
    }
    drop(let_go);
    for number in 0..=610 {
        assert_eq!(told(&mut one).await, format!("{number} done"));
    }
    let sizes: Vec<usize> = batches.try_iter().collect();
    assert_eq!(sizes, [1, 1, BATCH_OPS, BATCH_OPS, 88 + 2, 2, 2, 2, 2]);
}

/// Fails as it is told to.
struct Failing {
    inner: MemoryStore,
    why: Arc<std::sync::Mutex<Option<&'static str>>>,
}

impl Store for Failing {
    fn run(&mut self, ops: &[Op]) -> Vec<Done> {
        let why = *self.why.lock().unwrap();
        assert_ne!(why, Some("bug"), "a bug in the store");
        match why {
            // As a disk that is full: what is there can still be read.
            Some(why) => {
                let fails = |op: &Op| matches!(op, Op::Write { .. });
                let one = |op: &Op| if fails(op) { Err(Trouble::Failed(why.to_owned())) } else { Ok(vec![]) };
                ops.iter().map(one).collect()
            }
            None => self.inner.run(ops),
        }
    }
}

#[tokio::test]
async fn a_store_that_fails_is_told_of_once_and_when_it_works_again() {
    let why = Arc::new(std::sync::Mutex::new(None));
    let mut lab = Lab::new(Failing { inner: MemoryStore::new(), why: Arc::clone(&why) });
    let mut one = lab.lobby.join("a@x".to_owned(), 1).unwrap();
    *why.lock().unwrap() = Some("the disk is full");
    for number in 0..20 {
        lab.ask(1, 2 * number, write("a@x", "p", 9));
        assert_eq!(told(&mut one).await, format!("{} the store has failed: the disk is full", 2 * number));
        lab.ask(1, 2 * number + 1, list("a@x"));
        assert_eq!(told(&mut one).await, format!("{} done", 2 * number + 1), "nobody hears of a change that was none");
    }
    assert_eq!(lab.news().await, News::StoreFailed { why: "the disk is full".to_owned() });
    assert!(lab.news.try_recv().is_err(), "told once, and reading proves nothing");
    *why.lock().unwrap() = None;
    lab.ask(1, 40, write("a@x", "p", 9));
    assert_eq!(all_told(&mut one).await, ["40 done", "changed p"]);
    assert_eq!(lab.news().await, News::StoreWorks);
    // A bug is a failure like any other, and not the end.
    *why.lock().unwrap() = Some("bug");
    lab.ask(1, 41, list("a@x"));
    assert_eq!(told(&mut one).await, "41 the store has failed: it hit a bug; please report it");
    *why.lock().unwrap() = None;
    lab.ask(1, 42, list("a@x"));
    assert_eq!(told(&mut one).await, "42 done p");
    assert!(matches!(lab.news().await, News::StoreFailed { .. }));
    assert_eq!(lab.news().await, News::StoreWorks);
}

#[tokio::test]
async fn without_its_thread_it_has_failed_and_does_not_fall_silent() {
    let lab = Lab::new(MemoryStore::new());
    let mut one = lab.lobby.hear(1).unwrap();
    assert!(lab.keeper.finish().await);
    lab.ask(1, 5, list("a@x"));
    assert_eq!(told(&mut one).await, "5 the store has failed: its thread is gone");
    assert!(!lab.keeper.finish().await);
}

#[tokio::test]
async fn what_was_accepted_is_in_the_file_when_it_has_finished() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("s.redb");
    let lab = Lab::new(FileStore::open(&path).unwrap());
    for number in 0..1000 {
        lab.ask(1, number, write("a@x", &number.to_string(), 1000));
    }
    assert!(lab.keeper.finish().await);
    let mut again = FileStore::open_existing(&path).expect("it is closed");
    assert_eq!(again.run(&[list("a@x")]).remove(0).unwrap().len(), 1000);
}

#[tokio::test]
async fn a_stuck_store_does_not_hold_up_the_end() {
    let (store, let_go, _) = gate();
    let lab = Lab::new(store);
    lab.ask(1, 1, list("a@x"));
    let begun = Instant::now();
    assert!(!lab.keeper.finish().await);
    assert!(begun.elapsed() < END_TIME + Duration::from_secs(5));
    drop(let_go);
}

/// Who waits for each answer before asking again, as many at once.
async fn writers(lab: &Arc<Lab>, sessions: u64, each: u64) -> Duration {
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for session in 1..=sessions {
        let mut mailbox = lab.lobby.hear(session).unwrap();
        let lab = Arc::clone(lab);
        tasks.spawn(async move {
            for number in 0..each {
                lab.ask(session, number, write(&format!("{session}@x"), &number.to_string(), 100_000));
                assert_eq!(told(&mut mailbox).await, format!("{number} done"));
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_share_what_one_has_to_wait_for() {
    let place = tempfile::tempdir().unwrap();
    let lab = Arc::new(Lab::new(FileStore::open(&place.path().join("s.redb")).unwrap()));
    let alone = writers(&lab, 1, 100).await.as_secs_f64();
    lab.lobby.release(1);
    let together = writers(&lab, 50, 200).await.as_secs_f64();
    let (one, many) = (100.0 / alone, 10_000.0 / together);
    println!("one writer: {one:.0} operations a second; 10,000 of 50 writers: {many:.0} a second");
    assert!(many > one, "one {one:.0}/s, many {many:.0}/s");
}
