//! What must come out: kept by somebody who sees both ends and knows the script, and nothing of the proxy.
//!
//! Told of every stanza that an end's application sends or receives, of every run of the script, and of every claim (an
//! `h`); the error says which promise was broken:
//! * what the script lets pass arrives once, in the order in which it was sent;
//! * what it makes arrives once, also where it ran again because a stanza came again; over what it stops it runs once;
//! * each request gets one answer;
//! * nobody claims to have handled what neither the other end has nor the script has stopped.

use super::fate::{Fate, Made, epoch, is_question, trigger};
use super::wire::Tag;
use iqtap::xmpp::Side;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A request that an end has received and not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owed {
    pub(crate) id: String,
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
}

/// One resumable session, from its bind to the next. Pairs are by the sender's side.
#[derive(Clone, Debug, Default)]
struct Epoch {
    /// What must arrive next, in this order.
    due: [VecDeque<String>; 2],
    /// What has arrived.
    arrived: BTreeSet<String>,
    /// Requests sent and not answered.
    open: [BTreeSet<String>; 2],
    /// Requests received and not answered, by who received them.
    owed: [Vec<Owed>; 2],
    /// How often the script ran over a stanza: only of those it tells of.
    ran: BTreeMap<String, u32>,
    /// How often something that it made has arrived.
    made: BTreeMap<String, u32>,
}

/// All that is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Truth {
    epochs: BTreeMap<u32, Epoch>,
}

/// What a stanza is called here: an answer bears the id of its request.
fn key(tag: &Tag) -> String {
    let words = [Some(tag.name.as_str()), tag.attr("type"), tag.attr("id")];
    words.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn id(tag: &Tag) -> Result<&str, String> {
    tag.attr("id").ok_or_else(|| format!("a stanza without id: {}", tag.raw))
}

fn is_answer(tag: &Tag) -> bool {
    tag.name == "iq" && matches!(tag.attr("type"), Some("result" | "error"))
}

impl Truth {
    fn epoch(&mut self, id: &str) -> Result<&mut Epoch, String> {
        Ok(self.epochs.entry(epoch(id)?).or_default())
    }

    /// An application sends a stanza.
    pub(crate) fn sent(&mut self, from: Side, tag: &Tag) -> Result<(), String> {
        let id = id(tag)?;
        let epoch = self.epoch(id)?;
        if tag.attr("type") == Some("get") {
            epoch.open[from.index()].insert(id.to_owned());
        }
        if !Fate::of(tag, from).gone {
            epoch.due[from.index()].push_back(key(tag));
        }
        Ok(())
    }

    /// The script told that it ran over the stanza of this id.
    pub(crate) fn ran(&mut self, id: &str) -> Result<(), String> {
        let runs = self.epoch(id)?.ran.entry(id.to_owned()).or_default();
        *runs += 1;
        let stopped = !["up", "down", "ask"].iter().any(|word| id.ends_with(&format!(".{word}")));
        if stopped && *runs > 1 {
            return Err(format!("the script ran again over {id}, which it had stopped the first time"));
        }
        Ok(())
    }

    /// An application receives a stanza, in the session of this number.
    pub(crate) fn arrived(&mut self, at: Side, session: u32, tag: &Tag) -> Result<(), String> {
        let id = id(tag)?;
        if epoch(id)? != session {
            return Err(format!("a stanza of another session than {session} arrives: {}", tag.raw));
        }
        let epoch = self.epoch(id)?;
        let requester_was_answered_here = is_answer(tag) && Fate::of(&request(id), at).made == Some(Made::Answer);
        let made = trigger(id).is_some() && !is_answer(tag);
        if made || requester_was_answered_here {
            epoch.made_arrived(id)?;
        } else {
            let due = &mut epoch.due[at.other().index()];
            let key = key(tag);
            if due.front() != Some(&key) {
                let again = if epoch.arrived.contains(&key) { " (it has arrived before)" } else { "" };
                return Err(format!("{} was due at the {at:?}, {key} arrives{again}", front(due)));
            }
            due.pop_front();
            epoch.arrived.insert(key);
        }
        if is_answer(tag) && !epoch.open[at.index()].remove(id) {
            return Err(format!("an answer to nothing, or a second one: {}", tag.raw));
        }
        if tag.attr("type") == Some("get") {
            let text = |name: &str| tag.attr(name).map(str::to_owned);
            epoch.owed[at.index()].push(Owed { id: id.to_owned(), from: text("from"), to: text("to") });
        }
        Ok(())
    }

    /// The end on this side was told that its stanza, as it was sent, is handled.
    pub(crate) fn claimed(&mut self, sender: Side, stanza: &str) -> Result<(), String> {
        let tag = super::wire::tag(stanza)?;
        let id = id(&tag)?;
        let epoch = self.epoch(id)?;
        let stopped = Fate::of(&tag, sender).gone && (is_question(id) || epoch.ran.contains_key(id));
        if stopped || epoch.arrived.contains(&key(&tag)) {
            return Ok(());
        }
        Err(format!("an h claims for the {sender:?} that this was handled, and nobody has: {stanza}"))
    }

    /// A request that this end owes an answer to, the n-th of them round and round.
    pub(crate) fn owed(&mut self, by: Side, session: u32, n: usize) -> Option<Owed> {
        let owed = &mut self.epochs.get_mut(&session)?.owed[by.index()];
        if owed.is_empty() { None } else { Some(owed.remove(n % owed.len())) }
    }

    /// All is quiet: nothing of this session may still be missing.
    pub(crate) fn end(&self, session: u32) -> Result<(), String> {
        let Some(epoch) = self.epochs.get(&session) else { return Ok(()) };
        for side in [Side::Client, Side::Server] {
            if let Some(key) = epoch.due[side.index()].front() {
                return Err(format!("lost on the way from the {side:?}: {key}"));
            }
            if let Some(id) = epoch.open[side.index()].first() {
                return Err(format!("the {side:?} has no answer to its request {id}"));
            }
        }
        for (id, runs) in &epoch.ran {
            let got = epoch.made.iter().filter(|(made, _)| belongs(made, id)).map(|(_, times)| times).sum::<u32>();
            let makes = !id.ends_with(".drop");
            if makes && got != 1 {
                return Err(format!("the script ran {runs} times over {id}, and what it made has arrived {got} times"));
            }
        }
        Ok(())
    }
}

impl Epoch {
    fn made_arrived(&mut self, id: &str) -> Result<(), String> {
        let own = trigger(id).map_or(id, |(_, own)| own);
        let runs = self.ran.get(own).copied().unwrap_or_default().min(1);
        let times = self.made.entry(id.to_owned()).or_default();
        *times += 1;
        if *times > runs {
            return Err(format!("{id}, which the script made, arrives for the {times}. time"));
        }
        Ok(())
    }
}

/// Whether something made belongs to the stanza of that id.
fn belongs(made: &str, id: &str) -> bool {
    made == id || trigger(made).is_some_and(|(_, own)| own == id)
}

/// A request of that id, as far as its fate goes.
fn request(id: &str) -> Tag {
    super::wire::tag(&format!("<iq type='get' id='{id}'/>")).unwrap_or_default()
}

fn front(due: &VecDeque<String>) -> &str {
    due.front().map_or("nothing", String::as_str)
}
