//! The real binary records sessions in front of the built-in server, and lets them happen again.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod net_support;

use iqtap::loopback::{Loopback, Options};
use net_support::Peer;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use tokio::net::TcpStream;

const OFF: [&str; 4] = ["--client-tls", "off", "--server-tls", "off"];

fn iqtap(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_iqtap"));
    command.args(arguments).env_remove("RUST_LOG").env_remove("IQTAP_DATA_DIR").env("NO_COLOR", "1");
    command
}

/// Replays a capture; the exit code, what was printed, what was complained of.
fn replayed(capture: &Path, more: &[&str]) -> (Option<i32>, String, String) {
    let arguments = [&["replay", capture.to_str().unwrap()], more].concat();
    let Output { status, stdout, stderr } = iqtap(&arguments).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A recording proxy, killed if the test fails.
struct Recording(Child, SocketAddr);

impl Recording {
    fn start(upstream: SocketAddr, capture: &Path, more: &[&str]) -> Self {
        let upstream = upstream.to_string();
        let arguments = ["run", "--listen", "127.0.0.1:0", "--upstream", &upstream, "--json"];
        let arguments = [&arguments[..], &OFF, &["--record", capture.to_str().unwrap()], more].concat();
        let mut child = iqtap(&arguments).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut greeting = String::new();
        while !greeting.contains("Ctrl-C") {
            assert_ne!(stderr.read_line(&mut greeting).unwrap(), 0, "it ended: {greeting}");
        }
        child.stderr = Some(stderr.into_inner());
        let address = greeting.lines().next().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
        Self(child, address)
    }

    async fn client(&self) -> Peer {
        let mut client = Peer::new(TcpStream::connect(self.1).await.unwrap());
        client.log_in().await;
        client
    }

    fn end(&mut self, signal: &str) {
        let process = self.0.id().to_string();
        assert!(Command::new("kill").args([signal, process.as_str()]).status().unwrap().success());
        self.0.wait().unwrap();
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn builtin() -> SocketAddr {
    let server = Loopback::bind(([127, 0, 0, 1], 0).into(), Options::default()).await.unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(server.run(std::future::pending()));
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_session_happens_again() {
    let directory = tempfile::tempdir().unwrap();
    let capture = directory.path().join("s.pcapng");
    let (script, other) = (directory.path().join("then.rhai"), directory.path().join("now.rhai"));
    std::fs::write(
        &script,
        "fn on_message(stanza) { if stanza.id == \"slow\" { return hold(0.03); } stanza.type = \"chat\"; }\n\
         fn on_bind(session) { session.ask(\"<iq type='get' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>\", \"told\"); }\n\
         fn told(answer, session) { session.to_client(`<message id='told'><body>${answer.type}</body></message>`); }",
    )
    .unwrap();
    std::fs::write(&other, "fn on_message(stanza) {\n    if stanza.id == \"m1\" { return drop(); }\n}").unwrap();
    let (script, other) = (script.to_str().unwrap(), other.to_str().unwrap());
    let policy =
        ["--rules", "enforce", "--answer", "private=local", "--answer", "time=local", "--answer", "last=local"];
    let store = directory.path().join("kept.redb");
    let more = [&policy[..], &["--script", script, "--store", store.to_str().unwrap()]].concat();
    let mut recording = Recording::start(builtin().await, &capture, &more);

    let mut client = recording.client().await;
    let mut stranger = Peer::new(TcpStream::connect(recording.1).await.unwrap());
    stranger.send("nonsense").await;
    stranger.end().await;
    // In one piece: what waits, what is refused, what is answered here and there.
    client
        .send(
            "<message to='juliet@example.org' id='slow'><body>a</body></message>\
             <message to='juliet@example.org' id='m1'><body>b</body></message><presence/> \
             <iq type='get' id='two'><a xmlns='b'/><c xmlns='d'/></iq>\
             <iq type='set' id='keep'><query xmlns='jabber:iq:private'><x xmlns='urn:x'>kept</x></query></iq>\
             <iq type='get' id='kept'><query xmlns='jabber:iq:private'><x xmlns='urn:x'/></query></iq>\
             <iq type='get' id='last' to='example.org'><query xmlns='jabber:iq:last'/></iq>\
             <iq type='get' id='time' to='example.org'><time xmlns='urn:xmpp:time'/></iq>\
             <iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>",
        )
        .await;
    client.expect("id='roster'").await;
    let mut second = recording.client().await;
    second.send("<iq type='get' id='again'><query xmlns='jabber:iq:private'><x xmlns='urn:x'/></query></iq>").await;
    second.expect(">kept<").await;
    second.send("</stream:stream>").await;
    second.end().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    recording.end("-TERM");

    let same = [&policy[..], &["--script", script]].concat();
    let (code, said, complaint) = replayed(&capture, &same);
    assert_eq!(code, Some(0), "{said}{complaint}");
    assert!(said.starts_with("3 sessions: ") && said.contains(": the same is sent\n"), "{said}");
    assert!(said.contains(" comes of a store that is empty at first (--store)"), "{said}");
    assert!(complaint.is_empty(), "{complaint}");

    // What was kept by then is there at once, if the store is named: the first answer is the same for it was set anew.
    let (code, said, complaint) = replayed(&capture, &[&same[..], &["--store", store.to_str().unwrap()]].concat());
    assert_eq!(code, Some(0), "{said}{complaint}");

    let (code, said, complaint) = replayed(&capture, &[&policy[..], &["--script", other]].concat());
    assert_eq!(code, Some(1), "{said}{complaint}");
    for words in [
        "session 1 (juliet@example.org/",
        ", to the server: does not come any more\n",
        "  came in   <message to='juliet@example.org' id='m1'><body>b</body></message>  (#",
        ", rewritten by then.rhai:1 then, dropped by now.rhai:1 now)\n",
        "  recorded  <message to='juliet@example.org' id='m1' type='chat'><body>b</body></message>  (rewritten by then.rhai:1)\n",
        "  now       nothing\n",
    ] {
        assert!(said.contains(words), "{words:?} is not in\n{said}");
    }
    assert!(complaint.contains("differences in "), "{complaint}");
    assert!(!said.contains("nonsense"), "{said}");

    let (code, said, _) = replayed(&capture, &[&policy[..], &["--script", other, "--json"]].concat());
    assert_eq!(code, Some(1));
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let dropped = lines.iter().find(|line| line["cause"]["now"] == "dropped by now.rhai:1").unwrap();
    assert_eq!(
        [&dropped["kind"], &dropped["to"], &dropped["now"]],
        [&"missing".into(), &"server".into(), &Value::Null]
    );
    assert_eq!(dropped["recorded"]["by"], "rewritten by then.rhai:1");
    let summary = lines.last().unwrap();
    assert_eq!(summary["differences"], lines.len() - 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_was_cut_happens_again_but_for_its_ids() {
    let directory = tempfile::tempdir().unwrap();
    let capture = directory.path().join("s.pcapng");
    let script = directory.path().join("asks.rhai");
    let asks = "fn on_message(stanza, session) {\n    if stanza.type != \"chat\" { return; }\n    \
                session.ask(\"<iq type='get' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>\", \"told\");\n}\n\
                fn told(answer, session) { session.to_client(`<message id='heard'><body>${answer.type}</body></message>`); }";
    std::fs::write(&script, asks).unwrap();
    let mut recording = Recording::start(builtin().await, &capture, &["--script", script.to_str().unwrap()]);
    let mut client = recording.client().await;
    for number in 0..2 {
        client.send(&format!("<message type='chat' to='example.org' id='m{number}'/>")).await;
        client.expect("id='heard'").await;
    }
    // A capture is handed to the system once a second.
    let heard = || memchr::memmem::find_iter(&std::fs::read(&capture).unwrap(), b"id='heard'").count();
    while heard() < 2 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    recording.end("-KILL");

    let (code, said, complaint) = replayed(&capture, &["--script", script.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}{complaint}");
    assert!(said.contains("the same is sent, but for 2 ids that iqtap makes up\n"), "{said}");
}

#[test]
fn what_cannot_be_replayed_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    let xml = directory.path().join("x.xml");
    std::fs::write(&xml, "<message/>").unwrap();
    for (path, code, words) in [
        (&empty, 3, "it is empty"),
        (&xml, 3, "somebody else has recorded it"),
        (&directory.path().join("no-such"), 3, "no-such: "),
        (&directory.path().to_path_buf(), 3, "directory"),
    ] {
        let (came, said, complaint) = replayed(path, &[]);
        assert_eq!(came, Some(code), "{complaint}");
        assert!(said.is_empty() && complaint.contains(words), "{complaint}");
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
    }
    let (code, _, complaint) = replayed(&empty, &["--script", "no/such.rhai"]);
    assert_eq!(code, Some(2), "{complaint}");
}
