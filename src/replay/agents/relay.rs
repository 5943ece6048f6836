//! [`Relay`]: requests of a mock's client, asked of a living server by somebody who is logged in there.
//!
//! Takes stanzas of both, gives them with the other's addresses and ids. Nothing but requests and their answers passes.

use super::tape::{is_answer, is_request};
use super::ties::{Me, Ties};
use crate::xml::Element;
use crate::xmpp::error::error_reply;
use crate::xmpp::{Condition, StanzaError};
use std::collections::BTreeMap;

/// Requests under way at once.
const MOST: usize = 1000;

/// What is to be done about something that the living server has sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The client is to have this.
    ToClient(Element),
    /// The server is to have this.
    ToServer(Element),
    /// Nothing.
    Nothing,
}

/// See the module.
#[derive(Debug)]
pub struct Relay {
    there: Ties,
    back: Ties,
    /// The requests under way, by the id they bear at the server.
    asked: BTreeMap<String, Element>,
    ids: u64,
}

impl Relay {
    /// Between the mock's client and who is logged in at the living server.
    #[must_use]
    pub fn new(client: &str, living: &str) -> Self {
        let ties = |from: &str, to: &str| Ties::new(Me::of(from), Me::of(to), false);
        Self { there: ties(client, living), back: ties(living, client), asked: BTreeMap::new(), ids: 0 }
    }

    /// The client asks: what the server is asked, or what the client is told at once.
    pub fn ask(&mut self, request: Element) -> Reply {
        if self.asked.len() >= MOST {
            let error = StanzaError::new(Condition::ResourceConstraint);
            return error_reply(&request, &error, false).map_or(Reply::Nothing, Reply::ToClient);
        }
        self.ids += 1;
        let id = format!("mock-{}", self.ids);
        let mut live = self.there.to_live(&request);
        live.set_attr("id", id.as_str());
        live.remove_attr("from");
        self.asked.insert(id, request);
        Reply::ToServer(live)
    }

    /// The living server sends something.
    pub fn came(&mut self, live: &Element) -> Reply {
        if is_request(live) {
            let error = StanzaError::new(Condition::ServiceUnavailable);
            return error_reply(live, &error, false).map_or(Reply::Nothing, Reply::ToServer);
        }
        let request = live.attr("id").filter(|_| is_answer(live)).and_then(|id| self.asked.remove(id));
        let Some(request) = request else { return Reply::Nothing };
        let mut answer = self.back.to_live(live);
        answer.set_attr("id", request.attr("id").unwrap_or_default());
        Reply::ToClient(answer)
    }

    /// The living server is gone: what the client is told in its place.
    pub fn fail(&mut self) -> Vec<Element> {
        let error = StanzaError::new(Condition::RemoteServerTimeout);
        std::mem::take(&mut self.asked)
            .into_values()
            .filter_map(|request| error_reply(&request, &error, false))
            .collect()
    }
}
