//! What a book expects of what came out: elements, bytes, acts, notes.
//!
//! Takes the state of a session, removes from it what was expected; the error says what was expected and what came.

use super::compare::{self, Item, Names};
use super::notation;
use super::parse::NoteKind;
use super::seat::Seat;
use super::why::{Contrast, Why};
use crate::session::{Act, Note};
use crate::xmpp::Side;

impl Seat {
    pub(super) fn tree(&mut self, side: Side, expected: &str, names: &mut Names) -> Result<(), Why> {
        let pending = &mut self.pending[side.index()];
        let known = names.clone();
        let came = |reason: &str, came: &[u8]| {
            let expected = compare::fill_known(expected, &known);
            let came = String::from_utf8_lossy(came).into_owned();
            Why::contrast(reason.to_owned(), Contrast { expected, came, xml: true })
        };
        let (len, item) = match compare::first_item(pending) {
            Ok(Some(found)) => found,
            Ok(None) if pending.is_empty() => return Err(came("nothing came", b"")),
            Ok(None) => return Err(came("something unfinished came", pending)),
            Err(why) => return Err(came(&why, pending)),
        };
        if matches!(item, Item::Header(_)) && !pending.starts_with(b"<?xml version='1.0'?>") {
            return Err(came("a header without the XML declaration (RFC 6120 §11.5)", pending));
        }
        compare::matches(expected, &item, names).map_err(|why| came(&why, &pending[..len]))?;
        pending.drain(..len);
        Ok(())
    }

    pub(super) fn exactly(&mut self, side: Side, expected: &[u8]) -> Result<(), Why> {
        let pending = &mut self.pending[side.index()];
        if !pending.starts_with(expected) {
            return Err(differ("other bytes came", expected, pending));
        }
        pending.drain(..expected.len());
        Ok(())
    }

    pub(super) fn act(&mut self, expected: &Act) -> Result<(), Why> {
        let wanted = notation::act(expected);
        match self.acts.pop_front() {
            Some(act) if act == *expected => Ok(()),
            Some(act) => Err(format!("{wanted} was expected, {} came", notation::act(&act)).into()),
            None => Err(format!("{wanted} was expected, nothing was asked for").into()),
        }
    }

    /// Expects what is about to be answered, unless it was expected before.
    pub(super) fn answerable(&mut self, expected: Act) -> Result<(), Why> {
        match self.asked.iter().position(|act| *act == expected) {
            Some(at) => {
                self.asked.remove(at);
                Ok(())
            }
            None => self.act(&expected),
        }
    }

    pub(super) fn finding(&mut self, from: Side, expected: &str, part: &str) -> Result<(), Why> {
        self.take_note(|note| {
            matches!(note, Note::Finding { side, finding, .. }
                if *side == from && finding.code == expected && finding.text.contains(part))
        })
    }

    pub(super) fn note(&mut self, kind: NoteKind, parts: &[String]) -> Result<(), Why> {
        let known = self.session.jid().map(str::to_owned);
        let wrong = |note: &&Note| matches!(note, Note::Resumed { jid, .. } if known.as_ref() != Some(jid));
        if let Some(note) = self.notes.iter().find(wrong).filter(|_| kind == NoteKind::Resumed) {
            return Err(format!("{note:?}, but the session takes itself to be {known:?}").into());
        }
        self.take_note(|note| {
            notation::note(note)
                .is_some_and(|(of, text)| of == kind.name() && parts.iter().all(|part| text.contains(part.as_str())))
        })
    }

    pub(super) fn take_note(&mut self, wanted: impl Fn(&Note) -> bool) -> Result<(), Why> {
        match self.notes.iter().position(wanted) {
            Some(at) => {
                self.notes.remove(at);
                Ok(())
            }
            None => {
                let made: Vec<_> = self.notes.iter().filter_map(notation::line).collect();
                let made = if made.is_empty() { " none".to_owned() } else { format!("\n  {}", made.join("\n  ")) };
                Err(format!("no such note; since the last input these were made:{made}").into())
            }
        }
    }
}

/// Two runs of bytes, and where they part.
pub(super) fn differ(why: &str, expected: &[u8], came: &[u8]) -> Why {
    let at = expected.iter().zip(came).take_while(|(a, b)| a == b).count();
    let from = at.saturating_sub(40);
    let shown = |bytes: &[u8]| {
        let dots = if from > 0 { "..." } else { "" };
        format!("{dots}{}", compare::show(bytes.get(from..).unwrap_or_default()))
    };
    let contrast = Contrast { expected: shown(expected), came: shown(came), xml: false };
    Why::contrast(format!("{why}, from byte {at} on"), contrast)
}
