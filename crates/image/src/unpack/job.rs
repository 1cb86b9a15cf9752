//! Tasks of the helper, and its answers.

use openmesh_primitives::Digest;
use serde::{Deserialize, Serialize};

use crate::limits::{
    DEPTH_MAX, ENTRIES_MAX, IMPLIED_BYTES_MAX, IMPLIED_MAX, PART_BYTES_MAX, RATIO_MAX, REMEMBERED_BYTES_MAX,
    UNPACKED_BYTES_MAX,
};
use crate::oci::Compression;

/// A task of the helper.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Job {
    /// Unpack standard input into the working folder.
    Unpack {
        /// Its compression.
        compression: Compression,
        /// Digest that the archive must have once decompressed.
        diff_id: Digest,
        /// Bytes of the compressed archive.
        packed: u64,
        /// The first wall.
        paths: Paths,
    },
    /// Try what the cage should forbid.
    Probe,
    /// Act on the files of the working folder (module `files`).
    Files(crate::files::Task),
}

/// State of the path check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Paths {
    /// Every name is checked, no link is followed.
    Checked,
    /// Names go to the kernel as they are, so that tests see the cage hold alone. Refused in builds without debug assertions.
    Unchecked,
}

/// Counts of things that were taken from the entries of a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// Files that lost set-user-id or set-group-id.
    pub set_id: u64,
    /// Extended attributes.
    pub attributes: u64,
    /// Owners and groups above 65,535.
    pub owners: u64,
}

/// A layer that was unpacked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Entries of the archive.
    pub entries: u64,
    /// Bytes of the archive, decompressed.
    pub bytes: u64,
    /// Folders that were used without being named, in hexadecimal.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub implied: Vec<String>,
    /// Things that were taken away.
    pub dropped: Dropped,
    /// Hash over names, kinds, permissions, owners, sizes and times.
    pub metadata: Digest,
    /// The same, and over the contents.
    pub content: Digest,
}

/// A rule that a layer breaks, or an effect that failed. Names are shown with what is not UTF-8 replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refused {
    /// Not an archive that can be read.
    #[error("{0}")]
    Archive(String),
    /// Not compressed as its media type says, or damaged.
    #[error("the layer cannot be decompressed: {0}")]
    Compressed(String),
    /// A name with `..`.
    #[error("`{0}` leads upwards")]
    Upwards(String),
    /// A name with too many parts.
    #[error("`{0}` has more than {DEPTH_MAX} parts")]
    Depth(String),
    /// A part that is too long.
    #[error("`{0}` has a part of more than {PART_BYTES_MAX} bytes")]
    Part(String),
    /// A name below something that is no folder.
    #[error("`{0}` lies below a link or a file; links are not followed")]
    ThroughLink(String),
    /// A hard link to what is no file of this layer.
    #[error("`{name}` is a hard link to `{target}`, which is no file or link of the same layer")]
    LinkTarget {
        /// The link.
        name: String,
        /// Its target.
        target: String,
    },
    /// A device.
    #[error("`{0}` is a device; an image may not bring devices")]
    Device(String),
    /// A whiteout that hides nothing that could be hidden.
    #[error("`{0}` is no whiteout that has a meaning here")]
    Whiteout(String),
    /// A file in place of a folder that is not empty.
    #[error("`{0}` comes twice: once as a folder with something in it, once as something else")]
    Clash(String),
    /// An attribute of overlayfs.
    #[error("`{name}` has the attribute `{attribute}`, which only this machine may set")]
    Attribute {
        /// The entry.
        name: String,
        /// The attribute.
        attribute: String,
    },
    /// Too many entries.
    #[error("the layer has more than {ENTRIES_MAX} entries")]
    Entries,
    /// Too many folders that are used without being named.
    #[error(
        "the layer uses folders without naming them: more than {IMPLIED_MAX}, or {IMPLIED_BYTES_MAX} bytes of their paths"
    )]
    Implied,
    /// Too much to remember.
    #[error("the paths of the layer's folders have more than {REMEMBERED_BYTES_MAX} bytes")]
    Remembered,
    /// Larger than its ratio allows.
    #[error("the layer has {packed} bytes and more than {RATIO_MAX} times as many unpacked: a bomb")]
    Bomb {
        /// Its bytes when packed.
        packed: u64,
    },
    /// Larger than any layer may be.
    #[error("the layer has more than {UNPACKED_BYTES_MAX} bytes unpacked")]
    Large,
    /// Another archive than the configuration names.
    #[error(
        "the layer has the digest sha256:{found} once decompressed, but the image's configuration says sha256:{wanted}"
    )]
    DiffId {
        /// Digest of the configuration.
        wanted: Digest,
        /// Digest found.
        found: Digest,
    },
    /// The system refuses something.
    #[error("`{name}`: {doing} failed: {text}")]
    System {
        /// The entry.
        name: String,
        /// The effect.
        doing: String,
        /// Error number.
        errno: i32,
        /// Its text.
        text: String,
    },
    /// The cage cannot be closed.
    #[error(
        "the unpacker cannot be confined on this machine ({0}); boot a kernel with CONFIG_SECURITY_LANDLOCK and CONFIG_SECCOMP_FILTER and `landlock` in its lsm list"
    )]
    Cage(String),
}

impl Refused {
    /// Returns true where the bytes of the archive are to blame, and not this machine.
    pub fn is_of_archive(&self) -> bool {
        !matches!(self, Refused::System { .. } | Refused::Cage(_))
    }

    /// An effect that failed.
    pub(super) fn system(name: &[u8], doing: &str, errno: rustix::io::Errno) -> Refused {
        Refused::System { name: show(name), doing: doing.into(), errno: errno.raw_os_error(), text: errno.to_string() }
    }
}

/// A name for an error's text: at most 200 characters, nothing that moves a terminal's cursor.
pub(super) fn show(name: &[u8]) -> String {
    String::from_utf8_lossy(name).chars().take(200).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
