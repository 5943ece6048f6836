//! What a book expects of what came out: elements, bytes, acts, notes.
//!
//! Takes the state of a session, removes from it what was expected; the error says what was expected and what came.

use super::compare::{self, Item, Names};
use super::parse::NoteKind;
use super::seat::Seat;
use crate::session::{Act, Note};
use crate::xmpp::Side;

impl Seat {
    pub(super) fn tree(&mut self, side: Side, expected: &str, names: &mut Names) -> Result<(), String> {
        let pending = &mut self.pending[side.index()];
        let came = |why: &str| format!("{why}\nexpected: {expected}\ncame:     {}", compare::show(pending));
        let (len, item) = match compare::first_item(pending) {
            Ok(Some(found)) => found,
            Ok(None) if pending.is_empty() => return Err(came("nothing came")),
            Ok(None) => return Err(came("something unfinished came")),
            Err(why) => return Err(came(&why)),
        };
        if matches!(item, Item::Header(_)) && !pending.starts_with(b"<?xml version='1.0'?>") {
            return Err(came("a header without the XML declaration (RFC 6120 §11.5)"));
        }
        compare::matches(expected, &item, names).map_err(|why| came(&why))?;
        pending.drain(..len);
        Ok(())
    }

    pub(super) fn exactly(&mut self, side: Side, expected: &[u8]) -> Result<(), String> {
        let pending = &mut self.pending[side.index()];
        if !pending.starts_with(expected) {
            return Err(differ("other bytes came", expected, pending));
        }
        pending.drain(..expected.len());
        Ok(())
    }

    pub(super) fn act(&mut self, expected: &Act) -> Result<(), String> {
        match self.acts.pop_front() {
            Some(act) if act == *expected => Ok(()),
            Some(act) => Err(format!("{expected:?} was expected, {act:?} came")),
            None => Err(format!("{expected:?} was expected, nothing was asked for; {}", self.unread())),
        }
    }

    /// Expects what is about to be answered, unless it was expected before.
    pub(super) fn answerable(&mut self, expected: Act) -> Result<(), String> {
        match self.asked.iter().position(|act| *act == expected) {
            Some(at) => {
                self.asked.remove(at);
                Ok(())
            }
            None => self.act(&expected),
        }
    }

    pub(super) fn finding(&mut self, from: Side, expected: &str, part: &str) -> Result<(), String> {
        self.take_note(|note| {
            matches!(note, Note::Finding { side, finding, .. }
                if *side == from && finding.code == expected && finding.text.contains(part))
        })
    }

    pub(super) fn note(&mut self, kind: NoteKind, parts: &[String]) -> Result<(), String> {
        let known = self.session.jid().map(str::to_owned);
        let wrong = |note: &&Note| matches!(note, Note::Resumed { jid, .. } if known.as_ref() != Some(jid));
        if let Some(note) = self.notes.iter().find(wrong).filter(|_| kind == NoteKind::Resumed) {
            return Err(format!("{note:?}, but the session takes itself to be {known:?}"));
        }
        let all_in = |text: &str| parts.iter().all(|part| text.contains(part.as_str()));
        self.take_note(|note| match (kind, note) {
            (NoteKind::Hint, Note::Hint(text))
            | (NoteKind::ScriptError, Note::ScriptError(text))
            | (NoteKind::Mechanism, Note::Mechanism(text)) => all_in(text),
            (NoteKind::Log, Note::Log(log)) => all_in(&format!("{} {} {}", log.level, log.script, log.text)),
            (NoteKind::Joined, Note::Joined { domain, stripped }) => {
                all_in(&format!("{domain} stripped={}", stripped.join(",")))
            }
            (NoteKind::StreamError, Note::StreamError { side, condition, text }) => {
                let side = if *side == Side::Client { "C" } else { "S" };
                all_in(&format!("{side} {} {text}", condition.name()))
            }
            (NoteKind::Resumed, Note::Resumed { jid, session }) => all_in(&format!("{jid} session={session}")),
            (NoteKind::Over, Note::Over(tally)) => all_in(&format!("{tally:?}")),
            _ => false,
        })
    }

    pub(super) fn take_note(&mut self, wanted: impl Fn(&Note) -> bool) -> Result<(), String> {
        match self.notes.iter().position(wanted) {
            Some(at) => {
                self.notes.remove(at);
                Ok(())
            }
            None => Err(format!("no such note; these were made: {:#?}", self.notes)),
        }
    }

    fn unread(&self) -> String {
        format!("to C: {} to S: {}", compare::show(&self.pending[0]), compare::show(&self.pending[1]))
    }
}

/// Two runs of bytes, and where they part.
pub(super) fn differ(why: &str, expected: &[u8], came: &[u8]) -> String {
    let at = expected.iter().zip(came).take_while(|(a, b)| a == b).count();
    let from = at.saturating_sub(40);
    format!(
        "{why}, from byte {at} on\nexpected: ...{}\ncame:     ...{}",
        compare::show(&expected[from..]),
        compare::show(&came[from.min(came.len())..])
    )
}
