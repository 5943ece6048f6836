//! What is hashed of a disco#info answer, and the hashes: XEP-0115 §5.1 and XEP-0390 §4.
//!
//! Takes the `<query/>`, gives nothing where the XEP calls it ill-formed, or where two answers could have one hash.

use crate::xml::Element;
use crate::xmpp::ns;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use std::collections::BTreeSet;

/// The hash as XEP-0115 makes it, by the name of its algorithm.
pub(super) fn classic(query: &Element, algorithm: &str) -> Option<String> {
    digest(algorithm, classic_input(query)?.as_bytes())
}

/// The hash as XEP-0390 makes it, by the name of its algorithm.
pub(super) fn modern(query: &Element, algorithm: &str) -> Option<String> {
    digest(algorithm, modern_input(query)?.as_bytes())
}

/// Whether we can compute hashes by this algorithm.
pub(super) fn knows(algorithm: &str) -> bool {
    digest(algorithm, b"").is_some()
}

/// In base64; nothing if we do not know the algorithm.
fn digest(algorithm: &str, input: &[u8]) -> Option<String> {
    let hash = match algorithm {
        "sha-1" => Sha1::digest(input).to_vec(),
        "sha-224" => Sha224::digest(input).to_vec(),
        "sha-256" => Sha256::digest(input).to_vec(),
        "sha-384" => Sha384::digest(input).to_vec(),
        "sha-512" => Sha512::digest(input).to_vec(),
        _ => return None,
    };
    Some(STANDARD.encode(hash))
}

/// The children of this name, in the namespace of service discovery.
fn named<'a>(query: &'a Element, name: &'static str) -> impl Iterator<Item = &'a Element> {
    query.children().filter(move |child| child.is(ns::DISCO_INFO, name))
}

fn forms(query: &Element) -> impl Iterator<Item = &Element> {
    query.children().filter(|child| child.is(ns::DATA_FORMS, "x"))
}

fn fields(form: &Element) -> impl Iterator<Item = &Element> {
    form.children().filter(|child| child.is(ns::DATA_FORMS, "field"))
}

/// The values of a field, by their octets.
fn values(field: &Element) -> Vec<String> {
    let values = field.children().filter(|child| child.is(ns::DATA_FORMS, "value"));
    let mut values: Vec<String> = values.map(Element::text).collect();
    values.sort_unstable();
    values
}

/// The type of a form (XEP-0068): of its hidden field `FORM_TYPE`. Two types are an error.
fn form_type(form: &Element) -> Result<Option<String>, ()> {
    let hidden = |field: &&Element| field.attr("var") == Some("FORM_TYPE") && field.attr("type") == Some("hidden");
    let types: BTreeSet<String> = fields(form).filter(hidden).flat_map(values).collect();
    if types.len() > 1 { Err(()) } else { Ok(types.into_iter().next()) }
}

/// S of XEP-0115 §5.1. Nothing for what §5.4 calls ill-formed, and for what holds the separator: there are forgeries of it.
fn classic_input(query: &Element) -> Option<String> {
    let mut parts = Vec::new();
    let mut identities = BTreeSet::new();
    for identity in named(query, "identity") {
        let lang = identity.attr_ns(ns::XML, "lang").unwrap_or_default();
        let name = identity.attr("name").unwrap_or_default();
        if !identities.insert([identity.attr("category")?, identity.attr("type")?, lang, name]) {
            return None;
        }
    }
    parts.extend(identities.into_iter().map(|parts| parts.join("/")));
    let mut features = BTreeSet::new();
    for feature in named(query, "feature") {
        if !features.insert(feature.attr("var")?) {
            return None;
        }
    }
    parts.extend(features.into_iter().map(str::to_owned));
    let mut typed = Vec::new();
    for form in forms(query) {
        if let Some(kind) = form_type(form).ok()? {
            typed.push((kind, form));
        }
    }
    typed.sort_by(|(one, _), (other, _)| one.cmp(other));
    if typed.windows(2).any(|pair| matches!(pair, [(one, _), (other, _)] if one == other)) {
        return None;
    }
    for (kind, form) in typed {
        parts.push(kind);
        let mut others = Vec::new();
        for field in fields(form).filter(|field| field.attr("var") != Some("FORM_TYPE")) {
            others.push((field.attr("var")?, values(field)));
        }
        others.sort_unstable();
        parts.extend(others.into_iter().flat_map(|(var, values)| std::iter::once(var.to_owned()).chain(values)));
    }
    let forged = parts.iter().any(|part| part.contains('<'));
    (!forged).then(|| parts.into_iter().map(|part| part + "<").collect())
}

/// Ends all features, all identities, all forms (XEP-0390 §4.1).
const FILE: char = '\u{1c}';
/// Ends a form.
const GROUP: char = '\u{1d}';
/// Ends an identity, a field.
const RECORD: char = '\u{1e}';
/// Ends a text.
const UNIT: char = '\u{1f}';

/// The input of XEP-0390 §4.1. A language that is inherited from the query counts; what is inherited from further up must
/// have been put there.
fn modern_input(query: &Element) -> Option<String> {
    let known = |child: &Element| {
        ["identity", "feature"].iter().any(|name| child.is(ns::DISCO_INFO, name)) || child.is(ns::DATA_FORMS, "x")
    };
    if !query.children().all(known) {
        return None;
    }
    let around = query.attr_ns(ns::XML, "lang").unwrap_or_default();
    let mut features = Vec::new();
    for feature in named(query, "feature") {
        features.push(unit(feature.attr("var")?));
    }
    let mut identities = Vec::new();
    for identity in named(query, "identity") {
        let lang = identity.attr_ns(ns::XML, "lang").unwrap_or(around);
        let name = identity.attr("name").unwrap_or_default();
        let parts = [identity.attr("category")?, identity.attr("type")?, lang, name];
        identities.push(closed(parts.map(unit).concat(), RECORD));
    }
    let mut extensions = Vec::new();
    for form in forms(query) {
        extensions.push(modern_form(form)?);
    }
    Some([features, identities, extensions].map(|parts| closed(sorted(parts), FILE)).concat())
}

fn modern_form(form: &Element) -> Option<String> {
    let table = |child: &Element| child.is(ns::DATA_FORMS, "reported") || child.is(ns::DATA_FORMS, "item");
    if form.children().any(table) || form_type(form).ok()?.is_none() {
        return None;
    }
    let mut written = Vec::new();
    for field in fields(form) {
        let values: String = values(field).iter().map(|value| unit(value)).collect();
        written.push(closed(unit(field.attr("var")?) + values.as_str(), RECORD));
    }
    Some(closed(sorted(written), GROUP))
}

fn unit(text: &str) -> String {
    closed(text.to_owned(), UNIT)
}

fn closed(mut text: String, by: char) -> String {
    text.push(by);
    text
}

/// One behind the other, by their octets.
fn sorted(mut parts: Vec<String>) -> String {
    parts.sort_unstable();
    parts.concat()
}
