//! Figures of a group, from the texts of its files. Pure: [`Usage::read`] gets a function that reads a file.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{CgroupError, Controller, Layout};

/// Figures of a group at one moment. Counters never go down while the group is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// Processor time, microseconds.
    pub cpu_us: u64,
    /// Periods in which a process wanted to run.
    pub periods: u64,
    /// Periods in which the limit was reached.
    pub periods_throttled: u64,
    /// Time that was waited for want of processor time, microseconds.
    pub throttled_us: u64,
    /// Memory in use, bytes, with files that are cached.
    pub memory_bytes: u64,
    /// Most memory in use, bytes; none where the kernel does not keep it.
    pub memory_peak_bytes: Option<u64>,
    /// Cached files that were not used lately, bytes: the kernel takes them back before it kills.
    pub memory_reclaimable_bytes: u64,
    /// Limit of memory, bytes; none without one.
    pub memory_limit_bytes: Option<u64>,
    /// Times that memory was short. Some kernels with v1 keep 0 here.
    pub memory_limit_hits: u64,
    /// Processes that were killed for want of memory.
    pub oom_kills: u64,
    /// Processes and threads.
    pub processes: u64,
    /// Times that a process was refused.
    pub processes_limit_hits: u64,
    /// Time in which work waited; none where the kernel does not say.
    pub pressure: Option<Pressure>,
}

/// Time in which some of a group's work waited for a resource, in all, microseconds (`some`, `total` of the kernel's `*.pressure`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pressure {
    /// For a processor.
    pub cpu_us: u64,
    /// For memory.
    pub memory_us: u64,
    /// For a disk.
    pub io_us: u64,
}

/// The value that v1 shows for a limit that is none: the largest number of whole pages.
const V1_UNLIMITED_MIN: u64 = 1 << 62;

impl Usage {
    /// Memory that cannot be taken back, bytes: the figure to hold against the limit.
    pub fn memory_working_bytes(&self) -> u64 {
        self.memory_bytes.saturating_sub(self.memory_reclaimable_bytes)
    }

    /// Reads the figures of a group; `read` gets a path and answers with its text, or nothing where there is no such file. Each file is read once, so that its
    /// figures are of one moment, and the kernel sums them up once.
    ///
    /// # Errors
    /// A file is not readable or not of its form.
    pub fn read(
        layout: &Layout,
        group: &Path,
        read: &dyn Fn(&Path) -> Result<Option<String>, CgroupError>,
    ) -> Result<Usage, CgroupError> {
        let texts: RefCell<BTreeMap<PathBuf, Option<String>>> = RefCell::default();
        let once = |path: &Path| -> Result<Option<String>, CgroupError> {
            if let Some(text) = texts.borrow().get(path) {
                return Ok(text.clone());
            }
            let text = read(path)?;
            texts.borrow_mut().insert(path.to_path_buf(), text.clone());
            Ok(text)
        };
        let files = Files { layout, group, read: &once };
        let mut usage = match layout {
            Layout::V1 { .. } => v1(&files)?,
            Layout::V2 { .. } => v2(&files)?,
        };
        usage.processes = files.number(Controller::Pids, "pids.current")?;
        usage.processes_limit_hits = files.key_or_zero(Controller::Pids, "pids.events", "max")?;
        usage.pressure = files.pressure()?;
        Ok(usage)
    }
}

fn v1(files: &Files<'_>) -> Result<Usage, CgroupError> {
    let limit = files.number(Controller::Memory, "memory.limit_in_bytes")?;
    // With no swap the limit of memory and swap together is reached first, where the kernel has one.
    let path = files.path(Controller::Memory, "memory.memsw.failcnt");
    let sum_hits = (files.read)(&path)?.map_or(Ok(0), |text| number(&path, &text))?;
    Ok(Usage {
        cpu_us: files.number(Controller::Cpuacct, "cpuacct.usage")? / 1_000,
        periods: files.key_or_zero(Controller::Cpu, "cpu.stat", "nr_periods")?,
        periods_throttled: files.key_or_zero(Controller::Cpu, "cpu.stat", "nr_throttled")?,
        throttled_us: files.key_or_zero(Controller::Cpu, "cpu.stat", "throttled_time")? / 1_000,
        memory_bytes: files.number(Controller::Memory, "memory.usage_in_bytes")?,
        memory_peak_bytes: Some(files.number(Controller::Memory, "memory.max_usage_in_bytes")?),
        memory_reclaimable_bytes: files.key_or_zero(Controller::Memory, "memory.stat", "total_inactive_file")?,
        memory_limit_bytes: Some(limit).filter(|limit| *limit < V1_UNLIMITED_MIN),
        memory_limit_hits: files.number(Controller::Memory, "memory.failcnt")? + sum_hits,
        oom_kills: files.key_or_zero(Controller::Memory, "memory.oom_control", "oom_kill")?,
        ..Usage::default()
    })
}

fn v2(files: &Files<'_>) -> Result<Usage, CgroupError> {
    let limit = files.text(Controller::Memory, "memory.max")?;
    let limit = match limit.trim() {
        "max" => None,
        text => Some(number(&files.path(Controller::Memory, "memory.max"), text)?),
    };
    Ok(Usage {
        cpu_us: files.key_or_zero(Controller::Cpu, "cpu.stat", "usage_usec")?,
        periods: files.key_or_zero(Controller::Cpu, "cpu.stat", "nr_periods")?,
        periods_throttled: files.key_or_zero(Controller::Cpu, "cpu.stat", "nr_throttled")?,
        throttled_us: files.key_or_zero(Controller::Cpu, "cpu.stat", "throttled_usec")?,
        memory_bytes: files.number(Controller::Memory, "memory.current")?,
        memory_peak_bytes: match (files.read)(&files.path(Controller::Memory, "memory.peak"))? {
            Some(text) => Some(number(&files.path(Controller::Memory, "memory.peak"), &text)?),
            None => None,
        },
        memory_reclaimable_bytes: files.key_or_zero(Controller::Memory, "memory.stat", "inactive_file")?,
        memory_limit_bytes: limit,
        memory_limit_hits: files.key_or_zero(Controller::Memory, "memory.events", "max")?,
        oom_kills: files.key_or_zero(Controller::Memory, "memory.events", "oom_kill")?,
        ..Usage::default()
    })
}

/// Files of one group.
struct Files<'a> {
    layout: &'a Layout,
    group: &'a Path,
    read: &'a dyn Fn(&Path) -> Result<Option<String>, CgroupError>,
}

impl Files<'_> {
    fn path(&self, controller: Controller, file: &str) -> PathBuf {
        self.layout.root(controller).unwrap_or(Path::new("/")).join(self.group).join(file)
    }

    fn text(&self, controller: Controller, file: &str) -> Result<String, CgroupError> {
        let path = self.path(controller, file);
        let missing = || CgroupError::io(&path, "read")(std::io::ErrorKind::NotFound.into());
        (self.read)(&path)?.ok_or_else(missing)
    }

    fn number(&self, controller: Controller, file: &str) -> Result<u64, CgroupError> {
        number(&self.path(controller, file), &self.text(controller, file)?)
    }

    /// Value of a line `key value`. Older kernels lack some keys: a count that is not kept is 0.
    fn key_or_zero(&self, controller: Controller, file: &str, key: &str) -> Result<u64, CgroupError> {
        let path = self.path(controller, file);
        let text = self.text(controller, file)?;
        value_of(&text, key).map_or(Ok(0), |value| number(&path, value))
    }

    fn pressure(&self) -> Result<Option<Pressure>, CgroupError> {
        let Some(root) = self.layout.unified() else { return Ok(None) };
        if matches!(self.layout, Layout::V1 { .. }) {
            // Not every driver puts processes into the v2 hierarchy of a v1 machine: zeros would be no figures.
            let events = (self.read)(&root.join(self.group).join("cgroup.events"))?.unwrap_or_default();
            if value_of(&events, "populated") != Some("1") {
                return Ok(None);
            }
        }
        let total = |file: &str| -> Result<Option<u64>, CgroupError> {
            let path = root.join(self.group).join(file);
            // A kernel that was started without pressure figures has the files and refuses to read them.
            let Ok(Some(text)) = (self.read)(&path) else { return Ok(None) };
            some_total(&text).map(|total| number(&path, total)).transpose()
        };
        let all = (total("cpu.pressure")?, total("memory.pressure")?, total("io.pressure")?);
        let (Some(cpu_us), Some(memory_us), Some(io_us)) = all else { return Ok(None) };
        Ok(Some(Pressure { cpu_us, memory_us, io_us }))
    }
}

/// Value of the first line `key value`.
pub fn value_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().filter_map(|line| line.split_once(' ')).find(|(name, _)| *name == key).map(|(_, value)| value.trim())
}

/// Value of `total` in `some avg10=0.00 avg60=0.00 avg300=0.00 total=12`.
fn some_total(text: &str) -> Option<&str> {
    let line = text.lines().find(|line| line.starts_with("some "))?;
    line.split_whitespace().find_map(|field| field.strip_prefix("total="))
}

fn number(path: &Path, text: &str) -> Result<u64, CgroupError> {
    let shortened = || text.chars().take(64).collect();
    let malformed = |_| CgroupError::Malformed { path: path.into(), text: shortened(), expected: "number" };
    text.trim().parse().map_err(malformed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn usage(layout: &Layout, files: &[(&str, &str)]) -> Result<Usage, CgroupError> {
        let files: BTreeMap<&str, &str> = files.iter().copied().collect();
        Usage::read(layout, Path::new("a/b"), &|path| {
            Ok(path.to_str().and_then(|p| files.get(p)).map(ToString::to_string))
        })
    }

    const V2: [(&str, &str); 10] = [
        ("/g/a/b/cpu.stat", "usage_usec 7000\nuser_usec 1\nnr_periods 9\nnr_throttled 3\nthrottled_usec 250\n"),
        ("/g/a/b/memory.current", "4096\n"),
        ("/g/a/b/memory.max", "max\n"),
        ("/g/a/b/memory.stat", "anon 1\ninactive_file 1024\n"),
        ("/g/a/b/memory.events", "low 0\nhigh 0\nmax 5\noom 2\noom_kill 1\n"),
        ("/g/a/b/pids.current", "2\n"),
        ("/g/a/b/pids.events", "max 4\n"),
        ("/g/a/b/cpu.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=11\nfull avg10=0.00 total=1\n"),
        ("/g/a/b/memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=12\n"),
        ("/g/a/b/io.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=13\n"),
    ];

    #[test]
    fn version_two_is_read() {
        let layout = Layout::V2 { root: "/g".into() };
        let found = usage(&layout, &V2).unwrap();
        assert_eq!((found.cpu_us, found.periods, found.periods_throttled, found.throttled_us), (7_000, 9, 3, 250));
        assert_eq!((found.memory_bytes, found.memory_working_bytes()), (4_096, 3_072));
        assert_eq!((found.memory_limit_bytes, found.memory_peak_bytes), (None, None));
        assert_eq!((found.memory_limit_hits, found.oom_kills), (5, 1));
        assert_eq!((found.processes, found.processes_limit_hits), (2, 4));
        assert_eq!(found.pressure, Some(Pressure { cpu_us: 11, memory_us: 12, io_us: 13 }));
    }

    #[test]
    fn each_file_is_read_once() {
        let files: BTreeMap<&str, &str> = V2.into();
        let asked = RefCell::new(Vec::new());
        Usage::read(&Layout::V2 { root: "/g".into() }, Path::new("a/b"), &|path| {
            asked.borrow_mut().push(path.to_path_buf());
            Ok(path.to_str().and_then(|p| files.get(p)).map(ToString::to_string))
        })
        .unwrap();
        let mut once = asked.into_inner();
        let all = once.len();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), all);
    }

    #[test]
    fn a_missing_or_malformed_file_is_named() {
        let layout = Layout::V2 { root: "/g".into() };
        let said = usage(&layout, &V2[..1]).unwrap_err().to_string();
        assert!(said.starts_with("/g/a/b/memory.max cannot be read"), "{said}");
        let mut files = V2;
        files[1].1 = "many";
        let said = usage(&layout, &files).unwrap_err().to_string();
        assert_eq!(said, "/g/a/b/memory.current holds \"many\", which is no number");
    }

    proptest! {
        #[test]
        fn nothing_in_a_file_panics(text in "\\PC{0,80}", place in 0_usize..10) {
            let mut files = V2;
            files[place].1 = &text;
            let _ = usage(&Layout::V2 { root: "/g".into() }, &files);
        }
    }
}
