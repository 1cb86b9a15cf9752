//! Rights of the process: a user of its own, `CAP_NET_BIND_SERVICE` and nothing else, and no way back.

use std::io;

use capctl::caps::{Cap, CapSet, CapState, ambient, bounding, cap_set_ids};
use capctl::prctl::{set_dumpable, set_no_new_privs};
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

/// Becomes another user and gives all rights away but that of binding ports below 1,024. Only for a process with one thread: rights are a thread's.
///
/// # Errors
/// Those of the system, and 0 as user or group.
pub fn become_user(user: User) -> io::Result<()> {
    if user.uid == 0 || user.gid == 0 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the door does not run as root; name another user and group",
        ));
    }
    for cap in Cap::iter().filter(|cap| *cap != Cap::NET_BIND_SERVICE) {
        if bounding::read(cap) == Some(true) {
            bounding::drop(cap).map_err(failed)?;
        }
    }
    bounding::clear_unknown().map_err(failed)?;
    cap_set_ids(Some(user.uid), Some(user.gid), Some(&[])).map_err(failed)?;
    keep_only_binding()
}

/// Gives all rights away but that of binding ports below 1,024, where the process has it.
///
/// # Errors
/// Those of the system.
pub fn keep_only_binding() -> io::Result<()> {
    let has = CapState::get_current().map_err(failed)?.permitted.has(Cap::NET_BIND_SERVICE);
    let mut kept = CapSet::empty();
    if has {
        kept.add(Cap::NET_BIND_SERVICE);
    }
    if ambient::is_supported() {
        ambient::clear().map_err(failed)?;
    }
    let state = CapState { effective: kept, permitted: kept, inheritable: CapSet::empty() };
    state.set_current().map_err(failed)?;
    set_no_new_privs().map_err(failed)?;
    // Keys of certificates are in its memory.
    set_dumpable(false).map_err(failed)
}

fn failed(error: capctl::Error) -> io::Error {
    io::Error::from_raw_os_error(error.code())
}
