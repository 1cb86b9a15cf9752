//! A restored tree read back and held against its manifest (B-33).

use std::fs::File;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, SeekFrom};
use rustix::io::Errno;

use crate::error::{BackupError, failed};
use crate::fetch::Stop;
use crate::manifest::{self, Attributes, Event, Piece};
use crate::pack::BlobKind;
use crate::repository::Repository;
use crate::restore::Restoration;
use crate::tree::{attributes_of, attributes_of_link, difference, open_below, open_parent};

/// Bytes read at once where a hole is to be.
const ZEROS_BYTES: usize = 256 << 10;

impl Repository<'_> {
    /// Reads a tree back.
    pub(crate) fn verify(&self, root: &OwnedFd, manifest: &[u8], order: &Restoration<'_>) -> Result<(), BackupError> {
        let mut file: Option<File> = None;
        let mut buffer = Vec::new();
        let counts = manifest::read::<Stop>(manifest, |path, event| {
            let differs = |what: &str| BackupError::Differs { path: path.to_path_buf(), what: what.to_string() };
            match event {
                Event::File(attributes, bytes) => {
                    let opened = check_open(root, path, attributes, order, FileType::RegularFile)?;
                    let length = opened.metadata().map_err(BackupError::io("reading", path))?.len();
                    if length != bytes {
                        return Err(differs("its length is another").into());
                    }
                    file = Some(opened);
                }
                Event::Leave(attributes) => drop(check_open(root, path, attributes, order, FileType::Directory)?),
                Event::Piece(at, piece) => {
                    self.meter.check()?;
                    let file = file.as_ref().ok_or_else(|| differs("it is not open"))?;
                    if !self.piece_is(file, at, piece, &mut buffer).map_err(BackupError::io("reading", path))? {
                        return Err(differs("its content is another").into());
                    }
                }
                Event::Link(attributes, target) => check_link(root, path, attributes, target, order)?,
                Event::HardLink(to) => {
                    let inode = |path| open_below(root.as_fd(), path, OFlags::PATH, Mode::empty());
                    let same = inode(to).and_then(|to| {
                        let (to, this) = (rustix::fs::fstat(to)?, rustix::fs::fstat(inode(path)?)?);
                        Ok((to.st_dev, to.st_ino) == (this.st_dev, this.st_ino))
                    });
                    if !same.map_err(failed("reading", path))? {
                        return Err(differs("it is not the file that it was linked to").into());
                    }
                }
                Event::Folder => {}
            }
            Ok(())
        });
        counts.map(drop).map_err(|stop| stop.of(order.snapshot))
    }

    fn piece_is(&self, file: &File, at: u64, piece: Piece, buffer: &mut Vec<u8>) -> std::io::Result<bool> {
        match piece {
            Piece::Chunk { id, bytes } => {
                buffer.resize(bytes as usize, 0);
                file.read_exact_at(buffer, at)?;
                Ok(BlobKind::Data.chunk(&self.keys, buffer) == id)
            }
            Piece::Hole { bytes } => {
                let end = at.saturating_add(bytes);
                let mut at = match rustix::fs::seek(file, SeekFrom::Data(at)) {
                    Err(Errno::NXIO) => end,
                    Err(Errno::INVAL) => at,
                    data => data?,
                };
                while at < end {
                    let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(ZEROS_BYTES);
                    buffer.resize(length, 0);
                    file.read_exact_at(buffer, at)?;
                    if buffer.iter().any(|byte| *byte != 0) {
                        return Ok(false);
                    }
                    at += length as u64;
                }
                Ok(true)
            }
        }
    }
}

fn check_open(
    root: &OwnedFd,
    path: &Path,
    attributes: &Attributes,
    order: &Restoration<'_>,
    kind: FileType,
) -> Result<File, BackupError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = open_below(root.as_fd(), path, flags, Mode::empty()).map_err(failed("opening", path))?;
    let stat = rustix::fs::fstat(&file).map_err(failed("reading", path))?;
    let found = attributes_of(file.as_fd(), &stat).map_err(failed("reading attributes of", path))?;
    let what = if FileType::from_raw_mode(stat.st_mode) == kind {
        let (owner, attributes) = order.owners.of(path, attributes)?;
        difference(&found, &attributes, owner, kind)
    } else {
        Some("it is of another kind")
    };
    match what {
        Some(what) => Err(BackupError::Differs { path: path.to_path_buf(), what: what.to_string() }),
        None => Ok(File::from(file)),
    }
}

fn check_link(
    root: &OwnedFd,
    path: &Path,
    attributes: &Attributes,
    target: &std::ffi::OsStr,
    order: &Restoration<'_>,
) -> Result<(), BackupError> {
    use std::os::unix::ffi::OsStrExt as _;
    let read = open_parent(root.as_fd(), path).and_then(|(folder, name)| {
        let stat = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let found = attributes_of_link(folder.as_fd(), name, &stat)?;
        Ok((rustix::fs::readlinkat(&folder, name, Vec::new())?, found))
    });
    let (points, found) = read.map_err(failed("reading", path))?;
    let what = if points.as_bytes() == target.as_bytes() {
        let (owner, attributes) = order.owners.of(path, attributes)?;
        difference(&found, &attributes, owner, FileType::Symlink)
    } else {
        Some("its target is another")
    };
    what.map_or(Ok(()), |what| Err(BackupError::Differs { path: path.to_path_buf(), what: what.to_string() }))
}
