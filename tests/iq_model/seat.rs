//! One session whose client is logged in, and what comes out of it for each thing that goes in.

use super::wire::{Item, Splitter, Tag};
use iqtap::config;
use iqtap::policy::{Policy, Route};
use iqtap::script::{ScriptLimits, ScriptSet};
use iqtap::session::{Act, Input, Note, Outbox, Session};
use iqtap::xmpp::{Side, Timestamp};
use std::path::Path;
use std::sync::Arc;

/// What a session is made of; compiled once for many histories.
#[derive(Clone)]
pub(crate) struct Made {
    route: Arc<Route>,
    policy: Arc<Policy>,
}

/// Does what the payload's namespace says, and asks when a message wants it.
const SCRIPT: &str = r#"
fn on_iq(stanza) {
    let what = stanza.payload_ns;
    if what == "urn:model:drop" { return drop(); }
    if what == "urn:model:reply" { return reply(); }
    if what == "urn:model:reject" { return reject("not-allowed"); }
    pass()
}

fn on_message(stanza, session) {
    let iq = "<iq type='get' id='" + stanza.id + "'";
    if stanza.type == "headline" { session.to_server(iq + " to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>"); }
    if stanza.type == "normal" { session.to_client(iq + " from='example.org'><ping xmlns='urn:xmpp:ping'/></iq>"); }
    pass()
}
"#;

impl Made {
    #[expect(clippy::panic, reason = "without a policy there is nothing to prove")]
    pub(crate) fn new(rules: &str, timeout: u64, open: u32, scripted: bool) -> Self {
        let text = format!(
            "client_tls = 'off'\nserver_tls = 'off'\nrules = '{rules}'\niq_timeout = '{}ms'\nopen_iqs = {open}\n",
            timeout / 1000
        );
        let (route, mut policy) =
            config::compile(&text, Path::new("model.toml")).unwrap_or_else(|why| panic!("{why}\n{text}"));
        if scripted {
            policy.scripts = ScriptSet::from_text(Path::new("model.rhai"), SCRIPT, ScriptLimits::default())
                .unwrap_or_else(|why| panic!("{why}"));
        }
        Self { route: Arc::new(route), policy: Arc::new(policy) }
    }
}

/// What came out at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Came {
    /// By [`Side::index`].
    pub(crate) to: [Vec<u8>; 2],
    /// Code, who is at fault, id, whether no stanza stands behind it.
    pub(crate) findings: Vec<(&'static str, Side, Option<String>, bool)>,
}

impl Came {
    /// The stanzas for a side.
    pub(crate) fn tags(&self, side: Side) -> Result<Vec<Tag>, String> {
        let mut splitter = Splitter::default();
        splitter.push(&self.to[side.index()]);
        let mut tags = Vec::new();
        while let Some(item) = splitter.pull()? {
            match item {
                Item::Element(tag) => tags.push(tag),
                other => return Err(format!("no stanza: {other:?}")),
            }
        }
        if splitter.is_within() { Err("half a stanza came out".to_owned()) } else { Ok(tags) }
    }
}

pub(crate) struct Seat {
    session: Session,
    now: Timestamp,
}

impl Seat {
    /// A session, logged in and bound.
    pub(crate) fn new(made: &Made) -> Result<Self, String> {
        let now = Timestamp(1_767_427_200_000_000);
        let session = Session::new(now, Arc::clone(&made.route), Arc::clone(&made.policy), 1, "192.0.2.1:40000", 1);
        let mut seat = Self { session, now };
        for (side, text) in login() {
            seat.give(Input::Bytes(side, text.as_bytes()))?;
        }
        if seat.session.jid() == Some(super::book::ME) { Ok(seat) } else { Err("not bound".to_owned()) }
    }

    pub(crate) fn send(&mut self, from: Side, text: &str) -> Result<Came, String> {
        self.give(Input::Bytes(from, text.as_bytes()))
    }

    /// Lets time pass up to the session's next deadline, or by so much; gives how much has passed.
    pub(crate) fn pass(&mut self, most: u64) -> Result<(u64, Came), String> {
        let until = Timestamp(self.now.0 + most);
        let due = self.session.deadline().map_or(until, |due| due.clamp(self.now, until));
        let passed = due.0 - self.now.0;
        self.now = due;
        let came = self.give(Input::Tick)?;
        if self.session.deadline().is_some_and(|next| next <= due) {
            return Err("it asks again for the deadline that it has just been given".to_owned());
        }
        Ok((passed, came))
    }

    fn give(&mut self, input: Input<'_>) -> Result<Came, String> {
        let mut out = Outbox::default();
        self.session.handle(self.now, input, &mut out);
        while let Some(act) = out.acts.pop() {
            match act {
                Act::Dial { .. } => self.session.handle(self.now, Input::Dialed, &mut out),
                other => return Err(format!("{other:?}: the session ends")),
            }
        }
        let mut came = Came { to: [out.to[0].to_vec(), out.to[1].to_vec()], ..Came::default() };
        for note in out.notes {
            match note {
                Note::Finding { side, id, finding, alone, .. } => came.findings.push((finding.code, side, id, alone)),
                Note::ScriptError(why) => return Err(format!("the script failed: {why}")),
                _ => {}
            }
        }
        Ok(came)
    }
}

/// Who says what until the client is bound.
fn login() -> Vec<(Side, String)> {
    const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
    const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
    let (client, server) = (Side::Client, Side::Server);
    let open = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'";
    let to = || (client, format!("{open} to='example.org'>"));
    let from = |features: String| {
        (server, format!("{open} from='example.org' id='x'><stream:features>{features}</stream:features>"))
    };
    vec![
        to(),
        from(format!("<mechanisms xmlns='{SASL}'><mechanism>PLAIN</mechanism></mechanisms>")),
        (client, format!("<auth xmlns='{SASL}' mechanism='PLAIN'>AGp1bGlldABzZWNyZXQ=</auth>")),
        (server, format!("<success xmlns='{SASL}'/>")),
        to(),
        from(format!("<bind xmlns='{BIND}'/>")),
        (client, format!("<iq type='set' id='bind'><bind xmlns='{BIND}'/></iq>")),
        (
            server,
            format!("<iq type='result' id='bind'><bind xmlns='{BIND}'><jid>{}</jid></bind></iq>", super::book::ME),
        ),
    ]
}
