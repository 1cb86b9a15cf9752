//! Keys of backups (B-60, B-61): the node's own, and the public half of the owner's.
//!
//! The node's identity is made once and never leaves the machine. The owner's secret half is never here: it is made and kept by the command line, and given
//! only where a person restores a machine or lets another one into a repository, for as long as that takes.

use std::fmt::Write as _;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use openmesh_backup::{Identity, NodePublicKey, Recipient};
use openmesh_xnode::marks::replace;

use crate::backups::error::BackupsError;
use crate::error::AgentError;

/// Bytes of a machine's mark in its backups: drawn at random, so that two machines of one name do not take each other's backups for theirs.
const MACHINE_BYTES: usize = 16;

/// Keys of an agent's backups.
pub(crate) struct Keys {
    folder: PathBuf,
    node: Identity,
}

impl Keys {
    /// Opens the keys in a folder, and makes the node's where there is none.
    ///
    /// # Errors
    /// A file cannot be read or written, or is no key.
    pub fn open(folder: &Path) -> Result<Keys, AgentError> {
        let path = folder.join("node.key");
        let node: Identity = match read(&path)? {
            Some(text) => text.parse().map_err(|_| damaged(&path, "it holds no identity of age"))?,
            None => {
                let node = Identity::generate()?;
                let text = format!("# public key: {}\n{}\n", node.recipient(), node.secret_text());
                replace(&path, text.as_bytes()).map_err(AgentError::file("writing", &path))?;
                node
            }
        };
        let keys = Keys { folder: folder.into(), node };
        if read(&keys.machine_file())?.is_none() {
            keys.set_machine(&fresh_mark()?)?;
        }
        Ok(keys)
    }

    /// The node's identity.
    pub fn node(&self) -> &Identity {
        &self.node
    }

    fn owner_file(&self) -> PathBuf {
        self.folder.join("owner")
    }

    fn reading_file(&self) -> PathBuf {
        self.folder.join("owner-reads")
    }

    fn machine_file(&self) -> PathBuf {
        self.folder.join("machine")
    }

    /// Public half of the owner's key; none before it was set.
    ///
    /// # Errors
    /// The file cannot be read, or holds none.
    pub fn owner(&self) -> Result<Option<Recipient>, AgentError> {
        let path = self.owner_file();
        let Some(text) = read(&path)? else { return Ok(None) };
        text.trim().parse::<Recipient>().map(Some).map_err(|_| damaged(&path, "it holds no recipient of age"))
    }

    /// Public half of the owner's reading key (B-83); none where nobody has told it.
    ///
    /// # Errors
    /// The file cannot be read, or holds none.
    pub fn reading(&self) -> Result<Option<NodePublicKey>, AgentError> {
        let path = self.reading_file();
        let Some(text) = read(&path)? else { return Ok(None) };
        text.trim().parse::<NodePublicKey>().map(Some).map_err(|_| damaged(&path, "it holds no key of a machine"))
    }

    /// Sets the owner's key, and that by which he reads at lenders where it is told. Done already: nothing changes. Another one only where it is to be replaced.
    ///
    /// # Errors
    /// Another one is set, or a file cannot be written.
    pub fn set_owner(
        &self,
        owner: Recipient,
        reading: Option<NodePublicKey>,
        replaces: bool,
    ) -> Result<(), AgentError> {
        let is_new = match self.owner()? {
            Some(set) if set != owner && !replaces => {
                return Err(BackupsError::OwnerSet { owner: set.to_string(), wanted: owner.to_string() }.into());
            }
            set => set != Some(owner),
        };
        let path = self.reading_file();
        if is_new {
            // First: that of the owner before is none of this one's.
            match fs::remove_file(&path) {
                Err(cause) if cause.kind() != ErrorKind::NotFound => {
                    return Err(AgentError::file("removing", &path)(cause));
                }
                _ => {}
            }
            let path = self.owner_file();
            replace(&path, format!("{owner}\n").as_bytes()).map_err(AgentError::file("writing", &path))?;
        }
        match reading {
            Some(reading) => {
                replace(&path, format!("{reading}\n").as_bytes()).map_err(AgentError::file("writing", &path))
            }
            None => Ok(()),
        }
    }

    /// Recipients of a repository's key: the owner and the node.
    ///
    /// # Errors
    /// No owner's key is set.
    pub fn recipients(&self) -> Result<[Recipient; 2], AgentError> {
        let owner = self.owner()?.ok_or(BackupsError::NoOwner)?;
        Ok([owner, self.node.recipient()])
    }

    /// Mark of the machine in its backups. A restored machine has that of the one before.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn machine(&self) -> Result<String, AgentError> {
        Ok(read(&self.machine_file())?.unwrap_or_default().trim().to_string())
    }

    /// Changes the mark of the machine.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn set_machine(&self, mark: &str) -> Result<(), AgentError> {
        let path = self.machine_file();
        replace(&path, format!("{mark}\n").as_bytes()).map_err(AgentError::file("writing", &path))
    }
}

/// A random mark: hexadecimal digits.
///
/// # Errors
/// The system has no randomness.
pub(crate) fn fresh_mark() -> Result<String, AgentError> {
    let mut bytes = [0_u8; MACHINE_BYTES];
    getrandom::fill(&mut bytes).map_err(|cause| AgentError::Randomness(cause.to_string()))?;
    let mut text = String::with_capacity(2 * MACHINE_BYTES);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

fn read(path: &Path) -> Result<Option<String>, AgentError> {
    match fs::read_to_string(path) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
        text => text.map(Some).map_err(AgentError::file("reading", path)),
    }
}

fn damaged(path: &Path, words: &str) -> AgentError {
    AgentError::Damaged { path: path.into(), words: words.into() }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn keys_stay_and_the_owner_is_set_once() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(folder.path()).unwrap();
        assert!(matches!(keys.recipients(), Err(AgentError::Backups(BackupsError::NoOwner))));
        let (one, two) = (Identity::generate().unwrap().recipient(), Identity::generate().unwrap().recipient());
        keys.set_owner(one, None, false).unwrap();
        keys.set_owner(one, None, false).unwrap();
        let refused = keys.set_owner(two, None, false);
        assert!(matches!(refused, Err(AgentError::Backups(BackupsError::OwnerSet { .. }))), "{refused:?}");
        let again = Keys::open(folder.path()).unwrap();
        assert_eq!(again.recipients().unwrap(), [one, keys.node().recipient()]);
        assert_eq!((again.machine().unwrap(), again.machine().unwrap().len()), (keys.machine().unwrap(), 32));
        // The reading key is told with the owner's or later, and goes with its owner.
        let reading = openmesh_backup::NodeKey::from_seed([1; 32]).public();
        assert_eq!(keys.reading().unwrap(), None);
        again.set_owner(one, Some(reading), false).unwrap();
        again.set_owner(one, None, false).unwrap();
        assert_eq!(keys.reading().unwrap(), Some(reading));
        again.set_owner(two, None, true).unwrap();
        assert_eq!((keys.owner().unwrap(), keys.reading().unwrap()), (Some(two), None));
        let mode = fs::metadata(folder.path().join("node.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        // A key that is damaged is not taken for none: another one could not open the repositories.
        fs::write(folder.path().join("node.key"), "x").unwrap();
        assert!(matches!(Keys::open(folder.path()), Err(AgentError::Damaged { .. })));
    }
}
