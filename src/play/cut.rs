//! In which pieces a peer's bytes arrive.
//!
//! Takes the lines a peer sends in a row, gives the pieces to hand to the core. Must not change a byte or their order.

/// A way of cutting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// One piece a line, as a well-behaved peer writes.
    Lines,
    /// All that is sent in a row in one piece.
    Glued,
    /// Byte by byte.
    Bytes,
    /// At random places that follow from the seed.
    Random(u64),
}

/// One line of a peer, and whether it is glued to the one before it under every cut but the finest.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) bytes: Vec<u8>,
    pub(super) behind: bool,
}

/// Cuts the lines a peer sends in a row. `round` tells apart the calls of one play.
pub(super) fn pieces(cut: Cut, lines: &[Line], round: u64) -> Vec<Vec<u8>> {
    let all = || lines.iter().flat_map(|l| l.bytes.iter().copied()).collect::<Vec<_>>();
    match cut {
        Cut::Lines => {
            let mut pieces: Vec<Vec<u8>> = Vec::new();
            for line in lines {
                match pieces.last_mut() {
                    Some(last) if line.behind => last.extend_from_slice(&line.bytes),
                    _ => pieces.push(line.bytes.clone()),
                }
            }
            pieces
        }
        Cut::Glued => vec![all()],
        Cut::Bytes => all().into_iter().map(|b| vec![b]).collect(),
        Cut::Random(seed) => {
            let all = all();
            let mut random = Random(seed ^ round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let largest = [4, 40, 400, 4000][random.below(4)];
            let mut rest = all.as_slice();
            let mut pieces = Vec::new();
            while !rest.is_empty() {
                let (piece, after) = rest.split_at((1 + random.below(largest)).min(rest.len()));
                pieces.push(piece.to_vec());
                rest = after;
            }
            pieces
        }
    }
}

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) % limit as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cut_keeps_every_byte() {
        let lines = [("abc", false), ("de", false), ("fgh", true)]
            .map(|(text, behind)| Line { bytes: text.as_bytes().to_vec(), behind });
        assert_eq!(pieces(Cut::Lines, &lines, 0), [b"abc".to_vec(), b"defgh".to_vec()]);
        for cut in [Cut::Lines, Cut::Glued, Cut::Bytes, Cut::Random(1), Cut::Random(2)] {
            for round in 0..20 {
                assert_eq!(pieces(cut, &lines, round).concat(), b"abcdefgh");
            }
        }
        assert_eq!(pieces(Cut::Random(7), &lines, 3), pieces(Cut::Random(7), &lines, 3));
    }
}
