//! [`Recording`]: a capture as a sink. Takes notes, gives blocks to a file, to files that follow one another, or to somebody
//! who reads along; a full disk costs one message and no traffic, or ends everything in order, as it was asked for.

use super::clock::Clock;
use super::notes::{SessionInfo, Sink};
use crate::capture::{Recorder, Rotation, Section, Target};
use crate::session::{Note, Tally};
use crate::store::private;
use crate::xmpp::Timestamp;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;
use tokio::sync::Notify;

/// For the reader of a named pipe to come, before it is said that it is waited for...
const SAY_AFTER: Duration = Duration::from_millis(500);
/// ...and before it is given up.
const READER_TIME: Duration = Duration::from_secs(30);

/// What a recording needs to know.
#[derive(Debug)]
pub struct RecordSetup {
    /// Where it goes.
    pub target: Target,
    /// How files follow one another in a directory.
    pub rotation: Rotation,
    /// What it says of itself.
    pub section: Section,
    /// Rather miss events than hold up sessions.
    pub lossy: bool,
    /// Who hears that it has failed, if that is to end everything.
    pub failed: Option<Failed>,
}

/// Whether a recording has failed.
#[derive(Clone, Debug, Default)]
pub struct Failed(Arc<(AtomicBool, Notify)>);

impl Failed {
    /// Whether it has.
    #[must_use]
    pub fn is_so(&self) -> bool {
        self.0.0.load(Ordering::Acquire)
    }

    /// Done when it has.
    pub async fn happens(&self) {
        self.0.1.notified().await;
    }

    fn set(&self) {
        self.0.0.store(true, Ordering::Release);
        self.0.1.notify_one();
    }
}

/// Writes everything seen to a capture.
#[derive(Debug)]
pub struct Recording {
    /// Where it goes, for people.
    place: String,
    recorder: Option<Recorder>,
    lossy: bool,
    missed: u64,
    failed: Option<Failed>,
}

impl Recording {
    /// Begins one in a file; an earlier capture of that name is replaced, any other file is refused.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        let recorder = Recorder::create(path, PROGRAM)?;
        let place = path.display().to_string();
        Ok(Self { place, recorder: Some(recorder), lossy: false, missed: 0, failed: None })
    }

    /// Begins one. A named pipe is waited for until somebody reads it, for some time.
    ///
    /// # Errors
    /// If it cannot be written to.
    pub fn begin(setup: RecordSetup) -> io::Result<Self> {
        let section = Section { app: PROGRAM.to_owned(), ..setup.section };
        let (place, recorder) = match setup.target {
            Target::Output => ("standard output".to_owned(), Recorder::reader(output()?, section)?),
            Target::Folder(path) => {
                private::directory(&path)
                    .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
                let now = Clock::start().now();
                (path.display().to_string(), Recorder::folder(&path, setup.rotation, section, now)?)
            }
            Target::File(path) if Target::File(path.clone()).is_pipe() => {
                (path.display().to_string(), pipe(&path, section, READER_TIME)?)
            }
            Target::File(path) => (path.display().to_string(), Recorder::file(&path, section)?),
        };
        Ok(Self { place, recorder: Some(recorder), lossy: setup.lossy, missed: 0, failed: setup.failed })
    }

    fn tried(&mut self, result: io::Result<()>) {
        let Err(error) = result else { return };
        self.recorder = None; // what it wrote so far is whole
        let (place, then) = (&self.place, if self.failed.is_some() { "everything ends" } else { "the sessions go on" });
        let perhaps = match error.kind() {
            io::ErrorKind::BrokenPipe => "nobody reads it any more",
            _ => "is the disk full?",
        };
        tracing::error!(%place, %error, "recording stops here, {then}; {perhaps}");
        if let Some(failed) = &self.failed {
            failed.set();
        }
    }
}

const PROGRAM: &str = concat!("iqtap ", env!("CARGO_PKG_VERSION"));

/// The standard output, without the buffer that looks for lines.
fn output() -> io::Result<Box<dyn Write + Send>> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        Ok(Box::new(std::fs::File::from(io::stdout().as_fd().try_clone_to_owned()?)))
    }
    #[cfg(not(unix))]
    Ok(Box::new(io::stdout()))
}

/// Opens a named pipe, which does not return before somebody reads it: a thread of its own waits.
fn pipe(path: &Path, section: Section, time: Duration) -> io::Result<Recorder> {
    let (sender, opened) = channel();
    let opens: PathBuf = path.to_owned();
    std::thread::spawn(move || {
        let _ = sender.send(Recorder::file(&opens, section)); // nobody may wait any more
    });
    if let Ok(recorder) = opened.recv_timeout(SAY_AFTER) {
        return recorder;
    }
    let (path, seconds) = (path.display(), time.as_secs());
    tracing::warn!(%path, "waiting for somebody to read this named pipe, for {seconds} s (such as `wireshark -k -i {path}`)");
    match opened.recv_timeout(time) {
        Ok(recorder) => recorder,
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
            let why = format!("{path}: nobody has read this named pipe for {seconds} s; start its reader, then iqtap");
            Err(io::Error::new(io::ErrorKind::TimedOut, why))
        }
    }
}

impl Sink for Recording {
    fn may_miss(&self) -> bool {
        self.lossy
    }

    fn take(&mut self, session: &SessionInfo, now: Timestamp, note: &Note) {
        if let Some(recorder) = &mut self.recorder {
            recorder.under(session.number, session.policy, &session.source);
            let result = recorder.note(session.number, &session.peer, now, note);
            self.tried(result);
        }
    }

    fn missed(&mut self, events: u64) -> bool {
        let Some(recorder) = &mut self.recorder else { return true };
        recorder.missed(events);
        if self.missed == 0 {
            let place = &self.place;
            tracing::warn!(%place, "recording cannot keep up: events are missing from here on; how many is said at the end");
        }
        self.missed = self.missed.saturating_add(events);
        true
    }

    fn flush(&mut self) {
        if let Some(recorder) = &mut self.recorder {
            let result = recorder.flush();
            self.tried(result);
        }
    }

    fn idle(&mut self) {
        if self.recorder.as_ref().is_some_and(Recorder::is_read_along) {
            self.flush();
        }
    }

    fn finish(&mut self, _total: &Tally) {
        if let Some(recorder) = self.recorder.take() {
            let result = recorder.finish();
            self.tried(result);
        }
        if self.missed > 0 {
            let (place, missed) = (&self.place, self.missed);
            tracing::warn!(%place, "{missed} events were not recorded: the capture has holes");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_pipe_that_nobody_reads_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert!(Target::of(&path).is_pipe());
        let error = pipe(&path, Section::default(), Duration::from_millis(300)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(error.to_string().contains("nobody has read this named pipe"), "{error}");
    }
}
