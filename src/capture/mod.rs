//! Captures: what passed by, as a pcapng file that Wireshark and `tshark -r FILE` read as XMPP without any option.
//!
//! Takes [`Note`]s of any number of sessions, in the order they were made; gives one file. Must not let a secret
//! reach the file (see `redact`), know a socket or a task, or read a clock: time comes with each note.
//!
//! # The file, format 1
//!
//! * The section header names the program (`shb_userappl`) and the format (its comment, [`FORMAT`]).
//! * Interface 0 is the client's leg, interface 1 the server's. Times are microseconds; they are stored in
//!   nanoseconds (`if_tsresol` 9), the one unit in which pcap-file 2 and Wireshark agree.
//! * Around the payload stands made-up IPv4 and TCP. On the client's leg the client calls iqtap, on the server's
//!   leg iqtap calls the server; the port called is always 5222. Each session, leg and TLS epoch is a
//!   conversation of its own with a real handshake; the first packet's comment says who it is.
//! * One item of the stream is one packet; only an item above 60,000 bytes is cut into several segments. The payload
//!   of one direction of a leg's conversations, joined, is the plaintext stream (secrets replaced).
//! * The packet's comment says what became of the item, or where it comes from; of an IQ answer also how long after its
//!   request it came.
//! * A conversation ends with FIN if either stream was closed by `</stream:stream>`, or goes on behind TLS; with RST
//!   if it was lost without a word (who lost it is not known here: the RST is drawn as the peer's); with neither if
//!   the recording ended first.

mod comment;
mod copy;
mod disguise;
mod pcapng;
pub mod read;
mod redact;
mod tcp;

pub use copy::{Copied, Copier};
pub use disguise::{Disguise, Wishes};

use crate::session::{Dir, Note, Seen, What};
use crate::xmpp::{Side, Timestamp};
use pcapng::Blocks;
use redact::{Header, Redactor};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use tcp::{End, Talk};

/// The version of the capture format, written into the section header.
pub const FORMAT: u32 = 1;

/// Blocks are handed to the file when this many bytes are waiting.
const SPILL_BYTES: usize = 64 * 1024;

/// Writes a capture.
///
/// After an error the recorder is deaf: the file is cut back to its last whole block, later calls do nothing, so that
/// a full disk costs one message and no traffic; [`Recorder::finish`] says it once more.
#[derive(Debug)]
pub struct Recorder {
    file: File,
    /// Bytes the file holds, all of them whole blocks.
    written: u64,
    /// What stopped us.
    failed: Option<io::ErrorKind>,
    blocks: Blocks,
    redactor: Redactor,
    sessions: HashMap<u64, [Leg; 2]>,
}

/// One leg of a session.
#[derive(Debug, Default)]
struct Leg {
    /// Counts the conversations of this leg.
    epoch: u16,
    /// The conversation, from its first item on.
    talk: Option<Talk>,
    /// What the TLS handshake agreed on, for people.
    tls: Option<String>,
    /// The stream headers last seen, by [`Dir`]: what the items that follow stand under.
    headers: [Option<Header>; 2],
    /// Who closed the stream first.
    closed: Option<End>,
}

impl Recorder {
    /// Begins a capture. An earlier pcapng capture of that name, or an empty file, is replaced; any other file is refused.
    /// A named pipe or a device is written to as it is.
    /// `app` goes into the section header: `iqtap 0.1.0`. The file's mode is 0600: captures hold private talk.
    ///
    /// # Errors
    /// If the path is a directory, a symbolic link or a file that is no capture, its directory is missing, or the system says no.
    pub fn create(path: &Path, app: &str) -> io::Result<Self> {
        let file = open(path).map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
        let mut recorder = Self {
            file,
            written: 0,
            failed: None,
            blocks: Blocks::new(app)?,
            redactor: Redactor::new(),
            sessions: HashMap::new(),
        };
        recorder.flush()?;
        Ok(recorder)
    }

    /// Records one note of a session; what is neither an item, nor TLS, nor the end, is not recorded.
    ///
    /// # Errors
    /// If the file cannot be written to (see [`Recorder`]).
    pub fn note(&mut self, session: u64, peer: &str, at: Timestamp, note: &Note) -> io::Result<()> {
        if self.failed.is_some() {
            return Ok(());
        }
        match note {
            Note::Seen(seen) => self.seen(session, peer, at, seen)?,
            Note::Tls(side, info) => {
                let leg = &mut self.sessions.entry(session).or_default()[side.index()];
                if let Some(talk) = leg.talk.take() {
                    talk.close(End::Caller, at, "goes on behind TLS", &mut self.blocks)?;
                }
                *leg = Leg { epoch: leg.epoch.wrapping_add(1), tls: Some(comment::tls(info)), ..Leg::default() };
            }
            Note::Over(_) => {
                for (leg, side) in
                    self.sessions.remove(&session).into_iter().flatten().zip([Side::Client, Side::Server])
                {
                    leg.end(side, at, &mut self.blocks)?;
                }
            }
            _ => return Ok(()),
        }
        if self.blocks.waiting() >= SPILL_BYTES { self.flush() } else { Ok(()) }
    }

    /// Hands what waits to the system.
    ///
    /// # Errors
    /// If the file cannot be written to (see [`Recorder`]).
    pub fn flush(&mut self) -> io::Result<()> {
        if self.failed.is_some() {
            return Ok(());
        }
        let waiting = self.blocks.bytes();
        if let Err(e) = self.file.write_all(waiting) {
            self.failed = Some(e.kind());
            self.blocks.clear();
            let _ = self.file.set_len(self.written);
            return Err(e);
        }
        self.written = self.written.saturating_add(waiting.len() as u64);
        self.blocks.clear();
        Ok(())
    }

    /// Ends the capture. Conversations still open stay open in the file.
    ///
    /// # Errors
    /// If the file cannot be written to, or could not be before.
    pub fn finish(mut self) -> io::Result<()> {
        match self.failed {
            Some(kind) => Err(kind.into()),
            None => self.flush(),
        }
    }

    fn seen(&mut self, session: u64, peer: &str, at: Timestamp, seen: &Seen) -> io::Result<()> {
        if seen.bytes.is_empty() {
            return Ok(());
        }
        let leg = &mut self.sessions.entry(session).or_default()[seen.side.index()];
        let way = usize::from(seen.dir == Dir::Out);
        let end = End::sender(seen.side, seen.dir);
        let payload = self.redactor.clean(seen.what, &seen.bytes, leg.headers[way].as_ref());
        let talk = match &mut leg.talk {
            Some(talk) => talk,
            None => {
                let hello = comment::hello(session, seen.side, peer, leg.tls.as_deref());
                leg.talk.insert(Talk::open(session, seen.side, leg.epoch, at, &hello, &mut self.blocks)?)
            }
        };
        talk.send(end, at, &payload, seen.number, &comment::item(seen), &mut self.blocks)?;
        match seen.what {
            What::Header => leg.headers[way] = Some(self.redactor.header(&seen.bytes)),
            What::Close => leg.closed = leg.closed.or(Some(end)),
            _ => {}
        }
        Ok(())
    }
}

impl Leg {
    /// The session is over: ends the conversation as the streams ended.
    fn end(self, side: Side, at: Timestamp, blocks: &mut Blocks) -> io::Result<()> {
        let Some(talk) = self.talk else { return Ok(()) };
        match self.closed {
            Some(end) => talk.close(end, at, "the stream was closed", blocks),
            None => talk.reset(End::sender(side, Dir::In), at, "ended without </stream:stream>", blocks),
        }
    }
}

/// Says whether [`Recorder::create`] would take a path, as far as can be known without touching anything.
///
/// # Errors
/// What is wrong with it.
pub fn check(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let found = match before(path) {
        Ok(Before::Nothing) if !folder.is_dir() => Err(io::Error::other("the folder it should be in does not exist")),
        found => found.map(drop),
    };
    found.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))
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

/// Opens the file, private to its owner.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true);
    match before(path)? {
        Before::Special => return options.open(path),
        Before::Replaceable => fs::remove_file(path)?,
        Before::Nothing => {}
    }
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.create_new(true).open(path)
}

/// Whether a regular file is empty or begins as a pcapng capture does.
fn may_be_replaced(path: &Path) -> io::Result<bool> {
    const SECTION_HEADER: &[u8] = &[0x0a, 0x0d, 0x0d, 0x0a];
    let mut start = Vec::new();
    File::open(path)?.take(4).read_to_end(&mut start)?;
    Ok(start.is_empty() || start == SECTION_HEADER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::TlsInfo;

    #[test]
    fn a_full_disk_is_told_once_and_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let mut recorder = Recorder::create(&dir.path().join("a"), "iqtap").unwrap();
        recorder.file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let note = Note::Tls(Side::Client, TlsInfo::default());
        recorder.blocks.frame.extend([0; 100]);
        recorder.blocks.packet(0, Timestamp(0), None).unwrap();
        assert_eq!(recorder.flush().unwrap_err().kind(), io::ErrorKind::StorageFull);
        recorder.note(1, "", Timestamp(0), &note).unwrap();
        recorder.flush().unwrap();
        assert_eq!(recorder.finish().unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
