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
