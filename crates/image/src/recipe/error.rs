//! Faults of recipes.

use std::path::PathBuf;

use openmesh_blueprint::document::ImageReference;

use crate::store::StoreError;

/// Fault that ends the making of an image.
#[derive(Debug, thiserror::Error)]
pub enum RecipeError {
    /// A secret in a file.
    #[error("file {0} of the recipe is a secret, which would lie in the image; put it into the application's `files`")]
    Secret(String),
    /// A base without a digest.
    #[error("the recipe's base {0} has no digest, so it could change; write it as NAME@sha256:...")]
    BaseNotPinned(Box<ImageReference>),
    /// A base that is not in the store.
    #[error("the recipe's base {reference} is not here yet ({cause}); pull it first")]
    Base {
        /// The base.
        reference: Box<ImageReference>,
        /// The fault.
        cause: StoreError,
    },
    /// Debian packages over an image.
    #[error("the recipe has Debian packages and the base {0}; leave the base out, and a Debian root is made for them")]
    DebianOnBase(Box<ImageReference>),
    /// Python packages without Python.
    #[error("the recipe has packages of PyPI, but no Python: add `python3` to its Debian packages")]
    NoPython,
    /// A program that is not there.
    #[error("{program} is needed for this recipe and is not installed (Debian: apt-get install {package})")]
    Missing {
        /// The program.
        program: &'static str,
        /// Debian's package with it.
        package: &'static str,
    },
    /// A program that failed.
    #[error("{program} failed ({status}):\n{text}")]
    Program {
        /// The program.
        program: &'static str,
        /// Its exit.
        status: String,
        /// Its last lines.
        text: String,
    },
    /// A version that is in no archive any more.
    #[error(
        "no archive of this machine has {package} {version}: an update has taken its place, as a rule one of security; name the newer version, or `newest` for the \
         archive's choice of the day (`apt-cache madison {package}` lists what there is)"
    )]
    NoVersion {
        /// Name of the package.
        package: String,
        /// Its version.
        version: String,
    },
    /// Archives of a program that cannot be read.
    #[error("the archive that {program} made cannot be read: {text}")]
    Archive {
        /// The program.
        program: &'static str,
        /// The fault.
        text: String,
    },
    /// The disk refuses.
    #[error("{}: {cause}", path.display())]
    Disk {
        /// File or folder.
        path: PathBuf,
        /// The cause.
        cause: std::io::Error,
    },
    /// The store refuses.
    #[error(transparent)]
    Store(#[from] StoreError),
}
