//! `iqtap replay --as`: one peer's part of a recorded session.

use super::child::Guarded;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use tempfile::TempDir;

/// A running mock server; killed when dropped.
pub(crate) struct Mock {
    process: Guarded,
    pub(crate) port: u16,
    dir: TempDir,
}

impl Mock {
    /// Starts it on a free port, and waits until it listens.
    pub(crate) fn run(capture: &Path, args: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_iqtap"));
        command.args(["replay", "--as", "server", "--listen", "127.0.0.1:0"]).arg(capture);
        command.arg("--data-dir").arg(dir.path().join("data")).args(args);
        let process = Guarded::start(&mut command).unwrap();
        let Some(port) = process.err.find(super::iqtap::listening) else {
            panic!("the mock does not listen:\n{}\n{}", process.out.text(), process.err.text());
        };
        Self { process, port, dir }
    }

    /// The authority its clients must trust.
    pub(crate) fn ca(&self) -> PathBuf {
        self.dir.path().join("data/ca.crt")
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(&mut self) -> ExitStatus {
        self.process.terminate();
        self.process.wait()
    }
}

/// What a played client came to.
pub(crate) struct Played {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Played {
    /// What it told with `--json`.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}\n{}", self.out, self.err))
    }

    /// It must have ended so.
    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.out, self.err);
        self
    }
}

/// Plays the client of a capture against a server; nobody presses a key.
pub(crate) fn play(capture: &Path, port: u16, jid: &str, password: &str, args: &[&str]) -> Played {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, format!("{password}\n")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_iqtap"));
    command.args(["replay", "--as", "client", "--jid", jid, "--to", &format!("127.0.0.1:{port}")]).arg(capture);
    let output = command.arg("--password-file").arg(file).args(args).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Played { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}
