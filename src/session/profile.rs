//! What is kept for the account that its sessions go by: whom it has blocked, and the photo of its vCard.
//!
//! Takes the client's bind or resumption, what the store says then, and every change after it; both sides wait until it is known.
//! Must not let a stanza pass by a list that could not be read.
//!
//! ```text
//! bound, resumed, or new policy --Act::Join, Act::Store--> both sides held --Stored--> effects, both go on --Changed--> effects
//! ```

use super::core::Core;
use super::decide::Decision;
use super::leaving::Leaving;
use super::subscribers::Subscribers;
use super::{Act, Note, Outbox};
use crate::answer::{Blocked, blocking, vcard};
use crate::keep::{Change, Done, Entry, Op};
use crate::xml::View;
use crate::xmpp::{Kind, Side, StreamCondition, StreamError, Timestamp, ns};

/// For the store to say what it keeps.
const LOAD_SECONDS: u64 = 30;

/// What a session knows of its account's side of the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Profile {
    /// Whether the list of the blocked may be ours: `[answer]` says so.
    pub(super) blocks: bool,
    /// Whether the vCard may be.
    pub(super) photos: bool,
    /// The server has shown that it keeps such a list itself: ours is not gone by.
    pub(super) server_blocks: bool,
    /// Whether this resource has asked for the list, and is told of changes (XEP-0191 §3.2).
    pub(super) asked: bool,
    pub(super) list: Blocked,
    /// What presence says of the photo, if the account keeps a vCard here.
    pub(super) photo: Option<String>,
    /// The presence last broadcast, if it can still be seen, as it left.
    pub(super) presence: Option<Vec<u8>>,
    /// Those who see it.
    pub(super) subscribers: Subscribers,
    /// A presence has been broadcast: the server shows it to those who are blocked, too.
    pub(super) shown: bool,
    /// When one was last taken back.
    pub(super) hidden: Timestamp,
    state: State,
}

/// Whether it is known what is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Not yet, on this connection.
    #[default]
    Unknown,
    /// The store was asked, under this number; it has until then.
    Asked(u64, Timestamp),
    /// It is, and changes are told.
    Known,
}

impl Profile {
    /// Bytes of memory this takes, about.
    pub(super) fn weight(&self) -> usize {
        let presence = self.presence.as_ref().map_or(0, Vec::capacity);
        size_of::<Self>() + self.list.weight() + self.subscribers.weight() + presence
    }

    /// The same for another connection, which has to ask anew.
    pub(super) fn carried_over(self) -> Self {
        Self { state: State::Unknown, shown: false, ..self }
    }
}

impl Core {
    /// The client has a resource, or there is a new policy: if answers need what is kept for the account, the store is asked.
    pub(super) fn want_profile(&mut self, out: &mut Outbox) {
        let [blocks, photos] = [ns::BLOCKING, ns::VCARD].map(|namespace| self.policy.answers.needs(namespace));
        if self.jid.is_none() || (self.profile.is_none() && !blocks && !photos) {
            return;
        }
        let profile = self.profile.get_or_insert_default();
        (profile.blocks, profile.photos) = (blocks, photos);
        if profile.state != State::Unknown || !(blocks || photos) {
            return;
        }
        let account = self.account.bare().to_owned();
        out.acts.push(Act::Join(account.clone()));
        let spaces = vec![ns::BLOCKING.into(), ns::VCARD_UPDATE.into()];
        let number = self.ask_operation(Op::List { account, spaces }, out);
        if let Some(profile) = &mut self.profile {
            profile.state = State::Asked(number, self.now.plus_seconds(LOAD_SECONDS));
        }
    }

    /// Whether nothing may pass until the store has spoken.
    pub(super) fn waits_for_profile(&self) -> bool {
        matches!(self.profile.as_deref(), Some(Profile { state: State::Asked(..), .. }))
    }

    /// When it must have spoken, or else a presence is taken back.
    pub(super) fn profile_deadline(&self) -> Option<Timestamp> {
        let profile = self.profile.as_deref()?;
        match profile.state {
            State::Asked(_, until) => Some(until),
            State::Unknown | State::Known => profile.hides_at(),
        }
    }

    /// Time has passed.
    pub(super) fn profile_due(&mut self, out: &mut Outbox) {
        match self.profile.as_deref() {
            Some(Profile { state: State::Asked(_, until), .. }) if self.now >= *until => {
                self.profile_failed("it does not answer", out);
            }
            _ => self.hide_presence(out),
        }
    }

    /// The store has done an operation: whether it was ours to wait for.
    pub(super) fn profile_stored(&mut self, number: u64, done: &Done, out: &mut Outbox) -> bool {
        let ours = |profile: &&mut Box<Profile>| matches!(profile.state, State::Asked(asked, _) if asked == number);
        let Some(profile) = self.profile.as_mut().filter(ours) else { return false };
        profile.state = State::Known;
        match done {
            Ok(entries) => self.profile_known(entries, out),
            Err(trouble) => self.profile_failed(&trouble.to_string(), out),
        }
        self.resume(Side::Client);
        self.resume(Side::Server);
        true
    }

    /// A list that cannot be read may hold anybody back: nobody is let through. A photo that is not known is not said.
    fn profile_failed(&mut self, why: &str, out: &mut Outbox) {
        let Some(profile) = &mut self.profile else { return };
        profile.state = State::Known;
        if profile.blocks {
            let text = format!("what is kept of this account cannot be read: {why}");
            self.fail(Side::Client, StreamError::new(StreamCondition::InternalServerError, text), out);
        } else {
            out.notes.push(Note::Hint(format!("presence says nothing of the photo kept here: {why}")));
        }
    }

    /// This is kept. Whoever resumes has missed what happened meanwhile.
    fn profile_known(&mut self, entries: &[Entry], out: &mut Outbox) {
        let Some(profile) = &mut self.profile else { return };
        let list = Blocked::new(entries);
        let missed = profile.list.changes_to(&list);
        let before = std::mem::replace(&mut profile.list, list);
        for changes in missed {
            self.push_list(&changes, out);
        }
        self.list_changed(&before, out);
        self.photo_is(vcard::photo(entries), out);
    }

    /// What is kept for the account has changed.
    pub(super) fn changed(&mut self, changes: &[Change], out: &mut Outbox) {
        // What the store was asked for and has not said yet will hold this, too.
        let Some(profile) = self.profile.as_mut().filter(|profile| profile.state == State::Known) else { return };
        if profile.blocks && blocking::push(changes).is_some() {
            let before = profile.list.clone();
            profile.list.apply(changes);
            self.push_list(changes, out);
            self.list_changed(&before, out);
        }
        if let Some(photo) = vcard::changed(changes) {
            self.photo_is(Some(photo), out);
        }
    }

    /// What is kept for the account has its say about a stanza that would go on.
    pub(super) fn weigh_profile(
        &mut self,
        side: Side,
        kind: Kind,
        view: &View<'_>,
        decision: Decision,
        out: &mut Outbox,
    ) -> Decision {
        let changed = match &decision {
            Decision::Forward => None,
            Decision::Change(element, _) => Some(element),
            _ => return decision,
        };
        if let Some(held_back) = self.weigh_blocked(side, kind, &Leaving { view, changed }, out) {
            return held_back;
        }
        match (side, kind) {
            (Side::Client, Kind::Presence) => self.presence_leaves(view, decision, out),
            (Side::Server, Kind::Iq) => {
                self.watch_roster(&Leaving { view, changed }, out);
                decision
            }
            _ => decision,
        }
    }
}
