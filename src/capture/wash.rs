//! What a capture would hold of what a session says: to compare one with the other.

use super::redact::{Header, Redactor};
use crate::session::{Dir, Seen, What};
use bytes::Bytes;

/// Replaces secrets as a [`super::Recorder`] does, for one session.
#[derive(Debug)]
pub struct Washer {
    redactor: Redactor,
    /// By leg and direction.
    headers: [[Option<Header>; 2]; 2],
}

impl Default for Washer {
    fn default() -> Self {
        Self { redactor: Redactor::new(), headers: Default::default() }
    }
}

impl Washer {
    /// The item's bytes, secrets replaced. Of each leg and direction all items must be shown, in order.
    pub fn wash(&mut self, seen: &Seen) -> Bytes {
        let header = &mut self.headers[seen.side.index()][usize::from(seen.dir == Dir::Out)];
        let clean = self.redactor.clean(seen.what, &seen.bytes, header.as_ref());
        let clean = if *clean == *seen.bytes { seen.bytes.clone() } else { clean.into_owned().into() };
        if seen.what == What::Header {
            *header = Some(self.redactor.header(&seen.bytes));
        }
        clean
    }
}
