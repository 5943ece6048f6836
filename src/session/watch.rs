//! Telling those who watch: building [`Note::Seen`], only while [`Outbox::watched`], and [`Note::Finding`] always.

use super::core::Core;
use super::{Dir, Fate, Note, Origin, Outbox, Pair, Seen, StanzaInfo, What};
use crate::rules::Finding;
use crate::xml::{Element, View, parse_str};
use crate::xmpp::{Side, error, ns};
use bytes::Bytes;

impl Outbox {
    /// Notes an item other than a stanza that came in.
    #[expect(clippy::too_many_arguments, reason = "an item is described by just these")]
    pub(super) fn saw(
        &mut self,
        side: Side,
        dir: Dir,
        number: u64,
        what: What,
        bytes: &[u8],
        fate: Fate,
        origin: Origin,
        pair: Option<Pair>,
    ) {
        if !self.watched {
            return;
        }
        let ours = matches!(what, What::Stanza(_)) && !matches!(origin, Origin::Forwarded(_));
        let stanza = ours.then(|| written(bytes)).flatten();
        let bytes = Bytes::copy_from_slice(bytes);
        let seen =
            Seen { side, dir, number, what, bytes, stanza, fate, origin, findings: Vec::new(), pair, tags: Vec::new() };
        self.notes.push(Note::Seen(Box::new(seen)));
    }
}

impl Core {
    /// Notes what came in, and what was found in it.
    #[expect(clippy::too_many_arguments, reason = "a stanza's story is told by just these")]
    pub(super) fn saw_found(
        &mut self,
        number: u64,
        side: Side,
        what: What,
        view: &View<'_>,
        fate: Fate,
        findings: Vec<Finding>,
        pair: Option<Pair>,
        out: &mut Outbox,
    ) {
        let tags = std::mem::take(&mut self.tags);
        if out.watched {
            out.notes.push(Note::Seen(Box::new(Seen {
                tags,
                side,
                dir: Dir::In,
                number,
                what,
                bytes: self.untidy.take().unwrap_or_else(|| Bytes::copy_from_slice(view.bytes)),
                stanza: matches!(what, What::Stanza(_)).then(|| read(view)),
                fate,
                origin: Origin::Peer,
                findings: findings.clone(),
                pair,
            })));
        }
        for finding in findings {
            let id = view.id().map(std::borrow::Cow::into_owned);
            self.found(side, number, id, finding, false, out);
        }
    }

    /// Counts and tells a finding. `alone`: about something that did not come.
    pub(super) fn found(
        &mut self,
        side: Side,
        number: u64,
        id: Option<String>,
        finding: Finding,
        alone: bool,
        out: &mut Outbox,
    ) {
        self.tally.finding(side, &finding);
        out.notes.push(Note::Finding { side, id, number, finding, alone });
    }
}

impl StanzaInfo {
    /// What a stanza's head says.
    #[must_use]
    pub fn of(view: &View<'_>) -> Self {
        read(view)
    }
}

/// What a head says, as text.
fn read(view: &View<'_>) -> StanzaInfo {
    let kind = view.kind().map(std::borrow::Cow::into_owned);
    let condition = if kind.as_deref() == Some("error") { error::first_condition(view) } else { None };
    StanzaInfo {
        kind,
        id: view.id().map(std::borrow::Cow::into_owned),
        from: view.from().map(std::borrow::Cow::into_owned),
        to: view.to().map(std::borrow::Cow::into_owned),
        payload: view.payload().map(|(ns, name)| (ns.into_owned(), name.to_owned())),
        condition: condition.map(str::to_owned),
    }
}

/// The same of a stanza of our own making.
fn written(bytes: &[u8]) -> Option<StanzaInfo> {
    let stanza = parse_str(std::str::from_utf8(bytes).ok()?).ok()?;
    let owned = |name: &str| stanza.attr(name).map(str::to_owned);
    let payload = stanza.children().find(|child| !child.is(ns::CLIENT, "error"));
    Some(StanzaInfo {
        kind: owned("type"),
        id: owned("id"),
        from: owned("from"),
        to: owned("to"),
        payload: payload.map(|child| (child.ns.clone(), child.name.clone())),
        condition: condition(&stanza),
    })
}

/// The defined condition of an error stanza.
fn condition(stanza: &Element) -> Option<String> {
    let error = stanza.child(ns::CLIENT, "error")?;
    let condition = error.children().find(|child| child.ns == ns::STANZA_ERRORS && child.name != "text")?;
    Some(condition.name.clone())
}
