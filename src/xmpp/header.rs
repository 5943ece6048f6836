//! The stream header (RFC 6120 §4.7, §4.8) read from a start tag, and written in the classic form both servers accept.
//!
//! Takes and gives the five attributes; does not know which of them a direction must or must not carry.

use super::{StreamCondition, StreamError, ns};
use crate::xml::{OpenTag, escape_attr};
use bytes::BytesMut;

/// The attributes of a stream header, of either direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// `to` (§4.7.2)
    pub to: Option<String>,
    /// `from` (§4.7.1)
    pub from: Option<String>,
    /// `id` (§4.7.3)
    pub id: Option<String>,
    /// `xml:lang` (§4.7.4)
    pub lang: Option<String>,
    /// `version` (§4.7.5) as written; absent means 0.9: no features may follow.
    pub version: Option<String>,
}

impl Header {
    /// Reads a root's start tag.
    ///
    /// # Errors
    /// `invalid-namespace` if the root is not `{STREAM}stream`, or its default namespace is declared and is neither
    /// `jabber:client` nor the streams namespace; `unsupported-version` if the major version is 0 or not a number.
    pub fn read(open: &OpenTag) -> Result<Self, StreamError> {
        if open.ns != ns::STREAM || open.name != "stream" {
            return Err(StreamError::new(
                StreamCondition::InvalidNamespace,
                "the root element must be stream in the namespace http://etherx.jabber.org/streams",
            ));
        }
        let default = open.root.decls.iter().find(|(prefix, _)| prefix.is_empty());
        // `xmlns=''` declares nothing, as if it were not there.
        if default.is_some_and(|(_, name)| ![ns::CLIENT, ns::STREAM, ""].contains(&name.as_str())) {
            return Err(StreamError::new(
                StreamCondition::InvalidNamespace,
                "the default namespace of this stream must be jabber:client",
            ));
        }
        let version = open.attr("version");
        if version.is_some_and(|v| !is_one_or_later(v)) {
            return Err(StreamError::new(
                StreamCondition::UnsupportedVersion,
                "the stream's version must be 1.0 or a later one",
            ));
        }
        let lang = open.attrs.iter().find(|a| a.ns == ns::XML && a.name == "lang").map(|a| a.value.clone());
        let own = |name| open.attr(name).map(str::to_owned);
        Ok(Self { to: own("to"), from: own("from"), id: own("id"), lang, version: own("version") })
    }

    /// Whether features follow: version 1.0 or later.
    #[must_use]
    pub fn has_features(&self) -> bool {
        self.version.as_deref().is_some_and(is_one_or_later)
    }

    /// Appends the XML declaration and the start tag: prefix `stream`, default namespace `jabber:client`.
    pub fn write(&self, out: &mut BytesMut) {
        out.extend_from_slice(b"<?xml version='1.0'?><stream:stream");
        let attributes = [
            ("from", &self.from),
            ("to", &self.to),
            ("id", &self.id),
            ("version", &self.version),
            ("xml:lang", &self.lang),
        ];
        for (name, value) in attributes {
            let Some(value) = value else { continue };
            out.extend_from_slice(b" ");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"='");
            escape_attr(value, out);
            out.extend_from_slice(b"'");
        }
        out.extend_from_slice(b" xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>");
    }
}

/// Whether a version is a number whose major part is not 0 (§4.7.5: major and minor are integers of any length).
fn is_one_or_later(version: &str) -> bool {
    let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    digits(major) && digits(minor) && major.bytes().any(|b| b != b'0')
}
