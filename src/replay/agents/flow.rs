//! The bytes of a living peer to the pieces of its stream. Takes bytes, gives headers, elements and the end; white space is passed over.

use crate::xml::{Element, ItemKind, Limits, OpenTag, Scanner, Step, normalise, parse_element};
use crate::xmpp::StreamError;
use bytes::BytesMut;

/// A piece of a stream.
#[derive(Clone, Debug)]
pub enum Piece {
    /// Its header.
    Header(Box<OpenTag>),
    /// A first-level element.
    Element(Element),
    /// `</stream:stream>`
    Close,
}

/// One direction of a connection.
#[derive(Debug)]
pub struct Flow {
    /// Received, not yet read.
    pub bytes: BytesMut,
    scanner: Scanner,
}

impl Flow {
    /// At the beginning of a stream; nothing in it may be larger.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { bytes: BytesMut::new(), scanner: Scanner::new(limits) }
    }

    /// Another stream begins.
    pub fn restart(&mut self, limits: Limits) {
        self.scanner = Scanner::new(limits);
    }

    /// The next piece, if it is all there.
    ///
    /// # Errors
    /// What is wrong with the XML.
    pub fn piece(&mut self) -> Result<Option<Piece>, StreamError> {
        loop {
            let (len, kind) = match self.scanner.scan(&self.bytes) {
                Step::More => return Ok(None),
                Step::Refused(refusal) => return Err(StreamError::new(refusal.fault.into(), refusal.why)),
                Step::Item { len, kind } => (len, kind),
            };
            let bytes = self.bytes.split_to(len);
            match kind {
                ItemKind::Space => {}
                ItemKind::Open => return Ok(Some(Piece::Header(Box::new(self.scanner.open().clone())))),
                ItemKind::Close => return Ok(Some(Piece::Close)),
                ItemKind::Element => match self.tree(&bytes) {
                    Some(element) => return Ok(Some(Piece::Element(element))),
                    None => {
                        let condition = crate::xmpp::StreamCondition::NotWellFormed;
                        return Err(StreamError::new(condition, "two parsers do not agree about this element"));
                    }
                },
            }
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
}
