//! The demo's own client: logs in without TLS, sends what it is told, byte for byte, and reads what comes.
//!
//! Takes an address and a name, gives stanzas. Must not correct anything: it is there to send broken ones.

use crate::xml::{Element, ItemKind, Limits, Scanner, Step, parse_element};
use crate::xmpp::ns;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::BytesMut;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The longest wait for anything: all of it happens on this machine.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why the conversation cannot go on, for people.
pub(super) type Trouble = String;

/// An element that came, as it came.
pub(super) struct Received {
    /// Its bytes.
    pub(super) text: String,
    /// Its tree.
    pub(super) element: Element,
}

/// A logged-in client.
pub(super) struct Client {
    socket: TcpStream,
    inbuf: BytesMut,
    scanner: Scanner,
    /// Who it is.
    pub(super) name: &'static str,
}

impl Client {
    /// Logs in by PLAIN and binds the resource.
    pub(super) async fn login(
        addr: SocketAddr,
        name: &'static str,
        password: &str,
        resource: &str,
    ) -> Result<Self, Trouble> {
        let socket = TcpStream::connect(addr).await.map_err(|e| format!("{name} cannot connect to {addr}: {e}"))?;
        let _ = socket.set_nodelay(true);
        let mut client = Self { socket, inbuf: BytesMut::new(), scanner: Scanner::new(Limits::AFTER_LOGIN), name };
        client.open().await?;
        let message = BASE64.encode(format!("\0{name}\0{password}"));
        client.send(&format!("<auth xmlns='{}' mechanism='PLAIN'>{message}</auth>", ns::SASL)).await?;
        let answer = client.receive().await?;
        if !answer.element.is(ns::SASL, "success") {
            return Err(format!("{name} cannot log in: {}", answer.text));
        }
        client.open().await?;
        let bind = format!("<bind xmlns='{}'><resource>{resource}</resource></bind>", ns::BIND);
        client.send(&format!("<iq type='set' id='bind'>{bind}</iq>")).await?;
        let answer = client.receive().await?;
        let bound = answer.element.child(ns::BIND, "bind").and_then(|b| b.child(ns::BIND, "jid")).map(Element::text);
        let wanted = format!("{name}@{}/{resource}", super::DOMAIN);
        if bound.as_deref() != Some(wanted.as_str()) {
            return Err(format!("{name} cannot bind the resource {resource}: {}", answer.text));
        }
        Ok(client)
    }

    /// Our stream header; the server's and its features are awaited.
    async fn open(&mut self) -> Result<(), Trouble> {
        self.scanner = Scanner::new(Limits::AFTER_LOGIN);
        let header = format!(
            "<?xml version='1.0'?><stream:stream to='{}' version='1.0' xml:lang='en' xmlns='{}' xmlns:stream='{}'>",
            super::DOMAIN,
            ns::CLIENT,
            ns::STREAM
        );
        self.send(&header).await?;
        let features = self.receive().await?;
        if features.element.is(ns::STREAM, "features") {
            Ok(())
        } else {
            Err(format!("{} wanted stream features and got {}", self.name, features.text))
        }
    }

    /// Sends it as it is.
    pub(super) async fn send(&mut self, text: &str) -> Result<(), Trouble> {
        self.socket.write_all(text.as_bytes()).await.map_err(|e| format!("{} cannot send: {e}", self.name))
    }

    /// The next element.
    pub(super) async fn receive(&mut self) -> Result<Received, Trouble> {
        let next = timeout(PATIENCE, self.next()).await;
        next.unwrap_or_else(|_| Err(format!("{} waited {} s for nothing", self.name, PATIENCE.as_secs())))
    }

    async fn next(&mut self) -> Result<Received, Trouble> {
        loop {
            match self.scanner.scan(&self.inbuf) {
                Step::Item { len, kind } => {
                    let bytes = self.inbuf.split_to(len);
                    match kind {
                        ItemKind::Element => {
                            let element = parse_element(&bytes, self.scanner.root(), self.scanner.head());
                            let text = String::from_utf8_lossy(&bytes).into_owned();
                            return element.map(|element| Received { text, element }).map_err(|e| e.to_string());
                        }
                        ItemKind::Close => return Err(format!("{}'s stream was closed", self.name)),
                        ItemKind::Open | ItemKind::Space => {}
                    }
                }
                Step::Refused(refusal) => return Err(format!("{} was sent bad XML: {}", self.name, refusal.why)),
                Step::More => match self.socket.read_buf(&mut self.inbuf).await {
                    Ok(0) => return Err(format!("{} lost the connection", self.name)),
                    Ok(_) => {}
                    Err(error) => return Err(format!("{} lost the connection: {error}", self.name)),
                },
            }
        }
    }

    /// Closes the stream and waits for the other side to do the same.
    pub(super) async fn close(mut self) {
        if self.send("</stream:stream>").await.is_ok() {
            let _ = timeout(PATIENCE, async { while self.next().await.is_ok() {} }).await;
        }
    }
}
