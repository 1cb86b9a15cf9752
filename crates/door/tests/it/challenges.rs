//! Proofs for an authority, over real sockets: at the port of HTTP and in a greeting.

use std::net::SocketAddr;
use std::sync::Arc;

use openmesh_door::document::{Challenge, Document, Listener, Protocol};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::stage::{App, Raw, document, door, open, taken, within};

const PATH: &str = "/.well-known/acme-challenge/abc";

#[tokio::test]
async fn tokens_are_the_doors_while_a_certificate_is_ordered_and_the_applications_else() {
    let app = App::start("app").await;
    let mut first = document(1, &[("a", open(&app, Protocol::Http1)), ("b", open(&app, Protocol::Http1))]);
    // One that is served with TLS alone proves without: nothing else can come before its first certificate.
    first.hosts.get_mut("a.test").expect("a host").secure = true;
    let tokens = [("abc".to_string(), "abc.def".to_string())].into();
    first.challenges = [("a.test".to_string(), Challenge { tokens, digest: None })].into();
    let (door, at) = door(first.clone()).await;
    let mut raw = Raw::to(at[0]).await;
    let said = raw.get("a.test", PATH).await;
    assert_eq!((said.status, said.body.as_str()), (200, "abc.def"));
    assert_eq!(raw.get("a.test:8080", PATH).await.body, "abc.def", "with a port in the name");
    assert_eq!(raw.get("a.test", "/.well-known/acme-challenge/other").await.status, 404);
    assert_eq!(raw.get("a.test", "/").await.status, 308);
    assert_eq!(app.count(&format!("GET {PATH}")), 0);
    // Another name has no order: its application answers.
    assert_eq!(raw.get("b.test", PATH).await.status, 200);
    assert_eq!(app.count(&format!("GET {PATH}")), 1);
    taken(&door, Document { serial: 2, challenges: Default::default(), ..first }).await;
    assert_eq!(raw.get("a.test", PATH).await.status, 308, "the order is over");
}

/// Takes every certificate: that of a proof is signed by itself.
#[derive(Debug)]
struct Anything;

impl rustls::client::danger::ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// The certificate of a greeting with these protocols, and the protocol that was chosen.
async fn greet(at: SocketAddr, name: &str, protocols: &[&str]) -> std::io::Result<(Vec<u8>, Option<Vec<u8>>)> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let settings =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let mut settings = settings.dangerous().with_custom_certificate_verifier(Arc::new(Anything)).with_no_client_auth();
    settings.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let stream = within("a connection", TcpStream::connect(at)).await?;
    let name = ServerName::try_from(name.to_string()).expect("a name");
    let stream = within("a greeting", TlsConnector::from(Arc::new(settings)).connect(name, stream)).await?;
    let (_, session) = stream.get_ref();
    let certificate = session.peer_certificates().expect("certificates")[0].to_vec();
    Ok((certificate, session.alpn_protocol().map(<[u8]>::to_vec)))
}

#[tokio::test]
async fn a_greeting_for_an_authority_has_the_digest_and_nothing_else() {
    let app = App::start("app").await;
    let mut first = document(1, &[("a", open(&app, Protocol::Http1))]);
    first.listeners = vec![Listener { address: "127.0.0.1:0".parse().expect("an address"), tls: true, route: None }];
    let digest: String = "0123456789abcdef".repeat(4);
    first.challenges = [("a.test".to_string(), Challenge { digest: Some(digest), ..Challenge::default() })].into();
    let (door, at) = door(first.clone()).await;
    let (certificate, protocol) = greet(at[0], "a.test", &["acme-tls/1"]).await.expect("a greeting");
    assert_eq!(protocol.as_deref(), Some(&b"acme-tls/1"[..]));
    // Octet string of 32 bytes behind the identifier 1.3.6.1.5.5.7.1.31, which is critical (RFC 8737, section 3).
    let mut expected =
        vec![0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x1f, 0x01, 0x01, 0xff, 0x04, 0x22, 0x04, 0x20];
    expected.extend([0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef].repeat(4));
    assert!(certificate.windows(expected.len()).any(|part| part == expected), "{certificate:02x?}");
    let refused: [(&str, &[&str]); 4] =
        [("a.test", &["http/1.1"]), ("a.test", &["acme-tls/1", "h2"]), ("a.test", &[]), ("b.test", &["acme-tls/1"])];
    for (name, protocols) in refused {
        assert!(greet(at[0], name, protocols).await.is_err(), "{name} {protocols:?}");
    }
    assert_eq!(door.report().serial, 1);
}
