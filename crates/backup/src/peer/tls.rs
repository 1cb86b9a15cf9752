//! TLS between a guest and its lender (B-71): version 1.3 alone, raw public keys (RFC 7250) on both sides, no certificate, no authority and no clock.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, NoServerSessionStorage};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
};

use super::key::{NodeKey, NodePublicKey};
use super::wire::PROTOCOL;

/// The name that a greeting would carry. It is not sent, and nobody checks it: keys say who is who.
const NAME: &str = "lender.invalid";

/// The other side's key, held against what is expected of it.
#[derive(Debug)]
struct Keys {
    /// The only key that is taken; any without it.
    pinned: Option<NodePublicKey>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Keys {
    fn check(&self, end_entity: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Result<(), Error> {
        let bytes: &[u8] = end_entity.as_ref();
        let key = NodePublicKey::of_spki(bytes).filter(|_| others.is_empty());
        let key = key.ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))?;
        match self.pinned {
            Some(pinned) if pinned != key => {
                Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
            _ => Ok(()),
        }
    }

    fn check_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let bytes: &[u8] = key.as_ref();
        let key = SubjectPublicKeyInfoDer::from(bytes);
        verify_tls13_signature_with_raw_key(message, &key, signature, &self.algorithms)
    }
}

/// The answer for versions of TLS that are not spoken.
fn not_spoken() -> Error {
    Error::General("version 1.3 of TLS alone is spoken".into())
}

impl ServerCertVerifier for Keys {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity, intermediates).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(not_spoken())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Keys {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity, intermediates).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(not_spoken())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// A verifier that takes one key, or any.
fn keys(pinned: Option<NodePublicKey>) -> Arc<Keys> {
    Arc::new(Keys { pinned, algorithms: ring::default_provider().signature_verification_algorithms })
}

/// A key as TLS presents it.
fn presented(own: &NodeKey) -> Result<Arc<CertifiedKey>, Error> {
    let signing = ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(own.to_pkcs8()))?;
    Ok(Arc::new(CertifiedKey::new(vec![CertificateDer::from(own.public().to_spki())], signing)))
}

/// A guest's side: it takes no key but the lender's.
pub(super) fn client(own: &NodeKey, lender: NodePublicKey) -> Result<Arc<ClientConfig>, Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(&[&TLS13])?;
    let builder = builder.dangerous().with_custom_certificate_verifier(keys(Some(lender)));
    let resolver = AlwaysResolvesClientRawPublicKeys::new(presented(own)?);
    let mut config = builder.with_client_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Ok(Arc::new(config))
}

/// A lender's side: it takes any key, and its rules say what the key may do.
pub(super) fn server(own: &NodeKey) -> Result<Arc<ServerConfig>, Error> {
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(&[&TLS13])?;
    let builder = builder.with_client_cert_verifier(keys(None));
    let mut config = builder.with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(presented(own)?)));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    // A connection that goes on with an earlier one's secrets would prove no key.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// The name that a client's side has to have.
pub(super) fn name() -> Result<ServerName<'static>, Error> {
    ServerName::try_from(NAME).map_err(|_| Error::General("the name of the other side is none".into()))
}
