//! Ranges of user ids, which the agents of one machine must not share.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use openmesh_xnode::marks::replace;
use rustix::fs::{FlockOperation, flock};

use crate::error::AgentError;

/// First user id that is given: above those of people, services and other container tools (systemd's end at 0x6FFF_FFFF).
const FIRST: u32 = 0x7000_0000;
/// Ranges of 65,536 ids that one agent has: as many applications as a large machine runs, many times over.
pub const RANGES: u32 = 1_024;
/// Agents of one machine: below 0xF000_0000, and so clear of the ids that mean nobody.
const SLOTS: u32 = 32;

/// The first user id of the agent with this state folder: the one that it had, else the first that no other agent holds. An agent whose state folder is not
/// there holds its ids all the same, since its disk may be mounted later; [`release`] gives them back.
///
/// # Errors
/// The list cannot be read or written, or all are held.
pub fn first(list: &Path, state: &Path) -> Result<u32, AgentError> {
    let (_lock, mut holders) = open(list)?;
    let own = state.display().to_string();
    if let Some(slot) = holders.iter().find(|(_, holder)| **holder == own).map(|(slot, _)| *slot) {
        return Ok(id(slot));
    }
    let slot = (0..SLOTS).find(|slot| !holders.contains_key(slot));
    let slot = slot.ok_or_else(|| AgentError::NoIds { slots: SLOTS, list: list.into() })?;
    holders.insert(slot, own);
    fs::create_dir_all(state).map_err(AgentError::file("making", state))?;
    write(list, &holders)?;
    Ok(id(slot))
}

/// Gives the ids of the agent with this state folder back.
///
/// # Errors
/// The list cannot be read or written.
pub fn release(list: &Path, state: &Path) -> Result<(), AgentError> {
    let (_lock, mut holders) = open(list)?;
    let own = state.display().to_string();
    let before = holders.len();
    holders.retain(|_, holder| *holder != own);
    match holders.is_empty() {
        // The list goes with its last holder.
        true => match fs::remove_file(list) {
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(AgentError::file("removing", list)),
        },
        false if holders.len() == before => Ok(()),
        false => write(list, &holders),
    }
}

/// Holders by their slots, with the lock under which they are changed.
fn open(list: &Path) -> Result<(fs::File, BTreeMap<u32, String>), AgentError> {
    let folder = list.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(AgentError::file("making", folder))?;
    let lock = fs::File::open(folder).map_err(AgentError::file("opening", folder))?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|errno| AgentError::file("locking", folder)(errno.into()))?;
    let text = match fs::read_to_string(list) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => "{}".to_string(),
        text => text.map_err(AgentError::file("reading", list))?,
    };
    let damaged = |cause: serde_json::Error| AgentError::Damaged { path: list.into(), words: cause.to_string() };
    Ok((lock, serde_json::from_str(&text).map_err(damaged)?))
}

fn write(list: &Path, holders: &BTreeMap<u32, String>) -> Result<(), AgentError> {
    let text = serde_json::to_vec_pretty(holders).unwrap_or_default();
    replace(list, &text).map_err(AgentError::file("writing", list))
}

fn id(slot: u32) -> u32 {
    FIRST + slot * RANGES * 0x1_0000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_share_no_ids_and_keep_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("lists/ids.json");
        let of = |name: &str| first(&list, &folder.path().join(name));
        let (one, two) = (of("one").unwrap(), of("two").unwrap());
        assert_eq!((one, two), (0x7000_0000, 0x7400_0000));
        assert_eq!(of("one").unwrap(), one);
        fs::remove_dir(folder.path().join("one")).unwrap();
        assert_eq!(of("three").unwrap(), 0x7800_0000, "a disk that is not mounted takes no ids away");
        release(&list, &folder.path().join("one")).unwrap();
        release(&list, &folder.path().join("one")).unwrap();
        assert_eq!(of("four").unwrap(), one);
        (0..SLOTS - 3).for_each(|n| assert!(of(&format!("more-{n}")).is_ok()));
        assert!(matches!(of("last"), Err(AgentError::NoIds { .. })));
        assert!(u64::from(id(SLOTS - 1)) + u64::from(RANGES) * 0x1_0000 <= 0xF000_0000);
        fs::write(&list, "{").unwrap();
        assert!(matches!(of("two"), Err(AgentError::Damaged { .. })));
    }
}
