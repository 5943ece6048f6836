//! A stanza as it would go on: as it came, or as a script or a rule has changed it. And its bytes, to be put aside and read again.
//!
//! Takes a judged stanza and what it was changed to, gives what leaves of both. Must not build a tree to say an attribute.

use super::Outbox;
use super::core::Core;
use crate::rules;
use crate::xml::{Element, Scope, View, parse_str_in, rehome, write_element};
use crate::xmpp::{Side, ns};
use bytes::BytesMut;
use std::borrow::Cow;

/// A stanza as it would go on.
#[derive(Clone, Copy)]
pub(super) struct Leaving<'a> {
    /// As it came.
    pub(super) view: &'a View<'a>,
    /// As it was changed, if it was.
    pub(super) changed: Option<&'a Element>,
}

impl Leaving<'_> {
    /// Attribute `to` as it leaves.
    pub(super) fn to(&self) -> Option<Cow<'_, str>> {
        self.changed.map_or_else(|| self.view.to(), |element| element.attr("to").map(Cow::Borrowed))
    }

    /// Attribute `from` as it leaves.
    pub(super) fn from(&self) -> Option<Cow<'_, str>> {
        self.changed.map_or_else(|| self.view.from(), |element| element.attr("from").map(Cow::Borrowed))
    }

    /// Attribute `type` as it leaves.
    pub(super) fn kind(&self) -> Option<Cow<'_, str>> {
        self.changed.map_or_else(|| self.view.kind(), |element| element.attr("type").map(Cow::Borrowed))
    }

    /// Its tree. None if the session is over: the two parsers disagree.
    pub(super) fn tree(&self, core: &mut Core, side: Side, out: &mut Outbox) -> Option<Cow<'_, Element>> {
        match self.changed {
            Some(element) => Some(Cow::Borrowed(element)),
            None => core.tree(side, self.view, out).map(Cow::Owned),
        }
    }

    /// Whether there can be a carbon in it, or a message of an archive.
    pub(super) fn may_carry(&self) -> bool {
        self.changed.is_some() || rules::may_carry(self.view)
    }

    /// Its bytes: as they came, with the namespaces they lean on declared, or as they were changed.
    pub(super) fn bytes(&self) -> Vec<u8> {
        match self.changed {
            Some(element) => {
                let mut bytes = BytesMut::new();
                write_element(element, Scope::Stream, &mut bytes);
                bytes.to_vec()
            }
            None if self.view.head.leans => rehome(self.view.bytes, self.view.root).to_vec(),
            None => self.view.bytes.to_vec(),
        }
    }
}

/// A stanza that was put aside as it left.
pub(super) fn read(bytes: &[u8]) -> Option<Element> {
    parse_str_in(ns::CLIENT, std::str::from_utf8(bytes).ok()?).ok()
}
