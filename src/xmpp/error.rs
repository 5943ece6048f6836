//! Stanza errors (RFC 6120 §8.3) and stream errors (RFC 6120 §4.9), every condition of each.

use crate::xml::{Element, Fault};

/// Defined conditions of stanza errors (RFC 6120 §8.3.3, `payment-required` from RFC 3920 §9.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is named as in RFC 6120 §8.3.3")]
pub enum Condition {
    BadRequest,
    Conflict,
    FeatureNotImplemented,
    Forbidden,
    Gone,
    InternalServerError,
    ItemNotFound,
    JidMalformed,
    NotAcceptable,
    NotAllowed,
    NotAuthorized,
    PaymentRequired,
    PolicyViolation,
    RecipientUnavailable,
    Redirect,
    RegistrationRequired,
    RemoteServerNotFound,
    RemoteServerTimeout,
    ResourceConstraint,
    ServiceUnavailable,
    SubscriptionRequired,
    UndefinedCondition,
    UnexpectedRequest,
}

impl Condition {
    /// All of them, in the RFC's order.
    pub const ALL: &'static [Self] = &[];
    /// The element name.
    #[must_use]
    pub fn name(self) -> &'static str {
        todo!()
    }
    /// By element name.
    #[must_use]
    pub fn from_name(_name: &str) -> Option<Self> {
        todo!()
    }
    /// The type RFC 6120 §8.3.3 recommends.
    #[must_use]
    pub fn default_type(self) -> ErrorType {
        todo!()
    }
    /// The legacy code (XEP-0086 §2), if it has one.
    #[must_use]
    pub fn legacy_code(self) -> Option<u16> {
        todo!()
    }
}

/// The type of a stanza error (RFC 6120 §8.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is named as in RFC 6120 §8.3.2")]
pub enum ErrorType {
    Auth,
    Cancel,
    Continue,
    Modify,
    Wait,
}

impl ErrorType {
    /// The attribute value.
    #[must_use]
    pub fn name(self) -> &'static str {
        todo!()
    }
    /// By attribute value.
    #[must_use]
    pub fn from_name(_name: &str) -> Option<Self> {
        todo!()
    }
}

/// A stanza error to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StanzaError {
    /// The defined condition.
    pub condition: Condition,
    /// Its type.
    pub kind: ErrorType,
    /// Text in English for a person, sent with `xml:lang='en'`.
    pub text: Option<String>,
    /// Who noticed (`by=`, RFC 6120 §8.3.2), a JID.
    pub by: Option<String>,
}

impl StanzaError {
    /// With the condition's default type and no text.
    #[must_use]
    pub fn new(_condition: Condition) -> Self {
        todo!()
    }
    /// With a text.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }
    /// The `<error/>` element in `jabber:client`; with `code=` (XEP-0086) if `legacy_codes`.
    #[must_use]
    pub fn element(&self, _legacy_codes: bool) -> Element {
        todo!()
    }
}

/// The error reply to a stanza (RFC 6120 §8.3.1): same kind and id (for an iq always an id, empty if it had none),
/// addresses swapped (`to` is left out when the stanza had no `from`, and the reverse), `type='error'`, the payload
/// echoed unless it must not be (`jabber:iq:auth`, `jabber:iq:register`, larger than 4 KiB when written), then `<error/>`.
///
/// `None` if the stanza must not be answered: an iq of type result or error, anything else of type error,
/// a presence of type `unavailable`, and so on.
#[must_use]
pub fn error_reply(_stanza: &Element, _error: &StanzaError, _legacy_codes: bool) -> Option<Element> {
    todo!()
}

/// Defined conditions of stream errors (RFC 6120 §4.9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is named as in RFC 6120 §4.9.3")]
pub enum StreamCondition {
    BadFormat,
    BadNamespacePrefix,
    Conflict,
    ConnectionTimeout,
    HostGone,
    HostUnknown,
    ImproperAddressing,
    InternalServerError,
    InvalidFrom,
    InvalidNamespace,
    InvalidXml,
    NotAuthorized,
    NotWellFormed,
    PolicyViolation,
    RemoteConnectionFailed,
    Reset,
    ResourceConstraint,
    RestrictedXml,
    SeeOtherHost,
    SystemShutdown,
    UndefinedCondition,
    UnsupportedEncoding,
    UnsupportedFeature,
    UnsupportedStanzaType,
    UnsupportedVersion,
}

impl StreamCondition {
    /// All of them, in the RFC's order.
    pub const ALL: &'static [Self] = &[];
    /// The element name.
    #[must_use]
    pub fn name(self) -> &'static str {
        todo!()
    }
    /// By element name.
    #[must_use]
    pub fn from_name(_name: &str) -> Option<Self> {
        todo!()
    }
}

impl From<Fault> for StreamCondition {
    fn from(_fault: Fault) -> Self {
        todo!()
    }
}

/// A stream error to be sent (RFC 6120 §4.9.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamError {
    /// The defined condition.
    pub condition: StreamCondition,
    /// Text in English for a person.
    pub text: Option<String>,
}

impl StreamError {
    /// With a text.
    #[must_use]
    pub fn new(condition: StreamCondition, text: impl Into<String>) -> Self {
        Self { condition, text: Some(text.into()) }
    }
    /// The `<stream:error/>` element.
    #[must_use]
    pub fn element(&self) -> Element {
        todo!()
    }
}
