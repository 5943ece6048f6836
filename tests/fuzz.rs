//! What is fuzzed (`fuzz/README.md`), on stable: each body over its seeds, over every input that has ever broken it, and over some thousands of
//! mutations of those, the same each time.
//!
//! `IQTAP_DEEP=1` makes twenty times as many mutations, `IQTAP_SEED=n` others.
#![expect(clippy::unwrap_used, reason = "a test that cannot read its own file has failed")]
#![expect(clippy::print_stdout, reason = "which input it was")]

#[path = "xml/allowed.rs"]
mod allowed;
#[path = "fuzz/mod.rs"]
mod fuzz;
#[path = "fuzz/mutate.rs"]
mod mutate;
#[path = "xml/oracles.rs"]
mod oracles;
mod xml;

use mutate::{Chance, mutation};
use std::fs;
use std::path::{Path, PathBuf};

/// Names the input that has broken a body.
struct Names(String, Vec<u8>);

impl Drop for Names {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{} breaks it:\n{}", self.0, String::from_utf8_lossy(&self.1).escape_debug());
        }
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).map(|all| all.map(|entry| entry.unwrap().path()).collect());
    let mut files: Vec<PathBuf> = entries.unwrap_or_default();
    files.sort();
    files
}

fn holds(target: &str, mutations: u64) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let seeds = files(&root.join("seeds").join(target));
    assert!(!seeds.is_empty(), "no seeds of {target}: fuzz/make_seeds.py makes them");
    let mut inputs = Vec::new();
    for path in seeds.into_iter().chain(files(&root.join("regressions").join(target))) {
        let names = Names(path.display().to_string(), fs::read(path).unwrap());
        fuzz::run(target, &names.1);
        inputs.push(names.1.clone());
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let mutations = if number("IQTAP_DEEP") == Some(1) { 20 * mutations } else { mutations };
    let first = number("IQTAP_SEED").unwrap_or_default();
    for seed in first..first + mutations {
        let made = mutation(&mut Chance(seed << 20), &inputs);
        let names = Names(format!("mutation {seed} of {target}"), made);
        fuzz::run(target, &names.1);
    }
}

#[test]
fn scanner() {
    holds("scanner", 3000);
}

#[test]
fn session() {
    holds("session", 1500);
}

#[test]
fn capture() {
    holds("capture", 1500);
}

#[test]
fn config() {
    holds("config", 2000);
}

#[test]
fn script() {
    holds("script", 600);
}

#[test]
fn check() {
    holds("check", 600);
}

#[test]
fn every_target_has_its_way_in() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let ways: Vec<_> =
        files(&root.join("fuzz_targets")).into_iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    assert_eq!(ways.len(), fuzz::TARGETS.len());
    for target in fuzz::TARGETS {
        let call = format!("fuzz::run(\"{}\", data)", target.name);
        assert!(ways.iter().any(|way| way.contains(&call)), "no file of fuzz/fuzz_targets runs {}", target.name);
    }
}

/// The seeds come to where it matters: a fuzzer that never gets past the login finds nothing behind it.
#[test]
fn seeds_of_sessions_reach_every_part() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/session");
    let said: Vec<(String, String)> = files(&root)
        .iter()
        .map(|path| (path.display().to_string(), fuzz::session::transcript(&fs::read(path).unwrap())))
        .collect();
    for (part, most) in [
        ("<resumed xmlns='urn:xmpp:sm:3'", 5),
        ("<a xmlns='urn:xmpp:sm:3' h='", 20),
        ("StartTls(Server)", 2),
        ("<remote-server-timeout", 2),
        ("<not-well-formed", 2),
        ("<policy-violation", 2),
        ("<bad-request", 5),
        ("<message id='m' to='a@b'><body>&amp;</body></message>", 1),
        ("<blocklist xmlns='urn:xmpp:blocking'", 2),
        ("<vCard xmlns='vcard-temp'", 2),
        ("Abort", 10),
    ] {
        let with = said.iter().filter(|(_, said)| said.contains(part)).count();
        assert!(with >= most, "{part} comes out of {with} lists only");
    }
}
