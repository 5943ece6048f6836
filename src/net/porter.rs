//! [`Porter`]: who is let in. Connections in all, of one address, new ones of one address in a minute.
//!
//! Takes the address of a connection just accepted; gives an [`Entry`] that counts for as long as it is kept, or why there is none. What
//! becomes of the others costs next to nothing: some at a time are told a stream error, the rest are closed without a word. Must not make
//! whoever accepts wait, nor remember more addresses than the limit on connections allows.

use super::clock::Clock;
use super::reload::News;
use crate::policy::{ClientTls, ConnectionLimits};
use crate::session::farewell;
use crate::xmpp::{StreamCondition, Timestamp};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::{sleep, timeout};

/// Connections that are told why they are not let in, at a time...
const FAREWELLS: usize = 64;
/// ...and the time for that.
const FAREWELL_TIME: Duration = Duration::from_secs(1);
/// Who was not let in is told of no more often than this.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Addresses remembered besides those that are connected.
const SPARE_ADDRESSES: usize = 4096;

const MINUTE_MICROS: u64 = 60_000_000;

/// Why a connection is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There are as many as may be.
    Total,
    /// There are as many of this address.
    Address,
    /// This address came too often.
    Rate,
    /// All that is held takes too much memory.
    Memory,
}

impl Refusal {
    const ALL: [Self; 4] = [Self::Total, Self::Address, Self::Rate, Self::Memory];

    /// For whoever came.
    const fn said(self) -> (StreamCondition, &'static str) {
        match self {
            Self::Total => (StreamCondition::ResourceConstraint, "there are too many connections already"),
            Self::Address => (StreamCondition::PolicyViolation, "there are too many connections from this address"),
            Self::Rate => (StreamCondition::PolicyViolation, "too many connections came from this address lately"),
            Self::Memory => (StreamCondition::ResourceConstraint, "there is no memory for another connection"),
        }
    }

    /// For whoever runs this: which limit.
    const fn limit(self) -> &'static str {
        match self {
            Self::Total => "limits.connections.total",
            Self::Address => "limits.connections.per_address",
            Self::Rate => "limits.connections.per_minute",
            Self::Memory => "limits.memory",
        }
    }
}

/// Whom the limits of one address are held against: an IPv4 address, or a /64 network of IPv6.
fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => Ipv6Addr::from_bits(six.to_bits() & !u128::from(u64::MAX)).into(),
        four => four,
    }
}

/// What is known of an address.
#[derive(Clone, Copy, Debug)]
struct Known {
    connected: usize,
    /// When its new connections would have come at the rate.
    due: u64,
}

/// Who is in, and who was lately.
#[derive(Debug, Default)]
struct Table {
    total: usize,
    known: BTreeMap<IpAddr, Known>,
    /// Those that are not connected, by when they may be forgotten without a difference.
    gone: BTreeSet<(u64, IpAddr)>,
}

impl Table {
    fn admit(&mut self, address: IpAddr, now: Timestamp, limits: &ConnectionLimits) -> Result<(), Refusal> {
        if self.total >= limits.total {
            return Err(Refusal::Total);
        }
        let counts = limits.loopback || !address.to_canonical().is_loopback();
        let key = household(address);
        let before = self.known.get(&key).copied().unwrap_or(Known { connected: 0, due: 0 });
        let mut known = before;
        if counts && limits.per_address > 0 && known.connected >= limits.per_address {
            return Err(Refusal::Address);
        }
        if counts && limits.per_minute > 0 {
            let takes = MINUTE_MICROS.div_ceil(limits.per_minute);
            let due = known.due.max(now.0).saturating_add(takes);
            if due > now.0.saturating_add(takes.saturating_mul(limits.at_once)) {
                return Err(Refusal::Rate);
            }
            known.due = due;
        }
        known.connected += 1;
        self.total += 1;
        if before.connected == 0 {
            self.gone.remove(&(before.due, key));
        }
        self.known.insert(key, known);
        Ok(())
    }

    fn leave(&mut self, address: IpAddr, now: Timestamp, limits: &ConnectionLimits) {
        let key = household(address);
        self.total = self.total.saturating_sub(1);
        let Some(known) = self.known.get_mut(&key) else { return };
        known.connected = known.connected.saturating_sub(1);
        if known.connected == 0 {
            self.gone.insert((known.due, key));
        }
        self.forget(now, limits.total.saturating_add(SPARE_ADDRESSES));
    }

    /// Forgets those that are as good as new, and the next ones if there are too many.
    fn forget(&mut self, now: Timestamp, most: usize) {
        while let Some((due, key)) = self.gone.first().copied()
            && (due <= now.0 || self.known.len() > most)
        {
            self.gone.pop_first();
            self.known.remove(&key);
        }
    }
}

/// Decides who is let in, from any thread.
pub(super) struct Porter {
    limits: Mutex<ConnectionLimits>,
    table: Mutex<Table>,
    clock: Clock,
    /// By [`Refusal`].
    refused: [AtomicU64; 4],
    /// How many of them were told of, and who came last.
    last: Mutex<(u64, Option<(IpAddr, Refusal)>)>,
    came: Notify,
    farewells: Arc<Semaphore>,
    /// What they hear, by [`Refusal`]...
    words: [Bytes; 4],
    /// ...but nothing, where it would have to be said in TLS.
    silent: AtomicBool,
}

impl Porter {
    pub(super) fn new(limits: ConnectionLimits, client_tls: ClientTls, clock: Clock) -> Self {
        let words = Refusal::ALL.map(|refusal| {
            let (condition, text) = refusal.said();
            farewell(condition, text)
        });
        Self {
            limits: Mutex::new(limits),
            table: Mutex::default(),
            clock,
            refused: Default::default(),
            last: Mutex::default(),
            came: Notify::new(),
            farewells: Arc::new(Semaphore::new(FAREWELLS)),
            words,
            silent: AtomicBool::new(client_tls == ClientTls::Direct),
        }
    }

    /// Other limits hold from now on. Nobody who is in is asked to leave.
    pub(super) fn set_limits(&self, limits: ConnectionLimits, client_tls: ClientTls) {
        *lock(&self.limits) = limits;
        self.silent.store(client_tls == ClientTls::Direct, Ordering::Relaxed);
    }

    /// Lets somebody in, or says why not. `full`: there is no memory.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr, full: bool) -> Result<Entry, Refusal> {
        if full {
            return Err(Refusal::Memory);
        }
        let limits = *lock(&self.limits);
        lock(&self.table).admit(address, self.clock.now(), &limits)?;
        Ok(Entry { porter: Arc::clone(self), address })
    }

    /// Somebody is not let in. Waits for nothing.
    pub(super) fn turn_away(&self, tcp: TcpStream, address: IpAddr, refusal: Refusal) {
        self.refused[refusal as usize].fetch_add(1, Ordering::Relaxed);
        lock(&self.last).1 = Some((address, refusal));
        self.came.notify_one();
        let words = (!self.silent.load(Ordering::Relaxed)).then(|| self.words[refusal as usize].clone());
        if let (Some(words), Ok(place)) = (words, Arc::clone(&self.farewells).try_acquire_owned()) {
            tokio::spawn(async move {
                let _ = timeout(FAREWELL_TIME, say(tcp, &words)).await; // whoever does not listen is not waited for
                drop(place);
            });
        }
    }

    /// How many were not let in.
    pub(super) fn refused(&self) -> u64 {
        self.refused.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// What was not told yet, if there is anything.
    pub(super) fn news(&self) -> Option<News> {
        let total = self.refused();
        let mut last = lock(&self.last);
        let (address, refusal) = last.1?;
        let count = total.saturating_sub(last.0);
        last.0 = total;
        (count > 0).then(|| News::Refused { count, total, address, limit: refusal.limit() })
    }

    /// Tells of those who are not let in. Never done.
    pub(super) async fn tell(&self, told: mpsc::Sender<News>) {
        loop {
            self.came.notified().await;
            if let Ok(place) = told.try_reserve()
                && let Some(news) = self.news()
            {
                place.send(news);
            }
            sleep(TELL_EVERY).await;
        }
    }
}

/// Says why, to a client that begins in the clear, and waits until it has gone: a socket closed with unread bytes in it is reset, and
/// the words with it.
async fn say(mut tcp: TcpStream, words: &[u8]) {
    let mut first = [0];
    let in_clear = tcp.peek(&mut first).await.is_ok_and(|count| count == 1) && first[0] != super::tls::HANDSHAKE_BYTE;
    if !in_clear || tcp.write_all(words).await.is_err() || tcp.shutdown().await.is_err() {
        return;
    }
    let mut rest = [0; 1024];
    while tcp.read(&mut rest).await.is_ok_and(|count| count > 0) {}
}

/// Somebody is in, for as long as this is kept.
pub(super) struct Entry {
    porter: Arc<Porter>,
    address: IpAddr,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let limits = *lock(&self.porter.limits);
        lock(&self.porter.table).leave(self.address, self.porter.clock.now(), &limits);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000_000;

    fn limits() -> ConnectionLimits {
        ConnectionLimits { total: 4, per_address: 2, per_minute: 60, at_once: 3, loopback: true }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp(NOW + seconds * 1_000_000)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_a_network_in_ipv6() {
        let mut table = Table::default();
        let limits = limits();
        assert_eq!(table.admit(ip("2001:db8::1"), at(0), &limits), Ok(()));
        assert_eq!(table.admit(ip("2001:db8::ffff:2"), at(0), &limits), Ok(()));
        assert_eq!(table.admit(ip("2001:db8:0:0:ffff::3"), at(0), &limits), Err(Refusal::Address), "the same /64");
        assert_eq!(table.admit(ip("2001:db8:0:1::1"), at(0), &limits), Ok(()));
        // An IPv4 address is one, however it is written.
        assert_eq!(table.admit(ip("192.0.2.1"), at(0), &limits), Ok(()));
        table.leave(ip("2001:db8::1"), at(0), &limits);
        table.leave(ip("2001:db8::1"), at(0), &limits);
        assert_eq!(table.admit(ip("::ffff:192.0.2.1"), at(0), &limits), Ok(()));
        assert_eq!(table.admit(ip("192.0.2.1"), at(0), &limits), Err(Refusal::Address));
    }

    #[test]
    fn there_may_be_so_many_in_all() {
        let mut table = Table::default();
        let limits = limits();
        for last in 1..=4 {
            assert_eq!(table.admit(IpAddr::from([192, 0, 2, last]), at(0), &limits), Ok(()));
        }
        assert_eq!(table.admit(ip("192.0.2.9"), at(0), &limits), Err(Refusal::Total));
        table.leave(ip("192.0.2.1"), at(0), &limits);
        assert_eq!(table.admit(ip("192.0.2.9"), at(0), &limits), Ok(()));
    }

    #[test]
    fn new_ones_come_at_their_rate() {
        let mut table = Table::default();
        let limits = limits();
        let mut come_and_go = |seconds| {
            let admitted = table.admit(ip("192.0.2.1"), at(seconds), &limits);
            if admitted.is_ok() {
                table.leave(ip("192.0.2.1"), at(seconds), &limits);
            }
            admitted
        };
        assert_eq!([0; 4].map(&mut come_and_go), [Ok(()), Ok(()), Ok(()), Err(Refusal::Rate)]);
        assert_eq!([1; 2].map(&mut come_and_go), [Ok(()), Err(Refusal::Rate)], "one a second");
        assert_eq!([600; 4].map(&mut come_and_go), [Ok(()), Ok(()), Ok(()), Err(Refusal::Rate)], "no more is saved up");
    }

    #[test]
    fn this_machine_is_not_held_to_it_unless_asked() {
        let mut table = Table::default();
        let limits = ConnectionLimits { loopback: false, ..limits() };
        for address in ["127.0.0.1", "::1", "127.8.8.8", "127.0.0.1"] {
            assert_eq!(table.admit(ip(address), at(0), &limits), Ok(()));
        }
        assert_eq!(table.admit(ip("127.0.0.1"), at(0), &limits), Err(Refusal::Total));
    }

    #[test]
    fn addresses_are_forgotten_when_they_make_no_difference_or_are_too_many() {
        let mut table = Table::default();
        let limits = ConnectionLimits { per_minute: 1, ..limits() };
        for number in 0..20_000_u32 {
            let address = IpAddr::from(number.to_be_bytes());
            assert_eq!(table.admit(address, at(0), &limits), Ok(()));
            table.leave(address, at(0), &limits);
        }
        assert_eq!(
            (table.known.len(), table.gone.len()),
            (limits.total + SPARE_ADDRESSES, limits.total + SPARE_ADDRESSES)
        );
        assert_eq!(table.admit(ip("192.0.2.1"), at(600), &limits), Ok(()));
        table.leave(ip("192.0.2.1"), at(600), &limits);
        assert_eq!((table.known.len(), table.gone.len(), table.total), (1, 1, 0), "only it can be held to anything");
    }
}
