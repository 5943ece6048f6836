//! What sessions live under when they are fuzzed: a handful of policies and routes, and a script that does everything.

use super::script::LIMITS;
use iqtap::config;
use iqtap::policy::{Forward, Policy, Route};
use iqtap::script::ScriptSet;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// Does what the ids of stanzas say.
const SCRIPT: &str = r##"
fn on_message(stanza, session) {
    let id = if stanza.id == () { "" } else { stanza.id };
    if id.contains("hold") { return hold(0.5); }
    if id.contains("up") { session.to_server("<message id='m' to='a@b'><body>&amp;</body></message>"); }
    if id.contains("down") { session.to_client("<presence from='a@b/c'/>"); }
    if id.contains("ask") { session.ask("<iq type='get' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>", "told", 3.0); }
    if id.contains("poll") { session.ask_client("<iq type='get'><ping xmlns='urn:xmpp:ping'/></iq>", "told", 3.0); }
    if id.contains("after") { after(1.0, "later", id); }
    if id.contains("edit") { stanza.set_text("body", "]]>\r\n<&'\""); stanza.set_attr("x", "\t\n"); }
    if id.contains("close") { session.close("policy-violation", "no"); }
    if id.contains("reply") { return reply("<message><body>no</body></message>"); }
    if id.contains("drop") { return drop(); }
    if id.contains("fail") { throw "no"; }
    state.count = if state.contains("count") { state.count + 1 } else { 1 };
    pass()
}
fn told(answer, session) { if answer != () { tag("told"); session.to_client("<message id='m' from='example.org'/>"); } }
fn later(session, value) { session.to_server("<message to='a@b'/>"); }
fn on_presence(stanza) {
    if stanza.type == "unavailable" { return drop(); }
    if stanza.count("*") > 2 { stanza.remove("*"); }
    pass()
}
fn on_iq(stanza) {
    let id = if stanza.id == () { "" } else { stanza.id };
    if id.contains("hold") { return hold(0.5); }
    if stanza.type == "get" && id.contains("reply") { return reply(); }
    if stanza.type == "set" && id.contains("reject") { return reject("not-allowed"); }
    pass()
}
fn on_answer(request, answer) { if request.id.contains("slow") { return hold(1); } pass() }
fn on_bind(session) { session.to_client("<message id='hello' from='example.org'/>"); }
fn on_features(features) { features.append("<x xmlns='u:u'/>"); }
"##;

/// What a session is made of.
pub(crate) struct World {
    pub(crate) route: Arc<Route>,
    pub(crate) policy: Arc<Policy>,
    /// Rules 3 and 4 are enforced for both sides.
    pub(crate) enforces: bool,
    pub(crate) scripted: bool,
    /// What was not changed leaves as the bytes that came.
    pub(crate) exact: bool,
}

/// Settings, and whether there is the script.
const WORLDS: &[(&str, bool)] = &[
    ("rules = 'report'", false),
    ("rules = 'enforce'", false),
    (
        "rules = 'enforce'\nstore = 'fuzz.redb'\n[answer]\n'urn:xmpp:ping' = 'local'\n'jabber:iq:version' = 'local'\n\
         'vcard-temp' = 'local'\n'urn:xmpp:blocking' = 'local'\n'jabber:iq:private' = 'local'\n'urn:xmpp:mam:2' = 'deny'\n\
         'http://jabber.org/protocol/disco#info' = 'fallback'",
        false,
    ),
    ("rules = 'report'", true),
    ("rules = 'enforce'", true),
    ("rules = 'enforce'\nforward = 'normal'\nlegacy_codes = true", false),
    ("rules = 'enforce'\nclient_tls = 'require'\nserver_tls = 'starttls'", false),
    ("rules = 'report'\nclient_tls = 'offer'\nserver_tls = 'starttls'\nsm = 'strip'", false),
    (
        "rules = 'enforce'\nopen_iqs = 8\nvault_sessions = 1\n[limits.after_login]\nelements = 40\ndepth = 6\nattributes = 8\nname_bytes = 64",
        false,
    ),
    (
        "rules = 'report'\nstore = 'fuzz.redb'\n[answer]\n'urn:xmpp:ping' = 'fallback'\n'vcard-temp' = 'fallback'\n\
         'urn:xmpp:blocking' = 'fallback'\n'jabber:iq:private' = 'fallback'\n'http://jabber.org/protocol/disco#items' = 'local'",
        true,
    ),
    ("rules = 'enforce'\nsm = 'strip'\nlegacy_codes = true", true),
    ("rules = 'report'\nclient_tls = 'direct'\nserver_tls = 'direct'\non_script_error = 'reject'", true),
];

/// A world by any number.
#[expect(clippy::panic, reason = "without a policy there is nothing to fuzz")]
pub(crate) fn world(number: usize) -> &'static World {
    static MADE: OnceLock<Vec<World>> = OnceLock::new();
    let made = MADE.get_or_init(|| {
        let numbered = (1..).zip(WORLDS);
        let make = |(number, (settings, scripted)): (u64, &(&str, bool))| {
            let mut text = String::from("iq_timeout = '10s'\n");
            for key in ["client_tls", "server_tls"].iter().filter(|key| !settings.contains(**key)) {
                text.push_str(&format!("{key} = 'off'\n"));
            }
            text.push_str(settings);
            let (route, mut policy) =
                config::compile(&text, Path::new("fuzz.toml")).unwrap_or_else(|why| panic!("{why}\n{text}"));
            if *scripted {
                policy.scripts =
                    ScriptSet::from_text(Path::new("fuzz.rhai"), SCRIPT, LIMITS).unwrap_or_else(|why| panic!("{why}"));
            }
            policy.number = number;
            let enforces = settings.contains("'enforce'");
            let exact = policy.forward == Forward::Exact;
            World { route: Arc::new(route), policy: Arc::new(policy), enforces, scripted: *scripted, exact }
        };
        numbered.map(make).collect()
    });
    &made[number % made.len()]
}
