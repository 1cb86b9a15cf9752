//! Changes of files that people have under way: a last copy is none as long as one of them goes on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openmesh_blueprint::document::Name;

/// Numbers of changes that are under way, by application.
#[derive(Clone, Default)]
pub(super) struct Writes(Arc<Mutex<BTreeMap<Name, usize>>>);

/// A change of files of an application: it is under way until this is dropped.
pub(crate) struct Writing {
    all: Writes,
    name: Name,
}

impl Writes {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Name, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a change; whoever asks has looked at no mark yet.
    pub fn begin(&self, name: &Name) -> Writing {
        *self.lock().entry(name.clone()).or_default() += 1;
        Writing { all: self.clone(), name: name.clone() }
    }

    /// Returns true where files of an application are being changed.
    pub fn has(&self, name: &Name) -> bool {
        self.lock().contains_key(name)
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        match all.get_mut(&self.name) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(all.remove(&self.name)),
        }
    }
}
