//! TLS on both legs, against scripted peers: what must work, and what must be refused with a reason.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must stop")]

mod net_support;

use iqtap::net::{ClientCertificate, Server, Setup, Trust};
use iqtap::policy::{ClientTls, ServerTls};
use net_support::{DOMAIN, HEADER, Lab, MECHANISMS, PROCEED, Peer, STARTTLS, TestCa, connector, name, soon};
use rcgen::{CertificateParams, date_time_ymd};
use std::path::Path;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// A lab with these modes, whose proxy trusts `ca` about its server.
async fn lab(client: ClientTls, server: ServerTls, ca: Option<&TestCa>) -> Lab {
    Lab::start(|setup, directory| {
        (setup.terms.route.client_tls, setup.terms.route.server_tls) = (client, server);
        if let Some(ca) = ca {
            let file = directory.join("upstream-ca.crt");
            std::fs::write(&file, &ca.pem).unwrap();
            setup.terms.trust = Trust::File(file);
        }
    })
    .await
}

async fn starttls(lab: &Lab, sni: bool) -> Peer {
    let mut tcp = TcpStream::connect(lab.address).await.unwrap();
    clear_part(&mut tcp).await;
    let tls = connector(&lab.directory.path().join("data/ca.crt"), sni, &[]);
    Peer::new(soon(tls.connect(name(DOMAIN), tcp)).await.unwrap())
}

/// A client's words before STARTTLS, one byte read at a time: what follows `<proceed/>` belongs to TLS.
async fn clear_part(tcp: &mut TcpStream) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    async fn until(tcp: &mut TcpStream, end: &str) {
        let mut seen = Vec::new();
        while !seen.ends_with(end.as_bytes()) {
            seen.push(soon(tcp.read_u8()).await.unwrap());
        }
    }
    tcp.write_all(HEADER.as_bytes()).await.unwrap();
    until(tcp, "</stream:features>").await;
    tcp.write_all(STARTTLS.as_bytes()).await.unwrap();
    until(tcp, PROCEED).await;
}

/// A server's words before STARTTLS, then TLS.
async fn serve_starttls(lab: &Lab, acceptor: &TlsAcceptor) -> Result<Peer, std::io::Error> {
    let tcp = soon(lab.upstream.accept()).await.unwrap().0;
    serve_starttls_on(tcp, acceptor).await
}

async fn serve_starttls_on(tcp: TcpStream, acceptor: &TlsAcceptor) -> Result<Peer, std::io::Error> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut tcp = tcp;
    let mut seen = Vec::new();
    while !seen.ends_with(b">") || !String::from_utf8_lossy(&seen).contains("<stream:stream") {
        seen.push(soon(tcp.read_u8()).await?);
    }
    let header = "<?xml version='1.0'?><stream:stream from='example.org' id='s0' version='1.0' \
        xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
    tcp.write_all(format!("{header}<stream:features>{STARTTLS}</stream:features>").as_bytes()).await?;
    seen.clear();
    while !String::from_utf8_lossy(&seen).contains("starttls") || !seen.ends_with(b">") {
        seen.push(soon(tcp.read_u8()).await?);
    }
    tcp.write_all(PROCEED.as_bytes()).await?;
    Ok(Peer::new(soon(acceptor.accept(tcp)).await?))
}

#[tokio::test]
async fn starttls_on_both_legs() {
    let ca = TestCa::new("one");
    let lab = lab(ClientTls::Require, ServerTls::Starttls, Some(&ca)).await;
    for sni in [true, false] {
        let login = async {
            let mut server = serve_starttls(&lab, &ca.acceptor(DOMAIN)).await.unwrap();
            server.serve_login().await;
            server
        };
        let (mut client, mut server) = tokio::join!(
            async {
                let mut client = starttls(&lab, sni).await;
                client.log_in().await;
                client
            },
            login
        );
        client.send("<message id='1'><body>hi</body></message>").await;
        server.expect("<message id='1'><body>hi</body></message>").await;
        server.send("</stream:stream>").await;
        client.expect("</stream:stream>").await;
        client.send("</stream:stream>").await;
        assert_eq!((client.end().await.as_str(), server.end().await.as_str()), ("", "</stream:stream>"));
    }
    assert_eq!(lab.stopped().await.sessions, 2);
}

#[tokio::test]
async fn direct_tls_on_both_legs_also_where_starttls_is_required() {
    let ca = TestCa::new("one");
    for client_tls in [ClientTls::Direct, ClientTls::Require, ClientTls::Offer] {
        let lab = lab(client_tls, ServerTls::Direct, Some(&ca)).await;
        let file = lab.directory.path().join("data/ca.crt");
        for alpn in [&[][..], &["xmpp-client"]] {
            let tcp = TcpStream::connect(lab.address).await.unwrap();
            let client = async {
                let tls = soon(connector(&file, true, alpn).connect(name(DOMAIN), tcp)).await.unwrap();
                assert_eq!(tls.get_ref().1.alpn_protocol(), alpn.first().map(|alpn| alpn.as_bytes()));
                let mut client = Peer::new(tls);
                client.log_in().await;
                client
            };
            let server = async {
                let tcp = soon(lab.upstream.accept()).await.unwrap().0;
                let tls = soon(ca.acceptor(DOMAIN).accept(tcp)).await.unwrap();
                assert_eq!(tls.get_ref().1.server_name(), Some(DOMAIN));
                assert_eq!(tls.get_ref().1.alpn_protocol(), None, "a server without ALPN is fine");
                let mut server = Peer::new(tls);
                server.serve_login().await;
                server
            };
            let (mut client, mut server) = tokio::join!(client, server);
            // Much at once through TLS, both ways.
            let text = format!("<message id='1'><body>{}</body></message>", "x".repeat(200_000));
            let (from_client, from_server) = tokio::join!(
                async {
                    client.send(&text).await;
                    client.expect("</message>").await
                },
                async {
                    server.send(&text).await;
                    server.expect("</message>").await
                }
            );
            assert!(from_client == text && from_server == text);
        }
    }
}

#[tokio::test]
async fn a_client_that_offers_another_protocol_only_is_refused() {
    let lab = lab(ClientTls::Direct, ServerTls::Off, None).await;
    let tcp = TcpStream::connect(lab.address).await.unwrap();
    let tls = connector(&lab.directory.path().join("data/ca.crt"), true, &["h2"]);
    let error = soon(tls.connect(name(DOMAIN), tcp)).await.unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
}

#[tokio::test]
async fn a_client_in_the_clear_is_cut_where_tls_comes_first() {
    let lab = lab(ClientTls::Direct, ServerTls::Off, None).await;
    let mut client = lab.client().await;
    client.send(HEADER).await;
    assert!(!client.end().await.contains("<stream"));
}

/// Logs a client in the clear through a proxy that trusts `ca`, before a server with this certificate: gives what the
/// client is told.
async fn told(ca: &TestCa, acceptor: &TlsAcceptor) -> String {
    let mut told = String::new();
    for mode in [ServerTls::Starttls, ServerTls::Direct] {
        let lab = lab(ClientTls::Off, mode, Some(ca)).await;
        let mut client = lab.client().await;
        client.send(HEADER).await;
        let serve = async {
            let tcp = soon(lab.upstream.accept()).await.unwrap().0;
            let served = match mode {
                ServerTls::Direct => soon(acceptor.accept(tcp)).await.map(Peer::new),
                _ => serve_starttls_on(tcp, acceptor).await,
            };
            if let Ok(mut server) = served {
                assert_eq!(server.end().await, "", "nothing may be said to a server that is not believed");
            }
        };
        let ((), said) = tokio::join!(serve, client.end());
        assert!(said.contains("<remote-connection-failed"), "{said}");
        assert!(told.is_empty() || text(&told) == text(&said), "both modes say the same: {told} {said}");
        told = said;
    }
    told
}

/// The text of the stream error.
fn text(told: &str) -> &str {
    told.split_once("<text").and_then(|(_, text)| text.split_once('>')).unwrap().1.split('<').next().unwrap()
}

const WRONG: &str = "the server's certificate is not for example.org but for";

#[tokio::test]
async fn a_server_that_proves_nothing_is_refused_with_a_reason() {
    let ca = TestCa::new("one");
    let wrong_name = told(&ca, &ca.acceptor("other.example")).await;
    let cure = "; is --upstream the right server for this JID?";
    assert_eq!(text(&wrong_name).rsplit(": ").next().unwrap(), format!("{WRONG} other.example{cure}"));
    let params = CertificateParams::new(["localhost", "xmpp.test", "c.test", "d.test"].map(str::to_owned)).unwrap();
    let wrong_names = told(&ca, &ca.acceptor_with(params)).await;
    assert!(wrong_names.contains(&format!("{WRONG} localhost, xmpp.test and 2 more{cure}")), "{wrong_names}");

    for authority in ["one", "two"] {
        let unknown = told(&ca, &TestCa::new(authority).acceptor(DOMAIN)).await;
        assert!(unknown.contains("does not know") && unknown.contains("--server-ca FILE"), "{unknown}");
    }

    let dated = |from, to| {
        let mut params = CertificateParams::new([DOMAIN.to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        ca.acceptor_with(params)
    };
    let expired = told(&ca, &dated(2001, 2002)).await;
    assert!(expired.contains("has expired"), "{expired}");
    let future = told(&ca, &dated(2100, 2101)).await;
    assert!(future.contains("is not valid yet"), "{future}");
}

#[tokio::test]
async fn a_server_without_starttls_or_with_words_behind_proceed_gets_no_credentials() {
    let ca = TestCa::new("one");
    let lab = lab(ClientTls::Off, ServerTls::Starttls, Some(&ca)).await;
    // Stripped.
    let mut client = lab.client().await;
    client.send(HEADER).await;
    let mut server = lab.server().await;
    server.expect_header().await;
    server.send_features(MECHANISMS).await;
    assert!(client.end().await.contains("<remote-connection-failed"));
    assert!(!server.end().await.contains("<auth"));
    // Garbage instead of a handshake, and clear text pushed in behind <proceed/>.
    for behind in ["garbage", "<stream:features/>"] {
        let mut client = lab.client().await;
        client.send(HEADER).await;
        let mut server = lab.server().await;
        server.expect_header().await;
        server.send_features(STARTTLS).await;
        server.expect("<starttls").await;
        server.send(&format!("{PROCEED}{behind}")).await;
        assert!(client.end().await.contains("<remote-connection-failed"), "{behind}");
        assert!(!server.end().await.contains("<auth"), "{behind}");
    }
}

#[tokio::test]
async fn words_behind_a_clients_starttls_are_an_attack() {
    let lab = lab(ClientTls::Require, ServerTls::Off, None).await;
    let mut client = lab.client().await;
    client.send(HEADER).await;
    client.expect("</stream:features>").await;
    client.send(&format!("{STARTTLS}<presence/>")).await;
    client.end().await;
    assert_eq!(lab.stopped().await.tally.stanzas, [[0; 3]; 2]);
}

#[tokio::test]
async fn any_certificate_is_believed_only_when_asked_for() {
    let ca = TestCa::new("one");
    let lab = Lab::start(|setup, _| {
        setup.terms.route.server_tls = ServerTls::Direct;
        setup.terms.trust = Trust::Anybody;
    })
    .await;
    let mut client = lab.client().await;
    let serve = async {
        let tcp = soon(lab.upstream.accept()).await.unwrap().0;
        let mut server = Peer::new(soon(ca.acceptor("other.example").accept(tcp)).await.unwrap());
        server.serve_login().await;
    };
    tokio::join!(client.log_in(), serve);
}

#[tokio::test]
async fn the_operators_own_certificate_is_shown() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = (directory.path().join("c.crt"), directory.path().join("c.key"));
    let own = rcgen::generate_simple_self_signed([DOMAIN.to_owned()]).unwrap();
    std::fs::write(&certificate, own.cert.pem()).unwrap();
    std::fs::write(&key, own.signing_key.serialize_pem()).unwrap();
    let lab = Lab::start(|setup, _| {
        setup.terms.route.client_tls = ClientTls::Direct;
        setup.terms.certificate = ClientCertificate::Files { certificate: certificate.clone(), key: key.clone() };
    })
    .await;
    let tcp = TcpStream::connect(lab.address).await.unwrap();
    soon(connector(&certificate, true, &[]).connect(name(DOMAIN), tcp)).await.unwrap();
    assert!(!lab.directory.path().join("data").exists(), "no authority is made when none is needed");
}

#[tokio::test]
async fn files_of_no_use_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("nonsense.pem");
    std::fs::write(&file, "nonsense").unwrap();
    let upstream: iqtap::config::Upstream = "127.0.0.1:9".parse().unwrap();
    let bind = async |change: &dyn Fn(&mut Setup)| {
        let address = "127.0.0.1:0".parse().unwrap();
        let mut setup = Setup::new(address, upstream.clone(), directory.path().join("data"));
        change(&mut setup);
        Server::bind(setup).await.err().unwrap().to_string()
    };
    let said = bind(&|setup| setup.terms.trust = Trust::File(file.clone())).await;
    assert!(said.contains("nonsense.pem") && said.contains("no certificate"), "{said}");
    let said = bind(&|setup| setup.terms.trust = Trust::File(Path::new("missing.pem").to_owned())).await;
    assert!(said.contains("missing.pem"), "{said}");
    let said = bind(&|setup| {
        setup.terms.certificate = ClientCertificate::Files { certificate: file.clone(), key: file.clone() };
    })
    .await;
    assert!(said.contains("nonsense.pem"), "{said}");
    let said = bind(&|setup| setup.terms.certificate = ClientCertificate::Minted(file.clone())).await;
    assert!(said.contains("--data-dir"), "{said}");
}
