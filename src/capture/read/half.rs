//! One direction of a TCP connection: its bytes in their order, whatever the order in which they came.
//!
//! Takes segments, gives pieces of the byte stream, holes where bytes were lost, and what became of it. Of bytes that came
//! twice the first count; that the second were others is told, as far as the last [`RECENT_BYTES`] are remembered. Must
//! not look into the bytes, nor wait for ever for what was lost: what came behind a gap is kept up to [`WAITING_BYTES`], and the
//! gap is a hole as soon as the other end has acknowledged what is behind it and [`PATIENCE`] packets did not fill it
//! (segments may have been recorded in another order than they were sent), or when the connection ends.

use super::Mark;
use std::collections::BTreeMap;

/// What may wait behind a gap.
const WAITING_BYTES: usize = 4 << 20;
/// In so many pieces.
const WAITING_PIECES: usize = 4096;
/// Packets of a conversation after which acknowledged bytes are not waited for any more.
const PATIENCE: u32 = 32;
/// Bytes remembered to compare with those that come again.
const RECENT_BYTES: usize = 8 << 10;
/// A sequence number further ahead belongs to no window.
const FAR: i64 = 64 << 20;

/// What comes out.
pub(super) enum Piece<'a> {
    /// The bytes that come next, as they stood in one segment.
    Bytes(&'a [u8], Mark),
    /// So many bytes were lost.
    Hole(u64),
    /// So many bytes came again, and were others.
    Differ(u64),
}

/// The state of one direction.
#[derive(Debug, Default)]
pub(super) struct Half {
    /// The sequence number of the byte that comes next, once any is known.
    next: Option<u32>,
    /// The sequence number of the SYN, if it was seen.
    isn: Option<u32>,
    /// Bytes given out or given up.
    done: u64,
    waiting: BTreeMap<u64, (Vec<u8>, Mark)>,
    waiting_bytes: usize,
    /// Where the stream ends.
    fin: Option<u64>,
    /// Up to where the other end has all.
    acked: u64,
    /// Packets since the other end had acknowledged what is missing here.
    impatience: u32,
    recent: Vec<u8>,
}

impl Half {
    /// A SYN of this direction.
    pub(super) fn syn(&mut self, seq: u32) {
        if self.next.is_none() {
            (self.next, self.isn) = (Some(seq.wrapping_add(1)), Some(seq));
        }
    }

    /// Whether a SYN of this direction with that number begins another connection than the one at hand.
    pub(super) fn is_another(&self, seq: u32) -> bool {
        self.next.is_some() && self.isn != Some(seq)
    }

    /// Whether all of it has come.
    pub(super) fn is_over(&self) -> bool {
        self.fin.is_some_and(|fin| self.done >= fin)
    }

    /// Whether it is known where it ends.
    pub(super) fn has_end(&self) -> bool {
        self.fin.is_some()
    }

    /// Bytes kept.
    pub(super) fn weight(&self) -> usize {
        self.waiting_bytes + self.recent.capacity()
    }

    /// A segment of this direction.
    pub(super) fn segment(&mut self, seq: u32, payload: &[u8], fin: bool, mark: Mark, out: &mut dyn FnMut(Piece<'_>)) {
        let next = *self.next.get_or_insert(seq);
        // Serial number arithmetic: nothing is further away than half of what 32 bits count.
        let ahead = i64::from(seq.wrapping_sub(next).cast_signed());
        let start = i64::try_from(self.done).unwrap_or(i64::MAX).saturating_add(ahead);
        let keep_alive = ahead == -1 && payload.len() <= 1;
        if ahead > FAR || keep_alive {
            return;
        }
        let end = start.saturating_add(i64::try_from(payload.len()).unwrap_or(i64::MAX));
        if let Some(end) = u64::try_from(end).ok().filter(|_| fin) {
            self.fin.get_or_insert(end);
        }
        let payload = self.skip_old(start, payload, out);
        let start = u64::try_from(start).unwrap_or(0).max(self.done);
        if payload.is_empty() {
        } else if start == self.done && self.waiting.is_empty() {
            self.give(payload, mark, out);
        } else {
            self.keep(start, payload, mark, out);
            self.give_waiting(out);
        }
        if self.waiting_bytes > WAITING_BYTES || self.waiting.len() > WAITING_PIECES {
            self.give_up(out);
        }
    }

    /// The other end has acknowledged all bytes before this number.
    pub(super) fn acknowledged(&mut self, ack: u32) {
        let Some(next) = self.next else { return };
        let ahead = i64::from(ack.wrapping_sub(next).cast_signed());
        let upto = i64::try_from(self.done).unwrap_or(i64::MAX).saturating_add(ahead);
        if ahead <= FAR {
            self.acked = self.acked.max(u64::try_from(upto).unwrap_or(0));
        }
    }

    /// Another packet of the conversation went by.
    pub(super) fn passes(&mut self, out: &mut dyn FnMut(Piece<'_>)) {
        let behind = self.waiting.first_key_value().map(|(start, _)| *start).or(self.fin);
        if behind.is_none_or(|behind| behind <= self.done || self.acked < behind) {
            self.impatience = 0;
            return;
        }
        self.impatience += 1;
        if self.impatience > PATIENCE {
            self.give_up(out);
        }
    }

    /// Nothing more will come: what waits is given out, with the holes between.
    pub(super) fn end(&mut self, out: &mut dyn FnMut(Piece<'_>)) {
        while !self.waiting.is_empty() {
            self.give_up(out);
        }
        if let Some(lost) = self.fin.and_then(|fin| fin.checked_sub(self.done)).filter(|lost| *lost > 0) {
            self.pass_over(lost, out);
        }
    }

    /// What is missing before what waits (or before the end) is lost.
    fn give_up(&mut self, out: &mut dyn FnMut(Piece<'_>)) {
        self.impatience = 0;
        let behind = self.waiting.first_key_value().map(|(start, _)| *start).or(self.fin);
        if let Some(lost) = behind.and_then(|behind| behind.checked_sub(self.done)).filter(|lost| *lost > 0) {
            self.pass_over(lost, out);
        }
        self.give_waiting(out);
    }

    fn pass_over(&mut self, lost: u64, out: &mut dyn FnMut(Piece<'_>)) {
        self.advance(lost);
        self.recent.clear();
        out(Piece::Hole(lost));
    }

    /// Takes off what came before, and compares it.
    fn skip_old<'a>(&self, start: i64, payload: &'a [u8], out: &mut dyn FnMut(Piece<'_>)) -> &'a [u8] {
        let done = i64::try_from(self.done).unwrap_or(i64::MAX);
        let Some(old) = usize::try_from(done.saturating_sub(start)).ok().filter(|old| *old > 0) else { return payload };
        let (again, new) = payload.split_at(old.min(payload.len()));
        // Where `again` begins in what is remembered; what is older is not compared.
        let from = self.recent.len().checked_sub(old);
        let (known, again) = match from {
            Some(from) => (self.recent.get(from..).unwrap_or_default(), again),
            None => (self.recent.as_slice(), again.get(old - self.recent.len()..).unwrap_or_default()),
        };
        differ(known, again, out);
        new
    }

    /// Keeps what came too early, but for what is kept already.
    fn keep(&mut self, start: u64, payload: &[u8], mark: Mark, out: &mut dyn FnMut(Piece<'_>)) {
        let end = start.saturating_add(payload.len() as u64);
        let mut at = start;
        let mut fresh = Vec::new();
        let first = self.waiting.range(..=start).next_back().map_or(start, |(start, _)| *start);
        for (known_start, (known, _)) in self.waiting.range(first..end) {
            let known_end = known_start.saturating_add(known.len() as u64);
            if known_end <= at {
                continue;
            }
            if *known_start > at {
                fresh.push((at, *known_start));
            }
            let (from, to) = (at.max(*known_start), end.min(known_end));
            differ(cut(known, *known_start, from, to), cut(payload, start, from, to), out);
            at = known_end;
        }
        if at < end {
            fresh.push((at, end));
        }
        for (from, to) in fresh {
            let piece = cut(payload, start, from, to).to_vec();
            self.waiting_bytes += piece.len();
            let mark = if from == start { mark.clone() } else { Mark { said: None, ..mark.clone() } };
            self.waiting.insert(from, (piece, mark));
        }
    }

    fn give_waiting(&mut self, out: &mut dyn FnMut(Piece<'_>)) {
        while let Some(first) = self.waiting.first_entry().filter(|first| *first.key() <= self.done) {
            let (piece, mark) = first.remove();
            self.waiting_bytes = self.waiting_bytes.saturating_sub(piece.len());
            self.give(&piece, mark, out);
        }
    }

    fn give(&mut self, bytes: &[u8], mark: Mark, out: &mut dyn FnMut(Piece<'_>)) {
        // Nothing comes behind the end.
        let room = self.fin.map_or(u64::MAX, |fin| fin.saturating_sub(self.done));
        let bytes = bytes.get(..usize::try_from(room).unwrap_or(usize::MAX)).unwrap_or(bytes);
        self.advance(bytes.len() as u64);
        self.remember(bytes);
        if !bytes.is_empty() {
            out(Piece::Bytes(bytes, mark));
        }
    }

    fn advance(&mut self, count: u64) {
        self.done += count;
        // Modulo 2^32, as sequence numbers are.
        let count = u32::try_from(count & u64::from(u32::MAX)).unwrap_or(0);
        self.next = self.next.map(|next| next.wrapping_add(count));
    }

    fn remember(&mut self, bytes: &[u8]) {
        let bytes = bytes.get(bytes.len().saturating_sub(RECENT_BYTES)..).unwrap_or(bytes);
        if self.recent.len() + bytes.len() > 2 * RECENT_BYTES {
            let old = self.recent.len() - (RECENT_BYTES - bytes.len()).min(self.recent.len());
            self.recent.drain(..old);
        }
        self.recent.extend_from_slice(bytes);
    }
}

/// A part of bytes that begin at `start` of a stream.
fn cut(bytes: &[u8], start: u64, from: u64, to: u64) -> &[u8] {
    let place = |at: u64| usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX);
    bytes.get(place(from)..place(to)).unwrap_or_default()
}

fn differ(known: &[u8], again: &[u8], out: &mut dyn FnMut(Piece<'_>)) {
    let others = known.iter().zip(again).filter(|(one, other)| one != other).count() as u64;
    if others > 0 {
        out(Piece::Differ(others));
    }
}
