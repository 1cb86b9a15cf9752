//! Progress of an act in bytes, and the wish that it ends.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::error::BackupError;

/// Meter of the acts of a repository: one thread acts, others read it, and may stop the act.
#[derive(Debug, Default)]
pub struct Meter {
    done_bytes: AtomicU64,
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

    /// Lets the present act, and every later one, end with [`BackupError::Cancelled`] at its next chunk or pack. What is durable by then stays of use.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    /// Returns true once somebody stopped it.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Fails where somebody stopped it.
    pub(crate) fn check(&self) -> Result<(), BackupError> {
        if self.is_stopped() { Err(BackupError::Cancelled) } else { Ok(()) }
    }

    /// Counts bytes, and fails where somebody stopped it.
    pub(crate) fn add(&self, bytes: u64) -> Result<(), BackupError> {
        self.done_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.check()
    }
}
