//! The client's presence as it was last broadcast, who sees it, and what it says of a photo that is kept here (XEP-0153).
//!
//! Takes presence that leaves and rosters that come, gives presence that says the right hash. Must not say anything of a photo
//! of which nothing is kept here.

use super::Outbox;
use super::core::Core;
use super::decide::Decision;
use super::leaving::{Leaving, read};
use crate::answer::vcard;
use crate::xml::{Scope, View, write_element};
use crate::xmpp::{Peer, Side, ns};
use bytes::BytesMut;

/// Who changes presence, in the notes.
const BY: &str = "answer vcard-temp";
/// A presence of more bytes than that is not repeated.
const PRESENCE_BYTES: usize = 16 * 1024;

impl Core {
    /// The client's presence leaves; with the hash of the photo that is kept here.
    pub(super) fn presence_leaves(&mut self, view: &View<'_>, decision: Decision, out: &mut Outbox) -> Decision {
        let decision = self.with_photo(view, decision, out);
        let changed = match &decision {
            Decision::Forward => None,
            Decision::Change(element, _) => Some(element),
            _ => return decision,
        };
        let leaving = Leaving { view, changed };
        let Some(profile) = self.profile.as_mut().filter(|_| leaving.to().is_none()) else { return decision };
        match leaving.kind().as_deref() {
            None => {
                let fits = view.bytes.len() <= PRESENCE_BYTES;
                profile.presence = fits.then(|| leaving.bytes());
                profile.shown = true;
            }
            Some("unavailable") => profile.presence = None,
            Some(_) => {}
        }
        decision
    }

    fn with_photo(&mut self, view: &View<'_>, decision: Decision, out: &mut Outbox) -> Decision {
        let Some(profile) = self.profile.as_deref().filter(|profile| profile.photos) else { return decision };
        let Some(photo) = profile.photo.clone() else { return decision };
        match decision {
            Decision::Forward if view.kind().is_none() => {
                let Some(mut presence) = self.tree(Side::Client, view, out) else { return decision }; // the session is over
                let new = vcard::update(&mut presence, &photo);
                if new { Decision::Change(presence, BY.to_owned()) } else { decision }
            }
            Decision::Change(mut presence, by) => {
                vcard::update(&mut presence, &photo);
                Decision::Change(presence, by)
            }
            decision => decision,
        }
    }

    /// This is what presence is to say of the photo; if it has said something else, it is broadcast anew (XEP-0153 §3.2).
    pub(super) fn photo_is(&mut self, photo: Option<String>, out: &mut Outbox) {
        let Some(profile) = self.profile.as_mut() else { return };
        profile.photo = photo;
        let (Some(photo), true) = (&profile.photo, profile.photos) else { return };
        let Some(mut presence) = profile.presence.as_deref().and_then(read) else { return };
        if vcard::update(&mut presence, photo) {
            let mut bytes = BytesMut::new();
            write_element(&presence, Scope::Stream, &mut bytes);
            profile.presence = Some(bytes.to_vec());
            profile.shown = true;
            self.presence_made(&presence, BY, out);
            self.hide_presence(out);
        }
    }

    /// An iq comes from the server: if it is a roster or a change of it, it tells who sees the client's presence.
    pub(super) fn watch_roster(&mut self, stanza: &Leaving<'_>, out: &mut Outbox) {
        let whole = match stanza.kind().as_deref() {
            Some("result") => true,
            Some("set") => false,
            _ => return,
        };
        let own = |from: Peer| matches!(from, Peer::Absent | Peer::OwnBare);
        if !self.profile.as_ref().is_some_and(|profile| profile.blocks)
            || !stanza.view.payload().is_some_and(|(namespace, name)| namespace == ns::ROSTER && name == "query")
            || !own(self.account.peer(stanza.from().as_deref()))
        {
            return;
        }
        let Some(iq) = stanza.tree(self, Side::Server, out) else { return }; // the session is over
        if let (Some(profile), Some(roster)) = (&mut self.profile, iq.child(ns::ROSTER, "query")) {
            profile.subscribers.follow(roster, whole);
        }
    }
}
