//! The shell: sockets, TLS, time and threads around [`crate::session::Session`]. The only room that names rustls.
//!
//! ```text
//! listen --accepts--> pump (one task per session: both wires, the Session, no channel in between)
//!                      | dial, tls (ca, mint)   ^        | notes, in batches, after the bytes went out
//!                              reload (policies) +       v
//!                                       notes (one thread: printer, recorder)
//! pump --lobby (where sessions meet)--> keeper (one thread: the store)
//! ```
//! Takes a [`Setup`], gives a running [`Server`]. Must not look into XMPP: what a byte means is the core's business.

pub mod agents;
pub mod ca;
mod clock;
mod dial;
mod house;
mod insecure;
mod keeper;
mod keylog;
mod listen;
mod lobby;
mod memory;
mod mint;
mod notes;
mod porter;
mod pump;
mod record;
mod reload;
mod scratch;
mod terms;
mod tls;
mod watch;
mod wire;

pub use keeper::StoreSetup;
pub use listen::{BindError, Server, Setup};
pub use notes::{SessionInfo, Sink, Summary};
pub use record::{Failed, RecordSetup, Recording};
pub use reload::{Again, Anew, Follower, News, Reloader, Scripts};
pub use terms::TermsSetup;
pub use tls::{ClientCertificate, TlsError, Trust};

use std::borrow::Cow;
use std::fmt::Write;

/// Text from a peer, made harmless for a terminal: control characters and those that turn the direction of writing
/// are shown as `\u{1b}`.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    let harmful = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(harmful) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if harmful(c) {
            let _ = write!(shown, "\\u{{{:x}}}", u32::from(c)); // writing to a string cannot fail
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn what_moves_a_terminal_is_shown_instead() {
        assert_eq!(printable("caf\u{e9} \u{1f600}"), "caf\u{e9} \u{1f600}");
        assert_eq!(printable("a\x1b[2Jb\u{9b}\r\n"), "a\\u{1b}[2Jb\\u{9b}\\u{d}\\u{a}");
        assert_eq!(printable("\u{202e}gnp.exe"), "\\u{202e}gnp.exe");
    }
}
