//! Learning who the client is: resource binding (RFC 6120 §7) and the older XEP-0078.
//!
//! Takes the IQs of a client that is not yet bound, gives its full JID. Must not change or hold them.

use super::core::Core;
use super::{Note, Outbox};
use crate::xml::{Element, View, parse_element};
use crate::xmpp::{Side, ns};

impl Core {
    /// Looks at an IQ that is about to be forwarded while the client has no resource yet.
    pub(super) fn watch_bind(&mut self, side: Side, view: &View<'_>, out: &mut Outbox) {
        let kind = view.kind();
        let Some(payload) = view.head.payload else { return self.watch_iq_auth(side, view, out) };
        match (side, kind.as_deref()) {
            (Side::Server, Some("result")) if view.name_is(&payload, ns::BIND, "bind") => {
                let jid = open(view).and_then(|iq| {
                    let jid = iq.child(ns::BIND, "bind")?.child(ns::BIND, "jid")?.text();
                    Some(jid.trim().to_owned())
                });
                if let Some(jid) = jid.filter(|jid| crate::xmpp::jid::FullJid::new(jid).is_ok()) {
                    self.bound(jid, out);
                }
            }
            (Side::Client, Some("set")) if view.name_is(&payload, ns::IQ_AUTH, "query") => {
                let domain = self.header.to.clone().unwrap_or_default();
                self.sasl.iq_auth = open(view).and_then(|iq| {
                    let query = iq.child(ns::IQ_AUTH, "query")?;
                    let user = query.child(ns::IQ_AUTH, "username")?.text();
                    let resource = query.child(ns::IQ_AUTH, "resource")?.text();
                    Some((iq.attr("id")?.to_owned(), format!("{}@{domain}/{}", user.trim(), resource.trim())))
                });
            }
            _ => self.watch_iq_auth(side, view, out),
        }
    }

    /// The answer to an XEP-0078 set names the id it was asked with and nothing else.
    fn watch_iq_auth(&mut self, side: Side, view: &View<'_>, out: &mut Outbox) {
        let answers = |asked: &(String, String)| view.id().as_deref() == Some(asked.0.as_str());
        if side == Side::Server
            && view.kind().as_deref() == Some("result")
            && let Some((_, jid)) = self.sasl.iq_auth.take_if(|asked| answers(asked))
        {
            self.authenticated = true;
            self.relax_limits = true;
            self.bound(jid, out);
        }
    }

    fn bound(&mut self, jid: String, out: &mut Outbox) {
        out.notes.push(Note::Bound(jid.clone()));
        self.jid = Some(jid);
    }
}

/// The tree, or nothing where the two parsers disagree: forwarding will refuse it anyway.
fn open(view: &View<'_>) -> Option<Element> {
    parse_element(view.bytes, view.root, view.head).ok()
}
