//! [`Upstream`]: the living server that a mock asks what was not recorded, for one client of the mock.
//!
//! Nobody is called before there is something to ask. A server that cannot be called, or is lost, is called again for the next request.

use super::client::{Call, Client};
use crate::replay::agents::{Front, Piece, Relay, Reply};
use crate::xml::{Element, Scope, write_element};
use std::future::pending;
use std::sync::Arc;

/// See the module.
pub(super) struct Upstream {
    client: Option<Arc<Client>>,
    call: Option<(Call, Relay)>,
}

impl Upstream {
    pub(super) fn new(client: Option<Arc<Client>>) -> Self {
        Self { client, call: None }
    }

    /// Asks what a client of the mock has asked; what goes wrong is told to it.
    pub(super) async fn ask(&mut self, me: &str, requests: Vec<Element>, front: &mut Front) {
        if self.call.is_none()
            && let Some(client) = &self.client
        {
            match client.call(None, None).await {
                Ok((call, jid, _)) => self.call = Some((call, Relay::new(me, jid.as_str()))),
                Err(why) => tracing::warn!("the living server cannot be asked: {why}"),
            }
        }
        let Some((call, relay)) = &mut self.call else {
            let mut nobody = Relay::new(me, me);
            requests.into_iter().for_each(|request| drop(nobody.ask(request)));
            return nobody.fail().iter().for_each(|error| front.say(error));
        };
        for request in requests {
            act(relay.ask(request), call, front);
        }
        if call.send().await.is_err() {
            self.lost(front);
        }
    }

    /// Waits until the living server has said something; may be given up at any time.
    pub(super) async fn receive(&mut self) -> Result<(), String> {
        match &mut self.call {
            Some((call, _)) => call.receive().await,
            None => pending().await,
        }
    }

    /// Passes on what the living server has said.
    pub(super) async fn pass(&mut self, received: Result<(), String>, front: &mut Front) {
        let Some((call, relay)) = &mut self.call else { return };
        let mut gone = received.is_err();
        while !gone {
            match call.flow.piece() {
                Ok(Some(Piece::Element(element))) => act(relay.came(&element), call, front),
                Ok(Some(Piece::Header(_))) => {}
                Ok(None) => break,
                Ok(Some(Piece::Close)) | Err(_) => gone = true,
            }
        }
        if gone || call.send().await.is_err() {
            self.lost(front);
        }
    }

    /// Closes the stream there.
    pub(super) async fn close(&mut self) {
        if let Some((mut call, _)) = self.call.take() {
            call.out.extend_from_slice(b"</stream:stream>");
            let _ = call.send().await;
            call.line.close().await;
        }
    }

    fn lost(&mut self, front: &mut Front) {
        if let Some((_, mut relay)) = self.call.take() {
            relay.fail().iter().for_each(|error| front.say(error));
        }
    }
}

fn act(reply: Reply, call: &mut Call, front: &mut Front) {
    match reply {
        Reply::ToClient(element) => front.say(&element),
        Reply::ToServer(element) => write_element(&element, Scope::Stream, &mut call.out),
        Reply::Nothing => {}
    }
}
