//! iqtap between slixmpp and a real server, for what is answered in the server's place.

use super::{Client, Iqtap, Login, Make, Need, Seen, Server, have, user};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

/// The namespaces that can be answered here, but for service discovery.
pub(crate) const ANSWERABLE: [&str; 7] = [
    "urn:xmpp:ping",
    "jabber:iq:version",
    "urn:xmpp:time",
    "jabber:iq:last",
    "vcard-temp",
    "urn:xmpp:blocking",
    "jabber:iq:private",
];

/// Those of them that neither of the servers has.
pub(crate) const LACKED: [&str; 2] = ["urn:xmpp:time", "jabber:iq:last"];

/// One account of a real server, and iqtap in front of it.
pub(crate) struct Stage {
    server: Arc<Server>,
    make: Make,
    iqtap: Iqtap,
    /// Of iqtap.
    flags: Vec<String>,
    account: (String, String),
    _dir: TempDir,
}

impl Stage {
    /// All of [`ANSWERABLE`] in one mode.
    pub(crate) fn of(make: Make, mode: &str, number: usize) -> Option<Self> {
        let answers: Vec<_> = ANSWERABLE.iter().map(|namespace| format!("{namespace}={mode}")).collect();
        let answers: Vec<_> = answers.iter().map(String::as_str).collect();
        Self::with(make, &answers, number)
    }

    /// With these answers (`--answer`), for the account of this number. `None`: a peer is missing.
    pub(crate) fn with(make: Make, answers: &[&str], number: usize) -> Option<Self> {
        if !have(&[make.need(), Need::Slixmpp]) {
            return None;
        }
        let (server, dir) = (make.shared(), tempfile::tempdir().unwrap());
        let store = dir.path().join("kept.redb");
        let mut flags = vec!["--server-ca", server.ca(), "--store", store.to_str().unwrap()];
        flags.extend(answers.iter().flat_map(|answer| ["--answer", answer]));
        let iqtap = Iqtap::run(server.port, &flags);
        let flags = flags.into_iter().map(str::to_owned).collect();
        Some(Self { server, make, iqtap, flags, account: user(number), _dir: dir })
    }

    /// Ends iqtap and starts it again; it has its store, and a new authority.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        assert!(self.iqtap.stop().success(), "{}", self.iqtap.log());
        let flags: Vec<_> = self.flags.iter().map(String::as_str).collect();
        self.iqtap = Iqtap::run(self.server.port, &flags);
    }

    /// A session behind iqtap.
    pub(crate) fn inside(&self, steps: &Value) -> Seen {
        client(self.iqtap.port, &self.account, &self.iqtap.ca(), steps)
    }

    /// The same, begun and under way; `more` as for [`Client::start_with`].
    pub(crate) fn start(&self, more: &Value, steps: &Value) -> Client {
        let (mut more, ca) = (more.clone(), self.iqtap.ca());
        more["answers"] = json!(true);
        Client::start_with(&Login::starttls(self.iqtap.port, &self.account, &ca), &more, steps)
    }

    /// A session at the server itself.
    pub(crate) fn outside(&self, steps: &Value) -> Seen {
        client(self.server.port, &self.account, &self.server.certs.ca, steps)
    }

    /// A session of another account, at the server itself.
    pub(crate) fn neighbour(&self, number: usize, steps: &Value) -> Seen {
        self.start_neighbour(number, steps).rest()
    }

    /// The same, begun and under way.
    pub(crate) fn start_neighbour(&self, number: usize, steps: &Value) -> Client {
        let (account, certs) = (user(number), &self.server.certs);
        let login = Login::starttls(self.server.port, &account, &certs.ca);
        Client::start_with(&login, &json!({ "answers": true }), steps)
    }

    /// What the server calls itself.
    pub(crate) fn name(&self) -> &'static str {
        match self.make {
            Make::Prosody => "Prosody",
            Make::Ejabberd => "ejabberd",
        }
    }

    /// Ends iqtap, which must be content.
    #[track_caller]
    pub(crate) fn end(mut self) {
        assert!(self.iqtap.stop().success(), "{}", self.iqtap.log());
    }
}

fn client(port: u16, account: &(String, String), ca: &Path, steps: &Value) -> Seen {
    let login = Login::starttls(port, account, ca);
    Client::start_with(&login, &json!({ "answers": true }), steps).rest()
}

/// The text that a step has told.
#[track_caller]
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}
