//! Learning who the client is: resource binding (RFC 6120 §7) and the older XEP-0078.
//!
//! Takes the IQs of a client that is not yet bound, gives its full JID. Must not change or hold them, and must not take a
//! client's word for who it is: only the server's.

use super::core::Core;
use super::iq::rewritten;
use super::{Note, Outbox};
use crate::xml::{Element, View, parse_element};
use crate::xmpp::{Side, jid, ns};

/// A JID has three parts of at most 1,023 bytes each (RFC 7622 §3).
const JID_BYTES: usize = 3 * 1023 + 2;

/// An XEP-0078 login under way: the id of its set, and the JID it asks for.
#[derive(Debug)]
pub(super) struct IqAuth {
    id: String,
    jid: String,
}

impl Core {
    /// Looks at an IQ from a client that has no resource yet, before it is forwarded.
    pub(super) fn watch_login(&mut self, view: &View<'_>) {
        let id = view.id();
        // An id that is used twice could let the answer to one request pass for the answer to the other.
        let reused = id.as_deref().is_none_or(|id| {
            let id_seen = rewritten(id);
            self.iqs.waits(Side::Client, self.account.hash(id_seen.as_bytes()), &id_seen)
                || self.sasl.iq_auth.as_ref().is_some_and(|auth| auth.id == id)
        });
        if reused || self.authenticated {
            self.sasl.iq_auth = None;
            return;
        }
        let asks = view.kind().as_deref() == Some("set")
            && view.head.payload.is_some_and(|payload| view.name_is(&payload, ns::IQ_AUTH, "query"));
        if asks {
            let domain = self.header.to.as_deref().unwrap_or_default();
            self.sasl.iq_auth = open(view).and_then(|iq| asked(&iq, domain));
        }
    }

    /// Looks at an IQ from the server of a client that has no resource yet, once it was forwarded.
    pub(super) fn watch_bind(&mut self, view: &View<'_>, out: &mut Outbox) {
        let is_result = view.kind().as_deref() == Some("result");
        let answered = self.sasl.iq_auth.take_if(|auth| view.id().as_deref() == Some(auth.id.as_str()));
        if let Some(auth) = answered {
            // An acceptance is empty and comes from the server itself (XEP-0078 §3.1).
            let from = view.from();
            let from_server = from.is_none() || from.as_deref() == self.header.to.as_deref();
            if is_result && view.head.children == 0 && from_server {
                self.authenticated = true;
                self.relax_limits = true;
                self.bound(auth.jid, out);
            }
        } else if is_result
            && self.authenticated
            && view.head.payload.is_some_and(|payload| view.name_is(&payload, ns::BIND, "bind"))
            && let Some(jid) = given(view)
        {
            self.bound(jid, out);
        }
    }

    fn bound(&mut self, jid: String, out: &mut Outbox) {
        out.notes.push(Note::Bound(jid.clone()));
        self.account.bind(&jid);
        self.iqs.bound(|address| self.account.peer(address));
        self.iqs.slim();
        self.tally.slim();
        self.jid = Some(jid);
        self.scripts_bound(out);
        self.want_profile(out);
        self.ask_for_info(out);
    }
}

/// The JID a bind result gives. It is the server's word: whether we could prepare it ourselves does not matter (servers
/// allow resources with characters younger than our tables).
fn given(view: &View<'_>) -> Option<String> {
    let mut walk = view.inside(2);
    let mut within = false;
    let jid = loop {
        let inner = walk.next()?;
        match inner.level {
            1 if within => return None, // the first is the one that counts
            1 => within = inner.is(ns::BIND, "bind"),
            _ if within && inner.is(ns::BIND, "jid") => break inner.text(),
            _ => {}
        }
    };
    let jid = jid.trim();
    let full = jid.split_once('/').is_some_and(|(bare, resource)| !bare.is_empty() && !resource.is_empty());
    (full && jid.len() <= JID_BYTES && !jid.contains(char::is_control)).then(|| jid.to_owned())
}

/// The JID an XEP-0078 set asks for.
fn asked(iq: &Element, domain: &str) -> Option<IqAuth> {
    let query = iq.child(ns::IQ_AUTH, "query")?;
    let user = query.child(ns::IQ_AUTH, "username")?.text();
    let resource = query.child(ns::IQ_AUTH, "resource")?.text();
    let jid = format!("{}@{domain}/{}", user.trim(), resource.trim());
    let same = jid::FullJid::new(&jid).is_ok() && jid::bare(&jid).len() == user.trim().len() + 1 + domain.len();
    same.then(|| Some(IqAuth { id: iq.attr("id")?.to_owned(), jid })).flatten()
}

/// The tree, or nothing where the two parsers disagree: forwarding will refuse it anyway.
fn open(view: &View<'_>) -> Option<Element> {
    parse_element(view.bytes, view.root, view.head).ok()
}
