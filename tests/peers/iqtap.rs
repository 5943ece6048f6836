//! `iqtap run`, in front of some server.

use super::child::Guarded;
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use tempfile::TempDir;

/// The flags that leave both legs in clear text.
pub(crate) const CLEAR: [&str; 4] = ["--client-tls", "off", "--server-tls", "off"];

/// A running proxy; killed when dropped.
pub(crate) struct Iqtap {
    process: Guarded,
    pub(crate) port: u16,
    dir: TempDir,
}

impl Iqtap {
    /// Starts it with a folder of its own for its data, on a free port, and waits until it listens.
    pub(crate) fn run(upstream_port: u16, args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_iqtap"));
        command.args(["run", "--listen", "127.0.0.1:0", "--upstream"]).arg(format!("127.0.0.1:{upstream_port}"));
        command.arg("--data-dir").arg(dir.path().join("data")).args(args).current_dir(&dir);
        if args.contains(&"--quiet") {
            command.env("RUST_LOG", "warn,iqtap::cli::run=debug"); // it does not greet
        }
        let process = Guarded::start(&mut command).unwrap();
        let Some(port) = process.err.find(listening) else {
            panic!("iqtap does not listen:\n{}\n{}", process.out.text(), process.err.text());
        };
        Self { process, port, dir }
    }

    /// The authority its clients must trust.
    pub(crate) fn ca(&self) -> PathBuf {
        self.dir.path().join("data/ca.crt")
    }

    /// Asks it to end, as a service manager does, and waits until it has.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.process.terminate();
        self.process.wait()
    }

    /// Ends it with SIGKILL: it can do nothing more.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
        self.process.wait();
    }

    /// Waits until it has printed this.
    #[track_caller]
    pub(crate) fn prints(&self, text: &str) {
        let there = self.process.out.find(|line| line.contains(text).then_some(()));
        assert!(there.is_some(), "iqtap does not print {text}:\n{}", self.log());
    }

    /// The first of what it prints in which `pick` finds something.
    #[track_caller]
    pub(crate) fn printed<T>(&self, pick: impl FnMut(&str) -> Option<T>) -> T {
        self.process.out.find(pick).unwrap_or_else(|| panic!("iqtap does not print it:\n{}", self.log()))
    }

    /// What it told with `--json`, once it has ended.
    pub(crate) fn events(&self) -> Vec<Value> {
        let text = self.process.out.text();
        text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    /// What it found worth telling, with `--json`, once it has ended: severity, code and leg of each finding.
    pub(crate) fn findings(&self) -> Vec<String> {
        let found = self.events().into_iter().filter(|event| event["event"] == "finding");
        let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        let told = |event: Value| {
            let finding = &event["findings"][0];
            format!("{} {} {}", text(&finding["severity"]), text(&finding["code"]), text(&event["side"]))
        };
        found.map(told).collect()
    }

    /// What it printed so far.
    pub(crate) fn log(&self) -> String {
        format!("{}\n{}", self.process.out.text(), self.process.err.text())
    }
}

impl Drop for Iqtap {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- what iqtap printed\n{}", self.log());
        }
    }
}

/// The port, if this is the line that tells: `iqtap 0.1.0 listens on 127.0.0.1:40000`, or the log's `listening
/// listen=127.0.0.1:40000`.
pub(super) fn listening(line: &str) -> Option<u16> {
    let (_, address) = line.split_once(" listens on ").or_else(|| line.split_once(" listening listen="))?;
    address.trim().rsplit_once(':')?.1.parse().ok()
}
