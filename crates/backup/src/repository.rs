//! A repository in a store: its keys, its snapshots (B-1 to B-8, B-19).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_blueprint::document::Keep;
use openmesh_primitives::Timestamp;

use crate::age::{self, Fault, Identity, Recipient};
use crate::door::{Door, effect};
use crate::error::{BackupError, StoreError};
use crate::index::{Finding, read_named};
use crate::meter::Meter;
use crate::name::{Id, Kind, Name, RepositoryId};
use crate::object::{Sealed, encode, unseal};
use crate::pack::{PACK_BYTES, PACK_BYTES_MIN};
use crate::retention;
use crate::secret::{Keys, Secret};
use crate::snapshot::Snapshot;
use crate::stage::{Clock, Watch};
use crate::store::Store;

/// First line of the marker.
const FORMAT_LINE: &str = "openmesh backup 1";
/// Beginning of the first line, in all versions.
const FORMAT_PREFIX: &str = "openmesh backup ";
/// Version of the format that is read and written.
const FORMAT_VERSION: u32 = 1;
/// Version of the content of a key file.
const KEY_VERSION: u16 = 1;
/// Largest marker that is read, bytes: it has 83.
const FORMAT_BYTES_MAX: usize = 256;

#[derive(BorshSerialize, BorshDeserialize)]
struct KeyFile {
    version: u16,
    secret: Secret,
}

/// An open repository.
pub struct Repository<'s> {
    pub(crate) store: &'s dyn Store,
    pub(crate) keys: Keys,
    /// Bytes at which a pack ends.
    pub(crate) pack_bytes: usize,
    /// Hears of bytes, and may end an act.
    pub(crate) meter: Arc<Meter>,
    /// Hears of stages.
    watch: Option<Arc<dyn Watch>>,
}

/// Snapshots of a repository.
#[derive(Debug, Default)]
pub struct Snapshots {
    /// Those that can be read, by id.
    pub found: BTreeMap<Id, Snapshot>,
    /// Those that are damaged.
    pub findings: Vec<Finding>,
}

impl std::fmt::Debug for Repository<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Repository {} in {:?}", self.keys.id, self.store)
    }
}

impl<'s> Repository<'s> {
    /// Makes a repository that the identities of these recipients open. The marker comes last: until then there is no repository.
    ///
    /// # Errors
    /// One is there; no recipient is given; the store fails.
    pub fn create(
        store: &'s dyn Store,
        recipients: &[Recipient],
        door: Door<'_>,
    ) -> Result<Repository<'s>, BackupError> {
        if let Some(id) = read_format(store)? {
            return Err(BackupError::Exists { id });
        }
        let repository = Repository::with(store, Secret::generate()?);
        repository.add_key(recipients, door)?;
        let marker = format!("{FORMAT_LINE}\n{}\n", repository.id());
        effect(door, "put format", || store.put_new(Name::Format, marker.as_bytes()))?;
        // One that is there may be ours: a request that is sent twice finds the first. And a store that replaces what is there would tell nobody.
        match read_format(store)? {
            Some(id) if id == repository.id() => Ok(repository),
            Some(id) => Err(BackupError::Exists { id }),
            None => Err(StoreError::Missing { name: Name::Format }.into()),
        }
    }

    /// Opens a repository with one of some identities. `expected` is the id that it must have (B-4).
    ///
    /// # Errors
    /// No repository is there, or another one; none of the key files is for these identities; the marker or the key file is damaged.
    pub fn open(
        store: &'s dyn Store,
        identities: &[Identity],
        expected: Option<RepositoryId>,
    ) -> Result<Repository<'s>, BackupError> {
        let id = read_format(store)?.ok_or(BackupError::NoRepository)?;
        if let Some(expected) = expected.filter(|expected| *expected != id) {
            return Err(BackupError::OtherRepository { expected, found: id });
        }
        let files = store.list(Kind::Key)?;
        let mut broken = None;
        for listed in &files {
            match read_key(store, listed.id, identities) {
                Ok(Some(secret)) if secret.id() == id => return Ok(Repository::with(store, secret)),
                // Of a repository whose making broke off, or planted: it has another id.
                Ok(_) => {}
                Err(error) => broken = Some(error),
            }
        }
        Err(broken.unwrap_or(BackupError::NotForThisKey { id, files: files.len() }))
    }

    fn with(store: &'s dyn Store, secret: Secret) -> Repository<'s> {
        Repository { store, keys: Keys::new(secret), pack_bytes: PACK_BYTES, meter: Arc::default(), watch: None }
    }

    /// Makes the packs that are written from here on end at so many bytes, between [`PACK_BYTES_MIN`] and [`PACK_BYTES`]. Smaller ones lose less
    /// when a slow line breaks off; readers take any size.
    #[must_use]
    pub fn ending_packs_at(mut self, bytes: usize) -> Repository<'s> {
        self.pack_bytes = bytes.clamp(PACK_BYTES_MIN, PACK_BYTES);
        self
    }

    /// Lets a meter count the bytes of its acts from here on, and end them.
    #[must_use]
    pub fn metered(mut self, meter: Arc<Meter>) -> Repository<'s> {
        self.meter = meter;
        self
    }

    /// Lets a watch hear of the stages of its backups and restores from here on, and of the time of each.
    #[must_use]
    pub fn watched(mut self, watch: Arc<dyn Watch>) -> Repository<'s> {
        self.watch = Some(watch);
        self
    }

    /// The clock of stages.
    pub(crate) fn clock(&self) -> Clock<'_> {
        Clock::new(self.watch.as_deref())
    }

    /// Its id.
    pub fn id(&self) -> RepositoryId {
        self.keys.id
    }

    /// Adds a key file for other recipients, and returns its id.
    ///
    /// # Errors
    /// No recipient is given; the store fails.
    pub fn add_key(&self, recipients: &[Recipient], door: Door<'_>) -> Result<Id, BackupError> {
        Repository::put_key_file(self.store, &self.key_file(recipients)?, door)
    }

    /// A key file for other recipients, for a store that takes nothing at present (B-84): [`Repository::put_key_file`] stores it later.
    ///
    /// # Errors
    /// No recipient is given, or the system has no randomness.
    pub fn key_file(&self, recipients: &[Recipient]) -> Result<Vec<u8>, BackupError> {
        let content = encode(&KeyFile { version: KEY_VERSION, secret: self.keys.secret().clone() });
        age::encrypt(recipients, &content)
    }

    /// Stores a key file that [`Repository::key_file`] has made, and returns its id. No key is needed for that.
    ///
    /// # Errors
    /// The store fails.
    pub fn put_key_file(store: &dyn Store, file: &[u8], door: Door<'_>) -> Result<Id, BackupError> {
        let id = Id::of(file);
        effect(door, "put key", || store.put_new(Name::Object(Kind::Key, id), file)).map(|_| id)
    }

    /// Removes a key file, but never the last one. Whoever has seen the secret still has it: this ends no trust.
    ///
    /// # Errors
    /// It is the last one; the store fails.
    pub fn remove_key(&self, id: Id, door: Door<'_>) -> Result<(), BackupError> {
        if self.store.list(Kind::Key)?.iter().all(|listed| listed.id == id) {
            let what = "this is the last key file, and without one the repository is lost; add another first";
            return Err(BackupError::Key { what: what.to_string() });
        }
        self.remove(Kind::Key, id, "remove key", door)
    }

    /// All snapshots.
    ///
    /// # Errors
    /// The store fails. Damaged snapshots are findings.
    pub fn snapshots(&self) -> Result<Snapshots, BackupError> {
        let mut all = Snapshots::default();
        for listed in self.store.list(Kind::Snapshot)? {
            match self.snapshot(listed.id) {
                Ok(snapshot) => drop(all.found.insert(listed.id, snapshot)),
                Err(BackupError::Damaged { object, what }) => all.findings.push(Finding { object, what }),
                // Retention took it since it was listed.
                Err(BackupError::Store(StoreError::Missing { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// A snapshot.
    ///
    /// # Errors
    /// It is not there; it is damaged; the store fails.
    pub fn snapshot(&self, id: Id) -> Result<Snapshot, BackupError> {
        let name = Name::Object(Kind::Snapshot, id);
        let snapshot: Snapshot = self.read(Kind::Snapshot, Sealed::Snapshot, id)?;
        snapshot.fault().map_or(Ok(snapshot), |what| Err(BackupError::damaged(name, what)))
    }

    /// Ids of the snapshots that retention keeps (B-26): by the writers' clocks, and the one that was stored last by the store's clock in any case. A
    /// node whose clock fell back to 1970 would else forget each backup as soon as it is made.
    ///
    /// # Errors
    /// The store fails. A damaged snapshot counts for nothing.
    pub fn kept(&self, keep: &Keep, pinned: &BTreeSet<Id>) -> Result<BTreeSet<Id>, BackupError> {
        let found = self.snapshots()?.found;
        let stored = self.store.list(Kind::Snapshot)?.into_iter().filter(|listed| found.contains_key(&listed.id));
        let last = stored.max_by_key(|listed| (listed.stored, listed.id)).map(|listed| listed.id);
        let times: Vec<(Id, Timestamp)> = found.iter().map(|(id, snapshot)| (*id, snapshot.time)).collect();
        let pinned = pinned.iter().copied().chain(last).collect();
        Ok(retention::kept(&times, keep, &pinned))
    }

    /// Removes snapshots, as retention wants it. What only they needed goes with the next mark and sweep.
    ///
    /// # Errors
    /// The store fails; those before are gone.
    pub fn forget(&self, ids: impl IntoIterator<Item = Id>, door: Door<'_>) -> Result<(), BackupError> {
        ids.into_iter().try_for_each(|id| self.remove(Kind::Snapshot, id, "remove snapshot", door))
    }

    /// Reads a sealed object.
    pub(crate) fn read<T: BorshDeserialize>(&self, kind: Kind, sealed: Sealed, id: Id) -> Result<T, BackupError> {
        let name = Name::Object(kind, id);
        unseal(&self.keys, sealed, &name, &read_named(self.store, name, id)?)
    }

    /// Stores an object, and returns its id.
    pub(crate) fn put(&self, kind: Kind, bytes: &[u8], word: &str, door: Door<'_>) -> Result<Id, BackupError> {
        let id = Id::of(bytes);
        self.put_as(kind, id, bytes, word, door).map(|()| id)
    }

    /// Stores an object whose id is known.
    pub(crate) fn put_as(
        &self,
        kind: Kind,
        id: Id,
        bytes: &[u8],
        word: &str,
        door: Door<'_>,
    ) -> Result<(), BackupError> {
        effect(door, word, || self.store.put_new(Name::Object(kind, id), bytes)).map(drop)
    }

    /// Removes an object if it is there.
    pub(crate) fn remove(&self, kind: Kind, id: Id, word: &str, door: Door<'_>) -> Result<(), BackupError> {
        effect(door, word, || self.store.delete(Name::Object(kind, id))).map(drop)
    }
}

/// The id in the marker; none where there is no marker.
pub(crate) fn read_format(store: &dyn Store) -> Result<Option<RepositoryId>, BackupError> {
    let bytes = match store.read(Name::Format, 0, FORMAT_BYTES_MAX) {
        Err(StoreError::Missing { .. }) => return Ok(None),
        bytes => bytes?,
    };
    let text = std::str::from_utf8(&bytes).ok();
    let id = text.and_then(|text| text.strip_prefix(FORMAT_LINE)?.strip_prefix('\n')?.strip_suffix('\n')?.parse().ok());
    let version = text.and_then(|text| text.lines().next()?.strip_prefix(FORMAT_PREFIX)?.parse::<u32>().ok());
    if let Some(found) = version.filter(|version| *version > FORMAT_VERSION) {
        return Err(BackupError::OtherVersion { found });
    }
    let wrong = || BackupError::damaged(Name::Format, "it is not the marker of a repository of this version");
    id.map(Some).ok_or_else(wrong)
}

/// The secret of a key file; none where it is for others.
pub(crate) fn read_key(store: &dyn Store, id: Id, identities: &[Identity]) -> Result<Option<Secret>, BackupError> {
    let name = Name::Object(Kind::Key, id);
    let bytes = store.read(name, 0, age::FILE_BYTES_MAX + 1)?;
    if bytes.len() > age::FILE_BYTES_MAX || Id::of(&bytes) != id {
        return Err(BackupError::damaged(name, "its bytes are not those of its name"));
    }
    let content = match age::decrypt(identities, &bytes) {
        Err(Fault::Others) => return Ok(None),
        Err(Fault::Broken(what)) => return Err(BackupError::damaged(name, what)),
        Ok(content) => content,
    };
    let file: Option<KeyFile> = borsh::from_slice(&content).ok();
    let file = file.filter(|file| file.version == KEY_VERSION);
    file.map(|file| Some(file.secret)).ok_or_else(|| BackupError::damaged(name, "its content is not of this version"))
}
