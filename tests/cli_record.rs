//! Recording with the real binary: where it goes, what stands in it, and what happens when it cannot be written.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod net_support;
mod secrets;
mod tape_support;

use net_support::running::Running;
use net_support::{HEADER, Peer, joined, soon};
use secrets::{ROWS, SECRET};
use std::fs::{self, File};
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tape_support::{Tape, tshark_likes};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

/// The binary.
fn iqtap() -> Command {
    Command::new(env!("CARGO_BIN_EXE_iqtap"))
}

/// Somewhere to call, and a directory.
async fn lab() -> (TcpListener, tempfile::TempDir) {
    (TcpListener::bind("127.0.0.1:0").await.unwrap(), tempfile::tempdir().unwrap())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn pipe(directory: &Path) -> PathBuf {
    let path = directory.join("pipe");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

/// Says something and hears it behind the proxy.
async fn talk(client: &mut Peer, server: &mut Peer, id: &str) {
    client.send(&format!("<message id='{id}'/>")).await;
    server.expect(&format!("id='{id}'")).await;
}

async fn goodbye(client: &mut Peer, server: &mut Peer) {
    client.send("</stream:stream>").await;
    server.expect("</stream:stream>").await;
    server.send("</stream:stream>").await;
    client.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn standard_output_is_the_captures_alone() {
    let (upstream, directory) = lab().await;
    let mut running = Running::printing(iqtap(), &upstream, &["--record", "-", "--rules", "enforce"], Stdio::piped());
    let mut stdout = running.child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        stdout.read_to_end(&mut all).map(|_| all)
    });
    let (mut client, mut server) = joined(running.address, &upstream).await;
    client.send("<iq type='get' id='bad'/>").await;
    client.expect("<bad-request").await;
    goodbye(&mut client, &mut server).await;
    let said = running.stopped();
    for words in ["record     standard output", "bound to juliet@example.org/balcony", "rejected bad-request by rule 5"]
    {
        assert!(said.contains(words), "what people read goes to stderr: {words:?} is not in {said}");
    }
    let path = directory.path().join("piped.pcapng");
    fs::write(&path, reader.join().unwrap().unwrap()).unwrap();
    let tape = Tape::read(&path);
    assert!(tape.section[1].starts_with("policy 1 sha256:"), "{:?}", tape.section);
    let bad = tape.with("id='bad'");
    assert!(bad.says("client->iqtap rejected bad-request by rule5; rule5 violation: "), "{bad:?}");
    tshark_likes(&path);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_along_sees_each_stanza_at_once_and_may_go() {
    let (upstream, directory) = lab().await;
    let path = pipe(directory.path());
    let opens = path.clone();
    let reader = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(1500));
        File::open(opens).unwrap()
    });
    let running = Running::printing(iqtap(), &upstream, &["--record", text(&path)], Stdio::null());
    running.says("waiting for somebody to read this named pipe");
    let mut reader = reader.join().unwrap();
    let (mut client, mut server) = joined(running.address, &upstream).await;
    let (mut all, mut buffer, mut waits) = (Vec::new(), [0; 4096], Vec::new());
    for i in 0..5 {
        talk(&mut client, &mut server, &format!("seen{i}")).await;
        let begun = Instant::now();
        while !String::from_utf8_lossy(&all).contains(&format!("<message id='seen{i}'/>")) {
            let count = reader.read(&mut buffer).unwrap();
            all.extend_from_slice(&buffer[..count]);
        }
        waits.push(begun.elapsed());
    }
    // A file would get each of them a second after the one before.
    assert!(waits.iter().min() < Some(&Duration::from_millis(500)), "{waits:?}");
    drop(reader);
    for i in 0..20 {
        talk(&mut client, &mut server, &format!("later{i}")).await;
        sleep(Duration::from_millis(20)).await;
    }
    goodbye(&mut client, &mut server).await;
    let said = running.stopped();
    assert_eq!(said.matches("recording stops here").count(), 1, "{said}");
    assert!(said.contains("the sessions go on; nobody reads it any more"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_ends_everything_in_order_if_that_was_asked_for() {
    let (upstream, directory) = lab().await;
    let path = pipe(directory.path());
    let file = directory.path().join("iqtap.toml");
    fs::write(&file, "record = 'pipe'\nrecord_failure = 'stop'\n").unwrap();
    let opens = path.clone();
    let reader = std::thread::spawn(move || File::open(opens).unwrap());
    let running = Running::printing(iqtap(), &upstream, &["--config", text(&file)], Stdio::null());
    let (mut client, mut server) = joined(running.address, &upstream).await;
    drop(reader.join().unwrap());
    client.send("<message id='unseen'/>").await;
    assert!(client.end().await.contains("<system-shutdown"), "the client is told");
    assert!(server.end().await.ends_with("</stream:stream>"), "and the server");
    let (code, said) = running.ended();
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("recording stops here, everything ends"), "{said}");
    assert!(said.contains("iqtap: stopped, because what is seen cannot be recorded"), "{said}");
}

/// One whose files may have so many bytes (`ulimit -f` counts in 512): a disk that is full by then.
fn limited(upstream: &TcpListener, blocks: u32, more: &[&str]) -> Running {
    let mut command = Command::new("sh");
    let script = format!("ulimit -f {blocks} && exec \"$@\"");
    command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_iqtap")]);
    Running::printing(command, upstream, more, Stdio::null())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_said_once_and_what_was_written_is_whole() {
    for failure in ["continue", "stop"] {
        let (upstream, directory) = lab().await;
        let path = directory.path().join("s.pcapng");
        let running = limited(&upstream, 200, &["--record", text(&path), "--record-failure", failure]);
        let (mut client, mut server) = joined(running.address, &upstream).await;
        let big = format!("<message id='big'><body>{}</body></message>", "x".repeat(100_000));
        client.send(&(big + "<message id='behind'/>")).await;
        let (code, said) = if failure == "stop" {
            assert!(client.end().await.contains("<system-shutdown"));
            running.ended()
        } else {
            server.expect("<message id='behind'/>").await;
            for i in 0..10 {
                talk(&mut client, &mut server, &format!("unrecorded{i}")).await;
                sleep(Duration::from_millis(150)).await;
            }
            running.says("recording stops here");
            goodbye(&mut client, &mut server).await;
            running.signal("-TERM");
            running.ended()
        };
        assert_eq!(code, Some(if failure == "stop" { 3 } else { 0 }), "{said}");
        assert_eq!(said.matches("recording stops here").count(), 1, "{said}");
        let tape = Tape::read(&path);
        assert!(fs::metadata(&path).unwrap().len() <= 200 * 1024);
        assert!(!tape.text(0).contains("unrecorded"));
        tshark_likes(&path);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_loses_no_more_than_the_last_second() {
    let (upstream, directory) = lab().await;
    let path = directory.path().join("s.pcapng");
    let running = Running::printing(iqtap(), &upstream, &["--record", text(&path)], Stdio::null());
    let (mut client, mut server) = joined(running.address, &upstream).await;
    let begun = Instant::now();
    let mut sent = Vec::new();
    while begun.elapsed() < Duration::from_secs(4) {
        let id = format!("m{}", sent.len());
        talk(&mut client, &mut server, &id).await;
        sent.push((id, Instant::now()));
        sleep(Duration::from_millis(20)).await;
    }
    let killed = Instant::now();
    running.signal("-KILL");
    assert_eq!(running.ended().0, None, "it was killed");
    let bytes = fs::read(&path).unwrap();
    let tape = Tape::of(&bytes); // what follows the whole blocks is less than one
    let recorded = tape.text(1);
    let older = |at: &Instant| killed.duration_since(*at) > Duration::from_millis(1_500); // and half a second for a busy machine
    let lost: Vec<_> = sent.iter().filter(|(id, at)| older(at) && !recorded.contains(&format!("id='{id}'"))).collect();
    assert!(lost.is_empty() && sent.iter().any(|(_, at)| older(at)), "{lost:?} of {}", sent.len());
    fs::write(&path, &bytes[..tape.whole]).unwrap();
    tshark_likes(&path);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_is_slow_misses_rather_than_holds_up_if_that_was_asked_for() {
    let (upstream, directory) = lab().await;
    let path = pipe(directory.path());
    let opens = path.clone();
    let reader = std::thread::spawn(move || File::open(opens).unwrap());
    let running = Running::printing(iqtap(), &upstream, &["--record", text(&path), "--record-lossy"], Stdio::null());
    let mut reader = reader.join().unwrap();
    let (mut client, mut server) = joined(running.address, &upstream).await;
    // More than the pipe and the lane hold, and nobody reads.
    client.send(&"<presence/>".repeat(40_000)).await;
    talk(&mut client, &mut server, "through").await;
    let reads = std::thread::spawn(move || {
        let mut all = Vec::new();
        reader.read_to_end(&mut all).map(|_| all)
    });
    // What is told now may still be missed, as long as the reader is behind.
    let begun = Instant::now();
    while !running.said().contains("recording cannot keep up") {
        assert!(begun.elapsed() < Duration::from_secs(40), "{}", running.said());
        client.send("<message id='after'/>").await;
        server.expect("<message id='after'/>").await;
        sleep(Duration::from_millis(50)).await;
    }
    talk(&mut client, &mut server, "last").await;
    goodbye(&mut client, &mut server).await;
    running.signal("-TERM");
    let (code, said) = running.ended();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.matches("recording cannot keep up").count(), 1, "{said}");
    let count: u64 = said
        .lines()
        .find_map(|line| line.split(" events were not recorded: the capture has holes").next().filter(|l| *l != line))
        .and_then(|line| line.rsplit(' ').next()?.parse().ok())
        .unwrap_or_else(|| panic!("no count: {said}"));
    assert!(count > 1_000, "{count}");

    let file = directory.path().join("read.pcapng");
    fs::write(&file, reads.join().unwrap().unwrap()).unwrap();
    let tape = Tape::read(&file);
    assert!(tape.section.iter().any(|c| c == "events may be missing"), "{:?}", tape.section);
    assert_eq!(tape.missed.iter().map(|(_, count)| count).sum::<u64>(), count);
    assert!(tape.packets.iter().any(|p| p.syn && p.says("events that were not recorded")));
    assert!(tape.text(0).contains("<message id='last'/>"), "what comes behind the hole is recorded");
    assert!(!tape.text(0).contains("r0m30"));
    tshark_likes(&file);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_with_a_filter_a_reload_and_no_secret_in_any_file() {
    let (upstream, directory) = lab().await;
    let script = directory.path().join("tag.rhai");
    fs::write(&script, "fn on_message(stanza) { tag(\"old\") }").unwrap();
    let file = directory.path().join("iqtap.toml");
    let keys = "record = 'captures/'\nrecord_name = '%H%M%S.pcapng'\nrecord_size = '30 kB'\nrecord_total = '10MB'\n\
                record_filter = 'stanza.kind != \"presence\" && stanza.id != \"hidden\"'\nscript = 'tag.rhai'\n";
    fs::write(&file, keys).unwrap();
    let running = Running::printing(iqtap(), &upstream, &["--config", text(&file), "--json"], Stdio::null());
    assert!(running.said().contains("captures/, a new file each 30 kB, 10 MB in all, only stanzas with stanza.kind"));
    let (mut client, mut server) = joined(running.address, &upstream).await;
    let private = "<iq type='set' id='p'><query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'>\
                   <conference jid='r@muc'><password>hunter2-Zq9</password></conference></storage></query></iq>";
    client.send(private).await;
    server.expect("</iq>").await;
    // A server that echoes it in an error.
    server
        .send(&private.replace("'set'", "'error'").replace(
            "</query>",
            "</query><error type='cancel'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>",
        ))
        .await;
    client.expect("</iq>").await;
    client.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await;
    server.expect("<enable").await;
    server.send("<enabled xmlns='urn:xmpp:sm:3' id='hunter2-Zq9' resume='true'/>").await;
    client.expect("<enabled").await;
    client.send("<presence id='unfit'/><message id='hidden'/>").await;
    server.expect("'hidden'/>").await;
    talk(&mut client, &mut server, "one").await;
    fs::write(&script, "fn on_message(stanza) { tag(\"new\") }").unwrap();
    running.signal("-HUP");
    // Until the new one is in force, and some more, so that files follow one another.
    for i in 0..150 {
        let body = "z".repeat(400);
        client.send(&format!("<message id='m{i}'><body>{body}</body></message>")).await;
        server.expect("</message>").await;
        sleep(Duration::from_millis(10)).await;
    }
    goodbye(&mut client, &mut server).await;
    let said = running.stopped();

    let captures = directory.path().join("captures");
    let mut files: Vec<PathBuf> = fs::read_dir(&captures).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "pcapng"));
    assert!(files.len() >= 4, "{files:?} {said}");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert!(mode(&captures) == 0o700 && files.iter().all(|path| mode(path) == 0o600), "its owner's alone");
    let (mut all, mut policies, mut tagged) = (String::new(), Vec::new(), Vec::new());
    for path in &files {
        let bytes = fs::read(path).unwrap();
        let raw = String::from_utf8_lossy(&bytes);
        for secret in ["hunter2-Zq9", "r0m30", "AGp1bGlldAByMG0zMA=="] {
            assert!(!raw.contains(secret), "{secret} in {}", path.display());
        }
        let tape = Tape::read(path);
        assert!(tape.section.iter().any(|c| c.starts_with("only stanzas with stanza.kind")), "{:?}", tape.section);
        policies.extend(tape.section.iter().filter(|c| c.starts_with("policy ")).cloned());
        for packet in &tape.packets {
            policies.extend(packet.comments.iter().filter(|c| c.starts_with("policy ")).cloned());
            tagged.extend(packet.comments.iter().filter_map(|c| c.split(", tagged ").nth(1)).map(str::to_owned));
        }
        all += &tape.text(0);
        tshark_likes(path);
    }
    assert!(!all.contains("unfit") && !all.contains("'hidden'"), "what does not fit");
    assert!(all.contains("id='one'") && all.contains("id='m149'") && all.contains("</stream:stream>"));
    assert!(all.contains("storage:bookmarks") && all.contains("[redacted 11 bytes]"), "the rest of it is there");
    policies.sort();
    policies.dedup();
    let [one, two] = &policies[..] else { panic!("{policies:?}") };
    assert!(one.starts_with("policy 1 sha256:") && two.starts_with("policy 2 sha256:"), "{policies:?}");
    assert_ne!(one.split_once(':'), two.split_once(':'), "another script is another source");
    assert!(tagged.iter().any(|t| t == "old") && tagged.iter().any(|t| t == "new"), "{tagged:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_becomes_of_a_stanza_that_fits_is_recorded_whatever_it_looks_like() {
    let (upstream, directory) = lab().await;
    let path = directory.path().join("s.pcapng");
    let more = [
        "--record",
        text(&path),
        "--record-filter",
        "stanza.id == \"fits\"",
        "--modify",
        "stanza.kind == \"message\"=stanza.id = \"other\"",
    ];
    let running = Running::printing(iqtap(), &upstream, &more, Stdio::null());
    let (mut client, mut server) = joined(running.address, &upstream).await;
    client.send("<message id='fits'/><message id='not'/><presence/>").await;
    server.expect("<presence/>").await;
    goodbye(&mut client, &mut server).await;
    running.stopped();
    let tape = Tape::read(&path);
    assert_eq!(tape.text(0).matches("<message").count(), 1, "{}", tape.text(0));
    assert_eq!(tape.text(1).matches("<message").count(), 1, "{}", tape.text(1));
    let came = tape.with("id='fits'").comments[0].split(' ').next().unwrap().to_owned();
    assert!(tape.with("id='other'").says(&format!("rewritten from {came} by --modify")));
    assert!(!tape.text(0).contains("<presence"));
    // All that is no stanza is there, so that the streams can be read.
    for words in ["<stream:stream", "<auth ", "<success ", "</stream:stream>"] {
        assert!(tape.text(0).contains(words) && tape.text(1).contains(words), "{words}");
    }
    assert!(tape.packets.iter().any(|p| p.says("the stream was closed")));
    tshark_likes(&path);
}

/// Both peers' parts of a login by SCRAM, and of one by a FAST token before it, which is not offered here and refused.
async fn log_in_by_scram(address: SocketAddr, upstream: &TcpListener) -> (Peer, Peer) {
    let mut early = Peer::new(TcpStream::connect(address).await.unwrap());
    early.send(HEADER).await;
    let mut behind = Peer::new(soon(upstream.accept()).await.unwrap().0);
    behind.expect_header().await;
    behind.send_features(MECHANISM).await;
    early.expect("</stream:features>").await;
    let fast = format!(
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='HT-SHA-256-NONE'><initial-response>{SECRET}fast\
         </initial-response><user-agent id='{SECRET}agent'/><fast xmlns='urn:xmpp:fast:0'/></authenticate>"
    );
    early.send(&fast).await;
    early.end().await;
    behind.end().await;

    let mut client = Peer::new(TcpStream::connect(address).await.unwrap());
    client.send(HEADER).await;
    let mut server = Peer::new(soon(upstream.accept()).await.unwrap().0);
    server.expect_header().await;
    server.send_features(MECHANISM).await;
    client.expect("</stream:features>").await;
    let sasl = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
    client.send(&format!("<auth {sasl} mechanism='SCRAM-SHA-1'>{SCRAM}MQ==</auth>")).await;
    server.expect("</auth>").await;
    server.send(&format!("<challenge {sasl}>{SCRAM}Mg==</challenge>")).await;
    client.expect("</challenge>").await;
    client.send(&format!("<response {sasl}>{SCRAM}Mw==</response>")).await;
    server.expect("</response>").await;
    server.send(&format!("<success {sasl}>{SCRAM}NA==</success>")).await;
    client.expect("</success>").await;
    client.send(HEADER).await;
    server.expect_header().await;
    server.send_features("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/><sm xmlns='urn:xmpp:sm:3'/>").await;
    client.expect("</stream:features>").await;
    client.send("<iq type='set' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>").await;
    server.expect("</iq>").await;
    let bound = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>juliet@example.org/balcony</jid></bind>";
    server.send(&format!("<iq type='result' id='b1'>{bound}</iq>")).await;
    client.expect("</iq>").await;
    (client, server)
}

const MECHANISM: &str =
    "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-1</mechanism></mechanisms>";
/// What SCRAM's messages begin with here: `n,,n=juliet,r=hunter2-Zq9`.
const SCRAM: &str = "biwsbj1qdWxpZXQscj1odW50ZXIyLVpxOQ";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_row_of_the_list_is_recorded_though_it_is_forwarded_bounced_and_echoed() {
    let (upstream, directory) = lab().await;
    let path = directory.path().join("s.pcapng");
    let more = [
        "--record",
        text(&path),
        "--rules",
        "enforce",
        "--modify",
        "stanza.kind == \"message\"=stanza.type = \"chat\"",
    ];
    let running = Running::printing(iqtap(), &upstream, &more, Stdio::null());
    let (mut client, mut server) = log_in_by_scram(running.address, &upstream).await;
    client.send("<enable xmlns='urn:xmpp:sm:3' resume='true'/>").await;
    server.expect("<enable").await;
    server.send(&format!("<enabled xmlns='urn:xmpp:sm:3' id='{SECRET}' resume='true'/>")).await;
    client.expect(SECRET).await;
    let stanza = |row: &str| ["<iq", "<message", "<presence"].iter().any(|kind| row.starts_with(kind));
    let mut rows = 0;
    for (at, (_, row)) in ROWS.iter().enumerate().filter(|(_, (_, row))| stanza(row)) {
        let row = row.replace("SECRET", SECRET).replace("id='1'", &format!("id='row{at}'"));
        client.send(&row).await; // some break rules as well: they are bounced, and some of them echoed
        server.send(&row).await;
        rows += 1;
    }
    assert!(rows > 20, "{rows}");
    talk(&mut client, &mut server, "last").await;
    server.send("<message id='back'/>").await;
    client.expect("id='back'").await;
    client.send("</stream:stream>").await;
    let forwarded = server.expect("</stream:stream>").await;
    server.send("</stream:stream>").await;
    client.end().await;
    running.stopped();
    assert!(!forwarded.is_empty());

    let bytes = fs::read(&path).unwrap();
    let tape = Tape::read(&path);
    for secret in [SECRET, SCRAM, "hunter2"] {
        assert!(!String::from_utf8_lossy(&bytes).contains(secret), "{secret}");
    }
    let markers = tape.packets.iter().filter(|p| p.payload.contains("[redacted ")).count();
    assert!(markers > rows * 2, "{markers}: each row came in, and most went on or were echoed");
    assert_eq!(tape.text(0).matches("urn:iqtap:redacted").count(), 0, "all of it could be read");
    assert!(tape.text(0).contains("mechanism='SCRAM-SHA-1'") && tape.text(0).contains("HT-SHA-256-NONE"));
    assert!(tape.packets.iter().any(|p| p.says("rewritten by --modify") && p.payload.contains("[redacted ")));
    tshark_likes(&path);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_secrets_are_said_loudly() {
    let (upstream, directory) = lab().await;
    let path = directory.path().join("s.pcapng");
    let running = Running::printing(iqtap(), &upstream, &["--record", text(&path), "--record-secrets"], Stdio::null());
    let (mut client, mut server) = joined(running.address, &upstream).await;
    goodbye(&mut client, &mut server).await;
    let said = running.stopped();
    assert!(said.contains("--record-secrets: passwords and login tokens are recorded"), "{said}");
    let tape = Tape::read(&path);
    assert!(tape.section.iter().any(|comment| comment == "secrets are recorded"), "{:?}", tape.section);
    assert!(tape.text(0).contains("AGp1bGlldAByMG0zMA=="));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_keys_are_written_only_where_that_is_said() {
    for (said, written) in [(&[][..], false), (&["--key-log"][..], true)] {
        let (upstream, directory) = lab().await;
        let path = directory.path().join("keys");
        let mut command = Command::new(env!("CARGO_BIN_EXE_iqtap"));
        command.env("SSLKEYLOGFILE", &path);
        let running = Running::printing(command, &upstream, said, Stdio::null());
        let said = running.stopped();
        assert_eq!(path.exists(), written, "{said}");
        assert_eq!(said.contains("--key-log: TLS keys are written"), written, "{said}");
    }
}

/// The command fails as usage, with one line that has these words.
#[track_caller]
fn refused(arguments: &[&str], words: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_iqtap"));
    command.args(arguments).env_remove("SSLKEYLOGFILE").env_remove("RUST_LOG").stdin(Stdio::null());
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{arguments:?} does not say {word:?}: {said}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_a_cure() {
    let directory = tempfile::tempdir().unwrap();
    let captures = directory.path().join("captures/");
    let run = ["run", "--upstream", "x:1", "--client-tls", "off"];
    let folder = ["--record", captures.to_str().unwrap()];
    let with = |more: &[&'static str]| -> Vec<&str> { [&run[..], &folder, more].concat() };
    refused(
        &[&run[..], &["--record", "s.pcapng", "--record-every", "1h"]].concat(),
        &["--record-every: is for a directory", "end its name with /"],
    );
    refused(&with(&["--record-name", "a/b"]), &["--record-name: `a/b`", "%Y-%m-%d_%H%M%S.pcapng"]);
    refused(&with(&["--record-size", "12 lightyears"]), &["is no number of bytes (such as 100MB"]);
    refused(&with(&["--record-size", "1kB"]), &["--record-size 1000: must be from 10000"]);
    refused(&with(&["--record-size", "1MB", "--record-total", "1MB"]), &["--record-total 1000000: ", "2000000 bytes"]);
    refused(&with(&["--record-filter", "stanz.id"]), &["--record-filter: 'stanz.id'", "column 1"]);
    refused(&with(&["--record-failure", "panic"]), &["continue, stop"]);
    refused(&[&run[..], &["--key-log"]].concat(), &["--key-log needs a file: name it, or set SSLKEYLOGFILE"]);
    refused(&[&run[..], &["--record", "/dev/full"]].concat(), &["cannot record: ", "--record"]);
    assert!(!captures.exists(), "nothing is made");

    let file = directory.path().join("iqtap.toml");
    let path = file.to_str().unwrap();
    for (keys, words) in [
        ("\nrecord_sizes = 1", ["iqtap.toml:2: ", "did you mean `record_size`?"]),
        ("record = 'x'\nrecord_total = '1GB'", ["iqtap.toml:2: record_total: ", "is for a directory"]),
        ("record = 'x/'\n\nrecord_name = '/etc/x'", ["iqtap.toml:3: record_name: ", "no path"]),
        ("record_size = '1MB'\nrecord_total = '1MB'", ["iqtap.toml:2: ", "room for two files"]),
        ("record_filter = 'stanz.id'", ["iqtap.toml:1: record_filter: ", "column 1"]),
        ("record_failure = 'panic'", ["iqtap.toml:1: ", "`continue` or `stop`"]),
        ("\nkey_log = 'no/such/keys'", ["iqtap.toml:2: key_log: ", "the folder it should be in does not exist"]),
        ("record_every = '1 fortnight'", ["iqtap.toml:1: ", "no span of time"]),
    ] {
        fs::write(&file, keys).unwrap();
        refused(&["check-config", path], &words);
    }
    let fine = "record = 'captures/'\nrecord_size = '1MiB'\nrecord_every = '1h'\nrecord_total = 100000000\n\
                record_lossy = true\nrecord_secrets = true\nrecord_failure = 'stop'\nkey_log = 'keys'\n";
    fs::write(&file, fine).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_iqtap")).args(["check-config", path]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let words = "a new file each 1048576 bytes or 3600 s, 100 MB in all, with holes rather than waiting, SECRETS INCLUDED, or stop";
    assert!(said.contains(words) && said.contains("TLS keys "), "{said}");
    assert!(!captures.exists() && !directory.path().join("keys").exists(), "nothing is made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipe_that_nobody_reads_does_not_hold_up_the_start_for_ever() {
    let (upstream, directory) = lab().await;
    let path = pipe(directory.path());
    let upstream = upstream.local_addr().unwrap().to_string();
    let begun = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_iqtap"));
    command.args(["run", "--upstream", &upstream, "--client-tls", "off", "--server-tls", "off"]);
    command.args(["--listen", "127.0.0.1:0", "--record", text(&path)]).env_remove("RUST_LOG");
    let output = soon(tokio::task::spawn_blocking(move || command.output().unwrap())).await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("waiting for somebody to read this named pipe"), "{said}");
    assert!(said.contains("nobody has read this named pipe for 30 s; start its reader, then iqtap"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(45), "took {:?}", begun.elapsed());
}
