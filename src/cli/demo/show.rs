//! The demo's words on the screen: for people, or as JSON for programs.
//!
//! Takes what was played, gives text. Must not print anything itself.

use super::DOMAIN;
use super::story::{Played, Who};
use crate::loopback::{SAMPLE_ACCOUNTS, SAMPLE_PASSWORD};
use crate::net::{Summary, printable};
use anstyle::{AnsiColor, Style};
use serde_json::json;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

/// XML is broken between tags so that lines stay about this long.
const WIDTH: usize = 100;
/// How far the text stands behind the labels.
const MARGIN: usize = 11;

const HEADING: Style = Style::new().bold();
const ABOUT: Style = Style::new().dimmed();
const SENT: Style = AnsiColor::Cyan.on_default();
const CAME: Style = AnsiColor::Blue.on_default();
const UNTOUCHED: Style = AnsiColor::Green.on_default().bold();
const TOUCHED: Style = AnsiColor::Yellow.on_default().bold();

/// What stands above the conversation.
pub(super) fn opening() -> String {
    let said = "Juliet and romeo talk to a built-in XMPP server through iqtap, which enforces the IQ rules of RFC 6120 and runs a\n\
                script. C: is what juliet's client sends, S: what comes back to it, and iqtap: what iqtap itself noted.\n";
    format!("{ABOUT}{said}{ABOUT:#}")
}

/// One exchange.
pub(super) fn exchange(played: &Played) -> String {
    let Played { number, title, about, lines, verdict } = played;
    let mut text = format!("\n{HEADING}{number}. {title}{HEADING:#}\n");
    for line in about.lines() {
        let _ = writeln!(text, "   {ABOUT}{line}{ABOUT:#}");
    }
    for (who, xml) in lines {
        let (label, style) = match who {
            Who::Client => ("C:", SENT),
            Who::Server => ("S:", CAME),
            Who::RomeoClient => ("romeo's C:", SENT),
            Who::RomeoServer => ("romeo's S:", CAME),
        };
        let _ = writeln!(text, "{style}{label:>MARGIN$}{style:#} {}", folded(&printable(xml)));
    }
    let style = if verdict.fate == "passed" { UNTOUCHED } else { TOUCHED };
    let _ = writeln!(text, "{style}{:>MARGIN$} {}{style:#}", "iqtap:", printable(&verdict.to_string()));
    text
}

/// The same as a JSON object on one line.
pub(super) fn exchange_json(played: &Played) -> String {
    let said = |(who, xml): &(Who, String)| {
        let (who, dir) = match who {
            Who::Client => ("juliet", "sent"),
            Who::Server => ("juliet", "received"),
            Who::RomeoClient => ("romeo", "sent"),
            Who::RomeoServer => ("romeo", "received"),
        };
        json!({ "client": who, dir: xml })
    };
    let verdict = &played.verdict;
    let object = json!({
        "event": "demo",
        "step": played.number,
        "title": played.title,
        "lines": played.lines.iter().map(said).collect::<Vec<_>>(),
        "fate": verdict.fate,
        "by": verdict.by,
        "condition": verdict.condition,
        "findings": verdict.findings,
    });
    format!("{object}\n")
}

/// What stands above the user's own client's stanzas.
pub(super) fn your_turn(addr: SocketAddr, authority: &Path) -> String {
    let (host, port) = (addr.ip(), addr.port());
    let user = SAMPLE_ACCOUNTS[0];
    let mut text =
        format!("\n{HEADING}Your own client's turn, until Ctrl-C.{HEADING:#} What it sends and gets is shown below.\n");
    let mut line = |what: &str, value: &str| {
        let _ = writeln!(text, "{:2}{ABOUT}{what:<10}{ABOUT:#} {value}", "");
    };
    line("connect", &format!("host {host}, port {port}, domain {DOMAIN}"));
    line("accounts", &format!("{} with the password {SAMPLE_PASSWORD}", SAMPLE_ACCOUNTS.join(", ")));
    line("", "or any other name with any password (PLAIN), or none (ANONYMOUS)");
    line("TLS", &format!("as you like; the certificate is signed by {}", authority.display()));
    line("profanity", &format!("/connect {user}@{DOMAIN} server {host} port {port} tls trust"));
    line("slixmpp", &slixmpp(addr, user, authority));
    text.push('\n');
    text
}

/// A command for a shell.
fn slixmpp(addr: SocketAddr, user: &str, authority: &Path) -> String {
    format!(
        "python3 -c \"import slixmpp; c = slixmpp.ClientXMPP('{user}@{DOMAIN}', '{SAMPLE_PASSWORD}'); c.ca_certs = '{}'; \
         c.add_event_handler('session_start', lambda _: c.send_presence()); c.connect('{}', {}); c.loop.run_forever()\"",
        authority.display(),
        addr.ip(),
        addr.port()
    )
}

/// The same as a JSON object on one line.
pub(super) fn your_turn_json(addr: SocketAddr, authority: &Path) -> String {
    let object = json!({
        "event": "ready",
        "host": addr.ip().to_string(),
        "port": addr.port(),
        "domain": DOMAIN,
        "accounts": SAMPLE_ACCOUNTS,
        "password": SAMPLE_PASSWORD,
        "ca": authority.display().to_string(),
    });
    format!("{object}\n")
}

/// The last lines, which count the demo's own clients as well as the user's.
pub(super) fn closing(summary: &Summary, once: bool) -> String {
    let all = if once { "In all:" } else { "In all, juliet and romeo included:" };
    let [client, server] = summary.tally.stanzas.map(|kinds| kinds.iter().sum::<u64>());
    let (sessions, stopped, rewritten) = (summary.sessions, summary.tally.stopped, summary.tally.rewritten);
    format!(
        "\n{HEADING}{all}{HEADING:#} {sessions} sessions; {client} stanzas came from clients and {server} from the server; \
         {stopped} were held back, {rewritten} rewritten.\n"
    )
}

/// Broken between tags where a line would become too long.
fn folded(xml: &str) -> String {
    let mut text = String::new();
    let mut width = 0;
    for (piece, number) in xml.split_inclusive('>').zip(0..) {
        let length = piece.chars().count();
        if number > 0 && width + length > WIDTH && piece.starts_with('<') && !piece.starts_with("</") {
            let _ = write!(text, "\n{:MARGIN$}   ", "");
            width = 2;
        }
        text.push_str(piece);
        width += length;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::folded;

    #[test]
    fn long_xml_is_broken_between_tags_only() {
        assert_eq!(folded("<a><b/></a>"), "<a><b/></a>");
        let long = format!("<a x='{}'><b>text</b><c/></a>", "y".repeat(100));
        let text = folded(&long);
        assert_eq!(text.lines().count(), 2);
        assert_eq!(text.replace(&text[text.find('\n').unwrap()..text.find("<b>").unwrap()], ""), long);
    }
}
