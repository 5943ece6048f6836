//! The real binary: help, exit codes, errors on one line, a life from the greeting to SIGTERM.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod net_support;

use iqtap::store::FileStore;
use net_support::{Peer, joined};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

fn iqtap(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_iqtap"));
    command.args(arguments).env_remove("RUST_LOG").env_remove("IQTAP_DATA_DIR").env("NO_COLOR", "1");
    command
}

fn output(arguments: &[&str]) -> Output {
    iqtap(arguments).output().unwrap()
}

/// The command fails as usage, with one line that has these words.
#[track_caller]
fn refused(arguments: &[&str], words: &[&str]) {
    let output = output(arguments);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{arguments:?} does not say {word:?}: {said}");
    }
    if said.starts_with("iqtap: ") {
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    }
}

#[test]
fn every_command_has_help_with_an_example() {
    for command in
        ["run", "demo", "diff", "redact", "replay", "ca", "rules", "check-config", "script", "store", "completions"]
    {
        let output = output(&[command, "--help"]);
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success());
        assert!(said.contains("Example") && said.contains(&format!("iqtap {command}")), "{said}");
    }
}

#[test]
fn what_cannot_be_is_refused_with_a_cure() {
    refused(&["run"], &["--upstream HOST:PORT"]);
    refused(&["run", "--upstream", "nonsense"], &["HOST:PORT"]);
    refused(&["run", "--upstream", "localhost:5222", "--listen", "0.0.0.0:0"], &["--allow-public"]);
    refused(&["run", "--upstream", "x:1", "--server-ca", "a", "--insecure-server"], &["cannot be used with"]);
    refused(&["run", "--upstream", "x:1", "--cert", "a"], &["--key"]);
    refused(&["run", "--config", "no/such.toml"], &["no/such.toml"]);
    refused(&["run", "--upstream", "x:1", "--script", "no/such.rhai"], &["no/such.rhai"]);
    refused(&["run", "--upstream", "x:1", "--client-tls", "off", "--record", "no/such/dir/x"], &["--record"]);
    refused(&["run", "--upstream", "x:1", "--shadow", "no/such.rhai"], &["no/such.rhai"]);
    refused(
        &["run", "--upstream", "x:1", "--drop", "stanza.kind == =="],
        &["--drop: 'stanza.kind == =='", "column 16"],
    );
    refused(&["run", "--upstream", "x:1", "--reject", "true=not-alowed"], &["--reject: ", "not-alowed", "not-allowed"]);
    refused(&["run", "--upstream", "x:1", "--modify", "true"], &["--modify: ", "EXPR=statement"]);
    refused(&["run", "--upstream", "x:1", "--filter", "stanz.id"], &["--filter: 'stanz.id'", "column 1", "stanz"]);
    refused(&["run", "--upstream", "x:1", "--answer", "pnig=local"], &["--answer", "`pnig` is no namespace"]);
    refused(&["run", "--upstream", "x:1", "--answer", "mam=local"], &["--answer", "what can: urn:xmpp:ping"]);
    refused(&["run", "--upstream", "x:1", "--worker-threads", "0"], &["--worker-threads", "from 1 to 1024"]);
    refused(&["rules", "8"], &["from 1 to 7"]);
    refused(&["nonsense"], &["unrecognized subcommand"]);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("not-a-directory");
    std::fs::write(&file, "").unwrap();
    refused(&["ca", "--data-dir", file.to_str().unwrap()], &["--data-dir"]);
    let no_store = ["run", "--upstream", "x:1", "--client-tls", "off", "--listen", "127.0.0.1:0"];
    refused(&[&no_store[..], &["--store", file.to_str().unwrap()]].concat(), &["no store of iqtap", "--store"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let arguments = ["run", "--client-tls", "off", "--server-tls", "off", "--upstream", "x:1", "--listen", &listen];
    refused(&arguments, &[&listen, "--listen"]);
}

#[test]
fn a_configuration_is_explained_or_refused_with_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("iqtap.toml");
    let path = file.to_str().unwrap();
    std::fs::write(&file, "upstream = 'xmpp.example.org:5222'\nrules = 'enforce'\nclient_tls = 'offer'\n").unwrap();
    let said = String::from_utf8(output(&["check-config", path]).stdout).unwrap();
    for words in ["upstream        xmpp.example.org:5222", "rules           enforce", "client TLS      offer"] {
        assert!(said.contains(words), "{said}");
    }
    let answers = "[answer]\nping = 'local'\nmam = 'deny'\nmark = true\n[answer.static]\n'urn:x y' = 'y.xml'\n";
    std::fs::write(&file, answers).unwrap();
    refused(&["check-config", path], &["iqtap.toml:6: answer.static: ", "y.xml: cannot be read"]);
    std::fs::write(directory.path().join("y.xml"), "<y xmlns='urn:x'/>").unwrap();
    let said = String::from_utf8(output(&["check-config", path]).stdout).unwrap();
    let line = said.lines().find(|line| line.starts_with("answers ")).unwrap();
    let words = "answers         urn:xmpp:ping local, urn:xmpp:mam:2 deny:feature-not-implemented, urn:x y from ";
    assert!(line.starts_with(words) && line.ends_with("y.xml, marked in service discovery"), "{line}");
    assert!(!said.contains("\nstore"), "nothing of that is kept: {said}");
    std::fs::write(&file, "[answer]\nvcard = 'fallback'\n").unwrap();
    let said = String::from_utf8(output(&["check-config", path]).stdout).unwrap();
    assert!(said.contains("\nstore           iqtap.redb in the data directory\n"), "{said}");
    std::fs::write(&file, "\nrulez = 'enforce'\n").unwrap();
    refused(&["check-config", path], &["iqtap.toml:2: ", "did you mean `rules`"]);
    refused(&["run", "--config", path], &["iqtap.toml:2: "]);
}

#[test]
fn a_configuration_is_refused_for_files_that_run_would_refuse() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("iqtap.toml");
    let path = file.to_str().unwrap();
    let own = rcgen::generate_simple_self_signed(["example.org".to_owned()]).unwrap();
    std::fs::write(directory.path().join("good.crt"), own.cert.pem()).unwrap();
    std::fs::write(directory.path().join("good.key"), own.signing_key.serialize_pem()).unwrap();
    std::fs::write(directory.path().join("nonsense"), "nonsense").unwrap();
    for (text, words) in [
        ("\nserver_ca = 'no-such.crt'", ["iqtap.toml:2: server_ca: ", "no-such.crt"]),
        ("server_ca = 'nonsense'", ["iqtap.toml:1: server_ca: ", "no certificate in PEM form"]),
        ("cert = 'nonsense'\nkey = 'good.key'", ["iqtap.toml:1: cert: ", "no certificate"]),
        ("cert = 'good.crt'\nkey = 'nonsense'", ["iqtap.toml:2: key: ", "no private key"]),
        ("\ndata_dir = 'nonsense'", ["iqtap.toml:2: data_dir: ", "not a directory"]),
        ("\nrecord = 'no/such/folder/s.pcapng'", ["iqtap.toml:2: record: ", "folder"]),
        ("record = 'nonsense'", ["iqtap.toml:1: record: ", "is no pcapng capture"]),
        ("listen = '0.0.0.0:1'", ["iqtap.toml:1: ", "allow_public = true"]),
    ] {
        std::fs::write(&file, text).unwrap();
        refused(&["check-config", path], &words);
    }
    let fine = "cert = 'good.crt'\nkey = 'good.key'\nserver_ca = 'good.crt'\nrecord = 's.pcapng'\ndata_dir = 'data'";
    let unused = "client_tls = 'off'\nserver_tls = 'off'\nserver_ca = 'none'\ncert = 'none'\nkey = 'none'";
    for text in [fine, unused] {
        std::fs::write(&file, text).unwrap();
        let output = output(&["check-config", path]);
        assert!(output.status.success(), "{output:?}");
    }
    assert!(!directory.path().join("s.pcapng").exists() && !directory.path().join("data").exists(), "nothing is made");
}

#[test]
fn rules_ca_and_completions_say_something() {
    let text = |arguments: &[&str]| {
        let output = output(arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(text(&["rules"]).lines().filter(|line| line.starts_with("  ")).count() >= 7);
    assert!(text(&["rules", "5"]).contains("Broken by:"));
    assert!(text(&["completions", "bash"]).contains("--upstream"));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let shown = text(&["ca", "--data-dir", path]);
    assert!(["slixmpp", "profanity", "Gajim", "Dino", "Conversations"].iter().all(|who| shown.contains(who)));
    assert_eq!(text(&["ca", "--data-dir", path]), shown, "the same one again");
    assert!(std::path::Path::new(text(&["ca", "--path", "--data-dir", path]).trim_end()).is_file());
}

/// A running `iqtap run`, killed if the test fails.
struct Running(Child);

impl Running {
    /// Starts one in the clear and reads its greeting; gives where it listens and the greeting.
    fn start(upstream: SocketAddr, more: &[&str]) -> (Self, SocketAddr, String) {
        let upstream = upstream.to_string();
        let arguments = ["run", "--listen", "127.0.0.1:0", "--upstream", &upstream];
        let off = ["--client-tls", "off", "--server-tls", "off"];
        let arguments: Vec<&str> = [&arguments[..], &off, more].concat();
        let mut child = iqtap(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut greeting = String::new();
        while !greeting.contains("Ctrl-C") {
            assert_ne!(stderr.read_line(&mut greeting).unwrap(), 0, "it ended: {greeting}");
        }
        child.stderr = Some(stderr.into_inner());
        let address = greeting.lines().next().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
        (Self(child), address, greeting)
    }

    #[cfg(unix)]
    fn signal(&self, signal: &str) {
        let process = self.0.id().to_string();
        assert!(Command::new("kill").args([signal, process.as_str()]).status().unwrap().success());
    }

    /// Waits for its end; gives the exit code and what it printed.
    fn ended(mut self) -> (Option<i32>, String) {
        let mut printed = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
        (self.0.wait().unwrap().code(), printed)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_says_goodbye_finishes_the_capture_and_exits_0() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let capture = directory.path().join("s.pcapng");
    let store = directory.path().join("kept/s.redb");
    let file = directory.path().join("iqtap.toml");
    std::fs::write(&file, "[answer]\nping = 'deny'\ntime = 'local'\n").unwrap();
    let more = ["--rules", "enforce", "--record", capture.to_str().unwrap(), "--config", file.to_str().unwrap()];
    let more = [&more[..], &["--store", store.to_str().unwrap()]].concat();
    let more = [&more[..], &["--answer", "ping=fallback", "--answer", "last=local"]].concat();
    let (running, address, greeting) = Running::start(upstream.local_addr().unwrap(), &more);
    let answers = "answers    urn:xmpp:ping fallback, urn:xmpp:time local, jabber:iq:last local\n";
    for words in ["upstream", "clients: off", "enforce", "s.pcapng", "store      ", "kept/s.redb", "port", answers] {
        assert!(greeting.contains(words), "{greeting}");
    }
    let (mut client, mut server) = joined(address, &upstream).await;
    client.send("<iq type='get' id='bad'/>").await;
    client.expect("<bad-request").await;
    running.signal("-TERM");
    assert!(client.end().await.contains("<system-shutdown"));
    assert!(server.end().await.ends_with("</stream:stream>"));
    let (code, printed) = running.ended();
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("bad"), "the bounced iq is shown: {printed}");
    FileStore::open_existing(&store).unwrap();
    let recorded = std::fs::read(&capture).unwrap();
    assert_eq!(recorded.get(..4), Some(&[0x0a, 0x0d, 0x0d, 0x0a][..]), "a pcapng file");
    assert!(String::from_utf8_lossy(&recorded).contains("system-shutdown"), "complete to the last word");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_without_a_file_decide_in_their_order_and_a_filter_says_what_is_shown() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (file, shadow) = (directory.path().join("iqtap.toml"), directory.path().join("shadow.rhai"));
    // --drop takes the place of the file's drop; its reject stays.
    std::fs::write(&file, "drop = ['true']\nreject = ['stanza.ns == \"vcard-temp\"=forbidden']").unwrap();
    std::fs::write(&shadow, "fn on_message(stanza) { drop() }").unwrap();
    let more = [
        ["--config", file.to_str().unwrap()],
        ["--shadow", shadow.to_str().unwrap()],
        ["--modify", "stanza.kind == \"message\"=tag(\"chatty\"); stanza.type = \"chat\""],
        ["--drop", "stanza.type == \"subscribe\" || stanza.type == \"headline\""],
        ["--filter", "stanza.kind != \"presence\""],
    ];
    let more = more.concat();
    let (running, address, greeting) = Running::start(upstream.local_addr().unwrap(), &more);
    for words in ["drop       stanza.type ==", "modify     stanza.kind", "shadow     ", "filter     stanza.kind !="] {
        assert!(greeting.contains(words), "{greeting}");
    }
    let (mut client, mut server) = joined(address, &upstream).await;
    client.send("<presence type='subscribe' id='unseen'/>").await;
    client.send("<iq type='set' id='v'><vCard xmlns='vcard-temp'/></iq>").await;
    client.expect("<forbidden").await;
    // It is changed before --drop looks at its type.
    client.send("<message type='headline' id='m'/>").await;
    server.expect("id='m'").await;
    running.signal("-TERM");
    client.end().await;
    let sent = server.end().await;
    let (code, printed) = running.ended();
    assert_eq!(code, Some(0), "{printed}");
    assert!(!sent.contains("unseen") && !sent.contains("vCard"), "{sent}");
    for words in [
        "rejected forbidden by reject",
        "rewritten by --modify #chatty",
        "shadow (info): message headline id=m c2s: drop it (shadow.rhai:1), where the live scripts rewrite it (--modify)",
        "--drop on_stanza ",
        "slowest: ",
        "shadow: 3 of 3 stanzas decided otherwise",
    ] {
        assert!(printed.contains(words), "{words:?} is not in\n{printed}");
    }
    // What the shadow would have done, and what took a hook the most time, is told of any stanza.
    let told = |line: &str| line.contains("shadow (info): ") || line.contains("slowest: ");
    assert!(printed.lines().filter(|line| line.contains("unseen")).all(told), "{printed}");
    assert!(!printed.contains("presence/subscribe"), "{printed}");
}

/// How many threads that serve sessions a process has.
#[cfg(target_os = "linux")]
fn workers(process: u32) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    // One that has ended meanwhile has no name any more.
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
    names.filter(|name| name.starts_with("tokio-rt-worker")).count()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_served_by_as_many_threads_as_asked_for() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("iqtap.toml");
    std::fs::write(&file, "worker_threads = 5\n").unwrap();
    let said = String::from_utf8(output(&["check-config", file.to_str().unwrap()]).stdout).unwrap();
    assert!(said.contains("worker threads  5\n"), "{said}");
    let config = ["--config", file.to_str().unwrap()];
    for (more, count) in [(&config[..], 5), (&[&config[..], &["--worker-threads", "3"]].concat(), 3)] {
        let (running, address, _) = Running::start(upstream.local_addr().unwrap(), more);
        // Threads begin one after the other: all are there when somebody is served.
        let _session = joined(address, &upstream).await;
        // What blocks (a name being looked up) has threads of the same name; nothing does here, the address is numeric. But a thread
        // that has just been started bears the name of who started it, until it takes its own.
        let begun = Instant::now();
        while workers(running.0.id()) != count {
            assert!(begun.elapsed() < Duration::from_secs(20), "{} threads and not {count}", workers(running.0.id()));
            sleep(Duration::from_millis(10)).await;
        }
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_is_an_object_per_line() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (running, address, _) = Running::start(upstream.local_addr().unwrap(), &["--json"]);
    let mut client = Peer::new(TcpStream::connect(address).await.unwrap());
    client.send("nonsense").await;
    client.end().await;
    running.signal("-INT");
    let (code, printed) = running.ended();
    assert_eq!(code, Some(0));
    assert!(!printed.is_empty());
    for line in printed.lines() {
        assert!(serde_json::from_str::<serde_json::Value>(line).is_ok_and(|value| value.is_object()), "{line}");
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_at_once() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (running, address, _) = Running::start(upstream.local_addr().unwrap(), &[]);
    let (_client, mut server) = joined(address, &upstream).await;
    // The client takes nothing, so a goodbye to it needs a while.
    let text = format!("<message><body>{}</body></message>", "x".repeat(200_000));
    let (mut sent, mut turns) = (0, 0);
    while turns < 10_000 {
        tokio::select! {
            biased;
            count = server.stream.write(&text.as_bytes()[sent % text.len()..]) => { sent += count.unwrap(); turns = 0; }
            () = tokio::task::yield_now() => turns += 1,
        }
    }
    running.signal("-TERM");
    server.expect("</stream:stream>").await;
    running.signal("-TERM");
    assert_eq!(running.ended().0, Some(3));
}

/// Logs in and floods until the process's stdout, which nobody reads, is full and its lane too; gives both peers.
#[cfg(unix)]
async fn flooded(address: SocketAddr, upstream: &TcpListener) -> (Peer, Peer) {
    let (mut client, mut server) = joined(address, upstream).await;
    client.send(&"<presence/>".repeat(40_000)).await;
    // Nobody reads what is shown of them, yet all of it arrives.
    client.send("<message id='last'/>").await;
    server.expect("<message id='last'/>").await;
    (client, server)
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn output_that_nobody_reads_stops_neither_sessions_nor_the_capture_nor_the_end() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let capture = directory.path().join("s.pcapng");
    let more = ["--json", "--record", capture.to_str().unwrap()];
    let (mut running, address, _) = Running::start(upstream.local_addr().unwrap(), &more);
    let (mut client, _server) = flooded(address, &upstream).await;
    let asked = Instant::now();
    running.signal("-TERM");
    assert!(client.end().await.contains("<system-shutdown"));
    let code = running.0.wait().unwrap().code(); // its stdout is still not read
    assert_eq!(code, Some(0));
    assert!(asked.elapsed().as_secs() < 8, "took {:?}", asked.elapsed());
    let recorded = std::fs::read(&capture).unwrap();
    let recorded = String::from_utf8_lossy(&recorded);
    assert!(recorded.contains("'last'") && recorded.contains("system-shutdown"), "complete to the last word");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_at_once_though_nobody_reads_the_output() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (mut running, address, _) = Running::start(upstream.local_addr().unwrap(), &[]);
    let (mut client, _server) = flooded(address, &upstream).await;
    running.signal("-TERM");
    assert!(client.end().await.contains("<system-shutdown"));
    let asked = Instant::now();
    running.signal("-TERM");
    assert_eq!(running.0.wait().unwrap().code(), Some(3));
    assert!(asked.elapsed().as_secs() < 2, "took {:?}", asked.elapsed());
}
