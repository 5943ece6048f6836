//! Captures as the commands take them that hold one against something: opened, read to the end, and what is wrong told on stderr.

use super::{Failure, print};
use crate::capture::read::{Event, Options, Problem, Reader};
use std::fmt::Display;
use std::fs::File;
use std::io::{Read, stdin};
use std::path::Path;

/// How to read a capture.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct PortArgs {
    /// XMPP is spoken on this port too, even where the beginning of a conversation was not recorded (5222 is known). Several
    /// may be given
    #[arg(long, value_name = "PORT", value_delimiter = ',')]
    port: Vec<u16>,
}

impl PortArgs {
    pub(super) fn options(&self) -> Options {
        Options { ports: self.port.clone(), ..Options::default() }
    }
}

/// Whether a capture was sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sound {
    Whole,
    /// Not all could be read: what is wrong has been said.
    Part,
}

/// A capture's bytes; `-` is stdin.
pub(super) fn source(path: &Path) -> Result<Box<dyn Read + Send>, Failure> {
    let failed = |why: &dyn Display| Failure::runtime(format!("{}: {why}", shown(path)));
    if path == Path::new("-") {
        return Ok(Box::new(stdin()));
    }
    let file = File::open(path).map_err(|why| failed(&why))?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        return Err(failed(&"is a directory; name a capture in it"));
    }
    Ok(Box::new(file))
}

/// Reads a capture to its end. What is wrong with it is said on stderr.
pub(super) fn read(
    path: &Path,
    options: &Options,
    take: &mut dyn FnMut(&Event) -> Result<(), Failure>,
) -> Result<Sound, Failure> {
    read_from(source(path)?, path, options, take)
}

/// The same, from bytes that are there already.
pub(super) fn read_from(
    source: impl Read,
    path: &Path,
    options: &Options,
    take: &mut dyn FnMut(&Event) -> Result<(), Failure>,
) -> Result<Sound, Failure> {
    let reader = Reader::new(source, options).map_err(|why| Failure::runtime(format!("{}: {why}", shown(path))))?;
    let (mut sound, mut talks) = (Sound::Whole, 0_u64);
    for event in reader {
        match &event {
            Event::Begins { .. } => talks += 1,
            Event::Trouble(trouble) => {
                if trouble.talk.is_none() || trouble.problem == Problem::NoStream {
                    complain(path, &trouble.problem);
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
        complain(
            path,
            &"no XMPP in the clear was found in it (--port names ports where the beginning was not recorded)",
        );
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
    let reader = Reader::new(source, options).map_err(|why| Failure::runtime(format!("{}: {why}", shown(path))))?;
    for event in reader {
        take(&event)?;
    }
    Ok(())
}

/// A capture's name, for people.
pub(super) fn shown(path: &Path) -> String {
    if path == Path::new("-") { "stdin".to_owned() } else { path.display().to_string() }
}

/// Says on stderr what is wrong with a capture.
pub(super) fn complain(path: &Path, what: &dyn Display) {
    print::aside(&format!("iqtap: {}: {what}\n", shown(path)));
}

/// What a command ends with if a capture was not sound.
pub(super) fn not_whole() -> Failure {
    Failure::runtime("it was not read as a whole")
}
