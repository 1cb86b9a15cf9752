//! Texts of `/proc/PID` about a process for people. Pure.

use crate::readback::proc::id_map;

/// State of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It runs, or could.
    Running,
    /// It waits for something that happens.
    Sleeping,
    /// It waits for a disk or a lock of the kernel, and no signal reaches it.
    Waiting,
    /// A signal has stopped it.
    Stopped,
    /// Whoever traces it has stopped it.
    Traced,
    /// It has ended, and its parent has not asked how.
    Ended,
}

/// Parts of `/proc/PID/stat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    /// Name.
    pub name: String,
    /// State.
    pub state: State,
    /// Number of its parent.
    pub parent: u32,
    /// Processor time of all of its threads, ticks.
    pub cpu_ticks: u64,
    /// Threads.
    pub threads: u64,
    /// Start, ticks since the machine's.
    pub start_ticks: u64,
}

/// Reads `/proc/PID/stat`, whose second field is a name in parentheses that can hold anything.
pub(super) fn stat(text: &str) -> Option<Stat> {
    let (head, tail) = text.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    let fields: Vec<&str> = tail.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let state = match *fields.first()? {
        "R" => State::Running,
        "S" | "I" => State::Sleeping,
        "T" => State::Stopped,
        "t" => State::Traced,
        "Z" | "X" | "x" => State::Ended,
        _ => State::Waiting,
    };
    Some(Stat {
        name: name.to_string(),
        state,
        parent: u32::try_from(number(1)?).ok()?,
        cpu_ticks: number(11)?.saturating_add(number(12)?),
        threads: number(17)?,
        start_ticks: number(19)?,
    })
}

/// Parts of `/proc/PID/status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status {
    /// Number in the namespace below the reader's; none where it is in the reader's own.
    pub pid_inside: Option<u32>,
    /// Effective user, as the reader sees it.
    pub user: u32,
    /// Resident memory, bytes; 0 of one that has ended.
    pub resident_bytes: u64,
}

/// Reads `/proc/PID/status`.
pub(super) fn status(text: &str) -> Option<Status> {
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let second = |line: &str| line.split_whitespace().nth(1)?.parse::<u32>().ok();
    Some(Status {
        // Kernels without namespaces of processes have no such line.
        pid_inside: value("NSpid").and_then(second),
        user: second(value("Uid")?)?,
        resident_bytes: value("VmRSS").and_then(kib).unwrap_or(0),
    })
}

/// Reads the part of memory with shared pages divided, from `/proc/PID/smaps_rollup`, bytes.
pub(super) fn share_bytes(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("Pss:")).and_then(kib)
}

/// Reads a number of KiB, as `    1234 kB`, into bytes.
fn kib(text: &str) -> Option<u64> {
    text.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

/// A user of the host as the owner of an id map sees it, from the text of the map.
pub(super) fn user_inside(map: &str, user: u32) -> Option<u32> {
    let map = id_map(map)?;
    let entry = map.iter().find(|entry| user.checked_sub(entry.host_id).is_some_and(|at| at < entry.size))?;
    entry.container_id.checked_add(user - entry.host_id)
}

/// Reads `/proc/uptime` into milliseconds.
pub(super) fn uptime_ms(text: &str) -> Option<u64> {
    let (whole, part) = text.split_whitespace().next()?.split_once('.')?;
    let hundredths = part.parse::<u64>().ok().filter(|_| part.len() == 2)?;
    whole.parse::<u64>().ok()?.checked_mul(1_000)?.checked_add(hundredths * 10)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STAT: &str = "4711 (a) S 1 (b)) D 17 4711 4711 0 -1 4194560 900 5 1 0 250 50 3 4 20 0 12 0 8634517 734003200 5120 18446744073709551615 1 1";
    const STATUS: &str = "Name:\ta) S 1 (b)\nUmask:\t0022\nState:\tD (disk sleep)\nTgid:\t4711\nPid:\t4711\nPPid:\t17\n\
                          Uid:\t232072\t232073\t232072\t232072\nGid:\t232072\t232072\t232072\t232072\nNSpid:\t4711\t9\n\
                          VmPeak:\t  716800 kB\nVmRSS:\t   20480 kB\nThreads:\t12\n";
    const ROLLUP: &str = "55a5a8e00000-7ffd4c1f2000 ---p 00000000 00:00 0    [rollup]\nRss:               20480 kB\nPss:               11111 kB\nPss_Dirty:          1000 kB\n";

    #[test]
    fn a_process_is_read_whatever_its_name_is() {
        let read = stat(STAT).unwrap();
        let name = "a) S 1 (b)".to_string();
        let expected =
            Stat { name, state: State::Waiting, parent: 17, cpu_ticks: 300, threads: 12, start_ticks: 8_634_517 };
        assert_eq!(read, expected);
        assert_eq!(stat("4711 (sleep) S 17"), None, "it is cut");
        let read = status(STATUS).unwrap();
        assert_eq!(read, Status { pid_inside: Some(9), user: 232_073, resident_bytes: 20_480 << 10 });
        let outside = STATUS.replace("\t4711\t9", "\t4711").replace("VmRSS:", "VmHWM:");
        assert_eq!(status(&outside).unwrap(), Status { pid_inside: None, user: 232_073, resident_bytes: 0 });
        assert_eq!((share_bytes(ROLLUP), share_bytes("Rss: 1 kB\n")), (Some(11_111 << 10), None));
    }

    #[test]
    fn users_are_told_as_inside() {
        let map = "         0     232072      65536\n";
        assert_eq!(user_inside(map, 232_072), Some(0));
        assert_eq!(user_inside(map, 232_073), Some(1));
        assert_eq!((user_inside(map, 0), user_inside(map, 232_072 + 65_536)), (None, None), "users of the host");
        assert_eq!(user_inside("0 4294967295 1\n", u32::MAX), Some(0));
        assert_eq!(user_inside("", 0), None);
    }

    #[test]
    fn times_since_the_start_are_exact() {
        assert_eq!(uptime_ms("8634517.09 1234.56\n"), Some(8_634_517_090));
        assert_eq!((uptime_ms(""), uptime_ms("12"), uptime_ms("12.345 1")), (None, None, None));
    }

    proptest! {
        #[test]
        fn no_text_makes_reading_panic(text in "\\PC{0,200}", lines in "[A-Za-z:0-9 \t\n()]{0,200}") {
            for text in [&text, &lines] {
                let _ = (stat(text), status(text), share_bytes(text), user_inside(text, 7), uptime_ms(text));
            }
        }
    }
}
