//! One instance's group: made, limited, read, frozen, killed, removed.
//!
//! Every effect is idempotent: what is made already, thawed already or gone already is fine. Nothing outside of the group's own folders is touched,
//! except that controllers are switched on for children of the v2 root and of the agent's group.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::files::{self, Write};
use super::usage::value_of;
use super::{CgroupError, Controller, Layout, Usage};
use crate::config::Resources;
use crate::instance::GroupPath;
use crate::{Door, through};

/// Time for a group to become frozen, thawed or empty, milliseconds: a process can be within a slow system call.
pub const CHANGE_MS_MAX: u64 = 10_000;
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

    /// Its figures; none where it is not there.
    ///
    /// # Errors
    /// A file is not readable or not of its form.
    pub fn usage(&self) -> Result<Option<Usage>, CgroupError> {
        if !self.folder(Controller::Memory).is_dir() {
            return Ok(None);
        }
        let below = Path::new(&self.path.parent()).join(&self.path.instance);
        Usage::read(&self.layout, &below, &|path| read(path)).map(Some)
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
        let done = self.set_frozen(true, door);
        if matches!(done, Err(CgroupError::Late { .. })) {
            self.set_frozen(false, door)?;
        }
        done
    }

    /// Lets every process go on.
    ///
    /// # Errors
    /// Its file cannot be written.
    pub fn thaw(&self, door: Door<'_>) -> Result<(), CgroupError> {
        self.set_frozen(false, door)
    }

    fn set_frozen(&self, frozen: bool, door: Door<'_>) -> Result<(), CgroupError> {
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
        self.wait(if frozen { "frozen" } else { "thawed" }, reached)
    }

    /// Ends every process of it, frozen or not, and waits until it is empty. On v2 in one stroke, else frozen first, so that no process number
    /// can come to mean another process between reading and killing.
    ///
    /// # Errors
    /// Some do not end within [`CHANGE_MS_MAX`].
    pub fn kill_all(&self, door: Door<'_>) -> Result<(), CgroupError> {
        let kill = match self.layout {
            Layout::V1 { .. } => None,
            Layout::V2 { .. } => Some(self.folder(Controller::Pids).join("cgroup.kill")).filter(|path| path.exists()),
        };
        if let Some(path) = kill {
            through(door, "cgroup.kill", || std::fs::write(&path, "1")).map_err(CgroupError::io(&path, "written"))?;
            return self.wait("empty", || Ok(self.processes()?.is_empty()));
        }
        self.wait("empty", || {
            if self.processes()?.is_empty() {
                return Ok(true);
            }
            // One that cannot be frozen in time is killed all the same.
            let _ = self.freeze(door);
            let killed = self.processes()?;
            through(door, "cgroup.kill", || killed.iter().try_for_each(|pid| kill_one(*pid)))
                .map_err(CgroupError::io(&self.folder(Controller::Pids), "killed"))?;
            // Its maker may have died before it made this one.
            if self.folder(Controller::Freezer).is_dir() {
                self.thaw(door)?;
            }
            Ok(false)
        })
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
                through(door, "cgroup.remove", || retire(&folder, begun, ending))
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

    fn wait(&self, wanted: &'static str, mut so: impl FnMut() -> Result<bool, CgroupError>) -> Result<(), CgroupError> {
        let begun = Instant::now();
        while !so()? {
            if begun.elapsed() > Duration::from_millis(CHANGE_MS_MAX) {
                let left = self.processes()?.len();
                let path = self.folder(Controller::Freezer);
                return Err(CgroupError::Late { path, wanted, ms: CHANGE_MS_MAX, left });
            }
            std::thread::sleep(Duration::from_millis(LOOK_MS));
        }
        Ok(())
    }
}

/// Names of the groups in an agent's own group, by what the memory hierarchy shows.
///
/// # Errors
/// The folder cannot be read.
pub fn instances(layout: &Layout, agent: &str) -> Result<BTreeSet<String>, CgroupError> {
    let root = layout.root(Controller::Memory).unwrap_or(Path::new("/"));
    let parent = root.join(GroupPath { agent: agent.into(), instance: String::new() }.parent());
    match std::fs::read_dir(&parent) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(cause) => Err(CgroupError::io(&parent, "read")(cause)),
        Ok(entries) => Ok(entries
            .flatten()
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()),
    }
}

/// Numbers of the errors that are told apart here.
mod code {
    pub const ENOENT: i32 = 2;
    pub const EBUSY: i32 = 16;
    pub const ENOTEMPTY: i32 = 39;
    pub const ENODEV: i32 = 19;
}

/// Removes one folder of a hierarchy; it stays busy for a moment after its last process was killed. With `ending` those that are in it are killed.
fn retire(folder: &Path, begun: Instant, ending: bool) -> io::Result<()> {
    loop {
        match std::fs::remove_dir(folder) {
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(()),
            Err(cause) if cause.raw_os_error() != Some(code::EBUSY) => return Err(cause),
            Err(cause) if begun.elapsed() > Duration::from_millis(CHANGE_MS_MAX) => return Err(cause),
            Err(_) => {
                if ending {
                    let text = std::fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
                    text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid != 0).try_for_each(kill_one)?;
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

/// Kills a process of a frozen group; one that is gone is fine.
fn kill_one(pid: u32) -> io::Result<()> {
    let Some(pid) = Pid::from_raw(pid.cast_signed()) else { return Ok(()) };
    match rustix::process::kill_process(pid, Signal::KILL) {
        Err(rustix::io::Errno::SRCH) | Ok(()) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
