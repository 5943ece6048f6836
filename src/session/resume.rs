//! Resumption on a new connection (XEP-0198 §5): what outlives the old one, how it changes hands, and what is sent again.
//!
//! Takes `<resume/>` and the server's word on it; gives the state of the earlier session a new home. Must not move that
//! state before the server has said `<resumed/>`: whose session it is, only the server knows.
//!
//! ```text
//! C:<resume h/> -> Act::Look -> Looked: S<-<resume h'/> -> S:<resumed h/> -> Act::Claim -> Claimed: C<-<resumed h'/>,
//!                     |                     |                                               what was lost, again
//!                  nobody knows it       S:<failed/>
//!                     v                     v
//!                 C<-<failed/>           C<-<failed/>; it may bind on the same stream
//! ```

use super::answers::Answering;
use super::core::Core;
use super::happenings::{Asks, Memories};
use super::iq_ledger::IqLedger;
use super::profile::Profile;
use super::sm::{SM_ID_BYTES, Sm, SmKey, backwards, bad_ack, count, failed, ns_of, too_high};
use super::sm_ledger::{Ack, SmLedger};
use super::{Act, Fate, How, Note, Origin, Outbox, What};
use crate::rules::Finding;
use crate::xml::{Head, Root, View, escape_attr};
use crate::xmpp::{Account, Condition, Side, StreamCondition, StreamError, Timestamp};
use bytes::{Bytes, BytesMut};

/// The state of a session that outlives its connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    sm: Sm,
    key: SmKey,
    account: Account,
    iqs: IqLedger,
    /// Namespaces by their places in the old tally.
    namespaces: Vec<String>,
    jid: String,
    session: u64,
    since: Timestamp,
    memories: Memories,
    asks: Asks,
    answering: Answering,
    profile: Option<Box<Profile>>,
}

/// The counts of a session, to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    ledgers: [SmLedger; 2],
}

impl Kept {
    /// What it is resumed by.
    #[must_use]
    pub fn key(&self) -> &SmKey {
        &self.key
    }

    /// The full JID of its client.
    #[must_use]
    pub fn jid(&self) -> &str {
        &self.jid
    }

    /// Seconds the server keeps its part; 0 if it did not say.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        self.sm.max
    }

    /// Bytes of memory it takes, about.
    #[must_use]
    pub fn weight(&self) -> usize {
        let names: usize = self.namespaces.iter().map(String::len).sum();
        let ledgers: usize = self.sm.ledgers.iter().map(SmLedger::weight).sum();
        size_of::<Self>()
            + names
            + self.jid.len()
            + self.key.id.len()
            + ledgers
            + self.iqs.weight()
            + self.memories.weight()
            + self.answering.weight()
            + self.profile.as_ref().map_or(0, |profile| profile.weight())
    }

    /// Its counts.
    #[must_use]
    pub fn snapshot(&self) -> Box<Snapshot> {
        Box::new(Snapshot { ledgers: [self.sm.ledgers[0].counts_only(), self.sm.ledgers[1].counts_only()] })
    }
}

/// How far a resumption has come.
#[derive(Debug)]
pub(super) enum Resuming {
    /// What is known of the session is being looked up.
    Looking(Asked),
    /// The server was asked, with this count.
    Asked { asked: Asked, told: u32, up: Box<SmLedger> },
    /// The server agrees; the state is on its way here.
    Claiming { asked: Asked, told: u32, h: u32, bytes: Bytes },
}

/// What the client asked for.
#[derive(Debug)]
pub(super) struct Asked {
    key: SmKey,
    h: u32,
    ns: &'static str,
    /// `<resume/>` as it came.
    bytes: Bytes,
}

impl Core {
    /// Whether nothing more of this side may be looked at until a resumption has moved on.
    pub(super) fn waits_for_state(&self, side: Side) -> bool {
        match self.resuming.as_deref() {
            None => false,
            Some(Resuming::Claiming { .. }) => true,
            Some(Resuming::Looking(_) | Resuming::Asked { .. }) => side == Side::Client,
        }
    }

    /// What could be resumed of this session.
    pub(super) fn snapshot(&self) -> Option<Box<Snapshot>> {
        let sm = self.sm.as_ref().filter(|sm| sm.is_resumable())?;
        Some(Box::new(Snapshot { ledgers: [sm.ledgers[0].counts_only(), sm.ledgers[1].counts_only()] }))
    }

    /// `<resume/>` from the client.
    pub(super) fn resume_asked(&mut self, view: &View<'_>, out: &mut Outbox) {
        let ns = ns_of(view);
        let id = view.attr("previd").unwrap_or_default().into_owned();
        if self.jid.is_some() || self.sm.is_some() || !self.authenticated {
            let refusal = failed(ns, Condition::UnexpectedRequest);
            return self.refuse_other(view, &refusal, "sm", out);
        }
        let Some(h) = count(view).filter(|_| !id.is_empty()) else {
            let refusal = failed(ns, Condition::BadRequest);
            return self.refuse_other(view, &refusal, "sm", out);
        };
        if id.len() > SM_ID_BYTES {
            let refusal = failed(ns, Condition::ItemNotFound);
            return self.refuse_other(view, &refusal, "sm", out);
        }
        let key = SmKey { domain: self.account.domain().to_owned(), id };
        let bytes = self.as_it_came(view);
        out.acts.push(Act::Look(key.clone()));
        self.resuming = Some(Box::new(Resuming::Looking(Asked { key, h, ns, bytes })));
    }

    /// What is known of the session the client wants to resume.
    pub(super) fn looked(&mut self, known: Option<Box<Snapshot>>, out: &mut Outbox) {
        let asked = match self.resuming.take().map(|resuming| *resuming) {
            Some(Resuming::Looking(asked)) => asked,
            other => return self.resuming = other.map(Box::new),
        };
        let Some(snapshot) = known else { return self.refuse_resumption(&asked, Vec::new(), out) };
        let [up, down] = snapshot.ledgers;
        let (told, found) = match down.preview(asked.h) {
            Ack::Told(told) => (told, Vec::new()),
            Ack::Backwards { heard, told } => (told, vec![backwards(asked.h, heard)]),
            // Nobody has said yet that this is its session: what it is told must be no news to a stranger.
            Ack::TooHigh { sent } => return self.refuse_resumption(&asked, vec![too_high(asked.h, sent)], out),
        };
        let resume = format!("<resume xmlns='{}' h='{told}' previd='{}'/>", asked.ns, escaped(&asked.key.id));
        let number = self.note_asked(&asked, Fate::Rewritten("sm".to_owned()), found, out);
        let origin = Origin::Rewritten(number, "sm".to_owned());
        self.send(Side::Server, What::Other, resume.as_bytes(), origin, out);
        self.resuming = Some(Box::new(Resuming::Asked { asked, told, up: Box::new(up) }));
    }

    /// Nobody here knows that session, or not as the client does, and the server must not be asked: its counts and the
    /// client's may differ.
    fn refuse_resumption(&mut self, asked: &Asked, found: Vec<Finding>, out: &mut Outbox) {
        let number = self.note_asked(asked, Fate::Answered("sm".to_owned()), found, out);
        let refusal = failed(asked.ns, Condition::ItemNotFound);
        let origin = Origin::Made(number, "sm".to_owned());
        self.send_element(Side::Client, What::Other, &refusal, origin, out);
        self.resume(Side::Client);
    }

    /// Tells of what was put aside when the session ends first.
    pub(super) fn tell_unresumed(&mut self, out: &mut Outbox) {
        match self.resuming.take().map(|resuming| *resuming) {
            Some(Resuming::Looking(asked)) => self.note_asked(&asked, Fate::Handled, Vec::new(), out),
            Some(Resuming::Claiming { bytes, .. }) => {
                self.note_in(Side::Server, What::Other, &bytes, Fate::Handled, out)
            }
            Some(Resuming::Asked { .. }) | None => 0,
        };
    }

    fn note_asked(&mut self, asked: &Asked, fate: Fate, found: Vec<Finding>, out: &mut Outbox) -> u64 {
        let number = self.next_item();
        put_aside(&asked.bytes, |view| {
            self.saw_found(number, Side::Client, What::Other, view, fate, found, None, out);
        });
        number
    }

    /// An element that is put aside, as a watcher will be shown it.
    fn as_it_came(&mut self, view: &View<'_>) -> Bytes {
        self.untidy.take().unwrap_or_else(|| Bytes::copy_from_slice(view.bytes))
    }

    /// `<resumed/>` from the server: the state may be moved now.
    pub(super) fn resumed_by_server(&mut self, view: &View<'_>, out: &mut Outbox) {
        match self.resuming.take().map(|resuming| *resuming) {
            Some(Resuming::Asked { asked, told, .. }) => {
                let Some(h) = count(view) else { return self.resumed_uncounted(view, out) };
                out.acts.push(Act::Claim(asked.key.clone()));
                let bytes = self.as_it_came(view);
                self.resuming = Some(Box::new(Resuming::Claiming { asked, told, h, bytes }));
            }
            other => {
                self.resuming = other.map(Box::new);
                self.unexpected(Side::Server, view, out);
            }
        }
    }

    /// `<resumed/>` that does not say how much was handled: any count we made up would be false.
    fn resumed_uncounted(&mut self, view: &View<'_>, out: &mut Outbox) {
        let text = "a <resumed/> must say how many stanzas were handled: h='...'";
        let number = self.next_item();
        let found = vec![bad_ack(text)];
        self.saw_found(number, Side::Server, What::Other, view, Fate::Handled, found, None, out);
        self.fail(Side::Server, StreamError::new(StreamCondition::UndefinedCondition, text), out);
    }

    /// `<failed/>` from the server: it knows that session no more. The client may bind on this stream.
    pub(super) fn resume_failed(&mut self, view: &View<'_>, out: &mut Outbox) {
        let Some(Resuming::Asked { up, .. }) = self.resuming.take().map(|resuming| *resuming) else {
            return;
        };
        self.resume(Side::Client);
        let Some(h) = count(view) else { return self.forward_other(Side::Server, view, out) };
        let Some(mut failed) = self.tree(Side::Server, view, out) else { return };
        let fate = Fate::Rewritten("sm".to_owned());
        let number = self.note_in(Side::Server, What::Other, view.bytes, fate, out);
        match up.preview(h) {
            Ack::Told(told) => failed.set_attr("h", told.to_string()),
            Ack::Backwards { .. } | Ack::TooHigh { .. } => drop(failed.remove_attr("h")),
        }
        self.send_element(Side::Client, What::Other, &failed, Origin::Rewritten(number, "sm".to_owned()), out);
    }

    /// The state of the earlier session is here, or gone.
    pub(super) fn claimed(&mut self, kept: Option<Box<Kept>>, out: &mut Outbox) {
        let (asked, told, h, bytes) = match self.resuming.take().map(|resuming| *resuming) {
            Some(Resuming::Claiming { asked, told, h, bytes }) => (asked, told, h, bytes),
            other => {
                self.resuming = other.map(Box::new);
                return out.acts.extend(kept.map(Act::Park));
            }
        };
        self.resume(Side::Client);
        self.resume(Side::Server);
        let Some(kept) = kept else {
            self.note_in(Side::Server, What::Other, &bytes, Fate::Handled, out);
            return self.leave("another connection has resumed this session at the same time", out);
        };
        if !kept.sm.ledgers[1].still_means(asked.h, told) {
            // It has gone on elsewhere since this was asked: it is left as it is.
            out.acts.push(Act::Park(kept));
            self.note_in(Side::Server, What::Other, &bytes, Fate::Handled, out);
            return self.leave("another connection has gone on with this session meanwhile", out);
        }
        put_aside(&bytes, |view| self.take_over(*kept, &asked, [told, h], view, out));
    }

    /// Goes on as the earlier session. `view` is the server's `<resumed/>`, `h` what it says; `told` is what it was told.
    fn take_over(&mut self, kept: Kept, asked: &Asked, [told, h]: [u32; 2], view: &View<'_>, out: &mut Outbox) {
        let Kept { mut sm, key, account, iqs, namespaces, jid, session, since, memories, asks, answering, profile } =
            kept;
        let [up, down] = &mut sm.ledgers;
        let (k, found) = match up.preview(h) {
            Ack::Told(told) => (told, Vec::new()),
            Ack::Backwards { heard, told } => (told, vec![backwards(h, heard)]),
            Ack::TooHigh { sent } => return self.too_high(Side::Server, view, h, sent, out),
        };
        down.resume(asked.h, told);
        up.resume(h, k);
        sm.ns = asked.ns;
        self.sm = Some(Box::new(sm));
        self.take_over_iqs(iqs, &namespaces, since);
        self.take_over_scripts(memories, asks);
        self.account = account;
        self.jid = Some(jid.clone());

        let number = self.next_item();
        self.saw_found(number, Side::Server, What::Other, view, Fate::Rewritten("sm".to_owned()), found, None, out);
        let resumed = format!("<resumed xmlns='{}' h='{k}' previd='{}'/>", asked.ns, escaped(&key.id));
        let origin = Origin::Rewritten(number, "sm".to_owned());
        self.send(Side::Client, What::Other, resumed.as_bytes(), origin, out);
        out.acts.push(Act::Enlist(key));
        out.notes.push(Note::Resumed { jid, session });
        for sender in [Side::Server, Side::Client] {
            self.send_due(sender, out);
        }
        self.take_over_answers(answering, out);
        self.profile = profile.map(|profile| Box::new(profile.carried_over()));
        self.want_profile(out);
    }

    fn take_over_iqs(&mut self, mut iqs: IqLedger, namespaces: &[String], since: Timestamp) {
        let later = self.now.0.saturating_sub(since.0);
        let places: Vec<_> = namespaces.iter().map(|namespace| self.tally.namespace(namespace)).collect();
        iqs.carry_over(later, |place| places.get(place).copied().unwrap_or_default());
        self.iqs = iqs;
    }

    /// Hands the state to whoever keeps it, unless the client has ended its stream properly (XEP-0198 §5: that ends the
    /// session for good).
    pub(super) fn park(&mut self, out: &mut Outbox) {
        let Some(sm) = self.sm.take() else { return };
        if !sm.is_resumable() || self.leg_ref(Side::Client).in_closed {
            return;
        }
        let (Some(key), Some(jid)) = (sm.key.clone(), self.jid.clone()) else { return };
        let iqs = std::mem::replace(&mut self.iqs, IqLedger::new());
        let namespaces = self.tally.iqs.iter().map(|iq| iq.ns.clone()).collect();
        let (account, session, since) = (self.account.clone(), self.number, self.now);
        let (memories, asks) = self.give_up_scripts();
        let answering = self.answering.give_up();
        let profile = self.profile.take();
        let kept =
            Kept { sm: *sm, key, account, iqs, namespaces, jid, session, since, memories, asks, answering, profile };
        out.acts.push(Act::Park(Box::new(kept)));
    }

    /// The server has let a younger connection resume what this one wants to.
    pub(super) fn superseded(&mut self, key: &SmKey, out: &mut Outbox) {
        use Resuming::{Asked, Looking};
        let Some(Looking(asked) | Asked { asked, .. }) = self.resuming.as_deref() else {
            return;
        };
        if asked.key == *key {
            self.leave("a younger connection resumes this session", out);
        }
    }

    /// Another connection goes on with this session.
    pub(super) fn surrender(&mut self, out: &mut Outbox) {
        if self.over {
            return;
        }
        self.park(out);
        self.leave("this session was resumed on another connection", out);
    }

    /// Leaves the session to another connection: the client is told, the server's stream is dropped without a word (a
    /// goodbye might end what goes on elsewhere).
    fn leave(&mut self, text: &str, out: &mut Outbox) {
        self.ends(|| text.to_owned());
        let error = StreamError::new(StreamCondition::Conflict, text);
        out.notes.push(Note::StreamError { side: Side::Client, condition: error.condition, text: text.to_owned() });
        self.tell(Side::Client, &error, out);
        self.send_close(Side::Client, Origin::Made(0, "sm".to_owned()), out);
        self.give_up(Side::Client, How::Clean, out);
        self.give_up(Side::Server, How::Abort, out);
        self.over = true;
    }
}

/// Looks at an element once more that was judged and put aside: at its bytes and attributes.
fn put_aside<R>(bytes: &[u8], work: impl FnOnce(&View<'_>) -> R) -> R {
    let (head, root) = (Head::default(), Root::default());
    work(&View { bytes, head: &head, root: &root })
}

fn escaped(text: &str) -> String {
    let mut out = BytesMut::new();
    escape_attr(text, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}
