//! Where a capture goes: a file, a directory in which files follow one another, or a reader at the other end of a pipe.
//!
//! Takes a path, gives something to write whole blocks to. Must not touch a file that is no capture, nor follow a link
//! that somebody else has laid.

use super::folder::{Folder, Rotation};
use crate::xmpp::Timestamp;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// What the path of a recording names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `-`: the standard output.
    Output,
    /// A file, a named pipe or a device.
    File(PathBuf),
    /// A directory: it exists, or its path ends with `/`.
    Folder(PathBuf),
}

impl Target {
    /// What a path means.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let ends = path.as_os_str().as_encoded_bytes().last().copied();
        if path.as_os_str() == "-" {
            Self::Output
        } else if path.is_dir() || ends == Some(b'/') || ends == u8::try_from(std::path::MAIN_SEPARATOR).ok() {
            Self::Folder(path.to_owned())
        } else {
            Self::File(path.to_owned())
        }
    }

    /// Whether it is a named pipe: opening it waits for a reader.
    #[must_use]
    pub fn is_pipe(&self) -> bool {
        #[cfg(unix)]
        if let Self::File(path) = self {
            use std::os::unix::fs::FileTypeExt;
            return fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_fifo());
        }
        false
    }

    /// Says whether a recording could begin there, as far as can be known without touching anything.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> io::Result<()> {
        match self {
            Self::Output => Ok(()),
            Self::Folder(path) => {
                let plain: PathBuf = path.components().collect(); // without what it ends with
                if plain.exists() && !plain.is_dir() {
                    return Err(named(path, io::Error::other("ends like a directory and is none")));
                }
                Ok(())
            }
            Self::File(path) => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                match before(path) {
                    Ok(Before::Nothing) if !folder.unwrap_or_else(|| Path::new(".")).is_dir() => {
                        Err(named(path, io::Error::other("the folder it should be in does not exist")))
                    }
                    found => found.map(drop).map_err(|error| named(path, error)),
                }
            }
        }
    }
}

/// The error with the file's name.
pub(super) fn named(path: &Path, error: impl Into<io::Error>) -> io::Error {
    let error = error.into();
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// What is written to.
pub(super) enum Out {
    /// One file. `written`: the bytes it holds, all of them whole blocks.
    File { file: File, written: u64, special: bool },
    /// Somebody who reads along.
    Reader(Box<dyn Write + Send>),
    /// One file after the other.
    Folder(Box<Folder>),
}

impl Out {
    /// Opens a file, private to its owner; one that is no capture is left alone.
    pub(super) fn file(path: &Path) -> io::Result<Self> {
        let (file, special) = open(path).map_err(|error| named(path, error))?;
        Ok(Self::File { file, written: 0, special })
    }

    /// Writes whole blocks. After an error the file ends with the last that fitted.
    pub(super) fn write(&mut self, blocks: &[u8]) -> io::Result<()> {
        match self {
            Self::File { file, written, .. } => write(file, written, blocks),
            Self::Reader(reader) => reader.write_all(blocks).and_then(|()| reader.flush()),
            Self::Folder(folder) => folder.write(blocks),
        }
    }

    /// Whether somebody reads along, and should not wait.
    pub(super) const fn is_read_along(&self) -> bool {
        matches!(self, Self::Reader(_) | Self::File { special: true, .. })
    }

    /// Whether another file is to be begun before more is written; `waiting` is what is not written yet.
    pub(super) fn is_due(&self, waiting: usize, at: Timestamp) -> bool {
        matches!(self, Self::Folder(folder) if folder.is_due(waiting, at))
    }

    /// Goes on in another file.
    pub(super) fn next(&mut self, at: Timestamp) -> io::Result<()> {
        match self {
            Self::Folder(folder) => folder.next(at),
            Self::File { .. } | Self::Reader(_) => Ok(()),
        }
    }

    /// A directory for files that follow one another.
    pub(super) fn folder(path: &Path, rotation: Rotation, now: Timestamp) -> io::Result<Self> {
        Ok(Self::Folder(Box::new(Folder::open(path, rotation, now)?)))
    }
}

#[cfg(test)]
impl Out {
    /// A disk that is full.
    pub(super) fn full() -> Self {
        let file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        Self::File { file, written: 0, special: true }
    }
}

impl fmt::Debug for Out {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { written, .. } => f.debug_struct("File").field("written", written).finish_non_exhaustive(),
            Self::Reader(_) => f.write_str("Reader"),
            Self::Folder(folder) => folder.fmt(f),
        }
    }
}

/// Writes to a file of which `written` bytes are whole, and cuts back what did not fit.
pub(super) fn write(file: &mut File, written: &mut u64, blocks: &[u8]) -> io::Result<()> {
    if let Err(error) = file.write_all(blocks) {
        let _ = file.set_len(*written); // a device has no length
        return Err(error);
    }
    *written = written.saturating_add(blocks.len() as u64);
    Ok(())
}

/// What stands where a capture is to be.
enum Before {
    Nothing,
    /// An earlier capture, or an empty file.
    Replaceable,
    /// A named pipe or a device.
    Special,
}

fn before(path: &Path) -> io::Result<Before> {
    let refuse = |why| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    match fs::symlink_metadata(path) {
        Ok(old) if old.is_dir() => refuse("is a directory; name a file in it"),
        Ok(old) if old.is_symlink() => refuse("is a symbolic link; name the file itself"),
        Ok(old) if old.is_file() && !may_be_replaced(path)? => {
            refuse("is no pcapng capture and is left as it is; name another file, or remove it first")
        }
        Ok(old) if old.is_file() => Ok(Before::Replaceable),
        Ok(_) => Ok(Before::Special),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Before::Nothing),
        Err(e) => Err(e),
    }
}

/// Opens the file, private to its owner; says whether it is none but a pipe or a device.
fn open(path: &Path) -> io::Result<(File, bool)> {
    match before(path)? {
        Before::Special => return Ok((OpenOptions::new().write(true).open(path)?, true)),
        Before::Replaceable => fs::remove_file(path)?,
        Before::Nothing => {}
    }
    Ok((create_new(path)?, false))
}

/// Makes a file that was not there, private to its owner.
pub(super) fn create_new(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Whether a regular file is empty or begins as a pcapng capture does.
pub(super) fn may_be_replaced(path: &Path) -> io::Result<bool> {
    const SECTION_HEADER: &[u8] = &[0x0a, 0x0d, 0x0d, 0x0a];
    let mut start = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut start)?;
    Ok(start.is_empty() || start == SECTION_HEADER)
}
