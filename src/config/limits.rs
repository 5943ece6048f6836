//! `[limits]` in a file.

use super::keys::{Wrong, set, within};
use super::size::SizeKey;
use crate::policy::{ConnectionLimits, HouseLimits, QueueLimits, Rate, Route};
use crate::xml::Limits;
use crate::xmpp::Side;
use serde::Deserialize;
use std::ops::RangeInclusive;
use toml::Spanned;

/// RFC 6120 §13.12: no stanza of up to so many bytes may be refused for its size.
const LEAST_STANZA_BYTES: usize = 10_000;
/// Before login there are no stanzas; SASL and the header must fit.
const LEAST_LOGIN_BYTES: usize = 1_000;

/// The table.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitKeys {
    memory: Option<Spanned<SizeKey>>,
    before_login: Option<StanzaLimitKeys>,
    after_login: Option<StanzaLimitKeys>,
    connections: Option<ConnectionKeys>,
    queue: Option<QueueKeys>,
    c2s: Option<RateKeys>,
    s2c: Option<RateKeys>,
}

impl LimitKeys {
    pub(super) fn apply(self, route: &mut Route, house: &mut HouseLimits) -> Result<(), Wrong> {
        self.before_login.unwrap_or_default().apply(&mut route.limits_before, LEAST_LOGIN_BYTES)?;
        self.after_login.unwrap_or_default().apply(&mut route.limits_after, LEAST_STANZA_BYTES)?;
        self.connections.unwrap_or_default().apply(&mut house.connections)?;
        self.queue.unwrap_or_default().apply(&mut house.queue)?;
        for (side, keys) in [(Side::Client, self.c2s), (Side::Server, self.s2c)] {
            keys.unwrap_or_default().apply(&mut route.rates[side.index()])?;
        }
        within_or_none(&mut house.memory, self.memory, "memory", 1 << 20..=1 << 44)
    }
}

/// Sets a number of bytes, if it is within what makes sense.
pub(super) fn bytes(
    place: &mut usize,
    value: Option<Spanned<SizeKey>>,
    name: &str,
    range: RangeInclusive<usize>,
) -> Result<(), Wrong> {
    let value = value.map(|value| {
        let (span, size) = (value.span(), value.into_inner().0);
        Spanned::new(span, usize::try_from(size).unwrap_or(usize::MAX))
    });
    within(place, value, name, range)
}

/// The same, where 0 means that there is no limit.
pub(super) fn within_or_none(
    place: &mut usize,
    value: Option<Spanned<SizeKey>>,
    name: &str,
    range: RangeInclusive<usize>,
) -> Result<(), Wrong> {
    if value.as_ref().is_some_and(|value| value.get_ref().0 == 0) {
        *place = 0;
        return Ok(());
    }
    bytes(place, value, name, range).map_err(|(span, message)| (span, format!("{message}, 0 for none")))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct StanzaLimitKeys {
    stanza_bytes: Option<Spanned<usize>>,
    elements: Option<Spanned<u32>>,
    depth: Option<Spanned<u32>>,
    attributes: Option<Spanned<u32>>,
    name_bytes: Option<Spanned<usize>>,
    value_bytes: Option<Spanned<usize>>,
}

impl StanzaLimitKeys {
    fn apply(self, limits: &mut Limits, least_bytes: usize) -> Result<(), Wrong> {
        within(&mut limits.stanza_bytes, self.stanza_bytes, "stanza_bytes", least_bytes..=256 << 20)?;
        within(&mut limits.elements, self.elements, "elements", 8..=10_000_000)?;
        within(&mut limits.depth, self.depth, "depth", 4..=Limits::MAX_DEPTH)?;
        within(&mut limits.attributes, self.attributes, "attributes", 8..=100_000)?;
        within(&mut limits.name_bytes, self.name_bytes, "name_bytes", 64..=65_536)?;
        within(&mut limits.value_bytes, self.value_bytes, "value_bytes", 256..=256 << 20)
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConnectionKeys {
    total: Option<Spanned<usize>>,
    per_address: Option<Spanned<usize>>,
    per_minute: Option<Spanned<u64>>,
    at_once: Option<Spanned<u64>>,
    loopback: Option<bool>,
}

impl ConnectionKeys {
    fn apply(self, limits: &mut ConnectionLimits) -> Result<(), Wrong> {
        within(&mut limits.total, self.total, "total", 1..=1_000_000)?;
        within(&mut limits.per_address, self.per_address, "per_address", 0..=1_000_000)?;
        within(&mut limits.per_minute, self.per_minute, "per_minute", 0..=10_000_000)?;
        within(&mut limits.at_once, self.at_once, "at_once", 1..=1_000_000)?;
        set(&mut limits.loopback, self.loopback);
        Ok(())
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct QueueKeys {
    bytes: Option<Spanned<SizeKey>>,
    own_bytes: Option<Spanned<SizeKey>>,
    most_bytes: Option<Spanned<SizeKey>>,
    seconds: Option<Spanned<u64>>,
}

impl QueueKeys {
    fn apply(self, limits: &mut QueueLimits) -> Result<(), Wrong> {
        let [all, own] = [&self.bytes, &self.own_bytes].map(|key| key.as_ref().map(Spanned::span));
        bytes(&mut limits.bytes, self.bytes, "bytes", 4 << 10..=256 << 20)?;
        bytes(&mut limits.own_bytes, self.own_bytes, "own_bytes", 4 << 10..=256 << 20)?;
        let most = self.most_bytes.as_ref().map(Spanned::span);
        bytes(&mut limits.most_bytes, self.most_bytes, "most_bytes", 64 << 10..=4 << 30)?;
        if limits.most_bytes <= limits.bytes.max(limits.own_bytes) {
            let span = most.or(own).or(all).unwrap_or_default();
            let message =
                "most_bytes must be more than bytes and own_bytes: a peer is only slow until then, and given up beyond";
            return Err((span, message.to_owned()));
        }
        within(&mut limits.seconds, self.seconds, "seconds", 1..=86_400)
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RateKeys {
    stanzas: Option<Spanned<u64>>,
    bytes: Option<Spanned<SizeKey>>,
    burst_seconds: Option<Spanned<u64>>,
}

impl RateKeys {
    fn apply(self, rate: &mut Rate) -> Result<(), Wrong> {
        within(&mut rate.stanzas, self.stanzas, "stanzas", 0..=10_000_000)?;
        let mut most = usize::try_from(rate.bytes).unwrap_or(usize::MAX);
        within_or_none(&mut most, self.bytes, "bytes", 1_000..=1 << 40)?;
        rate.bytes = most as u64;
        within(&mut rate.burst_seconds, self.burst_seconds, "burst_seconds", 1..=3_600)
    }
}
