//! Every file operation fails once, and the process ends at every file operation: what was promised holds after it.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use openmesh_primitives::ContentId;

use super::faults::Faults;
use crate::disk::Disk;
use crate::{BlockStore, ContentError, Limits, Reason};

const LIMITS: Limits = Limits { block_bytes_max: 8, store_bytes_max: 48, reserve_percent: 50, low_water_percent: 80 };

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
        let steps: [Step; 13] = [
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
            |_, s| s.collect().map(drop),
        ];
        steps.into_iter().all(|step| step(self, store).is_ok() || on)
    }

    /// Opens the store as a new process does and compares.
    fn check(&self, root: &Path, at: u32) {
        let store = BlockStore::open(root, LIMITS).unwrap();
        for cid in self.windows.iter().chain(&self.held) {
            assert!(store.get(cid).unwrap().is_some(), "step {at}: {cid} was promised");
        }
        let cids = store.cids();
        let bytes: usize = cids.iter().map(|cid| store.get(cid).unwrap().unwrap().len()).sum();
        assert_eq!(bytes as u64, store.bytes(), "step {at}: everything in stock is whole");
        assert!(store.bytes() <= LIMITS.store_bytes_max, "step {at}");
        assert!(self.windows.iter().all(|cid| store.reason(cid) == Some(Reason::Window)), "step {at}");
        // Held blocks stay although nothing else keeps them.
        store.retain_since(openmesh_primitives::Timestamp(i64::MAX));
        store.make_room(u64::MAX).unwrap();
        let left: BTreeSet<_> = store.cids().into_iter().collect();
        assert!(left.is_superset(&self.held), "step {at}: {left:?} of {:?}", self.held);
        let strange = left.difference(&self.held).filter(|cid| !self.unsure.contains(cid)).count();
        assert_eq!(strange, 0, "step {at}: nothing is held that nobody holds");
    }
}

#[test]
fn a_process_may_end_at_any_file_operation() {
    for at in 0.. {
        let root = tempfile::tempdir().unwrap();
        let disk = Disk { faults: Faults::kill(at) };
        let mut promised = Promised::default();
        let opened = BlockStore::open_on(disk, root.path(), LIMITS);
        let done = opened.is_ok_and(|store| promised.script(&store, false));
        promised.check(root.path(), at);
        if done {
            assert!(at > 40, "{at} steps are too few to have tried anything");
            return;
        }
    }
}

#[test]
fn any_file_operation_may_fail() {
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::PermissionDenied, io::ErrorKind::NotFound] {
        for at in 0.. {
            let root = tempfile::tempdir().unwrap();
            let disk = Disk { faults: Faults::once(at, kind) };
            let mut promised = Promised::default();
            let Ok(store) = BlockStore::open_on(disk, root.path(), LIMITS) else { continue };
            promised.script(&store, true);
            let stock: Vec<_> = store.cids();
            assert!(stock.iter().all(|cid| store.get(cid).unwrap().is_some()), "{kind} at {at}: in stock and on disk");
            let came = store.disk.faults.came();
            drop(store);
            promised.check(root.path(), at);
            if !came {
                break;
            }
        }
    }
}
