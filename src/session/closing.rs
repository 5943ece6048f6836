//! How streams end: cleanly, abruptly, by an error of either peer, by time, by us.
//!
//! The way one leg ended is mirrored on the other (a clean end must not be made up: it would revoke what XEP-0198 could
//! resume). A stream error is told to the offender, after a header if none was sent (RFC 6120 §4.9.1.2).

use super::core::{ClientPhase, Core, ServerPhase};
use super::{Fate, Happened, How, Note, Origin, Outbox, What};
use crate::xml::{Element, Scope, View, write_element};
use crate::xmpp::{Header, Side, StreamCondition, StreamError, ns};
use bytes::{Bytes, BytesMut};

impl Core {
    /// `</stream:stream>` came in (RFC 6120 §4.4).
    pub(super) fn peer_closed(&mut self, side: Side, bytes: &[u8], out: &mut Outbox) {
        let number = self.note_in(side, What::Close, bytes, Fate::Passed, out);
        self.ends(|| format!("the {} has closed its stream", side.name()));
        self.leg(side).in_closed = true;
        if !self.joined() {
            return match side {
                Side::Client => self.end_both(out),
                Side::Server => self.upstream_failed("the server closed the stream before the login was over", out),
            };
        }
        self.send_close(side.other(), Origin::Forwarded(number), out);
        let done = |leg: &super::core::Leg| leg.in_closed && leg.out_closed;
        if done(self.leg_ref(Side::Client)) && done(self.leg_ref(Side::Server)) {
            self.give_up_both(How::Clean, out);
        } else {
            self.close_deadline = Some(self.now.plus_seconds(self.route.close_seconds));
        }
    }

    /// A connection ended.
    pub(super) fn eof(&mut self, side: Side, out: &mut Outbox) {
        let unused = side == Side::Server && matches!(self.server, ServerPhase::Idle | ServerPhase::Dialing);
        if self.over || self.leg_ref(side).gone || unused {
            return;
        }
        self.ends(|| format!("the {} was lost", side.name()));
        let leg = self.leg_ref(side);
        let (ended, answered) = (leg.in_closed, leg.out_closed);
        let was_joined = self.joined();
        self.leg(side).gone = true;
        match side {
            // It said goodbye: the other side still has to.
            _ if ended && !self.leg_ref(side.other()).in_closed => {}
            // It was told goodbye and left without a word.
            _ if answered => self.end_both(out),
            Side::Server if !was_joined => {
                self.upstream_failed("the server closed the connection before the login was over", out);
            }
            _ => self.give_up_both(if ended { How::Clean } else { How::Abort }, out),
        }
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, out: &mut Outbox) {
        if self.over {
            return;
        }
        if self.close_is_late() {
            self.end_both(out);
        } else if self.login_is_late() {
            let text = "no resource was bound in time";
            self.fail(Side::Client, StreamError::new(StreamCondition::ConnectionTimeout, text), out);
        } else {
            self.overdue(out);
            self.scripts_due(out);
            self.profile_due(out);
        }
    }

    /// Remembers why the session ends, if it does not end already.
    pub(super) fn ends(&mut self, why: impl FnOnce() -> String) {
        if !self.over {
            self.ending.get_or_insert_with(why);
        }
    }

    /// Whether a peer has had long enough to end its stream after the other did.
    pub(super) fn close_is_late(&self) -> bool {
        self.close_deadline.is_some_and(|deadline| self.now >= deadline)
    }

    /// The process is being stopped.
    pub(super) fn stop(&mut self, out: &mut Outbox) {
        self.fail(Side::Client, StreamError::new(StreamCondition::SystemShutdown, "iqtap is being stopped"), out);
    }

    pub(super) fn too_much_held(&mut self, side: Side, out: &mut Outbox) {
        let text = "too much was sent without waiting for an answer";
        let condition = StreamCondition::PolicyViolation;
        out.happened(Happened::Refused(side, condition, text.to_owned()));
        self.fail(side, StreamError::new(condition, text), out);
    }

    /// The server's leg could not be made ready, or was lost before the login was over: the client is told.
    pub(super) fn upstream_failed(&mut self, why: &str, out: &mut Outbox) {
        self.fail(Side::Client, StreamError::new(StreamCondition::RemoteConnectionFailed, why), out);
    }

    /// Ends the session by an error of `offender`. A client whose server offended is told `internal-server-error`.
    pub(super) fn fail(&mut self, offender: Side, error: StreamError, out: &mut Outbox) {
        if self.over {
            return;
        }
        self.ends(|| error.condition.name().to_owned());
        out.notes.push(Note::StreamError {
            side: offender,
            condition: error.condition,
            text: error.text.clone().unwrap_or_default(),
        });
        if offender == Side::Server {
            let text =
                format!("the server sent what cannot be passed on: {}", error.text.as_deref().unwrap_or_default());
            self.tell(Side::Client, &StreamError::new(StreamCondition::InternalServerError, text), out);
        }
        self.tell(offender, &error, out);
        self.end_both(out);
    }

    /// Ends the session because a peer takes too long. It is told so, but all else is as if its connection were lost: what could be
    /// resumed then can be now.
    pub(super) fn lose(&mut self, side: Side, error: StreamError, out: &mut Outbox) {
        if self.over {
            return;
        }
        self.ends(|| error.condition.name().to_owned());
        let text = error.text.clone().unwrap_or_default();
        out.notes.push(Note::StreamError { side, condition: error.condition, text });
        self.tell(side, &error, out);
        self.send_close(side, Origin::Made(0, "stream".to_owned()), out);
        self.give_up_both(How::Abort, out);
    }

    /// Sends a stream error, after a header if none was sent. Says nothing where a TLS handshake is due.
    pub(super) fn tell(&mut self, side: Side, error: &StreamError, out: &mut Outbox) {
        let speechless = match side {
            Side::Client => self.client == ClientPhase::Handshake,
            Side::Server => matches!(self.server, ServerPhase::Idle | ServerPhase::Dialing | ServerPhase::Handshake),
        };
        let unheaded = !self.leg_ref(side).header_sent;
        if speechless || self.leg_ref(side).gone || self.leg_ref(side).out_closed || (unheaded && side == Side::Server)
        {
            return;
        }
        if unheaded {
            let header = self.own_header();
            self.send_header(side, &header, out);
        }
        self.send_element(side, What::Other, &error.element(), Origin::Made(0, "stream".to_owned()), out);
    }

    /// `<stream:error/>` from the server: forwarded, and the session ends. An invitation to another host would lead the
    /// client past us: it is answered for (RFC 6120 §4.9.3.19).
    pub(super) fn server_error(&mut self, view: &View<'_>, out: &mut Outbox) {
        let number = self.items;
        let Some(mut error) = self.tree(Side::Server, view, out) else { return };
        out.notes.push(Note::Hint(format!("the server ended the stream: {}", describe(&error, ns::STREAM_ERRORS))));
        if let Some(host) = error.child(ns::STREAM_ERRORS, "see-other-host").map(Element::text) {
            let text = format!("the server refers to another host ({}): name it by --upstream", host.trim());
            out.notes.push(Note::Hint(text.clone()));
            error = StreamError::new(StreamCondition::RemoteConnectionFailed, text).element();
        }
        if !self.leg_ref(Side::Client).header_sent && self.client != ClientPhase::Handshake {
            let header = self.own_header();
            self.send_header(Side::Client, &header, out);
        }
        self.send_element(Side::Client, What::Other, &error, Origin::Rewritten(number, "stream".to_owned()), out);
        self.end_both(out);
    }

    /// `<stream:error/>` from the client: forwarded where there is a stream to forward it to.
    pub(super) fn client_error(&mut self, view: &View<'_>, out: &mut Outbox) {
        let number = self.items;
        let Some(error) = self.tree(Side::Client, view, out) else { return };
        if self.joined() {
            self.send_element(Side::Server, What::Other, &error, Origin::Forwarded(number), out);
        }
        self.end_both(out);
    }

    /// Ends both streams cleanly, without waiting for the peers' own end.
    pub(super) fn end_both(&mut self, out: &mut Outbox) {
        for side in [Side::Client, Side::Server] {
            self.send_close(side, Origin::Made(0, "stream".to_owned()), out);
        }
        self.give_up_both(How::Clean, out);
    }

    /// Gives up both connections: the session is over.
    pub(super) fn give_up_both(&mut self, how: How, out: &mut Outbox) {
        self.park(out);
        self.give_up(Side::Client, how, out);
        self.give_up(Side::Server, how, out);
        self.over = true;
    }
}

/// What a client hears that is not let in: a whole stream, with nothing in it but why.
#[must_use]
pub fn farewell(condition: StreamCondition, text: &str) -> Bytes {
    let mut bytes = BytesMut::new();
    Header { version: Some("1.0".to_owned()), ..Header::default() }.write(&mut bytes);
    write_element(&StreamError::new(condition, text).element(), Scope::Stream, &mut bytes);
    bytes.extend_from_slice(b"</stream:stream>");
    bytes.freeze()
}

/// What an error says: its condition and its text.
pub(super) fn describe(error: &Element, conditions: &str) -> String {
    let condition = error.children().find(|child| child.ns == conditions && child.name != "text");
    let condition = condition.map_or("without a condition", |child| child.name.as_str());
    match error.children().find(|child| child.name == "text").map(Element::text) {
        Some(text) if !text.is_empty() => format!("{condition} ({text})"),
        _ => condition.to_owned(),
    }
}
