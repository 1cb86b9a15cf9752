//! Certificates by the name in a greeting (SNI), replaced without a break.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::challenge;
use crate::document::Certificate;
use crate::host;

/// Error of a certificate in files.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file that cannot be read, or is not PEM.
    #[error("{path} is no file of PEM that can be read: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: rustls::pki_types::pem::Error,
    },
    /// A file without a certificate.
    #[error("{path} has no certificate")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A key of an unknown kind, or of another certificate.
    #[error("{path} does not fit its certificate: {source}")]
    Key {
        /// The file.
        path: PathBuf,
        /// Cause.
        source: rustls::Error,
    },
    /// A certificate with the proof of a challenge that cannot be made.
    #[error("the proof for {name} cannot be made: {words}")]
    Proof {
        /// Host name.
        name: String,
        /// Cause.
        words: String,
    },
    /// The TLS library refuses its own settings.
    #[error("TLS cannot be set up: {source}")]
    Settings {
        /// Cause.
        source: rustls::Error,
    },
}

/// Keys by the names and patterns for which they are used.
pub type Keys = HashMap<String, Arc<CertifiedKey>>;

/// The certificates that are served: those of hosts, and those that prove something to an authority.
#[derive(Debug, Default)]
struct Served(RwLock<(Arc<Keys>, Arc<Keys>)>);

impl ResolvesServerCert for Served {
    /// An unknown name gets an alert and not somebody else's certificate; so does a greeting without a name.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = host::normal(hello.server_name()?)?;
        let (keys, proofs) = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        // An authority offers this protocol alone (RFC 8737, section 3), and gets nothing else by it.
        let offered: Option<Vec<&[u8]>> = hello.alpn().map(Iterator::collect);
        if offered.is_some_and(|offered| offered == [challenge::PROTOCOL]) {
            return proofs.get(&name).cloned();
        }
        let key = keys.get(&name).or_else(|| keys.get(&host::pattern_of(&name)?));
        key.cloned()
    }
}

/// The TLS side of a door.
#[derive(Clone)]
pub struct Certificates {
    served: Arc<Served>,
    acceptor: TlsAcceptor,
}

impl std::fmt::Debug for Certificates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certificates").field("served", &self.served).finish_non_exhaustive()
    }
}

impl Certificates {
    /// No certificate yet. TLS 1.2 and 1.3, HTTP/2 before HTTP/1.1.
    ///
    /// # Errors
    /// [`CertificateError::Settings`].
    pub fn new() -> Result<Certificates, CertificateError> {
        let served = Arc::new(Served::default());
        let settings = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|source| CertificateError::Settings { source })?;
        let mut settings = settings.with_no_client_auth().with_cert_resolver(served.clone());
        settings.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec(), challenge::PROTOCOL.to_vec()];
        Ok(Certificates { served, acceptor: TlsAcceptor::from(Arc::new(settings)) })
    }

    /// Serves other keys, and other proofs for authorities, from the next greeting on.
    pub fn replace(&self, keys: Keys, proofs: Keys) {
        *self.served.0.write().unwrap_or_else(PoisonError::into_inner) = (Arc::new(keys), Arc::new(proofs));
    }

    /// Greets a client.
    ///
    /// # Errors
    /// Those of the greeting.
    pub async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        self.acceptor.accept(stream).await
    }
}

/// Reads the certificates of a document.
///
/// # Errors
/// The first that cannot be used.
pub fn load(certificates: &[Certificate]) -> Result<Keys, CertificateError> {
    let mut keys = Keys::new();
    for certificate in certificates {
        let key = Arc::new(load_one(&certificate.chain, &certificate.key)?);
        keys.extend(certificate.names.iter().map(|name| (name.clone(), key.clone())));
    }
    Ok(keys)
}

fn load_one(chain: &Path, key: &Path) -> Result<CertifiedKey, CertificateError> {
    let file = |path: &Path| {
        let path = path.to_path_buf();
        move |source| CertificateError::File { path: path.clone(), source }
    };
    let read = CertificateDer::pem_file_iter(chain).map_err(file(chain))?;
    let certificates: Vec<CertificateDer<'static>> = read.collect::<Result<_, _>>().map_err(file(chain))?;
    if certificates.is_empty() {
        return Err(CertificateError::Empty { path: chain.to_path_buf() });
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(file(key))?;
    CertifiedKey::from_der(certificates, private, &ring::default_provider())
        .map_err(|source| CertificateError::Key { path: key.to_path_buf(), source })
}
