//! Stream errors: conditions, what a refused byte maps to, the `<stream:error/>` element (RFC 6120 §4.9).

use super::{english, ns};
use crate::xml::{Element, Fault};

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
    pub const ALL: &'static [Self] = &[
        Self::BadFormat,
        Self::BadNamespacePrefix,
        Self::Conflict,
        Self::ConnectionTimeout,
        Self::HostGone,
        Self::HostUnknown,
        Self::ImproperAddressing,
        Self::InternalServerError,
        Self::InvalidFrom,
        Self::InvalidNamespace,
        Self::InvalidXml,
        Self::NotAuthorized,
        Self::NotWellFormed,
        Self::PolicyViolation,
        Self::RemoteConnectionFailed,
        Self::Reset,
        Self::ResourceConstraint,
        Self::RestrictedXml,
        Self::SeeOtherHost,
        Self::SystemShutdown,
        Self::UndefinedCondition,
        Self::UnsupportedEncoding,
        Self::UnsupportedFeature,
        Self::UnsupportedStanzaType,
        Self::UnsupportedVersion,
    ];

    /// The element name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BadFormat => "bad-format",
            Self::BadNamespacePrefix => "bad-namespace-prefix",
            Self::Conflict => "conflict",
            Self::ConnectionTimeout => "connection-timeout",
            Self::HostGone => "host-gone",
            Self::HostUnknown => "host-unknown",
            Self::ImproperAddressing => "improper-addressing",
            Self::InternalServerError => "internal-server-error",
            Self::InvalidFrom => "invalid-from",
            Self::InvalidNamespace => "invalid-namespace",
            Self::InvalidXml => "invalid-xml",
            Self::NotAuthorized => "not-authorized",
            Self::NotWellFormed => "not-well-formed",
            Self::PolicyViolation => "policy-violation",
            Self::RemoteConnectionFailed => "remote-connection-failed",
            Self::Reset => "reset",
            Self::ResourceConstraint => "resource-constraint",
            Self::RestrictedXml => "restricted-xml",
            Self::SeeOtherHost => "see-other-host",
            Self::SystemShutdown => "system-shutdown",
            Self::UndefinedCondition => "undefined-condition",
            Self::UnsupportedEncoding => "unsupported-encoding",
            Self::UnsupportedFeature => "unsupported-feature",
            Self::UnsupportedStanzaType => "unsupported-stanza-type",
            Self::UnsupportedVersion => "unsupported-version",
        }
    }

    /// By element name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|c| c.name() == name)
    }
}

impl From<Fault> for StreamCondition {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::NotWellFormed => Self::NotWellFormed,
            Fault::Restricted => Self::RestrictedXml,
            Fault::Encoding => Self::UnsupportedEncoding,
            Fault::Prefix => Self::BadNamespacePrefix,
            Fault::Format => Self::BadFormat,
            Fault::Namespace => Self::InvalidNamespace,
            Fault::Nested => Self::InvalidXml,
            Fault::Limit => Self::PolicyViolation,
        }
    }
}

/// A stream error to be sent (RFC 6120 §4.9.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamError {
    /// The defined condition.
    pub condition: StreamCondition,
    /// Text in English for a person.
    pub text: Option<String>,
    /// An element of an extension's own that says more (RFC 6120 §4.9.4).
    pub detail: Option<Box<Element>>,
}

impl StreamError {
    /// With a text.
    #[must_use]
    pub fn new(condition: StreamCondition, text: impl Into<String>) -> Self {
        Self { condition, text: Some(text.into()), detail: None }
    }

    /// The `<stream:error/>` element.
    #[must_use]
    pub fn element(&self) -> Element {
        let error =
            Element::new(ns::STREAM, "error").with_child(Element::new(ns::STREAM_ERRORS, self.condition.name()));
        let error = match &self.text {
            Some(text) => error.with_child(english(ns::STREAM_ERRORS, text)),
            None => error,
        };
        self.detail.iter().fold(error, |error, detail| error.with_child((**detail).clone()))
    }
}
