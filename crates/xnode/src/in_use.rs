//! Parts of the machine that are in use, whoever uses them: memory, processors, and the disk of the state folder. People see it beside what the machine has in all;
//! nothing is planned by it, since what is in use now says nothing of what applications may use.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Parts of the machine that are in use, each beside all of it where that is said nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InUse {
    /// Memory that a new process could not have: all without what the kernel would give back at once (`MemAvailable`, proc_meminfo(5)), bytes.
    pub memory_bytes: u64,
    /// Processors that are on.
    pub processors: u32,
    /// Processes that ran or waited for a processor or a disk, on average over the last minute, in thousandths (proc_loadavg(5)).
    pub load_milli: u32,
    /// Used bytes of the disk of the state folder.
    pub disk_bytes: u64,
    /// All bytes of that disk.
    pub disk_all_bytes: u64,
}

impl InUse {
    /// Reads it; none where the kernel does not say a part of it.
    pub fn read(state: &Path) -> Option<InUse> {
        let text = |path: &str| fs::read_to_string(path).ok();
        let disk = rustix::fs::statvfs(state).ok()?;
        Some(InUse {
            memory_bytes: memory(&text("/proc/meminfo")?)?,
            processors: processors(&text("/proc/stat")?)?,
            load_milli: load(&text("/proc/loadavg")?)?,
            disk_bytes: disk.f_blocks.saturating_sub(disk.f_bfree).saturating_mul(disk.f_frsize),
            disk_all_bytes: disk.f_blocks.saturating_mul(disk.f_frsize),
        })
    }
}

/// Used bytes of memory in the text of `/proc/meminfo`.
fn memory(text: &str) -> Option<u64> {
    let bytes = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
    };
    Some(bytes("MemTotal")?.saturating_sub(bytes("MemAvailable")?))
}

/// Number of processors in the text of `/proc/stat`, which has a line for each that is on, beside one for all together.
fn processors(text: &str) -> Option<u32> {
    let is_one = |line: &&str| {
        let number = line.strip_prefix("cpu").and_then(|rest| rest.split(' ').next());
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    u32::try_from(text.lines().filter(is_one).count()).ok().filter(|count| *count > 0)
}

/// The first average in the text of `/proc/loadavg`, in thousandths: the kernel writes hundredths.
fn load(text: &str) -> Option<u32> {
    let (whole, hundredths) = text.split_whitespace().next()?.split_once('.')?;
    if hundredths.len() != 2 {
        return None;
    }
    let (whole, hundredths): (u32, u32) = (whole.parse().ok()?, hundredths.parse().ok()?);
    whole.checked_mul(1_000)?.checked_add(hundredths * 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_kernel_are_read() {
        let meminfo =
            "MemTotal:        2000000 kB\nMemFree:          100000 kB\nMemAvailable:    1500000 kB\nBuffers: 1 kB\n";
        assert_eq!(memory(meminfo), Some(500_000 * 1024));
        assert_eq!(memory("MemTotal: 2000 kB\nMemAvailableX: 5 kB\n"), None);
        let stat = "cpu  10 0 10 100\ncpu0 5 0 5 50\ncpu11 5 0 5 50\nintr 7\nctxt 1\ncpus 3\n";
        assert_eq!((processors(stat), processors("intr 7\n")), (Some(2), None));
        assert_eq!(load("0.42 1.00 2.00 1/200 4711\n"), Some(420));
        assert_eq!(load("117.05 1.00 2.00 1/200 4711\n"), Some(117_050));
        for wrong in ["", "1", "1.5", "x.00", "1.yy", "4294967295.00"] {
            assert_eq!(load(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_machine_says_what_of_it_is_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let found = InUse::read(folder.path()).unwrap();
        assert!(found.memory_bytes > 0 && found.memory_bytes < crate::host::memory_bytes(), "{found:?}");
        assert!(
            found.processors > 0 && found.disk_bytes <= found.disk_all_bytes && found.disk_all_bytes > 0,
            "{found:?}"
        );
        assert_eq!(InUse::read(&folder.path().join("gone")), None);
    }
}
