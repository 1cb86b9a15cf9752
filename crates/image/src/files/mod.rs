//! Files of an application for people: looked at and changed by a process that holds one folder and nothing else.
//!
//! # Why a process
//! The application owns the tree, and may change it at any moment: a folder becomes a link to `/etc` between two calls. Two walls stand against that, as for the
//! unpacker (module `unpack`). Every path is taken apart and opened from the held folder by `openat2` with `RESOLVE_BENEATH`, `RESOLVE_NO_SYMLINKS` and
//! `RESOLVE_NO_XDEV`, so that no link is followed, whoever made it and whenever; and before the first path is looked at, the process gives up everything but the
//! folder (landlock) and what it needs of the system (seccomp). Where it only reads it gives up writing too.
//!
//! # Rules
//! - Links are shown with their targets and never followed. Devices, pipes and sockets are shown and never opened.
//! - A file is replaced as a whole: its new content is written beside it, synced, and takes its place in one step. Whoever replaces a file says which one it has
//!   seen ([`Expect`]); the two change places, and where the old one is another they change back.
//! - A new file belongs to the application's user; one that is replaced keeps owner and permissions, less set-user-id and set-group-id.
//! - Names are text as [`names::show`] has them.
//!
//! # Words
//! The helper writes one line of JSON, `Result<Answer, Fault>`. Behind [`Answer::Content`] follow its bytes. The content of [`Task::Write`] comes in frames: four bytes
//! with a length (little endian) and as many bytes; a frame of none is its end, and without it nothing is changed.
//!
//! # On failure
//! An upload that was broken off by force leaves a file `.openmesh-upload-...` beside its target; the next upload into that folder removes it after an hour.

mod cage;
mod change;
mod helper;
pub mod names;
#[cfg(test)]
mod tests;
mod tree;

use serde::{Deserialize, Serialize};

pub(crate) use helper::main;

/// A task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// The act.
    pub act: Act,
    /// Users and groups of the host that belong to the application.
    pub ids: Ids,
}

/// Users and groups of the host that belong to the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ids {
    /// The first one, which is 0 inside.
    pub first: u32,
    /// Their number.
    pub count: u32,
    /// User of new files, as inside.
    pub user: u32,
    /// Group of new files, as inside.
    pub group: u32,
}

/// An act on the files of a folder. Paths are below it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// Read a folder.
    List {
        /// The folder.
        path: String,
    },
    /// Read a file.
    Read {
        /// The file.
        path: String,
        /// Part that is wanted.
        range: Option<Range>,
        /// Tag of the file of which the part is wanted; all of another one.
        of: Option<String>,
    },
    /// Write a file as a whole, with the content of standard input.
    Write {
        /// The file.
        path: String,
        /// The file that is expected there.
        expect: Expect,
    },
    /// Make a folder.
    MakeFolder {
        /// The folder.
        path: String,
    },
    /// Give a file or folder another name, which is free.
    Rename {
        /// Present name.
        from: String,
        /// New one.
        to: String,
    },
    /// Remove a file, a link or a folder.
    Remove {
        /// Its name.
        path: String,
        /// A folder goes with everything in it.
        all: bool,
        /// Tag of the file that is expected there.
        expect: Option<String>,
    },
}

impl Act {
    /// Returns true where nothing is changed.
    pub fn only_reads(&self) -> bool {
        matches!(self, Act::List { .. } | Act::Read { .. })
    }
}

/// Part of a file, as a request of HTTP names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Range {
    /// From this byte to that one, or to the end.
    From(u64, Option<u64>),
    /// The last bytes.
    Last(u64),
}

impl Range {
    /// First byte and number of bytes in a file of this size; none where it has none of them. Source: RFC 9110, 14.1.2.
    pub fn within(self, bytes: u64) -> Option<(u64, u64)> {
        match self {
            Range::From(first, last) => {
                let end = last.map_or(bytes, |last| last.saturating_add(1).min(bytes));
                (first < end).then(|| (first, end - first))
            }
            Range::Last(count) => {
                let count = count.min(bytes);
                (count > 0).then(|| (bytes - count, count))
            }
        }
    }
}

/// The file that whoever writes expects in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expect {
    /// None.
    New,
    /// The one with this tag.
    Tag(String),
    /// Any, or none.
    Any,
}

/// Kind of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A device, pipe or socket.
    Other,
}

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Name; what is no plain text in it as `\xNN`.
    pub name: String,
    /// Kind.
    pub kind: Kind,
    /// Bytes of a file; 0 of everything else.
    pub bytes: u64,
    /// Permission bits.
    pub mode: u32,
    /// Owner as inside; none where it is none of the application's.
    pub user: Option<u32>,
    /// Group as inside; none where it is none of the application's.
    pub group: Option<u32>,
    /// Last change of the content, nanoseconds since 1970.
    pub modified_ns: i64,
    /// Target of a link, written as names are.
    pub target: Option<String>,
    /// Tag of a file: another one has another tag.
    pub tag: Option<String>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// A folder, sorted by name.
    Folder {
        /// Its first entries.
        entries: Vec<Entry>,
        /// There are more than fit.
        more: bool,
    },
    /// A file, whose bytes follow.
    Content {
        /// The file.
        entry: Entry,
        /// First byte.
        first: u64,
        /// Number of bytes.
        bytes: u64,
    },
    /// The entry that was written, made or renamed.
    Entry(Entry),
    /// It was removed.
    Removed {
        /// Number of files, links and folders.
        entries: u64,
    },
}

/// A rule that an act breaks, or an effect that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Fault {
    /// No path that can be.
    #[error("`{name}` {words}")]
    Name {
        /// The path.
        name: String,
        /// The reason.
        words: String,
    },
    /// Nothing has this name.
    #[error("there is no `{0}`")]
    Missing(String),
    /// A link is on the way.
    #[error("`{0}` is a link, or lies below one or below a file; links are shown and not followed")]
    Link(String),
    /// Another file system begins on the way.
    #[error("`{0}` lies on another file system, which is not entered")]
    Elsewhere(String),
    /// Not of the kind that the act needs.
    #[error("`{name}` is no {wanted}")]
    Kind {
        /// The path.
        name: String,
        /// The kind.
        wanted: String,
    },
    /// The name is taken.
    #[error("`{0}` is there already")]
    Taken(String),
    /// Another file than the expected one.
    #[error("`{0}` has changed since it was read; read it again, so that nothing is lost")]
    Changed(String),
    /// Another one that came in between twice.
    #[error("`{name}` changed while it was written; what was there last lies beside it as `{kept}`")]
    Kept {
        /// The path.
        name: String,
        /// Name of what is kept.
        kept: String,
    },
    /// A folder with something in it.
    #[error("the folder `{0}` is not empty; ask for the removal of everything in it")]
    Filled(String),
    /// The folder that is held itself.
    #[error("the uppermost folder stays")]
    Root,
    /// The part of a file that it does not have.
    #[error("the file has {bytes} bytes, and none of those that were asked for")]
    Range {
        /// Its bytes.
        bytes: u64,
    },
    /// Too large.
    #[error("a file has at most {} bytes here", crate::limits::FILE_BYTES_MAX)]
    Large,
    /// No room.
    #[error("there is no room left for `{0}`; nothing was changed")]
    Full(String),
    /// Too many entries.
    #[error("`{0}` has more than {max} files; a part of them was removed, ask again for the rest", max = crate::limits::REMOVED_MAX)]
    Many(String),
    /// A content that broke off.
    #[error("the content of `{0}` broke off; nothing was changed")]
    Broken(String),
    /// The folder changes all the time.
    #[error("the folders above `{0}` are being renamed; try again")]
    Busy(String),
    /// The process cannot be confined.
    #[error("{0}")]
    Cage(String),
    /// The system's word.
    #[error("{doing} `{name}` has failed: {cause}")]
    System {
        /// The path.
        name: String,
        /// The act.
        doing: String,
        /// The system's word.
        cause: String,
    },
}
