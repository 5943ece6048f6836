//! A scripted server: lets anybody in, remembers every element it got, says what the test tells it to say.

use super::lines::Lines;
use super::stream::{Element, Item, Splitter};
use super::{Certs, DOMAIN};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// What it says to an element that is not part of the login.
pub(crate) type Script = fn(&Element) -> Vec<String>;

/// Whether it offers STARTTLS.
pub(crate) enum Encryption<'a> {
    Never,
    Starttls(&'a Certs),
}

/// Listens until dropped.
pub(crate) struct Upstream {
    pub(crate) port: u16,
    heard: Arc<Mutex<Vec<Element>>>,
    /// One line for each thing that happened: connections, elements, failures.
    log: Lines,
    stop: Arc<AtomicBool>,
}

impl Upstream {
    pub(crate) fn start(encryption: &Encryption<'_>, script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (heard, log, stop) = (Arc::default(), Lines::default(), Arc::new(AtomicBool::new(false)));
        let peer = Peer { tls: config(encryption), script, heard: Arc::clone(&heard), log: log.clone() };
        let stopped = Arc::clone(&stop);
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                peer.log.push("connected".to_owned());
                let ended = peer.serve(socket);
                peer.log.push(format!("ended: {ended:?}"));
            }
        });
        Self { port, heard, log, stop }
    }

    /// Every first-level element it got so far, negotiation included.
    pub(crate) fn heard(&self) -> Vec<Element> {
        self.heard.lock().unwrap().clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("--- the scripted server's log\n{}", self.log.text());
        }
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the listener. Whoever is still being served is iqtap, which ends with the test.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn config(encryption: &Encryption<'_>) -> Option<Arc<ServerConfig>> {
    let Encryption::Starttls(certs) = encryption else { return None };
    let chain = CertificateDer::pem_file_iter(&certs.cert).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(&certs.key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Some(Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap()))
}

struct Peer {
    tls: Option<Arc<ServerConfig>>,
    script: Script,
    heard: Arc<Mutex<Vec<Element>>>,
    log: Lines,
}

trait Wire: Read + Write {}
impl<T: Read + Write> Wire for T {}

impl Peer {
    /// One stream, from its first byte to its end.
    fn serve(&self, socket: TcpStream) -> std::io::Result<()> {
        let (mut tls, mut user) = (false, None);
        let mut wire: Box<dyn Wire> = Box::new(socket.try_clone()?);
        let (mut splitter, mut scratch) = (Splitter::default(), [0; 8192]);
        loop {
            let Some(item) = splitter.next() else {
                let count = wire.read(&mut scratch)?;
                if count == 0 {
                    return Ok(());
                }
                splitter.push(&scratch[..count]);
                continue;
            };
            let element = match item {
                Item::Header => {
                    let offer = self.tls.is_some() && !tls;
                    wire.write_all(header(&features(offer, user.is_some())).as_bytes())?;
                    continue;
                }
                Item::Close => {
                    wire.write_all(b"</stream:stream>")?;
                    return Ok(());
                }
                Item::Element(element) => element,
            };
            self.log.push(element.xml.clone());
            self.heard.lock().unwrap().push(element.clone());
            match element.name.as_str() {
                "starttls" => {
                    wire.write_all(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")?;
                    if !splitter.is_empty() {
                        return Err(std::io::Error::other("bytes behind <starttls/>"));
                    }
                    let session = ServerConnection::new(Arc::clone(self.tls.as_ref().unwrap())).unwrap();
                    wire = Box::new(StreamOwned::new(session, socket.try_clone()?));
                    tls = true;
                }
                "auth" => {
                    user = Some(plain_user(&element.xml));
                    wire.write_all(b"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")?;
                }
                "iq" if element.has("urn:ietf:params:xml:ns:xmpp-bind") => {
                    let (id, user) = (element.attribute("id").unwrap_or_default(), user.as_deref().unwrap_or("nobody"));
                    let jid = format!("<jid>{user}@{DOMAIN}/here</jid>");
                    let bind = format!("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>{jid}</bind>");
                    wire.write_all(format!("<iq type='result' id='{id}'>{bind}</iq>").as_bytes())?;
                }
                _ => {
                    for answer in (self.script)(&element) {
                        wire.write_all(answer.as_bytes())?;
                    }
                }
            }
        }
    }
}

fn header(features: &str) -> String {
    format!(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
         id='scripted' from='{DOMAIN}' version='1.0' xml:lang='en'><stream:features>{features}</stream:features>"
    )
}

fn features(offer_starttls: bool, authenticated: bool) -> String {
    let starttls = if offer_starttls { "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>" } else { "" };
    let rest = if authenticated {
        "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"
    } else {
        "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>"
    };
    format!("{starttls}{rest}")
}

/// The user of `<auth ...>BASE64</auth>`.
fn plain_user(auth: &str) -> String {
    let secret = auth.split(['<', '>']).nth(2).unwrap_or_default();
    let message = STANDARD.decode(secret).unwrap_or_default();
    message.split(|&b| b == 0).nth(1).map(|user| String::from_utf8_lossy(user).into_owned()).unwrap_or_default()
}
