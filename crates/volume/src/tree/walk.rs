//! A walk over a tree by several threads, in parts of folders.

use std::collections::VecDeque;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use crate::error::VolumeError;

/// Entries of a folder that one thread takes at once: enough to pay for opening the folder again.
const PART_ENTRIES: usize = 256;
/// Parts that wait at most; beyond, whoever finds them does them itself. Bounds the memory for a folder with millions of entries.
const PARTS_WAITING_MAX: usize = 256;
/// Bytes of names of folders that wait at most, with what each costs: a folder with two million folders in it, more than any application is known to make.
const FOLDERS_WAITING_BYTES_MAX: usize = 128 << 20;
/// Bytes that a name costs in memory beside its own.
const NAME_COST_BYTES: usize = 32;
/// Threads at most: more do not help one journal.
const THREADS_MAX: usize = 8;

/// An entry of a folder.
pub(crate) struct Entry {
    /// Its name.
    pub name: CString,
    /// Its attributes, of a link itself.
    pub stat: Stat,
}

impl Entry {
    /// Its kind.
    pub(crate) fn kind(&self) -> FileType {
        FileType::from_raw_mode(self.stat.st_mode)
    }
}

/// Some entries of one folder.
pub(crate) struct Part<'a> {
    /// The folder, open.
    pub folder: BorrowedFd<'a>,
    /// Its path below the root of the tree.
    pub path: &'a Path,
    /// The entries.
    pub entries: Vec<Entry>,
}

/// Work that waits: names in one folder, whose path is there once for all of them.
enum Job {
    /// Folders, whose entries are to be visited.
    Folders(PathBuf, Vec<CString>),
    /// Entries, which are to be visited.
    Names(PathBuf, Vec<CString>),
}

/// Work for one thread.
enum Task {
    Folder(PathBuf),
    Names(PathBuf, Vec<CString>),
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Bytes of the folders among the jobs.
    folder_bytes: usize,
    working: usize,
    failure: Option<VolumeError>,
}

/// State that the threads of a walk share.
struct Walk<'a> {
    root: BorrowedFd<'a>,
    shown: &'a Path,
    queue: Mutex<Queue>,
    news: Condvar,
    visit: &'a (dyn Fn(&Part<'_>) -> Result<(), VolumeError> + Sync),
}

/// Visits every entry below a folder, those of a folder after the folder itself, in no other order. `shown` is its path, for messages.
/// Returns at the first error.
pub(crate) fn walk(
    root: BorrowedFd<'_>,
    shown: &Path,
    visit: &(dyn Fn(&Part<'_>) -> Result<(), VolumeError> + Sync),
) -> Result<(), VolumeError> {
    let mut queue = Queue::default();
    // The root is what an empty path leads to.
    queue.push_folders(PathBuf::new(), vec![CString::default()]);
    let queue = Mutex::new(queue);
    let walk = Walk { root, shown, queue, news: Condvar::new(), visit };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| walk.work());
        }
        walk.work();
    });
    let queue = walk.queue.into_inner().unwrap_or_else(PoisonError::into_inner);
    queue.failure.map_or(Ok(()), Err)
}

impl Walk<'_> {
    fn work(&self) {
        while let Some(task) = self.next() {
            // A visit that panics is a failure for all; the counter goes down either way, so that nobody waits for ever.
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.do_task(task)));
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.working -= 1;
            match result {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    queue.jobs.clear();
                    queue.failure.get_or_insert(error);
                }
                Err(panic) => {
                    queue.jobs.clear();
                    drop(queue);
                    self.news.notify_all();
                    std::panic::resume_unwind(panic);
                }
            }
            self.news.notify_all();
        }
    }

    /// Waits for a job; none when all is done.
    fn next(&self) -> Option<Task> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(task) = queue.pop() {
                queue.working += 1;
                return Some(task);
            }
            if queue.working == 0 {
                return None;
            }
            queue = self.news.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn do_task(&self, task: Task) -> Result<(), VolumeError> {
        match task {
            Task::Folder(path) => self.list(&path),
            Task::Names(path, names) => {
                let folder = open_below(self.root, &path, self.shown)?;
                self.visit_names(&folder, &path, names)
            }
        }
    }

    fn list(&self, path: &Path) -> Result<(), VolumeError> {
        let shown = self.shown.join(path);
        let folder = open_below(self.root, path, self.shown)?;
        let entries = Dir::read_from(&folder).map_err(failed("listing", &shown))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(failed("listing", &shown))?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                names.push(entry.file_name().to_owned());
            }
            if names.len() == PART_ENTRIES {
                self.hand_over(&folder, path, std::mem::take(&mut names))?;
            }
        }
        self.visit_names(&folder, path, names)
    }

    fn hand_over(&self, folder: &OwnedFd, path: &Path, names: Vec<CString>) -> Result<(), VolumeError> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.jobs.len() < PARTS_WAITING_MAX && queue.failure.is_none() {
            queue.jobs.push_front(Job::Names(path.to_path_buf(), names));
            drop(queue);
            self.news.notify_one();
            return Ok(());
        }
        drop(queue);
        self.visit_names(folder, path, names)
    }

    fn visit_names(&self, folder: &OwnedFd, path: &Path, names: Vec<CString>) -> Result<(), VolumeError> {
        let mut entries = Vec::with_capacity(names.len());
        for name in names {
            match rustix::fs::statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => entries.push(Entry { name, stat }),
                // Removed since it was listed: a tree in use is measured, too.
                Err(Errno::NOENT) => {}
                Err(cause) => return Err(failed("reading", &self.shown.join(path).join(part(&name)))(cause)),
            }
        }
        let visited = Part { folder: folder.as_fd(), path, entries };
        (self.visit)(&visited)?;
        let folders = visited.entries.into_iter().filter(|entry| entry.kind() == FileType::Directory);
        let folders: Vec<CString> = folders.map(|entry| entry.name).collect();
        if folders.is_empty() {
            return Ok(());
        }
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.failure.is_some() {
            return Ok(());
        }
        queue.push_folders(path.to_path_buf(), folders);
        if queue.folder_bytes > FOLDERS_WAITING_BYTES_MAX {
            let path = self.shown.join(path);
            return Err(VolumeError::TooManyFolders { path, most: FOLDERS_WAITING_BYTES_MAX });
        }
        drop(queue);
        self.news.notify_all();
        Ok(())
    }
}

impl Queue {
    fn push_folders(&mut self, path: PathBuf, names: Vec<CString>) {
        self.folder_bytes += names.iter().map(cost).sum::<usize>() + path.as_os_str().len();
        self.jobs.push_back(Job::Folders(path, names));
    }

    /// Takes the last: a tree is walked into its depth, where fewer wait.
    fn pop(&mut self) -> Option<Task> {
        match self.jobs.pop_back()? {
            Job::Names(path, names) => Some(Task::Names(path, names)),
            Job::Folders(path, mut names) => {
                let name = names.pop()?;
                self.folder_bytes -= cost(&name);
                let task = Task::Folder(path.join(part(&name)));
                if names.is_empty() {
                    self.folder_bytes -= path.as_os_str().len();
                } else {
                    self.jobs.push_back(Job::Folders(path, names));
                }
                Some(task)
            }
        }
    }
}

fn cost(name: &CString) -> usize {
    name.as_bytes().len() + NAME_COST_BYTES
}

/// A name as a part of a path.
pub(crate) fn part(name: &CStr) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(name.to_bytes()))
}

/// Makes the error of a system call in a tree.
pub(crate) fn failed<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(Errno) -> VolumeError + 'a {
    move |cause| VolumeError::io(doing, path)(cause.into())
}

/// Opens the root of a tree.
pub(crate) fn open_root(path: &Path) -> Result<OwnedFd, VolumeError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(failed("opening", path))
}

/// Opens a folder below a root: no link, no other mount, nothing above.
pub(crate) fn open_below(root: BorrowedFd<'_>, path: &Path, shown: &Path) -> Result<OwnedFd, VolumeError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve =
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    let below = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    match rustix::fs::openat2(root, below, flags, Mode::empty(), resolve) {
        Ok(folder) => Ok(folder),
        Err(Errno::NAMETOOLONG) => Err(VolumeError::PathLong { path: shown.to_path_buf() }),
        Err(cause) => Err(failed("opening", &shown.join(path))(cause)),
    }
}

/// Size of a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Bytes on disk; those that it shares with other trees are counted in full.
    pub bytes: u64,
    /// Files, folders and links.
    pub entries: u64,
}

/// Measures a tree. A file with several names counts once.
pub(crate) fn measure(root: &Path) -> Result<Extent, VolumeError> {
    let (bytes, entries) = (AtomicU64::new(0), AtomicU64::new(0));
    walk(open_root(root)?.as_fd(), root, &|part| {
        for entry in &part.entries {
            let names = match entry.kind() {
                FileType::Directory => 1,
                _ => u64::from(entry.stat.st_nlink as u32).max(1),
            };
            bytes.fetch_add(entry.stat.st_blocks.unsigned_abs() * 512 / names, Ordering::Relaxed);
            entries.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    })?;
    Ok(Extent { bytes: bytes.into_inner(), entries: entries.into_inner() })
}

/// Moment of the file system, as it stamps changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stamp(i64, u64);

impl Stamp {
    /// Moment of the last change of attributes or content.
    pub(crate) fn of(stat: &Stat) -> Stamp {
        Stamp(stat.st_ctime, stat.st_ctime_nsec)
    }
}

/// Fails where something in a tree was changed after a moment. Within the tick of the kernel's clock in which that moment lies (at most 10 ms) a
/// change can go unseen: it is a net below the caller's promise that the writers stand still, not the promise.
pub(crate) fn check_unchanged(root: &Path, since: Stamp) -> Result<(), VolumeError> {
    let folder = open_root(root)?;
    let own = rustix::fs::fstat(&folder).map_err(failed("reading", root))?;
    if Stamp::of(&own) > since {
        return Err(VolumeError::Torn { path: root.to_path_buf() });
    }
    walk(folder.as_fd(), root, &|visited| match visited.entries.iter().find(|entry| Stamp::of(&entry.stat) > since) {
        Some(entry) => Err(VolumeError::Torn { path: root.join(visited.path).join(part(&entry.name)) }),
        None => Ok(()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_wait_are_counted_until_their_turn() {
        let mut queue = Queue::default();
        let name = |number: usize| CString::new(format!("folder-{number}")).unwrap();
        queue.push_folders(PathBuf::new(), vec![CString::default()]);
        queue.push_folders("a/b".into(), (0..200).map(name).collect());
        assert!(queue.folder_bytes > 200 * NAME_COST_BYTES);
        let mut seen = std::collections::BTreeSet::new();
        while let Some(task) = queue.pop() {
            match task {
                Task::Folder(path) => assert!(seen.insert(path)),
                Task::Names(..) => panic!("none were pushed"),
            }
        }
        assert_eq!((seen.len(), queue.folder_bytes), (201, 0));
        assert!(seen.contains(Path::new("a/b/folder-7")) && seen.contains(Path::new("")));
    }
}
