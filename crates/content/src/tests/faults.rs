//! File operations that fail when a test wants them to.

use std::io;
use std::sync::{Mutex, PoisonError};

#[derive(Clone, Copy, Debug)]
enum Plan {
    /// After so many steps the process is dead: nothing works any more.
    Kill(u32),
    /// The step after so many fails with this, the others work.
    Once(u32, io::ErrorKind),
}

#[derive(Debug, Default)]
pub(crate) struct Faults(Mutex<Option<Plan>>);

impl Faults {
    pub(crate) fn kill(after: u32) -> Faults {
        Faults(Mutex::new(Some(Plan::Kill(after))))
    }

    pub(crate) fn once(after: u32, kind: io::ErrorKind) -> Faults {
        Faults(Mutex::new(Some(Plan::Once(after, kind))))
    }

    /// Returns true when the fault has come.
    pub(crate) fn came(&self) -> bool {
        let plan = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(*plan, Some(Plan::Kill(0)) | None)
    }

    pub(crate) fn step(&self) -> io::Result<()> {
        let mut plan = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *plan {
            Some(Plan::Kill(0)) => Err(io::Error::other("killed")),
            Some(Plan::Once(0, kind)) => {
                let kind = *kind;
                *plan = None;
                Err(kind.into())
            }
            Some(Plan::Kill(left) | Plan::Once(left, _)) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}
