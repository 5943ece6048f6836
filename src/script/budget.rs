//! How much XML one run of a hook may build and look at, besides what Rhai counts.
//!
//! Rhai's limits know operations, strings and arrays; a single operation here can copy or search a whole stanza. Counted per
//! thread, as a hook runs to its end on one. Must not count what a stanza brings along: the scanner's limits did that.

use super::engine::{Fallible, fail};
use std::cell::Cell;

/// Elements and bytes that one run may build or copy: memory.
const ELEMENTS: usize = 25_000;
const BYTES: usize = 1 << 20;
/// Elements that one run may look at: time. So many bytes that are written or read count as one.
const LOOKS: usize = 2_000_000;
const BYTES_A_LOOK: usize = 16;
/// Reading an XML text takes as long as this many looks, however short it is (measured: 5 to 10 us).
const LOOKS_A_TEXT: usize = 500;

#[derive(Clone, Copy)]
struct Left {
    elements: usize,
    bytes: usize,
    looks: usize,
    loading: bool,
}

const ALL: Left = Left { elements: ELEMENTS, bytes: BYTES, looks: LOOKS, loading: false };
const NONE: Left = Left { elements: 0, bytes: 0, looks: 0, loading: false };

thread_local! {
    static LEFT: Cell<Left> = const { Cell::new(ALL) };
}

/// A run begins: of a hook, or of what stands outside the functions when a script is loaded.
pub(super) fn begin(loading: bool) {
    LEFT.set(Left { loading, ..ALL });
}

/// Whether a script is being loaded and no hook runs.
pub(super) fn loading() -> bool {
    LEFT.get().loading
}

/// XML is built, so many elements and bytes of it.
pub(super) fn build(elements: usize, bytes: usize) -> Fallible<()> {
    let left = LEFT.get();
    match (left.elements.checked_sub(elements), left.bytes.checked_sub(bytes)) {
        (Some(elements), Some(bytes)) => {
            LEFT.set(Left { elements, bytes, ..left });
            Ok(())
        }
        _ => spent(format!(
            "over the limit of size: one run of a hook may build and change {ELEMENTS} elements and {BYTES} bytes of XML"
        )),
    }
}

/// An XML text of so many bytes will be read.
pub(super) fn parse(bytes: usize) -> Fallible<()> {
    look(LOOKS_A_TEXT)?;
    build(0, bytes)
}

/// So many elements were looked at.
pub(super) fn look(elements: usize) -> Fallible<()> {
    let left = LEFT.get();
    match left.looks.checked_sub(elements) {
        Some(looks) => {
            LEFT.set(Left { looks, ..left });
            Ok(())
        }
        None => spent(format!(
            "it ran too long: one run of a hook may look at {LOOKS} elements (reading an XML text counts as {LOOKS_A_TEXT})"
        )),
    }
}

/// So many bytes were read or written.
pub(super) fn read(bytes: usize) -> Fallible<()> {
    look(bytes / BYTES_A_LOOK)
}

/// A script may catch this, but then nothing more is done for it: whoever does much looks once before it begins.
fn spent(why: String) -> Fallible<()> {
    LEFT.set(Left { loading: loading(), ..NONE });
    fail(why)
}
