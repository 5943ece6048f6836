//! Resumption between real sockets: the state of a session changes hands between tasks, from a living one or from the
//! vault, and is never lost on the way.

mod net_support;

use iqtap::capture::read::{Options, Reader};
use iqtap::net::Recording;
use iqtap::policy::{ClientTls, Policy, Route, ServerTls, VaultLimits};
use iqtap::replay::rerun::{Law, Tape, replay};
use iqtap::store::MemoryStore;
use net_support::{HEADER, Lab, MECHANISMS, Peer};
use std::fs::File;
use std::sync::Arc;

const SM: &str = "urn:xmpp:sm:3";

/// A client and a server that have come to where a resource is bound or a session resumed.
async fn authenticated(lab: &Lab) -> (Peer, Peer) {
    let mut client = lab.client().await;
    let client_part = async {
        client.send(HEADER).await;
        client.expect("</stream:features>").await;
        client
            .send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldAByMG0zMA==</auth>")
            .await;
        client.expect("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>").await;
        client.send(HEADER).await;
        let features = client.expect("</stream:features>").await;
        assert!(features.contains(SM), "{features}");
    };
    let server_part = async {
        let mut server = lab.server().await;
        server.expect_header().await;
        server.send_features(MECHANISMS).await;
        server.expect("</auth>").await;
        server.send("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>").await;
        server.expect_header().await;
        server.send_features(&format!("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='{SM}'/>")).await;
        server
    };
    let ((), server) = tokio::join!(client_part, server_part);
    (client, server)
}

/// The same, bound and with stream management on; the server has sent `count` messages and the client has read them.
async fn enabled(lab: &Lab, count: usize) -> (Peer, Peer) {
    let (mut client, mut server) = authenticated(lab).await;
    client.send("<iq type='set' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>").await;
    server.expect("</iq>").await;
    let jid = "<jid>juliet@example.org/balcony</jid>";
    let bind = format!("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>{jid}</bind>");
    server.send(&format!("<iq type='result' id='b1'>{bind}</iq>")).await;
    client.expect("</iq>").await;
    client.send(&format!("<enable xmlns='{SM}' resume='true'/>")).await;
    server.expect("resume='true'/>").await;
    server.send(&format!("<enabled xmlns='{SM}' resume='true' id='sm1' max='60'/>")).await;
    client.expect("max='60'/>").await;
    for number in 0..count {
        server.send(&format!("<message id='m{number}'/>")).await;
        client.expect(&format!("<message id='m{number}'/>")).await;
    }
    (client, server)
}

fn resume(h: u32) -> String {
    format!("<resume xmlns='{SM}' h='{h}' previd='sm1'/>")
}

fn resumed(h: u32) -> String {
    format!("<resumed xmlns='{SM}' h='{h}' previd='sm1'/>")
}

/// A new connection resumes: its client says `h`, its server must be told `told`.
async fn resumes(lab: &Lab, h: u32, told: u32) -> (Peer, Peer) {
    let (mut client, mut server) = authenticated(lab).await;
    client.send(&resume(h)).await;
    server.expect(&resume(told)).await;
    server.send(&resumed(0)).await;
    client.expect(&resumed(0)).await;
    (client, server)
}

/// Whether stanzas pass both ways.
async fn works(client: &mut Peer, server: &mut Peer) {
    server.send("<message id='down'/>").await;
    client.expect("<message id='down'/>").await;
    client.send("<message id='up'/>").await;
    server.expect("<message id='up'/>").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_living_session_is_taken_over_and_a_dead_one_comes_from_the_vault() {
    let lab = Lab::start(|_, _| {}).await;
    let (mut first, mut first_server) = enabled(&lab, 2).await;
    let (mut second, mut second_server) = resumes(&lab, 2, 2).await;
    let told = first.end().await;
    assert!(told.contains("<conflict ") && told.ends_with("</stream:stream>"), "{told}");
    assert_eq!(first_server.end().await, "", "the server's old stream ends without a word");
    works(&mut second, &mut second_server).await;

    drop(second);
    assert_eq!(second_server.end().await, "", "how the client was lost is mirrored");
    let (mut third, mut third_server) = resumes(&lab, 3, 3).await;
    works(&mut third, &mut third_server).await;
    drop((third, third_server));
    assert_eq!(lab.stopped().await.sessions, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_nobody_knows_is_refused_and_the_stream_goes_on() {
    let lab = Lab::start(|_, _| {}).await;
    let (mut client, mut server) = authenticated(&lab).await;
    client.send(&resume(7)).await;
    let refused = client.expect("</failed>").await;
    assert!(refused.contains("<item-not-found "), "{refused}");
    client.send("<iq type='set' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>").await;
    let heard = server.expect("</iq>").await;
    assert!(!heard.contains("resume"), "the server must not hear of it: {heard}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_lost_in_the_middle_of_resuming_loses_nothing() {
    let lab = Lab::start(|_, _| {}).await;
    let (first, mut first_server) = enabled(&lab, 1).await;
    drop(first);
    first_server.end().await;
    // Before the server has answered, and again right behind its answer.
    for answered in [false, true] {
        let (mut client, mut server) = authenticated(&lab).await;
        client.send(&resume(1)).await;
        server.expect(&resume(1)).await;
        if answered {
            drop(client);
            server.send(&resumed(0)).await;
        } else {
            drop(client);
        }
        server.end().await;
    }
    let (mut last, mut last_server) = resumes(&lab, 1, 1).await;
    works(&mut last, &mut last_server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_youngest_whom_the_server_lets_resume_has_the_session() {
    for younger_first in [false, true] {
        let lab = Lab::start(|_, _| {}).await;
        let (mut owner, _owner_server) = enabled(&lab, 1).await;
        let mut askers = Vec::new();
        for _ in 0..2 {
            let (mut client, mut server) = authenticated(&lab).await;
            client.send(&resume(1)).await;
            server.expect(&resume(1)).await;
            askers.push((client, server));
        }
        let [(mut older, mut older_server), (mut younger, mut younger_server)] = askers.try_into().ok().unwrap();
        if !younger_first {
            older_server.send(&resumed(0)).await;
            older.expect(&resumed(0)).await;
            assert!(owner.end().await.contains("<conflict "));
        }
        younger_server.send(&resumed(0)).await;
        younger.expect(&resumed(0)).await;
        let told = older.end().await;
        assert!(told.contains("<conflict "), "{told}");
        older_server.end().await;
        works(&mut younger, &mut younger_server).await;
    }
}

/// Asking is not enough to disturb anybody: the server has not said yet whose session it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_only_asks_disturbs_nobody() {
    let lab = Lab::start(|_, _| {}).await;
    let (mut owner, mut owner_server) = enabled(&lab, 1).await;
    let (mut client, mut server) = authenticated(&lab).await;
    client.send(&resume(1)).await;
    server.expect(&resume(1)).await;
    let (mut stranger, mut stranger_server) = authenticated(&lab).await;
    stranger.send(&resume(1)).await;
    stranger_server.expect(&resume(1)).await;
    stranger_server.send(&format!("<failed xmlns='{SM}'/>")).await;
    stranger.expect(&format!("<failed xmlns='{SM}'/>")).await;
    works(&mut owner, &mut owner_server).await;
    server.send(&resumed(1)).await;
    client.expect(&resumed(1)).await;
    works(&mut client, &mut server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_connections_resume_one_session_in_turn() {
    let lab = Lab::start(|_, _| {}).await;
    let (mut client, mut server) = enabled(&lab, 0).await;
    for turn in 0..50 {
        works(&mut client, &mut server).await;
        let (next, next_server) = resumes(&lab, turn + 1, turn + 1).await;
        drop((client, server));
        (client, server) = (next, next_server);
    }
    works(&mut client, &mut server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_change_hands_do_so_again_from_their_recording() {
    let directory = tempfile::tempdir().unwrap();
    let capture = directory.path().join("s.pcapng");
    let lab = Lab::start(|setup, _| setup.sinks = vec![Box::new(Recording::create(&capture).unwrap())]).await;
    let (mut client, server) = enabled(&lab, 2).await;
    // Lost, and taken from the vault.
    drop(server);
    client.end().await;
    let (mut client, mut server) = resumes(&lab, 1, 1).await;
    server.send("<message id='m1'/>").await;
    client.expect("<message id='m1'/>").await;
    // Taken from a living session.
    let (mut third, mut last) = resumes(&lab, 2, 2).await;
    client.end().await;
    last.send("<message id='m2'/>").await;
    third.expect("<message id='m2'/>").await;
    lab.stopped().await;

    let tape = Tape::read(Reader::new(File::open(&capture).unwrap(), &Options::default()).unwrap());
    let (route, policy) = (
        Route { client_tls: ClientTls::Off, server_tls: ServerTls::Off, ..Route::default() },
        Arc::new(Policy::default()),
    );
    let same = |_| Arc::clone(&policy);
    let law = || Law { route: route.clone(), policy: &same, vault: VaultLimits::default(), store: MemoryStore::new() };
    let replayed = replay(&tape, law());
    let told: Vec<_> = replayed.sessions.iter().map(|outcome| (outcome.seeded, outcome.renamed)).collect();
    assert_eq!(told, [(false, 0), (false, 0), (false, 0)], "each could have been resumed: no seed is told");
    for outcome in &replayed.sessions {
        assert!(outcome.spoilt.is_none() && outcome.differences.is_empty() && outcome.outs > 10, "{outcome:#?}");
        assert_eq!(outcome.jid.as_deref(), Some("juliet@example.org/balcony"));
    }
    // Where nothing is kept, nothing is resumed: the second and the third differ.
    let forgetful = replay(&tape, Law { vault: VaultLimits { sessions: 0, ..VaultLimits::default() }, ..law() });
    let differ: Vec<_> = forgetful.sessions.iter().map(|outcome| !outcome.differences.is_empty()).collect();
    assert_eq!(differ, [false, true, true]);
}
