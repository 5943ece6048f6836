//! TLS on both legs: server towards the client, client towards the server.
//!
//! Takes a bare socket, gives an encrypted one with what was agreed on, or a reason a person can act on. Must not fall
//! back to anything weaker, ever.

use super::ca::{Authority, CaError};
use super::insecure::BelievesAnything;
use super::keylog::KeyFile;
use super::mint::{Identity, certificates};
use crate::policy::{ClientTls, Route, ServerTls};
use crate::session::TlsInfo;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, CommonState, Error, KeyLog, NoKeyLog, ProtocolVersion, RootCertStore};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{LazyConfigAcceptor, TlsConnector, TlsStream};

/// XEP-0368 §2.
pub(super) const ALPN: &[u8] = b"xmpp-client";
/// The first byte of a TLS record that holds a handshake message: no XML stream begins with it.
pub(super) const HANDSHAKE_BYTE: u8 = 0x16;

/// Which certificate clients see.
#[derive(Clone, Debug)]
pub enum ClientCertificate {
    /// Minted per domain by the authority kept in this directory (made there if missing).
    Minted(PathBuf),
    /// The operator's own, for all domains.
    Files {
        /// Certificate chain, PEM.
        certificate: PathBuf,
        /// Private key, PEM.
        key: PathBuf,
    },
}

/// Whom we believe that it is the server.
#[derive(Clone, Debug, Default)]
pub enum Trust {
    /// Whoever the system's root certificates vouch for.
    #[default]
    System,
    /// Whoever the certificates of this PEM file vouch for, and nobody else.
    File(PathBuf),
    /// Anybody. For a lab.
    Anybody,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate or key file is of no use.
    #[error("{}: {reason}", path.display())]
    BadFile {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The certificate authority.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The system has no root certificates.
    #[error("this system has no root certificates ({0}); name the server's with --server-ca FILE")]
    NoRoots(String),
    /// The library said no.
    #[error("TLS cannot be set up: {0}")]
    Library(#[from] Error),
}

impl ClientCertificate {
    /// Whether it could be shown: reads the files as a server would. An authority is neither made nor read.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn check(&self) -> Result<(), TlsError> {
        match self {
            Self::Files { certificate, key } => Identity::from_files(certificate, key, Arc::new(NoKeyLog)).map(drop),
            Self::Minted(directory) if directory.exists() && !directory.is_dir() => {
                Err(TlsError::BadFile { path: directory.clone(), reason: "is not a directory".to_owned() })
            }
            Self::Minted(_) => Ok(()),
        }
    }
}

impl Trust {
    /// Whether a file named can be trusted in: reads it as a server would. The system's roots are not looked at.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn check(&self) -> Result<(), TlsError> {
        match self {
            Self::File(_) => client_config(self).map(drop),
            Self::System | Self::Anybody => Ok(()),
        }
    }
}

/// Both legs' TLS, as far as the route needs it.
#[derive(Debug)]
pub(super) struct Tls {
    identity: Option<Identity>,
    client_config: Option<Arc<ClientConfig>>,
    verified: bool,
    /// For one handshake.
    handshake: Duration,
}

impl Tls {
    /// Reads and makes what the route needs.
    pub(super) fn new(
        route: &Route,
        certificate: &ClientCertificate,
        trust: &Trust,
        key_log: Option<&Path>,
        handshake: Duration,
    ) -> Result<Self, TlsError> {
        let keys = key_log.map_or_else(|| Ok(Arc::new(NoKeyLog) as Arc<dyn KeyLog>), key_file)?;
        let identity = match (route.client_tls, certificate) {
            (ClientTls::Off, _) => None,
            (_, ClientCertificate::Minted(directory)) => {
                Some(Identity::minted(Authority::open(directory)?, Arc::clone(&keys)))
            }
            (_, ClientCertificate::Files { certificate, key }) => {
                Some(Identity::from_files(certificate, key, Arc::clone(&keys))?)
            }
        };
        let client_config = match route.server_tls {
            ServerTls::Off => None,
            ServerTls::Starttls | ServerTls::Direct => {
                let mut config = client_config(trust)?;
                config.key_log = keys;
                Some(Arc::new(config))
            }
        };
        Ok(Self { identity, client_config, verified: !matches!(trust, Trust::Anybody), handshake })
    }

    /// A handshake as server. `domain` is what the client's stream header asked for, should it send no SNI.
    pub(super) async fn accept(
        &self,
        tcp: TcpStream,
        domain: Option<&str>,
    ) -> Result<(TlsStream<TcpStream>, TlsInfo), String> {
        let identity = self.identity.as_ref().ok_or("TLS is off on the client's leg")?;
        let handshake = async {
            let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), tcp).await?;
            let sni = start.client_hello().server_name().map(str::to_owned);
            let config = identity.config(sni.as_deref().into_iter().chain(domain)).map_err(io::Error::other)?;
            Ok((start.into_stream(config).await?, sni))
        };
        let (tls, sni) = self.in_time(handshake).await?.map_err(|error| reason(&error, "the client", None))?;
        let info = info(tls.get_ref().1, sni);
        Ok((TlsStream::Server(tls), info))
    }

    /// A handshake as client; the peer must prove to be `domain`.
    pub(super) async fn connect(
        &self,
        tcp: TcpStream,
        domain: &str,
    ) -> Result<(TlsStream<TcpStream>, TlsInfo), String> {
        let config = self.client_config.clone().ok_or("TLS is off on the server's leg")?;
        let name = ServerName::try_from(domain.to_owned())
            .map_err(|_| format!("{domain:?} cannot be the name in a certificate (in ASCII form, IDNA)"))?;
        let tls = self
            .in_time(TlsConnector::from(config).connect(name, tcp))
            .await?
            .map_err(|error| reason(&error, "the server", Some(domain)))?;
        let info = info(tls.get_ref().1, self.verified.then(|| domain.to_owned()));
        Ok((TlsStream::Client(tls), info))
    }

    async fn in_time<T>(&self, handshake: impl Future<Output = T>) -> Result<T, String> {
        timeout(self.handshake, handshake)
            .await
            .map_err(|_| format!("the TLS handshake took more than {} s", self.handshake.as_secs()))
    }
}

/// The one crypto provider used here; no process-wide default is needed or touched.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// SHA-256, by the same library that does TLS.
pub(super) fn sha256(data: &[u8]) -> Vec<u8> {
    let suite = ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
    suite.tls13().map(|suite| suite.common.hash_provider.hash(data).as_ref().to_vec()).unwrap_or_default()
}

/// A number nobody can guess, for stream ids.
pub(super) fn random_seed() -> u64 {
    let mut seed = [0; 8];
    if ring::default_provider().secure_random.fill(&mut seed).is_err() {
        use std::hash::{BuildHasher, RandomState};
        return RandomState::new().hash_one(0); // keyed by the system's randomness as well
    }
    u64::from_ne_bytes(seed)
}

/// Where keys are written.
fn key_file(path: &Path) -> Result<Arc<dyn KeyLog>, TlsError> {
    let bad = |error: io::Error| TlsError::BadFile {
        path: path.to_owned(),
        reason: format!("no TLS keys can be written there ({error})"),
    };
    Ok(Arc::new(KeyFile::open(path).map_err(bad)?))
}

fn client_config(trust: &Trust) -> Result<ClientConfig, TlsError> {
    let provider = provider();
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match trust {
        Trust::System => builder.with_root_certificates(system_roots()?),
        Trust::File(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots
                    .add(certificate)
                    .map_err(|error| TlsError::BadFile { path: path.clone(), reason: error.to_string() })?;
            }
            builder.with_root_certificates(roots)
        }
        Trust::Anybody => builder.dangerous().with_custom_certificate_verifier(Arc::new(BelievesAnything(provider))),
    };
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map_or_else(|| "none found".to_owned(), ToString::to_string);
        return Err(TlsError::NoRoots(why));
    }
    Ok(roots)
}

fn info(state: &CommonState, name: Option<String>) -> TlsInfo {
    let version = match state.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3".to_owned(),
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2".to_owned(),
        other => format!("{other:?}"),
    };
    let cipher = state.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or("?").to_owned();
    let alpn = state.alpn_protocol().map(|alpn| String::from_utf8_lossy(alpn).into_owned());
    TlsInfo { version, cipher, name, alpn }
}

/// Why a handshake failed, and what to do about it.
fn reason(error: &io::Error, who: &str, domain: Option<&str>) -> String {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return match error.kind() {
            // A client that refuses our certificate often just leaves; TLS has a word for it, but need not use it.
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                let perhaps = match domain {
                    None => "perhaps it does not trust iqtap's CA (`iqtap ca` tells how)",
                    Some(_) => "is --upstream its XMPP port, and --server-tls what that port speaks?",
                };
                format!("{who} closed the connection during the TLS handshake; {perhaps}")
            }
            _ => format!("{error} (during the TLS handshake with {who})"),
        };
    };
    match (tls, domain) {
        (Error::InvalidCertificate(error), Some(domain)) => certificate_reason(error, domain),
        (Error::AlertReceived(alert), None) if refuses_us(*alert) => format!(
            "the client does not trust iqtap's certificate ({alert:?}); give it the CA certificate (`iqtap ca` tells how)"
        ),
        (Error::AlertReceived(alert), _) => format!("{who} refused the TLS handshake: {alert:?}"),
        (Error::InvalidMessage(_), _) => {
            let mode = if domain.is_some() { "--upstream, --server-tls" } else { "--listen, --client-tls" };
            format!("{who} does not speak TLS here ({tls}); is it the right port and mode ({mode})?")
        }
        (Error::PeerIncompatible(_), _) => format!("{who} and iqtap have no common TLS version or cipher: {tls}"),
        _ => format!("TLS with {who}: {tls}"),
    }
}

const fn refuses_us(alert: rustls::AlertDescription) -> bool {
    use rustls::AlertDescription as Alert;
    matches!(
        alert,
        Alert::UnknownCA
            | Alert::BadCertificate
            | Alert::CertificateUnknown
            | Alert::CertificateExpired
            | Alert::AccessDenied
    )
}

/// `localhost, xmpp.test and 8 more`: the names of a certificate, which rustls tells as `DnsName("localhost")`.
fn names(presented: &[String]) -> String {
    let plain = |name: &String| match name.split_once('(').and_then(|(_, name)| name.strip_suffix(')')) {
        Some(name) => name.trim_matches('"').to_owned(),
        None => name.clone(),
    };
    let plain: Vec<String> = presented.iter().map(plain).collect();
    match plain.as_slice() {
        [] => "nobody".to_owned(),
        [one] => one.clone(),
        [first, second] => format!("{first} and {second}"),
        [first, second, third] => format!("{first}, {second} and {third}"),
        [first, second, rest @ ..] => format!("{first}, {second} and {} more", rest.len()),
    }
}

fn certificate_reason(error: &CertificateError, domain: &str) -> String {
    const CURE: &str = "use --server-ca FILE with the certificate of its authority (in a lab: --insecure-server)";
    const WHERE: &str = "is --upstream the right server for this JID?";
    match error {
        CertificateError::NotValidForName => {
            format!("the server's certificate is not for {domain}; {WHERE}")
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            format!("the server's certificate is not for {domain} but for {}; {WHERE}", names(presented))
        }
        // A bad signature mostly is another authority of the same name, made anew.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            format!("the server's certificate for {domain} is signed by an authority iqtap does not know; {CURE}")
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("the server's certificate for {domain} has expired; renew it (in a lab: --insecure-server)")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("the server's certificate for {domain} is not valid yet; is the clock right?")
        }
        other if other.to_string().contains("CaUsedAsEndEntity") => {
            format!("the server's certificate for {domain} is a self-signed CA, which cannot name a server; {CURE}")
        }
        other => format!("the server's certificate for {domain} is refused: {other}; {CURE}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_leaves_is_told_of_with_the_likely_cause() {
        let gone = |domain| reason(&io::ErrorKind::UnexpectedEof.into(), "the peer", domain);
        assert!(
            gone(None).ends_with("; perhaps it does not trust iqtap's CA (`iqtap ca` tells how)"),
            "{}",
            gone(None)
        );
        assert!(gone(Some("d")).contains("--upstream") && !gone(Some("d")).contains("CA"), "{}", gone(Some("d")));
    }

    #[test]
    fn names_of_a_certificate_are_plain_and_few() {
        let mut all: Vec<String> = ["DnsName(\"a.example\")", "IpAddress(::1)"].map(String::from).into();
        assert_eq!(names(&all), "a.example and ::1");
        all.extend(["DnsName(\"b\")".to_owned()]);
        assert_eq!(names(&all), "a.example, ::1 and b");
        all.extend(["DnsName(\"c\")".to_owned()]);
        assert_eq!(names(&all), "a.example, ::1 and 2 more");
        assert_eq!(names(&[]), "nobody");
    }
}
