//! SQL queries that run, so that they can be cancelled by id.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

/// Queries that run, by id; a cheap clone.
#[derive(Debug, Default, Clone)]
pub struct Running(Arc<Mutex<BTreeMap<String, CancellationToken>>>);

/// A query that runs. Dropped, it takes the query off the list and stops it, also where the client went away and the handler
/// was dropped.
#[derive(Debug)]
pub struct Run {
    all: Running,
    id: String,
    cancel: CancellationToken,
}

impl Run {
    /// Cancelled when the query is to stop.
    pub fn token(&self) -> CancellationToken {
        self.cancel.clone()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.cancel.cancel();
        self.all.with(|all| all.remove(&self.id));
    }
}

impl Running {
    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<String, CancellationToken>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a query on the list; `None` where one of this id runs already.
    pub fn begin(&self, id: &str) -> Option<Run> {
        let cancel = CancellationToken::new();
        self.with(|all| match all.entry(id.into()) {
            Entry::Occupied(_) => None,
            Entry::Vacant(free) => {
                free.insert(cancel.clone());
                Some(Run { all: self.clone(), id: id.into(), cancel })
            }
        })
    }

    /// Stops a query; returns false where none of this id runs.
    pub fn cancel(&self, id: &str) -> bool {
        let token = self.with(|all| all.get(id).cloned());
        token.inspect(CancellationToken::cancel).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_on_the_list_while_somebody_waits_for_it() {
        let running = Running::default();
        let run = running.begin("a").unwrap();
        assert!(running.begin("a").is_none(), "one of this id runs");
        assert!(running.cancel("a") && run.token().is_cancelled() && !running.cancel("b"));
        drop(run);
        assert!(!running.cancel("a") && running.begin("a").is_some());
    }
}
