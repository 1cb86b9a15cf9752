//! Drills: a backup is proved by restoring it (B-36).

use std::path::Path;
use std::time::{Duration, Instant};

use openmesh_primitives::Timestamp;

use crate::door::Door;
use crate::error::BackupError;
use crate::name::Id;
use crate::repository::Repository;
use crate::restore::{Owners, Restoration, Restored, remove_tree};

/// A drill that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drill {
    /// The snapshot.
    pub snapshot: Id,
    /// Moment of the snapshot, by its writer's clock.
    pub time: Timestamp,
    /// The restored tree.
    pub restored: Restored,
    /// Time that the restore with its verification took.
    pub took: Duration,
    /// The check's words: what it found right, or wrong.
    pub verdict: Result<String, String>,
}

impl Repository<'_> {
    /// Restores a snapshot to `scratch`, reads it back, hands it to a check, and removes it. A check that finds a fault is a result, not an error. The
    /// folder `scratch` is for drills alone: whatever a drill that broke off has left there is removed first.
    ///
    /// # Errors
    /// The restore fails.
    pub fn drill(
        &self,
        snapshot: Id,
        scratch: &Path,
        owners: Owners,
        check: &dyn Fn(&Path) -> Result<String, String>,
        door: Door<'_>,
    ) -> Result<Drill, BackupError> {
        let time = self.snapshot(snapshot)?.time;
        remove_tree(scratch, door)?;
        let begun = Instant::now();
        let restored = self.restore(&Restoration { snapshot, target: scratch, owners, verify: true }, door)?;
        let took = begun.elapsed();
        let verdict = check(scratch);
        remove_tree(scratch, door)?;
        Ok(Drill { snapshot, time, restored, took, verdict })
    }
}
