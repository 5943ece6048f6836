//! Prosody: how it is started, and when it is up.

use super::DOMAIN;
use super::child::Guarded;
use super::server::{Make, Place, Server, USERS, user};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// The server most tests are content with.
pub(crate) struct Prosody;

impl Prosody {
    /// See [`Make::shared`].
    pub(crate) fn shared() -> Arc<Server> {
        Make::Prosody.shared()
    }
}

/// Starts it; whether it is up.
pub(super) fn start(place: &Place<'_>) -> (Guarded, bool) {
    let config = place.dir.join("prosody.cfg.lua");
    std::fs::write(&config, configuration(place)).unwrap();
    register(&place.dir.join("data"));
    let mut command = Command::new("prosody");
    let process = Guarded::start(command.arg("--config").arg(&config).arg("-F").current_dir(place.dir)).unwrap();
    let up = listens(&process, "c2s", place.port) && listens(&process, "c2s_direct_tls", place.tls_port);
    (process, up)
}

/// Waits until Prosody says what became of a service.
fn listens(process: &Guarded, service: &str, port: u16) -> bool {
    let activated = format!("Activated service '{service}' on ");
    let where_to = process.out.find(|line| line.split_once(&activated).map(|(_, rest)| rest.to_owned()));
    where_to.is_some_and(|place| place.contains(&format!(":{port}")))
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

fn configuration(place: &Place<'_>) -> String {
    let (dir, cert, key) = (place.dir.display(), place.certs.cert.display(), place.certs.key.display());
    let (port, tls_port) = (place.port, place.tls_port);
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
smacks_hibernation_time = 60
-- no "limits": it would hold clients to 10 KB/s
modules_enabled = {{
  "roster"; "saslauth"; "tls"; "disco"; "posix"; "ping"; "version"; "vcard_legacy"; "pep"; "offline"; "smacks";
  "csi_simple"; "carbons"; "blocklist"; "private";
}}
VirtualHost "{DOMAIN}"
"#
    )
}
