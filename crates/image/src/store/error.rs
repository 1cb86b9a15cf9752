//! Faults of the store.

use std::io;
use std::path::{Path, PathBuf};

use openmesh_primitives::Digest;

use crate::limits::IMPLIED_IMAGE_BYTES_MAX;
use crate::oci::OciError;
use crate::unpack::UnpackError;

/// Fault of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk refuses.
    #[error("{}: {doing} failed: {cause}", path.display())]
    Io {
        /// File or folder.
        path: PathBuf,
        /// The effect.
        doing: &'static str,
        /// The cause.
        cause: io::Error,
    },
    /// A blob that is not there.
    #[error("blob sha256:{0} is not in the store; pull its image")]
    Missing(Digest),
    /// A blob whose bytes are not those of its digest.
    #[error("blob sha256:{0} is damaged on disk; pull its image again")]
    Damaged(Digest),
    /// A layer whose files are not those that were unpacked.
    #[error("unpacked layer sha256:{0} was changed on disk; it has to be unpacked again")]
    Altered(Digest),
    /// A layer that is not unpacked.
    #[error("layer sha256:{0} is not unpacked")]
    Packed(Digest),
    /// A document in the store that is not what it should be.
    #[error("image sha256:{digest}: {cause}")]
    Document {
        /// The blob.
        digest: Digest,
        /// The fault.
        cause: Box<OciError>,
    },
    /// A file of the store itself that cannot be read.
    #[error("{} cannot be read: {text}; {help}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// The fault.
        text: String,
        /// Help.
        help: &'static str,
    },
    /// Layers that use too many folders without naming them.
    #[error(
        "the layers of image sha256:{0} use folders without naming them whose paths have more than {IMPLIED_IMAGE_BYTES_MAX} bytes; build it with a tool that writes folders into its archives"
    )]
    Implied(Digest),
    /// A name of an owner that cannot be a file's.
    #[error(
        "`{0}` is no name of a lease: letters, digits, `-`, `_` and `.`, at most 100, beginning with a letter or digit"
    )]
    Owner(String),
    /// A layer that cannot be unpacked.
    #[error("layer sha256:{diff_id}: {cause}")]
    Unpack {
        /// The layer.
        diff_id: Digest,
        /// The fault.
        cause: UnpackError,
    },
}

impl StoreError {
    pub(super) fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> StoreError {
        move |cause| StoreError::Io { path: path.to_path_buf(), doing, cause }
    }
}
