//! One TCP connection as the model sees it: bytes on their way in both directions, ends that are closed, cuts.

/// The two ends of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    /// The proxy's.
    Middle,
    /// The client's or the server's.
    Peer,
}

impl End {
    const fn index(self) -> usize {
        match self {
            Self::Middle => 0,
            Self::Peer => 1,
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::Middle => Self::Peer,
            Self::Peer => Self::Middle,
        }
    }
}

/// What reaches an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    Bytes(Vec<u8>),
    Eof,
}

/// A leg. Each field by the end it is on the way to, or belongs to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leg {
    /// On their way to that end.
    bytes: [Vec<u8>; 2],
    /// That end will hear that the connection is over, behind those bytes.
    ending: [bool; 2],
    /// That end neither reads nor writes any more.
    closed: [bool; 2],
    /// The wire is cut: nothing goes any further.
    cut: bool,
}

impl Leg {
    pub(crate) fn write(&mut self, from: End, bytes: &[u8]) {
        let to = from.other().index();
        if !self.cut && !self.closed[from.index()] && !self.closed[to] {
            self.bytes[to].extend_from_slice(bytes);
        }
    }

    /// That end closes: what it wrote still goes out, what was on its way to it is lost.
    pub(crate) fn close(&mut self, end: End) {
        self.closed[end.index()] = true;
        self.bytes[end.index()].clear();
        self.ending[end.index()] = false;
        self.ending[end.other().index()] = true;
    }

    /// Everything on the way is lost; each end will hear of it, sooner or later.
    pub(crate) fn cut(&mut self) {
        self.cut = true;
        self.bytes = Default::default();
        self.ending = [true, true];
    }

    pub(crate) const fn is_cut(&self) -> bool {
        self.cut
    }

    /// Whether something can reach that end now: bytes, or only the news of the end.
    pub(crate) fn waits(&self, to: End) -> Option<Waiting> {
        let to = to.index();
        if self.closed[to] {
            return None;
        }
        match self.bytes[to].len() {
            0 => self.ending[to].then_some(Waiting::Eof),
            len => Some(Waiting::Bytes(len)),
        }
    }

    /// Takes at most so many bytes of what is on its way to that end, or the news of the end.
    pub(crate) fn take(&mut self, to: End, most: usize) -> Arrival {
        let waiting = &mut self.bytes[to.index()];
        if waiting.is_empty() {
            self.closed[to.index()] = true;
            return Arrival::Eof;
        }
        Arrival::Bytes(waiting.drain(..most.min(waiting.len())).collect())
    }
}

/// What waits for an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    Bytes(usize),
    Eof,
}
