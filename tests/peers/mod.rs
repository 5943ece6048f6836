//! Real peers: what the tests called `real_*` start, talk to and ask. Each file is one peer.
#![allow(dead_code, unused_imports, unused_macros, reason = "each test file uses a part of this module")]

/// `name: story(arguments);`: a test of that name, which is that story with these arguments.
macro_rules! tests {
    ($($test:ident: $story:ident($($argument:expr),*);)*) => {
        $(#[test]
        fn $test() {
            $story($($argument),*);
        })*
    };
}
pub(crate) use tests;

mod builtin;
mod certs;
mod checks;
mod child;
mod client;
mod ejabberd;
mod iqtap;
mod lines;
mod prosody;
mod raw;
mod replayed;
mod server;
mod stage;
mod stream;
mod tshark;
mod upstream;

pub(crate) use builtin::{builtin, go, pushes, raw, refused, sees, somebody};
pub(crate) use certs::Certs;
pub(crate) use checks::{
    check_book, check_formed, check_no_secret, check_pairs, check_readable, check_replays, lawful, pairs, run,
};
pub(crate) use client::{Client, Login, Seen, Stream};
pub(crate) use iqtap::{CLEAR, Iqtap};
pub(crate) use prosody::Prosody;
pub(crate) use raw::Raw;
pub(crate) use replayed::{Mock, Played, play};
pub(crate) use server::{Make, Server, user};
pub(crate) use stage::{ANSWERABLE, LACKED, Stage, text};
pub(crate) use stream::{Element, items};
pub(crate) use tshark::Capture;
pub(crate) use upstream::{Encryption, Upstream};

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

/// The JID domain of every test: not the name of the host, so that certificates are checked against the right one.
pub(crate) const DOMAIN: &str = "xmpp.test";

/// For what should take no time at all: long enough for a machine that builds something else meanwhile.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A peer that may not be installed.
#[derive(Clone, Copy)]
pub(crate) enum Need {
    Ejabberd,
    Prosody,
    Slixmpp,
    Tshark,
}

impl Need {
    /// Why it cannot be used, if so.
    fn missing(self) -> Option<&'static str> {
        static PROSODY: OnceLock<bool> = OnceLock::new();
        static TSHARK: OnceLock<bool> = OnceLock::new();
        let (there, why) = match self {
            Self::Ejabberd => (ejabberd::library().is_some(), "ejabberd is not installed"),
            // `prosody --version` would start a server.
            Self::Prosody => (*PROSODY.get_or_init(|| runs("prosodyctl", &["about"])), "prosody is not installed"),
            Self::Tshark => (*TSHARK.get_or_init(|| runs("tshark", &["--version"])), "tshark is not installed"),
            Self::Slixmpp => (
                client::python().is_some(),
                "no Python with slixmpp (set IQTAP_PYTHON, or make a venv with slixmpp in target/venv)",
            ),
        };
        (!there).then_some(why)
    }
}

/// Whether this test can run. If not, says so where it is seen (not in the captured output); where CI is set, nothing
/// may be skipped.
pub(crate) fn have(needs: &[Need]) -> bool {
    let missing: Vec<_> = needs.iter().filter_map(|need| need.missing()).collect();
    if missing.is_empty() {
        return true;
    }
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let why = format!("{test}: skipped: {}", missing.join("; "));
    assert!(std::env::var_os("CI").is_none(), "{why} (nothing is skipped where CI is set)");
    // Past the capture of output: a skip must be seen.
    std::io::stderr().write_all((why + "\n").as_bytes()).unwrap();
    false
}

fn runs(program: &str, args: &[&str]) -> bool {
    Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A port nobody listens on at the moment.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
