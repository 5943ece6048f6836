//! A client without a library, over plain TCP: what it writes and when is the test's alone.

use super::stream::{Element, Item, Splitter};
use super::{DOMAIN, PATIENCE};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io::{Error, ErrorKind, Read as _, Result, Write as _};
use std::net::TcpStream;

/// A session, bound.
pub(crate) struct Raw {
    socket: TcpStream,
    splitter: Splitter,
    /// Its full JID.
    pub(crate) jid: String,
}

impl Raw {
    /// Logged in by PLAIN, and bound.
    pub(crate) fn login(port: u16, user: &str, password: &str) -> Self {
        Self::try_login(port, user, password).unwrap_or_else(|e| panic!("{user} cannot log in: {e}"))
    }

    fn try_login(port: u16, user: &str, password: &str) -> Result<Self> {
        let socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let mut raw = Self { socket, splitter: Splitter::default(), jid: String::new() };
        raw.open()?;
        let secret = STANDARD.encode(format!("\0{user}\0{password}"));
        raw.send(&format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>"))?;
        let answer = raw.element()?;
        if answer.name != "success" {
            return Err(Error::other(answer.xml));
        }
        raw.splitter = Splitter::default();
        raw.open()?;
        raw.send("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")?;
        let bound = raw.answer("bind")?;
        let jid = bound.xml.split_once("<jid>").and_then(|(_, rest)| rest.split_once("</jid>"));
        raw.jid = jid.ok_or_else(|| Error::other(bound.xml.clone()))?.0.to_owned();
        Ok(raw)
    }

    /// A stream begins; its features have come.
    fn open(&mut self) -> Result<()> {
        self.send(&format!(
            "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='{DOMAIN}' version='1.0'>"
        ))?;
        self.element().map(drop)
    }

    /// All of it in one write.
    pub(crate) fn send(&mut self, xml: &str) -> Result<()> {
        self.socket.write_all(xml.as_bytes())
    }

    /// The next element.
    pub(crate) fn element(&mut self) -> Result<Element> {
        let mut chunk = [0; 16 * 1024];
        loop {
            match self.splitter.next() {
                Some(Item::Element(element)) => return Ok(element),
                Some(Item::Header) => {}
                Some(Item::Close) => return Err(ErrorKind::UnexpectedEof.into()),
                None => match self.socket.read(&mut chunk)? {
                    0 => return Err(ErrorKind::UnexpectedEof.into()),
                    count => self.splitter.push(&chunk[..count]),
                },
            }
        }
    }

    /// The result or error of this id; what comes before is passed over.
    pub(crate) fn answer(&mut self, id: &str) -> Result<Element> {
        loop {
            let element = self.element()?;
            if element.name == "iq" && element.attribute("id") == Some(id) {
                return Ok(element);
            }
        }
    }

    /// Sends a request, and waits for its answer.
    pub(crate) fn ask(&mut self, id: &str, xml: &str) -> Result<Element> {
        self.send(xml)?;
        self.answer(id)
    }

    /// Another handle on the same connection, to write while this one reads.
    pub(crate) fn writer(&self) -> TcpStream {
        self.socket.try_clone().unwrap()
    }
}
