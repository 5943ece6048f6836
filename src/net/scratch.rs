//! What the sessions of one thread share so that an idle one owns no buffer: a big scratch to read into, and a few
//! empty output buffers. Nothing here may be held over an `await`.

use bytes::BytesMut;
use std::cell::RefCell;

/// One read takes up to this much.
pub(super) const SCRATCH_BYTES: usize = 64 * 1024;
/// A buffer that grew beyond this is freed rather than kept.
const KEEP_BYTES: usize = 128 * 1024;
/// Empty buffers kept per thread.
const KEEP_BUFFERS: usize = 8;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice());
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// Lends this thread's scratch. Calls must not nest.
pub(super) fn with_scratch<R>(work: impl FnOnce(&mut [u8]) -> R) -> R {
    SCRATCH.with_borrow_mut(|scratch| work(scratch))
}

/// Makes sure `buffer` has some room, from this thread's spares if there is one.
pub(super) fn lend(buffer: &mut BytesMut) {
    if buffer.capacity() == 0
        && let Some(spare) = SPARE.with_borrow_mut(Vec::pop)
    {
        *buffer = spare;
    }
}

/// Takes back an empty buffer; leaves one that still holds something.
pub(super) fn take_back(buffer: &mut BytesMut) {
    if !buffer.is_empty() || buffer.capacity() == 0 {
        return;
    }
    let buffer = std::mem::take(buffer);
    if buffer.capacity() <= KEEP_BYTES {
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < KEEP_BUFFERS {
                spare.push(buffer);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emptied_buffer_goes_round_and_a_huge_one_is_freed() {
        let mut buffer = BytesMut::with_capacity(4096);
        buffer.extend_from_slice(b"x");
        take_back(&mut buffer);
        assert_eq!(&buffer[..], b"x", "still needed");
        buffer.clear();
        take_back(&mut buffer);
        assert_eq!(buffer.capacity(), 0);
        let mut other = BytesMut::new();
        lend(&mut other);
        assert!(other.capacity() > 0);

        let mut huge = BytesMut::with_capacity(KEEP_BYTES + 1);
        take_back(&mut huge);
        let mut next = BytesMut::new();
        lend(&mut next);
        assert_eq!(next.capacity(), 0);
    }
}
