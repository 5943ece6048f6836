//! The real binary, while its scripts are edited: what it prints of it, and what its sessions do.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod net_support;

use net_support::{Peer, joined};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use tokio::net::TcpListener;

/// A running `iqtap run`, killed at the end, and the lines that it prints.
struct Running {
    child: Child,
    printed: mpsc::Receiver<String>,
    address: SocketAddr,
}

impl Running {
    fn start(upstream: SocketAddr, script: &Path, more: &[&str]) -> Self {
        let quiet = more.contains(&"--quiet"); // without a greeting
        let mut child = Command::new(env!("CARGO_BIN_EXE_iqtap"))
            .args(["run", "--listen", "127.0.0.1:0", "--client-tls", "off", "--server-tls", "off"])
            .args(["--upstream", &upstream.to_string(), "--script", script.to_str().unwrap()])
            .args(more)
            .envs([("NO_COLOR", "1"), ("TZ", "UTC"), ("RUST_LOG", if quiet { "iqtap=debug" } else { "info" })])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut greeting = String::new();
        while !greeting.contains(if quiet { "listening" } else { "Ctrl-C" }) {
            assert_ne!(stderr.read_line(&mut greeting).unwrap(), 0, "it ended: {greeting}");
        }
        child.stderr = Some(stderr.into_inner());
        let port = greeting.split("127.0.0.1:").nth(1).unwrap();
        let port = port.split(|c: char| !c.is_ascii_digit()).next().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()));
        let (line, printed) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|text| line.send(text)));
        Self { child, printed, address }
    }

    fn signal(&self, signal: &str) {
        let process = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, process.as_str()]).status().unwrap().success());
    }

    /// The next line with these words.
    fn line(&self, words: &str) -> String {
        loop {
            let line = self.printed.recv_timeout(Duration::from_secs(20)).unwrap();
            if line.contains(words) {
                return line;
            }
        }
    }

    /// All that is printed until it has ended after SIGTERM.
    fn rest(&mut self) -> String {
        self.signal("-TERM");
        let rest: Vec<String> = self.printed.iter().collect();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        rest.join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn marking(version: usize) -> String {
    format!("fn on_message(m) {{\n    m.set_text(\"mark\", \"v{version}\");\n}}\n")
}

async fn marked((client, server): &mut (Peer, Peer), mark: &str) {
    client.send("<message to='romeo@example.org' id='m'><mark>none</mark></message>").await;
    let said = server.expect("</message>").await;
    assert!(said.contains(&format!("<mark>{mark}</mark>")), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_are_edited_while_a_session_talks() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("mark.rhai");
    std::fs::write(&script, marking(1)).unwrap();
    let mut running = Running::start(upstream.local_addr().unwrap(), &script, &[]);
    let mut peers = joined(running.address, &upstream).await;
    marked(&mut peers, "v1").await;
    std::fs::write(&script, marking(2)).unwrap();
    let said = running.line("scripts reloaded");
    assert!(said.ends_with(&format!("scripts reloaded: {} (policy 2)", script.display())), "{said}");
    marked(&mut peers, "v2").await;
    let broken = "fn on_message(m) {\n    m.set_text(\n}\n";
    std::fs::write(&script, broken).unwrap();
    let said = running.line("not reloaded");
    let place = format!("scripts not reloaded: {}:3:1: ", script.display());
    assert!(said.contains(&place) && said.ends_with(" stays in force (policy 2)"), "{said}");
    let since = said.split_once("; the version of ").unwrap().1.split_once(' ').unwrap().0;
    assert!(since.len() == 8 && since.split(':').all(|part| part.parse::<u8>().is_ok()), "{said}");
    for _ in 0..50 {
        std::fs::write(&script, broken).unwrap();
    }
    marked(&mut peers, "v2").await;
    let mended = script.with_extension("new");
    std::fs::write(&mended, marking(3)).unwrap();
    std::fs::rename(&mended, &script).unwrap();
    let said = running.line("reloaded");
    assert!(said.ends_with("(policy 3)"), "told more than once: {said}");
    marked(&mut peers, "v3").await;
    running.signal("-HUP");
    assert!(running.line("reloaded").ends_with("(policy 4)"));
    marked(&mut peers, "v3").await;
    let rest = running.rest();
    assert!(!rest.contains("reloaded"), "{rest}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_are_told_as_json_and_who_wants_warnings_only_of_failures() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("mark.rhai");
    let (path, upstream) = (script.to_str().unwrap(), upstream.local_addr().unwrap());
    std::fs::write(&script, marking(1)).unwrap();
    let mut told = Running::start(upstream, &script, &["--json"]);
    std::fs::write(&script, marking(2)).unwrap();
    let done: Value = serde_json::from_str(&told.line("reloaded")).unwrap();
    assert_eq!((&done["event"], &done["policy"]), (&"reloaded".into(), &2.into()), "{done}");
    assert_eq!(done["files"], Value::from(vec![path]));
    std::fs::write(&script, "fn on_message(m) {\n    let x = ;\n}\n").unwrap();
    let failed: Value = serde_json::from_str(&told.line("reload_failed")).unwrap();
    assert_eq!((&failed["path"], &failed["policy"]), (&path.into(), &2.into()));
    let [since, then, now] = [&failed["since"], &done["time"], &failed["time"]].map(|time| time.as_str().unwrap());
    assert!(since <= then && then < now && since.ends_with('Z'), "{since} {then} {now}");
    assert_eq!((&failed["line"], &failed["column"]), (&2.into(), &13.into()), "{failed}");
    assert!(failed["text"].as_str().is_some_and(|text| !text.is_empty()), "{failed}");
    assert!(failed.get("session").is_none());
    told.rest();

    std::fs::write(&script, marking(1)).unwrap();
    let mut quiet = Running::start(upstream, &script, &["--json", "--quiet", "--no-reload"]);
    std::fs::write(&script, "fn on_nothing() { }").unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert!(quiet.printed.try_recv().is_err(), "nobody asked for a reload");
    quiet.signal("-HUP");
    quiet.line("reload_failed");
    std::fs::write(&script, marking(2)).unwrap();
    quiet.signal("-HUP");
    std::thread::sleep(Duration::from_millis(500)); // for what is not to be told
    std::fs::remove_file(&script).unwrap();
    quiet.signal("-HUP");
    let said = quiet.line("reload");
    assert!(said.contains("reload_failed") && said.contains("cannot be read"), "{said}");
    assert!(!quiet.rest().contains("reload"));
}
