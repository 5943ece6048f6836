//! Values that scripts keep beyond the process, as JSON: `{"value": ...}`, or `{"list": [...]}`, with `"expires"` if they do.
//!
//! Takes a value of `shared`, gives bytes; and back. `()`, truths, whole numbers, texts and arrays stand as they are; all
//! else is a map of one word that says what it is: `{"float": "0.1"}`, `{"char": "x"}`, `{"jid": "a@b"}`, `{"blob": "AAE="}`,
//! `{"map": {...}}`. A timer ends with its session, so it is kept as `()`. Must not read what `shared` would not keep.

use super::jid::Jid;
use super::shared::{Value, What, Why};
use super::state;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rhai::{Blob, Dynamic, Map};
use serde_json::{Value as Json, json};

/// Writes a value and when it expires.
pub(super) fn write(value: &Value) -> Vec<u8> {
    let mut form = match &value.what {
        What::One(value) => json!({ "value": json(value) }),
        What::List(list) => json!({ "list": list.iter().map(json).collect::<Vec<_>>() }),
    };
    if let (Some(expires), Some(form)) = (value.expires, form.as_object_mut()) {
        form.insert("expires".to_owned(), expires.into());
    }
    form.to_string().into_bytes()
}

/// Reads it back.
pub(super) fn read(bytes: &[u8]) -> Result<Value, Why> {
    let form: Json = serde_json::from_slice(bytes).map_err(|why| format!("it is not JSON: {why}"))?;
    let Json::Object(mut form) = form else { return Err("it is not an object of JSON".to_owned()) };
    let expires = match form.remove("expires") {
        None => None,
        Some(at) => Some(at.as_u64().ok_or_else(|| "\"expires\" takes microseconds since 1970".to_owned())?),
    };
    let (what, weight) = match (form.remove("value"), form.remove("list"), form.is_empty()) {
        (Some(value), None, true) => {
            let value = dynamic(value)?;
            let weight = state::weigh(&value, 0)?;
            (What::One(value), weight)
        }
        (None, Some(Json::Array(list)), true) => {
            let list = list.into_iter().map(dynamic).collect::<Result<Vec<_>, _>>()?;
            let weight = list.iter().try_fold(0, |sum, value| Ok::<_, Why>(sum + state::weigh(value, 0)?))?;
            (What::List(list.into()), weight)
        }
        _ => return Err("it has either a \"value\" or a \"list\", may have \"expires\", and nothing else".to_owned()),
    };
    Ok(Value { what, weight, expires })
}

/// One value that may be kept.
fn json(value: &Dynamic) -> Json {
    if let Ok(truth) = value.as_bool() {
        return truth.into();
    }
    if let Ok(number) = value.as_int() {
        return number.into();
    }
    if let Ok(text) = value.as_immutable_string_ref() {
        return text.as_str().into();
    }
    if let Ok(array) = value.as_array_ref() {
        return array.iter().map(json).collect();
    }
    if let Ok(number) = value.as_float() {
        // As text it is the same number when it is read, and need not be finite.
        return json!({ "float": number.to_string() });
    }
    if let Ok(character) = value.as_char() {
        return json!({ "char": character.to_string() });
    }
    if let Some(jid) = value.read_lock::<Jid>() {
        return json!({ "jid": jid.as_str() });
    }
    if let Ok(blob) = value.as_blob_ref() {
        return json!({ "blob": STANDARD.encode(&*blob) });
    }
    if let Ok(map) = value.as_map_ref() {
        let map = map.iter().map(|(key, value)| (key.to_string(), json(value)));
        return json!({ "map": map.collect::<serde_json::Map<_, _>>() });
    }
    Json::Null
}

fn dynamic(json: Json) -> Result<Dynamic, Why> {
    Ok(match json {
        Json::Null => Dynamic::UNIT,
        Json::Bool(truth) => truth.into(),
        Json::Number(number) => match number.as_i64() {
            Some(number) => Dynamic::from_int(number),
            None => return Err(format!("{number} is no whole number of 64 bits")),
        },
        Json::String(text) => text.into(),
        Json::Array(array) => array.into_iter().map(dynamic).collect::<Result<rhai::Array, _>>()?.into(),
        Json::Object(object) => named(object)?,
    })
}

/// A map of one word that says what the value is.
fn named(object: serde_json::Map<String, Json>) -> Result<Dynamic, Why> {
    let mut words = object.into_iter();
    let (Some((word, value)), None) = (words.next(), words.next()) else {
        return Err("a value is named by one word: float, char, jid, blob or map".to_owned());
    };
    let read = match (word.as_str(), value) {
        ("float", Json::String(text)) => text.parse().ok().map(Dynamic::from_float),
        ("char", Json::String(text)) => {
            let mut chars = text.chars();
            chars.next().filter(|_| chars.next().is_none()).map(Dynamic::from_char)
        }
        ("jid", Json::String(text)) => Jid::read(&text).map(Dynamic::from),
        ("blob", Json::String(text)) => STANDARD.decode(text).ok().map(|bytes: Blob| Dynamic::from_blob(bytes)),
        ("map", Json::Object(map)) => {
            let entries = map.into_iter().map(|(key, value)| Ok::<_, Why>((key.into(), dynamic(value)?)));
            Some(Dynamic::from_map(entries.collect::<Result<Map, _>>()?))
        }
        _ => None,
    };
    read.ok_or_else(|| format!("there is no such {word:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::timers;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    fn one(value: Dynamic, expires: Option<u64>) -> Value {
        let weight = state::weight(&value);
        Value { what: What::One(value), weight, expires }
    }

    fn back(value: &Value) -> Value {
        let bytes = write(value);
        read(&bytes).unwrap_or_else(|why| unreachable!("{why}: {}", String::from_utf8_lossy(&bytes)))
    }

    fn values(value: &Value) -> Vec<Dynamic> {
        match &value.what {
            What::One(value) => vec![value.clone()],
            What::List(list) => list.iter().cloned().collect(),
        }
    }

    fn any_value() -> impl Strategy<Value = Dynamic> {
        let leaf = prop_oneof![
            Just(Dynamic::UNIT),
            any::<bool>().prop_map(Dynamic::from_bool),
            any::<i64>().prop_map(Dynamic::from_int),
            any::<f64>().prop_filter("no other is the same", |number| !number.is_nan()).prop_map(Dynamic::from_float),
            any::<char>().prop_map(Dynamic::from_char),
            any::<String>().prop_map(Dynamic::from),
            "[a-z]{1,8}@[a-z]{1,8}(/[ -~]{0,7}[!-~])?"
                .prop_filter_map("a JID", |text| Jid::read(&text))
                .prop_map(Dynamic::from),
            any::<Vec<u8>>().prop_map(Dynamic::from_blob),
        ];
        leaf.prop_recursive(5, 40, 6, |inside| {
            let array = prop::collection::vec(inside.clone(), 0..6).prop_map(Dynamic::from_array);
            let key = prop_oneof![any::<String>(), Just("map".to_owned()), Just("jid".to_owned())];
            let map = prop::collection::btree_map(key, inside, 0..6);
            prop_oneof![
                array,
                map.prop_map(|map| Dynamic::from_map(
                    map.into_iter().map(|(key, value)| (key.into(), value)).collect()
                ))
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value in any_value(), list in prop::collection::vec(any_value(), 0..5), expires in any::<Option<u64>>()) {
            let weight = list.iter().map(state::weight).sum();
            for value in [one(value, expires), Value { what: What::List(VecDeque::from(list)), weight, expires }] {
                let again = back(&value);
                let (told, found) = (values(&value), values(&again));
                prop_assert_eq!(told.len(), found.len());
                prop_assert!(told.iter().zip(&found).all(|(one, other)| state::same(one, other)), "{told:?} is {found:?}");
                prop_assert_eq!((again.weight, again.expires), (value.weight, value.expires));
                prop_assert_eq!(matches!(again.what, What::List(_)), matches!(value.what, What::List(_)));
            }
        }

        #[test]
        fn whatever_stands_there_is_read_or_refused(bytes in any::<Vec<u8>>(), word in "[a-z]{3,5}", text in any::<String>()) {
            let _ = read(&bytes);
            let _ = read(json!({ "value": { word: text } }).to_string().as_bytes());
        }
    }

    #[test]
    fn how_values_are_written() {
        let map = |key: &str, value: Dynamic| Dynamic::from_map([(key.into(), value)].into_iter().collect());
        let table = [
            (one(5.into(), None), r#"{"value":5}"#),
            (one(5.into(), Some(7)), r#"{"expires":7,"value":5}"#),
            (one(Dynamic::from_float(5.0), None), r#"{"value":{"float":"5"}}"#),
            (one(Dynamic::from_float(f64::NEG_INFINITY), None), r#"{"value":{"float":"-inf"}}"#),
            (one("5".into(), None), r#"{"value":"5"}"#),
            (one('5'.into(), None), r#"{"value":{"char":"5"}}"#),
            (one(map("jid", "a@b".into()), None), r#"{"value":{"map":{"jid":"a@b"}}}"#),
            (one(Jid::read("A@b/C").map_or(Dynamic::UNIT, Dynamic::from), None), r#"{"value":{"jid":"a@b/C"}}"#),
            (one(Dynamic::from_blob(vec![0, 1]), None), r#"{"value":{"blob":"AAE="}}"#),
            (one(vec![Dynamic::from(timers::Number::default())].into(), None), r#"{"value":[null]}"#),
            (Value { what: What::List([1.into()].into()), weight: 32, expires: None }, r#"{"list":[1]}"#),
        ];
        for (value, expected) in table {
            assert_eq!(String::from_utf8_lossy(&write(&value)), expected);
        }
    }

    #[test]
    fn what_is_refused() {
        let deep = format!("{{\"value\":{}1{}}}", "[".repeat(20), "]".repeat(20));
        let table = [
            ("", "not JSON"),
            ("[]", "not an object"),
            ("{}", "either a \"value\" or a \"list\""),
            (r#"{"value":1,"list":[]}"#, "either"),
            (r#"{"value":1,"more":1}"#, "nothing else"),
            (r#"{"value":1,"expires":-1}"#, "microseconds"),
            (r#"{"value":1.5}"#, "no whole number"),
            (r#"{"value":{}}"#, "one word"),
            (r#"{"value":{"jid":"@"}}"#, "no such \"jid\""),
            (r#"{"value":{"char":"ab"}}"#, "no such \"char\""),
            (r#"{"value":{"float":1}}"#, "no such \"float\""),
            (&deep, "deep"),
        ];
        for (text, expected) in table {
            let why = read(text.as_bytes()).err().unwrap_or_default();
            assert!(why.contains(expected), "{text}: {why}");
        }
    }
}
