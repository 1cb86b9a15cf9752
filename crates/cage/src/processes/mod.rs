//! Processes of a control group at one moment, as the kernel shows them.
//!
//! [`look`] reads files of `/proc`; what is in them is told by pure functions. Processes come and go while they are read, and nothing is stopped for it: one counts
//! that had the same start before and after its files were read, and that was in the group when the last one was. So a number that another process has by now shows
//! nothing of that one.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::cgroup::{CgroupError, Group};

mod texts;

pub use texts::State;

/// Processes that are read within one [`Bounds`]: the limit of an instance is 512 without a word of its document.
pub const PROCESSES_MAX: usize = 4_096;
/// Bytes of a command line that are read: what a screen shows, many times over.
pub const COMMAND_BYTES_MAX: usize = 4 << 10;
/// Resident memory of a process up to which its part of shared pages is asked for, bytes: the kernel walks all of its pages for that.
const SHARE_BYTES_MAX: u64 = 256 << 20;
/// Time within one [`Bounds`] in which that is asked for: the mappings of a process stand still meanwhile.
const SHARE_MAX: Duration = Duration::from_millis(100);
/// Time within one [`Bounds`], after which no further process is read.
const LOOK_MAX: Duration = Duration::from_secs(2);
/// File of the time since the machine's start.
const UPTIME: &str = "/proc/uptime";

/// Length of the kernel's clock tick, milliseconds. Source: `USER_HZ`, 100 on every processor for which there is a filter of system calls.
pub const TICK_MS: u64 = 10;

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number on the host.
    pub pid: u32,
    /// Its start, ticks since the machine's: with its number it names one process.
    pub start_ticks: u64,
    /// Number of its parent on the host.
    pub parent: u32,
    /// Its number in its instance; none as long as a driver is still bringing it in.
    pub pid_inside: Option<u32>,
    /// Its effective user in its instance; none where that is none of its ids, or as above.
    pub user_inside: Option<u32>,
    /// Its state.
    pub state: State,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// Its processor time, ticks.
    pub cpu_ticks: u64,
    /// Its resident memory, bytes.
    pub resident_bytes: u64,
    /// Its memory with shared pages divided among those who have them, bytes; none where that was not asked for.
    pub share_bytes: Option<u64>,
    /// Its threads.
    pub threads: u64,
    /// Its arguments, each with a NUL behind it.
    pub command: Vec<u8>,
    /// There is more than [`COMMAND_BYTES_MAX`] of them.
    pub is_cut: bool,
}

/// Processes of a group at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Time since the machine's start, milliseconds.
    pub uptime_ms: u64,
    /// Processes by number.
    pub processes: Vec<Process>,
    /// Processes that were not read: beyond [`PROCESSES_MAX`], or for want of time.
    pub left_out: u64,
}

/// Bounds of looks at several groups for one answer: of all together, so that many instances cost no more than one.
#[derive(Clone, Debug)]
pub struct Bounds {
    begun: Instant,
    left: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { begun: Instant::now(), left: PROCESSES_MAX }
    }
}

/// Looks at the processes of a group and of the groups below it; none where it is not there.
///
/// # Errors
/// The group or the time since the start cannot be read. A process that ends meanwhile is no error.
pub fn look(group: &Group, bounds: &mut Bounds) -> Result<Look, CgroupError> {
    let uptime_ms = uptime_ms()?;
    let (mut processes, mut left_out) = (Vec::new(), 0);
    for pid in group.processes()? {
        let elapsed = bounds.begun.elapsed();
        match bounds.left.checked_sub(1).filter(|_| elapsed < LOOK_MAX) {
            Some(left) => {
                bounds.left = left;
                processes.extend(read(pid, elapsed < SHARE_MAX));
            }
            None => left_out += 1,
        }
    }
    let members = group.processes()?;
    processes.retain(|process: &Process| members.contains(&process.pid));
    Ok(Look { uptime_ms, processes, left_out })
}

fn uptime_ms() -> Result<u64, CgroupError> {
    let path = Path::new(UPTIME);
    let failed = |cause| CgroupError::Io { path: path.into(), action: "read", cause };
    let text = fs::read_to_string(path).map_err(failed)?;
    let malformed = || CgroupError::Malformed { path: path.into(), text: text.clone(), expected: "time in seconds" };
    texts::uptime_ms(&text).ok_or_else(malformed)
}

/// Reads a process; none where it has ended, or another one has its number by now.
fn read(pid: u32, asks_share: bool) -> Option<Process> {
    let folder = PathBuf::from(format!("/proc/{pid}"));
    let stat = texts::stat(&text(&folder, "stat")?)?;
    let status = texts::status(&text(&folder, "status")?)?;
    let (command, is_cut) = command(&folder)?;
    let map = || text(&folder, "uid_map");
    let user_inside = status.pid_inside.and_then(|_| texts::user_inside(&map()?, status.user));
    let asks = asks_share && (1..=SHARE_BYTES_MAX).contains(&status.resident_bytes);
    // Kernels before 4.14 have no such file.
    let share_bytes = asks.then(|| text(&folder, "smaps_rollup")).flatten().and_then(|text| texts::share_bytes(&text));
    let again = texts::stat(&text(&folder, "stat")?)?;
    (again.start_ticks == stat.start_ticks).then_some(Process {
        pid,
        start_ticks: stat.start_ticks,
        parent: stat.parent,
        pid_inside: status.pid_inside,
        user_inside,
        state: stat.state,
        name: stat.name,
        cpu_ticks: stat.cpu_ticks,
        resident_bytes: status.resident_bytes,
        share_bytes,
        threads: stat.threads,
        command,
        is_cut,
    })
}

/// Text of a file of a process. Its name can hold any bytes, and hides it from nobody.
fn text(folder: &Path, file: &str) -> Option<String> {
    fs::read(folder.join(file)).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn command(folder: &Path) -> Option<(Vec<u8>, bool)> {
    let mut bytes = Vec::new();
    let file = File::open(folder.join("cmdline")).ok()?;
    file.take(COMMAND_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).ok()?;
    let is_cut = bytes.len() > COMMAND_BYTES_MAX;
    bytes.truncate(COMMAND_BYTES_MAX);
    Some((bytes, is_cut))
}
