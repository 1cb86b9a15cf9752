//! The file of the peer-to-peer identity.

use std::io::{self, ErrorKind};
use std::path::Path;

use openmesh_storage::files::write_private;

use crate::error::EngineError;

/// Returns the seed of the peer-to-peer identity in this directory. It is made once and kept, so that peers know the
/// node again; it is not the validator's key, which signs nothing but consensus and attestations.
///
/// Fails if the file exists and has not 32 bytes, if it cannot be read or written, or without randomness from the
/// operating system.
pub(crate) fn p2p_seed(home: &Path) -> Result<[u8; 32], EngineError> {
    let path = home.join("p2p.key");
    let failed = |source| EngineError::Home { path: path.clone(), source };
    match std::fs::read(&path) {
        Ok(bytes) => {
            bytes.try_into().map_err(|_| failed(io::Error::new(ErrorKind::InvalidData, "32 bytes are expected")))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed).map_err(|_| EngineError::Randomness)?;
            std::fs::create_dir_all(home).map_err(failed)?;
            write_private(&path, &seed).map_err(failed)?;
            Ok(seed)
        }
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[cfg(unix)]
    fn mode(path: &Path) -> u32 {
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions()) & 0o777
    }

    #[test]
    fn the_identity_is_whole_or_not_there() {
        let dir = TempDir::new().unwrap();
        let (key, beside) = (dir.path().join("p2p.key"), dir.path().join("p2p.key.new"));
        // Nothing can be written beside it: then nothing is written in its place.
        std::fs::create_dir(&beside).unwrap();
        assert!(matches!(p2p_seed(dir.path()), Err(EngineError::Home { .. })));
        assert!(!key.exists());
        std::fs::remove_dir(&beside).unwrap();
        // A run that ended while it wrote does not keep the next one from starting.
        std::fs::write(&beside, b"half").unwrap();
        let seed = p2p_seed(dir.path()).unwrap();
        assert_eq!(p2p_seed(dir.path()).unwrap(), seed);
        assert_eq!(std::fs::read(&key).unwrap(), seed);
        assert!(!beside.exists());
        #[cfg(unix)]
        assert_eq!(mode(&key), 0o600);
    }
}
