//! The standard negotiation, written out as lines of a book: what `open` stands for.
//!
//! Takes the client's full JID, a stage to stop at and how both legs are secured; gives the text of the steps.
//! PLAIN, then resource binding; STARTTLS where the route asks for it; stream management where the book does. Must not
//! play anything.

use super::parse::{Sm, Until};
use crate::policy::{ClientTls, ServerTls};

const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";

/// What is opened, and how far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening<'a> {
    /// The client's full JID.
    pub(super) jid: &'a str,
    /// The stage to stop at.
    pub(super) until: Until,
    /// Whether stream management is offered and, once bound, enabled.
    pub(super) sm: Option<Sm>,
    /// The number of the session.
    pub(super) number: usize,
}

/// The steps, as text.
pub(super) fn steps(opening: Opening<'_>, client: ClientTls, server: ServerTls) -> String {
    let Opening { jid, until, sm, number } = opening;
    let (bare, resource) = jid.split_once('/').unwrap_or((jid, ""));
    let domain = bare.split_once('@').map_or(bare, |(_, domain)| domain);
    let to_server = format!("<stream:stream to='{domain}' version='1.0' xml:lang='en'>");
    let from_server = |id: &str| format!("<stream:stream from='{domain}' id='{id}' version='1.0' xml:lang='en'>");
    let starttls = format!("<starttls xmlns='{TLS}'/>");
    let proceed = format!("<proceed xmlns='{TLS}'/>");
    let mechanisms = format!("<mechanisms xmlns='{SASL}'><mechanism>PLAIN</mechanism></mechanisms>");
    let mut text = String::new();
    let mut line = |words: &[&str]| {
        text.push_str(&words.concat());
        text.push('\n');
    };

    if client == ClientTls::Direct {
        line(&["tls C name=", domain]);
    }
    line(&["C: ", &to_server]);
    if client == ClientTls::Require {
        line(&["to C: <stream:stream from='", domain, "' ...>"]);
        line(&["to C: <stream:features><starttls xmlns='", TLS, "'><required/></starttls></stream:features>"]);
        line(&["C: ", &starttls]);
        line(&["to C: ", &proceed]);
        line(&["tls C name=", domain]);
        line(&["C: ", &to_server]);
    }
    line(&["dial ", domain]);
    match server {
        ServerTls::Off => {}
        ServerTls::Direct => line(&["tls S name=", domain]),
        ServerTls::Starttls => {
            line(&["to S: <stream:stream to='", domain, "' ...>"]);
            line(&["S: ", &from_server("plain")]);
            line(&["S: <stream:features>", &starttls, "</stream:features>"]);
            line(&["to S: ", &starttls]);
            line(&["S: ", &proceed]);
            line(&["tls S name=", domain]);
        }
    }
    line(&["to S: ", &to_server]);
    line(&["S: ", &from_server("first")]);
    line(&["S: <stream:features>", &mechanisms, "</stream:features>"]);
    line(&["to C: <stream:stream id='first' ...>"]);
    if client == ClientTls::Offer {
        line(&["to C: <stream:features>", &starttls, &mechanisms, "</stream:features>"]);
    } else {
        line(&["to C: <stream:features>", &mechanisms, "</stream:features>"]);
    }
    if until >= Until::Success {
        line(&["C: <auth xmlns='", SASL, "' mechanism='PLAIN'>AGp1bGlldABzZWNyZXQ=</auth>"]);
        line(&["to S: <auth xmlns='", SASL, "' mechanism='PLAIN'>AGp1bGlldABzZWNyZXQ=</auth>"]);
        line(&["S: <success xmlns='", SASL, "'/>"]);
        line(&["to C: <success xmlns='", SASL, "'/>"]);
    }
    if until >= Until::Restart {
        let sm = sm.map_or_else(String::new, |sm| format!("<sm xmlns='{}'/>", namespace(sm)));
        let features = format!("<stream:features><bind xmlns='{BIND}'><required/></bind>{sm}</stream:features>");
        line(&["C: ", &to_server]);
        line(&["to S: ", &to_server]);
        line(&["S: ", &from_server("second")]);
        line(&["S: ", &features]);
        line(&["to C: <stream:stream id='second' ...>"]);
        line(&["to C: ", &features]);
    }
    if until >= Until::Bound {
        let bind = format!("<iq type='set' id='bind'><bind xmlns='{BIND}'><resource>{resource}</resource></bind></iq>");
        let bound = format!("<iq type='result' id='bind'><bind xmlns='{BIND}'><jid>{jid}</jid></bind></iq>");
        line(&["C: ", &bind]);
        line(&["to S: ", &bind]);
        line(&["S: ", &bound]);
        line(&["to C: ", &bound]);
        line(&["bound ", jid]);
        if let Some(ns) = sm.map(namespace) {
            let enable = format!("<enable xmlns='{ns}' resume='true'/>");
            let enabled = format!("<enabled xmlns='{ns}' id='sm-{number}' resume='true' max='300'/>");
            line(&["C: ", &enable]);
            line(&["to S: ", &enable]);
            line(&["S: ", &enabled]);
            line(&["to C: ", &enabled]);
        }
    }
    text
}

fn namespace(sm: Sm) -> &'static str {
    match sm {
        Sm::Two => "urn:xmpp:sm:2",
        Sm::Three => "urn:xmpp:sm:3",
    }
}
