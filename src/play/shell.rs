//! The shell's part where sessions meet: who owns a resumable session, what is parked, who is to surrender.
//!
//! Takes the acts that are about the vault, gives the sessions their answers, at once and in order. The runner of
//! playbooks and the model of stream management both play it. Must not know how a session is driven: see [`House`].

use crate::session::{Act, Input, Kept, Session, SmKey, Snapshot, Vault};
use crate::xmpp::Timestamp;
use std::collections::VecDeque;

/// Whoever drives the sessions.
pub trait House {
    /// What they share.
    fn shell(&mut self) -> &mut Shell;
    /// The session of this number, over or not.
    fn session(&self, number: u64) -> &Session;
    /// Hands an answer to a session. What it then wants from the vault is told by [`Shell::ask`], and done in its turn.
    fn answer(&mut self, number: u64, input: Input<'_>) -> Result<(), String>;
}

/// The vault, and what is still to be done with it.
#[derive(Debug)]
pub struct Shell {
    vault: Vault,
    deeds: VecDeque<(u64, Deed)>,
}

/// What a session wants from the vault.
#[derive(Debug)]
enum Deed {
    Enlist(SmKey),
    Look(SmKey),
    Claim(SmKey),
    Park(Box<Kept>),
    Over,
}

impl Shell {
    /// Around a vault.
    #[must_use]
    pub fn new(vault: Vault) -> Self {
        Self { vault, deeds: VecDeque::new() }
    }

    /// Notes an act that is about the vault; gives any other back.
    pub fn ask(&mut self, session: u64, act: Act) -> Option<Act> {
        let deed = match act {
            Act::Enlist(key) => Deed::Enlist(key),
            Act::Look(key) => Deed::Look(key),
            Act::Claim(key) => Deed::Claim(key),
            Act::Park(kept) => Deed::Park(kept),
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
            Deed::Over => house.shell().vault.release(number),
            // It has given up since: nothing must be taken out of the vault for it.
            Deed::Look(_) | Deed::Claim(_) if house.session(number).is_over() => {}
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
