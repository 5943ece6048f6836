//! ejabberd: how it is started, and when it is up.

use super::DOMAIN;
use super::child::Guarded;
use super::server::{Place, USERS, user};
use std::path::PathBuf;
use std::process::Command;

/// What the Erlang shell prints once the server listens and knows its users.
const UP: &str = "iqtap's tests may begin";

/// The folder that holds ejabberd's code: Debian puts it where Erlang does not look.
pub(super) fn library() -> Option<PathBuf> {
    let folders = |of: &str| std::fs::read_dir(of).into_iter().flatten().flatten().map(|entry| entry.path());
    let holds = |dir: &PathBuf| {
        folders(&dir.to_string_lossy()).any(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ejabberd-"))
                && path.join("ebin").is_dir()
        })
    };
    folders("/usr/lib").find(holds)
}

/// Starts it; whether it is up. Without `ejabberdctl`, which wants its own user and leaves an epmd behind: a node that
/// is not distributed needs none.
pub(super) fn start(place: &Place<'_>) -> (Guarded, bool) {
    let config = place.dir.join("ejabberd.yml");
    std::fs::write(&config, configuration(place)).unwrap();
    let pem = [&place.certs.key, &place.certs.cert].map(|file| std::fs::read(file).unwrap()).concat();
    std::fs::write(place.dir.join("server.pem"), pem).unwrap();
    let mnesia = format!("\"{}\"", place.dir.join("mnesia").display());
    let mut command = Command::new("erl");
    // Its threads must not spin while they wait: where others compute, it would take a minute to come up.
    command
        .args(["+S", "2:2", "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"])
        .args(["-start_epmd", "false", "-noshell", "-noinput", "-sasl", "sasl_error_logger", "false"])
        .args(["-mnesia", "dir", &mnesia, "-eval", &begin()])
        .env("ERL_LIBS", library().expect("checked by `have`"))
        .env("ERL_CRASH_DUMP", place.dir.join("crash.dump"))
        .env("EJABBERD_CONFIG_PATH", &config)
        .env("EJABBERD_LOG_PATH", place.dir.join("ejabberd.log"))
        .env("EJABBERD_PID_PATH", place.dir.join("ejabberd.pid"))
        .env("HOME", place.dir)
        .current_dir(place.dir);
    let process = Guarded::start(&mut command).unwrap();
    let up = process.out.find(|line| line.contains(UP).then_some(())).is_some();
    (process, up)
}

/// Starts the server and makes the accounts; ends the node where that fails.
fn begin() -> String {
    let register = |(name, password)| {
        format!("ok = ejabberd_auth:try_register(<<\"{name}\">>, <<\"{DOMAIN}\">>, <<\"{password}\">>),")
    };
    let accounts: String = (0..USERS).map(user).map(register).collect();
    format!(
        "try {{ok, _}} = application:ensure_all_started(ejabberd), {accounts} io:format(\"{UP}~n\") \
         catch _:Why -> io:format(\"~p~n\", [Why]), halt(1) end."
    )
}

fn configuration(place: &Place<'_>) -> String {
    let Place { dir, certs, port, tls_port } = place;
    let (dir, ca) = (dir.display(), certs.ca.display());
    format!(
        r#"# Made by iqtap's tests: loopback only, and insecure on purpose.
loglevel: info
hosts: ["{DOMAIN}"]
certfiles: ["{dir}/server.pem"]
ca_file: "{ca}"
auth_password_format: plain
disable_sasl_mechanisms: ["X-OAUTH2"]
listen:
  - {{ port: {port}, ip: "127.0.0.1", module: ejabberd_c2s, max_stanza_size: 2000000, access: c2s, starttls: true }}
  - {{ port: {tls_port}, ip: "127.0.0.1", module: ejabberd_c2s, max_stanza_size: 2000000, access: c2s, tls: true }}
s2s_access: none
access_rules: {{ c2s: {{ allow: all }} }}
shaper: {{}}
shaper_rules: {{ max_user_sessions: 100, max_user_offline_messages: 5000 }}
modules:
  mod_blocking: {{}}
  mod_caps: {{}}
  mod_carboncopy: {{}}
  mod_client_state: {{}}
  mod_disco: {{}}
  mod_offline: {{ access_max_user_messages: max_user_offline_messages }}
  mod_ping: {{}}
  mod_privacy: {{}}
  mod_private: {{}}
  mod_pubsub: {{ plugins: [flat, pep] }}
  mod_roster: {{ versioning: true }}
  mod_stream_mgmt: {{ resend_on_timeout: if_offline, resume_timeout: 60 }}
  mod_vcard: {{ search: false }}
  mod_version: {{ show_os: false }}
"#
    )
}
