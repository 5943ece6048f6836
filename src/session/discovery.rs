//! The server's disco#info on its way to the client: it tells what is answered here, and hides what is denied (XEP-0030). And
//! the nodes by which clients ask for it: the server knows nothing of those that only we have told them (`advertise`).
//!
//! Takes requests that go on to the server and what it answers, behind the scripts; gives both as they leave. Must not touch an
//! error, nor an answer about a node that is not the account or the server itself.

use super::Outbox;
use super::advertise::{Held, Learning};
use super::core::Core;
use super::decide::Decision;
use super::iq::Role;
use super::iq_ledger::{Asker, IqLedger};
use crate::answer::{Answer, Answers, Asked, Caps, Mapping, Target, disco};
use crate::xml::{Element, View};
use crate::xmpp::{Condition, Side, StanzaError, ns};

/// What changes these requests and answers.
pub(super) const BY: &str = "answer disco#info";
/// Requests for another node than the client has asked for that may be under way; who asks for more waits.
const MOST_RENAMED: usize = 64;

/// What a session knows of the server's disco#info.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Discovery {
    /// What the server's features say of it.
    pub(super) caps: Option<Caps>,
    /// What the client was told instead.
    pub(super) told: Mapping,
    /// Nobody knows yet what the features speak of.
    pub(super) unknown: bool,
    /// It is known now, and on its way to the store.
    pub(super) learning: Option<Learning>,
    /// Features that wait for the store.
    pub(super) held: Option<Box<Held>>,
    /// The node the client has asked for in the request at hand, if that leaves with another.
    renamed: Option<String>,
    /// Requests that have left so.
    under_way: Vec<Renamed>,
}

/// A request that has left with another node than the client has asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Renamed {
    /// What it is remembered by.
    remembered: u64,
    /// The client's node.
    node: String,
}

impl Discovery {
    /// Bytes of memory this takes, about. Features wait only before there is anything to keep.
    pub(super) fn weight(&self) -> usize {
        let renamed: usize = self.under_way.iter().map(|one| size_of::<Renamed>() + one.node.len()).sum();
        let learning = self.learning.as_ref().map_or(0, Learning::weight);
        self.caps.as_ref().map_or(0, Caps::weight) + self.told.weight() + learning + renamed
    }

    /// Whether a node is the server itself: that of its capabilities, as it names them or as we do.
    fn is_the_server(&self, node: &str) -> bool {
        self.told.to_server(node).is_some() || self.caps.as_ref().is_some_and(|caps| caps.names(node))
    }

    /// The answer to a request that is answered here. Our own answer knows no nodes, but who asks for that of the server's
    /// capabilities asks for the server.
    pub(super) fn answer(&self, answers: &Answers, asked: &Asked<'_>) -> Answer {
        let node = asked.payload.attr("node").filter(|node| {
            asked.target == Target::Server && asked.payload.is(ns::DISCO_INFO, "query") && self.is_the_server(node)
        });
        let Some(node) = node else { return answers.answer(asked) };
        let mut plain = asked.payload.clone();
        plain.remove_attr("node");
        let mut answer = answers.answer(&Asked { payload: &plain, ..*asked });
        if let Answer::Result(Some(query)) = &mut answer {
            query.set_attr("node", node);
        }
        answer
    }

    /// The request at hand leaves, and is remembered by this number. One that is sent again need not be what it was.
    pub(super) fn leaves(&mut self, remembered: u64) {
        self.forget(remembered);
        if let Some(node) = self.renamed.take().filter(|_| remembered > 0) {
            self.under_way.push(Renamed { remembered, node });
        }
    }

    /// A request is done with.
    pub(super) fn forget(&mut self, remembered: u64) {
        self.under_way.retain(|one| one.remembered != remembered);
    }

    /// The node that the client has asked for, if the request left with another.
    fn asked(&self, remembered: u64) -> Option<&str> {
        let one = self.under_way.iter().find(|one| one.remembered == remembered)?;
        Some(one.node.as_str())
    }

    /// Whether another request may leave so. Those that were forgotten elsewhere do not count.
    fn has_room(&mut self, iqs: &IqLedger) -> bool {
        if self.under_way.len() >= MOST_RENAMED {
            self.under_way.retain(|one| iqs.remembered(Side::Client, one.remembered).is_some());
        }
        self.under_way.len() < MOST_RENAMED
    }

    /// Goes on with what an earlier connection knew. What this one was told itself comes first.
    pub(super) fn take_over(&mut self, earlier: Self) {
        self.told.follow(earlier.told);
        self.under_way = earlier.under_way;
        if self.caps.is_none() {
            self.caps = earlier.caps;
        }
    }

    /// Whether there is nothing to be done, but for what the policy says.
    fn is_idle(&self) -> bool {
        !self.unknown && self.told.is_empty() && self.under_way.is_empty()
    }
}

impl Core {
    /// A request of the client's would go on to the server: one for a node that only we have told it asks for the server's own.
    pub(super) fn ask_by_its_node(&mut self, view: &View<'_>, decision: Decision, out: &mut Outbox) -> Decision {
        self.answering.discovery.renamed = None;
        if self.answering.discovery.told.is_empty() || self.jid.is_none() {
            return decision;
        }
        let opened = match &decision {
            Decision::Forward if is_info(view, "get") => self.tree(Side::Client, view, out), // or the session is over
            Decision::Change(iq, _) => Some(iq.clone()),
            _ => None,
        };
        let Some(mut iq) = opened else { return decision };
        let to_server =
            Target::of(self.account.peer(iq.attr("to"))) == Target::Server && iq.attr("type") == Some("get");
        let discovery = &mut self.answering.discovery;
        let Some(query) = query(&mut iq).filter(|_| to_server) else { return decision };
        let node = query.attr("node").unwrap_or_default().to_owned();
        let Some(known) = discovery.told.to_server(&node).filter(|known| *known != node) else { return decision };
        query.set_attr("node", known);
        if !discovery.has_room(&self.iqs) {
            let text = "too many of these are under way; try again";
            let error = StanzaError::new(Condition::ResourceConstraint).with_text(text);
            return Decision::Bounce(error, BY.to_owned());
        }
        discovery.renamed = Some(node);
        Decision::Change(iq, BY.to_owned())
    }

    /// The server has answered, or we in its place: what it is and can is told as it is through us, under the node that was
    /// asked for.
    pub(super) fn tell_the_truth(
        &mut self,
        view: &View<'_>,
        role: Role,
        decision: Decision,
        out: &mut Outbox,
    ) -> Decision {
        let Role::Answer { at: Some(at), .. } = role else { return decision };
        let Some(row) = self.iqs.row(at) else { return decision };
        let (target, remembered) = (Target::of(row.peer), row.remembered);
        if row.asker == Asker::Iqtap {
            self.iqs.close(at);
        }
        let discovery = &self.answering.discovery;
        if target == Target::Other || (self.policy.answers.is_empty() && discovery.is_idle()) {
            return decision;
        }
        let learns = discovery.unknown && target == Target::Server;
        let wanted = is_info(view, "result") && (learns || matches!(decision, Decision::Forward));
        let came = if wanted { self.tree(Side::Server, view, out) } else { None }; // or the session is over
        if let Some(iq) = came.as_ref().filter(|_| learns) {
            self.learn(iq, out);
        }
        match (decision, came) {
            (Decision::Forward, Some(mut iq)) => match self.edit_info(&mut iq, target, remembered) {
                true => Decision::Change(iq, BY.to_owned()),
                false => Decision::Forward,
            },
            (Decision::Change(mut iq, by), _) if iq.attr("type") == Some("result") => {
                let edited = self.edit_info(&mut iq, target, remembered);
                Decision::Change(iq, if edited { BY.to_owned() } else { by })
            }
            (decision, _) => decision,
        }
    }

    /// Makes a result tell the truth, if it is about the account or the server itself; gives whether anything has changed.
    fn edit_info(&self, iq: &mut Element, target: Target, remembered: u64) -> bool {
        let discovery = &self.answering.discovery;
        let Some(query) = query(iq) else { return false };
        if let Some(node) = discovery.asked(remembered) {
            query.set_attr("node", node);
            disco::edit(query, target, &self.policy.answers);
            return true;
        }
        let itself = match query.attr("node") {
            None | Some("") => true,
            Some(node) => target == Target::Server && discovery.is_the_server(node),
        };
        itself && disco::edit(query, target, &self.policy.answers)
    }
}

fn query(iq: &mut Element) -> Option<&mut Element> {
    iq.children_mut().find(|child| child.is(ns::DISCO_INFO, "query"))
}

/// Whether an iq is of this type and about what somebody is and can.
fn is_info(view: &View<'_>, kind: &str) -> bool {
    view.kind().as_deref() == Some(kind)
        && view.head.payload.is_some_and(|payload| view.name_is(&payload, ns::DISCO_INFO, "query"))
}
