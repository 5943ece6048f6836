//! Which stanzas a hook wants, as its script declares it: `const WANTS = #{ on_iq: #{ ns: "vcard-temp", type: "set" } };`
//!
//! Takes the constant, gives a filter that is matched on a stanza's head before Rhai is entered. Must not build a tree or
//! allocate while matching.

use super::hooks::{HOOKS, Hooks, On};
use super::members;
use crate::xml::View;
use crate::xmpp::{Kind, Side};
use rhai::{Dynamic, Map};

/// What one hook wants: a stanza that fits one of these. Empty: every stanza.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wants(Vec<Want>);

/// All of this, as far as it says anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Want {
    kinds: Vec<Kind>,
    /// None is the absence of the attribute.
    types: Vec<Option<String>>,
    ns: Vec<String>,
    names: Vec<String>,
    direction: Option<Side>,
}

/// The name of the constant.
pub(super) const WANTS: &str = "WANTS";
const KEYS: [&str; 5] = ["kind", "type", "ns", "name", "direction"];

impl Wants {
    /// Whether a stanza that came from `side` is wanted.
    pub(super) fn fit(&self, kind: Kind, view: &View<'_>, side: Side) -> bool {
        self.0.is_empty() || self.0.iter().any(|want| want.fits(kind, view, side))
    }
}

impl Want {
    fn fits(&self, kind: Kind, view: &View<'_>, side: Side) -> bool {
        let payload = view.head.payload.as_ref();
        let type_fits = |wanted: &Option<String>| match (wanted, &view.head.kind) {
            (Some(wanted), Some(value)) => view.value_is(value, wanted),
            (None, None) => true,
            _ => false,
        };
        self.direction.is_none_or(|wanted| wanted == side)
            && (self.kinds.is_empty() || self.kinds.contains(&kind))
            && (self.types.is_empty() || self.types.iter().any(type_fits))
            && (self.ns.is_empty() || payload.is_some_and(|payload| self.ns.iter().any(|ns| view.ns_is(payload, ns))))
            && (self.names.is_empty()
                || payload.is_some_and(|payload| self.names.iter().any(|name| view.local_is(payload, name))))
    }
}

/// Gives the hooks what the constant says of them.
///
/// # Errors
/// What is wrong with it.
pub(super) fn apply(hooks: &mut Hooks, constant: &Dynamic) -> Result<(), String> {
    let Some(map) = constant.read_lock::<Map>() else {
        let found = members::type_name(constant);
        return Err(format!(
            "{WANTS} is a map by hook, as in #{{ on_iq: #{{ ns: \"vcard-temp\" }} }}, not a value of type {found}"
        ));
    };
    for (name, wanted) in map.iter() {
        let known = HOOKS.iter().find(|(_, known, ..)| known == name).map(|(on, ..)| *on);
        let hook = known.and_then(|on| hooks.get_mut(on as usize)).and_then(Option::as_mut);
        let Some(hook) = hook else {
            return Err(format!("{WANTS} says what {name} wants, but this script has no hook of that name"));
        };
        if !matches!(hook.on, On::Message | On::Presence | On::Iq | On::Stanza | On::Answer) {
            return Err(format!("{WANTS}: {name} is not called for a stanza, so it cannot choose"));
        }
        hook.wants = read(wanted).map_err(|why| format!("{WANTS}: {name}: {why}"))?;
    }
    Ok(())
}

/// One map, or an array of maps.
fn read(value: &Dynamic) -> Result<Wants, String> {
    each(value).iter().map(want).collect::<Result<_, _>>().map(Wants)
}

/// An array's values, or the value itself.
fn each(value: &Dynamic) -> Vec<Dynamic> {
    value.clone().into_array().unwrap_or_else(|_| vec![value.clone()])
}

fn want(value: &Dynamic) -> Result<Want, String> {
    let Some(map) = value.read_lock::<Map>() else {
        return Err(format!("what is wanted is a map, not a value of type {}", members::type_name(value)));
    };
    let mut want = Want::default();
    for (key, value) in map.iter() {
        match key.as_str() {
            "kind" => want.kinds = texts(key, value)?.iter().map(|name| kind(name)).collect::<Result<_, _>>()?,
            "type" => want.types = types(value)?,
            "ns" => want.ns = texts(key, value)?,
            "name" => want.names = texts(key, value)?,
            "direction" => want.direction = Some(direction(&texts(key, value)?)?),
            _ => return Err(format!("{key} is nothing a hook can choose by: there are {}", KEYS.join(", "))),
        }
    }
    Ok(want)
}

fn texts(key: &str, value: &Dynamic) -> Result<Vec<String>, String> {
    let text = |value: Dynamic| {
        let found = members::type_name(&value);
        value.into_string().map_err(|_| format!("{key} is a string or an array of strings, not of type {found}"))
    };
    each(value).into_iter().map(text).collect()
}

fn types(value: &Dynamic) -> Result<Vec<Option<String>>, String> {
    let one = |value: Dynamic| if value.is_unit() { Ok(None) } else { texts("type", &value).map(|mut t| t.pop()) };
    each(value).into_iter().map(one).collect()
}

fn kind(name: &str) -> Result<Kind, String> {
    let kinds = [Kind::Message, Kind::Presence, Kind::Iq];
    kinds.into_iter().find(|kind| kind.name() == name).ok_or_else(|| format!("{name:?} is no kind of stanza"))
}

fn direction(names: &[String]) -> Result<Side, String> {
    let sides = [Side::Client, Side::Server];
    match names {
        [name] => sides.into_iter().find(|side| side.direction() == name),
        _ => None,
    }
    .ok_or_else(|| "direction is \"c2s\" or \"s2c\"".to_owned())
}
