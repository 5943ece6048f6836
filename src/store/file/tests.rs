//! What the disk hears of it, and a disk that fails.

use super::*;
use crate::keep::{Change, Entry, Space};
use redb::StorageBackend;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

/// What the test and the disk share.
#[derive(Debug, Default)]
struct Disk {
    full: AtomicBool,
    syncs: AtomicUsize,
    opened: AtomicUsize,
}

impl Disk {
    fn syncs(&self) -> usize {
        self.syncs.swap(0, SeqCst)
    }
}

/// A file that fails to be written while the disk is full.
#[derive(Debug)]
struct Flaky {
    file: FileBackend,
    disk: Arc<Disk>,
}

impl Flaky {
    fn room(&self) -> io::Result<()> {
        if self.disk.full.load(SeqCst) { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(()) }
    }
}

impl StorageBackend for Flaky {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.room()?;
        self.file.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.room()?;
        self.disk.syncs.fetch_add(1, SeqCst);
        self.file.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.room()?;
        self.file.write(offset, data)
    }
    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

fn store() -> (tempfile::TempDir, Arc<Disk>, FileStore) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("s.redb");
    create(&path).unwrap();
    let disk = Arc::<Disk>::default();
    let shared = Arc::clone(&disk);
    let opener = move |path: &Path| {
        shared.opened.fetch_add(1, SeqCst);
        let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
        let flaky = Flaky { file: FileBackend::new(file).unwrap(), disk: Arc::clone(&shared) };
        builder().create_with_backend(flaky).map_err(|why| open_error(path, why))
    };
    let store = FileStore::with(&path, Box::new(opener)).unwrap();
    disk.syncs();
    (place, disk, store)
}

const A: &str = "a@x";

fn put(name: usize) -> Op {
    let change = Change::Put(Space::Borrowed("s"), format!("{name:04}"), Bytes::from(vec![b'v'; 300]));
    Op::Write { account: A.to_owned(), changes: vec![change], most: 1000 }
}

fn list() -> Op {
    Op::List { account: A.to_owned(), spaces: vec!["s".into()] }
}

fn count(store: &mut FileStore) -> Result<usize, Trouble> {
    store.run(&[list()]).remove(0).map(|entries: Vec<Entry>| entries.len())
}

#[test]
fn a_batch_costs_no_more_than_one_write_and_reading_costs_nothing() {
    let (_place, disk, mut store) = store();
    store.run(&[put(0)]);
    let one = disk.syncs();
    assert!(one >= 1, "it was never on disk");
    let batch: Vec<Op> = (0..200).map(put).collect();
    assert!(store.run(&batch).iter().all(Result::is_ok));
    assert!(disk.syncs() <= one + 2, "the file may have grown, no more");
    store.run(&[list(), list()]);
    // Nor does what is refused, or changes nothing.
    let nothing = |changes: Vec<Change>, most| Op::Write { account: A.to_owned(), changes, most };
    let done = store.run(&[
        nothing(vec![], 0),
        nothing(vec![Change::Delete("s".into(), "none".to_owned()), Change::Clear("none".into())], 9),
        nothing(vec![Change::Put("s".into(), "x".to_owned(), Bytes::new())], 5),
        list(),
    ]);
    assert_eq!((&done[1], &done[2]), (&Ok(vec![]), &Err(Trouble::Full(5))));
    assert_eq!(disk.syncs(), 0);
}

#[test]
fn when_the_disk_fails_nothing_of_the_batch_is_done_and_later_it_goes_on() {
    let (_place, disk, mut store) = store();
    store.run(&[put(1)]);
    disk.full.store(true, SeqCst);
    for done in store.run(&[put(2), list(), put(3)]) {
        let Err(Trouble::Failed(why)) = done else { panic!("{done:?}") };
        assert!(why.to_lowercase().contains("storage space") || why.to_lowercase().contains("i/o"), "{why}");
    }
    let opened = disk.opened.load(SeqCst);
    disk.full.store(false, SeqCst);
    // It is not opened for every operation that comes meanwhile...
    for _ in 0..100 {
        assert!(matches!(count(&mut store), Err(Trouble::Failed(_))));
    }
    assert_eq!(disk.opened.load(SeqCst), opened);
    // ...but a second later.
    std::thread::sleep(PAUSE);
    assert_eq!(count(&mut store), Ok(1));
    assert_eq!(store.run(&[put(2)]), [Ok(vec![])]);
    assert_eq!(count(&mut store), Ok(2));
    assert_eq!(disk.opened.load(SeqCst), opened + 1);
}
