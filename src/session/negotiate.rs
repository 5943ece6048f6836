//! Getting each leg ready and joining the two: headers, STARTTLS on either leg, features, restarts.
//!
//! Takes what comes in before the streams are joined, gives headers, features and acts. Must not let a byte of one
//! side reach the other before both are ready (RFC 6120 §4.3, §5.4).

use super::advertise::Joining;
use super::core::{ClientPhase, Core, SaslWatch, ServerPhase};
use super::{Act, Fate, Happened, How, Note, Origin, Outbox, TlsInfo, What};
use crate::policy::{ClientTls, ServerTls, SmMode};
use crate::xml::{Disagreement, Element, OpenTag, View, parse_element, parse_shell};
use crate::xmpp::{Account, Header, Side, StreamCondition, StreamError, features, jid, ns};

impl Core {
    /// A stream header came in.
    pub(super) fn header_in(&mut self, side: Side, open: &OpenTag, bytes: &[u8], out: &mut Outbox) {
        self.note_in(side, What::Header, bytes, Fate::Handled, out);
        match (Header::read(open), side) {
            (Ok(header), Side::Client) => self.client_header(header, out),
            (Ok(header), Side::Server) => self.server_header(header, out),
            (Err(error), _) => {
                // It may be one that nobody takes for an item.
                out.happened(Happened::Refused(side, error.condition, error.text.clone().unwrap_or_default()));
                self.fail(side, error, out);
            }
        }
    }

    fn client_header(&mut self, header: Header, out: &mut Outbox) {
        let restarted_to = self.authenticated.then(|| self.header.to.clone());
        self.header = header;
        if let Err(error) = check_to(self.header.to.as_deref()) {
            return self.fail(Side::Client, error, out);
        }
        if restarted_to.is_some_and(|to| to != self.header.to) {
            let text = "the 'to' of the stream changed over a restart";
            return self.fail(Side::Client, StreamError::new(StreamCondition::NotAuthorized, text), out);
        }
        if !self.account.is_bound() {
            self.account = Account::at(self.header.to.as_deref().unwrap_or_default(), self.secret);
        }
        let secured = self.leg_ref(Side::Client).tls;
        match self.route.client_tls {
            ClientTls::Direct if !secured => self.give_up_both(How::Abort, out),
            ClientTls::Require if !secured => self.require_tls(out),
            _ => {
                self.client = ClientPhase::Held;
                self.scripts_open(out);
                if !self.over {
                    self.ready_server(out);
                }
            }
        }
    }

    /// All a client sees before TLS: our own header and STARTTLS (RFC 6120 §5.3.1).
    fn require_tls(&mut self, out: &mut Outbox) {
        if !self.header.has_features() {
            let text = "TLS is required here, and without version='1.0' it cannot be negotiated";
            return self.fail(Side::Client, StreamError::new(StreamCondition::UnsupportedVersion, text), out);
        }
        let header = self.own_header();
        self.send_header(Side::Client, &header, out);
        let origin = Origin::Made(0, "stream".to_owned());
        self.send_element(Side::Client, What::Other, &features::only_starttls(), origin, out);
        self.client = ClientPhase::StartTls;
    }

    /// The header we answer with as long as no server has spoken: the client's own words turned round.
    pub(super) fn own_header(&mut self) -> Header {
        Header {
            to: self.header.from.as_deref().map(|from| jid::bare(from).to_owned()),
            from: Some(self.header.to.clone().unwrap_or_default()),
            id: Some(self.stream_id()),
            lang: Some(self.header.lang.clone().unwrap_or_else(|| "en".to_owned())),
            version: Some("1.0".to_owned()),
        }
    }

    /// Brings the server's leg to where the client's is.
    fn ready_server(&mut self, out: &mut Outbox) {
        match self.server {
            ServerPhase::Parked => self.open_server_stream(out),
            _ => {
                self.server = ServerPhase::Dialing;
                out.acts.push(Act::Dial { domain: self.header.to.clone().unwrap_or_default() });
            }
        }
    }

    pub(super) fn dialed(&mut self, out: &mut Outbox) {
        if self.server != ServerPhase::Dialing {
            return;
        }
        if self.route.server_tls == ServerTls::Direct {
            self.server = ServerPhase::Handshake;
            out.acts.push(Act::StartTls(Side::Server));
        } else {
            self.open_server_stream(out);
        }
    }

    pub(super) fn dial_failed(&mut self, why: &str, out: &mut Outbox) {
        if self.server == ServerPhase::Dialing {
            self.leg(Side::Server).gone = true;
            self.upstream_failed(&format!("the server cannot be reached: {why}"), out);
        }
    }

    /// Our header to the server: the client's `to`, `from` and `xml:lang`. Its `from` goes over TLS only, unless the
    /// operator turned TLS off (RFC 6120 §4.7.1).
    fn open_server_stream(&mut self, out: &mut Outbox) {
        let private = self.leg_ref(Side::Server).tls || self.route.server_tls == ServerTls::Off;
        let header = Header {
            to: self.header.to.clone(),
            from: self.header.from.clone().filter(|_| private),
            id: None,
            lang: self.header.lang.clone(),
            version: self.header.version.clone().or_else(|| self.needs_starttls().then(|| "1.0".to_owned())),
        };
        self.restart(Side::Server);
        self.server = ServerPhase::Header;
        self.send_header(Side::Server, &header, out);
        self.resume(Side::Server);
    }

    fn needs_starttls(&self) -> bool {
        self.route.server_tls == ServerTls::Starttls && !self.leg_ref(Side::Server).tls
    }

    fn server_header(&mut self, header: Header, out: &mut Outbox) {
        self.server_header = header;
        if self.server_header.has_features() && (self.header.has_features() || self.needs_starttls()) {
            self.server = ServerPhase::Features;
        } else if self.needs_starttls() {
            self.no_starttls(out);
        } else {
            self.join(None, out);
        }
    }

    fn no_starttls(&mut self, out: &mut Outbox) {
        let why = "the server offers no STARTTLS, and TLS towards it is required \
                   (--server-tls direct or off says otherwise)";
        self.upstream_failed(why, out);
    }

    /// An element from the server before the streams are joined.
    pub(super) fn server_negotiates(&mut self, view: &View<'_>, out: &mut Outbox) {
        self.note_in(Side::Server, What::Other, view.bytes, Fate::Handled, out);
        match self.server {
            _ if view.is(ns::STREAM, "error") => self.server_error(view, out),
            ServerPhase::Features if view.is(ns::STREAM, "features") => {
                if let Some(features) = self.tree(Side::Server, view, out) {
                    self.server_features(features, out);
                }
            }
            ServerPhase::Proceed if view.is(ns::TLS, "proceed") => {
                self.server = ServerPhase::Handshake;
                out.acts.push(Act::StartTls(Side::Server));
            }
            ServerPhase::Proceed if view.is(ns::TLS, "failure") => {
                self.upstream_failed("the server offered STARTTLS and then refused it", out);
            }
            _ => {
                let text = format!("<{}/> was not expected here", view.name());
                self.fail(Side::Server, StreamError::new(StreamCondition::InvalidXml, text), out);
            }
        }
    }

    fn server_features(&mut self, features: Element, out: &mut Outbox) {
        if !self.needs_starttls() {
            return self.join(Some(features), out);
        }
        if !features::offers_starttls(&features) {
            return self.no_starttls(out);
        }
        self.server = ServerPhase::Proceed;
        let starttls = Element::new(ns::TLS, "starttls");
        let origin = Origin::Made(0, "tls".to_owned());
        self.send_element(Side::Server, What::Other, &starttls, origin, out);
    }

    /// Both legs are ready: the client will see the server's header and its features, edited.
    fn join(&mut self, features: Option<Element>, out: &mut Outbox) {
        let number = self.items;
        let features = features.map(|features| self.scripts_edit(features, out));
        if self.over {
            return;
        }
        let edited = features.map(|mut features| {
            let offer_starttls =
                self.route.client_tls == ClientTls::Offer && !self.leg_ref(Side::Client).tls && !self.authenticated;
            let max_bytes = self.limits(Side::Client).stanza_bytes;
            let idle_seconds = self.route.idle_seconds;
            let keep_sm = self.route.sm == SmMode::Translate;
            let edited =
                features::edit(&mut features, features::Edit { offer_starttls, max_bytes, idle_seconds, keep_sm });
            (features, edited)
        });
        if edited.as_ref().is_some_and(|(_, edited)| edited.no_mechanism_left) {
            return self.upstream_failed("the server offers no login mechanism that can be relayed", out);
        }
        let (mut features, mut stripped) = (None, Vec::new());
        if let Some((said, edited)) = edited {
            self.sasl.stripped_binding |= edited.channel_binding;
            (features, stripped) = (Some(said), edited.stripped);
        }
        self.advertise(Joining { number, features, stripped }, out);
    }

    /// The client sees the server's header and its features.
    pub(super) fn join_with(&mut self, joining: Joining, out: &mut Outbox) {
        let Joining { number, features, stripped } = joining;
        self.server = ServerPhase::Joined;
        let header = self.server_header.clone();
        self.send_header(Side::Client, &header, out);
        if let Some(features) = features.filter(|_| self.header.has_features()) {
            let origin = Origin::Rewritten(number, "features".to_owned());
            self.send_element(Side::Client, What::Other, &features, origin, out);
        }
        self.client = ClientPhase::Joined;
        self.resume(Side::Client);
        out.notes.push(Note::Joined { domain: self.header.to.clone().unwrap_or_default(), stripped });
    }

    /// An element from the client that was told that STARTTLS is required.
    pub(super) fn client_negotiates_tls(&mut self, view: &View<'_>, out: &mut Outbox) {
        let number = self.note_in(Side::Client, What::Other, view.bytes, Fate::Handled, out);
        if view.is(ns::TLS, "starttls") {
            self.proceed(out);
        } else if view.is(ns::SASL, "auth") {
            self.refuse_mechanism(number, crate::xmpp::sasl::Failure::EncryptionRequired, "STARTTLS comes first", out);
        } else if view.is(ns::STREAM, "error") {
            self.client_error(view, out);
        } else {
            let error = StreamError::new(StreamCondition::PolicyViolation, "STARTTLS comes first (RFC 6120 §5.3.1)");
            self.fail(Side::Client, error, out);
        }
    }

    /// `<starttls/>` from the client where it may come: what was learnt in the clear is forgotten (RFC 6120 §5.4.3.3).
    pub(super) fn proceed(&mut self, out: &mut Outbox) {
        if self.server != ServerPhase::Idle {
            self.send_close(Side::Server, Origin::Made(0, "tls".to_owned()), out);
            self.give_up(Side::Server, How::Clean, out);
            self.forget_server();
        }
        let proceed = Element::new(ns::TLS, "proceed");
        self.send_element(Side::Client, What::Other, &proceed, Origin::Made(0, "tls".to_owned()), out);
        self.client = ClientPhase::Handshake;
        self.restart(Side::Client);
        out.acts.push(Act::StartTls(Side::Client));
    }

    /// `<starttls/>` where it may not come (RFC 6120 §5.4.2.2).
    pub(super) fn refuse_starttls(&mut self, out: &mut Outbox) {
        let failure = Element::new(ns::TLS, "failure");
        self.send_element(Side::Client, What::Other, &failure, Origin::Made(0, "tls".to_owned()), out);
        self.end_both(out);
    }

    pub(super) fn tls_up(&mut self, side: Side, info: TlsInfo, out: &mut Outbox) {
        if self.over || self.leg_ref(side).gone {
            return;
        }
        self.leg(side).tls = true;
        out.notes.push(Note::Tls(side, info));
        match side {
            Side::Client => {
                self.header = Header::default();
                self.sasl = SaslWatch::default();
                self.client = ClientPhase::Header;
            }
            Side::Server => self.open_server_stream(out),
        }
    }

    pub(super) fn tls_failed(&mut self, side: Side, why: &str, out: &mut Outbox) {
        if self.over {
            return;
        }
        match side {
            Side::Client => {
                out.notes.push(Note::Hint(format!("TLS with the client failed: {why}")));
                self.give_up_both(How::Abort, out);
            }
            Side::Server => {
                // RFC 6120 §5.4.3.2: nothing more is said on a leg whose handshake failed.
                self.leg(side).out_closed = true;
                self.upstream_failed(&format!("TLS with the server failed: {why}"), out);
            }
        }
    }

    /// Bytes in the clear where a TLS handshake was due: an injection (RFC 6120 §5.4.3.3).
    pub(super) fn injected(&mut self, side: Side, out: &mut Outbox) {
        out.happened(Happened::Injected(side));
        out.acts.retain(|act| *act != Act::StartTls(side));
        match side {
            Side::Client => {
                let text = "the client sent bytes in the clear behind <starttls/>: the connection was cut";
                out.notes.push(Note::Hint(text.to_owned()));
                self.give_up_both(How::Abort, out);
            }
            Side::Server => {
                self.leg(side).out_closed = true;
                self.upstream_failed("the server sent bytes in the clear behind <proceed/>", out);
            }
        }
    }

    /// The tree of an element that must be opened; a disagreement of the two parsers ends the stream.
    pub(super) fn tree(&mut self, side: Side, view: &View<'_>, out: &mut Outbox) -> Option<Element> {
        self.agreed(side, parse_element(view.bytes, view.root, view.head), out)
    }

    /// The same without anything that is in it.
    pub(super) fn shell(&mut self, side: Side, view: &View<'_>, out: &mut Outbox) -> Option<Element> {
        self.agreed(side, parse_shell(view), out)
    }

    fn agreed(&mut self, side: Side, tree: Result<Element, Disagreement>, out: &mut Outbox) -> Option<Element> {
        match tree {
            Ok(element) => Some(element),
            Err(why) => {
                self.fail(side, StreamError::new(StreamCondition::BadFormat, why.to_string()), out);
                None
            }
        }
    }
}

/// The client's `to` names the server it wants: a domain, and nothing else (RFC 6120 §4.7.2).
fn check_to(to: Option<&str>) -> Result<(), StreamError> {
    let error = |text: &str| Err(StreamError::new(StreamCondition::ImproperAddressing, text));
    match to {
        None | Some("") => error("the stream header has no 'to': it must name the server's domain"),
        Some(to) => match jid::Jid::new(to) {
            Ok(jid) if jid.node().is_none() && jid.resource().is_none() => Ok(()),
            _ => error("the 'to' of the stream header is not a domain"),
        },
    }
}
