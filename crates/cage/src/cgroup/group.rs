//! One instance's group: made, limited, read, frozen, killed, removed.
//!
//! Every effect is idempotent: what is made already, thawed already or gone already is fine. Nothing outside of the group's own folders is touched,
//! except that controllers are switched on for children of the v2 root and of the agent's group.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::files::{self, Write};
use super::usage::value_of;
use super::{CgroupError, Controller, Layout, Usage};
use crate::config::Resources;
use crate::instance::GroupPath;
use crate::{Door, through};

/// Time for a group to become frozen, thawed or empty, milliseconds: a process can be within a slow system call.
pub const CHANGE_MS_MAX: u64 = 10_000;
/// Time for a group to become frozen before its processes are killed, milliseconds. It only keeps them from making new ones meanwhile; a group with a thread
/// within `execve` stays on its way there on v1.
const KILL_FREEZE_MS_MAX: u64 = 500;
/// Time for a whole group to end, milliseconds, where new processes come as fast as others are killed.
const KILL_MS_MAX: u64 = 60_000;
/// Pause before those are killed again that should have ended, milliseconds: a number can be that of a new process of the group.
const KILL_AGAIN_MS: u64 = 1_000;
/// Pause between looks at a group, milliseconds. The kernel has no event for it on v1, and none for a group that is to be removed.
const LOOK_MS: u64 = 2;
/// Largest file of a group that is read, bytes: `cgroup.procs` with four million processes.
const FILE_BYTES_MAX: u64 = 32 << 20;
/// Depth of groups below an instance's: what it makes there itself in its own cgroup namespace is removed with it.
const DEPTH_MAX: usize = 32;

/// Group of an instance.
#[derive(Clone, Debug)]
pub struct Group {
    layout: Layout,
    path: GroupPath,
}

impl Group {
    /// The group with a path, made or not.
    pub fn new(layout: Layout, path: GroupPath) -> Group {
        Group { layout, path }
    }

    /// Hierarchies.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Its folder below a hierarchy.
    fn below(&self, root: &Path) -> PathBuf {
        root.join(self.path.parent()).join(&self.path.instance)
    }

    /// Its folder with the files of a controller.
    pub fn folder(&self, controller: Controller) -> PathBuf {
        self.below(self.layout.root(controller).unwrap_or(Path::new("/")))
    }

    /// Its folders in every hierarchy of which this crate uses something.
    fn folders(&self) -> BTreeSet<PathBuf> {
        let mut roots: BTreeSet<&Path> = Controller::ALL.iter().filter_map(|c| self.layout.root(*c)).collect();
        roots.extend(self.layout.unified());
        roots.into_iter().map(|root| self.below(root)).collect()
    }

    /// Files with a line `oom_kill N`, for the shim.
    pub fn oom_file(&self) -> PathBuf {
        let name = match self.layout {
            Layout::V1 { .. } => "memory.oom_control",
            Layout::V2 { .. } => "memory.events",
        };
        self.folder(Controller::Memory).join(name)
    }

    /// Returns true where it is there in every hierarchy that is used.
    pub fn exists(&self) -> bool {
        self.folders().iter().all(|folder| folder.is_dir())
    }

    /// Makes it, and the agent's group above it.
    ///
    /// # Errors
    /// A folder cannot be made, or on v2 a controller not be switched on.
    pub fn make(&self, door: Door<'_>) -> Result<(), CgroupError> {
        for folder in self.folders() {
            let parent = folder.parent().unwrap_or(Path::new("/")).to_path_buf();
            for made in [&parent, &folder] {
                if let (Layout::V2 { .. }, Some(above)) = (&self.layout, made.parent()) {
                    self.switch_on(above, door)?;
                }
                through(door, "cgroup.make", || match std::fs::create_dir(made) {
                    Err(cause) if cause.kind() != ErrorKind::AlreadyExists => Err(cause),
                    _ => Ok(()),
                })
                .map_err(CgroupError::io(made, "made"))?;
            }
        }
        Ok(())
    }

    /// Switches the controllers on for the children of a v2 group.
    fn switch_on(&self, above: &Path, door: Door<'_>) -> Result<(), CgroupError> {
        let path = above.join("cgroup.subtree_control");
        let on = read(&path)?.unwrap_or_default();
        let missing = |controller: &&Controller| !on.split_whitespace().any(|name| name == controller.name());
        let wanted: Vec<String> =
            Controller::UNIFIED.iter().filter(missing).map(|controller| format!("+{}", controller.name())).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        through(door, "cgroup.switch_on", || std::fs::write(&path, wanted.join(" ")))
            .map_err(CgroupError::io(&path, "written"))
    }

    /// Writes limits. They hold for what runs already, so a limit can change without a restart.
    ///
    /// # Errors
    /// The kernel refuses one, as a memory limit below what is in use and cannot be taken back.
    pub fn limit(&self, resources: &Resources, door: Door<'_>) -> Result<(), CgroupError> {
        self.write_all(&files::limits(&self.layout, resources), door)
    }

    /// Writes rules for devices; nothing on v2.
    ///
    /// # Errors
    /// The kernel refuses one.
    pub fn devices(&self, resources: &Resources, door: Door<'_>) -> Result<(), CgroupError> {
        self.write_all(&files::devices(&self.layout, resources), door)
    }

    fn write_all(&self, writes: &[Write], door: Door<'_>) -> Result<(), CgroupError> {
        for write in writes {
            let path = self.folder(write.controller).join(write.file);
            let written = through(door, "cgroup.write", || match std::fs::write(&path, &write.text) {
                Err(_) if write.optional => Ok(()),
                written => written,
            });
            written.map_err(CgroupError::io(&path, "written"))?;
        }
        Ok(())
    }

    /// Puts a process into it, in every hierarchy that is used.
    ///
    /// # Errors
    /// There is no such process, or the group is full.
    pub fn add(&self, pid: u32, door: Door<'_>) -> Result<(), CgroupError> {
        for folder in self.folders() {
            let path = folder.join("cgroup.procs");
            through(door, "cgroup.add", || std::fs::write(&path, pid.to_string()))
                .map_err(CgroupError::io(&path, "written"))?;
        }
        Ok(())
    }

    /// Files by which a process enters it, one for each hierarchy of the machine in which it is: a driver makes it in all of them.
    pub fn member_files(&self) -> Vec<PathBuf> {
        let files = self.layout.roots().into_iter().map(|root| self.below(root).join("cgroup.procs"));
        files.filter(|file| file.exists()).collect()
    }

    /// Its figures; none where it is not there.
    ///
    /// # Errors
    /// A file is not readable or not of its form.
    pub fn usage(&self) -> Result<Option<Usage>, CgroupError> {
        if !self.folder(Controller::Memory).is_dir() {
            return Ok(None);
        }
        let below = Path::new(&self.path.parent()).join(&self.path.instance);
        match Usage::read(&self.layout, &below, &|path| read(path)) {
            // It went while it was read.
            Err(_) if !self.folder(Controller::Memory).is_dir() => Ok(None),
            read => read.map(Some),
        }
    }

    /// Numbers of its processes and those of the groups below it, of every hierarchy: one whose maker died may have entered some of them only.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn processes(&self) -> Result<BTreeSet<u32>, CgroupError> {
        let mut found = BTreeSet::new();
        for folder in self.layout.roots().into_iter().flat_map(|root| tree(&self.below(root))) {
            let text = read(&folder.join("cgroup.procs"))?.unwrap_or_default();
            found.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()).filter(|pid| *pid != 0));
        }
        Ok(found)
    }

    /// Returns true where it is frozen or about to be.
    ///
    /// # Errors
    /// Its file cannot be read.
    pub fn frozen(&self) -> Result<bool, CgroupError> {
        let folder = self.folder(Controller::Freezer);
        Ok(match self.layout {
            Layout::V1 { .. } => read(&folder.join("freezer.state"))?.is_some_and(|text| text.trim() != "THAWED"),
            Layout::V2 { .. } => read(&folder.join("cgroup.freeze"))?.is_some_and(|text| text.trim() == "1"),
        })
    }

    /// Stops every process of it, and waits until all have stopped. They notice nothing.
    ///
    /// # Errors
    /// Some do not stop within [`CHANGE_MS_MAX`]: it is thawed again then.
    pub fn freeze(&self, door: Door<'_>) -> Result<(), CgroupError> {
        let done = self.set_frozen(true, CHANGE_MS_MAX, door);
        if matches!(done, Err(CgroupError::Late { .. })) {
            self.thaw(door)?;
        }
        done
    }

    /// Lets every process go on.
    ///
    /// # Errors
    /// Its file cannot be written.
    pub fn thaw(&self, door: Door<'_>) -> Result<(), CgroupError> {
        self.set_frozen(false, CHANGE_MS_MAX, door)
    }

    fn set_frozen(&self, frozen: bool, ms_max: u64, door: Door<'_>) -> Result<(), CgroupError> {
        let folder = self.folder(Controller::Freezer);
        let (name, text) = match (&self.layout, frozen) {
            (Layout::V1 { .. }, true) => ("freezer.state", "FROZEN"),
            (Layout::V1 { .. }, false) => ("freezer.state", "THAWED"),
            (Layout::V2 { .. }, true) => ("cgroup.freeze", "1"),
            (Layout::V2 { .. }, false) => ("cgroup.freeze", "0"),
        };
        let path = folder.join(name);
        let effect = if frozen { "cgroup.freeze" } else { "cgroup.thaw" };
        through(door, effect, || std::fs::write(&path, text)).map_err(CgroupError::io(&path, "written"))?;
        let reached = || {
            Ok(match self.layout {
                Layout::V1 { .. } => read(&path)?.is_some_and(|now| now.trim() == text),
                Layout::V2 { .. } => {
                    let events = read(&folder.join("cgroup.events"))?.unwrap_or_default();
                    value_of(&events, "frozen") == Some(text)
                }
            })
        };
        self.wait(if frozen { "frozen" } else { "thawed" }, ms_max, reached)
    }

    /// Ends every process of it, frozen or not, and waits until it is empty. On v2 in one stroke, else one by one, each by a descriptor that can mean no
    /// other process; they are frozen meanwhile where that can be, so that they make no new ones.
    ///
    /// # Errors
    /// Some do not end within [`CHANGE_MS_MAX`] of the last one that was killed.
    pub fn kill_all(&self, door: Door<'_>) -> Result<(), CgroupError> {
        let kill = match self.layout {
            Layout::V1 { .. } => None,
            Layout::V2 { .. } => Some(self.folder(Controller::Pids).join("cgroup.kill")).filter(|path| path.exists()),
        };
        if let Some(path) = kill {
            through(door, "cgroup.kill", || std::fs::write(&path, "1")).map_err(CgroupError::io(&path, "written"))?;
            return self.wait("empty", CHANGE_MS_MAX, || Ok(self.processes()?.is_empty()));
        }
        let begun = Instant::now();
        let (mut last, mut tried, mut killed) = (begun, begun, BTreeSet::new());
        loop {
            let there = self.processes()?;
            if there.is_empty() {
                return Ok(());
            }
            let more = !there.is_subset(&killed);
            if more || tried.elapsed() > Duration::from_millis(KILL_AGAIN_MS) {
                killed.extend(self.kill_once(door)?);
                tried = Instant::now();
                last = if more { tried } else { last };
            }
            let late = last.elapsed() > Duration::from_millis(CHANGE_MS_MAX);
            if late || begun.elapsed() > Duration::from_millis(KILL_MS_MAX) {
                return Err(self.late("empty", if late { CHANGE_MS_MAX } else { KILL_MS_MAX })?);
            }
            std::thread::sleep(Duration::from_millis(LOOK_MS));
        }
    }

    /// Kills those that are in it now, and returns their numbers.
    fn kill_once(&self, door: Door<'_>) -> Result<BTreeSet<u32>, CgroupError> {
        // Those that cannot be frozen in time are killed all the same; a creation that died may have made no such group yet.
        let freezer = self.folder(Controller::Freezer);
        let freezes = freezer.is_dir();
        if freezes {
            match self.set_frozen(true, KILL_FREEZE_MS_MAX, door) {
                Err(error) if freezer.is_dir() && !matches!(error, CgroupError::Late { .. }) => return Err(error),
                _ => {}
            }
        }
        let there = self.processes()?;
        through(door, "cgroup.kill", || there.iter().try_for_each(|pid| kill_one(*pid, &self.path)))
            .map_err(CgroupError::io(&self.folder(Controller::Pids), "killed"))?;
        if freezes && freezer.is_dir() {
            self.thaw(door)?;
        }
        Ok(there)
    }

    /// Removes it and what is below it from every hierarchy, and the agent's group when it was the last in it. Killed processes may still be on their
    /// way out: it is tried for [`CHANGE_MS_MAX`].
    ///
    /// # Errors
    /// Processes are in it, or a folder cannot be removed.
    pub fn remove(&self, door: Door<'_>) -> Result<(), CgroupError> {
        self.retire(false, door)
    }

    /// Ends every process of it and removes it, with those that enter it meanwhile: a creation whose maker died may still be on its way in.
    ///
    /// # Errors
    /// Processes do not end within [`CHANGE_MS_MAX`], or a folder cannot be removed.
    pub fn clear(&self, door: Door<'_>) -> Result<(), CgroupError> {
        self.kill_all(door)?;
        self.retire(true, door)
    }

    fn retire(&self, ending: bool, door: Door<'_>) -> Result<(), CgroupError> {
        for root in self.layout.roots() {
            let group = self.below(root);
            let folders: Vec<PathBuf> = tree(&group).into_iter().rev().collect();
            for folder in folders {
                let begun = Instant::now();
                through(door, "cgroup.remove", || retire(&folder, begun, ending.then_some(&self.path)))
                    .map_err(CgroupError::io(&folder, "removed"))?;
            }
            let parent = root.join(self.path.parent());
            let removed = through(door, "cgroup.remove_parent", || match std::fs::remove_dir(&parent) {
                // Another instance is in it, or it never was there.
                Err(cause) if matches!(cause.raw_os_error(), Some(code::EBUSY | code::ENOTEMPTY | code::ENOENT)) => {
                    Ok(())
                }
                removed => removed,
            });
            removed.map_err(CgroupError::io(&parent, "removed"))?;
        }
        Ok(())
    }

    fn wait(
        &self,
        wanted: &'static str,
        ms_max: u64,
        mut so: impl FnMut() -> Result<bool, CgroupError>,
    ) -> Result<(), CgroupError> {
        let begun = Instant::now();
        while !so()? {
            if begun.elapsed() > Duration::from_millis(ms_max) {
                return Err(self.late(wanted, ms_max)?);
            }
            std::thread::sleep(Duration::from_millis(LOOK_MS));
        }
        Ok(())
    }

    fn late(&self, wanted: &'static str, ms: u64) -> Result<CgroupError, CgroupError> {
        let left = self.processes()?.len();
        Ok(CgroupError::Late { path: self.folder(Controller::Freezer), wanted, ms, left })
    }
}

/// Names of the groups in an agent's own group, in any hierarchy: a creation or removal that died may have left one in some of them only.
///
/// # Errors
/// A folder cannot be read.
pub fn instances(layout: &Layout, agent: &str) -> Result<BTreeSet<String>, CgroupError> {
    let mut found = BTreeSet::new();
    for root in layout.roots() {
        let parent = root.join(GroupPath { agent: agent.into(), instance: String::new() }.parent());
        match std::fs::read_dir(&parent) {
            Err(cause) if cause.kind() == ErrorKind::NotFound => {}
            Err(cause) => return Err(CgroupError::io(&parent, "read")(cause)),
            Ok(entries) => found.extend(
                entries
                    .flatten()
                    .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                    .filter_map(|entry| entry.file_name().into_string().ok()),
            ),
        }
    }
    Ok(found)
}

/// Numbers of the errors that are told apart here.
mod code {
    pub const ENOENT: i32 = 2;
    pub const EBUSY: i32 = 16;
    pub const ENOTEMPTY: i32 = 39;
    pub const ENODEV: i32 = 19;
}

/// Removes one folder of a hierarchy; it stays busy for a moment after its last process was killed. Where the path of its group is given those that are in
/// it are killed.
fn retire(folder: &Path, begun: Instant, ending: Option<&GroupPath>) -> io::Result<()> {
    loop {
        match std::fs::remove_dir(folder) {
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(()),
            Err(cause) if cause.raw_os_error() != Some(code::EBUSY) => return Err(cause),
            Err(cause) if begun.elapsed() > Duration::from_millis(CHANGE_MS_MAX) => return Err(cause),
            Err(_) => {
                if let Some(group) = ending {
                    let text = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
                    let mut pids = text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid != 0);
                    pids.try_for_each(|pid| kill_one(pid, group))?;
                }
                std::thread::sleep(Duration::from_millis(LOOK_MS));
            }
            Ok(()) => return Ok(()),
        }
    }
}

/// A folder of a hierarchy and those below it, parents first; nothing where it is not there.
fn tree(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = if folder.is_dir() { vec![(folder.to_path_buf(), 0)] } else { Vec::new() };
    while let Some((folder, depth)) = waiting.pop() {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        if depth < DEPTH_MAX {
            waiting.extend(below.map(|entry| (entry.path(), depth + 1)));
        }
        found.push(folder);
    }
    found
}

/// Reads a file of a hierarchy; nothing where the file or its group is not there.
pub(crate) fn read(path: &Path) -> Result<Option<String>, CgroupError> {
    use std::io::Read as _;
    let open = std::fs::File::open(path).and_then(|file| {
        let mut text = String::new();
        file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
        Ok(text)
    });
    match open {
        Ok(text) => Ok(Some(text)),
        // A group that is removed while its file is open.
        Err(cause) if cause.raw_os_error() == Some(code::ENODEV) || cause.kind() == ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(CgroupError::io(path, "read")(cause)),
    }
}

/// Kills a process that is in a group at that moment; one that is gone is fine. Its number is from a listing and may be another process' by now: what gets the
/// signal is the process that was looked at.
fn kill_one(pid: u32, group: &GroupPath) -> io::Result<()> {
    let Some(number) = Pid::from_raw(pid.cast_signed()) else { return Ok(()) };
    let handle = match pidfd_open(number, PidfdFlags::empty()) {
        Err(Errno::SRCH) => return Ok(()),
        handle => handle?,
    };
    if !is_within(pid, group) {
        return Ok(());
    }
    match pidfd_send_signal(&handle, Signal::KILL) {
        Err(Errno::SRCH) | Ok(()) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Returns true where a process is in a group or below it, in any hierarchy. On v1 a first thread that has ended is shown in none: then the others are asked.
fn is_within(pid: u32, group: &GroupPath) -> bool {
    let holds = |folder: &Path| {
        let text = std::fs::read_to_string(folder.join("cgroup")).unwrap_or_default();
        text.lines().filter_map(|line| line.splitn(3, ':').nth(2)).any(|path| is_below(path, group))
    };
    let process = PathBuf::from(format!("/proc/{pid}"));
    let threads = || std::fs::read_dir(process.join("task")).into_iter().flatten().flatten();
    holds(&process) || threads().any(|thread| holds(&thread.path()))
}

/// Returns true where a path of `/proc/PID/cgroup` is a group's or below it. A machine in a container of its own shows more in front.
fn is_below(path: &str, group: &GroupPath) -> bool {
    let group = group.to_string();
    path.ends_with(&group) || path.contains(&format!("{group}/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_in_the_group_gets_the_signal() {
        let group = GroupPath { agent: "a".into(), instance: "b.0".into() };
        assert!(is_below("/openmesh-a/b.0", &group) && is_below("/docker/x/openmesh-a/b.0/own", &group));
        assert!(!is_below("/", &group) && !is_below("/openmesh-a/b.01", &group) && !is_below("/openmesh-a", &group));
        // A number of another process, as after a reuse.
        let mut child = std::process::Command::new("/bin/sleep").arg("1000").spawn().unwrap();
        kill_one(child.id(), &group).unwrap();
        assert!(child.try_wait().unwrap().is_none(), "it is in no such group and lives");
        child.kill().unwrap();
        child.wait().unwrap();
        kill_one(child.id(), &group).unwrap();
    }
}
