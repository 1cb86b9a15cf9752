//! The file with a machine's document: told from what stands there later, and read within bounds.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use openmesh_blueprint::{Document, compose};
use serde::de::IgnoredAny;

use super::state::Why;

/// Longest document, bytes: as long as one that is sent to the agent.
const DOCUMENT_BYTES_MAX: u64 = 4 << 20;
/// Permission of others to write.
const WRITABLE: u32 = 0o022;

/// Figures by which a file is told from another one at its place: they change with whatever is done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

/// The stamp of the file that a path leads to; none where there is none, or it cannot be looked at.
pub(super) fn stamp(path: &Path) -> Option<Stamp> {
    let about = std::fs::metadata(path).ok()?;
    let changed = (about.ctime(), about.ctime_nsec());
    Some(Stamp { device: about.dev(), inode: about.ino(), bytes: about.len(), changed })
}

/// The document of a file.
///
/// # Errors
/// It cannot be read, others than root may write it, or it is no document: each with what helps.
pub(super) fn read(path: &Path) -> Result<Document, Why> {
    let why = |cause: String, remedy: &str| Why { cause, remedy: remedy.into() };
    let failed = |error: std::io::Error| why(error.to_string(), "put the file there, readable for root");
    let mut file = File::open(path).map_err(failed)?;
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
        return Err(why(format!("it has more than {DOCUMENT_BYTES_MAX} bytes"), "keep files of applications elsewhere"));
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
        match is_odd(c) {
            true => drop(write!(numbered, "\\u{:04x}", u32::from(c))),
            false => numbered.push(c),
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
}
