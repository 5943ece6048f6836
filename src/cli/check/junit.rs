//! A report in the format that JUnit made: a suite for each capture, a test case for each rule.
//!
//! Takes what checking came to, gives the bytes of the file. A rule that was broken is a `failure`, a capture that cannot be read an `error`.

use super::{Group, Outcome};
use crate::capture::read::Problem;
use crate::rules::catalog;
use crate::xml::{Element, Scope, write_element};
use bytes::BytesMut;
use std::path::PathBuf;

pub(super) fn report(outcomes: &[(&PathBuf, Outcome)]) -> Vec<u8> {
    let suites = outcomes.iter().map(|(path, outcome)| suite(&super::captures::shown(path), outcome));
    let suites = suites.fold(Element::new("", "testsuites").with_attr("name", "iqtap check"), Element::with_child);
    let mut out = BytesMut::from(&b"<?xml version='1.0' encoding='UTF-8'?>\n"[..]);
    write_element(&suites, Scope::Alone, &mut out);
    out.extend_from_slice(b"\n");
    out.to_vec()
}

fn suite(file: &str, outcome: &Outcome) -> Element {
    let mut cases = Vec::new();
    let case = |name: &str| {
        Element::new("", "testcase").with_attr("classname", file).with_attr("name", name).with_attr("file", file)
    };
    let wrong = outcome.report.damage.iter().map(Problem::to_string).chain(outcome.failed.clone());
    let wrong: Vec<String> = wrong.chain(outcome.nothing().map(str::to_owned)).collect();
    let read = case("the capture can be read");
    cases.push(
        wrong.iter().fold(read, |case, why| case.with_child(Element::new("", "error").with_attr("message", why))),
    );
    let mut others: Vec<&str> = outcome.found.keys().copied().collect();
    if outcome.failed.is_none() {
        for rule in catalog() {
            others.retain(|code| *code != rule.rule.code());
            let group = outcome.found.get(rule.rule.code());
            cases.push(failed(case(&format!("{}: {}", rule.rule.code(), rule.title)), group));
        }
    }
    for code in others {
        cases.push(failed(case(code), outcome.found.get(code)));
    }
    let failures = cases.iter().filter(|case| case.child("", "failure").is_some()).count();
    let errors = cases.iter().filter(|case| case.child("", "error").is_some()).count();
    let suite = Element::new("", "testsuite")
        .with_attr("name", file)
        .with_attr("tests", cases.len().to_string())
        .with_attr("failures", failures.to_string())
        .with_attr("errors", errors.to_string());
    cases.into_iter().fold(suite, Element::with_child)
}

fn failed(case: Element, group: Option<&Group>) -> Element {
    let Some(Group { count, texts }) = group else { return case };
    let more = count.saturating_sub(texts.len() as u64);
    let mut text = texts.join("\n");
    if more > 0 {
        text.push_str(&format!("\n... and {more} more"));
    }
    let message = texts.first().map_or("", String::as_str);
    case.with_child(Element::new("", "failure").with_attr("message", message).with_text(text))
}
