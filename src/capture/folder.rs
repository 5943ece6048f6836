//! A directory in which the files of a recording follow one another: a new one when the last is large or old enough, the
//! oldest removed when all together are too many bytes.
//!
//! Takes whole blocks and the time, gives files named by the time they begin. Its own files are those it has written down in
//! [`LIST`], whose lock keeps a second process away. Must not remove any other file, nor one of its own that has become something else.

use super::place::{create_new, may_be_replaced, named, write};
use crate::xmpp::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The file names that are ours, one on a line, oldest first.
const LIST: &str = ".iqtap-record";
/// Files of one name, told apart by a number, before something must be wrong.
const NAMESAKES: u32 = 100_000;

/// Files by name, oldest first, with their sizes.
type Files = VecDeque<(String, u64)>;

/// When another file begins, and how it is named.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// The name, with the time as in `strftime`: `%Y-%m-%d_%H%M%S.pcapng`. If it is taken, a number is put before the ending.
    pub name: String,
    /// The zone of that time.
    pub zone: TimeZone,
    /// Another file begins with the next item when one has so many bytes...
    pub size: u64,
    /// ...or was begun so long ago, in microseconds.
    pub every: Option<u64>,
    /// All files together have no more bytes, but for the last item of the newest: the oldest go.
    pub total: Option<u64>,
}

impl Rotation {
    /// Whether it names files.
    ///
    /// # Errors
    /// What is wrong with the name.
    pub fn check(&self) -> Result<(), String> {
        self.name_at(Timestamp(1_700_000_000_000_000)).map(drop)
    }

    /// The name of a file that begins then.
    fn name_at(&self, at: Timestamp) -> Result<String, String> {
        let wrong = |why: String| format!("`{}` {why}, such as %Y-%m-%d_%H%M%S.pcapng", self.name);
        let micros = i64::try_from(at.0).unwrap_or(i64::MAX);
        let when = jiff::Timestamp::from_microsecond(micros).unwrap_or_default().to_zoned(self.zone.clone());
        let name = strtime::format(&self.name, &when)
            .map_err(|error| wrong(format!("is no name with a time in it ({error}); strftime's signs are meant")))?;
        if !is_plain(&name) {
            return Err(wrong("is no name for a file in that directory; it has a name and no path".to_owned()));
        }
        Ok(name)
    }
}

/// Whether it is a name that stays in its directory, and is not hidden there.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(|c: char| matches!(c, '/' | '\\') || c.is_control())
}

/// The directory and the file being written.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    rotation: Rotation,
    /// Open as long as this lives: it is locked.
    list: File,
    /// The files before the present one, oldest first, with their sizes.
    old: Files,
    name: String,
    file: File,
    written: u64,
    begun: Timestamp,
    /// Whether there is more in the file than what every file begins with.
    used: bool,
}

impl Folder {
    pub(super) fn open(path: &Path, rotation: Rotation, now: Timestamp) -> io::Result<Self> {
        let (mut list, own) = own_files(path)?;
        let (old, name, file) = begin(path, &rotation, &mut list, own, now)?;
        Ok(Self { path: path.to_owned(), rotation, list, old, name, file, written: 0, begun: now, used: false })
    }

    pub(super) fn write(&mut self, blocks: &[u8]) -> io::Result<()> {
        self.used |= self.written > 0;
        write(&mut self.file, &mut self.written, blocks).map_err(|error| named(&self.path.join(&self.name), error))
    }

    pub(super) fn is_due(&self, waiting: usize, at: Timestamp) -> bool {
        let large = self.written.saturating_add(waiting as u64) >= self.rotation.size;
        let aged = self.rotation.every.is_some_and(|every| at.0.saturating_sub(self.begun.0) >= every);
        (large || aged) && (self.used || waiting > 0)
    }

    pub(super) fn next(&mut self, at: Timestamp) -> io::Result<()> {
        let mut own = std::mem::take(&mut self.old);
        own.push_back((std::mem::take(&mut self.name), self.written));
        (self.old, self.name, self.file) = begin(&self.path, &self.rotation, &mut self.list, own, at)?;
        (self.written, self.begun, self.used) = (0, at, false);
        Ok(())
    }
}

/// Makes room for another file, makes it and writes it down.
fn begin(
    folder: &Path,
    rotation: &Rotation,
    list: &mut File,
    mut own: Files,
    now: Timestamp,
) -> io::Result<(Files, String, File)> {
    make_room(folder, rotation, &mut own)?;
    let (name, file) = unused(folder, &rotation.name_at(now).map_err(io::Error::other)?)?;
    let names = own.iter().map(|(name, _)| name).chain([&name]);
    let text: String = names.flat_map(|name| [name.as_str(), "\n"]).collect();
    // What cannot be written down is no file of ours: it is never removed.
    list.seek(SeekFrom::Start(0))
        .and_then(|_| list.set_len(0))
        .and_then(|()| list.write_all(text.as_bytes()))
        .map_err(|error| named(&folder.join(LIST), error))?;
    Ok((own, name, file))
}

/// Opens and locks the list; gives what is left of the files in it.
fn own_files(folder: &Path) -> io::Result<(File, Files)> {
    let path = folder.join(LIST);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut list = options.open(&path).map_err(|error| named(&path, error))?;
    if !is_itself(&path, &list).map_err(|error| named(&path, error))? {
        return Err(named(
            &path,
            io::Error::other("is a link to something else; remove it, or name another directory"),
        ));
    }
    match list.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(named(folder, io::Error::other("another iqtap records there; name another directory")));
        }
        Err(TryLockError::Error(error)) => return Err(named(&path, error)),
    }
    let mut names = String::new();
    list.read_to_string(&mut names).map_err(|error| named(&path, error))?;
    let own = names.lines().filter_map(|name| Some((name.to_owned(), own_size(folder, name)?)));
    Ok((list, own.collect()))
}

/// Whether the file that was opened is no other than the one of that name: no link that somebody has laid there.
fn is_itself(path: &Path, file: &File) -> io::Result<bool> {
    let (found, opened) = (fs::symlink_metadata(path)?, file.metadata()?);
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if (found.dev(), found.ino(), 1) != (opened.dev(), opened.ino(), opened.nlink()) {
            return Ok(false);
        }
    }
    Ok(found.is_file() && opened.is_file())
}

/// The size of a file of ours, if it still is what we have made.
fn own_size(folder: &Path, name: &str) -> Option<u64> {
    let path = folder.join(name);
    let found = fs::symlink_metadata(&path).ok().filter(|found| is_plain(name) && found.is_file())?;
    may_be_replaced(&path).is_ok_and(|ours| ours).then_some(found.len())
}

/// Removes the oldest files until there is room for a whole one.
fn make_room(folder: &Path, rotation: &Rotation, own: &mut Files) -> io::Result<()> {
    let Some(total) = rotation.total else { return Ok(()) };
    let sum = |own: &Files| own.iter().map(|(_, size)| size).sum::<u64>();
    while sum(own).saturating_add(rotation.size) > total {
        let Some((name, _)) = own.pop_front() else { break };
        if own_size(folder, &name).is_some() {
            let path = folder.join(&name);
            fs::remove_file(&path).map_err(|error| named(&path, error))?;
        }
    }
    Ok(())
}

/// Makes a file of that name, or of the next one like it, which is listed behind it (`_` comes after `.`).
fn unused(folder: &Path, name: &str) -> io::Result<(String, File)> {
    let (stem, ending) = name.rfind('.').filter(|at| *at > 0).map_or((name, ""), |at| name.split_at(at));
    for number in 1..NAMESAKES {
        let name = if number == 1 { name.to_owned() } else { format!("{stem}_{number}{ending}") };
        match create_new(&folder.join(&name)) {
            Ok(file) => return Ok((name, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(named(&folder.join(name), error)),
        }
    }
    Err(named(&folder.join(name), io::Error::other("this name is taken, with any number behind it")))
}
