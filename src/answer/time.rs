//! XEP-0202: what time is it there?

use super::{Answer, Answers, Asked, Target, unavailable};
use crate::xml::Element;
use crate::xmpp::{Condition, StanzaError, Timestamp, ns};
use jiff::Timestamp as Moment;

/// The time of our clock, in the zone that was written down. The older `jabber:iq:time` is another protocol.
pub(super) fn answer(answers: &Answers, asked: &Asked<'_>) -> Answer {
    match asked.target {
        Target::Other => Answer::Forward,
        _ if asked.set || !asked.payload.is(ns::TIME, "time") => unavailable(),
        Target::Account | Target::Server => match utc(asked.now) {
            Some(utc) => {
                let child = |name, text: &str| Element::new(ns::TIME, name).with_text(text);
                let time = Element::new(ns::TIME, "time");
                let time = time.with_child(child("tzo", &answers.options.tzo)).with_child(child("utc", &utc));
                Answer::Result(Some(time))
            }
            None => Answer::Error(StanzaError::new(Condition::InternalServerError)),
        },
    }
}

/// `2006-12-19T17:58:35Z` (XEP-0082), the fractions left out.
fn utc(now: Timestamp) -> Option<String> {
    let seconds = i64::try_from(now.0 / 1_000_000).ok()?;
    Some(Moment::from_second(seconds).ok()?.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Whether this is an offset to UTC as XEP-0082 writes it: `Z`, or a sign, hours and minutes.
#[must_use]
pub fn is_offset(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(['+', '-']) else { return text == "Z" };
    let Some((hours, minutes)) = rest.split_once(':') else { return false };
    let number = |digits: &str| {
        let plain = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<u8>().ok().filter(|_| plain)
    };
    match (number(hours), number(minutes)) {
        // No zone is further away than 14 hours (XML Schema, part 2, §3.2.7.3).
        (Some(hours), Some(minutes)) => minutes < 60 && (hours < 14 || (hours == 14 && minutes == 0)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::tests::{asks, local, sets};

    const TIME: &str = "<time xmlns='urn:xmpp:time'/>";

    #[test]
    fn the_account_and_the_server_have_our_time() {
        let expected = "<time xmlns='urn:xmpp:time'><tzo>+00:00</tzo><utc>2006-12-19T17:58:35Z</utc></time>";
        assert_eq!(asks(&local(), Target::Account, TIME), expected);
        assert_eq!(asks(&local(), Target::Server, TIME), expected);
        let mut answers = local();
        answers.options.tzo = "-06:00".to_owned();
        assert_eq!(asks(&answers, Target::Server, TIME), expected.replace("+00:00", "-06:00"));
    }

    #[test]
    fn nothing_else_is_answered_with_it() {
        assert_eq!(asks(&local(), Target::Other, TIME), "forward");
        assert_eq!(sets(&local(), Target::Server, TIME), "cancel service-unavailable");
        assert_eq!(asks(&local(), Target::Server, "<utc xmlns='urn:xmpp:time'/>"), "cancel service-unavailable");
        // The older protocol is not answered here.
        assert_eq!(asks(&local(), Target::Server, "<query xmlns='jabber:iq:time'/>"), "forward");
    }

    #[test]
    fn a_moment_is_written_without_fractions() {
        assert_eq!(utc(Timestamp(0)).as_deref(), Some("1970-01-01T00:00:00Z"));
        assert_eq!(utc(Timestamp(1_166_551_115_999_999)).as_deref(), Some("2006-12-19T17:58:35Z"));
        assert_eq!(utc(Timestamp(u64::MAX)), None);
    }

    #[test]
    fn offsets_are_those_of_xep_0082() {
        for good in ["Z", "+00:00", "-06:00", "+05:45", "+14:00", "-13:59"] {
            assert!(is_offset(good), "{good}");
        }
        for bad in
            ["", "z", "UTC", "+0:00", "+00", "00:00", "+00:60", "+14:01", "+15:00", "+aa:00", "++1:00", "+00:00 "]
        {
            assert!(!is_offset(bad), "{bad}");
        }
    }
}
