//! What is said: headers, a login, requests and their answers, and the blocks of which floods are made.

use crate::Outcome;
use crate::wire::DOMAIN;
use memchr::memmem;

pub(crate) const CLIENT_HEADER: &str = "<?xml version='1.0'?><stream:stream to='example.org' version='1.0' xml:lang='en' \
    xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
pub(crate) const LOGIN_FEATURES: &str = "<?xml version='1.0'?><stream:stream from='example.org' id='s1' version='1.0' \
    xml:lang='en' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'><stream:features>\
    <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms></stream:features>";
pub(crate) const BIND_FEATURES: &str = "<?xml version='1.0'?><stream:stream from='example.org' id='s2' version='1.0' \
    xml:lang='en' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'><stream:features>\
    <bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>";
pub(crate) const AUTH: &str =
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldAByMG0zMA==</auth>";
pub(crate) const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
pub(crate) const CLOSE: &str = "</stream:stream>";

/// What a connection is for: the client names it as its resource, the server does its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Requests are answered; also what is idle, or only logs in.
    Echo,
    /// The server floods the client.
    Down,
    /// The client floods the server.
    Up,
    /// The server floods the client with 20 KB stanzas.
    Large,
}

impl Part {
    const ALL: [(Self, &str); 4] =
        [(Self::Echo, "echo"), (Self::Down, "down"), (Self::Up, "up"), (Self::Large, "large")];

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(part, _)| *part == self).map_or("", |(_, word)| word)
    }

    /// From the request to bind.
    pub(crate) fn asked(bind: &[u8]) -> Outcome<Self> {
        let resource = between(bind, b"<resource>", b"</resource>").ok_or("no resource")?;
        let known = Self::ALL.iter().find(|(_, word)| resource.starts_with(word.as_bytes()));
        Ok(known.ok_or("a resource that is no part")?.0)
    }
}

/// The client's request to bind.
pub(crate) fn bind(part: Part, number: usize) -> String {
    let word = part.word();
    format!(
        "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>{word}-{number}</resource></bind></iq>"
    )
}

/// The server's answer to it.
pub(crate) fn bound(request: &[u8]) -> Outcome<String> {
    let resource = between(request, b"<resource>", b"</resource>").ok_or("no resource")?;
    let resource = std::str::from_utf8(resource)?;
    Ok(format!(
        "<iq type='result' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>juliet@{DOMAIN}/{resource}</jid></bind></iq>"
    ))
}

/// What stands between two texts.
pub(crate) fn between<'a>(text: &'a [u8], before: &[u8], after: &[u8]) -> Option<&'a [u8]> {
    let rest = text.get(memmem::find(text, before)? + before.len()..)?;
    rest.get(..memmem::find(rest, after)?)
}

/// The value of the `id` of an element that begins here.
pub(crate) fn id(element: &[u8]) -> Option<&[u8]> {
    let rest = element.get(memmem::find(element, b" id=")? + 4..)?;
    let (quote, rest) = rest.split_first()?;
    rest.get(..memchr::memchr(*quote, rest)?)
}

/// A ping from the client with the id that belongs to its number.
pub(crate) fn ping(number: u64, into: &mut Vec<u8>) {
    into.extend_from_slice(b"<iq type='get' id='ping-");
    into.extend_from_slice(&digits(number));
    into.extend_from_slice(b"' to='example.org'><ping xmlns='urn:xmpp:ping'/></iq>");
}

/// The server's answer to a ping with that id.
pub(crate) fn pong(id: &[u8], into: &mut Vec<u8>) {
    into.extend_from_slice(b"<iq type='result' id='");
    into.extend_from_slice(id);
    into.extend_from_slice(b"' from='example.org' to='juliet@example.org/echo'/>");
}

/// Whether that is the id of the ping with this number.
pub(crate) fn is_ping(id: &[u8], number: u64) -> bool {
    id.strip_prefix(b"ping-") == Some(&digits(number))
}

/// A number in a fixed number of digits.
fn digits(number: u64) -> [u8; 8] {
    let mut left = number;
    let mut digits = [b'0'; 8];
    for digit in digits.iter_mut().rev() {
        *digit += u8::try_from(left % 10).unwrap_or_default();
        left /= 10;
    }
    digits
}

/// A row of stanzas that is sent over and over; the ids of its requests count.
#[derive(Clone)]
pub(crate) struct Block {
    pub(crate) bytes: Vec<u8>,
    pub(crate) stanzas: u64,
    counters: Vec<usize>,
}

/// Stands in a template where the number of the block belongs.
const COUNTER: &str = "########";

impl Block {
    fn new(text: String, stanzas: u64) -> Self {
        let counters = memmem::find_iter(text.as_bytes(), COUNTER).collect();
        let mut block = Self { bytes: text.into_bytes(), stanzas, counters };
        block.set(0);
        block
    }

    /// Makes it the block with this number.
    pub(crate) fn set(&mut self, number: u64) {
        for at in &self.counters {
            self.bytes[*at..*at + 8].copy_from_slice(&digits(number));
        }
    }
}

/// What a flood's source sends, and what is answered to the requests in it.
pub(crate) fn flood(part: Part) -> (Block, Block) {
    let (here, there) = ("juliet@example.org/balcony", "romeo@example.net/orchard");
    let (from, to, server) = match part {
        Part::Up => (here, there, "to='example.org'"),
        _ => (there, here, "from='example.org'"),
    };
    if part == Part::Large {
        let text = (0..4).map(|at| large(from, to, at)).collect();
        return (Block::new(text, 4), Block::new(String::new(), 0));
    }
    let (mut text, mut answers) = (String::new(), String::new());
    for at in 0..64 {
        match at % 16 {
            3 | 7 | 11 | 14 => text += &presence(from, to, at),
            15 => {
                text += &format!(
                    "<iq type='get' id='f{at}-{COUNTER}' {server}><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
                );
                let back = if part == Part::Up { "from='example.org'" } else { "to='example.org'" };
                answers += &format!(
                    "<iq type='result' id='f{at}-{COUNTER}' {back}><query xmlns='http://jabber.org/protocol/disco#info'/></iq>"
                );
            }
            _ => text += &message(from, to, at),
        }
    }
    (Block::new(text, 64), Block::new(answers, 4))
}

/// About 300 bytes.
fn message(from: &str, to: &str, at: usize) -> String {
    format!(
        "<message from='{from}' to='{to}' type='chat' id='m-{at:02}'><body>But soft! What light through yonder window breaks? \
         It is the east, and Juliet is the sun.</body><active xmlns='http://jabber.org/protocol/chatstates'/>\
         <request xmlns='urn:xmpp:receipts'/></message>"
    )
}

fn presence(from: &str, to: &str, at: usize) -> String {
    format!(
        "<presence from='{from}' to='{to}' id='p-{at:02}'><show>away</show><priority>5</priority>\
         <c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://example.net' ver='QgayPKawpkPSDYmwT/WM94uAlu0='/></presence>"
    )
}

/// A photo of 20 KB, as PEP brings it.
fn large(from: &str, to: &str, at: usize) -> String {
    let photo = "iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAYAAACqaXHeAAAABGdBTUEAALGPC/xh".repeat(306);
    format!(
        "<message from='{from}' to='{to}' id='b-{at:02}'><event xmlns='http://jabber.org/protocol/pubsub#event'>\
         <items node='urn:xmpp:avatar:data'><item id='111f4b3c50d7b0df729d299bc6f8e9ef9066971f'>\
         <data xmlns='urn:xmpp:avatar:data'>{photo}</data></item></items></event></message>"
    )
}

/// The last word of a flood: how many blocks there were.
pub(crate) fn end(part: Part, blocks: u64) -> String {
    let address = if part == Part::Up { "to='romeo@example.net'" } else { "from='romeo@example.net/orchard'" };
    format!("<presence id='end-{blocks:08}' {address}/>")
}
