//! Requests the server answers itself: one table of plain functions.
//!
//! Takes a get or set that has an id and one child, gives exactly one result or error (RFC 6120 §8.2.3). What is not
//! in the table is `service-unavailable` (RFC 6120 §8.4). The features of service discovery are written down beside
//! the table and must say no more than it does.

use super::hub::Hub;
use super::stanza::{Target, refuse};
use crate::xml::{Element, Scope, write_element};
use crate::xmpp::jid::{BareJid, FullJid};
use crate::xmpp::{Condition, StanzaError, ns};
use bytes::BytesMut;

/// The largest vCard kept (the element as written).
const VCARD_BYTES: usize = 64 * 1024;

/// A request and who sent it.
struct Request<'a> {
    hub: &'a Hub,
    me: &'a FullJid,
    payload: &'a Element,
    /// The account it is about.
    of: BareJid,
}

type Answer = fn(&Request<'_>) -> Result<Option<Element>, StanzaError>;

/// To whom a request of the table may be sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum To {
    Account,
    Domain,
    Other,
}

const TABLE: &[(To, &str, &str, &str, Answer)] = &[
    (To::Account, "set", ns::SESSION, "session", empty),
    (To::Account, "get", ns::PING, "ping", empty),
    (To::Account, "get", ns::ROSTER, "query", roster_get),
    (To::Account, "set", ns::ROSTER, "query", roster_set),
    (To::Account, "get", ns::VCARD, "vCard", vcard_get),
    (To::Account, "set", ns::VCARD, "vCard", vcard_set),
    (To::Account, "get", ns::DISCO_INFO, "query", account_info),
    (To::Account, "get", ns::DISCO_ITEMS, "query", no_items),
    (To::Account, "get", ns::BLOCKING, "blocklist", blocking),
    (To::Account, "set", ns::BLOCKING, "block", blocking),
    (To::Account, "set", ns::BLOCKING, "unblock", blocking),
    (To::Domain, "set", ns::SESSION, "session", empty),
    (To::Domain, "get", ns::PING, "ping", empty),
    (To::Domain, "get", ns::VERSION, "query", version),
    (To::Domain, "get", ns::DISCO_INFO, "query", domain_info),
    (To::Domain, "get", ns::DISCO_ITEMS, "query", no_items),
    (To::Other, "get", ns::VCARD, "vCard", vcard_get),
    (To::Other, "set", ns::VCARD, "vCard", forbidden),
    (To::Other, "get", ns::DISCO_INFO, "query", contact_info),
];

const DOMAIN_FEATURES: &[&str] = &[ns::DISCO_INFO, ns::DISCO_ITEMS, ns::ROSTER, ns::VERSION, ns::PING, ns::VCARD];
const ACCOUNT_FEATURES: &[&str] = &[ns::DISCO_INFO, ns::DISCO_ITEMS, ns::PING, ns::VCARD];

/// Answers a request in the server's or the account's name.
pub(super) fn answer(hub: &Hub, me: &FullJid, iq: &Element, target: &Target, out: &mut BytesMut) {
    let Some(payload) = iq.children().next() else { return };
    let (to, of) = match target {
        Target::Account => (Some(To::Account), me.to_bare()),
        Target::Domain => (Some(To::Domain), me.to_bare()),
        Target::Other(jid) => (Some(To::Other), jid.clone()),
        Target::Resource(_) | Target::Nobody(_) => (None, me.to_bare()),
    };
    let kind = iq.attr("type").unwrap_or_default();
    let row = TABLE.iter().find(|row| Some(row.0) == to && row.1 == kind && payload.is(row.2, row.3));
    let answered = match (row, target) {
        (Some(row), _) => row.4(&Request { hub, me, payload, of }),
        (None, Target::Nobody(condition)) => Err(StanzaError::new(*condition)),
        (None, _) => Err(StanzaError::new(Condition::ServiceUnavailable)),
    };
    match answered {
        Ok(payload) => write_element(&result(me, iq, payload), Scope::Stream, out),
        // Blocking is refused as an old server would, code and all: for clients and proxies to meet one.
        Err(error) => refuse(iq, &error, payload.ns == ns::BLOCKING, out),
    }
}

fn result(me: &FullJid, iq: &Element, payload: Option<Element>) -> Element {
    let mut result = Element::new(ns::CLIENT, "iq").with_attr("type", "result");
    result.set_attr("id", iq.attr("id").unwrap_or_default());
    result.set_attr("to", me.to_string());
    if let Some(to) = iq.attr("to") {
        result.set_attr("from", to);
    }
    payload.into_iter().fold(result, Element::with_child)
}

/// Done, and nothing to say (XEP-0199 §4.2; RFC 3921 §3).
fn empty(_: &Request<'_>) -> Result<Option<Element>, StanzaError> {
    Ok(None)
}

/// RFC 6121 §2.1.3
fn roster_get(request: &Request<'_>) -> Result<Option<Element>, StanzaError> {
    Ok(Some(request.hub.roster(request.me)))
}

/// RFC 6121 §2.1.5
fn roster_set(request: &Request<'_>) -> Result<Option<Element>, StanzaError> {
    request.hub.set_roster(request.me, request.payload).map(|()| None)
}

/// XEP-0054 §3.1, §3.3: no vCard and no account look the same.
fn vcard_get(request: &Request<'_>) -> Result<Option<Element>, StanzaError> {
    let accounts = request.hub.accounts();
    let vcard = accounts.get(&request.of).and_then(|entry| entry.vcard.clone());
    vcard.map(Some).ok_or_else(|| StanzaError::new(Condition::ItemNotFound).with_text("no vCard here"))
}

/// XEP-0054 §3.2: the whole vCard is replaced.
fn vcard_set(request: &Request<'_>) -> Result<Option<Element>, StanzaError> {
    let mut written = BytesMut::new();
    write_element(request.payload, Scope::Alone, &mut written);
    if written.len() > VCARD_BYTES {
        return Err(StanzaError::new(Condition::ResourceConstraint).with_text("at most 64 KiB are kept"));
    }
    if let Some(entry) = request.hub.accounts().get_mut(&request.of) {
        entry.vcard = Some(request.payload.clone());
        entry.touch();
    }
    Ok(None)
}

/// XEP-0054 §3.2: nobody sets somebody else's.
fn forbidden(_: &Request<'_>) -> Result<Option<Element>, StanzaError> {
    Err(StanzaError::new(Condition::Forbidden))
}

/// XEP-0191, which we do not have; `feature-not-implemented` rather than `service-unavailable` says so on purpose.
fn blocking(_: &Request<'_>) -> Result<Option<Element>, StanzaError> {
    Err(StanzaError::new(Condition::FeatureNotImplemented).with_text("the built-in server blocks nobody"))
}

/// XEP-0092 §3
fn version(_: &Request<'_>) -> Result<Option<Element>, StanzaError> {
    let name = Element::new(ns::VERSION, "name").with_text("iqtap loopback");
    let version = Element::new(ns::VERSION, "version").with_text(env!("CARGO_PKG_VERSION"));
    Ok(Some(Element::new(ns::VERSION, "query").with_child(name).with_child(version)))
}

/// XEP-0030 §4.1: nothing is not an error.
fn no_items(request: &Request<'_>) -> Result<Option<Element>, StanzaError> {
    no_node(request)?;
    Ok(Some(Element::new(ns::DISCO_ITEMS, "query")))
}

fn domain_info(request: &Request<'_>) -> Result<Option<Element>, StanzaError> {
    info(request, &[("category", "server"), ("type", "im"), ("name", "iqtap loopback")], DOMAIN_FEATURES)
}

fn account_info(request: &Request<'_>) -> Result<Option<Element>, StanzaError> {
    info(request, &[("category", "account"), ("type", "registered")], ACCOUNT_FEATURES)
}

/// XEP-0030 §8: only who may see an account's presence learns that it exists.
fn contact_info(request: &Request<'_>) -> Result<Option<Element>, StanzaError> {
    let me = request.me.to_bare();
    let seen = request.hub.accounts().get(&me).and_then(|e| e.roster.get(&request.of)).is_some_and(|item| item.to);
    if !seen {
        return Err(StanzaError::new(Condition::ServiceUnavailable));
    }
    account_info(request)
}

/// XEP-0030 §3.1
fn info(request: &Request<'_>, identity: &[(&str, &str)], features: &[&str]) -> Result<Option<Element>, StanzaError> {
    no_node(request)?;
    let identity = identity.iter().fold(Element::new(ns::DISCO_INFO, "identity"), |e, (k, v)| e.with_attr(k, *v));
    let feature = |var: &&str| Element::new(ns::DISCO_INFO, "feature").with_attr("var", *var);
    let query = Element::new(ns::DISCO_INFO, "query").with_child(identity);
    Ok(Some(features.iter().map(feature).fold(query, Element::with_child)))
}

/// XEP-0030 §3.2: we have no nodes.
fn no_node(request: &Request<'_>) -> Result<(), StanzaError> {
    match request.payload.attr("node") {
        None | Some("") => Ok(()),
        Some(_) => Err(StanzaError::new(Condition::ItemNotFound).with_text("no such node")),
    }
}
