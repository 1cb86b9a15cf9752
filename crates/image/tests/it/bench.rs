//! Things that several tests need: folders, archives, images.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use openmesh_image::effect::open;
use openmesh_image::oci::{self, CONFIG, Config, Descriptor, Platform};
use openmesh_image::store::Store;
use openmesh_image::tar::{Entry, Kind, Writer};
use openmesh_image::unpack::Helper;
use openmesh_primitives::{Digest, sha256};

pub const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Says why a test does nothing here, and returns true.
pub fn skipped(why: &str) -> bool {
    println!("skipped: {why}");
    true
}

/// Unpacking gives files to other users and makes whiteouts.
pub fn no_root() -> bool {
    !rustix::process::geteuid().is_root() && skipped("this test needs root (owners and whiteouts of overlayfs)")
}

pub fn helper() -> Helper {
    Helper { program: env!("CARGO_BIN_EXE_openmesh-unpack").into(), arguments: Vec::new() }
}

pub fn platform() -> Platform {
    Platform { os: "linux".into(), architecture: "amd64".into(), variant: None }
}

/// A store in a folder that goes with it.
pub struct Room {
    pub folder: tempfile::TempDir,
    pub store: Store,
}

pub fn room() -> Room {
    room_in(&std::env::temp_dir())
}

/// A store in memory where there is room for one: for tests that flush a hundred times.
pub fn quick_room() -> Room {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { room_in(memory) } else { room() }
}

fn room_in(folder: &Path) -> Room {
    let folder = tempfile::tempdir_in(folder).unwrap();
    let store = Store::open(&folder.path().join("store"), platform(), &open).unwrap();
    Room { folder, store }
}

impl Room {
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

pub fn entry(name: &[u8], kind: Kind) -> Entry {
    let mode = if kind == Kind::Directory { 0o755 } else { 0o644 };
    Entry { name: name.to_vec(), kind, mode, uid: 0, gid: 0, mtime: 1, size: 0, link: Vec::new(), xattrs: Vec::new() }
}

/// An archive that is put together.
pub struct Pack(Writer<Vec<u8>>);

impl Pack {
    pub fn new() -> Pack {
        Pack(Writer::new(Vec::new()))
    }

    pub fn add(mut self, entry: &Entry, content: &[u8]) -> Pack {
        let entry = Entry { size: content.len() as u64, ..entry.clone() };
        self.0.append(&entry, &mut &*content).unwrap();
        self
    }

    pub fn file(self, name: &str, content: &str) -> Pack {
        self.add(&entry(name.as_bytes(), Kind::File), content.as_bytes())
    }

    pub fn folder(self, name: &str) -> Pack {
        self.add(&entry(name.as_bytes(), Kind::Directory), b"")
    }

    pub fn link(self, name: &str, target: &str, kind: Kind) -> Pack {
        self.add(&Entry { link: target.as_bytes().to_vec(), ..entry(name.as_bytes(), kind) }, b"")
    }

    pub fn done(self) -> Vec<u8> {
        self.0.finish().unwrap()
    }
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn descriptor(kind: &str, bytes: &[u8]) -> Descriptor {
    Descriptor { media_type: kind.into(), digest: sha256(&[bytes]), size: bytes.len() as u64 }
}

/// Blobs of an image, as a registry has them.
pub struct Baked {
    pub manifest: Vec<u8>,
    pub config: Vec<u8>,
    pub layers: Vec<Vec<u8>>,
}

impl Baked {
    /// Of plain archives, compressed by gzip.
    pub fn of(archives: &[Vec<u8>]) -> Baked {
        let config = Config {
            diff_ids: archives.iter().map(|bytes| sha256(&[bytes])).collect(),
            env: vec!["A=b".into()],
            ..Config::default()
        };
        Baked::with(&config, archives.iter().map(|bytes| (GZIP, gzip(bytes))).collect())
    }

    pub fn with(config: &Config, layers: Vec<(&str, Vec<u8>)>) -> Baked {
        let config = oci::write_config(config, &platform());
        let named: Vec<Descriptor> = layers.iter().map(|(kind, bytes)| descriptor(kind, bytes)).collect();
        let manifest = oci::write_manifest(&descriptor(CONFIG, &config), &named);
        Baked { manifest, config, layers: layers.into_iter().map(|(_, bytes)| bytes).collect() }
    }

    pub fn digest(&self) -> Digest {
        sha256(&[&self.manifest])
    }

    /// Puts it into a store, without a lease.
    pub fn keep(&self, store: &Store) -> Digest {
        for blob in [&self.manifest, &self.config].into_iter().chain(&self.layers) {
            store.put(blob, &open).unwrap();
        }
        self.digest()
    }
}

/// Everything below a folder, in order, with mode and owner: what two trees are compared by.
pub fn tree(folder: &Path) -> Vec<String> {
    use std::os::unix::fs::MetadataExt as _;
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(path) = open.pop() {
        let there = std::fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(folder).unwrap().display().to_string();
        found.push(format!("{name} {:o} {}:{}", there.mode(), there.uid(), there.gid()));
        if there.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    found.sort();
    found
}
