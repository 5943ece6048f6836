//! Stanza errors: conditions, types, legacy codes, the `<error/>` element (RFC 6120 §8.3.2, §8.3.3; XEP-0086).

use super::{english, ns};
use crate::xml::Element;

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
    pub const ALL: &'static [Self] = &[
        Self::BadRequest,
        Self::Conflict,
        Self::FeatureNotImplemented,
        Self::Forbidden,
        Self::Gone,
        Self::InternalServerError,
        Self::ItemNotFound,
        Self::JidMalformed,
        Self::NotAcceptable,
        Self::NotAllowed,
        Self::NotAuthorized,
        Self::PaymentRequired,
        Self::PolicyViolation,
        Self::RecipientUnavailable,
        Self::Redirect,
        Self::RegistrationRequired,
        Self::RemoteServerNotFound,
        Self::RemoteServerTimeout,
        Self::ResourceConstraint,
        Self::ServiceUnavailable,
        Self::SubscriptionRequired,
        Self::UndefinedCondition,
        Self::UnexpectedRequest,
    ];

    /// The element name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// By element name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|c| c.name() == name)
    }

    /// The type RFC 6120 §8.3.3 recommends; where it leaves the choice, the first it names. `undefined-condition` may
    /// have any (§8.3.3.21), here `cancel`; `payment-required` has the type of RFC 3920 §9.3.3.
    #[must_use]
    pub fn default_type(self) -> ErrorType {
        self.row().1
    }

    /// The legacy code (XEP-0086 §2), if it has one: `policy-violation` is younger than the codes.
    #[must_use]
    pub fn legacy_code(self) -> Option<u16> {
        self.row().2
    }

    /// Name, recommended type, legacy code.
    const fn row(self) -> (&'static str, ErrorType, Option<u16>) {
        use ErrorType::{Auth, Cancel, Modify, Wait};
        match self {
            Self::BadRequest => ("bad-request", Modify, Some(400)),
            Self::Conflict => ("conflict", Cancel, Some(409)),
            Self::FeatureNotImplemented => ("feature-not-implemented", Cancel, Some(501)),
            Self::Forbidden => ("forbidden", Auth, Some(403)),
            Self::Gone => ("gone", Cancel, Some(302)),
            Self::InternalServerError => ("internal-server-error", Cancel, Some(500)),
            Self::ItemNotFound => ("item-not-found", Cancel, Some(404)),
            Self::JidMalformed => ("jid-malformed", Modify, Some(400)),
            Self::NotAcceptable => ("not-acceptable", Modify, Some(406)),
            Self::NotAllowed => ("not-allowed", Cancel, Some(405)),
            Self::NotAuthorized => ("not-authorized", Auth, Some(401)),
            Self::PaymentRequired => ("payment-required", Auth, Some(402)),
            Self::PolicyViolation => ("policy-violation", Modify, None),
            Self::RecipientUnavailable => ("recipient-unavailable", Wait, Some(404)),
            Self::Redirect => ("redirect", Modify, Some(302)),
            Self::RegistrationRequired => ("registration-required", Auth, Some(407)),
            Self::RemoteServerNotFound => ("remote-server-not-found", Cancel, Some(404)),
            Self::RemoteServerTimeout => ("remote-server-timeout", Wait, Some(504)),
            Self::ResourceConstraint => ("resource-constraint", Wait, Some(500)),
            Self::ServiceUnavailable => ("service-unavailable", Cancel, Some(503)),
            Self::SubscriptionRequired => ("subscription-required", Auth, Some(407)),
            Self::UndefinedCondition => ("undefined-condition", Cancel, Some(500)),
            Self::UnexpectedRequest => ("unexpected-request", Wait, Some(400)),
        }
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
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Auth, Self::Cancel, Self::Continue, Self::Modify, Self::Wait];

    /// The attribute value.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Cancel => "cancel",
            Self::Continue => "continue",
            Self::Modify => "modify",
            Self::Wait => "wait",
        }
    }

    /// By attribute value.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|t| t.name() == name)
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
    /// Namespace and name of an application-specific condition (RFC 6120 §8.3.4).
    pub detail: Option<(&'static str, &'static str)>,
}

impl StanzaError {
    /// With the condition's default type and no text.
    #[must_use]
    pub fn new(condition: Condition) -> Self {
        Self { condition, kind: condition.default_type(), text: None, by: None, detail: None }
    }

    /// With a text.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into());
        self
    }

    /// The `<error/>` element in `jabber:client`; with `code=` (XEP-0086) if `legacy_codes`.
    #[must_use]
    pub fn element(&self, legacy_codes: bool) -> Element {
        let mut error = Element::new(ns::CLIENT, "error").with_attr("type", self.kind.name());
        if let Some(code) = self.condition.legacy_code().filter(|_| legacy_codes) {
            error.set_attr("code", code.to_string());
        }
        if let Some(by) = &self.by {
            error.set_attr("by", by.as_str());
        }
        let error = error.with_child(Element::new(ns::STANZA_ERRORS, self.condition.name()));
        let error = match &self.text {
            Some(text) => error.with_child(english(ns::STANZA_ERRORS, text)),
            None => error,
        };
        match self.detail {
            Some((namespace, name)) => error.with_child(Element::new(namespace, name)),
            None => error,
        }
    }
}
