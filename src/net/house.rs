//! [`House`]: what is in force for all sessions together, where a reload can get at it.
//!
//! Takes what a configuration says; gives it to sessions that begin, to the porter and to whoever watches over memory. What a session
//! has been given it keeps as long as it lives.

use super::clock::Clock;
use super::memory::Memory;
use super::porter::Porter;
use super::terms::{InForce, Terms};
use crate::policy::HouseLimits;
use std::sync::Arc;

/// See the module.
pub(super) struct House {
    pub(super) terms: InForce,
    pub(super) porter: Arc<Porter>,
    pub(super) memory: Arc<Memory>,
}

impl House {
    pub(super) fn new(terms: InForce, limits: HouseLimits, clock: Clock) -> Self {
        let porter = Arc::new(Porter::new(limits.connections, terms.newest().route.client_tls, clock));
        Self { terms, porter, memory: Arc::new(Memory::new(limits.memory)) }
    }

    /// Other terms hold for sessions that begin from now on, other limits for connections and memory at once.
    pub(super) fn renew(&self, terms: Terms, limits: HouseLimits) {
        self.porter.set_limits(limits.connections, terms.route.client_tls);
        self.terms.replace(terms);
        self.memory.set_limit(limits.memory);
    }
}
