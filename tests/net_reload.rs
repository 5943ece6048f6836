//! New policies for sessions that live: between two stanzas, nothing lost, nothing kept. And the same from real files.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on must stop")]

mod net_support;

use iqtap::config::{Config, Upstream};
use iqtap::loopback::{Loopback, Options};
use iqtap::net::{News, Reloader, Scripts, Server, SessionInfo, Setup, Sink};
use iqtap::policy::{ClientTls, Policy, ServerTls};
use iqtap::script::{ScriptLimits, ScriptSet};
use iqtap::session::{Note, Tally};
use iqtap::xmpp::Timestamp;
use net_support::{Lab, Peer, soon};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak, mpsc};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// A script that marks messages with a version.
fn marking(version: usize) -> String {
    format!("fn on_message(m) {{\n    m.set_text(\"mark\", \"v{version}\");\n}}\n")
}

fn policy(text: &str) -> Policy {
    let scripts = ScriptSet::from_text(Path::new("mark.rhai"), text, ScriptLimits::default()).unwrap();
    Policy { scripts, ..Policy::default() }
}

const MESSAGE: &str = "<message to='romeo@example.org' id='m'><mark>none</mark></message>";

/// What becomes of a message.
async fn mark(client: &mut Peer, server: &mut Peer) -> String {
    client.send(MESSAGE).await;
    let said = server.expect("</message>").await;
    said.split_once("<mark>").unwrap().1.split_once("</mark>").unwrap().0.to_owned()
}

#[tokio::test]
async fn a_new_policy_reaches_who_talks_who_sits_idle_and_who_comes() {
    let lab = Lab::start(|setup, _| setup.policy = policy(&marking(1))).await;
    let (mut client, mut server) = lab.joined().await;
    let _idle = lab.joined().await;
    let _silent = lab.client().await;
    assert_eq!(mark(&mut client, &mut server).await, "v1");
    let old = Arc::downgrade(&lab.reloader.in_force());
    assert_eq!(lab.reloader.publish(policy(&marking(2))), 1);
    assert_eq!(mark(&mut client, &mut server).await, "v2");
    soon(freed(&[old])).await; // the idle one, too, has let go of it
    assert_eq!(lab.reloader.publish(policy(&marking(3))), 2);
    assert_eq!(lab.reloader.in_force().number, 2);
    let (mut new_client, mut new_server) = lab.joined().await;
    assert_eq!(mark(&mut new_client, &mut new_server).await, "v3");
    assert_eq!(mark(&mut client, &mut server).await, "v3");
    lab.stopped().await;
}

/// Done when nobody has these any more.
async fn freed(policies: &[Weak<Policy>]) {
    while policies.iter().any(|policy| policy.strong_count() > 0) {
        sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn half_a_stanza_is_judged_by_the_policy_of_its_end() {
    let lab = Lab::start(|setup, _| setup.policy = policy(&marking(1))).await;
    let (mut client, mut server) = lab.joined().await;
    let (first, rest) = MESSAGE.split_at(20);
    let old = Arc::downgrade(&lab.reloader.in_force());
    client.send(first).await;
    lab.reloader.publish(policy(&marking(2)));
    soon(freed(&[old])).await;
    client.send(rest).await;
    assert!(server.expect("</message>").await.contains("<mark>v2</mark>"));
}

/// A proxy in front of the built-in server.
async fn behind_loopback(policy: Policy, directory: &Path) -> (SocketAddr, Reloader, [oneshot::Sender<()>; 2]) {
    let upstream = Loopback::bind(([127, 0, 0, 1], 0).into(), Options::default()).await.unwrap();
    let port = upstream.local_addr().unwrap().port();
    let upstream_name = Upstream { host: "127.0.0.1".to_owned(), port };
    let mut setup = Setup::new(([127, 0, 0, 1], 0).into(), upstream_name, directory.to_owned());
    (setup.terms.route.client_tls, setup.terms.route.server_tls, setup.policy) =
        (ClientTls::Off, ServerTls::Off, policy);
    let proxy = Server::bind(setup).await.unwrap();
    let (address, reloader) = (proxy.local_addr().unwrap(), proxy.reloader());
    let ([stop_proxy, stop_upstream], [proxy_stopped, upstream_stopped]) = {
        let (one, other) = (oneshot::channel(), oneshot::channel());
        ([one.0, other.0], [one.1, other.1])
    };
    tokio::spawn(upstream.run(async { drop(upstream_stopped.await) }));
    tokio::spawn(proxy.run(async { drop(proxy_stopped.await) }));
    (address, reloader, [stop_proxy, stop_upstream])
}

/// Logs in at the built-in server; gives the address that it bound.
async fn log_in(peer: &mut Peer, user: usize) -> String {
    use base64::Engine as _;
    let header = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
                  to='example.org' version='1.0'>";
    let plain = base64::engine::general_purpose::STANDARD.encode(format!("\0user{user}\0secret"));
    peer.send(header).await;
    peer.expect("</stream:features>").await;
    peer.send(&format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{plain}</auth>")).await;
    peer.expect("<success").await;
    peer.expect(">").await;
    peer.send(header).await;
    peer.expect("</stream:features>").await;
    peer.send(
        "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r</resource></bind></iq>",
    )
    .await;
    let bound = peer.expect("</iq>").await;
    bound.split_once("<jid>").unwrap().1.split_once("</jid>").unwrap().0.to_owned()
}

/// Sends itself messages through proxy and server, one after the other, until it is told to stop; each must come back
/// once, in order, marked by versions that never go back. Gives how often the version was another.
async fn talk(address: SocketAddr, user: usize, stage: Arc<Stage>) -> usize {
    let mut peer = Peer::new(TcpStream::connect(address).await.unwrap());
    let jid = log_in(&mut peer, user).await;
    stage.ready.fetch_add(1, Ordering::Relaxed);
    let (mut number, mut newest, mut changes) = (0, 0, 0);
    // Some are on their way at any time.
    while !stage.stop.load(Ordering::Relaxed) {
        let batch: String = (number..number + 8)
            .map(|n| format!("<message to='{jid}' id='u{user}m{n}'><mark>v0</mark></message>"))
            .collect();
        peer.send(&batch).await;
        for n in number..number + 8 {
            let said = peer.expect("</message>").await;
            assert!(said.contains(&format!("'u{user}m{n}'")), "not message {n} of user {user}: {said}");
            assert_eq!(said.matches("<message").count(), 1, "{said}");
            let mark = said.split_once("<mark>v").unwrap().1.split_once("</mark>").unwrap().0;
            let version: usize = mark.parse().unwrap();
            assert!(version >= newest && version > 0, "marked by {version} after {newest}");
            changes += usize::from(version > newest);
            newest = version;
        }
        number += 8;
    }
    peer.send("</stream:stream>").await;
    peer.expect("</stream:stream>").await;
    changes
}

/// What those who talk and those who reload tell each other.
#[derive(Default)]
struct Stage {
    ready: AtomicUsize,
    stop: AtomicBool,
}

impl Stage {
    /// Fifty who talk; all of them have logged in.
    async fn fifty(self: &Arc<Self>, address: SocketAddr) -> Vec<JoinHandle<usize>> {
        let talking = (0..50).map(|user| tokio::spawn(talk(address, user, Arc::clone(self)))).collect();
        soon(async {
            while self.ready.load(Ordering::Relaxed) < 50 {
                sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
        talking
    }

    /// All have got back what they sent; how many changes they saw together.
    async fn ended(&self, talking: Vec<JoinHandle<usize>>) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let mut changes = 0;
        for talk in talking {
            changes += soon(talk).await.unwrap();
        }
        changes
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_reloads_while_fifty_sessions_talk() {
    let directory = tempfile::tempdir().unwrap();
    let (address, reloader, stops) = behind_loopback(policy(&marking(1)), directory.path()).await;
    let stage = Arc::<Stage>::default();
    let talking = stage.fifty(address).await;
    let publisher = reloader.clone();
    let published = tokio::task::spawn_blocking(move || {
        let mut alive_at_most = 0;
        let mut old = Vec::new();
        for version in 2..=1001 {
            publisher.publish(policy(&marking(version)));
            old.push(Arc::downgrade(&publisher.in_force()));
            alive_at_most = alive_at_most.max(old.iter().filter(|policy| policy.strong_count() > 0).count());
        }
        (old, alive_at_most)
    });
    let (mut old, alive_at_most) = published.await.unwrap();
    let newest = old.pop().unwrap();
    soon(freed(&old)).await;
    assert_eq!(newest.strong_count(), Arc::strong_count(&reloader.in_force()) - 1);
    assert_eq!(reloader.in_force().number, 1000);
    // Each session has one, each more that is made is one more; never are all of them kept.
    assert!(alive_at_most <= 60, "{alive_at_most} policies were alive at once");
    let changes = stage.ended(talking).await;
    assert!(changes > 50, "those who talked saw only {changes} changes");
    drop(stops);
}

/// Takes what is told of reloads.
struct Herald(mpsc::Sender<News>);

impl Sink for Herald {
    fn wants_stanzas(&self) -> bool {
        false
    }
    fn take(&mut self, _: &SessionInfo, _: Timestamp, _: &Note) {}
    fn news(&mut self, _: Timestamp, news: &News) {
        let _ = self.0.send(news.clone());
    }
    fn finish(&mut self, _: &Tally) {}
}

/// A proxy whose scripts are followed.
struct Followed {
    lab: Lab,
    news: mpsc::Receiver<News>,
    follower: iqtap::net::Follower,
    names: Vec<PathBuf>,
}

impl Followed {
    /// With these files, which exist already.
    async fn start(names: Vec<PathBuf>, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config { scripts: names.clone(), ..Config::default() };
        change(&mut config);
        let (scripts, policy) = Scripts::load(&config).unwrap();
        let (told, news) = mpsc::channel();
        let lab = Lab::start(|setup, _| {
            setup.policy = policy;
            setup.sinks = vec![Box::new(Herald(told))];
        })
        .await;
        let follower = scripts.follow(lab.reloader.clone());
        Self { lab, news, follower, names }
    }

    async fn news(&mut self) -> News {
        let news = &self.news;
        tokio::task::block_in_place(|| news.recv_timeout(Duration::from_secs(20))).unwrap()
    }

    /// The policy's number, once it is told that this file was reloaded.
    async fn reloaded(&mut self, name: &Path) -> u64 {
        match self.news().await {
            News::Reloaded { files, policy, .. } => {
                assert_eq!(files, [name]);
                policy
            }
            other => panic!("{other:?}"),
        }
    }

    /// What is told of a version that cannot be used.
    async fn refused(&mut self) -> String {
        match self.news().await {
            News::NotReloaded { error, policy, .. } => {
                assert_eq!(policy, self.lab.reloader.in_force().number);
                error.to_string()
            }
            other => panic!("{other:?}"),
        }
    }

    /// Nothing is told for so long that a reload would have been.
    async fn silence(&self) {
        sleep(Duration::from_millis(700)).await;
        assert_eq!(self.news.try_recv().ok(), None);
    }
}

fn save_by_rename(path: &Path, text: &str) {
    let other = path.with_extension("swp");
    std::fs::write(&other, text).unwrap();
    std::fs::rename(&other, path).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_a_file_is_saved_it_is_reloaded_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mark.rhai");
    std::fs::write(&path, marking(1)).unwrap();
    let mut followed = Followed::start(vec![path.clone()], |_| {}).await;
    let (mut client, mut server) = followed.lab.joined().await;
    assert_eq!(mark(&mut client, &mut server).await, "v1");
    std::fs::write(&path, marking(2)).unwrap();
    assert_eq!(followed.reloaded(&path).await, 2);
    assert_eq!(mark(&mut client, &mut server).await, "v2");
    save_by_rename(&path, &marking(3));
    assert_eq!(followed.reloaded(&path).await, 3);
    assert_eq!(mark(&mut client, &mut server).await, "v3");
    // As vim does with `backupcopy=no`: the old one aside, a new one under the name, the old one away.
    let aside = directory.path().join("mark.rhai~");
    std::fs::rename(&path, &aside).unwrap();
    sleep(Duration::from_millis(200)).await; // slowly
    std::fs::write(&path, marking(4)).unwrap();
    std::fs::remove_file(&aside).unwrap();
    assert_eq!(followed.reloaded(&path).await, 4);
    // Saved unchanged; another file in the same place; written in many small steps.
    std::fs::write(&path, marking(4)).unwrap();
    std::fs::write(directory.path().join("other.rhai"), "nonsense(").unwrap();
    followed.silence().await;
    let text = marking(5);
    for end in (1..=text.len()).step_by(16).chain([text.len()]) {
        std::fs::write(&path, &text[..end]).unwrap();
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(followed.reloaded(&path).await, 5);
    assert_eq!(mark(&mut client, &mut server).await, "v5");
    followed.silence().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_broken_is_told_once_and_the_old_version_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let [path, other] = ["mark.rhai", "other.rhai"].map(|name| directory.path().join(name));
    std::fs::write(&path, marking(1)).unwrap();
    std::fs::write(&other, "fn on_presence(p) { }").unwrap();
    let mut followed = Followed::start(vec![path.clone(), other.clone()], |_| {}).await;
    let (mut client, mut server) = followed.lab.joined().await;
    let broken = "fn on_message(m) {\n    let x = ;\n}\n";
    std::fs::write(&path, broken).unwrap();
    let why = followed.refused().await;
    assert!(why.contains("mark.rhai:2:13: "), "{why}");
    for _ in 0..50 {
        std::fs::write(&path, broken).unwrap(); // an editor that saves too often
        sleep(Duration::from_millis(10)).await;
    }
    followed.silence().await;
    assert_eq!(mark(&mut client, &mut server).await, "v1");
    // The other one alone does not mend it, and is told of with the first when both are whole.
    std::fs::write(&other, "fn on_presence(p) { pass() }").unwrap();
    assert!(followed.refused().await.contains("mark.rhai:2:13: "));
    std::fs::write(&path, marking(1)).unwrap();
    assert_eq!(
        followed.news().await,
        News::Reloaded { files: vec![path.clone(), other.clone()], policy: 2, restart: vec![] }
    );
    // Away, which is told when it has not come back; then back.
    std::fs::remove_file(&path).unwrap();
    let why = followed.refused().await;
    assert!(why.contains("mark.rhai: cannot be read"), "{why}");
    followed.silence().await;
    assert_eq!(mark(&mut client, &mut server).await, "v1");
    std::fs::write(&path, marking(7)).unwrap();
    assert_eq!(followed.reloaded(&path).await, 3);
    assert_eq!(mark(&mut client, &mut server).await, "v7");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_may_be_turned_and_directories_replaced() {
    use std::os::unix::fs::symlink;
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    for version in [1, 2] {
        std::fs::create_dir(root.join(format!("v{version}"))).unwrap();
        std::fs::write(root.join(format!("v{version}/mark.rhai")), marking(version)).unwrap();
    }
    symlink("v1", root.join("now")).unwrap();
    symlink("now/mark.rhai", root.join("link.rhai")).unwrap();
    let path = root.join("link.rhai");
    let mut followed = Followed::start(vec![path.clone()], |_| {}).await;
    // The link between is turned by renaming another over it.
    symlink("v2", root.join("next")).unwrap();
    std::fs::rename(root.join("next"), root.join("now")).unwrap();
    assert_eq!(followed.reloaded(&path).await, 2);
    // What it leads to now is saved.
    std::fs::write(root.join("v2/mark.rhai"), marking(3)).unwrap();
    assert_eq!(followed.reloaded(&path).await, 3);
    // Its directory is replaced, and then saved to again.
    std::fs::create_dir(root.join("new")).unwrap();
    std::fs::write(root.join("new/mark.rhai"), marking(4)).unwrap();
    std::fs::rename(root.join("v2"), root.join("gone")).unwrap();
    std::fs::rename(root.join("new"), root.join("v2")).unwrap();
    assert_eq!(followed.reloaded(&path).await, 4);
    save_by_rename(&root.join("v2/mark.rhai"), &marking(5));
    assert_eq!(followed.reloaded(&path).await, 5);
    // Removed with all that is in it, and made anew.
    std::fs::remove_dir_all(root.join("v2")).unwrap();
    followed.refused().await;
    std::fs::create_dir(root.join("v2")).unwrap();
    std::fs::write(root.join("v2/mark.rhai"), marking(6)).unwrap();
    assert_eq!(followed.reloaded(&path).await, 6);
    save_by_rename(&root.join("v2/mark.rhai"), &marking(7));
    assert_eq!(followed.reloaded(&path).await, 7);
    let (mut client, mut server) = followed.lab.joined().await;
    assert_eq!(mark(&mut client, &mut server).await, "v7");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_watching_it_is_reloaded_when_asked_to() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mark.rhai");
    std::fs::write(&path, marking(1)).unwrap();
    let mut followed = Followed::start(vec![path.clone()], |config| config.reload = false).await;
    std::fs::write(&path, marking(2)).unwrap();
    followed.silence().await;
    followed.follower.reload();
    assert_eq!(followed.reloaded(&path).await, 2);
    followed.follower.reload(); // unchanged, but asked for
    let names = followed.names.clone();
    assert_eq!(followed.news().await, News::Reloaded { files: names, policy: 3, restart: vec![] });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changed_before_it_was_watched_is_reloaded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mark.rhai");
    std::fs::write(&path, marking(1)).unwrap();
    let config = Config { scripts: vec![path.clone()], ..Config::default() };
    let (scripts, old) = Scripts::load(&config).unwrap();
    std::fs::write(&path, marking(2)).unwrap();
    let lab = Lab::start(|setup, _| setup.policy = old).await;
    let follower = scripts.follow(lab.reloader.clone());
    soon(async {
        while lab.reloader.in_force().number < 2 {
            sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
    // Who is not followed any more is left alone.
    drop(follower);
    std::fs::write(&path, marking(3)).unwrap();
    sleep(Duration::from_millis(300)).await;
    assert_eq!(lab.reloader.in_force().number, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_saves_while_fifty_sessions_talk() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mark.rhai");
    std::fs::write(&path, marking(1)).unwrap();
    let config = Config { scripts: vec![path.clone()], ..Config::default() };
    let (scripts, first) = Scripts::load(&config).unwrap();
    let (address, reloader, stops) = behind_loopback(first, directory.path()).await;
    let _follower = scripts.follow(reloader.clone());
    let stage = Arc::<Stage>::default();
    let talking = stage.fifty(address).await;
    let version = AtomicUsize::new(1);
    let save = || {
        let next = version.fetch_add(1, Ordering::Relaxed) + 1;
        let text = marking(next);
        if next.is_multiple_of(2) { save_by_rename(&path, &text) } else { std::fs::write(&path, text).unwrap() }
    };
    // Some tens that are each seen, then as many as can be in a while.
    for _ in 0..20 {
        let before = reloader.in_force().number;
        save();
        soon(async {
            while reloader.in_force().number == before {
                sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }
    let begun = Instant::now();
    for _ in 0..200 {
        save();
        sleep(Duration::from_millis(1)).await;
    }
    let last = version.load(Ordering::Relaxed);
    let mut checker = Peer::new(TcpStream::connect(address).await.unwrap());
    let jid = log_in(&mut checker, 99).await;
    soon(async {
        loop {
            checker.send(&format!("<message to='{jid}' id='c'><mark>v0</mark></message>")).await;
            if checker.expect("</message>").await.contains(&format!("<mark>v{last}</mark>")) {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    // What is saved while the last version is looked at is one reload more, not one each.
    let at_most = 22 + begun.elapsed().as_millis() / 100;
    assert!(u128::from(reloader.in_force().number) <= at_most, "{} reloads", reloader.in_force().number);
    let changes = stage.ended(talking).await;
    assert!(changes >= 50 * 10, "those who talked saw only {changes} changes");
    drop(stops);
}
