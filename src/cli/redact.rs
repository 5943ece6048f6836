//! `iqtap redact`: a capture that can be shown to others.

use super::captures::{self, ReadArgs};
use super::recorded::{self, Sound};
use super::{Failure, print};
use crate::capture::{Copied, Copier, Disguise, Wishes};
use crate::xmpp::Side;
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

/// Arguments of `iqtap redact`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Passwords, tokens, proofs of passwords and ids of resumable sessions are always replaced, also in what tcpdump or Wireshark
recorded. Ids, types, namespaces, errors, times and sizes stay, so that what went wrong can still be seen. The capture itself
is not touched. With --jids, the same name has the same pseudonym everywhere in the copy; with the same --key in other copies
too. Whoever knows the key can try names, so do not publish it.

Examples:
  iqtap redact bug.pcapng -o report.pcapng --bodies --jids     for a bug report
  iqtap redact tcpdump.pcap -o safe.pcapng                     only passwords and the like

Exit codes: 0, 2 usage, 3 the capture cannot be read (to its end), or the copy cannot be written."
)]
pub(super) struct Args {
    /// The capture; `-` is stdin
    #[arg(value_name = "CAPTURE")]
    file: PathBuf,
    /// The copy (pcapng); an earlier capture is replaced, no other file
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Replace what people wrote: bodies, subjects, status texts, vCards, texts of errors. The length stays
    #[arg(long)]
    bodies: bool,
    /// Replace addresses (domains too), nicknames and names on rosters, also where they stand in texts
    #[arg(long)]
    jids: bool,
    /// What pseudonyms follow from [default: something random, another one each time]
    #[arg(long, value_name = "TEXT")]
    key: Option<String>,
    #[command(flatten)]
    ports: ReadArgs,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let same = |one: &Path, other: &Path| matches!((fs::canonicalize(one), fs::canonicalize(other)), (Ok(one), Ok(other)) if one == other);
    if same(&args.file, &args.output) || is_linked(&args.file, &args.output) {
        return Err(Failure::usage("-o: the copy must be another file than the capture"));
    }
    if args.key.as_ref().is_some_and(String::is_empty) {
        return Err(Failure::usage("--key: it must have a character at least"));
    }
    crate::capture::check(&args.output).map_err(|why| Failure::usage(format!("-o {why}")))?;
    let wishes = Wishes { bodies: args.bodies, jids: args.jids };
    let mut disguise = Disguise::new(wishes, &args.key.clone().unwrap_or_else(random));
    // Twice: a name may be spoken of before it is seen.
    let mut held = None;
    if args.file == Path::new("-") {
        let mut bytes = Vec::new();
        let failed = |why| Failure::runtime(format!("stdin: {why}"));
        captures::source(&args.file)?.read_to_end(&mut bytes).map_err(failed)?;
        held = Some(bytes);
    }
    let source = || -> Result<Box<dyn Read + '_>, Failure> {
        match &held {
            Some(bytes) => Ok(Box::new(Cursor::new(bytes))),
            None => Ok(captures::source(&args.file)?),
        }
    };
    let options = args.ports.options(Side::Client);
    let sound = recorded::read_from(source()?, &args.file, &options, &mut |event| {
        if let crate::capture::read::Event::Item(item) = event {
            disguise.learn(item);
        }
        Ok(())
    })?;
    let failed = |why| Failure::runtime(format!("-o {}: {why}", args.output.display()));
    let app = concat!("iqtap ", env!("CARGO_PKG_VERSION"));
    let mut copier = Copier::create(&args.output, app, disguise).map_err(failed)?;
    recorded::read_quietly(source()?, &args.file, &options, &mut |event| copier.event(event).map_err(failed))?;
    let copied = copier.finish().map_err(failed)?;
    print::out(&told(args, copied));
    if sound == Sound::Part { Err(recorded::not_whole()) } else { Ok(()) }
}

/// `report.pcapng: 2 conversations, 85 items: secrets, texts and names replaced`
fn told(args: &Args, copied: Copied) -> String {
    let counted = |number: u64, noun: &str| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
    let replaced = match (args.bodies, args.jids) {
        (false, false) => "secrets",
        (true, false) => "secrets and texts",
        (false, true) => "secrets and names",
        (true, true) => "secrets, texts and names",
    };
    let conversations = counted(copied.conversations, "conversation");
    let items = counted(copied.items, "item");
    let mut text = format!("{}: {conversations}, {items}: {replaced} replaced", args.output.display());
    if copied.left_out > 0 {
        text +=
            &format!("; {} left out, for nobody can say what is in it", counted(copied.left_out, "unreadable item"));
    }
    text + "\n"
}

/// Whether two names are of one file.
#[cfg(unix)]
fn is_linked(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let file = |path: &Path| fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|file| (file.dev(), file.ino()));
    matches!((file(one), file(other)), (Some(one), Some(other)) if one == other)
}

#[cfg(not(unix))]
fn is_linked(_: &Path, _: &Path) -> bool {
    false
}

/// A key that nobody knows: the standard library's own randomness, which the system gives.
fn random() -> String {
    let part = |number: u64| {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u64(number);
        hasher.finish()
    };
    (0..4).map(|number| format!("{:016x}", part(number))).collect()
}
