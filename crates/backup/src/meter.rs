//! Progress of an act in bytes, and the wish that it ends.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::BackupError;

/// Meter of the acts of a repository: one thread acts, others read it, and may stop the act.
#[derive(Debug, Default)]
pub struct Meter {
    done_bytes: AtomicU64,
    steps: AtomicU64,
    stopped: AtomicBool,
}

impl Meter {
    /// A meter at zero.
    pub fn new() -> Meter {
        Meter::default()
    }

    /// Bytes of files that were read by backups, written by restores, or read by checks, since the meter was made.
    pub fn done_bytes(&self) -> u64 {
        self.done_bytes.load(Ordering::Relaxed)
    }

    /// Chunks and entries that were seen, also where their bytes are not counted, as those that a restore reads back: an act of which this stands still stands
    /// still.
    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }

    /// Lets the present act, and every later one, end with [`BackupError::Cancelled`] at its next chunk or pack. What is durable by then stays of use.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    /// Returns true once somebody stopped it.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Counts a step, and fails where somebody stopped it.
    pub(crate) fn check(&self) -> Result<(), BackupError> {
        self.steps.fetch_add(1, Ordering::Relaxed);
        if self.is_stopped() { Err(BackupError::Cancelled) } else { Ok(()) }
    }

    /// Counts bytes, and fails where somebody stopped it.
    pub(crate) fn add(&self, bytes: u64) -> Result<(), BackupError> {
        self.done_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_go_on_where_no_bytes_do() {
        let meter = Meter::new();
        meter.add(5).unwrap();
        assert_eq!((meter.done_bytes(), meter.steps()), (5, 1));
        meter.check().unwrap();
        assert_eq!((meter.done_bytes(), meter.steps()), (5, 2));
        meter.stop();
        assert!(meter.check().is_err() && meter.add(1).is_err());
    }
}
