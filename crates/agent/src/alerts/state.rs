//! State of an agent's alerts: the book with its file, and the wishes of the wanted generation.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use openmesh_alerts::Now;
use openmesh_blueprint::document::{Name, Webhook};
use openmesh_primitives::Timestamp;
use openmesh_xnode::marks;

use crate::alerts::views::Key;
use crate::error::AgentError;

/// The book of an agent.
pub(super) type Book = openmesh_alerts::Book<Key>;
/// The part of it that a start of the agent begins anew.
pub(super) type Watch = openmesh_alerts::Watch<Key>;
/// A message about an alert.
pub(super) type Message = openmesh_alerts::Message<Key>;

/// The book's file.
const FILE: &str = "alerts.json";

/// Alerts of an agent.
pub struct Alerts {
    path: PathBuf,
    pub(super) kept: Mutex<(Book, Watch)>,
    /// Wishes of the wanted generation, by its number: it never changes.
    pub(super) wished: Mutex<Option<Arc<Wished>>>,
    begun: Instant,
}

/// Wishes of a generation about alerts.
#[derive(Debug, Default)]
pub(super) struct Wished {
    pub(super) number: u64,
    pub(super) node: String,
    pub(super) webhooks: BTreeMap<Name, Webhook>,
    /// The deployment that it brings back, where it is one that came back by itself: number and cause.
    pub(super) returned: Option<(u64, String)>,
}

impl Alerts {
    /// Opens the alerts of a state folder.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn open(state: &Path) -> Result<Alerts, AgentError> {
        let path = state.join(FILE);
        let book = match std::fs::read(&path) {
            Err(cause) if cause.kind() == ErrorKind::NotFound => Book::default(),
            bytes => parse(&path, &bytes.map_err(AgentError::file("reading", &path))?)?,
        };
        let kept = Mutex::new((book, Watch::default()));
        Ok(Alerts { path, kept, wished: Mutex::default(), begun: Instant::now() })
    }

    fn now(&self) -> Now {
        let steady = self.begun.elapsed().as_millis();
        Now { wall: Timestamp::now(), steady_ms: u64::try_from(steady).unwrap_or(u64::MAX) }
    }

    /// Changes the book, and writes it where something is to be kept.
    pub(super) fn change<T>(
        &self,
        change: impl FnOnce(&mut Book, &mut Watch, Now) -> (T, bool),
    ) -> Result<T, AgentError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (book, watch) = &mut *kept;
        let (value, is_new) = change(book, watch, self.now());
        watch.is_unwritten |= is_new;
        if watch.is_unwritten {
            let bytes = serde_json::to_vec(book).unwrap_or_default();
            marks::replace(&self.path, &bytes).map_err(AgentError::file("writing", &self.path))?;
            watch.is_unwritten = false;
        }
        Ok(value)
    }

    pub(super) fn due(&self, most: usize) -> Vec<Message> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.0.due(self.now().steady_ms, most)
    }
}

/// A book of a file. One that cannot be read is set aside: alerts go on.
fn parse(path: &Path, bytes: &[u8]) -> Result<Book, AgentError> {
    match serde_json::from_slice(bytes) {
        Ok(book) => Ok(book),
        Err(error) => {
            let aside = path.with_extension("damaged.json");
            tracing::warn!(%error, aside = %aside.display(), "the file of alerts cannot be read, and was set aside");
            std::fs::rename(path, &aside).map_err(AgentError::file("setting aside", path))?;
            Ok(Book::default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_book_is_kept_and_a_damaged_one_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let alerts = Alerts::open(folder.path()).unwrap();
        alerts
            .change(|book, _, _| {
                book.dropped_count = 7;
                ((), true)
            })
            .unwrap();
        let again = Alerts::open(folder.path()).unwrap();
        assert_eq!(again.kept.lock().unwrap().0.dropped_count, 7);
        std::fs::write(folder.path().join(FILE), "{\"open\": 1").unwrap();
        let anew = Alerts::open(folder.path()).unwrap();
        assert_eq!(anew.kept.lock().unwrap().0, Book::default());
        assert!(folder.path().join("alerts.damaged.json").exists());
    }
}
