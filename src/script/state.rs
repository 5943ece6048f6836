//! `state`: what a script keeps of a session from one stanza to the next, and the values that may be kept.
//!
//! Takes plain values (numbers, texts, arrays and maps of them), gives them back. Must not keep what holds a stanza's tree
//! alive, or grow without end.

use super::element::Element;
use super::engine::{Fallible, fail};
use super::jid::Jid;
use super::{budget, members, run, timers};
use rhai::{Dynamic, Engine, FuncRegistration, ImmutableString, Map};

/// How deep values may stand inside of each other.
const DEPTH: usize = 16;
/// What a value weighs besides its text, in bytes.
const VALUE_BYTES: usize = 32;

/// What a script keeps of one session.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    map: Map,
    weight: usize,
    /// What was there before the run under way, newest last: what a hook that fails has changed is undone.
    undo: Vec<(ImmutableString, Option<Dynamic>)>,
}

impl Kept {
    pub(super) const fn new() -> Self {
        Self { map: Map::new(), weight: 0, undo: Vec::new() }
    }

    /// Bytes of memory, about.
    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// As text, to compare.
    pub(super) fn written(&self) -> String {
        format!("{:?}", self.map)
    }

    /// A run has ended well: what it has changed stays.
    pub(super) fn settle(&mut self) {
        self.undo.clear();
    }

    /// A run has failed: what it has changed is undone.
    pub(super) fn undo(&mut self) {
        while let Some((key, value)) = self.undo.pop() {
            self.put(&key, value);
        }
        self.undo = Vec::new();
    }

    /// Sets a value, or removes it if it is `()`.
    fn set(&mut self, key: &str, value: Dynamic, most: usize) -> Fallible<()> {
        let value = if value.is_unit() { None } else { Some(value) };
        let after = value.as_ref().map(storable).transpose()?.map_or(0, |weight| entry(key, weight));
        let before = self.map.get(key).map_or(0, |value| entry(key, weight(value)));
        let weight = self.weight.saturating_sub(before) + after;
        if weight > most && after > before {
            return fail(format!("over the limit of size: a script may keep {most} bytes in the state of a session"));
        }
        // Only the oldest value of a run is needed, but a loop that sets one key must not be slow.
        let before = self.map.get(key).cloned();
        if self.undo.iter().rev().take(8).all(|(known, _)| known != key) {
            self.undo.push((key.into(), before));
        }
        self.put(key, value);
        Ok(())
    }

    fn put(&mut self, key: &str, value: Option<Dynamic>) {
        let weight = |value: &Dynamic| entry(key, weight(value));
        let after = value.as_ref().map_or(0, weight);
        let before = match value {
            Some(value) => self.map.insert(key.into(), value),
            None => self.map.remove(key),
        };
        self.weight = self.weight.saturating_sub(before.as_ref().map_or(0, weight)) + after;
    }

    fn clear(&mut self) {
        for (key, value) in std::mem::take(&mut self.map) {
            self.undo.push((key.as_str().into(), Some(value)));
        }
        self.weight = 0;
    }
}

fn entry(key: &str, value: usize) -> usize {
    key.len() + value + VALUE_BYTES
}

/// What a value weighs that is to be kept; refuses what may not be.
pub(super) fn storable(value: &Dynamic) -> Fallible<usize> {
    let weight = weigh(value, 0).map_err(|why| -> Box<rhai::EvalAltResult> { why.into() })?;
    budget::read(weight)?;
    Ok(weight)
}

/// What a value that is kept weighs, in bytes.
pub(super) fn weight(value: &Dynamic) -> usize {
    weigh(value, 0).unwrap_or_default()
}

/// What a value weighs that stands so deep in others; or why it may not be kept.
pub(super) fn weigh(value: &Dynamic, depth: usize) -> Result<usize, String> {
    if depth > DEPTH {
        return Err(format!("over the limit of size: values may stand {DEPTH} deep inside of each other"));
    }
    if value.is_unit() || value.is_bool() || value.is_int() || value.is_float() || value.is_char() {
        return Ok(VALUE_BYTES);
    }
    if let Ok(text) = value.as_immutable_string_ref() {
        return Ok(VALUE_BYTES + text.len());
    }
    if value.is::<timers::Number>() {
        return Ok(VALUE_BYTES);
    }
    if let Some(jid) = value.read_lock::<Jid>() {
        return Ok(VALUE_BYTES + jid.weight());
    }
    if let Ok(array) = value.as_array_ref() {
        return array.iter().try_fold(VALUE_BYTES, |sum, value| Ok(sum + weigh(value, depth + 1)?));
    }
    if let Ok(blob) = value.as_blob_ref() {
        return Ok(VALUE_BYTES + blob.len());
    }
    if let Ok(map) = value.as_map_ref() {
        return map.iter().try_fold(VALUE_BYTES, |sum, (key, value)| Ok(sum + entry(key, weigh(value, depth + 1)?)));
    }
    let found = members::type_name(value);
    let instead = if value.is::<Element>() || found == "Stanza" { ": keep its text, as in to_xml()" } else { "" };
    Err(format!("a value of type {found} cannot be kept{instead}"))
}

/// Whether two values that may be kept are the same.
pub(super) fn same(one: &Dynamic, other: &Dynamic) -> bool {
    if let (Ok(one), Ok(other)) = (one.as_immutable_string_ref(), other.as_immutable_string_ref()) {
        return *one == *other;
    }
    if let (Some(one), Some(other)) = (one.read_lock::<Jid>(), other.read_lock::<Jid>()) {
        return *one == *other;
    }
    if let (Ok(one), Ok(other)) = (one.as_array_ref(), other.as_array_ref()) {
        return one.len() == other.len() && one.iter().zip(other.iter()).all(|(one, other)| same(one, other));
    }
    if let (Ok(one), Ok(other)) = (one.as_map_ref(), other.as_map_ref()) {
        let pairs = one.iter().zip(other.iter());
        return one.len() == other.len() && pairs.into_iter().all(|((a, one), (b, other))| a == b && same(one, other));
    }
    if let (Ok(one), Ok(other)) = (one.as_blob_ref(), other.as_blob_ref()) {
        return *one == *other;
    }
    one.is_unit() && other.is_unit()
        || equal(one.as_bool(), other.as_bool())
        || equal(one.as_int(), other.as_int())
        || equal(one.as_float(), other.as_float())
        || equal(one.as_char(), other.as_char())
}

fn equal<T: PartialEq, E>(one: Result<T, E>, other: Result<T, E>) -> bool {
    one.ok().zip(other.ok()).is_some_and(|(one, other)| one == other)
}

/// What scripts see as `state`.
#[derive(Clone, Copy, Debug)]
pub(super) struct State;

pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<State>("State");
    engine.register_indexer_get(|_: &mut State, key: &str| get(key));
    let set = |_: &mut State, key: &str, value: Dynamic| put(key, value);
    FuncRegistration::new_index_setter().with_purity(true).register_into_engine(engine, set);
    let pure = |name: &str| FuncRegistration::new(name).with_purity(true);
    let contains = |_: &mut State, key: &str| run::with(|run| run.state.map.contains_key(key));
    pure("contains").register_into_engine(engine, contains);
    let remove = |_: &mut State, key: &str| -> Fallible<Dynamic> {
        let before = get(key);
        put(key, Dynamic::UNIT)?;
        Ok(before)
    };
    pure("remove").register_into_engine(engine, remove);
    let clear = |_: &mut State| run::with(|run| run.state.clear());
    pure("clear").register_into_engine(engine, clear);
    let keys = |_: &mut State| -> rhai::Array {
        run::with(|run| run.state.map.keys().map(|key| ImmutableString::from(key.as_str()).into()).collect())
    };
    pure("keys").register_into_engine(engine, keys);
    for name in ["to_string", "to_debug"] {
        pure(name).register_into_engine(engine, |_: &mut State| run::with(|run| run.state.written()));
    }
}

fn get(key: &str) -> Dynamic {
    run::with(|run| run.state.map.get(key).cloned().unwrap_or(Dynamic::UNIT))
}

fn put(key: &str, value: Dynamic) -> Fallible<()> {
    run::with(|run| {
        let most = run.limits.state_bytes;
        run.state.set(key, value, most)
    })
}
