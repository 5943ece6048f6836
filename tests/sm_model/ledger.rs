//! The toy's ledger of one direction: what came in, what went out, in the order in which it happened.
//!
//! `h` of the one who takes is turned into `h` for the one who sends: so much of what came in as lies before the first event
//! that the other has not acknowledged (`protocol.md` B9.1).

use std::collections::VecDeque;

/// What happened to a direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A stanza came in and went out.
    Passed,
    /// A stanza came in and went no further.
    Stopped,
    /// One of the proxy's own went out.
    Made(String),
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    /// What came and went before the events.
    came: u32,
    went: u32,
    /// What nobody has acknowledged.
    events: VecDeque<Event>,
    /// How many of them have happened on this connection. The rest happened on one that was lost, and is to happen again in
    /// the same order: so numbers keep their meaning even if the other end knows more of that connection than it has said.
    here: usize,
    /// So many stanzas may still come in here that a newer connection has learnt are handled.
    known: usize,
}

impl Ledger {
    /// What the sender may be told when the taker says `h`.
    pub(crate) fn ack(&mut self, h: u32) -> u32 {
        while self.here > 0 && self.step(h) {
            self.here -= 1;
        }
        self.came
    }

    /// The same on a new connection that is to take over. What is behind it will be sent again.
    pub(crate) fn ask(&mut self, h: u32) -> u32 {
        loop {
            let before = self.came;
            if !self.step(h) {
                break;
            }
            match self.here {
                0 => self.known += self.came.wrapping_sub(before) as usize,
                _ => self.here -= 1,
            }
        }
        self.came
    }

    /// The new connection has taken over.
    pub(crate) fn resume(&mut self) {
        self.here = 0;
        self.known = 0;
    }

    /// Does away with the first event, if it is acknowledged by `h` or needs not be.
    fn step(&mut self, h: u32) -> bool {
        let Some(event) = self.events.front() else { return false };
        let (came, went) = (event.is_in(), event.is_out());
        if went && h.wrapping_sub(self.went.wrapping_add(1)) > u32::MAX / 2 {
            return false;
        }
        self.came = self.came.wrapping_add(came.into());
        self.went = self.went.wrapping_add(went.into());
        self.events.pop_front();
        true
    }

    /// The proxy makes a stanza. Gives it back if it may go out now.
    pub(crate) fn make(&mut self, text: String) -> Option<String> {
        let now = self.here == self.events.len();
        self.events.push_back(Event::Made(text.clone()));
        self.here += usize::from(now);
        now.then_some(text)
    }

    /// What can happen again before anything comes in.
    pub(crate) fn ready(&mut self) -> Vec<String> {
        let mut texts = Vec::new();
        while let Some(Event::Made(text)) = self.events.get(self.here) {
            texts.push(text.clone());
            self.here += 1;
        }
        texts
    }

    /// A stanza comes in that came before: what happened to it then.
    pub(crate) fn again(&mut self) -> Option<Event> {
        if self.known > 0 {
            self.known -= 1;
            return Some(Event::Stopped);
        }
        let event = self.events.get(self.here)?;
        self.here += 1;
        Some(event.clone())
    }

    /// A stanza comes in for the first time.
    pub(crate) fn note(&mut self, event: Event) {
        self.events.push_back(event);
        self.here += 1;
    }
}

impl Event {
    const fn is_in(&self) -> bool {
        matches!(self, Self::Passed | Self::Stopped)
    }

    const fn is_out(&self) -> bool {
        matches!(self, Self::Passed | Self::Made(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The worked example of `protocol.md` B9.2.
    #[test]
    fn the_worked_example() {
        let mut up = Ledger::default();
        for event in [Event::Passed, Event::Stopped, Event::Passed, Event::Made(String::new()), Event::Passed] {
            up.note(event);
        }
        assert_eq!([2, 3, 4].map(|h| up.ack(h)), [3, 3, 4]);
        let mut down = Ledger::default();
        for event in [Event::Made(String::new()), Event::Stopped, Event::Passed, Event::Stopped] {
            down.note(event);
        }
        assert_eq!([1, 2].map(|h| down.ack(h)), [1, 3]);
    }
}
