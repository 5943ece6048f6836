//! Captures as the commands take them that hold one against something: read to the end, and what is wrong told on stderr.

use super::{Failure, captures};
use crate::capture::read::{Event, Options, Problem};
use std::io::Read;
use std::path::Path;

/// Whether a capture was sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sound {
    Whole,
    /// Not all could be read: what is wrong has been said.
    Part,
}

/// Reads a capture to its end. What is wrong with it is said on stderr.
pub(super) fn read(
    path: &Path,
    options: &Options,
    take: &mut dyn FnMut(&Event) -> Result<(), Failure>,
) -> Result<Sound, Failure> {
    read_from(captures::source(path)?, path, options, take)
}

/// The same, from bytes that are there already.
pub(super) fn read_from(
    source: impl Read,
    path: &Path,
    options: &Options,
    take: &mut dyn FnMut(&Event) -> Result<(), Failure>,
) -> Result<Sound, Failure> {
    let (mut sound, mut talks) = (Sound::Whole, 0_u64);
    for event in captures::read(source, path, options)? {
        match &event {
            Event::Begins { .. } => talks += 1,
            Event::Trouble(trouble) => {
                if trouble.talk.is_none() || trouble.problem == Problem::NoStream {
                    captures::complain(path, &trouble.problem);
                }
                if trouble.problem.is_of_file() {
                    sound = Sound::Part;
                }
            }
            _ => {}
        }
        take(&event)?;
    }
    if talks == 0 && sound == Sound::Whole {
        captures::complain(path, &captures::NOTHING);
    }
    Ok(sound)
}

/// The same for a second time: what is wrong was said the first time.
pub(super) fn read_quietly(
    source: impl Read,
    path: &Path,
    options: &Options,
    take: &mut dyn FnMut(&Event) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for event in captures::read(source, path, options)? {
        take(&event)?;
    }
    Ok(())
}

/// What a command ends with if a capture was not sound.
pub(super) fn not_whole() -> Failure {
    Failure::runtime("it was not read as a whole")
}
