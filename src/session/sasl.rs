//! SASL relayed (RFC 6120 §6): the client's word is forwarded, the client is held until the server has answered, and
//! at `<success/>` both legs begin a new document in the same call.
//!
//! Must not look into the exchange beyond the mechanism's name and the gs2 flag.

use super::closing::describe;
use super::core::{ClientPhase, Core, ServerPhase};
use super::{Fate, Note, Origin, Outbox, What};
use crate::xml::{View, parse_element};
use crate::xmpp::sasl::{Failure, failure, is_stripped, says_y};
use crate::xmpp::{Side, StreamCondition, StreamError, ns};

impl Core {
    /// `auth`, `response` or `abort` from the client.
    pub(super) fn client_sasl(&mut self, view: &View<'_>, out: &mut Outbox) {
        if self.authenticated {
            return self.unexpected(Side::Client, view, out);
        }
        if view.name() == "auth" {
            let mechanism = view.attr("mechanism").unwrap_or_default().into_owned();
            if is_stripped(&mechanism) {
                let number = self.note_in(Side::Client, What::Other, view.bytes, Fate::Handled, out);
                let text = "this mechanism cannot pass through a proxy that terminates TLS";
                return self.refuse_mechanism(number, Failure::InvalidMechanism, text, out);
            }
            self.sasl.said_y = mechanism.starts_with("SCRAM-") && says_y(view.text().trim());
            let bare = !self.leg_ref(Side::Client).tls && self.leg_ref(Side::Server).tls;
            if mechanism == "PLAIN" && bare {
                let text =
                    "the client sends its password in the clear: TLS is off on its leg, although the server has it";
                out.notes.push(Note::Hint(text.to_owned()));
            }
            self.mechanism = Some(mechanism.clone());
            out.notes.push(Note::Mechanism(mechanism));
        }
        self.forward_other(Side::Client, view, out);
        self.client = ClientPhase::SaslHeld;
    }

    /// `challenge`, `success` or `failure` from the server.
    pub(super) fn server_sasl(&mut self, view: &View<'_>, out: &mut Outbox) {
        if self.client != ClientPhase::SaslHeld {
            return self.unexpected(Side::Server, view, out);
        }
        self.forward_other(Side::Server, view, out);
        if self.over {
            return;
        }
        match view.name() {
            "success" => {
                self.authenticated = true;
                self.client = ClientPhase::Header;
                self.server = ServerPhase::Parked;
                self.restart(Side::Client);
                self.restart(Side::Server);
                self.stale_space = true;
            }
            name => {
                self.client = ClientPhase::Joined;
                if name == "failure" {
                    self.explain_failure(view, out);
                }
            }
        }
        self.resume(Side::Client);
    }

    /// A refused login is said; and what stripping channel binding costs, when it bites (RFC 5802 §6).
    fn explain_failure(&self, view: &View<'_>, out: &mut Outbox) {
        if let Ok(failure) = parse_element(view.bytes, view.root, view.head) {
            out.notes.push(Note::Hint(format!("the server refused the login: {}", describe(&failure, ns::SASL))));
        }
        if self.sasl.said_y && self.sasl.stripped_binding {
            let text = "the login failed after the client said it supports channel binding (SCRAM flag 'y'): iqtap has to \
                        take the -PLUS mechanisms away, and this server treats that as a downgrade attack. Turn channel \
                        binding off in the client or at the server";
            out.notes.push(Note::Hint(text.to_owned()));
        }
    }

    /// A SASL failure of our own; the stream stays (RFC 6120 §6.4.5).
    pub(super) fn refuse_mechanism(&mut self, number: u64, condition: Failure, text: &str, out: &mut Outbox) {
        let element = failure(condition, text);
        self.send_element(Side::Client, What::Other, &element, Origin::Made(number, "sasl".to_owned()), out);
    }

    /// An element that has no place at this point of the stream.
    pub(super) fn unexpected(&mut self, side: Side, view: &View<'_>, out: &mut Outbox) {
        self.note_in(side, What::Other, view.bytes, Fate::Handled, out);
        let text = format!("<{} xmlns='{}'/> was not expected here", view.name(), view.ns());
        self.fail(side, StreamError::new(StreamCondition::UnsupportedStanzaType, text), out);
    }
}
