//! [`Terms`]: what a session begins with and keeps for as long as it lives: its route, where the server is, both legs' TLS, and what may wait for
//! a peer.
//!
//! Takes settings, gives all of it or says what is wrong with which file. New terms are for the sessions that begin after them.

use super::listen::BindError;
use super::tls::{ClientCertificate, Tls, Trust};
use crate::config::Upstream;
use crate::policy::{HouseLimits, QueueLimits, Route};
use crate::xmpp::Timestamp;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What sessions begin with, as it was configured.
#[derive(Clone, Debug)]
pub struct TermsSetup {
    /// Where the traffic of clients goes.
    pub upstream: Upstream,
    /// Fixed for each session.
    pub route: Route,
    /// What clients see.
    pub certificate: ClientCertificate,
    /// What the server must prove.
    pub trust: Trust,
    /// Where the keys of TLS connections are written, if anywhere.
    pub key_log: Option<PathBuf>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) upstream: Upstream,
    pub(super) route: Arc<Route>,
    pub(super) tls: Tls,
    pub(super) queue: QueueLimits,
}

/// The terms for who comes next. Asked once for each session, when it begins.
#[derive(Debug)]
pub(super) struct InForce {
    newest: Mutex<Arc<Terms>>,
    /// Where iqtap listens, and since when it runs.
    listens: (SocketAddr, Timestamp),
}

impl InForce {
    /// The first ones.
    pub(super) fn new(
        setup: TermsSetup,
        limits: HouseLimits,
        address: SocketAddr,
        now: Timestamp,
    ) -> Result<Self, BindError> {
        let listens = (address, now);
        Ok(Self { newest: Mutex::new(Arc::new(make(setup, limits, listens)?)), listens })
    }

    /// Others, which are not in force yet: reads or makes certificates.
    pub(super) fn make(&self, setup: TermsSetup, limits: HouseLimits) -> Result<Terms, BindError> {
        make(setup, limits, self.listens)
    }

    pub(super) fn newest(&self) -> Arc<Terms> {
        Arc::clone(&self.newest.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn replace(&self, terms: Terms) {
        let terms = Arc::new(terms);
        let old = std::mem::replace(&mut *self.newest.lock().unwrap_or_else(PoisonError::into_inner), terms);
        drop(old); // not under the lock
    }
}

fn make(
    setup: TermsSetup,
    limits: HouseLimits,
    (listens, started): (SocketAddr, Timestamp),
) -> Result<Terms, BindError> {
    let TermsSetup { upstream, route, certificate, trust, key_log } = setup;
    if upstream.to_string().parse() == Ok(listens) {
        return Err(BindError::Loop(upstream));
    }
    let handshake = Duration::from_secs(limits.handshake_seconds);
    let tls = Tls::new(&route, &certificate, &trust, key_log.as_deref(), handshake)?;
    Ok(Terms { upstream, route: Arc::new(Route { started, ..route }), tls, queue: limits.queue })
}
