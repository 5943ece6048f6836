//! A small certificate authority: what a server of the domain shows, and what its clients trust.

use super::DOMAIN;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use std::path::{Path, PathBuf};

/// Files in a folder of the test.
pub(crate) struct Certs {
    pub(crate) ca: PathBuf,
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certs {
    /// A new authority, and a leaf for the domain.
    pub(crate) fn make(dir: &Path) -> Self {
        Self::for_name(dir, DOMAIN)
    }

    /// The same with a leaf for another name.
    pub(crate) fn for_name(dir: &Path, name: &str) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let (ca_key, leaf_key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut ca = CertificateParams::default();
        // COMPAT: ejabberd 23.01 sets a timer for the day before a certificate ends; the year 4096 is too far for it.
        ca.not_after = date_time_ymd(2060, 1, 1);
        ca.distinguished_name.push(DnType::CommonName, "iqtap's tests");
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let ca_cert = ca.self_signed(&ca_key).unwrap();
        // CA:FALSE is said by leaving it out; webpki refuses a CA as a server's own certificate.
        let mut leaf = CertificateParams::new(vec![name.to_owned()]).unwrap();
        leaf.not_after = ca.not_after;
        leaf.distinguished_name.push(DnType::CommonName, name);
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.use_authority_key_identifier_extension = true;
        let leaf_cert = leaf.signed_by(&leaf_key, &Issuer::from_params(&ca, &ca_key)).unwrap();
        let certs = Self { ca: dir.join("ca.crt"), cert: dir.join("server.crt"), key: dir.join("server.key") };
        std::fs::write(&certs.ca, ca_cert.pem()).unwrap();
        std::fs::write(&certs.cert, leaf_cert.pem()).unwrap();
        std::fs::write(&certs.key, leaf_key.serialize_pem()).unwrap();
        certs
    }
}
