//! [`Front`]: the mock server's side of one stream: header, TLS, login, bind; behind that the [`Mock`]. No I/O.
//!
//! ```text
//!   Open(nobody) --header--> Login --success--> Open(account) --header--> Bind(account) --bind--> Live --> Over
//! ```
//! Any client may log in; with keys, by SCRAM too, which it must then prove. What is offered behind the login is what was recorded, but for what the mock
//! cannot do.

use super::flow::{Flow, Piece};
use super::mock::{Miss, Mock};
use super::tape::Tape;
use crate::login::{Account, Doors, Exchange, Keys, Progress};
use crate::xml::{Element, Limits, Node, OpenTag, Scope, write_element};
use crate::xmpp::error::error_reply;
use crate::xmpp::{Condition, Header, StanzaError, StreamCondition, StreamError, ns};
use bytes::BytesMut;
use jid::DomainPart;
use std::sync::Arc;

/// Past this much unsent, [`Front::feed`] rests.
const HIGH_BYTES: usize = 256 * 1024;
/// Failed logins on one stream (RFC 6120 §6.4.5: between two and five).
const LOGIN_FAILURES: u8 = 3;

/// What all clients of one mock server see.
#[derive(Debug)]
pub struct Scene {
    tape: Arc<Tape>,
    miss: Miss,
    keys: Option<Keys>,
    starttls: bool,
    features: Element,
}

impl Scene {
    /// Plays this; `keys` for SCRAM; with `starttls` nobody logs in without.
    #[must_use]
    pub fn new(tape: Arc<Tape>, miss: Miss, keys: Option<Keys>, starttls: bool) -> Self {
        let features = features(tape.features.as_ref());
        Self { tape, miss, keys, starttls, features }
    }

    /// The mechanisms offered, best first.
    fn mechanisms(&self) -> &'static [&'static str] {
        match self.keys {
            Some(_) => &["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "ANONYMOUS"],
            None => &["PLAIN", "ANONYMOUS"],
        }
    }
}

/// Why [`Front::feed`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// All that came is read.
    Idle,
    /// Much waits to be sent.
    Full,
    /// What waits is to be sent, and then TLS begins.
    StartTls,
}

/// Where the stream stands.
enum Phase {
    /// A stream header must come; for whom, once somebody has logged in.
    Open(Option<Account>),
    /// TLS is about to begin.
    Tls,
    /// Mechanisms are offered; an exchange may be under way.
    Login(Option<Exchange>),
    /// Binding is offered.
    Bind(Account),
    /// Stanzas flow.
    Live(Box<Mock>),
    /// `</stream:stream>` is in `out`.
    Over,
}

/// See the module.
pub struct Front {
    /// What came.
    pub flow: Flow,
    /// To be sent.
    pub out: BytesMut,
    scene: Arc<Scene>,
    phase: Phase,
    domain: Option<DomainPart>,
    encrypted: bool,
    greeted: bool,
    failures: u8,
    /// What stream ids, resources and names of guests are made from.
    token: String,
    streams: u32,
}

impl Front {
    /// A stream of which nothing has been heard. Nobody can guess `token`.
    #[must_use]
    pub fn new(scene: Arc<Scene>, token: String) -> Self {
        Self {
            flow: Flow::new(Limits::BEFORE_LOGIN),
            out: BytesMut::new(),
            scene,
            phase: Phase::Open(None),
            domain: None,
            encrypted: false,
            greeted: false,
            failures: 0,
            token,
            streams: 0,
        }
    }

    /// TLS is there now: everything heard before it is forgotten.
    pub fn encrypted(&mut self) {
        self.encrypted = true;
        self.greeted = false;
        self.domain = None;
        self.phase = Phase::Open(None);
        self.flow = Flow::new(Limits::BEFORE_LOGIN);
    }

    /// The domain that was asked for.
    #[must_use]
    pub fn domain(&self) -> Option<String> {
        self.domain.as_ref().map(ToString::to_string)
    }

    /// Whether the stream is closed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Whether a resource is bound.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live(_))
    }

    /// Takes the requests that a living server is to be asked, and the address of who asks.
    pub fn forwards(&mut self) -> Option<(String, Vec<Element>)> {
        let Phase::Live(mock) = &mut self.phase else { return None };
        let requests = mock.forwards();
        (!requests.is_empty()).then(|| (mock.me().to_owned(), requests))
    }

    /// Something for the client that a living server has said.
    pub fn say(&mut self, element: &Element) {
        if self.is_live() {
            self.send(element);
        }
    }

    /// Handles what has come.
    pub fn feed(&mut self) -> Rest {
        while !self.is_over() {
            if self.out.len() > HIGH_BYTES {
                return Rest::Full;
            }
            if matches!(self.phase, Phase::Tls) {
                return Rest::StartTls;
            }
            match self.flow.piece() {
                Ok(None) => break,
                Ok(Some(Piece::Header(open))) => self.header(&open),
                Ok(Some(Piece::Element(element))) => self.element(&element),
                Ok(Some(Piece::Close)) => self.end(),
                Err(error) => self.fail(&error),
            }
        }
        Rest::Idle
    }

    /// Ends the stream with an error (RFC 6120 §4.9.1), after a header if none was sent yet.
    pub fn fail(&mut self, error: &StreamError) {
        if self.is_over() {
            return;
        }
        if !self.greeted {
            self.greet(None);
        }
        self.send(&error.element());
        self.end();
    }

    fn end(&mut self) {
        self.out.extend_from_slice(b"</stream:stream>");
        self.phase = Phase::Over;
    }

    fn refuse(&mut self, condition: StreamCondition, text: &str) {
        self.fail(&StreamError::new(condition, text));
    }

    fn send(&mut self, element: &Element) {
        write_element(element, Scope::Stream, &mut self.out);
    }

    /// Answers the stream header with ours and our features.
    fn header(&mut self, open: &OpenTag) {
        let header = match Header::read(open) {
            Ok(header) => header,
            Err(error) => return self.fail(&error),
        };
        let Some(Ok(domain)) = header.to.as_deref().map(DomainPart::new) else {
            return self.refuse(StreamCondition::ImproperAddressing, "the header's 'to' must be a domain");
        };
        if self.domain.as_ref().is_some_and(|before| **before != *domain) {
            return self.refuse(StreamCondition::NotAuthorized, "the domain must stay the same");
        }
        self.domain = Some(domain.into_owned());
        self.greet(header.from.as_deref());
        if !header.has_features() {
            return self.refuse(StreamCondition::UnsupportedVersion, "version 1.0 is needed to log in");
        }
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Open(Some(account)) => {
                let features = self.scene.features.clone();
                self.send(&features);
                self.phase = Phase::Bind(account);
            }
            _ => {
                let features = self.login_features();
                self.send(&features);
                self.phase = Phase::Login(None);
            }
        }
    }

    /// Our stream header: a new id each time (RFC 6120 §4.7.3), `to` only if the client said who it is (§4.7.2).
    fn greet(&mut self, client: Option<&str>) {
        self.streams += 1;
        let header = Header {
            to: client.map(str::to_owned),
            from: Some(self.domain.as_ref().map_or_else(|| "localhost".to_owned(), ToString::to_string)),
            id: Some(format!("{}{}", self.token, self.streams)),
            lang: Some(self.scene.tape.lang.clone().unwrap_or_else(|| "en".to_owned())),
            version: Some("1.0".to_owned()),
        };
        header.write(&mut self.out);
        self.greeted = true;
    }

    fn needs_tls(&self) -> bool {
        self.scene.starttls && !self.encrypted
    }

    fn login_features(&self) -> Element {
        let features = Element::new(ns::STREAM, "features");
        if self.needs_tls() {
            let starttls = Element::new(ns::TLS, "starttls").with_child(Element::new(ns::TLS, "required"));
            return features.with_child(starttls);
        }
        let offer = |list: Element, name: &&str| list.with_child(Element::new(ns::SASL, "mechanism").with_text(*name));
        features.with_child(self.scene.mechanisms().iter().fold(Element::new(ns::SASL, "mechanisms"), offer))
    }

    fn element(&mut self, element: &Element) {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Login(_) if element.is(ns::TLS, "starttls") && self.needs_tls() => {
                self.send(&Element::new(ns::TLS, "proceed"));
                self.phase = Phase::Tls;
            }
            Phase::Login(exchange) if element.ns == ns::SASL && !self.needs_tls() => {
                self.phase = Phase::Login(None);
                self.login(element, exchange);
            }
            Phase::Bind(account) if element.is(ns::CLIENT, "iq") => {
                self.phase = Phase::Bind(account.clone());
                self.bind(element, &account);
            }
            Phase::Live(mut mock) => {
                let mut out = Vec::new();
                mock.came(element, &mut out);
                self.phase = Phase::Live(mock);
                out.iter().for_each(|element| self.send(element));
            }
            before => {
                self.phase = before;
                self.refuse(StreamCondition::NotAuthorized, "log in first");
            }
        }
    }

    /// SASL (RFC 6120 §6.4).
    fn login(&mut self, element: &Element, exchange: Option<Exchange>) {
        let Some(domain) = self.domain.clone() else { return };
        let scene = Arc::clone(&self.scene);
        let guest = || format!("guest-{}", self.token);
        let doors = Doors { mechanisms: scene.mechanisms(), keys: scene.keys.as_ref(), guest: &guest };
        let progress = match (element.name.as_str(), exchange) {
            ("auth", _) => Exchange::begin(&doors, &domain, element.attr("mechanism").unwrap_or(""), &element.text()),
            ("response", Some(exchange)) => exchange.go_on(&doors, &domain, &element.text()),
            ("abort", _) => Progress::Failed("aborted", "aborted by the client"),
            _ => Progress::Failed("malformed-request", "no exchange is under way"),
        };
        match progress {
            Progress::Challenge(text, exchange) => {
                self.send(&Element::new(ns::SASL, "challenge").with_text(text));
                self.phase = Phase::Login(Some(exchange));
            }
            Progress::Success(text, account) => {
                self.send(&Element::new(ns::SASL, "success").with_text(text));
                self.flow.restart(Limits::AFTER_LOGIN);
                self.phase = Phase::Open(Some(account));
            }
            Progress::Failed(condition, text) => {
                let text = Element::new(ns::SASL, "text").with_text(text);
                let condition = Element::new(ns::SASL, condition);
                self.send(&Element::new(ns::SASL, "failure").with_child(condition).with_child(text));
                self.failures += 1;
                if self.failures >= LOGIN_FAILURES {
                    self.refuse(StreamCondition::PolicyViolation, "too many failed logins");
                }
            }
        }
    }

    /// Resource binding (RFC 6120 §7): the resource that is asked for, or one made up.
    fn bind(&mut self, element: &Element, account: &Account) {
        let wanted = element.child(ns::BIND, "bind").filter(|_| element.attr("type") == Some("set"));
        let (Some(bind), Some(id)) = (wanted, element.attr("id")) else {
            return self.decline(element, &StanzaError::new(Condition::ServiceUnavailable));
        };
        let asked = bind.child(ns::BIND, "resource").map(Element::text).filter(|asked| !asked.is_empty());
        let resource = asked.unwrap_or_else(|| format!("{}r", self.token));
        let Ok(me) = account.jid.with_resource_str(&resource) else {
            return self.decline(element, &StanzaError::new(Condition::BadRequest).with_text("not a resource"));
        };
        let jid = Element::new(ns::BIND, "jid").with_text(me.to_string());
        let result = Element::new(ns::CLIENT, "iq").with_attr("type", "result").with_attr("id", id);
        self.send(&result.with_child(Element::new(ns::BIND, "bind").with_child(jid)));
        let mut mock = Mock::new(Arc::clone(&self.scene.tape), &me.to_string(), self.scene.miss);
        let mut out = Vec::new();
        mock.begin(&mut out);
        out.iter().for_each(|element| self.send(element));
        self.phase = Phase::Live(Box::new(mock));
    }

    fn decline(&mut self, stanza: &Element, error: &StanzaError) {
        if let Some(reply) = error_reply(stanza, error, false) {
            self.send(&reply);
        }
    }
}

/// What is offered behind the login: what was recorded, without what would lead away from it (TLS, another login, compression, stream
/// management).
fn features(recorded: Option<&Element>) -> Element {
    let mut features = recorded.cloned().unwrap_or_else(|| Element::new(ns::STREAM, "features"));
    let refused = [ns::TLS, ns::SASL, ns::SASL2, ns::SASL_CB, ns::COMPRESS_FEATURE, ns::IQ_AUTH_FEATURE, ns::BIND];
    features.nodes.retain(|node| match node {
        Node::Element(child) => !refused.contains(&child.ns.as_str()) && !child.ns.starts_with("urn:xmpp:sm:"),
        Node::Text(_) => false,
    });
    features.nodes.insert(0, Node::Element(Element::new(ns::BIND, "bind")));
    features
}
