//! The time of day: `now()`, `now("Europe/Berlin")`, `between("22:00", "06:00")`.
//!
//! Takes the time of the run, gives its parts. Zones are built in. Must not read a clock, or a file.

use super::engine::{Fallible, fail};
use super::{budget, members, run};
use jiff::Zoned;
use jiff::civil::Weekday;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use rhai::{Dynamic, Engine, FuncRegistration, ImmutableString};
use std::cell::RefCell;

/// Zones a thread keeps: those that were read.
const KEPT: usize = 32;
/// What reading a zone counts for.
const LOOKS: usize = 5_000;

/// A point in time, in a zone.
#[derive(Clone, Debug)]
struct Time(Zoned);

thread_local! {
    static ZONES: RefCell<Vec<(String, TimeZone)>> = const { RefCell::new(Vec::new()) };
}

fn zone(name: &str) -> Fallible<TimeZone> {
    let known = ZONES.with_borrow(|zones| zones.iter().find(|(known, _)| known == name).map(|(_, zone)| zone.clone()));
    if let Some(zone) = known {
        return Ok(zone);
    }
    budget::look(LOOKS)?;
    let Ok(zone) = TimeZoneDatabase::bundled().get(name) else {
        return fail(format!("{name:?} is not a time zone: use a name such as Europe/Berlin"));
    };
    ZONES.with_borrow_mut(|zones| {
        if zones.len() >= KEPT {
            zones.remove(0);
        }
        zones.push((name.to_owned(), zone.clone()));
    });
    Ok(zone)
}

fn now(zone: TimeZone) -> Fallible<Time> {
    if budget::loading() {
        return fail("the time is known only in a hook, not while a script is loaded");
    }
    let micros = i64::try_from(run::with(|run| run.now.0)).unwrap_or(i64::MAX);
    let stamp = jiff::Timestamp::from_microsecond(micros).unwrap_or(jiff::Timestamp::MAX);
    Ok(Time(stamp.to_zoned(zone)))
}

/// `22:00`, or `22:00:30`, as seconds of the day.
fn of_day(text: &str) -> Fallible<i64> {
    let mut parts = text.split(':');
    let mut part = |below: i64| -> Option<i64> {
        let text = parts.next()?;
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|number| digits && *number < below)
    };
    let seconds = part(24).zip(part(60)).map(|(hour, minute)| hour * 3600 + minute * 60);
    let more = if text.len() > 5 { part(60) } else { Some(0) };
    match (seconds, more, parts.next()) {
        (Some(seconds), Some(more), None) => Ok(seconds + more),
        _ => fail(format!("{text:?} is not a time of day: write it as \"06:30\"")),
    }
}

/// Whether a time of day is one of `from` up to `until`, over midnight if need be.
fn within(time: &Time, from: &str, until: &str) -> Fallible<bool> {
    let (from, until) = (of_day(from)?, of_day(until)?);
    let clock = &time.0;
    let now = i64::from(clock.hour()) * 3600 + i64::from(clock.minute()) * 60 + i64::from(clock.second());
    if from == until {
        return fail("between() takes two times of day, not the same one twice");
    }
    Ok(if from < until { (from..until).contains(&now) } else { now >= from || now < until })
}

const fn weekday(day: Weekday) -> &'static str {
    match day {
        Weekday::Monday => "mon",
        Weekday::Tuesday => "tue",
        Weekday::Wednesday => "wed",
        Weekday::Thursday => "thu",
        Weekday::Friday => "fri",
        Weekday::Saturday => "sat",
        Weekday::Sunday => "sun",
    }
}

/// RFC 3339, to the second.
fn iso(time: &Time) -> ImmutableString {
    if time.0.offset().is_zero() {
        return time.0.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into();
    }
    time.0.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string().into()
}

pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Time>("Time");
    engine.register_fn("now", || now(TimeZone::UTC));
    engine.register_fn("now", |name: &str| now(zone(name)?));
    engine.register_fn("between", |from: &str, until: &str| within(&now(TimeZone::UTC)?, from, until));
    engine.register_fn("between", |from: &str, until: &str, name: &str| within(&now(zone(name)?)?, from, until));
    engine.register_get("year", |time: &mut Time| i64::from(time.0.year()));
    engine.register_get("month", |time: &mut Time| i64::from(time.0.month()));
    engine.register_get("day", |time: &mut Time| i64::from(time.0.day()));
    engine.register_get("hour", |time: &mut Time| i64::from(time.0.hour()));
    engine.register_get("minute", |time: &mut Time| i64::from(time.0.minute()));
    engine.register_get("second", |time: &mut Time| i64::from(time.0.second()));
    engine.register_get("weekday", |time: &mut Time| weekday(time.0.weekday()));
    engine.register_get("unix", |time: &mut Time| time.0.timestamp().as_second());
    engine.register_get("iso", |time: &mut Time| iso(time));
    engine.register_indexer_get(|_: &mut Time, name: &str| members::no_property::<Dynamic>("Time", name));
    for name in ["to_string", "to_debug"] {
        let written = |time: &mut Time| iso(time);
        FuncRegistration::new(name).with_purity(true).register_into_engine(engine, written);
    }
}
