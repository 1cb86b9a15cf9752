//! The objects of one loan on the lender's disk (B-76, B-77).
//!
//! ```text
//! GUESTS/NAME/objects/        the guest's store, in the layout of B-6: a disk that is carried away is a place of the kind `folder`
//!             held/DAY/       what the guest removed on a day of the lender, in the same layout
//!             held/DAY.gone/  a day whose objects are let go
//!             brought         number of the last order to bring back that was done
//! ```
//!
//! An object is written beside its place, held against its name, synced, and linked to it: it is whole or absent, whoever dies. Removing one moves it to the
//! withheld ones of the day. What is taken is counted once, at the start, and kept in step from then on: a million objects are not looked at each day.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use openmesh_backup::peer::wire::{About, Entry, PAGE_OBJECTS, object_bytes_max};
use openmesh_backup::{Folder, Handed, Id, IdHasher, Kind, Name, Refusal, Store as _, StoreError, Writer};

use crate::account::Account;
use crate::days::is_over;
use crate::effects::{Effects, effect, of_disk};
use crate::files;
use crate::limits::INODES_KEPT;
use crate::loans::BringBack;

/// Folder of the guest's store.
const OBJECTS: &str = "objects";
/// Folder of what is withheld.
const HELD: &str = "held";
/// End of the name of a day whose objects are let go.
const GONE: &str = ".gone";
/// File with the number of the last order to bring back that was done.
const BROUGHT: &str = "brought";
/// Beginning of every marker of a repository, whatever its version.
const FORMAT_PREFIX: &[u8] = b"openmesh backup ";
/// Part of the files of a small file system that it can still have when nothing more is taken.
const INODES_PART: u64 = 10;

/// The objects of a loan.
pub struct Vault {
    root: PathBuf,
    objects: Folder,
    account: Mutex<Account>,
    /// True while removed objects are brought back: none is removed then. Held for the time of each removal, since two of one object would count it twice.
    brings: Mutex<bool>,
    /// Number of the last order to bring back that was done.
    brought: AtomicU64,
    /// Bytes of all loans that were announced and have not come to their end: the disk has to have room for each of them.
    coming: Arc<AtomicU64>,
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
        StoreError::Io { ref cause, .. } if of_disk(cause) == Refusal::Disk => Refusal::Disk,
        error => failed(&error),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Vault {
    /// Opens the objects of a loan, makes their folder where it is not there, and counts them. `coming` counts what is announced in all loans.
    ///
    /// # Errors
    /// The system refuses.
    pub fn open(root: PathBuf, coming: Arc<AtomicU64>, effects: Effects) -> Result<Vault, Refusal> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(root.join(HELD));
        made.and_then(|()| root.parent().map_or(Ok(()), sync)).map_err(|cause| of_disk(&cause))?;
        let objects = Folder::open(root.join(OBJECTS)).map_err(of_store)?;
        let brought = AtomicU64::new(files::read(&root.join(BROUGHT)).unwrap_or(0));
        let (account, brings) = (Mutex::default(), Mutex::new(false));
        let vault = Vault { root, objects, account, brings, brought, coming, effects };
        vault.tidy()?;
        *lock(&vault.account) = vault.counted()?;
        Ok(vault)
    }

    /// Everything that is there, counted.
    fn counted(&self) -> Result<Account, Refusal> {
        let mut account = Account::default();
        if let Some((bytes, _)) = self.objects.stat(Name::Format).map_err(of_store)? {
            account.add_used(Name::Format, bytes);
        }
        for (name, bytes) in objects_of(&self.objects)? {
            account.add_used(name, bytes);
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

    /// Begins an object, and takes its room.
    ///
    /// # Errors
    /// It is too large, there is no room for it, or the system refuses.
    pub fn begin(&self, name: Name, bytes: u64, grant: Grant) -> Result<Begun<'_>, Refusal> {
        let bytes_max = object_bytes_max(name);
        if bytes > bytes_max {
            return Err(Refusal::Size { bytes_max });
        }
        if self.objects.stat(name).map_err(of_store)?.is_some() {
            // Whoever put it may have died before it was durable.
            let folder = self.path(name).parent().map_or(self.root.clone(), Path::to_path_buf);
            sync(&folder).map_err(|cause| failed(&cause))?;
            return Ok(Begun::There);
        }
        // Counted before the disk is looked at: of two that come at once, one sees the other.
        let coming = Coming::begin(&self.coming, bytes);
        self.check_disk(grant.reserve_bytes)?;
        lock(&self.account).take(name, bytes, grant.room_bytes)?;
        let charged = Charged { vault: self, name, bytes, is_kept: false };
        let writer = effect(&self.effects, "begin object", || self.objects.writer(name).map_err(of_store))?;
        let hasher = Box::new(IdHasher::new());
        Ok(Begun::Writing(Writing { writer, charged, hasher, head: Vec::new(), left: bytes, _coming: coming }))
    }

    /// Refuses where the disk has no room beside what stays for the machine and what is on its way.
    fn check_disk(&self, reserve_bytes: u64) -> Result<(), Refusal> {
        let disk = rustix::fs::statvfs(&self.root).map_err(|errno| failed(&errno))?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let wanted = reserve_bytes.saturating_add(self.coming.load(Ordering::SeqCst));
        // A file system without a bound of files says that it has none of none.
        let is_short = disk.f_favail < INODES_KEPT.min(disk.f_files / INODES_PART);
        if free < wanted || is_short { Err(Refusal::Disk) } else { Ok(()) }
    }

    fn path(&self, name: Name) -> PathBuf {
        self.objects.root().join(name.to_string())
    }

    /// Opens an object at a place, and returns it with the bytes that are left there, at most so many.
    ///
    /// # Errors
    /// It is not there, or the system refuses.
    pub fn read(&self, name: Name, from: u64, bytes_max: u64) -> Result<(io::Take<File>, u64), Refusal> {
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
        let found = self.objects.stat(name).map_err(of_store)?;
        Ok(found.map(|(bytes, stored)| About { bytes, stored }))
    }

    /// Objects of a kind after an id, by ascending id: a page of them, and whether there are more.
    ///
    /// # Errors
    /// The system refuses.
    pub fn page(&self, kind: Kind, after: Option<Id>) -> Result<(Vec<Entry>, bool), Refusal> {
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
    /// It is the marker, removed objects are being brought back, or the system refuses.
    pub fn delete(&self, name: Name, held_days: u32, today: u32) -> Result<bool, Refusal> {
        let Name::Object(kind, _) = name else { return Err(Refusal::Protected) };
        let brings = lock(&self.brings);
        if *brings {
            return Err(Refusal::Crowded);
        }
        let Some((bytes, _)) = self.objects.stat(name).map_err(of_store)? else { return Ok(false) };
        if held_days == 0 || matches!(kind, Kind::Session | Kind::Mark) {
            let was = effect(&self.effects, "remove object", || self.objects.delete(name).map_err(of_store))?;
            if was {
                lock(&self.account).give_back(name, bytes);
            }
            return Ok(was);
        }
        let held = self.held(today)?;
        let handed =
            effect(&self.effects, "withhold object", || self.objects.hand_over(name, &held).map_err(of_store))?;
        match handed {
            Some(Handed::Moved) => lock(&self.account).hold(bytes),
            // Stored again and removed again on one day: it is withheld once.
            Some(Handed::WasThere) => lock(&self.account).give_back(name, bytes),
            None => {}
        }
        Ok(handed.is_some())
    }

    /// Lets go of what was withheld for its days.
    ///
    /// # Errors
    /// The system refuses; what has gone is counted.
    pub fn purge(&self, held_days_of_loan: u32, today: u32) -> Result<(), Refusal> {
        self.tidy()?;
        let mut over = held_days(&self.root).map_err(|cause| failed(&cause))?;
        over.retain(|day| is_over(*day, held_days_of_loan, today));
        let held = self.root.join(HELD);
        for day in &over {
            let gone = objects_of(&self.held(*day)?)?;
            let (from, to) = (held.join(day.to_string()), held.join(format!("{day}{GONE}")));
            // At once, so that the account is that of what is there also where the rest of it fails.
            let renamed = effect(&self.effects, "let go", || fs::rename(&from, to).map_err(|cause| failed(&cause)));
            if !from.exists() {
                let mut account = lock(&self.account);
                gone.into_iter().for_each(|(name, bytes)| account.let_go(name, bytes));
            }
            renamed?;
        }
        if over.is_empty() { Ok(()) } else { self.tidy() }
    }

    /// Removes days whose objects were let go.
    fn tidy(&self) -> Result<(), Refusal> {
        for entry in fs::read_dir(self.root.join(HELD)).map_err(|cause| failed(&cause))? {
            let path = entry.map_err(|cause| failed(&cause))?.path();
            if path.to_string_lossy().ends_with(GONE) {
                fs::remove_dir_all(&path).map_err(|cause| failed(&cause))?;
            }
        }
        Ok(())
    }

    /// Takes notice of an order to bring back: from now on until it is done nothing is removed.
    pub fn expect(&self, order: Option<BringBack>) {
        *lock(&self.brings) = order.is_some_and(|order| order.number > self.brought());
    }

    /// Brings back everything that was removed in the last days of an order, the present one among them, until a moment, and returns the number of objects. Nothing
    /// that is there is replaced. Each order is done once, by its number; asked again it goes on.
    ///
    /// # Errors
    /// The system refuses; asked again it goes on.
    pub fn bring_back(&self, order: BringBack, today: u32, until: Instant) -> Result<u64, Refusal> {
        if self.brought() >= order.number {
            return Ok(0);
        }
        self.expect(Some(order));
        let mut moved = 0;
        let mut meant = held_days(&self.root).map_err(|cause| failed(&cause))?;
        meant.retain(|day| day.saturating_add(order.days) > today);
        for day in meant {
            let held = self.held(day)?;
            for kind in Kind::ALL {
                for folder in folders(&held.root().join(kind.folder()), kind, None) {
                    for id in ids(&folder, None).map_err(|cause| failed(&cause))? {
                        if Instant::now() >= until {
                            return Ok(moved);
                        }
                        moved += u64::from(self.bring_one(&held, Name::Object(kind, id))?);
                    }
                }
            }
            // Nothing is removed meanwhile, so nothing has come into it.
            fs::remove_dir_all(held.root()).map_err(|cause| failed(&cause))?;
        }
        files::replace(&self.root.join(BROUGHT), &order.number).map_err(|cause| of_disk(&cause))?;
        self.brought.store(order.number, Ordering::SeqCst);
        self.expect(Some(order));
        Ok(moved)
    }

    /// Brings one object back. True where it was not there.
    fn bring_one(&self, held: &Folder, name: Name) -> Result<bool, Refusal> {
        let Some((bytes, _)) = held.stat(name).map_err(of_store)? else { return Ok(false) };
        let back = || held.hand_over(name, &self.objects).map_err(of_store);
        match effect(&self.effects, "bring back object", back)? {
            Some(Handed::Moved) => {
                lock(&self.account).come_back(bytes);
                Ok(true)
            }
            Some(Handed::WasThere) => {
                lock(&self.account).let_go(name, bytes);
                Ok(false)
            }
            None => Ok(false),
        }
    }

    /// Number of the last order to bring back that was done; 0 before the first.
    pub fn brought(&self) -> u64 {
        self.brought.load(Ordering::SeqCst)
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
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

/// Bytes that were announced, until they are there or do not come.
struct Coming<'v> {
    all: &'v AtomicU64,
    bytes: u64,
}

impl<'v> Coming<'v> {
    fn begin(all: &'v AtomicU64, bytes: u64) -> Coming<'v> {
        all.fetch_add(bytes, Ordering::SeqCst);
        Coming { all, bytes }
    }
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::SeqCst);
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
    _coming: Coming<'v>,
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
    use std::time::Duration;

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
        Vault::open(folder.join("guest"), Arc::default(), free()).unwrap()
    }

    /// Brings back in one go.
    fn bring(vault: &Vault, number: u64, days: u32, today: u32) -> u64 {
        vault.bring_back(BringBack { number, days }, today, Instant::now() + Duration::from_secs(600)).unwrap()
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
        assert_eq!((bring(&opened, 1, 2, 7), bring(&opened, 2, 3, 7)), (0, 1));
        assert_eq!((bring(&opened, 2, 3, 7), opened.brought(), vault(folder.path()).brought()), (0, 2, 2));
        assert_eq!((opened.stat(pack).unwrap().unwrap().bytes, opened.account().taken()), (4, (4096, 0)));
        opened.delete(pack, 2, 7).unwrap();
        assert_eq!(held_days(&folder.path().join("guest")).unwrap(), [7]);
        opened.purge(2, 10).unwrap();
        assert_eq!((opened.account(), bring(&opened, 3, 9, 10)), (Account::default(), 0));
        assert_eq!(fs::read_dir(folder.path().join("guest/held")).unwrap().count(), 0, "nothing of it is left");
    }

    #[test]
    fn nothing_is_brought_back_in_place_of_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let opened = vault(folder.path());
        let pack = object(Kind::Pack, b"pack");
        put(&opened, pack, b"pack").unwrap();
        opened.delete(pack, 2, 0).unwrap();
        put(&opened, pack, b"pack").unwrap();
        assert_eq!(opened.account().taken(), (4096, 4096));
        assert_eq!(bring(&opened, 1, 1, 0), 0);
        assert_eq!((opened.account().taken(), opened.stat(pack).unwrap().is_some()), ((4096, 0), true));
        // Removed, stored and removed again on one day, it is withheld once.
        for _ in 0..3 {
            opened.delete(pack, 2, 0).unwrap();
            assert_eq!((opened.account().taken(), opened.account().objects()), ((0, 4096), 1));
            put(&opened, pack, b"pack").unwrap();
        }
        assert_eq!(vault(folder.path()).account(), opened.account());
    }

    #[test]
    fn nothing_is_removed_from_an_order_to_bring_back_until_it_is_done_and_it_goes_on_where_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let opened = vault(folder.path());
        let names: Vec<Name> = (0..9_u8).map(|number| object(Kind::Pack, &[number])).collect();
        for (number, name) in names.iter().enumerate() {
            put(&opened, *name, &[number as u8]).unwrap();
            opened.delete(*name, 2, 0).unwrap();
        }
        put(&opened, object(Kind::Pack, b"new"), b"new").unwrap();
        let order = BringBack { number: 1, days: 1 };
        opened.expect(Some(order));
        // Whoever has stolen the guest's machine goes on removing: in vain.
        assert_eq!(opened.delete(object(Kind::Pack, b"new"), 2, 0), Err(Refusal::Crowded));
        assert_eq!(opened.bring_back(order, 0, Instant::now()).unwrap(), 0, "no time is left for it");
        assert_eq!(opened.delete(object(Kind::Pack, b"new"), 2, 0), Err(Refusal::Crowded));
        assert_eq!((opened.brought(), bring(&opened, 1, 1, 0), opened.brought()), (0, 9, 1));
        assert!(names.iter().all(|name| opened.stat(*name).unwrap().is_some()));
        assert!(opened.delete(object(Kind::Pack, b"new"), 2, 0).unwrap(), "it is done");
        assert_eq!(vault(folder.path()).account(), opened.account());
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

    /// Each of two that come at once finds room for itself alone on the disk, and together they have none.
    #[test]
    fn what_is_on_its_way_counts_against_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let coming: Arc<AtomicU64> = Arc::default();
        let vault = Vault::open(folder.path().join("guest"), coming.clone(), free()).unwrap();
        let pack = object(Kind::Pack, b"pack");
        let Ok(Begun::Writing(writing)) = vault.begin(pack, 4, GRANT) else { panic!("it is there") };
        assert_eq!(coming.load(Ordering::SeqCst), 4);
        // Another loan's, as large as any disk.
        coming.fetch_add(1 << 62, Ordering::SeqCst);
        assert!(matches!(vault.begin(object(Kind::Pack, b"other"), 5, GRANT), Err(Refusal::Disk)));
        coming.fetch_sub(1 << 62, Ordering::SeqCst);
        drop(writing);
        assert_eq!((coming.load(Ordering::SeqCst), vault.account()), (0, Account::default()));
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
            let broken = Vault::open(folder.path().join("guest"), Arc::default(), effects).unwrap();
            let pack = object(Kind::Pack, b"pack");
            assert!(matches!(put(&broken, pack, b"pack"), Err(Refusal::Failed { .. })), "{stopped}");
            assert_eq!(vault(folder.path()).account(), broken.account(), "{stopped}");
            let there = broken.stat(pack).unwrap().is_some();
            assert_eq!(there, stopped == "place object done");
        }
    }
}
