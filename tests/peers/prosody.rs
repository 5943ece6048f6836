//! Prosody, in a folder and on ports of its own.

use super::child::Guarded;
use super::{Certs, DOMAIN, free_port};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tempfile::TempDir;

/// A running server; ends when dropped.
pub(crate) struct Prosody {
    process: Guarded,
    /// Clear text, STARTTLS offered.
    pub(crate) port: u16,
    /// TLS from the first byte.
    pub(crate) tls_port: u16,
    pub(crate) certs: Certs,
    _dir: TempDir,
}

/// How many accounts every server has. A test that writes something takes one for itself.
const USERS: usize = 16;

/// Name and password of an account. The password is a word that stands nowhere else, so that it can be looked for.
pub(crate) fn user(number: usize) -> (String, String) {
    assert!(number < USERS, "raise USERS");
    (format!("user{number}"), format!("Geheim{number}Wort"))
}

impl Prosody {
    /// The server all tests share while one of them uses it; it ends with the last of them.
    /// (A plain static would never be dropped, and the server would outlive the tests.)
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Prosody>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let new = Arc::new(Self::start());
            *shared = Arc::downgrade(&new);
            new
        })
    }

    fn start() -> Self {
        // A free port may be somebody else's before Prosody has it.
        let mut failures = Vec::new();
        for _ in 0..3 {
            match Self::try_start() {
                Ok(server) => return server,
                Err(log) => failures.push(log),
            }
        }
        panic!("Prosody does not start:\n{}", failures.join("\n\n"));
    }

    fn try_start() -> Result<Self, String> {
        let dir = tempfile::tempdir().unwrap();
        let certs = Certs::make(&dir.path().join("certs"));
        let (port, tls_port) = (free_port(), free_port());
        let config = dir.path().join("prosody.cfg.lua");
        std::fs::write(&config, configuration(dir.path(), &certs, port, tls_port)).unwrap();
        register(&dir.path().join("data"));
        let mut command = Command::new("prosody");
        let process = Guarded::start(command.arg("--config").arg(&config).arg("-F").current_dir(&dir)).unwrap();
        let server = Self { process, port, tls_port, certs, _dir: dir };
        if server.listens("c2s", port) && server.listens("c2s_direct_tls", tls_port) {
            Ok(server)
        } else {
            Err(server.log())
        }
    }

    /// Waits until Prosody says what became of a service.
    fn listens(&self, service: &str, port: u16) -> bool {
        let activated = format!("Activated service '{service}' on ");
        let where_to = self.process.out.find(|line| line.split_once(&activated).map(|(_, rest)| rest.to_owned()));
        where_to.is_some_and(|place| place.contains(&format!(":{port}")))
    }

    /// What it said so far.
    pub(crate) fn log(&self) -> String {
        format!("{}\n{}", self.process.out.text(), self.process.err.text())
    }
}

impl Drop for Prosody {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- Prosody's log\n{}", self.log());
        }
    }
}

/// Accounts, as files: a hundred times faster than `prosodyctl register`.
fn register(data: &Path) {
    let accounts = data.join(DOMAIN.replace('.', "%2e")).join("accounts");
    std::fs::create_dir_all(&accounts).unwrap();
    for (name, password) in (0..USERS).map(user) {
        let account = format!("return {{ [\"password\"] = \"{password}\"; }};\n");
        std::fs::write(accounts.join(name + ".dat"), account).unwrap();
    }
}

fn configuration(dir: &Path, certs: &Certs, port: u16, tls_port: u16) -> String {
    let (dir, cert, key) = (dir.display(), certs.cert.display(), certs.key.display());
    format!(
        r#"-- Made by iqtap's tests: loopback only, and insecure on purpose.
run_as_root = true               -- or mod_posix stops the server
pidfile = "{dir}/prosody.pid"
data_path = "{dir}/data"
plugin_paths = {{ }}
certificates = "{dir}/certs"     -- or the system's folder is indexed
admin_socket = "{dir}/prosody.sock"
log = {{ {{ levels = {{ min = "debug" }}, to = "console" }} }}
interfaces = {{ "127.0.0.1" }}
local_interfaces = {{ "127.0.0.1" }}   -- or private services bind ::1
c2s_ports = {{ {port} }}
c2s_direct_tls_ports = {{ {tls_port} }}
legacy_ssl_ports = {{ }}
s2s_ports = {{ }}
s2s_direct_tls_ports = {{ }}
http_ports = {{ }}
https_ports = {{ }}
local cert = {{ key = "{key}"; certificate = "{cert}" }}   -- Prosody 13 cannot read one option into another
ssl = cert
c2s_direct_tls_ssl = cert
c2s_require_encryption = false
allow_unencrypted_plain_auth = true   -- or PLAIN is not offered before TLS
authentication = "internal_plain"
storage = "internal"
modules_disabled = {{ "s2s"; "s2s_auth_certs"; }}
-- no "limits": it would hold clients to 10 KB/s
modules_enabled = {{
  "roster"; "saslauth"; "tls"; "disco"; "posix"; "ping"; "version"; "vcard_legacy"; "pep"; "offline"; "smacks";
  "csi_simple"; "carbons"; "blocklist"; "private";
}}
VirtualHost "{DOMAIN}"
"#
    )
}
