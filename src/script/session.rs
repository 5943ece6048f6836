//! The `session` a hook may take: facts to read, stanzas to send, requests to ask, and how to end it.
//!
//! What a hook sends is kept with its run until the hook has ended: a hook that fails has sent nothing.

use super::engine::{Fallible, fail};
use super::run::{self, NewAsk};
use super::{edit, members, timers};
use crate::xml::Element;
use crate::xmpp::{Facts, Phase, Side, StreamCondition, jid, ns};
use rhai::{Dynamic, Engine, ImmutableString};
use std::sync::Arc;

/// How long a request of a script may go unanswered, in seconds.
const ASK_SECONDS: (f64, f64, f64) = (0.001, 30.0, 3600.0);
/// What the function of a request is called with, as far as it takes it.
const TAKES: &str = "(answer, session)";

/// A copy of the facts, for Rhai owns what it is given; all copies share it.
#[derive(Clone, Debug)]
pub(super) struct Session(Arc<About>);

#[derive(Debug)]
struct About {
    jid: Option<ImmutableString>,
    domain: ImmutableString,
    peer: ImmutableString,
    mechanism: Option<ImmutableString>,
    tls: [bool; 2],
    phase: Phase,
    number: i64,
    /// Seconds since the epoch.
    started: f64,
}

impl Session {
    pub(super) fn of(facts: &Facts<'_>) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "microseconds of some thousand years fit")]
        let started = facts.started.0 as f64 / 1e6;
        Self(Arc::new(About {
            jid: facts.jid.map(Into::into),
            domain: facts.domain.into(),
            peer: facts.peer.into(),
            mechanism: facts.mechanism.map(Into::into),
            tls: facts.tls,
            phase: facts.phase,
            number: i64::try_from(facts.session).unwrap_or(i64::MAX),
            started,
        }))
    }

    /// Whether the facts are still these.
    pub(super) fn is_of(&self, facts: &Facts<'_>) -> bool {
        let about = &*self.0;
        about.phase == facts.phase
            && about.tls == facts.tls
            && about.jid.as_deref() == facts.jid
            && about.domain == facts.domain
            && about.mechanism.as_deref() == facts.mechanism
    }
}

pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Session>("Session");
    engine.register_get("jid", |s: &mut Session| or_unit(s.0.jid.clone()));
    engine.register_get("bare", |s: &mut Session| {
        or_unit(s.0.jid.as_deref().map(|full| ImmutableString::from(jid::bare(full))))
    });
    engine.register_get("domain", |s: &mut Session| s.0.domain.clone());
    engine.register_get("peer", |s: &mut Session| s.0.peer.clone());
    engine.register_get("number", |s: &mut Session| s.0.number);
    engine.register_get("tls", |s: &mut Session| s.0.tls[Side::Client.index()]);
    engine.register_get("server_tls", |s: &mut Session| s.0.tls[Side::Server.index()]);
    engine.register_get("mechanism", |s: &mut Session| or_unit(s.0.mechanism.clone()));
    engine.register_get("phase", |s: &mut Session| s.0.phase.name());
    engine.register_get("started", |s: &mut Session| s.0.started);
    engine.register_indexer_get(|_: &mut Session, name: &str| members::no_property::<Dynamic>("Session", name));
    engine.register_fn("to_client", |_: &mut Session, xml: Dynamic| send(Side::Client, "to_client", &xml));
    engine.register_fn("to_server", |_: &mut Session, xml: Dynamic| send(Side::Server, "to_server", &xml));
    engine.register_fn("close", |_: &mut Session| close("policy-violation", ""));
    engine.register_fn("close", |_: &mut Session, condition: &str| close(condition, ""));
    engine.register_fn("close", |_: &mut Session, condition: &str, text: &str| close(condition, text));
    for (name, to) in [("ask", Side::Server), ("ask_client", Side::Client)] {
        let ask = move |xml: &Dynamic, function: &str, seconds: f64| ask(name, to, xml, function, seconds);
        engine
            .register_fn(name, move |_: &mut Session, xml: Dynamic, function: &str| ask(&xml, function, ASK_SECONDS.1));
        engine.register_fn(name, move |_: &mut Session, xml: Dynamic, function: &str, seconds: f64| {
            ask(&xml, function, seconds)
        });
        #[expect(clippy::cast_precision_loss, reason = "far beyond what is allowed")]
        engine.register_fn(name, move |_: &mut Session, xml: Dynamic, function: &str, seconds: i64| {
            ask(&xml, function, seconds as f64)
        });
    }
}

fn send(to: Side, function: &str, xml: &Dynamic) -> Fallible<()> {
    let (stanza, bytes) = edit::given(function, xml, ns::CLIENT)?;
    run::with(|run| run.send(to, stanza, bytes))
}

/// A request of the script's own: the answer, or `()` if none comes in time, is handed to the function of that name.
fn ask(name: &str, to: Side, xml: &Dynamic, function: &str, seconds: f64) -> Fallible<()> {
    let micros = timers::micros(name, seconds, ASK_SECONDS.0, ASK_SECONDS.2)?;
    let (iq, bytes) = edit::given(name, xml, ns::CLIENT)?;
    if !is_request(&iq) {
        return fail(format!("{name}() takes an iq of type get or set"));
    }
    if iq.attr("id").is_some() {
        return fail(format!("{name}() gives the iq an id of its own: leave it out"));
    }
    run::with(|run| {
        run.must_have(function, 2, TAKES)?;
        run.ask(NewAsk { to, iq, function: function.to_owned(), micros }, bytes)
    })
}

fn is_request(iq: &Element) -> bool {
    iq.is(ns::CLIENT, "iq") && matches!(iq.attr("type"), Some("get" | "set"))
}

fn close(condition: &str, text: &str) -> Fallible<()> {
    let Some(condition) = StreamCondition::from_name(condition) else {
        let known: Vec<_> = StreamCondition::ALL.iter().map(|c| c.name()).collect();
        return fail(format!("{condition:?} is not a stream error: use one of {}", known.join(", ")));
    };
    run::with(|run| run.close(condition, text));
    Ok(())
}

/// What is absent is `()` in Rhai.
fn or_unit(text: Option<ImmutableString>) -> Dynamic {
    text.map_or(Dynamic::UNIT, Dynamic::from)
}
