//! The keys of TLS connections, for those who have recorded the bytes on the wire (tcpdump) and want Wireshark to read them.
//!
//! Takes secrets from rustls, gives lines in the format of NSS to a file that is its owner's alone. Whoever has the file and the bytes
//! reads everything, passwords too: it is written only where it was asked for.

use crate::store::private;
use rustls::KeyLog;
use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Writes keys to a file, behind what is there.
pub(super) struct KeyFile {
    path: PathBuf,
    /// None when it could not be written to; that is said once.
    file: Mutex<Option<File>>,
}

impl KeyFile {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path)?;
        if file.metadata()?.is_file() {
            private::keep(path, "the keys of TLS connections")?;
        }
        Ok(Self { path: path.to_owned(), file: Mutex::new(Some(file)) })
    }
}

impl KeyLog for KeyFile {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        // In one write, so that two programs may have the same file.
        let line = format!("{label} {} {}\n", hex(client_random), hex(secret));
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Err(error)) = file.as_mut().map(|file| file.write_all(line.as_bytes())) {
            tracing::error!(path = %self.path.display(), %error, "no more TLS keys are written; is the disk full?");
            *file = None;
        }
    }
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyFile").field("path", &self.path).finish_non_exhaustive()
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}"); // writing to a string cannot fail
    }
    text
}
