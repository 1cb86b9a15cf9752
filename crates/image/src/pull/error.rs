//! Faults of a pull.

use std::time::Duration;

use openmesh_primitives::Digest;

use crate::limits::{REDIRECTS_MAX, TOKEN_BYTES_MAX};
use crate::oci::OciError;
use crate::store::StoreError;

/// A request, as an error's text shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Host and port.
    pub host: String,
    /// Path.
    pub path: String,
}

impl std::fmt::Display for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.host, self.path)
    }
}

/// Fault that ends a pull.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The registry cannot be reached, or a connection broke.
    #[error("{request}: {text}")]
    Connection {
        /// The request.
        request: Request,
        /// The fault.
        text: String,
    },
    /// Nothing came for a while.
    #[error("{request}: no byte came for {} s", silence.as_secs_f64())]
    Stalled {
        /// The request.
        request: Request,
        /// Its length.
        silence: Duration,
    },
    /// Bytes come, but too slowly.
    #[error("{request}: fewer than {rate} bytes a second came")]
    Slow {
        /// The request.
        request: Request,
        /// The least rate.
        rate: u64,
    },
    /// The body ended before its end.
    #[error("{request}: the body ended after {found} of {said} bytes")]
    Short {
        /// The request.
        request: Request,
        /// Bytes that should come.
        said: u64,
        /// Bytes that came.
        found: u64,
    },
    /// The body goes on after its end.
    #[error("{request}: more than {most} bytes came")]
    Long {
        /// The request.
        request: Request,
        /// Bytes that should come at most.
        most: u64,
    },
    /// The server says another size than the manifest.
    #[error("sha256:{digest} should have {said} bytes, but has {found}")]
    Size {
        /// The blob.
        digest: Digest,
        /// Bytes by the document that names it.
        said: u64,
        /// Bytes by the server.
        found: u64,
    },
    /// Other bytes than were asked for.
    #[error("the registry gave sha256:{found} for sha256:{wanted}; it is broken, or somebody changes what it sends")]
    Digest {
        /// Digest asked for.
        wanted: Digest,
        /// Digest found.
        found: Digest,
    },
    /// A document that is not what it should be.
    #[error("sha256:{digest}: {cause}")]
    Document {
        /// The document.
        digest: Digest,
        /// The fault.
        cause: Box<OciError>,
    },
    /// Nothing by this name.
    #[error("{0}: there is none; check the name, and that it may be read without signing in")]
    NotFound(Request),
    /// Not allowed.
    #[error("{request}: the registry refuses ({status}); {hint}")]
    Forbidden {
        /// The request.
        request: Request,
        /// 401 or 403.
        status: u16,
        /// Help.
        hint: &'static str,
    },
    /// An answer that is not foreseen.
    #[error("{request}: the registry answers {status}")]
    Status {
        /// The request.
        request: Request,
        /// The status.
        status: u16,
    },
    /// The registry asks to come back later than is waited for.
    #[error("{request}: the registry asks to wait for {seconds} s; try again then")]
    Busy {
        /// The request.
        request: Request,
        /// Seconds to wait.
        seconds: u64,
    },
    /// Too many redirects.
    #[error("{0}: more than {REDIRECTS_MAX} redirects")]
    Redirects(Request),
    /// A redirect that is not followed.
    #[error("{request}: a redirect to `{target}` is not followed: {why}")]
    Redirect {
        /// The request.
        request: Request,
        /// Its target.
        target: String,
        /// The rule.
        why: &'static str,
    },
    /// A challenge that is not understood.
    #[error("{request}: the registry asks for a sign-in that is not understood: `{challenge}`")]
    Challenge {
        /// The request.
        request: Request,
        /// The challenge.
        challenge: String,
    },
    /// A token server to which the credentials are not sent.
    #[error(
        "registry {registry} sends its users to `{realm}` to sign in, which is not of its domain; if it should see the password, name it in the configuration"
    )]
    Realm {
        /// The registry.
        registry: String,
        /// The token server.
        realm: String,
    },
    /// A token server's answer that is no token.
    #[error("{0}: the answer is no token, or longer than {TOKEN_BYTES_MAX} bytes")]
    Token(Request),
    /// A part of a body that is not the part asked for.
    #[error("{request}: asked for the bytes from {wanted}, the server sends `{found}`")]
    Range {
        /// The request.
        request: Request,
        /// First byte asked for.
        wanted: u64,
        /// Range of the answer.
        found: String,
    },
    /// The HTTP client cannot be made.
    #[error("the HTTP client cannot be made: {0}")]
    Client(String),
    /// The store refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The disk refuses.
    #[error("{}: writing failed: {cause}", path.display())]
    Disk {
        /// The file.
        path: std::path::PathBuf,
        /// The cause.
        cause: std::io::Error,
    },
}

impl PullError {
    /// Returns true where the same request may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            PullError::Connection { .. } | PullError::Stalled { .. } | PullError::Short { .. } => true,
            PullError::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500 | 502..=599),
            _ => false,
        }
    }
}
