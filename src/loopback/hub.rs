//! [`Hub`]: what all connections share. Who is online, what each account keeps, and how to reach them.
//!
//! Takes accounts that have logged in and stanzas for them, gives addresses and deliveries. Everything is bounded:
//! accounts, resources, what waits for a slow reader, what is stored. Must not hold its lock while waiting.

use super::roster::{Item, Roster};
use super::{SAMPLE_ACCOUNTS, SAMPLE_PASSWORD};
use crate::login::{Account, Keys};
use crate::xml::{Element, Scope, write_element};
use crate::xmpp::jid::{BareJid, FullJid};
use crate::xmpp::{Condition, StanzaError};
use bytes::{Bytes, BytesMut};
use jid::{DomainPart, DomainRef};
use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;

/// Accounts known at a time: online, or with something stored.
const ACCOUNTS: usize = 1000;
/// Resources of one account.
const RESOURCES: usize = 20;
/// What may wait for one reader; more is refused to the sender.
const INBOX_BYTES: usize = 8 * 1024 * 1024;

/// Receives what others send to one client.
pub(super) type Inbox = mpsc::UnboundedReceiver<Bytes>;

/// Where to put what one client shall read. Bounded by bytes, not by number.
#[derive(Clone, Debug)]
pub(super) struct Outlet {
    queue: mpsc::UnboundedSender<Bytes>,
    waiting: Arc<AtomicUsize>,
}

/// A queue for one client.
pub(super) fn outlet() -> (Outlet, Inbox) {
    let (queue, inbox) = mpsc::unbounded_channel();
    (Outlet { queue, waiting: Arc::default() }, inbox)
}

impl Outlet {
    /// False if the client is gone or reads too slowly.
    fn put(&self, bytes: Bytes) -> bool {
        let len = bytes.len();
        if self.waiting.fetch_add(len, Ordering::Relaxed) + len > INBOX_BYTES {
            self.taken(len);
            return false;
        }
        self.queue.send(bytes).is_ok()
    }

    /// So many bytes were taken out of the queue.
    pub(super) fn taken(&self, bytes: usize) {
        self.waiting.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A connected resource.
#[derive(Debug)]
pub(super) struct Online {
    outlet: Outlet,
    /// Its presence, once it has sent one that says "available".
    pub(super) presence: Option<Element>,
    /// Whether it asked for the roster, and so is told of changes (RFC 6121 §2.1.6).
    pub(super) interested: bool,
}

impl Online {
    /// Puts a stanza into its queue.
    pub(super) fn send(&self, stanza: &Element) -> bool {
        let mut bytes = BytesMut::new();
        write_element(stanza, Scope::Stream, &mut bytes);
        self.outlet.put(bytes.freeze())
    }

    /// Its priority (RFC 6121 §4.7.2.3), once it is available.
    pub(super) fn priority(&self) -> Option<i8> {
        let presence = self.presence.as_ref()?;
        let priority = presence.child(crate::xmpp::ns::CLIENT, "priority").map(Element::text);
        Some(priority.and_then(|p| p.trim().parse().ok()).unwrap_or(0))
    }
}

/// What is known of one account.
#[derive(Debug, Default)]
pub(super) struct Entry {
    /// Its resources, by name.
    pub(super) online: BTreeMap<String, Online>,
    /// Its contacts.
    pub(super) roster: Roster,
    /// Its vCard, as it was set.
    pub(super) vcard: Option<Element>,
    anonymous: bool,
    touched: bool,
}

impl Entry {
    /// Something was stored that is to outlive the connection.
    pub(super) fn touch(&mut self) {
        self.touched = true;
    }
}

/// All accounts.
pub(super) type Accounts = BTreeMap<BareJid, Entry>;

/// See the module.
#[derive(Debug)]
pub(super) struct Hub {
    domains: Vec<DomainPart>,
    samples: Keys,
    random: RandomState,
    tokens: AtomicU64,
    accounts: Mutex<Accounts>,
}

impl Hub {
    /// A hub for these domains; for any, if there are none.
    pub(super) fn new(domains: &[String]) -> io::Result<Self> {
        let invalid = |error: String| io::Error::new(io::ErrorKind::InvalidInput, error);
        let parse = |d: &String| d.parse().map_err(|e| invalid(format!("{d} is not a domain: {e}")));
        let random = RandomState::new();
        let salt = random.hash_one("salt").to_be_bytes();
        Ok(Self {
            domains: domains.iter().map(parse).collect::<io::Result<_>>()?,
            samples: Keys::derive(SAMPLE_PASSWORD, &salt, Some(&SAMPLE_ACCOUNTS))
                .map_err(|e| invalid(e.to_string()))?,
            random,
            tokens: AtomicU64::new(0),
            accounts: Mutex::default(),
        })
    }

    /// Sixteen hex digits nobody can foretell: a counter through the keyed hash of the standard library.
    pub(super) fn token(&self) -> String {
        format!("{:016x}", self.random.hash_one(self.tokens.fetch_add(1, Ordering::Relaxed)))
    }

    /// The sample accounts' keys.
    pub(super) fn samples(&self) -> &Keys {
        &self.samples
    }

    /// Whether clients of this domain are taken.
    pub(super) fn serves(&self, domain: &DomainRef) -> bool {
        self.domains.is_empty() || self.domains.iter().any(|d| **d == *domain)
    }

    /// Whether stanzas for this domain stay here: it is configured, or somebody of it is known.
    pub(super) fn is_local(&self, domain: &DomainRef) -> bool {
        self.domains.iter().any(|d| **d == *domain) || self.accounts().keys().any(|jid| jid.domain() == domain)
    }

    pub(super) fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Binds a resource: the wanted one unless it is taken or none was wanted, then a made-up one.
    pub(super) fn join(&self, account: &Account, wanted: Option<&str>, outlet: Outlet) -> Result<FullJid, StanzaError> {
        let wanted = match wanted.map(|r| account.jid.with_resource_str(r)) {
            Some(Err(_)) => return Err(StanzaError::new(Condition::BadRequest).with_text("not a resource")),
            Some(Ok(jid)) => Some(jid),
            None => None,
        };
        let mut accounts = self.accounts();
        if accounts.len() >= ACCOUNTS && !accounts.contains_key(&account.jid) {
            return Err(StanzaError::new(Condition::ResourceConstraint).with_text("too many accounts"));
        }
        let new = || Entry { roster: sample_roster(&account.jid), anonymous: account.anonymous, ..Entry::default() };
        let entry = accounts.entry(account.jid.clone()).or_insert_with(new);
        if entry.online.len() >= RESOURCES {
            return Err(StanzaError::new(Condition::ResourceConstraint).with_text("too many resources"));
        }
        let free = |jid: &FullJid| !entry.online.contains_key(jid.resource().as_str());
        let me = match wanted.filter(free) {
            Some(jid) => jid,
            None => account
                .jid
                .with_resource_str(&self.token())
                .map_err(|_| StanzaError::new(Condition::InternalServerError))?,
        };
        let online = Online { outlet, presence: None, interested: false };
        entry.online.insert(me.resource().to_string(), online);
        Ok(me)
    }

    /// Forgets a resource, and its account when nothing is left worth keeping.
    pub(super) fn part(&self, me: &FullJid) {
        let mut accounts = self.accounts();
        let Some(entry) = accounts.get_mut(&me.to_bare()) else { return };
        entry.online.remove(me.resource().as_str());
        if entry.online.is_empty() && (entry.anonymous || !entry.touched) {
            accounts.remove(&me.to_bare());
        }
    }

    /// To exactly this resource. False if it cannot be reached.
    pub(super) fn send(&self, to: &FullJid, stanza: &Element) -> bool {
        let accounts = self.accounts();
        let online = accounts.get(&to.to_bare()).and_then(|e| e.online.get(to.resource().as_str()));
        online.is_some_and(|online| online.send(stanza))
    }
}

/// Sample accounts of a domain know each other.
fn sample_roster(me: &BareJid) -> Roster {
    let name = me.node().map(|n| n.as_str()).unwrap_or_default();
    if !SAMPLE_ACCOUNTS.contains(&name) {
        return Roster::new();
    }
    let others = SAMPLE_ACCOUNTS.iter().filter(|other| **other != name);
    others.filter_map(|other| Some((me.domain().with_node_str(other).ok()?, Item::friend(other)))).collect()
}
