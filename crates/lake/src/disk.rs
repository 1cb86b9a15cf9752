//! The object store of a lake: here a local folder.
//!
//! `object_store` writes to a temporary name and renames, so an object is whole or absent; but it does not ask the
//! operating system to bring it to the disk. What is acknowledged must survive a power cut, so after each write the
//! file and the folders above it are synchronised here. (A remote store does that by itself; only this module changes.)

use std::collections::BTreeSet;
use std::fs::{File, TryLockError};
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::error::LakeError;

/// Name of the file that only one process can lock.
const LOCK_FILE: &str = "LOCK";

/// A folder, held by this process alone for as long as this value lives.
pub(crate) struct Disk {
    store: Arc<LocalFileSystem>,
    root: PathBuf,
    /// Closing it releases the lock; so does the end of the process, however it ends.
    _lock: File,
}

/// An object that exists.
pub(crate) struct Found {
    pub path: String,
    pub bytes: u64,
}

impl Disk {
    pub(crate) fn open(dir: &FsPath) -> Result<Disk, LakeError> {
        let fail = |e: std::io::Error| LakeError::storage("open", dir.display(), e);
        std::fs::create_dir_all(dir).map_err(fail)?;
        let root = dir.canonicalize().map_err(fail)?;
        let lock = File::create(root.join(LOCK_FILE)).map_err(fail)?;
        lock.try_lock().map_err(|e| match e {
            TryLockError::WouldBlock => LakeError::InUse { dir: dir.display().to_string() },
            TryLockError::Error(e) => fail(e),
        })?;
        remove_unfinished(&root).map_err(fail)?;
        let store =
            LocalFileSystem::new_with_prefix(&root).map_err(|e| LakeError::storage("open", dir.display(), e))?;
        Ok(Disk { store: Arc::new(store), root, _lock: lock })
    }

    /// For readers: the same objects, by path.
    pub(crate) fn store(&self) -> Arc<dyn ObjectStore> {
        self.store.clone()
    }

    /// Writes objects and returns when all of them are on the disk.
    pub(crate) async fn put_all(&self, objects: Vec<(String, Vec<u8>)>) -> Result<(), LakeError> {
        let paths: Vec<String> = objects.iter().map(|(path, _)| path.clone()).collect();
        for (path, bytes) in objects {
            let put = self.store.put(&Path::from(path.as_str()), Bytes::from(bytes).into()).await;
            put.map_err(|e| LakeError::storage("write", &path, e))?;
        }
        let root = self.root.clone();
        let synced = tokio::task::spawn_blocking(move || synchronise(&root, &paths)).await;
        synced.map_err(|e| LakeError::storage("write", "its files", e))?
    }

    /// The folder: for objects that are read in pieces.
    pub(crate) fn root(&self) -> &FsPath {
        &self.root
    }

    /// Writes an object that need not fit in memory, and returns when it is on the disk. It appears under its name only when it
    /// is whole; what a process leaves behind that dies before has a name that [`remove_unfinished`] knows.
    pub(crate) async fn write_file(
        &self,
        path: &str,
        write: impl FnOnce(File) -> Result<(), LakeError> + Send + 'static,
    ) -> Result<(), LakeError> {
        let (root, path) = (self.root.clone(), path.to_string());
        let written = tokio::task::spawn_blocking(move || {
            let fail = |e: std::io::Error| LakeError::storage("write", &path, e);
            let full = root.join(&path);
            let staged = root.join(format!("{path}#0"));
            if let Some(folder) = full.parent() {
                std::fs::create_dir_all(folder).map_err(fail)?;
            }
            write(File::create(&staged).map_err(fail)?)?;
            std::fs::rename(&staged, &full).map_err(fail)?;
            synchronise(&root, std::slice::from_ref(&path))
        });
        written.await.map_err(|e| LakeError::storage("write", "its files", e))?
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Bytes, LakeError> {
        let fail = |e: object_store::Error| LakeError::storage("read", path, e);
        self.store.get(&Path::from(path)).await.map_err(fail)?.bytes().await.map_err(fail)
    }

    /// Deletes; an object that is gone already is no error.
    pub(crate) async fn delete(&self, path: &str) -> Result<(), LakeError> {
        match self.store.delete(&Path::from(path)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(LakeError::storage("delete", path, e)),
        }
    }

    /// Every object, in no order.
    pub(crate) async fn list(&self) -> Result<Vec<Found>, LakeError> {
        let found = self.store.list(None).map_ok(|o| Found { path: o.location.to_string(), bytes: o.size });
        let mut all: Vec<Found> = found.try_collect().await.map_err(|e| LakeError::storage("list", "its files", e))?;
        all.retain(|o| o.path != LOCK_FILE);
        Ok(all)
    }
}

/// Deletes what a process that died inside a write left behind: `object_store` writes to `<name>#<number>` first, and
/// does not list such names.
fn remove_unfinished(folder: &FsPath) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let staged = name.to_string_lossy().rsplit_once('#').is_some_and(|(_, number)| number.parse::<u32>().is_ok());
        if entry.file_type()?.is_dir() {
            remove_unfinished(&entry.path())?;
        } else if staged {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn synchronise(root: &FsPath, paths: &[String]) -> Result<(), LakeError> {
    let sync = |path: &FsPath| {
        File::open(path).and_then(|f| f.sync_all()).map_err(|e| LakeError::storage("write", path.display(), e))
    };
    let mut folders = BTreeSet::new();
    for path in paths {
        let full = root.join(path);
        sync(&full)?;
        let above = full.ancestors().skip(1).take_while(|folder| folder.starts_with(root));
        folders.extend(above.map(FsPath::to_path_buf));
    }
    folders.iter().try_for_each(|folder| sync(folder))
}
