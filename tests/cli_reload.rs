//! The real binary, while its scripts are edited: what it prints of it, and what its sessions do.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod net_support;

use net_support::{DOMAIN, Peer, connector, joined, name, soon};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// A running `iqtap run`, killed at the end, and the lines that it prints.
struct Running {
    child: Child,
    printed: mpsc::Receiver<String>,
    address: SocketAddr,
}

impl Running {
    fn start(upstream: SocketAddr, script: &Path, more: &[&str]) -> Self {
        let upstream = upstream.to_string();
        let clear = ["--client-tls", "off", "--server-tls", "off"];
        let with = ["--upstream", &upstream, "--script", script.to_str().unwrap()];
        Self::by(&[&clear[..], &with, more].concat())
    }

    fn by(arguments: &[&str]) -> Self {
        let quiet = arguments.contains(&"--quiet"); // without a greeting
        let mut child = Command::new(env!("CARGO_BIN_EXE_iqtap"))
            .args(["run", "--listen", "127.0.0.1:0"])
            .args(arguments)
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
    let said = running.line("reloaded");
    assert!(said.ends_with(&format!("reloaded: {} (policy 2)", script.display())), "{said}");
    marked(&mut peers, "v2").await;
    let broken = "fn on_message(m) {\n    m.set_text(\n}\n";
    std::fs::write(&script, broken).unwrap();
    let said = running.line("not reloaded");
    let place = format!("not reloaded: {}:3:1: ", script.display());
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

/// A certificate and its key, in these two files.
fn certify(certificate: &Path, key: &Path) {
    let own = rcgen::generate_simple_self_signed([DOMAIN.to_owned()]).unwrap();
    std::fs::write(certificate, own.cert.pem()).unwrap();
    std::fs::write(key, own.signing_key.serialize_pem()).unwrap();
}

/// Somebody who believes this certificate only; `None` if another one was shown.
async fn believer(address: SocketAddr, certificate: &Path) -> Option<Peer> {
    let tcp = TcpStream::connect(address).await.unwrap();
    soon(connector(certificate, true, &[]).connect(name(DOMAIN), tcp)).await.ok().map(Peer::new)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hangup_reads_the_configuration_and_the_certificates_while_sessions_live() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let (certificate, key, old) = (path("c.crt"), path("c.key"), path("old.crt"));
    certify(&certificate, &key);
    std::fs::copy(&certificate, &old).unwrap();
    let server = upstream.local_addr().unwrap();
    let settings = |upstream: SocketAddr, rest: &str| {
        let tls = "client_tls = 'direct'\nserver_tls = 'off'\ncert = 'c.crt'\nkey = 'c.key'\n";
        std::fs::write(path("iqtap.toml"), format!("upstream = '{upstream}'\n{tls}{rest}")).unwrap();
    };
    settings(server, "");
    let mut running = Running::by(&["--config", path("iqtap.toml").to_str().unwrap()]);
    let mut client = believer(running.address, &old).await.unwrap();
    let (mut server, ()) = tokio::join!(
        async {
            let mut server = Peer::new(soon(upstream.accept()).await.unwrap().0);
            server.serve_login().await;
            server
        },
        client.log_in()
    );
    client.send("<iq type='get' id='childless-1'/>").await;
    server.expect("childless-1").await;

    let moved = TcpListener::bind("127.0.0.1:0").await.unwrap();
    certify(&certificate, &key);
    settings(moved.local_addr().unwrap(), "json = true\n[rules]\ndefault = 'enforce'\n");
    running.signal("-HUP");
    let said = running.line("reloaded");
    assert!(said.contains("iqtap.toml") && said.contains("c.crt") && said.contains("(policy 2)"), "{said}");
    assert!(said.ends_with("; taken over when iqtap is started again: json"), "{said}");
    // Who lives goes on with its server, under the new rules.
    client.send("<iq type='get' id='childless-2'/><presence id='p'/>").await;
    client.expect("<bad-request").await;
    assert!(!server.expect("id='p'").await.contains("childless-2"));
    // Who comes sees the new certificate, and the new server.
    assert!(believer(running.address, &old).await.is_none());
    let mut next = believer(running.address, &certificate).await.unwrap();
    let login = async { Peer::new(soon(moved.accept()).await.unwrap().0).serve_login().await };
    tokio::join!(next.log_in(), login);

    // What is broken changes nothing, and is told.
    for (broken, words) in [("c.crt", "c.crt: "), ("iqtap.toml", "iqtap.toml:1:")] {
        let whole = std::fs::read(path(broken)).unwrap();
        std::fs::write(path(broken), "nonsense").unwrap();
        running.signal("-HUP");
        let said = running.line("not reloaded");
        assert!(said.contains(words) && said.ends_with("stays in force (policy 2)"), "{said}");
        std::fs::write(path(broken), whole).unwrap();
        assert!(believer(running.address, &certificate).await.is_some());
        client.send("<iq type='get' id='childless-3'/>").await;
        client.expect("<bad-request").await;
    }
    running.rest();
}
