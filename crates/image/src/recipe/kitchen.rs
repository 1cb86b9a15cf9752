//! The machine's part in recipes.

use std::path::PathBuf;

/// Folders of programs.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Source of Debian packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mirror {
    /// Address of an archive.
    Address(String),
    /// A file of sources as apt has them.
    Sources(PathBuf),
}

/// The machine's part in an image: the release of Debian, and where its packages come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kitchen {
    /// Name of the release: `bookworm`.
    pub suite: String,
    /// Its packages.
    pub mirror: Mirror,
}
