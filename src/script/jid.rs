//! Addresses for scripts: `jid(text)` and `same_jid(a, b)`, on prepared JIDs (RFC 7622).
//!
//! Takes text, an address or `()`, for a stanza may be without. Must not fail on what a peer has sent: malformed is `()`.

use super::engine::{Fallible, fail};
use super::{budget, members};
use crate::xmpp::account::without_dot;
use crate::xmpp::jid::{self, Jid as Prepared};
use rhai::{Dynamic, Engine, ImmutableString};

/// What Rhai sees as a jid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Jid(Prepared);

impl Jid {
    /// Prepares an address; none for what is none.
    pub(super) fn read(text: &str) -> Option<Self> {
        prepare(text).map(Self)
    }

    pub(super) fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Bytes of memory, about.
    pub(super) fn weight(&self) -> usize {
        self.0.as_str().len()
    }
}

pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Jid>("Jid");
    engine.register_fn("jid", |value: Dynamic| -> Fallible<Dynamic> {
        Ok(prepared("jid", &value)?.map_or(Dynamic::UNIT, |jid| Dynamic::from(Jid(jid))))
    });
    engine.register_get("full", |jid: &mut Jid| ImmutableString::from(jid.0.as_str()));
    engine.register_get("bare", |jid: &mut Jid| ImmutableString::from(jid::bare(jid.0.as_str())));
    engine.register_get("domain", |jid: &mut Jid| ImmutableString::from(jid.0.domain().as_str()));
    engine.register_get("local", |jid: &mut Jid| or_unit(jid.0.node().map(|part| part.as_str())));
    engine.register_get("resource", |jid: &mut Jid| or_unit(jid.0.resource().map(|part| part.as_str())));
    engine.register_indexer_get(|_: &mut Jid, name: &str| members::no_property::<Dynamic>("Jid", name));
    engine.register_fn("to_string", |jid: &mut Jid| ImmutableString::from(jid.0.as_str()));
    engine.register_fn("to_debug", |jid: &mut Jid| format!("jid({:?})", jid.0.as_str()));
    engine.register_fn("==", |one: Jid, other: Jid| one == other);
    engine.register_fn("!=", |one: Jid, other: Jid| one != other);
    engine.register_fn("same_jid", same);
}

/// Whether two addresses are the same. What is absent or malformed is nobody's.
fn same(one: Dynamic, other: Dynamic) -> Fallible<bool> {
    let (one, other) = (prepared("same_jid", &one)?, prepared("same_jid", &other)?);
    Ok(one.is_some() && one == other)
}

/// The address that was given as text, a jid or `()`; none for what is none.
///
/// # Errors
/// If it was given as anything else.
pub(super) fn prepared(function: &str, value: &Dynamic) -> Fallible<Option<Prepared>> {
    if value.is_unit() {
        return Ok(None);
    }
    if let Some(Jid(jid)) = value.read_lock::<Jid>().as_deref() {
        return Ok(Some(jid.clone()));
    }
    let Ok(text) = value.as_immutable_string_ref() else {
        let found = members::type_name(value);
        return fail(format!("{function}() takes an address as text, a jid or (), not a value of type {found}"));
    };
    budget::look(text.len())?;
    Ok(prepare(&text))
}

/// An address prepared; none for what is none.
pub(super) fn prepare(text: &str) -> Option<Prepared> {
    Prepared::new(&without_dot(text)).ok()
}

fn or_unit(text: Option<&str>) -> Dynamic {
    text.map_or(Dynamic::UNIT, |text| ImmutableString::from(text).into())
}
