//! Verdicts: what a hook returns, and how it becomes something to send.

use super::Verdict;
use super::engine::{Fallible, fail};
use super::{edit, members, timers};
use crate::xml::{Element, View};
use crate::xmpp::{Condition, ErrorType, Kind, StanzaError, ns};
use rhai::{Dynamic, Engine};

/// A hook's own words, before they meet the stanza.
#[derive(Clone)]
enum Decision {
    Pass,
    Drop,
    Reject(StanzaError),
    /// The element given; none for an empty answer.
    Reply(Option<Element>),
    /// Microseconds.
    Hold(u64),
}

/// A stanza may be held for so many seconds.
const HOLD_SECONDS: (f64, f64) = (0.001, 3600.0);

pub(super) fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Decision>("Verdict");
    engine.register_fn("pass", || Decision::Pass);
    engine.register_fn("drop", || Decision::Drop);
    engine.register_fn("reject", |condition: &str| reject(condition, None, None));
    engine.register_fn("reject", |condition: &str, text: &str| reject(condition, Some(text), None));
    engine.register_fn("reject", |condition: &str, text: &str, kind: &str| reject(condition, Some(text), Some(kind)));
    engine.register_fn("reply", || Decision::Reply(None));
    engine.register_fn("reply", reply);
    engine.register_fn("hold", hold);
    #[expect(clippy::cast_precision_loss, reason = "far beyond what is allowed")]
    engine.register_fn("hold", |seconds: i64| hold(seconds as f64));
}

fn hold(seconds: f64) -> Fallible<Decision> {
    let (least, most) = HOLD_SECONDS;
    if !(least..=most).contains(&seconds) {
        return fail(format!("hold() takes seconds, from {least} to {most}, not {seconds}"));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the range just checked")]
    Ok(Decision::Hold((seconds * 1e6) as u64))
}

fn reject(condition: &str, text: Option<&str>, kind: Option<&str>) -> Fallible<Decision> {
    let Some(condition) = Condition::from_name(condition) else {
        let known: Vec<_> = Condition::ALL.iter().map(|c| c.name()).collect();
        return fail(format!("{condition:?} is not an error condition: use one of {}", known.join(", ")));
    };
    let mut error = StanzaError::new(condition);
    if let Some(kind) = kind {
        let Some(kind) = ErrorType::from_name(kind) else {
            let known: Vec<_> = ErrorType::ALL.iter().map(|t| t.name()).collect();
            return fail(format!("{kind:?} is not a type of error: use one of {}", known.join(", ")));
        };
        error.kind = kind;
    }
    error.text = text.filter(|text| !text.is_empty()).map(str::to_owned);
    Ok(Decision::Reject(error))
}

fn reply(xml: Dynamic) -> Fallible<Decision> {
    if xml.as_immutable_string_ref().is_ok_and(|text| text.trim().is_empty()) {
        return Ok(Decision::Reply(None));
    }
    let (element, _) = edit::given("reply", &xml, ns::CLIENT)?;
    Ok(Decision::Reply(Some(element)))
}

/// What a hook's return value means for this stanza.
///
/// # Errors
/// If it is no verdict, or the answer does not fit the stanza.
pub(super) fn judge(returned: Dynamic, kind: Kind, stanza: &View<'_>) -> Result<Verdict, String> {
    // A number is what the last call gave (`after`, `shared.incr`) and cannot be meant as a verdict.
    if returned.is_unit() || returned.is_int() || returned.is::<timers::Number>() {
        return Ok(Verdict::Pass);
    }
    let found = members::type_name(&returned);
    match returned.try_cast::<Decision>() {
        Some(Decision::Pass) => Ok(Verdict::Pass),
        Some(Decision::Drop) => Ok(Verdict::Drop),
        Some(Decision::Reject(error)) => Ok(Verdict::Reject(error)),
        Some(Decision::Hold(micros)) => Ok(Verdict::Hold(micros)),
        Some(Decision::Reply(element)) => answer(element, kind, stanza).map(Verdict::Reply),
        None => Err(format!(
            "a hook returns pass(), drop(), reject(...), reply(...), hold(...) or nothing; this one returned a value of type {found} \
             (the last expression of a function is what it returns)"
        )),
    }
}

/// A whole stanza to answer with: wraps a payload in an iq result, fills in what a whole stanza leaves out.
fn answer(given: Option<Element>, kind: Kind, stanza: &View<'_>) -> Result<Element, String> {
    let whole = given.as_ref().is_some_and(|e| e.ns == ns::CLIENT && is_stanza(&e.name));
    let mut answer = match given {
        Some(element) if whole => element,
        _ if kind != Kind::Iq => {
            return Err(format!(
                "a {0} can only be answered by a whole stanza, as in reply(\"<{0}>...</{0}>\")",
                kind.name()
            ));
        }
        Some(payload) if payload.ns == ns::CLIENT => {
            return Err(format!(
                "the payload <{}/> of a reply needs a namespace of its own (xmlns='...')",
                payload.name
            ));
        }
        payload => {
            let mut iq = Element::new(ns::CLIENT, "iq");
            iq.nodes.extend(payload.map(crate::xml::Node::Element));
            iq
        }
    };
    if answer.name == "iq" && kind == Kind::Iq {
        fill(&mut answer, "type", Some("result"));
        fill(&mut answer, "id", Some(stanza.id().as_deref().unwrap_or_default()));
    }
    fill(&mut answer, "from", stanza.to().as_deref());
    fill(&mut answer, "to", stanza.from().as_deref());
    Ok(answer)
}

fn is_stanza(name: &str) -> bool {
    [Kind::Message, Kind::Presence, Kind::Iq].iter().any(|kind| kind.name() == name)
}

/// Sets an attribute that was left out.
fn fill(element: &mut Element, name: &str, value: Option<&str>) {
    if let Some(value) = value
        && element.attr(name).is_none()
    {
        element.set_attr(name, value);
    }
}
