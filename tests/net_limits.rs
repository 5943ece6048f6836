//! The limits of the shell, between real sockets: who is let in, how long anything may take, how much may wait. Each test would hang
//! or fail without its limit.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod net_support;

use iqtap::net::{News, SessionInfo, Setup, Sink};
use iqtap::policy::{ClientTls, ConnectionLimits, QueueLimits, Rate};
use iqtap::session::{Note, Tally};
use iqtap::xmpp::Timestamp;
use net_support::{HEADER, Lab, Peer, soon};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// No limit on anybody's connections but these.
fn connections(change: impl FnOnce(&mut ConnectionLimits)) -> impl FnOnce(&mut Setup, &Path) {
    move |setup, _| {
        setup.limits.connections = ConnectionLimits { loopback: true, ..ConnectionLimits::default() };
        change(&mut setup.limits.connections);
    }
}

/// A client that begins, and whether it is let in: what it hears otherwise.
async fn begin(lab: &Lab) -> Result<Peer, String> {
    let mut client = lab.client().await;
    client.send(HEADER).await;
    let mut first = [0; 1];
    // Who is let in hears nothing before the server has spoken.
    match tokio::time::timeout(Duration::from_millis(300), client.stream.read(&mut first)).await {
        Err(_) => Ok(client),
        Ok(_) => Err(String::from_utf8_lossy(&first).into_owned() + client.end().await.as_str()),
    }
}

#[tokio::test]
async fn connections_in_total() {
    let lab = Lab::start(connections(|limits| limits.total = 2)).await;
    let (first, _second) = (begin(&lab).await.unwrap(), begin(&lab).await.unwrap());
    let told = begin(&lab).await.err().unwrap();
    assert!(told.starts_with("<?xml version='1.0'?><stream:stream version='1.0'"), "{told}");
    assert!(told.contains("<resource-constraint") && told.ends_with("</stream:stream>"), "{told}");
    drop(first);
    // As soon as the server's leg is gone too there is room again.
    let mut again = begin(&lab).await;
    while again.is_err() {
        again = begin(&lab).await;
    }
    let summary = lab.stopped().await;
    assert!(summary.sessions == 3 && summary.refused >= 1, "{summary:?}");
}

#[tokio::test]
async fn connections_of_one_address() {
    let lab = Lab::start(connections(|limits| limits.per_address = 1)).await;
    let _first = begin(&lab).await.unwrap();
    let told = begin(&lab).await.err().unwrap();
    assert!(told.contains("<policy-violation") && told.contains("too many connections from this address"), "{told}");
    // Another address of this machine.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = Peer::new(socket.connect(lab.address).await.unwrap());
    other.send(HEADER).await;
    let mut servers = [lab.server().await, lab.server().await];
    for server in &mut servers {
        server.expect_header().await;
    }
}

#[tokio::test]
async fn new_connections_of_one_address() {
    let lab = Lab::start(connections(|limits| (limits.per_minute, limits.at_once) = (600, 3))).await;
    for _ in 0..3 {
        drop(begin(&lab).await.unwrap_or_else(|told| panic!("{told}")));
    }
    // One every tenth of a second: three came within the last, or one more.
    let mut refused = 0;
    for _ in 0..40 {
        let mut client = lab.client().await;
        client.send(HEADER).await;
        let told = tokio::time::timeout(Duration::from_millis(20), client.end()).await;
        refused += usize::from(told.is_ok_and(|told| told.contains("<policy-violation")));
    }
    assert!(refused > 10, "only {refused} of 40 were not let in");
    tokio::time::sleep(Duration::from_millis(400)).await;
    begin(&lab).await.unwrap_or_else(|told| panic!("{told}"));
}

#[tokio::test]
async fn by_default_this_machine_may_come_as_often_as_it_likes() {
    let lab = Lab::start(|setup, _| setup.limits.connections.per_minute = 1).await;
    for _ in 0..3 {
        begin(&lab).await.unwrap();
    }
}

#[tokio::test]
async fn a_flood_of_connections_is_turned_away_and_who_is_in_goes_on() {
    let (told, news) = mpsc::channel();
    let lab = Lab::start(|setup, directory| {
        connections(|limits| limits.total = 1)(setup, directory);
        setup.sinks = vec![Box::new(Ears { overs: None, news: Some(told) })];
    })
    .await;
    let (mut client, mut server) = lab.joined().await;
    let mut flood = Vec::new();
    for number in 0..300 {
        flood.push(lab.client().await); // most of them say nothing
        if number % 50 == 0 {
            client.send("<message id='m'/>").await;
            server.expect("<message id='m'/>").await;
        }
    }
    // Most are closed at once, some hear why; nobody is kept.
    let begun = Instant::now();
    for client in &mut flood {
        client.end().await;
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "took {:?}", begun.elapsed());
    let summary = lab.stopped().await;
    assert_eq!((summary.sessions, summary.refused), (1, 300));
    let told: Vec<News> = news.iter().collect();
    assert!(told.len() <= 6, "told {} times", told.len());
    let Some(News::Refused { total: 300, limit: "limits.connections.total", .. }) = told.last() else {
        panic!("{told:?}");
    };
}

/// Says when sessions are over and what is told of the process.
struct Ears {
    overs: Option<Sender<()>>,
    news: Option<Sender<News>>,
}

impl Sink for Ears {
    fn take(&mut self, _: &SessionInfo, _: Timestamp, note: &Note) {
        if let (Note::Over(_), Some(overs)) = (note, &self.overs) {
            let _ = overs.send(());
        }
    }
    fn news(&mut self, _: Timestamp, news: &News) {
        if let Some(told) = &self.news {
            let _ = told.send(news.clone());
        }
    }
    fn finish(&mut self, _: &Tally) {}
}

/// The next one, for so long.
async fn heard<T: Send + 'static>(receiver: Receiver<T>, time: Duration) -> (T, Receiver<T>) {
    let waiting = tokio::task::spawn_blocking(move || (receiver.recv_timeout(time), receiver));
    let (heard, receiver) = waiting.await.unwrap();
    (heard.unwrap(), receiver)
}

#[tokio::test]
async fn a_tls_handshake_has_its_time() {
    let lab = Lab::start(|setup, _| {
        setup.terms.route.client_tls = ClientTls::Direct;
        setup.limits.handshake_seconds = 1;
    })
    .await;
    let begun = Instant::now();
    let mut client = lab.client().await;
    client.send("\x16\x03\x01").await;
    assert_eq!(client.end().await, "");
    assert!(begun.elapsed() < Duration::from_secs(8), "took {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_stanza_that_comes_byte_by_byte_has_its_time() {
    let lab = Lab::start(|setup, _| setup.terms.route.stanza_seconds = 1).await;
    let (mut client, mut server) = lab.joined().await;
    client.send("<message><body>").await;
    let begun = Instant::now();
    let told = loop {
        if client.stream.write_all(b"x").await.is_err() || begun.elapsed() > Duration::from_secs(10) {
            break client.end().await;
        }
        let mut buffer = vec![0; 1000];
        if let Ok(Ok(count)) = tokio::time::timeout(Duration::from_millis(100), client.stream.read(&mut buffer)).await {
            break String::from_utf8_lossy(&buffer[..count]).into_owned();
        }
    };
    assert!(told.contains("<connection-timeout"), "{told}");
    assert!(begun.elapsed() < Duration::from_secs(5), "took {:?}", begun.elapsed());
    assert_eq!(server.end().await, "", "no goodbye is made up");
}

#[tokio::test]
async fn a_stanza_that_is_not_read_has_more_time() {
    let lab = Lab::start(|setup, _| {
        setup.terms.route.stanza_seconds = 1;
        setup.limits.queue = QueueLimits { bytes: 16 << 10, ..QueueLimits::default() };
    })
    .await;
    let (mut client, mut server) = lab.joined().await;
    // So much that the server's socket is full, and then half a stanza, which is the sockets' fault and not the client's.
    let message = format!("<message><body>{}</body></message>", "x".repeat(200_000));
    let flood = async {
        for _ in 0..100 {
            client.send(&message).await;
        }
        client
    };
    let read = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let mut received = 0;
        let mut buffer = vec![0; 1 << 20];
        while received < 100 * message.len() {
            let count = soon(server.stream.read(&mut buffer)).await.unwrap();
            assert!(count > 0, "cut after {received} bytes");
            received += count;
        }
    };
    let (mut client, ()) = tokio::join!(flood, read);
    client.send("<presence/>").await;
    server.expect("<presence/>").await;
}

#[tokio::test]
async fn a_silent_client_is_given_up_if_that_is_asked_for() {
    let lab = Lab::start(|setup, _| setup.terms.route.idle_seconds = 2).await;
    let (mut client, mut server) = lab.joined().await;
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        client.send(" ").await;
    }
    server.send("<message id='alive'/>").await;
    client.expect("<message id='alive'/>").await;
    let told = client.end().await;
    assert!(told.contains("<connection-timeout") && told.contains("nothing was heard for 2 s"), "{told}");
    assert_eq!(server.end().await.trim(), "");
}

#[tokio::test]
async fn what_comes_too_fast_is_read_later_and_none_of_it_is_lost() {
    let lab = Lab::start(|setup, _| {
        setup.terms.route.rates[0] = Rate { stanzas: 100, bytes: 0, burst_seconds: 1 };
        setup.terms.route.rates[1] = Rate { stanzas: 0, bytes: 1_000_000, burst_seconds: 1 };
    })
    .await;
    let (mut client, mut server) = lab.joined().await;
    let begun = Instant::now();
    let messages: String = (0..300).map(|number| format!("<message id='m{number}'/>")).collect();
    client.send(&messages).await;
    // The other direction does not wait.
    server.send("<message id='back'/>").await;
    client.expect("<message id='back'/>").await;
    assert!(begun.elapsed() < Duration::from_millis(1500), "{:?}", begun.elapsed());
    let received = server.expect("<message id='m259'/>").await;
    assert!(begun.elapsed() > Duration::from_millis(1300), "260 at 100 a second took {:?}", begun.elapsed());
    // Of what was read already nothing is lost either when the client leaves.
    drop(client);
    let received = received + server.end().await.as_str();
    assert!(received == messages, "{} bytes of {}", received.len(), messages.len());

    let (mut client, mut server) = lab.joined().await;
    let message = format!("<message><body>{}</body></message>", "x".repeat(100_000));
    let begun = Instant::now();
    let sending = async {
        for _ in 0..30 {
            server.send(&message).await;
        }
        server.send("<message id='last'/>").await;
    };
    let ((), received) = tokio::join!(sending, client.expect("<message id='last'/>"));
    assert_eq!(received.len(), 30 * message.len() + "<message id='last'/>".len());
    assert!(begun.elapsed() > Duration::from_millis(1500), "3 MB at 1 MB a second took {:?}", begun.elapsed());
}

/// Sends until nothing is taken for a while; gives how much was.
async fn flood(peer: &mut Peer, text: &str, most: usize) -> usize {
    let mut sent = 0;
    while sent < most {
        let rest = &text.as_bytes()[sent % text.len()..];
        match tokio::time::timeout(Duration::from_millis(500), peer.stream.write(rest)).await {
            Ok(Ok(count)) => sent += count,
            Ok(Err(_)) | Err(_) => break,
        }
    }
    sent
}

/// A client that takes little at a time, logged in.
async fn deaf_client(lab: &Lab) -> (Peer, Peer) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut client = Peer::new(socket.connect(lab.address).await.unwrap());
    let login = async {
        let mut server = lab.server().await;
        server.serve_login().await;
        server
    };
    let ((), server) = tokio::join!(client.log_in(), login);
    (client, server)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stops_for_good_is_cut() {
    let (over, overs) = mpsc::channel();
    let lab = Lab::start(|setup, _| {
        setup.limits.queue = QueueLimits { seconds: 1, ..QueueLimits::default() };
        setup.sinks = vec![Box::new(Ears { overs: Some(over), news: None })];
    })
    .await;
    let (client, mut server) = deaf_client(&lab).await;
    let text = format!("<message><body>{}</body></message>", "x".repeat(16_000)).repeat(64);
    let begun = Instant::now();
    let sent = flood(&mut server, &text, 1 << 30).await;
    assert!(sent < 32 << 20, "{sent} bytes were taken though nobody reads them");
    heard(overs, Duration::from_secs(10)).await;
    assert!(begun.elapsed() < Duration::from_secs(10), "took {:?}", begun.elapsed());
    server.end().await;
    drop(client);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_lets_too_much_wait_that_is_made_here_is_cut() {
    let (over, overs) = mpsc::channel();
    let lab = Lab::start(|setup, _| {
        setup.limits.queue = QueueLimits { most_bytes: 256 << 10, ..QueueLimits::default() };
        setup.sinks = vec![Box::new(Ears { overs: Some(over), news: None })];
        setup.policy.rules = iqtap::rules::Modes::all(iqtap::rules::Mode::Enforce);
    })
    .await;
    let (mut client, _server) = deaf_client(&lab).await;
    // Each is bounced by us.
    let bad = "<iq type='get' id='q'/>".repeat(1000);
    flood(&mut client, &bad, 64 << 20).await;
    heard(overs, Duration::from_secs(20)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_memory_is_full_nobody_is_let_in_and_who_holds_most_is_cut() {
    let (over, overs) = mpsc::channel();
    let (told, news) = mpsc::channel();
    let lab = Lab::start(|setup, _| {
        setup.limits.memory = 1 << 20;
        setup.limits.queue = QueueLimits { bytes: 4 << 20, own_bytes: 8 << 20, ..QueueLimits::default() };
        setup.sinks = vec![Box::new(Ears { overs: Some(over), news: Some(told) })];
    })
    .await;
    let (mut quick, mut other) = lab.joined().await;
    let (client, mut server) = deaf_client(&lab).await;
    let text = format!("<message><body>{}</body></message>", "x".repeat(16_000)).repeat(64);
    let flooding = tokio::spawn(async move {
        let sent = flood(&mut server, &text, 1 << 30).await;
        server.end().await;
        sent
    });
    let (first, news) = heard(news, Duration::from_secs(20)).await;
    assert!(matches!(first, News::MemoryFull { most: 1_048_576, .. }), "{first:?}");
    // Now, and until it is cut, nobody else is let in; who is in and holds little goes on.
    let told = begin(&lab).await.err();
    quick.send("<iq type='get' id='p' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>").await;
    other.expect("</iq>").await;
    let (next, news) = heard(news, Duration::from_secs(10)).await;
    let (fine, refused) = match next {
        News::Refused { limit: "limits.memory", count: 1, .. } => (heard(news, Duration::from_secs(10)).await.0, true),
        fine => (fine, false),
    };
    assert!(matches!(fine, News::MemoryFine { held } if held < 1 << 20), "{fine:?}");
    assert!(!refused || told.as_ref().is_some_and(|told| told.contains("<resource-constraint")), "{told:?}");
    heard(overs, Duration::from_secs(10)).await;
    flooding.await.unwrap();
    drop(client);
    begin(&lab).await.unwrap();
    quick.send("<presence/>").await;
    other.expect("<presence/>").await;
}

#[tokio::test]
async fn who_is_not_let_in_hears_why_only_in_a_language_it_speaks() {
    let lab = Lab::start(|setup, directory| {
        connections(|limits| limits.total = 1)(setup, directory);
        setup.terms.route.client_tls = ClientTls::Require;
    })
    .await;
    let _first = lab.client().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut direct = lab.client().await;
    direct.send("\x16\x03\x01\x00").await;
    assert_eq!(direct.end().await, "");
    let mut client = lab.client().await;
    client.send(HEADER).await;
    assert!(client.end().await.contains("<resource-constraint"));
    // One that has sent nothing is not waited for.
    let begun = Instant::now();
    let mut silent = TcpStream::connect(lab.address).await.unwrap();
    assert_eq!(silent.read(&mut [0]).await.unwrap_or(0), 0);
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn all_accounts_together_keep_no_more_than_the_store_may_hold() {
    let lab = Lab::start(|setup, _| {
        setup.limits.store_bytes = 4000;
        setup.policy.answers.set("jabber:iq:private", iqtap::answer::Mode::Local).unwrap();
    })
    .await;
    let (mut client, _server) = lab.joined().await;
    for (number, fits) in [(1, true), (2, false)] {
        let note = format!("<note xmlns='urn:note:{number}'>{}</note>", "x".repeat(2500));
        client
            .send(&format!("<iq type='set' id='p{number}'><query xmlns='jabber:iq:private'>{note}</query></iq>"))
            .await;
        let said = client.expect(if fits { "/>" } else { "</iq>" }).await;
        assert_eq!(said.contains("type='result'"), fits, "{said}");
        assert!(
            fits || said.contains("<resource-constraint") && said.contains("there is no room to keep more"),
            "{said}"
        );
    }
}
