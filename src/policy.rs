//! [`Policy`]: one immutable numbered snapshot of everything that may change while a session lives, and [`Route`]:
//! what is fixed when it begins. Takes compiled parts, gives them to sessions behind an `Arc`.

mod limits;

pub use limits::{ConnectionLimits, HouseLimits, QueueLimits, Rate};

use crate::answer::Answers;
use crate::rules::Modes;
use crate::script::{ScriptSet, Stopwatch};
use crate::xml::Limits;
use crate::xmpp::{Kind, Timestamp};
use std::sync::Arc;

/// May change mid-session; swapped whole, between two stanzas.
#[derive(Debug)]
pub struct Policy {
    /// Counts up with each reload, from 1.
    pub number: u64,
    /// SHA-256, in hex, of what it was made of (scripts, answers, settings); empty if it was made by hand. Equal sources make
    /// equal policies, in one version of iqtap.
    pub source: Arc<str>,
    /// The IQ rules.
    pub rules: Modes,
    /// What is answered in the server's place.
    pub answers: Answers,
    /// The scripts.
    pub scripts: ScriptSet,
    /// Scripts that are asked too, and only reported on where they decide otherwise.
    pub shadow: ScriptSet,
    /// Put `code=` (XEP-0086) on the errors we make.
    pub legacy_codes: bool,
    /// What leaves when nothing was changed.
    pub forward: Forward,
    /// What becomes of a stanza whose script failed.
    pub on_script_error: OnScriptError,
    /// How long a request may wait for its answer (rule 3), in microseconds.
    pub iq_timeout: u64,
}

impl Policy {
    /// Whether any script, live or shadow, has a hook for this kind: a bit test or two.
    #[must_use]
    pub fn asks_scripts(&self, kind: Kind) -> bool {
        self.scripts.listens(kind) || self.shadow.listens(kind)
    }
}

impl Policy {
    /// Measures how long hooks take; of the shadow scripts nobody is told that.
    #[must_use]
    pub fn timed_by(mut self, stopwatch: Stopwatch) -> Self {
        self.scripts = self.scripts.timed_by(stopwatch);
        self
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            number: 0,
            source: Arc::default(),
            rules: Modes::default(),
            answers: Answers::default(),
            scripts: ScriptSet::default(),
            shadow: ScriptSet::default(),
            legacy_codes: false,
            forward: Forward::default(),
            on_script_error: OnScriptError::default(),
            iq_timeout: 60_000_000,
        }
    }
}

/// What leaves when nothing was changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Forward {
    /// The very bytes that were judged.
    #[default]
    Exact,
    /// Everything is written anew from its tree.
    Normal,
}

/// What becomes of a stanza whose script failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnScriptError {
    /// It goes on as if the script were not there.
    #[default]
    Pass,
    /// It is dropped.
    Drop,
    /// It is answered with `internal-server-error` (dropped where an answer is forbidden).
    Reject,
}

/// TLS towards the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ClientTls {
    /// None is offered.
    Off,
    /// STARTTLS is offered; direct TLS is taken too.
    Offer,
    /// STARTTLS is required; direct TLS is taken too.
    #[default]
    Require,
    /// TLS from the first byte.
    Direct,
}

/// TLS towards the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ServerTls {
    /// None.
    Off,
    /// STARTTLS; without it the session ends: never silently downgraded.
    #[default]
    Starttls,
    /// TLS from the first byte (XEP-0368).
    Direct,
}

/// What is done about stream management (XEP-0198).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum SmMode {
    /// It passes, and the counts are translated.
    #[default]
    Translate,
    /// It is not offered to the client.
    Strip,
}

/// Fixed when a session begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// TLS on the client's leg.
    pub client_tls: ClientTls,
    /// TLS on the server's leg.
    pub server_tls: ServerTls,
    /// Limits before the client has authenticated.
    pub limits_before: Limits,
    /// Limits afterwards.
    pub limits_after: Limits,
    /// Seconds from the first byte to a bound resource.
    pub login_seconds: u64,
    /// Seconds to wait for the peer's `</stream:stream>` after ours.
    pub close_seconds: u64,
    /// Seconds for a peer to finish what it has begun: a stanza, or a stream header; 0: as long as it takes. They do not count while it is not read.
    pub stanza_seconds: u64,
    /// Seconds after which a client that has logged in and says nothing, not even white space, is taken for lost; 0: never.
    pub idle_seconds: u64,
    /// How fast each side may send, by [`crate::xmpp::Side::index`].
    pub rates: [Rate; 2],
    /// Stream management.
    pub sm: SmMode,
    /// How many runs of stanzas of one fate a ledger of stream management may hold before it is merged.
    pub sm_runs: usize,
    /// IQ requests that may be under way at once, each way.
    pub open_iqs: usize,
    /// Since when iqtap runs: what XEP-0012 is told of the server.
    pub started: Timestamp,
}

impl Default for Route {
    fn default() -> Self {
        Self {
            client_tls: ClientTls::default(),
            server_tls: ServerTls::default(),
            limits_before: Limits::BEFORE_LOGIN,
            limits_after: Limits::AFTER_LOGIN,
            login_seconds: 30,
            close_seconds: 5,
            stanza_seconds: 60,
            idle_seconds: 0,
            rates: [Rate::default(); 2],
            sm: SmMode::default(),
            sm_runs: 4096,
            open_iqs: 1024,
            started: Timestamp::default(),
        }
    }
}

/// How much is kept of sessions that wait to be resumed (`session::Vault`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VaultLimits {
    /// Parked sessions.
    pub sessions: usize,
    /// For how long, in seconds, whatever the server promises.
    pub seconds: u64,
    /// Bytes of all of them.
    pub bytes: usize,
}

impl Default for VaultLimits {
    fn default() -> Self {
        Self { sessions: 1000, seconds: 600, bytes: 64 << 20 }
    }
}
