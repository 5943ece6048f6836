//! XEP-0092: what runs there?

use super::{Answer, Answers, Asked, Target, unavailable};
use crate::xml::Element;
use crate::xmpp::ns;

/// What we say we are. The system is said only if somebody has written it down (XEP-0092 §5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Software {
    /// The program.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it runs on.
    pub os: Option<String>,
}

impl Default for Software {
    fn default() -> Self {
        Self { name: "iqtap".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned(), os: None }
    }
}

/// The server's software; an account has none.
pub(super) fn answer(answers: &Answers, asked: &Asked<'_>) -> Answer {
    match asked.target {
        Target::Other => Answer::Forward,
        Target::Server if !asked.set && asked.payload.is(ns::VERSION, "query") => {
            let Software { name, version, os } = &answers.options.software;
            let said = [("name", Some(name)), ("version", Some(version)), ("os", os.as_ref())];
            let query = said.into_iter().fold(Element::new(ns::VERSION, "query"), |query, (what, text)| match text {
                Some(text) => query.with_child(Element::new(ns::VERSION, what).with_text(text)),
                None => query,
            });
            Answer::Result(Some(query))
        }
        Target::Server | Target::Account => unavailable(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::tests::{asks, local, sets};

    const QUERY: &str = "<query xmlns='jabber:iq:version'/>";

    #[test]
    fn the_server_has_a_name_and_a_version() {
        let version = env!("CARGO_PKG_VERSION");
        let expected =
            format!("<query xmlns='jabber:iq:version'><name>iqtap</name><version>{version}</version></query>");
        assert_eq!(asks(&local(), Target::Server, QUERY), expected);
    }

    #[test]
    fn the_system_is_said_if_it_is_meant_to_be() {
        let mut answers = local();
        answers.options.software =
            Software { name: "Ex".to_owned(), version: "9".to_owned(), os: Some("a & b".to_owned()) };
        assert_eq!(
            asks(&answers, Target::Server, QUERY),
            "<query xmlns='jabber:iq:version'><name>Ex</name><version>9</version><os>a &amp; b</os></query>"
        );
    }

    #[test]
    fn nobody_else_has_one() {
        assert_eq!(asks(&local(), Target::Account, QUERY), "cancel service-unavailable");
        assert_eq!(asks(&local(), Target::Other, QUERY), "forward");
        assert_eq!(sets(&local(), Target::Server, QUERY), "cancel service-unavailable");
        assert_eq!(asks(&local(), Target::Server, "<x xmlns='jabber:iq:version'/>"), "cancel service-unavailable");
    }
}
