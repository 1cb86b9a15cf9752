//! Stamps of files: what was read once of a file that does not change needs not be read again.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Age of a change from which its moment, in whole seconds, tells it from a later one: the clock of file systems goes in steps, and in one step there may be
/// two changes.
const SETTLED: Duration = Duration::from_secs(2);

/// Stamp of a file: it changes with every change of the file, whoever makes it. Whoever keeps what a file says takes its stamp before he reads it: then what
/// was read is of that stamp, or of a later one, and is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Device and number.
    file: (u64, u64),
    bytes: u64,
    /// Moment of the last change of its content, seconds and nanoseconds.
    modified: (i64, i64),
    /// Moment of the last change of anything of it, which nobody sets.
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp of a file; none where it is not there.
    pub fn of(path: &Path) -> Option<Stamp> {
        fs::metadata(path).ok().map(|about| Stamp::from(&about))
    }

    /// Returns true where a later change of the file would have another stamp. Where it is false nothing is kept.
    pub fn is_settled(&self, now: SystemTime) -> bool {
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(self.changed.0).unwrap_or(0));
        // A file of the future was written by another clock, which may come back.
        now.duration_since(changed).is_ok_and(|age| age > SETTLED)
    }
}

impl From<&Metadata> for Stamp {
    fn from(about: &Metadata) -> Stamp {
        Stamp {
            file: (about.dev(), about.ino()),
            bytes: about.len(),
            modified: (about.mtime(), about.mtime_nsec()),
            changed: (about.ctime(), about.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_just_changed_is_not_settled() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        assert_eq!(Stamp::of(&path), None);
        fs::write(&path, "a").unwrap();
        let stamp = Stamp::of(&path).unwrap();
        let now = fs::metadata(&path).unwrap().modified().unwrap();
        assert!(!stamp.is_settled(now) && stamp.is_settled(now + Duration::from_secs(60)));
        assert!(!stamp.is_settled(now - Duration::from_secs(60)), "it is of the future");
    }

    #[test]
    fn every_change_has_another_stamp() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "a").unwrap();
        let beside = folder.path().join("b");
        fs::write(&beside, "b").unwrap();
        let written = fs::metadata(&path).unwrap().modified().unwrap();
        let changes: [&dyn Fn(); 3] = [
            &|| fs::write(&path, "b").unwrap(),
            // Its time of writing can be set back, and that is a change too.
            &|| {
                fs::write(&path, "c").unwrap();
                fs::File::options().write(true).open(&path).unwrap().set_modified(written).unwrap();
            },
            &|| fs::copy(&path, &beside).and_then(|_| fs::rename(&beside, &path)).unwrap(),
        ];
        for change in changes {
            let before = Stamp::of(&path);
            // The clock of the file system goes in steps.
            while Stamp::of(&path) == before {
                change();
            }
        }
    }
}
