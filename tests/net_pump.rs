//! The pump between real sockets: much at once, slow readers, deaths at every phase, stopping.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod net_support;

use iqtap::config::Upstream;
use iqtap::net::{BindError, Server, SessionInfo, Setup, Sink};
use iqtap::session::{Note, Tally};
use iqtap::xmpp::Timestamp;
use net_support::{HEADER, Lab, MECHANISMS, Peer, soon};
use std::fmt::Write as _;
use std::sync::mpsc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

/// Numbered messages, `total` bytes or a little more.
fn messages(total: usize) -> String {
    let mut text = String::with_capacity(total + 32_000);
    let body = "x".repeat(16_000);
    for number in 0.. {
        if text.len() >= total {
            break;
        }
        write!(text, "<message to='romeo@example.org' id='m{number}'><body>{body}</body></message>").unwrap();
    }
    text
}

/// Sends all of `text` and reads as much, at the same time.
async fn exchange(peer: &mut Peer, text: &str) -> Vec<u8> {
    let (mut reader, mut writer) = tokio::io::split(&mut peer.stream);
    let mut received = vec![0; text.len()];
    let (sent, read) = soon(async {
        tokio::join!(async { writer.write_all(text.as_bytes()).await }, reader.read_exact(&mut received))
    })
    .await;
    sent.unwrap();
    read.unwrap();
    received
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_ends_send_10_mib_at_once() {
    let lab = Lab::start(|_, _| {}).await;
    let (mut client, mut server) = lab.joined().await;
    let text = messages(10 << 20);
    let (to_client, to_server) = tokio::join!(exchange(&mut client, &text), exchange(&mut server, &text));
    assert!(to_client == text.as_bytes() && to_server == text.as_bytes(), "not what was sent");
    drop((client, server));
    let summary = lab.stopped().await;
    assert_eq!(summary.sessions, 1);
    assert!(summary.tally.bytes.iter().all(|bytes| *bytes >= 10 << 20), "{:?}", summary.tally);
}

#[tokio::test]
async fn a_slow_reader_stops_the_sender_and_nobody_else() {
    let lab = Lab::start(|_, _| {}).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 * 1024).unwrap();
    let mut slow = Peer::new(socket.connect(lab.address).await.unwrap());
    let login = async {
        let tcp = lab.upstream.accept().await.unwrap().0;
        let mut server = Peer::new(tcp);
        server.serve_login().await;
        server
    };
    let ((), mut server) = tokio::join!(slow.log_in(), login);
    let (mut quick, mut other) = lab.joined().await;

    let text = messages(48 << 20);
    let mut sent = 0;
    // As long as any of it is taken, the other session has a turn; then for some more turns nothing is taken.
    let mut idle_turns = 0;
    while idle_turns < 200 {
        let rest = &text.as_bytes()[sent..];
        let write = async { server.stream.write(rest).await.unwrap() };
        let turn = async {
            quick.send("<iq type='get' id='p' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>").await;
            other.expect("</iq>").await;
        };
        tokio::select! {
            biased;
            count = write => { sent += count; idle_turns = 0; }
            () = turn => idle_turns += 1,
        }
    }
    assert!(sent < 32 << 20, "{sent} bytes were taken though nobody reads them");
    let (rest, mut received) = (&text.as_bytes()[sent..], vec![0; text.len()]);
    let (wrote, read) =
        soon(async { tokio::join!(server.stream.write_all(rest), slow.stream.read_exact(&mut received)) }).await;
    wrote.unwrap();
    read.unwrap();
    assert!(received == text.as_bytes(), "not what was sent");
}

#[tokio::test]
async fn a_client_that_asks_and_never_listens_is_stopped() {
    let lab = Lab::start(|setup, _| setup.policy.rules = iqtap::rules::Modes::all(iqtap::rules::Mode::Enforce)).await;
    let (mut client, _server) = lab.joined().await;
    // Each is bounced by us; the server never sees any.
    let bad = "<iq type='get' id='q'/>".repeat(10_000);
    let mut sent = 0;
    let mut pending_turns = 0;
    while pending_turns < 1_000 && sent < 512 << 20 {
        let rest = &bad.as_bytes()[sent % bad.len()..];
        tokio::select! {
            biased;
            count = client.stream.write(rest) => { sent += count.unwrap(); pending_turns = 0; }
            () = tokio::task::yield_now() => pending_turns += 1,
        }
    }
    assert!(sent < 64 << 20, "{sent} bytes were taken though the answers are not");
}

#[tokio::test]
async fn an_upstream_that_cannot_be_reached_is_told_to_the_client() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let lab = Lab::start(|setup, _| setup.terms.upstream.port = port).await;
    let mut client = lab.client().await;
    client.send(HEADER).await;
    let told = client.end().await;
    assert!(told.contains("<remote-connection-failed"), "{told}");
    assert!(told.contains("nothing listens at 127.0.0.1"), "{told}");
    assert!(told.ends_with("</stream:stream>"), "{told}");
}

#[tokio::test]
async fn a_session_given_up_at_once_does_not_dial() {
    let lab = Lab::start(|_, _| {}).await;
    let mut client = lab.client().await;
    // Held back until the server stands, and then too much of it: one read.
    client.send(&format!("{HEADER}{}", "<presence/>".repeat(5_000))).await;
    let told = client.end().await;
    assert!(told.ends_with("</stream:stream>"), "{told}");
    let address = lab.upstream.local_addr().unwrap();
    let mine = tokio::net::TcpStream::connect(address).await.unwrap();
    let (_, first) = lab.upstream.accept().await.unwrap();
    assert_eq!(first, mine.local_addr().unwrap(), "somebody else had dialed before");
}

#[tokio::test]
async fn the_client_may_die_at_any_phase() {
    // The server learns of it at once, not when the login is late.
    let lab = Lab::start(|setup, _| setup.terms.route.login_seconds = 3600).await;
    // Before a word: nobody is bothered.
    drop(lab.client().await);
    // After its header.
    let mut client = lab.client().await;
    client.send(HEADER).await;
    let mut server = lab.server().await;
    server.expect_header().await;
    drop(client);
    server.end().await;
    // In the middle of SASL.
    let mut client = lab.client().await;
    client.send(HEADER).await;
    let mut server = lab.server().await;
    server.expect_header().await;
    server.send_features(MECHANISMS).await;
    client.expect("</stream:features>").await;
    client.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechan").await;
    drop(client);
    let rest = server.end().await;
    assert!(!rest.contains("<auth"), "half an element leaked: {rest}");
    // Joined, in the middle of a stanza: no half stanza, no made-up goodbye.
    let (mut client, mut server) = lab.joined().await;
    client.send("<message id='whole'/><message id='half'><body>").await;
    server.expect("<message id='whole'/>").await;
    drop(client);
    assert_eq!(server.end().await, "");
    assert_eq!(lab.stopped().await.sessions, 4);
}

#[tokio::test]
async fn the_server_may_die_at_any_phase() {
    let lab = Lab::start(|_, _| {}).await;
    // Before a word, after its header, after its features: the client learns why.
    for phase in 0..3 {
        let mut client = lab.client().await;
        client.send(HEADER).await;
        let mut server = lab.server().await;
        server.expect_header().await;
        match phase {
            0 => {}
            1 => server.send("<?xml version='1.0'?>").await,
            _ => {
                server.send_features(MECHANISMS).await;
                client.expect("</stream:features>").await;
            }
        }
        drop(server);
        let told = client.end().await;
        assert!(phase == 2 || told.contains("<remote-connection-failed"), "phase {phase}: {told}");
    }
    // Joined, in the middle of a stanza: mirrored, abruptly.
    let (mut client, mut server) = lab.joined().await;
    server.send("<message id='whole'/><message id='half'><body>").await;
    client.expect("<message id='whole'/>").await;
    drop(server);
    assert_eq!(client.end().await, "");
}

#[tokio::test]
async fn a_stream_error_reaches_a_client_that_is_still_talking() {
    let lab = Lab::start(|_, _| {}).await;
    let (mut client, mut server) = lab.joined().await;
    // What follows the bad stanza is never read: closing must not throw the error away with a reset.
    let mut text = "<message><bo<dy></message>".to_owned();
    text.push_str(&"x".repeat(300_000));
    client.send(&text).await;
    let told = client.end().await;
    assert!(told.contains("not-well-formed") && told.ends_with("</stream:stream>"), "{told}");
    assert!(!server.end().await.contains("<bo"));
}

#[tokio::test]
async fn who_says_nothing_is_cut_by_the_login_deadline() {
    for client_tls in [iqtap::policy::ClientTls::Off, iqtap::policy::ClientTls::Offer] {
        let lab = Lab::start(|setup, _| {
            (setup.terms.route.login_seconds, setup.terms.route.client_tls) = (1, client_tls);
        })
        .await;
        let told = lab.client().await.end().await;
        assert!(told.contains("connection-timeout"), "{told}");
    }
}

/// Takes nothing until it is let go.
struct Stuck(mpsc::Receiver<()>);

impl Sink for Stuck {
    fn take(&mut self, _: &SessionInfo, _: Timestamp, _: &Note) {
        let _ = self.0.recv(); // once let go, for good
    }
    fn finish(&mut self, _: &Tally) {}
}

/// Writes `text` again and again until nothing is taken for a while; gives how much was.
async fn flood(peer: &mut Peer, text: &str, limit: usize) -> usize {
    let mut sent = 0;
    while sent < limit {
        let rest = &text.as_bytes()[sent % text.len()..];
        match tokio::time::timeout(Duration::from_millis(500), peer.stream.write(rest)).await {
            Ok(count) => sent += count.unwrap(),
            Err(_) => break,
        }
    }
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_tiny_stanzas_waits_for_a_stuck_sink() {
    let (let_go, stuck) = mpsc::channel();
    let lab = Lab::start(|setup, _| setup.sinks = vec![Box::new(Stuck(stuck))]).await;
    let (mut client, mut server) = lab.joined().await;
    let passed = async {
        let (mut passed, mut buffer) = (0, vec![0; 65_536]);
        while let Ok(count) = tokio::time::timeout(Duration::from_millis(1000), server.stream.read(&mut buffer)).await {
            passed += count.unwrap();
        }
        passed
    };
    let presences = "<presence/>".repeat(6_000);
    let (_, passed) = tokio::join!(flood(&mut client, &presences, 64 << 20), passed);
    // Two notes for each, of at least 600 bytes: 8 MiB may wait, and 2 more in the session itself.
    let stanzas = passed / "<presence/>".len();
    assert!(stanzas * 1200 < 10 << 20, "{stanzas} were forwarded though nobody takes what is told of them");
    assert!(stanzas * 1200 > 6 << 20, "only {stanzas} were forwarded");
    drop((client, let_go));
    assert_eq!(server.end().await.len() % "<presence/>".len(), 0);
    let summary = lab.stopped().await;
    assert!(summary.tally.stanzas[0][1] >= stanzas as u64, "{:?}", summary.tally);
}

/// Says when a session is over.
struct Overs(mpsc::Sender<()>);

impl Sink for Overs {
    fn take(&mut self, _: &SessionInfo, _: Timestamp, note: &Note) {
        if matches!(note, Note::Over(_)) {
            self.0.send(()).unwrap();
        }
    }
    fn finish(&mut self, _: &Tally) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_dies_is_noticed_though_the_other_does_not_read() {
    let (over, overs) = mpsc::channel();
    let lab = Lab::start(|setup, _| setup.sinks = vec![Box::new(Overs(over))]).await;
    let (mut client, mut server) = lab.joined().await;
    client.send("<message id='unread'/>").await;
    flood(&mut server, &messages(1 << 20), 64 << 20).await;
    assert!(overs.try_recv().is_err());
    drop(server); // with bytes unread: a reset
    let over = tokio::task::spawn_blocking(move || overs.recv_timeout(Duration::from_secs(8)));
    over.await.unwrap().unwrap();
    drop(client);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_does_not_wait_for_a_stuck_sink() {
    let (let_go, stuck) = mpsc::channel();
    let mut lab = Lab::start(|setup, _| setup.sinks = vec![Box::new(Stuck(stuck))]).await;
    let (mut client, _server) = lab.joined().await;
    flood(&mut client, &"<presence/>".repeat(6_000), 64 << 20).await;
    let asked = std::time::Instant::now();
    lab.stop();
    let told = client.end().await;
    assert!(told.contains("<system-shutdown"), "{told}");
    lab.stopped().await;
    assert!(asked.elapsed() < Duration::from_secs(6), "took {:?}", asked.elapsed());
    drop(let_go);
}

#[tokio::test]
async fn stopping_says_goodbye_to_everybody() {
    let mut lab = Lab::start(|_, _| {}).await;
    let (mut client, mut server) = lab.joined().await;
    let mut silent = lab.client().await;
    let mut waiting = lab.client().await;
    waiting.send(HEADER).await;
    let mut busy = lab.server().await;
    busy.expect_header().await;
    lab.stop();
    let told = client.end().await;
    assert!(told.contains("<system-shutdown") && told.ends_with("</stream:stream>"), "{told}");
    assert!(server.end().await.ends_with("</stream:stream>"));
    assert!(waiting.end().await.contains("<system-shutdown"));
    silent.end().await;
    busy.end().await;
    assert_eq!(lab.stopped().await.sessions, 3);
}

#[tokio::test]
async fn stopping_does_not_wait_for_who_never_reads() {
    let lab = Lab::start(|_, _| {}).await;
    let (client, mut server) = lab.joined().await;
    let text = messages(32 << 20);
    // Fill every buffer on the way until nothing moves for many turns.
    let (mut sent, mut turns) = (0, 0);
    while turns < 1_000 {
        tokio::select! {
            biased;
            count = server.stream.write(&text.as_bytes()[sent..]) => { sent += count.unwrap(); turns = 0; }
            () = tokio::task::yield_now() => turns += 1,
        }
    }
    let asked = std::time::Instant::now();
    lab.stopped().await;
    assert!(asked.elapsed().as_secs() < 6, "took {:?}", asked.elapsed());
    drop(client);
}

#[tokio::test]
async fn a_taken_port_and_a_loop_are_refused_with_a_cure() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let upstream = |port| Upstream { host: "127.0.0.1".to_owned(), port };
    let setup = |port| {
        let mut setup = Setup::new(address, upstream(port), directory.path().to_owned());
        setup.terms.route.server_tls = iqtap::policy::ServerTls::Off;
        setup
    };
    let error = Server::bind(setup(5222)).await.err().unwrap();
    assert!(matches!(error, BindError::Listen { .. }) && error.to_string().contains("--listen"), "{error}");
    drop(taken);
    let error = Server::bind(setup(address.port())).await.err().unwrap();
    assert!(matches!(error, BindError::Loop(_)), "{error}");
}
