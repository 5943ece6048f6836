//! A real server in a folder and on ports of its own: what Prosody and ejabberd have in common.

use super::child::Guarded;
use super::{Certs, Need, ejabberd, free_port, prosody};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tempfile::TempDir;

/// How many accounts every server has. A test that writes something takes one for itself.
pub(super) const USERS: usize = 16;

/// Name and password of an account. The password is a word that stands nowhere else, so that it can be looked for.
pub(crate) fn user(number: usize) -> (String, String) {
    assert!(number < USERS, "raise USERS");
    (format!("user{number}"), format!("Geheim{number}Wort"))
}

/// Which program it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Make {
    Prosody,
    Ejabberd,
}

impl Make {
    pub(crate) fn need(self) -> Need {
        match self {
            Self::Prosody => Need::Prosody,
            Self::Ejabberd => Need::Ejabberd,
        }
    }

    /// The server all tests share while one of them uses it; it ends with the last of them.
    /// (A plain static would never be dropped, and the server would outlive the tests.)
    pub(crate) fn shared(self) -> Arc<Server> {
        static SHARED: [Mutex<Weak<Server>>; 2] = [Mutex::new(Weak::new()), Mutex::new(Weak::new())];
        let mut shared = SHARED[self as usize].lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let new = Arc::new(Server::start(self));
            *shared = Arc::downgrade(&new);
            new
        })
    }
}

/// What a server is started with.
pub(super) struct Place<'a> {
    /// Of its own, for all it writes.
    pub(super) dir: &'a Path,
    pub(super) certs: &'a Certs,
    pub(super) port: u16,
    pub(super) tls_port: u16,
}

/// A running server; ends when dropped, and with the process of the tests however that ends.
pub(crate) struct Server {
    make: Make,
    process: Guarded,
    /// Clear text, STARTTLS offered.
    pub(crate) port: u16,
    /// TLS from the first byte.
    pub(crate) tls_port: u16,
    pub(crate) certs: Certs,
    _dir: TempDir,
}

impl Server {
    /// One that nobody shares, without a past.
    pub(crate) fn start(make: Make) -> Self {
        // A free port may be somebody else's before the server has it.
        let mut failures = Vec::new();
        for _ in 0..3 {
            match Self::try_start(make) {
                Ok(server) => return server,
                Err(log) => failures.push(log),
            }
        }
        panic!("{make:?} does not start:\n{}", failures.join("\n\n"));
    }

    fn try_start(make: Make) -> Result<Self, String> {
        let dir = tempfile::tempdir().unwrap();
        let certs = Certs::make(&dir.path().join("certs"));
        let place = Place { dir: dir.path(), certs: &certs, port: free_port(), tls_port: free_port() };
        let (process, up) = match make {
            Make::Prosody => prosody::start(&place),
            Make::Ejabberd => ejabberd::start(&place),
        };
        let (port, tls_port) = (place.port, place.tls_port);
        let server = Self { make, process, port, tls_port, certs, _dir: dir };
        if up { Ok(server) } else { Err(server.log()) }
    }

    /// The file of the authority that its clients, and iqtap, must trust.
    pub(crate) fn ca(&self) -> &str {
        self.certs.ca.to_str().unwrap()
    }

    /// What it said so far.
    fn log(&self) -> String {
        format!("{}\n{}", self.process.out.text(), self.process.err.text())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- {:?}'s log\n{}", self.make, self.log());
        }
    }
}
