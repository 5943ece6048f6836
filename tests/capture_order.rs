//! However the segments of a stream are cut, mixed up and repeated, its items are the same.
#![expect(clippy::unwrap_used, reason = "a test that cannot make its own packets has failed")]

mod read_support;

use iqtap::capture::read::Event;
use proptest::prelude::*;
use read_support::{CALLER, Flags, HEADER, Wire, events};

/// A segment: from where to where of the stream, and when it comes.
type Cut = (usize, usize, u32);

/// Ways to cut, to repeat and to order `len` bytes.
fn cuts(len: usize) -> impl Strategy<Value = Vec<Cut>> {
    let places = proptest::collection::vec(0..len, 0..40);
    let again = proptest::collection::vec((0..len, 1..200_usize), 0..20);
    (places, again, any::<u64>()).prop_map(move |(mut places, again, seed)| {
        places.extend([0, len]);
        places.sort_unstable();
        places.dedup();
        let mut cuts: Vec<Cut> = places.windows(2).map(|pair| (pair[0], pair[1], 0)).collect();
        cuts.extend(again.into_iter().map(|(from, count)| (from, (from + count).min(len), 0)));
        let mut state = seed;
        for cut in &mut cuts {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            cut.2 = (state >> 33) as u32;
        }
        cuts.sort_unstable_by_key(|cut| cut.2);
        cuts
    })
}

fn stream() -> String {
    let mut text = HEADER.to_owned();
    for number in 0..20 {
        text.push_str(&format!("<iq type='get' id='{number}'><ping xmlns='urn:xmpp:ping'/></iq>"));
        text.push_str(&format!("<message id='m{number}'><body>{}</body></message> ", "grüße > 🦀".repeat(number)));
    }
    text + "</stream:stream>"
}

/// The bytes of all items but white space, which may come in pieces.
fn items(file: &[u8]) -> Vec<String> {
    let text = |event| match event {
        Event::Item(item) => String::from_utf8(item.bytes.to_vec()).unwrap(),
        Event::Begins { .. } | Event::Ends { .. } => String::new(),
        other => format!("{other:?}"),
    };
    events(file).into_iter().map(text).filter(|text| !text.trim().is_empty()).collect()
}

proptest! {
    #[test]
    fn items_are_the_same(cuts in cuts(stream().len()), first in any::<u32>()) {
        let stream = stream();
        let mut plain = Wire::open([40_000, 5299]);
        plain.send(CALLER, &stream);
        let expected = items(&plain.pcap());
        prop_assert_eq!(expected.len(), 42);

        let mut wire = Wire { seqs: [first, 7], packets: Vec::new(), ..plain };
        wire.shake();
        let start = wire.seqs[CALLER];
        for (from, to, _) in cuts {
            let seq = start.wrapping_add(u32::try_from(from).unwrap());
            wire.packet(CALLER, seq, &stream.as_bytes()[from..to], Flags::default());
        }
        prop_assert_eq!(items(&wire.pcap()), expected);
    }
}
