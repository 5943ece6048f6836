//! Which stanzas are shown, when a filter says so.
//!
//! Takes items as they were seen, gives yes or no. Reads a stanza's bytes anew, under the header of its own stream. What cannot
//! be judged is shown. Must not hold up a session: it is the printer who waits.

use crate::script::Filter;
use crate::session::{Dir, Seen, What};
use crate::xml::{CLIENT_NS, ItemKind, Limits, STREAM_NS, Scanner, Step, View};
use crate::xmpp::Kind;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Whatever was let through is read here.
const LIMITS: Limits = Limits {
    stanza_bytes: 1 << 30,
    elements: u32::MAX,
    depth: Limits::MAX_DEPTH,
    attributes: u32::MAX,
    name_bytes: 1 << 20,
    value_bytes: 1 << 30,
};

/// A filter, and the streams it is looking at.
#[derive(Debug)]
pub struct Sieve {
    filter: Arc<Filter>,
    /// By session, leg and way.
    streams: BTreeMap<(u64, usize, bool), Scanner>,
    /// Whether it was told that the filter fails.
    told: bool,
}

/// What the sieve says of an item.
#[derive(Debug)]
pub enum Sieved {
    /// It fits, or is no stanza.
    Shown,
    /// It does not fit.
    Hidden,
    /// Shown because the filter failed on it; why is to be told.
    Failed(String),
}

impl Sieve {
    /// For any number of sessions.
    #[must_use]
    pub fn new(filter: Arc<Filter>) -> Self {
        Self { filter, streams: BTreeMap::new(), told: false }
    }

    /// Judges an item, if it is a stanza.
    pub fn sift(&mut self, session: u64, seen: &Seen) -> Sieved {
        match seen.what {
            What::Header => {
                self.opened(session, seen);
                Sieved::Shown
            }
            What::Stanza(kind) => match self.judged(session, seen, kind) {
                Ok(true) => Sieved::Shown,
                Ok(false) => Sieved::Hidden,
                Err(_) if self.told => Sieved::Shown,
                Err(why) => {
                    self.told = true;
                    Sieved::Failed(why)
                }
            },
            What::Other | What::Space | What::Close => Sieved::Shown,
        }
    }

    /// A session is over.
    pub fn forget(&mut self, session: u64) {
        self.streams.retain(|(of, ..), _| *of != session);
    }

    fn opened(&mut self, session: u64, seen: &Seen) {
        let mut scanner = Scanner::new(LIMITS);
        if matches!(scanner.scan(&seen.bytes), Step::Item { kind: ItemKind::Open, .. }) {
            self.streams.insert(stream(session, seen), scanner);
        }
    }

    fn judged(&mut self, session: u64, seen: &Seen, kind: Kind) -> Result<bool, String> {
        let scanner = self.streams.entry(stream(session, seen)).or_insert_with(usual);
        let Step::Item { len, kind: ItemKind::Element } = scanner.scan(&seen.bytes) else {
            // A refusal is for ever.
            self.streams.remove(&stream(session, seen));
            return Ok(true);
        };
        let bytes = seen.bytes.get(..len).unwrap_or_default();
        let from = match seen.dir {
            Dir::In => seen.side,
            Dir::Out => seen.side.other(),
        };
        self.filter.shows(kind, &View { bytes, head: scanner.head(), root: scanner.root() }, from)
    }
}

fn stream(session: u64, seen: &Seen) -> (u64, usize, bool) {
    (session, seen.side.index(), seen.dir == Dir::In)
}

/// A stream whose header was missed: as nearly all of them are.
fn usual() -> Scanner {
    let mut scanner = Scanner::new(LIMITS);
    let open = format!("<stream:stream xmlns='{CLIENT_NS}' xmlns:stream='{STREAM_NS}'>");
    let _ = scanner.scan(open.as_bytes());
    scanner
}
