//! Damaged captures: whatever is wrong with a file, reading it ends, and does not panic.
#![expect(clippy::unwrap_used, reason = "a test that cannot make its own files has failed")]

mod capture_support;
mod read_support;

use capture_support::Tape;
use iqtap::capture::read::{Event, Options, Reader};
use iqtap::session::{Dir, Note};
use iqtap::xmpp::Side;
use read_support::{ANSWER, CALLER, HEADER, LISTENER, Ng, Wire};

/// Numbers that look random; the seed is printed with whatever fails.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below.max(1)
    }
}

/// A file with something wrong.
fn damaged(file: &[u8], seed: u64) -> Vec<u8> {
    let mut dice = Dice(seed);
    let mut file = file.to_vec();
    for _ in 0..=dice.roll(4) {
        let at = dice.roll(file.len());
        let count = 1 + dice.roll(64);
        match dice.roll(6) {
            0 => file.truncate(at),
            1 => drop(file.drain(at..(at + count).min(file.len()))),
            2 => drop(file.splice(at..at, vec![0; count])),
            3 => {
                let from = dice.roll(file.len());
                let copied = file[from..(from + count).min(file.len())].to_vec();
                drop(file.splice(at..at, copied));
            }
            _ => {
                let end = (at + count / 8 + 1).min(file.len());
                file[at..end].iter_mut().for_each(|b| *b = dice.roll(256) as u8);
            }
        }
        if file.is_empty() {
            break;
        }
    }
    file
}

/// Captures of each kind, small enough for damage to hit something.
fn sound() -> Vec<Vec<u8>> {
    let mut wire = Wire::open([40_000, 5222]);
    wire.send(CALLER, HEADER);
    wire.send(LISTENER, ANSWER);
    for number in 0..10 {
        wire.send(CALLER, format!("<iq type='get' id='{number}'><ping xmlns='urn:xmpp:ping'/></iq>"));
        wire.send(LISTENER, format!("<iq type='result' id='{number}'/>"));
    }
    wire.close();
    let mut ng = Ng::big();
    ng.section();
    ng.interface(1, Some(9));
    for packet in &wire.packets {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
        frame.extend_from_slice(&packet.data);
        ng.packet(0, packet.at * 1000, &frame);
    }
    let mut tape = Tape::new();
    for side in [Side::Client, Side::Server] {
        tape.item(side, Dir::In, HEADER);
        tape.item(side, Dir::Out, ANSWER);
        tape.item(side, Dir::In, "<iq type='get' id='é'><p xmlns='q'/></iq>");
        tape.item(side, Dir::Out, "</stream:stream>");
    }
    tape.note(1, &Note::Over(Box::default()));
    let (_dir, path) = tape.finish();
    vec![
        wire.pcap(),
        ng.file,
        std::fs::read(path).unwrap(),
        format!("{HEADER}<presence/></stream:stream>").into_bytes(),
    ]
}

#[test]
fn damaged_captures_are_read_to_their_end() {
    let sound = sound();
    for file in &sound {
        let ends = Reader::new(&file[..], &Options::default()).unwrap().filter(|e| matches!(e, Event::Ends { .. }));
        assert!(ends.count() > 0);
    }
    let mut read = 0;
    for seed in 0..20_000 {
        let file = damaged(&sound[seed as usize % sound.len()], seed);
        println!("seed {seed}");
        if let Ok(reader) = Reader::new(&file[..], &Options::default()) {
            let mut begun = 0;
            for event in reader {
                match event {
                    Event::Begins { .. } => begun += 1,
                    Event::Ends { .. } => begun -= 1,
                    Event::Item(item) => drop((item.way(), item.story(), item.view().map(|view| view.name().len()))),
                    Event::Hole { .. } | Event::Trouble(_) => {}
                }
            }
            assert_eq!(begun, 0, "seed {seed}: each conversation that begins must end");
            read += 1;
        }
    }
    assert!(read > 10_000, "{read}");
}
