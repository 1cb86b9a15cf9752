//! Secrets at rest: sealed with a key of the machine, handed out only to what an instance is made of.
//!
//! `secrets.json` holds every version that was set, each sealed with XChaCha20-Poly1305 under the key in `secrets.key`; name and version are bound into the
//! seal, so that no sealed value can be moved under another name. The key never leaves the machine with the file: a backup holds the one without the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305};
use data_encoding::BASE64;
use openmesh_blueprint::document::Name;
use openmesh_primitives::Timestamp;
use openmesh_xnode::machine::Secrets;
use openmesh_xnode::marks::replace;
use serde::{Deserialize, Serialize};

use crate::error::AgentError;

/// Largest secret, bytes: keys and certificates, many times over.
pub const SECRET_BYTES_MAX: usize = 64 << 10;
/// Versions of a secret that are kept beside those that kept generations name: what a person may still look for.
const VERSIONS_KEPT: u32 = 8;
/// Names of secrets, removed ones among them: those of a large machine, many times over.
const NAMES_MAX: usize = 1_000;
/// Size of the key, bytes. Source: XChaCha20-Poly1305.
const KEY_BYTES: usize = 32;
/// Size of a nonce, bytes: drawn at random for each seal.
const NONCE_BYTES: usize = 24;

/// A version of a secret, sealed.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sealed {
    at: Timestamp,
    nonce: Vec<u8>,
    sealed: Vec<u8>,
}

/// A secret: its versions, and the last number that one had. Numbers come once, also where the secret was removed meanwhile: a generation that names one means
/// that value.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Secret {
    last: u32,
    versions: BTreeMap<u32, Sealed>,
}

/// Secrets by their names.
type Kept = BTreeMap<String, Secret>;

/// Secrets of an agent.
pub struct Vault {
    file: PathBuf,
    key_file: PathBuf,
    key: XChaCha20Poly1305,
    kept: Mutex<Kept>,
}

impl Vault {
    /// Opens the secrets in a folder; makes a key where there is none.
    ///
    /// # Errors
    /// A file cannot be read, or there are secrets and no key.
    pub fn open(folder: &Path) -> Result<Vault, AgentError> {
        let (file, key_file) = (folder.join("secrets.json"), folder.join("secrets.key"));
        let kept: Kept = match fs::read(&file) {
            Err(cause) if cause.kind() == ErrorKind::NotFound => BTreeMap::new(),
            bytes => {
                let bytes = bytes.map_err(AgentError::file("reading", &file))?;
                let damaged =
                    |cause: serde_json::Error| AgentError::Damaged { path: file.clone(), words: cause.to_string() };
                serde_json::from_slice(&bytes).map_err(damaged)?
            }
        };
        let key = match fs::read(&key_file) {
            Ok(key) => key,
            Err(cause) if cause.kind() == ErrorKind::NotFound && kept.is_empty() => {
                let key = random::<KEY_BYTES>()?.to_vec();
                replace(&key_file, &key).map_err(AgentError::file("writing", &key_file))?;
                key
            }
            Err(cause) => return Err(AgentError::file("reading", &key_file)(cause)),
        };
        let sealed = || AgentError::Sealed { sealed: file.clone(), key: key_file.clone() };
        let key = XChaCha20Poly1305::new_from_slice(&key).map_err(|_| sealed())?;
        let vault = Vault { file, key_file, key, kept: Mutex::new(kept) };
        vault.check()?;
        Ok(vault)
    }

    /// Opens every secret once: one that cannot be opened is found now, and not when an application starts.
    fn check(&self) -> Result<(), AgentError> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let all = kept
            .iter()
            .flat_map(|(name, secret)| secret.versions.iter().map(move |(version, sealed)| (name, version, sealed)));
        for (name, version, sealed) in all {
            if self.unseal_secret(name, *version, sealed).is_none() {
                return Err(AgentError::Sealed { sealed: self.file.clone(), key: self.key_file.clone() });
            }
        }
        Ok(())
    }

    /// Seals something of the agent's own with the same key, as a text. The use is bound into it.
    ///
    /// # Errors
    /// The system gives no randomness.
    pub(crate) fn seal(&self, bound_to: &str, value: &[u8]) -> Result<String, AgentError> {
        let nonce = random::<NONCE_BYTES>()?;
        let aad = own(bound_to);
        let failed = |_| AgentError::Sealed { sealed: self.file.clone(), key: self.key_file.clone() };
        let sealed = self.key.encrypt(&nonce.into(), Payload { msg: value, aad: aad.as_bytes() }).map_err(failed)?;
        Ok(BASE64.encode(&[&nonce[..], &sealed].concat()))
    }

    /// Bytes that were sealed for a use; none where it was changed, or is of another use or key.
    pub(crate) fn unseal(&self, bound_to: &str, sealed: &str) -> Option<Vec<u8>> {
        let bytes = BASE64.decode(sealed.as_bytes()).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>()?;
        self.key.decrypt(&(*nonce).into(), Payload { msg: sealed, aad: own(bound_to).as_bytes() }).ok()
    }

    fn unseal_secret(&self, name: &str, version: u32, sealed: &Sealed) -> Option<Vec<u8>> {
        let nonce: [u8; NONCE_BYTES] = sealed.nonce.as_slice().try_into().ok()?;
        self.key.decrypt(&nonce.into(), Payload { msg: &sealed.sealed, aad: bound(name, version).as_bytes() }).ok()
    }

    /// Sets a secret, and returns its new version. Versions that are `needed` stay.
    ///
    /// # Errors
    /// It is empty or too large, there are too many, or it cannot be written; then nothing has changed.
    pub fn set(&self, name: &Name, value: &[u8], needed: &BTreeSet<u32>) -> Result<u32, AgentError> {
        if value.is_empty() || value.len() > SECRET_BYTES_MAX {
            return Err(AgentError::SecretSize { bytes: value.len(), max: SECRET_BYTES_MAX });
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = kept.clone();
        if next.len() >= NAMES_MAX && !next.contains_key(name.as_str()) {
            return Err(AgentError::SecretNames { max: NAMES_MAX });
        }
        let secret = next.entry(name.to_string()).or_default();
        let version = secret.last + 1;
        let nonce = random::<NONCE_BYTES>()?;
        let payload = Payload { msg: value, aad: &bound(name.as_str(), version).into_bytes() };
        let failed = |_| AgentError::Sealed { sealed: self.file.clone(), key: self.key_file.clone() };
        let sealed = self.key.encrypt(&nonce.into(), payload).map_err(failed)?;
        secret.last = version;
        secret.versions.insert(version, Sealed { at: Timestamp::now(), nonce: nonce.to_vec(), sealed });
        let oldest = version.saturating_sub(VERSIONS_KEPT);
        secret.versions.retain(|number, _| *number > oldest || needed.contains(number));
        self.write(&next)?;
        *kept = next;
        Ok(version)
    }

    /// Removes a secret with all its versions.
    ///
    /// # Errors
    /// It is not there, or the file cannot be written.
    pub fn remove(&self, name: &Name) -> Result<(), AgentError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = kept.clone();
        let secret = next.get_mut(name.as_str()).filter(|secret| !secret.versions.is_empty());
        secret.ok_or_else(|| AgentError::NoSecret(name.clone()))?.versions.clear();
        self.write(&next)?;
        *kept = next;
        Ok(())
    }

    /// Takes a secret's last version back as if it had never been set: for one that nobody has seen or named. Nothing happens where another one was set since.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn withdraw(&self, name: &Name, version: u32) -> Result<(), AgentError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = kept.clone();
        let Some(secret) = next.get_mut(name.as_str()).filter(|secret| secret.last == version) else { return Ok(()) };
        secret.versions.remove(&version);
        secret.last = version.saturating_sub(1);
        if secret.last == 0 {
            next.remove(name.as_str());
        }
        self.write(&next)?;
        *kept = next;
        Ok(())
    }

    /// Present version of each secret, and its moment.
    pub fn list(&self) -> BTreeMap<Name, (u32, Timestamp)> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let present = kept.iter().filter_map(|(name, secret)| {
            let (version, sealed) = secret.versions.last_key_value()?;
            Some((name.parse().ok()?, (*version, sealed.at)))
        });
        present.collect()
    }

    /// Values of every version that is kept: of the secrets with these names, or of all.
    pub(crate) fn values(&self, names: Option<&BTreeSet<Name>>) -> Vec<Vec<u8>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let is_meant = |name: &str| names.is_none_or(|names| names.iter().any(|one| one.as_str() == name));
        let meant = kept.iter().filter(|(name, _)| is_meant(name.as_str()));
        let versions = meant.flat_map(|(name, secret)| secret.versions.iter().map(move |version| (name, version)));
        versions.filter_map(|(name, (version, sealed))| self.unseal_secret(name, *version, sealed)).collect()
    }

    fn write(&self, kept: &Kept) -> Result<(), AgentError> {
        let bytes = serde_json::to_vec(kept).unwrap_or_default();
        replace(&self.file, &bytes).map_err(AgentError::file("writing", &self.file))
    }
}

/// The vault as instances are made of it.
pub(crate) struct Shared(pub std::sync::Arc<Vault>);

impl Secrets for Shared {
    fn value(&self, name: &Name, version: u32) -> Option<Vec<u8>> {
        let kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let sealed = kept.get(name.as_str())?.versions.get(&version)?;
        self.0.unseal_secret(name.as_str(), version, sealed)
    }
}

fn bound(name: &str, version: u32) -> String {
    format!("openmesh secret 1 {name} {version}")
}

fn own(bound_to: &str) -> String {
    format!("openmesh agent 1 {bound_to}")
}

fn random<const N: usize>() -> Result<[u8; N], AgentError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|cause| AgentError::Randomness(cause.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn secrets_are_sealed_and_keep_their_versions() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Arc::new(Vault::open(folder.path()).unwrap());
        let (name, none): (Name, _) = ("password".parse().unwrap(), BTreeSet::new());
        assert_eq!(vault.set(&name, b"correct horse", &none).unwrap(), 1);
        assert_eq!(vault.set(&name, b"battery staple", &none).unwrap(), 2);
        assert!(matches!(vault.set(&name, b"", &none), Err(AgentError::SecretSize { .. })));
        let shared = Shared(vault);
        assert_eq!(shared.value(&name, 1).unwrap(), b"correct horse");
        assert_eq!(shared.value(&name, 2).unwrap(), b"battery staple");
        assert_eq!(shared.value(&name, 3), None);
        let text = fs::read_to_string(folder.path().join("secrets.json")).unwrap();
        assert!(!text.contains("horse") && !text.contains("staple"));
        // Another process finds them; one without the key does not take them for empty.
        assert_eq!(Vault::open(folder.path()).unwrap().list()[&name].0, 2);
        let key = folder.path().join("secrets.key");
        let mut bytes = fs::read(&key).unwrap();
        bytes[0] ^= 1;
        fs::write(&key, bytes).unwrap();
        assert!(matches!(Vault::open(folder.path()), Err(AgentError::Sealed { .. })));
        fs::remove_file(&key).unwrap();
        assert!(matches!(Vault::open(folder.path()), Err(AgentError::File { .. })));
    }

    /// Else whoever asks for deployments that are refused would use the names up.
    #[test]
    fn what_is_withdrawn_leaves_no_name_and_no_number() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::open(folder.path()).unwrap();
        let (name, none): (Name, _) = ("token".parse().unwrap(), BTreeSet::new());
        assert_eq!(vault.set(&name, b"one", &none).unwrap(), 1);
        vault.withdraw(&name, 2).unwrap();
        assert_eq!(vault.list()[&name].0, 1, "that is not its last version");
        vault.withdraw(&name, 1).unwrap();
        assert!(vault.list().is_empty() && vault.kept.lock().unwrap().is_empty());
        vault.withdraw(&name, 1).unwrap();
        // Numbers of before stay given.
        assert_eq!(vault.set(&name, b"one", &none).unwrap(), 1);
        vault.remove(&name).unwrap();
        assert_eq!(vault.set(&name, b"two", &none).unwrap(), 2);
        vault.withdraw(&name, 2).unwrap();
        drop(vault);
        let vault = Vault::open(folder.path()).unwrap();
        assert!(vault.list().is_empty());
        assert_eq!(vault.set(&name, b"two again", &none).unwrap(), 2);
    }

    #[test]
    fn a_sealed_value_cannot_be_moved_to_another_name() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::open(folder.path()).unwrap();
        vault.set(&"one".parse().unwrap(), b"first", &BTreeSet::new()).unwrap();
        let file = folder.path().join("secrets.json");
        let text = fs::read_to_string(&file).unwrap().replace("\"one\"", "\"two\"");
        fs::write(&file, text).unwrap();
        assert!(matches!(Vault::open(folder.path()), Err(AgentError::Sealed { .. })));
    }

    #[test]
    fn numbers_come_once_and_needed_versions_stay() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Arc::new(Vault::open(folder.path()).unwrap());
        let (name, needed): (Name, _) = ("token".parse().unwrap(), BTreeSet::from([2]));
        (1..=20).for_each(|number| assert_eq!(vault.set(&name, &[number], &needed).unwrap(), u32::from(number)));
        let shared = Shared(vault.clone());
        let there: Vec<u32> = (1..=20).filter(|number| shared.value(&name, *number).is_some()).collect();
        assert_eq!(there, [2, 13, 14, 15, 16, 17, 18, 19, 20]);
        let values = |names: &[&str]| {
            let names: BTreeSet<Name> = names.iter().map(|name| name.parse().unwrap()).collect();
            vault.values(Some(&names)).concat()
        };
        assert_eq!(values(&["token", "other"]), [2, 13, 14, 15, 16, 17, 18, 19, 20]);
        assert_eq!((values(&["other"]), vault.values(None).len()), (Vec::new(), 9));
        vault.remove(&name).unwrap();
        assert!(vault.list().is_empty() && matches!(vault.remove(&name), Err(AgentError::NoSecret(_))));
        drop((vault, shared));
        let vault = Vault::open(folder.path()).unwrap();
        assert_eq!(vault.set(&name, b"again", &needed).unwrap(), 21);
        for number in 1..NAMES_MAX {
            vault.kept.lock().unwrap().insert(format!("n{number}"), Secret::default());
        }
        let other = vault.set(&"other".parse().unwrap(), b"x", &needed);
        assert!(matches!(other, Err(AgentError::SecretNames { .. })));
        assert_eq!(vault.set(&name, b"more", &needed).unwrap(), 22);
    }
}
