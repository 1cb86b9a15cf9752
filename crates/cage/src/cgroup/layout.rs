//! Hierarchies of control groups, as `/proc/self/mountinfo` shows them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{CgroupError, Controller};

/// Hierarchies of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Controllers in hierarchies of their own, beside them perhaps v2 without one.
    V1 {
        /// Mount point of each controller.
        controllers: BTreeMap<Controller, PathBuf>,
        /// Mount point of v2.
        unified: Option<PathBuf>,
        /// Every mount point, also those of which nothing is used: a driver makes groups in all.
        all: Vec<PathBuf>,
    },
    /// All controllers in one hierarchy.
    V2 {
        /// Its mount point.
        root: PathBuf,
    },
}

impl Layout {
    /// Finds the hierarchies of this machine.
    ///
    /// # Errors
    /// `/proc` cannot be read, or a controller is nowhere.
    pub fn find() -> Result<Layout, CgroupError> {
        let read = |path: &Path| std::fs::read_to_string(path).map_err(CgroupError::io(path, "read"));
        let mounts = read(Path::new("/proc/self/mountinfo"))?;
        parse(&mounts, |root| std::fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default())
    }

    /// Every mount point.
    pub fn roots(&self) -> Vec<&Path> {
        match self {
            Layout::V1 { all, .. } => all.iter().map(PathBuf::as_path).collect(),
            Layout::V2 { root } => vec![root],
        }
    }

    /// Mount point in which a controller's files are; none where it has none.
    pub fn root(&self, controller: Controller) -> Option<&Path> {
        match self {
            Layout::V1 { controllers, .. } => controllers.get(&controller).map(PathBuf::as_path),
            Layout::V2 { root } => Some(root),
        }
    }

    /// Mount point of v2.
    pub fn unified(&self) -> Option<&Path> {
        match self {
            Layout::V1 { unified, .. } => unified.as_deref(),
            Layout::V2 { root } => Some(root),
        }
    }
}

/// A line of `mountinfo` as far as it matters here.
struct Line<'a> {
    target: PathBuf,
    kind: &'a str,
    options: &'a str,
}

/// Reads `36 35 98:0 /root /target options shared:1 - kind source options`.
fn line(text: &str) -> Option<Line<'_>> {
    let (before, after) = text.split_once(" - ")?;
    let target = PathBuf::from(unescape(before.split(' ').nth(4)?));
    let mut fields = after.split(' ');
    Some(Line { target, kind: fields.next()?, options: fields.nth(1)? })
}

/// Reads the `\040` of a path in `mountinfo`.
pub fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.filter(|_| *first == b'\\').and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads the hierarchies from a `mountinfo`; `controllers` answers with the text of `cgroup.controllers` of a v2 mount point.
///
/// # Errors
/// A controller that is needed is nowhere.
pub fn parse(mountinfo: &str, controllers: impl Fn(&Path) -> String) -> Result<Layout, CgroupError> {
    let (mut v1, mut all, mut unified) = (BTreeMap::new(), Vec::new(), None);
    for line in mountinfo.lines().filter_map(line) {
        match line.kind {
            "cgroup" => {
                for controller in line.options.split(',').filter_map(Controller::named) {
                    v1.entry(controller).or_insert_with(|| line.target.clone());
                }
                all.push(line.target);
            }
            "cgroup2" if unified.is_none() => {
                all.push(line.target.clone());
                unified = Some(line.target);
            }
            _ => {}
        }
    }
    let missing = |needed: &[Controller], has: &dyn Fn(Controller) -> bool| {
        let names: Vec<&str> = needed.iter().filter(|c| !has(**c)).map(|c| c.name()).collect();
        if names.is_empty() { Ok(()) } else { Err(CgroupError::Missing { missing: names.join(", ") }) }
    };
    if v1.keys().any(|controller| Controller::UNIFIED.contains(controller)) || unified.is_none() {
        missing(&Controller::ALL, &|controller| v1.contains_key(&controller))?;
        return Ok(Layout::V1 { controllers: v1, unified, all });
    }
    let root = unified.unwrap_or_default();
    let there = controllers(&root);
    missing(&Controller::UNIFIED, &|controller| there.split_whitespace().any(|name| name == controller.name()))?;
    Ok(Layout::V2 { root })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
22 1 254:0 / / rw,relatime - ext4 /dev/root rw
31 22 0:28 / /sys/fs/cgroup rw,relatime shared:3 - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:4 master:1 - cgroup cgroup rw,cpu,cpuacct
33 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
34 31 0:33 / /sys/fs/cgroup/devices rw,relatime - cgroup cgroup rw,devices
35 31 0:34 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer
36 31 0:35 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
37 31 0:36 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
38 31 0:37 / /sys/fs/cgroup/unified\\040tree rw,relatime - cgroup2 cgroup2 rw
";
    const UNIFIED: &str = "31 22 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn hybrid_machines_are_v1() {
        let layout = parse(HYBRID, |_| "io".into()).unwrap();
        assert_eq!(layout.root(Controller::Cpuacct), Some(Path::new("/sys/fs/cgroup/cpu,cpuacct")));
        assert_eq!(layout.unified(), Some(Path::new("/sys/fs/cgroup/unified tree")));
        assert_eq!(layout.roots().len(), 7);
    }

    #[test]
    fn unified_machines_are_v2() {
        let layout = parse(UNIFIED, |_| "cpuset cpu io memory pids\n".into()).unwrap();
        assert_eq!(layout, Layout::V2 { root: "/sys/fs/cgroup".into() });
    }

    #[test]
    fn missing_controllers_are_named() {
        let said = |text: &str, there: &str| parse(text, |_| there.into()).unwrap_err().to_string();
        assert!(said(UNIFIED, "cpu io").contains("the controllers memory, pids:"));
        assert!(said("", "").contains("cpu, cpuacct, devices, freezer, memory, pids:"));
        let without: String =
            HYBRID.lines().filter(|line| !line.contains("freezer")).map(|l| format!("{l}\n")).collect();
        assert!(said(&without, "").contains("the controllers freezer:"));
    }
}
