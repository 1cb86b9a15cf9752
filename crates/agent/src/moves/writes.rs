//! Changes of files that people have under way: a last copy is none as long as one of them goes on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openmesh_blueprint::document::Name;

use super::book::Moves;
use crate::error::AgentError;

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

    fn begin(&self, name: &Name) -> Writing {
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

impl Moves {
    /// Begins a change of files of an application.
    ///
    /// # Errors
    /// It moves, and what is written would be in no copy; or a mark cannot be read.
    pub fn begin_writing(&self, name: &Name) -> Result<Writing, AgentError> {
        // In this order: whoever looks for changes has written the mark before, which is read behind the number here.
        let writing = self.writes.begin(name);
        self.check_data(name)?;
        Ok(writing)
    }
}

#[cfg(test)]
mod tests {
    use openmesh_blueprint::moving::Departure;

    use super::super::records::tests::leaving;
    use super::*;
    use crate::secrets::Vault;

    #[test]
    fn changes_are_under_way_until_the_last_one_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let moves = Moves::new(folder.path(), Arc::new(Vault::open(folder.path()).unwrap()));
        let (web, db): (Name, Name) = ("web".parse().unwrap(), "db".parse().unwrap());
        moves.begin_leaving(&leaving(Departure::Tries)).unwrap();
        let (one, other) = (moves.begin_writing(&web).unwrap(), moves.begin_writing(&web).unwrap());
        assert!(moves.writes.has(&web) && !moves.writes.has(&db));
        drop(one);
        assert!(moves.writes.has(&web));
        moves.change_leaving(("web", &"0".repeat(32)), |one| one.mark = Departure::Quiets).unwrap();
        assert!(moves.begin_writing(&web).is_err() && moves.writes.has(&web), "one that is refused is not under way");
        drop(other);
        assert!(!moves.writes.has(&web) && moves.begin_writing(&db).is_ok());
    }
}
