//! Notes made by hand, and a recorder to give them to.
#![allow(dead_code, reason = "each test file uses a part of this module")]

use bytes::Bytes;
use iqtap::capture::Recorder;
use iqtap::session::{Dir, Fate, Note, Origin, Seen, What};
use iqtap::xmpp::{Kind, Side, Timestamp};
use std::path::PathBuf;
use tempfile::TempDir;

/// 2023-11-14 22:13:20 UTC
pub(crate) const START: Timestamp = Timestamp(1_700_000_000_000_000);

/// A recorder on a file of its own; each note comes a millisecond after the one before.
pub(crate) struct Tape {
    recorder: Recorder,
    dir: TempDir,
    at: Timestamp,
    number: u64,
}

impl Tape {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let recorder = Recorder::create(&dir.path().join("tape.pcapng"), "iqtap 0.0.0-test").unwrap();
        Self { recorder, dir, at: START, number: 0 }
    }

    /// Records one item; gives its number.
    pub(crate) fn item(&mut self, side: Side, dir: Dir, bytes: impl Into<Bytes>) -> u64 {
        self.number += 1;
        let seen = seen(side, dir, self.number, bytes.into());
        self.note(1, &Note::Seen(Box::new(seen)));
        self.number
    }

    pub(crate) fn note(&mut self, session: u64, note: &Note) {
        self.at = Timestamp(self.at.0 + 1000);
        self.recorder.note(session, "203.0.113.9:40000", self.at, note).unwrap();
    }

    /// The file, whole; it lives as long as the directory does.
    pub(crate) fn finish(self) -> (TempDir, PathBuf) {
        self.recorder.finish().unwrap();
        let path = self.dir.path().join("tape.pcapng");
        (self.dir, path)
    }
}

/// An item as the session tells of it, told from its first bytes.
pub(crate) fn seen(side: Side, dir: Dir, number: u64, bytes: Bytes) -> Seen {
    let what = match bytes.as_ref() {
        b if b.starts_with(b"<?xml") || b.starts_with(b"<stream:stream") || b.starts_with(b"<stream ") => What::Header,
        b if b.starts_with(b"</") => What::Close,
        b if b.starts_with(b"<iq") || b.starts_with(b"<s:iq") => What::Stanza(Kind::Iq),
        b if b.starts_with(b"<message") => What::Stanza(Kind::Message),
        b if b.starts_with(b"<presence") => What::Stanza(Kind::Presence),
        b if b.starts_with(b"<") => What::Other,
        _ => What::Space,
    };
    let origin = match dir {
        Dir::In => Origin::Peer,
        Dir::Out => Origin::Forwarded(number - 1),
    };
    Seen {
        side,
        dir,
        number,
        what,
        bytes,
        stanza: None,
        fate: Fate::Passed,
        origin,
        findings: Vec::new(),
        pair: None,
        tags: Vec::new(),
    }
}
