//! A proxy started in process, a scripted server behind it, a scripted client before it. Every wait is for bytes or
//! for an end; the time limit only turns a hang into a failure.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of this module")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[cfg(unix)]
pub mod running;

use iqtap::config::Upstream;
use iqtap::net::{Reloader, Server, Setup, Summary};
use iqtap::policy::{ClientTls, ServerTls};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use std::net::SocketAddr;
use std::path::Path;
pub use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

pub const DOMAIN: &str = "example.org";
pub const HEADER: &str = "<?xml version='1.0'?><stream:stream to='example.org' version='1.0' xml:lang='en' \
    xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
const LIMIT: Duration = Duration::from_secs(60);

/// Fails the test if it takes too long.
pub async fn soon<T>(work: impl Future<Output = T>) -> T {
    timeout(LIMIT, work).await.expect("this should have happened long ago")
}

pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// One end of a conversation.
pub struct Peer {
    pub stream: Box<dyn Stream>,
    seen: Vec<u8>,
}

impl Peer {
    pub fn new(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), seen: Vec::new() }
    }

    pub async fn send(&mut self, text: &str) {
        soon(async {
            self.stream.write_all(text.as_bytes()).await.unwrap();
            self.stream.flush().await.unwrap();
        })
        .await;
    }

    /// Reads up to and with `needle`.
    pub async fn expect(&mut self, needle: &str) -> String {
        soon(async {
            loop {
                if let Some(at) = self.seen.windows(needle.len()).position(|window| window == needle.as_bytes()) {
                    let rest = self.seen.split_off(at + needle.len());
                    return String::from_utf8(std::mem::replace(&mut self.seen, rest)).unwrap();
                }
                let count = self.stream.read_buf(&mut self.seen).await.unwrap_or(0);
                let seen = String::from_utf8_lossy(&self.seen);
                assert!(count > 0, "the connection ended before {needle:?} came; so far {seen:?}");
            }
        })
        .await
    }

    /// Reads to the end, clean or not.
    pub async fn end(&mut self) -> String {
        soon(async {
            while self.stream.read_buf(&mut self.seen).await.is_ok_and(|count| count > 0) {}
            String::from_utf8_lossy(&std::mem::take(&mut self.seen)).into_owned()
        })
        .await
    }

    pub async fn expect_header(&mut self) -> String {
        self.expect("<stream:stream").await + self.expect(">").await.as_str()
    }

    /// The server's header and these features.
    pub async fn send_features(&mut self, features: &str) {
        self.send(&format!(
            "<?xml version='1.0'?><stream:stream from='example.org' id='s1' version='1.0' xml:lang='en' \
             xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>\
             <stream:features>{features}</stream:features>"
        ))
        .await;
    }

    /// A server's part of a login.
    pub async fn serve_login(&mut self) {
        self.expect_header().await;
        self.send_features(MECHANISMS).await;
        self.expect("</auth>").await;
        self.send("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>").await;
        self.expect_header().await;
        self.send_features("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>").await;
        self.expect("</iq>").await;
        self.send(
            "<iq type='result' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <jid>juliet@example.org/balcony</jid></bind></iq>",
        )
        .await;
    }

    /// A client's part of a login.
    pub async fn log_in(&mut self) {
        self.send(HEADER).await;
        self.expect("</stream:features>").await;
        self.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldAByMG0zMA==</auth>").await;
        self.expect("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>").await;
        self.send(HEADER).await;
        self.expect("</stream:features>").await;
        self.send("<iq type='set' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>").await;
        self.expect("</iq>").await;
    }
}

pub const MECHANISMS: &str =
    "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms>";
pub const STARTTLS: &str = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
pub const PROCEED: &str = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";

/// A proxy and the listener of its upstream.
pub struct Lab {
    pub address: SocketAddr,
    pub upstream: TcpListener,
    pub directory: tempfile::TempDir,
    pub reloader: Reloader,
    stop: Option<oneshot::Sender<()>>,
    done: JoinHandle<Summary>,
}

/// A client and a server, logged in through the proxy at that address.
pub async fn joined(address: SocketAddr, upstream: &TcpListener) -> (Peer, Peer) {
    let mut client = Peer::new(TcpStream::connect(address).await.unwrap());
    let login = async {
        let mut server = Peer::new(soon(upstream.accept()).await.unwrap().0);
        server.serve_login().await;
        server
    };
    let ((), server) = tokio::join!(client.log_in(), login);
    (client, server)
}

impl Lab {
    /// Starts a proxy in the clear on both legs, or as `change` says.
    pub async fn start(change: impl FnOnce(&mut Setup, &Path)) -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::before(upstream, change).await
    }

    pub async fn before(upstream: TcpListener, change: impl FnOnce(&mut Setup, &Path)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = upstream.local_addr().unwrap().port();
        let upstream_name = Upstream { host: "127.0.0.1".to_owned(), port };
        let mut setup = Setup::new("127.0.0.1:0".parse().unwrap(), upstream_name, directory.path().join("data"));
        (setup.terms.route.client_tls, setup.terms.route.server_tls) = (ClientTls::Off, ServerTls::Off);
        change(&mut setup, directory.path());
        let server = Server::bind(setup).await.unwrap();
        let address = server.local_addr().unwrap();
        let reloader = server.reloader();
        let (stop, stopped) = oneshot::channel();
        let done = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Self { address, upstream, directory, reloader, stop: Some(stop), done }
    }

    pub async fn client(&self) -> Peer {
        Peer::new(TcpStream::connect(self.address).await.unwrap())
    }

    pub async fn server(&self) -> Peer {
        Peer::new(soon(self.upstream.accept()).await.unwrap().0)
    }

    /// A client and a server, logged in through the proxy.
    pub async fn joined(&self) -> (Peer, Peer) {
        joined(self.address, &self.upstream).await
    }

    /// Asks the proxy to stop.
    pub fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }

    /// Waits until it has.
    pub async fn stopped(mut self) -> Summary {
        if self.stop.is_some() {
            self.stop();
        }
        soon(self.done).await.unwrap()
    }
}

/// A certificate authority for scripted servers.
pub struct TestCa {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

impl TestCa {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A server's side of TLS, with a certificate for `name`.
    pub fn acceptor(&self, name: &str) -> TlsAcceptor {
        self.acceptor_with(CertificateParams::new([name.to_owned()]).unwrap())
    }

    pub fn acceptor_with(&self, params: CertificateParams) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.into()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// A client's side of TLS that trusts this CA file only.
pub fn connector(ca: &Path, sni: bool, alpn: &[&str]) -> TlsConnector {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.enable_sni = sni;
    config.alpn_protocols = alpn.iter().map(|alpn| alpn.as_bytes().to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

pub fn name(domain: &str) -> ServerName<'static> {
    ServerName::try_from(domain.to_owned()).unwrap()
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
