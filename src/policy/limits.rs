//! How much of anything may be used: by one side of a session, by one address, by all together. Takes nothing, gives numbers;
//! the session and the shell hold to them.

/// How fast one side may send. What is beyond that is not lost: it waits unread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// First-level elements a second; 0: as many as come.
    pub stanzas: u64,
    /// Bytes a second; 0: as many as come.
    pub bytes: u64,
    /// So many seconds' worth may come at once.
    pub burst_seconds: u64,
}

impl Rate {
    /// Whether anything is limited.
    #[must_use]
    pub const fn is_limited(&self) -> bool {
        self.stanzas > 0 || self.bytes > 0
    }
}

impl Default for Rate {
    fn default() -> Self {
        Self { stanzas: 0, bytes: 0, burst_seconds: 10 }
    }
}

/// What may wait for one peer of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// While so many bytes wait for one side, nothing is read from the other.
    pub bytes: usize,
    /// While so many bytes wait for a side, nothing is read from that side itself: it asks and never listens.
    pub own_bytes: usize,
    /// Reading stops long before so many bytes wait for a peer, but what is made here (pushes, what scripts send) does not: such a peer is
    /// given up.
    pub most_bytes: usize,
    /// A peer for which bytes wait and which takes none for so many seconds is given up.
    pub seconds: u64,
}

impl Default for QueueLimits {
    fn default() -> Self {
        Self { bytes: 256 << 10, own_bytes: 1 << 20, most_bytes: 16 << 20, seconds: 60 }
    }
}

/// Who is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections at a time.
    pub total: usize,
    /// Of one address (IPv6: one /64 network) at a time; 0: as many as come.
    pub per_address: usize,
    /// New ones of one address in a minute; 0: as many as come.
    pub per_minute: u64,
    /// So many new ones of one address may come at once.
    pub at_once: u64,
    /// Whether the limits of one address hold for this machine's own (127.0.0.1, ::1) too: behind a proxy all clients have that one.
    pub loopback: bool,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self { total: 10_000, per_address: 500, per_minute: 600, at_once: 500, loopback: false }
    }
}

/// What holds for the process, not for what is said in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HouseLimits {
    /// Who is let in.
    pub connections: ConnectionLimits,
    /// What may wait for one peer.
    pub queue: QueueLimits,
    /// Bytes that all sessions together may hold (what waits, unfinished stanzas, ledgers, the vault); 0: as many as there are.
    pub memory: usize,
    /// Bytes that all accounts together may keep in the store; 0: as many as come.
    pub store_bytes: usize,
    /// Seconds for a TLS handshake.
    pub handshake_seconds: u64,
}

impl Default for HouseLimits {
    fn default() -> Self {
        Self {
            connections: ConnectionLimits::default(),
            queue: QueueLimits::default(),
            memory: 1 << 30,
            store_bytes: 1 << 30,
            handshake_seconds: 10,
        }
    }
}
