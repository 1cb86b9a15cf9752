//! People of a door that leaves: it takes no document any more, and what it has open still ends with the right by which it goes on.
//!
//! The successor keeps each document in the file in which this door kept its own, before it serves it. So the file is looked at, and nobody has to tell
//! two doors: neither an agent, which may be dead, nor a successor of another version. A document that cannot be read says of nobody that they may
//! come in.

use std::path::PathBuf;

use crate::check::check;
use crate::document::Document;
use crate::keep;
use crate::limits::UNREAD_LOOKS_MAX;

/// Word of a look.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// A document that was not there before.
    Document(Box<Document>),
    /// Several looks in a row have found none that can be read.
    Nobody,
}

/// The file in which a successor keeps its document.
#[derive(Debug)]
pub struct Successor {
    path: PathBuf,
    last: Option<Vec<u8>>,
    /// Looks in a row that have found nothing that can be read.
    unread: u32,
}

impl Successor {
    /// A file that was not looked at yet.
    pub fn new(path: PathBuf) -> Successor {
        Successor { path, last: None, unread: 0 }
    }

    /// Looks at the file, which may wait for a disk. None where nothing is new.
    pub fn look(&mut self) -> Option<Heard> {
        let Ok(Some(bytes)) = keep::bytes(&self.path) else { return self.is_unread() };
        if self.last.as_ref() == Some(&bytes) {
            self.unread = 0;
            return None;
        }
        let Some(document) = read(&bytes) else { return self.is_unread() };
        (self.last, self.unread) = (Some(bytes), 0);
        Some(Heard::Document(Box::new(document)))
    }

    fn is_unread(&mut self) -> Option<Heard> {
        self.unread = self.unread.saturating_add(1);
        if self.unread != UNREAD_LOOKS_MAX {
            return None;
        }
        // Should the same one be readable again, it is news.
        self.last = None;
        Some(Heard::Nobody)
    }
}

/// A document that this door understands; none of a later version.
fn read(bytes: &[u8]) -> Option<Document> {
    let document: Document = serde_json::from_slice(bytes).ok()?;
    check(&document).is_empty().then_some(document)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_document_is_told_once_and_one_that_cannot_be_read_is_for_nobody() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("document.json");
        let document = |serial: u64| Document { serial, ..Document::empty() };
        let write = |serial: u64| {
            let text = serde_json::to_vec(&document(serial)).expect("text");
            fs::write(&path, text).expect("written");
        };
        let mut successor = Successor::new(path.clone());
        let told = |serial: u64| Some(Heard::Document(Box::new(document(serial))));
        write(1);
        assert_eq!((successor.look(), successor.look()), (told(1), None));
        write(2);
        assert_eq!((successor.look(), successor.look()), (told(2), None));
        // One look that finds nothing is none.
        let kept = fs::read(&path).expect("read");
        fs::remove_file(&path).expect("removed");
        assert_eq!(successor.look(), None);
        fs::write(&path, &kept).expect("written");
        assert_eq!(successor.look(), None);
        // A later version, which nobody here understands.
        for later in ["{\"version\": 99, \"serial\": 3}", "{\"version\": 1, \"serial\": 3, \"later\": {}}", "{"] {
            fs::write(&path, later).expect("written");
            let looks: Vec<Option<Heard>> = (0..UNREAD_LOOKS_MAX + 2).map(|_| successor.look()).collect();
            let nobody = looks.iter().position(|heard| *heard == Some(Heard::Nobody));
            assert_eq!(nobody, Some(UNREAD_LOOKS_MAX as usize - 1), "{later}");
            assert_eq!(looks.iter().flatten().count(), 1, "{later}");
            fs::write(&path, &kept).expect("written");
            assert_eq!(successor.look(), told(2), "it is understood again");
        }
    }
}
