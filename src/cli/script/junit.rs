//! A report in the format that JUnit made and continuous integration reads: a test case for each book.
//!
//! Takes what playing came to, gives the bytes of the file. A broken book is an `error`, one that does not hold a `failure`.

use super::report::{Outcome, Played, plain};
use crate::xml::{Element, Scope, write_element};
use bytes::BytesMut;

pub(super) fn report(outcomes: &[Outcome]) -> Vec<u8> {
    let count = |wanted: fn(&Played) -> bool| outcomes.iter().filter(|o| wanted(&o.played)).count().to_string();
    let counts = [
        ("tests", outcomes.len().to_string()),
        ("failures", count(|played| matches!(played, Played::Failed { .. }))),
        ("errors", count(|played| matches!(played, Played::Broken(_)))),
        ("time", seconds(outcomes.iter().map(|outcome| outcome.took.as_secs_f64()).sum())),
    ];
    let mut suite = Element::new("", "testsuite").with_attr("name", "iqtap script test");
    let mut suites = Element::new("", "testsuites");
    for (name, value) in counts {
        suite.set_attr(name, value.clone());
        suites.set_attr(name, value);
    }
    for outcome in outcomes {
        suite = suite.with_child(case(outcome));
    }
    let mut out = BytesMut::from(&b"<?xml version='1.0' encoding='UTF-8'?>\n"[..]);
    write_element(&suites.with_child(suite), Scope::Alone, &mut out);
    out.extend_from_slice(b"\n");
    out.to_vec()
}

fn case(outcome: &Outcome) -> Element {
    let folder = outcome.path.parent().map_or_else(String::new, |folder| folder.display().to_string());
    let name = outcome.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let case = Element::new("", "testcase")
        .with_attr("classname", folder)
        .with_attr("name", name)
        .with_attr("file", outcome.path.display().to_string())
        .with_attr("time", seconds(outcome.took.as_secs_f64()));
    match &outcome.played {
        Played::Held(_) => case,
        Played::Broken(why) => case.with_child(Element::new("", "error").with_attr("message", why)),
        Played::Failed { refuted, .. } => {
            let failure = &refuted.failure;
            let message = format!("line {}: {}", failure.line, failure.why.reason);
            case.with_child(Element::new("", "failure").with_attr("message", message).with_text(plain(outcome)))
        }
    }
}

fn seconds(seconds: f64) -> String {
    format!("{seconds:.3}")
}
