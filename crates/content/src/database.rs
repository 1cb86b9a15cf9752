//! The database of small blocks: its file, and what becomes of it when a disk refuses or has damaged it.
//!
//! The database refuses everything after a failed operation, until it is opened again: it is opened again in place, and is
//! then what its last commit made of it. Where it says that its file is damaged, or panics over it, the file is checked
//! from end to end, and set aside where that finds damage; the next write begins an empty one.

use std::fs::{self, File, TryLockError};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use redb::{Durability, ReadableDatabase as _};

use crate::disk::Disk;
use crate::fault::Fault;
use crate::files::{INCOMING, QUARANTINE};
use crate::limits::ContentError;
use crate::pages::Pages;
use crate::tables::{Reading, Writing, make_tables};

/// Name of the database's file in the store's folder, and in the quarantine.
pub(crate) const FILE: &str = "blocks.redb";

/// Memory for pages: the way to the newest and to the oldest blocks, and what one transaction changes. Little in tests, so that what
/// the file has become is seen.
const CACHE_BYTES_MAX: usize = if cfg!(test) { 64 << 10 } else { 16 << 20 };

/// One opening of the database.
#[derive(Debug)]
pub(crate) struct Open {
    /// There until the end.
    database: Option<redb::Database>,
    pages: Pages,
    file: Arc<File>,
}

#[derive(Clone, Debug)]
enum Handle {
    /// No small block was ever kept here.
    Absent,
    Open(Arc<Open>),
    /// It could not be opened again.
    Broken(Arc<File>),
}

/// The database of a store.
#[derive(Debug)]
pub(crate) struct Database {
    path: PathBuf,
    /// Path at which a new one is made.
    draft: PathBuf,
    aside: PathBuf,
    disk: Disk,
    handle: RwLock<Handle>,
    /// The file was checked from end to end since the start: when it is doubted once more it goes.
    checked: AtomicBool,
}

impl Database {
    /// Opens the database where there is one, and sets it aside where it is damaged. Fails where the file system refuses, and
    /// with [`ContentError::InUse`].
    pub(crate) fn open(root: &Path, disk: Disk) -> Result<Database, ContentError> {
        let [path, draft] = [root.join(FILE), root.join(INCOMING).join(FILE)];
        let (handle, checked) = (RwLock::new(Handle::Absent), AtomicBool::new(false));
        let database = Database { path, draft, aside: root.join(QUARANTINE), disk, handle, checked };
        if database.path.exists() {
            let file = database.locked(&database.path).map_err(|fault| database.error(fault))?;
            database.open_again(Arc::new(file)).map_err(|fault| database.error(fault))?;
        }
        Ok(database)
    }

    /// The opening that is in use; `None` where there is no database. Fails where it could not be opened again.
    pub(crate) fn current(&self) -> Result<Option<Arc<Open>>, Fault> {
        match &*self.handle.read().unwrap_or_else(PoisonError::into_inner) {
            Handle::Absent => Ok(None),
            Handle::Open(open) => Ok(Some(open.clone())),
            Handle::Broken(_) => Err(Fault::Io(io::Error::other("the database could not be opened again"))),
        }
    }

    /// The opening to write to, made where there is none. For one caller at a time.
    pub(crate) fn writable(&self) -> Result<Arc<Open>, Fault> {
        match self.current()? {
            Some(open) => Ok(open),
            None => self.create(),
        }
    }

    /// Makes an empty database beside its place and renames it there, durably: one that a crash left half made is none.
    fn create(&self) -> Result<Arc<Open>, Fault> {
        self.disk.remove(&self.draft).map_err(Fault::Io)?;
        let file = Arc::new(self.locked(&self.draft)?);
        let pages = Pages::new(file.clone(), self.disk.clone());
        let root = self.path.parent().unwrap_or(&self.path);
        let made = attempt(|| open(&pages)).and_then(|database| {
            self.disk.rename(&self.draft, &self.path).map_err(Fault::Io)?;
            self.disk.sync_folder(root).map_err(Fault::Io)?;
            Ok(database)
        });
        match made {
            Ok(database) => {
                let open = Arc::new(Open { database: Some(database), pages, file });
                self.set(Handle::Open(open.clone()));
                Ok(open)
            }
            Err(fault) => {
                pages.end();
                Err(fault)
            }
        }
    }

    /// Brings the database back into use after an operation on one of its openings has failed. For one caller at a time.
    pub(crate) fn recover(&self, failed: &Arc<Open>, fault: &Fault) -> Result<(), Fault> {
        let current = matches!(self.handle(), Handle::Open(open) if Arc::ptr_eq(&open, failed));
        match fault {
            Fault::Refused(_) => return Ok(()),
            // Somebody has done it.
            _ if !current => return Ok(()),
            Fault::Io(_) | Fault::Damaged(_) => {}
        }
        let file = failed.file.clone();
        failed.pages.end();
        self.set(Handle::Broken(file.clone()));
        let Fault::Damaged(why) = fault else { return self.open_again(file) };
        if self.checked.swap(true, Ordering::Relaxed) {
            return self.set_aside(why);
        }
        let pages = Pages::new(file.clone(), self.disk.clone());
        let sound = attempt(|| {
            let mut database = open(&pages)?;
            database.check_integrity().map_err(Fault::from)
        });
        pages.end();
        match sound {
            Ok(_) => self.open_again(file),
            Err(Fault::Damaged(why)) => self.set_aside(&why),
            Err(fault) => Err(fault),
        }
    }

    /// Opens the database once more where that failed before. For one caller at a time.
    pub(crate) fn mend(&self) -> Result<(), Fault> {
        match self.handle() {
            Handle::Broken(file) => self.open_again(file),
            Handle::Absent | Handle::Open(_) => Ok(()),
        }
    }

    fn open_again(&self, file: Arc<File>) -> Result<(), Fault> {
        self.set(Handle::Broken(file.clone()));
        let pages = Pages::new(file.clone(), self.disk.clone());
        let opened = attempt(|| open(&pages));
        match opened {
            Ok(database) => {
                self.set(Handle::Open(Arc::new(Open { database: Some(database), pages, file })));
                Ok(())
            }
            Err(Fault::Damaged(why)) => {
                pages.end();
                self.set_aside(&why)
            }
            Err(fault) => {
                pages.end();
                Err(fault)
            }
        }
    }

    /// Moves the file to the quarantine, in place of one that is there: two would be a second store on the disk.
    fn set_aside(&self, why: &str) -> Result<(), Fault> {
        let to = self.aside.join(FILE);
        let moved = self.disk.create_folder(&self.aside).and_then(|()| self.disk.rename(&self.path, &to));
        moved.map_err(Fault::Io)?;
        self.set(Handle::Absent);
        tracing::error!(
            why,
            file = %to.display(),
            "the database of small blocks is damaged: it is set aside, and the store begins anew; peers give what is missing"
        );
        Ok(())
    }

    /// A file, made where there is none, and locked.
    fn locked(&self, path: &Path) -> Result<File, Fault> {
        let file = self.disk.open_or_create(path).map_err(Fault::Io)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(Fault::Refused(ContentError::InUse(self.path.clone()))),
            Err(TryLockError::Error(error)) => Err(Fault::Io(error)),
        }
    }

    fn handle(&self) -> Handle {
        self.handle.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, handle: Handle) {
        *self.handle.write().unwrap_or_else(PoisonError::into_inner) = handle;
    }

    /// Bytes of the file; 0 where there is none.
    pub(crate) fn file_bytes(&self) -> u64 {
        use std::os::unix::fs::MetadataExt as _;
        // What was never written takes nothing of the disk.
        fs::metadata(&self.path).map_or(0, |about| about.blocks().saturating_mul(512))
    }

    /// The error that a caller of the store gets.
    pub(crate) fn error(&self, fault: Fault) -> ContentError {
        match fault {
            Fault::Refused(error) => error,
            Fault::Io(error) => ContentError::io(&self.path, error),
            Fault::Damaged(why) => ContentError::io(&self.path, io::Error::new(io::ErrorKind::InvalidData, why)),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let database = self.database.take();
        // It writes its end, and may panic over a damaged file as any other operation does.
        let _ = catch_unwind(AssertUnwindSafe(move || drop(database)));
    }
}

impl Open {
    fn database(&self) -> Result<&redb::Database, Fault> {
        self.database.as_ref().ok_or_else(|| Fault::Io(io::Error::other("the database is closed")))
    }

    pub(crate) fn read<T>(&self, work: impl FnOnce(&Reading) -> Result<T, Fault>) -> Result<T, Fault> {
        attempt(|| work(&Reading::open(&self.database()?.begin_read()?)?))
    }

    /// Does some work in one transaction. What is not `durable` is so with the next transaction that is; a crash takes it back.
    pub(crate) fn write<T>(
        &self,
        durable: bool,
        work: impl FnOnce(&mut Writing<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        attempt(|| {
            let mut write = self.database()?.begin_write()?;
            if !durable {
                write.set_durability(Durability::None)?;
            }
            let done = work(&mut Writing::open(&write)?)?;
            write.commit()?;
            Ok(done)
        })
    }
}

/// Opens or makes a database with its tables.
fn open(pages: &Pages) -> Result<redb::Database, Fault> {
    let mut builder = redb::Database::builder();
    let database = builder.set_cache_size(CACHE_BYTES_MAX).create_with_backend(pages.clone())?;
    if Reading::open(&database.begin_read()?).is_err() {
        let write = database.begin_write()?;
        make_tables(&write)?;
        write.commit()?;
    }
    Ok(database)
}

/// Does some work with the database, which may panic over a damaged file.
fn attempt<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    let outcome = catch_unwind(AssertUnwindSafe(work));
    outcome.unwrap_or_else(|_| Err(Fault::Damaged("its reader panicked over it".to_owned())))
}
