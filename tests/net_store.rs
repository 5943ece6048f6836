//! A server and its store: opened before anybody is served, closed when it has stopped.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod net_support;

use iqtap::config::Config;
use iqtap::keep::{Change, Entry, NOBODY, Op, Store};
use iqtap::net::{BindError, Server, Setup, StoreSetup};
use iqtap::policy::ClientTls;
use iqtap::script::Shared;
use iqtap::store::{FileStore, OpenError};
use net_support::{Lab, Peer};
use std::path::Path;
use std::time::{Duration, Instant};

fn setup(directory: &Path, store: StoreSetup) -> Setup {
    let (listen, upstream) = ("127.0.0.1:0".parse().unwrap(), "127.0.0.1:9".parse().unwrap());
    let mut setup = Setup::new(listen, upstream, directory.join("data"));
    setup.terms.route.client_tls = ClientTls::Off;
    setup.store = store;
    setup
}

#[tokio::test]
async fn a_server_has_its_store_from_the_start_until_it_has_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("kept/s.redb");
    let server = Server::bind(setup(directory.path(), StoreSetup::File(path.clone()))).await.unwrap();
    assert!(matches!(FileStore::open(&path), Err(OpenError::InUse(_))));
    let second = Server::bind(setup(directory.path(), StoreSetup::File(path.clone()))).await;
    match second.map(drop) {
        Err(BindError::Store(error @ OpenError::InUse(_))) => assert!(error.to_string().contains("s.redb"), "{error}"),
        other => panic!("{other:?}"),
    }
    server.run(std::future::ready(())).await;
    FileStore::open_existing(&path).expect("it is closed");
}

#[tokio::test]
async fn a_file_that_is_no_store_keeps_a_server_from_starting() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    std::fs::write(&path, "my notes\n").unwrap();
    match Server::bind(setup(directory.path(), StoreSetup::File(path.clone()))).await.map(drop) {
        Err(error @ BindError::Store(OpenError::NotAStore(_))) => assert!(error.to_string().contains("--store")),
        other => panic!("{other:?}"),
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "my notes\n");
    Server::bind(setup(directory.path(), StoreSetup::Memory)).await.unwrap();
}

/// Starts a proxy with a store in that file, whose script does this with each message's `mark`.
async fn scripted(store: &Path, body: &str) -> Lab {
    let script = store.with_extension("rhai");
    std::fs::write(&script, format!("fn on_message(m) {{ {body} }}")).unwrap();
    let config = Config { scripts: vec![script], ..Config::default() };
    let setup_of = |setup: &mut Setup, _: &Path| {
        setup.policy = config.policy().unwrap();
        setup.store = StoreSetup::File(store.to_owned());
    };
    Lab::start(setup_of).await
}

/// What the script has made of the mark of a message.
async fn mark((client, server): &mut (Peer, Peer)) -> String {
    client.send("<message to='romeo@example.org'><mark>none</mark></message>").await;
    let said = server.expect("</message>").await;
    said.split_once("<mark>").unwrap().1.split_once("</mark>").unwrap().0.to_owned()
}

/// What scripts have kept, as it stands in a store that nobody has open.
fn kept(store: &Path) -> Vec<String> {
    let list = Op::List { account: NOBODY.to_owned(), spaces: vec![Shared::SPACE.into()] };
    let entries = FileStore::open_existing(store).unwrap().run(&[list]).remove(0).unwrap();
    let told = |entry: &Entry| format!("{} {}", entry.name, String::from_utf8_lossy(&entry.value));
    entries.iter().map(told).collect()
}

#[tokio::test]
async fn what_a_script_keeps_is_there_when_the_server_is_started_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s.redb");
    let counts = r#"shared.keep("n"); shared.incr("other"); m.set_text("mark", `${shared.incr("n")} ${shared.other}`)"#;
    for expected in ["1 1", "2 1", "3 1"] {
        let lab = scripted(&path, counts).await;
        let mut peers = lab.joined().await;
        assert_eq!(mark(&mut peers).await, expected, "the last one is written when it stops");
        lab.stopped().await;
    }
    assert_eq!(kept(&path), [r#"n {"value":3}"#]);
    // It need not be asked for again, and it ends when that is said.
    let lab = scripted(&path, r#"m.set_text("mark", `${shared.n}`); shared.keep("n", false)"#).await;
    assert_eq!(mark(&mut lab.joined().await).await, "3");
    lab.stopped().await;
    assert_eq!(kept(&path), [""; 0]);
}

#[tokio::test]
async fn what_is_kept_for_a_time_ends_when_it_would_have_ended() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s.redb");
    let keeps = r#"shared.keep("brief"); shared.keep("long"); shared.set("brief", 1, 2); shared.set("long", 2, 600)"#;
    let lab = scripted(&path, keeps).await;
    let begun = Instant::now();
    assert_eq!(mark(&mut lab.joined().await).await, "none");
    lab.stopped().await;
    assert_eq!(kept(&path).len(), 2);
    let lab = scripted(&path, r#"m.set_text("mark", `${shared.contains("brief")} ${shared.contains("long")}`)"#).await;
    let mut peers = lab.joined().await;
    let mut said = mark(&mut peers).await;
    assert!(said == "true true" || begun.elapsed() > Duration::from_secs(2), "{said}");
    while said == "true true" {
        tokio::time::sleep(Duration::from_millis(50)).await;
        said = mark(&mut peers).await;
    }
    assert_eq!(said, "false true");
    assert!(begun.elapsed() > Duration::from_secs(2), "too early");
    lab.stopped().await;
    let left = kept(&path);
    assert!(left.len() == 1 && left[0].starts_with("long "), "{left:?}");
}

#[tokio::test]
async fn what_cannot_be_put_back_keeps_no_server_from_starting() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s.redb");
    let put = |name: &str, value: &str| Change::Put(Shared::SPACE.into(), name.to_owned(), value.to_owned().into());
    let changes = vec![put("a", "{\"value\":7}"), put("b", "nonsense")];
    let write = Op::Write { account: NOBODY.to_owned(), changes, most: 9 };
    FileStore::open(&path).unwrap().run(&[write]).remove(0).unwrap();
    let lab = scripted(&path, r#"m.set_text("mark", `${shared.a} ${shared.contains("b")}`)"#).await;
    assert_eq!(mark(&mut lab.joined().await).await, "7 false");
    lab.stopped().await;
    assert_eq!(kept(&path), [r#"a {"value":7}"#, "b nonsense"], "nothing became of it");
}

/// A session that is told of changes and takes nothing of it costs bounded memory, and ends; who makes the changes goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_takes_no_pushes_is_given_up() {
    let lab = Lab::start(|setup, _| {
        let text = "[answer]\nblocking = \"local\"\n";
        setup.policy = Config::from_text(text, Path::new("iqtap.toml")).unwrap().policy().unwrap();
    })
    .await;
    let (mut stuck, mut stucks_server) = lab.joined().await;
    stuck.send("<iq type='get' id='list'><blocklist xmlns='urn:xmpp:blocking'/></iq>").await;
    stuck.expect("</iq>").await;
    let (mut busy, _busys_server) = lab.joined().await;
    let items: String = (0..999).map(|n| format!("<item jid='a@b.example/{n}{}'/>", "x".repeat(200))).collect();
    let begun = Instant::now();
    for round in 0..200 {
        busy.send(&format!("<iq type='set' id='r{round}'><block xmlns='urn:xmpp:blocking'>{items}</block></iq>")).await;
        busy.expect(&format!("type='result' id='r{round}'")).await;
    }
    stucks_server.end().await;
    assert!(begun.elapsed() < Duration::from_secs(45), "it was cut because it stood still, not for what waited");
    busy.send("<iq type='get' id='still'><blocklist xmlns='urn:xmpp:blocking'/></iq>").await;
    busy.expect("id='still'").await;
}
