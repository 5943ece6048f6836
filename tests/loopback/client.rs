//! A client of forty lines: sends text, reads elements, blocks, and stops the test when nothing comes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use iqtap::xml::{Element, ItemKind, Limits, Scanner, Step, parse_element};
use iqtap::xmpp::ns;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What the client says first.
pub(crate) const HEADER: &str = "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'>";

pub(crate) struct Client {
    pub(crate) socket: TcpStream,
    buf: Vec<u8>,
    scanner: Scanner,
    /// Who it is, once bound.
    pub(crate) jid: String,
}

impl Client {
    /// Connected, nothing sent.
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        let socket = TcpStream::connect(addr).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Self { socket, buf: Vec::new(), scanner: Scanner::new(Limits::AFTER_LOGIN), jid: String::new() }
    }
    /// The header is sent, the server's has come; gives the features.
    pub(crate) fn open(&mut self) -> Element {
        self.scanner = Scanner::new(Limits::AFTER_LOGIN);
        self.send(HEADER);
        assert_eq!(self.item().0, ItemKind::Open);
        self.next()
    }
    /// Logged in by PLAIN with some password, and bound.
    pub(crate) fn login(addr: SocketAddr, user: &str, resource: &str) -> Self {
        let mut client = Self::connect(addr);
        client.open();
        assert_eq!(client.auth("PLAIN", &format!("\0{user}\0whatever")).name, "success");
        client.bind(resource);
        client
    }
    /// As [`Client::login`], and available.
    pub(crate) fn online(addr: SocketAddr, user: &str, resource: &str) -> Self {
        let mut client = Self::login(addr, user, resource);
        client.send("<presence/>");
        let own = client.next();
        assert_eq!((own.name.as_str(), own.attr("from")), ("presence", Some(client.jid.as_str())));
        client
    }
    pub(crate) fn auth(&mut self, mechanism: &str, message: &str) -> Element {
        let text = BASE64.encode(message);
        self.ask(&format!("<auth xmlns='{}' mechanism='{mechanism}'>{text}</auth>", ns::SASL))
    }
    pub(crate) fn bind(&mut self, resource: &str) {
        let features = self.open();
        assert!(features.child(ns::BIND, "bind").is_some());
        let resource = if resource.is_empty() { String::new() } else { format!("<resource>{resource}</resource>") };
        let bound = self.ask(&format!("<iq type='set' id='b'><bind xmlns='{}'>{resource}</bind></iq>", ns::BIND));
        self.jid = bound.child(ns::BIND, "bind").unwrap().child(ns::BIND, "jid").unwrap().text();
    }
    pub(crate) fn send(&mut self, xml: &str) {
        self.socket.write_all(xml.as_bytes()).unwrap();
    }
    pub(crate) fn ask(&mut self, xml: &str) -> Element {
        self.send(xml);
        self.next()
    }
    pub(crate) fn item(&mut self) -> (ItemKind, Option<Element>) {
        loop {
            match self.scanner.scan(&self.buf) {
                Step::Item { len, kind } => {
                    let bytes: Vec<u8> = self.buf.drain(..len).collect();
                    let element = (kind == ItemKind::Element)
                        .then(|| parse_element(&bytes, self.scanner.root(), self.scanner.head()).unwrap());
                    return (kind, element);
                }
                Step::Refused(refusal) => panic!("the server sent {refusal:?}"),
                Step::More => {}
            }
            let mut chunk = [0; 4096];
            let n = self.socket.read(&mut chunk).expect("an answer within ten seconds");
            assert_ne!(n, 0, "the server closed the connection");
            self.buf.extend_from_slice(&chunk[..n]);
        }
    }
    /// The next element.
    pub(crate) fn next(&mut self) -> Element {
        match self.item() {
            (_, Some(element)) => element,
            (kind, None) => panic!("wanted an element, got {kind:?}"),
        }
    }
    /// Nothing more has come: a ping's answer is the next thing.
    pub(crate) fn quiet(&mut self) {
        let pong = self.ask("<iq type='get' id='quiet'><ping xmlns='urn:xmpp:ping'/></iq>");
        assert_eq!((pong.attr("id"), pong.attr("type")), (Some("quiet"), Some("result")), "{pong:?}");
    }
    /// A stream error of this condition comes, then the end of the stream and of the connection.
    pub(crate) fn ends_with(&mut self, condition: &str) {
        let error = self.next();
        assert!(error.is(ns::STREAM, "error"), "{error:?}");
        assert!(error.child(ns::STREAM_ERRORS, condition).is_some(), "{error:?}");
        assert_eq!(self.item().0, ItemKind::Close);
        assert_eq!(self.socket.read(&mut [0; 16]).unwrap(), 0);
    }
}
