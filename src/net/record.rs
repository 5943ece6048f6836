//! [`Recording`]: a capture as a sink. Takes notes, gives a file; a full disk costs one message and no traffic.

use super::notes::{SessionInfo, Sink};
use crate::capture::Recorder;
use crate::session::{Note, Tally};
use crate::xmpp::Timestamp;
use std::io;
use std::path::{Path, PathBuf};

/// Writes everything seen to a capture.
#[derive(Debug)]
pub struct Recording {
    path: PathBuf,
    recorder: Option<Recorder>,
}

impl Recording {
    /// Begins one; an earlier capture of that name is replaced, any other file is refused.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        let recorder = Recorder::create(path, concat!("iqtap ", env!("CARGO_PKG_VERSION")))?;
        Ok(Self { path: path.to_owned(), recorder: Some(recorder) })
    }

    fn tried(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            self.recorder = None; // what it wrote so far is whole
            let path = self.path.display();
            tracing::error!(%path, %error, "recording stops here, the sessions go on; is the disk full?");
        }
    }
}

impl Sink for Recording {
    fn take(&mut self, session: &SessionInfo, now: Timestamp, note: &Note) {
        if let Some(recorder) = &mut self.recorder {
            let result = recorder.note(session.number, &session.peer, now, note);
            self.tried(result);
        }
    }

    fn flush(&mut self) {
        if let Some(recorder) = &mut self.recorder {
            let result = recorder.flush();
            self.tried(result);
        }
    }

    fn finish(&mut self, _total: &Tally) {
        if let Some(recorder) = self.recorder.take() {
            let result = recorder.finish();
            self.tried(result);
        }
    }
}
