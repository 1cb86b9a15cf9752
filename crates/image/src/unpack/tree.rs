//! A hash of an unpacked tree, by which it is known again.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use openmesh_primitives::Digest;
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, readlinkat, statat};
use sha2::{Digest as _, Sha256};

use super::Refused;
use super::apply::OPAQUE_ATTRIBUTE;
use crate::limits::{DEPTH_MAX, PATH_BYTES_MAX};

/// Bytes that are read of a file at once.
const BUFFER_BYTES: usize = 128 << 10;

/// Hashes of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// Over names, kinds, permissions, owners, sizes, times (not of folders) and targets of links.
    pub metadata: Digest,
    /// The same, and over the contents; `None` where they were not read.
    pub content: Option<Digest>,
}

/// The hashes of a folder; `contents` reads every file.
///
/// # Errors
/// [`Refused::System`] for what cannot be read.
pub fn fingerprint(folder: &Path, contents: bool) -> Result<Fingerprint, Refused> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let name = folder.as_os_str().as_encoded_bytes();
    let root =
        rustix::fs::open(folder, flags, Mode::empty()).map_err(|errno| Refused::system(name, "opening", errno))?;
    fingerprint_of(&root, contents)
}

pub(super) fn fingerprint_of(root: &OwnedFd, contents: bool) -> Result<Fingerprint, Refused> {
    let mut walk = Walk {
        metadata: Sha256::new(),
        content: contents.then(Sha256::new),
        buffer: vec![0; BUFFER_BYTES],
        path: Vec::new(),
    };
    walk.folder(root, 0)?;
    let metadata = walk.metadata.finalize();
    let content = walk.content.map(|content| Digest(content.chain_update(metadata).finalize().into()));
    Ok(Fingerprint { metadata: Digest(metadata.into()), content })
}

struct Walk {
    metadata: Sha256,
    content: Option<Sha256>,
    buffer: Vec<u8>,
    path: Vec<u8>,
}

impl Walk {
    fn folder(&mut self, folder: &OwnedFd, depth: usize) -> Result<(), Refused> {
        let path = self.path.clone();
        let failed = |errno| Refused::system(&path, "reading the folder", errno);
        if depth > DEPTH_MAX + 1 {
            return Err(Refused::Depth(super::job::show(&path)));
        }
        let stat = rustix::fs::fstat(folder).map_err(failed)?;
        self.note(b"d", &stat, false);
        let mut value = [0; 8];
        let opaque = rustix::fs::fgetxattr(folder, OPAQUE_ATTRIBUTE, &mut value).is_ok();
        self.metadata.update([u8::from(opaque)]);
        let mut names = Vec::new();
        for entry in Dir::read_from(folder).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(name);
            }
        }
        names.sort();
        for name in names {
            let length = self.path.len();
            self.path.push(b'/');
            self.path.extend_from_slice(&name);
            self.entry(folder, &name, depth)?;
            self.path.truncate(length);
        }
        Ok(())
    }

    fn entry(&mut self, folder: &OwnedFd, name: &[u8], depth: usize) -> Result<(), Refused> {
        let path = self.path.clone();
        let failed = |errno| Refused::system(&path, "reading", errno);
        let stat = statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let inner = openat(folder, name, flags | OFlags::DIRECTORY, Mode::empty()).map_err(failed)?;
                return self.folder(&inner, depth + 1);
            }
            FileType::Symlink => {
                self.note(b"l", &stat, true);
                let target = readlinkat(folder, name, Vec::with_capacity(PATH_BYTES_MAX)).map_err(failed)?;
                self.text(target.to_bytes());
            }
            FileType::RegularFile => {
                self.note(b"f", &stat, true);
                if self.content.is_some() {
                    let file = openat(folder, name, flags | OFlags::NOATIME, Mode::empty()).map_err(failed)?;
                    self.contents(File::from(file)).map_err(|cause| {
                        Refused::system(
                            &path,
                            "reading",
                            rustix::io::Errno::from_io_error(&cause).unwrap_or(rustix::io::Errno::IO),
                        )
                    })?;
                }
            }
            FileType::CharacterDevice => self.note(b"w", &stat, false),
            _ => self.note(b"o", &stat, true),
        }
        Ok(())
    }

    fn note(&mut self, kind: &[u8], stat: &rustix::fs::Stat, time: bool) {
        let path = std::mem::take(&mut self.path);
        self.text(&path);
        self.path = path;
        self.metadata.update(kind);
        let size = if kind == b"f" { stat.st_size } else { 0 };
        let time = if time { stat.st_mtime } else { 0 };
        for number in [i64::from(stat.st_mode & 0o7777), i64::from(stat.st_uid), i64::from(stat.st_gid), size, time] {
            self.metadata.update(number.to_be_bytes());
        }
    }

    fn text(&mut self, text: &[u8]) {
        self.metadata.update((text.len() as u64).to_be_bytes());
        self.metadata.update(text);
    }

    fn contents(&mut self, mut file: File) -> std::io::Result<()> {
        let Some(hasher) = &mut self.content else { return Ok(()) };
        loop {
            match file.read(&mut self.buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => hasher.update(&self.buffer[..count]),
                Err(cause) if cause.kind() == std::io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
            }
        }
    }
}
