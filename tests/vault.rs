//! The vault of sessions that wait to be resumed: what is kept, for how long, and who goes first when there is no room.

#![expect(clippy::expect_used, reason = "a test that cannot go on must stop")]

use iqtap::policy::{ClientTls, Policy, Route, ServerTls, VaultLimits};
use iqtap::session::{Act, Input, Kept, Outbox, Session, SmKey, Vault};
use iqtap::xmpp::{Side, Timestamp};
use std::sync::Arc;
use std::time::{Duration, Instant};

const NOW: Timestamp = Timestamp(1_767_427_200_000_000);

fn key(id: &str) -> SmKey {
    SmKey { domain: "example.org".to_owned(), id: id.to_owned() }
}

fn later(seconds: u64) -> Timestamp {
    NOW.plus_seconds(seconds)
}

/// What a session leaves whose client went without a word. `max`: for how long the server keeps its part. `requests`: how many
/// of its requests are under way.
fn kept(id: &str, max: u64, requests: usize) -> Box<Kept> {
    kept_of("juliet@example.org/balcony", id, max, requests)
}

/// The same of anybody's session.
fn kept_of(jid: &str, id: &str, max: u64, requests: usize) -> Box<Kept> {
    let route = Route { client_tls: ClientTls::Off, server_tls: ServerTls::Off, ..Route::default() };
    let mut session = Session::new(NOW, Arc::new(route), Arc::new(Policy::default()), 1, "127.0.0.1:1", 7);
    let mut out = Outbox::default();
    let stream = |attributes: &str| {
        format!(
            "<stream:stream {attributes} version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
        )
    };
    let (sasl, bind) = ("urn:ietf:params:xml:ns:xmpp-sasl", "urn:ietf:params:xml:ns:xmpp-bind");
    let (client, server) = (stream("to='example.org'"), stream("from='example.org' id='1'"));
    let mechanisms = format!("<mechanisms xmlns='{sasl}'><mechanism>PLAIN</mechanism></mechanisms>");
    let jid = format!("<jid>{jid}</jid>");
    let mut say = |side, text: String| {
        session.handle(NOW, Input::Bytes(side, text.as_bytes()), &mut out);
        if matches!(out.acts.pop(), Some(Act::Dial { .. })) {
            session.handle(NOW, Input::Dialed, &mut out);
        }
    };
    say(Side::Client, client.clone());
    say(Side::Server, format!("{server}<stream:features>{mechanisms}</stream:features>"));
    say(Side::Client, format!("<auth xmlns='{sasl}' mechanism='PLAIN'>AGp1bGlldABwdw==</auth>"));
    say(Side::Server, format!("<success xmlns='{sasl}'/>"));
    say(Side::Client, client);
    say(Side::Server, format!("{server}<stream:features><bind xmlns='{bind}'/></stream:features>"));
    say(Side::Client, format!("<iq type='set' id='b'><bind xmlns='{bind}'/></iq>"));
    say(Side::Server, format!("<iq type='result' id='b'><bind xmlns='{bind}'>{jid}</bind></iq>"));
    say(Side::Client, "<enable xmlns='urn:xmpp:sm:3' resume='true'/>".to_owned());
    say(Side::Server, format!("<enabled xmlns='urn:xmpp:sm:3' resume='true' id='{id}' max='{max}'/>"));
    for request in 0..requests {
        say(Side::Client, format!("<iq type='get' id='{request}' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>"));
    }
    session.handle(NOW, Input::Eof(Side::Client), &mut out);
    let park = |act| if let Act::Park(kept) = act { Some(kept) } else { None };
    out.acts.into_iter().find_map(park).expect("it can be resumed")
}

fn vault(sessions: usize, bytes: usize) -> Vault {
    Vault::new(VaultLimits { sessions, seconds: 600, bytes })
}

#[test]
fn a_session_is_kept_for_as_long_as_both_want_to() {
    let mut vault = vault(10, usize::MAX);
    vault.park(NOW, kept("short", 60, 0));
    vault.park(NOW, kept("unsaid", 0, 0));
    vault.park(NOW, kept("long", 86_400, 0));
    let known =
        |vault: &Vault, seconds| ["short", "unsaid", "long"].map(|id| vault.look(later(seconds), &key(id)).is_some());
    assert_eq!(known(&vault, 59), [true; 3]);
    assert_eq!(known(&vault, 60), [false, true, true]);
    assert_eq!(known(&vault, 600), [false; 3]);
    assert!(vault.claim(later(60), &key("short")).is_none());
    assert_eq!(vault.len(), 2, "what is too old is forgotten");
    assert!(vault.claim(later(599), &key("long")).is_some());
    assert!(vault.claim(later(599), &key("long")).is_none(), "it is given away once");
    assert!(vault.claim(later(600), &key("unsaid")).is_none());
    assert!(vault.is_empty());
}

#[test]
fn whoever_would_be_too_old_first_goes_first() {
    let mut vault = vault(2, usize::MAX);
    vault.park(NOW, kept("a", 300, 0));
    vault.park(later(1), kept("b", 100, 0));
    vault.park(later(2), kept("c", 200, 0));
    assert_eq!(["a", "b", "c"].map(|id| vault.look(later(2), &key(id)).is_some()), [true, false, true]);
    // The same session once more takes nobody's place.
    vault.park(later(3), kept("c", 500, 0));
    vault.park(later(4), kept("d", 500, 0));
    assert_eq!(["a", "c", "d"].map(|id| vault.look(later(4), &key(id)).is_some()), [false, true, true]);
}

#[test]
fn a_heavy_one_costs_others_their_place_but_not_their_time() {
    const SESSIONS: u32 = 10_000;
    let light = kept("l-----", 300, 0);
    let heavy = kept("heavy-", 300, 1000);
    let mut vault = vault(usize::MAX, SESSIONS as usize * light.weight());
    let start = Instant::now();
    for id in 0..SESSIONS {
        vault.park(later(u64::from(id) / 100), kept(&format!("l{id:05}"), 300, 0));
    }
    let each = start.elapsed() / SESSIONS;
    let many = heavy.weight() / light.weight();
    let start = Instant::now();
    vault.park(later(100), heavy);
    let took = start.elapsed();
    assert!((SESSIONS as usize - vault.len()).abs_diff(many) <= 2, "{many} go, and {} stay", vault.len());
    assert!(
        took < each * 100 + Duration::from_millis(5),
        "{took:?} to evict {many}, and {each:?} to make and park one"
    );
}

fn known(vault: &Vault, ids: &[&str]) -> String {
    ids.iter().filter(|id| vault.look(later(9), &key(id)).is_some()).copied().collect::<Vec<_>>().join(" ")
}

#[test]
fn who_has_the_most_sessions_makes_room() {
    let mut vault = vault(4, usize::MAX);
    for (at, jid, id) in [
        (0, "romeo@example.org/orchard", "romeo"),
        (1, "mallory@example.org/1", "m1"),
        (2, "juliet@example.org/balcony", "juliet"),
        (3, "mallory@example.org/2", "m2"),
        (4, "mallory@example.org/3", "m3"),
        (5, "mallory@example.org/4", "m4"),
    ] {
        vault.park(later(at), kept_of(jid, id, 300, 0));
    }
    let ids = ["romeo", "juliet", "m1", "m2", "m3", "m4", "nurse", "m5"];
    assert_eq!(known(&vault, &ids), "romeo juliet m3 m4", "the oldest of the one that has the most");
    // Where all have the same, it is again the one that would be too old first.
    vault.park(later(6), kept_of("nurse@example.org/a", "nurse", 300, 0));
    assert_eq!(known(&vault, &ids), "romeo juliet m4 nurse");
    vault.park(later(7), kept_of("tybalt@example.org/a", "m5", 300, 0));
    assert_eq!(known(&vault, &ids), "juliet m4 nurse m5");
}

#[test]
fn who_has_the_most_bytes_makes_room() {
    let light = kept_of("romeo@example.org/orchard", "romeo", 300, 0);
    let heavy = kept_of("mallory@example.org/1", "m1", 300, 300);
    let mut vault = vault(100, 2 * heavy.weight() + light.weight());
    vault.park(later(0), light);
    vault.park(later(1), heavy);
    vault.park(later(2), kept_of("mallory@example.org/2", "m2", 300, 300));
    let ids = ["romeo", "m1", "m2", "m3", "juliet"];
    assert_eq!(known(&vault, &ids), "romeo m1 m2");
    vault.park(later(3), kept_of("juliet@example.org/balcony", "juliet", 300, 0));
    assert_eq!(known(&vault, &ids), "romeo m2 juliet");
    // What was claimed or is too old counts for nobody.
    assert!(vault.claim(later(4), &key("m2")).is_some());
    vault.park(later(5), kept_of("mallory@example.org/3", "m3", 300, 300));
    assert_eq!(known(&vault, &ids), "romeo m3 juliet");
}

/// Asking binds nobody; being let resume does.
#[test]
fn whom_the_server_lets_resume_is_not_overtaken_by_older_ones() {
    let mut vault = vault(10, usize::MAX);
    for session in 1..=4 {
        vault.ask(&key("a"), session);
    }
    vault.ask(&key("b"), 5);
    vault.release(1);
    assert_eq!(vault.confirm(&key("b"), 3), None, "it has not asked for that");
    assert_eq!(vault.confirm(&key("a"), 3), Some(vec![2]));
    assert_eq!(vault.confirm(&key("a"), 2), None);
    assert_eq!(vault.confirm(&key("a"), 3), None, "once is enough");
    vault.ask(&key("a"), 2);
    assert_eq!(vault.confirm(&key("a"), 4), Some(vec![]), "it has asked before 2 did, which asks again");
    assert_eq!(vault.confirm(&key("a"), 2), Some(vec![]));
    assert_eq!(vault.confirm(&key("b"), 5), Some(vec![]));
}
