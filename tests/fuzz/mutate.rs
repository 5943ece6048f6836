//! Inputs from other inputs, by chance that follows from a seed: what libFuzzer does, in small, for tests on stable.

/// SplitMix64: small, and the same everywhere.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((x ^ (x >> 31)) % limit.max(1) as u64).unwrap_or_default()
    }
}

/// What is put in here and there.
const WORDS: &[&str] = &[
    "<",
    ">",
    "/>",
    "&amp;",
    "&#13;",
    "]]>",
    "<![CDATA[",
    "'",
    "\"",
    "\r",
    "\n",
    "\0",
    "\u{1b}",
    "\u{feff}",
    "\u{2028}",
    " xmlns='u:u'",
    " id='1'",
    " type='get'",
    " type='result'",
    " type='error'",
    " to='example.org'",
    "<a xmlns='urn:xmpp:sm:3' h='1'/>",
    "<r xmlns='urn:xmpp:sm:3'/>",
    "</stream:stream>",
    "4294967295",
    "-1",
    "\n!C\n",
    "\n!S\n",
    "\n+9999\n",
    "\n%1\n",
    "\n#1\n@r\n",
    "\n/1\n",
    "<iq type='get' id='x'><ping xmlns='urn:xmpp:ping'/></iq>",
    "<message id='hold'/>",
];

/// One of the inputs, changed in one to four places, sometimes with a part of another.
pub(crate) fn mutation(chance: &mut Chance, inputs: &[Vec<u8>]) -> Vec<u8> {
    let mut made = inputs[chance.below(inputs.len())].clone();
    for _ in 0..=chance.below(4) {
        let (at, length) = (chance.below(made.len() + 1), 1 + chance.below(24));
        let end = (at + length).min(made.len());
        match chance.below(7) {
            0 => drop(made.drain(at..end)),
            1 => {
                if let Some(byte) = made.get_mut(at) {
                    *byte = u8::try_from(chance.below(256)).unwrap_or_default();
                }
            }
            2 => drop(made.splice(at..at, WORDS[chance.below(WORDS.len())].bytes())),
            3 => {
                let copy = made[at..end].to_vec();
                let to = chance.below(made.len() + 1);
                drop(made.splice(to..to, copy));
            }
            4 => {
                let other = &inputs[chance.below(inputs.len())];
                let from = chance.below(other.len() + 1);
                let part = other[from..(from + 8 * length).min(other.len())].to_vec();
                drop(made.splice(at..at, part));
            }
            5 => {
                // Lines change places: operations in another order.
                let mut lines: Vec<&[u8]> = made.split(|byte| *byte == b'\n').collect();
                let (one, other) = (chance.below(lines.len()), chance.below(lines.len()));
                lines.swap(one, other);
                made = lines.join(&b'\n');
            }
            _ => {
                if let Some(byte) = made.get_mut(at) {
                    *byte ^= 1 << chance.below(8);
                }
            }
        }
    }
    made
}
