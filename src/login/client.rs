//! [`Login`]: a client's way into a server (RFC 6120 §5 to §7). No I/O: elements in, bytes out.
//!
//! ```text
//!   Features --starttls--> Tls --proceed--> (TLS, header) Features --auth--> Auth --success--> (header) Features --bind--> Bind
//! ```
//! The password goes out by SCRAM if the server has it, by PLAIN only if it has nothing better. Channel binding is not used. Must not
//! log in unless TLS is there or was not wanted.

use crate::xml::{Element, Scope, write_element};
use crate::xmpp::jid::{BareJid, FullJid};
use crate::xmpp::{Header, ns};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::BytesMut;
use sasl::client::Mechanism;
use sasl::client::mechanisms::{Plain, Scram};
use sasl::common::ChannelBinding;
use sasl::common::scram::{Sha1, Sha256};

/// Of SCRAM: more rounds than anybody has, and still done within a second or two.
const MOST_ITERATIONS: u32 = 1_000_000;
/// The id of the request that binds.
const BIND_ID: &str = "iqtap-bind";

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Wait for the server.
    Wait,
    /// Begin TLS, then [`Login::open`] another stream.
    StartTls,
    /// Another stream begins: [`Login::open`] has been called for it.
    Restart,
    /// The client is there under this address.
    Bound(FullJid),
}

/// Where it stands.
enum State {
    /// Features must come.
    Features,
    Tls,
    /// The mechanism, and what was said first.
    Auth(Box<dyn Mechanism + Send>, Vec<u8>),
    Bind,
}

/// See the module.
pub struct Login {
    jid: BareJid,
    password: String,
    resource: Option<String>,
    lang: Option<String>,
    /// TLS is still to be begun.
    starttls: bool,
    authenticated: bool,
    state: State,
    /// What the server offered last.
    features: Option<Element>,
}

impl Login {
    /// Somebody with a password, who would like this resource. `starttls`: TLS must be begun first.
    #[must_use]
    pub fn new(jid: BareJid, password: String, resource: Option<String>, lang: Option<String>, starttls: bool) -> Self {
        Self { jid, password, resource, lang, starttls, authenticated: false, state: State::Features, features: None }
    }

    /// Begins a stream.
    pub fn open(&mut self, out: &mut BytesMut) {
        let to = Some(self.jid.domain().to_string());
        Header { to, lang: self.lang.clone(), version: Some("1.0".to_owned()), ..Header::default() }.write(out);
        self.state = State::Features;
    }

    /// What the server offered when the client was bound.
    #[must_use]
    pub fn into_features(self) -> Option<Element> {
        self.features
    }

    /// The server says something.
    ///
    /// # Errors
    /// Why there is no login; one line for people.
    pub fn element(&mut self, element: &Element, out: &mut BytesMut) -> Result<Next, String> {
        if element.is(ns::STREAM, "error") {
            return Err(format!("the server ended the stream: {}", reason(element)));
        }
        match std::mem::replace(&mut self.state, State::Features) {
            State::Features if element.is(ns::STREAM, "features") => self.features(element, out),
            State::Features => Err(format!("the server sent <{}/> in place of features", element.name)),
            State::Tls if element.is(ns::TLS, "proceed") => {
                self.starttls = false;
                Ok(Next::StartTls)
            }
            State::Tls => Err("the server refuses STARTTLS".to_owned()),
            State::Auth(mechanism, first) => self.auth(mechanism, first, element, out),
            State::Bind => self.bound(element),
        }
    }

    fn features(&mut self, features: &Element, out: &mut BytesMut) -> Result<Next, String> {
        if self.starttls {
            if features.child(ns::TLS, "starttls").is_none() {
                return Err("the server offers no STARTTLS; --tls off or direct, if that is meant".to_owned());
            }
            write_element(&Element::new(ns::TLS, "starttls"), Scope::Stream, out);
            self.state = State::Tls;
            return Ok(Next::Wait);
        }
        if !self.authenticated {
            let (mut mechanism, name) = self.choose(features)?;
            let first = mechanism.initial();
            let text = if first.is_empty() { "=".to_owned() } else { BASE64.encode(&first) };
            let auth = Element::new(ns::SASL, "auth").with_attr("mechanism", name).with_text(text);
            write_element(&auth, Scope::Stream, out);
            self.state = State::Auth(mechanism, first);
            return Ok(Next::Wait);
        }
        let mut bind = Element::new(ns::BIND, "bind");
        if let Some(resource) = &self.resource {
            bind = bind.with_child(Element::new(ns::BIND, "resource").with_text(resource));
        }
        let iq = Element::new(ns::CLIENT, "iq").with_attr("type", "set").with_attr("id", BIND_ID).with_child(bind);
        write_element(&iq, Scope::Stream, out);
        self.features = Some(features.clone());
        self.state = State::Bind;
        Ok(Next::Wait)
    }

    /// The best mechanism that both have.
    fn choose(&self, features: &Element) -> Result<(Box<dyn Mechanism + Send>, &'static str), String> {
        let offered: Vec<String> = features
            .child(ns::SASL, "mechanisms")
            .into_iter()
            .flat_map(Element::children)
            .map(|mechanism| mechanism.text().trim().to_owned())
            .collect();
        let has = |name: &str| offered.iter().any(|offered| offered == name);
        let name = self.jid.node().map(ToString::to_string).unwrap_or_default();
        // RFC 5802 §5.1: the two that would end a name.
        let escaped = name.replace('=', "=3D").replace(',', "=2C");
        let password = self.password.clone();
        let no_nonce = |e| format!("no random number: {e:?}");
        if has("SCRAM-SHA-256") {
            let scram = Scram::<Sha256>::new(escaped, password, ChannelBinding::None).map_err(no_nonce)?;
            return Ok((Box::new(scram), "SCRAM-SHA-256"));
        }
        if has("SCRAM-SHA-1") {
            let scram = Scram::<Sha1>::new(escaped, password, ChannelBinding::None).map_err(no_nonce)?;
            return Ok((Box::new(scram), "SCRAM-SHA-1"));
        }
        if has("PLAIN") {
            return Ok((Box::new(Plain::new(name, password)), "PLAIN"));
        }
        Err(format!("the server has none of SCRAM-SHA-256, SCRAM-SHA-1 and PLAIN, but {offered:?}"))
    }

    fn auth(
        &mut self,
        mut mechanism: Box<dyn Mechanism + Send>,
        first: Vec<u8>,
        element: &Element,
        out: &mut BytesMut,
    ) -> Result<Next, String> {
        let text = element.text();
        let data = BASE64.decode(match text.trim() {
            "=" => "",
            text => text,
        });
        match (element.ns.as_str(), element.name.as_str(), data) {
            (ns::SASL, "challenge", Ok(data)) => {
                if mechanism.name().starts_with("SCRAM") {
                    check_challenge(&first, &data)?;
                }
                let answer = mechanism.response(&data).map_err(|e| format!("the login failed: {e}"))?;
                let response = Element::new(ns::SASL, "response").with_text(BASE64.encode(answer));
                write_element(&response, Scope::Stream, out);
                self.state = State::Auth(mechanism, first);
                Ok(Next::Wait)
            }
            (ns::SASL, "success", Ok(data)) => {
                mechanism
                    .success(&data)
                    .map_err(|e| format!("the server does not prove that it knows the password: {e}"))?;
                self.authenticated = true;
                self.open(out);
                Ok(Next::Restart)
            }
            (ns::SASL, "failure", _) => Err(format!("{} may not log in: {}", self.jid, reason(element))),
            (ns::SASL, _, Err(_)) => Err("the server's part of the login is not base64".to_owned()),
            _ => Err(format!("the server sent <{}/> within the login", element.name)),
        }
    }

    fn bound(&mut self, element: &Element) -> Result<Next, String> {
        if !element.is(ns::CLIENT, "iq") || element.attr("id") != Some(BIND_ID) {
            self.state = State::Bind;
            return Ok(Next::Wait);
        }
        if element.attr("type") != Some("result") {
            return Err(format!(
                "no resource is bound: {}",
                element.child(ns::CLIENT, "error").map_or_else(|| "?".to_owned(), reason)
            ));
        }
        let jid = element.child(ns::BIND, "bind").and_then(|bind| bind.child(ns::BIND, "jid")).map(Element::text);
        let jid = jid.as_deref().map(str::trim).and_then(|jid| FullJid::new(jid).ok());
        jid.map(Next::Bound).ok_or_else(|| "the server does not say which address is bound".to_owned())
    }
}

/// COMPAT (sasl 0.5.2): it looks neither at whether the server's nonce goes on from ours (RFC 5802 §5.1) nor at how much work is asked for.
fn check_challenge(first: &[u8], challenge: &[u8]) -> Result<(), String> {
    let field = |message: &[u8], name: &str| {
        let message = String::from_utf8_lossy(message).into_owned();
        message.split(',').find_map(|field| field.strip_prefix(name).map(str::to_owned))
    };
    let ours = field(first, "r=").unwrap_or_default();
    let theirs = field(challenge, "r=").unwrap_or_default();
    if ours.is_empty() || theirs.len() <= ours.len() || !theirs.starts_with(&ours) {
        return Err("the server's nonce is not made from ours: this is not the server, or it is broken".to_owned());
    }
    match field(challenge, "i=").and_then(|rounds| rounds.parse::<u32>().ok()) {
        Some(1..=MOST_ITERATIONS) => Ok(()),
        _ => Err(format!("the server asks for no number of rounds between 1 and {MOST_ITERATIONS}")),
    }
}

/// The condition of an error, and its text.
fn reason(error: &Element) -> String {
    let condition = error.children().find(|child| child.name != "text").map_or("no reason", |child| &child.name);
    match error.children().find(|child| child.name == "text").map(Element::text) {
        Some(text) if !text.trim().is_empty() => format!("{condition} ({})", text.trim()),
        _ => condition.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::login::{Account, Doors, Exchange, Keys, Progress};
    use crate::xml::parse_str;
    use jid::DomainPart;

    const OFFERS: [&str; 3] = ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"];

    fn login(node: &str, password: &str, starttls: bool) -> Login {
        let jid = BareJid::new(&format!("{node}@capulet.example")).unwrap();
        Login::new(jid, password.to_owned(), Some("balcony".to_owned()), None, starttls)
    }

    fn features(mechanisms: &[&str]) -> Element {
        let offer = |list: Element, name: &&str| list.with_child(Element::new(ns::SASL, "mechanism").with_text(*name));
        let mechanisms = mechanisms.iter().fold(Element::new(ns::SASL, "mechanisms"), offer);
        Element::new(ns::STREAM, "features").with_child(mechanisms)
    }

    /// What was sent, as one tree.
    fn sent(out: &mut BytesMut) -> Element {
        let text = String::from_utf8(out.split().to_vec()).unwrap();
        parse_str(&text).unwrap()
    }

    /// A login with the server's side of this house; who came in, or why not.
    fn meet(login: &mut Login, offered: &[&'static str], password: &str) -> Result<Account, String> {
        let keys = Keys::derive(password, b"salt of the day", None).unwrap();
        let doors = Doors { mechanisms: offered, keys: Some(&keys), guest: &String::new };
        let (domain, mut out) = (DomainPart::new("capulet.example").unwrap().into_owned(), BytesMut::new());
        login.element(&features(offered), &mut out)?;
        let auth = sent(&mut out);
        let mut progress = Exchange::begin(&doors, &domain, auth.attr("mechanism").unwrap(), &auth.text());
        loop {
            let (element, exchange) = match progress {
                Progress::Challenge(text, next) => (Element::new(ns::SASL, "challenge").with_text(text), next),
                Progress::Success(text, account) => {
                    let success = Element::new(ns::SASL, "success").with_text(text);
                    assert_eq!(login.element(&success, &mut out)?, Next::Restart);
                    return Ok(account);
                }
                Progress::Failed(condition, _) => {
                    let failure = Element::new(ns::SASL, "failure").with_child(Element::new(ns::SASL, condition));
                    login.element(&failure, &mut out)?;
                    panic!("a failure is no step on the way");
                }
            };
            assert_eq!(login.element(&element, &mut out)?, Next::Wait);
            progress = exchange.go_on(&doors, &domain, &sent(&mut out).text());
        }
    }

    #[test]
    fn both_ends_of_a_login_agree() {
        for offered in [&OFFERS[..], &OFFERS[1..], &OFFERS[2..]] {
            for node in ["juliet", "with=sign", "jüliet"] {
                let account = meet(&mut login(node, "Geheim, =wort", false), offered, "Geheim, =wort");
                let jid = BareJid::new(&format!("{node}@capulet.example")).unwrap();
                let name = account.map(|account| account.jid.node().map(ToString::to_string));
                assert_eq!(name, Ok(jid.node().map(ToString::to_string)), "{node} by {offered:?}");
            }
        }
        for offered in [&OFFERS[..2], &OFFERS[1..2]] {
            let why = meet(&mut login("juliet", "Falsch", false), offered, "Geheim").unwrap_err();
            assert_eq!(why, "juliet@capulet.example may not log in: not-authorized");
        }
    }

    #[test]
    fn a_server_that_is_none_is_not_believed() {
        let challenge = |login: &mut Login, text: &str| {
            let element = Element::new(ns::SASL, "challenge").with_text(BASE64.encode(text));
            login.element(&element, &mut BytesMut::new())
        };
        let first = |login: &mut Login| {
            let mut out = BytesMut::new();
            login.element(&features(&OFFERS), &mut out).unwrap();
            let message = String::from_utf8(BASE64.decode(sent(&mut out).text()).unwrap()).unwrap();
            message.split_once("r=").unwrap().1.to_owned()
        };
        let mut other = login("juliet", "Geheim", false);
        first(&mut other);
        let why = challenge(&mut other, "r=somebody's,s=c2FsdA==,i=4096").unwrap_err();
        assert!(why.contains("nonce"), "{why}");
        let mut costly = login("juliet", "Geheim", false);
        let nonce = first(&mut costly);
        let why = challenge(&mut costly, &format!("r={nonce}x,s=c2FsdA==,i=4000000000")).unwrap_err();
        assert!(why.contains("rounds"), "{why}");
        let mut liar = login("juliet", "Geheim", false);
        let nonce = first(&mut liar);
        challenge(&mut liar, &format!("r={nonce}x,s=c2FsdA==,i=4096")).unwrap();
        let success = Element::new(ns::SASL, "success").with_text(BASE64.encode("v=AAAA"));
        let why = liar.element(&success, &mut BytesMut::new()).unwrap_err();
        assert!(why.contains("does not prove"), "{why}");
    }

    #[test]
    fn nobody_logs_in_without_the_tls_that_was_wanted() {
        let mut out = BytesMut::new();
        let why = login("juliet", "Geheim", true).element(&features(&OFFERS), &mut out).unwrap_err();
        assert!(why.contains("STARTTLS") && out.is_empty(), "{why}");
        let mut wanted = login("juliet", "Geheim", true);
        let offer = features(&OFFERS).with_child(Element::new(ns::TLS, "starttls"));
        assert_eq!(wanted.element(&offer, &mut out), Ok(Next::Wait));
        assert_eq!(out.split(), "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
        assert_eq!(wanted.element(&Element::new(ns::TLS, "proceed"), &mut out), Ok(Next::StartTls));
        assert!(wanted.element(&features(&["EXTERNAL"]), &mut out).unwrap_err().contains("EXTERNAL"));
    }

    #[test]
    fn who_is_bound_is_the_servers_word() {
        let mut bound = login("juliet", "Geheim", false);
        meet(&mut bound, &OFFERS, "Geheim").unwrap();
        let mut out = BytesMut::new();
        bound
            .element(&Element::new(ns::STREAM, "features").with_child(Element::new(ns::BIND, "bind")), &mut out)
            .unwrap();
        assert!(
            sent(&mut out).child(ns::BIND, "bind").unwrap().child(ns::BIND, "resource").unwrap().text() == "balcony"
        );
        let result = "<iq type='result' id='iqtap-bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>juliet@capulet.example/b2</jid></bind></iq>";
        let next = bound.element(&parse_str(result).unwrap(), &mut out);
        assert_eq!(next, Ok(Next::Bound(FullJid::new("juliet@capulet.example/b2").unwrap())));
    }
}
