//! Every file operation fails once, and the process ends at every file operation: what was promised holds after it.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use openmesh_primitives::ContentId;

use super::faults::Faults;
use crate::disk::Disk;
use crate::{BlockStore, ContentError, Limits, Reason};

/// Room for eight blocks of 8 bytes, as rows or as files.
fn limits(packed_bytes_max: u64) -> Limits {
    let limits = Limits { packed_bytes_max, reserve_percent: 50, low_water_percent: 80, ..Limits::default() };
    Limits { store_bytes_max: 8 * limits.disk_bytes(8), ..limits }
}

/// Rows, and files.
const KINDS: [u64; 2] = [crate::PACKED_BYTES_MAX, 0];

/// Promises of the store.
#[derive(Debug, Default)]
struct Promised {
    /// Recent windows, each with the reason that was acknowledged.
    windows: BTreeSet<ContentId>,
    held: BTreeSet<ContentId>,
    /// A hold or a release of it was not acknowledged: both are right.
    unsure: BTreeSet<ContentId>,
}

impl Promised {
    fn put(&mut self, store: &BlockStore, n: u8, reason: Reason) -> Result<(), ContentError> {
        let cid = store.put(&[n; 8], reason)?;
        if reason == Reason::Window {
            self.windows.insert(cid);
        }
        Ok(())
    }

    fn put_all(&mut self, store: &BlockStore, numbers: [u8; 3]) -> Result<(), ContentError> {
        self.windows.extend(store.put_all(&numbers.map(|n| [n; 8]), Reason::Window)?);
        Ok(())
    }

    fn hold(&mut self, store: &BlockStore, n: u8) -> Result<(), ContentError> {
        let cid = ContentId::of(&[n; 8]);
        self.unsure.insert(cid);
        if store.hold("lake", &cid)? {
            self.held.insert(cid);
        }
        self.unsure.remove(&cid);
        Ok(())
    }

    fn release(&mut self, store: &BlockStore, n: u8) -> Result<(), ContentError> {
        let cid = ContentId::of(&[n; 8]);
        self.unsure.insert(cid);
        self.held.remove(&cid);
        store.release("lake", &cid)?;
        self.unsure.remove(&cid);
        Ok(())
    }

    /// Puts, holds, collections and a change of reason; goes on after an error where `on` says so.
    fn script(&mut self, store: &BlockStore, on: bool) -> bool {
        type Step = fn(&mut Promised, &BlockStore) -> Result<(), ContentError>;
        let steps: [Step; 14] = [
            |p, s| p.put(s, 1, Reason::Cached),
            |p, s| p.put(s, 2, Reason::Segment),
            |p, s| p.hold(s, 2),
            |p, s| p.put(s, 3, Reason::Window),
            |p, s| p.put(s, 1, Reason::Window),
            |p, s| p.put(s, 4, Reason::Cached),
            |p, s| p.put(s, 5, Reason::Segment),
            |p, s| p.hold(s, 3),
            |p, s| p.put(s, 6, Reason::Window),
            |p, s| p.put(s, 7, Reason::Cached),
            |p, s| p.release(s, 3),
            |p, s| p.put(s, 8, Reason::Window),
            |p, s| p.put_all(s, [3, 9, 10]),
            |_, s| s.collect().map(drop),
        ];
        steps.into_iter().all(|step| step(self, store).is_ok() || on)
    }

    /// Opens the store as a new process does: what was promised is there, and nothing else is known of it.
    fn check_kept(&self, root: &Path, at: u32) {
        let store = BlockStore::open(root, Limits::default()).unwrap();
        for cid in self.windows.iter().chain(&self.held) {
            assert!(store.get(cid).unwrap().is_some(), "step {at}: {cid} was promised");
        }
        assert_eq!(store.cids().unwrap().len() as u64, store.len(), "step {at}: everything is counted once");
        store.retain_since(openmesh_primitives::Timestamp(i64::MAX)).unwrap();
        let pinned: u64 = self.held.len() as u64;
        assert!(pinned == 1 && store.release("lake", self.held.first().unwrap()).unwrap(), "step {at}: it is held");
    }

    /// Opens the store as a new process does and compares.
    fn check(&self, root: &Path, limits: Limits, at: u32) {
        let store = BlockStore::open(root, limits).unwrap();
        for cid in self.windows.iter().chain(&self.held) {
            assert!(store.get(cid).unwrap().is_some(), "step {at}: {cid} was promised");
        }
        let cids = store.cids().unwrap();
        assert!(cids.iter().all(|cid| store.get(cid).unwrap().is_some()), "step {at}: everything in stock is whole");
        assert_eq!(cids.len() as u64, store.len(), "step {at}: everything is counted once");
        assert_eq!(store.bytes(), store.len() * limits.disk_bytes(8), "step {at}");
        assert!(store.bytes() <= limits.store_bytes_max, "step {at}");
        let reason = |cid| store.reason(cid).unwrap();
        assert!(self.windows.iter().all(|cid| reason(cid) == Some(Reason::Window)), "step {at}");
        assert!(!root.join("quarantine").exists(), "step {at}: nothing was taken for damaged");
        // Held blocks stay although nothing else keeps them.
        drop(store);
        let store = BlockStore::open(root, Limits { low_water_percent: 0, ..limits }).unwrap();
        store.retain_since(openmesh_primitives::Timestamp(i64::MAX)).unwrap();
        store.collect().unwrap();
        let left: BTreeSet<_> = store.cids().unwrap().into_iter().collect();
        assert!(left.is_superset(&self.held), "step {at}: {left:?} of {:?}", self.held);
        let strange = left.difference(&self.held).filter(|cid| !self.unsure.contains(cid)).count();
        assert_eq!(strange, 0, "step {at}: nothing is held that nobody holds");
    }
}

/// Tries every step at which the process may end.
fn end_everywhere(limits: Limits, faults: fn(u32) -> Arc<Faults>) {
    for at in 0.. {
        let root = tempfile::tempdir().unwrap();
        let disk = Disk { faults: faults(at) };
        let mut promised = Promised::default();
        let opened = BlockStore::open_on(disk, root.path(), limits);
        let done = opened.is_ok_and(|store| promised.script(&store, false));
        promised.check(root.path(), limits, at);
        if done {
            assert!(at > 40, "{at} steps are too few to have tried anything");
            return;
        }
    }
}

#[test]
fn a_process_may_end_at_any_file_operation() {
    for packed_bytes_max in KINDS {
        end_everywhere(limits(packed_bytes_max), Faults::kill);
    }
}

#[test]
fn power_may_go_at_any_operation_of_the_database() {
    end_everywhere(limits(crate::PACKED_BYTES_MAX), Faults::cut);
}

#[test]
fn a_process_may_end_while_old_files_are_moved() {
    for at in 0.. {
        let root = tempfile::tempdir().unwrap();
        let mut promised = Promised::default();
        let store = BlockStore::open(root.path(), limits(0)).unwrap();
        promised.put(&store, 1, Reason::Window).unwrap();
        promised.put(&store, 2, Reason::Cached).unwrap();
        promised.hold(&store, 2).unwrap();
        drop(store);
        let opened = BlockStore::open_on(Disk { faults: Faults::kill(at) }, root.path(), Limits::default());
        let done = opened.is_ok_and(|store| promised.put(&store, 3, Reason::Window).is_ok());
        promised.check_kept(root.path(), at);
        if done {
            return;
        }
    }
}

#[test]
fn any_file_operation_may_fail() {
    for limits in KINDS.map(limits) {
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::PermissionDenied, io::ErrorKind::NotFound] {
            for at in 0.. {
                let root = tempfile::tempdir().unwrap();
                let disk = Disk { faults: Faults::once(at, kind) };
                let mut promised = Promised::default();
                let Ok(store) = BlockStore::open_on(disk, root.path(), limits) else { continue };
                promised.script(&store, true);
                let stock = store.cids().unwrap();
                assert!(
                    stock.iter().all(|cid| store.get(cid).unwrap().is_some()),
                    "{kind} at {at}: in stock and on disk"
                );
                assert_eq!(stock.len() as u64, store.len(), "{kind} at {at}: everything is counted once");
                let came = store.disk.faults.came();
                drop(store);
                promised.check(root.path(), limits, at);
                if !came {
                    break;
                }
            }
        }
    }
}
