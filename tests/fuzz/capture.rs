//! The capture reader: any bytes as a file, and what it tells to whoever replays it.
//!
//! No more comes out than went in, and a tape that was read can be played, whatever is in it.

use iqtap::capture::read::{Event, Options, Reader};
use iqtap::policy::{Policy, Route, VaultLimits};
use iqtap::replay::rerun::{Law, Tape, replay};
use iqtap::store::MemoryStore;
use std::sync::Arc;

pub(crate) fn run(data: &[u8]) {
    let events = read(data);
    let bytes: usize =
        events.iter().map(|event| if let Event::Item(item) = event { item.bytes.len() } else { 0 }).sum();
    assert!(bytes <= data.len(), "{bytes} bytes of items from {} bytes", data.len());
    // A packet of somebody's takes more than 16 bytes, and an item at least one.
    assert!(events.len() <= 16 + data.len(), "{} events from {} bytes", events.len(), data.len());
    let tape = Tape::read(events);
    let policy = Arc::new(Policy::default());
    let law = Law {
        route: Route::default(),
        policy: &|_| Arc::clone(&policy),
        vault: VaultLimits::default(),
        store: MemoryStore::new(),
    };
    let replayed = replay(&tape, law);
    assert!(replayed.sessions.len() <= tape.sessions(), "more sessions were played than recorded");
}

/// All that a file tells.
pub(super) fn read(data: &[u8]) -> Vec<Event> {
    let Ok(mut reader) = Reader::new(data, &Options::default()) else { return Vec::new() };
    let events: Vec<Event> = reader.by_ref().collect();
    assert!(reader.position() <= data.len() as u64, "it has read behind the end");
    events
}
