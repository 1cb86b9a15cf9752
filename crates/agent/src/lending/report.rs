//! The lender's report and its lock, looked at as what they are: files in folders that another user can change.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use openmesh_lender::limits::FILE_BYTES_MAX;
use openmesh_lender::report::Report;
use openmesh_lender::start::LOCK_FILE;
use rustix::fs::{FlockOperation, OFlags, flock};

/// Longest words of a lender that a person is shown, letters: a path and the system's word.
const WORDS_LETTERS_MAX: usize = 500;
/// Addresses and troubles of a report that a person is shown.
const WORDS_MAX: usize = 8;

/// Words of the lender as a person may be shown them, in a terminal too: another user wrote them, and whoever has taken the lender over.
pub(super) fn plain(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(WORDS_LETTERS_MAX).collect()
}

/// A report whose words a person may be shown.
fn shown(mut report: Report) -> Report {
    for all in [&mut report.listens, &mut report.troubles] {
        all.truncate(WORDS_MAX);
        all.iter_mut().for_each(|words| *words = plain(words));
    }
    for trouble in report.loans.values_mut().filter_map(|loan| loan.trouble.as_mut()) {
        *trouble = plain(trouble);
    }
    report
}

/// Reads a report; none where there is none that can be read. No link is followed, nothing is waited for, and no more is read than a report may have.
pub(super) fn read(path: &Path) -> Option<Report> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path).ok()?;
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok().filter(|_| bytes.len() as u64 <= FILE_BYTES_MAX).map(shown)
}

/// Returns true where a lender of this agent lives: it holds its lock.
pub(super) fn lives(folder: &Path) -> bool {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags.bits().cast_signed());
    let Ok(file) = options.open(folder.join("own").join(LOCK_FILE)) else { return false };
    // Shared: it keeps no lender from its own lock for longer than this look.
    flock(&file, FlockOperation::NonBlockingLockShared).is_err()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    #[test]
    fn only_a_plain_file_with_a_report_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        assert_eq!(read(&path), None);
        std::fs::write(&path, serde_json::to_vec(&Report { day: 7, ..Report::default() }).unwrap()).unwrap();
        assert_eq!(read(&path).map(|report| report.day), Some(7));
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(read(&link), None);
        std::fs::write(&path, "{").unwrap();
        assert_eq!((read(&path), read(folder.path())), (None, None));
    }

    /// Whoever has taken the lender over writes its report: a terminal that shows it obeys nothing of it.
    #[test]
    fn words_of_a_report_are_short_few_and_without_controls() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        let words = format!("\u{1b}[2Jgone{}", "x".repeat(1000));
        let mut report = Report { troubles: vec![words.clone(); 99], ..Report::default() };
        report.listens = vec!["[::]:7790\n".into()];
        report.loans.entry("ann".into()).or_default().trouble = Some(words);
        fs::write(&path, serde_json::to_vec(&report).unwrap()).unwrap();
        let shown = read(&path).unwrap();
        assert_eq!((shown.listens, shown.troubles.len()), (vec!["[::]:7790".to_string()], WORDS_MAX));
        let trouble = shown.loans["ann"].trouble.clone().unwrap();
        for words in shown.troubles.iter().chain([&trouble]) {
            assert!(words.starts_with("[2Jgonex") && words.len() == WORDS_LETTERS_MAX, "{words:?}");
        }
    }

    #[test]
    fn a_lender_lives_as_long_as_it_holds_its_lock() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!lives(folder.path()));
        fs::create_dir(folder.path().join("own")).unwrap();
        let file = File::create(folder.path().join("own").join(LOCK_FILE)).unwrap();
        assert!(!lives(folder.path()));
        flock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert!(lives(folder.path()));
        drop(file);
        assert!(!lives(folder.path()));
    }
}
