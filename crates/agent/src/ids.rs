//! Ranges of user ids, which the agents of one machine must not share.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use crate::error::AgentError;

/// First user id that is given: above those of people, services and other container tools (systemd's end at 0x6FFF_FFFF).
const FIRST: u32 = 0x7000_0000;
/// Ranges of 65,536 ids that one agent has: as many applications as a large machine runs, many times over.
pub const RANGES: u32 = 1_024;
/// Agents of one machine: below 0xF000_0000, and so clear of the ids that mean nobody.
const SLOTS: u32 = 32;

/// The first user id of the agent with this state folder: the one that it had, else the first that no other agent holds. An agent whose state folder is gone
/// holds nothing.
///
/// # Errors
/// The list cannot be read or written, or all are held.
pub fn first(list: &Path, state: &Path) -> Result<u32, AgentError> {
    let folder = list.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(AgentError::file("making", folder))?;
    let lock = fs::File::open(folder).map_err(AgentError::file("opening", folder))?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|errno| AgentError::file("locking", folder)(errno.into()))?;
    let text = match fs::read_to_string(list) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => "{}".to_string(),
        text => text.map_err(AgentError::file("reading", list))?,
    };
    let damaged = |cause: serde_json::Error| AgentError::Damaged { path: list.into(), words: cause.to_string() };
    let mut holders: BTreeMap<u32, String> = serde_json::from_str(&text).map_err(damaged)?;
    let own = state.display().to_string();
    if let Some(slot) = holders.iter().find(|(_, holder)| **holder == own).map(|(slot, _)| *slot) {
        return Ok(id(slot));
    }
    holders.retain(|_, holder| Path::new(holder).exists());
    let slot = (0..SLOTS).find(|slot| !holders.contains_key(slot));
    let slot = slot.ok_or_else(|| AgentError::NoIds { slots: SLOTS, list: list.into() })?;
    holders.insert(slot, own);
    fs::create_dir_all(state).map_err(AgentError::file("making", state))?;
    let text = serde_json::to_string_pretty(&holders).map_err(damaged)?;
    let beside = list.with_extension("new");
    fs::write(&beside, text).map_err(AgentError::file("writing", &beside))?;
    fs::rename(&beside, list).map_err(AgentError::file("replacing", list))?;
    Ok(id(slot))
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
        assert_eq!(of("three").unwrap(), one, "an agent that is gone holds nothing");
        (0..SLOTS - 2).for_each(|n| assert!(of(&format!("more-{n}")).is_ok()));
        assert!(matches!(of("last"), Err(AgentError::NoIds { .. })));
        assert!(u64::from(id(SLOTS - 1)) + u64::from(RANGES) * 0x1_0000 <= 0xF000_0000);
        fs::write(&list, "{").unwrap();
        assert!(matches!(of("two"), Err(AgentError::Damaged { .. })));
    }
}
