//! The journal of statements: what a validator has committed to, on its disk before anybody hears of the commitment.
//!
//! One file for each window, written beside and renamed, so that there is a whole one or none. A file goes when its window is attested
//! or closed; what a crash leaves is taken in again at the next start. The salt is in no file: it follows from the key.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use openmesh_ledger::ChunkClaim;
use openmesh_primitives::canonical;

use crate::window::{Window, WindowName};

/// End of a file's name while it is written.
const UNFINISHED: &str = "new";

/// Source, number, claims and abstentions, as they stand in a file.
type Kept = (String, u64, Vec<ChunkClaim>, Vec<String>);

/// The journal; clones are the same one.
#[derive(Clone, Debug)]
pub struct Journal {
    directory: PathBuf,
}

impl Journal {
    /// The journal in a directory, which is made where it is not there.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(directory: &Path) -> io::Result<Journal> {
        fs::create_dir_all(directory)?;
        Ok(Journal { directory: directory.to_owned() })
    }

    /// The statements that were kept and not removed. Files that are not whole are removed: their commitments were never handed in.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn load(&self) -> io::Result<Vec<Window>> {
        let mut windows = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let path = entry?.path();
            let kept = canonical::decode::<Kept>(&fs::read(&path)?);
            match kept.ok().filter(|_| path.extension().is_none()) {
                Some((source, number, chunks, abstained)) => {
                    windows.push(Window { name: WindowName { source, number }, chunks, abstained });
                }
                None => {
                    tracing::warn!(file = %path.display(), "not a whole statement about a window: removed");
                    fs::remove_file(&path)?;
                }
            }
        }
        Ok(windows)
    }

    /// Keeps a statement. It is on the disk when this returns.
    ///
    /// # Errors
    /// Those of the file system; [`io::ErrorKind::InvalidInput`] where the source's id is no name of a file.
    pub fn put(&self, window: &Window) -> io::Result<()> {
        let path = self.path(&window.name)?;
        let Window { name, chunks, abstained } = window;
        let bytes = canonical::encode(&(&name.source, name.number, chunks, abstained));
        let unfinished = path.with_extension(UNFINISHED);
        let mut file = File::create(&unfinished)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, &path)?;
        File::open(&self.directory)?.sync_all()
    }

    /// Removes a statement, if it is there.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn remove(&self, name: &WindowName) -> io::Result<()> {
        match fs::remove_file(self.path(name)?) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn path(&self, name: &WindowName) -> io::Result<PathBuf> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if name.source.is_empty() || !name.source.bytes().all(plain) {
            let why = format!("{:?} is no id of a source", name.source);
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        Ok(self.directory.join(format!("{}-{}", name.source, name.number)))
    }
}

#[cfg(test)]
mod tests {
    use openmesh_primitives::ContentId;

    use super::*;

    fn window(source: &str, number: u64) -> Window {
        let chunk = ChunkClaim { stream: "BTC.USD/trades".into(), cid: ContentId::of(b"x"), bytes: 1, events: 1 };
        let name = WindowName { source: source.into(), number };
        Window { name, chunks: vec![chunk], abstained: vec!["ETH.USD/trades".into()] }
    }

    #[test]
    fn what_is_kept_is_there_after_a_restart_and_what_is_removed_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(&dir.path().join("statements")).unwrap();
        for number in 1..=3 {
            journal.put(&window("kraken", number)).unwrap();
        }
        let second = Window { abstained: Vec::new(), ..window("kraken", 2) };
        journal.put(&second).unwrap();
        journal.remove(&window("kraken", 1).name).unwrap();
        journal.remove(&window("kraken", 1).name).unwrap();
        let mut found = Journal::open(&dir.path().join("statements")).unwrap().load().unwrap();
        found.sort_by_key(|window| window.name.number);
        assert_eq!(found, [second, window("kraken", 3)]);
    }

    #[test]
    fn what_a_crash_left_half_written_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        journal.put(&window("kraken", 1)).unwrap();
        let whole = fs::read(dir.path().join("kraken-1")).unwrap();
        fs::write(dir.path().join("kraken-2.new"), &whole).unwrap();
        fs::write(dir.path().join("kraken-3"), &whole[..whole.len() - 1]).unwrap();
        assert_eq!(journal.load().unwrap(), [window("kraken", 1)]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn no_source_leads_out_of_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        for source in ["", "..", "a/b", "a.b"] {
            let refused = journal.put(&window(source, 1)).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{source}");
        }
    }
}
