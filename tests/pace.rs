//! Rates at the session itself: what was read already and waits for its time is not lost when the session ends.

mod link;

use iqtap::policy::{Policy, Rate, Route};
use iqtap::session::Input;
use iqtap::xmpp::{Side, Timestamp};
use link::{Link, NOW};

/// A client that may send one stanza a second, and has sent so many that half of them wait.
fn hasty() -> Link {
    let mut route = Route::default();
    route.rates[Side::Client.index()] = Rate { stanzas: 1, bytes: 0, burst_seconds: 20 };
    let mut link = Link::on(route, false, Policy::default());
    let messages = "<message/>".repeat(40);
    link.session.handle(NOW, Input::Bytes(Side::Client, messages.as_bytes()), &mut link.out);
    assert!(!link.session.wants(Side::Client) && link.session.wants(Side::Server), "it waits, and nobody else does");
    link
}

fn passed(link: &Link) -> usize {
    let sent = &link.out.to[Side::Server.index()];
    sent.windows("<message/>".len()).filter(|window| window == b"<message/>").count()
}

#[test]
fn without_a_rate_nobody_waits() {
    let mut link = Link::open(false, Policy::default());
    link.session.handle(NOW, Input::Bytes(Side::Client, "<message/>".repeat(4000).as_bytes()), &mut link.out);
    assert_eq!((passed(&link), link.session.wants(Side::Client)), (4000, true));
}

#[test]
fn they_pass_in_their_time() {
    let mut link = hasty();
    let some = passed(&link);
    assert!((1..=21).contains(&some), "{some}");
    let deadline = link.session.deadline().map(|deadline| deadline.0);
    assert!(deadline.is_some_and(|deadline| (NOW.0 + 1..=NOW.0 + 1_000_000).contains(&deadline)), "{deadline:?}");
    link.session.handle(Timestamp(NOW.0 + 1_000_000), Input::Tick, &mut link.out);
    assert_eq!(passed(&link), some + 1);
    link.session.handle(Timestamp(NOW.0 + 3_600_000_000), Input::Tick, &mut link.out);
    assert_eq!(passed(&link), 40);
    assert!(link.session.wants(Side::Client));
}

#[test]
fn none_is_lost_when_its_sender_leaves() {
    // Before its time, when its time has just come, long after: nobody may have told the session of time meanwhile.
    for micros in [0, 999_999, 1_000_000, 1_000_001, 100_000_000] {
        let mut link = hasty();
        link.session.handle(Timestamp(NOW.0 + micros), Input::Eof(Side::Client), &mut link.out);
        assert_eq!(passed(&link), 40, "after {micros} us");
        assert!(link.session.is_over());
    }
}

#[test]
fn none_is_lost_when_iqtap_is_stopped_or_the_server_offends() {
    for input in [Input::Stop, Input::Bytes(Side::Server, b"<bad")] {
        for micros in [0, 1_000_000] {
            let mut link = hasty();
            let input = match &input {
                Input::Bytes(side, bytes) => Input::Bytes(*side, bytes),
                _ => Input::Stop,
            };
            link.session.handle(Timestamp(NOW.0 + micros), input, &mut link.out);
            link.session.handle(Timestamp(NOW.0 + micros), Input::Bytes(Side::Server, b"<"), &mut link.out);
            assert_eq!(passed(&link), 40, "after {micros} us");
            assert!(link.session.is_over());
        }
    }
}
