//! What stands between clients and server: nothing, or a process of its own on a free port, with one worker thread.

use crate::Outcome;
use crate::options::transport;
use crate::server::Addresses;
use crate::usage::Usage;
use crate::wire::Files;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// For a process to begin to listen.
const START_TIME: Duration = Duration::from_secs(10);

/// Through what the clients talk to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Through {
    Direct,
    Relay,
    Haproxy,
    /// iqtap, all rules reporting.
    Report,
    /// iqtap, all rules enforced, and a script that looks at four fields of the head of every IQ.
    Enforce,
    /// iqtap with a hook for IQs of a namespace that does not come.
    Elsewhere,
    /// iqtap that records everything.
    Record,
    /// iqtap that answers pings itself.
    Answer,
    /// iqtap with two worker threads.
    Workers,
}

impl Through {
    pub(crate) const ALL: [Self; 9] = [
        Self::Direct,
        Self::Relay,
        Self::Haproxy,
        Self::Report,
        Self::Enforce,
        Self::Elsewhere,
        Self::Record,
        Self::Answer,
        Self::Workers,
    ];

    /// What tables call it, and `--only`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Relay => "bare relay",
            Self::Haproxy => "HAProxy",
            Self::Report => "iqtap, reporting",
            Self::Enforce => "iqtap, enforcing, hook on every IQ",
            Self::Elsewhere => "iqtap, hook for another namespace",
            Self::Record => "iqtap, recording",
            Self::Answer => "iqtap, answering pings",
            Self::Workers => "iqtap, two worker threads",
        }
    }
}

const FOUR_TESTS: &str = "fn on_iq(iq) {
    if iq.type == \"set\" { return reject(\"not-allowed\"); }
    if iq.direction == \"other\" { return reject(\"not-allowed\"); }
    if iq.payload_ns == \"vcard-temp\" { return reject(\"not-allowed\"); }
    if iq.to == \"mercutio@example.net\" { return reject(\"not-allowed\"); }
    pass()
}
";
const ANOTHER_NAMESPACE: &str = "const WANTS = #{ on_iq: #{ ns: \"urn:example:other\" } };
fn on_iq(iq) { reject(\"not-allowed\") }
";

/// A proxy that runs, or the server itself.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    child: Option<Child>,
    _folder: TempDir,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill(); // it may have ended
            let _ = child.wait();
        }
    }
}

impl Proxy {
    /// Starts it before the server. `None` if it is not there on this machine.
    pub(crate) fn start(through: Through, tls: bool, server: Addresses, files: &Files) -> Outcome<Option<Self>> {
        let upstream = if tls { server.tls } else { server.plain };
        let folder = TempDir::new()?;
        if through == Through::Direct {
            return Ok(Some(Self { address: upstream, child: None, _folder: folder }));
        }
        let address = free()?;
        let mut command = match through {
            Through::Relay => relay(address, upstream, tls, files)?,
            Through::Haproxy if !is_there("haproxy") => return Ok(None),
            Through::Haproxy => haproxy(address, upstream, tls, files, folder.path())?,
            _ => iqtap(through, address, upstream, tls, files, folder.path())?,
        };
        let log = folder.path().join("log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&log)?);
        let proxy = Self { address, child: Some(command.spawn()?), _folder: folder };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            if began.elapsed() > START_TIME {
                let said = fs::read_to_string(&log).unwrap_or_default();
                return Err(format!("{} does not listen: {said}", through.name()).into());
            }
            sleep(Duration::from_millis(10));
        }
        sleep(Duration::from_millis(100)); // that connection is gone again
        Ok(Some(proxy))
    }

    /// What it has used so far; nothing, if it is the server itself.
    pub(crate) fn usage(&self) -> Outcome<Option<Usage>> {
        self.child.as_ref().map(|child| Usage::of(child.id())).transpose()
    }
}

/// A port that nobody uses just now, below those that the kernel gives to connections.
fn free() -> Outcome<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 12_000)?;
    for _ in 0..1000 {
        let port = 20_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return Ok(listener.local_addr()?);
        }
    }
    Err("no port is free".into())
}

fn is_there(program: &str) -> bool {
    Command::new(program)
        .arg("-v")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|ended| ended.success())
}

fn relay(listen: SocketAddr, upstream: SocketAddr, tls: bool, files: &Files) -> Outcome<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    let folder = files.authority.parent().ok_or("no folder")?;
    command.args([crate::RELAY, &listen.to_string(), &upstream.to_string(), transport(tls)]).arg(folder);
    Ok(command)
}

fn haproxy(listen: SocketAddr, upstream: SocketAddr, tls: bool, files: &Files, folder: &Path) -> Outcome<Command> {
    let (shows, believes) = if tls {
        let (both, authority) = (files.both.display(), files.authority.display());
        (format!(" ssl crt {both}"), format!(" ssl verify required ca-file {authority} sni str(example.org)"))
    } else {
        (String::new(), String::new())
    };
    let text = format!(
        "global\n  nbthread 1\n  maxconn 8000\n  tune.ssl.default-dh-param 2048\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n\
         listen load\n  bind {listen}{shows}\n  server only {upstream}{believes}\n"
    );
    let path = folder.join("haproxy.cfg");
    fs::write(&path, text)?;
    let mut command = Command::new("haproxy");
    command.args(["-q", "-db", "-f"]).arg(path);
    Ok(command)
}

/// The real program, as an operator would run it, but for its folder and port.
fn iqtap(
    through: Through,
    listen: SocketAddr,
    upstream: SocketAddr,
    tls: bool,
    files: &Files,
    folder: &Path,
) -> Outcome<Command> {
    let (rules, workers) = (
        if through == Through::Enforce { "enforce" } else { "report" },
        if through == Through::Workers { "2" } else { "1" },
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_iqtap"));
    command.env_remove("RUST_LOG").env_remove("IQTAP_DATA_DIR");
    command.args(["run", "--quiet", "--rules", rules, "--worker-threads", workers]);
    command.args(["--listen", &listen.to_string(), "--upstream", &upstream.to_string(), "--data-dir"]).arg(folder);
    let mode = if tls { "direct" } else { "off" };
    command.args(["--client-tls", mode, "--server-tls", mode]);
    if tls {
        command.arg("--cert").arg(&files.certificate).arg("--key").arg(&files.key);
        command.arg("--server-ca").arg(&files.authority);
    }
    let script = match through {
        Through::Enforce => Some(FOUR_TESTS),
        Through::Elsewhere => Some(ANOTHER_NAMESPACE),
        _ => None,
    };
    if let Some(text) = script {
        let path = folder.join("hook.rhai");
        fs::write(&path, text)?;
        command.arg("--script").arg(path);
    }
    match through {
        Through::Record => {
            let path = folder.join("captures");
            fs::create_dir(&path)?;
            command.arg("--record").arg(path).args(["--record-size", "64MB", "--record-total", "256MB"]);
        }
        Through::Answer => drop(command.args(["--answer", "ping=local"])),
        _ => {}
    }
    Ok(command)
}
