//! The list of GPUs that instances have, which all agents of a machine share: one is of one application, whichever agent's.
//!
//! A claim counts as long as the folder of its instance is there, over starts of the machine too. So nothing that dies has to take its claims back.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use openmesh_blueprint::gpu::PciAddress;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::marks::replace;

/// The list, below the folder with the kernel's files: beside the state folders of agents.
const LIST: &str = "var/lib/openmesh/xnodes/gpus.json";

/// An instance that has a GPU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Claim {
    /// Name of its agent.
    pub agent: String,
    /// Its application.
    pub application: String,
    /// Its folder.
    pub folder: PathBuf,
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of the agent `{}`", self.application, self.agent)
    }
}

impl Claim {
    fn counts(&self) -> bool {
        self.folder.exists()
    }

    /// Returns true for the same application. Its instances follow one another by their plan.
    fn is_with(&self, other: &Claim) -> bool {
        (&self.agent, &self.application) == (&other.agent, &other.application)
    }
}

/// Claims by address.
type Claims = BTreeMap<String, Claim>;

/// Path of the list.
pub(super) fn list(root: &Path) -> PathBuf {
    root.join(LIST)
}

/// Notes that an instance has these GPUs, and no others. Where another application has one of them nothing is noted, and that one is returned with its claim.
///
/// # Errors
/// The list cannot be read or written.
pub(super) fn take(root: &Path, gpus: &BTreeSet<PciAddress>, own: &Claim) -> io::Result<Option<(PciAddress, Claim)>> {
    let list = list(root);
    let folder = list.parent().unwrap_or(root);
    fs::create_dir_all(folder)?;
    let _lock = lock(folder)?;
    let before = read(&list)?;
    let holder = |gpu: &PciAddress| before.get(&gpu.to_string()).filter(|claim| !claim.is_with(own) && claim.counts());
    if let Some(found) = gpus.iter().find_map(|gpu| Some((*gpu, holder(gpu)?.clone()))) {
        return Ok(Some(found));
    }
    let mut claims = before.clone();
    claims.retain(|_, claim| claim.folder != own.folder && claim.counts());
    claims.extend(gpus.iter().map(|gpu| (gpu.to_string(), own.clone())));
    if claims != before {
        write(&list, &claims)?;
    }
    Ok(None)
}

/// Takes the claims of an instance back whose folder goes.
///
/// # Errors
/// The list cannot be read or written.
pub(super) fn release(root: &Path, folder: &Path) -> io::Result<()> {
    let list = list(root);
    if !list.exists() {
        return Ok(());
    }
    let _lock = lock(list.parent().unwrap_or(root))?;
    let before = read(&list)?;
    let mut claims = before.clone();
    claims.retain(|_, claim| claim.folder != *folder && claim.counts());
    match claims.is_empty() {
        // The list goes with its last claim.
        true => match fs::remove_file(&list) {
            Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        },
        false if claims == before => Ok(()),
        false => write(&list, &claims),
    }
}

/// Claims that count.
///
/// # Errors
/// The list cannot be read.
pub(super) fn all(root: &Path) -> io::Result<Vec<(PciAddress, Claim)>> {
    let claims = read(&list(root))?.into_iter().filter(|(_, claim)| claim.counts());
    Ok(claims.filter_map(|(address, claim)| Some((address.parse().ok()?, claim))).collect())
}

/// Lock of a folder, for as long as it is kept.
fn lock(folder: &Path) -> io::Result<File> {
    let lock = File::open(folder)?;
    flock(&lock, FlockOperation::LockExclusive)?;
    Ok(lock)
}

fn read(list: &Path) -> io::Result<Claims> {
    match fs::read(list) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(Claims::new()),
        bytes => serde_json::from_slice(&bytes?).map_err(|cause| io::Error::new(ErrorKind::InvalidData, cause)),
    }
}

fn write(list: &Path, claims: &Claims) -> io::Result<()> {
    replace(list, &serde_json::to_vec_pretty(claims).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_is_of_one_application_of_one_agent_as_long_as_its_instance_is_there() {
        let root = tempfile::tempdir().unwrap();
        let claim = |agent: &str, application: &str, instance: &str| {
            let folder = root.path().join(agent).join(instance);
            fs::create_dir_all(&folder).unwrap();
            Claim { agent: agent.into(), application: application.into(), folder }
        };
        let gpus = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<BTreeSet<PciAddress>>();
        let (one, both) = (gpus(&["0000:01:00.0"]), gpus(&["0000:01:00.0", "0000:02:00.0"]));
        let first = *one.first().unwrap();
        let take = |gpus: &BTreeSet<PciAddress>, own: &Claim| take(root.path(), gpus, own).unwrap();
        let (old, new) = (claim("default", "chat", "old"), claim("default", "chat", "new"));
        let (beside, other) = (claim("default", "paint", "one"), claim("second", "chat", "one"));
        assert_eq!((take(&one, &old), all(root.path()).unwrap().len()), (None, 1));
        assert_eq!(take(&one, &old), None, "it has it");
        for stranger in [&beside, &other] {
            assert_eq!(take(&both, stranger), Some((first, old.clone())));
            assert_eq!(all(root.path()).unwrap().len(), 1, "nothing was noted");
        }
        // The next version of an application follows the one before.
        assert_eq!((take(&one, &new), take(&one, &other)), (None, Some((first, new.clone()))));
        release(root.path(), &old.folder).unwrap();
        assert_eq!(all(root.path()).unwrap(), [(first, new.clone())]);
        // One that was removed without a word has nothing any more.
        fs::remove_dir_all(&new.folder).unwrap();
        assert_eq!((all(root.path()).unwrap(), take(&both, &other)), (Vec::new(), None));
        assert_eq!(take(&one, &other), None, "it gives one back");
        assert_eq!(all(root.path()).unwrap(), [(first, other.clone())]);
        release(root.path(), &other.folder).unwrap();
        assert!(!list(root.path()).exists());
        release(root.path(), &other.folder).unwrap();
        fs::write(list(root.path()), "{").unwrap();
        assert!(all(root.path()).is_err());
    }
}
