//! XEP-0012: since when?

use super::{Answer, Answers, Asked, Target, error};
use crate::xml::Element;
use crate::xmpp::{Condition, ns};

/// Of the server: for how long we run. Of the account: nothing has passed since it was last here, for whoever asks is here.
pub(super) fn answer(_: &Answers, asked: &Asked<'_>) -> Answer {
    let seconds = match asked.target {
        Target::Other => return Answer::Forward,
        _ if asked.set => return error(Condition::NotAllowed),
        _ if asked.payload.name != "query" => return error(Condition::BadRequest),
        Target::Account => 0,
        Target::Server => asked.now.0.saturating_sub(asked.since.0) / 1_000_000,
    };
    Answer::Result(Some(Element::new(ns::LAST, "query").with_attr("seconds", seconds.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::tests::{asks, local, sets};

    const QUERY: &str = "<query xmlns='jabber:iq:last'/>";

    #[test]
    fn the_server_runs_and_the_account_is_here() {
        assert_eq!(asks(&local(), Target::Server, QUERY), "<query xmlns='jabber:iq:last' seconds='903'/>");
        assert_eq!(asks(&local(), Target::Account, QUERY), "<query xmlns='jabber:iq:last' seconds='0'/>");
        assert_eq!(asks(&local(), Target::Other, QUERY), "forward");
    }

    #[test]
    fn it_cannot_be_set() {
        assert_eq!(sets(&local(), Target::Server, QUERY), "cancel not-allowed");
        assert_eq!(sets(&local(), Target::Account, QUERY), "cancel not-allowed");
        assert_eq!(sets(&local(), Target::Other, QUERY), "forward");
        assert_eq!(asks(&local(), Target::Server, "<x xmlns='jabber:iq:last'/>"), "modify bad-request");
    }
}
