//! What must hold of every capture, and of every IQ that was let through.

use super::{Capture, Element, Seen, items};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Wireshark, told nothing about the file, shows every IQ the clients sent and got, and finds nothing wrong with any packet.
pub(crate) fn check_readable(capture: &Capture<'_>, clients: &[&Seen]) {
    let listed = capture.tshark(&["-Y", "xmpp.iq"]);
    let ids = capture.field("xmpp.iq", "xmpp.id");
    assert_eq!(listed.len(), ids.len());
    for iq in clients.iter().flat_map(|seen| [seen.sent(), seen.received()]).flat_map(items).filter(|e| e.name == "iq")
    {
        let id = iq.attribute("id").unwrap_or_default();
        assert!(ids.iter().any(|line| line.split(',').any(|shown| shown == id)), "tshark does not show {}", iq.xml);
    }
    // The dissector calls any `</stream:stream>` malformed, in captures of a network card too: its beginning was in
    // another packet.
    let trouble = "(_ws.malformed || _ws.expert.severity >= 0x00600000) && !xmpp.stream_end || tcp.analysis.flags";
    assert_eq!(capture.tshark(&["-Y", trouble]), Vec::<String>::new());
}

/// Neither the password nor anything SASL said stands in the file or in what was printed, in any coat.
pub(crate) fn check_no_secret(capture: &Capture<'_>, printed: &str, name: &str, password: &str, clients: &[&Seen]) {
    let grep = |what: &[u8]| {
        let shown = String::from_utf8_lossy(what);
        assert!(!capture.contains(what), "in the file: {shown}");
        assert!(!printed.contains(&*shown), "printed: {shown}");
    };
    assert!(capture.contains(name.as_bytes()), "the search finds what is there");
    grep(password.as_bytes());
    grep(STANDARD.encode(password).as_bytes());
    grep(STANDARD.encode(format!("\0{name}\0{password}")).as_bytes());
    for seen in clients {
        let mechanism = seen.ok("login")["mechanism"].as_str().unwrap();
        let mut messages = 0;
        for element in [seen.sent(), seen.received()].into_iter().flat_map(items) {
            let said = element.xml.split(['<', '>']).nth(2).unwrap_or_default();
            if ["auth", "challenge", "response", "success"].contains(&element.name.as_str()) && !said.is_empty() {
                grep(said.as_bytes());
                grep(&STANDARD.decode(said).unwrap());
                messages += 1;
            }
        }
        assert_eq!(messages, if mechanism == "PLAIN" { 1 } else { 4 }, "what {mechanism} says");
    }
}

/// Whether an IQ obeys rules 1, 2, 5, 6 and 7.
pub(crate) fn lawful(iq: &Element) -> bool {
    let errors = iq.children.iter().filter(|(name, _)| name == "error").count();
    iq.attribute("id").is_some()
        && match iq.attribute("type") {
            Some("get" | "set") => iq.children.len() == 1 && errors == 0,
            Some("result") => iq.children.len() <= 1 && errors == 0,
            Some("error") => errors == 1,
            _ => false,
        }
}
