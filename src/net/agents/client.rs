//! [`Client`]: calls a server, logs in, and plays the client's part of a tape.

use super::line::Line;
use crate::config::Upstream;
use crate::login::{Login, Next};
use crate::net::clock::Clock;
use crate::net::dial::dial;
use crate::net::tls::{ClientCertificate, Tls, TlsError, Trust};
use crate::net::wire::Wire;
use crate::policy::{ClientTls, Route, ServerTls};
use crate::replay::agents::{Actor, Flow, Pace, Piece, Report, Say, Tape};
use crate::xml::{Element, Limits, Scope, write_element};
use crate::xmpp::StreamError;
use crate::xmpp::jid::{BareJid, FullJid};
use bytes::BytesMut;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep_until, timeout};

/// From the connection to the bound resource.
const LOGIN_TIME: Duration = Duration::from_secs(30);
/// For the server to close its stream after ours is closed.
const CLOSE_TIME: Duration = Duration::from_secs(2);
/// What a server may send at once.
const LIMITS: Limits = Limits {
    stanza_bytes: 16 << 20,
    elements: 2_000_000,
    depth: Limits::MAX_DEPTH,
    attributes: 10_000,
    name_bytes: 64 << 10,
    value_bytes: 16 << 20,
};

/// See the module. One may play many sessions.
pub struct Client {
    to: Upstream,
    how: ServerTls,
    tls: Tls,
    jid: BareJid,
    password: String,
    pace: Pace,
}

/// Who lets each stanza go, in steps.
pub struct Steps<'a> {
    /// Shows what would be sent.
    pub show: &'a (dyn Fn(&Element) + Sync),
    /// Something comes each time the user says go.
    pub go: UnboundedReceiver<()>,
}

/// What came of a session.
#[derive(Debug)]
pub struct Played {
    /// The address that was bound.
    pub jid: String,
    /// What was the same, and what was not.
    pub report: Report,
    /// Why it ended before all was played, if it did.
    pub ended: Option<String>,
}

/// A connection, and what is unread of it.
pub(super) struct Call {
    pub(super) line: Line,
    pub(super) flow: Flow,
    pub(super) out: BytesMut,
}

impl Client {
    /// Somebody who will call this server.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new(
        to: Upstream,
        (how, trust): (ServerTls, &Trust),
        (jid, password): (BareJid, String),
        pace: Pace,
    ) -> Result<Self, TlsError> {
        let route = Route { client_tls: ClientTls::Off, server_tls: how, ..Route::default() };
        // No certificate of ours is shown to anybody, so none is made.
        let tls = Tls::new(&route, &ClientCertificate::Minted(PathBuf::new()), trust, None, super::handshake_time())?;
        Ok(Self { to, how, tls, jid, password, pace })
    }

    /// Whether somebody says when each stanza is to be sent.
    #[must_use]
    pub fn is_stepwise(&self) -> bool {
        self.pace.step
    }

    /// Plays a tape, under this resource if the server gives it. `progress` hears how many turns are past, of how many.
    ///
    /// # Errors
    /// If nobody could be logged in: why, for people.
    pub async fn play(
        &self,
        tape: Arc<Tape>,
        resource: Option<String>,
        mut steps: Option<Steps<'_>>,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Played, String> {
        let (mut call, jid, features) = self.call(resource, tape.lang.clone()).await?;
        let salt = format!("{:08x}", crate::net::tls::random_seed() >> 32);
        let mut actor = Actor::new(tape, jid.as_str(), features.as_ref(), &salt, self.pace);
        let ended = call.play(&mut actor, &mut steps, progress).await;
        call.goodbye(&mut actor, ended.is_some()).await;
        Ok(Played { jid: jid.to_string(), report: actor.finish(), ended })
    }

    /// Calls, and logs in.
    pub(super) async fn call(
        &self,
        resource: Option<String>,
        lang: Option<String>,
    ) -> Result<(Call, FullJid, Option<Element>), String> {
        let tcp = dial(&self.to).await.map_err(in_our_words)?;
        let mut call = Call { line: Line::new(Wire::Plain(tcp)), flow: Flow::new(LIMITS), out: BytesMut::new() };
        if self.how == ServerTls::Direct {
            self.encrypt(&mut call).await?;
        }
        let login =
            Login::new(self.jid.clone(), self.password.clone(), resource, lang, self.how == ServerTls::Starttls);
        let (jid, features) = timeout(LOGIN_TIME, self.login(&mut call, login))
            .await
            .map_err(|_| format!("the login took more than {} s", LOGIN_TIME.as_secs()))??;
        Ok((call, jid, features))
    }

    async fn encrypt(&self, call: &mut Call) -> Result<(), String> {
        let tcp = call.line.wire.take_plain().ok_or("TLS within TLS")?;
        let (tls, _) = self.tls.connect(tcp, self.jid.domain().as_str()).await.map_err(in_our_words)?;
        call.line.wire = Wire::Tls(Box::new(tls));
        call.flow = Flow::new(LIMITS);
        Ok(())
    }

    async fn login(&self, call: &mut Call, mut login: Login) -> Result<(FullJid, Option<Element>), String> {
        login.open(&mut call.out);
        loop {
            let element = match call.flow.piece().map_err(|e| bad_xml(&e))? {
                Some(Piece::Header(_)) => continue,
                Some(Piece::Element(element)) => element,
                Some(Piece::Close) => return Err("the server ended the stream".to_owned()),
                None => {
                    call.send().await?;
                    call.receive().await?;
                    continue;
                }
            };
            match login.element(&element, &mut call.out)? {
                Next::Wait => {}
                Next::StartTls => {
                    self.encrypt(call).await?;
                    login.open(&mut call.out);
                }
                Next::Restart => call.flow.restart(LIMITS),
                Next::Bound(jid) => return Ok((jid, login.into_features())),
            }
        }
    }
}

impl Call {
    pub(super) async fn send(&mut self) -> Result<(), String> {
        self.line.write(&mut self.out).await.map_err(|e| format!("nothing more can be sent: {e}"))
    }

    pub(super) async fn receive(&mut self) -> Result<(), String> {
        match self.line.read(&mut self.flow.bytes).await {
            Ok(0) => Err("the server closed the connection".to_owned()),
            Ok(_) => Ok(()),
            Err(e) => Err(format!("the connection is lost: {e}")),
        }
    }

    /// Plays to the end; or says why it ended before.
    async fn play(
        &mut self,
        actor: &mut Actor,
        steps: &mut Option<Steps<'_>>,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Option<String> {
        let clock = Clock::start();
        loop {
            let done = loop {
                match self.flow.piece() {
                    Ok(Some(Piece::Element(element))) => actor.came(clock.now(), &element),
                    Ok(Some(Piece::Header(_))) => {}
                    Ok(Some(Piece::Close)) => break Some("the server ended the stream".to_owned()),
                    Ok(None) => break None,
                    Err(e) => break Some(bad_xml(&e)),
                }
            };
            let until = match actor.next(clock.now()) {
                Say::Done => return self.send().await.err(),
                _ if done.is_some() => return done,
                Say::Send(element) => {
                    write_element(&element, Scope::Stream, &mut self.out);
                    continue;
                }
                Say::Wait(until) => Some(clock.instant(until)),
                Say::Ask(element) => {
                    steps.iter().for_each(|steps| (steps.show)(&element));
                    None
                }
                Say::Hold => None,
            };
            let (past, all) = actor.progress();
            progress(past, all);
            if let Err(why) = self.send().await {
                return Some(why);
            }
            if let Err(why) = self.wait(actor, steps, until).await {
                return Some(why);
            }
        }
    }

    /// Waits until something has come, the time has, or the user says go.
    async fn wait(
        &mut self,
        actor: &mut Actor,
        steps: &mut Option<Steps<'_>>,
        until: Option<Instant>,
    ) -> Result<(), String> {
        let timed = until.is_some();
        let go = async {
            match steps {
                Some(steps) if !timed => steps.go.recv().await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            received = self.receive() => received,
            () = sleep_until(until.unwrap_or_else(Instant::now)), if timed => Ok(()),
            said = go => match said {
                Some(()) => {
                    actor.go();
                    Ok(())
                }
                None => Err("nobody says go any more".to_owned()),
            },
        }
    }

    /// Closes the stream; what still comes is looked at.
    async fn goodbye(&mut self, actor: &mut Actor, broken: bool) {
        self.out.extend_from_slice(b"</stream:stream>");
        if self.send().await.is_ok() && !broken {
            let clock = Clock::start();
            let rest = async {
                while self.receive().await.is_ok() {
                    while let Ok(Some(piece)) = self.flow.piece() {
                        match piece {
                            Piece::Element(element) => actor.came(clock.now(), &element),
                            Piece::Header(_) => {}
                            Piece::Close => return,
                        }
                    }
                }
            };
            let _ = timeout(CLOSE_TIME, rest).await;
        }
        self.line.close().await;
    }
}

fn bad_xml(error: &StreamError) -> String {
    format!("the server's XML is refused: {}", error.text.as_deref().unwrap_or("?"))
}

/// What the proxy calls `--upstream` and `--server-tls` is called otherwise here.
fn in_our_words(why: String) -> String {
    why.replace("--upstream", "--to").replace("--server-tls", "--tls")
}
