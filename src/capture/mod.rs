//! Captures: what passed by, as a pcapng file that Wireshark and `tshark -r FILE` read as XMPP without any option.
//!
//! Takes [`Note`]s of any number of sessions, in the order they were made; gives one file. Must not let a secret
//! reach the file (see `redact`), know a socket or a task, or read a clock: time comes with each note.
//!
//! # The file, format 1
//!
//! * The section header names the program (`shb_userappl`), the format (its first comment, [`FORMAT`]) and the policy in force.
//! * Interface 0 is the client's leg, interface 1 the server's. Times are microseconds; they are stored in
//!   nanoseconds (`if_tsresol` 9), the one unit in which pcap-file 2 and Wireshark agree.
//! * Around the payload stands made-up IPv4 and TCP. On the client's leg the client calls iqtap, on the server's
//!   leg iqtap calls the server; the port called is always 5222. Each session, leg and TLS epoch is a
//!   conversation of its own with a real handshake; the first packet's comment says who it is.
//! * One item of the stream is one packet; only an item above 60,000 bytes is cut into several segments. The payload
//!   of one direction of a leg's conversations, joined, is the plaintext stream (secrets replaced).
//! * The packet's comment says what became of the item, or where it comes from; of an IQ answer also how long after its
//!   request it came. Where the policy is another one than before in this session of this file (or than the section header says), a second comment
//!   says which. The grammar of all comments stands in `comment`.
//! * What happens to a session beside its items stands between them, each on a packet of its own that is none of TCP (`happened`):
//!   with that, `iqtap replay` can let the session happen again.
//! * A conversation ends with FIN if either stream was closed by `</stream:stream>`, or goes on behind TLS; with RST
//!   if it was lost without a word (who lost it is not known here: the RST is drawn as the peer's); with neither if
//!   the recording ended first.
//! * Files that follow one another in a directory are a whole capture each: a conversation that goes on is opened anew, with its
//!   hello and the stream headers that it stands under, which are repeated. What goes on behind a hole (`missed`) is opened anew as
//!   well; a header that nobody has recorded is stood in for by the usual one.
//! * With a filter, stanzas are missing from both streams: counts of stream management (`h`) then count more than there is.

mod comment;
mod copy;
mod disguise;
mod folder;
mod happened;
mod pcapng;
mod place;
pub mod read;
mod redact;
mod tcp;
mod wash;

pub use copy::{Copied, Copier};
pub use disguise::{Disguise, Wishes};
pub use folder::Rotation;
pub use place::Target;
pub use wash::Washer;

use crate::session::{Dir, Happened, Note, Seen, What};
use crate::xmpp::{Side, Timestamp};
use pcapng::Blocks;
use place::Out;
use redact::{Header, Redactor};
use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use tcp::{End, Talk};

/// The version of the capture format, written into the section header.
pub const FORMAT: u32 = 1;

/// Blocks are handed to the file when this many bytes are waiting.
const SPILL_BYTES: usize = 64 * 1024;

/// Which policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// See [`crate::policy::Policy::number`]; 0 if that is not known.
    pub number: u64,
    /// See [`crate::policy::Policy::source`].
    pub source: Arc<str>,
}

/// What a file says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// The program: `iqtap 0.1.0`.
    pub app: String,
    /// The policy in force when it was begun.
    pub policy: Mark,
    /// Secrets are written as they are.
    pub secrets: bool,
    /// Only stanzas that fit this expression are recorded.
    pub filter: Option<String>,
    /// Events may be missing.
    pub lossy: bool,
}

/// Writes a capture.
///
/// After an error the recorder is deaf: the file is cut back to its last whole block, later calls do nothing, so that
/// a full disk costs one message and no traffic; [`Recorder::finish`] says it once more.
#[derive(Debug)]
pub struct Recorder {
    out: Out,
    /// What stopped us.
    failed: Option<io::ErrorKind>,
    section: Section,
    /// The policy that the file's section header names.
    header_policy: u64,
    blocks: Blocks,
    redactor: Redactor,
    /// Counts files and holes: a conversation of an earlier one is opened anew.
    sheet: u64,
    /// What was missed: in this file, and since a conversation was opened last.
    missed: [u64; 2],
    /// Whether anything ever was.
    holed: bool,
    /// When the last note was taken.
    last: Timestamp,
    sessions: HashMap<u64, Seat>,
}

/// A session.
#[derive(Debug, Default)]
struct Seat {
    legs: [Leg; 2],
    policy: Mark,
    /// The policy that the file says its items stand under, and in which sheet that is so.
    said: Option<(u64, u64)>,
}

/// One leg of a session.
#[derive(Debug, Default)]
struct Leg {
    /// Counts the conversations of this leg.
    epoch: u16,
    /// The conversation, from its first item on, and its sheet.
    talk: Option<(u64, Talk)>,
    /// What the TLS handshake agreed on, for people.
    tls: Option<String>,
    /// The stream headers last seen, by [`Dir`]: what the items that follow stand under.
    headers: [Option<Known>; 2],
    /// Who closed the stream first.
    closed: Option<End>,
}

/// A stream header that was recorded.
#[derive(Debug)]
struct Known {
    header: Header,
    number: u64,
    comment: String,
}

impl Recorder {
    /// Begins a capture in a file. An earlier pcapng capture of that name, or an empty file, is replaced; any other file is refused.
    /// A named pipe or a device is written to as it is.
    /// `app` goes into the section header: `iqtap 0.1.0`. The file's mode is 0600: captures hold private talk.
    ///
    /// # Errors
    /// If the path is a directory, a symbolic link or a file that is no capture, its directory is missing, or the system says no.
    pub fn create(path: &Path, app: &str) -> io::Result<Self> {
        Self::file(path, Section { app: app.to_owned(), ..Section::default() })
    }

    /// The same, with more to say of it.
    ///
    /// # Errors
    /// As [`Recorder::create`].
    pub fn file(path: &Path, section: Section) -> io::Result<Self> {
        Self::begin(Out::file(path)?, section)
    }

    /// Begins a capture for a reader.
    ///
    /// # Errors
    /// If it takes nothing.
    pub fn reader(reader: Box<dyn Write + Send>, section: Section) -> io::Result<Self> {
        Self::begin(Out::Reader(reader), section)
    }

    /// Begins a capture in files that follow one another in a directory, which must exist.
    ///
    /// # Errors
    /// If another process records there, or the system says no.
    pub fn folder(path: &Path, rotation: Rotation, section: Section, now: Timestamp) -> io::Result<Self> {
        Self::begin(Out::folder(path, rotation, now)?, section)
    }

    fn begin(out: Out, section: Section) -> io::Result<Self> {
        let mut recorder = Self {
            out,
            failed: None,
            blocks: Blocks::new(&section)?,
            header_policy: section.policy.number,
            section,
            redactor: Redactor::new(),
            sheet: 0,
            missed: [0; 2],
            holed: false,
            last: Timestamp(0),
            sessions: HashMap::new(),
        };
        recorder.flush()?;
        Ok(recorder)
    }

    /// What a session tells from now on stands under this policy.
    pub fn under(&mut self, session: u64, number: u64, source: &Arc<str>) {
        let seat = self.sessions.entry(session).or_default();
        if seat.policy.number != number {
            seat.policy = Mark { number, source: Arc::clone(source) };
        }
        if self.section.policy.number < number {
            self.section.policy = seat.policy.clone(); // for the next file
        }
    }

    /// So many events were not told: whatever went on meanwhile, nobody knows where it stands.
    pub fn missed(&mut self, events: u64) {
        self.missed = self.missed.map(|known| known.saturating_add(events));
        self.holed = true;
        self.sheet += 1;
        self.sessions.clear(); // the end of some may have been missed
    }

    /// Whether somebody reads along, and should not wait for more than the next note.
    #[must_use]
    pub const fn is_read_along(&self) -> bool {
        self.out.is_read_along()
    }

    /// Records one note of a session; what is neither an item, nor TLS, nor the end, nor something that happened, is not recorded.
    ///
    /// # Errors
    /// If the file cannot be written to (see [`Recorder`]).
    pub fn note(&mut self, session: u64, peer: &str, at: Timestamp, note: &Note) -> io::Result<()> {
        if self.failed.is_some() {
            return Ok(());
        }
        self.last = at;
        // Another file begins with an item, or it might hold none.
        if matches!(note, Note::Seen(_)) && self.out.is_due(self.blocks.waiting(), at) {
            self.turn_over(at)?;
        }
        match note {
            Note::Seen(seen) => self.seen(session, peer, at, seen)?,
            Note::Tls(side, info) => {
                let leg = &mut self.sessions.entry(session).or_default().legs[side.index()];
                if let Some((_, talk)) = leg.talk.take().filter(|(sheet, _)| *sheet == self.sheet) {
                    talk.close(End::Caller, at, "goes on behind TLS", &mut self.blocks)?;
                }
                *leg = Leg { epoch: leg.epoch.wrapping_add(1), tls: Some(comment::tls(info)), ..Leg::default() };
            }
            Note::Happened(happened) => self.happened(session, at, happened)?,
            Note::Over(_) => {
                let legs = self.sessions.remove(&session).map(|seat| seat.legs);
                for (leg, side) in legs.into_iter().flatten().zip([Side::Client, Side::Server]) {
                    leg.end(side, at, self.sheet, &mut self.blocks)?;
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
        let done = self.out.write(self.blocks.bytes());
        self.blocks.clear();
        self.survived(done)
    }

    /// Ends the capture. Conversations still open stay open in the file.
    ///
    /// # Errors
    /// If the file cannot be written to, or could not be before.
    pub fn finish(mut self) -> io::Result<()> {
        match self.failed {
            Some(kind) => Err(kind.into()),
            None => self.close_file(),
        }
    }

    /// Ends a file: says what was missed, if anything was.
    fn close_file(&mut self) -> io::Result<()> {
        if self.missed[0] > 0 {
            self.blocks.missed(self.missed[0], self.last)?;
        }
        self.flush()
    }

    /// Goes on in another file.
    fn turn_over(&mut self, at: Timestamp) -> io::Result<()> {
        self.close_file()?;
        let next = self.out.next(at);
        self.survived(next)?;
        self.blocks = Blocks::new(&self.section)?;
        self.header_policy = self.section.policy.number;
        self.missed = [0, self.missed[1]];
        self.sheet += 1;
        self.flush()
    }

    fn survived(&mut self, done: io::Result<()>) -> io::Result<()> {
        if let Err(error) = &done {
            self.failed = Some(error.kind());
        }
        done
    }

    /// Something happened beside the items.
    fn happened(&mut self, session: u64, at: Timestamp, happened: &Happened) -> io::Result<()> {
        self.blocks.frame = happened::packet(session)?;
        self.blocks.packet(0, at, &[&happened::write(session, happened)])
    }

    fn seen(&mut self, session: u64, peer: &str, at: Timestamp, seen: &Seen) -> io::Result<()> {
        if seen.bytes.is_empty() {
            return Ok(());
        }
        let seat = self.sessions.entry(session).or_default();
        let (sheet, blocks) = (self.sheet, &mut self.blocks);
        let leg = &mut seat.legs[seen.side.index()];
        let way = usize::from(seen.dir == Dir::Out);
        let end = End::sender(seen.side, seen.dir);
        if leg.talk.as_ref().is_none_or(|(of, _)| *of != sheet) {
            let missed = std::mem::take(&mut self.missed[1]);
            leg.open(session, seen.side, peer, at, sheet, missed, blocks)?;
        }
        let Some((_, talk)) = &mut leg.talk else { return Ok(()) };
        if self.holed && leg.headers[way].is_none() && seen.what != What::Header {
            talk.send(end, at, redact::HEADER, 0, &[comment::STAND_IN], blocks)?;
            let header = Header::stand_in();
            leg.headers[way] = Some(Known { header, number: 0, comment: comment::STAND_IN.to_owned() });
        }
        let header = leg.headers[way].as_ref().map(|known| &known.header);
        let payload = match self.section.secrets {
            true => (&*seen.bytes).into(),
            false => self.redactor.clean(seen.what, &seen.bytes, header),
        };
        let told = comment::item(seen);
        let policy = seat.policy.number;
        let said = seat.said.filter(|(_, of)| *of == sheet).map_or(self.header_policy, |(number, _)| number);
        if policy == said || policy == 0 {
            talk.send(end, at, &payload, seen.number, &[&told], blocks)?;
        } else {
            talk.send(end, at, &payload, seen.number, &[&told, &comment::policy(&seat.policy)], blocks)?;
            seat.said = Some((policy, sheet));
        }
        match seen.what {
            What::Header => {
                let header = self.redactor.header(&seen.bytes);
                leg.headers[way] = Some(Known { header, number: seen.number, comment: told });
            }
            What::Close => leg.closed = leg.closed.or(Some(end)),
            _ => {}
        }
        Ok(())
    }
}

impl Leg {
    /// Opens a conversation; of one that goes on the stream headers are repeated.
    #[expect(clippy::too_many_arguments, reason = "a conversation's beginning is told by just these")]
    fn open(
        &mut self,
        session: u64,
        side: Side,
        peer: &str,
        at: Timestamp,
        sheet: u64,
        missed: u64,
        blocks: &mut Blocks,
    ) -> io::Result<()> {
        let hello = comment::hello(session, side, peer, self.tls.as_deref());
        let hole = comment::hole(missed);
        let comments = [hello.as_str(), hole.as_str()];
        let comments = if missed > 0 { &comments[..] } else { &comments[..1] };
        // A port of its own, also where there was a hole in the same file.
        let epoch = self.epoch.wrapping_add(u16::try_from(sheet & 0xffff).unwrap_or_default());
        let mut talk = Talk::open(session, side, epoch, at, comments, blocks)?;
        let known = [Dir::In, Dir::Out].into_iter().zip(&self.headers);
        let mut known: Vec<_> = known.filter_map(|(dir, known)| Some((dir, known.as_ref()?))).collect();
        known.sort_by_key(|(_, known)| known.number);
        for (dir, Known { header, number, comment }) in known {
            let comments = [comment.as_str(), comment::AGAIN];
            talk.send(End::sender(side, dir), at, &header.bytes, *number, &comments, blocks)?;
        }
        self.talk = Some((sheet, talk));
        Ok(())
    }

    /// The session is over: ends the conversation as the streams ended.
    fn end(self, side: Side, at: Timestamp, sheet: u64, blocks: &mut Blocks) -> io::Result<()> {
        let Some((_, talk)) = self.talk.filter(|(of, _)| *of == sheet) else { return Ok(()) };
        match self.closed {
            Some(end) => talk.close(end, at, "the stream was closed", blocks),
            None => talk.reset(End::sender(side, Dir::In), at, "ended without </stream:stream>", blocks),
        }
    }
}

/// Says whether [`Recorder`] could write there, as far as can be known without touching anything.
///
/// # Errors
/// What is wrong with it.
pub fn check(path: &Path) -> io::Result<()> {
    Target::of(path).check()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::TlsInfo;

    #[test]
    fn a_full_disk_is_told_once_and_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let mut recorder = Recorder::create(&dir.path().join("a"), "iqtap").unwrap();
        recorder.out = Out::full();
        let note = Note::Tls(Side::Client, TlsInfo::default());
        recorder.blocks.frame.extend([0; 100]);
        recorder.blocks.packet(0, Timestamp(0), &[]).unwrap();
        assert_eq!(recorder.flush().unwrap_err().kind(), io::ErrorKind::StorageFull);
        recorder.note(1, "", Timestamp(0), &note).unwrap();
        recorder.flush().unwrap();
        assert_eq!(recorder.finish().unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
