//! One end's bookkeeping of XEP-0198 §4, written from its text: what was sent, handled and acknowledged.

use std::collections::VecDeque;

/// What one end of a stream counts. Starts with `<enable/>` (sent) and `<enabled/>` (handled) or the other way round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters {
    /// Stanzas sent.
    pub(crate) sent: u32,
    /// Stanzas received.
    pub(crate) handled: u32,
    /// The last `h` that came.
    pub(crate) acked: u32,
    /// What was sent and is not acknowledged.
    pub(crate) queue: VecDeque<String>,
}

impl Counters {
    pub(crate) fn send(&mut self, stanza: &str) {
        self.sent = self.sent.wrapping_add(1);
        self.queue.push_back(stanza.to_owned());
    }

    /// The other end claims to have handled so many; gives those it has not claimed before.
    pub(crate) fn ack(&mut self, h: u32) -> Result<Vec<String>, String> {
        let (new, waiting) = (h.wrapping_sub(self.acked), self.sent.wrapping_sub(self.acked));
        if new > u32::MAX / 2 {
            return Err(format!("h={h} goes backwards: {} were acknowledged before", self.acked));
        }
        if new > waiting {
            return Err(format!("h={h} is more than the {} that were sent", self.sent));
        }
        self.acked = h;
        Ok(self.queue.drain(..new as usize).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_h_may_rise_and_no_more() {
        let mut counters = Counters::default();
        for stanza in ["a", "b", "c"] {
            counters.send(stanza);
        }
        assert_eq!(counters.ack(0).unwrap(), [""; 0]);
        assert_eq!(counters.ack(2).unwrap(), ["a", "b"]);
        assert!(counters.ack(1).unwrap_err().contains("backwards"));
        assert!(counters.ack(4).unwrap_err().contains("more than"));
        assert_eq!(counters.ack(3).unwrap(), ["c"]);
    }

    #[test]
    fn after_the_largest_number_comes_zero() {
        let mut counters = Counters { sent: u32::MAX - 1, acked: u32::MAX - 1, ..Counters::default() };
        for stanza in ["a", "b", "c"] {
            counters.send(stanza);
        }
        assert_eq!(counters.sent, 1);
        assert_eq!(counters.ack(u32::MAX).unwrap(), ["a"]);
        assert_eq!(counters.ack(1).unwrap(), ["b", "c"]);
        assert!(counters.ack(u32::MAX).is_err());
    }
}
