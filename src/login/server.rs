//! Letting somebody in (RFC 6120 §6): PLAIN and ANONYMOUS with whatever the client says, SCRAM with one password.
//!
//! Takes base64 from the client, gives the next challenge, an account or a failure. SCRAM is the `sasl` crate's; the
//! other two are done here: its PLAIN takes no notice of the authorization identity, its ANONYMOUS makes up names
//! with brackets and commas. Must not be mistaken for a check of passwords: who uses it is a sample server or a mock.

use crate::xmpp::jid::BareJid;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jid::{DomainPart, NodePart};
use sasl::common::scram::{DeriveError, ScramProvider, Sha1, Sha256};
use sasl::common::{ChannelBinding, Identity};
use sasl::secret::{Pbkdf2Secret, Pbkdf2Sha1, Pbkdf2Sha256, Secret};
use sasl::server::mechanisms::Scram;
use sasl::server::{Mechanism, Provider, ProviderError, Response, Validator, ValidatorError};

/// RFC 5802 §5.1 asks for no fewer.
const ITERATIONS: u32 = 4096;

/// Who logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The account.
    pub jid: BareJid,
    /// Whether it goes when its last connection does.
    pub anonymous: bool,
}

/// What all who may log in by SCRAM share: one password, one salt, derived once.
#[derive(Clone, Debug)]
pub struct Keys {
    sha1: Pbkdf2Sha1,
    sha256: Pbkdf2Sha256,
    only: Option<&'static [&'static str]>,
}

impl Keys {
    /// Derives the keys. `only`: the local parts of those who have this password; `None`: everybody.
    ///
    /// # Errors
    /// If the library says so.
    pub fn derive(password: &str, salt: &[u8], only: Option<&'static [&'static str]>) -> Result<Self, DeriveError> {
        let sha1 = Pbkdf2Sha1::derive(password, salt, ITERATIONS)?;
        Ok(Self { sha1, sha256: Pbkdf2Sha256::derive(password, salt, ITERATIONS)?, only })
    }
}

/// A secret that is kept here.
pub trait Held: Secret + Pbkdf2Secret {
    /// It.
    fn of(keys: &Keys) -> Self;
}

impl Held for Pbkdf2Sha1 {
    fn of(keys: &Keys) -> Self {
        keys.sha1.clone()
    }
}

impl Held for Pbkdf2Sha256 {
    fn of(keys: &Keys) -> Self {
        keys.sha256.clone()
    }
}

impl<S: Held> Provider<S> for Keys {
    fn provide(&self, identity: &Identity) -> Result<S, ProviderError> {
        let Identity::Username(name) = identity else { return Err(ProviderError::AuthenticationFailed) };
        let name = NodePart::new(name).map_err(|_| ProviderError::AuthenticationFailed)?;
        match self.only {
            Some(names) if !names.contains(&name.as_str()) => Err(ProviderError::AuthenticationFailed),
            _ => Ok(S::of(self)),
        }
    }
}

impl<S: Held> Validator<S> for Keys {
    fn validate(&self, identity: &Identity, _: &S) -> Result<(), ValidatorError> {
        Ok(Provider::<S>::provide(self, identity).map(drop)?)
    }
}

/// The ways in.
pub struct Doors<'a> {
    /// The mechanisms offered, best first.
    pub mechanisms: &'a [&'static str],
    /// For SCRAM; without them it is not to be offered.
    pub keys: Option<&'a Keys>,
    /// Makes the name of somebody without one.
    pub guest: &'a dyn Fn() -> String,
}

/// An exchange that waits for the client's `<response/>`.
pub enum Exchange {
    /// The client sent no initial response (RFC 6120 §6.4.2): its first message is still to come.
    Empty(String),
    /// SCRAM-SHA-1 after the server's first message.
    Sha1(Box<Scram<Sha1, Keys>>),
    /// SCRAM-SHA-256 after the server's first message.
    Sha256(Box<Scram<Sha256, Keys>>),
}

/// What a message from the client leads to.
pub enum Progress {
    /// Send this challenge and wait.
    Challenge(String, Exchange),
    /// Logged in; the text goes with `<success/>`.
    Success(String, Account),
    /// The failure's condition (RFC 6120 §6.5) and a text.
    Failed(&'static str, &'static str),
}

impl Exchange {
    /// `<auth/>`
    #[must_use]
    pub fn begin(doors: &Doors<'_>, domain: &DomainPart, mechanism: &str, text: &str) -> Progress {
        if !doors.mechanisms.contains(&mechanism) {
            return Progress::Failed("invalid-mechanism", "not one of those offered");
        }
        if text.is_empty() && mechanism != "ANONYMOUS" {
            return Progress::Challenge(String::new(), Self::Empty(mechanism.to_owned()));
        }
        // A single "=" is an initial response of no bytes (RFC 6120 §6.4.2).
        let Ok(message) = BASE64.decode(if text == "=" { "" } else { text }) else { return not_base64() };
        match (mechanism, doors.keys) {
            ("PLAIN", _) => plain(domain, &message),
            ("ANONYMOUS", _) => anonymous(doors, domain),
            ("SCRAM-SHA-1", Some(keys)) => scram_first(keys, domain, &message, Self::Sha1),
            ("SCRAM-SHA-256", Some(keys)) => scram_first(keys, domain, &message, Self::Sha256),
            _ => Progress::Failed("invalid-mechanism", "not one of those offered"),
        }
    }

    /// `<response/>`
    #[must_use]
    pub fn go_on(self, doors: &Doors<'_>, domain: &DomainPart, text: &str) -> Progress {
        match self {
            Self::Empty(mechanism) => Self::begin(doors, domain, &mechanism, if text.is_empty() { "=" } else { text }),
            Self::Sha1(scram) => scram_last(*scram, domain, text),
            Self::Sha256(scram) => scram_last(*scram, domain, text),
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
fn anonymous(doors: &Doors<'_>, domain: &DomainPart) -> Progress {
    match success(domain, &(doors.guest)(), b"") {
        Progress::Success(text, account) => Progress::Success(text, Account { anonymous: true, ..account }),
        progress => progress,
    }
}

/// RFC 5802 §5: the client's first message.
fn scram_first<S>(
    keys: &Keys,
    domain: &DomainPart,
    message: &[u8],
    exchange: impl FnOnce(Box<Scram<S, Keys>>) -> Exchange,
) -> Progress
where
    S: ScramProvider,
    S::Secret: Held,
{
    let mut header = message.split(|&b| b == b',');
    // COMPAT (sasl 0.5.2): its server takes the gs2 flag 'n' only if it was given channel binding data, and 'y' only if
    // not. We have none to give, and must take both: no bytes of data give the same proof as none.
    let binding = match header.next() {
        Some(b"n") => ChannelBinding::TlsUnique(Vec::new()),
        Some(b"y") => ChannelBinding::Unsupported,
        _ => return Progress::Failed("malformed-request", "no channel binding here"),
    };
    let authzid = header.next().and_then(|a| std::str::from_utf8(a).ok()).unwrap_or("a=?");
    let user = header.find_map(|a| a.strip_prefix(b"n=")).and_then(|a| std::str::from_utf8(a).ok()).unwrap_or("");
    if let Progress::Success(_, account) = success(domain, &plain_name(user), b"")
        && !is_same(authzid.strip_prefix("a=").unwrap_or(authzid), &account)
    {
        return Progress::Failed("invalid-authzid", "nobody acts for somebody else here");
    }
    let mut scram = Box::new(Scram::new(keys.clone(), binding));
    match scram.respond(message) {
        Ok(Response::Proceed(challenge)) => Progress::Challenge(BASE64.encode(challenge), exchange(scram)),
        _ => wrong_credentials(),
    }
}

/// RFC 5802 §5: the client's last message.
fn scram_last<S>(mut scram: Scram<S, Keys>, domain: &DomainPart, text: &str) -> Progress
where
    S: ScramProvider,
    S::Secret: Held,
{
    let Ok(message) = BASE64.decode(text) else { return not_base64() };
    match scram.respond(&message) {
        Ok(Response::Success(Identity::Username(name), last)) => success(domain, &plain_name(&name), &last),
        _ => wrong_credentials(),
    }
}

/// RFC 5802 §5.1: the two characters that a name cannot hold as they are. COMPAT (sasl 0.5.2): it leaves them so.
fn plain_name(name: &str) -> String {
    name.replace("=2C", ",").replace("=3D", "=")
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
    Progress::Failed("not-authorized", "wrong name or password: by SCRAM only those can log in who have one here")
}
