//! The real binary, `iqtap run`, in the clear before a scripted server; killed if the test fails.

use super::{Command, LIMIT, TcpListener};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What it has said so far.
type Said = Arc<Mutex<String>>;

/// See the module.
pub struct Running {
    pub child: Child,
    pub address: SocketAddr,
    out: Said,
    err: Said,
}

fn hears(from: impl Read + Send + 'static) -> Said {
    let said = Said::default();
    let hears = Arc::clone(&said);
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            *hears.lock().unwrap() += &(line + "\n");
        }
    });
    said
}

impl Running {
    /// Starts it with these arguments beside those that it needs.
    pub fn start(upstream: &TcpListener, more: &[&str]) -> Self {
        Self::by(Command::new(env!("CARGO_BIN_EXE_iqtap")), upstream, more)
    }

    /// Starts it in a shell, after this command, such as `ulimit -n 64`.
    pub fn after(command: &str, upstream: &TcpListener, more: &[&str]) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("{command} && exec \"$@\""), "sh", env!("CARGO_BIN_EXE_iqtap")]);
        Self::by(shell, upstream, more)
    }

    /// Starts it by a command that is made for it.
    pub fn by(command: Command, upstream: &TcpListener, more: &[&str]) -> Self {
        let mut running = Self::printing(command, upstream, more, Stdio::piped());
        running.out = hears(running.child.stdout.take().unwrap());
        running
    }

    /// The same, with its standard output there; piped, it is the caller's to read.
    pub fn printing(mut command: Command, upstream: &TcpListener, more: &[&str], stdout: Stdio) -> Self {
        let upstream = upstream.local_addr().unwrap().to_string();
        command.args(["run", "--listen", "127.0.0.1:0", "--upstream", &upstream]);
        if !more.contains(&"--client-tls") {
            command.args(["--client-tls", "off"]);
        }
        if !more.contains(&"--server-tls") {
            command.args(["--server-tls", "off"]);
        }
        let quiet = more.contains(&"--quiet"); // it does not greet
        let log = if quiet { "warn,iqtap::cli::run=debug" } else { "info" };
        command.args(more).env("RUST_LOG", log).env("NO_COLOR", "1").env_remove("IQTAP_DATA_DIR");
        let mut child = command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
        let err = hears(child.stderr.take().unwrap());
        let mut running = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)), out: Said::default(), err };
        running.says(if quiet { "listening" } else { "Ctrl-C" });
        let err = running.err.lock().unwrap().clone();
        let port = err.split(if quiet { "listen=127.0.0.1:" } else { "listens on 127.0.0.1:" }).nth(1).unwrap();
        running.address.set_port(port.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap());
        running
    }

    /// All that it has said: what it has printed, and its log.
    pub fn said(&self) -> String {
        self.out.lock().unwrap().clone() + self.err.lock().unwrap().as_str()
    }

    /// Waits until it says this.
    #[track_caller]
    pub fn says(&self, words: &str) {
        let begun = Instant::now();
        while !self.said().contains(words) {
            assert!(begun.elapsed() < LIMIT, "it never says {words:?}: {}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn signal(&self, signal: &str) {
        let process = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, process.as_str()]).status().unwrap().success());
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// A number of `/proc/PID/status`, such as `VmRSS` in KiB.
    pub fn status(&self, key: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).unwrap();
        line.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    /// Waits until it has at most so many.
    #[track_caller]
    pub fn has_descriptors(&self, most: usize) {
        let begun = Instant::now();
        while self.descriptors() > most {
            assert!(begun.elapsed() < LIMIT, "it keeps {} descriptors, not {most}", self.descriptors());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Asks it to stop, and waits for its end, which is a good one; gives all that it said.
    pub fn stopped(self) -> String {
        self.signal("-TERM");
        let (code, said) = self.ended();
        assert_eq!(code, Some(0), "{said}");
        said
    }

    /// Waits for its end; gives its exit code and all that it said.
    pub fn ended(mut self) -> (Option<i32>, String) {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status.code(), self.said());
            }
            assert!(begun.elapsed() < LIMIT, "it does not end: {}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
