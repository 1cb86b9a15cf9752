//! Backups that a template proposes for what it keeps.

use crate::document::{Backup, Keep, Name, Schedule};
use crate::text::record;

record! {
    /// Backups that a template proposes: all but the place, which is the machine's.
    BackupPolicy {
        /// Their moments, UTC.
        schedule: Schedule,
        /// Those that are kept.
        keep: Keep = Keep { last: 3, daily: 7, weekly: 4, monthly: 6 },
        /// Moments at which one is restored and tried.
        drill: Option<Schedule>,
    }
}

impl BackupPolicy {
    /// The document's words for it, with a place of the machine.
    pub fn at(&self, to: &Name) -> Backup {
        Backup { to: to.clone(), schedule: self.schedule, keep: self.keep.clone(), drill: self.drill }
    }
}
