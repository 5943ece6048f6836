//! `--key-log`: what the peers of both legs know of their connections' secrets stands in the file, line by line.

#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod net_support;

use iqtap::net::Trust;
use iqtap::policy::{ClientTls, ServerTls};
use net_support::{DOMAIN, Lab, Peer, name, soon};
use rustls::KeyLog;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A peer's own lines.
#[derive(Debug, Default)]
struct Lines(Mutex<Vec<String>>);

impl KeyLog for Lines {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        self.0.lock().unwrap().push(format!("{label} {} {}", hex(client_random), hex(secret)));
    }
}

fn acceptor(lines: &Arc<Lines>) -> TlsAcceptor {
    let certificate = rcgen::generate_simple_self_signed([DOMAIN.to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(certificate.signing_key.serialize_der());
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], key.into())
        .unwrap();
    config.key_log = Arc::clone(lines) as Arc<dyn KeyLog>;
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::test]
async fn both_legs_keys_are_written_behind_what_is_there() {
    let [outside, inside] = [Arc::<Lines>::default(), Arc::<Lines>::default()];
    let acceptor = acceptor(&inside);
    let lab = Lab::start(|setup, directory| {
        (setup.terms.route.client_tls, setup.terms.route.server_tls) = (ClientTls::Direct, ServerTls::Direct);
        setup.terms.trust = Trust::Anybody;
        let file = directory.join("keys");
        fs::write(&file, "# of another program\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        setup.terms.key_log = Some(file);
    })
    .await;

    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(lab.directory.path().join("data/ca.crt")).unwrap()).unwrap();
    let mut config = rustls::ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.key_log = Arc::clone(&outside) as Arc<dyn KeyLog>;
    let client = async {
        let tcp = TcpStream::connect(lab.address).await.unwrap();
        let mut client =
            Peer::new(soon(TlsConnector::from(Arc::new(config)).connect(name(DOMAIN), tcp)).await.unwrap());
        client.log_in().await;
        client
    };
    let server = async {
        let tcp = soon(lab.upstream.accept()).await.unwrap().0;
        let mut server = Peer::new(soon(acceptor.accept(tcp)).await.unwrap());
        server.serve_login().await;
        server
    };
    let peers = tokio::join!(client, server);
    let file = lab.directory.path().join("keys");
    let written = fs::read_to_string(&file).unwrap();
    assert!(written.starts_with("# of another program\n"), "{written}");
    let lines: Vec<&str> = written.lines().collect();
    for known in [&outside, &inside] {
        let known = known.0.lock().unwrap();
        // TLS 1.3: two of the handshake, two of what follows, and the exporter's.
        assert!(known.len() >= 4, "{known:?}");
        for line in known.iter() {
            assert!(lines.contains(&line.as_str()), "{line} is not in {written}");
        }
    }
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "others cannot read it any more");
    drop(peers);
    lab.stopped().await;
}
