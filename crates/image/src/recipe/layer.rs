//! A layer that is gathered in any order and written in one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Seek as _, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use openmesh_primitives::Digest;
use sha2::{Digest as _, Sha256};

use super::RecipeError;
use crate::effect::Effect;
use crate::limits::BLOB_BYTES_MAX;
use crate::oci::{Descriptor, LAYER};
use crate::store::Store;
use crate::tar::{Archive, Entry, Kind, TarError, Writer};

/// Bytes of a file that is edited: lists of files and scripts have a few hundred thousand. A larger one stays as it is.
const EDITED_BYTES_MAX: u64 = 16 << 20;

/// Fate of a file that goes into a layer.
pub(super) enum Change {
    /// Its bytes are taken as they come.
    AsIs,
    /// Nothing of it is taken.
    LeftOut,
    /// It is taken as this makes it.
    Edited(fn(Vec<u8>) -> Vec<u8>),
}

/// Entries by name, and their contents in a file.
pub(super) struct Layer {
    path: PathBuf,
    spool: File,
    length: u64,
    entries: BTreeMap<Vec<u8>, (Entry, u64)>,
}

impl Layer {
    /// An empty one, with a file for its contents.
    pub fn new(spool: &Path) -> Result<Layer, RecipeError> {
        let path = spool.to_path_buf();
        let disk = |cause| RecipeError::Disk { path: path.clone(), cause };
        let spool = File::options().read(true).write(true).create_new(true).open(&path).map_err(disk)?;
        Ok(Layer { path, spool, length: 0, entries: BTreeMap::new() })
    }

    fn disk(&self) -> impl Fn(io::Error) -> RecipeError + use<> {
        let path = self.path.clone();
        move |cause| RecipeError::Disk { path: path.clone(), cause }
    }

    /// Adds a file.
    pub fn file(&mut self, name: &[u8], mode: u32, (uid, gid): (u64, u64), content: &[u8]) -> Result<(), RecipeError> {
        let entry = Entry {
            name: name.to_vec(),
            kind: Kind::File,
            mode,
            uid,
            gid,
            mtime: 0,
            size: content.len() as u64,
            link: Vec::new(),
            xattrs: Vec::new(),
        };
        self.add(entry, &mut &*content).map_err(self.disk())
    }

    /// Adds an entry with time 0; the later one of a name counts.
    pub fn add(&mut self, mut entry: Entry, content: &mut dyn Read) -> io::Result<()> {
        entry.mtime = 0;
        let at = self.length;
        self.spool.seek(SeekFrom::Start(at))?;
        let left = BLOB_BYTES_MAX.saturating_sub(at);
        let written = io::copy(&mut content.take(left + 1), &mut self.spool)?;
        if written > left {
            let words = format!("the layer has more than {BLOB_BYTES_MAX} bytes, which no registry could give back");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, words));
        }
        self.length += written;
        entry.size = written;
        self.entries.insert(entry.name.clone(), (entry, at));
        Ok(())
    }

    /// Adds what an archive holds and `wanted` lets through.
    pub fn archive(&mut self, archive: impl Read, wanted: impl Fn(&Entry) -> bool) -> Result<(), TarError> {
        let mut archive = Archive::new(archive);
        while let Some(mut entry) = archive.next()? {
            let bare = |name: &[u8]| {
                let parts: Vec<&[u8]> =
                    name.split(|b| *b == b'/').filter(|part| !matches!(*part, b"" | b".")).collect();
                parts.join(&b'/')
            };
            entry.name = bare(&entry.name);
            if entry.kind == Kind::HardLink {
                entry.link = bare(&entry.link);
            }
            entry.xattrs.clear();
            if !entry.name.is_empty() && wanted(&entry) {
                self.add(entry, &mut archive.content())?;
            }
        }
        Ok(())
    }

    /// Adds a folder of this machine below `prefix`: root's, with permissions that are 755 or 644. `change` says by its name which file is edited or left out.
    pub fn tree(&mut self, folder: &Path, prefix: &str, change: &dyn Fn(&str) -> Change) -> Result<(), RecipeError> {
        let mut open = vec![(folder.to_path_buf(), prefix.as_bytes().to_vec())];
        while let Some((path, name)) = open.pop() {
            let disk = |cause| RecipeError::Disk { path: path.clone(), cause };
            let there = std::fs::symlink_metadata(&path).map_err(disk)?;
            let node = |kind, mode, link: Vec<u8>| Entry {
                name: name.clone(),
                kind,
                mode,
                uid: 0,
                gid: 0,
                mtime: 0,
                size: 0,
                link,
                xattrs: Vec::new(),
            };
            if there.is_dir() {
                if !name.is_empty() {
                    self.add(node(Kind::Directory, 0o755, Vec::new()), &mut io::empty()).map_err(disk)?;
                }
                for inner in std::fs::read_dir(&path).map_err(disk)? {
                    let inner = inner.map_err(disk)?;
                    let separator: &[u8] = if name.is_empty() { b"" } else { b"/" };
                    open.push((inner.path(), [name.as_slice(), separator, inner.file_name().as_bytes()].concat()));
                }
            } else if there.is_symlink() {
                let target = std::fs::read_link(&path).map_err(disk)?;
                self.add(node(Kind::Symlink, 0o777, target.as_os_str().as_bytes().to_vec()), &mut io::empty())
                    .map_err(disk)?;
            } else if there.is_file() {
                let mode = if there.mode() & 0o111 == 0 { 0o644 } else { 0o755 };
                let mut file = File::open(&path).map_err(disk)?;
                let entry = node(Kind::File, mode, Vec::new());
                match change(&String::from_utf8_lossy(&name)) {
                    Change::LeftOut => {}
                    Change::Edited(edit) if there.len() <= EDITED_BYTES_MAX => {
                        let mut content = Vec::new();
                        file.take(EDITED_BYTES_MAX).read_to_end(&mut content).map_err(disk)?;
                        self.add(entry, &mut edit(content).as_slice()).map_err(disk)?;
                    }
                    Change::AsIs | Change::Edited(_) => self.add(entry, &mut file).map_err(disk)?,
                }
            }
        }
        Ok(())
    }

    /// Writes the layer into the store.
    pub fn finish(mut self, store: &Store, effect: Effect<'_>) -> Result<(Descriptor, Digest), RecipeError> {
        self.order_links();
        let target = self.path.with_extension("tar");
        let disk = |cause| RecipeError::Disk { path: target.clone(), cause };
        effect("image.recipe.layer").map_err(disk)?;
        let output =
            Hashed { output: BufWriter::new(File::create(&target).map_err(disk)?), hasher: Sha256::new(), bytes: 0 };
        let mut writer = Writer::new(output);
        for (entry, at) in self.entries.values() {
            writer.append(entry, &mut Part { file: &self.spool, at: *at }).map_err(disk)?;
        }
        let output = writer.finish().map_err(disk)?;
        let (size, digest) = (output.bytes, Digest(output.hasher.finalize().into()));
        effect("image.recipe.layer").map_err(disk)?;
        store.adopt(&target, &digest, effect)?;
        let _ = std::fs::remove_file(&self.path);
        Ok((Descriptor { media_type: LAYER.into(), digest, size }, digest))
    }

    /// Makes the first name of each file, in the order of names, the one with the content.
    fn order_links(&mut self) {
        let mut groups: BTreeMap<Vec<u8>, Vec<Vec<u8>>> = BTreeMap::new();
        for (entry, _) in self.entries.values() {
            if entry.kind == Kind::HardLink {
                groups.entry(self.origin(&entry.link)).or_default().push(entry.name.clone());
            }
        }
        for (origin, names) in groups {
            let Some((file, at)) = self.entries.remove(&origin) else {
                // A link to what was left out is left out.
                names.iter().for_each(|name| drop(self.entries.remove(name)));
                continue;
            };
            let mut names: Vec<Vec<u8>> = names.into_iter().chain([origin]).collect();
            names.sort();
            for name in &names[1..] {
                let link =
                    Entry { name: name.clone(), kind: Kind::HardLink, link: names[0].clone(), size: 0, ..file.clone() };
                self.entries.insert(name.clone(), (link, 0));
            }
            self.entries.insert(names[0].clone(), (Entry { name: names[0].clone(), ..file }, at));
        }
    }

    /// The name with the content behind a hard link, which may be to another link.
    fn origin(&self, target: &[u8]) -> Vec<u8> {
        let mut name = target.to_vec();
        // Each step names an entry that came before, so it ends; a circle in a broken archive does not.
        for _ in 0..self.entries.len() {
            match self.entries.get(&name) {
                Some((entry, _)) if entry.kind == Kind::HardLink => name = entry.link.clone(),
                _ => break,
            }
        }
        name
    }
}

/// Contents from a place in the spool on.
struct Part<'a> {
    file: &'a File,
    at: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

struct Hashed<W> {
    output: W,
    hasher: Sha256,
    bytes: u64,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.output.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}
