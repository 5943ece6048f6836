//! Damaged captures: whatever is wrong with a file, reading it ends, and does not panic.
#![expect(clippy::unwrap_used, reason = "a test that cannot make its own files has failed")]

mod read_support;

use iqtap::capture::read::{Event, Options, Reader};
use read_support::{damaged, sound};

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
                    Event::Hole { .. } | Event::Trouble(_) | Event::Happened { .. } => {}
                }
            }
            assert_eq!(begun, 0, "seed {seed}: each conversation that begins must end");
            read += 1;
        }
    }
    assert!(read > 10_000, "{read}");
}
