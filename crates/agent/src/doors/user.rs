//! The users that the door and the lender become: each one of its own, which no account of the host has.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use openmesh_door::privileges::User;
use openmesh_xnode::marks;

use crate::error::AgentError;
use crate::ids;

/// Note of the door's user, in the state folder.
pub(crate) const DOOR_NOTE: &str = "door-user.json";
/// Note of the lender's user, in the state folder.
pub(crate) const LENDER_NOTE: &str = "lender-user.json";
/// First id that they may have: above those of people and of services that systemd makes up. Source: systemd's list of user ids, where 60,706 to 61,183
/// are unused.
const FIRST: u32 = 60_706;
/// Last id that they may have.
const LAST: u32 = 61_183;
/// Agents of one machine, each of which has ids that no other one takes.
const AGENTS: u32 = 32;
/// File of accounts and groups: the third field is the number.
const ACCOUNTS: [&str; 2] = ["/etc/passwd", "/etc/group"];

/// The user of one of an agent's processes: the one that a note keeps, else the first that no account has and that the note of the agent's other process does
/// not name. `first_id` is the first id of the agent's instances, which tells the agents of a machine apart.
///
/// # Errors
/// A note cannot be read or written, or accounts have every id.
pub(crate) fn choose(note: &Path, first_id: u32, other: &Path) -> Result<User, AgentError> {
    if let Some(user) = noted(note)? {
        return Ok(user);
    }
    let mut taken: BTreeSet<u32> = ACCOUNTS
        .into_iter()
        .flat_map(|path| numbers(&fs::read_to_string(path).unwrap_or_default()).collect::<Vec<_>>())
        .collect();
    taken.extend(noted(other)?.map(|user| user.uid));
    let chosen = candidates(first_id).find(|id| !taken.contains(id));
    let id = chosen.ok_or_else(|| {
        AgentError::Name(format!(
            "no user is left for a process of this agent: accounts have all of {FIRST} to {LAST} that are its"
        ))
    })?;
    let user = User { uid: id, gid: id };
    let bytes = serde_json::to_vec(&user).unwrap_or_default();
    marks::replace(note, &bytes).map_err(AgentError::file("writing", note))?;
    Ok(user)
}

/// The user that a note keeps; none where there is no note.
fn noted(note: &Path) -> Result<Option<User>, AgentError> {
    match fs::read(note) {
        Ok(bytes) => {
            let user = serde_json::from_slice(&bytes);
            user.map(Some).map_err(|cause| AgentError::Damaged { path: note.into(), words: cause.to_string() })
        }
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(AgentError::file("reading", note)(cause)),
    }
}

/// Ids of one agent: every 32nd, from a place that no other agent of the machine has.
fn candidates(first_id: u32) -> impl Iterator<Item = u32> {
    let slot = first_id / (ids::RANGES * 0x1_0000) % AGENTS;
    (FIRST + slot..=LAST).step_by(AGENTS as usize)
}

/// Numbers of accounts or groups.
fn numbers(text: &str) -> impl Iterator<Item = u32> {
    text.lines().filter_map(|line| line.split(':').nth(2)?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_have_users_of_their_own() {
        let (one, two) = (0x7000_0000, 0x7000_0000 + ids::RANGES * 0x1_0000);
        let all = |first| candidates(first).collect::<BTreeSet<u32>>();
        assert!(all(one).is_disjoint(&all(two)));
        assert!(all(one).len() > 10 && all(two).iter().all(|id| (FIRST..=LAST).contains(id)));
        assert_eq!(
            numbers("root:x:0:0::/:/bin/sh\nbroken\nwww-data:x:33:33::/var/www:\n").collect::<Vec<_>>(),
            [0, 33]
        );
    }

    #[test]
    fn a_choice_is_kept_and_is_nobody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let (note, other) = (folder.path().join("user.json"), folder.path().join("other.json"));
        let chosen = choose(&note, 0x7000_0000, &other).unwrap();
        assert!((FIRST..=LAST).contains(&chosen.uid) && chosen.uid == chosen.gid);
        // Also by an agent with other ids: the folders belong to that user.
        assert_eq!(choose(&note, 0x9000_0000, &other).unwrap(), chosen);
        assert_ne!(choose(&other, 0x7000_0000, &note).unwrap(), chosen);
        fs::write(&note, "{").unwrap();
        assert!(matches!(choose(&note, 0x7000_0000, &other), Err(AgentError::Damaged { .. })));
    }
}
