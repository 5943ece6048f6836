//! The stores: what holds of both, and what of the one in a file alone.

#![expect(clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "a test that fails says why")]

use bytes::Bytes;
use iqtap::keep::{Change, Done, Entry, NOBODY, Op, Store, Trouble};
use iqtap::store::{FileStore, MemoryStore, OpenError};
use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

const JULIET: &str = "juliet@example.org";

fn put(space: &'static str, name: &str, value: &str) -> Change {
    Change::Put(space.into(), name.to_owned(), Bytes::copy_from_slice(value.as_bytes()))
}

fn delete(space: &'static str, name: &str) -> Change {
    Change::Delete(space.into(), name.to_owned())
}

fn write_at_most(account: &str, most: usize, changes: &[Change]) -> Op {
    Op::Write { account: account.to_owned(), changes: changes.to_vec(), most }
}

fn write(account: &str, changes: &[Change]) -> Op {
    write_at_most(account, 1000, changes)
}

fn list(account: &str, spaces: &[&'static str]) -> Op {
    Op::List { account: account.to_owned(), spaces: spaces.iter().map(|space| (*space).into()).collect() }
}

fn get(account: &str, space: &'static str, name: &str) -> Op {
    Op::Get { account: account.to_owned(), space: space.into(), name: name.to_owned() }
}

/// `space/name=value` of each entry.
fn shown(done: &Done) -> Vec<String> {
    let show = |e: &Entry| format!("{}/{}={}", e.space, e.name, String::from_utf8_lossy(&e.value));
    done.as_ref().expect("the operation fails").iter().map(show).collect()
}

fn one(store: &mut dyn Store, op: Op) -> Done {
    let mut done = store.run(&[op]);
    assert_eq!(done.len(), 1);
    done.remove(0)
}

/// Does the same with a store of each kind.
fn with_both(play: impl Fn(&mut dyn Store)) {
    play(&mut MemoryStore::new());
    let place = TempDir::new().expect("a directory");
    play(&mut FileStore::open(&place.path().join("s.redb")).expect("a store"));
}

#[test]
fn what_is_put_is_got_and_nothing_else() {
    with_both(|store| {
        assert_eq!(one(store, get(JULIET, "a", "x")), Ok(vec![]));
        assert_eq!(one(store, write(JULIET, &[put("a", "x", "1"), put("a", "", "empty name")])), Ok(vec![]));
        assert_eq!(shown(&one(store, get(JULIET, "a", "x"))), ["a/x=1"]);
        assert_eq!(shown(&one(store, get(JULIET, "a", ""))), ["a/=empty name"]);
        for other in
            [get("romeo@example.org", "a", "x"), get(NOBODY, "a", "x"), get(JULIET, "ax", ""), get(JULIET, "", "x")]
        {
            assert_eq!(one(store, other.clone()), Ok(vec![]), "{other:?}");
        }
        assert_eq!(
            one(store, write(JULIET, &[put("a", "x", ""), delete("a", ""), delete("a", "never there")])),
            Ok(vec![])
        );
        assert_eq!(shown(&one(store, list(JULIET, &["a"]))), ["a/x="], "an empty value is a value");
    });
}

#[test]
fn lists_are_in_order_of_space_and_name_by_bytes() {
    with_both(|store| {
        let names = ["b", "", "B", "a\u{e9}", "a", "a b", "{urn:x}storage", "aa"];
        let mut changes: Vec<_> = names.iter().map(|name| put("s", name, "1")).collect();
        changes.extend([put("sa", "a", "2"), put("", "a", "3"), put("r", "z", "4")]);
        one(store, write(JULIET, &changes)).expect("it is written");
        one(store, write("juliet@example.orgs", &[put("s", "not hers", "5")])).expect("it is written");
        one(store, write("juliet@example.or", &[put("s", "not hers", "5")])).expect("it is written");
        let mut sorted = names.to_vec();
        sorted.sort_unstable();
        let expected: Vec<String> = sorted.iter().map(|name| format!("s/{name}=1")).collect();
        assert_eq!(shown(&one(store, list(JULIET, &["s"]))), expected);
        // Whatever the order in which they are asked for, and each once.
        let all = shown(&one(store, list(JULIET, &["sa", "s", "r", "none", "sa"])));
        assert_eq!((&*all[0], &*all[9]), ("r/z=4", "sa/a=2"));
        assert_eq!(all[1..9], expected);
        assert_eq!(one(store, list(JULIET, &[])), Ok(vec![]));
    });
}

#[test]
fn the_last_word_on_a_name_counts_and_clear_takes_all_before_it() {
    with_both(|store| {
        one(store, write(JULIET, &[put("a", "x", "1"), put("a", "y", "2"), put("b", "x", "3")]))
            .expect("it is written");
        let changes = [
            put("a", "z", "gone"),
            Change::Clear("a".into()),
            put("a", "x", "4"),
            put("a", "w", "gone"),
            delete("a", "w"),
            put("a", "x", "5"),
        ];
        one(store, write(JULIET, &changes)).expect("it is written");
        assert_eq!(shown(&one(store, list(JULIET, &["a", "b"]))), ["a/x=5", "b/x=3"]);
        one(store, write(JULIET, &[Change::Clear("a".into()), Change::Clear("none".into())])).expect("it is written");
        assert_eq!(shown(&one(store, list(JULIET, &["a", "b"]))), ["b/x=3"]);
    });
}

#[test]
fn a_space_that_would_be_too_full_takes_nothing_of_the_whole_write() {
    with_both(|store| {
        let two = |changes: &[Change]| write_at_most(JULIET, 2, changes);
        assert_eq!(one(store, two(&[put("a", "1", ""), put("a", "2", ""), put("b", "1", "")])), Ok(vec![]));
        let full = Err(Trouble::Full(2));
        assert_eq!(one(store, two(&[put("b", "2", ""), put("a", "3", ""), delete("b", "1")])), full);
        assert_eq!(
            one(store, two(&[Change::Clear("a".into()), put("a", "3", ""), put("a", "4", ""), put("a", "5", "")])),
            full
        );
        assert_eq!(shown(&one(store, list(JULIET, &["a", "b"]))), ["a/1=", "a/2=", "b/1="]);
        // What counts is how many it holds in the end.
        assert_eq!(one(store, two(&[put("a", "3", ""), delete("a", "1")])), Ok(vec![]));
        assert_eq!(one(store, two(&[put("a", "2", "new"), put("a", "3", "new")])), Ok(vec![]));
        assert_eq!(one(store, two(&[Change::Clear("a".into()), put("a", "8", ""), put("a", "9", "")])), Ok(vec![]));
        assert_eq!(shown(&one(store, list(JULIET, &["a"]))), ["a/8=", "a/9="]);
        // What takes away is never too much, and another account's room is its own.
        assert_eq!(one(store, write_at_most(JULIET, 0, &[delete("a", "8")])), Ok(vec![]));
        assert_eq!(one(store, write_at_most(JULIET, 0, &[put("a", "7", "")])), Err(Trouble::Full(0)));
        assert_eq!(one(store, write_at_most("romeo@example.org", 1, &[put("a", "8", "")])), Ok(vec![]));
        // What holds more than it may by now can be changed, but not grow.
        for name in ["1", "2", "3"] {
            assert_eq!(one(store, write("nurse@example.org", &[put("a", name, "")])), Ok(vec![]));
        }
        let less = |changes: &[Change]| write_at_most("nurse@example.org", 2, changes);
        assert_eq!(one(store, less(&[put("a", "3", "new")])), Ok(vec![]));
        assert_eq!(one(store, less(&[put("a", "4", ""), delete("a", "1")])), Ok(vec![]));
        assert_eq!(one(store, less(&[put("a", "5", "")])), full);
    });
}

#[test]
fn operations_of_one_batch_see_those_before_them_and_a_refused_one_stops_none() {
    with_both(|store| {
        let done = store.run(&[
            list(JULIET, &["a"]),
            write_at_most(JULIET, 1, &[put("a", "1", "one")]),
            get(JULIET, "a", "1"),
            write_at_most(JULIET, 1, &[put("a", "2", "two")]),
            write(JULIET, &[]),
            write_at_most(JULIET, 1, &[delete("a", "1"), put("a", "2", "two")]),
            write_at_most(JULIET, 2, &[put("a", "3", "three")]),
            write_at_most(JULIET, 2, &[put("a", "4", "four")]),
            list(JULIET, &["a"]),
            write(JULIET, &[Change::Clear("a".into())]),
            write_at_most(JULIET, 1, &[put("a", "5", "five")]),
        ]);
        assert_eq!(done.len(), 11);
        assert_eq!(shown(&done[2]), ["a/1=one"]);
        assert_eq!(done[3], Err(Trouble::Full(1)));
        assert_eq!(done[7], Err(Trouble::Full(2)));
        assert_eq!(shown(&done[8]), ["a/2=two", "a/3=three"]);
        for nothing in [0, 1, 4, 5, 6, 9, 10] {
            assert_eq!(done[nothing], Ok(vec![]), "{nothing}");
        }
        assert_eq!(shown(&one(store, list(JULIET, &["a"]))), ["a/5=five"]);
        assert_eq!(store.run(&[]), []);
    });
}

#[test]
fn both_stores_do_the_same_whatever_is_asked() {
    let place = TempDir::new().expect("a directory");
    let mut file = FileStore::open(&place.path().join("s.redb")).expect("a store");
    let mut memory = MemoryStore::new();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let (mut full, mut listed) = (0, 0);
    for _ in 0..60 {
        let mut ops = Vec::new();
        for _ in 0..20 {
            let account = ["a@x", "b@x", NOBODY][random(3) as usize].to_owned();
            let spaces = ["s", "t", ""];
            let mut space = || std::borrow::Cow::from(spaces[random(3) as usize]);
            let (first, second) = (space(), space());
            let mut changes = Vec::new();
            for _ in 0..random(6) {
                let (space, name) = (spaces[random(3) as usize].into(), random(9).to_string());
                changes.push(match random(12) {
                    0 => Change::Clear(space),
                    1..4 => Change::Delete(space, name),
                    _ => Change::Put(space, name, Bytes::from(random(1000).to_string())),
                });
            }
            ops.push(match random(4) {
                0 => Op::Get { account, space: first, name: random(9).to_string() },
                1 => Op::List { account, spaces: vec![first, second] },
                _ => Op::Write { account, changes, most: 3 + random(5) as usize },
            });
        }
        let done = memory.run(&ops);
        assert_eq!(file.run(&ops), done, "{ops:#?}");
        full += done.iter().filter(|done| matches!(done, Err(Trouble::Full(_)))).count();
        listed += done.iter().flatten().map(Vec::len).sum::<usize>();
    }
    assert!(full > 20 && listed > 500, "full {full}, listed {listed}");
    let mut all = Vec::new();
    file.each(|account, space, name, value| {
        all.push((account.to_owned(), space.to_owned(), name.to_owned(), value.to_vec()))
    })
    .expect("it can be read");
    let expected: Vec<_> = memory
        .entries()
        .map(|(account, space, name, value)| (account.to_owned(), space.to_owned(), name.to_owned(), value.to_vec()))
        .collect();
    assert_eq!(all, expected);
}

fn path(place: &TempDir) -> PathBuf {
    place.path().join("deep/down/s.redb")
}

fn open_error(path: &Path) -> OpenError {
    match FileStore::open(path) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error,
    }
}

#[test]
fn what_was_written_is_there_after_opening_it_again() {
    let place = TempDir::new().expect("a directory");
    assert!(matches!(FileStore::open_existing(&path(&place)), Err(OpenError::Missing(_))));
    assert!(!place.path().join("deep").exists());
    for round in 0..5 {
        let mut store = FileStore::open(&path(&place)).expect("a store");
        assert_eq!(one(&mut store, list(JULIET, &["a"])).expect("read").len(), round);
        one(&mut store, write(JULIET, &[put("a", &round.to_string(), "x")])).expect("it is written");
    }
    let left: Vec<_> = fs::read_dir(place.path().join("deep/down")).expect("the directory").collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[cfg(unix)]
#[test]
fn the_file_and_its_directory_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    let place = TempDir::new().expect("a directory");
    let path = path(&place);
    drop(FileStore::open(&path).expect("a store"));
    assert_eq!((mode(&path), mode(path.parent().expect("a parent"))), (0o600, 0o700));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("it is ours");
    drop(FileStore::open(&path).expect("a store"));
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn a_file_that_is_open_already_is_said_to_be() {
    let place = TempDir::new().expect("a directory");
    let mut first = FileStore::open(&path(&place)).expect("a store");
    let error = open_error(&path(&place));
    assert!(matches!(error, OpenError::InUse(_)), "{error:?}");
    assert!(error.to_string().contains("s.redb: another iqtap has this store open"), "{error}");
    one(&mut first, write(JULIET, &[put("a", "x", "1")])).expect("the first goes on");
    drop(first);
    let mut again = FileStore::open(&path(&place)).expect("it is free again");
    assert_eq!(shown(&one(&mut again, get(JULIET, "a", "x"))), ["a/x=1"]);
}

#[test]
fn a_file_that_is_no_store_is_left_as_it_is() {
    let place = TempDir::new().expect("a directory");
    let path = place.path().join("s.redb");
    for text in [&b""[..], b"x", b"# this is a text file\n", &[0; 8192], b"redb\x1a\x0a\xa9\x0d\x0a"] {
        fs::write(&path, text).expect("it can be written");
        let error = open_error(&path);
        assert!(matches!(error, OpenError::NotAStore(_) | OpenError::Damaged { .. }), "{text:?}: {error:?}");
        assert!(error.to_string().contains("s.redb: this "), "{error}");
        assert_eq!(fs::read(&path).expect("it is there"), text, "it was changed");
    }
    assert!(matches!(open_error(place.path()), OpenError::File { .. }), "a directory");
    assert!(matches!(open_error(&path.join("below/a/file")), OpenError::File { .. } | OpenError::Missing(_)));
}

#[test]
fn a_database_of_somebody_else_and_a_newer_store_are_told_apart() {
    let place = TempDir::new().expect("a directory");
    let path = place.path().join("s.redb");
    let other = redb::Database::create(&path).expect("a database");
    drop(other);
    let error = open_error(&path);
    assert!(matches!(error, OpenError::NotAStore(_)), "{error:?}");
    let table = redb::TableDefinition::<&str, u64>::new("iqtap");
    let newer = redb::Database::create(&path).expect("a database");
    let transaction = newer.begin_write().expect("a transaction");
    transaction.open_table(table).expect("a table").insert("format", 7).expect("it is put");
    transaction.commit().expect("it is written");
    drop(newer);
    let error = open_error(&path);
    assert!(error.to_string().contains("a newer iqtap has made this store (format 7, this one knows 1)"), "{error}");
}

#[test]
fn a_copy_made_at_any_time_holds_all_that_was_acknowledged_by_then() {
    let place = TempDir::new().expect("a directory");
    let mut store = FileStore::open(&path(&place)).expect("a store");
    for round in 0..30 {
        let value = "v".repeat(round * 500);
        one(&mut store, write(JULIET, &[put("a", &format!("{round:03}"), &value)])).expect("it is written");
        // As it would be found after a crash: nobody has closed it.
        let copy = place.path().join("copy.redb");
        fs::copy(path(&place), &copy).expect("it can be copied");
        let mut found = FileStore::open_existing(&copy).expect("the copy is a store");
        let there = one(&mut found, list(JULIET, &["a"])).expect("it can be read");
        assert_eq!(there.len(), round + 1);
        assert!(there.iter().enumerate().all(|(i, entry)| entry.value.len() == i * 500));
    }
}

#[test]
fn a_damaged_file_is_an_error_and_never_a_panic() {
    let place = TempDir::new().expect("a directory");
    let mut store = FileStore::open(&path(&place)).expect("a store");
    for round in 0..40 {
        one(&mut store, write(JULIET, &[put("a", &round.to_string(), &"v".repeat(3000))])).expect("it is written");
    }
    drop(store);
    let whole = fs::read(path(&place)).expect("it is there");
    let copy = place.path().join("copy.redb");
    let mut refused = 0;
    for cut in 0..32 {
        let mut damaged = whole.clone();
        if cut % 2 == 0 {
            damaged.truncate(whole.len() * cut / 32);
        } else {
            let at = whole.len() * cut / 32;
            damaged[at..(at + 512).min(whole.len())].fill(0xa5);
        }
        fs::write(&copy, &damaged).expect("it can be written");
        match FileStore::open(&copy) {
            Err(error) => {
                refused += 1;
                assert!(error.to_string().contains("copy.redb: this "), "{error}");
            }
            // What was hit is in use by nobody.
            Ok(mut store) => {
                assert_eq!(one(&mut store, list(JULIET, &["a"])).map(|there| there.len()), Ok(40), "cut {cut}");
            }
        }
    }
    assert!(refused >= 16, "{refused}");
}

/// The one that is killed: writes numbers, each in several entries at once, and says each when it has been told that it is kept.
fn write_until_killed(path: &Path) -> ! {
    let mut store = FileStore::open(path).expect("a store");
    let first = one(&mut store, list(JULIET, &["numbers"])).expect("it can be read").len();
    let mut number = first;
    loop {
        let batch = 1 + number % 7;
        let numbered = |number: usize| {
            let name = format!("{number:06}");
            let large = "v".repeat(number % 5 * 3000);
            let changes = [put("numbers", &name, &name), put("others", &name, &large), delete("numbers", "none")];
            write_at_most(JULIET, 1_000_000, &changes)
        };
        let ops: Vec<Op> = (number..number + batch).map(numbered).collect();
        for done in store.run(&ops) {
            done.expect("it is written");
            println!("\nkept {number}");
            number += 1;
        }
    }
}

#[test]
fn what_was_acknowledged_is_there_after_a_kill() {
    const NAME: &str = "what_was_acknowledged_is_there_after_a_kill";
    if let Some(path) = env::var_os("IQTAP_TEST_STORE") {
        write_until_killed(Path::new(&path));
    }
    let place = TempDir::new().expect("a directory");
    let path = path(&place);
    let mut before = 0;
    for round in 0..6 {
        let mut child = Command::new(env::current_exe().expect("this test"))
            .args(["--exact", NAME, "--nocapture", "--test-threads=1"])
            .env("IQTAP_TEST_STORE", &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("it can be started");
        let said = BufReader::new(child.stdout.take().expect("its output")).lines().map_while(Result::ok);
        let mut last = None;
        for (count, line) in said.filter(|line| line.starts_with("kept ")).enumerate() {
            last = line.strip_prefix("kept ").and_then(|number| number.parse::<usize>().ok());
            if count == 10 + round * 17 {
                child.kill().expect("it runs");
            }
        }
        child.wait().expect("it has ended");
        let kept = last.expect("it has written something") + 1;
        assert!(kept > before, "round {round}: {kept} after {before}");
        let mut store = FileStore::open_existing(&path).expect("it can be opened");
        let numbers = one(&mut store, list(JULIET, &["numbers"])).expect("it can be read");
        let others = one(&mut store, list(JULIET, &["others"])).expect("it can be read");
        assert!(numbers.len() >= kept, "round {round}: {kept} were acknowledged, {} are there", numbers.len());
        assert_eq!(numbers.len(), others.len(), "a write is there whole or not at all");
        for (number, (entry, other)) in numbers.iter().zip(&others).enumerate() {
            assert_eq!((entry.name.parse(), other.value.len()), (Ok(number), number % 5 * 3000));
        }
        before = numbers.len();
    }
}

#[test]
fn all_accounts_together_keep_no_more_than_they_may() {
    const MOST: usize = 3 * 1020;
    let place = TempDir::new().expect("a directory");
    let big = "x".repeat(1000);
    // Account, space, name and value: 1,020 bytes.
    let keep = |store: &mut dyn Store, account: &str, letter: &str, value: &str| {
        one(store, write(account, &[put("a", &letter.repeat(19 - account.len()), value)]))
    };
    let file = |name: &str| FileStore::open(&place.path().join(name)).expect("a store").holding(MOST);
    for kind in ["memory", "file", "file that is opened again"] {
        let mut store: Box<dyn Store> = match kind {
            "memory" => Box::new(MemoryStore::new().holding(MOST)),
            name => Box::new(file(name)),
        };
        for (account, letter) in [(JULIET, "j"), ("r", "r"), ("r", "s")] {
            assert_eq!(keep(&mut *store, account, letter, &big), Ok(vec![]), "{kind}");
        }
        if kind == "file that is opened again" {
            drop(store);
            store = Box::new(file(kind));
        }
        let (store, full) = (&mut *store, Err(Trouble::Full(0)));
        assert_eq!(keep(store, "s", "s", &big), full, "{kind}: whoever comes");
        assert_eq!(keep(store, NOBODY, "s", &big), Ok(vec![]), "{kind}: what is nobody's has limits of its own");
        // As much in the place of what is there is taken, or less; then there is room again.
        assert_eq!(keep(store, JULIET, "j", &big.replace('x', "y")), Ok(vec![]), "{kind}");
        assert_eq!(one(store, write(JULIET, &[put("a", "z", &big), put("a", "j", "")])), full, "{kind}");
        assert_eq!(one(store, write("r", &[Change::Clear("a".into()), put("a", "z", &big)])), Ok(vec![]), "{kind}");
        assert_eq!(keep(store, "s", "s", &big), Ok(vec![]), "{kind}");
        assert_eq!(keep(store, "s", "t", &big), full, "{kind}");
        assert_eq!(one(store, write("s", &[delete("a", &"s".repeat(18))])), Ok(vec![]), "{kind}");
        assert_eq!(keep(store, "s", "t", &big), Ok(vec![]), "{kind}");
    }
    assert_eq!(Trouble::Full(0).to_string(), "there is no room to keep more");
}
