//! The certificate a client sees: minted for the domain it asks for, or the operator's own.
//!
//! Takes names that come from strangers; gives TLS configurations, few and bounded in number.

use super::ca::Authority;
use super::tls::{ALPN, TlsError, provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{KeyLog, ServerConfig};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Domains kept. A client that makes up names costs a signature each, as a handshake does anyway.
const CACHE_NAMES: usize = 256;
/// Minted anew after this time: far before the certificate ends.
const MINT_AGAIN: Duration = Duration::from_secs(30 * 24 * 3600);
/// For clients that tell no usable name at all.
const DEFAULT_NAME: &str = "localhost";

/// Where certificates for clients come from.
#[derive(Debug)]
pub(super) enum Identity {
    /// One for all names.
    Fixed(Arc<ServerConfig>),
    /// One per name.
    Minted {
        authority: Box<Authority>,
        cache: Mutex<BTreeMap<String, (Instant, Arc<ServerConfig>)>>,
        keys: Arc<dyn KeyLog>,
    },
}

impl Identity {
    /// From the operator's files.
    pub(super) fn from_files(certificate: &Path, key: &Path, keys: Arc<dyn KeyLog>) -> Result<Self, TlsError> {
        let bad = |path: &Path, reason: String| TlsError::BadFile { path: path.to_owned(), reason };
        let chain = certificates(certificate)?;
        let key_der = PrivateKeyDer::from_pem_file(key)
            .map_err(|error| bad(key, format!("no private key in PEM form can be read ({error})")))?;
        server_config(chain, key_der, keys).map(Self::Fixed).map_err(|error| bad(key, error.to_string()))
    }

    /// From our own authority.
    pub(super) fn minted(authority: Authority, keys: Arc<dyn KeyLog>) -> Self {
        Self::Minted { authority: Box::new(authority), cache: Mutex::default(), keys }
    }

    /// The configuration for the first of `names` that can be a domain.
    pub(super) fn config<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<Arc<ServerConfig>, String> {
        let (authority, cache, keys) = match self {
            Self::Fixed(config) => return Ok(Arc::clone(config)),
            Self::Minted { authority, cache, keys } => (authority, cache, keys),
        };
        let name = names.into_iter().find_map(usable_name).unwrap_or_else(|| DEFAULT_NAME.to_owned());
        let now = Instant::now();
        if let Some((minted, config)) = cache.lock().unwrap_or_else(PoisonError::into_inner).get(&name)
            && now.duration_since(*minted) < MINT_AGAIN
        {
            return Ok(Arc::clone(config));
        }
        let (certificate, key) =
            authority.mint(&name).map_err(|error| format!("no certificate for {name}: {error}"))?;
        let config = server_config(vec![certificate], key, Arc::clone(keys)).map_err(|error| error.to_string())?;
        let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHE_NAMES {
            let oldest = cache.iter().min_by_key(|(_, (minted, _))| *minted).map(|(name, _)| name.clone());
            oldest.map(|name| cache.remove(&name));
        }
        cache.insert(name, (now, Arc::clone(&config)));
        Ok(config)
    }
}

/// The certificates of a PEM file; at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bad = |reason: String| TlsError::BadFile { path: path.to_owned(), reason };
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| bad(format!("no certificates in PEM form can be read ({error})")))?;
    if certificates.is_empty() {
        return Err(bad("there is no certificate in PEM form in it".into()));
    }
    Ok(certificates)
}

fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    keys: Arc<dyn KeyLog>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    // A client that offers no ALPN at all is taken; one that offers only other protocols is not.
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.key_log = keys;
    Ok(Arc::new(config))
}

/// The name in the form a certificate has it, if it can be a DNS name or an IP address.
fn usable_name(name: &str) -> Option<String> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Some(address.to_string());
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let label_is_fine = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    (name.len() <= 253 && name.split('.').all(label_is_fine)).then(|| name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_can_be_domains_are_minted_for() {
        assert_eq!(usable_name("Example.ORG.").as_deref(), Some("example.org"));
        assert_eq!(usable_name("::1").as_deref(), Some("::1"));
        for bad in
            ["", ".", "a..b", "-a.example", "a b", "a/b", "b\u{fc}cher.example", &"a".repeat(64), &"a.".repeat(200)]
        {
            assert_eq!(usable_name(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_cache_is_bounded_and_used() {
        let directory = tempfile::tempdir().unwrap();
        let identity = Identity::minted(Authority::open(directory.path()).unwrap(), Arc::new(rustls::NoKeyLog));
        let first = identity.config(["a b", "example.org"]).unwrap();
        assert!(Arc::ptr_eq(&first, &identity.config(["EXAMPLE.org"]).unwrap()));
        for i in 0..CACHE_NAMES {
            identity.config([format!("n{i}.example").as_str()]).unwrap();
        }
        let Identity::Minted { cache, .. } = &identity else { panic!() };
        assert_eq!(cache.lock().unwrap().len(), CACHE_NAMES);
        assert!(!Arc::ptr_eq(&first, &identity.config(["example.org"]).unwrap()), "the oldest was dropped");
    }
}
