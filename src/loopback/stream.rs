//! One client's stream: header, SASL, bind, then stanzas. No I/O: bytes in `inbuf`, bytes out in `out`.
//!
//! ```text
//!   Open(nobody) --header--> Login --success--> Open(account) --header--> Bind(account) --bind--> Live --> Over
//! ```
//! Takes what the client sends, gives what it is answered, and hands stanzas to [`Live`]. Must not decide what a
//! stanza means.

use super::hub::{Hub, Inbox, Outlet, outlet};
use super::stanza::Live;
use crate::login::{Account, Doors, Exchange, Progress};
use crate::xml::{Element, ItemKind, Limits, Scanner, Scope, Step, normalise, parse_element, write_element};
use crate::xmpp::error::error_reply;
use crate::xmpp::{Condition, Header, StanzaError, StreamCondition, StreamError, ns};
use bytes::{Bytes, BytesMut};
use jid::DomainPart;
use std::sync::Arc;

/// The mechanisms offered, best first.
const MECHANISMS: [&str; 3] = ["SCRAM-SHA-1", "PLAIN", "ANONYMOUS"];
/// Past this much unsent, [`Stream::feed`] rests.
const HIGH_BYTES: usize = 256 * 1024;
/// Failed logins on one stream (RFC 6120 §6.4.5: between two and five).
const LOGIN_FAILURES: u8 = 3;

/// Where the stream stands.
enum Phase {
    /// A stream header must come; for whom, once somebody has logged in.
    Open(Option<Account>),
    /// Mechanisms are offered; an exchange may be under way.
    Login(Option<Exchange>),
    /// Binding is offered.
    Bind(Account),
    /// Stanzas flow.
    Live(Live),
    /// `</stream:stream>` is in `out`.
    Over,
}

/// See the module.
pub(super) struct Stream {
    /// Received, not yet handled.
    pub(super) inbuf: BytesMut,
    /// To be sent.
    pub(super) out: BytesMut,
    /// What others send to this client.
    pub(super) inbox: Inbox,
    outlet: Outlet,
    hub: Arc<Hub>,
    scanner: Scanner,
    phase: Phase,
    domain: Option<DomainPart>,
    lang: Option<String>,
    failures: u8,
    greeted: bool,
}

impl Stream {
    /// A stream of which nothing has been heard.
    pub(super) fn new(hub: Arc<Hub>) -> Self {
        let (outlet, inbox) = outlet();
        Self {
            inbuf: BytesMut::new(),
            out: BytesMut::new(),
            inbox,
            outlet,
            hub,
            scanner: Scanner::new(Limits::BEFORE_LOGIN),
            phase: Phase::Open(None),
            domain: None,
            lang: None,
            failures: 0,
            greeted: false,
        }
    }

    /// Whether a resource is bound.
    pub(super) fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Live(_))
    }

    /// Whether the stream is closed.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Something another client sent to this one.
    pub(super) fn take(&mut self, bytes: &Bytes) {
        self.outlet.taken(bytes.len());
        if !self.is_over() {
            self.out.extend_from_slice(bytes);
        }
    }

    /// Handles what is in `inbuf`. True if it rested before the end because much waits to be sent.
    pub(super) fn feed(&mut self) -> bool {
        while !self.is_over() {
            if self.out.len() > HIGH_BYTES {
                return true;
            }
            match self.scanner.scan(&self.inbuf) {
                Step::More => return false,
                Step::Refused(refusal) => self.fail(&StreamError::new(refusal.fault.into(), refusal.why)),
                Step::Item { len, kind } => {
                    let bytes = self.inbuf.split_to(len);
                    self.item(kind, &bytes);
                    // What a stanza to oneself put into the inbox goes out before the next stanza's answer.
                    while let Ok(bytes) = self.inbox.try_recv() {
                        self.take(&bytes);
                    }
                }
            }
        }
        false
    }

    /// Ends the stream with an error (RFC 6120 §4.9.1), after a header if none was sent yet.
    pub(super) fn fail(&mut self, error: &StreamError) {
        if self.is_over() {
            return;
        }
        if !self.greeted {
            self.greet(None);
        }
        write_element(&error.element(), Scope::Stream, &mut self.out);
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

    fn item(&mut self, kind: ItemKind, bytes: &[u8]) {
        match kind {
            ItemKind::Space => {}
            ItemKind::Open => self.header(),
            ItemKind::Element => match self.tree(bytes) {
                Some(element) => self.element(element),
                None => self.refuse(StreamCondition::NotWellFormed, "two parsers do not agree about this element"),
            },
            ItemKind::Close => self.end(),
        }
    }

    fn tree(&self, bytes: &[u8]) -> Option<Element> {
        let (root, head) = (self.scanner.root(), self.scanner.head());
        if head.untidy {
            let (bytes, head) = normalise(bytes, root)?;
            return parse_element(&bytes, root, &head).ok();
        }
        parse_element(bytes, root, head).ok()
    }

    /// Answers the stream header with ours and our features.
    fn header(&mut self) {
        let header = match Header::read(self.scanner.open()) {
            Ok(header) => header,
            Err(error) => return self.fail(&error),
        };
        self.lang.clone_from(&header.lang);
        let Some(Ok(domain)) = header.to.as_deref().map(DomainPart::new) else {
            return self.refuse(StreamCondition::ImproperAddressing, "the header's 'to' must be a domain");
        };
        if !self.hub.serves(&domain) {
            return self.refuse(StreamCondition::HostUnknown, "this domain is not served here");
        }
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
                self.send(&bind_features());
                self.phase = Phase::Bind(account);
            }
            _ => {
                self.send(&login_features());
                self.phase = Phase::Login(None);
            }
        }
    }

    /// Our stream header: a new id each time (RFC 6120 §4.7.3), `to` only if the client said who it is (§4.7.2).
    fn greet(&mut self, client: Option<&str>) {
        let header = Header {
            to: client.map(str::to_owned),
            from: Some(self.domain.as_ref().map_or_else(|| "localhost".to_owned(), ToString::to_string)),
            id: Some(self.hub.token()),
            lang: Some("en".to_owned()),
            version: Some("1.0".to_owned()),
        };
        header.write(&mut self.out);
        self.greeted = true;
    }

    fn element(&mut self, element: Element) {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Login(exchange) => {
                self.phase = Phase::Login(None);
                self.login(&element, exchange);
            }
            Phase::Bind(account) => {
                self.phase = Phase::Bind(account.clone());
                self.bind(&element, account);
            }
            Phase::Live(live) if is_stanza(&element) => {
                live.stanza(element, &mut self.out);
                self.phase = Phase::Live(live);
            }
            before => {
                self.phase = before;
                self.refuse(StreamCondition::UnsupportedStanzaType, "nothing of this name is understood here");
            }
        }
    }

    /// SASL (RFC 6120 §6.4).
    fn login(&mut self, element: &Element, exchange: Option<Exchange>) {
        let Some(domain) = self.domain.clone() else { return };
        if element.is(ns::TLS, "starttls") {
            self.send(&Element::new(ns::TLS, "failure"));
            return self.end();
        }
        if is_stanza(element) {
            return self.refuse(StreamCondition::NotAuthorized, "log in first");
        }
        if element.ns != ns::SASL {
            return self.refuse(StreamCondition::UnsupportedStanzaType, "log in first");
        }
        let guest = || format!("guest-{}", self.hub.token());
        let doors = Doors { mechanisms: &MECHANISMS, keys: Some(self.hub.samples()), guest: &guest };
        let progress = match (element.name.as_str(), exchange) {
            ("auth", _) => Exchange::begin(&doors, &domain, element.attr("mechanism").unwrap_or(""), &element.text()),
            ("response", Some(exchange)) => exchange.go_on(&doors, &domain, &element.text()),
            ("abort", _) => Progress::Failed("aborted", "aborted by the client"),
            _ => Progress::Failed("malformed-request", "no exchange is under way"),
        };
        self.progress(progress);
    }

    fn progress(&mut self, progress: Progress) {
        match progress {
            Progress::Challenge(text, exchange) => {
                self.send(&Element::new(ns::SASL, "challenge").with_text(text));
                self.phase = Phase::Login(Some(exchange));
            }
            Progress::Success(text, account) => {
                self.send(&Element::new(ns::SASL, "success").with_text(text));
                self.scanner = Scanner::new(Limits::AFTER_LOGIN);
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

    /// Resource binding (RFC 6120 §7); any other request gets `service-unavailable`.
    fn bind(&mut self, element: &Element, account: Account) {
        if !element.is(ns::CLIENT, "iq") {
            return self.refuse(StreamCondition::NotAuthorized, "bind a resource first");
        }
        let wanted = element.child(ns::BIND, "bind").filter(|_| element.attr("type") == Some("set"));
        let (Some(bind), Some(id)) = (wanted, element.attr("id")) else {
            return self.refuse_stanza(element, &StanzaError::new(Condition::ServiceUnavailable));
        };
        let resource = bind.child(ns::BIND, "resource").map(Element::text).filter(|r| !r.is_empty());
        let me = match self.hub.join(&account, resource.as_deref(), self.outlet.clone()) {
            Ok(me) => me,
            Err(error) => return self.refuse_stanza(element, &error),
        };
        let jid = Element::new(ns::BIND, "jid").with_text(me.to_string());
        let result = Element::new(ns::CLIENT, "iq")
            .with_attr("type", "result")
            .with_attr("id", id)
            .with_child(Element::new(ns::BIND, "bind").with_child(jid));
        self.send(&result);
        self.phase = Phase::Live(Live::new(Arc::clone(&self.hub), me, self.lang.clone()));
    }

    fn refuse_stanza(&mut self, stanza: &Element, error: &StanzaError) {
        if let Some(reply) = error_reply(stanza, error, false) {
            self.send(&reply);
        }
    }
}

fn is_stanza(element: &Element) -> bool {
    element.ns == ns::CLIENT && matches!(element.name.as_str(), "message" | "presence" | "iq")
}

fn login_features() -> Element {
    let offer = |list: Element, name: &&str| list.with_child(Element::new(ns::SASL, "mechanism").with_text(*name));
    let mechanisms = MECHANISMS.iter().fold(Element::new(ns::SASL, "mechanisms"), offer);
    Element::new(ns::STREAM, "features").with_child(mechanisms)
}

fn bind_features() -> Element {
    let session = Element::new(ns::SESSION, "session").with_child(Element::new(ns::SESSION, "optional"));
    Element::new(ns::STREAM, "features").with_child(Element::new(ns::BIND, "bind")).with_child(session)
}
