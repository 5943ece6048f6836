//! `shared` as scripts see it: values for all sessions, lists, and `throttle`.
//!
//! Takes what a script says, asks the store of the run under way. Must not keep a lock from one call to the next.

use super::engine::{Fallible, fail};
use super::shared::Locked;
use super::{budget, run, state, timers};
use rhai::{Array, Dynamic, Engine, EvalAltResult, FuncRegistration, ImmutableString};

/// A value may be kept for so many seconds, if not for good.
const SECONDS: (f64, f64) = (0.001, 86_400.0 * 366.0);
/// What `throttle` may be asked: tokens a second, and at once.
const RATE: (f64, f64) = (0.000_1, 1_000_000.0);
const BURST: (i64, i64) = (1, 1_000_000);
/// What one call counts for: a lock, a search.
const LOOKS: usize = 50;
/// Values of an array.
const ARRAY: usize = 500;

/// As scripts write it, and as Rhai is given it: to Rhai the word itself is reserved. Both are as long.
pub(super) const WORD: &str = "shared";
pub(super) const NAME: &str = "Shared";
/// The function that lets values outlive the process.
pub(super) const KEEP: &str = "keep";

/// What scripts see as `shared`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sharing;

type Key = ImmutableString;

pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Sharing>("Shared");
    engine.register_indexer_get(|_: &mut Sharing, key: Key| get(&key));
    let put = |_: &mut Sharing, key: Key, value: Dynamic| set(&key, value, None);
    FuncRegistration::new_index_setter().with_purity(true).register_into_engine(engine, put);
    let pure = |name: &str| FuncRegistration::new(name).with_purity(true);
    pure("get").register_into_engine(engine, |_: &mut Sharing, key: Key| get(&key));
    let otherwise = |_: &mut Sharing, key: Key, otherwise: Dynamic| -> Fallible<Dynamic> {
        let value = get(&key)?;
        Ok(if value.is_unit() { otherwise } else { value })
    };
    pure("get").register_into_engine(engine, otherwise);
    pure("set").register_into_engine(engine, put);
    let for_a_time = |_: &mut Sharing, key: Key, value: Dynamic, seconds: Dynamic| -> Fallible<()> {
        let micros = micros("set", &seconds)?;
        set(&key, value, Some(micros))
    };
    pure("set").register_into_engine(engine, for_a_time);
    pure("remove").register_into_engine(engine, |_: &mut Sharing, key: Key| {
        locked(|store| Ok(store.remove(&key).unwrap_or(Dynamic::UNIT)))
    });
    pure("contains").register_into_engine(engine, |_: &mut Sharing, key: Key| locked(|store| Ok(store.contains(&key))));
    pure("incr").register_into_engine(engine, |_: &mut Sharing, key: Key| locked(|store| store.incr(&key, 1)));
    let by = |_: &mut Sharing, key: Key, by: i64| locked(|store| store.incr(&key, by));
    pure("incr").register_into_engine(engine, by);
    let expire = |_: &mut Sharing, key: Key, seconds: Dynamic| -> Fallible<bool> {
        let micros = micros("expire", &seconds)?;
        locked(|store| Ok(store.expire(&key, micros)))
    };
    pure("expire").register_into_engine(engine, expire);
    pure(KEEP).register_into_engine(engine, |_: &mut Sharing, key: Key| keep(&key, true));
    pure(KEEP).register_into_engine(engine, |_: &mut Sharing, key: Key, keeps: bool| keep(&key, keeps));
    lists(engine);
    let throttle = |_: &mut Sharing, key: Key, rate: Dynamic, burst: i64| throttle(&key, &rate, burst);
    pure("throttle").register_into_engine(engine, throttle);
    for name in ["to_string", "to_debug"] {
        pure(name).register_into_engine(engine, |_: &mut Sharing| "shared");
    }
}

fn lists(engine: &mut Engine) {
    let pure = |name: &str| FuncRegistration::new(name).with_purity(true);
    pure("push").register_into_engine(engine, |_: &mut Sharing, key: Key, value: Dynamic| push(&key, value, None));
    let bounded = |_: &mut Sharing, key: Key, value: Dynamic, most: i64| push(&key, value, Some(most));
    pure("push").register_into_engine(engine, bounded);
    pure("take").register_into_engine(engine, |_: &mut Sharing, key: Key| {
        locked(|store| Ok(store.take(&key)?.unwrap_or(Dynamic::UNIT)))
    });
    let list = |_: &mut Sharing, key: Key| -> Fallible<Array> {
        let list = listed("list", &key)?;
        if list.len() > ARRAY {
            return fail(format!(
                "over the limit of size: {key:?} has {} values and an array can hold {ARRAY} (say how many push() may keep)",
                list.len()
            ));
        }
        Ok(list)
    };
    pure("list").register_into_engine(engine, list);
    let has = |_: &mut Sharing, key: Key, value: Dynamic| -> Fallible<bool> {
        state::storable(&value)?;
        let list = listed("has", &key)?;
        Ok(list.iter().any(|known| state::same(known, &value)))
    };
    pure("has").register_into_engine(engine, has);
}

/// One operation on the store of the run under way, in its time.
fn locked<R>(operate: impl FnOnce(&mut Locked<'_>) -> Result<R, String>) -> Fallible<R> {
    budget::look(LOOKS)?;
    let (store, now) = run::with(|run| (run.shared.clone(), run.now));
    let Some(store) = store else { return fail("shared is known only in a hook, not while a script is loaded") };
    operate(&mut store.lock(now)).map_err(|why| -> Box<EvalAltResult> { why.into() })
}

fn get(key: &Key) -> Fallible<Dynamic> {
    let value = locked(|store| Ok(store.get(key)))?.unwrap_or(Dynamic::UNIT);
    budget::read(state::weight(&value))?;
    if value.as_array_ref().is_ok_and(|array| array.len() > ARRAY) {
        return fail(format!("over the limit of size: {key:?} holds more than the {ARRAY} values of an array"));
    }
    Ok(value)
}

fn set(key: &Key, value: Dynamic, micros: Option<u64>) -> Fallible<()> {
    if value.is_unit() {
        return locked(|store| Ok(store.remove(key))).map(drop);
    }
    let weight = state::storable(&value)?;
    locked(|store| store.set(key, value, weight, micros))
}

fn keep(key: &Key, keeps: bool) -> Fallible<()> {
    locked(|store| {
        if keeps {
            return store.keep(key);
        }
        store.keep_no_longer(key);
        Ok(())
    })
}

fn push(key: &Key, value: Dynamic, most: Option<i64>) -> Fallible<i64> {
    let most = match most.map(usize::try_from) {
        None => None,
        Some(Ok(most)) if most > 0 => Some(most),
        Some(_) => return fail("shared.push() keeps at least one value"),
    };
    let weight = state::storable(&value)?;
    let len = locked(|store| store.push(key, value, weight, most))?;
    Ok(i64::try_from(len).unwrap_or(i64::MAX))
}

fn listed(function: &str, key: &Key) -> Fallible<Array> {
    let (list, weight) = locked(|store| store.list(function, key))?;
    budget::read(weight)?;
    Ok(list)
}

fn throttle(key: &Key, rate: &Dynamic, burst: i64) -> Fallible<bool> {
    let Some(rate) = number(rate).filter(|rate| (RATE.0..=RATE.1).contains(rate)) else {
        return fail(format!("shared.throttle() takes a rate per second, from {} to {}, not {rate}", RATE.0, RATE.1));
    };
    let burst = u64::try_from(burst).ok().filter(|_| (BURST.0..=BURST.1).contains(&burst));
    let Some(burst) = burst else {
        return fail(format!("shared.throttle() takes how many may come at once, from {} to {}", BURST.0, BURST.1));
    };
    locked(|store| store.throttle(key, rate, burst))
}

fn micros(function: &str, seconds: &Dynamic) -> Fallible<u64> {
    match number(seconds) {
        Some(seconds) => timers::micros(&format!("shared.{function}"), seconds, SECONDS.0, SECONDS.1),
        None => fail(format!("shared.{function}() takes seconds as a number, not {seconds}")),
    }
}

/// A whole number or one with a fraction.
#[expect(clippy::cast_precision_loss, reason = "far beyond what is allowed")]
fn number(value: &Dynamic) -> Option<f64> {
    value.as_float().ok().or_else(|| value.as_int().ok().map(|whole| whole as f64))
}
