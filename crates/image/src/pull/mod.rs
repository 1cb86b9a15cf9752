//! Images come from registries (OCI distribution specification 1.1), by digest, hashed while they come.
//!
//! # Why a client of our own
//! `oci-client` has no retry, no time-out for a silent peer, reads documents whole before it looks at their size, and sends what a registry's challenge asks
//! for to wherever the challenge says. All of that would have to be wrapped; what is left, six requests, is less than the wrapper. The HTTP client is
//! the one that the other rooms have.
//!
//! # Rules
//! - A tag is resolved once; the digest found is told, pinned as a reference, and everything after it goes by digest.
//! - Nothing is believed by its name: documents are hashed before they are read, blobs while they are written, and a blob gets its name only when its bytes
//!   are those of its digest and as many as the manifest says.
//! - A break is resumed with `Range` where the server knows it; a resumed blob with a wrong digest is fetched once from its beginning, since the part on disk
//!   may be what is wrong.
//! - Only what may pass is tried again: connections that fail or break, silence, 408, 425, 429, 5xx other than 501. Pauses double, with `Retry-After` where
//!   there is one; one that is longer than is waited for is an error with its seconds.
//! - TLS, except to loopback and to registries that the configuration names as plain. A redirect may not leave TLS, and takes no credentials along when it leaves
//!   the host. Credentials go to the registry's host and to token servers of the same domain or named in the configuration, to nobody else.
//!
//! # On failure
//! The part of a blob that came stays in `partial` and is resumed by the next pull.

mod auth;
mod blob;
mod client;
mod error;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use futures::StreamExt as _;
use openmesh_blueprint::document::ImageReference;
use openmesh_primitives::{Digest, sha256};

pub use auth::Credential;
pub use client::Client;
pub use error::{PullError, Request};

use crate::effect::Effect;
use crate::limits::{
    ATTEMPTS_MAX, BLOBS_AT_ONCE_MAX, MANIFEST_BYTES_MAX, PAUSE_SECONDS_MAX, RATE_BYTES_PER_SECOND_MIN,
    STALL_SECONDS_MAX,
};
use crate::oci::{Config, Descriptor, Document, Manifest, OciError};
use crate::store::Store;

/// Times of a client; those of [`crate::limits`] unless a test is in a hurry.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Longest silence.
    pub stall: Duration,
    /// First pause between attempts; the next ones double.
    pub pause: Duration,
    /// Longest pause, and longest `Retry-After`.
    pub pause_max: Duration,
    /// Attempts in a row without a byte.
    pub attempts: u32,
    /// Bytes a second that a blob must have on the whole.
    pub rate: u64,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience {
            stall: Duration::from_secs(STALL_SECONDS_MAX),
            pause: Duration::from_secs(1),
            pause_max: Duration::from_secs(PAUSE_SECONDS_MAX),
            attempts: ATTEMPTS_MAX,
            rate: RATE_BYTES_PER_SECOND_MIN,
        }
    }
}

/// Settings of a client.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Credentials by registry, as references write it.
    pub credentials: BTreeMap<String, Credential>,
    /// Registries without TLS, beside those on loopback.
    pub plain: Vec<String>,
    /// Hosts of token servers, beside those of the registry's own domain, that may see its credentials.
    pub token_hosts: BTreeMap<String, Vec<String>>,
    /// Times.
    pub patience: Patience,
}

/// News of a pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A reference led to this digest.
    Resolved {
        /// The image.
        digest: Digest,
        /// True where a tag was resolved, which is worth a person's look.
        by_tag: bool,
    },
    /// The image's blobs are known.
    Begins {
        /// Bytes of all of them.
        bytes: u64,
        /// Bytes that are there already.
        there: u64,
    },
    /// Bytes have come.
    Bytes {
        /// Bytes that are there now.
        done: u64,
        /// Bytes of all blobs.
        bytes: u64,
    },
    /// Something is tried again.
    Again {
        /// The fault.
        cause: String,
        /// Pause before it.
        pause: Duration,
    },
}

/// Hears [`Progress`].
pub type Follower<'a> = &'a (dyn Fn(Progress) + Sync);

/// An image that was pulled, or looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// Digest by which it is known from now on: of its index where it has one.
    pub digest: Digest,
    /// Digest of the manifest for this platform.
    pub manifest_digest: Digest,
    /// Bytes of configuration and layers.
    pub packed: u64,
    /// Bytes that it may unpack to at most.
    pub unpacked_max: u64,
}

impl Client {
    /// Resolves a reference and reads the documents of its image into the store, but no layer: what a resolver needs to know.
    ///
    /// # Errors
    /// See [`PullError`].
    pub async fn look(
        &self,
        store: &Store,
        reference: &ImageReference,
        effect: Effect<'_>,
        follow: Follower<'_>,
    ) -> Result<Pulled, PullError> {
        let (pulled, _) = self.documents(store, reference, None, effect, follow).await?;
        Ok(pulled)
    }

    /// Pulls an image for `owner`, whose lease gets it before the first blob comes.
    ///
    /// # Errors
    /// See [`PullError`]. What came stays and is resumed.
    pub async fn pull(
        &self,
        store: &Store,
        reference: &ImageReference,
        owner: &str,
        effect: Effect<'_>,
        follow: Follower<'_>,
    ) -> Result<Pulled, PullError> {
        let (pulled, manifest) = self.documents(store, reference, Some(owner), effect, follow).await?;
        let blobs: BTreeMap<Digest, &Descriptor> = manifest.blobs().map(|blob| (blob.digest, blob)).collect();
        let bytes = manifest.bytes();
        let (whole, missing): (Vec<_>, Vec<_>) =
            blobs.into_values().partition(|blob| store.is_whole(&blob.digest, blob.size));
        let there = whole.iter().map(|blob| blob.size).sum();
        follow(Progress::Begins { bytes, there });
        let meter = Meter { bytes, done: Mutex::new(there), follow };
        // Gathered first: the closure of a lazy one would not be `Send`.
        let fetches: Vec<_> =
            missing.into_iter().map(|blob| self.blob(store, reference, blob, effect, &meter)).collect();
        let mut fetches = futures::stream::iter(fetches).buffer_unordered(BLOBS_AT_ONCE_MAX);
        while let Some(fetched) = fetches.next().await {
            fetched?;
        }
        store.image(&pulled.digest)?;
        Ok(pulled)
    }

    /// Index, manifest and configuration.
    async fn documents(
        &self,
        store: &Store,
        reference: &ImageReference,
        owner: Option<&str>,
        effect: Effect<'_>,
        follow: Follower<'_>,
    ) -> Result<(Pulled, Manifest), PullError> {
        let (digest, document) = self.resolve(store, reference, owner, effect, follow).await?;
        let (manifest_digest, manifest) = match document {
            Document::Manifest(manifest) => (digest, manifest),
            Document::Index(index) => {
                let wrong = |cause| PullError::Document { digest, cause: Box::new(cause) };
                let chosen = index.choose(store.platform()).map_err(wrong)?;
                let (found, bytes, kind) = self.document(store, reference, Some(chosen.digest), effect, follow).await?;
                if bytes.len() as u64 != chosen.size {
                    return Err(PullError::Size { digest: found, said: chosen.size, found: bytes.len() as u64 });
                }
                match parse(found, &bytes, kind.as_deref())? {
                    Document::Manifest(manifest) => (found, manifest),
                    Document::Index(_) => {
                        return Err(PullError::Document { digest: found, cause: Box::new(OciError::Nested) });
                    }
                }
            }
        };
        let silent = Meter { bytes: 0, done: Mutex::new(0), follow: &|_| () };
        self.blob(store, reference, &manifest.config, effect, &silent).await?;
        self.check_config(store, &manifest)?;
        let packed = manifest.bytes();
        let unpacked_max = manifest.layers.iter().map(|layer| crate::limits::unpacked_bytes_max(layer.size)).sum();
        Ok((Pulled { digest, manifest_digest, packed, unpacked_max }, manifest))
    }

    fn check_config(&self, store: &Store, manifest: &Manifest) -> Result<(), PullError> {
        let digest = manifest.config.digest;
        let wrong = |cause| PullError::Document { digest, cause: Box::new(cause) };
        let config = Config::parse(&store.read(&digest)?).map_err(wrong)?;
        let (layers, diffs) = (manifest.layers.len(), config.diff_ids.len());
        if layers == diffs { Ok(()) } else { Err(wrong(OciError::Layers { layers, diffs })) }
    }

    /// The document that a reference leads to; a tag is asked for once and pinned.
    async fn resolve(
        &self,
        store: &Store,
        reference: &ImageReference,
        owner: Option<&str>,
        effect: Effect<'_>,
        follow: Follower<'_>,
    ) -> Result<(Digest, Document), PullError> {
        let lease = |digest| owner.map_or(Ok(()), |owner| store.lease_also(owner, digest, effect));
        if let Some(digest) = reference.digest {
            lease(digest)?;
        }
        let (digest, bytes, kind) = self.document(store, reference, reference.digest, effect, follow).await?;
        let document = parse(digest, &bytes, kind.as_deref())?;
        follow(Progress::Resolved { digest, by_tag: reference.digest.is_none() });
        if reference.digest.is_none() {
            lease(digest)?;
            store.refer(&reference.to_string(), Some(digest), effect)?;
        }
        Ok((digest, document))
    }

    /// A document by digest, or by the reference's tag; from the store where it is there.
    async fn document(
        &self,
        store: &Store,
        reference: &ImageReference,
        digest: Option<Digest>,
        effect: Effect<'_>,
        follow: Follower<'_>,
    ) -> Result<(Digest, Vec<u8>, Option<String>), PullError> {
        if let Some(digest) = digest
            && let Ok(bytes) = store.read(&digest)
        {
            return Ok((digest, bytes, None));
        }
        let what = match &digest {
            Some(digest) => crate::oci::print_digest(digest),
            None => reference.tag.clone().unwrap_or_else(|| "latest".into()),
        };
        let answer = self.manifest(reference, &what, MANIFEST_BYTES_MAX, follow).await?;
        let found = sha256(&[&answer.bytes]);
        let wanted = digest.or(answer.digest);
        if let Some(wanted) = wanted.filter(|wanted| *wanted != found) {
            return Err(PullError::Digest { wanted, found });
        }
        // Read before it is kept: a document that is refused is not in the store.
        parse(found, &answer.bytes, answer.kind.as_deref())?;
        store.put(&answer.bytes, effect)?;
        Ok((found, answer.bytes, answer.kind))
    }
}

fn parse(digest: Digest, bytes: &[u8], kind: Option<&str>) -> Result<Document, PullError> {
    Document::parse(bytes, kind).map_err(|cause| PullError::Document { digest, cause: Box::new(cause) })
}

/// Bytes of a pull as they come.
struct Meter<'a> {
    bytes: u64,
    done: Mutex<u64>,
    follow: Follower<'a>,
}

impl Meter<'_> {
    /// Notes bytes that came, or that have to come again.
    fn moved(&self, bytes: i64) {
        let done = {
            // A follower that panicked elsewhere leaves a number that is right.
            let mut done = self.done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            *done = done.saturating_add_signed(bytes);
            *done
        };
        (self.follow)(Progress::Bytes { done, bytes: self.bytes });
    }
}
