//! Peers that die, cut, reset or speak something else, before the real binary. Whatever one of them does, it costs its own session and no
//! other, and the process goes on.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod net_support;

use net_support::running::Running;
use net_support::{DOMAIN, HEADER, MECHANISMS, PROCEED, Peer, STARTTLS, TestCa, joined, soon};
use rcgen::{CertificateParams, date_time_ymd};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

const TALK: &str = "<message to='romeo@example.org' id='m'><body>still here</body></message>";

/// A proxy, and a session that is nobody's business.
struct House {
    upstream: TcpListener,
    running: Running,
    bystanders: (Peer, Peer),
    /// With these alone.
    descriptors: usize,
}

impl House {
    async fn start(more: &[&str]) -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        // Without a watch on files, whose descriptors come some time after the greeting.
        let running = Running::start(&upstream, &[&["--no-reload"], more].concat());
        let bystanders = joined(running.address, &upstream).await;
        let descriptors = running.descriptors();
        Self { upstream, running, bystanders, descriptors }
    }

    async fn client(&self) -> TcpStream {
        TcpStream::connect(self.running.address).await.unwrap()
    }

    async fn server(&self) -> TcpStream {
        soon(self.upstream.accept()).await.unwrap().0
    }

    /// The other session has noticed nothing, and nothing is left of the one that is over.
    async fn stands(&mut self) {
        let (client, server) = &mut self.bystanders;
        client.send(TALK).await;
        server.expect(TALK).await;
        server.send(TALK).await;
        client.expect(TALK).await;
        assert!(self.running.runs());
        self.running.has_descriptors(self.descriptors);
    }

    /// The end: no panic, no word of a bug.
    fn ended(self) {
        let said = self.running.stopped();
        assert!(!said.contains("panicked") && !said.contains("bug in iqtap"), "{said}");
    }
}

/// Closes with a reset: what is under way is thrown away.
fn reset(tcp: TcpStream) {
    socket2::SockRef::from(&tcp).set_linger(Some(Duration::ZERO)).unwrap();
    drop(tcp);
}

/// Logs in on sockets that the test keeps.
async fn raw_pair(house: &House) -> (TcpStream, TcpStream) {
    let (client, server) = (house.client().await, async { house.server().await });
    let client = client.into_std().unwrap();
    let mut talks = Peer::new(TcpStream::from_std(client.try_clone().unwrap()).unwrap());
    let login = async {
        let server = server.await.into_std().unwrap();
        let mut talks = Peer::new(TcpStream::from_std(server.try_clone().unwrap()).unwrap());
        talks.serve_login().await;
        server
    };
    let ((), server) = tokio::join!(talks.log_in(), login);
    (TcpStream::from_std(client).unwrap(), TcpStream::from_std(server).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_in_the_middle_of_a_stanza_leaves_no_half_of_it() {
    let mut house = House::start(&[]).await;
    for die in [drop as fn(TcpStream), reset] {
        let (client, mut server) = raw_pair(&house).await;
        server
            .write_all(format!("{TALK}<message to='juliet@example.org' id='half'><body>and").as_bytes())
            .await
            .unwrap();
        let mut client = Peer::new(client);
        client.expect(TALK).await; // a reset would take it away
        die(server);
        let rest = client.end().await;
        assert!(!rest.contains("half"), "{rest}");
        house.stands().await;
    }
    house.ended();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_vanishes_takes_its_servers_leg_with_it() {
    let mut house = House::start(&[]).await;
    for vanish in [drop as fn(TcpStream), reset] {
        let (mut client, server) = raw_pair(&house).await;
        client
            .write_all(format!("{TALK}<message to='juliet@example.org' id='half'><body>and").as_bytes())
            .await
            .unwrap();
        let mut server = Peer::new(server);
        server.expect(TALK).await;
        vanish(client);
        let rest = server.end().await;
        assert!(!rest.contains("half"), "{rest}");
        house.stands().await;
    }
    house.ended();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_connection_is_none() {
    let mut house = House::start(&[]).await;
    // Neither says goodbye, each only says that it will say no more. What it said before arrives, and both legs end soon.
    let (mut client, server) = raw_pair(&house).await;
    client.write_all(TALK.as_bytes()).await.unwrap();
    client.shutdown().await.unwrap();
    let (mut client, mut server) = (Peer::new(client), Peer::new(server));
    server.expect(TALK).await;
    server.end().await;
    client.end().await;
    let (client, mut server) = raw_pair(&house).await;
    server.write_all(TALK.as_bytes()).await.unwrap();
    server.shutdown().await.unwrap();
    let (mut client, mut server) = (Peer::new(client), Peer::new(server));
    client.expect(TALK).await;
    client.end().await;
    server.end().await;
    house.stands().await;
    house.ended();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_during_the_login_is_told_to_the_client() {
    let mut house = House::start(&[]).await;
    for (said, until) in
        [("", "<stream:stream"), ("<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>cj0", "</auth>")]
    {
        for die in [drop as fn(TcpStream), reset] {
            let mut client = Peer::new(house.client().await);
            client.send(HEADER).await;
            let server = house.server().await.into_std().unwrap();
            let mut talks = Peer::new(TcpStream::from_std(server.try_clone().unwrap()).unwrap());
            talks.expect_header().await;
            if until == "</auth>" {
                talks.send_features(MECHANISMS).await;
                client.expect("</stream:features>").await;
                client
                    .send(
                        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldAByMG0zMA==</auth>",
                    )
                    .await;
                talks.expect(until).await;
                talks.send(said).await;
            }
            drop(talks);
            die(TcpStream::from_std(server).unwrap());
            let rest = client.end().await;
            assert!(!rest.contains("cj0"), "half a challenge: {rest}");
            assert!(until == "</auth>" || rest.contains("<remote-connection-failed"), "{rest}");
            house.stands().await;
        }
    }
    house.ended();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_dies_or_babbles_during_tls_gets_no_word_in_the_clear() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut running = Running::start(&upstream, &["--server-tls", "starttls", "--insecure-server"]);
    // Nothing, garbage, half a record of a handshake, an alert, a web server.
    let babble: [&[u8]; 5] = [
        b"",
        b"\xff\xfe\x00garbage garbage garbage",
        b"\x16\x03\x03\x02\x00\x02\x00\x01",
        b"\x15\x03\x03\x00\x02\x02\x28",
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    ];
    for babble in babble {
        let mut client = Peer::new(TcpStream::connect(running.address).await.unwrap());
        client.send(HEADER).await;
        let mut server = Peer::new(soon(upstream.accept()).await.unwrap().0);
        server.expect_header().await;
        server.send_features(&format!("{STARTTLS}{MECHANISMS}")).await;
        server.expect("<starttls").await;
        server.send(PROCEED).await;
        let mut hello = [0; 3];
        server.expect("/>").await;
        soon(server.stream.read_exact(&mut hello)).await.unwrap();
        assert_eq!(hello[0], 0x16, "a handshake begins");
        server.stream.write_all(babble).await.unwrap();
        server.stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let _ = soon(server.stream.read_to_end(&mut rest)).await;
        assert!(
            !rest.windows(5).any(|window| window == b"<auth" || window == b"<stre"),
            "nothing goes on in the clear"
        );
        let said = client.end().await;
        assert!(said.contains("<remote-connection-failed"), "{babble:?}: {said}");
    }
    assert!(running.runs());
    let said = running.stopped();
    assert!(!said.contains("panicked"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_a_certificate_of_no_use_is_told_apart_and_gets_no_word() {
    let (directory, ca) = (tempfile::tempdir().unwrap(), TestCa::new("one"));
    let file = directory.path().join("ca.crt");
    std::fs::write(&file, &ca.pem).unwrap();
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let more = ["--server-tls", "direct", "--server-ca", file.to_str().unwrap()];
    let running = Running::start(&upstream, &more);
    let mut expired = CertificateParams::new([DOMAIN.to_owned()]).unwrap();
    (expired.not_before, expired.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
    let servers = [
        (ca.acceptor_with(expired), "has expired"),
        (ca.acceptor("other.example"), "is not for example.org but for other.example"),
        (TestCa::new("two").acceptor(DOMAIN), "does not know"),
    ];
    for (acceptor, why) in servers {
        let mut client = Peer::new(TcpStream::connect(running.address).await.unwrap());
        client.send(HEADER).await;
        let tcp = soon(upstream.accept()).await.unwrap().0;
        if let Ok(tls) = soon(acceptor.accept(tcp)).await {
            assert_eq!(Peer::new(tls).end().await, "", "nothing may be said to a server that is not believed");
        }
        let said = client.end().await;
        assert!(said.contains("<remote-connection-failed") && said.contains(why), "{why}: {said}");
    }
    running.stopped();
}

/// A TLS 1.0 client's first message: no version in common.
const OLD_HELLO: &[u8] = b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x01\
    \x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\
    \x00\x00\x04\x00\x2f\x00\x35\x01\x00";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_said_to_the_port_instead_of_xmpp_ends_there() {
    for tls in ["off", "require", "direct"] {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().to_str().unwrap();
        let mut running = Running::start(&upstream, &["--no-reload", "--client-tls", tls, "--data-dir", data]);
        let before = running.descriptors();
        let babble: [&[u8]; 8] = [
            b"GET / HTTP/1.1\r\nHost: example.org\r\nUser-Agent: curl/8\r\n\r\n",
            b"SSH-2.0-OpenSSH_9.2\r\n",
            OLD_HELLO,
            b"\x16\x03\x01\xff\xff\x01\x00\xff\xff\xff",
            b"\x16garbage garbage garbage garbage",
            b"\x00\x00\x00\x00\x00\x00",
            b"<?xml version='1.0'?><!DOCTYPE lolz [<!ENTITY lol 'lol'>]><stream:stream>",
            b"",
        ];
        for babble in babble {
            let mut tcp = TcpStream::connect(running.address).await.unwrap();
            tcp.write_all(babble).await.unwrap();
            tcp.shutdown().await.unwrap();
            let mut answer = Vec::new();
            let _ = soon(tcp.read_to_end(&mut answer)).await;
            let answer = String::from_utf8_lossy(&answer).into_owned();
            assert!(!answer.contains("HTTP") && answer.len() < 1000, "{answer}");
            if babble == OLD_HELLO && tls != "off" {
                // protocol_version, or handshake_failure: an alert in any case.
                assert!(answer.starts_with('\u{15}'), "an alert: {answer:?}");
            }
        }
        assert!(running.runs());
        running.has_descriptors(before);
        assert!(soon(async { timeout_accept(&upstream).await }).await, "nobody of them was worth a call to the server");
        let said = running.stopped();
        assert!(!said.contains("panicked"), "{said}");
    }
}

/// Whether nobody has called.
async fn timeout_accept(upstream: &TcpListener) -> bool {
    tokio::time::timeout(Duration::from_millis(100), upstream.accept()).await.is_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stops_holds_up_its_own_server_and_little_memory() {
    let most: usize = if std::env::var_os("IQTAP_LONG").is_some() { 1 << 30 } else { 192 << 20 };
    let mut house = House::start(&["--quiet"]).await;
    let (client, server) = raw_pair(&house).await;
    let message = format!("<message to='juliet@example.org' id='m'><body>{}</body></message>", "x".repeat(60_000));
    let count = most / message.len();
    let wire = message.clone();
    let floods = tokio::spawn(async move {
        let mut server = server;
        for _ in 0..count {
            server.write_all(wire.as_bytes()).await.unwrap();
        }
        server
    });
    // It reads nothing for a while, and then slowly, and all of it arrives in the end: memory is bounded throughout.
    sleep(Duration::from_secs(2)).await;
    assert!(!floods.is_finished(), "the server is stopped");
    house.bystanders.0.send(TALK).await;
    house.bystanders.1.expect(TALK).await;
    let (mut client, mut read, mut buffer) = (client, 0, vec![0; 256 * 1024]);
    let began = Instant::now();
    while read < count * message.len() {
        read += soon(client.read(&mut buffer)).await.unwrap();
        if began.elapsed() < Duration::from_secs(2) {
            sleep(Duration::from_millis(5)).await;
        }
    }
    assert_eq!(read, count * message.len());
    let peak = house.running.status("VmHWM");
    assert!(peak < 96 * 1024, "{peak} KiB at the most");
    drop((client, floods.await.unwrap()));
    house.stands().await;
    house.ended();
}
