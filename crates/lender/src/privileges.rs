//! Rights of the process: a user of its own without any right of root, and under landlock its own folders and its own port (B-80).

use std::io;
use std::path::Path;

use capctl::caps::{Cap, CapState, ambient, bounding, cap_set_ids};
use capctl::prctl::{set_dumpable, set_no_new_privs};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible as _, NetPort, PathBeneath, PathFd,
    Ruleset, RulesetAttr as _, RulesetCreatedAttr as _, RulesetStatus, Scope,
};
use serde::{Deserialize, Serialize};

/// A user and a group by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
}

/// Becomes another user and gives every right away. Only for a process with one thread: rights are a thread's.
///
/// # Errors
/// Those of the system, and 0 as user or group.
pub fn become_user(user: User) -> io::Result<()> {
    if user.uid == 0 || user.gid == 0 {
        let words = "the lender does not run as root; name another user and group";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, words));
    }
    for cap in Cap::iter() {
        if bounding::read(cap) == Some(true) {
            bounding::drop(cap).map_err(failed)?;
        }
    }
    bounding::clear_unknown().map_err(failed)?;
    cap_set_ids(Some(user.uid), Some(user.gid), Some(&[])).map_err(failed)?;
    give_away()
}

/// Gives every right away that the process has.
///
/// # Errors
/// Those of the system.
pub fn give_away() -> io::Result<()> {
    if ambient::is_supported() {
        ambient::clear().map_err(failed)?;
    }
    CapState::empty().set_current().map_err(failed)?;
    set_no_new_privs().map_err(failed)?;
    // Its key is in its memory.
    set_dumpable(false).map_err(failed)
}

fn failed(error: capctl::Error) -> io::Error {
    io::Error::from_raw_os_error(error.code())
}

/// Shuts the process, and every thread that it begins, into folders and ports: what it writes to, what it reads, and where it listens. False where the kernel
/// lacks a part without which objects could not be placed: then nothing is shut.
///
/// # Errors
/// A folder cannot be opened, or the kernel refuses.
pub fn shut(writes: &[&Path], reads: &[&Path], ports: &[u16]) -> io::Result<bool> {
    // Of ABI 1 links from one folder into another are refused, whatever a rule says.
    let asked = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    if asked.handle_access(AccessFs::from_all(ABI::V2)).is_err() {
        return Ok(false);
    }
    let own: BitFlags<AccessFs> = AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::MakeDir
        | AccessFs::MakeReg
        | AccessFs::Refer
        | AccessFs::Truncate;
    let open = |path: &Path| PathFd::new(path).map_err(io::Error::other);
    let refused = |cause: landlock::RulesetError| io::Error::other(format!("landlock: {cause}"));
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(ABI::V5))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(ABI::V5)))
        .and_then(|rules| rules.scope(Scope::from_all(ABI::V6)))
        .and_then(Ruleset::create)
        .map_err(refused)?;
    for path in writes {
        rules = rules.add_rule(PathBeneath::new(open(path)?, own)).map_err(refused)?;
    }
    for path in reads {
        let looks = AccessFs::ReadFile | AccessFs::ReadDir;
        rules = rules.add_rule(PathBeneath::new(open(path)?, looks)).map_err(refused)?;
    }
    for port in ports {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::BindTcp)).map_err(refused)?;
    }
    let status = rules.restrict_self().map_err(refused)?;
    Ok(status.ruleset != RulesetStatus::NotEnforced)
}
