//! The check of a repository: every object, and the data of all packs or of a part (B-32).

use std::collections::{BTreeMap, BTreeSet};

use openmesh_primitives::SplitMix64;

use crate::age;
use crate::error::{BackupError, StoreError};
use crate::fetch::{PackReader, Stop, find};
use crate::index::{Finding, Index};
use crate::manifest::{self, Event, Piece};
use crate::name::{Id, Kind, Name};
use crate::object::Sealed;
use crate::pack::{BlobKind, read_header};
use crate::repository::{Repository, read_format};
use crate::session::{MarkContent, SessionContent};
use crate::snapshot::Snapshot;

/// Packs whose data are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// None: headers only.
    None,
    /// A part of them, chosen by a seed: with a new seed each time, all are read in the end.
    Part {
        /// Packs in a thousand.
        per_mille: u32,
        /// The seed.
        seed: u64,
    },
    /// All.
    All,
}

/// A repository that was checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Faults; none where all is well.
    pub findings: Vec<Finding>,
    /// Snapshots that cannot be restored whole, with the first cause in words.
    pub broken: BTreeMap<Id, String>,
    /// Snapshots that were held against the index.
    pub snapshots: u64,
    /// Packs.
    pub packs: u64,
    /// Packs whose data were read.
    pub packs_read: u64,
    /// Bytes of them.
    pub bytes_read: u64,
}

impl Checked {
    fn add(&mut self, object: impl ToString, what: impl Into<String>) {
        let finding = Finding { object: object.to_string(), what: what.into() };
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// Notes the result of reading an object; errors of the store go on.
    fn note<T>(&mut self, result: Result<T, BackupError>) -> Result<Option<T>, BackupError> {
        match result {
            Ok(value) => return Ok(Some(value)),
            // Removed since it was listed.
            Err(BackupError::Store(StoreError::Missing { .. })) => {}
            Err(BackupError::Damaged { object, what }) => self.add(object, what),
            // A marker that was changed since the repository was opened.
            Err(error @ BackupError::OtherVersion { .. }) => self.add(Name::Format, error.to_string()),
            Err(error) => return Err(error),
        }
        Ok(None)
    }
}

impl Repository<'_> {
    /// Checks everything, and goes on after a finding. Nothing is changed.
    ///
    /// # Errors
    /// The store fails.
    pub fn check(&self, data: Data) -> Result<Checked, BackupError> {
        let mut checked = Checked::default();
        self.check_small(&mut checked)?;
        let index = Index::load(self.store, &self.keys, &BTreeSet::new())?;
        for finding in &index.findings {
            checked.add(&finding.object, &finding.what);
        }
        let damaged = self.check_packs(&index, data, &mut checked)?;
        for listed in self.store.list(Kind::Snapshot)? {
            let Some(snapshot) = checked.note(self.snapshot(listed.id))? else { continue };
            checked.snapshots += 1;
            match self.check_snapshot(&index, listed.id, &snapshot, &damaged) {
                Ok(None) => {}
                Ok(Some(what)) => drop(checked.broken.insert(listed.id, what)),
                Err(error @ BackupError::Store(StoreError::Io { .. } | StoreError::Refused { .. })) => {
                    return Err(error);
                }
                Err(error) => {
                    checked.broken.insert(listed.id, error.to_string());
                    if !matches!(error, BackupError::Damaged { .. }) {
                        checked.add(Name::Object(Kind::Snapshot, listed.id), error.to_string());
                    }
                }
            }
        }
        Ok(checked)
    }

    fn check_small(&self, checked: &mut Checked) -> Result<(), BackupError> {
        match checked.note(read_format(self.store))? {
            Some(Some(id)) if id != self.id() => {
                checked.add(Name::Format, format!("it names repository {id}, not {}", self.id()))
            }
            Some(None) => checked.add(Name::Format, "it is missing"),
            _ => {}
        }
        for listed in self.store.list(Kind::Key)? {
            let name = Name::Object(Kind::Key, listed.id);
            // For whom it is cannot be told without the owner's key; that it is what was stored, can.
            let bytes = self.store.read(name, 0, age::FILE_BYTES_MAX + 1).map_err(BackupError::from);
            if checked.note(bytes)?.is_some_and(|bytes| Id::of(&bytes) != listed.id) {
                checked.add(name, "its bytes are not those of its name");
            }
        }
        for listed in self.store.list(Kind::Session)? {
            checked.note(self.read::<SessionContent>(Kind::Session, Sealed::Session, listed.id))?;
        }
        for listed in self.store.list(Kind::Mark)? {
            checked.note(self.read::<MarkContent>(Kind::Mark, Sealed::Mark, listed.id))?;
        }
        Ok(())
    }

    /// Checks headers, and the data of some packs. Returns the numbers of those that are damaged.
    fn check_packs(&self, index: &Index, data: Data, checked: &mut Checked) -> Result<BTreeSet<u32>, BackupError> {
        let mut damaged = BTreeSet::new();
        let bytes: BTreeMap<Id, u64> = self.store.list(Kind::Pack)?.iter().map(|pack| (pack.id, pack.bytes)).collect();
        let mut reader = PackReader::new(self);
        let mut numbers = SplitMix64::new(if let Data::Part { seed, .. } = data { seed } else { 0 });
        for (number, pack) in (0_u32..).zip(&index.packs) {
            let name = Name::Object(Kind::Pack, pack.id);
            // Swept since it was listed.
            let Some(bytes) = bytes.get(&pack.id) else { continue };
            checked.packs += 1;
            let read = |from, most| self.store.read(name, from, most).map_err(BackupError::from);
            let header = checked.note(read_header(&self.keys, pack.id, *bytes, read))?;
            if header.as_ref().is_some_and(|header| *header != pack.blobs) {
                checked.add(name, "its header is not what the index says");
            }
            let mut whole = header.is_some_and(|header| header == pack.blobs);
            let chosen = match data {
                Data::None => false,
                Data::Part { per_mille, .. } => numbers.chance(per_mille.into(), 1000),
                Data::All => true,
            };
            if chosen {
                checked.packs_read += 1;
                checked.bytes_read += bytes;
                self.meter.add(*bytes)?;
                let opened = reader.read(pack, |_| true, |_, _| Ok(()));
                whole &= checked.note(opened)?.is_some();
            }
            if !whole {
                damaged.insert(number);
            }
        }
        Ok(damaged)
    }

    /// Holds a snapshot against the index; the fault in words where it needs a damaged pack.
    fn check_snapshot(
        &self,
        index: &Index,
        id: Id,
        snapshot: &Snapshot,
        damaged: &BTreeSet<u32>,
    ) -> Result<Option<String>, BackupError> {
        let manifest = self.manifest(index, id, snapshot)?;
        self.check_manifest(index, id, snapshot, &manifest)?;
        let mut needs = None;
        let counts = manifest::read::<Stop>(&manifest, |path, event| {
            if let Event::Piece(_, Piece::Chunk { id: chunk, bytes }) = event {
                let place = find(index, id, &chunk, BlobKind::Data, bytes)?;
                if needs.is_none() && damaged.contains(&place.pack) {
                    let pack =
                        index.packs.get(place.pack as usize).map(|pack| Name::Object(Kind::Pack, pack.id).to_string());
                    needs = Some(format!("{} is in {}, which is damaged", path.display(), pack.unwrap_or_default()));
                }
            }
            Ok(())
        });
        counts.map_err(|stop| stop.of(id))?;
        Ok(needs)
    }
}
