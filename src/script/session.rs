//! The `session` a hook may take as its second parameter: facts to read, and stanzas to send.
//!
//! What a hook sends is kept on the side until the hook has ended: a hook that fails has sent nothing.

use super::engine::{Fallible, fail};
use super::{edit, members};
use crate::xml::Element;
use crate::xmpp::{Facts, Side, jid, ns};
use rhai::{Dynamic, Engine, ImmutableString};
use std::cell::RefCell;

/// Stanzas one run of a hook may send, and their bytes all together.
const MOST_SENDS: usize = 256;
const MOST_BYTES: usize = 1 << 20;

thread_local! {
    /// What the hook that runs on this thread has sent.
    static SENDS: RefCell<Sends> = const { RefCell::new(Sends { stanzas: Vec::new(), bytes: 0 }) };
}

#[derive(Default)]
struct Sends {
    stanzas: Vec<(Side, Element)>,
    bytes: usize,
}

/// What was sent since this was last asked.
pub(super) fn take_sends() -> Vec<(Side, Element)> {
    SENDS.take().stanzas
}

/// A copy of the facts, for Rhai owns what it is given.
#[derive(Clone)]
pub(super) struct Session {
    jid: Option<ImmutableString>,
    domain: ImmutableString,
    peer: ImmutableString,
    number: i64,
}

impl Session {
    pub(super) fn of(facts: &Facts<'_>) -> Self {
        Self {
            jid: facts.jid.map(Into::into),
            domain: facts.domain.into(),
            peer: facts.peer.into(),
            number: i64::try_from(facts.session).unwrap_or(i64::MAX),
        }
    }
}

pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Session>("Session");
    engine.register_get("jid", |s: &mut Session| -> Fallible<Dynamic> { Ok(or_unit(s.jid.clone())) });
    engine.register_get("bare", |s: &mut Session| -> Fallible<Dynamic> {
        Ok(or_unit(s.jid.as_deref().map(|full| ImmutableString::from(jid::bare(full)))))
    });
    engine.register_get("domain", |s: &mut Session| s.domain.clone());
    engine.register_get("peer", |s: &mut Session| s.peer.clone());
    engine.register_get("number", |s: &mut Session| s.number);
    engine.register_indexer_get(|_: &mut Session, name: &str| members::no_property::<Dynamic>("Session", name));
    engine.register_fn("to_client", |_: &mut Session, xml: Dynamic| send(Side::Client, "to_client", &xml));
    engine.register_fn("to_server", |_: &mut Session, xml: Dynamic| send(Side::Server, "to_server", &xml));
}

fn send(to: Side, function: &str, xml: &Dynamic) -> Fallible<()> {
    let (stanza, bytes) = edit::given(function, xml, ns::CLIENT)?;
    SENDS.with_borrow_mut(|sends| {
        sends.bytes += bytes;
        if sends.stanzas.len() >= MOST_SENDS || sends.bytes > MOST_BYTES {
            return fail(format!("one run of a hook may send {MOST_SENDS} stanzas and {MOST_BYTES} bytes"));
        }
        sends.stanzas.push((to, stanza));
        Ok(())
    })
}

/// What is absent is `()` in Rhai.
fn or_unit(text: Option<ImmutableString>) -> Dynamic {
    text.map_or(Dynamic::UNIT, Dynamic::from)
}
