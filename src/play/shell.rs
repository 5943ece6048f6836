//! The shell's part where sessions meet: who owns a resumable session, what is parked, who is to surrender, and the store.
//!
//! Takes the acts that are about the vault and the store, gives the sessions their answers, at once and in order (the store's later,
//! while it is held). The runner of
//! playbooks and the model of stream management both play it. Must not know how a session is driven: see [`House`].

use crate::keep::{Change, Op, Store, Trouble};
use crate::session::{Act, Input, Kept, Session, SmKey, Snapshot, Vault};
use crate::store::MemoryStore;
use crate::xmpp::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Whoever drives the sessions.
pub trait House {
    /// What they share.
    fn shell(&mut self) -> &mut Shell;
    /// The session of this number, over or not.
    fn session(&self, number: u64) -> &Session;
    /// Hands an answer to a session. What it then wants from the vault or the store is told by [`Shell::ask`], and done in its turn.
    fn answer(&mut self, number: u64, input: Input<'_>) -> Result<(), String>;
}

/// The vault and the store, and what is still to be done with them.
#[derive(Debug)]
pub struct Shell {
    vault: Vault,
    deeds: VecDeque<(u64, Deed)>,
    store: MemoryStore,
    /// For which account a session hears what is written.
    joined: BTreeMap<u64, String>,
    /// What the store is asked while it is held.
    held: Option<Vec<(u64, u64, Op)>>,
    /// Why the store does nothing.
    failing: Option<String>,
}

/// What a session wants from the vault or the store.
#[derive(Debug)]
enum Deed {
    Enlist(SmKey),
    Look(SmKey),
    Claim(SmKey),
    Park(Box<Kept>),
    Store(u64, Op),
    Join(String),
    Over,
}

impl Shell {
    /// Around a vault and an empty store.
    #[must_use]
    pub fn new(vault: Vault) -> Self {
        Self::with_store(vault, MemoryStore::new())
    }

    /// Around a vault and a store.
    #[must_use]
    pub fn with_store(vault: Vault, store: MemoryStore) -> Self {
        Self { vault, deeds: VecDeque::new(), store, joined: BTreeMap::new(), held: None, failing: None }
    }

    /// The store as it is.
    #[must_use]
    pub fn store(&self) -> &MemoryStore {
        &self.store
    }

    /// What the store is asked from now on waits.
    pub fn hold(&mut self) {
        self.held.get_or_insert_default();
    }

    /// What waits and what is asked from now on fails, for this reason. To be followed by [`serve`].
    pub fn fail(&mut self, why: &str) {
        self.failing = Some(why.to_owned());
        self.release();
    }

    /// What waits is done, and all that is asked from now on. To be followed by [`serve`].
    pub fn go_on(&mut self) {
        self.failing = None;
        self.release();
    }

    fn release(&mut self) {
        let held = self.held.take().unwrap_or_default();
        // Nothing else is under way: see `serve`.
        self.deeds.extend(held.into_iter().map(|(session, number, op)| (session, Deed::Store(number, op))));
    }

    /// Notes an act that is about the vault or the store; gives any other back.
    pub fn ask(&mut self, session: u64, act: Act) -> Option<Act> {
        let deed = match act {
            Act::Enlist(key) => Deed::Enlist(key),
            Act::Look(key) => Deed::Look(key),
            Act::Claim(key) => Deed::Claim(key),
            Act::Park(kept) => Deed::Park(kept),
            Act::Store(number, op) => Deed::Store(number, op),
            Act::Join(account) => Deed::Join(account),
            act => return Some(act),
        };
        self.deeds.push_back((session, deed));
        None
    }

    /// Notes that a session is over.
    pub fn over(&mut self, session: u64) {
        self.deeds.push_back((session, Deed::Over));
    }

    /// What a session that has surrendered left behind, if that is still to be parked.
    fn intercept(&mut self, session: u64, key: &SmKey) -> Option<Box<Kept>> {
        let left = |(by, deed): &(u64, Deed)| *by == session && matches!(deed, Deed::Park(kept) if kept.key() == key);
        match self.deeds.remove(self.deeds.iter().position(left)?) {
            Some((_, Deed::Park(kept))) => Some(kept),
            _ => None,
        }
    }
}

/// Does what the sessions asked for until nothing is left.
pub fn serve(house: &mut impl House, now: Timestamp) -> Result<(), String> {
    while let Some((number, deed)) = house.shell().deeds.pop_front() {
        match deed {
            Deed::Enlist(key) => house.shell().vault.enlist(key, number),
            Deed::Park(kept) => house.shell().vault.park(now, kept),
            Deed::Over => {
                house.shell().vault.release(number);
                house.shell().joined.remove(&number);
            }
            // Done also if it is over: what it has asked for is not taken back.
            Deed::Store(of, op) => store(house, number, of, op)?,
            // It has given up since: nothing must be taken out of the vault for it.
            Deed::Look(_) | Deed::Claim(_) | Deed::Join(_) if house.session(number).is_over() => {}
            Deed::Join(account) => drop(house.shell().joined.insert(number, account)),
            Deed::Look(key) => {
                house.shell().vault.ask(&key, number);
                let known = look(house, number, now, &key);
                house.answer(number, Input::Looked(known))?;
            }
            Deed::Claim(key) => {
                let others = house.shell().vault.confirm(&key, number);
                for other in others.iter().flatten() {
                    house.answer(*other, Input::Superseded(key.clone()))?;
                }
                let kept = if others.is_some() { claim(house, number, now, &key)? } else { None };
                house.answer(number, Input::Claimed(kept))?;
            }
        }
    }
    Ok(())
}

/// Does what a session has asked of the store under a number, unless that is held; answers, and tells who has joined.
fn store(house: &mut impl House, session: u64, number: u64, op: Op) -> Result<(), String> {
    let shell = house.shell();
    if let Some(held) = &mut shell.held {
        held.push((session, number, op));
        return Ok(());
    }
    let done = match &shell.failing {
        Some(why) => Err(Trouble::Failed(why.clone())),
        None => shell.store.run(std::slice::from_ref(&op)).pop().unwrap_or_else(|| Ok(Vec::new())),
    };
    let mut listeners = Vec::new();
    if done.is_ok() {
        let joined = shell.joined.iter().filter(|(_, account)| *account == op.account());
        listeners.extend(joined.map(|(session, _)| *session));
    }
    if !house.session(session).is_over() {
        house.answer(session, Input::Stored(number, done))?;
    }
    let Op::Write { changes, .. } = op else { return Ok(()) };
    let changes: Arc<[Change]> = changes.into();
    for listener in listeners.into_iter().filter(|_| !changes.is_empty()) {
        if !house.session(listener).is_over() {
            house.answer(listener, Input::Changed(Arc::clone(&changes)))?;
        }
    }
    Ok(())
}

/// What is known of a session: parked, or living with somebody else.
fn look(house: &mut impl House, asker: u64, now: Timestamp, key: &SmKey) -> Option<Box<Snapshot>> {
    let vault = &house.shell().vault;
    if let Some(parked) = vault.look(now, key) {
        return Some(parked);
    }
    let owner = vault.owner(key).filter(|owner| *owner != asker)?;
    house.session(owner).snapshot()
}

/// Its state itself: out of the vault, or from whoever has to surrender it.
fn claim(house: &mut impl House, claimer: u64, now: Timestamp, key: &SmKey) -> Result<Option<Box<Kept>>, String> {
    if let Some(kept) = house.shell().vault.claim(now, key) {
        return Ok(Some(kept));
    }
    let Some(owner) = house.shell().vault.owner(key).filter(|owner| *owner != claimer) else { return Ok(None) };
    house.answer(owner, Input::Surrender)?;
    if !house.session(owner).is_over() {
        return Err(format!("session {owner} was told to surrender and goes on"));
    }
    Ok(house.shell().intercept(owner, key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keep::Space;
    use crate::policy::{Policy, Route, VaultLimits};
    use crate::session::Outbox;
    use crate::xmpp::Side;

    /// Sessions that want nothing themselves, and what they are told.
    struct Room {
        shell: Shell,
        sessions: Vec<Session>,
        told: Vec<String>,
    }

    impl House for Room {
        fn shell(&mut self) -> &mut Shell {
            &mut self.shell
        }

        fn session(&self, number: u64) -> &Session {
            &self.sessions[usize::try_from(number).unwrap() - 1]
        }

        fn answer(&mut self, number: u64, input: Input<'_>) -> Result<(), String> {
            self.told.push(match input {
                Input::Stored(of, Ok(entries)) => format!("{number}: {of} done, {} entries", entries.len()),
                Input::Stored(of, Err(trouble)) => format!("{number}: {of} {trouble}"),
                Input::Changed(changes) => format!("{number}: {} changed", changes.len()),
                other => format!("{number}: {other:?}"),
            });
            Ok(())
        }
    }

    impl Room {
        fn new(sessions: u64) -> Self {
            let vault = Vault::new(VaultLimits::default());
            let (route, policy) = (Arc::new(Route::default()), Arc::new(Policy::default()));
            let begin = |number| {
                Session::new(Timestamp(0), Arc::clone(&route), Arc::clone(&policy), number, "192.0.2.1:1", number)
            };
            Self { shell: Shell::new(vault), sessions: (1..=sessions).map(begin).collect(), told: Vec::new() }
        }

        fn serve(&mut self) -> Vec<String> {
            serve(self, Timestamp(0)).unwrap();
            std::mem::take(&mut self.told)
        }

        fn ask(&mut self, session: u64, act: Act) {
            assert_eq!(self.shell.ask(session, act), None);
        }

        fn end(&mut self, session: u64) {
            let ended = &mut self.sessions[usize::try_from(session).unwrap() - 1];
            ended.handle(Timestamp(0), Input::Eof(Side::Client), &mut Outbox::default());
            assert!(ended.is_over());
            self.shell.over(session);
        }
    }

    fn put(account: &str, name: &str) -> Op {
        let change = Change::Put(Space::Borrowed("s"), name.to_owned(), name.to_owned().into());
        Op::Write { account: account.to_owned(), changes: vec![change], most: 2 }
    }

    #[test]
    fn who_asks_is_answered_and_who_has_joined_is_told_in_order() {
        let mut room = Room::new(4);
        room.ask(3, Act::Join("a@x".to_owned()));
        room.ask(1, Act::Join("b@x".to_owned()));
        room.ask(1, Act::Join("a@x".to_owned()));
        room.ask(4, Act::Join("b@x".to_owned()));
        room.ask(3, Act::Store(7, put("a@x", "1")));
        room.ask(2, Act::Store(1, put("a@x", "2")));
        room.ask(1, Act::Store(2, put("a@x", "3")));
        room.ask(1, Act::Store(3, put("b@x", "1")));
        let told = ["3: 7 done, 0 entries", "1: 1 changed", "3: 1 changed", "2: 1 done, 0 entries", "1: 1 changed"];
        let more = ["3: 1 changed", "1: 2 more than 2 entries are not kept", "1: 3 done, 0 entries", "4: 1 changed"];
        assert_eq!(room.serve(), [&told[..], &more].concat());
    }

    #[test]
    fn what_a_session_has_asked_is_done_though_it_is_over_and_it_hears_nothing_more() {
        let mut room = Room::new(2);
        room.ask(1, Act::Join("a@x".to_owned()));
        room.ask(2, Act::Join("a@x".to_owned()));
        room.ask(1, Act::Store(1, put("a@x", "1")));
        room.end(1);
        assert_eq!(room.serve(), ["2: 1 changed"]);
        room.ask(2, Act::Store(1, put("a@x", "2")));
        assert_eq!(room.serve(), ["2: 1 done, 0 entries", "2: 1 changed"]);
        assert!(room.shell.store().get("a@x", "s", "1").is_some());
    }

    #[test]
    fn a_store_that_is_held_does_all_of_it_later_and_one_that_fails_nothing() {
        let mut room = Room::new(2);
        room.ask(2, Act::Join("a@x".to_owned()));
        room.shell.hold();
        room.ask(1, Act::Store(1, put("a@x", "1")));
        room.ask(2, Act::Store(1, put("a@x", "2")));
        assert!(room.serve().is_empty());
        room.shell.hold();
        room.shell.go_on();
        assert_eq!(
            room.serve(),
            ["1: 1 done, 0 entries", "2: 1 changed", "2: 1 done, 0 entries", "2: 1 changed"],
            "in the order in which they were asked"
        );
        room.shell.hold();
        room.ask(1, Act::Store(2, put("a@x", "1")));
        room.shell.fail("disk full");
        room.ask(1, Act::Store(3, put("a@x", "1")));
        let failed = [2, 3].map(|number| format!("1: {number} the store has failed: disk full"));
        assert_eq!(room.serve(), failed);
        room.shell.go_on();
        room.ask(1, Act::Store(4, put("a@x", "1")));
        assert_eq!(room.serve(), ["1: 4 done, 0 entries", "2: 1 changed"]);
    }
}
