//! A child process that never outlives the test, however the test ends, and whose output is kept.

use super::lines::Lines;
use std::io::Write as _;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

/// Killed when dropped. Should this process be killed itself, a shell that waits for the end of a pipe does it.
pub(crate) struct Guarded {
    child: Child,
    /// Where it reads, if it does.
    stdin: Option<ChildStdin>,
    watch: Child,
    _pipe: Option<ChildStdin>,
    pub(crate) out: Lines,
    pub(crate) err: Lines,
}

impl Guarded {
    pub(crate) fn start(command: &mut Command) -> std::io::Result<Self> {
        Self::reading(command, Stdio::null())
    }

    /// The same with a standard input, for [`Self::say`].
    pub(crate) fn listening(command: &mut Command) -> std::io::Result<Self> {
        Self::reading(command, Stdio::piped())
    }

    fn reading(command: &mut Command, stdin: Stdio) -> std::io::Result<Self> {
        let mut child = command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut watch = Command::new("sh")
            .args(["-c", "read -r _; kill -9 \"$1\"", "sh", &child.id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let pipe = watch.stdin.take();
        let (out, err) = (Lines::of(child.stdout.take().unwrap()), Lines::of(child.stderr.take().unwrap()));
        Ok(Self { stdin: child.stdin.take(), child, watch, _pipe: pipe, out, err })
    }

    /// Writes a line to its standard input.
    pub(crate) fn say(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Asks it to end, as `kill` does.
    pub(crate) fn terminate(&self) {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Ends it at once, without asking, as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Waits for its end: of its output first, which needs no looking at the clock.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        assert!(self.out.wait_end(), "the process goes on:\n{}\n{}", self.out.text(), self.err.text());
        self.child.wait().unwrap()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // The watch first: it must not kill whoever gets the child's number next.
        for process in [&mut self.watch, &mut self.child] {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
