//! iqtap itself in the middle: real sessions, and the shell's part between them.

use super::fate::SCRIPT;
use super::middle::{Middle, Out};
use iqtap::config;
use iqtap::play::{House, Shell, serve};
use iqtap::policy::{Policy, Route, VaultLimits};
use iqtap::script::{ScriptLimits, ScriptSet};
use iqtap::session::{Act, Input, Note, Outbox, Session, Vault};
use iqtap::xmpp::{Side, StreamCondition, Timestamp};
use std::path::Path;
use std::sync::Arc;

/// What sessions are made of; compiled once for many histories.
#[derive(Clone)]
pub(crate) struct Made {
    route: Arc<Route>,
    policy: Arc<Policy>,
}

impl Made {
    #[expect(clippy::panic, reason = "without a policy there is nothing to prove")]
    pub(crate) fn new(rules: &str) -> Self {
        let path = Path::new("model.toml");
        let text = format!("client_tls = 'off'\nserver_tls = 'off'\niq_timeout = 86400\nrules = '{rules}'\n");
        let (route, mut policy) = config::compile(&text, path).unwrap_or_else(|why| panic!("{why}"));
        policy.scripts = ScriptSet::from_text(Path::new("model.rhai"), SCRIPT, ScriptLimits::default())
            .unwrap_or_else(|why| panic!("{why}"));
        Self { route: Arc::new(route), policy: Arc::new(policy) }
    }
}

/// All sessions of a history.
pub(crate) struct Proxy {
    made: Made,
    /// Whether a client may be late with a resumption: then an old `h` is nobody's fault.
    late: bool,
    sessions: Vec<Session>,
    shell: Shell,
    now: Timestamp,
    outbox: Outbox,
    out: Vec<Out>,
    told: Vec<String>,
}

impl Proxy {
    pub(crate) fn new(made: &Made, late: bool) -> Self {
        let limits = VaultLimits { sessions: 1000, seconds: 600, bytes: 1 << 26 };
        Self {
            made: made.clone(),
            late,
            sessions: Vec::new(),
            shell: Shell::new(Vault::new(limits)),
            now: Timestamp(0),
            outbox: Outbox::default(),
            out: Vec::new(),
            told: Vec::new(),
        }
    }

    /// One input from outside, and all that the shell has to do about it.
    fn drive(&mut self, now: u64, conn: u32, input: Input<'_>) -> Result<(), String> {
        self.now = at(now);
        self.answer(conn.into(), input)?;
        serve(self, self.now)
    }

    fn collect(&mut self, conn: u32) -> Result<(), String> {
        for side in [Side::Client, Side::Server] {
            let bytes = self.outbox.to[side.index()].split();
            if !bytes.is_empty() {
                self.out.push(Out::Bytes(conn, side, bytes.to_vec()));
            }
        }
        let mut dialled = false;
        for act in std::mem::take(&mut self.outbox.acts) {
            match self.shell.ask(conn.into(), act) {
                Some(Act::Dial { .. }) => {
                    self.out.push(Out::Dial(conn));
                    dialled = true;
                }
                Some(Act::Close(side, _)) => self.out.push(Out::Close(conn, side)),
                Some(other) => return Err(format!("nobody has asked for {other:?}")),
                None => {}
            }
        }
        for note in std::mem::take(&mut self.outbox.notes) {
            self.hear(conn, note)?;
        }
        if self.sessions[conn as usize - 1].is_over() {
            self.shell.over(conn.into());
        }
        if dialled { self.answer(conn.into(), Input::Dialed) } else { Ok(()) }
    }

    /// Both ends keep to XEP-0198, so that nothing may be found, and no stream may end by an error of theirs.
    fn hear(&mut self, conn: u32, note: Note) -> Result<(), String> {
        match note {
            // What iqtap itself says of a hold is not the script's.
            Note::Log(line) if line.text.starts_with("lets the ") => {}
            Note::Log(line) => self.told.push(line.text),
            Note::ScriptError(why) => return Err(format!("on {conn}: {why}")),
            Note::Finding { finding, .. } if self.late && finding.code == "sm-ack-backwards" => {}
            Note::Finding { finding, .. } if finding.code == "duplicate-id" => {}
            Note::Finding { finding, .. } => return Err(format!("found on {conn}, though all is well: {finding:?}")),
            Note::StreamError { condition, text, .. } => {
                use StreamCondition::{Conflict, ConnectionTimeout, RemoteConnectionFailed};
                if !matches!(condition, Conflict | ConnectionTimeout | RemoteConnectionFailed) {
                    return Err(format!("stream error on {conn}, though all is well: {}: {text}", condition.name()));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn at(micros: u64) -> Timestamp {
    const START: u64 = 1_767_427_200_000_000;
    Timestamp(START + micros)
}

impl House for Proxy {
    fn shell(&mut self) -> &mut Shell {
        &mut self.shell
    }

    fn session(&self, number: u64) -> &Session {
        &self.sessions[number as usize - 1]
    }

    fn answer(&mut self, number: u64, input: Input<'_>) -> Result<(), String> {
        self.sessions[number as usize - 1].handle(self.now, input, &mut self.outbox);
        self.collect(number as u32)
    }
}

impl Middle for Proxy {
    fn connect(&mut self, now: u64, conn: u32) -> Result<(), String> {
        let (route, policy) = (Arc::clone(&self.made.route), Arc::clone(&self.made.policy));
        let number = u64::from(conn);
        self.sessions.push(Session::new(at(now), route, policy, number, "192.0.2.1:40000", number));
        Ok(())
    }

    fn bytes(&mut self, now: u64, conn: u32, side: Side, bytes: &[u8]) -> Result<(), String> {
        self.drive(now, conn, Input::Bytes(side, bytes))
    }

    fn eof(&mut self, now: u64, conn: u32, side: Side) -> Result<(), String> {
        self.drive(now, conn, Input::Eof(side))
    }

    fn tick(&mut self, now: u64) -> Result<(), String> {
        for number in 1..=self.sessions.len() as u32 {
            let mut given = None;
            while let Some(due) = self.session(number.into()).deadline().filter(|due| *due <= at(now)) {
                if given.replace(due) == Some(due) {
                    return Err(format!("session {number} asks again for the deadline {due:?}"));
                }
                self.drive(now, number, Input::Tick)?;
            }
        }
        Ok(())
    }

    fn deadline(&self) -> Option<u64> {
        let first = self.sessions.iter().filter_map(Session::deadline).min()?;
        Some(first.0.saturating_sub(at(0).0))
    }

    fn done(&mut self) -> Vec<Out> {
        std::mem::take(&mut self.out)
    }

    fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }

    fn is_scripted(&self) -> bool {
        true
    }
}
