//! The store in a file: redb, one file, one process at a time.
//!
//! Takes a path and operations, gives what has come of them. All operations of a call are one transaction, which is on disk
//! when the call returns: however many wait, they cost one `fsync`. After an error of the disk the file is closed and opened
//! again, at most once a second. Must not leave a file that others can read, nor one that is half made.

use super::private;
use super::work::{self, Batch, Keep, Look};
use crate::keep::{Done, Op, Store, Trouble};
use bytes::Bytes;
use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, Table, TableDefinition};
use std::fs;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Account, space, name.
type Key = (&'static str, &'static str, &'static str);

const ENTRIES: TableDefinition<'_, Key, &[u8]> = TableDefinition::new("entries");
/// What the file itself is.
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("iqtap");
const FORMAT_KEY: &str = "format";
/// The format that is written. A file of a higher one is left alone.
const FORMAT: u64 = 1;
/// Pages kept in memory.
const CACHE_BYTES: usize = 16 << 20;
/// Between attempts to open a file that has failed.
const PAUSE: Duration = Duration::from_secs(1);

/// What is wrong with the file of a store, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{}: another iqtap has this store open; stop that one, or name another file with --store", .0.display())]
    InUse(PathBuf),
    /// Something else is in it.
    #[error("{}: this is no store of iqtap; move it away, or name another file with --store", .0.display())]
    NotAStore(PathBuf),
    /// A newer iqtap has made it.
    #[error(
        "{}: a newer iqtap has made this store (format {format}, this one knows {FORMAT}); use that one, or name another file with --store",
        path.display()
    )]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its format.
        format: u64,
    },
    /// It was one.
    #[error("{}: this store is damaged ({why}); put a copy in its place, or move it away and a new one is made", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
        /// How.
        why: String,
    },
    /// There is none.
    #[error("{}: there is no store yet; `iqtap run` makes one, --store names another", .0.display())]
    Missing(PathBuf),
    /// The system does not let us.
    #[error("{}: the store cannot be opened: {error}; name another file with --store", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// Opens the file of a store.
type Opener = Box<dyn Fn(&Path) -> Result<Database, OpenError> + Send>;

/// A store in a file.
pub struct FileStore {
    path: PathBuf,
    opener: Opener,
    /// None while it has failed.
    database: Option<Database>,
    /// What is known of the entries; nobody else can change them.
    batch: Batch,
    /// How much those of accounts may weigh; 0: as much as comes.
    most_weight: usize,
    /// When it failed last.
    failed: Option<(Instant, String)>,
}

impl FileStore {
    /// Opens the store in a file; makes it, and its directory, if they are missing.
    ///
    /// # Errors
    /// If it cannot be made or opened, or is no store of ours.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::with(path, Box::new(open_or_create))
    }

    /// Opens the store in a file that must be there.
    ///
    /// # Errors
    /// If it is not, cannot be opened, or is no store of ours.
    pub fn open_existing(path: &Path) -> Result<Self, OpenError> {
        Self::with(path, Box::new(open_file))
    }

    /// All entries of accounts may have so many bytes, names included; 0: as many as come.
    #[must_use]
    pub fn holding(self, most_bytes: usize) -> Self {
        Self { batch: Batch::holding(most_bytes), most_weight: most_bytes, ..self }
    }

    fn with(path: &Path, opener: Opener) -> Result<Self, OpenError> {
        let database = Some(opener(path)?);
        Ok(Self { path: path.to_owned(), opener, database, batch: Batch::default(), most_weight: 0, failed: None })
    }

    /// Shows all entries, in order: account, space, name, what is kept.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn each(&mut self, mut each: impl FnMut(&str, &str, &str, &[u8])) -> Result<(), Trouble> {
        let shown = self.database().and_then(|database| {
            let table = database.begin_read().map_err(text)?.open_table(ENTRIES).map_err(text)?;
            for entry in table.iter().map_err(text)? {
                let (key, value) = entry.map_err(text)?;
                let (account, space, name) = key.value();
                each(account, space, name, value.value());
            }
            Ok(())
        });
        shown.map_err(|why| self.fail(why))
    }

    /// The file, opened again if it has failed a while ago.
    fn database(&mut self) -> Result<&Database, String> {
        if self.database.is_none() {
            if let Some((at, why)) = &self.failed
                && at.elapsed() < PAUSE
            {
                return Err(why.clone());
            }
            self.database = Some((self.opener)(&self.path).map_err(|error| error.to_string())?);
        }
        self.database.as_ref().ok_or_else(String::new)
    }

    /// Closes the file, which can do nothing more once it has failed.
    fn fail(&mut self, why: String) -> Trouble {
        if self.database.take().is_some() || self.failed.as_ref().is_none_or(|(at, _)| at.elapsed() >= PAUSE) {
            self.failed = Some((Instant::now(), why.clone()));
        }
        Trouble::Failed(why)
    }
}

impl Store for FileStore {
    /// If the transaction fails, so do all operations of the call: those that read may have seen what was not to be.
    fn run(&mut self, ops: &[Op]) -> Vec<Done> {
        // While it is away nothing is known: should this fail, what was counted may not be so.
        let mut batch = mem::replace(&mut self.batch, Batch::holding(self.most_weight));
        let run = self.database().and_then(|database| {
            let writes = ops.iter().any(|op| matches!(op, Op::Write { changes, .. } if !changes.is_empty()));
            if writes { write(database, &mut batch, ops) } else { read(database, ops) }.map_err(text)
        });
        match run {
            Ok(done) => {
                self.batch = batch;
                done
            }
            Err(why) => vec![Err(self.fail(why)); ops.len()],
        }
    }
}

fn read(database: &Database, ops: &[Op]) -> Result<Vec<Done>, redb::Error> {
    let entries = Entries(database.begin_read()?.open_table(ENTRIES)?);
    ops.iter().map(|op| Ok(work::read(&entries, op)?)).collect()
}

fn write(database: &Database, batch: &mut Batch, ops: &[Op]) -> Result<Vec<Done>, redb::Error> {
    let transaction = database.begin_write()?;
    batch.begin();
    let done: Vec<Done> = {
        let mut entries = Entries(transaction.open_table(ENTRIES)?);
        ops.iter().map(|op| batch.run(&mut entries, op)).collect::<Result<_, _>>()?
    };
    if batch.dirty {
        transaction.commit()?; // Durability::Immediate is the default
    } else {
        transaction.abort()?;
    }
    Ok(done)
}

/// The table, open.
struct Entries<T>(T);

impl<T: ReadableTable<Key, &'static [u8]>> Look for Entries<T> {
    type Error = StorageError;

    fn get(&self, account: &str, space: &str, name: &str) -> Result<Option<Bytes>, StorageError> {
        let found = self.0.get((account, space, name))?;
        Ok(found.map(|value| Bytes::copy_from_slice(value.value())))
    }

    fn walk(&self, account: &str, space: &str, each: &mut dyn FnMut(&str, &[u8])) -> Result<(), StorageError> {
        for entry in self.0.range((account, space, "")..)? {
            let (key, value) = entry?;
            let (of, at, name) = key.value();
            if of != account || at != space {
                break;
            }
            each(name, value.value());
        }
        Ok(())
    }

    fn weigh(&self) -> Result<usize, StorageError> {
        let mut weight = 0;
        for entry in self.0.iter()? {
            let (key, value) = entry?;
            let (account, space, name) = key.value();
            weight += work::weight(account, space, name, value.value());
        }
        Ok(weight)
    }
}

impl Keep for Entries<Table<'_, Key, &'static [u8]>> {
    fn put(&mut self, account: &str, space: &str, name: &str, value: &[u8]) -> Result<(), StorageError> {
        self.0.insert((account, space, name), value).map(drop)
    }

    fn delete(&mut self, account: &str, space: &str, name: &str) -> Result<bool, StorageError> {
        Ok(self.0.remove((account, space, name))?.is_some())
    }
}

fn open_or_create(path: &Path) -> Result<Database, OpenError> {
    match open_file(path) {
        Err(OpenError::Missing(_)) => {
            create(path).map_err(|why| open_error(path, why))?;
            open_file(path)
        }
        opened => opened,
    }
}

fn open_file(path: &Path) -> Result<Database, OpenError> {
    let file = match fs::OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(OpenError::Missing(path.to_owned())),
        Err(error) => return Err(OpenError::File { path: path.to_owned(), error }),
    };
    // redb takes an empty file for one that it is to fill.
    if file.metadata().is_ok_and(|metadata| metadata.len() == 0) {
        return Err(OpenError::NotAStore(path.to_owned()));
    }
    let opened = builder().create_with_backend(FileBackend::new(file).map_err(|why| open_error(path, why))?);
    let database = opened.map_err(|why| open_error(path, why))?;
    check_format(path, &database)?;
    private::keep(path, "the store").map_err(|error| OpenError::File { path: path.to_owned(), error })?;
    Ok(database)
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder
}

fn check_format(path: &Path, database: &Database) -> Result<(), OpenError> {
    let format = || -> Result<Option<u64>, redb::Error> {
        let table = database.begin_read()?.open_table(META)?;
        Ok(table.get(FORMAT_KEY)?.map(|value| value.value()))
    };
    match format() {
        Ok(Some(FORMAT)) => Ok(()),
        Ok(Some(format)) => Err(OpenError::Newer { path: path.to_owned(), format }),
        Ok(None) | Err(redb::Error::TableDoesNotExist(_) | redb::Error::TableTypeMismatch { .. }) => {
            Err(OpenError::NotAStore(path.to_owned()))
        }
        Err(why) => Err(OpenError::Damaged { path: path.to_owned(), why: why.to_string() }),
    }
}

/// Makes a store and puts it in place whole, unless another process was quicker: then that one's stays.
fn create(path: &Path) -> Result<(), DatabaseError> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    private::directory(directory)?;
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let aside = directory.join(format!(".{}-{number}.redb.new", std::process::id()));
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let filled = options.open(&aside).map_err(DatabaseError::from).and_then(fill);
    let placed = filled.and_then(|()| Ok(fs::hard_link(&aside, path)?)); // unlike rename, replaces nothing
    let _ = fs::remove_file(&aside);
    match placed {
        Err(DatabaseError::Storage(StorageError::Io(error))) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(why) => Err(why),
        Ok(()) => Ok(sync_directory(directory)?),
    }
}

/// Makes a new file a store with nothing in it.
fn fill(file: fs::File) -> Result<(), DatabaseError> {
    let database = builder().create_with_backend(FileBackend::new(file)?)?;
    let fill = || -> Result<(), redb::Error> {
        let transaction = database.begin_write()?;
        transaction.open_table(META)?.insert(FORMAT_KEY, FORMAT)?;
        transaction.open_table(ENTRIES)?;
        Ok(transaction.commit()?)
    };
    fill().map_err(|why| match why {
        redb::Error::Io(error) => DatabaseError::from(error),
        why => DatabaseError::Storage(StorageError::Corrupted(why.to_string())),
    })?;
    database.close()
}

/// The file's name is on disk too.
fn sync_directory(directory: &Path) -> io::Result<()> {
    #[cfg(unix)]
    fs::File::open(directory)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = directory;
    Ok(())
}

fn open_error(path: &Path, why: DatabaseError) -> OpenError {
    let path = path.to_owned();
    match why {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => OpenError::InUse(path),
        DatabaseError::Storage(StorageError::Io(error)) => match error.kind() {
            io::ErrorKind::InvalidData => OpenError::NotAStore(path),
            io::ErrorKind::UnexpectedEof => OpenError::Damaged { path, why: "it is cut off".to_owned() },
            _ => OpenError::File { path, error },
        },
        why => OpenError::Damaged { path, why: why.to_string() },
    }
}

fn text(why: impl Into<redb::Error>) -> String {
    why.into().to_string()
}

#[cfg(test)]
mod tests;
