//! The folders that overlayfs puts over one another for an image.
//!
//! A layer may hold `a/b` without naming `a`. Unpacked alone, its `a` has an owner and permissions that nobody wrote, and overlayfs takes those of the
//! uppermost `a`: a folder of root in place of the application's own. Layers are shared between images, so what is below is not known when one is
//! unpacked. Therefore an image of which a layer implies a folder gets one more folder on top, `over-CHAIN`, which holds nothing but
//! the implied folders as the nearest layer that names them has them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use openmesh_primitives::{Digest, sha256};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, fchmod, fchown, fstat, mkdirat, openat2, statat};
use rustix::io::Errno;

use super::{Image, Store, StoreError};
use crate::effect::Effect;
use crate::limits::IMPLIED_IMAGE_BYTES_MAX;

const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// Folders of an image for overlayfs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lowers {
    /// Folders, the uppermost first, as `lowerdir` wants them.
    pub folders: Vec<PathBuf>,
}

impl Lowers {
    /// The value of the mount option `lowerdir`. Above about fifty layers it is longer than the page that `mount` takes: then add the folders one by one
    /// (`fsconfig` with `lowerdir+`, Linux 6.5).
    pub fn option(&self) -> std::ffi::OsString {
        let mut option = std::ffi::OsString::new();
        for folder in &self.folders {
            if !option.is_empty() {
                option.push(":");
            }
            option.push(folder);
        }
        option
    }
}

/// Name of the folder over the layers of an image.
pub(super) fn over_name(diff_ids: &[Digest]) -> String {
    let bytes: Vec<&[u8]> = diff_ids.iter().map(|digest| digest.as_bytes().as_slice()).collect();
    format!("over-{}", sha256(&bytes))
}

/// Owner and permissions.
#[derive(Clone, Copy)]
struct Look {
    uid: u32,
    gid: u32,
    mode: u32,
}

/// State of a path in one layer.
enum Found {
    Folder(Look),
    Implied,
    Nothing,
    /// Something else is there, or what is below is hidden.
    Hidden,
}

impl Store {
    /// Folders of an image whose layers are all unpacked.
    ///
    /// # Errors
    /// [`StoreError::Packed`] for a layer that is not.
    pub fn lowers(&self, image: &Image) -> Result<Lowers, StoreError> {
        let mut folders = Vec::new();
        let mut implies = false;
        for diff_id in distinct(image) {
            implies |= self.layer(diff_id)?.implied > 0;
            folders.push(self.layer_root(diff_id));
        }
        if implies {
            let over = self.root.join("layers").join(over_name(&image.config.diff_ids));
            if !over.join("record.json").exists() {
                return Err(StoreError::Packed(image.digest));
            }
            folders.insert(0, over.join("root"));
        }
        Ok(Lowers { folders })
    }

    /// Makes the folder over the layers of an image, where it needs one and it is not there.
    pub(super) fn make_over(&self, image: &Image, effect: Effect<'_>) -> Result<(), StoreError> {
        let name = over_name(&image.config.diff_ids);
        let target = self.root.join("layers").join(&name);
        let is_made = || target.join("record.json").exists();
        let mut layers = Vec::new();
        let mut paths = BTreeSet::new();
        let mut bytes = 0;
        for diff_id in distinct(image) {
            let implied: BTreeSet<Vec<u8>> = self.implied(diff_id)?.iter().filter_map(|path| unhex(path)).collect();
            bytes += implied.iter().map(Vec::len).sum::<usize>();
            if bytes > IMPLIED_IMAGE_BYTES_MAX {
                return Err(StoreError::Implied(image.digest));
            }
            paths.extend(implied.iter().cloned());
            let root = self.layer_root(diff_id);
            let folder = open_root(&root).map_err(StoreError::io(&root, "opening"))?;
            layers.push((folder, implied));
        }
        if paths.is_empty() || is_made() {
            return Ok(());
        }
        let _held = self.hold(&format!("layer-{name}"))?;
        if is_made() {
            return Ok(());
        }
        let building = self.building(&name, effect)?;
        let root = building.join("root");
        let make = || -> std::io::Result<()> {
            let over = open_root(&root)?;
            // The root of the uppermost layer stays the root's look.
            if let Some(look) = layers.first().and_then(|(folder, _)| look(folder, b"").ok().flatten()) {
                dress(&over, look)?;
            }
            // Sorted, so a folder comes before what lies in it.
            paths.iter().try_for_each(|path| match named(&layers, path) {
                Some(look) => place(&over, &layers, path, look),
                None => Ok(()),
            })
        };
        make().map_err(StoreError::io(&root, "making folders"))?;
        self.finish_building(&building, b"{\"version\":1}", &target, effect)
    }
}

/// Digests of an image's layers from the uppermost, each once. Builders repeat a layer (an empty one above all), and overlayfs refuses a folder that it has
/// already. The upper one is enough: it has every name of the lower, and hides what that hides.
fn distinct(image: &Image) -> Vec<&Digest> {
    let mut seen = BTreeSet::new();
    image.layers().rev().map(|(_, diff_id)| diff_id).filter(|diff_id| seen.insert(**diff_id)).collect()
}

fn open_root(path: &Path) -> std::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    text.as_bytes().chunks(2).map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

fn open(folder: &OwnedFd, path: &[u8]) -> rustix::io::Result<OwnedFd> {
    let path = if path.is_empty() { b"." } else { path };
    openat2(
        folder,
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
        BENEATH,
    )
}

fn look(folder: &OwnedFd, path: &[u8]) -> rustix::io::Result<Option<Look>> {
    match open(folder, path).and_then(fstat) {
        Ok(stat) => Ok(Some(Look { uid: stat.st_uid, gid: stat.st_gid, mode: stat.st_mode & 0o7777 })),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// The look of a folder that its uppermost layer implies, from the nearest layer below that names it.
fn named(layers: &[(OwnedFd, BTreeSet<Vec<u8>>)], path: &[u8]) -> Option<Look> {
    let mut implied = false;
    for (folder, known) in layers {
        match found(folder, known, path) {
            Found::Folder(look) => return implied.then_some(look),
            Found::Implied => implied = true,
            Found::Nothing => {}
            Found::Hidden => return None,
        }
        if closes(folder, path) {
            return None;
        }
    }
    None
}

fn found(folder: &OwnedFd, implied: &BTreeSet<Vec<u8>>, path: &[u8]) -> Found {
    match look(folder, path) {
        Ok(Some(_)) if implied.contains(path) => Found::Implied,
        Ok(Some(look)) => Found::Folder(look),
        Ok(None) => Found::Nothing,
        Err(_) => Found::Hidden,
    }
}

/// Returns true where a layer hides what is below a path: an opaque folder on the way.
fn closes(folder: &OwnedFd, path: &[u8]) -> bool {
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    ends.chain([path.len()]).any(|end| {
        let mut value = [0; 8];
        open(folder, &path[..end])
            .is_ok_and(|folder| rustix::fs::fgetxattr(&folder, "trusted.overlay.opaque", &mut value).is_ok())
    })
}

/// Makes a folder and those above it, each with its own look.
fn place(over: &OwnedFd, layers: &[(OwnedFd, BTreeSet<Vec<u8>>)], path: &[u8], own: Look) -> std::io::Result<()> {
    let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at).chain([path.len()]);
    for end in ends {
        let part = &path[..end];
        if statat(over, part, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_dir())
        {
            continue;
        }
        let as_is = || layers.iter().find_map(|(folder, _)| look(folder, part).ok().flatten());
        let look = if end == path.len() { Some(own) } else { named(layers, part).or_else(as_is) };
        let look = look.unwrap_or(Look { uid: 0, gid: 0, mode: 0o755 });
        mkdirat(over, part, Mode::RWXU)?;
        let folder = open(over, part)?;
        dress(&folder, look)?;
    }
    Ok(())
}

fn dress(folder: &OwnedFd, look: Look) -> rustix::io::Result<()> {
    fchown(folder, Some(rustix::fs::Uid::from_raw(look.uid)), Some(rustix::fs::Gid::from_raw(look.gid)))?;
    fchmod(folder, Mode::from_raw_mode(look.mode))
}
