//! The `session` a hook may take as its second parameter: facts to read.

use super::engine::Fallible;
use crate::xmpp::{Facts, jid};
use rhai::{Dynamic, Engine, ImmutableString};

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
}

/// What is absent is `()` in Rhai.
fn or_unit(text: Option<ImmutableString>) -> Dynamic {
    text.map_or(Dynamic::UNIT, Dynamic::from)
}
