//! XEP-0199: is anybody there?

use super::{Answer, Answers, Asked, Target};
use crate::xmpp::{Condition, StanzaError, ns};

/// A get to the account or the server has an empty result; a set is no ping.
pub(super) fn answer(_: &Answers, asked: &Asked<'_>) -> Answer {
    match asked.target {
        Target::Other => Answer::Forward,
        _ if asked.set || !asked.payload.is(ns::PING, "ping") => {
            Answer::Error(StanzaError::new(Condition::ServiceUnavailable))
        }
        Target::Account | Target::Server => Answer::Result(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::tests::{asks, local, sets};

    const PING: &str = "<ping xmlns='urn:xmpp:ping'/>";

    #[test]
    fn the_account_and_the_server_are_there() {
        assert_eq!(asks(&local(), Target::Account, PING), "empty");
        assert_eq!(asks(&local(), Target::Server, PING), "empty");
        assert_eq!(asks(&local(), Target::Other, PING), "forward");
    }

    #[test]
    fn nothing_else_is_a_ping() {
        assert_eq!(sets(&local(), Target::Server, PING), "cancel service-unavailable");
        assert_eq!(asks(&local(), Target::Account, "<pong xmlns='urn:xmpp:ping'/>"), "cancel service-unavailable");
    }
}
