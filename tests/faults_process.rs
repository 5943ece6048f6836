//! What may happen to the process: many connections, no descriptors, no disk, a clock that jumps, two of it, an end under load.
//!
//! `IQTAP_LONG=1` makes them as long as issue reports ask for: a minute of churn instead of seconds.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]
#![expect(clippy::print_stderr, reason = "a test that cannot run says why, and the long ones tell their figures")]

mod net_support;

use net_support::running::Running;
use net_support::{Command, HEADER, Peer, joined, soon};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

const TALK: &str = "<message to='romeo@example.org' id='m'><body>still here</body></message>";

fn is_long() -> bool {
    std::env::var_os("IQTAP_LONG").is_some()
}

async fn lab(before: &str, more: &[&str]) -> (TcpListener, Running) {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let more = [&["--no-reload"], more].concat();
    let running =
        if before.is_empty() { Running::start(&upstream, &more) } else { Running::after(before, &upstream, &more) };
    (upstream, running)
}

async fn talks((client, server): &mut (Peer, Peer)) {
    client.send(TALK).await;
    server.expect(TALK).await;
    server.send(TALK).await;
    client.expect(TALK).await;
}

/// Takes whoever calls and says nothing, for as long as it lives.
fn hospitable(upstream: TcpListener) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let mut all = Vec::new();
        while let Ok((tcp, _)) = upstream.accept().await {
            all.push(tcp);
        }
    })
}

fn fine(running: Running) {
    let said = running.stopped();
    assert!(!said.contains("panicked") && !said.contains("bug in iqtap"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_thousand_connections_at_once_are_served_and_forgotten() {
    const BURST: usize = 5_000;
    let room = rlimit::increase_nofile_limit(rlimit::INFINITY).unwrap();
    let burst = BURST.min(usize::try_from(room).unwrap_or(BURST).saturating_sub(200) / 2);
    let (upstream, running) = lab("", &["--quiet"]).await;
    let mut bystanders = joined(running.address, &upstream).await;
    let (address, before) = (running.address, running.descriptors());
    let serving = tokio::spawn(async move {
        let mut streams = JoinSet::new();
        for _ in 0..burst {
            let mut server = Peer::new(soon(upstream.accept()).await.unwrap().0);
            streams.spawn(async move {
                server.expect_header().await;
                server.send_features(net_support::MECHANISMS).await;
                server
            });
        }
        streams.join_all().await
    });
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..burst {
        clients.spawn(async move {
            let mut client = Peer::new(TcpStream::connect(address).await.unwrap());
            client.send(HEADER).await;
            client.expect("</stream:features>").await;
            client
        });
    }
    let clients = clients.join_all().await;
    let took = began.elapsed();
    talks(&mut bystanders).await;
    let full = running.status("VmRSS");
    drop((clients, serving.await.unwrap()));
    running.has_descriptors(before);
    talks(&mut bystanders).await;
    eprintln!("{burst} sessions in {took:?}, {full} KiB with all of them, {} KiB behind them", running.status("VmRSS"));
    assert!(full < 400 * 1024, "{full} KiB");
    fine(running);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn churn_leaks_neither_memory_nor_descriptors() {
    let seconds = if is_long() { 60 } else { 6 };
    let (upstream, running) = lab("", &["--quiet"]).await;
    let mut bystanders = joined(running.address, &upstream).await;
    let (address, before) = (running.address, running.descriptors());
    let serving = hospitable(upstream);
    let (mut resident, mut count) = (0, 0);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(seconds) {
        // 200 a second, of all kinds: who says nothing, who says a header, who goes in the middle of one, who resets.
        let mut tcp = TcpStream::connect(address).await.unwrap();
        count += 1;
        let said = HEADER.as_bytes();
        match count % 4 {
            0 => {}
            1 => tcp.write_all(&said[..said.len() / 2]).await.unwrap(),
            2 => tcp.write_all(said).await.unwrap(),
            _ => {
                tcp.write_all(said).await.unwrap();
                socket2::SockRef::from(&tcp).set_linger(Some(Duration::ZERO)).unwrap();
            }
        }
        drop(tcp);
        let due = began + Duration::from_millis(5) * count;
        sleep(due.saturating_duration_since(Instant::now())).await;
        // What is allocated once and kept has been by then.
        if resident == 0 && began.elapsed() > Duration::from_secs(seconds / 2) {
            resident = running.status("VmRSS");
        }
    }
    talks(&mut bystanders).await;
    serving.abort();
    running.has_descriptors(before);
    let behind = running.status("VmRSS");
    eprintln!("{count} connections in {seconds} s: {resident} KiB in the middle, {behind} KiB at the end");
    assert!(behind < resident + 2 * 1024, "{resident} KiB, then {behind} KiB");
    fine(running);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_descriptors_who_is_there_stays_and_who_comes_later_gets_in() {
    let (upstream, running) = lab("ulimit -n 48", &[]).await;
    let mut bystanders = joined(running.address, &upstream).await;
    let (address, serving) = (running.address, hospitable(upstream));
    let mut crowd = Vec::new();
    for _ in 0..80 {
        let mut tcp = TcpStream::connect(address).await.unwrap();
        let _ = tcp.write_all(HEADER.as_bytes()).await;
        crowd.push(tcp);
    }
    running.says("could not be accepted");
    talks(&mut bystanders).await;
    drop(crowd);
    // One more, as soon as there is room: its stream is opened, which takes a call to the server as well.
    let mut next = TcpStream::connect(address).await.unwrap();
    next.write_all(b"<nonsense/>").await.unwrap();
    let mut answer = Vec::new();
    let _ = soon(next.read_to_end(&mut answer)).await;
    assert!(String::from_utf8_lossy(&answer).contains("<stream:error>"), "{answer:?}");
    talks(&mut bystanders).await;
    serving.abort();
    fine(running);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_under_the_store_is_an_error_and_no_end() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("s.redb");
    let (upstream, running) =
        lab("ulimit -f 12000", &["--answer", "private=local", "--store", store.to_str().unwrap()]).await;
    let mut pair = joined(running.address, &upstream).await;
    let text = "x".repeat(60_000);
    let set = |number: usize| {
        let note = format!("<note xmlns='urn:example:n{number}'>{text}</note>");
        format!("<iq type='set' id='s{number}'><query xmlns='jabber:iq:private'>{note}</query></iq>")
    };
    let mut kept = 0;
    let refused = loop {
        pair.0.send(&set(kept)).await;
        let answer = pair.0.expect(&format!("id='s{kept}'")).await + pair.0.expect(">").await.as_str();
        if answer.contains("type='error'") {
            break pair.0.expect("</iq>").await;
        }
        kept += 1;
        assert!(kept < 500, "the disk is never full");
    };
    assert!(kept > 0, "something was kept before: {refused}");
    assert!(refused.contains("<internal-server-error") || refused.contains("<resource-constraint"), "{refused}");
    running.says("the store fails");
    talks(&mut pair).await;
    // What was acknowledged is there.
    pair.0
        .send("<iq type='get' id='g'><query xmlns='jabber:iq:private'><note xmlns='urn:example:n0'/></query></iq>")
        .await;
    let answer = pair.0.expect("</iq>").await;
    assert!(answer.contains(&text) || answer.contains("type='error'"), "{}", &answer[..200]);
    fine(running);
    let file = iqtap::store::FileStore::open_existing(&store);
    assert!(file.is_ok(), "{:?}", file.err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_them_on_one_directory_do_not_share_a_store() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_str().unwrap();
    let more = ["--data-dir", data, "--answer", "private=local"];
    let (upstream, first) = lab("", &more).await;
    let mut pair = joined(first.address, &upstream).await;
    let second = Command::new(env!("CARGO_BIN_EXE_iqtap"))
        .args([
            "run",
            "--listen",
            "127.0.0.1:0",
            "--upstream",
            "127.0.0.1:9",
            "--client-tls",
            "off",
            "--server-tls",
            "off",
        ])
        .args(more)
        .output()
        .unwrap();
    let said = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(2), "{said}");
    assert!(said.contains("iqtap.redb") && said.contains("another"), "{said}");
    talks(&mut pair).await;
    fine(first);
    // With nothing to keep they only share the authority.
    let more = ["--data-dir", data, "--client-tls", "require"];
    let [(_, one), (_, other)] = [lab("", &more).await, lab("", &more).await];
    fine(one);
    fine(other);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_takes_nothing_out_of_the_middle() {
    for round in 0..3 {
        let (upstream, running) = lab("", &["--quiet"]).await;
        let (mut client, mut server) = joined(running.address, &upstream).await;
        let flood = tokio::spawn(async move {
            for number in 0_u64.. {
                let text = format!("<message to='romeo@example.org' id='n{number}'><body>{number}</body></message>");
                if client.stream.write_all(text.as_bytes()).await.is_err() {
                    break;
                }
            }
            client.end().await
        });
        server.expect("id='n500'").await;
        sleep(Duration::from_millis(20 * round)).await;
        running.signal("-TERM");
        let all = server.end().await;
        assert!(all.ends_with("</stream:stream>"), "the stream is closed: {}", &all[all.len() - 80..]);
        // From 501 on, each whole, each once, none missing.
        for (expected, part) in (500..).zip(all.split("<body>").skip(1)) {
            let (number, rest) = part.split_once('<').unwrap();
            assert_eq!(number.parse(), Ok(expected), "{rest}");
            assert!(rest.starts_with("/body></message>"), "{rest}");
        }
        let _ = soon(flood).await;
        let (code, said) = running.ended();
        assert_eq!(code, Some(0), "{said}");
    }
}

/// Debian's libfaketime gives a process another clock. CI installs it.
fn faketime() -> Option<&'static str> {
    let library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
    let found = Path::new(library).exists();
    assert!(found || std::env::var_os("CI").is_none_or(|ci| ci != "true"), "libfaketime is not installed");
    if !found {
        eprintln!("skipped: libfaketime is not installed");
    }
    found.then_some(library)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_ends_no_session_and_answers_for_nobody() {
    let Some(library) = faketime() else { return };
    let directory = tempfile::tempdir().unwrap();
    let (offset, capture) = (directory.path().join("offset"), directory.path().join("s.pcapng"));
    // Far from the real time at the start: so the capture shows that the process had the other clock.
    std::fs::write(&offset, "+1000d").unwrap();
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_iqtap"));
    command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", &offset);
    command.env("FAKETIME_NO_CACHE", "1").env("DONT_FAKE_MONOTONIC", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let more = ["--no-reload", "--rules", "enforce", "--iq-timeout", "20s", "--record", capture.to_str().unwrap()];
    let running = Running::by(command, &upstream, &more);
    let (mut client, mut server) = joined(running.address, &upstream).await;
    for (number, jump) in ["+1001d", "+999d", "-1000d", "+1400d"].into_iter().enumerate() {
        let request = format!("<iq type='get' id='ask-{number}' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>");
        client.send(&request).await;
        server.expect("</iq>").await;
        std::fs::write(&offset, jump).unwrap();
        sleep(Duration::from_millis(300)).await; // for what must not happen
        client.send(TALK).await;
        server.expect(TALK).await;
        server.send(&format!("<iq type='result' id='ask-{number}' from='example.org'/>")).await;
        let answer = client.expect("/>").await;
        assert!(answer.contains("type='result'"), "{jump}: {answer}");
        // Who comes now has the whole time for a login.
        let (mut next, mut served) = joined(running.address, &upstream).await;
        next.send("</stream:stream>").await;
        served.expect("</stream:stream>").await;
        served.send("</stream:stream>").await;
        next.end().await;
    }
    fine(running);
    let bytes = std::fs::File::open(&capture).unwrap();
    let reader = iqtap::capture::read::Reader::new(bytes, &iqtap::capture::read::Options::default()).unwrap();
    let mut last = 0;
    for event in reader {
        if let iqtap::capture::read::Event::Item(item) = event {
            assert!(last == 0 || (last..last + 60_000_000).contains(&item.at.0), "time jumps in the capture");
            last = item.at.0;
        }
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(999 * 86_400);
    assert!(u128::from(last) > now.as_micros(), "{last}");
}
