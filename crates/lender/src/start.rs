//! The start of a lender, from its own file to its end (B-80).

use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::Builder;
use std::time::{Duration, Instant};

use openmesh_backup::NodeKey;
use openmesh_backup::peer::line::Lender;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::effects::free;
use crate::files;
use crate::house::House;
use crate::limits::{LEAVE, LOCK, LOOK};
use crate::loans::{Loans, RunOnly};
use crate::privileges::{User, become_user, give_away, shut};
use crate::report::Report;
use crate::talk::serve;

/// Marker of a folder of guests. Where it is missing the disk is not mounted.
pub const MARKER: &str = "openmesh-lender";
/// Lock in the lender's own folder, held as long as it lives.
pub const LOCK_FILE: &str = "lock";
/// Note of the lender's days in its own folder.
const DAYS_FILE: &str = "days.json";
/// Pause between two tries for the lock.
const AGAIN: Duration = Duration::from_millis(50);
/// Time without a file of loans after which the lender leaves: its agent was removed.
const ALONE: Duration = Duration::from_secs(10);

/// The file of a start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// Name of this start. A lender leaves when the file of loans names another one.
    pub run: String,
    /// Folder of the guests' objects, the lender's user's.
    pub guests: PathBuf,
    /// That folder was used before: without its marker nothing is made there.
    pub known: bool,
    /// Folder of the lender's own notes, its user's.
    pub own: PathBuf,
    /// File of the report, in a folder of the lender's user.
    pub report: PathBuf,
    /// File of loans, of the agent, which the lender's user can read.
    pub loans: PathBuf,
    /// File with the secret key, read before rights are given away.
    pub key: PathBuf,
    /// Addresses to listen at; port 0 takes a free one, which then stands in the report.
    pub listen: Vec<SocketAddr>,
    /// User that the lender becomes. Without it, it stays what it is; root is refused.
    #[serde(default)]
    pub user: Option<User>,
    /// It begins a session of its own: it outlives the terminal and the process group of whoever starts it.
    #[serde(default)]
    pub session: bool,
}

/// Error of a start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file or folder.
    #[error("{doing} {}: {cause}", path.display())]
    File {
        /// The act, as a verb in -ing form.
        doing: &'static str,
        /// Its object.
        path: PathBuf,
        /// The system's word.
        cause: io::Error,
    },
    /// A key file without a key.
    #[error("{} holds no key of a machine", path.display())]
    Key {
        /// The file.
        path: PathBuf,
    },
    /// Rights that cannot be given away.
    #[error("cannot give rights away: {0}")]
    Privileges(io::Error),
    /// Another lender of this agent.
    #[error("another lender holds {}, and has not left", path.display())]
    Locked {
        /// The lock.
        path: PathBuf,
    },
    /// A folder of guests without its marker.
    #[error("{} does not hold the objects of guests any more; mount its disk", path.display())]
    Unmounted {
        /// The folder.
        path: PathBuf,
    },
    /// The state of the lender.
    #[error("cannot start: {0}")]
    House(io::Error),
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StartError + use<> {
    let path = path.to_path_buf();
    move |cause| StartError::File { doing, path, cause }
}

/// Reads the file of a start.
///
/// # Errors
/// [`StartError::File`].
pub fn read(path: &Path) -> Result<Start, StartError> {
    files::read(path).map_err(failed("reading", path))
}

/// Closes what whoever started this program has left open beyond the three standard streams: it would be held as long as this process lives. For the
/// beginning of a program, before anything of its own is open.
///
/// # Errors
/// The list of what is open cannot be read.
pub fn close_inherited() -> io::Result<()> {
    let open = fs::read_dir("/proc/self/fd")?.flatten();
    let numbers: Vec<i32> = open.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for number in numbers.into_iter().filter(|number| *number > 2) {
        // That of the list itself is closed already.
        let _ = nix::unistd::close(number);
    }
    Ok(())
}

/// Runs a lender until it leaves. The process has one thread before this.
///
/// # Errors
/// [`StartError`], all before anybody is answered.
pub fn run(start: &Start) -> Result<(), StartError> {
    if start.session {
        // Refused where the process leads a group already, which then is its own.
        let _ = rustix::process::setsid();
    }
    let text = fs::read_to_string(&start.key).map_err(failed("reading", &start.key))?;
    let key: NodeKey = text.trim().parse().map_err(|_| StartError::Key { path: start.key.clone() })?;
    match start.user {
        Some(user) => become_user(user),
        None if rustix::process::geteuid().is_root() => {
            Err(io::Error::other("`user` is missing, and the lender does not run as root"))
        }
        None => give_away(),
    }
    .map_err(StartError::Privileges)?;
    let _lock = take_lock(&start.own.join(LOCK_FILE))?;
    check_marker(start)?;
    let folder_of = |path: &Path| path.parent().map_or(PathBuf::from("/"), Path::to_path_buf);
    let (reports, told) = (folder_of(&start.report), folder_of(&start.loans));
    let ports: Vec<u16> = start.listen.iter().map(SocketAddr::port).collect();
    let writes = [start.guests.as_path(), start.own.as_path(), reports.as_path()];
    let is_shut = shut(&writes, &[told.as_path()], &ports).map_err(StartError::Privileges)?;
    let opened = Lender::new(&key).and_then(|tls| House::open(&start.guests, tls, &start.own.join(DAYS_FILE), free()));
    let house = opened.map_err(StartError::House)?;
    Watch::new(start, Arc::new(house), is_shut).keep();
    Ok(())
}

/// Takes the lock, also from a lender that is about to leave.
fn take_lock(path: &Path) -> Result<File, StartError> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path);
    let file = file.map_err(failed("opening", path))?;
    let begun = Instant::now();
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if begun.elapsed() < LOCK => std::thread::sleep(AGAIN),
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(StartError::Locked { path: path.into() }),
            Err(errno) => return Err(failed("locking", path)(errno.into())),
        }
    }
}

/// Holds the folder of guests against its marker, and makes that in a fresh one.
fn check_marker(start: &Start) -> Result<(), StartError> {
    let marker = start.guests.join(MARKER);
    match marker.try_exists().map_err(failed("looking at", &marker))? {
        true => Ok(()),
        false if start.known => Err(StartError::Unmounted { path: start.guests.clone() }),
        false => files::replace(&marker, &1).map_err(failed("making", &marker)),
    }
}

/// The main thread of a lender: it hears of other loans, cares, and reports.
struct Watch<'a> {
    start: &'a Start,
    house: Arc<House>,
    is_shut: bool,
    /// Addresses at which nobody listens yet, with the cause.
    waits: Vec<(SocketAddr, String)>,
    listens: Vec<SocketAddr>,
    /// The file of loans as it was read last: its number, length and time of change.
    read: Option<(u64, u64, i64, i64)>,
    /// Fault of the file of loans.
    fault: Option<String>,
    /// Moment at which the file of loans was there.
    there: Instant,
    told: Report,
}

impl<'a> Watch<'a> {
    fn new(start: &'a Start, house: Arc<House>, is_shut: bool) -> Watch<'a> {
        let waits = start.listen.iter().map(|address| (*address, String::new())).collect();
        let (listens, told) = (Vec::new(), Report::default());
        Watch { start, house, is_shut, waits, listens, read: None, fault: None, there: Instant::now(), told }
    }

    fn keep(&mut self) {
        while self.hears() {
            self.listen();
            self.house.tend();
            self.report();
            std::thread::sleep(LOOK);
        }
        self.house.leave();
        let begun = Instant::now();
        while self.house.is_busy() && begun.elapsed() < LEAVE {
            std::thread::sleep(AGAIN);
        }
    }

    /// Reads the file of loans where it has changed. False where it is for another start, or has been gone for long.
    fn hears(&mut self) -> bool {
        let path = &self.start.loans;
        let Ok(about) = fs::metadata(path) else { return self.there.elapsed() < ALONE };
        self.there = Instant::now();
        let seen = Some((about.ino(), about.len(), about.mtime(), about.mtime_nsec()));
        if self.read == seen {
            return true;
        }
        match files::read::<Loans>(path) {
            Ok(loans) if loans.run != self.start.run => return false,
            Ok(loans) => match loans.fault() {
                Some(fault) => self.fault = Some(fault),
                None => {
                    self.fault = None;
                    self.house.configure(loans);
                }
            },
            // One of another version: it says at least for whom it is.
            Err(_) if files::read::<RunOnly>(path).is_ok_and(|other| other.run != self.start.run) => return false,
            Err(cause) => self.fault = Some(cause.to_string()),
        }
        self.read = seen;
        true
    }

    /// Listens where nobody does yet.
    fn listen(&mut self) {
        let mut waits = Vec::new();
        for (address, _) in std::mem::take(&mut self.waits) {
            let house = self.house.clone();
            let begun = TcpListener::bind(address).and_then(|listener| {
                let bound = listener.local_addr()?;
                Builder::new().name("listens".into()).spawn(move || serve(&house, &listener))?;
                Ok(bound)
            });
            match begun {
                Ok(bound) => self.listens.push(bound),
                Err(cause) => waits.push((address, cause.to_string())),
            }
        }
        self.waits = waits;
    }

    /// Writes the report where something of it has changed. One that cannot be written is written the next time.
    fn report(&mut self) {
        let waits = self.waits.iter().map(|(address, cause)| format!("it cannot listen at {address}: {cause}"));
        let fault = self.fault.iter().map(|fault| format!("the file of loans is not taken: {fault}"));
        let report = Report {
            run: self.start.run.clone(),
            pid: std::process::id(),
            landlock: self.is_shut,
            listens: self.listens.iter().map(ToString::to_string).collect(),
            troubles: waits.chain(fault).collect(),
            day: self.house.today(),
            loans: self.house.reports(),
        };
        if report != self.told && files::replace(&self.start.report, &report).is_ok() {
            self.told = report;
        }
    }
}
