//! The book of a node's alerts with its file, and the changes of it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Instant;

use openmesh_alerts::{AlertEvent, Book, Entry, Message, Now, Watch};
use openmesh_primitives::Timestamp;

use super::rules::Key;

/// A book, its file, and a clock that only goes forward.
pub struct Kept {
    path: PathBuf,
    /// Alerts and messages.
    pub book: Book<Key>,
    /// The part of it that a start begins anew.
    pub watch: Watch<Key>,
    begun: Instant,
    /// Its file could not be written, and that was said.
    said: bool,
}

impl Kept {
    /// Opens a book. One that cannot be read is set aside: alerts go on.
    pub fn open(path: &Path) -> Kept {
        let book = match std::fs::read(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Book::default(),
            Err(error) => {
                tracing::warn!(%error, path = %path.display(), "the book of alerts cannot be read: it begins anew");
                Book::default()
            }
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                let aside = path.with_extension("damaged.json");
                let moved = std::fs::rename(path, &aside).is_ok();
                tracing::warn!(%error, moved, aside = %aside.display(), "the book of alerts is damaged: it begins anew");
                Book::default()
            }),
        };
        Kept { path: path.to_path_buf(), book, watch: Watch::default(), begun: Instant::now(), said: false }
    }

    /// The moment by both clocks.
    pub fn now(&self) -> Now {
        let steady = self.begun.elapsed().as_millis();
        Now { wall: Timestamp::now(), steady_ms: u64::try_from(steady).unwrap_or(u64::MAX) }
    }

    /// Messages whose next attempt is due.
    pub fn due(&self, most: usize) -> Vec<Message<Key>> {
        self.book.due(self.now().steady_ms, most)
    }

    /// The book as it is to be written, with its file; none where nothing has changed. It counts as written until [`Kept::wrote`] says otherwise.
    pub fn unwritten(&mut self, is_new: bool) -> Option<(PathBuf, Vec<u8>)> {
        let is_unwritten = std::mem::take(&mut self.watch.is_unwritten) || is_new;
        is_unwritten.then(|| (self.path.clone(), serde_json::to_vec(&self.book).unwrap_or_default()))
    }

    /// Notes whether the book was written. On a full disk it goes on unwritten, and is written later.
    pub fn wrote(&mut self, outcome: std::io::Result<()>) {
        let Err(error) = outcome else {
            self.said = false;
            return;
        };
        self.watch.is_unwritten = true;
        if !std::mem::replace(&mut self.said, true) {
            tracing::warn!(%error, path = %self.path.display(), "the book of alerts is not written");
        }
    }
}

/// Changes between the open alerts of before and those of now, for the log.
pub fn changes(before: &[Entry<Key>], now: &[Entry<Key>]) -> Vec<(AlertEvent, Entry<Key>)> {
    let of = |list: &[Entry<Key>], id: u64| list.iter().position(|entry| entry.id == id);
    let mut found = Vec::new();
    for entry in now {
        match of(before, entry.id) {
            None => found.push((AlertEvent::Opened, entry.clone())),
            Some(at) if before[at].severity < entry.severity => found.push((AlertEvent::Raised, entry.clone())),
            Some(_) => {}
        }
    }
    found.extend(
        before.iter().filter(|entry| of(now, entry.id).is_none()).map(|entry| (AlertEvent::Closed, entry.clone())),
    );
    found
}

#[cfg(test)]
mod tests {
    use openmesh_alerts::Severity;
    use openmesh_api::NodeAlertKind;
    use openmesh_storage::files::write_whole;

    use super::*;

    fn entry(id: u64, severity: Severity) -> Entry<Key> {
        let at = Timestamp(0);
        Entry {
            id,
            key: Key { kind: NodeAlertKind::Disk, subject: Some("/data".into()) },
            severity,
            cause: "c".into(),
            remedy: "r".into(),
            begin: at,
            opened: at,
            closed: None,
            acknowledged: None,
        }
    }

    #[test]
    fn each_change_is_told_once() {
        let (warning, critical) = (Severity::Warning, Severity::Critical);
        let before = [entry(1, warning), entry(2, warning), entry(3, critical)];
        let now = [entry(1, warning), entry(2, critical), entry(4, warning)];
        let told: Vec<(AlertEvent, u64)> =
            changes(&before, &now).into_iter().map(|(event, entry)| (event, entry.id)).collect();
        assert_eq!(told, [(AlertEvent::Raised, 2), (AlertEvent::Opened, 4), (AlertEvent::Closed, 3)]);
        assert!(changes(&now, &now).is_empty());
    }

    #[test]
    fn a_book_is_read_again_and_a_damaged_one_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("alerts.json");
        let mut kept = Kept::open(&path);
        assert_eq!(kept.unwritten(false), None, "nothing has changed");
        kept.book.open.push(entry(7, Severity::Warning));
        let (file, bytes) = kept.unwritten(true).unwrap();
        assert_eq!((&file, kept.unwritten(false)), (&path, None), "it is on its way");
        kept.wrote(Err(std::io::Error::other("no room")));
        assert_eq!(kept.unwritten(false), Some((file.clone(), bytes.clone())), "it is written later");
        kept.wrote(write_whole(&file, &bytes));
        assert_eq!(kept.unwritten(false), None);
        assert_eq!(Kept::open(&path).book.open, [entry(7, Severity::Warning)]);
        std::fs::write(&path, "{\"open\": 1").unwrap();
        assert!(Kept::open(&path).book.open.is_empty());
        assert!(dir.path().join("alerts.damaged.json").exists());
    }
}
