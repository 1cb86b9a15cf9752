//! The objects of one loan on the lender's disk (B-76, B-77).
//!
//! ```text
//! GUESTS/NAME/objects/        the guest's store, in the layout of B-6: a disk that is carried away is a place of the kind `folder`
//!             held/DAY/       what the guest removed on a day of the lender, in the same layout
//!             brought         number of the last order to bring back that was done
//! ```
//!
//! An object is written beside its place, held against its name, synced, and linked to it: it is whole or absent, whoever dies. Removing one moves it to the
//! withheld ones of the day.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError};

use openmesh_backup::peer::wire::{About, Entry, PAGE_OBJECTS, object_bytes_max};
use openmesh_backup::{Folder, Id, IdHasher, Kind, Name, Refusal, Store as _, StoreError, Writer};

use crate::account::Account;
use crate::days::is_over;
use crate::effects::{Effects, effect};
use crate::files;

/// Folder of the guest's store.
const OBJECTS: &str = "objects";
/// Folder of what is withheld.
const HELD: &str = "held";
/// File with the number of the last order to bring back that was done.
const BROUGHT: &str = "brought";
/// Beginning of every marker of a repository, whatever its version.
const FORMAT_PREFIX: &[u8] = b"openmesh backup ";

/// The objects of a loan.
pub struct Vault {
    root: PathBuf,
    objects: Folder,
    account: Mutex<Account>,
    /// Taken by each request for its time, and alone by an order to bring back, which counts everything anew.
    turn: RwLock<()>,
    effects: Effects,
}

/// Bounds under which an object is taken.
#[derive(Clone, Copy, Debug)]
pub struct Grant {
    /// Room that is lent, bytes.
    pub room_bytes: u64,
    /// Free disk that stays for the machine itself, bytes.
    pub reserve_bytes: u64,
}

/// The beginning of an object.
pub enum Begun<'v> {
    /// One of its name is there.
    There,
    /// It is to be written.
    Writing(Writing<'v>),
}

fn failed(cause: &dyn std::fmt::Display) -> Refusal {
    Refusal::failed(&cause.to_string())
}

fn of_store(error: StoreError) -> Refusal {
    match error {
        StoreError::Missing { .. } => Refusal::Missing,
        error => failed(&error),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Vault {
    /// Opens the objects of a loan, makes their folder where it is not there, and counts them.
    ///
    /// # Errors
    /// The system refuses.
    pub fn open(root: PathBuf, effects: Effects) -> Result<Vault, Refusal> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(root.join(HELD));
        made.map_err(|cause| failed(&cause))?;
        let objects = Folder::open(root.join(OBJECTS)).map_err(of_store)?;
        let vault = Vault { root, objects, account: Mutex::default(), turn: RwLock::new(()), effects };
        *lock(&vault.account) = vault.counted()?;
        Ok(vault)
    }

    /// Everything that is there, counted.
    fn counted(&self) -> Result<Account, Refusal> {
        let mut account = Account::default();
        if let Some((bytes, _)) = self.objects.stat(Name::Format).map_err(of_store)? {
            account.add_used(Name::Format, bytes);
        }
        for kind in Kind::ALL {
            for listed in self.objects.list(kind).map_err(of_store)? {
                account.add_used(Name::Object(kind, listed.id), listed.bytes);
            }
        }
        for day in held_days(&self.root).map_err(|cause| failed(&cause))? {
            for (name, bytes) in objects_of(&self.held(day)?)? {
                account.add_held(name, bytes);
            }
        }
        Ok(account)
    }

    /// Objects that were removed on a day.
    fn held(&self, day: u32) -> Result<Folder, Refusal> {
        Folder::open(self.root.join(HELD).join(day.to_string())).map_err(of_store)
    }

    /// The account.
    pub fn account(&self) -> Account {
        lock(&self.account).clone()
    }

    fn turn(&self) -> RwLockReadGuard<'_, ()> {
        self.turn.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The vault without any request; none while one is under way, which may be a slow one: nobody waits behind it.
    fn alone(&self) -> Option<RwLockWriteGuard<'_, ()>> {
        match self.turn.try_write() {
            Ok(alone) => Some(alone),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Begins an object, and takes its room.
    ///
    /// # Errors
    /// It is too large, there is no room for it, or the system refuses.
    pub fn begin(&self, name: Name, bytes: u64, grant: Grant) -> Result<Begun<'_>, Refusal> {
        let turn = self.turn();
        let bytes_max = object_bytes_max(name);
        if bytes > bytes_max {
            return Err(Refusal::Size { bytes_max });
        }
        if self.objects.stat(name).map_err(of_store)?.is_some() {
            // Whoever put it may have died before it was durable.
            let folder = self.path(name).parent().map_or(self.root.clone(), Path::to_path_buf);
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(|cause| failed(&cause))?;
            return Ok(Begun::There);
        }
        let disk = rustix::fs::statvfs(&self.root).map_err(|errno| failed(&errno))?;
        if disk.f_bavail.saturating_mul(disk.f_frsize) < grant.reserve_bytes.saturating_add(bytes) {
            return Err(Refusal::Disk);
        }
        lock(&self.account).take(name, bytes, grant.room_bytes)?;
        let charged = Charged { vault: self, name, bytes, is_kept: false };
        let writer = effect(&self.effects, "begin object", || self.objects.writer(name).map_err(of_store))?;
        let hasher = Box::new(IdHasher::new());
        Ok(Begun::Writing(Writing { writer, charged, hasher, head: Vec::new(), left: bytes, _turn: turn }))
    }

    fn path(&self, name: Name) -> PathBuf {
        self.objects.root().join(name.to_string())
    }

    /// Opens an object at a place, and returns it with the bytes that are left there, at most so many.
    ///
    /// # Errors
    /// It is not there, or the system refuses.
    pub fn read(&self, name: Name, from: u64, bytes_max: u64) -> Result<(io::Take<File>, u64), Refusal> {
        let _turn = self.turn();
        let opened = File::open(self.path(name)).and_then(|mut file| {
            let left = file.metadata()?.len().saturating_sub(from).min(bytes_max);
            file.seek(SeekFrom::Start(from))?;
            Ok((file.take(left), left))
        });
        opened.map_err(|cause| if cause.kind() == io::ErrorKind::NotFound { Refusal::Missing } else { failed(&cause) })
    }

    /// An object; none where it is not there.
    ///
    /// # Errors
    /// The system refuses.
    pub fn stat(&self, name: Name) -> Result<Option<About>, Refusal> {
        let _turn = self.turn();
        let found = self.objects.stat(name).map_err(of_store)?;
        Ok(found.map(|(bytes, stored)| About { bytes, stored }))
    }

    /// Objects of a kind after an id, by ascending id: a page of them, and whether there are more.
    ///
    /// # Errors
    /// The system refuses.
    pub fn page(&self, kind: Kind, after: Option<Id>) -> Result<(Vec<Entry>, bool), Refusal> {
        let _turn = self.turn();
        let mut page = Vec::new();
        for folder in folders(&self.objects.root().join(kind.folder()), kind, after) {
            for id in ids(&folder, after).map_err(|cause| failed(&cause))? {
                if page.len() == PAGE_OBJECTS {
                    return Ok((page, true));
                }
                let found = self.objects.stat(Name::Object(kind, id)).map_err(of_store)?;
                page.extend(found.map(|(bytes, stored)| Entry { id, about: About { bytes, stored } }));
            }
        }
        Ok((page, false))
    }

    /// Removes an object: withholds it from the present day on, or where nothing is withheld lets it go. False where it is not there. Sessions and marks go at
    /// once: they hold no data.
    ///
    /// # Errors
    /// It is the marker, or the system refuses.
    pub fn delete(&self, name: Name, held_days: u32, today: u32) -> Result<bool, Refusal> {
        let _turn = self.turn();
        let Name::Object(kind, _) = name else { return Err(Refusal::Protected) };
        let Some((bytes, _)) = self.objects.stat(name).map_err(of_store)? else { return Ok(false) };
        if held_days == 0 || matches!(kind, Kind::Session | Kind::Mark) {
            let was = effect(&self.effects, "remove object", || self.objects.delete(name).map_err(of_store))?;
            if was {
                lock(&self.account).give_back(name, bytes);
            }
            return Ok(was);
        }
        let held = self.held(today)?;
        let was =
            effect(&self.effects, "withhold object", || self.objects.hand_over(name, &held).map_err(of_store))?;
        if was {
            lock(&self.account).hold(bytes);
        }
        Ok(was)
    }

    /// Lets go of what was withheld for its days. While a request is under way nothing is done: it is asked for again.
    ///
    /// # Errors
    /// The system refuses; what has gone is counted.
    pub fn purge(&self, held_days_of_loan: u32, today: u32) -> Result<(), Refusal> {
        let mut over = held_days(&self.root).map_err(|cause| failed(&cause))?;
        over.retain(|day| is_over(*day, held_days_of_loan, today));
        if over.is_empty() {
            return Ok(());
        }
        let Some(_alone) = self.alone() else { return Ok(()) };
        for day in over {
            let folder = self.root.join(HELD).join(day.to_string());
            effect(&self.effects, "let go", || fs::remove_dir_all(folder).map_err(|cause| failed(&cause)))?;
        }
        *lock(&self.account) = self.counted()?;
        Ok(())
    }

    /// Brings back everything that was removed in the last days, the present one among them, and returns the number of objects. Nothing that is there is
    /// replaced. Each order is done once, by its number; while a request is under way it is not done yet.
    ///
    /// # Errors
    /// The system refuses; asked again it goes on.
    pub fn bring_back(&self, number: u64, days: u32, today: u32) -> Result<u64, Refusal> {
        if self.brought() >= number {
            return Ok(0);
        }
        let Some(_alone) = self.alone() else { return Ok(0) };
        let mut brought = 0;
        let mut meant = held_days(&self.root).map_err(|cause| failed(&cause))?;
        meant.retain(|day| day.saturating_add(days) > today);
        for held in meant.into_iter().map(|day| self.held(day)) {
            let held = held?;
            for (name, _) in objects_of(&held)? {
                let back = || held.hand_over(name, &self.objects).map_err(of_store);
                brought += u64::from(effect(&self.effects, "bring back object", back)?);
            }
            fs::remove_dir_all(held.root()).map_err(|cause| failed(&cause))?;
        }
        *lock(&self.account) = self.counted()?;
        files::replace(&self.root.join(BROUGHT), &number).map_err(|cause| failed(&cause))?;
        Ok(brought)
    }

    /// Number of the last order to bring back that was done; 0 before the first.
    pub fn brought(&self) -> u64 {
        files::read(&self.root.join(BROUGHT)).unwrap_or(0)
    }
}

/// Days of which something is withheld in the folder of a loan, ascending.
///
/// # Errors
/// The system refuses.
pub fn held_days(root: &Path) -> io::Result<Vec<u32>> {
    let entries = match fs::read_dir(root.join(HELD)) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut days = Vec::new();
    for entry in entries {
        days.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    days.sort_unstable();
    Ok(days)
}

/// Objects of a folder, with their bytes.
fn objects_of(folder: &Folder) -> Result<Vec<(Name, u64)>, Refusal> {
    let mut found = Vec::new();
    for kind in Kind::ALL {
        let listed = folder.list(kind).map_err(of_store)?;
        found.extend(listed.into_iter().map(|listed| (Name::Object(kind, listed.id), listed.bytes)));
    }
    Ok(found)
}

/// Folders with objects of a kind, in the order of their ids, from that of an id on.
fn folders(folder: &Path, kind: Kind, after: Option<Id>) -> Vec<PathBuf> {
    match kind {
        Kind::Pack => {
            let first = after.and_then(|id| id.0.first().copied()).unwrap_or(0);
            (first..=u8::MAX).map(|byte| folder.join(format!("{byte:02x}"))).collect()
        }
        _ => vec![folder.to_path_buf()],
    }
}

/// Ids of the objects of a folder after an id, ascending.
fn ids(folder: &Path, after: Option<Id>) -> io::Result<Vec<Id>> {
    let entries = match fs::read_dir(folder) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut ids = Vec::new();
    for entry in entries {
        let id = entry?.file_name().to_str().and_then(|name| name.parse::<Id>().ok());
        ids.extend(id.filter(|id| after.is_none_or(|after| *id > after)));
    }
    ids.sort_unstable();
    Ok(ids)
}

/// Room that was taken for an object, given back where it does not come.
struct Charged<'v> {
    vault: &'v Vault,
    name: Name,
    bytes: u64,
    is_kept: bool,
}

impl Drop for Charged<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            lock(&self.vault.account).give_back(self.name, self.bytes);
        }
    }
}

/// An object that is being written. Dropped before its end, nothing of it stays.
pub struct Writing<'v> {
    writer: Writer<'v>,
    charged: Charged<'v>,
    hasher: Box<IdHasher>,
    /// First bytes of a marker.
    head: Vec<u8>,
    left: u64,
    _turn: RwLockReadGuard<'v, ()>,
}

impl Writing<'_> {
    /// Writes its next bytes.
    ///
    /// # Errors
    /// There are more than were announced, or the system refuses.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let (name, length) = (self.charged.name, bytes.len() as u64);
        self.left = self.left.checked_sub(length).ok_or(Refusal::Content)?;
        self.hasher.update(bytes);
        if name == Name::Format {
            self.head.extend_from_slice(bytes);
        }
        effect(&self.charged.vault.effects, "write object", || self.writer.write(bytes).map_err(of_store))
    }

    /// Holds it against its name, makes it durable and puts it into its place. False where one of its name has come meanwhile.
    ///
    /// # Errors
    /// Its bytes are not those of its name, or the system refuses: it is not there then, or it is and counts.
    pub fn finish(mut self) -> Result<bool, Refusal> {
        let is_whole = match self.charged.name {
            Name::Object(_, id) => self.hasher.id() == id,
            Name::Format => self.head.starts_with(FORMAT_PREFIX),
        };
        if !is_whole || self.left > 0 {
            return Err(Refusal::Content);
        }
        let (vault, name) = (self.charged.vault, self.charged.name);
        let writer = self.writer;
        let placed = effect(&vault.effects, "place object", || writer.place().map_err(of_store));
        // After a failure it may be there all the same, and takes its room.
        let is_there = || !matches!(vault.objects.stat(name), Ok(None));
        self.charged.is_kept = placed.as_ref().map_or_else(|_| is_there(), |new| *new);
        placed
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::effects::free;

    const GRANT: Grant = Grant { room_bytes: 1 << 20, reserve_bytes: 0 };

    fn object(kind: Kind, bytes: &[u8]) -> Name {
        Name::Object(kind, Id::of(bytes))
    }

    fn put(vault: &Vault, name: Name, bytes: &[u8]) -> Result<bool, Refusal> {
        match vault.begin(name, bytes.len() as u64, GRANT)? {
            Begun::There => Ok(false),
            Begun::Writing(mut writing) => {
                for piece in bytes.chunks(3) {
                    writing.write(piece)?;
                }
                writing.finish()
            }
        }
    }

    fn vault(folder: &Path) -> Vault {
        Vault::open(folder.join("guest"), free()).unwrap()
    }

    #[test]
    fn what_is_removed_is_withheld_brought_back_and_let_go() {
        let folder = tempfile::tempdir().unwrap();
        let opened = vault(folder.path());
        let (pack, mark) = (object(Kind::Pack, b"pack"), object(Kind::Mark, b"mark"));
        assert!(put(&opened, pack, b"pack").unwrap() && put(&opened, mark, b"mark").unwrap());
        assert!(!put(&opened, pack, b"pack").unwrap());
        assert_eq!(opened.account().taken(), (8192, 0));
        // A mark holds no data; a pack stays on the disk.
        assert!(opened.delete(mark, 2, 5).unwrap() && opened.delete(pack, 2, 5).unwrap());
        assert!(!opened.delete(pack, 2, 5).unwrap());
        assert_eq!((opened.account().taken(), opened.stat(pack).unwrap()), ((0, 4096), None));
        assert_eq!(vault(folder.path()).account(), opened.account(), "counted anew it is the same");
        opened.purge(2, 7).unwrap();
        // Removed two days before: an order for two days does not reach it, one for three does, and is done once.
        assert_eq!((opened.bring_back(1, 2, 7).unwrap(), opened.bring_back(2, 3, 7).unwrap()), (0, 1));
        assert_eq!((opened.bring_back(2, 3, 7).unwrap(), opened.brought()), (0, 2));
        assert_eq!((opened.stat(pack).unwrap().unwrap().bytes, opened.account().taken()), (4, (4096, 0)));
        opened.delete(pack, 2, 7).unwrap();
        assert_eq!(held_days(&folder.path().join("guest")).unwrap(), [7]);
        opened.purge(2, 10).unwrap();
        assert_eq!((opened.account(), opened.bring_back(3, 9, 10).unwrap()), (Account::default(), 0));
    }

    #[test]
    fn nothing_is_brought_back_in_place_of_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let vault = vault(folder.path());
        let pack = object(Kind::Pack, b"pack");
        put(&vault, pack, b"pack").unwrap();
        vault.delete(pack, 2, 0).unwrap();
        put(&vault, pack, b"pack").unwrap();
        assert_eq!(vault.account().taken(), (4096, 4096));
        vault.bring_back(1, 1, 0).unwrap();
        assert_eq!((vault.account().taken(), vault.stat(pack).unwrap().is_some()), ((4096, 0), true));
    }

    #[test]
    fn content_sizes_and_the_marker_are_held_against_their_rules() {
        let folder = tempfile::tempdir().unwrap();
        let vault = vault(folder.path());
        let pack = object(Kind::Pack, b"pack");
        assert_eq!(put(&vault, pack, b"puck"), Err(Refusal::Content));
        assert_eq!(put(&vault, Name::Format, b"something"), Err(Refusal::Content));
        assert!(put(&vault, Name::Format, b"openmesh backup 1\nab\n").unwrap());
        assert_eq!(vault.delete(Name::Format, 0, 0), Err(Refusal::Protected));
        let large = object_bytes_max(Name::Format) + 1;
        assert!(matches!(vault.begin(object(Kind::Key, b"k"), 1 << 30, GRANT), Err(Refusal::Size { .. })));
        assert!(matches!(vault.begin(Name::Format, large, GRANT), Err(Refusal::Size { bytes_max: 256 })));
        let grant = Grant { reserve_bytes: u64::MAX, ..GRANT };
        assert!(matches!(vault.begin(pack, 4, grant), Err(Refusal::Disk)));
        let grant = Grant { room_bytes: 4096, ..GRANT };
        assert!(matches!(vault.begin(pack, 4, grant), Err(Refusal::Room { used_bytes: 4096, .. })));
        // One that is not finished leaves nothing, and takes no room.
        let Ok(Begun::Writing(mut writing)) = vault.begin(pack, 4, GRANT) else { panic!("it is there") };
        writing.write(b"pa").unwrap();
        assert_eq!(vault.account().taken(), (8192, 0));
        drop(writing);
        let left = fs::read_dir(folder.path().join("guest/objects/tmp")).unwrap().count();
        assert_eq!((vault.account().taken(), vault.stat(pack).unwrap(), left), ((4096, 0), None, 0));
    }

    #[test]
    fn lists_come_in_pages_by_ascending_id() {
        let folder = tempfile::tempdir().unwrap();
        let vault = vault(folder.path());
        let mut all: Vec<Id> = (0..40_u8).map(|number| Id::of(&[number])).collect();
        for (number, id) in all.iter().enumerate() {
            put(&vault, Name::Object(Kind::Pack, *id), &[number as u8]).unwrap();
        }
        all.sort();
        let of = |after| vault.page(Kind::Pack, after).unwrap().0.iter().map(|entry| entry.id).collect::<Vec<_>>();
        assert_eq!(of(None), all);
        assert_eq!(of(Some(all[9])), all[10..]);
        assert_eq!(of(all.last().copied()), Vec::<Id>::new());
        assert_eq!(vault.page(Kind::Index, None).unwrap(), (Vec::new(), false));
    }

    #[test]
    fn an_error_of_the_disk_at_any_effect_leaves_a_whole_account() {
        for stopped in ["begin object", "begin object done", "write object", "place object", "place object done"] {
            let folder = tempfile::tempdir().unwrap();
            let effects: Effects = Arc::new(move |name: &str| match name == stopped {
                true => Err(io::Error::other("as asked")),
                false => Ok(()),
            });
            let broken = Vault::open(folder.path().join("guest"), effects).unwrap();
            let pack = object(Kind::Pack, b"pack");
            assert!(matches!(put(&broken, pack, b"pack"), Err(Refusal::Failed { .. })), "{stopped}");
            assert_eq!(vault(folder.path()).account(), broken.account(), "{stopped}");
            let there = broken.stat(pack).unwrap().is_some();
            assert_eq!(there, stopped == "place object done");
        }
    }
}
