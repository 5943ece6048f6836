//! Requests that are made here and not by a peer: scripts ask, we push, we want to know.
//!
//! Takes whom they are for, gives an id that nobody can foresee and a row in the ledger, by which their answers are known as ours.

use super::core::Core;
use super::iq::rewritten;
use super::iq_ledger::{Asker, Full, Request};
use crate::xmpp::Side;

impl Core {
    /// An id that no peer can guess.
    pub(super) fn own_id(&mut self) -> String {
        format!("iqtap-{:016x}", self.random())
    }

    /// A request that was made here is about to leave, in the name of that side's peer: it gets its row.
    pub(super) fn open_own(
        &mut self,
        requester: Side,
        asker: Asker,
        id: &str,
        address: Option<&str>,
        archive: bool,
    ) -> Result<(), Full> {
        let id_seen = rewritten(id);
        let request = Request {
            id,
            id_seen: &id_seen,
            address,
            peer: self.account.peer(address),
            bound: true,
            timed: asker != Asker::Push,
            asker,
            number: 0,
            remembered: 0,
            namespace: None,
            archive,
            at: self.now,
            stopped: false,
        };
        let hash = self.account.hash(id_seen.as_bytes());
        self.iqs.open(requester, hash, &request, self.route.open_iqs).map(drop)
    }
}
