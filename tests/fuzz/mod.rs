//! What is fuzzed: one body for each target, run by libFuzzer (`fuzz/`) and over seeds by `tests/fuzz.rs`.
//!
//! A body takes any bytes and panics if a promise is broken. Each runs under a bound of memory besides, so that no input of a
//! few kilobytes can make a process large. Must not read a clock, a file or the environment: an input means the same everywhere.
#![expect(clippy::panic, reason = "this is how a fuzzer is told")]

pub(crate) mod capture;
pub(crate) mod check;
pub(crate) mod config;
pub(crate) mod scanner;
pub(crate) mod script;
pub(crate) mod seen;
pub(crate) mod session;
pub(crate) mod witness;
pub(crate) mod worlds;

/// A body by its name, with the memory it may take: so many bytes at first, and so many more for each byte of its input.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    body: fn(&[u8]),
    base: u64,
    each: u64,
}

/// All of them; `fuzz/fuzz_targets/` has a file for each.
pub(crate) const TARGETS: &[Target] = &[
    Target { name: "scanner", body: scanner::run, base: 1 << 20, each: 1024 },
    Target { name: "session", body: session::run, base: 16 << 20, each: 1024 },
    Target { name: "capture", body: capture::run, base: 16 << 20, each: 1024 },
    Target { name: "config", body: config::run, base: 16 << 20, each: 4096 },
    Target { name: "script", body: script::run, base: 64 << 20, each: 4096 },
    Target { name: "check", body: check::run, base: 64 << 20, each: 4096 },
];

/// Runs one body over one input.
pub(crate) fn run(name: &str, data: &[u8]) {
    let Some(target) = TARGETS.iter().find(|target| target.name == name) else { panic!("no target is called {name}") };
    let taken = allocation_counter::measure(|| (target.body)(data));
    let most = target.base + target.each * data.len() as u64;
    assert!(taken.bytes_max <= most, "{} bytes of memory for an input of {}: {taken:?}", taken.bytes_max, data.len());
}

/// Takes the first line off.
pub(crate) fn line(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, &[]),
    }
}
