//! The door's process: its program, its user, its folders, its start, and its replacement by a newer one (X-70).
//!
//! The door outlives the agent: it has a session of its own, and serves the document that it keeps. The agent follows it on a thread of its own, starts a
//! dead one again at once, and wakes the loop when the door has done what a step waits for. Nothing of root is written into folders that the door's user
//! could change.
//!
//! ```text
//! STATE/door/document.json   the door's: the document that it serves
//!       door-user.json       its user and group
//!       door-start.json      the file of its start
//!       door.log             what it says on its standard error
//!       authority/           own authority for names of the house, of root alone
//!       certificates/        chains and keys that the door's group can read
//! RUN/certificates/          chains and keys of certificates by ACME, made again by each start of the agent
//! RUN/door/socket            its control socket
//!     door-program           path of the program that was started last
//! ```

mod certificates;
mod keeping;
pub(crate) mod user;
pub(crate) mod x509;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use openmesh_door::privileges::User;
use openmesh_door::start::Start;
use openmesh_xnode::door::document::Places;
use openmesh_xnode::door::{Carrier, Certificates};
use openmesh_xnode::{Machine, marks};

pub use certificates::{Cabinet, Maker};
pub(crate) use certificates::{house_renews_at, is_public};
pub use keeping::watch;

use crate::acme::Issuer;
use crate::error::AgentError;
use crate::programs;
use crate::settings::{DoorPorts, Settings};

/// File of the kernel with addresses of IPv6; there where it has IPv6.
const IPV6: &str = "/proc/net/if_inet6";
/// Size at which the log begins anew, bytes: the door says a line for each start that fails.
const LOG_BYTES_MAX: u64 = 1 << 20;
/// Last bytes of the log that tell why a door has ended.
const LAST_WORDS_BYTES: usize = 500;

/// The door's process.
#[derive(Debug)]
pub struct Keeper {
    program: PathBuf,
    start: PathBuf,
    log: PathBuf,
    /// Note of the program that was started last.
    started: PathBuf,
    user: User,
    cabinet: Arc<Cabinet>,
}

/// The certificates as the machine asks for them.
struct Shared(Arc<Cabinet>);

impl Certificates for Shared {
    fn of(&self, names: &BTreeSet<String>) -> Vec<openmesh_door::document::Certificate> {
        self.0.of(names)
    }

    fn challenges(&self, names: &BTreeSet<String>) -> BTreeMap<String, openmesh_door::document::Challenge> {
        self.0.challenges(names)
    }
}

/// Prepares the door of an agent, and gives it to the machine; none where there is no program of one.
///
/// # Errors
/// The program, its user or its folders cannot be made ready.
pub fn open(
    settings: &Settings,
    machine: &Machine,
    first_id: u32,
    issuer: Arc<Issuer>,
) -> Result<Option<Keeper>, AgentError> {
    let Some(program) = programs::install_door(&settings.programs, &machine.paths.programs())? else { return Ok(None) };
    let (state, run) = (&settings.state, &settings.run);
    let user = user::choose(&state.join(user::DOOR_NOTE), first_id, &state.join(user::LENDER_NOTE))?;
    let (own_state, own_run) = (state.join("door"), run.join("door"));
    for folder in [&own_state, &own_run] {
        make_own(folder, user).map_err(AgentError::file("making", folder))?;
    }
    let start = Start {
        socket: own_run.join("socket"),
        document: own_state.join("document.json"),
        user: Some(user),
        session: true,
    };
    let file = state.join("door-start.json");
    let text = serde_json::to_vec(&start).unwrap_or_default();
    marks::replace(&file, &text).map_err(AgentError::file("writing", &file))?;
    let kept = openmesh_xnode::door::kept(&start.document);
    let cabinet = Arc::new(Cabinet::open((state, run), user.gid, node(), kept.as_ref(), issuer)?);
    let shared = Box::new(Shared(cabinet.clone()));
    // A machine that has one already keeps it.
    let _ = machine.doors.set(Carrier::new(start.socket, start.document, places(settings.door_ports), shared));
    let (log, started) = (state.join("door.log"), run.join("door-program"));
    Ok(Some(Keeper { program, start: file, log, started, user, cabinet }))
}

/// Name of the machine, for the root of its authority.
pub(crate) fn node() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "Xnode".into() } else { name.trim().into() }
}

/// Addresses for domains: every one of the machine, of both families where it has both.
fn places(ports: DoorPorts) -> Places {
    let both_families = Path::new(IPV6).exists();
    let at = |port: u16| {
        let v6 = both_families.then_some(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)));
        [SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))].into_iter().chain(v6).collect::<Vec<_>>()
    };
    Places { http: at(ports.http), https: at(ports.https), both_families }
}

/// Makes a folder of the door's user, in one of root.
fn make_own(folder: &Path, user: User) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    chown(folder, Some(user.uid), Some(user.gid))?;
    fs::set_permissions(folder, Permissions::from_mode(0o700))
}

impl Keeper {
    /// Its program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Its user.
    pub fn user(&self) -> User {
        self.user
    }

    /// Its certificates.
    pub fn cabinet(&self) -> &Cabinet {
        &self.cabinet
    }

    /// Starts the program. One that serves already hands its listeners over.
    fn begin(&self) -> io::Result<Child> {
        let is_long = fs::metadata(&self.log).is_ok_and(|about| about.len() > LOG_BYTES_MAX);
        let log = OpenOptions::new()
            .create(true)
            .append(!is_long)
            .write(true)
            .truncate(is_long)
            .mode(0o600)
            .open(&self.log)?;
        let mut command = Command::new(&self.program);
        command.arg(&self.start).env_clear().current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn()?;
        marks::replace(&self.started, self.program.as_os_str().as_encoded_bytes())?;
        Ok(child)
    }

    /// Returns true where the door that runs was started from another program.
    fn is_old(&self) -> bool {
        fs::read(&self.started).is_ok_and(|path| path != self.program.as_os_str().as_encoded_bytes())
    }

    /// End of its log.
    fn last_words(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let end = text.get(text.len().saturating_sub(LAST_WORDS_BYTES)..).unwrap_or_default();
        let line = String::from_utf8_lossy(end).lines().next_back().unwrap_or("it said nothing").to_string();
        line.trim_start_matches("openmesh-door: ").to_string()
    }
}
