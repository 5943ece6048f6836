//! The stream header (RFC 6120 §4.7, §4.8) read from a start tag, and written in the classic form both servers accept.

use super::StreamError;
use crate::xml::OpenTag;
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
    pub fn read(_open: &OpenTag) -> Result<Self, StreamError> {
        todo!()
    }
    /// Whether features follow: version 1.0 or later.
    #[must_use]
    pub fn has_features(&self) -> bool {
        todo!()
    }
    /// Appends the XML declaration and the start tag: prefix `stream`, default namespace `jabber:client`.
    pub fn write(&self, _out: &mut BytesMut) {
        todo!()
    }
}
