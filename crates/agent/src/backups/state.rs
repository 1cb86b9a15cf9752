//! State of an agent's backups: keys, records, acts, and the wake of the look at schedules.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use openmesh_blueprint::Generation;
use openmesh_blueprint::document::Name;

use crate::backups::jobs::Jobs;
use crate::backups::keys::Keys;
use crate::backups::records::Records;
use crate::backups::views::JobKind;
use crate::error::AgentError;

/// Pause after an act whose end could not be written down, milliseconds: an hour, as after many failures.
const UNSAVED_AGAIN_MS: u64 = 3_600_000;

/// Backups of an agent.
pub(crate) struct Backups {
    folder: PathBuf,
    /// Keys.
    pub keys: Keys,
    /// Records.
    pub records: Records,
    /// Acts.
    pub jobs: Jobs,
    /// Steady moments at which acts ended, by application or target.
    tried: Mutex<BTreeMap<(Name, JobKind), u64>>,
    begun: Instant,
    woken: Mutex<bool>,
    wake: Condvar,
    left: AtomicBool,
}

impl Backups {
    /// Opens the folder of an agent's backups below its state folder.
    ///
    /// # Errors
    /// A key cannot be read or made.
    pub fn open(state: &Path) -> Result<Backups, AgentError> {
        let folder = state.join("backups");
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(AgentError::file("making", &folder))?;
        Ok(Backups {
            keys: Keys::open(&folder)?,
            records: Records::new(&folder),
            folder,
            jobs: Jobs::default(),
            tried: Mutex::default(),
            begun: Instant::now(),
            woken: Mutex::new(false),
            wake: Condvar::new(),
            left: AtomicBool::new(false),
        })
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Milliseconds since the agent began, by a clock that nobody sets.
    pub(super) fn steady_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn tried(&self, name: &Name, kind: JobKind) -> Option<u64> {
        self.tried.lock().unwrap_or_else(PoisonError::into_inner).get(&(name.clone(), kind)).copied()
    }

    pub(super) fn note_try(&self, name: &Name, kind: JobKind) {
        let now = self.steady_ms();
        self.tried.lock().unwrap_or_else(PoisonError::into_inner).insert((name.clone(), kind), now);
        self.look_now();
    }

    /// Notes an act whose end is not on the disk: by its record it would be due again at once, and on a disk that is full again and again.
    pub(super) fn note_unsaved(&self, name: &Name, kind: JobKind) {
        let later = self.steady_ms().saturating_add(UNSAVED_AGAIN_MS);
        self.tried.lock().unwrap_or_else(PoisonError::into_inner).insert((name.clone(), kind), later);
    }

    /// Lets the schedules be looked at without delay.
    pub fn look_now(&self) {
        *self.woken.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wake.notify_all();
    }

    /// Takes no more acts, stops those that are under way, and ends the look at schedules.
    pub fn leave(&self) {
        self.left.store(true, Ordering::SeqCst);
        self.jobs.close();
        self.look_now();
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.left.load(Ordering::SeqCst)
    }

    /// Waits until somebody wakes it, or the time is over.
    pub(super) fn sleep(&self, limit: Duration) {
        let mut woken = self.woken.lock().unwrap_or_else(PoisonError::into_inner);
        if !*woken {
            woken = self.wake.wait_timeout(woken, limit).unwrap_or_else(PoisonError::into_inner).0;
        }
        *woken = false;
    }
}

/// Stops what is done with applications that a generation removes: their volumes are set aside as soon as nobody reads them, and their last backup comes after
/// that.
pub(crate) fn stop_removed(backups: &Backups, before: Option<&Generation>, generation: &Generation) {
    let has = |generation: &Generation, name: &Name| generation.portable.applications.contains_key(name);
    backups.jobs.stop(|name| before.is_some_and(|before| has(before, name)) && !has(generation, name));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backups::scheduler::{Track, left_ms};

    #[test]
    fn an_act_whose_end_is_not_written_down_waits_for_an_hour() {
        let folder = tempfile::tempdir().unwrap();
        let backups = Backups::open(folder.path()).unwrap();
        let name = "web".parse().unwrap();
        assert_eq!(backups.tried(&name, JobKind::Backup), None);
        backups.note_unsaved(&name, JobKind::Backup);
        let until = backups.tried(&name, JobKind::Backup).unwrap();
        assert!(until >= UNSAVED_AGAIN_MS);
        assert!(left_ms(&Track::default(), Some(until), until - 1) > 0, "by its record it would be due");
    }
}
