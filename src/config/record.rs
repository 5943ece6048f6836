//! How a capture is written: files that follow one another, what is left out, what becomes of everything when the disk is full.

use super::duration::DurationKey;
use super::keys::Wrong;
use super::size::SizeKey;
use std::ops::Range;
use toml::Spanned;

/// A file of a capture is not smaller...
const LEAST_SIZE: u64 = 10_000;
/// ...nor larger.
const MOST_SIZE: u64 = 1 << 40;
/// Of a file in a directory, if nothing is said.
const USUAL_SIZE: u64 = 100_000_000;
/// If only the total is said, so many files have room in it.
const FILES: u64 = 10;

/// What becomes of the sessions when a capture cannot be written any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum OnRecordFailure {
    /// They go on, unrecorded.
    #[default]
    Continue,
    /// They are ended in order, and the process with them.
    Stop,
}

/// How a capture is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// The names of files in a directory, as for `strftime`.
    pub name: String,
    /// Another file begins after so many bytes.
    pub size: Option<u64>,
    /// Another file begins after this time, in microseconds.
    pub every: Option<u64>,
    /// All files together have no more bytes.
    pub total: Option<u64>,
    /// Only stanzas for which this expression over `stanza` is true.
    pub filter: Option<String>,
    /// Rather miss events than hold up sessions.
    pub lossy: bool,
    /// Write secrets as they are.
    pub secrets: bool,
    /// What becomes of the sessions when it fails.
    pub failure: OnRecordFailure,
}

impl Default for Recording {
    fn default() -> Self {
        Self {
            name: "%Y-%m-%d_%H%M%S.pcapng".to_owned(),
            size: None,
            every: None,
            total: None,
            filter: None,
            lossy: false,
            secrets: false,
            failure: OnRecordFailure::default(),
        }
    }
}

impl Recording {
    /// After how many bytes another file begins.
    #[must_use]
    pub fn file_size(&self) -> u64 {
        let share = self.total.map_or(USUAL_SIZE, |total| (total / FILES).min(USUAL_SIZE));
        self.size.unwrap_or(share).max(LEAST_SIZE)
    }

    /// Whether anything is said that only a directory can heed; what.
    #[must_use]
    pub fn needs_directory(&self) -> Option<&'static str> {
        let usual = Self::default();
        let said = [
            ("record_size", self.size.is_some()),
            ("record_every", self.every.is_some()),
            ("record_total", self.total.is_some()),
            ("record_name", self.name != usual.name),
        ];
        said.into_iter().find_map(|(key, said)| said.then_some(key))
    }

    /// What does not go together, in the words of the command line.
    pub(super) fn check(&self) -> Result<(), String> {
        if let Some(size) = self.size.filter(|size| !(LEAST_SIZE..=MOST_SIZE).contains(size)) {
            return Err(format!("--record-size {size}: must be from {LEAST_SIZE} to {MOST_SIZE} bytes"));
        }
        let least = self.file_size().saturating_mul(2);
        match self.total {
            Some(total) if total < least => {
                Err(format!("--record-total {total}: must have room for two files of --record-size, {least} bytes"))
            }
            _ => Ok(()),
        }
    }
}

/// What a file says of it.
#[derive(Default)]
pub(super) struct RecordKeys {
    pub(super) name: Option<Spanned<String>>,
    pub(super) size: Option<Spanned<SizeKey>>,
    pub(super) every: Option<Spanned<DurationKey>>,
    pub(super) total: Option<Spanned<SizeKey>>,
    pub(super) filter: Option<Spanned<String>>,
    pub(super) lossy: Option<bool>,
    pub(super) secrets: Option<bool>,
    pub(super) failure: Option<OnRecordFailure>,
}

impl RecordKeys {
    /// Where the keys stand whose values can only be judged later.
    pub(super) fn spans(&self) -> impl Iterator<Item = (&'static str, Range<usize>)> {
        let spans = [
            ("record_name", self.name.as_ref().map(Spanned::span)),
            ("record_size", self.size.as_ref().map(Spanned::span)),
            ("record_every", self.every.as_ref().map(Spanned::span)),
            ("record_total", self.total.as_ref().map(Spanned::span)),
            ("record_filter", self.filter.as_ref().map(Spanned::span)),
        ];
        spans.into_iter().filter_map(|(key, span)| Some((key, span?)))
    }

    pub(super) fn apply(self, recording: &mut Recording) -> Result<(), Wrong> {
        let last = self.total.as_ref().map(Spanned::span).or_else(|| self.size.as_ref().map(Spanned::span));
        if let Some(name) = self.name {
            recording.name = name.into_inner();
        }
        recording.size = self.size.map(|size| size.into_inner().0);
        recording.every = self.every.map(|every| every.into_inner().0);
        recording.total = self.total.map(|total| total.into_inner().0);
        recording.filter = self.filter.map(Spanned::into_inner);
        recording.lossy = self.lossy.unwrap_or_default();
        recording.secrets = self.secrets.unwrap_or_default();
        recording.failure = self.failure.unwrap_or_default();
        recording.check().map_err(|message| (last.unwrap_or_default(), message))
    }
}
