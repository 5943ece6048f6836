//! A connection, in the clear or TLS, and the certificate that all ends show or believe.

use crate::Outcome;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

pub(crate) const DOMAIN: &str = "example.org";

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

pub(crate) type Wire = Box<dyn Stream>;

/// What TLS needs at either end. Each handshake is a whole one: nothing is resumed.
#[derive(Clone)]
pub(crate) struct Keys {
    pub(crate) acceptor: TlsAcceptor,
    pub(crate) connector: TlsConnector,
}

/// Where the files are that proxies read.
#[derive(Clone)]
pub(crate) struct Files {
    pub(crate) authority: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// Certificate and key in one file, as HAProxy likes it.
    pub(crate) both: PathBuf,
}

impl Files {
    /// Where they stand in a folder.
    pub(crate) fn within(folder: &Path) -> Self {
        let at = |name: &str| folder.join(name);
        Self { authority: at("ca.pem"), certificate: at("cert.pem"), key: at("key.pem"), both: at("both.pem") }
    }

    /// Makes an authority and a certificate of it for the domain (ECDSA P-256).
    pub(crate) fn make(&self) -> Outcome<()> {
        let mut authority = CertificateParams::new(Vec::new())?;
        // OpenSSL takes a certificate for its own issuer's if both bear one name.
        authority.distinguished_name.push(DnType::CommonName, "load");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate()?;
        let authority_certificate = authority.self_signed(&authority_key)?;
        let key = KeyPair::generate()?;
        let issuer = Issuer::new(authority, authority_key);
        let certificate = CertificateParams::new(vec![DOMAIN.to_owned()])?.signed_by(&key, &issuer)?;
        fs::write(&self.authority, authority_certificate.pem())?;
        fs::write(&self.certificate, certificate.pem())?;
        fs::write(&self.key, key.serialize_pem())?;
        fs::write(&self.both, certificate.pem() + &key.serialize_pem())?;
        Ok(())
    }

    /// Reads them.
    pub(crate) fn keys(&self) -> Outcome<Keys> {
        use rustls::pki_types::pem::PemObject;
        let provider = Arc::new(ring::default_provider());
        let certificate = CertificateDer::from_pem_file(&self.certificate)?;
        let key = PrivatePkcs8KeyDer::from_pem_file(&self.key)?;
        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key.into())?;
        server.send_tls13_tickets = 0;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.authority)?)?;
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.resumption = Resumption::disabled();
        Ok(Keys { acceptor: Arc::new(server).into(), connector: Arc::new(client).into() })
    }
}

impl Keys {
    /// Connects, and does the handshake if asked for.
    pub(crate) async fn connect(&self, address: SocketAddr, tls: bool) -> Outcome<Wire> {
        let tcp = TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        if tls {
            let stream = self.connector.connect(ServerName::try_from(DOMAIN)?, tcp).await?;
            return Ok(Box::new(stream));
        }
        Ok(Box::new(tcp))
    }

    /// The other end of that.
    pub(crate) async fn accept(&self, tcp: TcpStream, tls: bool) -> Outcome<Wire> {
        tcp.set_nodelay(true)?;
        if tls {
            return Ok(Box::new(self.acceptor.accept(tcp).await?));
        }
        Ok(Box::new(tcp))
    }
}
