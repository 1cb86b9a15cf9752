//! The file with a machine's document: told from what stands there later, and read within bounds.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

use openmesh_blueprint::{Document, compose};
use openmesh_primitives::Timestamp;
use rustix::fs::OFlags;
use serde::de::IgnoredAny;

use super::state::Why;

/// Longest document, bytes: as long as one that is sent to the agent.
const DOCUMENT_BYTES_MAX: u64 = 4 << 20;
/// Time for which a file stays as it is before it is read: whoever writes over it in place is done by then, and another change has another moment on every clock
/// of a file system.
pub(super) const SETTLES: Duration = Duration::from_secs(2);
/// A byte order mark, as some editors put it before a text: it is no part of the document.
const MARK: &[u8] = "\u{feff}".as_bytes();
/// Permission of others to write.
const WRITABLE: u32 = 0o022;

/// Figures by which a file is told from another one at its place: they change with whatever is done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    owner: u32,
    mode: u32,
    /// Moment of the last change, seconds and nanoseconds.
    changed: (i64, i64),
}

impl Stamp {
    /// Returns true where the file was changed less than [`SETTLES`] ago: it may be written still. A moment that lies ahead is another clock's, and says nothing.
    pub(super) fn is_fresh(&self, now: Timestamp) -> bool {
        let (seconds, nanos) = self.changed;
        let changed = seconds.saturating_mul(1_000_000_000).saturating_add(nanos);
        let age = u64::try_from(now.nanos().saturating_sub(changed));
        age.is_ok_and(|age| Duration::from_nanos(age) < SETTLES)
    }
}

/// The stamp of the file that a path leads to; none where there is none, or it cannot be looked at.
pub(super) fn stamp(path: &Path) -> Option<Stamp> {
    let about = std::fs::metadata(path).ok()?;
    let changed = (about.ctime(), about.ctime_nsec());
    let (owner, mode) = (about.uid(), about.mode());
    Some(Stamp { device: about.dev(), inode: about.ino(), bytes: about.len(), owner, mode, changed })
}

/// The document of a file.
///
/// # Errors
/// It cannot be read, others than root may write it, or it is no document: each with what helps.
pub(super) fn read(path: &Path) -> Result<Document, Why> {
    let why = |cause: String, remedy: &str| Why { cause, remedy: remedy.into() };
    let failed = |error: std::io::Error| why(error.to_string(), "put the file there, readable for root");
    // A pipe would wait for whoever writes to it.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let about = file.metadata().map_err(failed)?;
    if !about.is_file() {
        return Err(why("it is no file".into(), "name a file"));
    }
    if about.uid() != 0 || about.mode() & WRITABLE != 0 {
        let cause = "others than root may write to it, and would rule this machine".into();
        return Err(why(cause, &format!("chown root {0} && chmod go-w {0}", path.display())));
    }
    let mut bytes = Vec::new();
    file.by_ref().take(DOCUMENT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > DOCUMENT_BYTES_MAX {
        return Err(why(
            format!("it has more than {DOCUMENT_BYTES_MAX} bytes"),
            "keep files of applications elsewhere",
        ));
    }
    if bytes.starts_with(MARK) {
        bytes.drain(..MARK.len());
    }
    let text = String::from_utf8(bytes).map_err(|_| why("it is no UTF-8".into(), "write it as UTF-8"))?;
    if compose::is_compose(&text) {
        let remedy = format!("openmesh app import {} makes a document of it", path.display());
        return Err(why("it is a compose file".into(), &remedy));
    }
    Document::parse(&by_numbers(text)).map_err(|problems| {
        let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
        why(problems.join("; "), "correct it: a document with problems changes nothing")
    })
}

/// JSON with numbers in the places of signs that it may hold as they are and YAML may not. Other texts stay as they are.
fn by_numbers(text: String) -> String {
    let is_odd = |c: char| {
        (c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
    };
    if !text.contains(is_odd) || serde_json::from_str::<IgnoredAny>(&text).is_err() {
        return text;
    }
    let mut numbered = String::with_capacity(text.len() + 64);
    for c in text.chars() {
        if is_odd(c) {
            let _ = write!(numbered, "\\u{:04x}", u32::from(c));
        } else {
            numbered.push(c);
        }
    }
    numbered
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn json_as_nix_writes_it_is_read_as_it_is() {
        let text = "{\"applications\":{\"a\":{\"image\":\"a\",\"variables\":{\"A\":\"x\u{7f}\u{85}\u{2028}\\u001b\\b\"}}},\"version\":1}";
        let document = Document::parse(&by_numbers(text.into())).unwrap_or_else(|problems| panic!("{problems:#?}"));
        let value = document.applications.values().next().unwrap().variables.values().next().unwrap().clone();
        let expected = "x\u{7f}\u{85}\u{2028}\u{1b}\u{8}";
        assert_eq!(value, openmesh_blueprint::document::Content::Text(expected.into()));
        // YAML is none of its business.
        let yaml = "version: 1 # \u{2028}\n";
        assert_eq!(by_numbers(yaml.into()), yaml);
    }

    #[test]
    fn a_file_is_read_within_bounds_and_told_from_the_next_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("document.yaml");
        let cause = || read(&path).unwrap_err().cause;
        assert_eq!(stamp(&path), None);
        assert!(cause().contains("No such file"), "{}", cause());
        std::fs::write(&path, "version: 1\n").unwrap();
        let first = stamp(&path).unwrap();
        assert_eq!(stamp(&path), Some(first));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o664)).unwrap();
        assert!(cause().contains("others than root"), "{}", cause());
        assert_ne!(stamp(&path), Some(first), "what is done to it is seen");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        if !rustix::process::geteuid().is_root() {
            println!("skipped: files of root are made by root alone");
            return;
        }
        assert!(read(&path).is_ok());
        // JSON with a sign that YAML may not hold, behind a byte order mark.
        std::fs::write(&path, "\u{feff}{\"version\": 1, \"applications\": {\"a\": {\"image\": \"a\", \"variables\": {\"A\": \"\u{7f}\"}}}}").unwrap();
        assert!(read(&path).is_ok(), "{}", cause());
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, pipe.as_path(), rustix::fs::Mode::RUSR).unwrap();
        assert!(read(&pipe).unwrap_err().cause.contains("no file"), "nobody waits for a pipe");
        let long = "#".repeat((4 << 20) + 1);
        for (text, words) in [
            ("version: 1\napplicatoins: {}\n", "did you mean"),
            ("services: {web: {image: web}}\n", "compose file"),
            (long.as_str(), "more than 4194304 bytes"),
        ] {
            std::fs::write(&path, text).unwrap();
            assert!(cause().contains(words), "{}", cause());
        }
        std::fs::write(&path, [0xff]).unwrap();
        assert!(cause().contains("UTF-8"), "{}", cause());
    }

    /// Half of a document that is written in place is a document without the other half's applications.
    #[test]
    fn a_file_that_was_just_written_to_is_left_until_it_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("document.yaml");
        std::fs::write(&path, "version: 1\n").unwrap();
        let now = Timestamp::now();
        let changed = (now.nanos().div_euclid(1_000_000_000), now.nanos().rem_euclid(1_000_000_000));
        let stamp = Stamp { changed, ..stamp(&path).unwrap() };
        let after = |ms: i64| Timestamp(now.nanos() + ms * 1_000_000);
        for (ms, is_fresh) in [(0, true), (1_999, true), (2_000, false), (1 << 40, false), (-1, false)] {
            assert_eq!(stamp.is_fresh(after(ms)), is_fresh, "{ms} ms after it");
        }
    }
}
