//! `iqtap store`: the real binary on stores made here.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod net_support;

use bytes::Bytes;
use iqtap::keep::{Change, NOBODY, Op, Store};
use iqtap::store::FileStore;
use net_support::{Peer, joined};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;

/// Exit code, stdout, stderr.
fn run(directory: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_iqtap"));
    command.arg("store").args(arguments).current_dir(directory).env_remove("RUST_LOG").env_remove("IQTAP_DATA_DIR");
    let output = command.env("NO_COLOR", "1").output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    (output.status.code(), out, err)
}

const NOTES: &str = "{urn:x}my notes";

fn filled() -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("s.redb");
    let mut store = FileStore::open(&path).unwrap();
    let put = |space: &'static str, name: &str, value: &'static [u8]| {
        Change::Put(space.into(), name.to_owned(), Bytes::from_static(value))
    };
    let write = |account: &str, changes| Op::Write { account: account.to_owned(), changes, most: 100 };
    let done = store.run(&[
        write("romeo@example.net", vec![put("vcard-temp", "", b"<vCard xmlns='vcard-temp'/>")]),
        write(
            "juliet@example.org",
            vec![
                put("vcard-temp", "", b"<vCard/>"),
                put("jabber:iq:private", NOTES, "<notes>\u{e9}</notes>".as_bytes()),
            ],
        ),
        write(NOBODY, vec![put("shared", "count", b"5"), put("shared", "odd\x1b[2J", b"\xff\x00")]),
    ]);
    assert!(done.iter().all(Result::is_ok));
    (directory, path)
}

#[test]
fn what_is_kept_is_listed_in_order() {
    let (directory, _) = filled();
    let all = "\
account             space              name             bytes
\"\"                  shared             count                1
\"\"                  shared             odd\\u{1b}[2J         2
juliet@example.org  jabber:iq:private  {urn:x}my notes     17
juliet@example.org  vcard-temp         \"\"                   8
romeo@example.net   vcard-temp         \"\"                  27
5 entries
";
    assert_eq!(run(directory.path(), &["list", "--store", "s.redb"]), (Some(0), all.to_owned(), String::new()));
    let some = |arguments: &[&str]| {
        let (code, out, err) = run(directory.path(), &[&["list", "--store", "s.redb"], arguments].concat());
        assert_eq!((code, &*err), (Some(0), ""));
        out
    };
    // As the account is prepared, so is what is asked for.
    let hers = some(&["--account", "JULIET@Example.org"]);
    assert!(hers.contains("notes") && hers.ends_with("\n2 entries\n"), "{hers}");
    let private = some(&["--account", "juliet@example.org", "--space", "jabber:iq:private"]);
    assert!(private.contains("notes") && private.ends_with("\n1 entry\n"), "{private}");
    assert!(some(&["--account", ""]).ends_with("\n2 entries\n"));
    assert_eq!(some(&["--account", "nobody@example.org"]), "0 entries\n");
}

#[test]
fn an_export_is_json_and_its_owners_alone() {
    let (directory, _) = filled();
    let (code, out, err) = run(directory.path(), &["export", "--store", "s.redb"]);
    assert_eq!((code, &*err), (Some(0), ""));
    let entry = |account: &str, space: &str, name: &str, value: serde_json::Value| serde_json::json!({ "account": account, "space": space, "name": name, "value": value });
    let expected = serde_json::json!([
        entry("", "shared", "count", "5".into()),
        entry("", "shared", "odd\x1b[2J", serde_json::json!({ "base64": "/wA=" })),
        entry("juliet@example.org", "jabber:iq:private", NOTES, "<notes>\u{e9}</notes>".into()),
        entry("juliet@example.org", "vcard-temp", "", "<vCard/>".into()),
        entry("romeo@example.net", "vcard-temp", "", "<vCard xmlns='vcard-temp'/>".into()),
    ]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&out).unwrap(), expected);
    let file = directory.path().join("kept.json");
    std::fs::write(&file, "an older one, which is longer than what comes".repeat(100)).unwrap();
    let (code, out, err) = run(directory.path(), &["export", "--store", "s.redb", "-o", "kept.json"]);
    assert_eq!((code, &*out, &*err), (Some(0), "", "5 entries in kept.json\n"));
    let written = std::fs::read_to_string(&file).unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&written).unwrap(), expected);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let (code, _, err) = run(directory.path(), &["export", "--store", "s.redb", "-o", "no/such/dir/x"]);
    assert!(code == Some(2) && err.starts_with("iqtap: no/such/dir/x: "), "{err}");
}

#[test]
fn what_is_deleted_is_said_and_only_that_goes() {
    let (directory, _) = filled();
    let go = |arguments: &[&str]| run(directory.path(), &[&["clear", "--store", "s.redb"], arguments].concat());
    let left = || run(directory.path(), &["list", "--store", "s.redb"]).1;
    let (code, out, err) = go(&["--account", "juliet@example.org"]);
    assert_eq!(code, Some(2));
    assert_eq!(out, "juliet@example.org jabber:iq:private: 1 entry\njuliet@example.org vcard-temp: 1 entry\n");
    assert_eq!(err, "iqtap: 2 entries would go for good; add --yes if that is meant\n");
    assert!(left().ends_with("\n5 entries\n"));
    let done = |text: &str| (Some(0), text.to_owned(), String::new());
    assert_eq!(go(&["--space", "vcard-temp", "--yes"]), done("2 entries gone\n"));
    assert!(left().contains("notes") && left().ends_with("\n3 entries\n"));
    assert_eq!(go(&["--space", "vcard-temp"]), done("nothing of that is kept\n"));
    assert_eq!(go(&["--yes"]), done("3 entries gone\n"));
    assert_eq!(left(), "0 entries\n");
}

#[test]
fn the_store_is_found_as_iqtap_run_finds_it() {
    let (directory, path) = filled();
    let data = directory.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::copy(&path, data.join("iqtap.redb")).unwrap();
    std::fs::write(directory.path().join("a.toml"), "store = 's.redb'\n").unwrap();
    std::fs::write(directory.path().join("b.toml"), "data_dir = 'data'\n").unwrap();
    for place in [["--config", "a.toml"], ["--config", "b.toml"], ["--data-dir", "data"]] {
        let (code, out, err) = run(directory.path(), &[&["list"], &place[..]].concat());
        assert!(code == Some(0) && out.ends_with("\n5 entries\n"), "{place:?}: {out}{err}");
    }
}

#[test]
fn what_cannot_be_is_said_with_a_cure() {
    let (directory, path) = filled();
    let refused = |arguments: &[&str], code: i32, words: &[&str]| {
        let (came, _, err) = run(directory.path(), arguments);
        assert_eq!(came, Some(code), "{arguments:?}: {err}");
        assert!(words.iter().all(|word| err.contains(word)), "{arguments:?}: {err}");
    };
    refused(&["list", "--store", "none.redb"], 2, &["none.redb", "there is no store yet", "iqtap run"]);
    assert!(!directory.path().join("none.redb").exists());
    refused(&["list", "--config", "none.toml"], 2, &["none.toml"]);
    refused(&["list", "--store", "s.redb", "--account", "a@b/c"], 2, &["--account", "bare JID"]);
    std::fs::write(directory.path().join("notes.txt"), "my notes\n").unwrap();
    refused(&["clear", "--store", "notes.txt", "--yes"], 2, &["notes.txt", "no store of iqtap"]);
    let open = FileStore::open(&path).unwrap();
    for command in [&["list"][..], &["export"], &["clear", "--yes"]] {
        refused(&[command, &["--store", "s.redb"]].concat(), 3, &["s.redb", "a running iqtap", "stop it first"]);
    }
    drop(open);
    let (_, out, _) = run(directory.path(), &["export", "--help"]);
    assert!(out.contains("passwords"), "{out}");
}

/// A running `iqtap run` in a directory that is its data directory too, killed at the end.
struct Running {
    child: Child,
    told: mpsc::Receiver<String>,
    upstream: TcpListener,
    address: SocketAddr,
    greeting: String,
}

impl Running {
    async fn start(directory: &Path, more: &[&str]) -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_iqtap"))
            .args(["run", "--listen", "127.0.0.1:0", "--client-tls", "off", "--server-tls", "off"])
            .args(["--upstream", &upstream.local_addr().unwrap().to_string(), "--data-dir", "data"])
            .args(more)
            .current_dir(directory)
            .env_remove("RUST_LOG")
            .env("NO_COLOR", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut stderr, mut greeting) = (BufReader::new(child.stderr.take().unwrap()), String::new());
        while !greeting.contains("Ctrl-C") {
            assert_ne!(stderr.read_line(&mut greeting).unwrap(), 0, "it ended: {greeting}");
        }
        let address = greeting.lines().next().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
        let (line, told) = mpsc::channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|text| line.send(text)));
        Self { child, told, upstream, address, greeting }
    }

    /// How many messages the script has counted, with one more.
    async fn counted(&self) -> String {
        let (mut client, mut server): (Peer, Peer) = joined(self.address, &self.upstream).await;
        client.send("<message to='romeo@example.org'><mark>none</mark></message>").await;
        let said = server.expect("</message>").await;
        said.split_once("<mark>").unwrap().1.split_once("</mark>").unwrap().0.to_owned()
    }

    #[cfg(unix)]
    fn signal(&mut self, signal: &str) -> Option<i32> {
        let process = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, process.as_str()]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }

    /// The next line on stderr with these words.
    fn says(&self, words: &str) -> String {
        loop {
            let line = self.told.recv_timeout(Duration::from_secs(20)).unwrap();
            if line.contains(words) {
                return line;
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

const COUNTS: &str = "fn on_message(m) { m.set_text(\"mark\", `${shared.incr(\"n\")}`); }\n";
const KEEPS: &str = "fn on_message(m) { shared.keep(\"n\"); m.set_text(\"mark\", `${shared.incr(\"n\")}`); }\n";

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_scripts_keep_is_in_the_usual_file_when_the_process_has_ended_or_was_killed() {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("count.rhai"), KEEPS).unwrap();
    let start = || Running::start(directory.path(), &["--script", "count.rhai"]);
    let mut first = start().await;
    assert!(first.greeting.contains("iqtap.redb"), "{}", first.greeting);
    assert_eq!(first.counted().await, "1");
    assert_eq!(first.counted().await, "2");
    assert_eq!(first.signal("-TERM"), Some(0), "written at once when it ends");
    let mut second = start().await;
    assert_eq!(second.counted().await, "3");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(second.signal("-KILL"), None);
    let mut third = start().await;
    assert_eq!(third.counted().await, "4");
    assert_eq!(third.signal("-TERM"), Some(0));
    let list = run(directory.path(), &["list", "--data-dir", "data", "--space", "shared"]);
    let table = "account  space   name  bytes\n\"\"       shared  n        11\n1 entry\n";
    assert_eq!(list, (Some(0), table.to_owned(), String::new()));
    let (_, out, _) = run(directory.path(), &["export", "--data-dir", "data", "--account", ""]);
    let expected = serde_json::json!([{ "account": "", "space": "shared", "name": "n", "value": "{\"value\":4}" }]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&out).unwrap(), expected);
    let cleared = run(directory.path(), &["clear", "--data-dir", "data", "--space", "shared", "--yes"]);
    assert_eq!(cleared, (Some(0), "1 entry gone\n".to_owned(), String::new()));
    assert_eq!(start().await.counted().await, "1");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_that_begin_to_keep_where_nothing_lasts_are_told_of() {
    let directory = TempDir::new().unwrap();
    let script = directory.path().join("count.rhai");
    std::fs::write(&script, COUNTS).unwrap();
    let mut running = Running::start(directory.path(), &["--script", "count.rhai"]).await;
    assert!(!running.greeting.contains("redb"), "{}", running.greeting);
    std::fs::write(&script, KEEPS).unwrap();
    let said = running.says("shared.keep");
    assert!(said.contains("ends with this process") && said.contains("start iqtap again"), "{said}");
    assert!(!directory.path().join("data/iqtap.redb").exists());
    assert_eq!(running.counted().await, "1");
    assert_eq!(running.signal("-TERM"), Some(0));
    assert!(!running.told.iter().any(|line| line.contains("shared.keep")), "told once");
    // Where there is a file already, there is nothing to tell.
    std::fs::write(&script, COUNTS).unwrap();
    let mut running = Running::start(directory.path(), &["--script", "count.rhai", "--store", "s.redb"]).await;
    std::fs::write(&script, KEEPS.replace("${", "reloaded ${")).unwrap();
    while !running.counted().await.starts_with("reloaded") {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(running.signal("-TERM"), Some(0));
    assert!(!running.told.iter().any(|line| line.contains("shared.keep")));
}
