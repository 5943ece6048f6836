//! Where sessions meet: the vault of those whose connection is gone, and a door to each that could be resumed while it lives
//! or uses the store.
//!
//! Takes what sessions ask of their shell when a client resumes (`Act::Enlist`, `Look`, `Claim`, `Park`), gives the state of
//! one session to another; brings the store's words to who has asked it or has joined an account. Not on the way between two
//! sockets: a session comes here when it is enabled for resumption, resumes, asks the store or ends. Must not lose a state that is on its way: whoever was to have it and is gone leaves it in the vault.

use super::clock::Clock;
use super::memory::Memory;
use crate::keep::{Change, Done};
use crate::policy::VaultLimits;
use crate::session::{Kept, SmKey, Snapshot, Vault};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// For another session to answer. It is busy only while it closes a socket.
const ANSWER_TIME: Duration = Duration::from_secs(3);

/// What a session is told by another, or by the store.
pub(super) enum Word {
    /// What could be resumed of you?
    Look(oneshot::Sender<Option<Box<Snapshot>>>),
    /// Your client goes on elsewhere: give up your state.
    Surrender(oneshot::Sender<Box<Kept>>),
    /// The server has let a younger connection resume the session that you want to.
    Superseded(SmKey),
    /// What has come of what you have asked the store under that number.
    Stored(u64, Done),
    /// That was written for your account.
    Changed(Arc<[Change]>),
}

/// Where a session hears words.
pub(super) type Mailbox = mpsc::UnboundedReceiver<Word>;

/// What all sessions share for resumption and the store.
pub(super) struct Lobby {
    inner: Mutex<Inner>,
    clock: Clock,
    memory: Arc<Memory>,
}

struct Inner {
    vault: Vault,
    doors: BTreeMap<u64, mpsc::UnboundedSender<Word>>,
    /// Which sessions hear of what is written for an account.
    members: BTreeMap<String, BTreeSet<u64>>,
    /// For which account a session does.
    joined: BTreeMap<u64, String>,
}

impl Lobby {
    pub(super) fn new(limits: VaultLimits, clock: Clock, memory: Arc<Memory>) -> Self {
        let inner = Inner {
            vault: Vault::new(limits),
            doors: BTreeMap::new(),
            members: BTreeMap::new(),
            joined: BTreeMap::new(),
        };
        Self { inner: Mutex::new(inner), clock, memory }
    }

    /// A living session answers to that key from now on; its mailbox, the first time.
    pub(super) fn enlist(&self, key: SmKey, session: u64) -> Option<Mailbox> {
        let mut inner = self.lock();
        inner.vault.enlist(key, session);
        inner.open_door(session)
    }

    /// A session is about to ask for a key; its mailbox, the first time.
    pub(super) fn ask(&self, key: &SmKey, session: u64) -> Option<Mailbox> {
        let mut inner = self.lock();
        inner.vault.ask(key, session);
        inner.open_door(session)
    }

    /// A session is about to ask the store; its mailbox, the first time.
    pub(super) fn hear(&self, session: u64) -> Option<Mailbox> {
        self.lock().open_door(session)
    }

    /// A session hears of what is written for that account, and for no other; its mailbox, the first time.
    pub(super) fn join(&self, account: String, session: u64) -> Option<Mailbox> {
        let mut inner = self.lock();
        inner.part(session);
        inner.members.entry(account.clone()).or_default().insert(session);
        inner.joined.insert(session, account);
        inner.open_door(session)
    }

    /// The store's answer, for who has asked it, if that session lives.
    pub(super) fn stored(&self, session: u64, number: u64, done: Done) {
        if let Some(door) = self.lock().doors.get(&session) {
            let _ = door.send(Word::Stored(number, done)); // it may be gone by now
        }
    }

    /// That was written for an account, for all who have joined it.
    pub(super) fn changed(&self, account: &str, changes: &Arc<[Change]>) {
        let inner = self.lock();
        let members = inner.members.get(account).into_iter().flatten();
        for door in members.filter_map(|session| inner.doors.get(session)) {
            let _ = door.send(Word::Changed(Arc::clone(changes))); // it may be gone by now
        }
    }

    /// A session is over.
    pub(super) fn release(&self, session: u64) {
        let mut inner = self.lock();
        inner.vault.release(session);
        inner.doors.remove(&session);
        inner.part(session);
    }

    /// Keeps the state of a session that is ending.
    pub(super) fn park(&self, kept: Box<Kept>) {
        let mut inner = self.lock();
        let before = inner.vault.bytes();
        inner.vault.park(self.clock.now(), kept);
        self.memory.changed(before, inner.vault.bytes());
    }

    /// What is known of a session, parked or living.
    pub(super) async fn look(&self, key: &SmKey) -> Option<Box<Snapshot>> {
        let (asks, answer) = oneshot::channel();
        {
            let inner = self.lock();
            if let Some(snapshot) = inner.vault.look(self.clock.now(), key) {
                return Some(snapshot);
            }
            inner.door(key)?.send(Word::Look(asks)).ok()?;
        }
        match timeout(ANSWER_TIME, answer).await {
            Ok(Ok(snapshot)) => snapshot,
            // It ended meanwhile.
            _ => self.lock().vault.look(self.clock.now(), key),
        }
    }

    /// The state of a session, taken from the vault or from the session itself, if nobody younger was quicker. Whoever
    /// has asked for it before is told.
    pub(super) async fn claim(&self, key: &SmKey, session: u64) -> Option<Box<Kept>> {
        let mut hand_over = {
            let mut inner = self.lock();
            let others = inner.vault.confirm(key, session)?;
            for door in others.iter().filter_map(|other| inner.doors.get(other)) {
                let _ = door.send(Word::Superseded(key.clone())); // it may be gone by now
            }
            if let Some(kept) = self.take(&mut inner, key) {
                return Some(kept);
            }
            let (asks, answer) = oneshot::channel();
            inner.door(key)?.send(Word::Surrender(asks)).ok()?;
            HandOver { answer, lobby: self }
        };
        match timeout(ANSWER_TIME, &mut hand_over.answer).await {
            Ok(Ok(kept)) => Some(kept),
            _ => {
                drop(hand_over);
                self.take(&mut self.lock(), key)
            }
        }
    }

    /// Takes a state out of the vault.
    fn take(&self, inner: &mut Inner, key: &SmKey) -> Option<Box<Kept>> {
        let before = inner.vault.bytes();
        let kept = inner.vault.claim(self.clock.now(), key);
        self.memory.changed(before, inner.vault.bytes());
        kept
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn open_door(&mut self, session: u64) -> Option<Mailbox> {
        if self.doors.contains_key(&session) {
            return None;
        }
        let (door, mailbox) = mpsc::unbounded_channel();
        self.doors.insert(session, door);
        Some(mailbox)
    }

    /// The session hears of no account's changes any more.
    fn part(&mut self, session: u64) {
        let Some(account) = self.joined.remove(&session) else { return };
        if let Some(members) = self.members.get_mut(&account) {
            members.remove(&session);
            if members.is_empty() {
                self.members.remove(&account);
            }
        }
    }

    /// The door of the living session with that key.
    fn door(&self, key: &SmKey) -> Option<&mpsc::UnboundedSender<Word>> {
        self.doors.get(&self.vault.owner(key)?)
    }
}

/// A state on its way. If nobody waits for it any more, it goes to the vault.
struct HandOver<'a> {
    answer: oneshot::Receiver<Box<Kept>>,
    lobby: &'a Lobby,
}

impl Drop for HandOver<'_> {
    fn drop(&mut self) {
        self.answer.close();
        if let Ok(kept) = self.answer.try_recv() {
            self.lobby.park(kept);
        }
    }
}
