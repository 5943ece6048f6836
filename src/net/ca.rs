//! iqtap's own certificate authority: made at the first run, kept in the user's data directory, used to mint the
//! certificates clients see.
//!
//! Takes a directory, gives an [`Authority`]. `ca.pem` holds key and certificate in one file (0600), so that two
//! processes that start together cannot end up with one's key and the other's certificate; `ca.crt` is the certificate
//! alone, for people and clients.

use crate::store::private;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fs;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Key and certificate.
const SECRET_FILE: &str = "ca.pem";
/// The certificate alone.
const PUBLIC_FILE: &str = "ca.crt";
const CA_LIFE: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// Clients refuse leaves that live longer than 398 days; ours are minted anew long before.
const LEAF_LIFE: Duration = Duration::from_secs(90 * 24 * 3600);
/// Clocks of clients may be a little slow.
const BACKDATED: Duration = Duration::from_secs(24 * 3600);
/// XmppAddr, RFC 6120 §13.7.1.4.
const XMPP_ADDR: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 8, 5];

/// What is wrong with the certificate authority, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// A file or directory is not as it must be.
    #[error("{}: {error}; name another directory with --data-dir", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file is not what we wrote.
    #[error("{}: not a certificate authority iqtap can use ({reason}); move it away and a new one is made", path.display())]
    Broken {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Making a key or certificate failed.
    #[error("making a certificate: {0}")]
    Make(#[from] rcgen::Error),
}

/// A certificate authority, ready to sign.
#[derive(Debug)]
pub struct Authority {
    directory: PathBuf,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Opens the authority kept in `directory`; makes directory and authority if they are missing.
    ///
    /// # Errors
    /// If it cannot be read, made or used.
    pub fn open(directory: &Path) -> Result<Self, CaError> {
        let secret = directory.join(SECRET_FILE);
        let pem = match fs::read_to_string(&secret) {
            Ok(pem) => pem,
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(directory, &secret)?,
            Err(error) => return Err(CaError::File { path: secret, error }),
        };
        private::keep(&secret, "the authority's key").map_err(|error| CaError::File { path: secret.clone(), error })?;
        let broken = |reason: String| CaError::Broken { path: secret.clone(), reason };
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| broken(error.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| broken(error.to_string()))?;
        let key = KeyPair::try_from(&key).map_err(|error| broken(error.to_string()))?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(|error| broken(error.to_string()))?;
        let authority = Self { directory: directory.to_owned(), certificate, issuer };
        authority.publish().map_err(|error| CaError::File { path: authority.certificate_path(), error })?;
        Ok(authority)
    }

    /// The file clients are given.
    #[must_use]
    pub fn certificate_path(&self) -> PathBuf {
        self.directory.join(PUBLIC_FILE)
    }

    /// SHA-256 of the certificate, as `AB:CD:...`.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        super::tls::sha256(&self.certificate).iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
    }

    /// A new key and a certificate for one domain or IP address.
    pub(super) fn mint(&self, name: &str) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), rcgen::Error> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = match name.parse::<IpAddr>() {
            Ok(address) => vec![SanType::IpAddress(address)],
            Err(_) => vec![
                SanType::DnsName(Ia5String::try_from(name)?),
                SanType::OtherName((XMPP_ADDR.to_vec(), name.into())),
            ],
        };
        params.distinguished_name = DistinguishedName::new();
        if name.len() <= 64 {
            params.distinguished_name.push(DnType::CommonName, name); // RFC 5280 allows no longer one
        }
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        valid_for(&mut params, LEAF_LIFE);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok((certificate.into(), PrivatePkcs8KeyDer::from(key.serialize_der()).into()))
    }

    /// Writes the certificate alone, unless it is there already.
    fn publish(&self) -> io::Result<()> {
        let pem = pem("CERTIFICATE", &self.certificate);
        let path = self.certificate_path();
        if fs::read_to_string(&path).is_ok_and(|there| there == pem) {
            return Ok(());
        }
        let temporary = write_aside(&self.directory, &pem, 0o644)?;
        fs::rename(temporary, path)
    }
}

/// Makes an authority and puts it in place, unless another process was quicker: then that one's. Gives the file's text.
fn create(directory: &Path, secret: &Path) -> Result<String, CaError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| CaError::File { path, error }
    };
    private::directory(directory).map_err(at(directory))?;
    let key = KeyPair::generate()?;
    let certificate = authority_params().self_signed(&key)?;
    let text = format!("{}{}", key.serialize_pem(), certificate.pem());
    let temporary = write_aside(directory, &text, 0o600).map_err(at(directory))?;
    let placed = fs::hard_link(&temporary, secret); // unlike rename, never replaces one that is already there
    let _ = fs::remove_file(&temporary);
    match placed {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(at(secret)(error)),
        _ => fs::read_to_string(secret).map_err(at(secret)),
    }
}

fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "iqtap (made on this machine, for testing)");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid_for(&mut params, CA_LIFE);
    params
}

fn valid_for(params: &mut CertificateParams, life: Duration) {
    let now = SystemTime::now();
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + life).into();
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}

/// Writes a new file beside the others, whole and on disk, under a name nobody else uses.
fn write_aside(directory: &Path, text: &str, mode: u32) -> io::Result<PathBuf> {
    use std::sync::atomic::{AtomicU64, Ordering};
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let path = directory.join(format!(".{}-{}.new", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(&path)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = fs::remove_file(&path);
    }
    written.map(|()| path)
}
