//! The real binary with low limits: what a file says holds, a reload takes limits over, whoever runs it is told.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod net_support;

use net_support::{HEADER, Peer, joined};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// A running `iqtap run --json --config FILE`, killed at the end, and the lines that it prints.
struct Running {
    child: Child,
    printed: mpsc::Receiver<String>,
    address: SocketAddr,
    _directory: tempfile::TempDir,
    file: PathBuf,
}

impl Running {
    fn start(upstream: SocketAddr, limits: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("iqtap.toml");
        std::fs::write(&file, limits).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_iqtap"))
            .args(["run", "--json", "--listen", "127.0.0.1:0", "--client-tls", "off", "--server-tls", "off"])
            .args(["--upstream", &upstream.to_string(), "--config", file.to_str().unwrap()])
            .envs([("NO_COLOR", "1"), ("RUST_LOG", "info")])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut greeting = String::new();
        while !greeting.contains("Ctrl-C") {
            assert_ne!(stderr.read_line(&mut greeting).unwrap(), 0, "it ended: {greeting}");
        }
        child.stderr = Some(stderr.into_inner());
        let port = greeting.split("127.0.0.1:").nth(1).unwrap();
        let port = port.split(|c: char| !c.is_ascii_digit()).next().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()));
        let (line, printed) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|text| line.send(text)));
        Self { child, printed, address, _directory: directory, file }
    }

    fn signal(&self, signal: &str) {
        let process = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, process.as_str()]).status().unwrap().success());
    }

    fn reload(&self, limits: &str) {
        std::fs::write(&self.file, limits).unwrap();
        self.signal("-HUP");
    }

    /// The next such event.
    fn event(&self, name: &str) -> Value {
        loop {
            let line = self.printed.recv_timeout(Duration::from_secs(20)).unwrap();
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["event"] == name {
                return event;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn place(path: &Path) -> Value {
    path.to_str().unwrap().into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_taken_over_by_a_reload() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let limits = "[limits.connections]\ntotal = 1\n[limits.after_login]\nstanza_bytes = 10_000\n";
    let mut running = Running::start(upstream.local_addr().unwrap(), limits);
    let (mut client, mut server) = joined(running.address, &upstream).await;
    let refused = async || {
        let mut client = Peer::new(TcpStream::connect(running.address).await.unwrap());
        client.send(HEADER).await;
        client.end().await
    };
    assert!(refused().await.contains("<resource-constraint"));
    let event = running.event("refused");
    assert_eq!((&event["refused"], &event["peer"]), (&1.into(), &"127.0.0.1".into()), "{event}");
    assert_eq!(event["limit"], "limits.connections.total");

    // A file that is wrong changes nothing.
    running.reload("[limits.connections]\n\ntotal = 0\n");
    let event = running.event("reload_failed");
    assert_eq!((&event["path"], &event["line"]), (&place(&running.file), &3.into()), "{event}");
    assert!(refused().await.contains("<resource-constraint"));

    running.reload("[limits.connections]\ntotal = 3\n[limits.after_login]\nstanza_bytes = 20_000\n");
    let event = running.event("reloaded");
    assert_eq!((&event["files"][0], &event["policy"]), (&place(&running.file), &2.into()), "{event}");
    // At once for connections; what is judged in a session, for those that begin from now on.
    let (mut second, mut other) = joined(running.address, &upstream).await;
    let long = format!("<message><body>{}</body></message>", "x".repeat(15_000));
    second.send(&long).await;
    other.expect(&long).await;
    client.send(&long).await;
    assert!(client.end().await.contains("<policy-violation"));
    assert!(server.end().await.contains("</stream:stream>"));

    running.signal("-TERM");
    let total = running.event("total");
    assert_eq!((&total["sessions"], &total["refused"]), (&2.into(), &2.into()), "{total}");
    assert_eq!(running.child.wait().unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_of_a_file_holds() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let running = Running::start(upstream.local_addr().unwrap(), "[limits.c2s]\nstanzas = 50\nburst_seconds = 1\n");
    let (mut client, mut server) = joined(running.address, &upstream).await;
    let begun = std::time::Instant::now();
    client.send(&"<presence/>".repeat(120)).await;
    client.send("<message id='last'/>").await;
    server.expect("<message id='last'/>").await;
    let took = begun.elapsed();
    assert!(took > Duration::from_millis(1000) && took < Duration::from_secs(10), "120 at 50 a second took {took:?}");
}

#[test]
fn check_config_tells_the_limits() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("iqtap.toml");
    let text = "[limits]\nmemory = '2MiB'\n[limits.connections]\nper_address = 0\n[limits.s2c]\nbytes = '9kB'\n";
    std::fs::write(&file, text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_iqtap")).arg("check-config").arg(&file).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    for words in [
        "connections     10000 in all; 600 new ones of one address a minute, 500 at once; of this machine as many as come\n",
        "server's rate   9000 bytes a second, 10 s of them at once\n",
        "queue           262144 bytes for a peer, 1048576 if it made them wait itself, 16777216 at most; 60 s\n",
        "memory          up to 2097152 bytes in all\n",
        "stanza          within 60 s\n",
        "idle            no limit\n",
    ] {
        assert!(said.contains(words), "{words:?} is missing: {said}");
    }
}
