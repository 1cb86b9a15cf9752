//! Manifests: the stream of records that says what a tree was (B-20 to B-22). Pure.
//!
//! # Why a stream and not a tree of objects
//! One that is cut like any content shares what did not change with the one before, needs one read for thousands of files, and cannot say a cycle.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use borsh::{BorshDeserialize, BorshSerialize};

use crate::object::encode;
use crate::pack::ChunkId;

/// Largest record, bytes: a file with sixteen extended attributes of the kernel's largest size.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
/// Levels of folders below each other: each holds a file descriptor open while a tree is read, and 1,024 of them are allowed on most machines.
pub const DEPTH_MAX: usize = 256;
/// Bytes of a name: the limit of Linux.
const NAME_BYTES_MAX: usize = 255;
/// Pieces in one record of contents: 45 KB, so that records stay small beside chunks of manifests.
pub(crate) const PIECES_MAX: usize = 1024;

/// Attributes of an entry.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Attributes {
    /// User.
    pub user: u32,
    /// Group.
    pub group: u32,
    /// Permissions with set-user-id, set-group-id and sticky bits.
    pub mode: u32,
    /// Time of modification, seconds since 1970.
    pub modified_s: i64,
    /// Nanoseconds of it.
    pub modified_ns: u32,
    /// Extended attributes by ascending name.
    pub extended: Vec<(Vec<u8>, Vec<u8>)>,
}

/// A part of a file's contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Piece {
    /// A chunk.
    Chunk {
        /// Its id.
        id: ChunkId,
        /// Its bytes.
        bytes: u32,
    },
    /// Nothing, which reads as zeros.
    Hole {
        /// Its bytes.
        bytes: u64,
    },
}

impl Piece {
    /// Its bytes.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Piece::Chunk { bytes, .. } => u64::from(*bytes),
            Piece::Hole { bytes } => *bytes,
        }
    }
}

/// A record.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Record {
    /// A folder, which is open until its leave.
    Folder {
        /// Its name; empty for the root.
        name: Vec<u8>,
        /// Its attributes.
        attributes: Attributes,
    },
    /// Closes the folder opened last.
    Leave,
    /// A file; its contents follow.
    File {
        /// Its name.
        name: Vec<u8>,
        /// Its attributes.
        attributes: Attributes,
        /// Its length in bytes.
        bytes: u64,
        /// A hard link may name it later.
        linked: bool,
    },
    /// A symbolic link.
    Link {
        /// Its name.
        name: Vec<u8>,
        /// Its attributes.
        attributes: Attributes,
        /// Its target, never followed.
        target: Vec<u8>,
    },
    /// Another name of a file before it.
    HardLink {
        /// Its name.
        name: Vec<u8>,
        /// Path of the file below the root.
        to: Vec<u8>,
    },
    /// Contents of the file opened last.
    Contents(Vec<Piece>),
}

impl Record {
    /// Its bytes in a stream; none where it is beyond [`RECORD_BYTES_MAX`].
    pub(crate) fn frame(&self) -> Option<Vec<u8>> {
        let body = encode(self);
        if body.len() > RECORD_BYTES_MAX {
            return None;
        }
        let mut frame = (body.len() as u32).to_le_bytes().to_vec();
        frame.extend(body);
        Some(frame)
    }
}

/// An entry or a part of one, as a reader gets it: every rule of B-21 was kept up to here.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// A folder begins.
    Folder,
    /// A folder ends.
    Leave(&'a Attributes),
    /// A file of so many bytes.
    File(&'a Attributes, u64),
    /// A piece of the last file, at a place.
    Piece(u64, Piece),
    /// A symbolic link to a target.
    Link(&'a Attributes, &'a OsStr),
    /// Another name of the file with a path.
    HardLink(&'a Path),
}

/// A rule that a manifest broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    /// The entry, or where the reader was.
    pub path: PathBuf,
    /// The rule, in words.
    pub what: &'static str,
}

/// Counts of a manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Entries, the root with them.
    pub entries: u64,
    /// Bytes of the files' data, holes left out.
    pub bytes: u64,
}

struct Level {
    last: Vec<u8>,
    attributes: Attributes,
}

#[derive(Default)]
struct Reader {
    path: PathBuf,
    levels: Vec<Level>,
    ended: bool,
    /// Bytes of the open file that are covered, and all of them.
    file: Option<(u64, u64)>,
    /// The open file's path is on top of the folder's.
    linked: HashSet<PathBuf>,
    counts: Counts,
}

/// Reads a manifest. The path of each event is below the root, which has the empty one.
///
/// # Errors
/// The manifest breaks a rule, or `visit` fails.
pub(crate) fn read<E: From<Broken>>(
    mut bytes: &[u8],
    mut visit: impl FnMut(&Path, Event<'_>) -> Result<(), E>,
) -> Result<Counts, E> {
    let mut reader = Reader::default();
    while !bytes.is_empty() {
        let record = next(&mut bytes).map_err(|what| Broken { path: reader.path.clone(), what })?;
        reader.record(record, &mut visit)?;
    }
    if !reader.ended {
        return Err(reader.broken("the manifest ends before its root folder").into());
    }
    Ok(reader.counts)
}

fn next(bytes: &mut &[u8]) -> Result<Record, &'static str> {
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or("a record has no length")?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > RECORD_BYTES_MAX {
        return Err("a record is longer than any");
    }
    let (record, rest) = rest.split_at_checked(length).ok_or("the manifest ends in a record")?;
    *bytes = rest;
    borsh::from_slice(record).map_err(|_| "a record cannot be read")
}

impl Reader {
    fn broken(&self, what: &'static str) -> Broken {
        Broken { path: self.path.clone(), what }
    }

    fn record<E: From<Broken>>(
        &mut self,
        record: Record,
        visit: &mut impl FnMut(&Path, Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.ended {
            return Err(self.broken("something follows the root folder").into());
        }
        if let Record::Contents(pieces) = record {
            return self.contents(&pieces, visit);
        }
        self.close_file()?;
        match record {
            Record::Folder { name, attributes } => {
                self.enter(&name, &attributes)?;
                self.levels.push(Level { last: Vec::new(), attributes });
                visit(&self.path, Event::Folder)
            }
            Record::Leave => {
                let level = self.levels.pop().ok_or_else(|| self.broken("a folder is closed that is not open"))?;
                visit(&self.path, Event::Leave(&level.attributes))?;
                self.ended = self.levels.is_empty();
                self.path.pop();
                Ok(())
            }
            Record::File { name, attributes, bytes, linked } => {
                self.leaf(&name, Some(&attributes))?;
                if linked {
                    self.linked.insert(self.path.clone());
                }
                self.file = Some((0, bytes));
                if bytes > i64::MAX as u64 {
                    return Err(self.broken("a file is longer than any").into());
                }
                visit(&self.path, Event::File(&attributes, bytes))
            }
            Record::Link { name, attributes, target } => {
                self.leaf(&name, Some(&attributes))?;
                if target.is_empty() || target.contains(&0) {
                    return Err(self.broken("a link has a target that none can have").into());
                }
                visit(&self.path, Event::Link(&attributes, OsStr::from_bytes(&target)))?;
                self.path.pop();
                Ok(())
            }
            Record::HardLink { name, to } => {
                self.leaf(&name, None)?;
                let to = Path::new(OsStr::from_bytes(&to));
                if !self.linked.contains(to) {
                    return Err(self.broken("a hard link names no file before it").into());
                }
                visit(&self.path, Event::HardLink(to))?;
                self.path.pop();
                Ok(())
            }
            Record::Contents(_) => Ok(()),
        }
    }

    fn contents<E: From<Broken>>(
        &mut self,
        pieces: &[Piece],
        visit: &mut impl FnMut(&Path, Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        for piece in pieces {
            let Some((at, bytes)) = self.file else {
                return Err(self.broken("there are contents without a file").into());
            };
            let end = at.checked_add(piece.bytes()).filter(|end| *end <= bytes && piece.bytes() > 0);
            let Some(end) = end else {
                return Err(self.broken("the contents of a file are not as long as it").into());
            };
            self.file = Some((end, bytes));
            if let Piece::Chunk { bytes, .. } = piece {
                self.counts.bytes = self.counts.bytes.saturating_add(u64::from(*bytes));
            }
            visit(&self.path, Event::Piece(at, *piece))?;
        }
        Ok(())
    }

    fn close_file(&mut self) -> Result<(), Broken> {
        if let Some((at, bytes)) = self.file.take() {
            if at != bytes {
                return Err(self.broken("the contents of a file are not as long as it"));
            }
            self.path.pop();
        }
        Ok(())
    }

    fn enter(&mut self, name: &[u8], attributes: &Attributes) -> Result<(), Broken> {
        if self.levels.is_empty() {
            self.counts.entries += 1;
            return if name.is_empty() {
                self.check(attributes)
            } else {
                Err(self.broken("the root folder has a name"))
            };
        }
        if self.levels.len() >= DEPTH_MAX {
            return Err(self.broken("there are more levels of folders than a backup may have"));
        }
        self.leaf(name, Some(attributes))
    }

    fn leaf(&mut self, name: &[u8], attributes: Option<&Attributes>) -> Result<(), Broken> {
        let bad = name.is_empty()
            || matches!(name, b"." | b"..")
            || name.len() > NAME_BYTES_MAX
            || name.iter().any(|byte| matches!(byte, b'/' | 0));
        if bad {
            return Err(self.broken("an entry has a name that none can have"));
        }
        let broken = |what| Broken { path: self.path.clone(), what };
        let level = self.levels.last_mut().ok_or_else(|| broken("an entry is outside the root folder"))?;
        // Nothing is below the empty name, so the first of a folder passes.
        if name <= level.last.as_slice() {
            return Err(broken("the names of a folder are not in order"));
        }
        level.last = name.to_vec();
        self.path.push(OsStr::from_bytes(name));
        self.counts.entries += 1;
        attributes.map_or(Ok(()), |attributes| self.check(attributes))
    }

    fn check(&self, attributes: &Attributes) -> Result<(), Broken> {
        let names: Vec<&Vec<u8>> = attributes.extended.iter().map(|(name, _)| name).collect();
        let fit = attributes.mode <= 0o7777
            && attributes.modified_ns < 1_000_000_000
            && names.is_sorted_by(|a, b| a < b)
            && names.iter().all(|name| !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.contains(&0));
        if fit { Ok(()) } else { Err(self.broken("the attributes of an entry are none that it can have")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes() -> Attributes {
        Attributes { user: 1, group: 2, mode: 0o755, modified_s: -3, modified_ns: 4, extended: vec![] }
    }

    fn folder(name: &[u8]) -> Record {
        Record::Folder { name: name.to_vec(), attributes: attributes() }
    }

    fn file(name: &[u8], bytes: u64) -> Record {
        Record::File { name: name.to_vec(), attributes: attributes(), bytes, linked: name == b"linked" }
    }

    fn link(name: &[u8], target: &[u8]) -> Record {
        Record::Link { name: name.to_vec(), attributes: attributes(), target: target.to_vec() }
    }

    fn hard(name: &[u8], to: &[u8]) -> Record {
        Record::HardLink { name: name.to_vec(), to: to.to_vec() }
    }

    fn chunk(bytes: u32) -> Piece {
        Piece::Chunk { id: ChunkId([0; 32]), bytes }
    }

    fn check(records: &[Record]) -> Result<(Counts, Vec<String>), &'static str> {
        let bytes: Vec<u8> = records.iter().flat_map(|record| record.frame().unwrap()).collect();
        let mut seen = Vec::new();
        let counts = read::<Broken>(&bytes, |path, event| {
            let word = format!("{event:?}");
            let word: String = word.chars().take_while(char::is_ascii_alphabetic).collect();
            seen.push(format!("{word} {}", path.display()));
            Ok(())
        });
        counts.map(|counts| (counts, seen)).map_err(|broken| broken.what)
    }

    #[test]
    fn a_tree_is_read_in_its_order() {
        let records = [
            folder(b""),
            folder(b"a"),
            file(b"linked", 10),
            Record::Contents(vec![chunk(4), Piece::Hole { bytes: 6 }]),
            Record::Leave,
            file(b"b", 0),
            link(b"c", b"/etc/passwd"),
            hard(b"d", b"a/linked"),
            Record::Leave,
        ];
        let (counts, seen) = check(&records).unwrap();
        assert_eq!(counts, Counts { entries: 6, bytes: 4 });
        let want =
            "Folder |Folder a|File a/linked|Piece a/linked|Piece a/linked|Leave a|File b|Link c|HardLink d|Leave ";
        assert_eq!(seen.join("|"), want);
    }

    #[test]
    fn every_trick_is_refused() {
        let inside = |records: Vec<Record>| {
            let records: Vec<Record> = [folder(b"")].into_iter().chain(records).chain([Record::Leave]).collect();
            check(&records).err()
        };
        let name = Some("an entry has a name that none can have");
        for wrong in [b"".as_slice(), b".", b"..", b"a/b", b"/etc", b"a\0", &[b'x'; 256]] {
            assert_eq!(inside(vec![file(wrong, 0)]), name);
            assert_eq!(inside(vec![folder(wrong), Record::Leave]), name);
            assert_eq!(inside(vec![link(wrong, b"x")]), name);
        }
        let order = Some("the names of a folder are not in order");
        assert_eq!(inside(vec![link(b"a", b"/etc"), folder(b"a"), file(b"b", 0), Record::Leave]), order);
        assert_eq!(inside(vec![file(b"b", 0), file(b"a", 0)]), order);
        let length = Some("the contents of a file are not as long as it");
        assert_eq!(inside(vec![file(b"a", 1)]), length);
        assert_eq!(inside(vec![file(b"a", 1), Record::Contents(vec![chunk(2)])]), length);
        let holes = vec![Piece::Hole { bytes: u64::MAX }, Piece::Hole { bytes: 2 }];
        assert_eq!(inside(vec![file(b"a", 1), Record::Contents(holes)]), length);
        assert_eq!(inside(vec![file(b"a", 1), Record::Contents(vec![Piece::Hole { bytes: 0 }])]), length);
        assert_eq!(inside(vec![file(b"a", u64::MAX)]), Some("a file is longer than any"));
        let before = Some("a hard link names no file before it");
        for to in [b"".as_slice(), b"b", b"../etc/passwd", b"/etc/passwd", b"a"] {
            assert_eq!(inside(vec![hard(b"b", to)]), before);
        }
        assert_eq!(inside(vec![file(b"a", 0), hard(b"b", b"a")]), before, "one that was not to be linked");
        assert_eq!(inside(vec![link(b"a", b"")]), Some("a link has a target that none can have"));
        assert_eq!(inside(vec![Record::Contents(vec![chunk(1)])]), Some("there are contents without a file"));
        let deep = (0..DEPTH_MAX).map(|_| folder(b"d"));
        assert_eq!(inside(deep.collect()), Some("there are more levels of folders than a backup may have"));
        let modes = Attributes { mode: 0o100_644, ..attributes() };
        let file = Record::File { name: b"a".to_vec(), attributes: modes, bytes: 0, linked: false };
        assert_eq!(inside(vec![file]), Some("the attributes of an entry are none that it can have"));
    }

    #[test]
    fn the_frame_of_a_manifest_is_whole() {
        assert_eq!(check(&[]), Err("the manifest ends before its root folder"));
        assert_eq!(check(&[folder(b"")]), Err("the manifest ends before its root folder"));
        assert_eq!(check(&[folder(b"x")]), Err("the root folder has a name"));
        assert_eq!(check(&[file(b"x", 0)]), Err("an entry is outside the root folder"));
        assert_eq!(check(&[Record::Leave]), Err("a folder is closed that is not open"));
        assert_eq!(check(&[folder(b""), Record::Leave, folder(b"")]), Err("something follows the root folder"));
        let whole = folder(b"").frame().unwrap();
        for end in 1..whole.len() {
            assert!(read::<Broken>(&whole[..end], |_, _| Ok(())).is_err());
        }
        let long = u32::MAX.to_le_bytes();
        assert_eq!(read::<Broken>(&long, |_, _| Ok(())).unwrap_err().what, "a record is longer than any");
    }
}
