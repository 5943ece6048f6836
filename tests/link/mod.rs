//! A session with a bound client, for tests of what stanzas cost.

use iqtap::policy::{ClientTls, Policy, Route, ServerTls};
use iqtap::session::{Input, Outbox, Session};
use iqtap::xmpp::{Side, Timestamp};
use std::sync::Arc;

pub(crate) const NOW: Timestamp = Timestamp(1_767_427_200_000_000);

/// A session whose peers say whatever a test wants.
pub(crate) struct Link {
    pub(crate) session: Session,
    pub(crate) out: Outbox,
}

impl Link {
    /// A session whose client is bound, and has stream management on if asked.
    pub(crate) fn open(sm: bool, policy: Policy) -> Self {
        Self::on(Route::default(), sm, policy)
    }

    /// The same with other limits.
    pub(crate) fn on(route: Route, sm: bool, policy: Policy) -> Self {
        let route = Route { client_tls: ClientTls::Off, server_tls: ServerTls::Off, ..route };
        let session = Session::new(NOW, Arc::new(route), Arc::new(policy), 1, "127.0.0.1:1", 7);
        let mut link = Self { session, out: Outbox::default() };
        let stream = |attributes: &str| {
            format!(
                "<stream:stream {attributes} version='1.0' xmlns='jabber:client' \
                 xmlns:stream='http://etherx.jabber.org/streams'>"
            )
        };
        let (sasl, bind) = ("urn:ietf:params:xml:ns:xmpp-sasl", "urn:ietf:params:xml:ns:xmpp-bind");
        let mechanisms = format!("<mechanisms xmlns='{sasl}'><mechanism>PLAIN</mechanism></mechanisms>");
        link.say(Side::Client, &stream("to='example.org'"));
        link.session.handle(NOW, Input::Dialed, &mut link.out);
        link.say(Side::Server, &stream("from='example.org' id='1'"));
        link.say(Side::Server, &format!("<stream:features>{mechanisms}</stream:features>"));
        link.say(Side::Client, &format!("<auth xmlns='{sasl}' mechanism='PLAIN'>AGp1bGlldABwdw==</auth>"));
        link.say(Side::Server, &format!("<success xmlns='{sasl}'/>"));
        link.say(Side::Client, &stream("to='example.org'"));
        link.say(Side::Server, &stream("from='example.org' id='2'"));
        link.say(Side::Server, &format!("<stream:features><bind xmlns='{bind}'/></stream:features>"));
        link.say(Side::Client, &format!("<iq type='set' id='b'><bind xmlns='{bind}'/></iq>"));
        let jid = "<jid>juliet@example.org/balcony</jid>";
        link.say(Side::Server, &format!("<iq type='result' id='b'><bind xmlns='{bind}'>{jid}</bind></iq>"));
        assert_eq!(link.session.jid(), Some("juliet@example.org/balcony"), "{:?}", link.out.notes);
        if sm {
            link.say(Side::Client, "<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
            link.say(Side::Server, "<enabled xmlns='urn:xmpp:sm:3' resume='true' id='sm1'/>");
        }
        link.out.notes.clear();
        link
    }

    pub(crate) fn say(&mut self, side: Side, text: &str) {
        self.session.handle(NOW, Input::Bytes(side, text.as_bytes()), &mut self.out);
        self.out.to.iter_mut().for_each(bytes::BytesMut::clear);
        self.out.acts.clear();
    }
}
