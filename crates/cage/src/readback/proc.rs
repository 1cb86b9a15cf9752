//! Texts of `/proc/PID`. Pure.

use crate::cgroup::layout::unescape;
use crate::config::IdMapping;

/// Privileges of a process, from `/proc/PID/status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Privileges {
    /// Mode of seccomp: 2 is a filter.
    pub seccomp: u32,
    /// No program gives privileges.
    pub no_new_privileges: bool,
    /// Kept by programs that ask for it.
    pub inheritable: u64,
    /// Can be used.
    pub permitted: u64,
    /// In use.
    pub effective: u64,
    /// Upper bound.
    pub bounding: u64,
    /// Kept by programs of users other than 0.
    pub ambient: u64,
}

/// Reads `/proc/PID/status`; none where a line is missing or not of its form.
pub fn privileges(status: &str) -> Option<Privileges> {
    let value = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
        line.map(str::trim)
    };
    let bits = |key: &str| u64::from_str_radix(value(key)?, 16).ok();
    Some(Privileges {
        seccomp: value("Seccomp")?.parse().ok()?,
        no_new_privileges: value("NoNewPrivs")? == "1",
        inheritable: bits("CapInh")?,
        permitted: bits("CapPrm")?,
        effective: bits("CapEff")?,
        bounding: bits("CapBnd")?,
        ambient: bits("CapAmb")?,
    })
}

/// Returns true where `/proc/PID/status` is that of a process or thread that has ended.
pub fn has_ended(status: &str) -> bool {
    let state = status.lines().find_map(|line| line.strip_prefix("State:"));
    state.is_some_and(|state| state.trim_start().starts_with(['Z', 'X']))
}

/// Reads the start of a process, clock ticks after the machine's, from `/proc/PID/stat`, whose second field is a name in parentheses that can hold anything.
pub fn start_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

/// Reads `/proc/PID/uid_map`; none where a line is not of its form.
pub fn id_map(text: &str) -> Option<Vec<IdMapping>> {
    let line = |line: &str| {
        let mut numbers = line.split_whitespace().map(str::parse);
        let (container_id, host_id, size) = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
        Some(IdMapping { container_id, host_id, size })
    };
    text.lines().map(line).collect()
}

/// Reads a hard limit by its name from `/proc/PID/limits`; none where it is unlimited or not shown.
pub fn hard_limit(text: &str, name: &str) -> Option<u64> {
    let values = text.lines().find_map(|line| line.strip_prefix(name))?;
    values.split_whitespace().nth(1)?.parse().ok()
}

/// A mount, from `/proc/PID/mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountLine {
    /// Path.
    pub target: String,
    /// Options of the mount.
    pub options: Vec<String>,
    /// File system.
    pub kind: String,
    /// Options of the file system.
    pub super_options: Vec<String>,
}

/// Reads `/proc/PID/mountinfo`; lines that are none are passed over.
pub fn mounts(text: &str) -> Vec<MountLine> {
    let split = |options: &str| options.split(',').map(ToString::to_string).collect();
    let line = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ').skip(4);
        let mut after = after.split(' ');
        Some(MountLine {
            target: unescape(before.next()?),
            options: split(before.next()?),
            kind: after.next()?.to_string(),
            super_options: split(after.nth(1)?),
        })
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_has_ended_is_told_from_one_that_lives() {
        assert!(has_ended("Name:\tyouki:[1:INTER]\nState:\tZ (zombie)\nPid:\t7\n"));
        assert!(!has_ended("Name:\tZ\nState:\tS (sleeping)\nPid:\t7\n"));
        assert!(!has_ended(""));
        let line = "42 (a) S 1 (b)) S 7 42 42 0 -1 4194560 9 0 0 0 0 0 0 0 20 0 1 0 123456 9 9";
        assert_eq!(start_ticks(line), Some(123_456));
        assert_eq!(start_ticks("42 (a) S"), None);
    }

    #[test]
    fn hard_limits_are_read_by_name() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \nMax core file size        0                    unlimited            bytes     \nMax open files            1024                 16384                files     \n";
        assert_eq!(hard_limit(text, "Max open files"), Some(16_384));
        assert_eq!((hard_limit(text, "Max core file size"), hard_limit(text, "Max processes")), (None, None));
    }
}
