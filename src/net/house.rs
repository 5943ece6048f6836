//! [`House`]: the limits in force, where a reload can get at them.
//!
//! Takes what a configuration says; gives it to sessions that begin, to the porter and to whoever watches over memory. What a session
//! has been given it keeps as long as it lives.

use super::clock::Clock;
use super::memory::Memory;
use super::porter::Porter;
use crate::policy::{HouseLimits, QueueLimits, Route};
use std::sync::{Arc, Mutex, PoisonError};

/// The limits in force.
pub(super) struct House {
    beginning: Mutex<(Arc<Route>, QueueLimits)>,
    pub(super) porter: Arc<Porter>,
    pub(super) memory: Arc<Memory>,
}

impl House {
    pub(super) fn new(route: Route, limits: HouseLimits, clock: Clock) -> Self {
        let porter = Arc::new(Porter::new(limits.connections, route.client_tls, clock));
        let route = Route { started: clock.now(), ..route };
        Self {
            beginning: Mutex::new((Arc::new(route), limits.queue)),
            porter,
            memory: Arc::new(Memory::new(limits.memory)),
        }
    }

    /// What holds for a session that begins now, as long as it lives.
    pub(super) fn beginning(&self) -> (Arc<Route>, QueueLimits) {
        self.beginning.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Other limits hold from now on; TLS stays as it is.
    pub(super) fn set_limits(&self, new: &Route, limits: HouseLimits) {
        let mut beginning = self.beginning.lock().unwrap_or_else(PoisonError::into_inner);
        let (route, queue) = &mut *beginning;
        let Route { client_tls, server_tls, started, .. } = **route;
        *route = Arc::new(Route { client_tls, server_tls, started, ..new.clone() });
        *queue = limits.queue;
        drop(beginning);
        self.porter.set_limits(limits.connections);
        self.memory.set_limit(limits.memory);
    }
}
