//! Logging in (RFC 6120 §6): PLAIN and ANONYMOUS with whatever the client says, SCRAM-SHA-1 for the sample accounts.
//!
//! Takes base64 from the client, gives the next challenge, an account or a failure. SCRAM is the `sasl` crate's; the
//! other two are done here: its PLAIN takes no notice of the authorization identity, its ANONYMOUS makes up names
//! with brackets and commas. Must not be mistaken for a check of passwords: see [`super`].

use super::hub::Hub;
use super::{SAMPLE_ACCOUNTS, SAMPLE_PASSWORD};
use crate::xmpp::jid::BareJid;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jid::{DomainPart, NodePart};
use sasl::common::scram::{DeriveError, Sha1};
use sasl::common::{ChannelBinding, Identity};
use sasl::secret::Pbkdf2Sha1;
use sasl::server::mechanisms::Scram;
use sasl::server::{Mechanism, Provider, ProviderError, Response, Validator, ValidatorError};

/// The mechanisms offered, best first.
pub(super) const MECHANISMS: [&str; 3] = ["SCRAM-SHA-1", "PLAIN", "ANONYMOUS"];
/// RFC 5802 §5.1 asks for no fewer.
const ITERATIONS: u32 = 4096;

/// Who logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    /// The account.
    pub(super) jid: BareJid,
    /// Whether it goes when its last connection does.
    pub(super) anonymous: bool,
}

/// What the sample accounts share: one password, one salt, derived once.
#[derive(Clone, Debug)]
pub(super) struct Samples {
    secret: Pbkdf2Sha1,
}

impl Samples {
    /// Derives the keys.
    pub(super) fn derive(salt: &[u8]) -> Result<Self, DeriveError> {
        Ok(Self { secret: Pbkdf2Sha1::derive(SAMPLE_PASSWORD, salt, ITERATIONS)? })
    }
}

impl Provider<Pbkdf2Sha1> for Samples {
    fn provide(&self, identity: &Identity) -> Result<Pbkdf2Sha1, ProviderError> {
        let Identity::Username(name) = identity else { return Err(ProviderError::AuthenticationFailed) };
        let name = NodePart::new(name).map_err(|_| ProviderError::AuthenticationFailed)?;
        if SAMPLE_ACCOUNTS.contains(&name.as_str()) {
            Ok(self.secret.clone())
        } else {
            Err(ProviderError::AuthenticationFailed)
        }
    }
}

impl Validator<Pbkdf2Sha1> for Samples {
    fn validate(&self, identity: &Identity, _: &Pbkdf2Sha1) -> Result<(), ValidatorError> {
        Ok(self.provide(identity).map(drop)?)
    }
}

/// An exchange that waits for the client's `<response/>`.
pub(super) enum Exchange {
    /// The client sent no initial response (RFC 6120 §6.4.2): its first message is still to come.
    Empty(String),
    /// SCRAM after the server's first message.
    Scram(Box<Scram<Sha1, Samples>>),
}

/// What a message from the client leads to.
pub(super) enum Progress {
    /// Send this challenge and wait.
    Challenge(String, Exchange),
    /// Logged in; the text goes with `<success/>`.
    Success(String, Account),
    /// The failure's condition (RFC 6120 §6.5) and a text.
    Failed(&'static str, &'static str),
}

impl Exchange {
    /// `<auth/>`
    pub(super) fn begin(hub: &Hub, domain: &DomainPart, mechanism: &str, text: &str) -> Progress {
        if !MECHANISMS.contains(&mechanism) {
            return Progress::Failed("invalid-mechanism", "not one of those offered");
        }
        if text.is_empty() && mechanism != "ANONYMOUS" {
            return Progress::Challenge(String::new(), Self::Empty(mechanism.to_owned()));
        }
        // A single "=" is an initial response of no bytes (RFC 6120 §6.4.2).
        let Ok(message) = BASE64.decode(if text == "=" { "" } else { text }) else { return not_base64() };
        match mechanism {
            "PLAIN" => plain(domain, &message),
            "ANONYMOUS" => anonymous(hub, domain),
            _ => scram_first(hub, domain, &message),
        }
    }

    /// `<response/>`
    pub(super) fn go_on(self, hub: &Hub, domain: &DomainPart, text: &str) -> Progress {
        match self {
            Self::Empty(mechanism) => Self::begin(hub, domain, &mechanism, if text.is_empty() { "=" } else { text }),
            Self::Scram(mut scram) => {
                let Ok(message) = BASE64.decode(text) else { return not_base64() };
                match scram.respond(&message) {
                    Ok(Response::Success(Identity::Username(name), last)) => success(domain, &name, &last),
                    _ => wrong_credentials(),
                }
            }
        }
    }
}

/// RFC 4616 §2: `authzid NUL authcid NUL passwd`.
fn plain(domain: &DomainPart, message: &[u8]) -> Progress {
    let Ok(message) = std::str::from_utf8(message) else {
        return Progress::Failed("malformed-request", "not UTF-8");
    };
    let parts: Vec<&str> = message.split('\0').collect();
    let [authzid, authcid, password] = parts[..] else {
        return Progress::Failed("malformed-request", "PLAIN is three strings with a NUL between each two");
    };
    if password.is_empty() {
        return Progress::Failed("not-authorized", "any password will do, but there must be one");
    }
    match success(domain, authcid, b"") {
        Progress::Success(_, account) if !is_same(authzid, &account) => {
            Progress::Failed("invalid-authzid", "nobody acts for somebody else here")
        }
        progress => progress,
    }
}

/// RFC 4505; the trace information, if any, is not looked at.
fn anonymous(hub: &Hub, domain: &DomainPart) -> Progress {
    match success(domain, &format!("guest-{}", hub.token()), b"") {
        Progress::Success(text, account) => Progress::Success(text, Account { anonymous: true, ..account }),
        progress => progress,
    }
}

/// RFC 5802 §5: the client's first message.
fn scram_first(hub: &Hub, domain: &DomainPart, message: &[u8]) -> Progress {
    let mut header = message.split(|&b| b == b',');
    // COMPAT (sasl 0.5.2): its server takes the gs2 flag 'n' only if it was given channel binding data, and 'y' only if
    // not. We have no TLS and so none to give, and must take both: no bytes of data give the same proof as none.
    let binding = match header.next() {
        Some(b"n") => ChannelBinding::TlsUnique(Vec::new()),
        Some(b"y") => ChannelBinding::Unsupported,
        _ => return Progress::Failed("malformed-request", "no channel binding here"),
    };
    let authzid = header.next().and_then(|a| std::str::from_utf8(a).ok()).unwrap_or("a=?");
    let user = header.find_map(|a| a.strip_prefix(b"n=")).and_then(|a| std::str::from_utf8(a).ok()).unwrap_or("");
    if let Progress::Success(_, account) = success(domain, user, b"")
        && !is_same(authzid.strip_prefix("a=").unwrap_or(authzid), &account)
    {
        return Progress::Failed("invalid-authzid", "nobody acts for somebody else here");
    }
    let mut scram = Box::new(Scram::new(hub.samples().clone(), binding));
    match scram.respond(message) {
        Ok(Response::Proceed(challenge)) => Progress::Challenge(BASE64.encode(challenge), Exchange::Scram(scram)),
        _ => wrong_credentials(),
    }
}

/// Whether the authorization identity names the account itself (or, empty, nobody else).
fn is_same(authzid: &str, account: &Account) -> bool {
    authzid.is_empty() || BareJid::new(authzid).is_ok_and(|jid| jid == account.jid)
}

fn success(domain: &DomainPart, name: &str, last: &[u8]) -> Progress {
    match domain.with_node_str(name) {
        Ok(jid) => Progress::Success(BASE64.encode(last), Account { jid, anonymous: false }),
        Err(_) => Progress::Failed("not-authorized", "not a name for an account"),
    }
}

fn not_base64() -> Progress {
    Progress::Failed("incorrect-encoding", "not base64")
}

fn wrong_credentials() -> Progress {
    Progress::Failed("not-authorized", "wrong name or password: by SCRAM only the sample accounts can log in")
}
